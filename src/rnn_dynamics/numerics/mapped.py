"""A grid of points, mapped by one compiled function in chunks of one shape.

The chunk's size is planned before anything is allocated: from the number of operations of the traced
function, so that a call lasts about a second at most, and from XLA's own account of the memory that the
compiled call takes. Neither looks at a clock: the same call always has the same shape, and so the same bits.

Axes of names come first. A name is no array: each combination of names has a program of its own, and no chunk holds
points of two.
"""

import functools
import math
import os
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from rnn_dynamics.numerics.batching import power_of_two_below
from rnn_dynamics.numerics.decompositions import decomposing
from rnn_dynamics.numerics.grid import Grid, Outline, Words, point_key
from rnn_dynamics.numerics.on_host import OnHost

Kernel = Any

# A call of more operations than this is split: 0.1 to 0.8 s on two cores, so that Ctrl-C is heard.
_WORK = 2**31
_LARGEST = 2**16
_UNKNOWN_TRIPS = 1000
# Calls of a block of a store, and blocks that a grid has at least before one holds several calls.
_MOST_CALLS, _FEWEST_BLOCKS = 8, 64
_SLOW = frozenset(
    [
        *("exp", "exp2", "log", "log1p", "expm1", "tanh", "logistic", "erf", "erfc", "erf_inv"),
        *("log2", "sin", "cos", "tan", "pow", "div", "sqrt", "rsqrt", "cbrt", "atan2", "sinh", "cosh"),
        *("asinh", "acosh", "atanh", "lgamma", "digamma", "random_bits", "threefry2x32", "sort"),
    ]
)
_CUBIC = frozenset(["cholesky", "eig", "eigh", "lu", "qr", "geqrf", "householder_product", "svd", "schur"])

_KERNELS: dict[int, tuple[weakref.ref, Kernel]] = {}


def kernel_of(function: Callable[..., Any]) -> Kernel:
    """Return the compiled map of ``function`` over points, the same one as long as the function object lives.

    The map refers to the function weakly: it would otherwise keep alive the very object whose end removes it.
    """
    kept = _KERNELS.get(id(function))
    if kept is not None and kept[0]() is function:
        return kept[1]
    try:
        reference = weakref.ref(function, functools.partial(_forget, id(function)))
    except TypeError:  # an object without weak references is compiled anew by each call
        return jax.jit(functools.partial(map_points, lambda: function), static_argnames="words")
    kernel = jax.jit(functools.partial(map_points, reference), static_argnames="words")
    _KERNELS[id(function)] = reference, kernel
    return kernel


def _forget(identity: int, reference: weakref.ref) -> None:
    """Drop the map of a function that is gone, unless a new one has taken its number."""
    if identity in _KERNELS and _KERNELS[identity][0] is reference:
        del _KERNELS[identity]


def map_points(
    reference: Callable[[], Any], points: dict[str, Array], indexes: Any, key: Any, words: Words = ()
) -> Any:
    """The values of the function that ``reference`` gives, at many points that share their names."""
    function = functools.partial(reference(), **dict(words))

    def at_point(point: dict[str, Array], index: Any) -> Any:
        return function(**point) if key is None else function(**point, key=point_key(key, index))

    return jax.vmap(at_point)(points, indexes)


class Plan(NamedTuple):
    """How a grid is cut.

    Attributes:
        call: points of one call.
        block: points of a block of a store, a multiple of these.
    """

    call: int
    block: int


