"""Equilibria of the neuron, x = σ(w x + b): one to three roots, with multipliers and implicit derivatives.

By symmetry each is a root t ≤ ½ of 2 artanh y − w y/2 = c, y = 2t − 1, so that x keeps its relative precision
near 0 and 1 − x near 1. Roots are bracketed in z = ln(t/(1 − t)) by the turning points ∓2 artanh √(1 − 4/w),
started from the parabola of the fold where that is near, and polished with the residual in double-double.
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from rnn_dynamics.cells.activations import sigmoid
from rnn_dynamics.doya import bifurcations
from rnn_dynamics.numerics import double_double as dd
from rnn_dynamics.numerics.batching import elementwise
from rnn_dynamics.numerics.double_double import Pair
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.roots import bracketed_root
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.validation import broadcast_arrays, check_fraction

# At most three corrections and the residual after them; a correction below half an ulp is the last.
_POLISHING_STEPS = 64  # all but the closest to the cusp take two or three
_SCALE = (
    2.0**60
)  # of t where it is polished: neither t ≤ ½ nor its last digits leave the normal floats of float32


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Equilibria(Result):
    """Equilibria of each neuron, padded to three.

    Attributes:
        points: x, shape (…, 3), ascending. One equilibrium stands first; of three the middle one repels.
            NaN where there is none.
        multipliers: 1 − ε + ε w x(1 − x), shape (…, 3), to about an ulp also where x rounds to 1;
            of ε = 1 however small they are.
        stable: |multiplier| < 1, decided by the closed form of folds and flips and not by rounding.
        marginal: |multiplier| = 1 exactly (at the cusp, at a symmetric flip).
        count: 1 or 3, shape (…).
        status: CONVERGED where x is known to an ulp or so, else MAX_STEPS; −1 where there is none.
    """

    points: Float[Array, "... 3"]
    multipliers: Float[Array, "... 3"]
    stable: Bool[Array, "... 3"]
    marginal: Bool[Array, "... 3"]
    count: Int[Array, "..."]
    status: Int[Array, "... 3"]

    _axes: ClassVar = {"...": "grid"}

    def __repr__(self) -> str:
        if isinstance(self.points, Tracer) or self.count.ndim:
            return f"Equilibria(shape={self.count.shape}, dtype={self.points.dtype})"
        rows = []
        for i in range(int(self.count)):
            kind = "marginal" if self.marginal[i] else "stable" if self.stable[i] else "unstable"
            rows.append(
                f"x = {float(self.points[i]):.6g} ({kind}, multiplier {float(self.multipliers[i]):.6g})"
            )
        return f"Equilibria({'; '.join(rows)})"


class ThreeBranches(NamedTuple):
    """Lower, middle and upper branch on the first axis; NaN where a branch has no equilibrium.

    Attributes:
        x: the equilibrium.
        slope: x(1 − x), relative precision kept where x rounds to 1.
        gap: 1 − w x(1 − x), relative precision kept near a fold.
        z: ln(x/(1 − x)), to the rounding of its terms.
        error: the correction left in min(x, 1 − x) after the last step, relative.
    """

    x: Float[Array, "3 ..."]
    slope: Float[Array, "3 ..."]
    gap: Float[Array, "3 ..."]
    z: Float[Array, "3 ..."]
    error: Float[Array, "3 ..."]


class _Slots(NamedTuple):
    """One bracketed problem a branch, in the lower half: z in [low, high], bias c, mirrored or not."""

    w: Array
    c: Pair
    low: Array
    high: Array
    rising: Array
    guess: Array
    near_fold: Array
    centred: Array
    mirrored: Array
    exists: Array


@jax.custom_jvp
def _twice_gap(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """z − 2 tanh(z/2) for |z| ≤ 1, without cancellation: a continued fraction. Its derivative is tanh²(z/2)."""
    square = jnp.square(z / 2)
    level = jnp.full_like(z, 19)
    for odd in range(17, 3, -2):
        level = odd + square / level
    ratio = square / (3 + square / level)
    return z * ratio / (1 + ratio)


@_twice_gap.defjvp
def _twice_gap_jvp(primals: tuple, tangents: tuple) -> tuple:
    (z,), (dz,) = primals, tangents
    return _twice_gap(z), jnp.square(jnp.tanh(z / 2)) * dz


def _excess(z: Array, w: Array, c: Array) -> Array:
    """z − (w/2) tanh(z/2) − c, zero at an equilibrium z = ln(x/(1 − x))."""
    small = jnp.abs(z) < 1
    inner = jnp.where(small, z, jnp.zeros_like(z))
    near = (1 - w / 4) * inner + (w / 4) * _twice_gap(inner)
    outer = jnp.where(small, jnp.ones_like(z), z)
    return jnp.where(small, near, outer - (w / 2) * jnp.tanh(outer / 2)) - c


def _thrice(x: Array) -> Array:
    return jnp.broadcast_to(x[None], (3, *x.shape))


def _biases(c: Pair, folded: Array) -> tuple[Pair, Array]:
    """c of each branch as its lower-half problem sees it, and whether that problem is the mirror image.

    Lower c, middle |c|, upper −c; without folds −|c| for both, as that root lies below ½.
    """
    size, mirror = dd.absolute(c), dd.negate(c)
    stacked = [
        jnp.stack([jnp.where(folded, a, -m), m, jnp.where(folded, n, -m)])
        for a, m, n in zip(c, size, mirror, strict=True)
    ]
    return Pair(*stacked), jnp.stack([jnp.zeros_like(folded), c.hi < 0, jnp.ones_like(folded)])


def _turning_point(w: Array, s: Array) -> Array:
    """ln(x₋/(1 − x₋)) = −2 artanh s, for w > 4."""
    near = -2 * jnp.arctanh(jnp.minimum(s, jnp.full_like(s, 0.9)))
    return jnp.where(s < 0.9, near, -jnp.log(w * jnp.square(1 + s) / 4))


def _fold_guess(w: Array, s: Array, turn: Array, distance: Array, side: Array) -> tuple[Array, Array]:
    """z near a fold at a distance in c, and whether that is better than a root in plain floats.

    0 = distance − s δ²/2 ∓ h‴ δ³/6 for δ = |z − z₋|, with h‴ = 2/w − s². The relative error of δ is about
    (h‴ δ/s)², against that of a plain root, its residual's rounding over s δ².
    """
    third = 2 / w - jnp.square(s)
    delta = jnp.sqrt(2 * jnp.where(distance > 0, distance, jnp.ones_like(s)) / s)
    guess = turn - side * delta * (1 - side * third * delta / (6 * s))
    error = jnp.square(delta * jnp.maximum(jnp.abs(third), 2 / w) / s)
    rounding = float(jnp.finfo(w.dtype).eps) * w / (s * jnp.square(delta))
    return guess, (distance > 0) & (error < jnp.maximum(jnp.minimum(rounding, jnp.full_like(s, 0.05)), 1e-4))


def _slots(w: Array, b: Array, turning: bifurcations.Turning) -> _Slots:
    """Return the bracketed problem of each branch."""
    folded = w > 4
    safe = jnp.where(folded, w, jnp.full_like(w, 8))
    c = bifurcations.offset(w, b)
    biases, mirrored = _biases(c, folded)
    half_width = Pair(*(_thrice(part) for part in turning.half_width))
    s = jnp.where(folded, turning.s.hi, jnp.full_like(w, 0.5**0.5))
    turn = _turning_point(safe, s)
    distance = dd.subtract(half_width, biases).hi
    middle = jnp.broadcast_to(jnp.array([False, True, False]).reshape((3,) + (1,) * w.ndim), distance.shape)
    alone = jnp.stack([c.hi <= 0, jnp.zeros_like(folded), c.hi > 0])
    w3, s3, turn3, folded3 = (_thrice(part) for part in (w, s, turn, folded))
    side = jnp.where(middle, -jnp.ones_like(s3), jnp.ones_like(s3))
    guess, near = _fold_guess(_thrice(safe), s3, turn3, distance, side)
    # z = c + (w/2) tanh(z/2) with z ≤ 0.
    positive = jnp.maximum(w3, jnp.zeros_like(w3))
    slack = (jnp.abs(biases.hi) + positive + 1) * 4 * float(jnp.finfo(w.dtype).eps)
    end = jnp.where(folded3, turn3, jnp.zeros_like(turn3))
    low = jnp.where(middle, end, biases.hi - positive / 2 - slack)
    high = jnp.where(middle, jnp.zeros_like(end), end)
    exists = jnp.where(folded3, distance > 0, alone)
    centred = (biases.hi == 0) & (middle | ~folded3)
    return _Slots(w3, biases, low, high, ~middle, guess, folded3 & near, centred, mirrored, exists)


def _polish(slots: _Slots, t: Array) -> tuple[Array, Array, Array]:
    """t and the correction that is left below its last digit, by Newton with the double-double residual.

    A step δ leaves an error of some δ² (1 + |w|)/gap relative to t: where that is below the last digit the residual
    is not evaluated anew, what t + δ loses to rounding being known. Where the steps come to no end, what is left is
    the last of them, unless it is one of some last digits that no longer shrink.

    Steps and sums are those of 2⁶⁰ t: of a t near the least normal float the steps are below it, and XLA may take
    them for zero. Third is what is left relative to t, which nothing takes for zero either.
    """
    tiny, unit = float(jnp.finfo(t.dtype).tiny), float(jnp.finfo(t.dtype).eps)
    gone = t < tiny
    side = jnp.where(slots.rising, 1, -1).astype(t.dtype)

    def correction(scaled: Array) -> tuple[Array, Array]:
        t = scaled / _SCALE
        gap = bifurcations.slope_gap(slots.w, bifurcations.centred(t)).hi / 4
        value = bifurcations.residual(slots.w, slots.c, t).hi
        usable = slots.exists & (gap * side > 0) & jnp.isfinite(value)
        safe = jnp.where(usable, gap, jnp.ones_like(gap))
        step = jnp.where(usable, -value * (scaled * (1 - t)) / safe, jnp.zeros_like(t))
        return step, jnp.square(step / scaled) * (1 + jnp.abs(slots.w)) <= unit / 16 * jnp.abs(safe)

    def moved(t: Array, rest: Array) -> Array:
        there = t + rest
        return jnp.where((there > t / 2) & (there <= _SCALE / 2), there, t)

    def goes_on(state: tuple[Array, Array, Array, Array]) -> Array:
        step, _, _, is_open = state
        return (step < _POLISHING_STEPS) & jnp.any(is_open)

    def one(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        step, t, rest, is_open = state
        there = moved(t, rest)
        left, is_exact = correction(there)
        to_and_fro = (jnp.abs(left) >= jnp.abs(rest)) & (jnp.abs(left) <= 4 * unit * there)
        t, rest = jnp.where(is_open, there, t), jnp.where(is_open, left, rest)
        return step + 1, t, rest, is_open & ~is_exact & ~to_and_fro & (moved(t, rest) != t)

    start = jnp.where(gone, jnp.full_like(t, 0.25), t) * _SCALE
    first = (jnp.int32(0), start, jnp.zeros_like(t), slots.exists & ~gone)
    _, t, rest, is_open = jax.lax.while_loop(goes_on, one, first)
    there = moved(t, rest)
    rest = jnp.where(is_open, rest, (t - there) + rest)  # the difference is exact, as both are near
    zero = jnp.zeros_like(t)
    there, rest = jnp.where(gone, zero, there), jnp.where(gone, zero, rest)
    return (
        there / _SCALE,
        rest / _SCALE,
        jnp.where(gone, zero, jnp.abs(rest) / jnp.maximum(there, tiny * _SCALE)),
    )


@jax.custom_jvp
def branch_equilibria(
    w: Float[Array, "..."], b: Float[Array, "..."], turning: bifurcations.Turning
) -> ThreeBranches:
    """The equilibria by branch, with the derivatives of the implicit function; ``turning`` is that of w.

    With one equilibrium and w ≤ 4 it is "lower" where x ≤ ½ and "upper" elsewhere.
    """
    slots = _slots(w, b, turning)
    sought = slots.exists & ~slots.near_fold & ~slots.centred
    low = jnp.where(sought, slots.low, jnp.full_like(slots.low, jnp.nan))  # no step is made for the others
    z = bracketed_root(_excess, low, slots.high, slots.w, slots.c.hi, rising=slots.rising, bisections=6).value
    z = jnp.where(sought, z, jnp.where(slots.near_fold & ~slots.centred, slots.guess, jnp.zeros_like(z)))
    t, rest, left = _polish(slots, sigmoid(z))
    y = dd.add(bifurcations.centred(t), dd.pair(2 * rest))
    gap = bifurcations.slope_gap(slots.w, y).hi / 4
    x = jnp.where(slots.mirrored, (1 - t) - rest, t + rest)
    z = jnp.where(slots.mirrored, -z, z)
    hole = jnp.full_like(x, jnp.nan)
    # Beside a fold the rounding of the residual, some 2⁻⁵ of its bound, moves the root; ½ is exact.
    drive = jnp.abs(slots.w) + jnp.abs(slots.c.hi)
    noise = dd.precision(t.dtype) / 32 * drive * (1 - t) / jnp.where(slots.centred, jnp.inf, jnp.abs(gap))
    fields = (x, t * (1 - t), gap, z, left + noise)
    return ThreeBranches(*(jnp.where(slots.exists, value, hole) for value in fields))


@branch_equilibria.defjvp
def _branch_equilibria_jvp(primals: tuple, tangents: tuple) -> tuple:
    (w, b, turning), (dw, db, _) = primals, tangents
    found = branch_equilibria(w, b, turning)
    known = ~jnp.isnan(found.x)
    x = jnp.where(known, found.x, jnp.full_like(found.x, 0.5))
    slope = jnp.where(known, found.slope, jnp.zeros_like(x))
    gap = jnp.where(known, found.gap, jnp.ones_like(x))
    # x = σ(z), z = w x + b: dz = (x dw + db)/(1 − w x(1 − x)).
    dz = jnp.where(known, (x * dw[None] + db[None]) / gap, jnp.zeros_like(x))
    dx = slope * dz
    dslope = (1 - 2 * x) * dx
    dgap = -slope * dw[None] - w[None] * dslope
    return found, ThreeBranches(dx, dslope, dgap, dz, jnp.zeros_like(dx))


def _stability(w: Array, b: Array, turning: bifurcations.Turning, three: Array) -> tuple[Array, Array]:
    """Stable and marginal, shape (3, …), by the closed forms."""
    c = dd.absolute(bifurcations.offset(w, b))
    has_flip = (w < 0) & turning.exists
    past_flip = dd.subtract(c, turning.half_width).hi
    meeting = (turning.excess == 0) & (c.hi == 0)  # at the cusp, or where two flips meet
    marginal = meeting | (has_flip & (past_flip == 0))
    outer = ~marginal & (~has_flip | (past_flip > 0))
    no = jnp.zeros_like(three)
    return jnp.stack([outer, no, three]), jnp.stack([marginal, no, no])


def _multipliers(w: Array, epsilon: Array, found: ThreeBranches) -> Array:
    """1 − ε + ε w x(1 − x): from the gap to 1 where that is small, else from the product, however small it is."""
    product, share = w[None] * found.slope, epsilon[None]
    return jnp.where(jnp.abs(product) < 0.5, (1 - share) + share * product, 1 - share * found.gap)


@elementwise
def _equilibria(w: Array, b: Array, epsilon: Array) -> Equilibria:
    turning = jax.lax.stop_gradient(bifurcations.turning(w, epsilon))
    found = branch_equilibria(w, b, turning)
    exists = ~jnp.isnan(found.x)
    three = exists[1]
    stable, marginal = _stability(w, b, turning, three)
    sound = jnp.abs(found.error) <= 4 * float(jnp.finfo(w.dtype).eps)
    status = jnp.where(sound, int(Status.CONVERGED), int(Status.MAX_STEPS))

    def packed(value: Array) -> Array:
        """The branches in order; a lone upper equilibrium moves to the front."""
        lower, middle, upper = value
        first, last = jnp.where(exists[0], lower, upper), jnp.where(exists[0], upper, lower)
        return jnp.stack([first, middle, last], axis=-1)

    return Equilibria(
        packed(found.x),
        packed(_multipliers(w, epsilon, found)),
        jnp.moveaxis(stable, 0, -1),
        jnp.moveaxis(marginal, 0, -1),
        jnp.where(three, 3, 1).astype(jnp.int32),
        packed(jnp.where(exists, status, -1)).astype(jnp.int32),
    )


def equilibria(w: Any, b: Any, epsilon: Any = 1.0) -> Equilibria:
    """Every equilibrium x = σ(w x + b) of each neuron; the same for every ε, as only its stability depends on ε.

    Roots are bracketed by the turning points of ln(x/(1−x)) − w x and polished in double-double. They carry
    the derivatives of the implicit function, ∂x/∂b = 1/(1/(x(1−x)) − w) and ∂x/∂w = x ∂x/∂b.

    Args:
        w: weight.
        b: bias; shapes broadcast.
        epsilon: Euler step in (0, 1].

    Returns:
        ``Equilibria``, padded to three.

    Raises:
        TypeError, ValueError: not finite real numbers, shapes that do not broadcast, ε outside (0, 1].

    Reference: K. Doya, ISCAS 1992.
    """
    check_fraction("epsilon", epsilon)
    return _equilibria(*broadcast_arrays(w=w, b=b, epsilon=epsilon))


def equilibria_on_host(w: np.ndarray, b: np.ndarray, epsilon: np.ndarray) -> Equilibria:
    """``equilibria`` of arrays of one dtype, with NumPy's arrays in it."""
    return _equilibria.on_host(*np.broadcast_arrays(w, b, epsilon))
