"""Where an orbit of the neuron ends, decided by an exact rule wherever one exists and never by waiting."""

import enum
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Int

from rnn_dynamics.doya.attractors import CHAOTIC, CYCLIC, FIXED, attractor_kind
from rnn_dynamics.doya.bifurcations import (
    Turning,
    centred,
    offset,
    residual,
    slope_gap,
    turning,
    turning_excess,
)
from rnn_dynamics.numerics import double_double as dd
from rnn_dynamics.numerics.batching import elementwise
from rnn_dynamics.numerics.validation import broadcast_arrays, check_fraction


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


def _sign(value: dd.Pair, size: Array) -> Int[Array, "..."]:
    """The sign of a pair whose error is relative to ``size``; 0 where it cannot be told."""
    bound = 4 * dd.precision(size.dtype) * size
    return jnp.where(value.hi > bound, 1, jnp.where(value.hi < -bound, -1, 0))


def _side(w: Array, b: Array, turning: Turning) -> Int[Array, "..."]:
    """1 between the two folds or flips, −1 outside or where there are none, 0 where double-double cannot tell."""
    gap = dd.subtract(turning.half_width, dd.absolute(offset(w, b)))
    return jnp.where(turning.exists, _sign(gap, jnp.abs(w) + jnp.abs(b)), -1)


def _increasing(w: Array, b: Array, x0: Array, side: Array) -> Int[Array, "..."]:
    """w > 0: the map increases, so an orbit moves monotonically to the next zero of h in its direction."""
    inside = (x0 > 0) & (x0 < 1)
    x = jnp.where(inside, x0, jnp.full_like(x0, 0.5))
    h = _sign(residual(w, offset(w, b), x), jnp.abs(dd.logit(x).hi) + jnp.abs(w * x) + jnp.abs(b))
    # Left of the turning point x₋ every orbit goes down to (or up to) the lower equilibrium; h decides between.
    outer = slope_gap(w, centred(x)).hi >= 0
    left = (x0 <= 0) | (outer & (x0 < 0.5))
    right = (x0 >= 1) | (outer & (x0 > 0.5))
    between = jnp.where(h > 0, int(Basin.LOW), jnp.where(h < 0, int(Basin.HIGH), int(Basin.UNDECIDED)))
    bistable = jnp.where(left, int(Basin.LOW), jnp.where(right, int(Basin.HIGH), between))
    # ln(x/(1−x)) of a float other than ½ is transcendental: h vanishes exactly only in the symmetric case.
    c = offset(w, b)
    resting = (x0 == 0.5) & (c.hi == 0) & (c.lo == 0) & (w > 4)
    label = jnp.where(side > 0, bistable, jnp.where(side < 0, int(Basin.ONLY), int(Basin.UNDECIDED)))
    return jnp.where(resting, int(Basin.BOUNDARY), label)


def _decreasing(side: Array) -> Int[Array, "..."]:
    """w < 0, ε = 1: the map decreases with negative Schwarzian derivative, so F∘F has one or three fixed points."""
    return jnp.where(side > 0, int(Basin.CYCLE), jnp.where(side < 0, int(Basin.ONLY), int(Basin.UNDECIDED)))


def _contracts(w: Array, epsilon: Array) -> Bool[Array, "..."]:
    """w ≤ 0 and slopes in (−1, 1) everywhere, which lie between 1 − ε + ε w/4 and 1 − ε."""
    least = (1 - epsilon) + epsilon * w / 4
    return (w <= 0) & (least > -1 + 16 * float(jnp.finfo(w.dtype).eps) * (1 + jnp.abs(w)))


@elementwise
def _ruled(w: Array, b: Array, x0: Array, epsilon: Array) -> tuple[Array, Array]:
    """The label by an exact rule, and where there is none."""
    positive = w > 0
    simple = _contracts(w, epsilon)
    side = _side(w, b, turning(w, jnp.ones_like(w)))
    rising = _increasing(jnp.where(positive, w, jnp.ones_like(w)), b, x0, side)
    falling = jnp.where(simple, int(Basin.ONLY), _decreasing(side))
    label = jnp.where(positive, rising, falling)
    # ½ is the only float that can rest on a repelling equilibrium: other floats have transcendental images.
    c = offset(w, b)
    repels = ~positive & (turning_excess(w, epsilon) > 0)
    resting = repels & (x0 == 0.5) & (c.hi == 0) & (c.lo == 0)
    label = jnp.where(resting, int(Basin.BOUNDARY), label).astype(jnp.int32)
    return label, ~positive & ~simple & ~resting & (epsilon < 1)


@elementwise
def _searched(w: Array, b: Array, x0: Array, epsilon: Array) -> Int[Array, "..."]:
    """By a trapping interval that holds the orbit, or by the exponent where none is found."""
    kind = attractor_kind(w, b, x0, epsilon)
    named = ((FIXED, Basin.ONLY), (CYCLIC, Basin.CYCLE), (CHAOTIC, Basin.CHAOS))
    label = jnp.full(kind.shape, int(Basin.UNDECIDED), jnp.int32)
    for found, basin in named:
        label = jnp.where(kind == found, int(basin), label)
    return label


def _label(w: Array, b: Array, x0: Array, epsilon: Array) -> Int[Array, "..."]:
    label, is_open = _ruled(w, b, x0, epsilon)

    def search() -> Array:
        return jnp.where(is_open, _searched(jnp.where(is_open, w, -jnp.ones_like(w)), b, x0, epsilon), label)

    if isinstance(is_open, Tracer):
        return jax.lax.cond(jnp.any(is_open), search, lambda: label)
    return search() if np.any(np.asarray(is_open)) else label


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
    check_fraction("epsilon", epsilon)
    arrays = broadcast_arrays(w=w, b=b, x0=x0, epsilon=epsilon)
    widest = jnp.result_type(float)  # float32 numbers are exact in float64: use its pairs where JAX has them
    return _label(*(a.astype(widest) if a.dtype.itemsize < widest.itemsize else a for a in arrays))


def undecided_share(labels: Any) -> float:
    """The share of labels that are UNDECIDED; NaN of none.

    Args:
        labels: of ``basin_label``, any shape.

    Returns:
        A number in [0, 1], NaN where there are no labels.
    """
    labels = np.asarray(labels)
    return float(np.mean(labels == Basin.UNDECIDED)) if labels.size else float("nan")
