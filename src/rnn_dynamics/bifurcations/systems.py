"""The equations that a bifurcation solves, as square systems that stay regular there.

A fixed point is G(x, λ) = F^p(x; λ) − x = 0. A multiplier μ = ±1 adds one equation g = 0, where g is the last entry
of the solution of the bordered system

    [J − μI  w] [v]   [0]
    [  cᵀ    0] [g] = [1],

which vanishes exactly where J − μI is singular and is as smooth as F. A pair e^{±iθ} adds two, from J² − 2κJ + I
with two borders, and the unknown κ = cos θ. A branch point adds g and ψᵀ ∂F/∂λ = 0, ψ the left vector, and the
unknown β of G + βw = 0, which is 0 there.

Reference: W. Govaerts, "Numerical Methods for Bifurcations of Dynamical Equilibria", SIAM 2000.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.iterates import ReturnMap

__all__ = [
    "Borders",
    "branch_point",
    "jacobian",
    "neimark_sacker",
    "null_borders",
    "one_multiplier",
    "pair_borders",
    "quadratic",
]


class Borders(NamedTuple):
    """Columns w and c that make a singular matrix regular: near its left and right null vectors.

    Attributes:
        left: w, shape (n, 1) or (n, 2).
        right: c, the same.
    """

    left: Float[Array, "n k"]
    right: Float[Array, "n k"]


def jacobian(whole: ReturnMap, x: Float[Array, " n"], *parameters: Array) -> Float[Array, "n n"]:
    """∂F^p/∂x."""
    return jax.jacfwd(whole)(x, *parameters)


def _bordered(matrix: Array, borders: Borders) -> tuple[Array, Array]:
    """(V, g) of the bordered system, V of shape (n, k), g of shape (k, k)."""
    size, columns = borders.right.shape
    corner = jnp.zeros((columns, columns), matrix.dtype)
    whole = jnp.block([[matrix, borders.left], [borders.right.T, corner]])
    right = jnp.concatenate([jnp.zeros((size, columns), matrix.dtype), jnp.eye(columns, dtype=matrix.dtype)])
    solved = jnp.linalg.solve(whole, right)
    return solved[:size], solved[size:]


def _turned(matrix: Array, borders: Borders) -> tuple[Array, Array]:
    """The same of the transposed matrix: left null vectors."""
    return _bordered(matrix.T, Borders(borders.right, borders.left))


def _normal(columns: Array) -> Array:
    return jnp.linalg.qr(columns)[0]


def null_borders(matrix: Float[Array, "n n"]) -> Borders:
    """Singular vectors of the smallest singular value."""
    left, _, right = jnp.linalg.svd(matrix)
    return Borders(left[:, -1:], right[-1:].T)


def pair_borders(matrix: Float[Array, "n n"], cosine: Array) -> Borders:
    """Singular vectors of the two smallest singular values of J² − 2κJ + I."""
    left, _, right = jnp.linalg.svd(quadratic(matrix, cosine))
    return Borders(left[:, -2:], right[-2:].T)


def followed(matrix: Array, borders: Borders) -> Borders:
    """Borders that follow the null vectors of a matrix that changed a little."""
    right = _normal(_bordered(matrix, borders)[0])
    left = _normal(_turned(matrix, borders)[0])
    return Borders(left, right)


def quadratic(matrix: Array, cosine: Array) -> Array:
    square = jnp.matmul(matrix, matrix, precision=jax.lax.Precision.HIGHEST)
    return square - 2 * cosine * matrix + jnp.eye(matrix.shape[0], dtype=matrix.dtype)


def shifted(matrix: Array, multiplier: Array) -> Array:
    """J − μI."""
    return matrix - multiplier * jnp.eye(matrix.shape[0], dtype=matrix.dtype)


def one_multiplier(
    whole: ReturnMap, multiplier: Array, borders: Borders, x: Array, *parameters: Array
) -> Float[Array, " n+1"]:
    """(F^p(x) − x, g): zero where x is fixed and has the multiplier μ."""
    _, g = _bordered(shifted(jacobian(whole, x, *parameters), multiplier), borders)
    return jnp.concatenate([whole(x, *parameters) - x, g[0]])


def neimark_sacker(
    whole: ReturnMap, borders: Borders, cosine: Array, x: Array, *parameters: Array
) -> Float[Array, " n+2"]:
    """(F^p(x) − x, g₁₁, g₂₁): zero where x is fixed and has the multipliers κ ± i√(1 − κ²)."""
    _, g = _bordered(quadratic(jacobian(whole, x, *parameters), cosine), borders)
    return jnp.concatenate([whole(x, *parameters) - x, g[:, 0]])


def branch_point(
    whole: ReturnMap, borders: Borders, beta: Array, x: Array, parameter: Array
) -> Float[Array, " n+2"]:
    """(F^p(x) − x + βw, g, ψᵀ ∂F/∂λ): zero, with β = 0, where two branches of fixed points cross."""
    matrix = shifted(jacobian(whole, x, parameter), jnp.ones_like(parameter))
    _, g = _bordered(matrix, borders)
    left, _ = _turned(matrix, borders)
    slope = jax.jvp(lambda p: whole(x, p), (parameter,), (jnp.ones_like(parameter),))[1]
    crossing = jnp.sum(left[:, 0] * slope)
    return jnp.concatenate([whole(x, parameter) - x + beta * borders.left[:, 0], g[0], crossing[None]])
