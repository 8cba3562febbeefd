"""Many points through one compiled kernel: batches of few sizes, filled up, and cut again on the host.

The size of a batch is part of a program. Batches are therefore of one size, or of a power of two, the last one
filled up with copies of its last row; under ``vmap`` no row's numbers depend on the others'.
"""

import functools
import math
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxlib.version import __version_info__
from jaxtyping import Array

from rnn_dynamics.numerics.interpreted import Interpreted, Unsupported, evaluated, interpreted

#: Entries of one call of the kernel.
TILE = 64
#: Inputs of at most so many entries go in tiles.
LARGEST = 1024
#: Up to so many NumPy evaluates, where each takes few operations. From jaxlib 0.11.1 on XLA compiles the neuron's
#: equilibria in half a minute and not in five seconds; 16 384 of them take NumPy a tenth of a second.
_LARGEST_INTERPRETED = LARGEST if __version_info__ < (0, 11, 1) else 2**14
_FEW_OPERATIONS = 5000
#: Kernels of more operations than so many are compiled: NumPy takes 1 to 3 µs for one of 64 to 1024 entries.
_MOST_OPERATIONS = 50_000
#: Arguments of what runs once, of so many numbers at most, are left to NumPy.
_LARGEST_COMPUTED = 2**20


def power_of_two_above(count: int, least: int = 1) -> int:
    """The least power of two that is ``count`` or more; ``least`` where that is more."""
    return max(least, 1 << max(count - 1, 0).bit_length())


def power_of_two_below(count: int) -> int:
    """The largest power of two up to ``count``, 1 at least."""
    return 1 << (max(count, 1).bit_length() - 1)


def filled(rows: np.ndarray, size: int) -> np.ndarray:
    """The rows with copies of the last one behind them, ``size`` in all; zeros where there are none."""
    if len(rows) == size:
        return rows
    if not len(rows):
        return np.zeros((size, *rows.shape[1:]), rows.dtype)
    return rows[np.minimum(np.arange(size), len(rows) - 1)]


def mapped(kernel: Callable[..., Any], columns: Sequence[np.ndarray], size: int) -> Any:
    """``kernel`` of all rows, in batches of ``size``.

    Args:
        kernel: takes a batch of each column, to a pytree of arrays with the same leading axis.
        columns: arrays of one leading axis; none of them is empty, or all are.
        size: rows of a batch.

    Returns:
        What the kernel gives for all rows, on the host.
    """
    count, parts = len(columns[0]), []
    for first in range(0, max(count, 1), size):
        batch = (filled(column[first : first + size], size) for column in columns)
        parts.append(kernel(*batch))
    if len(parts) == 1:
        return jax.tree.map(lambda leaf: np.asarray(leaf)[:count], parts[0])
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:count], *parts)


