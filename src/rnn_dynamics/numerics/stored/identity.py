"""What tells one sweep from another: the traced function with its constants, the grid, versions and device."""

import functools
import hashlib
import platform
import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from rnn_dynamics._version import __version__
from rnn_dynamics.numerics.grid import Grid
from rnn_dynamics.numerics.mapped import inner_jaxprs, map_points
from rnn_dynamics.numerics.stored.code import digest_of

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


def identity_of(function: Callable[..., Any], grid: Grid, traced: bool = True) -> dict[str, str]:
    """Digests and names of what the numbers depend on; equal where, and only where, a sweep would be the same.

    The function's is that of its jaxpr and of the arrays that it captured, so that an edited notebook function is
    another one whatever its name.

    Args:
        function: of one point.
        grid: its points.
        traced: whether JAX can trace it; the digest of one that it cannot is that of its code.
    """
    axes = {f"axis {name}": _said(points, grid.labels.get(name)) for name, points in grid.axes.items()}
    key = "none" if grid.key is None else np.asarray(jax.random.key_data(grid.key)).tobytes().hex()
    return {
        "axes": ", ".join(grid.axes),
        **axes,
        "key": key,
        "jax": jax.__version__,
        "rnn_dynamics": __version__,
        "device": jax.devices()[0].device_kind,
        **({} if traced else {"python": ".".join(platform.python_version_tuple()[:2])}),
        "function": _digest_traced(function, grid) if traced else digest_of(function),
    }


def _digest_traced(function: Callable[..., Any], grid: Grid) -> str:
    """Of the jaxpr of each combination of names, and of the arrays captured."""
    code = hashlib.sha256()
    for words in grid.combinations():
        mapped = functools.partial(map_points, lambda: function, words=words)
        traced = jax.make_jaxpr(mapped)(*grid.shapes(1), grid.key)
        code.update(_ADDRESS.sub("", str(traced.jaxpr)).encode())
        for constant in _constants(traced):
            code.update(_bytes_of(constant))
    return code.hexdigest()


def _said(points: np.ndarray, names: tuple[str, ...] | None) -> str:
    """How many points of what kind an axis has, and a digest of them."""
    kind, content = (points.dtype, points.tobytes()) if names is None else ("names", repr(names).encode())
    return f"{len(points)} {kind}, {hashlib.sha256(content).hexdigest()}"


def _constants(traced: Any) -> Iterator[Any]:
    """The arrays that a traced function captured, and those of the functions inside it."""
    yield from getattr(traced, "consts", ())
    for equation in traced.jaxpr.eqns if hasattr(traced, "jaxpr") else traced.eqns:
        for value in equation.params.values():
            for inner in inner_jaxprs(value):
                yield from _constants(inner)


def _bytes_of(constant: Any) -> bytes:
    if jax.numpy.issubdtype(getattr(constant, "dtype", np.float64), jax.dtypes.extended):
        constant = jax.random.key_data(constant)
    array = np.asarray(constant)
    return f"{array.dtype} {array.shape} ".encode() + array.tobytes()


def difference(stored: dict[str, str], wanted: dict[str, str]) -> str | None:
    """What differs first, in words; ``None`` where nothing does."""
    for name in [*wanted, *(name for name in stored if name not in wanted)]:
        was, now = stored.get(name), wanted.get(name)
        if was == now:
            continue
        if name == "function":
            return "the function is another one, or an array that it captured is"
        if (
            name.startswith("axis ") and was is not None and now is not None
        ):  # lengths and dtypes, then digests
            was, now = was.partition(", ")[0], now.partition(", ")[0]
        return f"{name} is {was} there and {now} here" if was != now else f"{name} has other points there"
    return None
