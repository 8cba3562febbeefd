"""Jumps of the limit of a loss along edges between positions: found, narrowed, attributed to their cause."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from rnn_dynamics.cliff.limit_sets import CYCLE, Ends, FollowedStart, joined
from rnn_dynamics.cliff.paths import ParameterPath, Patch
from rnn_dynamics.dynamics.basins.polish import Cycle, orbits_of, polished_cycles, recurrence_distances
from rnn_dynamics.dynamics.bifurcations.locate import located
from rnn_dynamics.dynamics.bifurcations.points import SpecialPoint
from rnn_dynamics.dynamics.return_map import return_map
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status

_PARTS = 16
_LARGE = 0.05  # of the range of the losses: a change between neighbours that is looked into
_SOFT = 0.25  # exponent of the gap in the width from which a gap closes as the interval does
_MOST_PIECES = 4  # jumps between two neighbours
_AHEAD = 512
_PARTED = 1e-3  # of 1 + max|x|: two orbits this far apart have left the saddle between them


@dataclasses.dataclass(frozen=True)
class Jump(Result):
    """A jump of the loss for T → ∞.

    Attributes:
        cause: "basin boundary": x_0 passes from one basin to another while both attractors go on; "fold": the
            attractor on one side ends there; "neither".
        position: on the path, shape (1,) or (2,).
        parameters: θ there, shape (d,).
        interval: the length of the part of the path that holds it.
        before, after: the loss for T → ∞ on the two sides, along increasing coordinate; NaN where it diverges.
        states: the attractors' states that x_T goes to on the two sides, shape (2, n); NaN where it diverges.
        periods: of the two attractors, 0 where it diverges.
        event: the fold, its parameter in the path's coordinates; ``None`` for other causes.
        edge: the saddle that x_0 goes to on the boundary, with its multipliers; ``None`` where none was found.
        status: CONVERGED where the event is located or the interval was narrowed as far as it should be, to a
            rounding on a line; UNRESOLVED where it could not be; UNDECIDED where orbits that settle on no cycle lie
            between the two sides, so that there may be more to it.
    """

    cause: str
    position: Float[np.ndarray, " k"]
    parameters: Float[np.ndarray, " d"]
    interval: float
    before: float
    after: float
    states: Float[np.ndarray, "2 ..."]
    periods: tuple[int, int]
    event: SpecialPoint | None
    edge: Cycle | None
    status: Status

    @property
    def size(self) -> float:
        """|after − before|."""
        return abs(self.after - self.before)

    @property
    def growth(self) -> float:
        """ln|μ| a step of the saddle's unstable multiplier μ: what the steepest gradient grows by; else NaN."""
        if self.edge is None:
            return math.nan
        return math.log(np.abs(self.edge.multipliers).max()) / self.edge.period

    def __repr__(self) -> str:
        where = ", ".join(f"{value:.9g}" for value in self.parameters)
        text = f"Jump({self.cause} at ({where}) ± {self.interval:.1g}, {self.before:.6g} → {self.after:.6g}"
        return text + (f", {self.status.name})" if self.status != Status.CONVERGED else ")")


