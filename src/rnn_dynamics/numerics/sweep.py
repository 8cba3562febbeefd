"""A function over named axes: one compiled map over chunks of points, gathered into a labelled result.

A function of one point is vmapped over the points of the grid and runs in chunks of one shape, the last one
padded and trimmed, so that a point's value does not depend on where in the grid it lies. Between two shapes
the last bits can differ (hazard 21): XLA fuses and vectorises each shape in its own way. The default shape
follows from the function, the size of the grid and ``memory_limit`` alone, never from a clock, so that the
same call gives the same bits; ``Sweep.metadata["chunk"]`` names it.
"""

import contextlib
import dataclasses
import inspect
import json
import keyword
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import jax
import numpy as np
from jaxtyping import Array, Key, PyTree

from rnn_dynamics._version import __version__
from rnn_dynamics.numerics import packages, storage, validation
from rnn_dynamics.numerics.described import cut
from rnn_dynamics.numerics.grid import Grid, allocate, fill, kernel_of, plan, point_key as point_key
from rnn_dynamics.numerics.heartbeat import Heartbeat
from rnn_dynamics.numerics.results import Result

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
    """

    axes: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    metadata: dict[str, Any]
    structure: Any = None

    _forgets: ClassVar = ("structure",)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes, in order."""
        return tuple(self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes, in order."""
        return tuple(len(points) for points in self.axes.values())

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.values:
            raise KeyError(f"name: expected one of {', '.join(self.values)}, got {name!r}")
        return self.values[name]

    def result(self) -> PyTree:
        """Return the values nested as the function returned them, each with the grid's axes in front.

        Raises:
            ValueError: the sweep was read from a file, which holds arrays only.
        """
        if self.structure is None:
            raise ValueError("structure: expected a sweep that was computed here, got one read from a file")
        return jax.tree.unflatten(self.structure, list(self.values.values()))

    def to_xarray(self) -> Any:
        """Return an ``xarray.Dataset``: axes as coordinates, values as variables, metadata as attributes.

        Dimensions behind the grid's are named ``NAME_0``, ``NAME_1``, …

        Raises:
            ImportError: xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise packages.missing("to_xarray", "xarray") from error
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
        return {name: names for name, names in fitting.items() if len(self.axes.get(name, ())) == len(names)}

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
        return "\n".join(["Sweep", *(f"  {kind} {name}: {text}" for kind, name, text in self._rows())])

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
    names = tuple(result.axes), tuple(result.values)
    static = (*names, json.dumps(result.metadata), result.structure)
    return (*result.axes.values(), *result.values.values()), static


def _unflatten_sweep(static: tuple[Any, ...], leaves: Any) -> Sweep:
    axes, values, metadata, structure = static
    points = dict(zip(axes, leaves[: len(axes)], strict=True))
    return Sweep(points, dict(zip(values, leaves[len(axes) :], strict=True)), json.loads(metadata), structure)


jax.tree_util.register_pytree_node(Sweep, _flatten_sweep, _unflatten_sweep)


def sweep(
    function: Callable[..., PyTree],
    axes: Mapping[str, Any],
    *,
    key: Key[Array, ""] | None = None,
    chunk: int | None = None,
    memory_limit: int = 2**30,
    progress: bool | Callable[[int, int], object] | None = None,
) -> Sweep:
    """Evaluate ``function(name=x, …)`` at every point of the grid that the axes span.

    The function is compiled once for each shape of a chunk and each dtype, and kept as long as the function
    object lives: the same object again compiles nothing. A lambda or bound method written in the call is a
    new object each time and compiles each time (hazard 40); arrays that the function closes over become
    constants of it.

    Args:
        function: takes one scalar per axis by the axis' name (and ``key``, if one is given), returns a pytree
            of arrays whose shapes do not depend on the values; JAX must be able to trace it.
        axes: name to 1-D array. Floats of mixed width take the widest; arrays of integers or booleans and
            ranges keep their dtype (seeds, indexes); lists and tuples of numbers become floats.
        key: a key of ``jax.random.key``; each point gets its own as ``key``, see :func:`point_key`.
        chunk: points of one call. By default the smallest power of two that holds the grid, or less: as much
            as keeps one call within ``memory_limit`` and about a second (Ctrl-C is heard between two calls; a
            ``while_loop`` is taken for 1000 rounds, give ``chunk`` where it runs longer).
        memory_limit: bytes that one call may take on the device, as XLA predicts them before the first call.
        progress: True for a bar on standard error (where that is no terminal, a plain line every half minute
            and one at the end), or ``progress(done, total)`` called after each chunk.

    Returns:
        The values with the grid's axes in front, on the host.

    Raises:
        TypeError: the function does not take the names, returns no array, or an argument has a wrong type.
        ValueError: an empty or non-finite axis, a wrong name, rank or chunk; a call that would not fit in
            ``memory_limit``, or a result that would not fit in this machine.
    """
    grid = _grid(axes, key)
    _check_call(function, grid)
    memory_limit = validation.count("memory_limit", memory_limit, minimum=1, maximum=2**63)
    size = None if chunk is None else validation.count("chunk", chunk, minimum=1)
    if progress is not None and not isinstance(progress, bool) and not callable(progress):
        raise TypeError(f"progress: expected None, a bool or a function, got {type(progress).__name__}")
    kernel = kernel_of(function)
    size = plan(kernel, grid, size, memory_limit)
    structure, names, flat = allocate(kernel, grid, size)
    with reporter(progress, grid.size) as report:
        size = fill(kernel, grid, size, flat, report)
    values = {
        name: array.reshape(*grid.shape, *array.shape[1:]) for name, array in zip(names, flat, strict=True)
    }
    return Sweep(grid.axes, values, _metadata(function, grid, size), structure)


def _grid(axes: Mapping[str, Any], key: Any) -> Grid:
    """Check names and points of the axes, and the key."""
    if not isinstance(axes, Mapping):
        raise TypeError(f"axes: expected a mapping of names to 1-D arrays, got {type(axes).__name__}")
    if not axes:
        raise ValueError("axes: expected at least one axis, got none")
    for name in axes:
        if not isinstance(name, str):
            raise TypeError(f"axes: expected strings as names, got {type(name).__name__} {name!r}")
        if not name.isidentifier() or keyword.iskeyword(name) or (name == "key" and key is not None):
            raise ValueError(f"axes: expected names that can be arguments of a function, got {name[:80]!a}")
    points = {name: _axis(name, values) for name, values in axes.items()}
    floats = [array.dtype for array in points.values() if array.dtype.kind == "f"]
    widest = np.result_type(*floats) if floats else None
    points = {name: a.astype(widest) if a.dtype.kind == "f" else a for name, a in points.items()}
    if key is not None and not (
        isinstance(key, jax.Array)
        and jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key)
        and key.shape == ()
    ):
        raise TypeError(f"key: expected one key of jax.random.key(seed), got {type(key).__name__}")
    grid = Grid(points, key)
    if grid.size >= 2**32:
        raise ValueError(f"axes: expected fewer than 2**32 points, got {' × '.join(map(str, grid.shape))}")
    return grid


