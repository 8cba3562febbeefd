"""The starts' own orbits, iterated until it is known where each ends; what they end at and was not known is kept.

An orbit ends at a stable point where a norm that the point's multipliers give decreases from its state on; never
because it stopped moving. Orbits that rest on an unstable point, as those of symmetric starts do in floats, are set
apart, and orbits started beside every unstable point show where it lets go to.
"""

import dataclasses

import numpy as np

from rnn_dynamics.dynamics.equilibria import newton
from rnn_dynamics.dynamics.equilibria.attracting import Attracting
from rnn_dynamics.dynamics.equilibria.cycles import Roots, measured, split_by_period
from rnn_dynamics.dynamics.equilibria.ends import OrbitEnd
from rnn_dynamics.dynamics.equilibria.equation import RootProblem
from rnn_dynamics.dynamics.equilibria.known import ONE_ROOT, Known
from rnn_dynamics.dynamics.equilibria.merging import clusters
from rnn_dynamics.dynamics.equilibria.orbit_kernels import AT_REST, TAIL, advanced, returns, settled, windows
from rnn_dynamics.dynamics.equilibria.recurrence import LONGEST, TURNS, first_periods, recurrent
from rnn_dynamics.dynamics.phases import embedded, seated

_LEVELS = (64, 256, 1024, 4096, 16384)
_RECURRENT_FROM = 2  # levels that all orbits may run through before circles and chaos are looked for
_WORK = (np.inf, np.inf, 4e9, 5e8, 3e8)  # multiply-adds of a level at most
_ALONG_FROM = 1  # the level from which Newton's method goes along the flow first
_TRANSIENTS = 2
_NEAR = 0.05  # relative distance of a return
_MANY = 16
_MOST_SEEDS = 48
_MOST_NUDGED, _NUDGE = 64, 1e-3
_AWAY = 1e3
_ON_THE_WAY = 0.25  # share of the way to another root beyond which no ball takes an orbit
_FARTHER = 10.0
# Further steps of orbits on chaotic sets; multiply-adds of the first few of them, and of all once one has left.
_STAYS, _FEW_STAY = (16384, 16384, 65536), 4
_STAY_WORK, _LEAVE_WORK = 5e8, 2e10
_LONG = 256  # an asked period up to which windows hold it
_OPEN = -1


@dataclasses.dataclass
class Census:
    """Where orbits end: an ``OrbitEnd`` each (−1 while open), the known root, and the period of an end.

    ``taken`` is where an orbit was when a root's ball took it, NaN before.
    """

    states: np.ndarray
    kind: np.ndarray
    root: np.ndarray
    period: np.ndarray
    steps: np.ndarray
    taken: np.ndarray

    @staticmethod
    def of(states: np.ndarray) -> "Census":
        count = len(states)
        return Census(
            states.copy(),
            np.full(count, _OPEN),
            np.full(count, -1),
            np.zeros(count, int),
            np.zeros(count, int),
            np.full(states.shape, np.nan),
        )

    def open(self) -> np.ndarray:
        return np.flatnonzero(self.kind == _OPEN)

    def joined(self, other: "Census") -> "Census":
        """Return these orbits followed by the others."""
        names = [field.name for field in dataclasses.fields(self)]
        return Census(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in names))


def _taken(problem: RootProblem, census: Census, known: Known, orbits: np.ndarray) -> None:
    """Give open orbits, of which there are windows, to the stable roots that they are trapped at.

    Balls are sampled: that an orbit's own distance decreases along its window is asked besides, at every step, as a
    ball may hold an island that no sample met; that all its coordinates come in; and that it is not on the way to
    another root.
    """
    at = census.open()
    nearest = known.nearest_stable(census.states[at])
    for place in np.unique(nearest[nearest >= 0]):
        norm = known.norm(int(place))
        left = np.flatnonzero(nearest == place)
        if norm is None:
            continue
        along, rows = norm.distances(orbits[left]), np.arange(len(left))
        best = along[:, : norm.length].argmin(1)
        states, distances = orbits[left, best], along[rows, best]
        if not (distances <= norm.radius).all():
            norm.looked_at(problem, states)
        turns = (along.shape[1] - 1 - best) // norm.length
        falls = along[rows, best + turns * norm.length] <= norm.expected(distances, turns)
        near = (distances <= norm.radius) & (known.share_of_way(int(place), states) <= _ON_THE_WAY)
        chosen = np.flatnonzero(near & falls & _falls(norm, along, best))
        chosen = chosen[norm.draws_in(problem, states[chosen])]
        inside = at[left[chosen]]
        census.kind[inside], census.root[inside] = OrbitEnd.POINT, place
        census.period[inside], census.taken[inside] = norm.length, states[chosen]


