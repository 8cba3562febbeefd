"""Many orbits at once: states some steps later, short windows, and tails with a tangent vector."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import join
from rnn_dynamics.dynamics.equilibria import newton
from rnn_dynamics.dynamics.equilibria.equation import RootProblem

__all__ = ["TAIL", "TAILS", "advanced", "tails", "windows"]

TAIL, TAILS = 2048, 4


@functools.partial(jax.jit, static_argnums=(0, 5))
def _advance(
    static: Any, arrays: Any, x: Float[Array, "batch n"], inputs: Any, steps: Any, shape: tuple[int, ...]
) -> Float[Array, "batch n"]:
    return jax.vmap(newton.Map(join(static, arrays), inputs, steps, shape))(x)


def advanced(problem: RootProblem, states: np.ndarray, length: int) -> np.ndarray:
    """The states ``length`` multiples of the input's period later, one program for all lengths."""
    if not len(states):
        return states
    return problem.batched(_advance, length, states)[0]


def windows(problem: RootProblem, states: np.ndarray, length: int) -> np.ndarray:
    """x, G(x), …, G^{length−1}(x) of each, G one period of the input; shape (count, length, n)."""
    (orbit,) = problem.batched(newton.orbits_of, length, states)
    return orbit[:, :: problem.cycle]


@functools.partial(jax.jit, static_argnums=(0, 5))
def _tail(
    static: Any, arrays: Any, x: Float[Array, "batch n"], inputs: Any, steps: Any, shape: tuple[int, ...]
) -> tuple[Float[Array, "batch tail n"], Float[Array, "batch tail"]]:
    once = newton.Map(join(static, arrays), inputs, steps, shape)

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
    rows = np.minimum(np.arange(TAILS), len(states) - 1)
    arrays = problem.static, problem.arrays, jnp.asarray(states[rows]), problem.inputs
    path, logs = _tail(*arrays, stride * problem.cycle, problem.shape)
    return np.asarray(path)[: len(states)], np.asarray(logs)[: len(states)]
