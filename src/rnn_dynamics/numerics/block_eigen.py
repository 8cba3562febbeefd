"""The leading eigenvalues of P Pᵀ by a block iteration with a bound, for an operator near one already solved.

A block of approximate eigenvectors is filtered by a Chebyshev polynomial in G = P Pᵀ that is small on [0, edge],
edge at the block's last value, made orthonormal, and turned to Ritz vectors (u_j, θ_j) with residuals
r_j = ‖G u_j − θ_j u_j‖. The block starts from the neighbour's vectors and a random one, which is filtered along
at least once, so that a direction that the neighbour's did not hold is found.

References: Y. Zhou, Y. Saad, M. Tiago, J. Chelikowsky, J. Comput. Phys. 219, 172 (2006), for the filter;
B. Parlett, The Symmetric Eigenvalue Problem (SIAM, 1998), sections 10 and 11, for the bounds.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rnn_dynamics.numerics.reductions import all_finite

_HIGHEST = jax.lax.Precision.HIGHEST
# Vectors kept from k to k − 1, and random ones added at every k, from a table that is gone through again and again.
_KEPT, _FRESH, _TABLE = 7, 1, 16
# By how much more than √n the first filter of each k amplifies a leading direction that was not held before.
_PROBE = 20.0
# The residual that a filter aims at, in units of what the tolerance asks for.
_GOAL = 1.0
_HIGHEST_DEGREE, _HIGHEST_PROBE = 40, 16
# Units up to which P Pᵀ is formed for the filter.
_GRAM = 192
# Relative distance of the block's last value from its first within which more of them are expected.
_CROWDED = 1e-3
# Rounding of ‖Pᵀu‖, in units of the dtype's eps.
_ROUNDING = 16.0


class Operator(NamedTuple):
    """P and Pᵀ on blocks of vectors in rows, both in one unit 2^exponent.

    Rows, as XLA on a CPU multiplies a thin block from the left up to ten times faster than from the right.
    """

    forward: Callable[[Array], Array]
    transpose: Callable[[Array], Array]


class Block(NamedTuple):
    """Ritz vectors of P Pᵀ by falling value.

    Attributes:
        left: orthonormal rows at x_T.
        right: Pᵀ of each, orthogonal rows.
        applied: P Pᵀ of each.
        values: squared lengths of ``right``.
        residuals: ‖applied − values · left‖ of every row.
        error: bound on the relative error of the largest singular value.
        iterations: how often P Pᵀ was applied to a block.
    """

    left: Float[Array, "p n"]
    right: Float[Array, "p n"]
    applied: Float[Array, "p n"]
    values: Float[Array, " p"]
    residuals: Float[Array, " p"]
    error: Float[Array, ""]
    iterations: Int[Array, ""]


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=_HIGHEST)


def _error(values: Array, residuals: Array) -> Float[Array, ""]:
    """Bound on the relative error of √values[0], for eigenvalues of the space that the block has found.

    One eigenvalue lies within r_j of each θ_j. Where θ_1 is above β = max_{j>1} θ_j + r_j, it lies within
    r_1²/(θ_1 − β) of the largest (Kato and Temple); otherwise below β.
    """
    top, rest = values[0], residuals[0]
    second = jnp.max(values[1:] + residuals[1:], initial=0.0)
    gap = top - second
    apart = gap > 0
    by_gap = jnp.square(rest) / jnp.where(apart, gap, 1)
    excess = jnp.where(apart, jnp.minimum(by_gap, rest), jnp.maximum(rest, -gap))
    bound = excess / (2 * jnp.where(top > 0, top, 1))
    return jnp.where(top > 0, bound, jnp.inf) + _ROUNDING * float(jnp.finfo(values.dtype).eps)


def crowded(block: Block) -> Array:
    """Whether all values of the block lie so near the top that one just above them may hide outside it."""
    return block.values[-1] > (1 - _CROWDED) * block.values[0]


def ritz(operator: Operator, rows: Array, iterations: Any) -> Block:
    """Rayleigh–Ritz on the span of the rows; values are NaN where the image is not finite."""
    return ritz_of_basis(operator, jnp.linalg.qr(rows.T)[0].T, iterations)


def ritz_of_basis(operator: Operator, basis: Array, iterations: Any) -> Block:
    """Return the ``ritz`` of rows that are orthonormal already."""
    image = operator.transpose(basis)
    finite = all_finite(image)
    image = jnp.where(finite, image, 0)
    _, turn = jnp.linalg.eigh(_product(image, image.T), symmetrize_input=False)
    turn = turn[:, ::-1].T
    left = _product(turn, basis)
    return _block(operator, left, _product(turn, image), finite, iterations + 1)


def extended(basis: Array, rows: Array) -> Array:
    """Orthonormal rows with one more, made orthogonal to them twice: cheaper than a decomposition of all."""
    for _ in range(2):
        rows = rows - _product(_product(rows, basis.T), basis)
        rows = rows / jnp.sqrt(jnp.sum(jnp.square(rows), axis=1, keepdims=True))
    return jnp.concatenate([basis, rows])


def _block(operator: Operator, left: Array, right: Array, finite: Array, iterations: Any) -> Block:
    applied = jnp.where(finite, operator.forward(right), 0)
    values = jnp.where(finite, jnp.sum(jnp.square(right), axis=1), jnp.nan)
    residuals = jnp.sqrt(jnp.sum(jnp.square(applied - values[:, None] * left), axis=1))
    return Block(left, right, applied, values, residuals, _error(values, residuals), jnp.int32(iterations))


def _rise(operator: Operator, centre: Array, reach: Array, _: Array, state: tuple) -> tuple:
    """From the polynomials of degrees i − 1, i to those of i, i + 1."""
    before, now, factor = state
    ratio = centre / reach
    following = 1 / (2 - ratio * factor)
    grown = operator.forward(operator.transpose(now)) - centre * now
    later = (2 * following / reach) * grown - (factor * following * ratio) * before
    return now, later, ratio * following


def _filter(operator: Operator, block: Block, edge: Array, degree: Array) -> Array:
    """p(G) · left for the Chebyshev polynomial of [0, edge] with p(θ_1) = 1; G · left where that overflows."""
    centre = edge / 2
    reach = block.values[0] - centre
    rise = functools.partial(_rise, operator, centre, reach)
    first = (block.applied - centre * block.left) / reach
    rows = jax.lax.fori_loop(1, degree, rise, (block.left, first, centre / reach))[1]
    return jnp.where(all_finite(rows), rows, block.applied)


def _degree(block: Block, edge: Array, tolerance: Array, probe: float) -> Int[Array, ""]:
    """The degree that brings the residual to its goal and amplifies the leading direction by ``probe``."""
    top = block.values[0]
    gap = top - jnp.max(block.values[1:], initial=0.0)
    goal = _GOAL * jnp.maximum(tolerance * top, jnp.sqrt(tolerance * top * gap))
    needed = jnp.where(block.error > tolerance, jnp.maximum(jnp.log(2 * block.residuals[0] / goal), 1), 0)
    rate = jnp.arccosh(jnp.maximum(2 * top / jnp.maximum(edge, 1e-30 * top) - 1, 1.0001))
    wanted = jnp.clip(needed / rate, 1, _HIGHEST_DEGREE)
    seen = jnp.clip(math.log(2 * probe) / rate, 1, _HIGHEST_PROBE)
    return jnp.ceil(jnp.where(top > 0, jnp.maximum(wanted, seen), 1)).astype(jnp.int32)


def probed(
    operator: Operator, rough: Operator, dtype: Any, kept: int, tolerance: Array, block: Block
) -> Block:
    """The first cycle at a new k, which the random rows go through too, filtered in ``dtype``."""
    edge = block.values[kept - 1]
    degree = _degree(block, edge, tolerance, _PROBE * math.sqrt(block.left.shape[1]))
    low = jax.tree.map(lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a, block)
    rows = _filter(rough, low, edge.astype(dtype), degree).astype(block.left.dtype)
    return ritz(operator, rows, block.iterations + degree - 1)


def _cycle(operator: Operator, tolerance: Array, block: Block) -> Block:
    edge = block.values[-1]
    degree = _degree(block, edge, tolerance, 1.0)
    return ritz(operator, _filter(operator, block, edge, degree), block.iterations + degree - 1)


def refined(operator: Operator, block: Block, tolerance: Array, most: Array) -> Block:
    """Filter and turn until the error is within the tolerance or G was applied ``most`` times."""

    def unfinished(block: Block) -> Array:
        return (block.values[0] > 0) & (block.error > tolerance) & (block.iterations < most)

    return jax.lax.while_loop(unfinished, functools.partial(_cycle, operator, tolerance), block)


def of_matrix(matrix: Array) -> Operator:
    """Return the product P whose entries are given."""
    return Operator(lambda rows: _product(rows, matrix.T), lambda rows: _product(rows, matrix))


def roughly(matrix: Array) -> Operator:
    """P in float32, for filters; for a small one P Pᵀ itself, which halves their thin products."""
    rough = matrix.astype(jnp.float32)
    if matrix.shape[0] > _GRAM:
        return of_matrix(rough)
    gram = _product(rough, rough.T)
    return Operator(lambda rows: _product(rows, gram), lambda rows: rows)


def exact(matrix: Array, block: Block) -> Block:
    """The block of the full eigenvalue decomposition of P Pᵀ."""
    _, vectors = jnp.linalg.eigh(_product(matrix, matrix.T), symmetrize_input=False)
    left = vectors[:, ::-1].T[: block.left.shape[0]]
    right = _product(left, matrix)
    found = _block(of_matrix(matrix), left, right, all_finite(right), block.iterations)
    rounding = (_ROUNDING + math.sqrt(left.shape[1])) * float(jnp.finfo(left.dtype).eps)
    return found._replace(error=jnp.where(found.values[0] > 0, rounding, jnp.inf).astype(left.dtype))


def random_rows(size: int, steps: int, dtype: Any) -> tuple[Array, Array]:
    """Orthonormal rows to start from and the random rows of every k, which repeat after ``_TABLE`` steps."""
    kept = min(_KEPT, size)
    fresh = min(_FRESH, size - kept)
    start, table = jax.random.split(jax.random.key(0))
    rows = jnp.linalg.qr(jax.random.normal(start, (size, kept), dtype))[0].T
    draws = jax.random.normal(table, (_TABLE, fresh, size), dtype)
    return rows, draws[jnp.arange(steps) % _TABLE]
