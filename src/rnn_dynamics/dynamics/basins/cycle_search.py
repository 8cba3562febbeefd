"""Stable cycles near where orbits are after some steps: Newton's method from states that all but return."""

import numpy as np

from rnn_dynamics.cells.arguments import held
from rnn_dynamics.cells.pytree import split
from rnn_dynamics.dynamics.basins.attractors import Member
from rnn_dynamics.dynamics.basins.kinds import AttractorKind
from rnn_dynamics.dynamics.basins.polish import (
    MOST_SEEDS,
    Cycle,
    orbits_of,
    polished_cycles,
    recurrence_distances,
    same_cycle,
)
from rnn_dynamics.dynamics.basins.starts import StartsOfMap
from rnn_dynamics.dynamics.equilibria.equation import RootProblem
from rnn_dynamics.dynamics.equilibria.newton import along_the_flow
from rnn_dynamics.numerics.status import Status

_NEAR = 0.05  # relative distance of F^p(x) from x below which Newton's method is tried
_SLOW, _TRANSIENTS, _FARTHER = 1e-3, 3, 10.0


def root_problem(problem: StartsOfMap) -> RootProblem:
    """The equation x = F^p(x) of the map."""
    arrays = *split(problem.cell), held(problem.u)
    return RootProblem(*arrays, 1, problem.shape, problem.dtype, problem.lengths)


def cycle_member(cycle: Cycle) -> Member:
    """Return a stable cycle as an attractor."""
    largest = float(np.abs(cycle.multipliers).max())
    exponent = np.log(largest) / cycle.period if largest > 0 else -np.inf
    kind = AttractorKind.FIXED_POINT if cycle.period == 1 else AttractorKind.CYCLE
    return Member(kind, cycle.orbit, float(exponent), 0.0, Status.CONVERGED)


def _along_the_flow(problem: StartsOfMap, states: np.ndarray) -> np.ndarray:
    """Where at most 32 slow states go in long steps along the flow of F(x) − x."""
    equation = root_problem(problem).equation(1)
    ends = states
    for _ in range(_TRANSIENTS):
        ends = along_the_flow(equation, ends)
    near = np.abs(ends).max(1) <= _FARTHER * (1 + np.abs(states).max())
    return np.where(near[:, None], ends, states)


def cycles_near(problem: StartsOfMap, states: np.ndarray, longest: int, slow: bool) -> list[Cycle]:
    """Cycles near states that all but return within ``longest`` steps, from at most 32 of them.

    Orbits that are still ``slow`` after many steps are far from where they go: from those, along the flow.
    """
    seeds = states[np.linspace(0, len(states) - 1, min(len(states), 4 * MOST_SEEDS)).astype(int)]
    orbits = orbits_of(problem.cell, seeds, problem.u, problem.shape, longest + 1)
    distances = np.nan_to_num(recurrence_distances(orbits, problem.lengths), nan=np.inf)
    # The first period as good as the best one: a multiple of it returns no better, but for rounding.
    close = distances <= 2 * distances.min(1, keepdims=True) + 16 * np.finfo(states.dtype).eps
    periods = close.argmax(1) + 1
    chosen = np.flatnonzero(distances.min(1) < _NEAR)
    if not len(chosen):
        return []
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), MOST_SEEDS)).astype(int)]
    seeds, periods = seeds[chosen], periods[chosen]
    rests = (periods == 1) & (distances[chosen, 0] < _SLOW)
    if slow and rests.any():
        seeds[rests] = _along_the_flow(problem, seeds[rests])
    return polished_cycles(problem.cell, seeds, periods, problem.u, problem.shape, longest)


def not_among(problem: StartsOfMap, members: list[Member], cycles: list[Cycle]) -> list[Member]:
    """The stable ones of the cycles that are not among the attractors yet."""
    fresh: list[Member] = []
    for cycle in cycles:
        known = (m for m in members + fresh if m.is_cycle)
        if cycle.stable and not any(
            same_cycle(m.orbit, cycle.orbit, problem.lengths, cycle.error) for m in known
        ):
            fresh.append(cycle_member(cycle))
    return fresh
