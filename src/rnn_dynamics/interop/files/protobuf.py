"""Messages of Protocol Buffers, field by field, without their package."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnn_dynamics.interop.files.stored import Refused

_LONGEST_VARINT = 10
_MOST_LOOKED_AT = 64


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for i in range(_LONGEST_VARINT):
        byte = content[at + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, at + i + 1
    raise Refused("expected a number of at most ten bytes, got a longer one: the file is damaged")


def fields(content: memoryview) -> Iterator[tuple[int, Any]]:
    """Number and value of each field: an integer, or the bytes of it."""
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(content, at)
            yield tag >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind, -1)
        if kind == 2:
            size, at = _varint(content, at)
        if size < 0 or size > len(content) - at:
            raise Refused(
                "expected a field that ends inside the model, got one beyond: the file is cut short"
            )
        yield tag >> 3, content[at : at + size]
        at += size


def gathered(content: memoryview, names: dict[int, str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {name: [] for name in names.values()}
    for number, value in fields(content):
        if number in names:
            found[names[number]].append(value)
    return found


def text(values: list[Any]) -> str:
    return bytes(values[-1]).decode() if values and isinstance(values[-1], memoryview) else ""


def signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def integers(values: list[Any]) -> list[int]:
    """Integers that stand one by one or packed."""
    found: list[int] = []
    for value in values:
        if isinstance(value, int):
            found.append(signed(value))
            continue
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            found.append(signed(number))
    return found


def flag(values: list[Any]) -> bool:
    """Whether a field that is true or false is set and true."""
    return bool(values) and bool(values[-1])


def number(values: list[Any], default: float = 0.0) -> float:
    """A float of 4 bytes."""
    return struct.unpack("<f", values[-1])[0] if values else default


def floats(values: list[Any]) -> bytes:
    """The bytes of floats that stand one by one or packed."""
    return b"".join(bytes(each) for each in values)


def top_fields(path: Path) -> set[int]:
    """The numbers of the first fields of a file, whose contents are passed over; none where it is no message."""
    found: set[int] = set()
    size = path.stat().st_size
    with path.open("rb") as file:
        for _ in range(_MOST_LOOKED_AT):
            head = memoryview(file.read(2 * _LONGEST_VARINT))
            if not head:
                break
            try:
                tag, at = _varint(head, 0)
                kind, skipped = tag & 7, {1: 8, 5: 4}.get(tag & 7, 0)
                if kind == 0:
                    _, at = _varint(head, at)
                elif kind == 2:
                    skipped, at = _varint(head, at)
            except (IndexError, Refused):
                return set()
            end = file.tell() - len(head) + at + skipped
            if kind not in (0, 1, 2, 5) or end > size:
                return set()
            found.add(tag >> 3)
            file.seek(end)
    return found
