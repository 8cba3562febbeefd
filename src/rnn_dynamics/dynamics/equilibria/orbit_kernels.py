"""Many orbits at once: states some steps later, short windows, and tails with a tangent vector."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import join
from rnn_dynamics.dynamics.equilibria.equation import RootProblem
from rnn_dynamics.dynamics.phases import lengths_of, wrapped
from rnn_dynamics.dynamics.return_map import IteratedMap, images, orbits
from rnn_dynamics.numerics.batching import filled
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.reductions import largest

TAIL, TAILS = 2048, 4
AT_REST = 1e-6  # relative distance of a return
_SHRINKS = 16.0  # e-folds of a tangent over a tail


def advanced(problem: RootProblem, states: np.ndarray, length: int) -> np.ndarray:
    """The states ``length`` multiples of the input's period later, one program for all lengths."""
    if not len(states):
        return states
    return problem.batched(images, length, states)[0]


def windows(problem: RootProblem, states: np.ndarray, length: int) -> np.ndarray:
    """x, G(x), …, G^{length−1}(x) of each, G one period of the input; shape (count, length, n)."""
    (orbit,) = problem.batched(orbits, length, states)
    return orbit[:, :: problem.cycle]


@lean(static_argnums=(0, 5))
def _tail(
    static: Any, arrays: Any, x: Float[Array, "batch n"], inputs: Any, steps: Any, shape: tuple[int, ...]
) -> tuple[Float[Array, "batch tail n"], Float[Array, "batch tail"]]:
    once = IteratedMap(join(static, arrays), inputs, steps, shape)

    def advance(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        state, tangent = carry
        state, tangent = jax.jvp(once, (state,), (tangent,))
        size = jnp.sqrt(jnp.sum(jnp.square(tangent)))
        kept = jnp.where(size > 0, tangent / size, tangent)
        return (state, kept), (state, jnp.log(size))

    def one(start: Array) -> tuple[Array, Array]:
        first = jnp.ones_like(start) / jnp.sqrt(jnp.asarray(start.size, start.dtype))
        return jax.lax.scan(advance, (start, first), None, length=TAIL)[1]

    return jax.vmap(one)(x)


def tails(problem: RootProblem, states: np.ndarray, stride: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Every ``stride``-th of the next states of up to ``TAILS`` states, and the log of a tangent's growth to each.

    A tail has ``TAIL`` states; the stride is counted in periods of the input.
    """
    arrays = problem.static, problem.arrays, jnp.asarray(filled(states, TAILS)), problem.inputs
    path, logs = _tail(*arrays, stride * problem.cycle, problem.shape)
    return np.asarray(path)[: len(states)], np.asarray(logs)[: len(states)]


@lean(static_argnums=(0, 5))
def _growth(
    static: Any,
    arrays: Any,
    x: Float[Array, " n"],
    inputs: Any,
    turns: Any,
    shape: tuple[int, ...],
    cycle: Any,
) -> Float[Array, ""]:
    once = IteratedMap(join(static, arrays), inputs, cycle, shape)

    def advance(_: Any, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        state, tangent, total = carry
        state, tangent = jax.jvp(once, (state,), (tangent,))
        size = jnp.sqrt(jnp.sum(jnp.square(tangent)))
        return state, jnp.where(size > 0, tangent / size, tangent), total + jnp.log(size)

    first = jnp.ones_like(x) / jnp.sqrt(jnp.asarray(x.size, x.dtype))
    return jax.lax.fori_loop(0, turns, advance, (x, first, jnp.zeros((), x.dtype)))[2]


def growth(problem: RootProblem, state: np.ndarray, turns: int) -> float:
    """ln of what one tangent vector grows by along so many periods of the input, in all."""
    given = problem.static, problem.arrays, jnp.asarray(state), problem.inputs
    return float(_growth(*given, np.int32(turns), problem.shape, np.int32(problem.cycle)))


@lean(static_argnums=(0, 5))
def _returns(
    static: Any, arrays: Any, x: Float[Array, "batch n"], inputs: Any, steps: Any, shape: tuple[int, ...]
) -> tuple[Array, Array, Array]:
    once = IteratedMap(join(static, arrays), inputs, steps, shape)
    lengths = lengths_of(join(static, arrays))

    def one(start: Array) -> tuple[Array, Array, Array]:
        def advance(i: Array, carry: tuple) -> tuple:
            state, tangent, least, period, growth = carry
            state, tangent = jax.jvp(once, (state,), (tangent,))
            size = jnp.sqrt(jnp.sum(jnp.square(tangent)))
            tangent = jnp.where(size > 0, tangent / size, tangent)
            gap = largest(wrapped(state - start, lengths))
            growth = growth + jnp.where(i < TAIL // 2, 0, jnp.log(size))
            return state, tangent, jnp.minimum(gap, least), jnp.where(gap < least, i + 1, period), growth

        first = jnp.ones_like(start) / jnp.sqrt(jnp.asarray(start.size, start.dtype))
        none = jnp.asarray(jnp.inf, start.dtype), jnp.zeros((), jnp.int32), jnp.zeros((), start.dtype)
        _, _, least, period, growth = jax.lax.fori_loop(0, TAIL, advance, (start, first, *none))
        return least, period, growth / (TAIL - TAIL // 2)

    return jax.vmap(one)(x)


def returns(problem: RootProblem, states: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How near each orbit comes back to its state within ``TAIL`` periods of the input, when, and its exponent."""
    least, period, growth = problem.batched(_returns, 1, states)
    return least, period, growth


def settled(problem: RootProblem, states: np.ndarray) -> np.ndarray:
    """Which orbits have come to rest on a point or a cycle of any length up to ``TAIL``, or shrink a tangent."""
    if not len(states):
        return np.zeros(0, bool)
    least, _, growth = returns(problem, states)
    return (least <= AT_REST * problem.norms(states)) | (growth < -_SHRINKS / TAIL)