def plan(kernel: Kernel, grid: Grid, chunk: int | None, memory_limit: int, stored: bool = False) -> Plan:
    """Return the number of points of one call, which compiles it and allocates nothing.

    A block of a store costs some milliseconds whatever it holds. By default it is of several calls in a large grid.

    Args:
        kernel: the map, of :func:`kernel_of`.
        grid: the points.
        chunk: the number asked for, of a call and of a block, or None for the smallest power of two that holds the
            points that share their names, or less.
        memory_limit: bytes that one call may take, and what is held beside it.
        stored: whether results go to a store: those of a block are held while it is computed, and those of the one
            before, in one copy, while it is written.

    Raises:
        ValueError: the chunk asked for, or one point, takes more than ``memory_limit``.
    """
    size, held = min(power_of_two_below(2 * grid.part - 1), _LARGEST) if chunk is None else chunk, 2 * stored
    if chunk is None:
        work = max(_operations(_trace(kernel, grid, size, words).jaxpr) for words in grid.combinations())
        size = min(size, power_of_two_below(size * _WORK // work))
    while True:
        memory = [_memory(_trace(kernel, grid, size, words)) for words in grid.combinations()]
        results = max(result for _, result in memory)
        need = max(call + held * result for call, result in memory)
        if need <= memory_limit:
            break
        if chunk is not None or size == 1:
            name = "memory_limit" if chunk is None else "chunk"
            raise ValueError(f"{name}: {size} at once take {need} bytes, expected at most {memory_limit}")
        size = min(size // 2, power_of_two_below(size * memory_limit // need))
    if chunk is not None or not stored:
        return Plan(size, size)
    # Where a block is several calls, they are joined: one copy more.
    room = (memory_limit - need) // max(3 * results, 1)
    return Plan(size, size * max(min(_MOST_CALLS, grid.size // (size * _FEWEST_BLOCKS), room), 1))


def _trace(kernel: Kernel, grid: Grid, count: int, words: Words) -> Any:
    return kernel.trace(*grid.shapes(count), grid.key, words=words)


def _memory(traced: Any) -> tuple[int, int]:
    """Bytes that the compiled call takes, and of its results; 0 where the device's compiler does not tell."""
    analysis = traced.lower().compile().memory_analysis()
    parts = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    return sum(getattr(analysis, part, 0) for part in parts), getattr(analysis, parts[1], 0)


def _operations(jaxpr: Any) -> int:
    """Roughly the scalar operations of a traced function, a transcendental counted as eight; at least 1."""
    total = 1
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        inner = sum(_operations(item) for value in equation.params.values() for item in inner_jaxprs(value))
        if inner:
            trips = equation.params["length"] if name == "scan" else _UNKNOWN_TRIPS if name == "while" else 1
            total += inner * trips
            continue
        total += _equation_operations(equation)
    return total


def _equation_operations(equation: Any) -> int:
    name = equation.primitive.name
    inputs: list[tuple[int, ...]] = [getattr(variable.aval, "shape", ()) for variable in equation.invars]
    outputs: list[int] = [math.prod(getattr(variable.aval, "shape", ())) for variable in equation.outvars]
    weight: int = 8 if name in _SLOW else 1
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        weight = math.prod(inputs[0][axis] for axis in contracted)
    elif name in _CUBIC:
        weight = 100 * max(1, *inputs[0][-2:])
    return weight * sum(outputs)


def inner_jaxprs(value: Any) -> Iterator[Any]:
    """The traced functions among an equation's parameters; older JAX closes them, newer does not."""
    if hasattr(value, "eqns"):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from inner_jaxprs(item)


def outline(kernel: Kernel, grid: Grid, chunk: int) -> Outline:
    """The results' names, shapes and dtypes; nothing is computed or allocated, but of a map on the host one point.

    Raises:
        TypeError: the function returns no array, or one that is not of numbers.
        ValueError: a name stands for two values or for an axis too, or results differ in shape by the names.
    """
    if isinstance(kernel, OnHost):
        return kernel.outline(grid)
    each = {words: _trace(kernel, grid, chunk, words).out_info for words in grid.combinations()}
    of_first = next(iter(each.values()))
    for words, found in each.items():
        if _said(found) != _said(of_first):
            said = ", ".join(f"{axis}={name!r}" for axis, name in words)
            raise ValueError(
                f"function: expected results of the same names, shapes and dtypes for all names, got"
                f" {_said(found)} at {said} and {_said(of_first)} before"
            )
    return Outline.of(of_first, grid, leading=1)


def _said(found: Any) -> str:
    """Names, shapes and dtypes of results at one point."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(found)
    return ", ".join(
        f"{jax.tree_util.keystr(path, simple=True, separator='.') or 'value'} {leaf.dtype}{list(leaf.shape[1:])}"
        for path, leaf in leaves
    )


def allocate(found: Outline, points: int) -> list[np.ndarray]:
    """Empty arrays (points, …) of the results.

    Raises:
        ValueError: they do not fit in this machine.
    """
    size = sum(points * math.prod(shape) * dtype.itemsize for shape, dtype in found.leaves)
    if size > host_memory():
        raise ValueError(f"axes: the results would take {size} bytes, this machine has {host_memory()}")
    return [np.empty((points, *shape), dtype) for shape, dtype in found.leaves]


def host_memory() -> float:
    """Bytes of memory of this machine, infinity where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return math.inf


def fill(
    kernel: Kernel,
    grid: Grid,
    chunk: int,
    results: list[np.ndarray],
    report: Callable[[int], object],
    mesh: Any = None,
) -> int:
    """Map the whole grid into ``results``, and return the chunk that it took.

    A call that finds no memory on the device starts the grid again with half the chunk, so that all points
    come from calls of one shape.

    Args:
        kernel: the map, of :func:`kernel_of`.
        grid: the points.
        chunk: points of one call.
        results: of :func:`allocate`; overwritten.
        report: called with the number of points done.
        mesh: of the devices that share each call; the default one by default.
    """
    while True:
        try:
            for begin in range(0, grid.size, grid.part):
                end = begin + grid.part
                for start in range(begin, end, chunk):
                    stop = min(start + chunk, end)
                    found = map_chunk(kernel, grid, start, chunk, stop, mesh)
                    for result, values in zip(results, found, strict=True):
                        result[start:stop] = values[: stop - start]
                    report(stop)
            return chunk
        except jax.errors.JaxRuntimeError as error:
            if chunk == 1 or isinstance(kernel, OnHost) or "RESOURCE_EXHAUSTED" not in str(error):
                raise
            chunk //= 2


def map_chunk(
    kernel: Kernel, grid: Grid, start: int, count: int, stop: int | None = None, mesh: Any = None
) -> list[np.ndarray]:
    """Values of ``count`` points from ``start`` on the host, copies of the last one included.

    All of them share their names. Over a mesh of devices each takes an equal share of the points. A map on the host
    has no copies.
    """
    if isinstance(kernel, OnHost):
        return kernel.points(grid, start, min(start + count, grid.size if stop is None else stop))
    shares = 1 if mesh is None else mesh.size
    points, indexes = grid.points(start, -(-count // shares) * shares, stop)
    if mesh is not None:
        share = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(mesh.axis_names))
        points, indexes = jax.device_put((points, indexes), share)
    with decomposing:  # one chunk at a time in this process: a sweep keeps every core busy by itself
        leaves = jax.tree.leaves(kernel(points, indexes, grid.key, words=grid.words(start)))
        return [np.asarray(leaf)[:count] for leaf in leaves]
