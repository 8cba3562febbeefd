"""Networks of one layer: Pascanu's pre-activation form, Elman's post-activation form, and the leaky form."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.cells.declared import RecurrentStructure
from rnn_dynamics.cells.pytree import cell_type, set_fields
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.numerics.validation import fraction, real_array, real_arrays, shape_of

_HIGHEST = jax.lax.Precision.HIGHEST


def dot(matrix: Float[Array, "*rows m"], vector: Float[Array, "m *columns"]) -> Float[Array, "..."]:
    """The product of matrices or vectors, in the precision of their dtype."""
    return jnp.matmul(matrix, vector, precision=_HIGHEST)


def weights(W: Any, b: Any, W_in: Any, *, gates: int = 1) -> dict[str, Any]:
    """The weights of as many gates on top of one another, of one dtype: (g n, n), (g n,) and (g n, inputs)."""
    rows, units = shape = shape_of("W", W, ndim=2)
    if not units or rows != gates * units:
        form = "a square matrix" if gates == 1 else f"{gates} square matrices on top of one another"
        hint = ": W.T has that form" if gates > 1 and units == gates * rows else ""
        raise ValueError(f"W: expected {form} with at least one unit, got shape {shape}{hint}")
    _check_form("b", b, (rows,))
    if W_in is None:
        W, b = real_arrays(W=W, b=b)
        return {"W": W, "b": b, "W_in": None}
    _check_form("W_in", W_in, (rows, None))
    W, b, W_in = real_arrays(W=W, b=b, W_in=W_in)
    return {"W": W, "b": b, "W_in": W_in}


def _check_form(name: str, value: Any, shape: tuple[int | None, ...]) -> None:
    """``shape_of`` with a word on the forms that other programs give."""
    try:
        shape_of(name, value, shape=shape)
    except ValueError as error:
        got = np.shape(value) if hasattr(value, "shape") else ()
        if len(shape) == 1 and len(got) == 2 and 1 in got and shape[0] in got:
            raise ValueError(f"{error}: {name}.ravel() has that shape") from None
        if len(shape) == 2 and len(got) == 2 and got[1] == shape[0]:
            raise ValueError(f"{error}: {name}.T has that shape") from None
        raise


def drive(b: Float[Array, " n"], W_in: Float[Array, "n m"] | None, u: Any) -> Float[Array, " n"]:
    """W_in u + b, or b where there is no input."""
    if u is None:
        return b
    if W_in is None:
        raise ValueError("inputs: this cell has no W_in, expected None")
    return dot(W_in, jnp.asarray(u, W_in.dtype)) + b


def slope(activation: Activation, z: Float[Array, " n"]) -> Float[Array, " n"]:
    """φ′(z); of a user's φ right in saturation too, where JAX's own ``tanh`` and ``logistic`` give 0."""
    if activation.derivative is not None:
        return activation.derivative(z)
    return jax.jvp(exact_slopes(activation.function), (z,), (jnp.ones_like(z),))[1]


@cell_type(static=("activation",))
class PreActivationRNN:
    """x⁺ = W φ(x) + W_in u + b, the form of Pascanu, Mikolov and Bengio; ∂x⁺/∂x = W diag φ′(x).

    Args:
        W: recurrent weights, shape (n, n).
        b: bias, shape (n,).
        W_in: input weights, shape (n, inputs); ``None`` for a network without input.
        activation: "logistic", "tanh", "relu", "leaky_relu", "linear", an ``Activation``, or a function,
            which then declares no slope bound.

    Raises:
        TypeError, ValueError: shapes that do not fit, values that are not finite, an unknown activation.

    Reference: arXiv 1211.5063, equation 2.
    """

    W: Float[Array, "n n"]
    b: Float[Array, " n"]
    W_in: Float[Array, "n m"] | None
    activation: Activation

    def __init__(self, W: Any, b: Any, W_in: Any = None, activation: Any = "logistic") -> None:
        set_fields(self, **weights(W, b, W_in), activation=activations.get(activation))

    def __call__(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        return dot(self.W, self.activation(x)) + drive(self.b, self.W_in, u)

    def slopes(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        """φ′ at every unit: the diagonal of D in ∂x⁺/∂x = W D."""
        return slope(self.activation, x)

    def jacobian(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, "n n"]:
        """∂x⁺/∂x = W diag φ′(x)."""
        return self.W * self.slopes(x, u)[None, :]

    def structure(self) -> RecurrentStructure:
        """W and the slope bound γ of the activation."""
        return RecurrentStructure(self.W, self.activation.slope_bound)


@cell_type(static=("activation",))
class ElmanRNN:
    """x⁺ = φ(W x + W_in u + b), Elman's form; ∂x⁺/∂x = diag φ′(W x + W_in u + b) W.

    Arguments, errors: as ``PreActivationRNN``; the activation is "tanh" by default.

    Reference: J. Elman, "Finding structure in time", Cognitive Science 14, 1990.
    """

    W: Float[Array, "n n"]
    b: Float[Array, " n"]
    W_in: Float[Array, "n m"] | None
    activation: Activation

    def __init__(self, W: Any, b: Any, W_in: Any = None, activation: Any = "tanh") -> None:
        set_fields(self, **weights(W, b, W_in), activation=activations.get(activation))

    def _input(self, x: Float[Array, " n"], u: Any) -> Float[Array, " n"]:
        return dot(self.W, x) + drive(self.b, self.W_in, u)

    def __call__(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        return self.activation(self._input(x, u))

    def slopes(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        """φ′ at every unit: the diagonal of D in ∂x⁺/∂x = D W."""
        return slope(self.activation, self._input(x, u))

    def jacobian(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, "n n"]:
        """∂x⁺/∂x = diag φ′(W x + W_in u + b) W."""
        return self.slopes(x, u)[:, None] * self.W

    def structure(self) -> RecurrentStructure:
        """W and the slope bound γ of the activation."""
        return RecurrentStructure(self.W, self.activation.slope_bound)


@cell_type(static=("activation",))
class LeakyRNN:
    """x⁺ = (1−α) x + α φ(W x + W_in u + b); ∂x⁺/∂x = (1−α) I + α diag φ′(·) W.

    Args:
        W, b, W_in, activation: as ``ElmanRNN``.
        leak: α in (0, 1], the fraction that is replaced in each step; 1 gives ``ElmanRNN``.

    Raises:
        TypeError, ValueError: as ``ElmanRNN``; ValueError where α leaves (0, 1].

    Reference: H. Jaeger et al., "Optimization and applications of echo state networks with leaky-integrator
    neurons", Neural Networks 20, 2007.
    """

    W: Float[Array, "n n"]
    b: Float[Array, " n"]
    W_in: Float[Array, "n m"] | None
    leak: Float[Array, ""]
    activation: Activation

    def __init__(self, W: Any, b: Any, W_in: Any = None, leak: Any = 0.5, activation: Any = "tanh") -> None:
        fields = weights(W, b, W_in)
        leak = fraction("leak", real_array("leak", leak, ndim=0).astype(fields["W"].dtype))
        set_fields(self, **fields, leak=leak, activation=activations.get(activation))

    @property
    def carry(self) -> Float[Array, ""]:
        """The part of x that passes the branch by: c in ∂x⁺/∂x = c I + A, 1 − α."""
        return 1 - self.leak

    def _input(self, x: Float[Array, " n"], u: Any) -> Float[Array, " n"]:
        return dot(self.W, x) + drive(self.b, self.W_in, u)

    def __call__(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        return self.carry * x + self.branch(x, u)

    def branch(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        """α φ(W x + W_in u + b)."""
        return self.leak * self.activation(self._input(x, u))

    def carries(self, x: Float[Array, " n"], u: Any = None) -> dict[str, Float[Array, " n"]]:
        """What each unit keeps of its memory: 1 − α."""
        return {"leak": jnp.broadcast_to(self.carry, x.shape)}

    def slopes(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        """φ′ at every unit: the diagonal of D in ∂x⁺/∂x = (1−α) I + α D W."""
        return slope(self.activation, self._input(x, u))

    def jacobian(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, "n n"]:
        """∂x⁺/∂x = (1−α) I + α diag φ′(W x + W_in u + b) W."""
        identity = jnp.eye(self.W.shape[0], dtype=self.W.dtype)
        return (1 - self.leak) * identity + (self.leak * self.slopes(x, u))[:, None] * self.W

    def structure(self) -> RecurrentStructure:
        """W, the slope bound γ of the activation, and the leak."""
        return RecurrentStructure(self.W, self.activation.slope_bound, self.leak)
