"""MATLAB's files: those up to version 7 by their published format, those of 7.3 through h5py."""

import importlib
import struct
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rnn_dynamics.interop.files.stored import (
    ALWAYS_INFLATED,
    MOST_INFLATED,
    Part,
    Refused,
    Stored,
    from_bytes,
    product,
    shape_of,
)
from rnn_dynamics.numerics import packages

_TYPES = {
    1: "int8",
    2: "uint8",
    3: "int16",
    4: "uint16",
    5: "int32",
    6: "uint32",
    7: "float32",
    9: "float64",
    12: "int64",
    13: "uint64",
    16: "uint8",
    17: "uint16",
    18: "uint32",
}
_CLASSES = {
    6: "float64",
    7: "float32",
    8: "int8",
    9: "uint8",
    10: "int16",
    11: "uint16",
    12: "int32",
    13: "uint32",
}
_CLASSES |= {14: "int64", 15: "uint64"}
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE, _FUNCTION, _OPAQUE = 1, 2, 3, 4, 5, 16, 17
_MATRIX, _COMPRESSED = 14, 15
_COMPLEX = 0x800
_DEEPEST = 40
_MOST_ENTRIES = 1_000_000


def read_file(path: Path) -> dict[str, Any]:
    """The variables of a file of MATLAB up to version 7, structs and cells as mappings and lists.

    Raises:
        Refused: it is cut short, or inflates to more bytes than such files do.
        Exception: of any kind, where it is damaged.
    """
    content = memoryview(path.read_bytes())
    mark = bytes(content[126:128])
    if mark not in (b"IM", b"MI"):
        raise Refused("expected MATLAB's mark of byte order, got none: the file is damaged")
    reader = _Reader("<" if mark == b"IM" else ">", max(ALWAYS_INFLATED, MOST_INFLATED * len(content)))
    found: dict[str, Any] = {}
    at = 128
    while at < len(content):
        kind, body, at = reader.element(content, at)
        if kind == _COMPRESSED:
            kind, body, _ = reader.element(reader.inflated(body), 0)
        if kind == _MATRIX:
            name, value = reader.variable(body, 0)
            found[name] = value
    return found


