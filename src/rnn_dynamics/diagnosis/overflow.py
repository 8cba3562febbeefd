"""Where a run, or a derivative along it, leaves the floating numbers, and how it grew until then."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnn_dynamics.cells.rollout import Trajectory


class Overflow(NamedTuple):
    """The first thing that is not finite.

    Attributes:
        what: "state", "derivative", "loss".
        kind: "overflow" where it grew out of the floats, "NaN" where an operation left its domain, "input" where an
            input was not finite.
        step: the index of the first state that is not finite, or of the state whose derivative is not; of a loss T.
        growth: nats a step by which the state's largest entry grew in the second half of the steps before, or the
            gradient's norm in all of them; NaN where nothing came before.
        size: log₁₀ of the largest entry of the last finite state.
    """

    what: str
    kind: str
    step: int
    growth: float
    size: float


def before(trajectory: Trajectory, first: int) -> Trajectory:
    """The run up to its last finite state, x_{first−1}."""
    keep = first - 1
    inputs = jax.tree_util.tree_map(lambda leaf: leaf[:keep], trajectory.inputs)
    return Trajectory(trajectory.cell, inputs, trajectory.states[:first], jnp.int32(-1))


def of_state(trajectory: Trajectory, first: int) -> Overflow:
    """Whether it is the state x_first that is not finite."""
    states = np.asarray(trajectory.states[:first]).reshape(first, -1)
    largest = np.maximum(states.max(axis=1), -states.min(axis=1)).astype(float)
    with np.errstate(divide="ignore"):
        logs = np.log(largest)
    middle = (first - 1) // 2
    growth = float(logs[-1] - logs[middle]) / (first - 1 - middle) if first > 1 else math.nan
    growth = growth if math.isfinite(growth) else math.nan
    room = math.log(float(np.finfo(trajectory.states.dtype).max))
    is_infinite = bool(np.isinf(np.asarray(trajectory.states[first])).any())
    grown = is_infinite or float(logs[-1]) > room / 3
    given = jax.tree_util.tree_map(lambda leaf: leaf[first - 1], trajectory.inputs)
    is_given = all(
        np.isfinite(np.asarray(leaf)).all()
        for leaf in jax.tree_util.tree_leaves(given)
        if np.issubdtype(leaf.dtype, np.floating)
    )
    kind = "input" if not is_given else "overflow" if grown else "NaN"
    return Overflow("state", kind, first, growth, float(logs[-1]) / math.log(10))


def of_derivative(logs: np.ndarray, states: Any) -> Overflow:
    """ln‖∂x_T/∂x_k‖ is not finite for some k; the last such k is where it begins."""
    bad = np.flatnonzero(np.isnan(logs) | np.isposinf(logs))
    step = int(bad[-1])
    known = logs[step + 1 :]
    growth = float(known[0] - known[-1]) / (len(known) - 1) if len(known) > 1 else math.nan
    largest = float(np.abs(np.asarray(states[step], float)).max(initial=0))
    size = math.log10(largest) if largest else -math.inf
    room = math.log10(float(np.finfo(states.dtype).max))
    return Overflow("derivative", "overflow" if size > room / 2 else "NaN", step, growth, size)


def plain_limit(logs: np.ndarray, dtype: Any) -> int:
    """The least lag at which ‖∂x_T/∂x_k‖ is beyond the largest float of a dtype; −1 where none is."""
    beyond = np.flatnonzero(logs[::-1] > math.log(float(np.finfo(dtype).max)))
    return int(beyond[0]) if beyond.size else -1
