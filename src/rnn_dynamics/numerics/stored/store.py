"""A sweep in a folder that is a Zarr v3 group: an array over the grid for each value, the axes, and what is done.

``xarray.open_zarr(path)`` reads it, finished or not: dimensions have the axes' names, ``computed`` is True where a
point is there. A block's chunk of ``computed`` is written after those of all values: so it marks the block as done.
The group's attribute ``rnn_dynamics`` is the manifest: what was computed, on what, with which versions, and digests
of every other file that is not a chunk.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import math
import operator
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.numerics import packages
from rnn_dynamics.numerics.files import open_regular
from rnn_dynamics.numerics.storage import StorageError
from rnn_dynamics.numerics.stored import chunks
from rnn_dynamics.numerics.stored.blocks import Blocks

KEY, DONE, GROUP = "rnn_dynamics", "computed", "zarr.json"
FAILED, SMALLER, _LOCK = "failed", "smaller", ".lock"
KINDS = "biufc"
#: Of a manifest; what else stands there is the caller's.
RESERVED = frozenset(
    ["format", "version", "made", "identity", "metadata", "axes", "values", "box", "files", "digest"]
)
_LONGEST = 2**20  # bytes of a manifest that is read
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)  # of some file systems of clusters
_LEFT_BEHIND = 3600  # seconds


@dataclasses.dataclass(frozen=True)
class Part:
    """An array of the store.

    Attributes:
        dtype: of its numbers.
        shape: of one point's value.
    """

    dtype: np.dtype
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Store:
    """A store that exists.

    Attributes:
        path: its folder.
        manifest: as it stands in the file.
        blocks: how the grid is cut.
        parts: the values' arrays by name, in the order of the function's result.
    """

    path: Path
    manifest: dict[str, Any]
    blocks: Blocks
    parts: dict[str, Part]

    @property
    def metadata(self) -> dict[str, Any]:
        """Where the numbers come from, as ``Sweep.metadata``."""
        return dict(self.manifest["metadata"])

    @property
    def call(self) -> int:
        """Points of a call, of which a block is one or several."""
        asked = self.manifest["metadata"].get("chunk")
        return min(asked, self.blocks.points) if type(asked) is int and asked > 0 else self.blocks.points

    def _shape(self, name: str) -> tuple[int, ...]:
        return () if name == DONE else self.parts[name].shape

    def _dtype(self, name: str) -> np.dtype:
        return np.dtype(bool) if name == DONE else self.parts[name].dtype

    def _file(self, name: str, index: int) -> Path:
        place = (*self.blocks.place(index), *(0 for _ in self._shape(name)))
        return self.path.joinpath(name, "c", *map(str, place))

    def write(self, index: int, values: Sequence[np.ndarray]) -> None:
        """Write one block: values of its points, shape (count, …), in the order of the parts; last of all its mark.

        Writers of one block at the same time do no harm: they write the same bytes, each in one step.

        Raises:
            TypeError: values of another dtype than those that the store was made for, as of a worker without x64.
            OSError: the disk is full or not writable, or the store is gone; the block is then not done.
            StorageError: another store stands in its place.
        """
        box = tuple(one.stop - one.start for one in self.blocks.box_at(index))
        for (name, part), value in zip(self.parts.items(), values, strict=True):
            if value.dtype != part.dtype:
                raise TypeError(f"{self.path}: expected {part.dtype} as {name}, got {value.dtype}")
            block = value.reshape(*box, *part.shape)
            self._write(name, index, chunks.encoded(block, (*self.blocks.box, *part.shape)))
        self._write(DONE, index, chunks.encoded(np.ones(box, bool), self.blocks.box))
        self._failure(index).unlink(missing_ok=True)

    def _write(self, name: str, index: int, content: bytes | memoryview) -> None:
        chunks.write(self._file(name, index), content, self.path, self._check_place)

    def _check_place(self) -> None:
        if self.manifest["made"].encode() not in small_file(self.path / GROUP):
            raise StorageError(f"{self.path}: another store stands in the place of this one")

    def done(self) -> np.ndarray:
        """Whether each block is marked as done, shape (blocks,); one look at each folder of marks."""
        found, counts = np.zeros(len(self.blocks), bool), self.blocks.counts
        for place, last in _marks(self.path / DONE / "c", counts):
            found[self.blocks.index((*place, 0)) + last] = True
        return found

    def is_done(self, index: int) -> bool:
        """Whether one block is marked as done."""
        return self._file(DONE, index).is_file()

    def faults(self, index: int) -> dict[str, str]:
        """What is wrong with the chunks of a block that is marked as done, by array; empty where all are whole."""
        found = {}
        for name in (*self.parts, DONE):
            size = self.blocks.points * math.prod(self._shape(name)) * self._dtype(name).itemsize
            said = chunks.fault(self._file(name, index), size)
            if said is not None:
                found[name] = said
        return found

    def damaged(self) -> dict[int, dict[str, str]]:
        """The blocks that are marked as done and are not whole: every byte is read.

        That is as long as it takes to read what is there, some 40 microseconds for a small file: a
        bit that has flipped is found by nothing else.
        """
        found = {int(index): self.faults(int(index)) for index in np.flatnonzero(self.done())}
        return {index: said for index, said in found.items() if said}

    def forget(self, index: int) -> None:
        """Take back that a block is done, as the first step of computing it again."""
        self._file(DONE, index).unlink(missing_ok=True)

    def _failure(self, index: int) -> Path:
        return self.path / DONE / FAILED / f"{index}.json"

    def set_aside(self, index: int, cause: str, points: Mapping[str, Any]) -> None:
        """Keep that a block could not be computed, and why."""
        box = [[one.start, one.stop] for one in self.blocks.box_at(index)]
        self._note(self._failure(index), {"cause": cause[:2000], "box": box, "points": points})

    def failures(self) -> dict[int, dict[str, Any]]:
        """The blocks that were set aside: cause, box of the grid, and the ends of the axes in it."""
        found = _notes(self.path / DONE / FAILED)
        return {index: said for index, said in found.items() if index < len(self.blocks)}

    def note_smaller(self, points: int, index: int) -> None:
        """Keep that from a block on there was no memory for its points in one call, but for so many."""
        path = self.path / DONE / SMALLER / f"{points}.json"
        if not path.exists():
            self._note(path, {"points": points, "block": index})

    def smaller(self) -> list[int]:
        """Points of the calls for which there was memory, where there was none for larger ones; largest first."""
        return sorted((n for n in _notes(self.path / DONE / SMALLER) if n < self.call), reverse=True)

    def _note(self, path: Path, said: Mapping[str, Any]) -> None:
        chunks.write(path, json.dumps(said, indent=1).encode(), self.path, self._check_place)

    def axes(self) -> dict[str, np.ndarray]:
        """The axes' points.

        Raises:
            StorageError: they are not those that were written.
        """
        return {axis["name"]: _axis(self.path, axis) for axis in self.manifest["axes"]}

    def read(self, name: str) -> Any:
        """An array over the grid as Zarr's own, which reads what is asked of it.

        Raises:
            KeyError: no such array.
        """
        if name != DONE and name not in self.parts:
            raise KeyError(name)
        return zarr_package().open_array(self.path / name, mode="r")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other sweeps away while this one runs; the system takes the lock back when a process ends.

        Where the system or the file system has no locks nobody is kept away, which does no harm but that blocks are
        computed twice.

        Raises:
            StorageError: another process is writing.
            OSError: the folder is not writable.
        """
        try:
            import fcntl
        except ImportError:
            self._sweep_up(_LEFT_BEHIND)
            yield
            return
        path = self.path / DONE / _LOCK
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        with os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._sweep_up(0)
            except BlockingIOError:
                raise StorageError(f"{self.path}: another sweep is writing there") from None
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                self._sweep_up(_LEFT_BEHIND)
            yield

    def _sweep_up(self, age: float) -> None:
        """Remove what writers left that were killed, where it is so many seconds old."""
        for folder, _, files in os.walk(self.path):
            for name in files:
                if name.startswith(".") and name.endswith(".tmp"):
                    path = Path(folder, name)
                    with contextlib.suppress(FileNotFoundError):
                        if age == 0 or path.lstat().st_mtime < time.time() - age:
                            path.unlink()


