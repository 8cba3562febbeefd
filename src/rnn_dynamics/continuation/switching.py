"""The branch that is born at a bifurcation: doubled cycles at flips, the other branch where two cross."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnn_dynamics import arclength
from rnn_dynamics.bifurcations import normal_forms, systems
from rnn_dynamics.bifurcations.points import SpecialPoint
from rnn_dynamics.continuation.branches import Branch, follow
from rnn_dynamics.continuation.search import Track
from rnn_dynamics.iterates import ReturnMap

__all__ = ["switch_branch"]

# Of the sum of the multipliers, between an event and the first point of the branch born there.
_LARGEST_CHANGE = 0.5


@jax.jit
def _directions(whole: ReturnMap, x: Array, parameter: Array) -> tuple[Array, Array, Array, Array, Array]:
    """q, v and the coefficients of a ξ² + b ξ η + c η² = 0, whose roots are the branches ξ (q, 0) + η (v, 1)."""
    form = normal_forms.branching(whole, x, parameter, systems.jacobian(whole, x, parameter))
    return form["across"], form["along"], form["square"], form["mixed"], form["other"]


@jax.jit
def _beside(whole: ReturnMap, start: Array, row: Array, scale: Array) -> tuple[Array, Array, Array]:
    def residual(y: Array) -> Array:
        return whole(y[:-1], y[-1]) - y[:-1]

    found = arclength.correct(residual, start, row, scale)
    return found.y, arclength.next_tangent(found.jacobian, row * jnp.square(scale), scale), found.converged


def _other_tangent(event: SpecialPoint, branch: Branch, x: np.ndarray) -> np.ndarray:
    """The tangent of the branch that crosses: the root of the reduced equation farther from the one followed."""
    whole, scale = branch.track.whole, branch.track.scale
    dtype = branch.track.dtype
    q, v, a, b, c = (
        np.asarray(e) for e in _directions(whole, jnp.asarray(x), jnp.asarray(event.parameter, dtype))
    )
    across = np.append(q, 0)
    if event.kind == "pitchfork":
        return across
    root = np.sqrt(np.maximum(b * b - 4 * a * c, 0))
    along = np.append(v, 1)
    ways = [np.append((-b + s * root) / (2 * a) * q, 0) + along for s in (1, -1)]
    ways = [way / np.linalg.norm(way / scale) for way in ways]
    here = branch.tangents[max(event.index, 0)]
    return min(ways, key=lambda way: abs(np.sum(way / scale * (here / scale))))


def switch_branch(branch: Branch, event: SpecialPoint, *, distance: float = 1e-2) -> Branch:
    """The branch that leaves at an event: 2p-cycles at a flip, the crossing branch at a pitchfork or transcritical.

    A point beside the event along the critical direction is brought onto the new branch by Newton's method with
    the distance held and the parameter free, then followed both ways over the range of the first branch; a doubled
    cycle from its flip away, as its other half is the same cycle a step later.

    Args:
        branch: where the event was met.
        event: a flip, pitchfork or transcritical point of it.
        distance: how far beside the event to start, in units of the branch's scale.

    Raises:
        ValueError: no branch of fixed points or cycles is born at an event of that kind; nothing found beside it.
    """
    if not isinstance(event, SpecialPoint) or event not in branch.events:
        raise ValueError("event: expected one of branch.events")
    if event.kind not in ("flip", "pitchfork", "transcritical"):
        raise ValueError(f"event: expected a flip, pitchfork or transcritical point, got a {event.kind}")
    track = branch.track
    x = np.ravel(event.state).astype(track.dtype)
    if event.kind == "flip":
        track = dataclasses.replace(track, whole=track.whole.twice())
        tangent = np.append(event.direction, 0)  # type: ignore[arg-type]
    else:
        tangent = _other_tangent(event, branch, x)
    tangent = (tangent / np.linalg.norm(tangent / track.scale)).astype(track.dtype)
    centre = np.append(x, event.parameter).astype(track.dtype)
    for length in distance * 0.5 ** np.arange(12):
        y, along, converged = _start(track, centre, tangent, float(length))
        if converged and _still_near(track, y, centre):
            return follow(track, y, along, birth=event if event.kind == "flip" else None)
    raise ValueError(
        f"event: found no branch beside the {event.kind} at {event.parameter:g}; try another distance"
    )


def _still_near(track: Track, y: Any, centre: np.ndarray) -> bool:
    """Whether the multipliers have hardly moved since the event, so that no other lies between."""
    here, there = (_trace(track.whole, point) for point in (jnp.asarray(y), jnp.asarray(centre)))
    return bool(abs(float(here) - float(there)) < _LARGEST_CHANGE)


@jax.jit
def _trace(whole: ReturnMap, y: Array) -> Array:
    """Tr ∂F^p/∂x."""
    return jnp.trace(systems.jacobian(whole, y[:-1], y[-1]))


def _start(track: Track, centre: np.ndarray, tangent: np.ndarray, length: float) -> tuple[Any, Any, bool]:
    row = tangent / np.square(track.scale)
    start = (centre + length * tangent).astype(track.dtype)
    y, along, converged = _beside(track.whole, start, row, track.scale)
    away = np.asarray(y) - centre
    inside = track.p_range[0] <= float(y[-1]) <= track.p_range[1]
    near = np.linalg.norm(away / track.scale) <= 4 * length
    return y, along, bool(converged and inside and near)