@dataclasses.dataclass
class _Bracket:
    """Two ends on a segment of the path with a jump between them, and how the narrowing went.

    Attributes:
        sides: the two ends, rows of ``Ends``.
        first: the segment between grid points that it began as.
        broken: whether the attractor on one side is another than the one on the other side.
        widths, gaps: of the interval and between the two states, at every narrowing.
        changes: |change of the loss|, at every narrowing.
        blocked: whether none of the positions inside could be decided.
        hidden: whether positions that are undecided lie inside.
        ended: whether narrowing is over.
    """

    sides: Ends
    first: Float[np.ndarray, "2 k"]
    broken: bool
    widths: list[float]
    gaps: list[float]
    changes: list[float]
    blocked: bool = False
    hidden: bool = False
    ended: bool = False

    @classmethod
    def between(cls, sides: Ends, broken: bool) -> "_Bracket":
        new = cls(sides, sides.positions, broken, [], [], [])
        new.measure()
        return new

    def measure(self) -> None:
        self.widths.append(float(np.linalg.norm(np.diff(self.sides.positions, axis=0))))
        self.gaps.append(float(np.abs(np.diff(self.sides.states, axis=0)).max()))
        self.changes.append(float(np.abs(np.diff(self.sides.losses)[0])))

    def narrowed_to(self, sides: Ends, broken: bool) -> None:
        if self.broken and not broken:  # the attractor is one after all; the loss may jump on it
            self.broken = False
        self.sides = sides
        self.measure()

    @property
    def inner(self) -> np.ndarray:
        """Return 15 positions between the two."""
        low, high = self.sides.positions
        shares = np.arange(1, _PARTS, dtype=low.dtype)[:, None] / _PARTS
        return low + shares * (high - low)

    @property
    def is_soft(self) -> bool:
        """Whether the gap between the two sides closes with the interval, as behind a supercritical flip."""
        series = self.gaps if self.broken else self.changes
        if self.widths[-1] * _PARTS > self.widths[0] or not np.isfinite(series).all():
            return False
        if series[-1] == 0 or series[0] == 0:
            return series[-1] == 0
        # The slope of the last fourfold halving: a jump's gap does not change with the interval.
        last = min(2, len(series) - 1)
        fall = math.log(series[-1 - last] / series[-1])
        return fall >= _SOFT * math.log(self.widths[-1 - last] / self.widths[-1])

    @property
    def is_none(self) -> bool:
        """Whether nothing jumps here after all."""
        return self.is_soft or (not self.broken and len(self.widths) == 1)


def _edges(shape: tuple[int, ...], known: Bool[np.ndarray, " m"]) -> Int[np.ndarray, "e 2"]:
    """Neighbours among the known positions of each row and column, those between them left out."""
    index = np.arange(len(known)).reshape(shape)
    lines = [index] if len(shape) == 1 else [*index, *index.T]
    pairs = []
    for line in lines:
        kept = line.ravel()[known[line.ravel()]]
        pairs.append(np.stack([kept[:-1], kept[1:]], axis=1))
    return np.concatenate(pairs)


def _brackets(start: FollowedStart, shape: tuple[int, ...], ends: Ends) -> list[_Bracket]:
    """The segments on which the attractor is another at the other end, or the loss changes much."""
    edges = _edges(shape, ends.known)
    if not len(edges):
        return []
    low, high = ends.take(edges[:, 0]), ends.take(edges[:, 1])
    broken = start.broken(low, high)
    finite = ends.losses[np.isfinite(ends.losses)]
    spread = float(np.ptp(finite)) if finite.size else 0.0
    with np.errstate(invalid="ignore"):
        rounding = 1e3 * np.finfo(finite.dtype).eps * (1 + np.abs(finite).max(initial=0.0))
        large = np.abs(high.losses - low.losses) > max(_LARGE * spread, rounding)
    chosen = np.flatnonzero(broken | large)
    return [_Bracket.between(ends.take(edges[i]), bool(broken[i])) for i in chosen]


def _narrowed(start: FollowedStart, brackets: list[_Bracket], rounds: int) -> None:
    """Cut each bracket into sixteenths, again and again, and keep the piece that holds its jump.

    The first cut may show several broken pieces: each goes on as a bracket of its own, put behind the first.
    """
    for turn in range(rounds):
        open_ = [bracket for bracket in brackets if not bracket.ended]
        if not open_:
            break
        found = start.ends(np.concatenate([bracket.inner for bracket in open_]))
        chains, pairs = [], []
        for i, bracket in enumerate(open_):
            inner = found.take(slice(i * (_PARTS - 1), (i + 1) * (_PARTS - 1)))
            chain = joined(bracket.sides.take(slice(0, 1)), inner, bracket.sides.take(slice(1, 2)))
            chain = chain.take(chain.known)
            chains.append(chain)
            pairs.append(len(chain.labels) - 1)
        before = joined(*(chain.take(slice(0, -1)) for chain in chains))
        after = joined(*(chain.take(slice(1, None)) for chain in chains))
        broken = np.split(start.broken(before, after), np.cumsum(pairs)[:-1])
        for bracket, chain, breaks in zip(open_, chains, broken, strict=True):
            others = _others(bracket, chain, breaks) if not turn else []
            _choose(bracket, chain, breaks)
            place = next(i for i, each in enumerate(brackets) if each is bracket) + 1
            brackets[place:place] = others


