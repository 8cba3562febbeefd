"""A branch from end to end, and the two ways its steps may deceive: jumps to another branch, two folds within one.

Where the bordered determinant changes its sign over a step, another branch crosses there, or Newton's method has
landed on one that does not. The second is followed once more from before the jump in shorter steps.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from rnn_dynamics.dynamics.bifurcations.points import SpecialPoint
from rnn_dynamics.dynamics.continuation.detect import Signs, signs_along
from rnn_dynamics.dynamics.continuation.search import Track, differ, events_along
from rnn_dynamics.dynamics.continuation.tracing import beside, limits_of, one_point, onwards
from rnn_dynamics.numerics.arclength import Curve
from rnn_dynamics.numerics.status import Status

_CROSSINGS = ("pitchfork", "transcritical", "flip")  # where a doubled cycle meets the one it doubles

_MOST_RETRIES = 60  # of all steps of one branch
_SHORTEST = 1e-8  # step, in units of the branch's scale, that is tried anew no more
_PATCH = 12  # points in steps of a quarter of the one that failed
_SLIGHT = 0.02  # of the lesser |dλ/ds| at the ends of a step: where it is less between them, two folds may be
_MOST_TURNS = 50


class TracedBranch(NamedTuple):
    """A branch from one end to the other: its points, their tangents, and which of them is the start."""

    points: Float[np.ndarray, "m n+1"]
    tangents: Float[np.ndarray, "m n+1"]
    status: tuple[Status, Status]
    closed: bool
    start: int


def joined(forward: Curve, backward: Curve) -> TracedBranch:
    """Join the two curves that leave a start, which they share."""
    closed = bool(forward.closed)
    behind, ahead = 1 if closed else int(backward.number), int(forward.number)
    ends = (forward if closed else backward).status, forward.status
    return TracedBranch(
        np.concatenate([backward.points[1:behind][::-1], forward.points[:ahead]]),
        np.concatenate([-backward.tangents[1:behind][::-1], forward.tangents[:ahead]]),
        (Status(int(ends[0])), Status(int(ends[1]))),
        closed,
        max(behind - 1, 0),
    )


@dataclasses.dataclass(frozen=True)
class _Way:
    """One side of a branch from its start outwards, with the steps over which it may have left the branch."""

    points: Float[np.ndarray, "m n+1"]
    tangents: Float[np.ndarray, "m n+1"]
    suspect: Bool[np.ndarray, " m-1"]
    status: Status
    closed: bool = False

    def cleared(self, step: int) -> "_Way":
        return dataclasses.replace(self, suspect=self.suspect & (np.arange(len(self.suspect)) != step))

    def until(self, count: int, status: Status) -> "_Way":
        return _Way(self.points[:count], self.tangents[:count], self.suspect[: count - 1], status)

    def followed_by(self, curve: Curve, count: int, suspect: np.ndarray) -> "_Way":
        """The way, and the points 1 to ``count`` − 1 of a curve from its last one."""
        if curve.closed and count == curve.number:
            return _Way(curve.points[:count], curve.tangents[:count], suspect, Status.CONVERGED, True)
        return _Way(
            np.concatenate([self.points, curve.points[1:count]]),
            np.concatenate([self.tangents, curve.tangents[1:count]]),
            np.concatenate([self.suspect, suspect[: count - 1]]),
            Status(int(curve.status)),
        )


@dataclasses.dataclass
class _Mending:
    """Counts the steps that may still be tried anew."""

    track: Track
    retries: int = _MOST_RETRIES

    def ahead(self, way: _Way, first: float, longest: float, most: int) -> Curve:
        self.retries -= 1
        return onwards(
            self.track.whole,
            beside(way.points[-1], way.tangents[-1], 0, self.track.scale),
            limits_of(self.track.scale, self.track.p_range, longest, first),
            most,
            self.track.most,
        )

    def mended(self, way: _Way) -> _Way:
        """The way with each jump replaced by what shorter steps find, or cut where they find nothing."""
        while way.suspect.any():
            way = self.redone(way, int(np.argmax(way.suspect)))
        return way

    def redone(self, way: _Way, step: int) -> _Way:
        """Return the path traced anew from one jump on."""
        track = self.track
        width = float(np.linalg.norm((way.points[step + 1] - way.points[step]) / track.scale))
        head, last = way.until(step + 1, Status.UNRESOLVED), None
        while self.retries > 0 and width > _SHORTEST and len(head.points) <= track.most:
            width /= 4
            curve = self.ahead(head, width, width, _PATCH)
            count = int(curve.number)
            signs = signs_along(track.whole, curve.points[:count], curve.tangents[:count])
            changes = _changes(track, curve.points[:count], curve.tangents[:count], signs)
            if count > 1 and not changes.any():
                return self.extended(head.followed_by(curve, count, changes), width)
            if changes.any():
                change = int(np.argmax(changes))
                last = signs.multipliers[change : change + 2]
                head = head.followed_by(curve, change + 1, changes)
        if self.retries > 0 and width <= _SHORTEST and last is not None and not differ(*last):
            return way.cleared(step)  # the sign changes over steps as short as can be: no jump
        return dataclasses.replace(head, status=Status.UNRESOLVED)

    def extended(self, way: _Way, first: float) -> _Way:
        """The way, followed from its last point to the end; crossings there that can be located are no jumps."""
        track = self.track
        if way.closed or len(way.points) > track.most:
            return dataclasses.replace(way, status=Status.CONVERGED if way.closed else Status.MAX_STEPS)
        curve = self.ahead(way, first, track.longest, track.most + 1 - len(way.points))
        count = int(curve.number)
        points, tangents = curve.points[:count], curve.tangents[:count]
        suspect = jumps_among(track, points, tangents, signs_along(track.whole, points, tangents))
        return way.followed_by(curve, count, suspect)


def _changes(track: Track, points: np.ndarray, tangents: np.ndarray, signs: Signs) -> np.ndarray:
    """The steps over which the bordered determinant changes its sign although they are not straight to rounding."""
    steps = np.diff(points, axis=0) / track.scale
    middle = (tangents[1:] + tangents[:-1]) / (2 * track.scale)
    straight = np.linalg.norm(steps, axis=1, keepdims=True) * middle
    rounding = 1e3 * np.finfo(track.dtype).eps * (1 + np.abs(points / track.scale).max(initial=0))
    bent = np.linalg.norm(steps - straight, axis=1) > rounding
    return (signs.flags[1:, 1] != signs.flags[:-1, 1]) & bent


def jumps_among(
    track: Track,
    points: np.ndarray,
    tangents: np.ndarray,
    signs: Signs,
    events: tuple[SpecialPoint, ...] | None = None,
) -> Bool[np.ndarray, " m-1"]:
    """The steps over which the sign changes, and no crossing was located."""
    changes = signs.flags[1:, 1] != signs.flags[:-1, 1]
    if not changes.any():
        return changes
    changes = _changes(track, points, tangents, signs)
    if events is None and changes.any():
        events = events_along(track, points, tangents, signs)
    for event in events or ():
        if event.kind in _CROSSINGS and event.status == Status.CONVERGED:
            changes[event.index] = False
    return changes


def without_jumps(track: Track, path: TracedBranch, jumps: Bool[np.ndarray, " m-1"]) -> TracedBranch:
    """The path with the given steps, and all behind them as seen from the start, followed anew in shorter ones."""
    at, mending = path.start, _Mending(track)
    ahead = mending.mended(
        _Way(path.points[at:], path.tangents[at:], jumps[at:], path.status[1], path.closed)
    )
    if ahead.closed:
        return TracedBranch(ahead.points, ahead.tangents, (ahead.status, ahead.status), True, 0)
    status = Status.UNRESOLVED if path.closed else path.status[0]
    back = _Way(path.points[at::-1], -path.tangents[at::-1], jumps[:at][::-1], status)
    back = _Mending(track).mended(back)
    if back.closed:
        return TracedBranch(back.points[::-1], -back.tangents[::-1], (back.status, back.status), True, 0)
    return TracedBranch(
        np.concatenate([back.points[:0:-1], ahead.points]),
        np.concatenate([-back.tangents[:0:-1], ahead.tangents]),
        (back.status, ahead.status),
        False,
        len(back.points) - 1,
    )


def _slowest(track: Track, points: np.ndarray, tangents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where along each step, as a share of it, dλ/ds of Hermite's cubic is least, and the least over an end's.

    Signed: below 0 the parameter turns back between the ends. 1 where they differ in sign.
    """
    steps = np.diff(points, axis=0) / track.scale
    width = np.sqrt(np.einsum("ij,ij->i", steps, steps))
    slopes = tangents[:, -1] / track.scale[-1]
    side = np.sign(slopes[:-1])
    first, last, rise = slopes[:-1] * width * side, slopes[1:] * width * side, steps[:, -1] * side
    # The slope at a share r is first + r (2b + 3c r).
    b, c = 3 * rise - 2 * first - last, first + last - 2 * rise
    share = np.divide(-b, 3 * c, out=np.full_like(b, 0.5), where=c > 0)
    inner = (share > 0) & (share < 1) & (np.minimum(first, last) > 0) & (width > _SHORTEST)
    lesser = np.where(inner, np.minimum(first, last), 1)
    least = (first + share * (2 * b + 3 * c * share)) / lesser
    return share, np.where(inner, least, 1)


