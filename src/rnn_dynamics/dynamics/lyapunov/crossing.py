"""Local growth at a cycle and across an invariant subspace, and whether a map is affine."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.gradients.one_step import step_matrix
from rnn_dynamics.numerics.batching import power_of_two_above
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.reductions import largest

_HIGHEST = jax.lax.Precision.HIGHEST
_FAR = (1.0, 1e3)  # of the state's size, how far an affine map is looked at


@lean(static_argnums=0)
def _factors(static: Any, arrays: Any, states: Array, inputs: Any) -> Float[Array, "p n n"]:
    cell = join(static, arrays)
    return jax.vmap(lambda x, u: step_matrix(cell, x, u))(states, inputs)


def cycle_multiplier(cell: Any, states: np.ndarray, inputs: Any) -> tuple[float, float]:
    """ln of the largest |multiplier| of the cycle through ``states``, and what rounding may add to it.

    The product of the p Jacobians is kept scaled; the doubt is that of its eigenvalue, n p u ‖M‖ κ/|μ| with κ the
    eigenvalue's condition.
    """
    period = len(states)
    extra = power_of_two_above(period) - period
    padded = jax.tree_util.tree_map(
        lambda leaf: np.concatenate([np.asarray(leaf), np.repeat(np.asarray(leaf)[-1:], extra, axis=0)]),
        (states, inputs),
    )
    static, arrays = split(cell)
    factors = np.asarray(_factors(static, arrays, *padded), float)[:period]
    product, scale = np.eye(factors.shape[1]), 0.0
    for factor in factors:
        product = np.einsum("ij,jk->ik", factor, product)
        largest = float(np.abs(product).max())
        if not largest or not math.isfinite(largest):
            return (-math.inf, 0.0) if not largest else (math.nan, math.inf)
        product, scale = product / largest, scale + math.log(largest)
    values, vectors = np.linalg.eig(product)
    i = int(np.abs(values).argmax())
    modulus = float(np.abs(values[i]))
    if not modulus:
        return -math.inf, 0.0
    eps = float(np.finfo(states.dtype).eps)
    noise = 64 * product.shape[0] * period * eps * float(np.linalg.norm(product)) / modulus
    try:
        left = np.linalg.inv(vectors)[i]
        condition = float(np.linalg.norm(left) * np.linalg.norm(vectors[:, i]))
    except np.linalg.LinAlgError:
        condition = 1 / math.sqrt(eps)
    return math.log(modulus) + scale, noise * condition


def far_directions(x: np.ndarray) -> np.ndarray:
    """Displacements of size 1 and 1000, at which a map is compared with an affine one."""
    draws = np.random.default_rng(0).normal(size=(4, *x.shape))
    return np.concatenate([draws * far for far in _FAR]).astype(x.dtype)


def seems_affine(cell: Any, x: Array, directions: Array, u: Any) -> Array:
    """Whether F(x + 2d) − 2 F(x + d) + F(x) is rounding for all d = (1 + max|x|) · direction."""
    limit = math.sqrt(float(jnp.finfo(x.dtype).eps))
    directions = directions * (1 + largest(x))

    def one(d: Array) -> Array:
        far, near, here = cell(x + 2 * d, u), cell(x + d, u), cell(x, u)
        size = largest(jnp.stack([far, near, here]))
        return largest(far - 2 * near + here) <= limit * size

    return jax.vmap(one)(directions).all()


@lean(static_argnums=0)
def _seems_affine(static: Any, arrays: Any, x: Array, directions: Array, u: Any) -> Array:
    return seems_affine(join(static, arrays), x, directions, u)


def is_affine(cell: Any, x: np.ndarray, u: Any) -> bool:
    """Whether the step at ``u`` is affine as far as a thousand times the state's size, by second differences."""
    x = np.asarray(x)
    return bool(_seems_affine(*split(cell), x, far_directions(x), u))


def _cross(cell: Any, across: Array, side: Array, carry: Array, step: tuple) -> tuple[Array, tuple]:
    x, u = step
    _, linear = jax.linearize(lambda state: exact_slopes(cell)(state, u), x)
    project = functools.partial(jnp.matmul, across, precision=_HIGHEST)
    image = linear(carry.reshape(x.shape)).reshape(-1)
    beside = linear(side.reshape(x.shape)).reshape(-1)
    following = project(image)
    length = jnp.linalg.norm(following)
    whole = jnp.linalg.norm(image) + jnp.linalg.norm(beside)
    leak = jnp.linalg.norm(project(beside)) / jnp.where(whole > 0, whole, 1)
    unit = jnp.where(length > 0, following / jnp.where(length > 0, length, 1), carry)
    return unit, (jnp.log(length), leak)


@lean(static_argnums=0)
def _crossing(
    static: Any, arrays: Any, states: Array, inputs: Any, across: Array, vectors: tuple
) -> tuple[Array, Array]:
    step = functools.partial(_cross, join(static, arrays), across, vectors[1])
    return jax.lax.scan(step, vectors[0], (states, inputs))[1]


def transverse_growth(cell: Any, states: np.ndarray, inputs: Any, across: np.ndarray) -> float | None:
    """ln of the growth across a subspace along an orbit in it, P J P v with P = ``across``.

    ``None`` where the subspace is not invariant: where J takes a vector along it out of it.
    """
    draws = np.random.default_rng(0).normal(size=(2, across.shape[0]))
    over = np.einsum("ij,j->i", across, draws[0])
    along = draws[1] - np.einsum("ij,j->i", across, draws[1])
    over = over / np.linalg.norm(over)
    size = float(np.linalg.norm(along))
    along = along / size if size > 1e-8 else np.zeros_like(along)
    static, arrays = split(cell)
    dtype = states.dtype
    vectors = over.astype(dtype), along.astype(dtype)
    found = _crossing(static, arrays, states, inputs, across.astype(dtype), vectors)
    logs, leaks = (np.asarray(part, float) for part in found)
    if not (leaks <= math.sqrt(float(np.finfo(dtype).eps))).all():
        return None
    return float(np.maximum(np.nan_to_num(logs, neginf=-745.0), -745.0).sum())
