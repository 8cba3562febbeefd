"""Where an orbit of the neuron ends, decided by an exact rule wherever one exists and never by waiting."""

import enum
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from rnn_dynamics import double_double as dd
from rnn_dynamics.activations import sigmoid, sigmoid_derivative
from rnn_dynamics.doya.curves import flip_excess, flip_half_width, fold_half_width, offset, one_minus, one_pair
from rnn_dynamics.doya.equilibria import curve
from rnn_dynamics.validation import broadcast_arrays, fraction

__all__ = ["Basin", "basin_label", "undecided_share"]


class Basin(enum.IntEnum):
    """The attractor that an orbit goes to.

    ========= ==================================================================================
    LOW       the lower of two stable equilibria
    HIGH      the upper of two stable equilibria
    ONLY      the one equilibrium there is
    BOUNDARY  it stays on the unstable equilibrium: exactly possible only at x₀ = ½, b = −w/2
    UNDECIDED no exact rule applied, or the enclosure of the unstable point contains x₀
    CYCLE     a cycle of period 2 or more
    CHAOS     a positive Lyapunov exponent, by many standard errors (evidence, not a proof)
    ========= ==================================================================================
    """

    LOW = 0
    HIGH = 1
    ONLY = 2
    BOUNDARY = 3
    UNDECIDED = 4
    CYCLE = 5
    CHAOS = 6


# The search for an attractor where no closed rule applies.
_SETTLING = 2000
_NEWTON_STEPS = 8
_BLOCKS, _BLOCK = 16, 256
_LONGEST_PERIOD = 16
_RADII = (2.0**-8, 2.0**-14, 2.0**-20, 2.0**-28, 2.0**-36)
_STANDARD_ERRORS = 8.0
_CURVATURE = 1 / (6 * 3**0.5)  # max |σ″|


def _sign(value: dd.Pair, size: Array) -> Int[Array, "..."]:
    """The sign of a pair whose error is relative to ``size``; 0 where it cannot be told."""
    bound = 4 * dd.precision(size.dtype) * size
    return jnp.where(value.hi > bound, 1, jnp.where(value.hi < -bound, -1, 0))


def _fold_side(w: Array, b: Array) -> Int[Array, "..."]:
    """1 where two equilibria are stable, −1 where there is one, 0 where double-double cannot tell."""
    c = dd.absolute(offset(w, b))
    width = fold_half_width(w)
    side = _sign(dd.subtract(width, c), jnp.abs(w) + jnp.abs(b))
    return jnp.where(w > 4, side, -1)


def _increasing(w: Array, b: Array, x0: Array) -> Int[Array, "..."]:
    """w > 0: the map increases, so an orbit moves monotonically to the next zero of h in its direction."""
    inside = (x0 > 0) & (x0 < 1)
    x = jnp.where(inside, x0, jnp.full_like(x0, 0.5))
    h = _sign(curve(x, w, b), jnp.abs(dd.logit(x).hi) + jnp.abs(w * x) + jnp.abs(b))
    # Left of the turning point x₋ every orbit goes down to (or up to) the lower equilibrium; h decides between.
    slope = dd.multiply(dd.two_prod(w, x), one_minus(x))
    outer = dd.subtract(slope, one_pair(w)).hi <= 0
    left = (x0 <= 0) | (outer & (x0 < 0.5))
    right = (x0 >= 1) | (outer & (x0 > 0.5))
    between = jnp.where(h > 0, int(Basin.LOW), jnp.where(h < 0, int(Basin.HIGH), int(Basin.UNDECIDED)))
    bistable = jnp.where(left, int(Basin.LOW), jnp.where(right, int(Basin.HIGH), between))
    # ln(x/(1−x)) of a float other than ½ is transcendental: h vanishes exactly only in the symmetric case.
    c = offset(w, b)
    resting = (x0 == 0.5) & (c.hi == 0) & (c.lo == 0) & (w > 4)
    side = _fold_side(w, b)
    label = jnp.where(side > 0, bistable, jnp.where(side < 0, int(Basin.ONLY), int(Basin.UNDECIDED)))
    return jnp.where(resting, int(Basin.BOUNDARY), label)


def _decreasing(w: Array, b: Array, x0: Array) -> Int[Array, "..."]:
    """w < 0, ε = 1: the map decreases with negative Schwarzian derivative, so F∘F has one or three fixed points."""
    one = jnp.ones_like(w)
    _, has_flip = flip_excess(w, one)
    c = offset(w, b)
    gap = dd.subtract(flip_half_width(w, one), dd.absolute(c))
    side = _sign(gap, jnp.abs(w) + jnp.abs(b))
    label = jnp.where(side > 0, int(Basin.CYCLE), jnp.where(side < 0, int(Basin.ONLY), int(Basin.UNDECIDED)))
    return jnp.where(has_flip, label, int(Basin.ONLY))


