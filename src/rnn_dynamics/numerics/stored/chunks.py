"""One chunk of a Zarr array as a file: little-endian bytes and their CRC-32C, written whole or not at all.

These are the codecs ``bytes`` and ``crc32c`` of Zarr v3. Zarr's own local store neither syncs what it writes nor
tells a chunk that is missing from one of fill values; here a file is there in full, or is not there.
"""

import contextlib
import errno
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.numerics import packages
from rnn_dynamics.numerics.files import atomic_write, open_regular, sync_folder
from rnn_dynamics.numerics.storage import StorageError

_CHECK = 4  # bytes


def fill_of(dtype: np.dtype) -> complex | float | int | bool:
    """What stands where nothing is computed yet: NaN, or 0 of a dtype that has none."""
    return float("nan") if dtype.kind in "fc" else dtype.type(0).item()


def encoded(block: np.ndarray, shape: tuple[int, ...]) -> memoryview:
    """A chunk's bytes, the only copy, of a block that may be shorter than the chunk along some axes."""
    if block.shape != shape:
        whole = np.full(shape, fill_of(block.dtype), block.dtype)
        whole[tuple(slice(length) for length in block.shape)] = block
        block = whole
    return memoryview(_codec().encode(np.ascontiguousarray(block, block.dtype.newbyteorder("<"))))


@functools.cache
def _codec() -> Any:
    try:
        from numcodecs.checksum32 import CRC32C
    except ImportError as error:
        raise packages.missing("a store", "zarr") from error
    return CRC32C(location="end")


def write(
    path: Path, content: bytes | memoryview, root: Path, check: Callable[[], object] = lambda: None
) -> None:
    """Write a chunk; the folders to it are made.

    Args:
        path: the file.
        content: its bytes.
        root: the folder of the store, which has to be there.
        check: raises where the store is not the one that it was. It is called once the new file lies in its folder
            under another name: what passes it then can only be renamed in a folder of that very store, since the
            file is gone from the place of a store that is removed or moved.

    Raises:
        OSError: the disk is full or not writable; an old file is left as it was.
        StorageError: a link leads out of the store, or there is something that is no file.
    """
    _make_folders(path.parent, root)
    if path.exists() and not path.is_file():
        raise StorageError(f"{path}: expected a file, or nothing, and there is a folder, a pipe or a device")

    def put(file: Any) -> None:
        file.write(content)
        check()

    atomic_write(path, put)


def _make_folders(folder: Path, root: Path) -> None:
    """Make the folders between the store's and this one; each is synced into the one above."""
    if folder == root:
        if not root.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the store is gone", os.fspath(root))
        return
    if folder.is_symlink():
        raise StorageError(f"{folder}: a link leads out of the store")
    if folder.parent != root:
        _make_folders(folder.parent, root)
    if not folder.is_dir():
        with contextlib.suppress(FileExistsError):  # another worker was quicker
            folder.mkdir()
        sync_folder(folder.parent)


def fault(path: Path, size: int) -> str | None:
    """What is wrong with a file of ``size`` bytes of numbers and their check, in words; ``None`` of a whole one."""
    try:
        with open_regular(path) as file:
            length = os.fstat(file.fileno()).st_size
            if length != size + _CHECK:
                return "cut short" if length < size + _CHECK else "too long"
            content = file.read()
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"unreadable ({error.strerror})"
    if len(content) != size + _CHECK:
        return "changing"
    return None if bytes(_codec().encode(content[:-_CHECK])) == content else "damaged"
