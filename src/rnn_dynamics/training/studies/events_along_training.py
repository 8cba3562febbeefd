"""Fixed points along training, and the bifurcations that the updates carry the parameters through."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from rnn_dynamics.dynamics.bifurcations.points import SpecialPoint
from rnn_dynamics.dynamics.continuation import Branches, continue_branches
from rnn_dynamics.dynamics.equilibria import FixedPoints, fixed_points
from rnn_dynamics.numerics.batching import filled, namespace, power_of_two_above
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.validation import count, real_array

_LANES = 256  # branches traced together are a multiple of this, or a power of two
_SAME = 1e-6  # distance of two states, relative to max(1, |x|), below which they are one


class PathEvent(NamedTuple):
    """A bifurcation met on the way from one recorded cell to the next.

    Attributes:
        position: along the path: 3.25 lies on the straight segment from cell 3 to cell 4, a quarter of the way.
        kind: as of ``SpecialPoint``.
        change: fixed points (or cycles of this period) that there are behind the event, less those before: 2 or
            −2 at a fold and a pitchfork, 0 where only stability changes hands.
        period: of the cycle that bifurcates.
        unstable: how many multipliers are beyond 1 besides the critical ones: 0 where an attractor takes part.
        point: the located event, its ``parameter`` the share of the segment.
    """

    position: float
    kind: str
    change: int
    period: int
    unstable: int
    point: SpecialPoint

    def __repr__(self) -> str:
        return f"PathEvent({self.kind} at {self.position:.6g}, {self.change:+d})"


@dataclasses.dataclass(frozen=True, repr=False)
class AlongTraining(Result):
    """What a path of cells meets.

    Attributes:
        points: the fixed points and cycles that are known of each recorded cell.
        events: in the order of the path.
        unfinished: how many branches ended inside a segment, neither at its ends nor at an event: what lies
            behind them is not known.
    """

    points: tuple[FixedPoints, ...]
    events: tuple[PathEvent, ...]
    unfinished: int

    @property
    def positions(self) -> Float[np.ndarray, " events"]:
        """The positions of the events, in units of recorded cells."""
        return np.array([event.position for event in self.events])

    @property
    def numbers(self) -> Int[np.ndarray, "m 2"]:
        """How many points each recorded cell has, and how many of them are stable."""
        return np.array([(len(found), int(found.stable.sum())) for found in self.points])

    def of_kind(self, kind: str) -> tuple[PathEvent, ...]:
        """Return the events of one kind."""
        return tuple(event for event in self.events if event.kind == kind)

    def __repr__(self) -> str:
        kinds = [event.kind for event in self.events]
        told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds))) or "no event"
        return f"AlongTraining({len(self.points)} cells, {told}; {self.unfinished} branches unfinished)"


def stacked(cells: Sequence[Any]) -> Any:
    """Cells of one structure as one, a leading axis on every parameter.

    Raises:
        ValueError: fewer than two cells, or cells that differ in more than the values of their parameters.
    """
    cells = list(cells)
    if len(cells) < 2:
        raise ValueError(f"cells: expected at least two, got {len(cells)}")
    structures = {jax.tree_util.tree_structure(cell) for cell in cells}
    shapes = {tuple(np.shape(leaf) for leaf in jax.tree_util.tree_leaves(cell)) for cell in cells}
    if len(structures) > 1 or len(shapes) > 1:
        raise ValueError("cells: expected cells of one type whose parameters have the same shapes")
    return jax.tree_util.tree_map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *cells)


def _on_segment(path: Any, share: Array, segment: Array) -> Any:
    """The cell a share of the way from one recorded cell to the next: θ_j + t (θ_{j+1} − θ_j)."""
    space = namespace(path, share, segment)
    at, share = space.asarray(segment).astype(int), space.asarray(share)

    def between(leaf: Any) -> Any:
        leaf = space.asarray(leaf)
        return leaf[at] + share * (leaf[at + 1] - leaf[at])

    return jax.tree_util.tree_map(between, path)


def events_along(
    cells: Any,
    starts: Any,
    *,
    u: Any = None,
    period: int = 1,
    longest: float = 0.1,
) -> AlongTraining:
    """Fixed points of every cell of a path, and the bifurcations on the straight segments between them.

    Fixed points are sought in each recorded cell from the starts given and from those of the cell before. Every one
    of them is followed along its segment θ_j + t (θ_{j+1} − θ_j), from t = 0 forwards, and backwards from t = 1
    those that no branch arrives at; the events on the branches are located (``continue_branches``). What is born
    and vanishes within one segment, and what no search has found, is missed.

    Args:
        cells: as recorded during training: a sequence of cells, or one cell with a leading axis on every parameter.
        starts: states to seek from, shape (starts, *state), the same for every cell.
        u: an input that is held; ``None`` for none.
        period: cycles whose period divides it are followed too, each of its own period.
        longest: the longest step of a branch as a share of a segment.

    Returns:
        ``AlongTraining``.

    Raises:
        TypeError, ValueError: cells that are not alike, fewer than two of them, starts that do not fit.

    Reference: L. Eisenmann et al., "Bifurcations and loss jumps in RNN training", NeurIPS 2023.
    """
    path = stacked(cells) if isinstance(cells, Sequence) else jax.tree_util.tree_map(jnp.asarray, cells)
    lengths = {leaf.shape[:1] for leaf in jax.tree_util.tree_leaves(path)}
    if len(lengths) != 1 or not lengths or min(lengths) < (2,):
        raise ValueError("cells: expected at least two, along one leading axis of every parameter")
    period = count("period", period, minimum=1)
    first = np.asarray(real_array("starts", starts))
    points = _points_of(path, next(iter(lengths))[0], first, u, period)
    events: list[PathEvent] = []
    unfinished = 0
    for own in sorted({int(p) for found in points for p in found.period}):
        met, lost = _followed(path, points, own, u, longest)
        events += met
        unfinished += lost
    return AlongTraining(tuple(points), tuple(_each_once(events)), unfinished)


def _points_of(path: Any, length: int, starts: np.ndarray, u: Any, period: int) -> list[FixedPoints]:
    """The points of each cell, those of the cell before among the starts."""
    found: list[FixedPoints] = []
    known, on_host = starts[:0], jax.tree_util.tree_map(np.asarray, path)
    for j in range(length):
        cell = jax.tree_util.tree_map(lambda leaf, j=j: leaf[j], on_host)
        found.append(
            fixed_points(cell, np.concatenate([starts, known]), u=u, period=period, slow=False, orbits=0)
        )
        known = found[-1].points
    return found


class _Ends(NamedTuple):
    """Points of one period that branches start from, and the segments these run along."""

    states: np.ndarray
    segments: np.ndarray


def _starts_of(points: Sequence[FixedPoints], period: int, segments: np.ndarray) -> _Ends:
    own = [found.points[found.period == period] for found in points]
    return _Ends(np.concatenate(own), np.repeat(segments, [len(part) for part in own]))


def _followed(
    path: Any, points: Sequence[FixedPoints], period: int, u: Any, longest: float
) -> tuple[list[PathEvent], int]:
    """Events on all branches of one period, and how many branches end inside their segment."""
    trace = functools.partial(_traced, path, period, u, longest)
    segments = np.arange(len(points) - 1)
    ahead = _starts_of(points[:-1], period, segments)
    behind = _starts_of(points[1:], period, segments)
    forward = trace(ahead, 0.0)
    arrived = _arrivals(forward, ahead, behind)
    left = _Ends(behind.states[~arrived], behind.segments[~arrived])
    back = trace(left, 1.0)
    events, unfinished = [], 0
    for branches, ends in ((forward, ahead), (back, left)):
        if branches is None:
            continue
        for i, segment in enumerate(ends.segments):
            whole = branches.number[i] > 0 and (branches.status[i] == Status.CONVERGED).all()
            events += _events_of(branches, i, int(segment)) if branches.number[i] else []
            unfinished += not whole
    return events, unfinished


def _traced(path: Any, period: int, u: Any, longest: float, ends: _Ends, share: float) -> Branches | None:
    """One branch from each of the ends; the last is repeated up to a round number, which spares programs."""
    number = len(ends.states)
    if not number:
        return None
    dtype = ends.states.dtype
    rounded = -(-number // _LANES) * _LANES if number > _LANES else power_of_two_above(number)
    ends = _Ends(filled(ends.states, rounded), filled(ends.segments, rounded))
    return continue_branches(
        Partial(_on_segment, path),
        ends.states,
        np.asarray(share, dtype),
        ends.segments.astype(dtype),
        p_range=(0.0, 1.0),
        period=period,
        u=u,
        longest=longest,
    )


def _arrivals(branches: Branches | None, ahead: _Ends, behind: _Ends) -> np.ndarray:
    """Which points at the ends of segments a branch arrives at."""
    arrived = np.zeros(len(behind.states), bool)
    if branches is None:
        return arrived
    for i, segment in enumerate(ahead.segments):
        here = np.flatnonzero((behind.segments == segment) & ~arrived)
        for row in {0, int(branches.number[i]) - 1} if branches.number[i] else ():
            if branches.parameters[i, row] == 1:
                arrived[here] |= _near(behind.states[here], branches.states[i, row])
    return arrived


def _near(states: np.ndarray, x: np.ndarray) -> np.ndarray:
    gap = np.abs(states - x).max(axis=tuple(range(1, states.ndim)), initial=0)
    return gap <= max(_SAME, float(np.finfo(states.dtype).eps) ** 0.5) * max(1.0, float(np.abs(x).max()))


def _events_of(branches: Branches, i: int, segment: int) -> list[PathEvent]:
    number = branches.number[i]
    unstable, shares = branches.unstable[i, :number], branches.parameters[i, :number]
    if (np.diff(unstable) == 0).all() and (np.diff(np.sign(np.diff(shares))) == 0).all():
        return []
    branch = branches.branch(i)
    return [
        PathEvent(
            segment + float(event.parameter),
            event.kind,
            _change(event, branch.parameters, branch.unstable),
            branches.period,
            _unstable_besides(event),
            event,
        )
        for event in branch.events
        if event.kind != "jump"
    ]


def _unstable_besides(event: SpecialPoint) -> int:
    """Multipliers with |μ| > 1 besides the critical one, or pair."""
    sizes = np.sort(np.abs(np.asarray(event.multipliers)))
    critical = 2 if event.kind == "neimark-sacker" else 1
    others = np.delete(sizes, np.argsort(np.abs(sizes - 1), kind="stable")[:critical])
    return int((others > 1).sum())


def _change(event: SpecialPoint, shares: np.ndarray, unstable: np.ndarray) -> int:
    """How many points more there are behind an event than before it.

    Folds, and pitchforks met on the branch that turns there: two, on the side where the branch lies. Pitchforks
    met on the branch that goes through: two, on its less stable side where they are supercritical, else on the
    other.
    """
    before, after = max(event.index, 0), min(max(event.index, 0) + 1, len(shares) - 1)
    if event.kind == "fold" or (event.kind == "pitchfork" and unstable[before] == unstable[after]):
        return 2 if shares[before] + shares[after] > 2 * event.parameter else -2
    if event.kind != "pitchfork":
        return 0
    less_stable_behind = (unstable[after] > unstable[before]) == (shares[after] > shares[before])
    return 2 if less_stable_behind == (event.criticality == "supercritical") else -2


def _each_once(events: list[PathEvent]) -> list[PathEvent]:
    """Return events that two branches share once, in their order."""
    kept: list[PathEvent] = []
    for event in sorted(events, key=lambda event: event.position):
        x = np.ravel(event.point.state)
        width = 1e-6 + event.point.interval
        same = (
            other
            for other in kept
            if other.kind == event.kind and abs(other.position - event.position) <= width
        )
        if not any(np.abs(np.ravel(other.point.state) - x).max() < 1e-3 for other in same):
            kept.append(event)
    return kept


def loss_jumps(losses: Any, *, least: float = 0.3, apart: int = 3) -> Int[np.ndarray, " jumps"]:
    """Updates i at which a loss jumps, |ln L_{i+1}/L_i| > ``least``; of those close together the first.

    Args:
        losses: L before each update, of one set of sequences throughout, shape (m,), > 0.
        least: 0.3 is a change by a third.
        apart: a change at most so many updates after another belongs to the same jump.

    Raises:
        TypeError, ValueError: losses that are not > 0, fewer than two of them.
    """
    values = np.asarray(real_array("losses", losses, ndim=1), float)
    if len(values) < 2 or values.min() <= 0:
        raise ValueError("losses: expected at least two, all > 0")
    large = np.flatnonzero(np.abs(np.diff(np.log(values))) > least)
    return large[np.diff(large, prepend=-apart - 1) > apart]


class _Coincidences(NamedTuple):
    found: int
    jumps: int
    expected: float
    p: float
    within: float


class Coincidences(Result, _Coincidences):
    """How many jumps have an event beside them, and how many would have one by chance.

    Attributes:
        found: jumps with an event at most ``within`` updates away, of all runs.
        jumps: all of them.
        expected: the mean of ``found`` over all shifts of each run's jumps against its events, around the end.
        p: the share of shifts that have at least as many.
        within: in updates.
    """

    __slots__ = ()


def coincidences(
    positions: Sequence[Any], jumps: Sequence[Any], updates: int, *, within: float = 3.0
) -> Coincidences:
    """Jumps of the loss that coincide with events, beside what chance gives.

    By chance means: all jumps of a run shifted together by any number of updates, around the end, which keeps
    both as clustered as they are; runs are shifted independently of one another.

    Args:
        positions: of each run, where its events are, in updates.
        jumps: of each run, the updates at which its loss jumps; update i leads from parameters i to i + 1.
        updates: of a run.
        within: largest distance of an event from the interval [i, i + 1].

    Raises:
        TypeError, ValueError: updates < 1, jumps outside of them, positions and jumps of different numbers of runs.
    """
    total = count("updates", updates, minimum=1)
    if len(positions) != len(jumps):
        raise ValueError(f"jumps: expected those of {len(positions)} runs, got those of {len(jumps)}")
    found = number = 0
    shares = np.ones(1)
    for where, at in zip(positions, jumps, strict=True):
        by_shift = _by_shift(np.asarray(where, float).ravel(), np.asarray(at, int).ravel(), total, within)
        found += int(by_shift[0])
        number += np.size(at)
        shares = np.convolve(shares, np.bincount(by_shift) / total)
    expected = float(np.sum(np.arange(len(shares)) * shares))
    return Coincidences(found, number, expected, float(shares[found:].sum()), within)


def _by_shift(where: np.ndarray, at: np.ndarray, total: int, within: float) -> np.ndarray:
    """How many jumps have an event beside them, for every shift of the jumps."""
    if at.size and not (at.min() >= 0 and at.max() < total):
        raise ValueError(f"jumps: expected updates in 0 … {total - 1}, got {at.min()} … {at.max()}")
    steps = np.arange(total)
    gaps = np.maximum(steps[:, None] - where[None], where[None] - steps[:, None] - 1)
    covered = np.asarray((gaps <= within).any(axis=1))
    return covered[(at[None] + steps[:, None]) % total].sum(axis=1)
