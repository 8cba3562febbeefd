"""Pseudo-arclength continuation: the curve G(y) = 0 of m equations in m + 1 unknowns, followed step by step.

From a point y with unit tangent t the next one solves G(y) = 0 and ⟨t, y − y_predicted⟩ = 0, so that a turn of the
curve in any one coordinate (a fold) is nothing special. Steps grow where Newton's method is quick and the curve
straight, and shrink where it is not. All in one compiled loop with arrays of a fixed length, in which Newton's
method stands once: for the first point, for every step, and for the last, on the boundary of the box. ``vmap`` over
it follows many curves.

Reference: H. B. Keller, "Numerical solution of bifurcation and nonlinear eigenvalue problems", 1977.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from rnn_dynamics.numerics.newton import Correction, correct, relative_tolerance
from rnn_dynamics.numerics.reductions import largest
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.topology import Lengths, wrapped

_SHARPEST_TURN = 0.95  # least cosine between the tangents of neighbouring points
_MOST_STEPS = 5  # of Newton's method: where it takes more, another branch may be what it finds
_SLOWEST = 0.5  # ratio of two successive Newton steps
_UNEVEN, _UNEVEN_BEFORE = 0.5, 0.25  # of a step's and of the last step's turn: see ``_continues``
_FIRST, _ALONG, _LAST = 0, 1, 2  # what a correction is for


class StepLimits(NamedTuple):
    """Where a curve is followed, and in what steps; coordinates in units of ``scale``.

    Attributes:
        low, high: the box that it may not leave, one number a coordinate; infinite for those without limit.
        scale: the length that counts as one in each coordinate.
        first, least, most: first, shortest and longest step.
        points: the most points wanted, if fewer than there is room for.
    """

    low: Float[Any, " m+1"]
    high: Float[Any, " m+1"]
    scale: Float[Any, " m+1"]
    first: Float[Any, ""]
    least: Float[Any, ""]
    most: Float[Any, ""]
    points: Int[Any, ""] = np.int32(np.iinfo(np.int32).max)


class CurveStart(NamedTuple):
    """Where a curve is entered: its point with row · (y − guess) = 0.

    Attributes:
        guess: a point near the curve.
        row: the direction in which the first point may not move away from ``guess``. The curve is followed to the
            side on which row · tangent has the sign of ``way``.
        held: the coordinate that ``row`` picks out, which then stays exactly what it is; −1 for none.
        way: 1 or −1.
    """

    guess: Float[Any, " m+1"]
    row: Float[Any, " m+1"]
    held: Int[Any, ""]
    way: Float[Any, ""]


class Curve(NamedTuple):
    """A curve from one end, padded.

    Attributes:
        points: y, shape (length, m+1); what lies behind ``number`` is not filled in.
        tangents: unit tangents, in units of ``scale``.
        number: how many points there are; 0 where Newton's method found no first one.
        status: CONVERGED where it left the box, with the last point on its boundary, or came back to its
            beginning; MAX_STEPS where the room or the attempts ran out; UNRESOLVED where even the shortest step
            failed, or the first.
        closed: whether it came back to its beginning.
        jacobian: ∂G/∂y where Newton's method last stood.
    """

    points: Float[Any, "length m+1"]
    tangents: Float[Any, "length m+1"]
    number: Int[Any, ""]
    status: Int[Any, ""]
    closed: Bool[Any, ""]
    jacobian: Float[Any, "m m+1"]


class _Walk(NamedTuple):
    """``aim`` is what the next correction starts from, along ``row``, with the coordinate ``held`` fixed.

    ``turn`` is the change of the tangent over the last step, as a length.
    """

    phase: Array
    aim: Array
    row: Array
    held: Array
    y: Array
    tangent: Array
    turn: Array
    context: Any
    length: Array
    number: Array
    attempts: Array
    status: Array
    closed: Array
    points: Array
    tangents: Array
    jacobian: Array


def _wall(limits: StepLimits, y: Array, beyond: Array) -> tuple[Array, Array]:
    """Where the straight line from y to a point outside meets the boundary of the box, and in which coordinate."""
    crossed = (beyond > limits.high) | (beyond < limits.low)
    wall = jnp.where(beyond > limits.high, limits.high, limits.low)
    share = jnp.where(crossed, (wall - y) / (beyond - y), jnp.inf)
    first = jnp.argmin(share)
    at = y + jnp.where(jnp.isfinite(share[first]), share[first], 0) * (beyond - y)
    return jnp.where((jnp.arange(y.shape[0]) == first) & crossed, wall, at), first.astype(jnp.int32)


class _Judged(NamedTuple):
    """What one correction was worth: whether it is kept, and in a step along the curve how to go on."""

    good: Array
    outside: Array
    length: Array
    turn: Array


def _continues(limits: StepLimits, walk: _Walk, found: Correction, turned: Array, turn: Array) -> Array:
    """Whether point and tangent fit one smooth curve.

    Over a step h along which the curvature keeps its sign, the new point lies ½ h Δt from the predicted one, give
    or take ½ h |Δt|; where it changes its sign, the step before has turned too. On another branch the tangent may
    be the same, and the point is elsewhere.
    """
    offset = (found.y - walk.aim) / limits.scale - 0.5 * walk.length * turned
    floor = relative_tolerance(found.y.dtype) * (1 + largest(found.y / limits.scale))
    allowed = walk.length * (_UNEVEN * turn + _UNEVEN_BEFORE * walk.turn) + floor
    return jnp.sqrt(jnp.sum(jnp.square(offset))) <= allowed


def _judged(limits: StepLimits, walk: _Walk, found: Correction, tangent: Array) -> _Judged:
    along, scale = walk.phase == _ALONG, limits.scale
    cosine = jnp.sum(tangent * walk.row)
    moved = jnp.sqrt(jnp.sum(jnp.square((found.y - walk.aim) / scale)))
    quickly = (found.steps <= _MOST_STEPS) & (found.slowest <= _SLOWEST)
    near = jnp.where(along, (moved <= 0.3 * walk.length) & quickly, moved <= walk.length)
    turned = (tangent - walk.tangent) / scale
    turn = jnp.sqrt(jnp.sum(jnp.square(turned)))
    straight = ~along | ((cosine > _SHARPEST_TURN) & _continues(limits, walk, found, turned, turn))
    good = found.converged & ((walk.phase == _FIRST) | (near & straight))
    quick = (found.steps <= 3) & (cosine > 0.99)
    slow = (found.steps > 4) | (cosine < 0.97)
    factor = jnp.where(good, jnp.where(quick, 1.5, jnp.where(slow, 0.7, 1.0)), 0.5).astype(scale.dtype)
    length = jnp.where(along, jnp.minimum(walk.length * factor, limits.most), walk.length)
    return _Judged(good, along & jnp.any((found.y < limits.low) | (found.y > limits.high)), length, turn)


def _closes(limits: StepLimits, lengths: Lengths | None, walk: _Walk) -> Array:
    """Whether the first point lies within the step from the walk's point along its tangent."""
    scale = limits.scale
    gap = wrapped(walk.points[0] - walk.y, lengths) / scale
    ahead = jnp.sum(gap * walk.tangent / scale)
    beside = jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(gap)) - jnp.square(ahead), 0))
    same = jnp.sum(walk.tangents[0] * walk.row) > _SHARPEST_TURN
    near = (ahead > 0) & (ahead <= walk.length) & (beside < 0.2 * walk.length)
    return (walk.phase == _ALONG) & (walk.number > 5) & near & same


