"""Lines and planes through the parameters of a family, as families of one or two coordinates."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.numerics.batching import namespace
from rnn_dynamics.numerics.validation import count, real_array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Patch:
    """A family of one or two coordinates λ: its cell is family(θ_1, …, θ_d) at θ = origin + Σ λ_j side_j.

    Attributes:
        family: ``family(*parameters) -> cell``.
        origin: θ at λ = 0, shape (d,).
        sides: the directions, shape (1 or 2, d).
    """

    family: Any
    origin: Float[Array, " d"]
    sides: Float[Array, "k d"]

    def parameters(self, *position: Any) -> tuple[Array, ...]:
        """θ at a position."""
        space = namespace(self.origin, self.sides, position)
        theta = space.asarray(self.origin)
        for coordinate, side in zip(position, space.asarray(self.sides), strict=True):
            theta = theta + space.asarray(coordinate) * side
        return tuple(theta[j] for j in range(theta.shape[0]))

    def __call__(self, *position: Any) -> Any:
        return self.family(*self.parameters(*position))


@dataclasses.dataclass(frozen=True)
class ParameterPath:
    """A line or a plane with the grid on it.

    A side along which a single parameter changes has that parameter as its coordinate; any other runs from 0 to 1.

    Attributes:
        patch: the family in the coordinates of the path.
        axes: the values of each coordinate, one or two arrays.
        names: which parameter each coordinate is, −1 for a share of the side.
    """

    patch: Patch
    axes: tuple[Float[np.ndarray, " m"], ...]
    names: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(axis) for axis in self.axes)

    def positions(self) -> Float[np.ndarray, "points k"]:
        """The points of the grid; the last axis runs first."""
        return np.stack(np.meshgrid(*self.axes, indexing="ij"), axis=-1).reshape(-1, len(self.axes))

    def parameters(self, positions: np.ndarray) -> Float[np.ndarray, "points d"]:
        """θ at positions, shape (points, k)."""
        origin, sides = np.asarray(self.patch.origin), np.asarray(self.patch.sides)
        return origin + (positions[..., None] * sides).sum(axis=-2)


def _corner(value: Any) -> Any:
    """Numbers in a row; of NumPy's or JAX's they keep their dtype."""
    numbers = list(value) if isinstance(value, Sequence) or np.ndim(value) else [value]
    return np.asarray(numbers) if any(hasattr(number, "dtype") for number in numbers) else numbers


def _sides(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[tuple[float, float]], list[int]]:
    """Origin, directions, the range of each coordinate and its name."""
    origin, directions, ranges, names = corners[0].copy(), [], [], []
    for corner in corners[1:]:
        side = corner - corners[0]
        moved = np.flatnonzero(side)
        if not moved.size:
            raise ValueError(f"path: expected corners that differ, got {corner.tolist()} twice")
        if len(moved) == 1:
            name = int(moved[0])
            directions.append(np.eye(len(origin))[name])
            ranges.append((corners[0][name], corner[name]))
            origin[name], names = 0, [*names, name]
        else:
            directions.append(side)
            ranges.append((0.0, 1.0))
            names.append(-1)
    return origin, np.array(directions), ranges, names


def checked_path(family: Any, path: Any, points: Any, dtype: Any = None) -> ParameterPath:
    """The path through ``path`` = (start, end), or (corner, first, second), with so many points on each side.

    Raises:
        TypeError: a family that is not callable.
        ValueError: another number of corners, corners of different length, sides that are zero or parallel,
            fewer than 2 points.
    """
    if not callable(family):
        raise TypeError(f"family: expected a callable family(*parameters), got {type(family).__name__}")
    if not isinstance(path, Sequence) and not np.ndim(path):
        raise TypeError(f"path: expected a sequence of two or three corners, got {path!r}")
    given = [np.asarray(real_array("path", _corner(corner), ndim=1)) for corner in path]
    corners = [corner.astype(float) for corner in given]
    if len(corners) not in (2, 3):
        raise ValueError(f"path: expected two corners of a line or three of a plane, got {len(corners)}")
    if len({corner.shape for corner in corners}) > 1 or not corners[0].size:
        shapes = ", ".join(str(len(corner)) for corner in corners)
        raise ValueError(f"path: expected corners with one number for each parameter, got {shapes} of them")
    origin, sides, ranges, names = _sides(np.array(corners))
    if np.linalg.matrix_rank(sides) < len(sides):
        raise ValueError("path: expected sides in two directions, got parallel ones")
    numbers = points if isinstance(points, Sequence) else (points,) * len(sides)
    if len(numbers) != len(sides):
        raise ValueError(f"points: expected one number or {len(sides)}, got {len(numbers)}")
    numbers = [count("points", number, minimum=2) for number in numbers]
    dtype = np.result_type(*given) if dtype is None else dtype
    axes = tuple(
        np.linspace(*ends, number).astype(dtype) for ends, number in zip(ranges, numbers, strict=True)
    )
    patch = Patch(family, jnp.asarray(origin, dtype), jnp.asarray(sides, dtype))
    return ParameterPath(patch, axes, tuple(names))
