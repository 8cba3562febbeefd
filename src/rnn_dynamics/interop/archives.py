"""Zip archives that are read member by member, never onto the disk, and bounded in what they inflate to."""

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from rnn_dynamics.interop.stored import ALWAYS_INFLATED, MOST_INFLATED, Refused
from rnn_dynamics.numerics import memory

_MOST_MEMBERS = 100_000


class Archive:
    """The members of a zip archive by name.

    Raises:
        Refused: names that lead out of the archive, far too many members, or more bytes than such files inflate to.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._left = max(ALWAYS_INFLATED, MOST_INFLATED * path.stat().st_size)
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
        self._sizes = {info.filename: info.file_size for info in infos}
        self.names = [info.filename for info in infos]
        if len(self._sizes) != len(self.names) or len(self.names) > _MOST_MEMBERS:
            raise Refused("expected an archive with each member once, got some twice, or far too many")
        for name in self.names:
            if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or "\0" in name:
                raise Refused(f"expected names of members inside the archive, got {name[:60]!r}")
        announced = sum(self._sizes.values())
        if announced > self._left:
            raise Refused(
                f"expected an archive that inflates to at most {self._left / 2**20:.0f} MiB, "
                f"got {announced / 2**20:.0f}"
            )

    def has(self, name: str) -> bool:
        """Whether there is a member of that name."""
        return name in self._sizes

    def size(self, name: str) -> int:
        """The bytes that a member announces.

        Raises:
            Refused: there is none of that name.
        """
        if name not in self._sizes:
            raise Refused(f"expected the member {name[:60]!r}, which is missing: the archive is damaged")
        return self._sizes[name]

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """A member as a file, of which the beginning alone is to be read."""
        with zipfile.ZipFile(self._path) as archive, archive.open(name) as member:
            yield member

    def read(self, name: str, most: int | None = None) -> bytes:
        """The bytes of a member.

        Raises:
            Refused: they are more than announced, or than ``most``.
        """
        limit = self.size(name) if most is None else min(self.size(name), most)
        if most is not None and self.size(name) > most:
            raise Refused(f"expected at most {most / 2**20:.0f} MiB in {name[:60]!r}, got more")
        with zipfile.ZipFile(self._path) as archive, archive.open(name) as member:
            return member.read(limit + 1)[:limit]  # the last byte has the checksum looked at

    def numbers(self, name: str) -> np.ndarray:
        """The bytes of a member that is as long as an array; they cannot be written to."""
        with self.opened(name) as member:
            found = memory.read(member, self.size(name))
            member.read(1)  # behind the last byte the checksum is looked at
            return found
