"""A plane through the states of a network, and the map's flow in it: what pictures of many units are drawn in."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.numerics.compiling import lean


@dataclasses.dataclass(frozen=True)
class Plane:
    """Two orthonormal directions through an origin.

    Attributes:
        origin: shape (n,).
        directions: shape (2, n).
        names: of the two coordinates, for the axes of a picture.
    """

    origin: Float[np.ndarray, " n"]
    directions: Float[np.ndarray, "2 n"]
    names: tuple[str, str]

    def of(self, states: Any) -> Float[np.ndarray, "... 2"]:
        """Return the two coordinates of states, shape (…, n)."""
        return self.along(np.asarray(states, float) - self.origin)

    def along(self, vectors: Any) -> Float[np.ndarray, "... 2"]:
        """The two components of differences of states, shape (…, n)."""
        return np.einsum("...n,kn->...k", np.asarray(vectors, float), self.directions)

    def at(self, coordinates: Any) -> Float[np.ndarray, "... n"]:
        """The states in the plane at coordinates, shape (…, 2)."""
        return self.origin + np.einsum("...k,kn->...n", np.asarray(coordinates, float), self.directions)


def of_units(size: int, axes: tuple[int, int] = (0, 1)) -> Plane:
    """The plane of two units, all others at 0.

    Raises:
        ValueError: units that the states do not have.
    """
    if not all(-size <= i < size for i in axes):
        raise ValueError(f"axes: expected two units of {size}, got {axes}")
    first, second = (i % size for i in axes)
    names = f"state of unit {axes[0]}", f"state of unit {axes[1]}"
    return Plane(np.zeros(size), np.eye(size)[[first, second]], names)


def principal_plane(states: Any, *, at_least: Any = ()) -> Plane:
    """The two principal components of states, through their mean; each name says its share of the variance.

    Args:
        states: shape (m, n); rows that are not finite are left out.
        at_least: vectors, shape (k, n), that give the directions where the states fill less than a plane.

    Returns:
        The plane, each direction's largest entry positive.
    """
    rows = np.asarray(states, float)
    rows = rows[np.isfinite(rows).all(axis=1)]
    size = rows.shape[1]
    origin = rows.mean(axis=0) if len(rows) else np.zeros(size)
    values, directions = _components(rows - origin)
    total = values.sum()
    known = directions[: int((values > 1e-20 * max(total, 1e-300)).sum()) if total > 0 else 0][:2]
    for vector in (*np.asarray(at_least, float).reshape(-1, size), *np.eye(size)):
        if len(known) == 2:
            break
        rest = vector - np.einsum("kn,k->n", known, np.einsum("kn,n->k", known, vector))
        if np.linalg.norm(rest) > 1e-6 * max(float(np.linalg.norm(vector)), 1e-300):
            known = np.concatenate([known, rest[None] / np.linalg.norm(rest)])
    largest = known[[0, 1], np.argmax(np.abs(known), axis=1)]
    known = known * np.where(largest < 0, -1, 1)[:, None]
    shares = [values[i] / total if total > 0 and i < len(values) else 0.0 for i in range(2)]
    words = ["<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %" for share in shares]
    first, second = (f"PC {i + 1} ({word})" for i, word in enumerate(words))
    return Plane(origin, known, (first, second))


def _components(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared singular values, falling, and the right singular vectors in rows."""
    if len(centred) <= centred.shape[1]:
        _, values, rows = np.linalg.svd(centred, full_matrices=False)
        return values**2, rows
    values, columns = np.linalg.eigh(np.einsum("mi,mj->ij", centred, centred))
    return np.maximum(values[::-1], 0), columns[:, ::-1].T


def flow(cell: Any, inputs: Any, states: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "m n"]:
    """F(x) − x at states, on the host; NaN where F is not finite.

    Args:
        cell: ``cell(x, u) -> x_next``.
        inputs: ``None``, or the inputs of F's steps, leading axis q: F is then q steps.
        states: shape (m, n), or (m,) for a single neuron.
    """
    static, arrays = split(cell)
    given = jnp.asarray(states)
    return np.asarray(_flow(static, arrays, inputs, given), float)


@lean(static_argnums=0)
def _flow(static: Any, arrays: Any, inputs: Any, states: Array) -> Array:
    cell = join(static, arrays)

    def displacement(x: Array) -> Array:
        if inputs is None:
            return cell(x, None) - x
        return jax.lax.scan(lambda state, u: (cell(state, u), None), x, inputs)[0] - x

    return jax.vmap(displacement)(states)
