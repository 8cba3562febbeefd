"""ln‖∂x_T/∂x_k‖₂ for every k, each from its neighbour's leading directions.

With P_k = ∂x_T/∂x_k the norm is the root of the largest eigenvalue of P_k P_kᵀ, whose eigenvectors lie at x_T and
turn little from k + 1 to k: P_k = P_{k+1} J_{k+1}. ``leading_block`` goes from one to the next.
"""

import dataclasses
import functools
import math
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from rnn_dynamics.cells.pytree import join
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.gradients.jacobians import gradient_norms
from rnn_dynamics.gradients.one_step import step_matrix
from rnn_dynamics.gradients.steps import along, step_range
from rnn_dynamics.numerics.block_eigen import (
    Block,
    Operator,
    crowded,
    exact,
    extended,
    of_matrix,
    probed,
    random_rows,
    refined,
    ritz,
    ritz_of_basis,
    roughly,
)
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.padding import scan
from rnn_dynamics.numerics.reductions import all_finite, any_nonzero
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.results.powers import power_of_ten
from rnn_dynamics.numerics.scaled import Scaled, from_float, power_of_two
from rnn_dynamics.numerics.status import Status, count_resolved
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import count, flag, real_array

_HIGHEST = jax.lax.Precision.HIGHEST
_TOLERANCE = {4: 1e-5, 8: 1e-10}
_LARGEST_EXACT = 2048
# Rounding of an exact decomposition, in units of the dtype's eps.
_ROUNDING = 64.0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SpectralNorms(Result):
    """The largest singular value of P_k = ∂x_stop/∂x_k for every k = 0 … stop, with its directions.

    Attributes:
        log: ln‖P_k‖₂, shape (stop+1,); −∞ where the product is exactly zero in floats, NaN where it is not finite.
        log_errors: bound on the relative error of ‖P_k‖₂ from the residuals, 16 eps of rounding added; of the
            product as it was rounded, not of the rounding of the product itself.
        right: unit direction at x_k that grows most, one row for each k; zeros where the product is zero.
        left: unit direction at x_stop that it becomes. Only where ‖P_k‖₂ is a simple singular value are the two
            determined, to a sign and to about √``log_errors`` over the relative gap.
        iterations: how often P_k P_kᵀ was applied to a block of vectors.
        status: RESOLVED where ``log_errors`` is within the tolerance; UNRESOLVED where it is not, or log is −∞;
            MAX_STEPS where the matrix-free form ended before and no exact decomposition followed; DIVERGED where
            a state x_k … or P_k is not finite.
    """

    log: Float[Array, " steps+1"]
    log_errors: Float[Array, " steps+1"]
    right: Float[Array, "steps+1 n"]
    left: Float[Array, "steps+1 n"]
    iterations: Int[Array, " steps+1"]
    status: Int[Array, " steps+1"]

    _axes: ClassVar = {"n": "unit"}
    _units: ClassVar = {"log": "nats", "log_errors": "nats"}

    def __repr__(self) -> str:
        text = (
            f"SpectralNorms({counted(self.log.shape[-1], 'lag')} of {counted(self.right.shape[-1], 'unit')}"
        )
        if isinstance(self.log, Tracer) or self.log.ndim != 1:
            return text + ")"
        resolved = count_resolved(self.status)
        return f"{text}, {power_of_ten(float(np.asarray(self.log)[0]))} at k = 0, resolved={resolved})"


class _Carry(NamedTuple):
    """From k + 1 to k: the leading vectors at x_T, and whether every state so far was finite."""

    kept: Float[Array, "p n"]
    finite: Array


def _found(carry: _Carry, block: Block, exponent: Array, tolerance: Array, otherwise: Status) -> tuple:
    """Return what one k adds to the result."""
    size = jnp.sqrt(block.values[0])
    log = Scaled(size, exponent).log()
    right = block.right[0] / jnp.where(size > 0, size, 1)
    status = jnp.where(block.error <= tolerance, int(Status.RESOLVED), int(otherwise))
    status = jnp.where(size == 0, int(Status.UNRESOLVED), status)
    status = jnp.where(carry.finite & ~jnp.isnan(size), status, int(Status.DIVERGED))
    return log, block.error, right, block.left[0], block.iterations, status.astype(jnp.int32)


def _explicit_step(
    cell: Any, tolerance: Array, most: Array, carry: tuple[Scaled, _Carry], step: tuple
) -> tuple:
    """From P_{k+1} to P_k = P_{k+1} J_{k+1} and its norm."""
    (product, (kept, finite)), (x, u, fresh) = carry, step
    unit = jnp.matmul(product.unit, step_matrix(cell, x, u), precision=_HIGHEST)
    product = Scaled(unit, product.exponent, 2).normalize()
    operator = of_matrix(product.unit)
    if kept.shape[0] + fresh.shape[0] < x.size:
        block = ritz_of_basis(operator, extended(kept, fresh), 0)
        block = probed(operator, roughly(product.unit), jnp.float32, kept.shape[0], tolerance, block)
    else:
        block = ritz(operator, jnp.concatenate([kept, fresh]), 0)
    block = refined(operator, block, tolerance, most)
    hidden = crowded(block) if block.left.shape[0] < x.size else jnp.asarray(False)
    lost = (block.error > tolerance) | hidden
    lost = lost & jnp.isfinite(block.values[0]) & any_nonzero(product.unit)
    block = jax.lax.cond(lost, functools.partial(exact, product.unit), lambda block: block, block)
    carried = _Carry(block.left[: kept.shape[0]], finite & all_finite(x))
    found = _found(carried, block, product.exponent, tolerance, Status.UNRESOLVED)
    return (product, carried), found