class Elementwise:
    """``jax.jit(kernel)``, but evaluated by NumPy, or compiled once, for all inputs of up to 1024 entries.

    Kernels of thousands of operations take seconds to compile and microseconds to run. Small inputs are flattened;
    where a call takes fewer than some ten thousand operations, NumPy evaluates them (``interpreted``), else they go
    through one program in tiles of 64 entries, the last one filled up with copies of the last entry. Larger inputs,
    tracers, and arrays that were put on devices of the caller's choice go to ``jax.jit`` as they are.
    """

    def __init__(self, kernel: Callable[..., Any], static_argnums: tuple[int, ...] = ()) -> None:
        functools.update_wrapper(self, kernel)
        self._kernel = kernel
        self._compiled = jax.jit(kernel, static_argnums=static_argnums)
        self._static = static_argnums
        self._known: dict[Any, _OnHost | None] = {}

    def __call__(self, *arguments: Any) -> Any:
        """The kernel's results as JAX's arrays."""
        found = self._small(arguments)
        return self._compiled(*arguments) if found is None else found.unflatten(jax.device_put(found.leaves))

    def on_host(self, *arguments: Any) -> Any:
        """The same numbers as NumPy's arrays, for what goes on with them on the host."""
        found = self._small(arguments)
        if found is None:
            return jax.tree.map(np.asarray, self._compiled(*arguments))
        return found.unflatten(found.leaves)

    def _small(self, arguments: tuple[Any, ...]) -> "_Results | None":
        """The results where the arguments are plain and small; None for what goes to JAX as it is."""
        static = {i: arguments[i] for i in self._static}
        arrays, structure = jax.tree.flatten([a for i, a in enumerate(arguments) if i not in static])
        shape = arrays[0].shape
        size = math.prod(shape)
        if not 0 < size <= _LARGEST_INTERPRETED or not is_plain(arrays):
            return None
        flat = [np.asarray(a).reshape(size, *a.shape[len(shape) :]) for a in arrays]

        def with_static(*others: Any) -> tuple[Any, ...]:
            left = iter(others)
            return tuple(static[i] if i in static else next(left) for i in range(len(arguments)))

        key = structure, tuple(static.items()), tuple((a.shape[1:], a.dtype) for a in flat)
        if key not in self._known:
            self._known[key] = _on_host(lambda *others: self._kernel(*with_static(*others)), flat, structure)
        found = self._known[key]
        if found is not None and (size <= LARGEST or found.program.cost <= _FEW_OPERATIONS):
            try:
                leaves = evaluated(found.program, flat)
            except Unsupported:  # an index that differs between entries
                self._known[key] = None
            else:
                return _Results([x.reshape(shape + x.shape[1:]) for x in leaves], found.results.unflatten)
        if size > LARGEST:
            return None
        flat = [filled(a, -(-size // TILE) * TILE) for a in flat]
        tiles = []
        for start in range(0, size, TILE):
            others = structure.unflatten([a[start : start + TILE] for a in flat])
            tiles.append(jax.tree.flatten(self._compiled(*with_static(*others))))
        columns = zip(*(leaves for leaves, _ in tiles), strict=True)
        return _Results([_joined(parts, shape, size) for parts in columns], tiles[0][1].unflatten)


class _Results(NamedTuple):
    """Leaves on the host, and what makes the kernel's result of them."""

    leaves: list[np.ndarray]
    unflatten: Callable[[Any], Any]


def elementwise(kernel: Callable[..., Any], static_argnums: tuple[int, ...] = ()) -> Elementwise:
    """``Elementwise`` of a kernel, as a decorator.

    Args:
        kernel: elementwise: pytrees of arrays that lead with one shape, the first argument's arrays having no
            more, to a pytree of arrays that lead with that shape.
        static_argnums: as of ``jax.jit``.
    """
    return Elementwise(kernel, static_argnums)


#: What ``computed`` knows of each function: how NumPy evaluates it, by structure, shapes and options.
_KNOWN: "weakref.WeakKeyDictionary[Any, dict[Any, _OnHost | None]]" = weakref.WeakKeyDictionary()


def computed(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """``function(*arguments, **options)`` by NumPy where that has all of its operations, and few are asked for.

    For pieces that run once or a few times on the host, which would take XLA longer to compile than to run.

    Args:
        function: of pytrees of arrays to a pytree of arrays; compiled by ``jax.jit`` where it is not yet.
        arguments: pytrees of arrays.
        options: hashable, static.
    """
    leaves, structure = jax.tree.flatten(arguments)
    if is_plain(leaves) and sum(map(np.size, leaves)) <= _LARGEST_COMPUTED:
        leaves = [np.asarray(leaf)[None] for leaf in leaves]
        known = _KNOWN.setdefault(function, {})
        key = structure, tuple((x.shape, x.dtype) for x in leaves), tuple(sorted(options.items()))
        if key not in known:
            known[key] = _on_host(functools.partial(function, **options), leaves, structure)
        found = known[key]
        if found is not None:
            return found.results.unflatten(jax.device_put([x[0] for x in evaluated(found.program, leaves)]))
    compiled = function if hasattr(function, "lower") else jax.jit(function, static_argnames=tuple(options))
    return compiled(*arguments, **options)


class _OnHost(NamedTuple):
    """A kernel as NumPy evaluates it, and the structure of its results."""

    program: Interpreted
    results: Any


def _on_host(kernel: Callable[..., Any], leaves: list[np.ndarray], structure: Any) -> _OnHost | None:
    """The kernel for NumPy; None where it takes too many operations, or some that NumPy has not."""
    try:
        shapes = [jax.ShapeDtypeStruct(x.shape[1:], jax.dtypes.canonicalize_dtype(x.dtype)) for x in leaves]
        program, results = interpreted(kernel, shapes, structure)
    except Unsupported:
        return None
    return _OnHost(program, results) if program.cost <= _MOST_OPERATIONS else None


def is_plain(arrays: Iterable[Any]) -> bool:
    """Whether these are numbers that may pass through the host: not traced, not put on devices by the caller."""
    return not any(
        isinstance(a, Tracer)
        or (isinstance(a, jax.Array) and (a.committed or jnp.issubdtype(a.dtype, jax.dtypes.extended)))
        for a in arrays
    )


def namespace(*trees: Any) -> Any:
    """``numpy`` where it may compute with all leaves, whose operations are not compiled; else ``jax.numpy``."""
    return np if is_plain(jax.tree.leaves(trees)) else jnp


def picked(tree: Any, at: Any) -> Any:
    """The entries ``at`` of every leaf, along its leading axis; cut on the host where that may be."""

    def cut(leaf: Any) -> Any:
        return jax.device_put(np.asarray(leaf)[at]) if is_plain([leaf]) else leaf[at]

    return jax.tree.map(cut, tree)


def _joined(parts: Sequence[Array], shape: tuple[int, ...], size: int) -> np.ndarray:
    whole = np.concatenate([np.asarray(part) for part in parts])[:size]
    return whole.reshape(shape + whole.shape[1:])
