"""The attracting 2-cycle of the neuron at ε = 1, w < −4, between its flips.

With x* the equilibrium, z = w x + b and T(z) = tanh(z/2), one step takes the distance δ = z − z* to
φ(δ) = (w/2) tanh(δ/2) (1 − T(z*) T(z* + δ)), free of cancellation. The cycle is the root δ < 0 of
φ(φ(δ))/δ = 1, from which the equilibrium has been divided out.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics import double_double as dd
from rnn_dynamics.activations import sigmoid, sigmoid_derivative, tanh
from rnn_dynamics.doya.curves import flip_excess, flip_half_width, offset
from rnn_dynamics.doya.equilibria import branch_equilibria
from rnn_dynamics.roots import bracketed_root
from rnn_dynamics.validation import broadcast_arrays

__all__ = ["TwoCycle", "two_cycle"]


@functools.partial(jax.tree_util.register_dataclass, data_fields=["x", "multiplier"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class TwoCycle:
    """The attracting 2-cycle of each neuron with ε = 1.

    Attributes:
        x: its two states, ascending, shape (…, 2); NaN where there is none.
        multiplier: w² σ′(w x₁ + b) σ′(w x₂ + b), shape (…).
    """

    x: Float[Array, "... 2"]
    multiplier: Float[Array, "..."]


def _half_tanh_ratio(distance: Array) -> Array:
    """tanh(δ/2)/δ, ½ at 0."""
    small = jnp.abs(distance) < 1e-4
    safe = jnp.where(small, jnp.ones_like(distance), distance)
    return jnp.where(small, (1 - jnp.square(distance) / 12) / 2, tanh(safe / 2) / safe)


def _growth(distance: Array, w: Array, centre: Array) -> Array:
    """φ(δ)/δ. Where tanh a and tanh b agree in sign, with p = e^(−2|a|) and q = e^(−2|b|),

    1 − tanh a tanh b = 2 (p + q)/((1 + p)(1 + q)).
    """
    other = centre + distance
    tails = jnp.exp(-jnp.abs(centre)), jnp.exp(-jnp.abs(other))
    agreeing = 2 * (tails[0] + tails[1]) / ((1 + tails[0]) * (1 + tails[1]))
    opposed = 1 - tanh(centre / 2) * tanh(other / 2)
    overlap = jnp.where((centre > 0) == (other > 0), agreeing, opposed)
    return (w / 2) * _half_tanh_ratio(distance) * overlap


def _cycle_equation(distance: Array, w: Array, centre: Array) -> Array:
    """φ(φ(δ))/δ − 1."""
    once = _growth(distance, w, centre)
    return _growth(once * distance, w, centre) * once - 1


@jax.jit
def _two_cycle(w: Array, b: Array) -> TwoCycle:
    one = jnp.ones_like(w)
    _, has_flip = flip_excess(w, one)
    gap = dd.subtract(flip_half_width(w, one), dd.absolute(offset(w, b)))
    inside = has_flip & (gap.hi > 0)
    w, b = jnp.where(inside, w, -8 * one), jnp.where(inside, b, 4 * one)
    branches = branch_equilibria(w, b).z
    centre = jnp.where(jnp.isnan(branches[0]), branches[2], branches[0])
    # The lower state's z lies above w + b, the upper state's below b.
    low = jax.lax.stop_gradient((b + w) - centre) * (1 + 8 * float(jnp.finfo(w.dtype).eps))
    rising = jnp.ones(low.shape, bool)
    distance = bracketed_root(_cycle_equation, low, jnp.zeros_like(low), w, centre, rising=rising).value
    below, above = centre + distance, centre + _growth(distance, w, centre) * distance
    slopes = jnp.square(w) * sigmoid_derivative(below) * sigmoid_derivative(above)
    hole = jnp.full_like(w, jnp.nan)
    # w < 0: the larger z is the smaller next state, but σ itself rises, so x₁ = σ(below) is the lower.
    x = jnp.stack([jnp.where(inside, sigmoid(z), hole) for z in (below, above)], axis=-1)
    return TwoCycle(x, jnp.where(inside, slopes, hole))


def two_cycle(w: Any, b: Any) -> TwoCycle:
    """The 2-cycle x₂ = σ(w x₁ + b), x₁ = σ(w x₂ + b) between the flips (ε = 1), where it attracts every orbit.

    There F∘F increases and has a negative Schwarzian derivative, so the cycle is the only one. Close to a flip
    its distance from the equilibrium is known to about a rounding over (multiplier of the equilibrium)² − 1.

    Args:
        w: weight.
        b: bias; shapes broadcast.

    Returns:
        ``TwoCycle``, differentiable in w and b.

    Raises:
        TypeError, ValueError: not finite real numbers, shapes that do not broadcast.
    """
    return _two_cycle(*broadcast_arrays(w=w, b=b))
