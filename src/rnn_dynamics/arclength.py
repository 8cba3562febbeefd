"""Pseudo-arclength continuation: the curve G(y) = 0 of m equations in m + 1 unknowns, followed step by step.

From a point y with unit tangent t the next one solves G(y) = 0 and ⟨t, y − y_predicted⟩ = 0, so that a turn of the
curve in any one coordinate (a fold) is nothing special. Steps grow where Newton's method is quick and the curve
straight, and shrink where it is not. All in one compiled loop with arrays of a fixed length; ``vmap`` over it
follows many curves.

Reference: H. B. Keller, "Numerical solution of bifurcation and nonlinear eigenvalue problems", 1977.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rnn_dynamics.status import Status

__all__ = [
    "Correction",
    "Curve",
    "Limits",
    "correct",
    "first_tangent",
    "next_tangent",
    "solve_square",
    "trace",
]

_CORRECTIONS = 10
_SHARPEST_TURN = 0.95  # least cosine between the tangents of neighbouring points
_MOST_STEPS = 5  # of Newton's method: where it takes more, another branch may be what it finds
_HIGHEST = jax.lax.Precision.HIGHEST


class Limits(NamedTuple):
    """Where a curve is followed, and in what steps; coordinates in units of ``scale``.

    Attributes:
        low, high: the box that it may not leave, one number a coordinate; infinite for those without limit.
        scale: the length that counts as one in each coordinate.
        first, least, most: first, shortest and longest step.
    """

    low: Float[Any, " m+1"]
    high: Float[Any, " m+1"]
    scale: Float[Any, " m+1"]
    first: Float[Any, ""]
    least: Float[Any, ""]
    most: Float[Any, ""]


class Correction(NamedTuple):
    """A point brought onto the curve.

    Attributes:
        y: the point.
        steps: how many Newton steps it took.
        converged: whether the last of them was within rounding of 0, and all numbers finite.
        jacobian: ∂G/∂y there, shape (m, m+1).
    """

    y: Float[Array, " m+1"]
    steps: Int[Array, ""]
    converged: Bool[Array, ""]
    jacobian: Float[Array, "m m+1"]


class Curve(NamedTuple):
    """A curve from one end, padded.

    Attributes:
        points: y, shape (length, m+1); what lies behind ``number`` is not filled in.
        tangents: unit tangents, in units of ``scale``.
        number: how many points there are.
        status: CONVERGED where it left the box, with the last point on its boundary, or came back to its
            beginning; MAX_STEPS where the room or the attempts ran out; UNRESOLVED where even the shortest step
            failed; DIVERGED where numbers were no longer finite.
        closed: whether it came back to its beginning.
    """

    points: Float[Array, "length m+1"]
    tangents: Float[Array, "length m+1"]
    number: Int[Array, ""]
    status: Int[Array, ""]
    closed: Bool[Array, ""]


class _Walk(NamedTuple):
    y: Array
    tangent: Array
    context: Any
    length: Array
    number: Array
    attempts: Array
    status: Array
    beyond: Array
    closed: Array
    points: Array
    tangents: Array


def _tolerance(dtype: Any) -> float:
    """The relative Newton step after which the next would be within rounding."""
    return float(jnp.finfo(dtype).eps) ** 0.6


def _with_jacobian(function: Callable[[Array], Array], y: Array) -> tuple[Array, Array]:
    """The value and ∂G/∂y, from one pass."""

    def twice(z: Array) -> tuple[Array, Array]:
        value = function(z)
        return value, value

    matrix, value = jax.jacfwd(twice, has_aux=True)(y)
    return value, matrix


class _Newton(NamedTuple):
    """``step`` is still to be made from ``y``; ``size`` is its relative length."""

    y: Array
    step: Array
    matrix: Array
    number: Array
    size: Array
    before: Array


def _newton(
    equations: Callable[[Array], tuple[Array, Array]], y: Array, scale: Array, most: int, least: float
) -> _Newton:
    """Newton's method until a step is shorter than ``least`` or, within rounding, no shorter than the one before.

    The equations stand once in the compiled program, in the loop.
    """
    settled = _tolerance(y.dtype)

    def one(state: _Newton) -> _Newton:
        y = state.y + state.step
        value, matrix = equations(y)
        step = jnp.linalg.solve(matrix, -value)
        size = jnp.max(jnp.abs(step) / (scale + jnp.abs(y)))
        return _Newton(y, step, matrix, state.number + 1, size, state.size)

    def unfinished(state: _Newton) -> Array:
        stalled = (state.size <= settled) & (state.size >= 0.5 * state.before)
        going = (state.size > least) & ~stalled & ~jnp.isnan(state.size)
        return (state.number == 0) | ((state.number < most) & going)

    infinite = jnp.full((), jnp.inf, y.dtype)
    zero = jnp.zeros_like(y)
    start = _Newton(y, zero, jnp.zeros((y.shape[0], y.shape[0]), y.dtype), jnp.int32(0), infinite, infinite)
    return jax.lax.while_loop(unfinished, one, start)


def solve_square(
    system: Callable[[Array], Array], y: Array, most: int = 20
) -> tuple[Array, Array, Array, Array]:
    """Newton's method for m equations in m unknowns: y, its last step, whether that is within rounding, ∂G/∂y."""
    least = 8 * float(jnp.finfo(y.dtype).eps)
    end = _newton(lambda z: _with_jacobian(system, z), y, jnp.ones_like(y), most, least)
    converged = jnp.isfinite(end.size) & (end.size <= _tolerance(y.dtype))
    return end.y + end.step, end.step, converged, end.matrix