@lean(static_argnums=0)
def _explicit(
    static: Any,
    arrays: Any,
    states: Array,
    inputs: Any,
    tolerance: Array,
    most: Array,
    inside: Array | None = None,
) -> SpectralNorms:
    size = math.prod(states.shape[1:])
    rows, fresh = random_rows(size, states.shape[0], states.dtype)
    identity = from_float(jnp.eye(size, dtype=states.dtype), event_ndim=2)
    step = functools.partial(_explicit_step, join(static, arrays), tolerance, most)
    start = (identity, _Carry(rows, jnp.asarray(True)))
    _, found = scan(step, start, (states, inputs, fresh), inside, reverse=True)
    return _with_identity(found, rows[0])


def _with_identity(found: tuple, direction: Array) -> SpectralNorms:
    """Return the result with ‖∂x_T/∂x_T‖ = 1 behind it."""
    zero = jnp.zeros((), direction.dtype)
    last = (zero, zero, direction, direction, jnp.int32(0), jnp.int32(Status.RESOLVED))
    return SpectralNorms(*(jnp.concatenate([a, b[None]]) for a, b in zip(found, last, strict=True)))


def _pull(cell: Any, states: Array, inputs: Any, back: Array, rows: Scaled) -> Scaled:
    """rows · J_{at+1}, ``back`` steps before the last: every row through the transposed step."""
    at = states.shape[0] - 1 - back
    x = states[at]
    u = jax.tree.map(lambda leaf: leaf[at], inputs)
    _, pull = jax.vjp(lambda state: cell(state, u), x)
    pulled = jax.vmap(lambda row: pull(row.reshape(x.shape))[0].reshape(-1))(rows.unit)
    return Scaled(pulled, rows.exponent, 2).normalize()


def _push(cell: Any, states: Array, inputs: Any, at: Array, rows: Scaled) -> Scaled:
    """Return rows · J_{at+1}ᵀ: every row goes through the linearised step."""
    x = states[at]
    u = jax.tree.map(lambda leaf: leaf[at], inputs)
    _, push = jax.linearize(lambda state: cell(state, u), x)
    pushed = jax.vmap(lambda row: push(row.reshape(x.shape)).reshape(-1))(rows.unit)
    return Scaled(pushed, rows.exponent, 2).normalize()


def _pulled(cell: Any, states: Array, inputs: Any, k: Array, rows: Array) -> Scaled:
    """Return rows · P_k."""
    step = functools.partial(_pull, cell, states, inputs)
    return jax.lax.fori_loop(0, states.shape[0] - k, step, from_float(rows, event_ndim=2))


def _pushed(cell: Any, states: Array, inputs: Any, k: Array, rows: Array) -> Scaled:
    """Return rows · P_kᵀ."""
    step = functools.partial(_push, cell, states, inputs)
    return jax.lax.fori_loop(k, states.shape[0], step, from_float(rows, event_ndim=2))


def _in_unit(rows: Scaled, exponent: Array) -> Array:
    return rows.unit * power_of_two(rows.exponent - exponent, rows.dtype)


def _of_steps(cell: Any, states: Array, inputs: Any, k: Array, exponent: Array) -> Operator:
    """The product P_k in units of 2^exponent, which is never formed."""
    return Operator(
        lambda rows: _in_unit(_pushed(cell, states, inputs, k, rows), exponent),
        lambda rows: _in_unit(_pulled(cell, states, inputs, k, rows), exponent),
    )


def _matrix_free_step(
    cell: Any, states: Array, inputs: Any, tolerance: Array, most: Array, carry: _Carry, step: tuple
) -> tuple:
    """Return the norm of P_k, found from steps alone."""
    k, fresh = step
    kept = carry.kept.shape[0]
    rows = jnp.concatenate([carry.kept, fresh])
    exponent = _pulled(cell, states, inputs, k, rows).exponent
    operator = _of_steps(cell, states, inputs, k, exponent)
    block = ritz(operator, rows, 0)
    if block.left.shape[0] < rows.shape[1]:
        block = probed(operator, operator, rows.dtype, kept, tolerance, block)
    block = refined(operator, block, tolerance, most)
    if block.left.shape[0] < rows.shape[1]:
        block = block._replace(error=jnp.where(crowded(block), jnp.inf, block.error))
    carry = _Carry(block.left[:kept], carry.finite & all_finite(states[k]))
    return carry, _found(carry, block, exponent, tolerance, Status.MAX_STEPS)


