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


def _step(cell: Any, step: tuple) -> tuple[Scaled, Scaled, Scaled]:
    """‖J‖₂, s_min(J) less what rounding may have added to it, and |det J|^{1/n}."""
    matrix = step_matrix(cell, *step)
    values = jnp.linalg.svd(matrix, compute_uv=False)
    rounding = 2 * matrix.shape[0] * float(jnp.finfo(matrix.dtype).eps) * values[0]
    smallest = jnp.maximum(values[-1] - rounding, 0) if matrix.shape[0] > 1 else values[-1]
    return from_float(values[0]), from_float(smallest), from_float(_volume(matrix))


def _scaled_lines(matrix: Array, axis: int) -> tuple[Array, Array]:
    """Rows or columns brought to entries near 1 by powers of two, and the sum of the exponents; zeros stay."""
    exponent = jnp.frexp(jnp.max(jnp.abs(matrix), axis=axis, keepdims=True))[1]
    return jnp.ldexp(matrix, -exponent), jnp.sum(exponent)


def _volume(matrix: Float[Array, "n n"]) -> Float[Array, ""]:
    """|det J|^{1/n}, rounded down by what its LU may have added; 0 where that is all of it."""
    size = matrix.shape[0]
    if size == 1:
        return jnp.abs(matrix[0, 0])
    balanced, rows = _scaled_lines(matrix, 1)
    balanced, columns = _scaled_lines(balanced, 0)
    values = jnp.linalg.svd(balanced, compute_uv=False)
    eps = float(jnp.finfo(matrix.dtype).eps)
    rounding = 2 * size * eps * values[0] / jnp.where(values[-1] > 0, values[-1], 1)
    known = (values[-1] > 0) & (rounding < 0.5)
    shift = (rows + columns).astype(matrix.dtype) * math.log(2)
    logarithm = (shift + jnp.linalg.slogdet(balanced)[1]) / size - rounding
    return jnp.where(known, jnp.exp(jnp.where(known, logarithm, 0)), 0)


def _accumulate(totals: tuple, factors: tuple) -> tuple[tuple, tuple]:
    totals = tuple(multiply(total, factor) for total, factor in zip(totals, factors, strict=True))
    return totals, tuple(total.log() for total in totals)


@functools.partial(jax.jit, static_argnums=0)
def _log_products(
    static: Any, arrays: Any, states: Array, inputs: Any, inside: Array | None = None
) -> StepBounds:
    """Scaled products from every k to T, so that no sum of logarithms loses digits."""
    step = functools.partial(_step, join(static, arrays))
    factors = scan(lambda _, at: (None, step(at)), None, (states, inputs), inside)[1]
    one = from_float(jnp.ones((), states.dtype))
    _, logs = jax.lax.scan(_accumulate, (one, one, one), factors, reverse=True)
    return StepBounds(*(jnp.concatenate([log, jnp.zeros((1,), states.dtype)]) for log in logs))


def step_bounds(trajectory: Trajectory) -> StepBounds:
    """Π ‖J_i‖₂, Π s_min(J_i) and Π |det J_i|^{1/n} from every k to T, between which ‖∂x_T/∂x_k‖₂ lies.

    Args:
        trajectory: one trajectory from ``rollout``.

    Returns:
        ``StepBounds``: natural logarithms for k = 0 … T, shape (T+1,).

    Raises:
        TypeError, ValueError: not a trajectory, or a batch of them.

    One SVD and one LU of every step: O(T n³) work, memory O(T n + n²).

    Reference: R. A. Horn, C. R. Johnson, "Topics in Matrix Analysis", Cambridge 1991, section 3.3.
    """
    return along(_log_products, trajectory, 0, None, of_matrices=True)
