"""What ‖∂x_T/∂x_k‖ cannot fall below: the smallest singular values and the volumes of the steps.

    Π s_min(J_i) ≤ s_min(Π J_i) ≤ ‖Π J_i‖₂,    Π |det J_i|^{1/n} = |det Π J_i|^{1/n} ≤ ‖Π J_i‖₂,

theorems for every cell. Where one of them grows with the lag, gradients cannot vanish.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from rnn_dynamics.cells.structure import join
from rnn_dynamics.jacobians import gradient_norms, step_matrix
from rnn_dynamics.rollout import Trajectory
from rnn_dynamics.scaled import Scaled, from_float, multiply
from rnn_dynamics.segments import along

__all__ = ["LowerBounds", "lower_bounds"]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["log_norms", "log_smallest", "log_volume"],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class LowerBounds:
    """ln‖∂x_T/∂x_k‖₂ for every k = 0 … T beside what bounds it from below.

    Attributes:
        log_norms: ln‖∂x_T/∂x_k‖₂, shape (T+1,).
        log_smallest: ln Π_{i=k+1…T} s_min(J_i), rounded down; −∞ from the first singular step on.
        log_volume: ln Π |det J_i|^{1/n}, the mean of ln σ over the directions of the product.
    """

    log_norms: Float[Array, " steps+1"]
    log_smallest: Float[Array, " steps+1"]
    log_volume: Float[Array, " steps+1"]

    @property
    def steps(self) -> int:
        """T."""
        return self.log_norms.shape[-1] - 1

    def __repr__(self) -> str:
        if isinstance(self.log_norms, Tracer) or self.log_norms.ndim != 1:
            return f"LowerBounds(shape={self.log_norms.shape}, dtype={self.log_norms.dtype})"
        norm, smallest, volume = (
            float(log[0]) / math.log(10) for log in (self.log_norms, self.log_smallest, self.log_volume)
        )
        return (
            f"LowerBounds(T = {self.steps}: ‖∂x_T/∂x_0‖₂ = 10^{norm:.2f} ≥ Π|det J_i|^(1/n) = 10^{volume:.2f}, "
            f"≥ Π s_min(J_i) = 10^{smallest:.2f})"
        )


def _step(cell: Any, step: tuple) -> tuple[Scaled, Scaled]:
    """s_min(J), less what rounding may have added to it, and |det J|^{1/n}."""
    matrix = step_matrix(cell, *step)
    values = jnp.linalg.svd(matrix, compute_uv=False)
    rounding = 2 * matrix.shape[0] * float(jnp.finfo(matrix.dtype).eps) * values[0]
    smallest = jnp.maximum(values[-1] - rounding, 0) if matrix.shape[0] > 1 else values[-1]
    volume = jnp.exp(jnp.linalg.slogdet(matrix)[1] / matrix.shape[0])
    return from_float(smallest), from_float(volume)


def _accumulate(totals: tuple, factors: tuple) -> tuple[tuple, tuple]:
    totals = tuple(multiply(total, factor) for total, factor in zip(totals, factors, strict=True))
    return totals, tuple(total.log() for total in totals)


@functools.partial(jax.jit, static_argnums=0)
def _log_products(static: Any, arrays: Any, states: Array, inputs: Any) -> tuple[Array, Array]:
    factors = jax.lax.map(functools.partial(_step, join(static, arrays)), (states, inputs))
    one = from_float(jnp.ones((), states.dtype))
    _, logs = jax.lax.scan(_accumulate, (one, one), factors, reverse=True)
    smallest, volume = (jnp.concatenate([log, jnp.zeros((1,), states.dtype)]) for log in logs)
    return smallest, volume


def lower_bounds(trajectory: Trajectory) -> LowerBounds:
    """ln‖∂x_T/∂x_k‖₂ for all k beside Π s_min(J_i) and Π |det J_i|^{1/n}, which it cannot fall below.

    Args:
        trajectory: one trajectory from ``rollout``.

    Raises:
        TypeError, ValueError: not a trajectory, or a batch of them.

    One SVD and one LU of every step: O(T n³) work, memory O(T n + n²).
    """
    smallest, volume = along(_log_products, trajectory, 0, None, of_matrices=True)
    return LowerBounds(gradient_norms(trajectory), smallest, volume)