def _walk_once(
    residual: Callable,
    refresh: Callable,
    limits: StepLimits,
    lengths: Lengths | None,
    way: Array,
    walk: _Walk,
) -> _Walk:
    """Make one correction, and say what follows from it."""
    scale, room = limits.scale, walk.points.shape[0]
    found = correct(lambda y: residual(y, walk.context), walk.aim, walk.row, scale)
    corrected = jnp.where(
        jnp.arange(walk.aim.shape[0], dtype=walk.held.dtype) == walk.held, walk.aim, found.y
    )
    first, last = walk.phase == _FIRST, walk.phase == _LAST
    # On the boundary the row is a coordinate's, and the tangent keeps its side of the curve.
    back = last & (jnp.sum(found.tangent * walk.tangent / jnp.square(scale)) < 0)
    tangent = jnp.where(first, way, jnp.where(back, -1.0, 1.0).astype(way.dtype)) * found.tangent
    good, outside, length, turn = _judged(limits, walk, found, tangent)
    kept = good & ~outside & ~(last & (corrected == walk.y).all())
    closed = kept & _closes(limits, lengths, walk)
    count = jnp.where(kept, walk.number + 1, walk.number)
    full = (count >= jnp.minimum(limits.points, room - 1)) | (walk.attempts + 1 >= 4 * room)
    status = jnp.where(full, int(Status.MAX_STEPS), -1)
    failed = ~good & (first | last | (length < limits.least))
    status = jnp.where(failed, int(Status.UNRESOLVED), status)
    status = jnp.where(good & outside, -1, status)
    status = jnp.where(closed | (good & last), int(Status.CONVERGED), status).astype(jnp.int32)
    y, following = jnp.where(kept, corrected, walk.y), jnp.where(kept, tangent, walk.tangent)
    wall, coordinate = _wall(limits, y, found.y)
    picked = (jnp.arange(y.shape[0], dtype=coordinate.dtype) == coordinate).astype(y.dtype)
    at = jnp.maximum(count - 1, 0)
    return _Walk(
        jnp.where(outside & good, _LAST, _ALONG).astype(jnp.int32),
        jnp.where(outside & good, wall, y + length * following),
        jnp.where(outside & good, picked, following / jnp.square(scale)),
        jnp.where(outside & good, coordinate, -1),
        y,
        following,
        jnp.where(kept & ~first, turn, walk.turn),
        refresh(y, walk.context),
        length,
        count,
        walk.attempts + 1,
        status,
        closed,
        walk.points.at[at].set(y),
        walk.tangents.at[at].set(following),
        found.jacobian,
    )


