"""Runs of any length, a stretch of steps at a time; and the pass forward, with one tangent.

Beyond the runs themselves memory is that of one stretch, O(√T n), and of a few numbers a step. Stretches have few
lengths, powers of two, so that a new T compiles nothing.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnn_dynamics.cells import ElmanRNN, FeedForward, PreActivationRNN
from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.dynamics.lyapunov.frames import first_frame, orthonormal, push
from rnn_dynamics.gradients.steps import on_host
from rnn_dynamics.numerics.batching import power_of_two_above
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.scaled import from_float

_HIGHEST = jax.lax.Precision.HIGHEST
_SHORTEST = 64
_STRETCH = 256


class Runs(NamedTuple):
    """Runs of one length side by side, on the host.

    Attributes:
        static, arrays: the cell, split; its arrays with a leading axis of runs where ``is_shared`` is False.
        states, inputs: leading axes runs, time.
        is_shared: whether all runs have the same cell.
    """

    static: Any
    arrays: Any
    states: np.ndarray
    inputs: Any
    is_shared: bool

    @property
    def steps(self) -> int:
        """The number of steps, T."""
        return self.states.shape[1] - 1

    @property
    def size(self) -> int:
        """The number of entries of a state, n."""
        return math.prod(self.states.shape[2:])


class Along(NamedTuple):
    """What the pass forward measures.

    Attributes:
        frame: the tangent at x_T, shape (runs, n).
        logs: ln of its growth at each step, shape (runs, T); of what the first of its two factors does, W or φ′.
        gates: the mean of each gate, by name, shape (runs,).
        carries: the mean of ln of what each unit keeps, shape (runs, units).
        is_passed: whether the slope of a unit is anything but 0 at some step, shape (runs, units); or ``None``.
    """

    frame: np.ndarray
    logs: np.ndarray
    first_logs: np.ndarray
    gates: dict[str, np.ndarray]
    carries: dict[str, np.ndarray]
    is_passed: np.ndarray | None


def runs_of(trajectory: Trajectory) -> Runs:
    """A run, or a batch of them along one axis, as ``Runs``."""
    static, arrays = split(trajectory.cell)
    if not jnp.ndim(trajectory.first_nonfinite):
        add = functools.partial(jax.tree_util.tree_map, lambda leaf: on_host(leaf)[None])
        return Runs(static, arrays, add(trajectory.states), add(trajectory.inputs), True)
    all_on_host = functools.partial(jax.tree_util.tree_map, on_host)
    held = [None if leaf is None else np.asarray(leaf) for leaf in arrays]
    is_shared = all(leaf is None or bool((leaf == leaf[:1]).all()) for leaf in held)
    arrays = [None if leaf is None else leaf[0] for leaf in held] if is_shared else held
    return Runs(static, arrays, all_on_host(trajectory.states), all_on_host(trajectory.inputs), is_shared)


def stretches(steps: int) -> tuple[int, list[tuple[int, int]]]:
    """The length of a stretch, a power of two of at least √T, and where each of them begins and ends."""
    length = power_of_two_above(max(_SHORTEST, math.isqrt(max(steps - 1, 0)) + 1, min(_STRETCH, steps)))
    return length, [(first, min(first + length, steps)) for first in range(0, steps, length)]


def stretch(runs: Runs, first: int, last: int, length: int) -> tuple[Any, Any]:
    """States and inputs of the steps first … last−1, the last one repeated up to the stretch's length."""

    def cut(leaf: Any) -> Any:
        part, kind = leaf[:, first:last], np if isinstance(leaf, np.ndarray) else jnp
        short = length - part.shape[1]
        return kind.concatenate([part, kind.repeat(part[:, -1:], short, axis=1)], axis=1) if short else part

    return cut(runs.states), jax.tree_util.tree_map(cut, runs.inputs)


def at(tree: Any, i: Any) -> Any:
    return jax.tree_util.tree_map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, i, keepdims=False), tree)


# ---- forward


class _Sums(NamedTuple):
    """What is carried forward: the tangent, and sums over the steps so far."""

    frame: Array
    logs: Array
    first_logs: Array
    gates: Any
    carries: Any
    is_passed: Any


