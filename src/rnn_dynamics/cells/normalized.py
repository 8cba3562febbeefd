"""Recurrent cells with normalised inputs of their units, over units or over a batch, and with learned slopes."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.cells.pytree import cell_type, set_fields
from rnn_dynamics.cells.vanilla import dot, drive, weights
from rnn_dynamics.numerics.validation import positive, real_array

_HIGHEST = jax.lax.Precision.HIGHEST


def _of_units(name: str, value: Any, default: float, W: Array) -> Float[Array, " n"]:
    """One number for each unit, from one for all or from as many."""
    value = default if value is None else value
    array = real_array(name, value).astype(W.dtype)
    if array.shape not in ((), W.shape[1:]):
        raise ValueError(f"{name}: expected one number or {W.shape[1]}, got shape {array.shape}")
    return jnp.broadcast_to(array, W.shape[1:])


def _fields(W: Any, b: Any, W_in: Any, activation: Any, epsilon: float, **gains: tuple[Any, float]) -> dict:
    """The fields of a normalising cell, checked; of each gain what was given, and its default."""
    fields = weights(W, b, W_in)
    of_units = {name: _of_units(name, *gain, fields["W"]) for name, gain in gains.items()}
    chosen = {"activation": activations.get(activation), "epsilon": positive("epsilon", epsilon)}
    return fields | of_units | chosen


def _normalized(z: Array, epsilon: float, axis: int) -> Array:
    """(z − mean z)/√(var z + ε) over an axis."""
    centred = z - jnp.mean(z, axis=axis, keepdims=True)
    return centred / jnp.sqrt(jnp.mean(jnp.square(centred), axis=axis, keepdims=True) + epsilon)


@cell_type(static=("activation", "epsilon"))
class LayerNormRNN:
    """x⁺ = φ(g ∘ ẑ + b), ẑ = (z − mean z)/√(var z + ε) over the units of z = W x + W_in u.

    A factor on W and W_in, or a constant added to all z, changes nothing but for ε.

    Args:
        W, b, W_in, activation: as ``ElmanRNN``.
        gain: g, one number or n of them; 1 by default.
        epsilon: ε > 0.

    Raises:
        TypeError, ValueError: as ``ElmanRNN``; a gain of another shape; ε ≤ 0.

    Reference: J. Ba, J. Kiros, G. Hinton, arXiv 1607.06450, equation 4.
    """

    W: Float[Array, "n n"]
    b: Float[Array, " n"]
    W_in: Float[Array, "n m"] | None
    gain: Float[Array, " n"]
    activation: Activation
    epsilon: float

    def __init__(
        self,
        W: Any,
        b: Any,
        W_in: Any = None,
        *,
        gain: Any = None,
        activation: Any = "tanh",
        epsilon: float = 1e-5,
    ) -> None:
        set_fields(self, **_fields(W, b, W_in, activation, epsilon, gain=(gain, 1.0)))

    def __call__(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        z = dot(self.W, x) + drive(jnp.zeros_like(self.b), self.W_in, u)
        return self.activation(self.gain * _normalized(z, self.epsilon, 0) + self.b)


@cell_type()
class PReLURNN:
    """x⁺ = φ(W x + W_in u + b), φ_i(z) = z for z > 0 and a_i z elsewhere, a_i learned for each unit.

    Args:
        W, b, W_in: as ``ElmanRNN``.
        slope: a, one number or n of them; ¼ by default.

    Raises:
        TypeError, ValueError: as ``ElmanRNN``; a slope of another shape.

    Reference: K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", ICCV 2015.
    """

    W: Float[Array, "n n"]
    b: Float[Array, " n"]
    W_in: Float[Array, "n m"] | None
    slope: Float[Array, " n"]

    def __init__(self, W: Any, b: Any, W_in: Any = None, *, slope: Any = None) -> None:
        fields = weights(W, b, W_in)
        set_fields(self, **fields, slope=_of_units("slope", slope, 0.25, fields["W"]))

    def _input(self, x: Float[Array, " n"], u: Any) -> Float[Array, " n"]:
        return dot(self.W, x) + drive(self.b, self.W_in, u)

    def __call__(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        z = self._input(x, u)
        return jnp.where(z > 0, z, self.slope * z)

    def slopes(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        """φ′ at every unit, 1 or a: the diagonal of D in ∂x⁺/∂x = D W; at 0 the left one."""
        return jnp.where(self._input(x, u) > 0, 1, self.slope)

    def jacobian(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, "n n"]:
        """∂x⁺/∂x = diag φ′(W x + W_in u + b) W."""
        return self.slopes(x, u)[:, None] * self.W


@cell_type(static=("activation", "epsilon"))
class BatchNormRNN:
    """X⁺ = φ(g ∘ N(X Wᵀ) + g′ ∘ N(U W_inᵀ) + b), N the normalisation of each unit over the batch, at each step.

    N(Z) = (Z − mean Z)/√(var Z + ε). The sequences of a batch act on one another, so that this is a map of a batch
    of states, ``over_batch``, and none of one. A test takes the statistics of its own batch at each step, not means
    kept from training.

    Args:
        W, b, W_in, activation: as ``ElmanRNN``.
        gain: g, one number or n of them; 0.1 by default, so that tanh stays off saturation.
        input_gain: g′, likewise.
        epsilon: ε > 0.

    Raises:
        TypeError, ValueError: as ``ElmanRNN``; gains of another shape; ε ≤ 0.

    Reference: T. Cooijmans, N. Ballas, C. Laurent, Ç. Gülçehre, A. Courville, ICLR 2017.
    """

    W: Float[Array, "n n"]
    b: Float[Array, " n"]
    W_in: Float[Array, "n m"]
    gain: Float[Array, " n"]
    input_gain: Float[Array, " n"]
    activation: Activation
    epsilon: float

    def __init__(
        self,
        W: Any,
        b: Any,
        W_in: Any,
        *,
        gain: Any = None,
        input_gain: Any = None,
        activation: Any = "tanh",
        epsilon: float = 1e-5,
    ) -> None:
        if W_in is None:
            raise ValueError("W_in: expected input weights, as equal sequences normalise to 0, got None")
        gains = {"gain": (gain, 0.1), "input_gain": (input_gain, 0.1)}
        set_fields(self, **_fields(W, b, W_in, activation, epsilon, **gains))

    @property
    def units(self) -> int:
        """The number of units, n."""
        return self.W.shape[-1]

    def over_batch(self, x: Float[Array, "batch n"], u: Float[Array, "batch m"]) -> Float[Array, "batch n"]:
        """The states of a batch after one step."""
        back = _normalized(jnp.matmul(x, self.W.T, precision=_HIGHEST), self.epsilon, 0)
        driven = _normalized(jnp.matmul(u, self.W_in.T, precision=_HIGHEST), self.epsilon, 0)
        return self.activation(self.gain[None] * back + self.input_gain[None] * driven + self.b[None])
