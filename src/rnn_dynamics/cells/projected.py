"""A long short-term memory whose hidden state is narrower than its memory."""

from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells.activations import sigmoid, tanh
from rnn_dynamics.cells.pytree import cell_type, set_fields
from rnn_dynamics.cells.vanilla import dot, drive
from rnn_dynamics.numerics.validation import real_arrays, shape_of


@cell_type()
class ProjectedLSTM:
    """Long short-term memory with a projection, state [h, c] of p + n entries.

    z = W h + W_in u + b in four stretches i, f, g, o; i, f, o = σ(z), g = tanh(z); c⁺ = f c + i g;
    h⁺ = P (o tanh(c⁺)).

    Args:
        W: recurrent weights of the gates i, f, g, o, shape (4 n, p).
        b: bias, shape (4 n,).
        W_in: input weights, shape (4 n, inputs); ``None`` for a network without input.
        projection: P, shape (p, n).

    Raises:
        TypeError, ValueError: shapes that do not fit, values that are not finite.

    Reference: H. Sak, A. Senior, F. Beaufays, arXiv 1402.1128; ``proj_size`` of PyTorch's LSTM.
    """

    longer_memory: ClassVar[str] = "a larger bias of the forget gate"

    W: Float[Array, "4*n p"]
    b: Float[Array, " 4*n"]
    W_in: Float[Array, "4*n m"] | None
    projection: Float[Array, "p n"]

    def __init__(self, W: Any, b: Any, W_in: Any = None, projection: Any = None) -> None:
        narrow, units = shape_of("projection", projection, ndim=2)
        given = {"W": W, "b": b, "projection": projection} | ({} if W_in is None else {"W_in": W_in})
        shapes = {"W": (4 * units, narrow), "b": (4 * units,), "W_in": (4 * units, None)}
        for name, shape in shapes.items():
            if name in given:
                shape_of(name, given[name], shape=shape)
        fields = dict(zip(given, real_arrays(**given), strict=True))
        set_fields(self, **({"W_in": None} | fields))

    @property
    def parts(self) -> dict[str, slice]:
        """Where the hidden and the cell state lie in the flat state."""
        narrow, units = self.projection.shape
        return {"hidden": slice(0, narrow), "cell": slice(narrow, narrow + units)}

    def split(self, x: Float[Array, "... n"]) -> dict[str, Float[Array, "... m"]]:
        """The parts of a state, or of states, by name."""
        return {name: x[..., part] for name, part in self.parts.items()}

    def carries(self, x: Float[Array, " p+n"], u: Any = None) -> dict[str, Float[Array, " n"]]:
        """What each unit keeps of its memory at fixed gates: ∂c⁺/∂c, the forget gate."""
        return {"forget": self.gates(x, u)["forget"]}

    @property
    def gate_rows(self) -> dict[str, tuple[str, ...]]:
        """The gates whose rows each parameter holds, in their order."""
        return dict.fromkeys(("W", "b", "W_in"), ("input", "forget", "candidate", "output"))

    def gates(self, x: Float[Array, " p+n"], u: Any = None) -> dict[str, Float[Array, " n"]]:
        """Input, forget and output gate and the candidate of the step from x."""
        h = x[: self.projection.shape[0]]
        z = (dot(self.W, h) + drive(self.b, self.W_in, u)).reshape(4, self.projection.shape[1])
        i, f, _, o = sigmoid(z)
        return {"input": i, "forget": f, "candidate": tanh(z[2]), "output": o}

    def __call__(self, x: Float[Array, " p+n"], u: Any = None) -> Float[Array, " p+n"]:
        gates = self.gates(x, u)
        following = gates["forget"] * x[self.projection.shape[0] :] + gates["input"] * gates["candidate"]
        return jnp.concatenate([dot(self.projection, gates["output"] * tanh(following)), following])