def _by_change(chain: Ends, breaks: np.ndarray) -> np.ndarray:
    """The pieces, broken ones first, by falling change of the loss; to diverge is the largest."""
    changes = np.nan_to_num(np.abs(np.diff(chain.losses)), nan=np.inf)
    return np.lexsort((-changes, ~breaks))


def _others(bracket: _Bracket, chain: Ends, breaks: np.ndarray) -> list[_Bracket]:
    """The broken pieces that ``_choose`` does not keep, the few with the largest changes, in order."""
    order = _by_change(chain, breaks)[1:_MOST_PIECES]
    found = []
    for place in sorted(place for place in order.tolist() if breaks[place]):
        piece = _Bracket.between(chain.take(slice(place, place + 2)), True)
        piece.first = bracket.first
        found.append(piece)
    return found


def _choose(bracket: _Bracket, chain: Ends, breaks: np.ndarray) -> None:
    """Keep one piece of a bracket: the broken one over which the loss changes most, else the one of all."""
    place = int(_by_change(chain, breaks)[0])
    sides = chain.take(slice(place, place + 2))
    shrunk = np.abs(np.diff(sides.positions, axis=0)).max()
    width = np.abs(np.diff(bracket.sides.positions, axis=0)).max()
    bracket.hidden = len(breaks) < _PARTS and shrunk > 1.5 * width / _PARTS
    if shrunk >= width:
        bracket.ended = bracket.blocked = True
        return
    bracket.narrowed_to(sides, bool(breaks[place]))
    limit = 4 * np.spacing(np.abs(sides.positions).max())
    # What has closed while it was narrowed is steep, no jump.
    closed = len(bracket.widths) > 3 and bracket.is_soft
    bracket.ended = closed or bool(shrunk <= limit)


def _surviving(start: FollowedStart, brackets: list[_Bracket]) -> list[tuple[bool, bool]]:
    """For each bracket, whether the attractor of each side goes on, stable, to the other side, as another one."""
    if not brackets:
        return []
    sides = joined(*(bracket.sides for bracket in brackets))
    pairs = len(brackets), 2
    across = sides.positions.reshape(*pairs, -1)[:, ::-1].reshape(sides.positions.shape)
    there, stable = start.followed(sides, across)
    gap = np.repeat(np.abs(np.diff(sides.states.reshape(*pairs, -1), axis=1)).max(axis=(1, 2)), 2)
    moved = np.abs(there - sides.states).max(axis=1)
    goes_on = (sides.labels == CYCLE) & stable & ((moved <= gap / 2) | np.isnan(gap))
    return [(bool(first), bool(second)) for first, second in goes_on.reshape(pairs)]


def _event(
    start: FollowedStart, patch: Patch, bracket: _Bracket, side: int
) -> tuple[SpecialPoint | None, float]:
    """What ends the attractor of a side inside the bracket, and its share of the grid segment."""
    sides, (low, high) = bracket.sides, bracket.first
    segment = Patch(patch, jnp.asarray(low), jnp.asarray(high - low)[None])
    length = np.linalg.norm(high - low)
    shares = np.linalg.norm(sides.positions - low, axis=1) / length
    x = sides.states[side].reshape(start.whole.shape)
    share = jnp.asarray(shares[side], x.dtype)
    held = jax.tree_util.tree_map(lambda leaf: leaf[0], start.whole.inputs)
    period = int(sides.periods[side])
    whole, state = return_map(segment, (share,), x, period=period, u=held, others=())
    width = shares[1] - shares[0]
    for kind in ("fold", "flip", "neimark-sacker"):
        event = located(kind, whole, state, share)
        if event is None or event.status != Status.CONVERGED:
            continue
        at = float(event.parameter)
        slack = width / 2 + 10 * event.interval
        gap = np.abs(np.diff(sides.states, axis=0)).max()
        near = np.abs(np.ravel(event.state) - sides.states[side]).max() <= gap / 2 or np.isnan(gap)
        if shares[0] - slack <= at <= shares[1] + slack and near:
            return event, at
    return None, math.nan


