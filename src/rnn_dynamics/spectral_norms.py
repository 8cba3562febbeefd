"""ln‖∂x_T/∂x_k‖₂ for every k, by a block iteration that each k starts from its neighbour's.

With P_k = ∂x_T/∂x_k the norm is the root of the largest eigenvalue of G_k = P_k P_kᵀ, whose eigenvectors lie at
x_T and turn little from k + 1 to k: P_k = P_{k+1} J_{k+1}. A block of them is filtered by a Chebyshev polynomial
in G_k that is small below the block's last value, made orthonormal, and turned to Ritz vectors (u_j, θ_j) with
residuals r_j = ‖G_k u_j − θ_j u_j‖. Every k adds fixed random columns, filtered along, so that a direction that the
neighbour's block did not hold is found.

References: Y. Zhou, Y. Saad, M. Tiago, J. Chelikowsky, J. Comput. Phys. 219, 172 (2006), for the filter;
B. Parlett, The Symmetric Eigenvalue Problem (SIAM, 1998), sections 10 and 11, for the bounds.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from rnn_dynamics.cells.structure import join
from rnn_dynamics.jacobians import step_matrix
from rnn_dynamics.rollout import Trajectory
from rnn_dynamics.scaled import Scaled, from_float, power_of_two
from rnn_dynamics.segments import along
from rnn_dynamics.status import Status
from rnn_dynamics.validation import count, flag, real_array

__all__ = ["SpectralNorms", "spectral_norms"]

_HIGHEST = jax.lax.Precision.HIGHEST
_TOLERANCE = {4: 1e-5, 8: 1e-10}
# Columns kept from k to k − 1, and random ones added at every k.
_KEPT, _FRESH = 8, 2
# By how much more than √n the first filter of each k amplifies what the kept columns did not hold.
_PROBE = 100.0
_HIGHEST_DEGREE = 40
_HIGHEST_PROBE = 16
_TABLE = 16
# Rounding of ‖Pᵀu‖, in units of the dtype's eps.
_ROUNDING = 16.0


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["log", "log_errors", "right", "left", "iterations", "status"],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class SpectralNorms:
    """The largest singular value of P_k = ∂x_stop/∂x_k for every k = 0 … stop, with its directions."""

    log: Float[Array, " steps+1"]
    log_errors: Float[Array, " steps+1"]
    right: Float[Array, "steps+1 n"]
    left: Float[Array, "steps+1 n"]
    iterations: Int[Array, " steps+1"]
    status: Int[Array, " steps+1"]

    def __repr__(self) -> str:
        text = f"SpectralNorms({self.log.shape[-1]} lags of {self.right.shape[-1]} units"
        if isinstance(self.log, Tracer) or self.log.ndim != 1:
            return text + ")"
        longest = float(self.log[0]) / math.log(10)
        resolved = int(jnp.sum(self.status == int(Status.RESOLVED)))
        return f"{text}, 10^{longest:.4g} at k = 0, resolved={resolved})"


class _Operator(NamedTuple):
    """P and Pᵀ on blocks of vectors in rows, both in one unit 2^exponent.

    Rows, as XLA on a CPU multiplies a thin block from the left up to ten times faster than from the right.
    """

    forward: Callable[[Array], Array]
    transpose: Callable[[Array], Array]


class _Block(NamedTuple):
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


def _ritz(operator: _Operator, rows: Array, iterations: Any) -> _Block:
    """Rayleigh–Ritz on the span of the rows; values are NaN where the image is not finite."""
    basis = jnp.linalg.qr(rows.T)[0].T
    image = operator.transpose(basis)
    finite = jnp.isfinite(image).all()
    image = jnp.where(finite, image, 0)
    _, turn = jnp.linalg.eigh(_product(image, image.T), symmetrize_input=False)
    turn = turn[:, ::-1].T
    left = _product(turn, basis)
    return _block(operator, left, _product(turn, image), finite, iterations + 1)


def _block(operator: _Operator, left: Array, right: Array, finite: Array, iterations: Any) -> _Block:
    applied = jnp.where(finite, operator.forward(right), 0)
    values = jnp.where(finite, jnp.sum(jnp.square(right), axis=1), jnp.nan)
    residuals = jnp.sqrt(jnp.sum(jnp.square(applied - values[:, None] * left), axis=1))
    return _Block(left, right, applied, values, residuals, _error(values, residuals), jnp.int32(iterations))


def _rise(operator: _Operator, centre: Array, reach: Array, _: Array, state: tuple) -> tuple:
    """From the polynomials of degrees i − 1, i to those of i, i + 1."""
    before, now, factor = state
    ratio = centre / reach
    following = 1 / (2 - ratio * factor)
    grown = operator.forward(operator.transpose(now)) - centre * now
    later = (2 * following / reach) * grown - (factor * following * ratio) * before
    return now, later, ratio * following


def _filter(operator: _Operator, block: _Block, edge: Array, degree: Array) -> Array:
    """p(G) · left for the Chebyshev polynomial of [0, edge] with p(θ_1) = 1; G · left where that overflows."""
    centre = edge / 2
    reach = block.values[0] - centre
    rise = functools.partial(_rise, operator, centre, reach)
    first = (block.applied - centre * block.left) / reach
    rows = jax.lax.fori_loop(1, degree, rise, (block.left, first, centre / reach))[1]
    return jnp.where(jnp.isfinite(rows).all(), rows, block.applied)


def _degree(block: _Block, edge: Array, tolerance: Array, probe: float) -> Int[Array, ""]:
    """The degree that brings the residual to its goal and amplifies the leading direction by ``probe``."""
    top = block.values[0]
    gap = top - jnp.max(block.values[1:], initial=0.0)
    goal = 0.5 * jnp.maximum(tolerance * top, jnp.sqrt(tolerance * top * gap))
    needed = jnp.maximum(jnp.log(2 * block.residuals[0] / goal), 1)
    rate = jnp.arccosh(jnp.maximum(2 * top / jnp.maximum(edge, 1e-30 * top) - 1, 1.0001))
    wanted = jnp.clip(needed / rate, 1, _HIGHEST_DEGREE)
    seen = jnp.clip(math.log(2 * probe) / rate, 1, _HIGHEST_PROBE)
    return jnp.ceil(jnp.where(top > 0, jnp.maximum(wanted, seen), 1)).astype(jnp.int32)


def _probe(operator: _Operator, rough: _Operator, dtype: Any, kept: int, tolerance: Array, block: _Block) -> _Block:
    """The first cycle at a new k, which the random rows go through too, filtered in ``dtype``."""
    edge = block.values[kept - 1]
    degree = _degree(block, edge, tolerance, _PROBE * math.sqrt(block.left.shape[1]))
    low = jax.tree.map(lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a, block)
    rows = _filter(rough, low, edge.astype(dtype), degree).astype(block.left.dtype)
    return _ritz(operator, rows, block.iterations + degree - 1)


def _cycle(operator: _Operator, tolerance: Array, block: _Block) -> _Block:
    edge = block.values[-1]
    degree = _degree(block, edge, tolerance, 1.0)
    return _ritz(operator, _filter(operator, block, edge, degree), block.iterations + degree - 1)


def _refined(operator: _Operator, block: _Block, tolerance: Array, most: Array) -> _Block:
    """Filter and turn until the error is within the tolerance or G was applied ``most`` times."""

    def unfinished(block: _Block) -> Array:
        return (block.values[0] > 0) & (block.error > tolerance) & (block.iterations < most)

    return jax.lax.while_loop(unfinished, functools.partial(_cycle, operator, tolerance), block)


def _of_matrix(matrix: Array) -> _Operator:
    return _Operator(lambda rows: _product(rows, matrix.T), lambda rows: _product(rows, matrix))


def _exact(matrix: Array, block: _Block) -> _Block:
    """The block of the full eigenvalue decomposition of P Pᵀ."""
    _, vectors = jnp.linalg.eigh(_product(matrix, matrix.T), symmetrize_input=False)
    left = vectors[:, ::-1].T[: block.left.shape[0]]
    right = _product(left, matrix)
    found = _block(_of_matrix(matrix), left, right, jnp.isfinite(right).all(), block.iterations)
    rounding = (_ROUNDING + math.sqrt(left.shape[1])) * float(jnp.finfo(left.dtype).eps)
    return found._replace(error=jnp.where(found.values[0] > 0, rounding, jnp.inf).astype(left.dtype))


class _Carry(NamedTuple):
    """From k + 1 to k: the product, the leading vectors at x_T, and whether every state so far was finite."""

    product: Scaled
    kept: Float[Array, "p n"]
    finite: Array


def _found(carry: _Carry, block: _Block, exponent: Array, tolerance: Array, otherwise: Status) -> tuple:
    """What one k adds to the result."""
    size = jnp.sqrt(block.values[0])
    log = Scaled(size, exponent).log()
    right = block.right[0] / jnp.where(size > 0, size, 1)
    status = jnp.where(block.error <= tolerance, int(Status.RESOLVED), int(otherwise))
    status = jnp.where(size == 0, int(Status.UNRESOLVED), status)
    status = jnp.where(carry.finite & ~jnp.isnan(size), status, int(Status.DIVERGED))
    return log, block.error, right, block.left[0], block.iterations, status.astype(jnp.int32)


def _explicit_step(cell: Any, tolerance: Array, most: Array, carry: _Carry, step: tuple) -> tuple:
    """From P_{k+1} to P_k = P_{k+1} J_{k+1} and its norm."""
    x, u, fresh = step
    unit = _product(carry.product.unit, step_matrix(cell, x, u))
    product = Scaled(unit, carry.product.exponent, 2).normalize()
    operator, kept = _of_matrix(product.unit), carry.kept.shape[0]
    block = _ritz(operator, jnp.concatenate([carry.kept, fresh]), 0)
    if block.left.shape[0] < x.size:
        rough = _of_matrix(product.unit.astype(jnp.float32))
        block = _probe(operator, rough, jnp.float32, kept, tolerance, block)
    block = _refined(operator, block, tolerance, most)
    lost = (block.error > tolerance) & jnp.isfinite(block.values[0]) & jnp.any(product.unit != 0)
    block = jax.lax.cond(lost, functools.partial(_exact, product.unit), lambda block: block, block)
    carry = _Carry(product, block.left[:kept], carry.finite & jnp.isfinite(x).all())
    return carry, _found(carry, block, product.exponent, tolerance, Status.UNRESOLVED)


def _random_rows(size: int, steps: int, dtype: Any) -> tuple[Array, Array]:
    """Orthonormal rows to start from and the random rows of every k, which repeat after ``_TABLE`` steps."""
    kept = min(_KEPT, size)
    fresh = min(_FRESH, size - kept)
    start, table = jax.random.split(jax.random.key(0))
    rows = jnp.linalg.qr(jax.random.normal(start, (size, kept), dtype))[0].T
    draws = jax.random.normal(table, (_TABLE, fresh, size), dtype)
    return rows, draws[jnp.arange(steps) % _TABLE]


@functools.partial(jax.jit, static_argnums=0)
def _explicit(
    static: Any, arrays: Any, states: Array, inputs: Any, tolerance: Array, most: Array
) -> SpectralNorms:
    size = math.prod(states.shape[1:])
    rows, fresh = _random_rows(size, states.shape[0], states.dtype)
    identity = from_float(jnp.eye(size, dtype=states.dtype), event_ndim=2)
    step = functools.partial(_explicit_step, join(static, arrays), tolerance, most)
    start = _Carry(identity, rows, jnp.asarray(True))
    _, found = jax.lax.scan(step, start, (states, inputs, fresh), reverse=True)
    return _with_identity(found, rows[0])


def _with_identity(found: tuple, direction: Array) -> SpectralNorms:
    """The result with ‖∂x_T/∂x_T‖ = 1 behind it."""
    zero = jnp.zeros((), direction.dtype)
    last = (zero, zero, direction, direction, jnp.int32(0), jnp.int32(Status.RESOLVED))
    return SpectralNorms(*(jnp.concatenate([a, b[None]]) for a, b in zip(found, last, strict=True)))


def spectral_norms(
    trajectory: Trajectory,
    *,
    stop: int | None = None,
    tolerance: Any = None,
    matrix_free: bool = False,
    max_iterations: int = 200,
) -> SpectralNorms:
    """ln‖∂x_stop/∂x_k‖₂ for every k = 0 … stop, to a bound on the relative error, with the leading directions."""
    dtype = trajectory.states.dtype if isinstance(trajectory, Trajectory) else jnp.result_type(float)
    chosen = _TOLERANCE[jnp.dtype(dtype).itemsize] if tolerance is None else tolerance
    limit = real_array("tolerance", chosen, ndim=0)
    if not isinstance(limit, Tracer) and not float(limit) > 0:
        raise ValueError(f"tolerance: expected a number > 0, got {float(limit)}")
    most = count("max_iterations", max_iterations, minimum=1)
    flag("matrix_free", matrix_free)
    return along(_explicit, trajectory, 0, stop, limit.astype(dtype), jnp.int32(most), of_matrices=True)
