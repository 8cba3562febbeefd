"""Tables of FlatBuffers, field by field, without their package; no offset leads out of the file."""

import struct
from typing import Any

import numpy as np

from rnn_dynamics.interop.files.stored import Refused


class Table:
    """A table of a buffer.

    Args:
        content: of the whole file.
        at: where the table begins.

    Raises:
        Refused: it lies outside of the buffer.
    """

    def __init__(self, content: memoryview, at: int) -> None:
        self._content, self._at = content, at
        self._layout = at - self._read("<i", at)
        size = self._read("<H", self._layout)
        self._fields = max(size - 4, 0) // 2

    def _read(self, form: str, at: int) -> Any:
        if at < 0 or at + struct.calcsize(form) > len(self._content):
            raise Refused("expected tables inside the file, got one beyond its end: it is damaged")
        return struct.unpack_from(form, self._content, at)[0]

    def _place(self, field: int) -> int:
        if field >= self._fields:
            return 0
        offset = self._read("<H", self._layout + 4 + 2 * field)
        return self._at + offset if offset else 0

    def number(self, field: int, form: str, default: Any = 0) -> Any:
        """A number in one of the forms of ``struct``."""
        place = self._place(field)
        return self._read(f"<{form}", place) if place else default

    def _target(self, place: int) -> int:
        return place + self._read("<I", place)

    def table(self, field: int) -> "Table | None":
        """A table within this one."""
        place = self._place(field)
        return Table(self._content, self._target(place)) if place else None

    def _vector(self, field: int, size: int) -> tuple[int, int]:
        place = self._place(field)
        if not place:
            return 0, 0
        begin = self._target(place)
        count = self._read("<I", begin)
        if count * size > len(self._content) - begin - 4:
            raise Refused(f"expected a list inside the file, got one of {count} entries: it is damaged")
        return begin + 4, count

    def tables(self, field: int) -> list["Table"]:
        """A list of tables."""
        begin, count = self._vector(field, 4)
        return [Table(self._content, self._target(begin + 4 * i)) for i in range(count)]

    def numbers(self, field: int, dtype: str) -> np.ndarray:
        """A list of numbers."""
        size = np.dtype(dtype).itemsize
        begin, count = self._vector(field, size)
        return np.frombuffer(self._content, dtype, count, begin) if count else np.zeros(0, dtype)

    def bytes(self, field: int) -> memoryview:
        """A list of bytes."""
        begin, count = self._vector(field, 1)
        return self._content[begin : begin + count]

    def text(self, field: int) -> str:
        """A text."""
        return bytes(self.bytes(field)).decode(errors="replace")


def root(content: memoryview) -> Table:
    """The table that a file begins with."""
    if len(content) < 8:
        raise Refused("expected tables, got fewer than 8 bytes: the file is cut short")
    return Table(content, struct.unpack_from("<I", content)[0])
