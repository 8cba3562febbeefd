"""MessagePack as ``flax.serialization`` writes it, with arrays as extensions, read without another package."""

import struct
from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.interop.files.stored import Part, Refused, Stored, from_bytes, product, shape_of

_DEEPEST = 64
_ARRAY, _COMPLEX, _SCALAR = 1, 2, 3  # Flax's numbers of extensions
_CHUNKED = "__msgpack_chunked_array__"
_FIXED = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_PLAIN = {0xC0: None, 0xC2: False, 0xC3: True}
#: Of what has its length in the bytes that follow: the bytes of that length, and the kind.
_LONG = {
    0xD9: (1, "text"),
    0xDA: (2, "text"),
    0xDB: (4, "text"),
    0xC4: (1, "bytes"),
    0xC5: (2, "bytes"),
    0xC6: (4, "bytes"),
    0xDC: (2, "list"),
    0xDD: (4, "list"),
    0xDE: (2, "map"),
    0xDF: (4, "map"),
    0xC7: (1, "extension"),
    0xC8: (2, "extension"),
    0xC9: (4, "extension"),
}
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}


def read_file(path: Path) -> Any:
    """The mappings of a file, with arrays that are not copied yet.

    Raises:
        Refused: it is cut short, nested too deep, or has bytes after its end.
        Exception: of any kind, where it is damaged.
    """
    reader = _Reader(memoryview(path.read_bytes()))
    value = reader.value(0)
    if reader.at != len(reader.content):
        raise Refused(f"expected an end at byte {reader.at}, got {len(reader.content)} bytes: it is damaged")
    return value


class _Reader:
    def __init__(self, content: memoryview) -> None:
        self.content, self.at = content, 0

    def _take(self, count: int) -> memoryview:
        if count > len(self.content) - self.at:
            raise Refused(f"expected {count} bytes at byte {self.at}, got fewer: the file is cut short")
        self.at += count
        return self.content[self.at - count : self.at]

    def value(self, depth: int) -> Any:
        """The next thing."""
        if depth > _DEEPEST:
            raise Refused(f"expected mappings at most {_DEEPEST} deep, got deeper ones")
        code = self._take(1)[0]
        if code <= 0x7F:
            return code
        if code >= 0xE0:
            return code - 256
        if code in _PLAIN:
            return _PLAIN[code]
        if code in _FIXED:
            return struct.unpack(_FIXED[code], self._take(struct.calcsize(_FIXED[code])))[0]
        if code in _FIXED_EXTENSIONS:
            return self._sized("extension", _FIXED_EXTENSIONS[code], depth)
        if code in _LONG:
            width, kind = _LONG[code]
            return self._sized(kind, int.from_bytes(self._take(width)), depth)
        if code <= 0xBF:
            kind = "map" if code <= 0x8F else "list" if code <= 0x9F else "text"
            return self._sized(kind, code & (0x1F if kind == "text" else 0x0F), depth)
        raise Refused(f"expected MessagePack, got the byte {code:#x} at {self.at - 1}: the file is damaged")

    def _sized(self, kind: str, size: int, depth: int) -> Any:
        """A thing of so many bytes or entries."""
        if kind == "text":
            return bytes(self._take(size)).decode()
        if kind == "bytes":
            return self._take(size)
        if kind == "extension":
            number = self._take(1)[0]
            return _extension(number, self._take(size), depth)
        if size > len(self.content) - self.at:
            raise Refused(f"expected no more entries than bytes, got {size} announced: the file is damaged")
        if kind == "list":
            return [self.value(depth + 1) for _ in range(size)]
        found = {}
        for _ in range(size):
            key = self.value(depth + 1)
            found[key if isinstance(key, (str, int)) else f"a {type(key).__name__}"] = self.value(depth + 1)
        return _joined(found) if _CHUNKED in found else found


def _extension(number: int, content: memoryview, depth: int) -> Any:
    """An array of Flax, or the name of another extension."""
    if number == _COMPLEX:
        return None
    if number not in (_ARRAY, _SCALAR):
        return Part(f"the extension {number} of MessagePack", {}, is_call=True)
    reader = _Reader(content)
    parts = reader.value(depth + 1)
    if not isinstance(parts, list) or len(parts) != 3 or not isinstance(parts[2], memoryview):
        raise Refused("expected an array's shape, dtype and numbers, got something else")
    dtype, numbers = str(parts[1]), parts[2]
    dtype = dtype if dtype == "bfloat16" else np.dtype(dtype).name
    shape = shape_of(parts[0], len(numbers))
    return Stored(shape, dtype, lambda: from_bytes(numbers, dtype, shape))


def _joined(found: dict[Any, Any]) -> Stored:
    """An array that Flax cut in pieces, as MessagePack holds no more than 4 GiB at once."""
    chunks = [found["chunks"][str(i)] for i in range(len(found["chunks"]))]
    shape = tuple(found["shape"][str(i)] for i in range(len(found["shape"])))
    if not all(isinstance(chunk, Stored) for chunk in chunks):
        raise Refused("expected the pieces of an array, got something else")
    shape = shape_of(shape, sum(product(chunk.shape) for chunk in chunks))
    return Stored(
        shape,
        chunks[0].dtype,
        lambda: np.concatenate([chunk.read().ravel() for chunk in chunks]).reshape(shape),
    )