def _axis(path: Path, axis: dict[str, Any]) -> np.ndarray:
    dtype, length, file = np.dtype(axis["dtype"]), int(axis["length"]), path / axis["name"] / "c" / "0"
    if dtype.kind not in KINDS:
        raise StorageError(f"{path}: axis {axis['name']} has no numbers")
    content = small_file(file, length * dtype.itemsize + 4)[:-4]
    points = np.frombuffer(
        content[: len(content) // dtype.itemsize * dtype.itemsize], dtype.newbyteorder("<")
    )
    points = points.astype(dtype)
    is_whole = chunks.fault(file, length * dtype.itemsize) is None
    if not is_whole or len(points) != length or digest(points.tobytes()) != axis["digest"]:
        raise StorageError(f"{file}: damaged: not the points of axis {axis['name']} that were written")
    return points


def _marks(folder: Path, counts: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """The files of each folder of the last level, by its place and their numbers."""
    if len(counts) == 1:
        yield (), np.array(_numbers(folder, counts[0], "is_file"), int)
        return
    for at in _numbers(folder, counts[0], "is_dir"):
        yield from (((at, *place), last) for place, last in _marks(folder / str(at), counts[1:]))


def _numbers(folder: Path, count: int, kind: str) -> list[int]:
    """The numbers below ``count`` that are names in a folder, of files or of folders; other names are nobody's."""
    is_one = operator.methodcaller(kind, follow_symlinks=False)
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if is_one(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    plain = [name for name in names if len(name) < 11 and name.isdecimal() and name.isascii()]
    numbers = map(int, [name for name in plain if name[0] != "0" or name == "0"])
    return [number for number in numbers if number < count]


def _notes(folder: Path) -> dict[int, dict[str, Any]]:
    """The notes in a folder by their numbers; what is none is nobody's."""
    found = {}
    for path in folder.glob("*.json"):
        with contextlib.suppress(OSError, ValueError, RecursionError):
            said = json.loads(small_file(path))
            if path.stem.isdecimal() and path.stem.isascii() and isinstance(said, dict):
                found[int(path.stem)] = said
    return dict(sorted(found.items()))


def small_file(path: Path, most: int = _LONGEST) -> bytes:
    """The content of a file that has no more bytes than that.

    Raises:
        StorageError: it has.
        OSError: there is none, or it is a pipe, a folder or a device.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise StorageError(f"{path}: too long")
        return file.read()


def digest(content: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(content).hexdigest()


def zarr_package() -> Any:
    """Zarr.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import zarr
    except ImportError as error:
        raise packages.missing("a store", "zarr") from error
    return zarr
