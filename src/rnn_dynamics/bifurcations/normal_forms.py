"""Coefficients of the normal forms: which way a branch turns, and whether what is born is stable.

With A = ∂F^p/∂x, B and C the second and third derivatives of F^p at the fixed point, and vectors of unit length:

    fold             a = ½⟨p, B(q, q)⟩
    flip             b = ⅙⟨p, C(q, q, q) + 3 B(q, (I − A)⁻¹ B(q, q))⟩
    Neimark–Sacker   d = ½ Re(e^{−iθ}⟨p, C(q, q, q̄) + 2 B(q, (I − A)⁻¹ B(q, q̄)) + B(q̄, (e^{2iθ}I − A)⁻¹ B(q, q))⟩)

A q = μ q, Aᵀ p = μ̄ p, ⟨q, q⟩ = ⟨p, q⟩ = 1. A flip is supercritical for b > 0 (the doubled cycle attracts along q),
a Neimark–Sacker bifurcation for d < 0. Where two branches cross, with ξ along q and the first branch's tangent,
½⟨p, B(q, q)⟩ ξ² decides for a transcritical crossing, and where it is 0 the cubic term c for a pitchfork:

    c = ⅙⟨p, C(q, q, q) + 3 B(q, (I − A)⁺ B(q, q))⟩,    supercritical for c < 0.

Reference: Yu. A. Kuznetsov, "Elements of Applied Bifurcation Theory", chapters 4 and 5.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from rnn_dynamics.bifurcations.systems import Borders, shifted

__all__ = ["branching", "flip_coefficient", "fold_coefficient", "neimark_sacker_coefficient", "null_vectors"]

_Map = Callable[[Array], Array]


def second(function: _Map, x: Array, u: Array, v: Array) -> Array:
    """B(u, v)."""
    return jax.jvp(lambda y: jax.jvp(function, (y,), (u,))[1], (x,), (v,))[1]


def third(function: _Map, x: Array, u: Array, v: Array, w: Array) -> Array:
    """C(u, v, w)."""
    return jax.jvp(lambda y: second(function, y, u, v), (x,), (w,))[1]


def _dot(p: Array, v: Array) -> Array:
    return jnp.sum(p * v)


def null_vectors(matrix: Float[Array, "n n"]) -> tuple[Array, Array, Borders]:
    """Right and left null vectors q, p of a singular matrix, ⟨q, q⟩ = ⟨p, q⟩ = 1, and its singular borders."""
    left, _, right = jnp.linalg.svd(matrix)
    q, p = right[-1], left[:, -1]
    product = _dot(p, q)
    return q, p / jnp.where(product == 0, 1, product), Borders(left[:, -1:], right[-1:].T)


def fold_coefficient(function: _Map, x: Array, matrix: Array) -> Float[Array, ""]:
    """a of the fold; ``matrix`` is ∂F^p/∂x. Infinite where ⟨p, q⟩ = 0 (two multipliers meet at 1)."""
    q, p, _ = null_vectors(shifted(matrix, jnp.ones((), matrix.dtype)))
    return _dot(p, second(function, x, q, q)) / 2


def flip_coefficient(function: _Map, x: Array, matrix: Array) -> Float[Array, ""]:
    """b of the flip."""
    one = jnp.ones((), matrix.dtype)
    q, p, _ = null_vectors(shifted(matrix, -one))
    inner = jnp.linalg.solve(-shifted(matrix, one), second(function, x, q, q))
    return _dot(p, third(function, x, q, q, q) + 3 * second(function, x, q, inner)) / 6


def _complex_second(function: _Map, x: Array, u: Array, v: Array) -> Complex[Array, " n"]:
    def term(a: Array, b: Array) -> Array:
        return second(function, x, a, b)

    real = term(u.real, v.real) - term(u.imag, v.imag)
    return jax.lax.complex(real, term(u.real, v.imag) + term(u.imag, v.real))


def neimark_sacker_coefficient(
    function: _Map, x: Array, matrix: Array, cosine: Array
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """d and θ; multipliers e^{±iθ}, cos θ = κ."""
    sine = jnp.sqrt(jnp.maximum(1 - jnp.square(cosine), 0))
    mu = jax.lax.complex(cosine, sine)
    eye = jnp.eye(matrix.shape[0], dtype=mu.dtype)
    whole = matrix.astype(mu.dtype)
    q = jnp.conj(jnp.linalg.svd(whole - mu * eye)[2][-1])
    p = jnp.conj(jnp.linalg.svd(whole.T - jnp.conj(mu) * eye)[2][-1])
    p = p / jnp.conj(jnp.sum(jnp.conj(p) * q))
    a, b = q.real, q.imag

    def cubic(u: Array, v: Array, w: Array) -> Array:
        return third(function, x, u, v, w)

    straight = jax.lax.complex(cubic(a, a, a) + cubic(a, b, b), cubic(a, a, b) + cubic(b, b, b))
    mixed = _complex_second(function, x, q, jnp.conj(q))
    inner = jnp.linalg.solve(eye - whole, mixed)
    double = jnp.linalg.solve(jnp.square(mu) * eye - whole, _complex_second(function, x, q, q))
    total = straight + 2 * _complex_second(function, x, q, inner)
    total = total + _complex_second(function, x, jnp.conj(q), double)
    return jnp.real(jnp.conj(mu) * jnp.sum(jnp.conj(p) * total)) / 2, jnp.arctan2(sine, cosine)


def branching(
    family: Callable[[Array, Array], Array], x: Array, parameter: Array, matrix: Array
) -> dict[str, Any]:
    """The terms of the reduced equation a ξ² + b ξ η + c₂ η² + c ξ³ = 0 of a branch point, η along the parameter.

    Returns:
        ``square`` a, ``mixed`` b, ``other`` c₂, ``cubic`` c, and the vectors ``across`` q and ``along`` v with
        (I − A) v = ∂F/∂λ: the branches leave along ξ (q, 0) + η (v, 1).
    """
    one = jnp.ones_like(parameter)
    q, p, borders = null_vectors(shifted(matrix, one))

    def function(y: Array) -> Array:
        return family(y, parameter)

    def solve(right: Array) -> Array:
        size = right.shape[0]
        bordered = jnp.block(
            [[-shifted(matrix, one), borders.left], [q[None], jnp.zeros((1, 1), matrix.dtype)]]
        )
        return jnp.linalg.solve(bordered, jnp.concatenate([right, jnp.zeros(1, right.dtype)]))[:size]

    def slope(y: Array) -> Array:
        return jax.jvp(lambda t: family(y, t), (parameter,), (one,))[1]

    v = solve(slope(x))
    square = second(function, x, q, q)
    moved = jax.jvp(slope, (x,), (q,))[1] + second(function, x, q, v)

    def slope_along(t: Array) -> Array:
        return jax.jvp(lambda s: family(x + s * v, parameter + s), (t,), (one,))[1]

    bent = jax.jvp(slope_along, (0 * one,), (one,))
    cubic = third(function, x, q, q, q) + 3 * second(function, x, q, solve(square))
    return {
        "square": _dot(p, square) / 2,
        "mixed": _dot(p, moved),
        "other": _dot(p, bent[1]) / 2,
        "cubic": _dot(p, cubic) / 6,
        "across": q,
        "along": v,
    }
