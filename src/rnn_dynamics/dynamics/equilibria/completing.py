"""From what Newton's method found to the list: the starts' own orbits, more starts while the index sum is wrong."""

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rnn_dynamics.dynamics.equilibria.cycles import Roots, gathered, split_by_period
from rnn_dynamics.dynamics.equilibria.ends import OrbitEnd, OrbitEnds
from rnn_dynamics.dynamics.equilibria.equation import RootProblem
from rnn_dynamics.dynamics.equilibria.indices import index_sum
from rnn_dynamics.dynamics.equilibria.known import Known
from rnn_dynamics.dynamics.equilibria.orbits import Census, along_the_flow, followed
from rnn_dynamics.dynamics.equilibria.results import FixedPoints, SlowPoints
from rnn_dynamics.numerics.status import Status

_ROUNDS = 4
_MOST_BETWEEN, _AT_RANDOM = 96, 64

ByPeriod = dict[int, tuple[np.ndarray, Roots]]


class Started(NamedTuple):
    """What Newton's method made of the starts: the root of each (−1 for none), status, residual, slow points."""

    roots: Roots
    of_start: np.ndarray
    status: np.ndarray
    residual: np.ndarray
    slow: SlowPoints | None


@dataclasses.dataclass(frozen=True)
class FixedPointSearch:
    """The search as it was asked for.

    Attributes:
        problem: the map.
        period: p.
        tolerance: of a root.
        bounded: whether the index sum must be 1.
        complete: whether no root can be missing.
        newton: roots of x = F^p(x) from more states.
    """

    problem: RootProblem
    period: int
    tolerance: float
    bounded: bool
    complete: bool
    newton: Callable[[np.ndarray], Roots]

    def split(self, roots: Roots) -> ByPeriod:
        return split_by_period(self.problem, roots, self.period, self.tolerance)

    def gathered(
        self, parts: ByPeriod, of: np.ndarray, status: np.ndarray, slow: SlowPoints | None
    ) -> FixedPoints:
        return gathered(self.problem, parts, of, status, slow, complete=self.complete)


def _total(parts: ByPeriod) -> int:
    return sum(len(numbers) for numbers, _ in parts.values())


def _joined(parts: ByPeriod, more: ByPeriod) -> ByPeriod:
    """These roots, then those with numbers that go on; periods in ascending order."""
    shift, joined = _total(parts), {}
    for length in sorted(parts.keys() | more.keys()):
        own, other = parts.get(length), more.get(length)
        if other is not None:
            other = other[0] + shift, other[1]
        both = [part for part in (own, other) if part is not None]
        joined[length] = np.concatenate([part[0] for part in both]), both[0][1]
        if len(both) == 2:
            joined[length] = joined[length][0], both[0][1].joined(both[1][1])
    return joined


def _met(parts: ByPeriod, known: Known, period: int) -> tuple[ByPeriod, np.ndarray]:
    """The list with the roots that orbits led to, and the number of each known root, −1 where it is not listed."""
    number, more, total = np.array(known.number, int), dict[int, list[int]](), _total(parts)
    for place, (given, length) in enumerate(zip(known.number, known.length, strict=True)):
        if given < 0 and period % length == 0:
            more.setdefault(length, []).append(place)
    fresh, count = {}, 0
    for length, places in more.items():
        roots = known.roots[places[0]]
        for place in places[1:]:
            roots = roots.joined(known.roots[place])
        fresh[length] = np.arange(count, count + len(places)), roots
        number[places] = total + fresh[length][0]
        count += len(places)
    return _joined(parts, fresh), number


