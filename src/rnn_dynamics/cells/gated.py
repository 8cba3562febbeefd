"""Gated cells: LSTM with forget gate and peepholes, the LSTM of 1997, GRU in both conventions, two minimal ones.

Where a cell keeps more than one vector, the state is flat, so that a Jacobian is one matrix; ``parts`` names its
stretches and ``split`` cuts it into them. ``gates`` gives what the units of one step multiply by. LSTM and GRU take
other functions than σ and tanh, as other frameworks have them.
"""

from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.activations import Activation, hyperbolic, logistic, sigmoid, tanh
from rnn_dynamics.cells.pytree import cell_type, set_fields
from rnn_dynamics.cells.vanilla import dot, drive, weights
from rnn_dynamics.numerics.validation import choice, real_array, real_arrays, shape_of


def _functions(gate_activation: Any, activation: Any) -> dict[str, Activation]:
    return {
        "gate_activation": activations.get(gate_activation, argument="gate_activation"),
        "activation": activations.get(activation),
    }


class HiddenAndCell:
    """A cell whose state [h, c] has 2 n entries."""

    W: Any

    @property
    def units(self) -> int:
        """The number of units, n."""
        return self.W.shape[1]

    @property
    def parts(self) -> dict[str, slice]:
        """Where the hidden and the cell state lie in the flat state."""
        return {"hidden": slice(0, self.units), "cell": slice(self.units, 2 * self.units)}

    def split(self, x: Float[Array, "... n"]) -> dict[str, Float[Array, "... m"]]:
        """The parts of a state, or of states, by name."""
        return {name: x[..., part] for name, part in self.parts.items()}


def _size(cell: Any, gate: Float[Array, " n"]) -> Float[Array, " n"]:
    """What a gate keeps: σ is positive, others need not be."""
    return gate if cell.gate_activation is logistic else jnp.abs(gate)


@cell_type(static=("gate_activation", "activation", "output_activation"))
class LSTM(HiddenAndCell):
    """Long short-term memory with a forget gate, state [h, c].

    z = W h + W_in u + b in four stretches i, f, g, o; i, f, o = σ(z), g = tanh(z); c⁺ = f c + i g; h⁺ = o tanh(c⁺).
    With peepholes p: z_i += p_i c, z_f += p_f c, z_o += p_o c⁺.

    Args:
        W: recurrent weights of the gates i, f, g, o, shape (4 n, n).
        b: bias, shape (4 n,).
        W_in: input weights, shape (4 n, inputs); ``None`` for a network without input.
        peepholes: p_i, p_f, p_o, shape (3, n), or ``None``.
        gate_activation: in the place of σ: "hard_sigmoid_5" as in Keras 1 and 2, "hard_sigmoid_6" as in Keras 3, or
            any other that ``ElmanRNN`` takes.
        activation: in the place of tanh, in both its places.
        output_activation: in the place of tanh(c⁺) alone; by default ``activation``.

    Raises:
        TypeError, ValueError: shapes that do not fit, values that are not finite, an unknown activation.

    References: S. Hochreiter, J. Schmidhuber, Neural Computation 9, 1997; F. Gers, J. Schmidhuber, F. Cummins,
    Neural Computation 12, 2000; F. Gers, N. Schraudolph, J. Schmidhuber, JMLR 3, 2002 (peepholes).
    """

    longer_memory: ClassVar[str] = "a larger bias of the forget gate"

    W: Float[Array, "4*n n"]
    b: Float[Array, " 4*n"]
    W_in: Float[Array, "4*n m"] | None
    peepholes: Float[Array, "3 n"] | None
    gate_activation: Activation = logistic
    activation: Activation = hyperbolic
    output_activation: Activation | None = None

    def __init__(
        self,
        W: Any,
        b: Any,
        W_in: Any = None,
        peepholes: Any = None,
        *,
        gate_activation: Any = "sigmoid",
        activation: Any = "tanh",
        output_activation: Any = None,
    ) -> None:
        fields = weights(W, b, W_in, gates=4)
        if peepholes is not None:
            W = fields["W"]
            peepholes = real_array("peepholes", peepholes, shape=(3, W.shape[1])).astype(W.dtype)
        functions = _functions(gate_activation, activation)
        out = None
        if output_activation is not None:
            out = activations.get(output_activation, argument="output_activation")
        out = None if out == functions["activation"] else out
        set_fields(self, **fields, peepholes=peepholes, **functions, output_activation=out)

    def carries(self, x: Float[Array, " 2*n"], u: Any = None) -> dict[str, Float[Array, " n"]]:
        """What each unit keeps of its memory at fixed gates: ∂c⁺/∂c, the forget gate."""
        return {"forget": _size(self, self._step(x, u)["forget"])}

    @property
    def gate_rows(self) -> dict[str, tuple[str, ...]]:
        """The gates whose rows each parameter holds, in their order."""
        four = ("input", "forget", "candidate", "output")
        return {"W": four, "b": four, "W_in": four, "peepholes": ("input", "forget", "output")}

    def _step(self, x: Float[Array, " 2*n"], u: Any) -> dict[str, Array]:
        n = self.units
        h, c = x[:n], x[n:]
        z = (dot(self.W, h) + drive(self.b, self.W_in, u)).reshape(4, n)
        g = self.activation(z[2])
        if self.peepholes is None:
            i, f, _, o = self.gate_activation(z)  # all rows at once: a third of the program
            return {"input": i, "forget": f, "candidate": g, "output": o, "cell": f * c + i * g}
        i, f = self.gate_activation(z[:2] + self.peepholes[:2] * c[None])
        following = f * c + i * g
        o = self.gate_activation(z[3] + self.peepholes[2] * following)
        return {"input": i, "forget": f, "candidate": g, "output": o, "cell": following}

    def __call__(self, x: Float[Array, " 2*n"], u: Any = None) -> Float[Array, " 2*n"]:
        step = self._step(x, u)
        out = self.activation if self.output_activation is None else self.output_activation
        return jnp.concatenate([step["output"] * out(step["cell"]), step["cell"]])

    def gates(self, x: Float[Array, " 2*n"], u: Any = None) -> dict[str, Float[Array, " n"]]:
        """Input, forget and output gate and the candidate of the step from x."""
        step = self._step(x, u)
        return {name: step[name] for name in ("input", "forget", "candidate", "output")}


