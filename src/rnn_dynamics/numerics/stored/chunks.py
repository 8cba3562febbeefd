"""One chunk of a Zarr array as a file: little-endian bytes and their CRC-32C, written whole or not at all.

These are the codecs ``bytes`` and ``crc32c`` of Zarr v3. Zarr's own local store neither syncs what it writes nor
tells a chunk that is missing from one of fill values; here a file is there in full, or is not there.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.numerics import packages
from rnn_dynamics.numerics.files import atomic_write

_CHECK = 4  # bytes


def fill_of(dtype: np.dtype) -> complex | float | int | bool:
    """What stands where nothing is computed yet: NaN, or 0 of a dtype that has none."""
    return float("nan") if dtype.kind in "fc" else dtype.type(0).item()


def encoded(block: np.ndarray, shape: tuple[int, ...]) -> bytes:
    """A chunk's bytes, of a block that may be shorter than the chunk along some axes."""
    if block.shape != shape:
        whole = np.full(shape, fill_of(block.dtype), block.dtype)
        whole[tuple(slice(length) for length in block.shape)] = block
        block = whole
    content = np.ascontiguousarray(block, block.dtype.newbyteorder("<")).tobytes()
    return bytes(_codec().encode(content))


@functools.cache
def _codec() -> Any:
    try:
        from numcodecs.checksum32 import CRC32C
    except ImportError as error:
        raise packages.missing("a store", "zarr") from error
    return CRC32C(location="end")


def write(path: Path, content: bytes) -> None:
    """Write a chunk; the folders to it are made.

    Raises:
        OSError: the disk is full or not writable; an old file is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, content)


def fault(path: Path, size: int) -> str | None:
    """What is wrong with a file of ``size`` bytes of numbers and their check, in words; ``None`` of a whole one."""
    try:
        with open(path, "rb") as file:
            content = file.read(size + _CHECK + 1)
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"unreadable ({error.strerror})"
    if len(content) != size + _CHECK:
        return "cut short" if len(content) < size + _CHECK else "too long"
    return None if bytes(_codec().encode(content[:-_CHECK])) == content else "damaged"
