"""Bytes that are compressed or carry a checksum, with what they inflate to bounded before anything is inflated."""

import struct
import zlib

from rnn_dynamics.interop.stored import Refused
from rnn_dynamics.numerics import packages

Bytes = bytes | memoryview
_ZSTD = 0xFD2FB528
_LONGEST_BLOCK = 2**17  # of zstandard, inflated
_SLACK = 2**16  # what a frame may be longer than what it holds


def inflated(codec: str, content: Bytes, size: int | None, most: int) -> Bytes:
    """What was compressed.

    Args:
        codec: "zstd", "gzip" or "zlib".
        content: what it became.
        size: the bytes that it must have; ``None`` where they are not known.
        most: the bytes that it may have.

    Raises:
        ImportError: the package that zstandard needs is not installed.
        Refused: it has others, or the frame announces so.
    """
    if len(content) > most + most // 64 + _SLACK:
        raise Refused(f"expected at most {most} bytes, got {len(content)} that are compressed")
    found = _of_zstd(content, size, most) if codec == "zstd" else _of_zlib(codec, content, most)
    if size is not None and len(found) != size:
        raise Refused(f"expected {size} bytes that were compressed, got {len(found)}: it is damaged")
    return found


def check_crc32c(content: Bytes, expected: Bytes, where: str) -> None:
    """Compare a CRC-32C, four bytes with the lowest first.

    Raises:
        ImportError: the package that computes it is not installed.
        Refused: it is another.
    """
    try:
        import google_crc32c
    except ImportError as error:
        raise packages.missing("a checkpoint of Orbax", "google_crc32c") from error
    if struct.pack("<I", google_crc32c.value(bytes(content))) != expected:
        raise Refused(f"expected another CRC-32C of {where}: it is damaged")


def _of_zlib(codec: str, content: Bytes, most: int) -> bytes:
    machine = zlib.decompressobj(31 if codec == "gzip" else 15)
    found = machine.decompress(content, most + 1)
    if len(found) > most or not machine.eof:
        raise Refused(
            f"expected at most {most} bytes in a whole stream of {codec}, got more, or one cut short"
        )
    return found


def _of_zstd(content: Bytes, size: int | None, most: int) -> Bytes:
    """One frame, whose header or whose blocks tell how much it holds at most."""
    announced, first, has_checksum = _frame(content)
    if announced is None:
        announced = _of_blocks(content, first, has_checksum, most) if size is None else size
    elif size is not None and announced != size:
        raise Refused(
            f"expected {size} bytes that were compressed, got a frame of {announced}: it is damaged"
        )
    if announced > most:
        raise Refused(f"expected at most {most} bytes that were compressed, got a frame of {announced}")
    try:
        from numcodecs.zstd import decompress
    except ImportError as error:
        raise packages.missing("weights that zstandard compressed", "numcodecs") from error
    if size is None:
        return bytes(decompress(content))
    place = bytearray(size)
    if size == 0:
        return b""
    decompress(content, place)
    return memoryview(place)


def _frame(content: Bytes) -> tuple[int | None, int, bool]:
    """The bytes that a frame announces to hold, where its blocks begin, and whether a checksum follows them."""
    if len(content) < 6 or struct.unpack_from("<I", content)[0] != _ZSTD:
        raise Refused("expected a frame of zstandard, got other bytes: it is damaged")
    described = content[4]
    kind, is_single, dictionary = described >> 6, bool(described & 0x20), (0, 1, 2, 4)[described & 3]
    at = 5 + (not is_single) + dictionary
    width = (int(is_single), 2, 4, 8)[kind]
    if dictionary and any(content[at - dictionary : at]):
        raise Refused("expected zstandard without a dictionary, got one")
    if len(content) < at + width:
        raise Refused("expected a frame of zstandard, got one that is cut short")
    announced = int.from_bytes(content[at : at + width], "little") + (256 if width == 2 else 0)
    return (announced if width else None), at + width, bool(described & 4)


def _of_blocks(content: Bytes, at: int, has_checksum: bool, most: int) -> int:
    """The bytes that the blocks of a frame inflate to at most."""
    total, last = 0, False
    while not last:
        if at + 3 > len(content):
            raise Refused("expected a frame of zstandard, got one that is cut short")
        head = int.from_bytes(content[at : at + 3], "little")
        last, kind, length = bool(head & 1), head >> 1 & 3, head >> 3
        total += _LONGEST_BLOCK if kind == 2 else length
        at += 3 + (1 if kind == 1 else length)
        if kind == 3 or length > _LONGEST_BLOCK or total > most + _LONGEST_BLOCK:
            raise Refused(f"expected at most {most} bytes that were compressed, got more, or a damaged frame")
    if at + 4 * has_checksum != len(content):
        raise Refused("expected one frame of zstandard, got one that is cut short, or bytes behind it")
    return min(total, most)
