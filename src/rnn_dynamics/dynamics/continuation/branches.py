"""Branches of fixed points and cycles followed through a parameter, with their multipliers and bifurcations."""

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from rnn_dynamics.dynamics.bifurcations.locate import jacobian_at
from rnn_dynamics.dynamics.bifurcations.points import SpecialPoint
from rnn_dynamics.dynamics.continuation.detect import Signs, signs_along
from rnn_dynamics.dynamics.continuation.paths import (
    TracedBranch,
    joined,
    jumps_among,
    with_turns,
    without_jumps,
)
from rnn_dynamics.dynamics.continuation.search import Track, events_along, lower_period, minimal_period
from rnn_dynamics.dynamics.continuation.tracing import at_parameter, beside, both_ways, limits_of
from rnn_dynamics.dynamics.return_map import ReturnMap, return_map
from rnn_dynamics.numerics.arclength import Curve
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.results import NotKept, Result
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.validation import count, instance, positive, real_array

# Of the sum of the multipliers, between an event and the first point of the branch born there.
_LARGEST_CHANGE = 0.5


@dataclasses.dataclass(frozen=True)
class Branch(Result):
    """A curve of fixed points or cycles x(λ) = F^p(x; λ), in the order in which it is followed.

    Attributes:
        parameters: λ, shape (m,); not monotone around folds.
        states: x, one state of each cycle, shape (m, n), or (m,) for a single neuron. Phases begin in [0, L) at the
            start and run on continuously from there.
        multipliers: eigenvalues of ∂F^p/∂x, shape (m, n).
        unstable: how many of them have |μ| > 1.
        stable: all |μ| < 1.
        residual: the largest |F^p(x) − x|.
        events: the bifurcations met, in the order of the branch.
        period: p.
        status: how the two ends came about, the first point's and the last's: CONVERGED at an end of the range or
            closed; MAX_STEPS where the room ran out; UNRESOLVED where even the shortest step failed; DIVERGED.
        closed: whether the branch came back to its beginning.
        tangents: unit tangents along (x, λ), shape (m, n+1).
        track: what ``switch`` and ``continue_branch`` need to go on.
    """

    parameters: Float[np.ndarray, " m"]
    states: Float[np.ndarray, "m ..."]
    multipliers: Complex[np.ndarray, "m n"]
    unstable: Int[np.ndarray, " m"]
    stable: Bool[np.ndarray, " m"]
    residual: Float[np.ndarray, " m"]
    events: tuple[SpecialPoint, ...]
    period: int
    status: tuple[Status, Status]
    closed: bool
    tangents: Float[np.ndarray, "m n+1"]
    track: Track = dataclasses.field(repr=False)

    picture: ClassVar = "branch"
    _may_lack: ClassVar = ("track",)
    _axes: ClassVar = {"m": "point", "n": "multiplier"}

    def __len__(self) -> int:
        return len(self.parameters)

    def orbits(self) -> Float[np.ndarray, "m p ..."]:
        """All states of every cycle, shape (m, p, n); (m, pq, n) under an input of q steps."""
        if isinstance(self.track, NotKept) and self.period == 1:
            return self.states[:, None]  # of a file, without the family; of q steps of input phase 0 alone
        whole = self.track.whole
        flat = jnp.asarray(self.states.reshape(len(self), -1))
        found = _orbits(whole, flat, jnp.asarray(self.parameters))
        return np.asarray(found).reshape(len(self), whole.steps, *whole.shape)

    def of_kind(self, kind: str) -> tuple[SpecialPoint, ...]:
        """Return the events of one kind."""
        return tuple(event for event in self.events if event.kind == kind)

    def switch(self, event: SpecialPoint, *, distance: float = 1e-2) -> "Branch":
        """The branch that is born at an event; see ``dynamics.switch_branch``."""
        return switch_branch(self, event, distance=distance)

    def __repr__(self) -> str:
        low, high = float(self.parameters.min()), float(self.parameters.max())
        kind = "fixed points" if self.period == 1 else f"{self.period}-cycles"
        ends = "closed" if self.closed else ", ".join(s.name for s in self.status)
        events = ", ".join(f"{e.kind} at {e.parameter:.9g}" for e in self.events) or "no event"
        return f"Branch({kind}, {len(self)} points, {low:g} to {high:g}, {events}; ends {ends})"


@lean
def _orbits(whole: ReturnMap, states: Array, parameters: Array) -> Array:
    return jax.vmap(lambda x, p: whole.orbit(x, p)[1])(states, parameters)


