"""The edge state between two basins: bisection between two starts, then the boundary followed to its attractor."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Complex, Float

from rnn_dynamics.dynamics.basins.attractors import Attractors, members_of, of_members
from rnn_dynamics.dynamics.basins.given import stable_members
from rnn_dynamics.dynamics.basins.labelling import UNDECIDED, Runner, run_to_labels
from rnn_dynamics.dynamics.basins.polish import Cycle, orbits_of, polished_cycles, recurrence_distances
from rnn_dynamics.dynamics.basins.recurrent_sets import RecurrentSets
from rnn_dynamics.dynamics.basins.search import find_attractors, runner_of
from rnn_dynamics.dynamics.basins.starts import StartsOfMap, checked_problem
from rnn_dynamics.dynamics.phases import apart, canonical, wrapped
from rnn_dynamics.numerics.described import described
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.validation import count, real_array

_PARTS = 16
_AHEAD = 256
_SEGMENT = 65
_NEAR = 1e-3
_MOST_SECTIONS = 64


@dataclasses.dataclass(frozen=True)
class EdgeState(Result):
    """What orbits on the boundary between two basins go to.

    Attributes:
        state: a state of it: of a cycle the lexicographically smallest, else the last midpoint.
        orbit: the states of the cycle, or the midpoints of the tracked orbit (its latter half), shape (k, …).
        period: minimal period of the saddle cycle; 0 where none was found.
        multipliers: of F^period, shape (n,); NaN where no cycle was found.
        residual: max|F^period(x) − x|; NaN where no cycle was found.
        bracket: the last two states, one on each side, shape (2, …).
        labels: the attractors that ``low`` and ``high`` go to, −2 for one that diverges.
        attractors: what the labels count.
        status: CONVERGED, a saddle fixed point or cycle with exactly one unstable multiplier; MAX_STEPS, the
            boundary was followed to the limit and no such cycle came; UNDECIDED, the bracket could not be
            narrowed, as labels along it stayed undecided.
    """

    state: Float[np.ndarray, "..."]
    orbit: Float[np.ndarray, "k ..."]
    period: int
    multipliers: Complex[np.ndarray, " n"]
    residual: float
    bracket: Float[np.ndarray, "2 ..."]
    labels: tuple[int, int]
    attractors: Attractors
    status: Status

    _axes: ClassVar = {"k": "phase", "n": "multiplier"}
    _units: ClassVar = {"period": "steps"}

    def __repr__(self) -> str:
        names = {0: "edge orbit", 1: "saddle"}
        kind = names.get(self.period, f"saddle {self.period}-cycle")
        where = described(self.state)
        return (
            f"EdgeState({kind} at {where} between {self.labels[0]} and {self.labels[1]}, {self.status.name})"
        )


@dataclasses.dataclass(frozen=True)
class _Sides:
    """What tells the low side of the boundary from the high one."""

    problem: StartsOfMap
    runner: Runner
    sets: RecurrentSets
    max_steps: int
    low_label: int
    gap: float

    def labels(self, states: np.ndarray) -> np.ndarray:
        finish = (lambda ends, _: self.sets.labels(ends)) if len(self.sets.owners) else None
        return run_to_labels(self.runner, states, self.max_steps, finish)[0]

    def narrowed(self, bracket: np.ndarray) -> tuple[np.ndarray, bool]:
        """The bracket cut into sixteenths until it is ``gap`` long, and whether it got there."""
        shares = np.arange(1, _PARTS, dtype=bracket.dtype)[:, None] / _PARTS
        for _ in range(_MOST_SECTIONS):
            low, high = bracket
            if _length(bracket) <= self.gap:
                return bracket, True
            inner = low + shares * (high - low)
            labels = self.labels(inner)
            other = np.flatnonzero((labels != self.low_label) & (labels != UNDECIDED))
            last = int(other[0]) if len(other) else _PARTS - 1
            own = np.flatnonzero(labels[:last] == self.low_label)
            following = np.stack([inner[own[-1]] if len(own) else low, inner[last] if len(other) else high])
            if _length(following) >= _length(bracket):
                return bracket, False
            bracket = following
        return bracket, False


def _length(bracket: np.ndarray) -> float:
    """The distance max|high − low| relative to 1 + max|low|."""
    return float(np.abs(bracket[1] - bracket[0]).max() / (1 + np.abs(bracket[0]).max()))


def _saddle_near(problem: StartsOfMap, midpoints: np.ndarray, longest: int) -> Cycle | None:
    """A cycle with exactly one unstable multiplier that the last midpoints are at."""
    window = midpoints[-longest - 1 :]
    if len(window) < 2:
        return None
    distances = recurrence_distances(window[::-1][None], problem.lengths)[0]
    best = float(np.nanmin(distances))
    if not best < 10 * _NEAR:
        return None
    period = int(np.flatnonzero(distances <= 2 * best + 1e-12)[0]) + 1
    rest = np.array([period]), problem.u, problem.shape, longest
    for cycle in polished_cycles(problem.cell, window[-1:], *rest):
        sizes, margin = np.abs(cycle.multipliers), 16 * np.finfo(window.dtype).eps
        near = apart(cycle.orbit, window[-1], problem.lengths).min() <= _NEAR * (1 + np.abs(window[-1]).max())
        hyperbolic = (np.abs(sizes - 1) > margin).all()
        if near and hyperbolic and (sizes > 1).sum() == 1:
            return cycle
    return None


def _tracked(sides: _Sides, bracket: np.ndarray, refreshes: int, longest: int) -> tuple:
    """The cycle that the boundary leads to or ``None``, the midpoints, the last bracket, and the status."""
    problem, midpoints = sides.problem, np.zeros((0, sides.problem.n), bracket.dtype)
    wide = float(np.sqrt(sides.gap))
    for _ in range(refreshes + 1):
        bracket, narrow = sides.narrowed(bracket)
        if not narrow:
            return None, midpoints, bracket, Status.UNDECIDED
        pair = orbits_of(problem.cell, bracket, problem.u, problem.shape, _AHEAD)
        # Both on one side of the seam.
        pair = np.stack([pair[0], pair[0] + wrapped(pair[1] - pair[0], problem.lengths)])
        gaps = np.abs(pair[1] - pair[0]).max(-1) / (1 + np.abs(pair[0]).max(-1))
        far = np.flatnonzero(~(gaps <= wide))
        stop = max(1, int(far[0])) if len(far) else _AHEAD - 1
        fresh = pair[0, :stop] + (pair[1, :stop] - pair[0, :stop]) / 2
        midpoints = np.concatenate([midpoints, canonical(fresh, problem.lengths)])
        cycle = _saddle_near(problem, midpoints, longest)
        if cycle is not None:
            return cycle, midpoints, bracket, Status.CONVERGED
        bracket = pair[:, min(stop, _AHEAD - 1)]
    return None, midpoints, bracket, Status.MAX_STEPS


def _container(
    cell: Any, problem: StartsOfMap, attractors: Any, max_steps: int, longest: int, topology: Any
) -> Attractors:
    if attractors is None:
        state_ndim = len(problem.shape)
        shares = np.linspace(0, 1, _SEGMENT, dtype=problem.dtype)[:, None]
        segment = problem.starts[0] + shares * (problem.starts[1] - problem.starts[0])
        starts = segment.reshape(_SEGMENT, *problem.shape)
        options: dict[str, Any] = {"max_steps": max_steps, "max_period": longest, "state_ndim": state_ndim}
        return find_attractors(cell, starts, u=problem.u, topology=topology, **options)
    members = stable_members(problem, attractors, longest)
    counts = np.zeros(len(members), int)
    return of_members(members, counts, problem.shape, problem.dtype, undecided=0, diverged=0, steps=0)


def edge_state(
    cell: Any,
    low: Any,
    high: Any,
    attractors: Any = None,
    *,
    u: Any = None,
    max_steps: int = 10_000,
    refreshes: int = 200,
    max_period: int = 32,
    topology: Any = None,
) -> EdgeState:
    """The saddle (or other set) on the boundary between the basins of two starts.

    The segment from ``low`` to ``high`` is cut into sixteenths until its ends, in two basins, are
    g = ε^{0.6} apart (ε the dtype's rounding); both ends are then run until they are √g apart, and the segment
    between them is cut anew. The midpoints follow the boundary; where they come back to within 10⁻³ of a cycle
    that has exactly one unstable multiplier, Newton's method gives it.

    Args:
        cell: any callable ``cell(x, u) -> x_next``.
        low: a state in one basin, shape (n,), or () for a single neuron.
        high: a state in another basin, or one that diverges.
        attractors: as for ``basins``; discovered from 65 states from ``low`` to ``high`` by default.
        u: the input of every step, or ``None``.
        max_steps: steps of the run that labels a state.
        refreshes: how often the bracket is cut anew.
        max_period: the longest saddle cycle looked for.
        topology: one entry for each coordinate, or one for all: the length L > 0 of a coordinate taken modulo L
            (2π, 1, 360), ``None`` for one on the line.

    Returns:
        The edge state and its status.

    Raises:
        TypeError, ValueError: arguments that do not fit the cell; a state that is undecided; both in one basin.

    Reference: J. Skufca, J. Yorke, B. Eckhardt, "Edge of chaos in a parallel shear flow", Phys. Rev. Lett. 96,
    174101 (2006).
    """
    low, high = (np.asarray(real_array(n, value)) for n, value in (("low", low), ("high", high)))
    if low.shape != high.shape or low.ndim > 1:
        raise ValueError(f"low, high: expected two states of one shape, got {low.shape} and {high.shape}")
    pair = np.stack([low, high])
    problem = checked_problem(cell, pair, u, state_ndim=low.ndim, name="low, high", topology=topology)
    refreshes = count("refreshes", refreshes)
    longest = count("max_period", max_period, minimum=1, maximum=256)
    max_steps = count("max_steps", max_steps, minimum=1)
    found = _container(cell, problem, attractors, max_steps, longest, topology)
    members = members_of(found, problem.n, problem.dtype)
    gap = float(np.finfo(problem.dtype).eps) ** 0.6
    parts = problem, runner_of(problem, members), RecurrentSets(problem, members), max_steps
    labels = [int(label) for label in _Sides(*parts, 0, gap).labels(problem.starts)]
    if UNDECIDED in labels or labels[0] == labels[1]:
        raise ValueError(
            f"low, high: expected states in two basins, got the labels {labels[0]} and {labels[1]}"
        )
    sides = _Sides(*parts, labels[0], gap)
    cycle, midpoints, bracket, status = _tracked(sides, problem.starts, refreshes, longest)
    return _result(problem, ((labels[0], labels[1]), found, status), cycle, midpoints, bracket)


def _result(
    problem: StartsOfMap, rest: tuple, cycle: Cycle | None, midpoints: Any, bracket: Any
) -> EdgeState:
    shape, nothing = problem.shape, np.full(problem.n, np.nan + 0j)
    ends = bracket.reshape(2, *shape)
    if cycle is not None:
        orbit = cycle.orbit.reshape(-1, *shape)
        return EdgeState(orbit[0], orbit, cycle.period, cycle.multipliers, cycle.residual, ends, *rest)
    orbit = midpoints[len(midpoints) // 2 :].reshape(-1, *shape)
    state = orbit[-1] if len(orbit) else ends[0]
    return EdgeState(state, orbit, 0, nothing, float("nan"), ends, *rest)
