"""The branch that is born at a bifurcation: doubled cycles at flips, the other branch where two cross."""

import dataclasses

import numpy as np

from rnn_dynamics.dynamics.bifurcations.locate import jacobian_at
from rnn_dynamics.dynamics.bifurcations.points import SpecialPoint
from rnn_dynamics.dynamics.continuation.branches import Branch, followed
from rnn_dynamics.dynamics.continuation.search import Track
from rnn_dynamics.dynamics.continuation.tracing import beside, both_ways, limits_of

__all__ = ["switch_branch"]

# Of the sum of the multipliers, between an event and the first point of the branch born there.
_LARGEST_CHANGE = 0.5


def _other_tangent(event: SpecialPoint, branch: Branch) -> np.ndarray:
    """The tangent of the branch that crosses, the one farther from the branch followed."""
    if event.crossing is None:
        raise ValueError(f"event: expected a located {event.kind}, got one that is {event.status.name}")
    scale, here = branch.track.scale, branch.tangents[max(event.index, 0)]
    ways = [way / np.linalg.norm(way / scale) for way in event.crossing]
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
        tangent = _other_tangent(event, branch)
    tangent = (tangent / np.linalg.norm(tangent / track.scale)).astype(track.dtype)
    centre = np.append(x, event.parameter).astype(track.dtype)
    limits = limits_of(track.scale, track.p_range, 0.02)
    for length in distance * 0.5 ** np.arange(12):
        seed = beside(centre, tangent, length, track.scale)
        curves = both_ways(track.whole, seed, limits, track.most, backward=event.kind != "flip")
        if curves[0].number and _near(track, curves[0].points[0], centre, float(length)):
            return followed(track, *curves, birth=event if event.kind == "flip" else None)
    raise ValueError(
        f"event: found no branch beside the {event.kind} at {event.parameter:g}; try another distance"
    )


def _near(track: Track, y: np.ndarray, centre: np.ndarray, length: float) -> bool:
    """Whether the point is inside the range, near the event, and no other event lies between.

    The last by the sum of the multipliers, which has then hardly moved.
    """
    if not track.p_range[0] <= y[-1] <= track.p_range[1]:
        return False
    here, there = (np.trace(jacobian_at(track.whole, point[:-1], point[-1])) for point in (y, centre))
    close = np.linalg.norm((y - centre) / track.scale) <= 4 * length
    return bool(close and abs(here - there) < _LARGEST_CHANGE)