@cell_type()
class LSTM1997(HiddenAndCell):
    """The first long short-term memory, without forget gate, state [h, c]: ∂c⁺/∂c at fixed h is exactly 1.

    z = W h + W_in u + b in three stretches i, g, o; i, o = σ(z), g = 2 tanh(z/2) in (−2, 2); c⁺ = c + i g;
    h⁺ = o tanh(c⁺/2).

    Args:
        W: recurrent weights of i, g, o, shape (3 n, n).
        b, W_in: as ``LSTM``, with 3 n rows.

    Raises:
        TypeError, ValueError: as ``LSTM``.

    Reference: S. Hochreiter, J. Schmidhuber, Neural Computation 9, 1997, appendix A.1.
    """

    W: Float[Array, "3*n n"]
    b: Float[Array, " 3*n"]
    W_in: Float[Array, "3*n m"] | None

    def __init__(self, W: Any, b: Any, W_in: Any = None) -> None:
        set_fields(self, **weights(W, b, W_in, gates=3))

    @property
    def gate_rows(self) -> dict[str, tuple[str, ...]]:
        """The gates whose rows each parameter holds, in their order."""
        return dict.fromkeys(("W", "b", "W_in"), ("input", "candidate", "output"))

    def gates(self, x: Float[Array, " 2*n"], u: Any = None) -> dict[str, Float[Array, " n"]]:
        """Input and output gate and the candidate of the step from x."""
        z = (dot(self.W, x[: self.units]) + drive(self.b, self.W_in, u)).reshape(3, self.units)
        return {"input": sigmoid(z[0]), "candidate": 2 * tanh(z[1] / 2), "output": sigmoid(z[2])}

    def __call__(self, x: Float[Array, " 2*n"], u: Any = None) -> Float[Array, " 2*n"]:
        gates = self.gates(x, u)
        following = x[self.units :] + gates["input"] * gates["candidate"]
        return jnp.concatenate([gates["output"] * tanh(following / 2), following])


