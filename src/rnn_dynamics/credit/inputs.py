"""How far back inputs reach: ∂x_T/∂u_k for every k."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells.slopes import exact_slopes
from rnn_dynamics.cells.structure import join
from rnn_dynamics.jacobians import step_matrix
from rnn_dynamics.rollout import Trajectory
from rnn_dynamics.scaled import Scaled, from_float
from rnn_dynamics.segments import segment, step_range
from rnn_dynamics.validation import choice

__all__ = ["input_norms"]

_HIGHEST = jax.lax.Precision.HIGHEST


@functools.partial(jax.jit, static_argnums=(0, 4))
def _norms(static: Any, arrays: Any, states: Array, inputs: Array, ord: Any) -> Array:
    cell, size = join(static, arrays), math.prod(states.shape[1:])
    exact = exact_slopes(cell)

    def back(product: Scaled, step: tuple) -> tuple[Scaled, Array]:
        x, u = step
        by_input = jax.jacfwd(lambda given: exact(x, given))(u).reshape(size, -1)
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
        trajectory: from ``rollout``, whose inputs are one floating array.
        ord: 2, the spectral norm, or "fro".
        stop: T by default.

    Returns:
        Natural logarithms; −inf where the product is exactly zero.

    Raises:
        TypeError, ValueError: not a trajectory; no inputs, or other ones; stop outside 0 … T; another norm.
    """
    step_range(trajectory, 0, stop)
    leaves = jax.tree_util.tree_leaves(trajectory.inputs)
    if len(leaves) != 1 or not jnp.issubdtype(leaves[0].dtype, jnp.floating):
        raise ValueError("trajectory: expected inputs that are one floating array")
    return _norms(*segment(trajectory, 0, stop), choice("ord", ord, [2, "fro"]))