def _edge(start: FollowedStart, sides: Ends) -> Cycle | None:
    """The saddle that the orbits of both sides pass before they part.

    They come nearest to it of all cycles, and beside it part by its multiplier at every turn.
    """
    held = jax.tree_util.tree_map(lambda leaf: leaf[0], start.whole.inputs)
    shape, x0 = start.whole.shape, start.x0[None]
    orbits = [
        orbits_of(start.whole.cell(*position), x0, held, shape, _AHEAD)[0] for position in sides.positions
    ]
    apart = np.abs(orbits[1] - orbits[0]).max(axis=1) / (1 + np.abs(orbits[0]).max(axis=1))
    far = np.flatnonzero(~(apart <= _PARTED))
    stop = max(int(far[0]), 1) if far.size else _AHEAD - start.longest
    stop = min(stop, _AHEAD - start.longest)
    windows = np.stack([orbits[0][t : t + start.longest + 1] for t in range(stop)])
    distances = np.nan_to_num(recurrence_distances(windows), nan=np.inf)
    time = int(np.argmin(distances.min(axis=1)))
    least = distances[time].min()
    period = int(np.argmax(distances[time] <= 2 * least + 16 * np.finfo(x0.dtype).eps)) + 1
    cell = start.whole.cell(*sides.positions.mean(axis=0))
    seed, periods = windows[time, :1], np.array([period])
    for cycle in polished_cycles(cell, seed, periods, held, shape, start.longest):
        near = np.abs(cycle.orbit - seed).max(axis=1).min() <= 1e-2 * (1 + np.abs(seed).max())
        if near and (np.abs(cycle.multipliers) > 1).sum() == 1 and _parts_by(cycle, apart, time):
            return cycle
    return None


def _parts_by(cycle: Cycle, apart: np.ndarray, time: int) -> bool:
    """Whether two orbits part by the saddle's multiplier in one turn about it, to a factor of 2."""
    start, end = apart[time], apart[time + cycle.period]
    if start <= 64 * np.finfo(apart.dtype).eps:
        return True  # the floats do not tell
    return bool(abs(math.log(end / start) - math.log(np.abs(cycle.multipliers).max())) <= math.log(2))


def _attributed(
    start: FollowedStart, path: ParameterPath, bracket: _Bracket, goes_on: tuple[bool, bool]
) -> Jump | None:
    """The jump of a bracket, or ``None`` where nothing jumps there; of a broken one, which attractors go on."""
    sides, event, edge = bracket.sides, None, None
    position, interval = sides.positions.mean(axis=0), bracket.widths[-1]
    status = Status.UNRESOLVED if bracket.blocked else Status.CONVERGED
    if bracket.is_none:
        return None
    if not bracket.broken:
        cause = "neither"
    else:
        ending = [s for s in (0, 1) if sides.labels[s] == CYCLE and not goes_on[s]]
        cause = "neither" if ending else "basin boundary"
        for side in ending:
            event, share = _event(start, path.patch, bracket, side)
            if event is not None and event.kind == "fold":
                low, high = bracket.first
                other_ends = sides.labels[1 - side] == CYCLE and not goes_on[1 - side]
                cause, status = "fold", Status.UNDECIDED if other_ends else Status.CONVERGED
                position = low + np.asarray(share, low.dtype) * (high - low)
                interval = event.interval * float(np.linalg.norm(high - low))
                place = float(position[0]) if len(position) == 1 else (float(position[0]), float(position[1]))
                event = dataclasses.replace(event, parameter=place, interval=interval)
                break
        event = event if cause == "fold" else None
        if cause == "basin boundary":
            edge = _edge(start, sides)
    if cause != "fold" and bracket.blocked and bracket.hidden:
        status = Status.UNDECIDED
    return Jump(
        cause,
        position,
        path.parameters(position[None])[0],
        interval,
        float(sides.losses[0]),
        float(sides.losses[1]),
        sides.states.reshape(2, *start.whole.shape),
        (int(sides.periods[0]), int(sides.periods[1])),
        event,
        edge,
        status,
    )


def jumps_of(start: FollowedStart, path: ParameterPath, ends: Ends, *, rounds: int) -> tuple[Jump, ...]:
    """Every jump of the limit of the loss between neighbours of the path's grid, four for each pair at most."""
    brackets = _brackets(start, path.shape, ends)
    _narrowed(start, brackets, rounds)
    broken = [bracket for bracket in brackets if bracket.broken and not bracket.is_none]
    goes_on = dict(zip(map(id, broken), _surviving(start, broken), strict=True))
    found = (_attributed(start, path, each, goes_on.get(id(each), (False, False))) for each in brackets)
    return tuple(jump for jump in found if jump is not None)