class _Reader:
    """Elements of one byte order; ``left`` bytes may still be inflated, ``entries`` things be made."""

    def __init__(self, order: Literal["<", ">"], left: int) -> None:
        self.order: Literal["<", ">"] = order
        self.left, self.entries = left, _MOST_ENTRIES

    def inflated(self, content: memoryview) -> memoryview:
        """What a compressed element holds."""
        inflater = zlib.decompressobj()
        found = inflater.decompress(content, self.left + 1)
        self.left -= len(found)
        if self.left < 0:
            raise Refused("expected a file that inflates to at most twenty times its size, got a greater one")
        if not inflater.eof:
            raise Refused("expected a whole compressed variable, got a part: the file is cut short")
        return memoryview(found)

    def element(self, content: memoryview, at: int) -> tuple[int, memoryview, int]:
        """Type and bytes of the element there, and where the next one begins."""
        if at + 8 > len(content):
            raise Refused("expected a whole element, got a part: the file is cut short")
        kind, size = struct.unpack(f"{self.order}II", content[at : at + 8])
        if kind >> 16:  # up to four bytes stand in the head itself
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise Refused("expected at most four bytes in a short element, got more: the file is damaged")
            return kind, content[at + 4 : at + 4 + size], at + 8
        if size > len(content) - at - 8:
            raise Refused(
                f"expected {size} bytes of an element, got {len(content) - at - 8}: the file is cut short"
            )
        end = at + 8 + size
        return kind, content[at + 8 : end], end if kind == _COMPRESSED else end + -size % 8

    def variable(self, content: memoryview, depth: int) -> tuple[str, Any]:
        """Name and value of a matrix in MATLAB's sense, which anything is."""
        self.entries -= 1
        if depth > _DEEPEST or self.entries < 0:
            raise Refused(f"expected structs at most {_DEEPEST} deep with a million entries, got more")
        if not len(content):
            return "", None
        _, flags, at = self.element(content, 0)
        word = struct.unpack(f"{self.order}I", flags[:4])[0]
        cls, is_complex = word & 0xFF, bool(word & _COMPLEX)
        if cls == _OPAQUE:
            return "", Part("an object of a class of MATLAB, which only MATLAB can read", {}, is_call=True)
        _, dims, at = self.element(content, at)
        shape = tuple(int(n) for n in np.frombuffer(dims, f"{self.order}i4"))
        _, name, at = self.element(content, at)
        return bytes(name).decode("latin1"), self._value(cls, is_complex, shape, content, at, depth)

    def _value(
        self, cls: int, is_complex: bool, shape: tuple[int, ...], content: memoryview, at: int, depth: int
    ) -> Any:
        if cls in _CLASSES:
            return self._array(cls, is_complex, shape, content, at)
        count = product(shape_of(shape, len(content)))
        if cls == _CELL:
            return self._several(count, content, at, depth)[0]
        if cls in (_STRUCT, _OBJECT):
            return self._struct(cls, count, content, at, depth)
        if cls == _CHAR:
            return None
        what = {_SPARSE: "a sparse matrix: full(W) is read", _FUNCTION: "a function of MATLAB"}
        return Part(what.get(cls, f"MATLAB's class {cls}"), {}, is_call=True)

    def _array(
        self, cls: int, is_complex: bool, shape: tuple[int, ...], content: memoryview, at: int
    ) -> Stored | Part:
        kind, numbers, _ = self.element(content, at)
        shape, dtype = shape_of(shape, len(numbers)), _TYPES.get(kind)
        if dtype is None:
            raise Refused(f"expected numbers, got MATLAB's type {kind}: the file is damaged")
        if is_complex:
            return Part("a complex matrix", {}, is_call=True)
        if product(shape) * np.dtype(dtype).itemsize > len(numbers):
            raise Refused(
                f"expected the numbers of shape {shape}, got {len(numbers)} bytes: the file is damaged"
            )
        order, wanted = self.order, _CLASSES[cls]
        return Stored(
            shape, wanted, lambda: from_bytes(numbers, dtype, shape[::-1], order=order).T.astype(wanted)
        )

    def _several(self, count: int, content: memoryview, at: int, depth: int) -> tuple[list[Any], int]:
        found = []
        for _ in range(count):
            _, body, at = self.element(content, at)
            found.append(self.variable(body, depth + 1)[1])
        return found, at

    def _struct(self, cls: int, count: int, content: memoryview, at: int, depth: int) -> Any:
        if cls == _OBJECT:
            _, _, at = self.element(content, at)  # its class's name
        _, length, at = self.element(content, at)
        width = struct.unpack(f"{self.order}i", length[:4])[0]
        _, block, at = self.element(content, at)
        if width <= 0:
            raise Refused("expected the width of a struct's names, got none: the file is damaged")
        fields = [
            bytes(block[i : i + width]).partition(b"\0")[0].decode("latin1")
            for i in range(0, len(block), width)
        ]
        each = []
        for _ in range(count):
            values, at = self._several(len(fields), content, at, depth)
            each.append(dict(zip(fields, values, strict=True)))
        return each[0] if count == 1 else each


def read_hdf5(path: Path) -> dict[str, Any]:
    """The variables of a file of MATLAB 7.3, whose matrices lie transposed.

    Raises:
        ImportError: h5py is not installed.
        Exception: of any kind, where it is damaged.
    """
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise packages.missing("reading a file of MATLAB 7.3", "h5py") from error
    found: dict[str, Any] = {}
    most = max(ALWAYS_INFLATED, MOST_INFLATED * path.stat().st_size)

    def visit(name: str, thing: Any) -> None:
        if name.startswith("#") or not hasattr(thing, "shape"):
            return
        if (
            thing.dtype.kind not in "fiu"
            or "MATLAB_empty" in thing.attrs
            or thing.external
            or thing.is_virtual
        ):
            return  # the last two have their numbers in other files
        shape = shape_of(thing.shape[::-1], most)

        def read() -> np.ndarray:
            with h5py.File(path, "r") as file:
                return file[name][()].T

        found[name.replace("/", ".")] = Stored(shape, thing.dtype.name, read)

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return found