def _unless_ended(walk: _Walk, following: _Walk) -> _Walk:
    """A walk that has ended stays what it is, but for its points: behind the last they may hold anything."""
    ended = walk.status >= 0
    points, tangents = following.points, following.tangents
    blank = walk._replace(points=(), tangents=())  # type: ignore[arg-type]
    fresh = following._replace(points=(), tangents=())  # type: ignore[arg-type]
    kept = jax.tree_util.tree_map(lambda old, new: jnp.where(ended, old, new), blank, fresh)
    return kept._replace(points=points, tangents=tangents)


def trace(
    residual: Callable[[Array, Any], Array],
    refresh: Callable[[Array, Any], Any],
    start: CurveStart,
    context: Any,
    limits: StepLimits,
    length: int,
    *,
    axis: str | None = None,
    lengths: Lengths | None = None,
) -> Curve:
    """Follow G(y, context) = 0 from a point near it to one side.

    Args:
        residual: G, shape (m,).
        refresh: a new context after each step, for systems whose borders follow the curve.
        start: where the curve is entered.
        context: what ``residual`` needs besides.
        limits: box, units and steps.
        length: room for so many points.
        axis: the name of an enclosing ``vmap``'s axis, without which the loop of a batch would copy all its points
            at every step.
        lengths: of the coordinates of y that are phases: a curve that comes round to its beginning is closed.
    """
    guess = jnp.asarray(start.guess)
    points = jnp.zeros((length, guess.shape[0]), guess.dtype)
    zero = jnp.zeros((), jnp.int32)
    walk = _Walk(
        zero + _FIRST,
        guess,
        jnp.asarray(start.row),
        jnp.asarray(start.held, jnp.int32),
        guess,
        jnp.zeros_like(guess),
        jnp.zeros((), guess.dtype),
        context,
        jnp.asarray(limits.first),
        zero,
        zero,
        zero - 1,
        jnp.zeros((), bool),
        points,
        points,
        jnp.zeros((guess.shape[0] - 1, guess.shape[0]), guess.dtype),
    )
    step = functools.partial(_walk_once, residual, refresh, limits, lengths, jnp.asarray(start.way))
    if axis is None:
        walk = jax.lax.while_loop(lambda w: w.status < 0, step, walk)
    else:
        walk = jax.lax.while_loop(
            lambda w: jax.lax.pmin(w.status, axis) < 0, lambda w: _unless_ended(w, step(w)), walk
        )
    return Curve(walk.points, walk.tangents, walk.number, walk.status, walk.closed, walk.jacobian)
