"""Time means along stretches of orbits: sets of many units can lie within each other's reach and differ in these.

Between 1024 samples of a torus of three phases, or of chaos in forty units, there is room for another set: a memory
bit beside them, the same phases turning against one another. Time means of x, x² and squares of mixed units tell
them apart where distances do not.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.dynamics.basins.starts import StartsOfMap
from rnn_dynamics.dynamics.phases import Lengths, extents, lengths_of
from rnn_dynamics.numerics.batching import mapped

_STEPS = 512
_WINDOWS = 128
_BATCH = 256
_WIDER = 1.0
_FLOOR, _LEAST = 1e-3, 0.1


def _features(x: Array, scale: Array, mixing: Array, lengths: Lengths | None) -> Array:
    """What is averaged: x and x² in units of the scale, cos and sin of phases, squares of mixed units."""
    phases = jnp.asarray([length is not None for length in lengths or (None,) * x.size])
    turns = jnp.asarray([length or 1.0 for length in lengths or (None,) * x.size], x.dtype)
    angle = 2 * jnp.pi * x / turns
    first = jnp.where(phases, jnp.cos(angle), x / scale)
    second = jnp.where(phases, jnp.sin(angle), jnp.square(x / scale))
    mixed = jnp.matmul(mixing, first, precision=jax.lax.Precision.HIGHEST)
    return jnp.concatenate([first, second, jnp.square(mixed)])


@functools.partial(jax.jit, static_argnums=(0, 6))
def _means(
    static: Any, arrays: Any, u: Any, states: Array, scale: Array, mixing: Array, shape: tuple[int, ...]
) -> Float[Array, "batch features"]:
    cell = join(static, arrays)
    lengths = lengths_of(cell)
    step = jax.vmap(lambda x: cell(x.reshape(shape), u).reshape(-1))
    measure = jax.vmap(lambda x: _features(x, scale, mixing, lengths))

    def advance(_: int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        x, total = carry
        return step(x), total + measure(x)

    none = jnp.zeros((len(states), 2 * states.shape[1] + len(mixing)), states.dtype)
    return jax.lax.fori_loop(0, _STEPS, advance, (states, none))[1] / _STEPS


class Bands:
    """Between what the time means of stretches of one set lie.

    Args:
        problem: the map.
        orbit: states on the set, shape (count, n).
    """

    def __init__(self, problem: StartsOfMap, orbit: np.ndarray) -> None:
        self.problem = problem
        sizes = np.asarray(extents(orbit, problem.lengths), float)
        self.scale = np.maximum(sizes, _LEAST * max(float(sizes.max(initial=0.0)), np.finfo(float).tiny))
        draws = np.random.default_rng(0)
        rows = max(8, problem.n)
        self.mixing = draws.choice([-1.0, 1.0], (rows, problem.n)) / np.sqrt(problem.n)
        chosen = orbit[draws.integers(len(orbit), size=_WINDOWS)]
        found = self._of(chosen)
        low, high = found.min(0), found.max(0)
        wider = _WIDER * (high - low) + _FLOOR * (1 + np.abs(low) + np.abs(high))
        self.low, self.high = low - wider, high + wider

    def _of(self, states: np.ndarray) -> np.ndarray:
        static, arrays = split(self.problem.cell)
        dtype = self.problem.dtype
        given = self.scale.astype(dtype), self.mixing.astype(dtype), self.problem.shape
        u, rows = self.problem.u, states.astype(dtype)
        return mapped(lambda part: _means(static, arrays, u, part, *given), [rows], _BATCH).astype(float)

    def hold(self, states: np.ndarray) -> np.ndarray:
        """Whether the means along the next steps of each state lie within the bands."""
        if not len(states):
            return np.zeros(0, bool)
        found = self._of(states)
        return ((found >= self.low) & (found <= self.high)).all(1)
