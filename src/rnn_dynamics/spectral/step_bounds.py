"""What the singular values of the single steps say about their product, above and below.

    Π s_min(J_i) ≤ s_min(Π J_i) ≤ |det Π J_i|^{1/n} = Π |det J_i|^{1/n} ≤ ‖Π J_i‖₂ ≤ Π ‖J_i‖₂,

theorems for every cell. Where a lower one grows with the lag, gradients cannot vanish.
"""

import functools
import math
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import join
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.gradients.one_step import step_matrix
from rnn_dynamics.gradients.steps import along
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.padding import scan
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.scaled import Scaled, from_float, multiply


class _StepBounds(NamedTuple):
    largest: Float[Array, " steps+1"]
    smallest: Float[Array, " steps+1"]
    volume: Float[Array, " steps+1"]


class StepBounds(Result, _StepBounds):
    """Natural logarithms for every k = 0 … T, shape (T+1,); 0 at k = T.

    Attributes:
        largest: ln Π_{i=k+1…T} ‖J_i‖₂.
        smallest: ln Π s_min(J_i), rounded down; −∞ from the first singular step on.
        volume: ln Π |det J_i|^{1/n}, the mean of ln σ over the directions of the product, rounded down; −∞ from
            the first step on whose determinant is lost in rounding.
    """

    __slots__ = ()
    _units: ClassVar = {"largest": "nats", "smallest": "nats", "volume": "nats"}


def _step(cell: Any, step: tuple) -> Array:
    """‖J‖₂, s_min(J) less what rounding may have added to it, and |det J|^{1/n}."""
    matrix = step_matrix(cell, *step)
    values = jnp.linalg.svd(matrix, compute_uv=False)
    rounding = 2 * matrix.shape[0] * float(jnp.finfo(matrix.dtype).eps) * values[0]
    smallest = jnp.maximum(values[-1] - rounding, 0) if matrix.shape[0] > 1 else values[-1]
    return jnp.stack([values[0], smallest, _volume(matrix)])


def _scaled_rows(matrix: Array) -> tuple[Array, Array]:
    """Rows brought to entries near 1 by powers of two, and the sum of the exponents; zeros stay."""
    rows = from_float(matrix, event_ndim=1)
    return rows.unit, jnp.sum(rows.exponent)


def _volume(matrix: Float[Array, "n n"]) -> Float[Array, ""]:
    """|det J|^{1/n} = Π σ_i^{1/n}, rounded down by what its SVD may have added; 0 where that is all of it."""
    size = matrix.shape[0]
    if size == 1:
        return jnp.abs(matrix[0, 0])
    balanced, rows = _scaled_rows(matrix)
    balanced, columns = _scaled_rows(balanced.T)
    values = jnp.linalg.svd(balanced, compute_uv=False)
    eps = float(jnp.finfo(matrix.dtype).eps)
    rounding = 2 * size * eps * values[0] / jnp.where(values[-1] > 0, values[-1], 1)
    known = (values[-1] > 0) & (rounding < 0.5)
    shift = (rows + columns).astype(matrix.dtype) * math.log(2)
    logarithm = (shift + jnp.sum(jnp.log(jnp.where(known, values, 1)))) / size - rounding
    return jnp.where(known, jnp.exp(jnp.where(known, logarithm, 0)), 0)


def _accumulate(total: Scaled, factor: Scaled) -> tuple[Scaled, Scaled]:
    total = multiply(total, factor)
    return total, total


@lean(static_argnums=0)
def _log_products(
    static: Any, arrays: Any, states: Array, inputs: Any, inside: Array | None = None
) -> StepBounds:
    """Scaled products from every k to T, so that no sum of logarithms loses digits."""
    step = functools.partial(_step, join(static, arrays))
    factors = scan(lambda _, at: (None, step(at)), None, (states, inputs), inside)[1]
    one = from_float(jnp.ones(3, states.dtype))
    totals = jax.lax.scan(_accumulate, one, from_float(factors), reverse=True)[1]
    logs = jnp.concatenate([totals.log(), jnp.zeros((1, 3), states.dtype)])
    return StepBounds(*logs.T)


def step_bounds(trajectory: Trajectory) -> StepBounds:
    """Π ‖J_i‖₂, Π s_min(J_i) and Π |det J_i|^{1/n} from every k to T, between which ‖∂x_T/∂x_k‖₂ lies.

    Args:
        trajectory: one trajectory from ``rollout``.

    Returns:
        ``StepBounds``: natural logarithms for k = 0 … T, shape (T+1,).

    Raises:
        TypeError, ValueError: not a trajectory, or a batch of them.

    Two SVDs of every step: O(T n³) work, memory O(T n + n²).

    Reference: R. A. Horn, C. R. Johnson, "Topics in Matrix Analysis", Cambridge 1991, section 3.3.
    """
    return along(_log_products, trajectory, 0, None, of_matrices=True)
