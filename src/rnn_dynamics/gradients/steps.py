"""The steps of a trajectory as arguments of a compiled scan."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnn_dynamics.cells.arguments import instead_of_run
from rnn_dynamics.cells.bidirectional import BidirectionalRun
from rnn_dynamics.cells.pytree import split
from rnn_dynamics.cells.rollout import Trajectories, Trajectory
from rnn_dynamics.numerics import padding
from rnn_dynamics.numerics.batching import is_plain
from rnn_dynamics.numerics.validation import index

# Entries that a padded run of matrices may have in all: its padding computed, and where it is skipped but kept.
_LARGEST_OF_MATRICES = 2**18
_LARGEST_KEPT = 2**25


def step_range(trajectory: Trajectory, start: Any, stop: Any) -> tuple[int, int]:
    if isinstance(trajectory, Trajectories | list | tuple):
        raise TypeError(
            f"trajectory: expected one Trajectory from rollout, got {len(trajectory)} in "
            f"{type(trajectory).__name__}; call this for each of them"
        )
    if isinstance(trajectory, BidirectionalRun):
        raise TypeError(
            "trajectory: expected a Trajectory from rollout, got a BidirectionalRun: "
            'run.direction(0, "forward") is one; output_norms, output_jacobians, output_pullback, '
            "output_pushforward and credit_by_signed_lag of rnn_dynamics.gradients take the whole run"
        )
    if not isinstance(trajectory, Trajectory):
        got = f"{type(trajectory).__name__}{instead_of_run(trajectory)}"
        raise TypeError(f"trajectory: expected a Trajectory from rollout, got {got}")
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
    keeps_matrices: bool = False,
    backward: bool = True,
    cut: bool = True,
    **options: Any,
) -> Any:
    """``program(static, arrays, states, inputs, *arguments, **options)`` over the steps start … stop−1.

    Runs are padded (``lengths``), so that twenty values of T are few compilations: short ones of small networks as
    they are, the others with ``inside=`` a mask, by which the program skips the padding.

    Args:
        program: a compiled scan whose results lead with an axis along the steps.
        of_matrices: whether it computes an n×n matrix at each step, else a vector.
        keeps_matrices: whether its result has one for each step.
        backward: whether it runs from the last step to the first.
        cut: whether the padding is cut off the results. Where not, what they hold may depend on what stands at the
            padding: its mask is always given, and the caller knows what to cut.
    """
    start, stop = step_range(trajectory, start, stop)
    static, arrays = split(trajectory.cell)
    steps, size = stop - start, math.prod(trajectory.states.shape[1:])
    series = (trajectory.states, trajectory.inputs)
    plain = (arrays, series, arguments, options)
    at_a_step = size**2 if of_matrices else size
    limit = _LARGEST_OF_MATRICES if of_matrices else padding.LARGEST_PADDED
    is_cheap = cut and padding.may_pad(steps, at_a_step, limit, *plain)
    held = size**2 if keeps_matrices else size + entries_of(trajectory)
    most = _LARGEST_KEPT if keeps_matrices else padding.LARGEST_SKIPPED
    if not steps or not (is_cheap or padding.may_pad(steps, held, most, *plain)):
        return program(*segment(trajectory, start, stop), *arguments, **options)
    extra = padding.longer(steps) - steps
    sides = {"before": extra} if backward else {"after": extra}
    if not is_cheap:
        options["inside"] = padding.inside(steps, **sides)
    found = program(static, arrays, *padding.padded(series, start, stop, **sides), *arguments, **options)
    if not cut:
        return found
    return padding.cut(found, extra, None) if backward else padding.cut(found, 0, -extra or None)


def entries_of(trajectory: Trajectory) -> int:
    """Return how many numbers the input of one step has."""
    leaves = jax.tree_util.tree_leaves(trajectory.inputs)
    return sum(math.prod(jnp.shape(leaf)[1:]) for leaf in leaves)


def state_at(trajectory: Trajectory, step: int) -> Array:
    """x_step, cut on the host where it may be, which compiles nothing."""
    if not is_plain([trajectory.states]):
        return trajectory.states[step]
    return jax.device_put(np.asarray(trajectory.states)[step])


def later_states(trajectory: Trajectory) -> Array:
    """Return x_1 … x_T, cut likewise."""
    if not is_plain([trajectory.states]):
        return trajectory.states[1:]
    return jax.device_put(np.asarray(trajectory.states)[1:])


def on_host(leaf: Any) -> Any:
    """As NumPy's, cutting which compiles nothing; but for keys, which NumPy does not have."""
    return leaf if jnp.issubdtype(leaf.dtype, jax.dtypes.extended) else np.asarray(leaf)
