"""Piecewise-linear networks, and the one form that every piecewise-linear cell here has."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.activations import Activation, relu
from rnn_dynamics.cells.pytree import cell_type, set_fields
from rnn_dynamics.cells.vanilla import ElmanRNN, LeakyRNN, PreActivationRNN, dot, drive
from rnn_dynamics.numerics.validation import real_arrays, shape_of


def _fields(inner: str, **named: Any) -> dict[str, Any]:
    """Arrays of one dtype, shapes checked against the n units of A and the k hidden ones of ``inner``."""
    n = shape_of("A", named["A"], ndim=1)[0]
    if not n:
        raise ValueError("A: expected at least one unit, got shape (0,)")
    if inner == "W":
        shapes: dict[str, tuple[int | None, ...]] = {"W": (n, n), "h": (n,)}
    else:
        hidden = shape_of("W2", named["W2"], ndim=2)[0]
        shapes = {"W1": (n, hidden), "W2": (hidden, n), "h1": (n,), "h2": (hidden,)}
    absent = [name for name, value in named.items() if value is None]
    for name, shape in (shapes | {"W_in": (n, None)}).items():
        if name not in absent:
            shape_of(name, named[name], shape=shape)
    given = {name: value for name, value in named.items() if value is not None}
    return dict(zip(given, real_arrays(**given), strict=True)) | dict.fromkeys(absent)


@cell_type()
class PiecewiseLinearRNN:
    """z⁺ = A∘z + W φ(z) + h + W_in u with φ = max(0, ·); ∂z⁺/∂z = diag A + W diag φ′(z).

    Args:
        A: decay of each unit, shape (n,).
        W: weights, shape (n, n).
        h: bias, shape (n,).
        W_in: input weights, shape (n, inputs); ``None`` for a network without input.

    Raises:
        TypeError, ValueError: shapes that do not fit, values that are not finite.

    Reference: L. Eisenmann, Z. Monfared, N. Göring, D. Durstewitz, "Bifurcations and loss jumps in RNN training",
    NeurIPS 2023, equation 2.
    """

    A: Float[Array, " n"]
    W: Float[Array, "n n"]
    h: Float[Array, " n"]
    W_in: Float[Array, "n m"] | None

    def __init__(self, A: Any, W: Any, h: Any, W_in: Any = None) -> None:
        set_fields(self, **_fields("W", A=A, W=W, h=h, W_in=W_in))

    def __call__(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        return self.A * x + dot(self.W, relu(x)) + drive(self.h, self.W_in, u)

    def jacobian(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, "n n"]:
        """∂z⁺/∂z = diag A + W diag φ′(z), with φ′(0) = 0."""
        return jnp.diag(self.A) + self.W * relu.slope(x)[None, :]


@cell_type()
class ShallowPiecewiseLinearRNN:
    """z⁺ = A∘z + W₁ φ(W₂ z + h₂) + h₁ + W_in u with φ = max(0, ·); ∂z⁺/∂z = diag A + W₁ diag φ′(·) W₂.

    Args:
        A: decay of each unit, shape (n,).
        W1: weights from the k hidden units, shape (n, k).
        W2: weights to the hidden units, shape (k, n).
        h1: bias, shape (n,).
        h2: bias of the hidden units, shape (k,).
        W_in: input weights, shape (n, inputs); ``None`` for a network without input.

    Raises:
        TypeError, ValueError: shapes that do not fit, values that are not finite.

    Reference: F. Hess, Z. Monfared, M. Brenner, D. Durstewitz, "Generalized teacher forcing for learning chaotic
    dynamics", ICML 2023.
    """

    A: Float[Array, " n"]
    W1: Float[Array, "n k"]
    W2: Float[Array, "k n"]
    h1: Float[Array, " n"]
    h2: Float[Array, " k"]
    W_in: Float[Array, "n m"] | None

    def __init__(self, A: Any, W1: Any, W2: Any, h1: Any, h2: Any, W_in: Any = None) -> None:
        set_fields(self, **_fields("W2", A=A, W1=W1, W2=W2, h1=h1, h2=h2, W_in=W_in))

    @property
    def units(self) -> int:
        """The number of units, n."""
        return self.A.shape[0]

    def __call__(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        hidden = relu(dot(self.W2, x) + self.h2)
        return self.A * x + dot(self.W1, hidden) + drive(self.h1, self.W_in, u)

    def jacobian(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, "n n"]:
        """∂z⁺/∂z = diag A + W₁ diag φ′(W₂ z + h₂) W₂, with φ′(0) = 0."""
        slopes = relu.slope(dot(self.W2, x) + self.h2)
        return jnp.diag(self.A) + dot(self.W1 * slopes[None, :], self.W2)


class PiecewiseLinearForm(NamedTuple):
    """z⁺ = decay∘z + outer φ(inner z + threshold) + offset, φ of slope 1 above 0 and ``slope`` below.

    Attributes:
        decay: shape (n,).
        outer: shape (n, k).
        inner: shape (k, n).
        threshold: shape (k,).
        offset: shape (n,).
        slope: of φ below 0.
    """

    decay: Float[Array, " n"]
    outer: Float[Array, "n k"]
    inner: Float[Array, "k n"]
    threshold: Float[Array, " k"]
    offset: Float[Array, " n"]
    slope: Float[Array, ""]


def _lower_slope(activation: Activation) -> float | None:
    """The slope below 0 of an activation of two slopes; ``None`` for others."""
    if activation is activations.linear:
        return 1.0
    if activation is relu or activation.name.startswith("leaky_relu("):
        return -float(activation.function(jnp.asarray(-1.0)))
    return None


def piecewise_linear_form(cell: Any, u: Any = None) -> PiecewiseLinearForm:
    """A piecewise-linear cell under a held input in the one form that region-by-region solutions use.

    Args:
        cell: ``PiecewiseLinearRNN``, ``ShallowPiecewiseLinearRNN``, or an ``ElmanRNN``, ``LeakyRNN`` or
            ``PreActivationRNN`` with "relu", "leaky_relu" or "linear".
        u: the input, held; ``None`` for none.

    Raises:
        TypeError: another cell, or another activation.
    """
    if isinstance(cell, PiecewiseLinearRNN | ShallowPiecewiseLinearRNN):
        bias = cell.h if isinstance(cell, PiecewiseLinearRNN) else cell.h1
        offset, slope = drive(bias, cell.W_in, u), jnp.zeros((), cell.A.dtype)
        if isinstance(cell, ShallowPiecewiseLinearRNN):
            return PiecewiseLinearForm(cell.A, cell.W1, cell.W2, cell.h2, offset, slope)
        identity = jnp.eye(cell.A.size, dtype=cell.A.dtype)
        return PiecewiseLinearForm(cell.A, cell.W, identity, jnp.zeros_like(cell.A), offset, slope)
    if not isinstance(cell, ElmanRNN | LeakyRNN | PreActivationRNN):
        raise TypeError(f"cell: expected a piecewise-linear cell, got {type(cell).__name__}")
    below = _lower_slope(cell.activation)
    if below is None:
        raise TypeError(f"cell: expected a piecewise-linear activation, got {cell.activation.name!r}")
    bias, nothing = drive(cell.b, cell.W_in, u), jnp.zeros_like(cell.b)
    identity, slope = jnp.eye(cell.b.size, dtype=cell.b.dtype), jnp.asarray(below, cell.b.dtype)
    if isinstance(cell, PreActivationRNN):
        return PiecewiseLinearForm(nothing, cell.W, identity, nothing, bias, slope)
    leak = cell.leak if isinstance(cell, LeakyRNN) else jnp.ones((), cell.b.dtype)
    return PiecewiseLinearForm(nothing + (1 - leak), leak * identity, cell.W, bias, nothing, slope)
