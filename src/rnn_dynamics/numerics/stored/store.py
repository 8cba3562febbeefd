"""A sweep in a folder that is a Zarr v3 group: an array over the grid for each value, the axes, and what is done.

``xarray.open_zarr(path)`` reads it, finished or not: dimensions have the axes' names, ``computed`` is True where a
point is there. A block's chunk of ``computed`` is written after those of all values: so it marks the block as done.
The group's attribute ``rnn_dynamics`` is the manifest: what was computed, on what, with which versions, and digests
of every other file that is not a chunk.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.numerics import packages
from rnn_dynamics.numerics.files import atomic_write
from rnn_dynamics.numerics.storage import StorageError
from rnn_dynamics.numerics.stored import chunks
from rnn_dynamics.numerics.stored.blocks import Blocks

KEY, DONE, GROUP, _FAILED, _LOCK = "rnn_dynamics", "computed", "zarr.json", "failed", ".lock"
_NAME = re.compile(r"[A-Za-z_0-9]+(\.[A-Za-z_0-9]+)*")
KINDS = "biufc"
_LONGEST = 2**20  # bytes of a manifest that is read


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

    def _shape(self, name: str) -> tuple[int, ...]:
        return () if name == DONE else self.parts[name].shape

    def _dtype(self, name: str) -> np.dtype:
        return np.dtype(bool) if name == DONE else self.parts[name].dtype

    def _file(self, name: str, index: int) -> Path:
        place = (*self.blocks.place(index), *(0 for _ in self._shape(name)))
        return self.path.joinpath(name, "c", *map(str, place))

    def write(self, index: int, values: Sequence[np.ndarray]) -> None:
        """Write one block: values of its points, shape (count, …), in the order of the parts; last of all its mark.

        Raises:
            OSError: the disk is full or not writable; the block is then not done.
        """
        box = tuple(one.stop - one.start for one in self.blocks.box_at(index))
        for (name, part), value in zip(self.parts.items(), values, strict=True):
            block = np.asarray(value, part.dtype).reshape(*box, *part.shape)
            chunks.write(self._file(name, index), chunks.encoded(block, (*self.blocks.box, *part.shape)))
        chunks.write(self._file(DONE, index), chunks.encoded(np.ones(box, bool), self.blocks.box))
        with contextlib.suppress(FileNotFoundError):
            self._failure(index).unlink()

    def done(self) -> np.ndarray:
        """Whether each block is marked as done, shape (blocks,); one look at each folder of marks."""
        found, counts = np.zeros(len(self.blocks), bool), self.blocks.counts
        for place in _places(self.path / DONE / "c", len(counts)):
            if all(at < count for at, count in zip(place, counts, strict=True)):
                found[self.blocks.index(place)] = True
        return found

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
        """The blocks that are marked as done and are not whole: every byte is read."""
        found = {int(index): self.faults(int(index)) for index in np.flatnonzero(self.done())}
        return {index: said for index, said in found.items() if said}

    def forget(self, index: int) -> None:
        """Take back that a block is done, as the first step of computing it again."""
        self._file(DONE, index).unlink(missing_ok=True)

    def _failure(self, index: int) -> Path:
        return self.path / DONE / _FAILED / f"{index}.json"

    def set_aside(self, index: int, cause: str, points: Mapping[str, Any]) -> None:
        """Keep that a block could not be computed, and why."""
        path = self._failure(index)
        path.parent.mkdir(exist_ok=True)
        box = [[one.start, one.stop] for one in self.blocks.box_at(index)]
        atomic_write(path, json.dumps({"cause": cause[:2000], "box": box, "points": points}, indent=1))

    def failures(self) -> dict[int, dict[str, Any]]:
        """The blocks that were set aside: cause, box of the grid, and the ends of the axes in it."""
        found = {}
        for path in sorted((self.path / DONE / _FAILED).glob("*.json")):
            with contextlib.suppress(OSError, ValueError):
                said = json.loads(path.read_text(encoding="utf-8"))
                if path.stem.isdecimal() and isinstance(said, dict):
                    found[int(path.stem)] = said
        return found

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

        Raises:
            StorageError: another process is writing.
        """
        try:
            import fcntl
        except ImportError:  # no such locks on this system
            yield
            return
        with open(self.path / DONE / _LOCK, "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StorageError(f"{self.path}: another sweep is writing there") from None
            self._sweep_up()
            yield

    def _sweep_up(self) -> None:
        """Remove what writers left that were killed: nobody else writes now."""
        for folder, _, files in os.walk(self.path):
            for name in files:
                if name.startswith(".") and name.endswith(".tmp"):
                    Path(folder, name).unlink(missing_ok=True)


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


def _places(folder: Path, depth: int) -> Iterator[tuple[int, ...]]:
    """The numbers of the files ``depth`` folders deep; other names are nobody's."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.isdecimal() or not entry.name.isascii():
                    continue
                if depth == 1:
                    if entry.is_file(follow_symlinks=False):
                        yield (int(entry.name),)
                elif entry.is_dir(follow_symlinks=False):
                    yield from ((int(entry.name), *rest) for rest in _places(Path(entry.path), depth - 1))
    except FileNotFoundError:
        return


def small_file(path: Path, most: int = _LONGEST) -> bytes:
    """The content of a file that has no more bytes than that.

    Raises:
        StorageError: it has.
    """
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise StorageError(f"{path}: too long")
    return content


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
