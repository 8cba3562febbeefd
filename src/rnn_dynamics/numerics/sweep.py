"""A function over named axes: one compiled map over chunks of points, gathered into a labelled result.

A function of one point is vmapped over the points of the grid and runs in chunks of one shape, the last one
padded and trimmed, so that a point's value does not depend on where in the grid it lies. Between two shapes
the last bits can differ (hazard 21): XLA fuses and vectorises each shape in its own way. The default shape
follows from the function, the size of the grid and ``memory_limit`` alone, never from a clock, so that the
same call gives the same bits; ``Sweep.metadata["chunk"]`` names it.
"""

import inspect
import json
import keyword
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key, PyTree

from rnn_dynamics._version import __version__
from rnn_dynamics.numerics import validation
from rnn_dynamics.numerics.grid import Grid, point_key as point_key
from rnn_dynamics.numerics.mapped import Plan, allocate, fill, kernel_of, outline, plan
from rnn_dynamics.numerics.on_host import OnHost
from rnn_dynamics.numerics.progress import Progress, reporter
from rnn_dynamics.numerics.stored.engines import check_executor
from rnn_dynamics.numerics.stored.filling import (
    Computation,
    IncompleteSweepWarning as IncompleteSweepWarning,
    Means,
    filled,
)
from rnn_dynamics.numerics.stored.store import RESERVED
from rnn_dynamics.numerics.swept import Sweep as Sweep, of_store

_LONGEST_NAME = 100