def correct(
    residual: Callable[[Array], Array], y: Float[Array, " m+1"], row: Float[Array, " m+1"], scale: Array
) -> Correction:
    """The point with G = 0 and row · (y − given y) = 0 near the given one, by Newton's method."""
    reference = y

    def equations(z: Array) -> tuple[Array, Array]:
        value, matrix = _with_jacobian(residual, z)
        along = jnp.sum(row * (z - reference))
        return jnp.append(value, along), jnp.concatenate([matrix, row[None]])

    tolerance = _tolerance(y.dtype)
    end = _newton(equations, y, scale, _CORRECTIONS, tolerance)
    y, jacobian = end.y + end.step, end.matrix[:-1]
    sound = jnp.isfinite(jacobian).all() & jnp.isfinite(y).all()
    return Correction(y, end.number, sound & (end.size <= tolerance), jacobian)


def _unit(tangent: Array, scale: Array) -> Array:
    """The tangent of length one in units of ``scale``."""
    return tangent / jnp.sqrt(jnp.sum(jnp.square(tangent / scale)))


def next_tangent(jacobian: Array, tangent: Array, scale: Array) -> Array:
    """The tangent of the curve, on the side of the given one."""
    matrix = jnp.concatenate([jacobian, (tangent / jnp.square(scale))[None]])
    found = jnp.linalg.solve(matrix, jnp.zeros_like(tangent).at[-1].set(1))
    return _unit(found, scale)


def first_tangent(
    jacobian: Float[Array, "m m+1"], scale: Float[Array, " m+1"], coordinate: int
) -> Float[Array, " m+1"]:
    """The unit tangent from ∂G/∂y, towards larger values of one coordinate."""
    null = jnp.linalg.svd(jacobian * scale[None], full_matrices=True)[2][-1] * scale
    return jnp.where(null[coordinate] < 0, -null, null)


def _walk_once(residual: Callable, refresh: Callable, limits: Limits, begin: tuple, walk: _Walk) -> _Walk:
    """One attempt of a step, kept or given up."""
    scale = limits.scale
    row = walk.tangent / jnp.square(scale)
    predicted = walk.y + walk.length * walk.tangent
    found = correct(lambda y: residual(y, walk.context), predicted, row, scale)
    tangent = next_tangent(found.jacobian, walk.tangent, scale)
    cosine = jnp.sum(tangent * row)
    moved = jnp.sqrt(jnp.sum(jnp.square((found.y - predicted) / scale)))
    near = (moved <= 0.3 * walk.length) & (found.steps <= _MOST_STEPS)
    good = found.converged & near & jnp.isfinite(cosine) & (cosine > _SHARPEST_TURN)
    outside = jnp.any((found.y < limits.low) | (found.y > limits.high))
    kept = good & ~outside
    count = jnp.where(kept, walk.number + 1, walk.number)
    quick = (found.steps <= 3) & (cosine > 0.99)
    slow = (found.steps > 4) | (cosine < 0.97)
    factor = jnp.where(good, jnp.where(quick, 1.5, jnp.where(slow, 0.7, 1.0)), 0.5)
    length = jnp.minimum(walk.length * factor.astype(scale.dtype), limits.most)
    # Back at the beginning: the first point lies within the step just made.
    gap = (begin[0] - walk.y) / scale
    ahead = jnp.sum(gap * walk.tangent / scale)
    beside = jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(gap)) - jnp.square(ahead), 0))
    same = jnp.sum(begin[1] * row) > _SHARPEST_TURN
    closed = (
        kept & (walk.number > 4) & (ahead > 0) & (ahead <= walk.length) & (beside < 0.2 * walk.length) & same
    )
    full = count >= walk.points.shape[0] - 1
    status = jnp.where(full | (walk.attempts + 1 >= 4 * walk.points.shape[0]), int(Status.MAX_STEPS), -1)
    status = jnp.where(~good & (length < limits.least), int(Status.UNRESOLVED), status)
    status = jnp.where(closed | (good & outside), int(Status.CONVERGED), status).astype(jnp.int32)
    y = jnp.where(kept, found.y, walk.y)
    following = jnp.where(kept, tangent, walk.tangent)
    context = refresh(y, walk.context)
    return _Walk(
        y,
        following,
        context,
        length,
        count,
        walk.attempts + 1,
        status,
        jnp.where(good & outside, found.y, walk.beyond),
        closed,
        walk.points.at[count].set(y),
        walk.tangents.at[count].set(following),
    )


