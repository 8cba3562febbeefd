"""How far back inputs reach: ∂x_T/∂u_k for every k."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells.structure import join
from rnn_dynamics.jacobians import step_matrix
from rnn_dynamics.parameters import by_floating_inputs, is_parameter
from rnn_dynamics.rollout import Trajectory
from rnn_dynamics.scaled import Scaled, from_float
from rnn_dynamics.segments import segment, step_range
from rnn_dynamics.validation import choice

__all__ = ["input_norms"]

_HIGHEST = jax.lax.Precision.HIGHEST


@functools.partial(jax.jit, static_argnums=(0, 4))
def _norms(static: Any, arrays: Any, states: Array, inputs: Array, ord: Any) -> Array:
    cell, size = join(static, arrays), math.prod(states.shape[1:])

    def back(product: Scaled, step: tuple) -> tuple[Scaled, Array]:
        x, u = step
        of_numbers, numbers = by_floating_inputs(cell, u)
        columns = jax.jacfwd(of_numbers, argnums=1)(x, numbers)
        by_input = jnp.concatenate([column.reshape(size, -1) for column in columns], axis=1)
        reached = Scaled(
            jnp.matmul(product.unit, by_input, precision=_HIGHEST), product.exponent, 2
        ).normalize()
        earlier = jnp.matmul(product.unit, step_matrix(cell, x, u), precision=_HIGHEST)
        return Scaled(earlier, product.exponent, 2).normalize(), reached.norm(ord).log()

    start = from_float(jnp.eye(size, dtype=states.dtype), event_ndim=2)
    return jax.lax.scan(back, start, (states, inputs), reverse=True)[1]


def input_norms(
    trajectory: Trajectory, *, ord: int | str = 2, stop: int | None = None
) -> Float[Array, " steps"]:
    """ln‖∂x_stop/∂u_k‖ for every k = 0 … stop−1: J_stop ⋯ J_{k+2} ∂F/∂u_k.

    Args:
        trajectory: from ``rollout``; of its inputs the floating leaves, all together.
        ord: 2, the spectral norm, or "fro".
        stop: T by default.

    Returns:
        Natural logarithms; −inf where the product is exactly zero.

    Raises:
        TypeError, ValueError: not a trajectory; no floating inputs; stop outside 0 … T; another norm.
    """
    step_range(trajectory, 0, stop)
    if not any(map(is_parameter, jax.tree_util.tree_leaves(trajectory.inputs))):
        raise ValueError("trajectory: expected floating inputs, got none")
    return _norms(*segment(trajectory, 0, stop), choice("ord", ord, [2, "fro"]))
