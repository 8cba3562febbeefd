"""A function of a grid's points that JAX cannot trace: called point by point, as Python is."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from rnn_dynamics.numerics.grid import Grid, Outline, point_key

Leaves = list[np.ndarray]


class OnHost:
    """A function that is called with the coordinates of one point, as numbers and strings of Python.

    Attributes:
        function: takes each axis' coordinate by its name, and ``key`` where the grid has one.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._first: tuple[int, Any] | None = None

    def at(self, grid: Grid, index: int) -> Any:
        """The result at a point; that of the last :meth:`outline` is not computed again."""
        if self._first is not None and self._first[0] == index:
            (_, found), self._first = self._first, None
            return found
        points, _ = grid.points(index, 1)
        given: dict[str, Any] = {name: values[0].item() for name, values in points.items()}
        if grid.key is not None:
            given["key"] = point_key(grid.key, np.uint32(index))
        return self.function(**dict(grid.words(index)), **given)

    def outline(self, grid: Grid, index: int = 0) -> Outline:
        """The results' names, shapes and dtypes, those at a point.

        Raises:
            TypeError: the function returns no array, or one that is not of numbers.
            ValueError: a name stands for two values or for an axis too.
        """
        found = self.at(grid, index)
        self._first = index, found
        return Outline.of(
            jax.tree.map(lambda leaf: leaf if hasattr(leaf, "dtype") else np.asarray(leaf), found), grid
        )

    def points(self, grid: Grid, start: int, stop: int) -> Leaves:
        """Values of the points from ``start`` to ``stop``, each (points, …).

        Raises:
            ValueError: the results of two points differ in names, shapes or dtypes.
        """
        rows = []
        for index in range(start, stop):
            rows.append([np.asarray(leaf) for leaf in jax.tree.leaves(self.at(grid, index))])
            if [(leaf.shape, leaf.dtype) for leaf in rows[-1]] != [(a.shape, a.dtype) for a in rows[0]]:
                raise ValueError(
                    "function: expected results of the same shapes and dtypes at all points, got"
                    f" {_said(rows[-1])} after {_said(rows[0])}"
                )
        return [np.stack(each) for each in zip(*rows, strict=True)]


def _said(leaves: Leaves) -> str:
    return ", ".join(f"{leaf.dtype}{list(leaf.shape)}" for leaf in leaves)
