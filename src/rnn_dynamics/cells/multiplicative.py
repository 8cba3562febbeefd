"""The multiplicative LSTM, whose recurrent weights each input chooses anew."""

from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells.activations import sigmoid, tanh
from rnn_dynamics.cells.gated import HiddenAndCell
from rnn_dynamics.cells.pytree import cell_type, set_fields
from rnn_dynamics.cells.vanilla import dot, drive, weights
from rnn_dynamics.numerics.validation import real_arrays, shape_of


@cell_type()
class MultiplicativeLSTM(HiddenAndCell):
    """Multiplicative long short-term memory, state [h, c].

    m = (V_in u) ∗ (V h), entry by entry; z = W m + W_in u + b in four stretches i, f, g, o; i, f, o = σ(z),
    g = tanh(z); c⁺ = f c + i g; h⁺ = o tanh(c⁺). Without input m is 0, and nothing of h comes back.

    Args:
        W: weights of the gates i, f, g, o from m, shape (4 n, n).
        b: bias, shape (4 n,).
        W_in: input weights of the gates, shape (4 n, inputs).
        V: weights from h to m, shape (n, n).
        V_in: weights from u to m, shape (n, inputs).

    Raises:
        TypeError, ValueError: shapes that do not fit, values that are not finite.

    Reference: B. Krause, L. Lu, I. Murray, S. Renals, arXiv 1609.07959.
    """

    longer_memory: ClassVar[str] = "a larger bias of the forget gate"

    W: Float[Array, "4*n n"]
    b: Float[Array, " 4*n"]
    W_in: Float[Array, "4*n m"]
    V: Float[Array, "n n"]
    V_in: Float[Array, "n m"]

    def __init__(self, W: Any, b: Any, W_in: Any, V: Any, V_in: Any) -> None:
        shape_of("W_in", W_in, ndim=2)
        fields = weights(W, b, W_in, gates=4)
        n, inputs = fields["W"].shape[1], fields["W_in"].shape[1]
        shape_of("V", V, shape=(n, n))
        shape_of("V_in", V_in, shape=(n, inputs))
        names = (*fields, "V", "V_in")
        arrays = real_arrays(**dict(zip(names, (*fields.values(), V, V_in), strict=True)))
        set_fields(self, **dict(zip(names, arrays, strict=True)))

    def carries(self, x: Float[Array, " 2*n"], u: Any = None) -> dict[str, Float[Array, " n"]]:
        """What each unit keeps of its memory at fixed gates: ∂c⁺/∂c, the forget gate."""
        return {"forget": self.gates(x, u)["forget"]}

    @property
    def gate_rows(self) -> dict[str, tuple[str, ...]]:
        """The gates whose rows each parameter holds, in their order."""
        return dict.fromkeys(("W", "b", "W_in"), ("input", "forget", "candidate", "output"))

    def gates(self, x: Float[Array, " 2*n"], u: Any = None) -> dict[str, Float[Array, " n"]]:
        """Input, forget and output gate and the candidate of the step from x."""
        n = self.units
        z = drive(self.b, self.W_in, u)
        if u is not None:
            m = dot(self.V_in, jnp.asarray(u, self.V_in.dtype)) * dot(self.V, x[:n])
            z = z + dot(self.W, m)
        z = z.reshape(4, n)
        i, f, _, o = sigmoid(z)
        return {"input": i, "forget": f, "candidate": tanh(z[2]), "output": o}

    def __call__(self, x: Float[Array, " 2*n"], u: Any = None) -> Float[Array, " 2*n"]:
        gates = self.gates(x, u)
        following = gates["forget"] * x[self.units :] + gates["input"] * gates["candidate"]
        return jnp.concatenate([gates["output"] * tanh(following), following])