def sweep(
    function: Callable[..., PyTree],
    axes: Mapping[str, Any],
    *,
    key: Key[Array, ""] | None = None,
    chunk: int | None = None,
    memory_limit: int = 2**30,
    progress: Progress = None,
    store: str | os.PathLike[str] | None = None,
    executor: Any = None,
    mesh: Any = None,
    traced: bool = True,
    about: Mapping[str, Any] | None = None,
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
            ranges keep their dtype (seeds, indexes); lists and tuples of numbers become floats. Sequences of
            strings come first: the function takes their names as they are, and is compiled for each combination.
        key: a key of ``jax.random.key``; each point gets its own as ``key``, see :func:`point_key`.
        chunk: points of one call. By default the smallest power of two that holds the grid (of one combination of
            names), or less: as much as keeps one call within ``memory_limit`` and about a second (Ctrl-C is heard
            between two calls; a ``while_loop`` is taken for 1000 rounds, give ``chunk`` where it runs longer).
        memory_limit: bytes that one call may take on the device, as XLA predicts them before the first call; with a
            store those of the block that is written meanwhile too.
        progress: True for a bar on standard error (where that is no terminal, a plain line every half minute
            and one at the end), or ``progress(done, total)`` called after each chunk.
        store: a folder, new or of the same sweep: a Zarr v3 group that ``xarray.open_zarr`` reads, finished or not.
            Whatever stops the sweep, even a kill or a full disk, the same call goes on from there: blocks that are
            whole stay, what is missing or damaged is computed, and the end is the same to the bit. A block is a box
            of the grid of at most ``chunk`` points, by default of several calls where the grid has many.
        executor: who computes the blocks of a store: a number of worker processes, any ``concurrent.futures``
            executor, or a Dask client. A block that kills its worker three times, or raises, is set aside with an
            ``IncompleteSweepWarning``, and the rest finishes.
        mesh: a ``jax.sharding.Mesh``: each call's points are shared among its devices, in this process.
        traced: False for a function that JAX cannot trace, that trains, say, or calls :func:`fixed_points`: it is
            called point by point with numbers of Python, ``chunk`` is 1 by default, and a store knows its code and
            that of one's own functions that it calls.
        about: more for the store's manifest, as JSON, under names that it does not use itself.

    Returns:
        The values with the grid's axes in front, on the host; with a store Zarr arrays of them. An axis of names
        has the points 0, 1, …, and ``metadata["labels"]`` the names.

    Raises:
        TypeError: the function does not take the names, returns no array, or an argument has a wrong type.
        ValueError: an empty or non-finite axis, a wrong name, rank or chunk; a call that would not fit in
            ``memory_limit``, or a result that would not fit in this machine; an executor without a store.
        StorageError: a ``ValueError``: the store holds another sweep, and what differs, or is damaged, or another
            process writes there.
        ImportError: a store without zarr.
    """
    _check_engine(store, executor, mesh)
    if not validation.flag("traced", traced) and mesh is not None:
        raise ValueError("mesh: expected none beside traced=False")
    grid = _grid(axes, key)
    _check_call(function, grid)
    memory_limit = validation.count("memory_limit", memory_limit, minimum=1, maximum=2**63)
    size = None if chunk is None else validation.count("chunk", chunk, minimum=1)
    if progress is not None and not isinstance(progress, bool) and not callable(progress):
        raise TypeError(f"progress: expected None, a bool or a function, got {type(progress).__name__}")
    kernel = kernel_of(function) if traced else OnHost(function)
    cut = plan(kernel, grid, size, memory_limit, store is not None) if traced else Plan(size or 1, size or 1)
    size = cut.call
    if store is not None:
        _check_about(about)
        manifest = {**(about or {}), "metadata": _metadata(function, grid, size)}
        swept = Computation(function, grid, kernel, cut)
        return of_store(*filled(swept, store, manifest, Means(executor, mesh, progress)))
    found = outline(kernel, grid, size)
    flat = allocate(found, grid.size)
    with reporter(progress, grid.size) as report:
        size = fill(kernel, grid, size, flat, report, mesh)
    values = {
        name: array.reshape(*grid.shape, *array.shape[1:])
        for name, array in zip(found.names, flat, strict=True)
    }
    return Sweep(grid.axes, values, _metadata(function, grid, size), found.structure)


def _check_engine(store: Any, executor: Any, mesh: Any) -> None:
    if mesh is not None and not isinstance(mesh, jax.sharding.Mesh):
        raise TypeError(f"mesh: expected a jax.sharding.Mesh, got {type(mesh).__name__}")
    if mesh is not None and executor is not None:
        raise ValueError("mesh: expected no executor beside it: a worker has devices of its own")
    if store is not None and not isinstance(store, str | os.PathLike):
        raise TypeError(f"store: expected the path of a folder, got {type(store).__name__}")
    check_executor(store, executor)


def _check_about(about: Any) -> None:
    if about is None:
        return
    if not isinstance(about, Mapping) or not all(isinstance(name, str) for name in about):
        raise TypeError(f"about: expected a mapping of names, got {type(about).__name__}")
    taken = sorted(RESERVED & set(about))
    if taken:
        raise ValueError(f"about: expected names that the manifest does not use itself, got {taken[0]!r}")
    try:
        json.dumps(dict(about), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"about: expected what JSON holds ({error})") from None


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
    labels = {name: _names(name, values) for name, values in axes.items() if _is_names(values)}
    if list(labels) != list(axes)[: len(labels)]:
        raise ValueError(f"axes: expected those of names first, got {', '.join(axes)}")
    points = {
        name: np.arange(len(labels[name])) if name in labels else _axis(name, values)
        for name, values in axes.items()
    }
    floats = [array.dtype for array in points.values() if array.dtype.kind == "f"]
    widest = np.result_type(*floats) if floats else None
    points = {name: a.astype(widest) if a.dtype.kind == "f" else a for name, a in points.items()}
    if key is not None and not (
        isinstance(key, jax.Array)
        and jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key)
        and key.shape == ()
    ):
        raise TypeError(f"key: expected one key of jax.random.key(seed), got {type(key).__name__}")
    grid = Grid(points, key, labels)
    if grid.size >= 2**32:
        raise ValueError(f"axes: expected fewer than 2**32 points, got {' × '.join(map(str, grid.shape))}")
    return grid


def _is_names(values: Any) -> bool:
    if isinstance(values, np.ndarray):
        return values.dtype.kind in "UT"
    return isinstance(values, list | tuple) and any(isinstance(value, str) for value in values)


def _names(name: str, values: Any) -> tuple[str, ...]:
    """Return one axis' names, each of them once."""
    if np.ndim(values) != 1 or not all(isinstance(value, str) for value in values):
        raise TypeError(f"axes[{name!r}]: expected strings or numbers alone, got both, or more dimensions")
    names = tuple(str(value) for value in values)
    if not names:
        raise ValueError(f"axes[{name!r}]: expected at least one name, got none")
    for each in names:
        if not each.strip() or len(each) > _LONGEST_NAME or not each.isprintable() or names.count(each) > 1:
            raise ValueError(
                f"axes[{name!r}]: expected different names of 1 to {_LONGEST_NAME} printable characters, got"
                f" {each[:80]!a}"
            )
    return names


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
    if grid.labels:
        metadata["labels"] = {name: list(names) for name, names in grid.labels.items()}
    if grid.key is not None:
        metadata["key"] = np.asarray(jax.random.key_data(grid.key)).tolist()
    return metadata
