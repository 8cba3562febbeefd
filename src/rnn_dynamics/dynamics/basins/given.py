"""Attractors that the caller brings: a container, fixed points and cycles found elsewhere, or bare states."""

from typing import Any

import numpy as np

from rnn_dynamics.dynamics.basins.attractors import Attractors, Member, members_of
from rnn_dynamics.dynamics.basins.cycle_search import cycle_member
from rnn_dynamics.dynamics.basins.polish import Cycle, orbits_of, polished_cycles, recurrence_distances
from rnn_dynamics.dynamics.basins.starts import StartsOfMap
from rnn_dynamics.dynamics.phases import Lengths, apart, canonical
from rnn_dynamics.numerics.validation import real_array

_CLOSE = 1e-3


def _are_fixed_points(attractors: Any) -> bool:
    return all(hasattr(attractors, name) for name in ("points", "orbits", "period", "stable"))


def state_axes(attractors: Any) -> int | None:
    """The axes of one state; ``None`` where there is nothing to tell it from."""
    points = attractors.points if hasattr(attractors, "points") else attractors
    ndim = np.ndim(points)
    return ndim - 1 if ndim in (1, 2) and np.size(points) else None


def stable_members(problem: StartsOfMap, attractors: Any, longest: int) -> list[Member]:
    """The given attractors, each one checked on the map itself.

    Raises:
        TypeError: neither a container nor real numbers.
        ValueError: states of another shape, or on no stable cycle of period up to ``longest``; two states on
            one cycle.
    """
    if isinstance(attractors, Attractors):
        if attractors.points.shape[1:] != problem.shape:
            got = attractors.points.shape[1:]
            raise ValueError(f"attractors: expected states of shape {problem.shape}, got {got}")
        return members_of(attractors, problem.n, problem.dtype)
    if _are_fixed_points(attractors):
        stable, periods = np.asarray(attractors.stable, bool), np.asarray(attractors.period)
        states, periods = np.asarray(attractors.points)[stable], periods[stable]
    else:
        states, periods = np.asarray(real_array("attractors", attractors)), None
    if states.shape[1:] != problem.shape or not states.ndim:
        raise ValueError(f"attractors: expected shape (m, *{problem.shape}), got {states.shape}")
    states = canonical(states.reshape(-1, problem.n).astype(problem.dtype), problem.lengths)
    cycles = [
        _cycle_at(problem, i, state, None if periods is None else int(periods[i]), longest)
        for i, state in enumerate(states)
    ]
    return [cycle_member(cycle) for cycle in _distinct(cycles, problem.lengths)]


def _cycle_at(problem: StartsOfMap, place: int, state: np.ndarray, period: int | None, longest: int) -> Cycle:
    """Return the cycle through a state, polished."""
    most = max(longest, period or 1)
    orbit = orbits_of(problem.cell, state[None], problem.u, problem.shape, most + 1)
    distances = np.nan_to_num(recurrence_distances(orbit, problem.lengths)[0], nan=np.inf)
    if period is None:
        close = np.flatnonzero(distances <= 2 * distances.min() + 1e-12)
        period = int(close[0]) + 1 if distances.min() <= _CLOSE else 0
    elif distances[period - 1] > _CLOSE:
        period = 0
    rest = problem.u, problem.shape, most
    cycles = polished_cycles(problem.cell, state[None], np.array([period]), *rest) if period else []
    scale = 1 + np.abs(state).max()
    if not cycles or apart(cycles[0].orbit, state, problem.lengths).min() > 10 * _CLOSE * scale:
        raise ValueError(
            f"attractors: expected states on cycles of period up to {most}, got {state} at {place}"
        )
    if not cycles[0].stable:
        largest = np.abs(cycles[0].multipliers).max()
        raise ValueError(
            f"attractors: expected stable ones, got {state} at {place} with |multiplier| {largest:.6g}"
        )
    return cycles[0]


def _distinct(cycles: list[Cycle], lengths: Lengths | None) -> list[Cycle]:
    for i, cycle in enumerate(cycles):
        for k in range(i):
            near = 1e-6 * (1 + np.abs(cycle.orbit).max())
            same = len(cycle.orbit) == len(cycles[k].orbit)
            if same and apart(cycles[k].orbit, cycle.orbit[:1], lengths).min() <= near:
                raise ValueError(f"attractors: expected each once, got {k} and {i} on one cycle")
    return cycles
