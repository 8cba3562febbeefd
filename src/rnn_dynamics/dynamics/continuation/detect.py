"""Which events lie between two neighbouring points of a branch, from signs that change there."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from rnn_dynamics.dynamics.bifurcations import systems
from rnn_dynamics.dynamics.bifurcations.points import multipliers_of
from rnn_dynamics.dynamics.return_map import ReturnMap
from rnn_dynamics.numerics.batching import filled, power_of_two_above
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.newton import value_and_jacobian
from rnn_dynamics.numerics.reductions import largest

_LETTERS = ("fold", "branch", "flip", "neimark-sacker")


class Signs(NamedTuple):
    """What a branch shows at each of its points.

    Attributes:
        jacobians: ∂F^p/∂x.
        multipliers: its eigenvalues.
        unstable: how many of them have |μ| > 1.
        residual: the largest |F^p(x) − x|.
        flags: signs that change at a fold (∂λ/∂s), at a crossing of branches (the bordered determinant), at a
            flip (det(J + I)) and at a Neimark–Sacker point (Π_{i<j}(1 − μ_i μ_j), at a neutral saddle too).
    """

    jacobians: Float[np.ndarray, "m n n"]
    multipliers: Complex[np.ndarray, "m n"]
    unstable: Int[np.ndarray, " m"]
    residual: Float[np.ndarray, " m"]
    flags: Bool[np.ndarray, "m 4"]


def measured(whole: ReturnMap, points: Array, tangents: Array) -> tuple[Array, Array, Array, Array]:
    """∂F^p/∂x, |F^p(x) − x|, and the signs of two determinants: −1 where negative."""

    def at(y: Array, tangent: Array) -> tuple[Array, Array, Array, Array]:
        image, derivative = value_and_jacobian(lambda z: whole(z[:-1], z[-1]), y)
        matrix = derivative[:, :-1]
        one = jnp.ones_like(y[0])
        fixed = jnp.concatenate([systems.shifted(matrix, one), derivative[:, -1:]], axis=1)
        bordered = jnp.concatenate([fixed, tangent[None]])
        # One determinant for both: det(J + I) in the corner of a matrix of the same size.
        size = y.shape[0]
        flip = jnp.eye(size, dtype=y.dtype).at[:-1, :-1].set(systems.shifted(matrix, -one))
        signs = jnp.linalg.slogdet(jnp.stack([bordered, flip]))[0]
        return matrix, largest(whole.excess(y[:-1], image)), signs[0], signs[1]

    return jax.vmap(at)(points, tangents)


_measured = lean(measured)


def _padded(rows: np.ndarray) -> np.ndarray:
    """Rows filled up to a power of two, so that branches of all lengths share a few programs."""
    return filled(rows, power_of_two_above(len(rows), 128))


def _pair_sign(multipliers: np.ndarray) -> np.ndarray:
    """Whether Π_{i<j}(1 − μ_i μ_j) is negative; its phase, as the product itself may leave the floats."""
    size = multipliers.shape[-1]
    first, second = np.triu_indices(size, 1)
    terms = 1 - multipliers[..., first] * multipliers[..., second]
    phase = np.angle(terms).sum(axis=-1) if len(first) else np.zeros(multipliers.shape[:-1])
    return np.cos(phase) < 0


def signs_along(whole: ReturnMap, points: np.ndarray, tangents: np.ndarray) -> Signs:
    """Return the signs at points of a branch."""
    found = jax.device_get(_measured(whole, _padded(points), _padded(tangents)))
    return signs_of(*(leaf[: len(points)] for leaf in found), turn=tangents[:, -1])


def signs_of(
    matrices: np.ndarray, residual: np.ndarray, crossing: np.ndarray, flip: np.ndarray, *, turn: np.ndarray
) -> Signs:
    """Return the signs that follow from what ``measured`` gives."""
    values = multipliers_of(matrices)
    unstable = (np.abs(values) > 1).sum(axis=-1)
    flags = np.stack([turn < 0, crossing < 0, flip < 0, _pair_sign(values)], axis=-1)
    return Signs(matrices, values, unstable, residual, flags)


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
