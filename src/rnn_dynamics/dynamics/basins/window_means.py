"""Time means along stretches of orbits: sets of many units can lie within each other's reach and differ in these.

Between 1024 samples of a torus of three phases, or of chaos in forty units, there is room for another set: a memory
bit beside them, the same phases turning against one another. Time means of x, x² and squares of mixed units tell
them apart where distances do not; squares of units mixed over two steps see the order in which equal units run
through one cycle. The means of x are also held against the set's own covariance, which is all but singular along a
combination of units that rests on it. Coordinates that repeat by themselves, a memory bit of small size or units on
a cycle beside a torus, are compared as a cycle: an orbit of the set is on it, or nears it.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.dynamics.basins.band_phases import BandPhases
from rnn_dynamics.dynamics.basins.polish import orbits_of
from rnn_dynamics.dynamics.basins.starts import StartsOfMap
from rnn_dynamics.dynamics.phases import Lengths, extents, lengths_of
from rnn_dynamics.numerics.batching import mapped
from rnn_dynamics.numerics.compiling import lean

_STEPS = 512
_WINDOWS = 128
_BATCH = 256
_WIDER = 1.0
_DEVIATIONS = 4.0
_SETTLED = 1e-4  # a deviation, relative to the set, that what still settles may have
_FLOOR, _LEAST = 1e-3, 0.1
_LONGEST = 64  # the longest period of coordinates that repeat by themselves
_NEARER = 0.999  # the share of its distance that an orbit which nears their cycle may keep over a window


def _features(x: Array, later: Array, scale: Array, mixing: Array, lengths: Lengths | None) -> Array:
    """What is averaged: x, x² in units of the scale, cos and sin of phases, squares of mixed x and F(x)."""
    phases = jnp.asarray([length is not None for length in lengths or (None,) * x.size])
    turns = jnp.asarray([length or 1.0 for length in lengths or (None,) * x.size], x.dtype)

    def of_units(state: Array) -> Array:
        return jnp.where(phases, jnp.cos(2 * jnp.pi * state / turns), state / scale)

    first = of_units(x)
    second = jnp.where(phases, jnp.sin(2 * jnp.pi * x / turns), jnp.square(x / scale))
    pair = jnp.concatenate([first, of_units(later)])
    return jnp.concatenate(
        [first, second, jnp.square(jnp.matmul(mixing, pair, precision=jax.lax.Precision.HIGHEST))]
    )


@lean(static_argnums=(0, 6))
def _means(
    static: Any, arrays: Any, u: Any, states: Array, scale: Array, mixing: Array, shape: tuple[int, ...]
) -> tuple[Float[Array, "batch features"], Float[Array, "batch n"]]:
    """Time means from each state on, and where its orbit is then."""
    cell = join(static, arrays)
    lengths = lengths_of(cell)
    step = jax.vmap(lambda x: cell(x.reshape(shape), u).reshape(-1))
    measure = jax.vmap(lambda x, later: _features(x, later, scale, mixing, lengths))

    def advance(_: int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        x, total = carry
        later = step(x)
        return later, total + measure(x, later)

    none = jnp.zeros((len(states), 2 * states.shape[1] + len(mixing)), states.dtype)
    last, total = jax.lax.fori_loop(0, _STEPS, advance, (states, none))
    return total / _STEPS, last


class Bands:
    """Between what the time means of stretches of one set lie, and what those of its coordinates do that repeat.

    Args:
        problem: the map.
        orbit: states on the set, shape (count, n).
    """

    def __init__(self, problem: StartsOfMap, orbit: np.ndarray) -> None:
        self.problem = problem
        sizes = np.asarray(extents(orbit, problem.lengths), float)
        largest = float(sizes.max(initial=0.0))
        self.scale = np.maximum(sizes, _LEAST * max(largest, np.finfo(float).tiny))
        draws, n = np.random.default_rng(0), problem.n
        alone = draws.choice([-1.0, 1.0], (max(8, n), n)) / np.sqrt(n)
        chosen = orbit[draws.integers(len(orbit), size=_WINDOWS)]
        paired = draws.choice([-1.0, 1.0], (max(8, n), 2 * n)) / np.sqrt(n)
        self.mixing = np.concatenate([np.hstack([alone, np.zeros_like(alone)]), paired])
        found = self._of(chosen)[0]
        low, high = found.min(0), found.max(0)
        wider = _WIDER * (high - low) + _FLOOR * (1 + np.abs(low) + np.abs(high))
        self.low, self.high = low - wider, high + wider
        self._measure_spread(orbit, found)
        self.phases = BandPhases(problem, chosen, self._standard)
        self._find_cycle(orbit, largest)

    def _measure_spread(self, orbit: np.ndarray, found: np.ndarray) -> None:
        """Centre and whitening of x on the set, and how many deviations off the centre its own means may lie."""
        states = self._of_units(orbit.astype(float))
        covariance = np.atleast_2d(np.cov(states.T, bias=True))
        values, vectors = np.linalg.eigh(covariance)
        size = float(np.mean(states**2) * self.problem.n)
        floor = max(_SETTLED**2, float(np.finfo(self.problem.dtype).eps)) * max(size, np.finfo(float).tiny)
        self.whitening = vectors / np.sqrt(np.maximum(values, 0) + floor)
        self.centre = found[:, : self.problem.n].mean(0)
        self.farthest = _DEVIATIONS + 2 * self._deviations(found).max()

    def _of_units(self, states: np.ndarray) -> np.ndarray:
        """Coordinates in units of the scale, of phases their cosines; shape (…, n)."""
        lengths = self.problem.lengths or (None,) * self.problem.n
        columns = [
            states[..., i] / self.scale[i] if length is None else np.cos(2 * np.pi * states[..., i] / length)
            for i, length in enumerate(lengths)
        ]
        return np.stack(columns, -1)

    def _standard(self, states: np.ndarray) -> np.ndarray:
        """Coordinates in which the set has mean 0 and covariance 1."""
        return np.matmul(self._of_units(states) - self.centre, self.whitening)

    def _deviations(self, found: np.ndarray) -> np.ndarray:
        """How far means of x lie from the set's centre, in standard deviations of the set."""
        return np.linalg.norm(np.matmul(found[:, : self.problem.n] - self.centre, self.whitening), axis=1)

    def _find_cycle(self, orbit: np.ndarray, largest: float) -> None:
        """The coordinates that repeat by themselves after some steps p, and their cycle of p states."""
        problem = self.problem
        path = orbits_of(problem.cell, orbit[:1], problem.u, problem.shape, 2 * _LONGEST)[0].astype(float)
        on_line = np.array([length is None for length in problem.lengths or (None,) * problem.n])
        rounding = 1e3 * float(np.finfo(problem.dtype).eps) * (largest + np.abs(path).max(0))
        self.period, self.repeating = 1, np.zeros(0, int)
        for period in range(1, _LONGEST + 1):
            missed = np.abs(path[period:] - path[:-period]).max(0)
            repeating = np.flatnonzero(on_line & (missed <= rounding))
            # What rests for a while, as a saturated unit between two bursts, is elsewhere on the rest of the set.
            strays = np.abs(orbit[:, None, repeating] - path[:period, repeating]).min(1) > rounding[repeating]
            repeating = repeating[~strays.any(0)]
            if len(repeating) > len(self.repeating):
                self.period, self.repeating = period, repeating
        self.cycle, self.near = path[: self.period, self.repeating], rounding[self.repeating]

    def _from_cycle(self, states: np.ndarray) -> np.ndarray:
        """How far each state's repeating coordinates are from their cycle over a turn, in roundings; the most."""
        if not len(self.repeating):
            return np.zeros(len(states))
        problem, away = self.problem, np.zeros(len(states))
        for first in range(0, len(states), _BATCH):
            rows = states[first : first + _BATCH].astype(problem.dtype)
            turn = orbits_of(problem.cell, rows, problem.u, problem.shape, 2 * _LONGEST)[:, : self.period]
            gaps = np.abs(turn[:, :, None, self.repeating] - self.cycle) / self.near
            away[first : first + _BATCH] = gaps.max(-1).min(-1).max(-1)
        return away

    def _of(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        static, arrays = split(self.problem.cell)
        dtype = self.problem.dtype
        given = self.scale.astype(dtype), self.mixing.astype(dtype), self.problem.shape
        u, rows = self.problem.u, states.astype(dtype)
        means, last = mapped(lambda part: _means(static, arrays, u, part, *given), [rows], _BATCH)
        return means.astype(float), last.astype(float)

    def hold(self, states: np.ndarray) -> np.ndarray:
        """Whether the means along the next steps of each state lie within the bands, and its cycle is theirs."""
        if not len(states):
            return np.zeros(0, bool)
        found, last = self._of(states)
        before, after = self._from_cycle(states), self._from_cycle(last)
        nears = (after <= 1) | (after <= _NEARER * before)
        within = ((found >= self.low) & (found <= self.high)).all(1) & (
            self._deviations(found) <= self.farthest
        )
        held = within & nears
        held[held] = self.phases.hold(states[held])
        return held
