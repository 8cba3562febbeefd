"""The steps of a trajectory as arguments of a compiled scan."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from rnn_dynamics import lengths
from rnn_dynamics.cells.structure import split
from rnn_dynamics.rollout import Trajectory
from rnn_dynamics.validation import index

__all__ = ["along", "segment", "step_range"]

# Entries that a padded run of matrices may have in all.
_LARGEST_OF_MATRICES = 2**18


def step_range(trajectory: Trajectory, start: Any, stop: Any) -> tuple[int, int]:
    if not isinstance(trajectory, Trajectory):
        raise TypeError(f"trajectory: expected a Trajectory from rollout, got {type(trajectory).__name__}")
    if jnp.ndim(trajectory.first_nonfinite):
        raise ValueError(
            f"trajectory: expected one trajectory, got a batch of shape {trajectory.first_nonfinite.shape}; "
            "use jax.vmap over this function too"
        )
    stop = trajectory.steps if stop is None else index("stop", stop, minimum=0, maximum=trajectory.steps)
    return index("start", start, minimum=0, maximum=stop), stop


def segment(trajectory: Trajectory, start: Any, stop: Any) -> tuple[Any, Any, Array, Any]:
    """The split cell (static part, arrays) and the states and inputs of the steps start … stop−1."""
    start, stop = step_range(trajectory, start, stop)
    static, arrays = split(trajectory.cell)
    inputs = jax.tree_util.tree_map(lambda leaf: leaf[start:stop], trajectory.inputs)
    return static, arrays, trajectory.states[start:stop], inputs


def along(
    program: Callable[..., Any],
    trajectory: Trajectory,
    start: Any,
    stop: Any,
    *arguments: Any,
    of_matrices: bool = False,
    backward: bool = True,
) -> Any:
    """``program(static, arrays, states, inputs, *arguments)`` over the steps start … stop−1.

    Short runs of small networks are padded (``lengths``), so that twenty values of T are few compilations.

    Args:
        program: a compiled scan whose results lead with an axis along the steps.
        of_matrices: whether it computes an n×n matrix at each step, else a vector.
        backward: whether it runs from the last step to the first.
    """
    start, stop = step_range(trajectory, start, stop)
    static, arrays = split(trajectory.cell)
    size = math.prod(trajectory.states.shape[1:])
    size, limit = (size**2, _LARGEST_OF_MATRICES) if of_matrices else (size, lengths.LARGEST_PADDED)
    series = (trajectory.states, trajectory.inputs)
    extra = lengths.surplus(stop - start, size, limit, arrays, series, arguments)
    if not extra:
        return program(*segment(trajectory, start, stop), *arguments)
    sides = {"before": extra} if backward else {"after": extra}
    found = program(static, arrays, *lengths.padded(series, start, stop, **sides), *arguments)
    return lengths.cut(found, extra, None) if backward else lengths.cut(found, 0, -extra)