def _reopened(census: Census, known: Known) -> bool:
    """Open what a ball took on the way to a root that has been met since; whether there was any."""
    given = np.flatnonzero((census.kind == OrbitEnd.POINT) & np.isfinite(census.taken).all(1))
    for place in np.unique(census.root[given]):
        own = given[census.root[given] == place]
        back = own[known.share_of_way(int(place), census.taken[own]) > _ON_THE_WAY]
        census.kind[back], census.root[back], census.period[back], census.taken[back] = _OPEN, -1, 0, np.nan
    return bool((census.kind[given] == _OPEN).any())


def _falls(norm: Attracting, along: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Whether the distances (count, window) decrease from one turn to the next, from the places ``best`` on."""
    found = np.ones(len(along), bool)
    for phase in range(norm.length):
        of_phase = best == phase
        found[of_phase] = norm.falls(along[of_phase, phase :: norm.length])
    return found


def _resting(census: Census, known: Known, at: np.ndarray, returns: np.ndarray) -> None:
    """Orbits that stand on an unstable root in floats, or on a marginal one that they do not leave."""
    unit, problem = np.finfo(census.states.dtype).eps, known.problem
    still = at[(returns <= 64 * unit) & (census.kind[at] == _OPEN)]
    for place, phases in enumerate(known.phases):
        error, kind = known.error(place), known.kinds[place]
        if kind == "stable" or not np.isfinite(error) or not still.size:
            continue
        apart = problem.apart(census.states[still][:, None], phases[None]).min(1)
        scale = problem.norms(census.states[still])
        near = np.flatnonzero(apart <= np.minimum(4 * error, ONE_ROOT * scale) + 256 * unit * scale)
        if near.size:  # what leaves it slowly, or from coordinates too small to see, is elsewhere later
            later = advanced(problem, census.states[still[near]], TAIL * known.length[place])
            after = problem.apart(later[:, None], phases[None]).min(1)
            rounding = 64 * unit * np.abs(phases).max()
            near = near[after <= 1.001 * apart[near] + rounding]
        there = still[near]
        census.kind[there] = OrbitEnd.RESTS if kind == "unstable" else OrbitEnd.POINT
        census.root[there], census.period[there] = place, known.length[place]
        still = still[census.kind[still] == _OPEN]


def _seeds(
    problem: RootProblem, known: Known, states: np.ndarray, periods: np.ndarray, returns: np.ndarray
) -> np.ndarray:
    """A representative of each cluster of states that all but return, the largest clusters first.

    Chaotic orbits come near unstable cycles without end: where many were met, only what all but rests is looked at.
    """
    near = np.flatnonzero(returns < (_NEAR if known.met_unstable() < _MANY else AT_REST))
    if not near.size:
        return near
    scale = float(np.median(problem.norms(states[near])))
    rows = embedded(states[near], problem.lengths)
    label = clusters(np.column_stack([rows, periods[near] * 10.0 * scale]), 0.02 * scale)
    best = np.lexsort((returns[near], label))
    first = best[np.unique(label[best], return_index=True)[1]]
    sizes = np.bincount(label)[label[first]]
    return near[first[np.argsort(-sizes, kind="stable")][:_MOST_SEEDS]]


def _solved(problem: RootProblem, known: Known, states: np.ndarray, periods: np.ndarray, along: bool) -> int:
    """Newton's method from states that all but return after ``periods``; how many new roots it gave.

    Where the orbits are slow Newton's method first goes ``along`` the flow: no orbit need be iterated to its end.
    """
    fresh = 0
    for length in np.unique(periods):
        if known.met_unstable() >= _MANY and fresh:
            break
        points, equation = states[periods == length], problem.equation(int(length))
        if along:
            for _ in range(_TRANSIENTS):
                points = newton.along_the_flow(equation, points)
        points = newton.polished(equation.linearised, points, problem.lengths).x
        # Far out a drift looks small beside x itself: no root is taken from where no orbit has been.
        points = points[np.abs(points).max(1) <= _FARTHER * problem.norms(states).max()]
        points = seated(points, problem.lengths)
        points = points[~known.holds(points, int(length))]
        if not len(points):
            continue
        # Many seeds of one point need measuring once.
        _, first = np.unique(
            np.round(points / (1e-6 * problem.norms(points).max())), axis=0, return_index=True
        )
        roots = measured(problem, points[np.sort(first)], int(length), polish=False)
        roots = roots.take(roots.accepted(known.tolerance, problem))
        for own, (_, part) in split_by_period(problem, roots, int(length), known.tolerance).items():
            fresh += known.add(part, own)
    return fresh


def _looked_at(problem: RootProblem, census: Census, known: Known, level: int, far: float) -> None:
    """Decide what can be decided of the open orbits after a level."""
    at = census.open()
    finite = np.isfinite(census.states[at]).all(1)
    census.kind[at[~finite]] = OrbitEnd.DIVERGED
    at = census.open()
    if not at.size:
        return
    orbits = windows(problem, census.states[at], known.longest + 1)
    periods, returns = first_periods(orbits, problem.lengths)
    _taken(problem, census, known, orbits)
    _resting(census, known, at, returns)
    rest = np.flatnonzero(census.kind[at] == _OPEN)
    seeds = rest[_seeds(problem, known, census.states[at[rest]], periods[rest], returns[rest])]
    slow = level >= _ALONG_FROM
    if len(seeds) and _solved(problem, known, census.states[at[seeds]], periods[seeds], slow):
        rest = np.flatnonzero(census.kind[at] == _OPEN)
        at, orbits, returns = at[rest], orbits[rest], returns[rest]
        _taken(problem, census, known, orbits)
        _resting(census, known, at, returns)
    at, orbits = at[census.kind[at] == _OPEN], orbits[census.kind[at] == _OPEN]
    if level + 1 < _RECURRENT_FROM or not at.size:
        return
    sizes = np.abs(orbits).max(-1)
    away = (sizes[:, -1] > far) & (sizes[:, 1:] >= sizes[:, :-1]).all(1)
    census.kind[at[away]] = OrbitEnd.AWAY
    at, orbits = at[~away], orbits[~away]
    if at.size:
        last = not _affordable(problem, len(at), level + 1)
        runs, lengths = recurrent(problem, census.states[at], orbits, last)
        census.kind[at[runs]] = OrbitEnd.RECURRENT
        long = lengths > 0
        census.kind[at[long]], census.period[at[long]] = OrbitEnd.CYCLE, lengths[long]
        _on_listed_cycles(census, known, at[long])


def _on_listed_cycles(census: Census, known: Known, at: np.ndarray) -> None:
    """Orbits that repeat, given to the known cycle of that period on which they are after a tail's steps."""
    problem, close = known.problem, float(np.finfo(census.states.dtype).eps) ** 0.5
    if not np.isin(known.length, census.period[at]).any():
        return
    later = advanced(problem, census.states[at], TAIL)
    for place, phases in enumerate(known.phases):
        if known.kinds[place] == "unstable":
            continue
        own = np.flatnonzero((census.kind[at] == OrbitEnd.CYCLE) & (census.period[at] == known.length[place]))
        if own.size:
            apart = problem.apart(later[own][:, None], phases[None]).min(1)
            there = at[own[apart <= close * problem.norms(later[own])]]
            census.kind[there], census.root[there] = OrbitEnd.POINT, place


def _affordable(problem: RootProblem, count: int, level: int) -> bool:
    """Whether so many orbits may run through a level: the first two always."""
    if level >= len(_LEVELS):
        return False
    return count * _LEVELS[level] * problem.cycle * problem.size**2 <= _WORK[level]


def _run(problem: RootProblem, census: Census, known: Known) -> None:
    """Iterate until every orbit's end is known, or the steps are used up."""
    far = _AWAY * float(problem.norms(census.states).max(initial=1.0))
    for level, steps in enumerate(_LEVELS):
        _reopened(census, known)
        at = census.open()
        if not at.size or not _affordable(problem, len(at), level):
            break
        census.states[at] = advanced(problem, census.states[at], steps)
        census.steps[at] += steps * problem.cycle
        _looked_at(problem, census, known, level, far)
    census.kind[census.open()] = OrbitEnd.UNDECIDED


def _left(problem: RootProblem, census: Census, known: Known, at: np.ndarray, steps: int) -> int:
    """Iterate orbits that are counted on sets; open those that have left, and tell how many they are."""
    census.states[at] = advanced(problem, census.states[at], steps)
    census.steps[at] += steps * problem.cycle
    finite = np.isfinite(census.states[at]).all(1)
    census.kind[at] = np.where(finite, _OPEN, int(OrbitEnd.DIVERGED))
    at = at[finite]
    orbits = windows(problem, census.states[at], known.longest + 1)
    _taken(problem, census, known, orbits)
    stays = (census.kind[at] == _OPEN) & ~settled(problem, census.states[at])
    census.kind[at[stays]] = OrbitEnd.RECURRENT
    return int((~stays).sum() + (~finite).sum())


def _passed_through(problem: RootProblem, census: Census, known: Known) -> None:
    """Follow orbits on chaotic sets further: chaos may be a transient, which is left after thousands of steps.

    A few are iterated first; where one of them has left, all are, longer and longer, and chaotic orbits that are
    not seen to leave are undecided: nothing shows that their set attracts.
    """
    of_step = problem.cycle * problem.size**2
    at = np.flatnonzero(census.kind == OrbitEnd.RECURRENT)
    few = max(_FEW_STAY, int(_STAY_WORK / (_STAYS[0] * of_step)))
    some = at[np.unique(np.linspace(0, len(at) - 1, min(few, len(at))).astype(int))] if at.size else at
    if not some.size or not _left(problem, census, known, some, _STAYS[0]):
        return
    for steps in _STAYS:
        _run(problem, census, known)
        at = np.flatnonzero(census.kind == OrbitEnd.RECURRENT)
        if not at.size or len(at) * steps * of_step > _LEAVE_WORK:
            break
        if not _left(problem, census, known, at, steps) and steps > _STAYS[0]:
            break
    _run(problem, census, known)
    at = np.flatnonzero(census.kind == OrbitEnd.RECURRENT)
    if at.size:
        grows = returns(problem, census.states[at])[2] > TURNS / TAIL
        census.kind[at[grows]] = OrbitEnd.UNDECIDED


def _nudged(known: Known, first: int) -> np.ndarray:
    """States beside unstable roots from number ``first`` on, on both sides along what grows fastest."""
    rows: list[np.ndarray] = []
    for place in range(first, len(known.length)):
        if known.kinds[place] != "unstable" or len(rows) >= _MOST_NUDGED:
            continue
        values, vectors = map(np.asarray, np.linalg.eig(known.roots[place].jacobian[0].astype(np.float64)))
        order = np.argsort(-np.abs(values))[:2]
        point = known.roots[place].points[0]
        size = _NUDGE * float(known.problem.norms(point[None])[0])
        for j in order[np.abs(values[order]) > 1]:
            vector = np.imag(vectors[:, j]) if np.imag(values[j]) < 0 else np.real(vectors[:, j])
            vector = vector / max(np.abs(vector).max(), np.finfo(float).tiny)
            rows += [point + size * vector, point - size * vector]
    states = np.array(rows[:_MOST_NUDGED]).reshape(-1, known.problem.size)
    return states.astype(known.problem.dtype)


def along_the_flow(problem: RootProblem, known: Known, states: np.ndarray, length: int) -> np.ndarray:
    """The known root that Newton's method along the flow leads each state to, −1 for none; new ones are kept."""
    points, equation = states, problem.equation(length)
    for _ in range(2 * _TRANSIENTS):
        points = newton.along_the_flow(equation, points)
    at = np.full(len(states), -1)
    near = np.abs(points).max(1) <= _FARTHER * problem.norms(states).max()
    points = np.where(near[:, None], points, states)
    _solved(problem, known, points, np.full(len(points), length), False)
    points = seated(newton.polished(equation.linearised, points, problem.lengths).x, problem.lengths)
    for place in range(len(known.length)):
        if length % known.length[place] == 0:
            apart = problem.apart(points[:, None], known.phases[place][None]).min(1)
            error = known.error(place)
            near = 4 * error if np.isfinite(error) else 0.0
            at[(at < 0) & (apart <= near + 256 * np.finfo(points.dtype).eps * problem.norms(points))] = place
    return at


def followed(
    problem: RootProblem,
    states: np.ndarray,
    roots: dict[int, tuple[np.ndarray, Roots]],
    tolerance: float,
    period: int,
) -> tuple[Census, Known, int]:
    """Where the orbits of ``states`` end, and all roots met, those given first.

    Args:
        problem: the map; orbits run through whole periods of its input.
        states: shape (count, n).
        roots: minimal period → numbers of roots that are known, and those roots.
        tolerance: of a root.
        period: the one asked for, looked for in the orbits too.

    Returns:
        The census of the states' orbits; the known roots; how many orbits were started beside unstable ones.
    """
    known = Known(problem, tolerance, max(LONGEST, period if period <= _LONG else 1))
    for length, (numbers, some) in roots.items():
        known.add(some, length, numbers)
    beside = _nudged(known, 0)
    census = Census.of(np.concatenate([states, beside]))
    met = len(known.length)
    _run(problem, census, known)
    # Unstable points that the orbits themselves led to let go once more.
    late = _nudged(known, met)
    if len(late):
        _run(problem, Census.of(late), known)
    if _reopened(census, known):
        _run(problem, census, known)
    _passed_through(problem, census, known)
    first = np.arange(len(census.kind)) < len(states)
    own = Census(*(getattr(census, field.name)[first] for field in dataclasses.fields(Census)))
    return own, known, len(beside) + len(late)
