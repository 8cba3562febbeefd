"""Coefficients of the normal forms: which way a branch turns, and whether what is born is stable.

With A = ∂F^p/∂x, B and C the second and third derivatives of F^p at the fixed point, and vectors of unit length:

    fold             a = ½⟨p, B(q, q)⟩
    flip             b = ⅙⟨p, C(q, q, q) + 3 B(q, (I − A)⁻¹ B(q, q))⟩
    Neimark–Sacker   d = ½ Re(e^{−iθ}⟨p, C(q, q, q̄) + 2 B(q, (I − A)⁻¹ B(q, q̄)) + B(q̄, (e^{2iθ}I − A)⁻¹ B(q, q))⟩)

A q = μ q, Aᵀ p = μ̄ p, ⟨q, q⟩ = ⟨p, q⟩ = 1. A flip is supercritical for b > 0 (the doubled cycle attracts along q),
a Neimark–Sacker bifurcation for d < 0. Where two branches cross, with ξ along q and η along the parameter, they are
the roots of a ξ² + b ξη + c₂ η² = 0 with a = ½⟨p, B(q, q)⟩, which decides for a transcritical crossing; where it is
0, the cubic term c for a pitchfork:

    c = ⅙⟨p, C(q, q, q) + 3 B(q, (I − A)⁺ B(q, q))⟩,    supercritical for c < 0.

The derivatives come from a compiled program, the small linear algebra is done here, on the host. B(u, ·) is a
matrix for each u.

Reference: Yu. A. Kuznetsov, "Elements of Applied Bifurcation Theory", chapters 4 and 5.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.dynamics.return_map import ReturnMap


class Derivatives(NamedTuple):
    """Derivatives of F^p at x along two vectors a, b.

    Attributes:
        first: A, shape (n, n).
        second: B(a, ·) and B(b, ·), shape (2, n, n).
        third: C(a, a, a), C(a, a, b), C(a, b, b), C(b, b, b), shape (4, n).
    """

    first: Float[Any, "n n"]
    second: Float[Any, "2 n n"]
    third: Float[Any, "4 n"]


_THIRDS = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]])


def derivatives(
    whole: ReturnMap, x: Float[Array, " n"], parameters: tuple, pair: Float[Array, "2 n"]
) -> Derivatives:
    """Return all derivatives at one point."""

    def along(z: Array, u: Array) -> Array:
        return jax.jvp(lambda y: whole(y, *parameters), (z,), (u,))[1]

    def again(z: Array, u: Array, v: Array) -> Array:
        return jax.jvp(lambda y: along(y, u), (z,), (v,))[1]

    def third(vectors: Array) -> Array:
        u, v, w = vectors
        return jax.jvp(lambda y: again(y, u, v), (x,), (w,))[1]

    eye = jnp.eye(x.shape[0], dtype=x.dtype)
    first = jax.vmap(lambda e: along(x, e), out_axes=1)(eye)
    second = jax.vmap(lambda u: jax.vmap(lambda e: again(x, u, e), out_axes=1)(eye))(pair)
    return Derivatives(first, second, jax.vmap(third)(pair[_THIRDS]))


def null_vectors(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right and left null vectors q, p of a singular matrix, ⟨q, q⟩ = ⟨p, q⟩ = 1."""
    left, _, right = np.linalg.svd(matrix)
    q, p = right[-1], left[:, -1]
    product = np.dot(p, q)
    return q, p / (product if product else 1)


def bordered_solution(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The solution orthogonal to the null vector of a singular matrix, for a right side in its range."""
    left, sizes, rows = np.linalg.svd(matrix)
    return np.dot(rows[:-1].T, (np.dot(left[:, :-1].T, right)) / sizes[:-1])


def fold_coefficient(q: np.ndarray, p: np.ndarray, second: np.ndarray) -> float:
    """a of the fold; ``second`` is B(q, ·). Infinite where ⟨p, q⟩ = 0 (two multipliers meet at 1)."""
    return np.dot(p, np.dot(second, q)) / 2


def flip_coefficient(
    matrix: np.ndarray, q: np.ndarray, p: np.ndarray, second: np.ndarray, third: np.ndarray
) -> float:
    """b of the flip; ``third`` is C(q, q, q)."""
    inner = np.linalg.solve(np.eye(len(q), dtype=q.dtype) - matrix, np.dot(second, q))
    return np.dot(p, third + np.dot(3 * second, inner)) / 6


def pair_vectors(matrix: np.ndarray, cosine: float) -> tuple[np.ndarray, np.ndarray]:
    """q and p of the multiplier e^{iθ}, ⟨q, q⟩ = ⟨p, q⟩ = 1 with ⟨p, q⟩ = p̄·q."""
    mu = complex(cosine, np.sqrt(max(1 - cosine**2, 0.0)))
    left, _, right = np.linalg.svd(matrix - mu * np.eye(len(matrix)))
    q, p = np.conj(right[-1]), left[:, -1]
    product = np.dot(np.conj(p), q)
    return q, p / np.conj(product if product else 1)


def neimark_sacker_coefficient(found: Derivatives, cosine: float, q: np.ndarray, p: np.ndarray) -> float:
    """d of the Neimark–Sacker bifurcation; the derivatives are those along Re q and Im q."""
    mu = complex(cosine, np.sqrt(max(1 - cosine**2, 0.0)))
    matrix, eye = found.first, np.eye(len(q))
    aaa, aab, abb, bbb = found.third
    straight = (aaa + abb) + 1j * (aab + bbb)
    along = found.second[0] + 1j * found.second[1]
    mixed = np.linalg.solve(eye - matrix, np.dot(along, np.conj(q)))
    double = np.linalg.solve(mu**2 * eye - matrix, np.dot(along, q))
    total = straight + np.dot(2 * along, mixed) + np.dot(np.conj(along), double)
    return float(np.real(np.conj(mu) * (np.dot(np.conj(p), total))) / 2)
