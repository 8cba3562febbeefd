"""Rounding errors carried along an orbit as ellipsoids, which linear maps turn without widening them.

An error vector e (or matrix E) obeys e eᵀ ≤ s² C (E Eᵀ ≤ s² C), in the order of symmetric matrices. A step
e ← J e + l maps the first part exactly; the sum of two such errors is covered by a convex combination of the
shapes whose size is the sum of the sizes. Entrywise bounds |J| e would grow by √n a step on a rotation.

Reference: A. Kurzhanski, I. Vályi, "Ellipsoidal Calculus for Estimation and Control", Birkhäuser 1997.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.numerics.scaled import exponent_of, power_of_two


class Ellipsoid(NamedTuple):
    """All e with e eᵀ ≤ size² shape.

    Attributes:
        size: s ≥ ‖e‖ (‖E‖_F for matrices), shape ().
        shape: C with trace 1, shape (n, n).
    """

    size: Float[Array, ""]
    shape: Float[Array, "n n"]


def exact(n: int, dtype: Any) -> Ellipsoid:
    """Return the ellipsoid of a number without error."""
    return Ellipsoid(jnp.zeros((), dtype), jnp.eye(n, dtype=dtype) / n)


def row_bounds(error: Ellipsoid) -> Float[Array, " n"]:
    """A bound on |e_i|, and on the norm of each row of E."""
    return error.size * jnp.sqrt(jnp.diagonal(error.shape))


def propagate(jacobian: Float[Array, "n n"], error: Ellipsoid, local: Float[Array, "n columns"]) -> Ellipsoid:
    """The error after e ← J e + l, with |l| ≤ ``local`` entry by entry (a vector is one column)."""
    n = jacobian.shape[0]
    carried_size, carried_shape = _image(jacobian, error)
    local_size, local_shape = _box(local, n)
    total = carried_size + local_size
    known = (total > 0) & jnp.isfinite(total)
    share = jnp.where(known, carried_size / jnp.where(known, total, jnp.ones_like(total)), 0.5)
    return Ellipsoid(total, share * carried_shape + (1 - share) * local_shape)


def _image(jacobian: Array, error: Ellipsoid) -> tuple[Array, Array]:
    power = exponent_of(jnp.max(jnp.abs(jacobian), initial=0.0))
    unit = jacobian * power_of_two(-power, jacobian.dtype)
    image = jnp.einsum("ij,jk,lk->il", unit, error.shape, unit, precision="highest")
    trace = jnp.trace(image)
    regular = (trace > 0) & jnp.isfinite(trace)
    shape = jnp.where(regular, image / jnp.where(regular, trace, jnp.ones_like(trace)), error.shape)
    size = error.size * jnp.sqrt(jnp.where(regular, trace, jnp.ones_like(trace)))
    size = jnp.where(regular, size, jnp.where(trace == 0, jnp.zeros_like(size), jnp.nan))
    return size * power_of_two(power, jacobian.dtype), shape


def _box(local: Array, n: int) -> tuple[Array, Array]:
    """A matrix with rows of norms r_i is diag(r) N with ‖N‖₂² ≤ n: its L Lᵀ ≤ n diag(r²)."""
    power = exponent_of(jnp.max(local, initial=0.0))
    rows = jnp.sqrt(jnp.sum(jnp.square(local * power_of_two(-power, local.dtype)), axis=1))
    square = jnp.sum(jnp.square(rows))
    regular = (square > 0) & jnp.isfinite(square)
    safe = jnp.where(regular, square, jnp.ones_like(square))
    shape = jnp.where(regular, jnp.diag(jnp.square(rows) / safe), jnp.eye(n, dtype=local.dtype) / n)
    size = jnp.sqrt(n * safe) * power_of_two(power, local.dtype)
    return jnp.where(square == 0, jnp.zeros_like(size), jnp.where(regular, size, jnp.nan)), shape
