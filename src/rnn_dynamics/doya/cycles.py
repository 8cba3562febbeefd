"""The attracting 2-cycle of the neuron at ε = 1, w < −4, between its flips."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from rnn_dynamics.cells.activations import sigmoid, sigmoid_derivative
from rnn_dynamics.doya.bifurcations import offset, one_pair, turning
from rnn_dynamics.numerics import double_double as dd
from rnn_dynamics.numerics.batching import elementwise, is_plain
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.validation import broadcast_arrays


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TwoCycle(Result):
    """The attracting 2-cycle of each neuron with ε = 1.

    Attributes:
        x: its two states, ascending, shape (…, 2); NaN where there is none.
        multiplier: w² σ′(w x₁ + b) σ′(w x₂ + b), shape (…).
    """

    x: Float[Array, "... 2"]
    multiplier: Float[Array, "..."]

    _axes: ClassVar = {"...": "grid"}


def _preimage(x: Array, w: Array, b: Array) -> dd.Pair:
    """(logit x − b)/w, the state whose image is x."""
    return dd.divide(dd.subtract(dd.logit(x), dd.pair(b)), dd.pair(w))


def _below_the_cycle(x: Array, w: Array, b: Array) -> Bool[Array, "..."]:
    """Whether F⁻¹(x) > F(x) and F⁻¹(x) > x, free of exponentials.

    As F decreases, the first says F(F(x)) > x and the second that x lies below the equilibrium: together, that
    x lies below the lower state of the cycle.
    """
    before = _preimage(x, w, b)
    low = dd.subtract(before, dd.pair(x)).hi > 0
    beyond = dd.subtract(before, one_pair(w)).hi >= 0
    half = jnp.full_like(w, 0.5)
    inner = dd.Pair(jnp.where(beyond, half, before.hi), jnp.where(beyond, 0.0, before.lo))
    logit = dd.log_quotient(inner, dd.subtract(one_pair(w), inner))
    excess = dd.subtract(dd.subtract(logit, dd.two_prod(w, x)), dd.pair(b)).hi
    return low & (beyond | (excess > 0))


def _seems_below_the_cycle(x: Array, w: Array, b: Array) -> Bool[Array, "..."]:
    """``_below_the_cycle`` in plain floats, wrong where rounding decides."""
    before = (jnp.log(x / (1 - x)) - b) / w
    inner = jnp.where(before < 1, before, jnp.full_like(before, 0.5))
    excess = jnp.log(inner / (1 - inner)) - w * x - b
    return (before > x) & ((before >= 1) | (excess > 0))


class _Search(NamedTuple):
    """Floats as integers: the cycle's lower state is at ``low`` or above it, below ``high``; ``at`` is tried next.

    While one of the ends is still the first one, steps from the other end grow.
    """

    low: Array
    high: Array
    at: Array
    step: Array
    raised: Array
    lowered: Array

    def told(self, below: Array) -> "_Search":
        low, high = jnp.where(below, self.at, self.low), jnp.where(below, self.high, self.at)
        raised, lowered = self.raised | below, self.lowered | ~below
        middle = low + (high - low) // 2
        away = jnp.where(
            below,
            jnp.minimum(low, high - self.step) + self.step,
            jnp.maximum(high, low + self.step) - self.step,
        )
        at = jnp.where(raised & lowered, middle, away)
        at = jnp.where((at > low) & (at < high), at, middle)
        most = (high - low) // 8 + 1
        return _Search(low, high, at, jnp.minimum(self.step, most) * 8, raised, lowered)


def _lower_state(w: Array, b: Array) -> Array:
    """The float at the lower state of the cycle: where plain floats have it, then by halving what is left."""
    kind = {4: jnp.int32, 8: jnp.int64}[w.dtype.itemsize]

    def floats(bits: Array) -> Array:
        return jax.lax.bitcast_convert_type(bits, w.dtype)

    def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = low + (high - low) // 2
        below = _seems_below_the_cycle(floats(middle), w, b)
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    least = jax.lax.bitcast_convert_type(jnp.full_like(w, float(jnp.finfo(w.dtype).tiny)), kind)
    most = jax.lax.bitcast_convert_type(jnp.ones_like(w), kind)
    guess, _ = jax.lax.fori_loop(0, 8 * w.dtype.itemsize, halve, (least, most))
    guess = jnp.clip(guess, least + 1, most - 1)
    no = jnp.full(w.shape, False)
    first = _Search(least, most, guess, jnp.full_like(least, 4), no, no)
    found = jax.lax.while_loop(
        lambda search: jnp.any(search.high - search.low > 1),
        lambda search: search.told(_below_the_cycle(floats(search.at), w, b)),
        first,
    )
    return jnp.where(found.high - least <= 1, 0.0, floats(found.low))


@jax.custom_jvp
def _cycle_states(w: Array, b: Array) -> tuple[Array, Array]:
    """Return both states, NaN where there is no 2-cycle."""
    one = jnp.ones_like(w)
    flip = turning(w, one)
    within = dd.subtract(dd.absolute(offset(w, b)), flip.half_width).hi < 0
    inside = (w < 0) & flip.exists & within
    safe_w, safe_b = jnp.where(inside, w, -8 * one), jnp.where(inside, b, 4 * one)
    low = _lower_state(safe_w, safe_b)
    above_zero = low > 0
    back = _preimage(jnp.where(above_zero, low, 0.25 * one), safe_w, safe_b).hi
    high = jnp.where(above_zero, back, sigmoid(safe_b))
    hole = jnp.full_like(w, jnp.nan)
    return jnp.where(inside, low, hole), jnp.where(inside, high, hole)


@_cycle_states.defjvp
def _cycle_states_jvp(primals: tuple, tangents: tuple) -> tuple:
    (w, b), (dw, db) = primals, tangents
    low, high = _cycle_states(w, b)
    known = ~jnp.isnan(low)
    # Without a cycle nothing depends on anything; NaN coefficients would spread from a zero cotangent.
    x, y = (jnp.where(known, state, jnp.full_like(w, 0.5)) for state in (low, high))
    at_low, at_high = sigmoid_derivative(w * y + b), sigmoid_derivative(w * x + b)
    moved_low, moved_high = at_low * (y * dw + db), at_high * (x * dw + db)
    room = jnp.where(known, 1 - jnp.square(w) * at_low * at_high, jnp.ones_like(w))
    tangents = (moved_low + at_low * w * moved_high, moved_high + at_high * w * moved_low)
    return (low, high), tuple(jnp.where(known, t / room, jnp.zeros_like(t)) for t in tangents)


@elementwise
def _two_cycle(w: Array, b: Array) -> TwoCycle:
    low, high = _cycle_states(w, b)
    slopes = jnp.square(w) * sigmoid_derivative(w * high + b) * sigmoid_derivative(w * low + b)
    return TwoCycle(jnp.stack([low, high], axis=-1), slopes)


def two_cycle(w: Any, b: Any) -> TwoCycle:
    """The 2-cycle x₂ = σ(w x₁ + b), x₁ = σ(w x₂ + b) between the flips (ε = 1), where it attracts every orbit.

    Args:
        w: weight.
        b: bias; shapes broadcast.

    Returns:
        ``TwoCycle`` of the broadcast shape, NaN where there is no 2-cycle.

    Raises:
        TypeError, ValueError: not finite real numbers, shapes that do not broadcast.

    Reference: K. Doya, "Bifurcations in the learning of recurrent neural networks", ISCAS 1992.
    """
    w, b = broadcast_arrays(w=w, b=b)
    if is_plain([w, b]) and _has_none(np.asarray(w)):
        return jax.device_put(_no_cycle(np.asarray(w)))
    return _in_pairs(_two_cycle, w, b)


def two_cycle_on_host(w: np.ndarray, b: np.ndarray) -> TwoCycle:
    """``two_cycle`` of arrays of one shape and dtype, with NumPy's arrays in it."""
    return _no_cycle(w) if _has_none(w) else _in_pairs(_two_cycle.on_host, w, b)


def _has_none(w: np.ndarray) -> bool:
    return not (w < -4).any()  # no flips, so no cycle


def _no_cycle(w: np.ndarray) -> TwoCycle:
    states: Any = np.full((*w.shape, 2), np.nan, w.dtype)
    return TwoCycle(states, states[..., 0])


def _in_pairs(kernel: Any, w: Any, b: Any) -> TwoCycle:
    """The kernel's cycle; float32 numbers are exact in float64, whose pairs are used where JAX has them."""
    widest = np.dtype(jnp.result_type(float))
    found = kernel(w.astype(widest), b.astype(widest))
    return TwoCycle(found.x.astype(w.dtype), found.multiplier.astype(w.dtype))
