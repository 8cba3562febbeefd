"""Which events lie between two neighbouring points of a branch, from signs that change there."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from rnn_dynamics import arclength
from rnn_dynamics.bifurcations import systems
from rnn_dynamics.eigen import eigenvalues
from rnn_dynamics.iterates import ReturnMap

__all__ = ["Signs", "crossed", "midpoint", "signs_along"]

_LETTERS = ("fold", "branch", "flip", "neimark-sacker")


class Signs(NamedTuple):
    """What a branch shows at each of its points.

    Attributes:
        jacobians: ∂F^p/∂x.
        multipliers: its eigenvalues.
        unstable: how many of them have |μ| > 1.
        flags: signs that change at a fold (∂λ/∂s), at a crossing of branches (the bordered determinant), at a
            flip (det(J + I)) and at a Neimark–Sacker point (Π_{i<j}(1 − μ_i μ_j), at a neutral saddle too).
    """

    jacobians: Float[np.ndarray, "m n n"]
    multipliers: Complex[np.ndarray, "m n"]
    unstable: Int[np.ndarray, " m"]
    flags: Bool[np.ndarray, "m 4"]


@jax.jit
def _measured(whole: ReturnMap, points: Array, tangents: Array) -> tuple[Array, Array, Array, Array]:
    def at(y: Array, tangent: Array) -> tuple[Array, Array, Array, Array]:
        derivative = jax.jacfwd(lambda z: whole(z[:-1], z[-1]))(y)
        matrix = derivative[:, :-1]
        fixed = systems.shifted(matrix, jnp.ones_like(y[0]))
        whole_matrix = jnp.concatenate([jnp.concatenate([fixed, derivative[:, -1:]], axis=1), tangent[None]])
        crossing = jnp.linalg.slogdet(whole_matrix)[0]
        flip = jnp.linalg.slogdet(systems.shifted(matrix, -jnp.ones_like(y[0])))[0]
        return matrix, tangent[-1], crossing, flip

    return jax.vmap(at)(points, tangents)


def _pair_sign(multipliers: np.ndarray) -> np.ndarray:
    """Whether Π_{i<j}(1 − μ_i μ_j) is negative; its phase, as the product itself may leave the floats."""
    size = multipliers.shape[-1]
    first, second = np.triu_indices(size, 1)
    terms = 1 - multipliers[..., first] * multipliers[..., second]
    phase = np.angle(terms).sum(axis=-1) if len(first) else np.zeros(multipliers.shape[:-1])
    return np.cos(phase) < 0


def signs_along(whole: ReturnMap, points: np.ndarray, tangents: np.ndarray, count: int) -> Signs:
    """The signs at the first ``count`` points; padding keeps the shapes, so that a branch compiles once."""
    matrices, turn, crossing, flip = (
        np.asarray(v) for v in _measured(whole, jnp.asarray(points), jnp.asarray(tangents))
    )
    matrices = matrices[:count]
    multipliers = _values(matrices)
    unstable = (np.abs(multipliers) > 1).sum(axis=-1)
    flags = np.stack(
        [turn[:count] < 0, crossing[:count] < 0, flip[:count] < 0, _pair_sign(multipliers)], axis=1
    )
    return Signs(matrices, multipliers, unstable, flags)


def _values(matrices: np.ndarray) -> np.ndarray:
    if matrices.shape[-1] == 1:
        return matrices[..., 0].astype(np.result_type(matrices.dtype, np.complex64))
    return np.asarray(eigenvalues(matrices))


def crossed(signs: Signs, index: int) -> tuple[list[str], bool]:
    """The events between point ``index`` and the next, and whether what changed is accounted for by one of them.

    A change of the fourth sign alone, with as many unstable directions as before, is a neutral saddle: no event.
    """
    changed = signs.flags[index] != signs.flags[index + 1]
    difference = abs(int(signs.unstable[index + 1]) - int(signs.unstable[index]))
    kinds = [name for name, change in zip(_LETTERS, changed, strict=True) if change]
    if not kinds:
        return [], difference == 0
    if kinds == ["neimark-sacker"]:
        return (kinds if difference else []), difference in (0, 2)
    return kinds, len(kinds) == 1 and difference == 1


@jax.jit
def _between(
    whole: ReturnMap, start: Array, tangent: Array, scale: Array, length: Array
) -> tuple[Array, Array, Array]:
    row = tangent / jnp.square(scale)

    def residual(y: Array) -> Array:
        return whole(y[:-1], y[-1]) - y[:-1]

    found = arclength.correct(residual, start + length * tangent, row, scale)
    return found.y, arclength.next_tangent(found.jacobian, tangent, scale), found.converged


def midpoint(
    whole: ReturnMap, start: Any, tangent: Any, end: Any, scale: Any
) -> tuple[np.ndarray, np.ndarray, bool]:
    """A point of the branch halfway between two neighbours, its tangent, and whether Newton's method found it."""
    gap = np.sum((end - start) / scale * (tangent / scale))
    y, along, converged = _between(whole, start, tangent, scale, np.asarray(gap / 2, start.dtype))
    return np.asarray(y), np.asarray(along), bool(converged)