class _Neuron(NamedTuple):
    w: Array
    b: Array
    epsilon: Array

    def step(self, x: Array) -> Array:
        return (1 - self.epsilon) * x + self.epsilon * sigmoid(self.w * x + self.b)

    def slope(self, x: Array) -> Array:
        return (1 - self.epsilon) + self.epsilon * self.w * sigmoid_derivative(self.w * x + self.b)

    def spread(self, x: Array, radius: Array) -> tuple[Array, Array]:
        """A bound on |slope| over [x − radius, x + radius], and the radius of an interval that holds the image."""
        slope = jnp.abs(self.slope(x)) + self.epsilon * jnp.square(self.w) * _CURVATURE * radius
        unit = float(jnp.finfo(x.dtype).eps)
        rounding = 4 * unit * (jnp.abs(x) + 1 + jnp.abs(self.w * x) + jnp.abs(self.b))
        return slope, slope * radius + rounding


def _settle(neuron: _Neuron, _: int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
    """One step of the orbit and of the radius within which the exact orbit lies."""
    x, error = carry
    return neuron.step(x), jnp.minimum(neuron.spread(x, error)[1], 2.0)


def _exponents(neuron: _Neuron, x: Array) -> tuple[Array, Array, Array]:
    """The orbit's end, the Lyapunov exponent's mean over blocks and its standard error."""

    def step(x: Array, _: None) -> tuple[Array, Array]:
        return neuron.step(x), jnp.log(jnp.maximum(jnp.abs(neuron.slope(x)), 1e-30))

    def block(x: Array, _: None) -> tuple[Array, Array]:
        x, logs = jax.lax.scan(step, x, None, length=_BLOCK)
        return x, jnp.mean(logs, axis=0)

    x, means = jax.lax.scan(block, x, None, length=_BLOCKS)
    return x, jnp.mean(means, axis=0), jnp.std(means, axis=0) / (_BLOCKS - 1) ** 0.5


def _repeats(neuron: _Neuron, x: Array) -> Bool[Array, "..."]:
    """Whether the float orbit comes back to x within the longest period: floats may rest on a repeller."""

    def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        at, found = carry
        at = neuron.step(at)
        return (at, found | (at == x)), None

    (_, found), _ = jax.lax.scan(step, (x, jnp.zeros(x.shape, bool)), None, length=_LONGEST_PERIOD)
    return found


def _attracted(neuron: _Neuron, x: Array, error: Array) -> Bool[Array, "..."]:
    """Whether F contracts an interval about its fixed point into itself that holds the exact orbit.

    The fixed point, by Newton's method (F(x) − x falls), not the orbit, is the centre: an orbit that spirals in
    slowly jumps across it at every step.
    """
    centre = x
    for _ in range(_NEWTON_STEPS):
        centre = centre - (neuron.step(centre) - centre) / (neuron.slope(centre) - 1)
    radius = 2 * (jnp.abs(x - centre) + error) + _RADII[-1]
    slope, image = neuron.spread(centre, radius)
    return (slope < 1) & (jnp.abs(neuron.step(centre) - centre) + image < radius)


def _trapped_period(neuron: _Neuron, x: Array, error: Array) -> Int[Array, "..."]:
    """The least p whose F^p contracts an interval about the orbit into itself, 0 where none up to the longest does.

    The interval holds the exact orbit, which so goes to the one p-cycle in it; p is its least period where the
    images under F, …, F^(p−1) lie apart from the interval (else a slow spiral into an equilibrium would pass).
    """
    period = jnp.zeros(x.shape, jnp.int32)
    for size in _RADII:
        radius = jnp.maximum(jnp.full_like(x, size), 4 * error)

        def step(carry: tuple, p: Array, radius: Array = radius) -> tuple[tuple, None]:
            at, wide, contraction, apart, found = carry
            slope, wide = neuron.spread(at, wide)
            at, contraction = neuron.step(at), contraction * slope
            distance = jnp.abs(at - x)
            holds = (distance + wide < radius) & (contraction < 1) & apart & (found == 0)
            apart = apart & (distance > wide + radius)
            return (at, wide, contraction, apart, jnp.where(holds, p, found)), None

        start = (x, radius, jnp.ones_like(x), jnp.ones(x.shape, bool), jnp.zeros(x.shape, jnp.int32))
        (_, _, _, _, found), _ = jax.lax.scan(step, start, jnp.arange(1, _LONGEST_PERIOD + 1, dtype=jnp.int32))
        smaller = (found > 0) & ((period == 0) | (found < period))
        period = jnp.where(smaller, found, period)
    return period


def _searched(w: Array, b: Array, x0: Array, epsilon: Array) -> Int[Array, "..."]:
    """By a trapping interval, or by the exponent where none is found."""
    neuron = _Neuron(w, b, epsilon)
    x, error = jax.lax.fori_loop(0, _SETTLING, functools.partial(_settle, neuron), (x0, jnp.zeros_like(x0)))
    period = _trapped_period(neuron, x, error)
    period = jnp.where(_attracted(neuron, x, error), 1, period)
    end, mean, spread = _exponents(neuron, x)
    chaotic = jnp.isfinite(mean) & (mean > _STANDARD_ERRORS * spread) & (mean > 1e-3)
    chaotic = chaotic & ~_repeats(neuron, x) & ~_repeats(neuron, end)
    loose = jnp.where(chaotic, int(Basin.CHAOS), int(Basin.UNDECIDED))
    return jnp.where(period == 1, int(Basin.ONLY), jnp.where(period > 1, int(Basin.CYCLE), loose))


def _contracts(w: Array, epsilon: Array) -> Bool[Array, "..."]:
    """w ≤ 0 and slopes in (−1, 1) everywhere, which lie between 1 − ε + ε w/4 and 1 − ε."""
    least = (1 - epsilon) + epsilon * w / 4
    return (w <= 0) & (least > -1 + 16 * float(jnp.finfo(w.dtype).eps) * (1 + jnp.abs(w)))


@jax.jit
def _label(w: Array, b: Array, x0: Array, epsilon: Array) -> Int[Array, "..."]:
    positive = w > 0
    safe = jnp.where(positive, w, jnp.ones_like(w))
    label = _increasing(safe, b, x0)
    simple = _contracts(w, epsilon)
    negative = jnp.where(positive, -jnp.ones_like(w), w)
    of_negative = jnp.where(simple, int(Basin.ONLY), _decreasing(negative, b, x0))
    label = jnp.where(positive, label, of_negative)
    open_question = ~positive & ~simple & (epsilon < 1)

    def search(_: None) -> Array:
        return _searched(jnp.where(open_question, w, -jnp.ones_like(w)), b, x0, epsilon)

    searched = jax.lax.cond(jnp.any(open_question), search, lambda _: label, None)
    label = jnp.where(open_question, searched, label)
    # ½ is the only float that can rest on a repelling equilibrium, or fall on it: others have transcendental images.
    c = offset(w, b)
    repels = ~positive & flip_excess(w, epsilon)[1]
    resting = repels & (x0 == 0.5) & (c.hi == 0) & (c.lo == 0)
    return jnp.where(resting, int(Basin.BOUNDARY), label).astype(jnp.int32)


def basin_label(w: Any, b: Any, x0: Any, epsilon: Any = 1.0) -> Int[Array, "..."]:
    """The attractor that x₀ goes to, as the integer value of a ``Basin``.

    For w > 0 the map increases and the sign of h(x₀) = ln(x₀/(1−x₀)) − w x₀ − b decides, in double-double where
    rounding could flip it. For w ≤ 0 and slopes inside (−1, 1) there is one attractor. For w < 0 and ε = 1 the
    flip curve tells equilibrium from 2-cycle. In what is left (w < 0, ε < 1) an interval that some F^p, p ≤ 16,
    maps into itself and contracts proves equilibrium or cycle; else a positive Lyapunov exponent says CHAOS, and
    what is still open is UNDECIDED.

    Args:
        w: weight.
        b: bias.
        x0: start; shapes broadcast.
        epsilon: Euler step in (0, 1].

    Returns:
        int32 labels, in the broadcast shape.

    Raises:
        TypeError, ValueError: not finite real numbers, shapes that do not broadcast, ε outside (0, 1].

    Reference: D. Singer, SIAM J. Appl. Math. 35, 260 (1978), for maps of negative Schwarzian derivative.
    """
    fraction("epsilon", epsilon)
    arrays = broadcast_arrays(w=w, b=b, x0=x0, epsilon=epsilon)
    widest = jnp.result_type(float)  # float32 numbers are exact in float64: use its pairs where JAX has them
    return _label(*(a.astype(widest) if a.dtype.itemsize < widest.itemsize else a for a in arrays))


def undecided_share(labels: Any) -> float:
    """The share of labels that are UNDECIDED; NaN of none."""
    labels = np.asarray(labels)
    return float(np.mean(labels == Basin.UNDECIDED)) if labels.size else float("nan")
