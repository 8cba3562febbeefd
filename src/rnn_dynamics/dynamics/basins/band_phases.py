"""Means over every p-th state of an orbit: in which order a set's parts are visited together.

Chaos in several bands is in each of them every so many steps, and a cycle beside it turns with it in more than one
way: sets whose states, time means and variances are the same, and which differ in the phase of the one against the
other. Means over every p-th state, p = 2 … 16, are cycles of p states, and the same for all orbits of a set up to
where they begin.
"""

from collections.abc import Callable

import numpy as np

from rnn_dynamics.dynamics.basins.polish import orbits_of
from rnn_dynamics.dynamics.basins.starts import StartsOfMap

_STRIDES = range(2, 17)
_PIECE, _PIECES = 128, 8  # steps of a piece, as long as what other programs run, and pieces
_WINDOWS = 64
_BATCH = 128
_WIDER, _LEAST = (
    2.0,
    0.3,
)  # what other orbits of the set may miss its cycle of means by: its own times so much


def _chosen(done: int) -> np.ndarray:
    """Rows of 0 and 1: which states of a piece, begun after ``done``, are every p-th from each of p phases on."""
    steps = np.arange(done, done + _PIECE - 1)
    return np.concatenate([steps % stride == np.arange(stride)[:, None] for stride in _STRIDES]).astype(float)


def _nearest_turn(means: np.ndarray, cycle: np.ndarray) -> np.ndarray:
    """How far each cycle of means (count, p, n) is from the given one (p, n), begun where they agree best."""
    missed = [np.abs(np.roll(means, shift, axis=1) - cycle).max(axis=(1, 2)) for shift in range(len(cycle))]
    return np.min(missed, axis=0)


class BandPhases:
    """The cycles of means of a set, and how far those of its own orbits are from them.

    Args:
        problem: the map.
        states: some on the set, shape (count, n).
        standard: coordinates in which the set has mean 0 and covariance 1, of states (…, n).
    """

    def __init__(
        self, problem: StartsOfMap, states: np.ndarray, standard: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        self.problem, self.standard = problem, standard
        pieces = range(0, _PIECES * (_PIECE - 1), _PIECE - 1)
        self._counts = np.sum([_chosen(done).sum(axis=1) for done in pieces], axis=0)
        found = self._of(states[:_WINDOWS])
        self.cycles = [means[0] for means in found]
        own = [_nearest_turn(means, cycle).max() for means, cycle in zip(found, self.cycles, strict=True)]
        self.farthest = [_LEAST + _WIDER * float(missed) for missed in own]

    def _of(self, states: np.ndarray) -> list[np.ndarray]:
        """The means over every p-th state from each of the states on, (count, p, n) for each p."""
        problem, parts = self.problem, []
        for first in range(0, len(states), _BATCH):
            at, total = states[first : first + _BATCH].astype(problem.dtype), np.zeros(())
            for done in range(0, _PIECES * (_PIECE - 1), _PIECE - 1):
                path = orbits_of(problem.cell, at, problem.u, problem.shape, _PIECE)
                at, rows = path[:, -1], self.standard(path[:, :-1].astype(float))
                total = total + np.matmul(_chosen(done), rows)
            parts.append(total)
        starts = np.cumsum([0, *_STRIDES])
        means = np.concatenate(parts) / self._counts[:, None]
        return [means[:, i : i + stride] for i, stride in zip(starts, _STRIDES, strict=False)]

    def hold(self, states: np.ndarray) -> np.ndarray:
        """Whether the orbit of each state turns through the cycles of means as the set does."""
        held = np.ones(len(states), bool)
        if held.size:
            for means, cycle, farthest in zip(self._of(states), self.cycles, self.farthest, strict=True):
                held &= _nearest_turn(means, cycle) <= farthest
        return held
