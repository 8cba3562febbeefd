"""Newton's method for a square system, and for a point of a curve beside a given one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rnn_dynamics.numerics.reductions import all_finite, largest

_CORRECTIONS = 10
_HIGHEST = jax.lax.Precision.HIGHEST


class Correction(NamedTuple):
    """A point brought onto the curve.

    Attributes:
        y: the point.
        steps: how many Newton steps it took.
        slowest: the largest ratio of a Newton step to the one before it.
        converged: whether the last of them was within rounding of 0, and all numbers finite.
        jacobian: ∂G/∂y there, shape (m, m+1).
        tangent: of the curve there, in units of ``scale``, on the side of the row.
    """

    y: Float[Array, " m+1"]
    steps: Int[Array, ""]
    slowest: Float[Array, ""]
    converged: Bool[Array, ""]
    jacobian: Float[Array, "m m+1"]
    tangent: Float[Array, " m+1"]


def relative_tolerance(dtype: Any) -> float:
    """The relative Newton step after which the next would be within rounding."""
    return float(jnp.finfo(dtype).eps) ** 0.6


def solved(matrix: Float[Array, "m m"], right: Float[Array, "m ..."]) -> Float[Array, "m ..."]:
    """matrix⁻¹ · right by Householder reflections: as a program a fifth of a solution by pivots."""
    q, r = jax.lax.linalg.qr(matrix, full_matrices=False)
    turned = jnp.matmul(q.T, right.reshape(right.shape[0], -1), precision=_HIGHEST)
    return jax.lax.linalg.triangular_solve(r, turned, left_side=True).reshape(right.shape)


def inverse_row(matrix: Float[Array, "m m"], index: int) -> Float[Array, " m"]:
    """Return one row of the inverse."""
    return solved(matrix.T, jnp.zeros_like(matrix[0]).at[index].set(1))


def value_and_jacobian(function: Callable[[Array], Array], y: Array) -> tuple[Array, Array]:
    """Return the value and ∂G/∂y, from one pass."""

    def twice(z: Array) -> tuple[Array, Array]:
        value = function(z)
        return value, value

    matrix, value = jax.jacfwd(twice, has_aux=True)(y)
    return value, matrix


class _Newton(NamedTuple):
    """``steps[:, 0]`` is still to be made from ``y``; ``size`` is its relative length.

    ``steps[:, 1]`` is how the solution moves as the last equation's right side does.
    ``slowest`` is the largest ratio of a step's length to that of the one before, where rounding does not blur it.
    """

    y: Array
    steps: Array
    matrix: Array
    number: Array
    size: Array
    before: Array
    slowest: Array


def _newton(
    equations: Callable[[Array], tuple[Array, Array]], y: Array, scale: Array, most: int, least: float
) -> _Newton:
    """Newton's method until a step is shorter than ``least`` or, within rounding, no shorter than the one before.

    The equations stand once in the compiled program, in the loop.
    """
    settled, blurred = relative_tolerance(y.dtype), float(jnp.finfo(y.dtype).eps) ** 0.75
    last = jnp.zeros_like(y).at[-1].set(1)

    def one(state: _Newton) -> _Newton:
        y = state.y + state.steps[:, 0]
        value, matrix = equations(y)
        steps = solved(matrix, jnp.stack([-value, last], axis=1))
        size = largest(steps[:, 0] / (scale + jnp.abs(y)))
        ratio = jnp.where(state.size > blurred, size / state.size, 0)
        return _Newton(
            y, steps, matrix, state.number + 1, size, state.size, jnp.maximum(state.slowest, ratio)
        )

    def unfinished(state: _Newton) -> Array:
        stalled = (state.size <= settled) & (state.size >= 0.5 * state.before)
        going = (state.size > least) & ~stalled & ~jnp.isnan(state.size)
        return (state.number == 0) | ((state.number < most) & going)

    infinite = jnp.full((), jnp.inf, y.dtype)
    size = y.shape[0]
    steps, matrix = jnp.zeros((size, 2), y.dtype), jnp.zeros((size, size), y.dtype)
    start = _Newton(y, steps, matrix, jnp.int32(0), infinite, infinite, jnp.zeros_like(infinite))
    return jax.lax.while_loop(unfinished, one, start)


def solve_square(
    system: Callable[[Array], Array], y: Array, most: int = 20
) -> tuple[Array, Array, Array, Array]:
    """Newton's method for m equations in m unknowns: y, its last step, whether that is within rounding, ∂G/∂y."""
    least = 8 * float(jnp.finfo(y.dtype).eps)
    end = _newton(lambda z: value_and_jacobian(system, z), y, jnp.ones_like(y), most, least)
    converged = jnp.isfinite(end.size) & (end.size <= relative_tolerance(y.dtype))
    step = end.steps[:, 0]
    return end.y + step, step, converged, end.matrix


def correct(
    residual: Callable[[Array], Array], y: Float[Array, " m+1"], row: Float[Array, " m+1"], scale: Array
) -> Correction:
    """The point with G = 0 and row · (y − given y) = 0 near the given one, by Newton's method."""
    reference = y

    def equations(z: Array) -> tuple[Array, Array]:
        value, matrix = value_and_jacobian(residual, z)
        along = jnp.sum(row * (z - reference))
        return jnp.append(value, along), jnp.concatenate([matrix, row[None]])

    tolerance = relative_tolerance(y.dtype)
    end = _newton(equations, y, scale, _CORRECTIONS, tolerance)
    y, jacobian = end.y + end.steps[:, 0], end.matrix[:-1]
    tangent = end.steps[:, 1]
    tangent = tangent / jnp.sqrt(jnp.sum(jnp.square(tangent / scale)))
    sound = all_finite(tangent) & all_finite(y)
    return Correction(y, end.number, end.slowest, sound & (end.size <= tolerance), jacobian, tangent)
