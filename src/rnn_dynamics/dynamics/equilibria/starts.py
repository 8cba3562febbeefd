"""States to start a search from: those that trajectories visit, with noise."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.numerics.reductions import all_finite
from rnn_dynamics.numerics.validation import count, index, real_array


def starts_from(
    trajectories: Any, number: int, *, key: Any, noise: float = 0.0, skip: int = 0
) -> Float[Array, "number ..."]:
    """States drawn from trajectories, with independent normal noise added to every unit.

    Args:
        trajectories: a ``Trajectory`` from ``rollout``, or a list of them, of one state shape; batches of
            ``jax.vmap`` too.
        number: how many states to draw, with replacement.
        key: of the draws.
        noise: standard deviation of the noise.
        skip: states at the beginning of each trajectory that are left out, a transient.

    Returns:
        Shape (number, *state). States that are not finite are never drawn.

    Raises:
        TypeError: no trajectories.
        ValueError: noise < 0; nothing left to draw from.

    Reference: D. Sussillo, O. Barak, "Opening the black box", Neural Computation 25, 2013.
    """
    given = [trajectories] if isinstance(trajectories, Trajectory) else trajectories
    if (
        not isinstance(given, list | tuple)
        or not all(isinstance(one, Trajectory) for one in given)
        or not given
    ):
        raise TypeError(
            f"trajectories: expected a Trajectory from rollout or a list of them, got {type(trajectories).__name__}"
        )
    number = count("number", number)
    spread = float(real_array("noise", noise, ndim=0))
    if spread < 0:
        raise ValueError(f"noise: expected a standard deviation of at least 0, got {spread}")
    states = jnp.concatenate(
        [_visited(one, index("skip", skip, minimum=0, maximum=one.steps)) for one in given]
    )
    finite = all_finite(states.reshape(len(states), math.prod(states.shape[1:])), axis=1)
    if not bool(finite.any()):
        raise ValueError("trajectories: expected a finite state to draw from, got none")
    draw, shake = jax.random.split(key)
    chosen = jnp.flatnonzero(finite)[jax.random.randint(draw, (number,), 0, int(finite.sum()))]
    return states[chosen] + spread * jax.random.normal(shake, (number, *states.shape[1:]), states.dtype)


def _visited(trajectory: Trajectory, skip: int) -> Array:
    """The states of a run from step ``skip`` on, or of all runs of a batch."""
    axes = len(trajectory.batch)
    states = trajectory.states[(*(slice(None) for _ in range(axes)), slice(skip, None))]
    return states.reshape(-1, *states.shape[axes + 1 :])
