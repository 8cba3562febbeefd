"""Arrays that lie in a file, with their numbers not read yet, and the refusal of what no reader takes."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from rnn_dynamics.numerics.texts import printable

#: Bytes of numbers, inflated ones included, that are taken from one file.
MOST_BYTES = 2**34
#: A file may always inflate to so many bytes, and a greater one to so many times its own.
ALWAYS_INFLATED, MOST_INFLATED = 2**26, 20
#: Kinds of half precision, which NumPy does not hold all of.
HALF = ("float16", "bfloat16")
_FREE_VIEW = 2**20
_DEEPEST, _MOST_ENTRIES = 100, 200_000


class Refused(ValueError):
    """Says of a file what was expected and what came, in words that are ready to be shown."""


def brief(error: Exception, most: int = 120) -> str:
    """An error that may quote the file, in one line of so many characters."""
    return printable(" ".join(str(error).split()))[:most] or type(error).__name__


class Stored(NamedTuple):
    """An array in a file.

    Attributes:
        shape: of it.
        dtype: its name in NumPy, or the file's own where NumPy has none.
        read: a function that gives the numbers, those of bfloat16 as float32.
        told: what was done to the numbers, as a sentence for the user; or "".
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]
    told: str = ""

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def bytes(self) -> int:
        """The number of bytes that the numbers take."""
        return product(self.shape) * item_size(self.dtype)


class Part(NamedTuple):
    """A thing of a foreign class: what the file says of it, as data.

    Attributes:
        name: of its class or of the function that would have made it.
        inside: attributes by name, where there are any.
        is_call: whether a function would have had to be called for it.
    """

    name: str
    inside: dict[Any, Any]
    is_call: bool = False


def product(shape: Sequence[int]) -> int:
    """The number of entries of a shape, in Python's integers, which do not overflow."""
    size = 1
    for length in shape:
        size *= int(length)
    return size


def item_size(dtype: str) -> int:
    """The bytes of one entry; 1 where the dtype is not known."""
    if dtype == "bfloat16":
        return 2
    try:
        return max(np.dtype(dtype).itemsize, 1)
    except TypeError:
        return 1


def shape_of(value: Any, most: int) -> tuple[int, ...]:
    """A shape that a file announces.

    Raises:
        Refused: it is none, or has more entries than there are bytes.
    """
    if not isinstance(value, (tuple, list)) or len(value) > 32:
        raise Refused(f"expected the shape of an array, got {str(value)[:60]}")
    for length in value:
        if isinstance(length, bool) or not isinstance(length, (int, np.integer)) or length < 0:
            raise Refused(f"expected the shape of an array, got {str(value)[:60]}")
    if product(value) > most:
        raise Refused(
            f"expected arrays no larger than the file, got one announced as {str(tuple(value))[:60]}"
        )
    return tuple(int(length) for length in value)


def from_bytes(
    content: Any, dtype: str, shape: tuple[int, ...], *, order: Literal["<", ">"] = "<"
) -> np.ndarray:
    """The array of these bytes, in the machine's own order; bfloat16 becomes float32, which holds it exactly.

    Raises:
        Refused: there are too few bytes, or NumPy has no such dtype.
    """
    count = product(shape)
    if len(content) < count * item_size(dtype):
        raise Refused(
            f"expected {count * item_size(dtype)} bytes of an array of {dtype} and shape {shape}, "
            f"got {len(content)}: the file is cut short"
        )
    if dtype == "bfloat16":
        halves = np.frombuffer(content, f"{order}u2", count).astype(np.uint32)
        return (halves << 16).view(np.float32).reshape(shape)
    try:
        kind = np.dtype(dtype)
    except TypeError as error:
        raise Refused(f"expected dtypes that NumPy has, got {dtype}") from error
    octets = content if isinstance(content, np.ndarray) else np.frombuffer(content, np.uint8)
    return (
        octets[: count * kind.itemsize].view(kind.newbyteorder(order)).astype(kind, copy=False).reshape(shape)
    )


def view_of(flat: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    """What a view shows of a flat storage, in order; ``checked_view`` has looked at its bounds."""
    in_order = [product(shape[axis + 1 :]) for axis in range(len(shape))]
    if all(length == 1 or a == b for length, a, b in zip(shape, strides, in_order, strict=True)):
        return flat[offset : offset + product(shape)].reshape(shape)  # whose memory JAX may take
    size = flat.itemsize
    view = np.lib.stride_tricks.as_strided(
        flat[offset:], shape, tuple(stride * size for stride in strides), writeable=False
    )
    return np.array(view)


def checked_view(
    count: int, offset: Any, shape: Any, strides: Any
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape and strides of a view that lies inside a storage of so many entries.

    Raises:
        Refused: it reaches beyond, or shows far more entries than there are.
    """
    shape = shape_of(shape, max(count, _FREE_VIEW))
    strides = shape_of(strides, 2**62 * _FREE_VIEW)
    if len(shape) != len(strides) or isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
        raise Refused(
            f"expected a view with a stride for each axis, got {shape}, {strides}, {str(offset)[:30]}"
        )
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    if product(shape) and last >= count:
        raise Refused(f"expected a view inside its storage of {count} entries, got one that ends at {last}")
    return shape, strides


def flattened(value: Any) -> tuple[dict[str, Stored], dict[str, Part]]:
    """The arrays inside nested mappings, lists and parts, by their keys with dots between, and the parts.

    A module of PyTorch is named as its own state dict names it. What stands in several places, or in itself, has
    the shortest of its names.

    Raises:
        Refused: mappings in one another deeper than any network is, or more entries than there is reason for.
    """
    arrays: dict[str, Stored] = {}
    parts: dict[str, Part] = {}
    seen: set[int] = set()
    waiting = deque([("", value, 0)])
    while waiting:
        name, value, depth = waiting.popleft()
        if isinstance(value, Stored):
            arrays.setdefault(name, value)
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        if depth > _DEEPEST or len(seen) + len(arrays) > _MOST_ENTRIES:
            raise Refused(f"expected mappings at most {_DEEPEST} deep with {_MOST_ENTRIES} entries, got more")
        if isinstance(value, Part):
            parts.setdefault(name, value)
            value = _of_module(value.inside)
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            if isinstance(inner, (Stored, Part, dict, list, tuple)):
                waiting.append((f"{name}.{key}" if name else str(key), inner, depth + 1))
    return arrays, parts


def _of_module(inside: dict[Any, Any]) -> dict[Any, Any]:
    """The parameters, buffers and modules of a module of PyTorch by their own names; other things as they are."""
    if not isinstance(inside.get("_parameters"), dict):
        return {key: inner for key, inner in inside.items() if key != "_flat_weights"}
    fields = (inside.get(name) for name in ("_parameters", "_buffers", "_modules"))
    return {key: inner for field in fields if isinstance(field, dict) for key, inner in field.items()}