def _ends(
    task: FixedPointSearch, census: Census, chosen: np.ndarray, points: np.ndarray, nudged: int
) -> OrbitEnds:
    """Return the census in terms of the list."""
    kind = census.kind.copy()
    kind[(kind == OrbitEnd.POINT) & (points < 0)] = OrbitEnd.CYCLE
    return OrbitEnds(
        starts=chosen,
        kind=kind,
        point=np.where((kind == OrbitEnd.POINT) | (kind == OrbitEnd.RESTS), points, -1),
        period=census.period * task.problem.cycle,
        states=census.states.reshape(-1, *task.problem.shape),
        steps=census.steps,
        nudged=nudged,
    )


def _between(found: FixedPoints, draws: np.random.Generator) -> np.ndarray:
    """States between attractors, halfway and at random, and about all points: where other points lie."""
    points = found.points.reshape(len(found), math.prod(found.points.shape[1:]))
    stable = points[found.stable]
    pairs = np.array(list(itertools.combinations(range(len(stable)), 2)), int).reshape(-1, 2)
    if len(pairs) > _MOST_BETWEEN:
        pairs = pairs[draws.choice(len(pairs), _MOST_BETWEEN, replace=False)]
    share = draws.uniform(0.2, 0.8, (len(pairs), 1))
    between = share * stable[pairs[:, 0]] + (1 - share) * stable[pairs[:, 1]]
    middle = (stable[pairs[:, 0]] + stable[pairs[:, 1]]) / 2
    around = points if len(points) else np.zeros((1, points.shape[1]))
    spread = np.ptp(around, axis=0).max(initial=0.0) or 1.0
    about = around[draws.integers(len(around), size=_AT_RANDOM)]
    about = about + draws.normal(size=about.shape) * spread / 4 * draws.uniform(0, 1, (_AT_RANDOM, 1))
    mixed = about if len(around) < 2 else np.dot(draws.dirichlet(np.ones(len(around)), _AT_RANDOM), around)
    return np.concatenate([middle, between, about, mixed])


def completed(task: FixedPointSearch, started: Started, rows: np.ndarray, most: int) -> FixedPoints:
    """The list of points and cycles with where orbits of up to ``most`` of the starts end."""
    parts = task.split(started.roots)
    if not most or not len(rows):
        found = task.gathered(parts, started.of_start, started.status, started.slow)
        return dataclasses.replace(found, start_residual=started.residual)
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))
    census, known, nudged = followed(task.problem, rows[chosen], parts, task.tolerance, task.period)
    of_flow = np.full(len(chosen), -1)
    slow = np.flatnonzero((started.of_start[chosen] < 0) & (census.kind == OrbitEnd.UNDECIDED))
    if slow.size:
        of_flow[slow] = along_the_flow(task.problem, known, rows[chosen[slow]], task.period)
    parts, number = _met(parts, known, task.period)
    of_orbit = np.where(census.root >= 0, np.append(number, -1)[census.root], -1)
    of_start, status = started.of_start.copy(), started.status.copy()
    # Where Newton's method failed and the orbit itself went to a point, the start has reached it.
    late = np.where(census.kind == OrbitEnd.POINT, of_orbit, np.append(number, -1)[of_flow])
    new = (of_start[chosen] < 0) & (late >= 0)
    of_start[chosen[new]], status[chosen[new]] = late[new], int(Status.CONVERGED)
    both, draws = np.concatenate([of_start, of_orbit]), np.random.default_rng(0)
    found = task.gathered(parts, both, status, started.slow)
    total = index_sum(found, task.period, task.problem.cycle)
    for _ in range(_ROUNDS if task.bounded else 0):
        if total in (None, 1):
            break
        states = _between(found, draws).astype(task.problem.dtype)
        parts = _joined(parts, task.split(task.newton(states)))
        found = task.gathered(parts, both, status, started.slow)
        total = index_sum(found, task.period, task.problem.cycle)
    points = found.start_point
    return dataclasses.replace(
        found,
        start_point=points[: len(rows)],
        start_residual=started.residual,
        ends=_ends(task, census, chosen, points[len(rows) :], nudged),
        index_sum=total,
        bounded=task.bounded,
    )