def _land(residual: Callable, limits: Limits, walk: _Walk) -> tuple[Correction, Array]:
    """The point on the boundary between the last point inside and the first one beyond."""
    step = walk.beyond - walk.y
    wall = jnp.where(walk.beyond > limits.high, limits.high, limits.low)
    crossed = (walk.beyond > limits.high) | (walk.beyond < limits.low)
    share = jnp.where(crossed, (wall - walk.y) / jnp.where(step == 0, 1, step), jnp.inf)
    first = jnp.argmin(share)
    share = jnp.where(jnp.isfinite(share[first]), share[first], 0)
    at = walk.y + share * step
    at = jnp.where(jnp.arange(at.shape[0]) == first, jnp.where(crossed, wall, at), at)
    row = jnp.zeros_like(at).at[first].set(1)
    found = correct(lambda y: residual(y, walk.context), at, row, limits.scale)
    # Newton keeps the coordinate to rounding; it is the boundary's.
    y = jnp.where(jnp.arange(at.shape[0]) == first, at, found.y)
    near = jnp.sqrt(jnp.sum(jnp.square((y - at) / limits.scale))) <= walk.length
    return found._replace(y=y, converged=found.converged & near), share


def trace(
    residual: Callable[[Array, Any], Array],
    refresh: Callable[[Array, Any], Any],
    y: Float[Array, " m+1"],
    tangent: Float[Array, " m+1"],
    context: Any,
    limits: Limits,
    length: int,
) -> Curve:
    """Follow G(y, context) = 0 from a point on it, in the direction of its tangent.

    Args:
        residual: G, shape (m,).
        refresh: a new context after each step, for systems whose borders follow the curve.
        y: a point on the curve.
        tangent: its unit tangent.
        context: what ``residual`` needs besides.
        limits: box, units and steps.
        length: room for so many points, ``y`` the first.
    """
    points = jnp.zeros((length, y.shape[0]), y.dtype).at[0].set(y)
    tangents = jnp.zeros_like(points).at[0].set(tangent)
    zero = jnp.zeros((), jnp.int32)
    begin = (y, tangent)
    start = _Walk(
        y, tangent, context, limits.first, zero, zero, zero - 1, y, jnp.zeros((), bool), points, tangents
    )
    step = functools.partial(_walk_once, residual, refresh, limits, begin)
    walk = jax.lax.while_loop(lambda w: w.status < 0, step, start)
    landing, _ = _land(residual, limits, walk)
    left = (walk.status == int(Status.CONVERGED)) & ~walk.closed
    landed = left & landing.converged
    ending = jnp.where(landed, walk.number + 1, walk.number)
    last = jnp.where(landed, landing.y, walk.y)
    tangent = next_tangent(landing.jacobian, walk.tangent, limits.scale)
    tangent = jnp.where(landed & jnp.isfinite(tangent).all(), tangent, walk.tangent)
    status = jnp.where(left & ~landed, int(Status.UNRESOLVED), walk.status).astype(jnp.int32)
    return Curve(
        walk.points.at[ending].set(last),
        walk.tangents.at[ending].set(tangent),
        ending + 1,
        status,
        walk.closed,
    )