def with_turns(track: Track, path: TracedBranch) -> TracedBranch:
    """The path with a point more on each step within which the parameter seems to turn back, and turn again.

    Two folds within one step change no sign over it.
    """
    left = _MOST_TURNS
    while left > 0:
        share, least = _slowest(track, path.points, path.tangents)
        steps = np.flatnonzero(least < _SLIGHT)[:left]
        found = [(i, *_between(track, path, int(i), float(share[i]))) for i in steps]
        found = [(i, point, tangent) for i, point, tangent, fits in found if fits]
        if not found:
            return path
        left -= len(found)
        places = np.array([i + 1 for i, _, _ in found])
        path = path._replace(
            points=np.insert(path.points, places, [point for _, point, _ in found], axis=0),
            tangents=np.insert(path.tangents, places, [tangent for _, _, tangent in found], axis=0),
            start=path.start + int((places <= path.start).sum()),
        )
    return path


def _between(
    track: Track, path: TracedBranch, step: int, share: float
) -> tuple[np.ndarray, np.ndarray, bool]:
    """The point at a share of a step, its tangent, and whether it is one between the ends."""
    start, along = path.points[step], path.tangents[step] / track.scale
    gap = np.sum((path.points[step + 1] - start) / track.scale * along)
    seed = beside(start, path.tangents[step], share * gap, track.scale)
    point, tangent, converged = one_point(track.whole, seed, track.scale, track.most)
    beyond = np.sum((path.points[step + 1] - point) / track.scale * along)
    near = np.linalg.norm((point - seed[0]) / track.scale) <= 0.3 * gap
    return point, tangent, converged and bool(near and 0 < beyond < gap)