def _measures(cell: Any, x: Array, u: Any) -> tuple[dict, dict, Any]:
    """Gates, memory kept and slopes of one step, of cells that tell them."""
    gates = cell.gates(x, u) if hasattr(cell, "gates") else {}
    carries = cell.carries(x, u) if hasattr(cell, "carries") else {}
    slopes = cell.slopes(x, u) if hasattr(cell, "slopes") else None
    kept = {name: value for name, value in gates.items() if not name.endswith("candidate")}
    return {name: jnp.mean(value) for name, value in kept.items()}, carries, slopes


def _first_factor(cell: Any, x: Array, u: Any, tangent: Array) -> Array:
    """ln of what the factor that acts first does to a unit tangent: W, or φ′ where that is inside; else 0."""
    if isinstance(cell, PreActivationRNN):
        between = tangent * cell.slopes(x, u)
    elif isinstance(cell, ElmanRNN | FeedForward):
        between = jnp.matmul(cell.W if isinstance(cell, ElmanRNN) else u["W"], tangent, precision=_HIGHEST)
    else:
        return jnp.zeros((), tangent.dtype)
    return from_float(between, event_ndim=1).norm().log()


def _forward_step(cell: Any, states: Array, inputs: Any, i: Array, sums: _Sums) -> _Sums:
    x, u = at((states, inputs), i)
    gates, carries, slopes = _measures(cell, x, u)
    following, triangle = orthonormal(push(cell, x, u, sums.frame[:, None]))
    is_passed = None if slopes is None else sums.is_passed | (slopes != 0)
    return _Sums(
        following[:, 0],
        sums.logs.at[i].set(jnp.log(jnp.abs(triangle[0, 0]))),
        sums.first_logs.at[i].set(_first_factor(cell, x, u, sums.frame)),
        jax.tree_util.tree_map(jnp.add, sums.gates, gates),
        jax.tree_util.tree_map(lambda total, kept: total + jnp.log(kept), sums.carries, carries),
        is_passed,
    )


def _forward_of_one(
    static: Any, arrays: Any, states: Array, inputs: Any, frame: Array, count: Array
) -> _Sums:
    cell, nothing = join(static, arrays), jnp.zeros(states.shape[0], states.dtype)
    gates, carries, slopes = jax.eval_shape(functools.partial(_measures, cell), *at((states, inputs), 0))
    zeros = functools.partial(jax.tree_util.tree_map, lambda leaf: jnp.zeros(leaf.shape, leaf.dtype))
    is_passed = None if slopes is None else jnp.zeros(slopes.shape, bool)
    sums = _Sums(frame, nothing, nothing, zeros(gates), zeros(carries), is_passed)
    return jax.lax.fori_loop(0, count, functools.partial(_forward_step, cell, states, inputs), sums)


@lean(static_argnums=(0, 6))
def _forward(
    static: Any, arrays: Any, states: Array, inputs: Any, frame: Array, count: Array, is_shared: bool
) -> _Sums:
    of_one = functools.partial(_forward_of_one, static)
    return jax.vmap(of_one, in_axes=(None if is_shared else 0, 0, 0, 0, None))(
        arrays, states, inputs, frame, count
    )


def forward(runs: Runs, report: Callable[[int], object] = lambda done: None) -> Along:
    """One random tangent, the same for every run, carried through all steps, and sums of what the cell tells."""
    number, dtype = len(runs.states), runs.states.dtype
    frame = np.broadcast_to(np.asarray(first_frame(None, runs.size, 1, dtype))[:, 0], (number, runs.size))
    length, parts = stretches(runs.steps)
    logs, first_logs, gates, carries, is_passed = [], [], [], [], None
    for first, last in parts:
        states, inputs = stretch(runs, first, last, length)
        found = _forward(
            runs.static, runs.arrays, states, inputs, frame, np.int32(last - first), runs.is_shared
        )
        frame = found.frame
        logs.append(np.asarray(found.logs)[:, : last - first])
        first_logs.append(np.asarray(found.first_logs)[:, : last - first])
        gates.append({name: np.asarray(v, float) for name, v in found.gates.items()})
        carries.append({name: np.asarray(v, float) for name, v in found.carries.items()})
        if found.is_passed is not None:
            passed = np.asarray(found.is_passed)
            is_passed = passed if is_passed is None else is_passed | passed
        report(last)
    means = [
        {name: np.sum([part[name] for part in of_parts], axis=0) / runs.steps for name in of_parts[0]}
        for of_parts in (gates, carries)
    ]
    logs, first_logs = (np.concatenate(part, axis=1).astype(float) for part in (logs, first_logs))
    return Along(np.asarray(frame), logs, first_logs, means[0], means[1], is_passed)