def continue_branch(
    family: Any,
    x: Any,
    p: Any,
    *,
    p_range: tuple[Any, Any],
    period: int = 1,
    u: Any = None,
    inputs: Any = None,
    others: tuple = (),
    longest: float = 0.02,
    max_points: int = 1000,
    topology: Any = None,
) -> Branch:
    """Follow the fixed point or cycle near x at λ = p in both directions, around folds, to the ends of the range.

    Pseudo-arclength continuation of F^p(x; λ) − x = 0 with steps that adapt to the curve. Folds, flips,
    Neimark–Sacker bifurcations, pitchforks and transcritical crossings on it are located to rounding, each with
    its normal form (``bifurcations``). Where several lie within one step it is halved until each stands alone.

    Two folds within one step are found where the parameter visibly turns back there (by Hermite's cubic); two
    events of any other kind within one step, as two flips, leave no trace at its ends and are missed: ``longest``
    sets the steps.
    A step that lands on a disconnected branch is made anew in shorter ones; two branches that come nearer than
    rounding lets see count as crossing. Lengths are in units of max(|x|, 1): a fold of states far smaller than 1
    turns too sharply, and the branch ends there, UNRESOLVED; give such states in a unit of their own size.

    Args:
        family: ``family(p, *others) -> cell``.
        x: a state near the fixed point, or near one state of the cycle; Newton's method takes it there.
        p: the parameter to start at, inside the range.
        p_range: (low, high).
        period: p of the cycle, in steps of the cell (or of its periodic input).
        u: an input that is held.
        inputs: a periodic input instead, leading axis q: the map is then q steps long, and p counts multiples of q.
        others: further parameters of the family, which stay what they are.
        longest: longest step, as a fraction of the range (and of the states' own scale).
        max_points: the most points on each side of the start.
        topology: one entry for each coordinate, or one for all: the length L > 0 of a coordinate taken modulo L
            (2π, 1, 360), ``None`` for one on the line.

    Returns:
        ``Branch``, from the end reached against the parameter's direction to the other.

    Raises:
        TypeError: a family or cell that is not callable.
        ValueError: period < 1, a range that is empty or excludes p, longest ≤ 0, arguments that do not fit, or no
            fixed point near x.

    References: H. B. Keller 1977; Yu. A. Kuznetsov, "Elements of Applied Bifurcation Theory", chapter 10.
    """
    low, high = checked_range(p_range, p)
    step, most = positive("longest", longest), count("max_points", max_points, minimum=2)
    parameter = real_array("p", p, ndim=0)
    rest: dict[str, Any] = {
        "period": period,
        "u": u,
        "inputs": inputs,
        "others": others,
        "topology": topology,
    }
    whole, state = return_map(family, (parameter,), x, **rest)
    parameter = parameter.astype(state.dtype)
    size = np.maximum(np.max(np.abs(np.asarray(state)), initial=0), 1) * math.sqrt(whole.size)
    scale = np.append(np.full(whole.size, size), high - low).astype(state.dtype)
    track = Track(whole, scale, (low, high), step, most, state.dtype)
    curves = both_ways(whole, at_parameter(state, parameter), limits_of(scale, (low, high), step), most)
    if not curves[0].number:
        raise ValueError(
            f"x: expected a state near a cycle of period {period} at p = {float(parameter):g}; Newton finds none"
        )
    lower = minimal_period(track, curves[0].points[0], period)
    if lower != period:
        raise ValueError(
            f"period: Newton's method reaches a cycle of period {lower} from x, expected {period}"
        )
    return followed(track, *curves)


def checked_range(p_range: Any, p: Any) -> tuple[float, float]:
    ends = np.asarray(real_array("p_range", p_range, shape=(2,)), float)
    low, high = float(ends[0]), float(ends[1])
    if not low < high:
        raise ValueError(f"p_range: expected (low, high) with low < high, got ({low:g}, {high:g})")
    start = float(real_array("p", p, ndim=0))
    if not low <= start <= high:
        raise ValueError(f"p_range: expected a range that holds p = {start:g}, got ({low:g}, {high:g})")
    return low, high


def followed(track: Track, forward: Curve, backward: Curve, *, birth: SpecialPoint | None = None) -> Branch:
    """The branch from its two curves, which share their first point, or away from the event it is born at."""
    if birth is None:
        path = with_turns(track, joined(forward, backward))
        return assembled(track, path, signs_along(track.whole, path.points, path.tangents))
    path = with_turns(track, joined(forward, backward._replace(number=np.int32(1))))
    at, along = _at_flip(track, birth, path.tangents[0])
    points, tangents = np.vstack([at, path.points]), np.vstack([along, path.tangents])
    path = path._replace(points=points, tangents=tangents, status=(Status.CONVERGED, path.status[1]))
    branch = assembled(track, path, signs_along(track.whole, points, tangents), first=1)
    # The event that a branch begins at is one of its own.
    squares = None if birth.multipliers is None else np.square(birth.multipliers)
    begun = dataclasses.replace(birth, index=0, multipliers=squares)
    return dataclasses.replace(branch, events=(begun, *branch.events))


