"""All equilibria of the neuron, x = σ(w x + b), one to three of them, bracketed by the turning points."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from rnn_dynamics import double_double as dd
from rnn_dynamics.activations import sigmoid, sigmoid_derivative
from rnn_dynamics.doya.curves import (
    flip_excess,
    flip_half_width,
    fold_half_width,
    fold_root,
    offset,
    one_minus,
    one_pair,
)
from rnn_dynamics.roots import bracketed_root
from rnn_dynamics.status import Status
from rnn_dynamics.validation import broadcast_arrays, fraction

__all__ = ["Equilibria", "TwoCycle", "equilibria", "two_cycle"]

_POLISHING_STEPS = 10


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["points", "multipliers", "stable", "marginal", "count", "status"],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class Equilibria:
    """Equilibria of each neuron, padded to three.

    Attributes:
        points: x, shape (…, 3), ascending. One equilibrium stands first; of three the middle one repels.
            NaN where there is none.
        multipliers: 1 − ε + ε w x(1 − x), shape (…, 3).
        stable: |multiplier| < 1, decided by the closed form of folds and flips and not by rounding.
        marginal: |multiplier| = 1 exactly (at the cusp, at a symmetric flip).
        count: 1 or 3, shape (…).
        status: CONVERGED, or MAX_STEPS where the root is of higher order; −1 where there is none.
    """

    points: Float[Array, "... 3"]
    multipliers: Float[Array, "... 3"]
    stable: Bool[Array, "... 3"]
    marginal: Bool[Array, "... 3"]
    count: Int[Array, "..."]
    status: Int[Array, "... 3"]

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


def curve(x: Float[Array, "..."], w: Float[Array, "..."], b: Float[Array, "..."]) -> dd.Pair:
    """h(x) = ln(x/(1 − x)) − w x − b as a pair, for x in (0, 1): its zeros are the equilibria."""
    return dd.subtract(dd.subtract(dd.logit(x), dd.two_prod(w, x)), dd.pair(b))


def is_bistable(w: Float[Array, "..."], b: Float[Array, "..."]) -> Bool[Array, "..."]:
    """Whether b lies strictly between the folds: |b + w/2| < B(w), in double-double."""
    return dd.subtract(fold_half_width(w), dd.absolute(offset(w, b))).hi > 0


def _balance(z: Array, w: Array, b: Array) -> Array:
    """z − w σ(z) − b: zero at z = w x + b of an equilibrium."""
    return (z - b) - w * sigmoid(z)


def _newton_step(x: Array, w: Array, b: Array, sense: Array) -> Array:
    """The step to the zero of the parabola that osculates h at x, on the side where h rises (``sense`` 1) or falls.

    With u = step / x(1 − x): h + (1 − w x(1 − x)) u + (x − ½) u² = 0, which holds at a fold too, where Newton's
    own step loses half of the digits.
    """
    value = curve(x, w, b).hi
    room = x * one_minus(x).hi
    linear = dd.subtract(one_pair(w), dd.multiply(dd.two_prod(w, x), one_minus(x))).hi
    square = jnp.square(linear) - 2 * (2 * x - 1) * value
    divisor = linear + sense * jnp.sqrt(jnp.maximum(square, 0.0))
    solvable = divisor != 0
    return jnp.where(solvable, -2 * value / jnp.where(solvable, divisor, jnp.ones_like(x)), 0.0) * room


def _polished(x: Array, w: Array, b: Array, sense: Array) -> tuple[Array, Array]:
    """x to about an ulp, h taken in double-double; and whether its last step was that small."""

    def improve(_: int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        x, _ = carry
        interior = (x > 0) & (x < 1)
        at = jnp.where(interior, x, jnp.full_like(x, 0.5))
        step = _newton_step(at, w, b, sense)
        near = jnp.abs(step) <= 0.5 * jnp.minimum(at, 1 - at)
        following = jnp.where(interior & near, at + step, x)
        return following, ~interior | (near & (jnp.abs(step) <= 4 * float(jnp.finfo(x.dtype).eps) * at))

    return jax.lax.fori_loop(0, _POLISHING_STEPS, improve, (x, jnp.zeros(x.shape, bool)))


def _near_cusp(x: Array, w: Array, b: Array) -> Array:
    """A start for the one equilibrium near the cusp, where 2 y³/3 ≈ c; x elsewhere."""
    unit = float(jnp.finfo(x.dtype).eps)
    c = offset(w, b).hi
    close = (jnp.abs(c) < unit**0.4) & (jnp.abs(w - 4) < unit**0.2)
    return jnp.where(close, 0.5 + 0.5 * jnp.cbrt(1.5 * c), x)


@jax.custom_jvp
def _points(w: Array, b: Array) -> tuple[Array, Array]:
    """The states and their statuses, shape (3, …)."""
    three = is_bistable(w, b)
    c = offset(w, b)
    room = 1 + 4 * float(jnp.finfo(w.dtype).eps) * (jnp.abs(w) + jnp.abs(b))  # where σ rounds to 0 or 1
    low, high = jnp.minimum(b, b + w) - room, jnp.maximum(b, b + w) + room
    s = fold_root(w).hi
    turn = 2 * jnp.log1p(jnp.where(three, s, jnp.zeros_like(s))) + jnp.log(jnp.maximum(w / 4, 1.0))
    turn = jnp.where(three, turn, jnp.zeros_like(turn))
    # Within rounding of a fold the balance has no sign at the turning point, which then is a start itself.
    nearest = jnp.where(c.hi > 0, -turn, turn)
    brackets = (
        (low, jnp.where(three, -turn, high), -turn),
        (-turn, turn, nearest),
        (turn, high, turn),
    )
    starts = []
    for start, end, fallback in brackets:
        root = bracketed_root(_balance, start, end, w, b)
        starts.append(sigmoid(jnp.where(jnp.isfinite(root.value), root.value, fallback)))
    starts[0] = jnp.where(three, starts[0], _near_cusp(starts[0], w, b))
    sense = jnp.stack([jnp.ones_like(w), jnp.where(three, -1.0, jnp.ones_like(w)), jnp.ones_like(w)])
    weights, biases = jnp.stack([w] * 3), jnp.stack([b] * 3)
    points, solved = _polished(jnp.stack(starts), weights, biases, sense)
    status = jnp.where(solved, jnp.int32(Status.CONVERGED), jnp.int32(Status.MAX_STEPS))
    # The symmetric equilibrium ½ is exact; at the cusp it is a triple root, which no iteration finds to rounding.
    index = jnp.arange(3).reshape((3,) + (1,) * w.ndim)
    half = (c.hi == 0)[None] & (index == jnp.where(three, 1, 0)[None])
    points = jnp.where(half, 0.5, points)
    status = jnp.where(half, jnp.int32(Status.CONVERGED), status)
    absent = (index > 0) & ~three[None]
    return jnp.where(absent, jnp.nan, points), jnp.where(absent, jnp.int32(-1), status)


@_points.defjvp
def _points_jvp(primals: tuple, tangents: tuple) -> tuple:
    (w, b), (dw, db) = primals, tangents
    points, status = _points(w, b)
    room = points * (1 - points)
    slope = room / (1 - w[None] * room)
    return (points, status), (
        slope * (points * dw[None] + db[None]),
        jnp.zeros(status.shape, jax.dtypes.float0),
    )


def _stability(w: Array, b: Array, epsilon: Array, three: Array) -> tuple[Array, Array]:
    """Stable and marginal, shape (3, …), by the closed forms."""
    c = dd.absolute(offset(w, b))
    excess, has_flip = flip_excess(w, epsilon)
    past_flip = dd.subtract(c, flip_half_width(w, epsilon)).hi
    on_flip = ((excess == 0) & (c.hi == 0)) | (has_flip & (past_flip == 0))
    on_cusp = (w == 4) & (c.hi == 0)
    marginal = on_cusp | on_flip
    outer = ~marginal & (~has_flip | (past_flip > 0))
    no = jnp.zeros_like(three)
    return jnp.stack([outer, no, three]), jnp.stack([marginal, no, no])


@jax.jit
def _equilibria(w: Array, b: Array, epsilon: Array) -> Equilibria:
    points, status = _points(w, b)
    three = is_bistable(w, b)
    stable, marginal = _stability(w, b, epsilon, three)
    points = jnp.moveaxis(points, 0, -1)
    w, epsilon = (jnp.broadcast_to(a[..., None], points.shape) for a in (w, epsilon))
    return Equilibria(
        points,
        (1 - epsilon) + epsilon * (w * points * (1 - points)),
        jnp.moveaxis(stable, 0, -1),
        jnp.moveaxis(marginal, 0, -1),
        jnp.where(three, 3, 1).astype(jnp.int32),
        jnp.moveaxis(status, 0, -1),
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
    fraction("epsilon", epsilon)
    return _equilibria(*broadcast_arrays(w=w, b=b, epsilon=epsilon))


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


def _preimage(x: Array, w: Array, b: Array) -> dd.Pair:
    """(logit x − b)/w, the state whose image is x."""
    return dd.divide(dd.subtract(dd.logit(x), dd.pair(b)), dd.pair(w))


def _rises_twice(x: Array, w: Array, b: Array) -> Bool[Array, "..."]:
    """Whether F(F(x)) > x: F decreases, so this says F⁻¹(x) > F(x), free of exponentials."""
    before = _preimage(x, w, b)
    beyond = dd.subtract(before, one_pair(w)).hi >= 0
    half = jnp.full_like(w, 0.5)
    inner = dd.Pair(jnp.where(beyond, half, before.hi), jnp.where(beyond, 0.0, before.lo))
    logit = dd.log_quotient(inner, dd.subtract(one_pair(w), inner))
    excess = dd.subtract(dd.subtract(logit, dd.two_prod(w, x)), dd.pair(b)).hi
    return beyond | (excess > 0)


def _lower_state(w: Array, b: Array, centre: Array) -> Array:
    """The float at the lower state of the cycle, by halving the floats from 0 to the repelling equilibrium."""
    kind = {4: jnp.int32, 8: jnp.int64}[w.dtype.itemsize]

    def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = low + (high - low) // 2
        below = _rises_twice(jax.lax.bitcast_convert_type(middle, w.dtype), w, b)
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    least = jax.lax.bitcast_convert_type(jnp.full_like(w, float(jnp.finfo(w.dtype).tiny)), kind)
    bracket = (least, jax.lax.bitcast_convert_type(centre, kind))
    low, high = jax.lax.fori_loop(0, 8 * w.dtype.itemsize, halve, bracket)
    return jnp.where(high - least <= 1, 0.0, jax.lax.bitcast_convert_type(low, w.dtype))


@jax.custom_jvp
def _cycle_states(w: Array, b: Array) -> tuple[Array, Array]:
    """Both states, NaN where there is no 2-cycle."""
    one = jnp.ones_like(w)
    _, has_flip = flip_excess(w, one)
    inside = has_flip & (dd.subtract(dd.absolute(offset(w, b)), flip_half_width(w, one)).hi < 0)
    safe_w, safe_b = jnp.where(inside, w, -8 * one), jnp.where(inside, b, 4 * one)
    low = _lower_state(safe_w, safe_b, _points(safe_w, safe_b)[0][0])
    above_zero = low > 0
    back = _preimage(jnp.where(above_zero, low, 0.25 * one), safe_w, safe_b).hi
    high = jnp.where(above_zero, back, sigmoid(safe_b))
    hole = jnp.full_like(w, jnp.nan)
    return jnp.where(inside, low, hole), jnp.where(inside, high, hole)


@_cycle_states.defjvp
def _cycle_states_jvp(primals: tuple, tangents: tuple) -> tuple:
    (w, b), (dw, db) = primals, tangents
    low, high = _cycle_states(w, b)
    at_low, at_high = sigmoid_derivative(w * high + b), sigmoid_derivative(w * low + b)
    moved_low, moved_high = at_low * (high * dw + db), at_high * (low * dw + db)
    room = 1 - jnp.square(w) * at_low * at_high
    return (low, high), (
        (moved_low + at_low * w * moved_high) / room,
        (moved_high + at_high * w * moved_low) / room,
    )


@jax.jit
def _two_cycle(w: Array, b: Array) -> TwoCycle:
    low, high = _cycle_states(w, b)
    slopes = jnp.square(w) * sigmoid_derivative(w * high + b) * sigmoid_derivative(w * low + b)
    return TwoCycle(jnp.stack([low, high], axis=-1), slopes)


def two_cycle(w: Any, b: Any) -> TwoCycle:
    """The 2-cycle x₂ = σ(w x₁ + b), x₁ = σ(w x₂ + b) between the flips (ε = 1), where it attracts every orbit.

    Raises:
        TypeError, ValueError: not finite real numbers, shapes that do not broadcast.
    """
    w, b = broadcast_arrays(w=w, b=b)
    widest = jnp.result_type(float)  # float32 numbers are exact in float64: use its pairs where JAX has them
    if w.dtype.itemsize < widest.itemsize:
        found = _two_cycle(w.astype(widest), b.astype(widest))
        return TwoCycle(found.x.astype(w.dtype), found.multiplier.astype(w.dtype))
    return _two_cycle(w, b)