@lean(static_argnums=0)
def _matrix_free(
    static: Any,
    arrays: Any,
    states: Array,
    inputs: Any,
    tolerance: Array,
    most: Array,
    inside: Array | None = None,
) -> SpectralNorms:
    rows, fresh = random_rows(math.prod(states.shape[1:]), states.shape[0], states.dtype)
    cell = exact_slopes(join(static, arrays))
    step = functools.partial(_matrix_free_step, cell, states, inputs, tolerance, most)
    start = _Carry(rows, jnp.asarray(True))
    _, found = scan(step, start, (jnp.arange(states.shape[0]), fresh), inside, reverse=True)
    return _with_identity(found, rows[0])


def spectral_norms(
    trajectory: Trajectory,
    *,
    stop: int | None = None,
    tolerance: Any = None,
    matrix_free: bool = False,
    max_iterations: int = 200,
) -> SpectralNorms:
    """ln‖∂x_stop/∂x_k‖₂ for every k = 0 … stop, to a bound on the relative error, with the leading directions.

    As ``gradient_norms``, but a block of eight vectors takes the place of a full decomposition at every step. The
    leading directions at x_stop are carried from k + 1 to k, joined by one random direction, and refined by
    Chebyshev-filtered subspace iteration until the bound of Kato and Temple is within the tolerance.

    Args:
        trajectory: one trajectory from ``rollout``.
        stop: the step whose gradient is measured; T by default.
        tolerance: relative error of the norm; 1e-10 in float64, 1e-5 in float32 by default.
        matrix_free: False carries P_k itself: one n×n product a step, memory O(T n + n²); where leading values lie
            too close to be told apart in time, that k takes a full decomposition. True applies single steps and
            their transposes only: memory O(T n), O(T²) applications of a step in all, which pays for networks
            far larger than T times the iterations. What does not converge is labelled MAX_STEPS under ``jit`` and
            beyond 2048 units; else those k are decomposed exactly, their directions left as they were.
        max_iterations: applications of P_k P_kᵀ to the block after which no further filter begins. One filter,
            of degree 40 at most, is always made.

    Returns:
        ``SpectralNorms``, index k.

    Raises:
        TypeError, ValueError: not a trajectory; stop outside 0 … T; a tolerance ≤ 0; max_iterations < 1.

    The residuals bound the error among the directions that the block has found. Where its eight values lie within
    a thousandth, others may be as near, and that k counts as not converged. A larger singular value stays hidden
    where the block is all but orthogonal to its direction; the random direction, another for each of 16
    successive k and amplified by 20 √n in the filter, makes that improbable, not impossible: ``gradient_norms``
    decomposes every product. Works under ``jit`` and ``vmap``; under ``vmap`` both branches run, so that every k
    takes the full decomposition too. Not under reverse mode.

    Reference: Y. Saad, "Numerical Methods for Large Eigenvalue Problems", SIAM 2011, chapters 3 and 5.
    """
    step_range(trajectory, 0, stop)
    dtype = trajectory.states.dtype
    chosen = _TOLERANCE[jnp.dtype(dtype).itemsize] if tolerance is None else tolerance
    limit = real_array("tolerance", chosen, ndim=0)
    if not isinstance(limit, Tracer) and not float(limit) > 0:
        raise ValueError(f"tolerance: expected a number > 0, got {float(limit)}")
    most = count("max_iterations", max_iterations, minimum=1)
    program = _matrix_free if flag("matrix_free", matrix_free) else _explicit
    arguments = (limit.astype(dtype), jnp.int32(most))
    found = along(program, trajectory, 0, stop, *arguments, of_matrices=not matrix_free)
    return _completed(found, trajectory, limit) if matrix_free else found


def _completed(found: SpectralNorms, trajectory: Trajectory, limit: Array) -> SpectralNorms:
    """What did not converge, decomposed exactly: on the host, where a matrix is of moderate size."""
    if isinstance(found.log, Tracer) or isinstance(limit, Tracer) or found.right.shape[-1] > _LARGEST_EXACT:
        return found
    status, log, errors = (np.array(part) for part in (found.status, found.log, found.log_errors))
    open_ = np.flatnonzero(status == int(Status.MAX_STEPS))
    if not open_.size:
        return found
    stop = len(log) - 1
    log[open_] = gradient_norms(trajectory, stop=stop, lags=stop - open_)
    known = np.isfinite(log[open_])
    errors[open_] = np.where(known, _ROUNDING * np.finfo(log.dtype).eps, np.inf)
    resolved = errors[open_] <= float(limit)
    status[open_] = np.where(resolved, int(Status.RESOLVED), int(Status.UNRESOLVED))
    log, errors, status = (jnp.asarray(part) for part in (log, errors, status))
    return dataclasses.replace(found, log=log, log_errors=errors, status=status)