def _at_flip(track: Track, flip: SpecialPoint, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The point where a doubled cycle begins or ends, and its tangent there on the side of a neighbour's."""
    at = np.append(np.ravel(flip.state), flip.parameter).astype(track.dtype)
    along = np.append(_critical_direction(flip), 0).astype(track.dtype)
    side = 1 if np.sum(along / track.scale * (near / track.scale)) >= 0 else -1
    return at, along * side / np.linalg.norm(along / track.scale)


def assembled(track: Track, path: TracedBranch, signs: Signs, *, first: int = 0) -> Branch:
    """The branch with its events, cut on both sides of its start where the cycle collapses to a lower period.

    There it ends at the very flip that it is born from.
    """
    events = events_along(track, path.points, path.tangents, signs, first=first)
    jumps = jumps_among(track, path.points, path.tangents, signs, events)
    if jumps[first:].any():
        path = with_turns(track, without_jumps(track, path, jumps & (np.arange(len(jumps)) >= first)))
        signs = signs_along(track.whole, path.points, path.tangents)
        events = events_along(track, path.points, path.tangents, signs, first=first)
    points, tangents, status, closed, start = path
    first, last, cuts = _collapses(track, points, events, start)
    if cuts != [None, None]:
        closed = False
        kept = [e for e in events if first <= e.index + 1 and e.index < last and e.kind != "jump"]
        points, tangents = points[first:last], tangents[first:last]
        ends = [Status.UNRESOLVED if cut and cut.kind == "jump" else Status.CONVERGED for cut in cuts]
        status = (ends[0] if cuts[0] else status[0], ends[1] if cuts[1] else status[1])
        if cuts[0] and cuts[0].kind == "flip":
            at, along = _at_flip(track, cuts[0], tangents[0])
            points, tangents = np.vstack([at, points]), np.vstack([along, tangents])
            first -= 1
        if cuts[1] and cuts[1].kind == "flip":
            at, along = _at_flip(track, cuts[1], tangents[-1])
            points, tangents = np.vstack([points, at]), np.vstack([tangents, along])
        events = tuple(dataclasses.replace(e, index=max(e.index - first, 0)) for e in kept)
        signs = signs_along(track.whole, points, tangents)
    return Branch(
        points[:, -1],
        points[:, :-1].reshape(len(points), *track.whole.shape),
        signs.multipliers,
        signs.unstable,
        np.abs(signs.multipliers).max(axis=1) < 1,
        signs.residual,
        events,
        track.whole.period,
        status,
        closed,
        tangents,
        track,
    )


def _collapses(
    track: Track, points: np.ndarray, events: tuple[SpecialPoint, ...], start: int
) -> tuple[int, int, list[SpecialPoint | None]]:
    """The part of the branch around its start on which the cycle keeps its period, and the events that cut it.

    Where a step has jumped to another branch, as happens among cycles with enormous multipliers, it ends too.
    """
    first, last = 0, len(points)
    cuts: list[SpecialPoint | None] = [None, None]
    for event in events:
        if event.kind != "jump" and (event.kind != "flip" or not lower_period(track, event)):
            continue
        if event.index < start and event.index + 1 > first:
            first, cuts[0] = event.index + 1, event
        if event.index >= start and event.index + 1 < last:
            last, cuts[1] = event.index + 1, event
    return first, last, cuts


def _critical_direction(event: SpecialPoint) -> np.ndarray:
    """Return the critical right vector of a located event."""
    if event.direction is None:
        raise ValueError(f"event: expected a located {event.kind}, got one that is {event.status.name}")
    return event.direction


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

    Returns:
        ``Branch``, its first point beside the event.

    Raises:
        TypeError: no branch.
        ValueError: no branch of fixed points or cycles is born at an event of that kind; nothing found beside it.

    Reference: Yu. A. Kuznetsov, "Elements of Applied Bifurcation Theory", chapter 10.
    """
    instance("branch", branch, Branch, "continue_branch")
    if not isinstance(event, SpecialPoint) or event not in branch.events:
        raise ValueError("event: expected one of branch.events")
    if event.kind not in ("flip", "pitchfork", "transcritical"):
        raise ValueError(f"event: expected a flip, pitchfork or transcritical point, got a {event.kind}")
    track = branch.track
    x = np.ravel(event.state).astype(track.dtype)
    if event.kind == "flip":
        track = dataclasses.replace(track, whole=track.whole.twice())
        tangent = np.append(_critical_direction(event), 0)
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
