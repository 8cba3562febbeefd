"""What W, γ and α alone say about ‖∂x_T/∂x_k‖₂ at every lag, without a trajectory: jit-compiled, for grids."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.numerics import padding
from rnn_dynamics.numerics.batching import computed, elementwise, is_plain
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.scaled import Scaled, from_float
from rnn_dynamics.numerics.validation import broadcast_arrays

_HIGHEST = jax.lax.Precision.HIGHEST


@lean
def _log_rate(leak: Any, slope_bound: Any, size: Array) -> Array:
    """Return ln((1−α) + α γ s)."""
    return jnp.log((1 - leak) + leak * slope_bound * size)


@elementwise
def _multiple(lags: Array, log_rate: Array) -> Array:
    """n times the logarithm; 0 at n = 0 also where that is −∞."""
    return jnp.where(lags == 0, jnp.zeros_like(lags), lags * log_rate)


def log_power(
    size: Float[Array, ""], *, steps: int, slope_bound: Any = 1.0, leak: Any = 1.0
) -> Float[Array, " steps+1"]:
    """n ln((1−α) + α γ s) for n = T … 0, in the dtype of s: with s = s₁(W) a bound, with ρ(W) none."""
    rate = computed(_log_rate, *broadcast_arrays(leak=leak, slope_bound=slope_bound, size=size))
    lags = np.arange(steps, -1, -1, dtype=rate.dtype)
    return _multiple(*broadcast_arrays(finite=False, lags=lags, log_rate=rate))


def _multiply(matrix: Array, vector: Scaled) -> Scaled:
    return Scaled(jnp.matmul(matrix, vector.unit, precision=_HIGHEST), vector.exponent, 1).normalize()


def _log_largest(vector: Scaled) -> Array:
    return Scaled(jnp.max(vector.unit), vector.exponent).normalize().log()


def _multiply_both(matrix: Array, sums: tuple[Scaled, Scaled], _: Any) -> tuple[tuple[Scaled, Scaled], Array]:
    """The row sums M v and the column sums Mᵀ w, and ½ ln of the product of their largest entries."""
    rows, columns = _multiply(matrix, sums[0]), _multiply(matrix.T, sums[1])
    return (rows, columns), (_log_largest(rows) + _log_largest(columns)) / 2


@lean(static_argnames="steps")
def _log_absolute(weights: Array, leak: Any, slope_bound: Any, *, steps: int) -> Array:
    """Return the bounds for n = 1 … steps."""
    size, dtype = weights.shape[0], weights.dtype
    matrix = (1 - leak) * jnp.eye(size, dtype=dtype) + leak * slope_bound * jnp.abs(weights)
    start = from_float(jnp.ones(size, dtype), event_ndim=1)
    grow = functools.partial(_multiply_both, matrix.astype(dtype))
    return jax.lax.scan(grow, (start, start), None, length=steps)[1]


def log_absolute_bound(
    weights: Float[Array, "n n"], *, steps: int, slope_bound: Any = 1.0, leak: Any = 1.0
) -> Float[Array, " steps+1"]:
    """ln √(‖Mⁿ‖₁‖Mⁿ‖_∞) for n = T … 0, M = (1−α) I + α γ |W| entry by entry: at least ln‖∂x_T/∂x_k‖₂.

    |Π J_i| ≤ Mⁿ entry by entry, ‖A‖₂² ≤ ‖A‖₁‖A‖_∞, and for M ≥ 0 these two are the largest row and column sum:
    O(n²) work a lag. In the end it goes like ((1−α) + α γ ρ(|W|))ⁿ.
    """
    extra = padding.surplus(steps, 2 * len(weights), padding.LARGEST_PADDED, weights, leak)
    numbers = (x if isinstance(x, jax.Array) else np.asarray(x, weights.dtype) for x in (leak, slope_bound))
    logs = computed(_log_absolute, weights, *numbers, steps=steps + extra)
    if not is_plain([logs]):
        return jnp.concatenate([logs[::-1], jnp.zeros((1,), logs.dtype)])
    kept = np.asarray(logs)[:steps][::-1]
    return jax.device_put(np.concatenate([kept, np.zeros(1, kept.dtype)]))
