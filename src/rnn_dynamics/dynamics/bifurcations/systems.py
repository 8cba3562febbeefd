"""Regular systems of equations whose solutions are bifurcations, and what they are solved with.

A fixed point is G(x, λ) = F^p(x; λ) − x = 0. With J = ∂F^p/∂x, a multiplier μ = ±1 adds its vector,

    J v − μ v = 0,   (v·v − 1)/2 = 0,

in the unknowns (x, v, λ). A pair e^{±iθ} adds a vector of its plane and κ = cos θ,

    J J v − 2κ J v + v = 0,   (v·v − 1)/2 = 0,   c·v = 0,

with c in that plane too, in the unknowns (x, v, κ, λ). Where two branches cross there is a left vector ψ with

    Jᵀψ − ψ = 0,   (ψ·ψ − 1)/2 = 0,   ψ·∂F^p/∂λ = 0,

in the unknowns (x, ψ, β, λ), G + βw taking the place of G, as β is 0 there and w close to ψ. All are as smooth as
F, with no matrix to be inverted inside. λ stands last, and may be two numbers: then the solutions are curves.

References: G. Moore and A. Spence, SIAM J. Numer. Anal. 17, 1980; D. Roose and V. Hlavaček, SIAM J. Appl. Math. 45,
1985; W. Govaerts, "Numerical Methods for Bifurcations of Dynamical Equilibria", SIAM 2000.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.dynamics.return_map import ReturnMap


def jacobian(whole: ReturnMap, x: Float[Array, " n"], *parameters: Array) -> Float[Array, "n n"]:
    """∂F^p/∂x."""
    return jax.jacfwd(whole)(x, *parameters)


def shifted(matrix: Array, multiplier: Array) -> Array:
    """J − μI."""
    return matrix - multiplier * jnp.eye(matrix.shape[0], dtype=matrix.dtype)


def quadratic(matrix: np.ndarray, cosine: float) -> np.ndarray:
    """J² − 2κJ + I."""
    return np.dot(matrix, matrix) - 2 * cosine * matrix + np.eye(len(matrix), dtype=matrix.dtype)


def nearest_null_vectors(matrix: np.ndarray, count: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Right and left singular vectors of the smallest singular values, shape (count, n), the smallest last."""
    left, _, right = np.linalg.svd(matrix)
    return right[-count:], left[:, -count:].T


def _along(whole: ReturnMap, x: Array, v: Array, parameters: tuple) -> tuple[Array, Array]:
    """F^p(x) and J v."""
    return jax.jvp(lambda z: whole(z, *parameters), (x,), (v,))


def _norm(v: Array) -> Array:
    return (jnp.sum(jnp.square(v)) - 1)[None] / 2


def one_multiplier(whole: ReturnMap, multiplier: Array, y: Float[Array, " 2*n+k"]) -> Float[Array, " 2*n+1"]:
    """Zero at y = (x, v, λ…) where x is fixed and J v = μ v, |v| = 1."""
    size = whole.size
    x, v, parameters = y[:size], y[size : 2 * size], tuple(y[2 * size :])
    image, moved = _along(whole, x, v, parameters)
    return jnp.concatenate([whole.excess(x, image), moved - multiplier * v, _norm(v)])


def neimark_sacker(
    whole: ReturnMap, partner: Float[Array, " n"], y: Float[Array, " 2*n+1+k"]
) -> Float[Array, " 2*n+2"]:
    """Zero at y = (x, v, κ, λ…) where x is fixed with multipliers κ ± i√(1 − κ²), v in their plane, c·v = 0."""
    size = whole.size
    x, v, cosine, parameters = y[:size], y[size : 2 * size], y[2 * size], tuple(y[2 * size + 1 :])
    image, once = _along(whole, x, v, parameters)
    _, twice = _along(whole, x, once, parameters)
    singular = twice - 2 * cosine * once + v
    return jnp.concatenate([whole.excess(x, image), singular, _norm(v), jnp.sum(partner * v)[None]])


def plane_partner(whole: ReturnMap, y: Float[Array, " 2*n+1+k"]) -> Float[Array, " n"]:
    """c, the unit vector orthogonal to v in the plane of v and J v."""
    size = whole.size
    v = y[size : 2 * size]
    _, moved = _along(whole, y[:size], v, tuple(y[2 * size + 1 :]))
    moved = moved - jnp.sum(moved * v) * v / jnp.sum(jnp.square(v))
    return moved / jnp.sqrt(jnp.sum(jnp.square(moved)))


def branch_point(
    whole: ReturnMap, left: Float[Array, " n"], y: Float[Array, " 2*n+2"]
) -> Float[Array, " 2*n+2"]:
    """Zero at y = (x, ψ, β, λ), with β = 0, where two branches of fixed points cross; ``left`` is w."""
    size = whole.size
    x, psi, beta, parameter = y[:size], y[size : 2 * size], y[2 * size], y[2 * size + 1]
    image, pull = jax.vjp(whole, x, parameter)
    turned, crossing = pull(psi)
    return jnp.concatenate([whole.excess(x, image) + beta * left, turned - psi, _norm(psi), crossing[None]])