def _axis(name: str, values: Any) -> np.ndarray:
    """Return one axis' points on the host, in the dtype that JAX will give them."""
    kind = getattr(getattr(values, "dtype", None), "kind", None)
    if not isinstance(values, range) and kind not in ("b", "i", "u"):
        array = np.array(validation.real_array(f"axes[{name!r}]", values, ndim=1))
    else:
        given = np.asarray(values)
        array = given.astype(jax.dtypes.canonicalize_dtype(given.dtype))
        if array.ndim != 1:
            raise ValueError(f"axes[{name!r}]: expected 1 dimension, got shape {array.shape}")
        if (array != given).any():
            raise ValueError(f"axes[{name!r}]: expected integers that fit {array.dtype}, got larger ones")
    if array.size == 0:
        raise ValueError(f"axes[{name!r}]: expected at least one point, got none")
    return array


def _check_call(function: Any, grid: Grid) -> None:
    """Refuse a function that cannot be called with the axes' names, before anything is traced."""
    if not callable(function):
        raise TypeError(f"function: expected a callable, got {type(function).__name__}")
    names = [*grid.axes, *([] if grid.key is None else ["key"])]
    try:
        signature = inspect.signature(function)
    except ValueError:
        return
    try:
        signature.bind(**dict.fromkeys(names))
    except TypeError as error:
        raise TypeError(
            f"function: expected one that takes {', '.join(names)} by name, got {signature} ({error})"
        ) from None


@contextlib.contextmanager
def reporter(progress: Any, total: int, unit: str = "point") -> Iterator[Callable[[int], object]]:
    """Give a function that is told how many points are done."""
    if progress is True:
        from tqdm.auto import tqdm

        beat = Heartbeat("evaluating", program="sweep")
        if beat.is_plain and not any(each.__module__ == "tqdm.notebook" for each in tqdm.__mro__):
            with beat:
                yield lambda done: beat.at("evaluating", f"{done} of {total} {unit}s")
            beat.line(f"{total} {unit}s evaluated")
            return
        with tqdm(total=total, unit=unit) as bar:
            yield lambda done: bar.update(done - bar.n)
    elif callable(progress):
        yield lambda done: progress(done, total)
    else:
        yield lambda done: None


def _metadata(function: Any, grid: Grid, chunk: int) -> dict[str, Any]:
    """Where the numbers come from, in a form that JSON holds."""
    named = function if hasattr(function, "__qualname__") else type(function)
    metadata = {
        "function": f"{named.__module__}.{named.__qualname__}",
        "chunk": chunk,
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "rnn_dynamics": __version__,
    }
    if grid.key is not None:
        metadata["key"] = np.asarray(jax.random.key_data(grid.key)).tolist()
    return metadata