@cell_type(static=("reset", "gate_activation", "activation"))
class GRU:
    """Gated recurrent unit: h⁺ = (1 − z) n + z h, z = σ(·) the update gate, r = σ(·) the reset gate.

    reset "after" (cuDNN, PyTorch, Keras): n = tanh(W_in u + b_n + r (W_n h + b_h)).
    reset "before" (Cho et al.): n = tanh(W_in u + b_n + W_n (r h)).

    Args:
        W: recurrent weights of r, z, n, shape (3 n, n).
        b: bias, shape (3 n,).
        W_in: input weights, shape (3 n, inputs), or ``None``.
        b_hidden: b_h, shape (n,), with reset "after"; 0 by default.
        reset: "after" or "before" the recurrent product.
        gate_activation, activation: as ``LSTM``, in the places of σ and tanh.

    Raises:
        TypeError, ValueError: shapes that do not fit, values that are not finite, another reset, b_hidden with
            reset "before", an unknown activation.

    Reference: K. Cho et al., EMNLP 2014.
    """

    longer_memory: ClassVar[str] = "a larger bias of the update gate"

    W: Float[Array, "3*n n"]
    b: Float[Array, " 3*n"]
    W_in: Float[Array, "3*n m"] | None
    b_hidden: Float[Array, " n"] | None
    reset: str
    gate_activation: Activation = logistic
    activation: Activation = hyperbolic

    def __init__(
        self,
        W: Any,
        b: Any,
        W_in: Any = None,
        b_hidden: Any = None,
        reset: str = "after",
        *,
        gate_activation: Any = "sigmoid",
        activation: Any = "tanh",
    ) -> None:
        fields = weights(W, b, W_in, gates=3)
        choice("reset", reset, ("after", "before"))
        if b_hidden is not None:
            if reset == "before":
                raise ValueError('b_hidden: expected None with reset "before", where it is part of b')
            W = fields["W"]
            b_hidden = real_array("b_hidden", b_hidden, shape=(W.shape[1],)).astype(W.dtype)
        chosen = _functions(gate_activation, activation)
        set_fields(self, **fields, b_hidden=b_hidden, reset=reset, **chosen)

    @property
    def units(self) -> int:
        """The number of units, n."""
        return self.W.shape[1]

    def carries(self, x: Float[Array, " n"], u: Any = None) -> dict[str, Float[Array, " n"]]:
        """What each unit keeps of its memory at fixed gates: the update gate."""
        return {"update": _size(self, self.gates(x, u)["update"])}

    @property
    def gate_rows(self) -> dict[str, tuple[str, ...]]:
        """The gates whose rows each parameter holds, in their order."""
        three = ("reset", "update", "candidate")
        return {"W": three, "b": three, "W_in": three, "b_hidden": ("candidate",)}

    def gates(self, x: Float[Array, " n"], u: Any = None) -> dict[str, Float[Array, " n"]]:
        """Reset and update gate and the candidate of the step from x."""
        n = self.units
        driven = drive(self.b, self.W_in, u).reshape(3, n)
        if self.reset == "after":
            recurrent = dot(self.W, x).reshape(3, n)
            r, z = self.gate_activation(driven[:2] + recurrent[:2])
            last = recurrent[2] if self.b_hidden is None else recurrent[2] + self.b_hidden
            return {"reset": r, "update": z, "candidate": self.activation(driven[2] + r * last)}
        r, z = self.gate_activation(driven[:2] + dot(self.W[: 2 * n], x).reshape(2, n))
        return {
            "reset": r,
            "update": z,
            "candidate": self.activation(driven[2] + dot(self.W[2 * n :], r * x)),
        }

    def __call__(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        gates = self.gates(x, u)
        return (1 - gates["update"]) * gates["candidate"] + gates["update"] * x


@cell_type()
class MinimalGatedUnit:
    """One gate for both: f = σ(W_f h + ·), h⁺ = (1 − f) h + f tanh(W_h (f h) + ·).

    Args:
        W: recurrent weights of f and the candidate, shape (2 n, n).
        b, W_in: with 2 n rows.

    Raises:
        TypeError, ValueError: shapes that do not fit, values that are not finite.

    Reference: G.-B. Zhou, J. Wu, C.-L. Zhang, Z.-H. Zhou, Int. Journal of Automation and Computing 13, 2016.
    """

    longer_memory: ClassVar[str] = "a smaller bias of its gate"

    W: Float[Array, "2*n n"]
    b: Float[Array, " 2*n"]
    W_in: Float[Array, "2*n m"] | None

    def __init__(self, W: Any, b: Any, W_in: Any = None) -> None:
        set_fields(self, **weights(W, b, W_in, gates=2))

    @property
    def units(self) -> int:
        """The number of units, n."""
        return self.W.shape[1]

    def carries(self, x: Float[Array, " n"], u: Any = None) -> dict[str, Float[Array, " n"]]:
        """What each unit keeps of its memory at fixed gates: 1 − f."""
        return {"forget": 1 - self.gates(x, u)["forget"]}

    @property
    def gate_rows(self) -> dict[str, tuple[str, ...]]:
        """The gates whose rows each parameter holds, in their order."""
        return dict.fromkeys(("W", "b", "W_in"), ("forget", "candidate"))

    def gates(self, x: Float[Array, " n"], u: Any = None) -> dict[str, Float[Array, " n"]]:
        """The gate and the candidate of the step from x."""
        n = self.units
        driven = drive(self.b, self.W_in, u).reshape(2, n)
        f = sigmoid(driven[0] + dot(self.W[:n], x))
        return {"forget": f, "candidate": tanh(driven[1] + dot(self.W[n:], f * x))}

    def __call__(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        gates = self.gates(x, u)
        return (1 - gates["forget"]) * x + gates["forget"] * gates["candidate"]


@cell_type()
class MinimalRNN:
    """h⁺ = g h + (1 − g) z with z = tanh(W_in u + b_in), g = σ(W h + V z + b).

    Args:
        W: recurrent weights of the gate, shape (n, n).
        V: weights from z to the gate, shape (n, n).
        b: bias of the gate, shape (n,).
        W_in: input weights, shape (n, inputs); ``None`` for a network without input.
        b_in: bias of z, shape (n,).

    Raises:
        TypeError, ValueError: shapes that do not fit, values that are not finite.

    Reference: M. Chen, arXiv 1711.06788.
    """

    longer_memory: ClassVar[str] = "a larger bias of the update gate"

    W: Float[Array, "n n"]
    V: Float[Array, "n n"]
    b: Float[Array, " n"]
    W_in: Float[Array, "n m"] | None
    b_in: Float[Array, " n"]

    def __init__(self, W: Any, V: Any, b: Any, W_in: Any = None, b_in: Any = None) -> None:
        n = shape_of("W", W, ndim=2)[1]
        fields = {
            "W": W,
            "V": V,
            "b": b,
            "b_in": jnp.zeros(n, real_array("W", W).dtype) if b_in is None else b_in,
        }
        shapes = {"W": (n, n), "V": (n, n), "b": (n,), "b_in": (n,)}
        if W_in is not None:
            fields["W_in"], shapes["W_in"] = W_in, (n, None)
        for name, value in fields.items():
            shape_of(name, value, shape=shapes[name])
        arrays = dict(zip(fields, real_arrays(**fields), strict=True))
        set_fields(self, **({"W_in": None} | arrays))

    @property
    def units(self) -> int:
        """The number of units, n."""
        return self.W.shape[1]

    def carries(self, x: Float[Array, " n"], u: Any = None) -> dict[str, Float[Array, " n"]]:
        """What each unit keeps of its memory at fixed gates: the update gate."""
        return {"update": self.gates(x, u)["update"]}

    @property
    def gate_rows(self) -> dict[str, tuple[str, ...]]:
        """The gates whose rows each parameter holds, in their order."""
        gate, encoded = ("update",), ("candidate",)
        return {"W": gate, "V": gate, "b": gate, "W_in": encoded, "b_in": encoded}

    def gates(self, x: Float[Array, " n"], u: Any = None) -> dict[str, Float[Array, " n"]]:
        """The gate and the encoded input of the step from x."""
        z = tanh(drive(self.b_in, self.W_in, u))
        return {"update": sigmoid(dot(self.W, x) + dot(self.V, z) + self.b), "candidate": z}

    def __call__(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        gates = self.gates(x, u)
        return gates["update"] * x + (1 - gates["update"]) * gates["candidate"]
