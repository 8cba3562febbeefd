"""A sweep's result: values over named axes, in memory or in a store."""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
from jaxtyping import PyTree

from rnn_dynamics.numerics import packages, storage
from rnn_dynamics.numerics.described import cut
from rnn_dynamics.numerics.mapped import host_memory
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.stored.opening import opened
from rnn_dynamics.numerics.stored.store import DONE, Store
from rnn_dynamics.numerics.texts import printable

_MOST = 40  # names of an axis that are looked at for a line


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Sweep(Result):
    """Values of a function on a grid.

    Attributes:
        axes: name to the axis' points, shape (n,), in the order of the grid's axes.
        values: name to values, shape (n_1, …, n_k, …): the axes' lengths, then the shape of one value. A
            nested result has dotted names (``initial.unit``), a bare array the name ``value``.
        metadata: where the numbers come from: function, chunk, device, versions, key; ``labels`` names the points
            of axes that stand for no numbers.
        structure: how the function's result was nested, for :meth:`result`; None after :meth:`load`.
        path: the folder of a sweep with a store, whose values are Zarr arrays that read what is asked of them;
            None of one in memory.
    """

    axes: dict[str, np.ndarray]
    values: dict[str, Any]
    metadata: dict[str, Any]
    structure: Any = None
    path: str | None = None

    picture: ClassVar = "sweep"
    _forgets: ClassVar = ("structure", "path")

    def in_memory(self) -> "Sweep":
        """The sweep with its values as NumPy arrays.

        Raises:
            ValueError: they do not fit in this machine.
        """
        if self.path is None:
            return self
        size = sum(value.nbytes for value in self.values.values())
        if size > host_memory():
            raise ValueError(f"{self.path}: {size} bytes, and this machine has {host_memory()}: take slices")
        values = {name: np.asarray(value[...]) for name, value in self.values.items()}
        return dataclasses.replace(self, values=values, path=None)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """As of every result; of a sweep with a store all values are read."""
        return super().save(path) if self.path is None else self.in_memory().save(path)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes, in order."""
        return tuple(self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes, in order."""
        return tuple(len(points) for points in self.axes.values())

    @property
    def computed(self) -> Any:
        """Whether each point is there, over the grid: with a store a Zarr array, else True everywhere."""
        if self.path is None:
            return np.ones(self.shape, bool)
        return opened(self.path).read(DONE)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.values:
            raise KeyError(f"name: expected one of {', '.join(self.values)}, got {name!r}")
        value = self.values[name]
        return value if self.path is None else np.asarray(value[...])

    def result(self) -> PyTree:
        """Return the values nested as the function returned them, each with the grid's axes in front.

        Raises:
            ValueError: the sweep was read from a file, which holds arrays only.
        """
        if self.structure is None:
            raise ValueError("structure: expected a sweep that was computed here, got one read from a file")
        return jax.tree.unflatten(self.structure, list(self.in_memory().values.values()))

    def to_xarray(self) -> Any:
        """Return an ``xarray.Dataset``: axes as coordinates, values as variables, metadata as attributes.

        Dimensions behind the grid's are named ``NAME_0``, ``NAME_1``, …; with a store nothing is read before it is
        used, and ``computed`` says which points are there.

        Raises:
            ImportError: xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise packages.missing("to_xarray", "xarray") from error
        if self.path is not None:
            return xarray.open_zarr(self.path).assign_coords(self._labels())
        rank = len(self.axes)
        variables = {
            name: ((*self.names, *(f"{name}_{i}" for i in range(value.ndim - rank))), value)
            for name, value in self.values.items()
        }
        attributes = {
            name: item if isinstance(item, str | int | float) else json.dumps(item)
            for name, item in self.metadata.items()
        }
        return xarray.Dataset(variables, coords=self.axes | self._labels(), attrs=attributes)

    def _labels(self) -> dict[str, list[str]]:
        """Names in the place of numbers, for the axes that have them."""
        labels = self.metadata.get("labels")
        fitting = labels if isinstance(labels, dict) else {}
        return {
            name: names
            for name, names in fitting.items()
            if isinstance(names, list) and len(self.axes.get(name, ())) == len(names)
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str], **parts: Any) -> "Sweep":
        """Read a sweep from a file of :meth:`save`.

        Raises:
            StorageError: the file is damaged or foreign, or holds something else.
            OSError: the file cannot be read.
        """
        loaded = cls._read(path, parts, "a sweep")
        loaded._check_file(os.fspath(path))
        return loaded

    @classmethod
    def _of_file(cls, path: str, arrays: Mapping[str, np.ndarray], described: Mapping[str, Any]) -> "Sweep":
        """Read a sweep from the first form of its files."""
        axes, values = (
            {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            for prefix in ("axes.", "values.")
        )
        metadata = described.get("sweep")
        loaded = cls(axes, values, metadata if isinstance(metadata, dict) else {})
        loaded._check_file(path)
        return loaded

    def _check_file(self, path: str) -> None:
        flat = all(points.ndim == 1 for points in self.axes.values())
        fits = flat and all(value.shape[: len(self.axes)] == self.shape for value in self.values.values())
        if not self.axes or not self.values or not fits:
            raise storage.StorageError(f"{path}: expected a sweep, got other arrays")

    def __repr__(self) -> str:
        return "\n".join(
            ["Sweep", *(printable(f"  {kind} {name}: {text}") for kind, name, text in self._rows())]
        )

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        """Return kind, name and description of each axis and value."""
        for name, points in (self.axes | self._labels()).items():
            if isinstance(points, list):
                yield "axis", name, cut(", ".join(map(str, points[:_MOST])), 160)
                continue
            ends = f"{points[0]} … {points[-1]}" if len(points) > 1 else f"{points[0]}"
            yield "axis", name, f"{len(points)} {points.dtype}, {ends}"
        for name, value in self.values.items():
            yield "value", name, f"{' × '.join(map(str, value.shape))} {value.dtype}"
        source, device = (str(self.metadata.get(name, "unknown")) for name in ("function", "device"))
        yield "function", source, f"on {device}"


def _flatten_sweep(result: Sweep) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    # Not register_dataclass: that flattens dictionaries in alphabetical order, and the axes have their own.
    result = result.in_memory()
    names = tuple(result.axes), tuple(result.values)
    static = (*names, json.dumps(result.metadata), result.structure)
    return (*result.axes.values(), *result.values.values()), static


def _unflatten_sweep(static: tuple[Any, ...], leaves: Any) -> Sweep:
    axes, values, metadata, structure = static
    points = dict(zip(axes, leaves[: len(axes)], strict=True))
    return Sweep(points, dict(zip(values, leaves[len(axes) :], strict=True)), json.loads(metadata), structure)


jax.tree_util.register_pytree_node(Sweep, _flatten_sweep, _unflatten_sweep)


def of_store(store: Store, structure: Any = None) -> Sweep:
    """The sweep that a store holds, finished or not."""
    values = {name: store.read(name) for name in store.parts}
    return Sweep(store.axes(), values, store.metadata, structure, os.fspath(store.path))
