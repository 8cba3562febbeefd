"""The points of a grid over named axes, in row-major order, and what a function of them returns."""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

Words = tuple[tuple[str, str], ...]  # an axis and one of its names, for each axis of names


def point_key(key: Key[Array, ""], index: Any) -> Key[Array, ""]:
    """Return the random key of one point of a grid: ``fold_in(key, index)``.

    The key depends on the point's index alone, so that a point draws the same numbers whatever the chunk,
    and whether the grid runs at once or in parts. What is drawn from it still depends on the dtype and shape
    asked for: draw in one dtype and cast.

    Args:
        key: a key of ``jax.random.key``.
        index: the point's index in row-major order (last axis fastest), below 2³².

    Returns:
        A key.
    """
    return jax.random.fold_in(key, index)


@dataclasses.dataclass(frozen=True)
class Grid:
    """The points of a grid in row-major order, made a chunk at a time.

    Attributes:
        axes: name to the axis' points, shape (n,); of axes of names, which come first, their numbers.
        key: a random key, or None; the points then come with their indexes.
        labels: the names of each axis that has some.
    """

    axes: dict[str, np.ndarray]
    key: Any = None
    labels: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes, in order."""
        return tuple(len(points) for points in self.axes.values())

    @property
    def size(self) -> int:
        """Number of points."""
        return math.prod(self.shape)

    @property
    def part(self) -> int:
        """Number of points that share their names."""
        return self.size // math.prod(len(names) for names in self.labels.values())

    def combinations(self) -> Iterator[Words]:
        """Every combination of names, in row-major order; an empty one where no axis has names."""
        for chosen in itertools.product(*self.labels.values()):
            yield tuple(zip(self.labels, chosen, strict=True))

    def words(self, index: int) -> Words:
        """The names at a point."""
        counts = [len(names) for names in self.labels.values()]
        places = np.unravel_index(index // self.part, counts) if counts else ()
        return tuple((axis, names[at]) for (axis, names), at in zip(self.labels.items(), places, strict=True))

    @property
    def numbers(self) -> dict[str, np.ndarray]:
        """The axes of numbers."""
        return {name: points for name, points in self.axes.items() if name not in self.labels}

    @property
    def _is_indexed(self) -> bool:
        # Without a single axis of numbers there would be nothing to map over.
        return self.key is not None or len(self.labels) == len(self.axes)

    def points(
        self, start: int, count: int, stop: int | None = None
    ) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        """Coordinates and indexes of ``count`` points; from ``stop`` on (the grid's end) copies of the last one."""
        last = (self.size if stop is None else stop) - 1
        indexes = np.minimum(np.arange(start, start + count), last)
        places = np.unravel_index(indexes, self.shape)
        found = {name: axis[place] for (name, axis), place in zip(self.axes.items(), places, strict=True)}
        points = {name: found[name] for name in self.numbers}
        return points, indexes.astype(np.uint32) if self._is_indexed else None

    def shapes(self, count: int) -> tuple[dict[str, Any], Any]:
        """Shapes and dtypes of what :meth:`points` returns."""
        points = {name: jax.ShapeDtypeStruct((count,), axis.dtype) for name, axis in self.numbers.items()}
        return points, jax.ShapeDtypeStruct((count,), np.uint32) if self._is_indexed else None


class Outline(NamedTuple):
    """What a grid's results will be.

    Attributes:
        structure: how the function's result is nested.
        names: of its leaves, dotted.
        leaves: shape of one point's value, and dtype, of each.
    """

    structure: Any
    names: list[str]
    leaves: list[tuple[tuple[int, ...], np.dtype]]

    @classmethod
    def of(cls, found: Any, grid: Grid, leading: int = 0) -> "Outline":
        """That of a result, whose arrays have so many dimensions in front of those of a point.

        Raises:
            TypeError: it has no array, or one that is not of numbers.
            ValueError: a name stands for two values or for an axis too.
        """
        paths, structure = jax.tree_util.tree_flatten_with_path(found)
        names = [jax.tree_util.keystr(path, simple=True, separator=".") or "value" for path, _ in paths]
        if not names:
            raise TypeError("function: expected a pytree of arrays as result, got one without arrays")
        for name in names:
            if names.count(name) > 1 or name in grid.axes:
                raise ValueError(f"function: expected one meaning for each name, got {name!r} twice")
        for name, (_, leaf) in zip(names, paths, strict=True):
            if jnp.issubdtype(leaf.dtype, jax.dtypes.extended) or np.dtype(leaf.dtype).kind in "OUSMm":
                raise TypeError(f"function: expected numbers as result, got {name!r} of dtype {leaf.dtype}")
        return cls(structure, names, [(leaf.shape[leading:], np.dtype(leaf.dtype)) for _, leaf in paths])
