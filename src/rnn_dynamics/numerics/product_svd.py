"""Every singular value of a long product of matrices, each to its own digits, however far apart they lie.

An explicit product keeps only the largest: the small ones sink below its rounding. Here one QR sweep writes
P = J_T ⋯ J_1 as Q_T R_T ⋯ R_1 Q_0ᵀ, and the product of the triangles is kept as rows u_i 2^{e_i}, a power of two
for each row. The factors being triangular, a row takes in only the rows below it and is never lost beside a
larger one. Q_0 comes from a sweep over the transposed product, so that the rows come out in falling order.
One-sided Jacobi rotations then make the rows orthogonal; they are written in the units of each row, where all
numbers are of order one.

References: G. W. Stewart, SIAM J. Sci. Comput. 16, 214 (1995), for graded products; J. Demmel, K. Veselić,
SIAM J. Matrix Anal. Appl. 13, 1204 (1992), for Jacobi's relative accuracy on D·B with B well conditioned.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rnn_dynamics.numerics.scaled import exponent_of, power_of_two

_HIGHEST = jax.lax.Precision.HIGHEST
# The exponent of a zero row: below every other, and differences of two stay in int32.
_ZERO = -(2**29)
_MOST_SWEEPS = 30


class GradedRows(NamedTuple):
    """The matrix with rows unit_i 2^{exponent_i}.

    Attributes:
        unit: rows with their largest |entry| in [½, 1), or 0.
        exponent: one power of two for each row.
    """

    unit: Float[Array, "n n"]
    exponent: Int[Array, " n"]


class Orthogonal(NamedTuple):
    """A matrix as left · diag(σ) · right.

    Attributes:
        log2: log₂ σ_i, falling; −∞ where σ_i is exactly 0.
        left: left singular vectors, in columns.
        right: right singular vectors, in rows; a zero row where σ_i is 0.
        off: the largest |cosine| between two rows after the last sweep.
    """

    log2: Float[Array, " n"]
    left: Float[Array, "n n"]
    right: Float[Array, "n n"]
    off: Float[Array, ""]


def _normalized(unit: Array, exponent: Array) -> GradedRows:
    largest = jnp.max(jnp.abs(unit), axis=1)
    shift = exponent_of(largest)
    unit = unit * power_of_two(-shift, unit.dtype)[:, None]
    return GradedRows(unit, jnp.where(largest == 0, _ZERO, jnp.maximum(exponent + shift, _ZERO)))


def _follow(triangle: Array, rows: GradedRows) -> GradedRows:
    """triangle · rows, for an upper triangle: every new row in the unit of the largest row that enters it."""
    top = jax.lax.cummax(rows.exponent, reverse=True)
    weights = jnp.triu(
        triangle * power_of_two(jnp.minimum(rows.exponent[None] - top[:, None], 0), triangle.dtype)
    )
    return _normalized(jnp.matmul(weights, rows.unit, precision=_HIGHEST), top)


def _step(
    matrix_of: Callable[[Any], Array], transposed: bool, frame: Array, step: Any
) -> tuple[Array, Array]:
    """J · frame, or Jᵀ · frame, as an orthogonal matrix and an upper triangle."""
    matrix = matrix_of(step)
    matrix = matrix.T if transposed else matrix
    frame, triangle = jnp.linalg.qr(jnp.matmul(matrix, frame, precision=_HIGHEST))
    return frame, triangle


def _over(advance: Callable[[Any, Any], Any], carry: Any, steps: Any, first: Any, *, backward: bool) -> Any:
    """``carry ← advance(carry, step)`` over the steps first … T−1, or from the last back to the first."""
    stop = jax.tree_util.tree_leaves(steps)[0].shape[0]

    def body(i: Array, carry: Any) -> Any:
        at = first + stop - 1 - i if backward else i
        step = jax.tree_util.tree_map(
            lambda leaf: jax.lax.dynamic_index_in_dim(leaf, at, keepdims=False), steps
        )
        return advance(carry, step)

    return jax.lax.fori_loop(first, stop, body, carry) if stop else carry


def _aligned_frame(
    matrix_of: Callable[[Any], Array], steps: Any, first: Any, size: int, dtype: Any
) -> Float[Array, "n n"]:
    """Columns near the right singular vectors of P in falling order: Q of a sweep over Pᵀ."""
    one = jnp.eye(size, dtype=dtype)
    return _over(lambda frame, step: _step(matrix_of, True, frame, step)[0], one, steps, first, backward=True)


def triangular_product(
    matrix_of: Callable[[Any], Array],
    steps: Any,
    start: Float[Array, "n n"],
    *,
    first: Any = 0,
    transposed: bool = False,
) -> tuple[Float[Array, "n n"], GradedRows]:
    """(Q, rows) with P · start = Q · rows for P = J_T ⋯ J_1, or for Pᵀ = J_1ᵀ ⋯ J_Tᵀ where ``transposed``.

    Args:
        matrix_of: J of one step, from an entry of ``steps``.
        steps: a pytree with a leading axis T.
        start: an orthogonal matrix.
        first: steps before this one are left out; it may be traced.
        transposed: whether the product is Pᵀ.
    """

    def advance(carry: tuple, step: Any) -> tuple:
        frame, rows = carry
        frame, triangle = _step(matrix_of, transposed, frame, step)
        return frame, _follow(triangle, rows)

    size = start.shape[0]
    rows = _normalized(jnp.eye(size, dtype=start.dtype), jnp.zeros(size, jnp.int32))
    return _over(advance, (start, rows), steps, first, backward=transposed)


class _Rotating(NamedTuple):
    rows: GradedRows
    left: Array  # transposed: what becomes of a row becomes of a row here
    off: Array
    sweep: Array


def seats_after(size: int) -> list[int]:
    """Who sits where after a round of a round-robin tournament of an even number, in which seats i and −1−i meet.

    The first stays, all others move on by one: after size − 1 rounds every pair has met, and all sit as before.
    """
    return [0, size - 1, *range(1, size - 1)]


def _pairs(leaf: Array) -> tuple[Array, Array]:
    """Return the entries i and −1−i along the first axis."""
    half = leaf.shape[0] // 2
    return leaf[:half], leaf[half:][::-1]


def _seated(first: Array, second: Array) -> Array:
    """Undo ``_pairs``."""
    return jnp.concatenate([first, second[::-1]])


def _rotate(state: _Rotating, _: None) -> tuple[_Rotating, None]:
    """Make the rows of every pair orthogonal: r_i ← c (r_i − t r_j), r_j ← c (r_j + t r_i), r_i the longer one.

    With r_i = u_i 2^{e_i}, s = 2^{e_j − e_i} ≤ 1 and t = s τ: u_i ← c (u_i − s² τ u_j), u_j ← c (u_j + τ u_i), and
    τ = 2 u_i·u_j / (d − √(d² + 4 s² (u_i·u_j)²)), d = s² |u_j|² − |u_i|² ≤ 0. Nothing here under- or overflows.
    """
    unit, exponent = state.rows
    units, powers, squares = map(_pairs, (unit, exponent, jnp.sum(jnp.square(unit), axis=1)))
    swap = (powers[1] > powers[0]) | ((powers[1] == powers[0]) & (squares[1] > squares[0]))

    def by_length(one: Array, other: Array) -> tuple[Array, Array]:
        is_swapped = swap.reshape(-1, *[1] * (one.ndim - 1))
        return jnp.where(is_swapped, other, one), jnp.where(is_swapped, one, other)

    (long, short), (a, b), (upper, lower) = (by_length(*p) for p in (units, squares, powers))
    cross = jnp.sum(long * short, axis=1)
    # A longer row by exponent may be the shorter one by an entry or two: s may pass 1 by no more than √n.
    s = power_of_two(lower - upper, unit.dtype)
    gap = jnp.square(s) * b - a
    sign = jnp.where(gap > 0, 1.0, -1.0).astype(unit.dtype)
    root = jnp.sqrt(jnp.square(gap) + 4 * jnp.square(s * cross))
    divisor = gap + sign * root
    tau = jnp.where(divisor == 0, 0, 2 * cross / jnp.where(divisor == 0, 1, divisor))
    t = s * tau
    c = jax.lax.rsqrt(1 + jnp.square(t))
    unit = _seated(
        *by_length(c[:, None] * (long - (s * t)[:, None] * short), c[:, None] * (short + tau[:, None] * long))
    )
    longer, shorter = by_length(*_pairs(state.left))
    left = _seated(
        *by_length(c[:, None] * (longer - t[:, None] * shorter), c[:, None] * (shorter + t[:, None] * longer))
    )
    size = jnp.sqrt(a) * jnp.sqrt(b)
    cosine = jnp.max(jnp.where(size == 0, 0, jnp.abs(cross) / jnp.where(size == 0, 1, size)))
    seats = jnp.asarray(seats_after(unit.shape[0]))
    rows = jax.tree_util.tree_map(lambda leaf: leaf[seats], _normalized(unit, exponent))
    return _Rotating(rows, left[seats], jnp.maximum(state.off, cosine), state.sweep), None


def _tolerance(size: int, dtype: Any) -> float:
    """The cosine below which two rows count as orthogonal."""
    return 4 * size * float(jnp.finfo(dtype).eps)


def orthogonal_rows(rows: GradedRows) -> Orthogonal:
    """The singular value decomposition of a matrix with graded rows, by one-sided Jacobi rotations of them.

    Rotations go in rounds of disjoint pairs, until all cosines between rows are within a few roundings of 0, or
    for 30 sweeps.
    """
    size, dtype = rows.unit.shape[0], rows.unit.dtype
    even = size + size % 2
    padded = GradedRows(
        jnp.zeros((even, size), dtype).at[:size].set(rows.unit),
        jnp.full(even, _ZERO, jnp.int32).at[:size].set(rows.exponent),
    )
    tolerance = _tolerance(size, dtype)

    def sweep(state: _Rotating) -> _Rotating:
        state = state._replace(off=jnp.zeros((), dtype), sweep=state.sweep + 1)
        return jax.lax.scan(_rotate, state, None, length=even - 1)[0]

    def unfinished(state: _Rotating) -> Array:
        return (state.off > tolerance) & (state.sweep < _MOST_SWEEPS)

    start = _Rotating(padded, jnp.eye(even, dtype=dtype), jnp.full((), jnp.inf, dtype), jnp.int32(0))
    state = jax.lax.while_loop(unfinished, sweep, start)
    unit, exponent = state.rows
    norms = jnp.sqrt(jnp.sum(jnp.square(unit), axis=1))
    gone = norms == 0
    log2 = jnp.where(gone, -jnp.inf, exponent.astype(dtype) + jnp.log2(jnp.where(gone, 1, norms)))
    order = jnp.argsort(-log2)[:size]
    right = unit / jnp.where(gone, 1, norms)[:, None]
    return Orthogonal(log2[order], state.left[order, :size].T, right[order], state.off)


class ProductSVD(NamedTuple):
    """The singular value decomposition of a product of matrices.

    Attributes:
        log2: log₂ σ_i, falling; −∞ where σ_i is exactly 0.
        error: estimated error of each: its distance from the same value of the transposed product, which takes
            the factors in the other order, and the rounding of the value itself. Infinite where one of the two
            is −∞ or the rotations did not end.
        left: left singular vectors, in rows.
        right: right singular vectors, in rows.
    """

    log2: Float[Array, " n"]
    error: Float[Array, " n"]
    left: Float[Array, "n n"]
    right: Float[Array, "n n"]


def product_svd(
    matrix_of: Callable[[Any], Array], steps: Any, size: int, dtype: Any, *, first: Any = 0
) -> ProductSVD:
    """The singular value decomposition of P = J_T ⋯ J_1; the matrices are made three times and not kept.

    Args:
        matrix_of: J of one step, shape (size, size), from an entry of ``steps``.
        steps: a pytree with a leading axis T; T may be 0.
        size: n.
        dtype: of the matrices.
        first: steps before this one are left out. It may be traced: one program for many lengths.
    """
    start = _aligned_frame(matrix_of, steps, first, size, dtype)
    frame, rows = triangular_product(matrix_of, steps, start, first=first)
    again = triangular_product(matrix_of, steps, frame, first=first, transposed=True)[1]
    both = jax.tree_util.tree_map(lambda a, b: jnp.stack([a, b]), rows, again)
    rotated = jax.lax.map(orthogonal_rows, both)  # one program for the two
    found, check = (jax.tree_util.tree_map(lambda leaf, i=i: leaf[i], rotated) for i in (0, 1))
    unit = float(jnp.finfo(dtype).eps)
    settled = (found.off <= _tolerance(size, dtype)) & (check.off <= _tolerance(size, dtype))
    known = jnp.isfinite(found.log2) & jnp.isfinite(check.log2) & settled
    distance = jnp.abs(jnp.where(known, found.log2, 0) - jnp.where(known, check.log2, 0))
    error = distance + unit * (size + jnp.abs(jnp.where(known, found.log2, 0)))
    left = jnp.matmul(frame, found.left, precision=_HIGHEST).T
    right = jnp.matmul(found.right, start.T, precision=_HIGHEST)
    return ProductSVD(found.log2, jnp.where(known, error, jnp.inf), left, right)
