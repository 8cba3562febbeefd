"""Memory that the library reads files into, and that JAX may keep without a copy."""

import io
import mmap
from typing import IO, Any

import numpy as np

_ALIGNED = 64  # bytes; where memory begins at a multiple of them, JAX takes it as it is
_SMALL = 2**16
_CHUNK = 2**18
# Of this process alone, and handed out at once, which takes half as long as page by page; Windows knows neither.
_FLAGS = ("MAP_PRIVATE", "MAP_ANONYMOUS", "MAP_POPULATE")
_KIND = {"flags": sum(getattr(mmap, name, 0) for name in _FLAGS)} if hasattr(mmap, "MAP_PRIVATE") else {}


class _Pages(mmap.mmap):
    """Marks memory that nobody outside holds, and so nobody changes.

    It is the system's, not NumPy's, which asks for huge pages: where memory is fragmented, making some takes longer
    than to read the file.
    """


def is_aligned(array: np.ndarray) -> bool:
    """Whether JAX would take the memory of an array as it is."""
    return array.ctypes.data % _ALIGNED == 0


def is_nobodys(array: np.ndarray) -> bool:
    """Whether nobody can change the memory of an array: that of ``bytes``, and what ``read`` gave."""
    root: Any = array
    while isinstance(root, np.ndarray) and root.base is not None:
        root = root.base
    return isinstance(root.obj if isinstance(root, memoryview) else root, bytes | _Pages)


def read(file: IO[bytes], size: int) -> np.ndarray:
    """Bytes of a file, where JAX takes them without a copy, and which stay as they are.

    Args:
        file: from which they are read, from where it stands.
        size: their number.

    Returns:
        The bytes, fewer where the file ends before. They cannot be written to.
    """
    if size < _SMALL:
        return np.frombuffer(file.read(size), np.uint8)
    held = _Pages(-1, size, **_KIND)
    count = _into(file, memoryview(held))
    taken = np.frombuffer(held, np.uint8)
    taken.flags.writeable = False
    return taken[:count]


def _into(file: IO[bytes], taken: memoryview) -> int:
    """Fill memory from a file, and tell how far."""
    if isinstance(file, io.BufferedReader):
        return file.readinto(taken)
    count = (
        0  # what inflates or checks as it reads makes new bytes each time: few, which stay near the processor
    )
    while chunk := file.read(min(_CHUNK, len(taken) - count)):
        taken[count : count + len(chunk)] = chunk
        count += len(chunk)
    return count
