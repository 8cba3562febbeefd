"""Folders of weights: what kind one is, and the files below it, by names that never lead out of it."""

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from rnn_dynamics.interop.stored import ALWAYS_INFLATED, MOST_INFLATED, Refused

#: Files by which a checkpoint of Orbax is told.
_OF_ORBAX = ("_METADATA", "manifest.ocdbt")
#: The file that stands beside things which were saved together.
_OF_STEP = "_CHECKPOINT_METADATA"
#: Files by which an array or a group of Zarr is told, and those of an array in versions 2 and 3.
_OF_ZARR = (".zarray", ".zgroup", "zarr.json")
_STEP = re.compile(r"(?:.*[^\d])?(\d{1,18})")
#: What the part of a checkpoint begins with that one process wrote.
_OF_PROCESS = "ocdbt.process_"
_UNFINISHED = ".orbax-checkpoint-tmp"
_MOST_ENTRIES, _DEEPEST = 100_000, 40


class Folder:
    """The files below a folder, with a bound on what they may inflate to.

    Raises:
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._root = os.path.realpath(path)
        self._folders = {"": self._root}
        self._sizes: dict[str, tuple[str, int]] = {}
        self._left = ALWAYS_INFLATED

    def size(self, name: str) -> int | None:
        """The bytes of a file, ``None`` where there is none of that name.

        Raises:
            Refused: the name, or a link on its way, leads out of the folder, or to something that is no file.
        """
        if name in self._sizes:
            return self._sizes[name][1]
        if not name or name.startswith(("/", "\\")) or "\0" in name or ".." in re.split(r"[/\\]", name):
            raise Refused(f"expected names of files inside the folder, got {name[:60]!r}")
        above, _, own = name.rpartition("/")
        if above not in self._folders:
            self._folders[above] = self._followed(os.path.join(self._root, above), name)
        path = os.path.join(self._folders[above], own)
        try:
            state = os.lstat(path)
            if stat.S_ISLNK(state.st_mode):
                path = self._followed(path, name)
                state = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(state.st_mode):
            raise Refused(f"expected {name[:60]!r} as a file, got a folder or a device")
        self._sizes[name] = path, state.st_size
        self._left += MOST_INFLATED * state.st_size
        return state.st_size

    def _followed(self, path: str, name: str) -> str:
        """Where a path leads."""
        found = os.path.realpath(path)
        if found != self._root and not found.startswith(os.path.join(self._root, "")):
            raise Refused(f"expected files inside the folder, got {name[:60]!r}, which is a link out of it")
        return found

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """The bytes of a file, or a stretch of them.

        Raises:
            Refused: as ``size``; there is no such file, or it ends before.
        """
        size = self.size(name)
        if size is None:
            raise Refused(f"expected the file {name[:80]!r}, which is missing: the folder is not whole")
        length = size - offset if length is None else length
        if length < 0 or offset + length > size:
            raise Refused(
                f"expected {length} bytes from byte {offset} on in {name[:80]!r}, got {size} in all: "
                "it is cut short"
            )
        self.spend(length)
        with open(self._sizes[name][0], "rb") as file:
            file.seek(offset)
            return file.read(length)

    def spend(self, count: int) -> None:
        """Count bytes that are about to be held.

        Raises:
            Refused: they are more than such folders hold.
        """
        self._left -= count
        if self._left < 0:
            raise Refused(
                f"expected a folder that inflates to at most {MOST_INFLATED} times its size, got more"
            )

    @property
    def left(self) -> int:
        """The bytes that may still be held."""
        return self._left

    def below(self, name: str, is_last: Callable[[str, set[str]], bool]) -> Iterator[tuple[str, set[str]]]:
        """A folder and each one below it, by its name, with the names of what is in it; links are not followed.

        Args:
            name: of the folder to begin with; "" for the whole.
            is_last: of a folder's name and what is in it, whether not to look into the folders there.

        Raises:
            Refused: far too many, or too deep.
        """
        waiting, seen = [(name, 0)], 0
        while waiting:
            name, depth = waiting.pop()
            with os.scandir(os.path.join(self._root, name)) as entries:
                inside = {each.name: each.is_dir(follow_symlinks=False) for each in entries}
            seen += len(inside)
            if depth > _DEEPEST or seen > _MOST_ENTRIES:
                raise Refused(
                    f"expected folders at most {_DEEPEST} deep with {_MOST_ENTRIES} files, got more"
                )
            yield name, set(inside)
            if is_last(name, set(inside)):
                continue
            below = (f"{name}/{each}" if name else each for each, is_folder in inside.items() if is_folder)
            waiting += [(each, depth + 1) for each in sorted(below, reverse=True)]


def kind_of(path: Path, *, has_weights: bool) -> str:
    """ "orbax" or "zarr" of a folder, or "folder" of another.

    Args:
        path: of the folder.
        has_weights: whether other files of weights are in it, beside which a folder below is not the one meant.
    """
    if is_unfinished(path) or is_checkpoint(path) or (path / _OF_STEP).is_file():
        return "orbax"
    if any((path / name).is_file() for name in _OF_ZARR):
        return "zarr"
    if not has_weights and (items_of(path) or steps_of(path)):
        return "orbax"
    return "zarr" if any((each / ".zarray").is_file() for each in _folders(path)) else "folder"


def is_checkpoint(path: Path) -> bool:
    """Whether there are arrays of Orbax in a folder, and not in one below it."""
    return any((path / name).is_file() for name in _OF_ORBAX)


def whole_of(path: Path) -> Path:
    """The checkpoint of which a folder is a part, of one process or with its numbers; others as they are."""
    if path.name == "d" and (path.parent / "manifest.ocdbt").is_file():
        return whole_of(path.parent)
    return path.parent if path.name.startswith(_OF_PROCESS) else path


def is_unfinished(path: Path) -> bool:
    """Whether Orbax was stopped while it wrote the folder."""
    return _UNFINISHED in path.name


def items_of(path: Path) -> dict[str, Path]:
    """The checkpoints that were saved together as one step, by their names."""
    found = {each.name: each for each in _folders(path) if is_checkpoint(each)}
    together = (path / _OF_STEP).is_file() or set(found) & {
        "default",
        "state",
        "params",
        "model",
    }
    return found if together or not all(_STEP.fullmatch(name) for name in found) else {}


def steps_of(path: Path) -> list[Path]:
    """The steps below a folder of Orbax's CheckpointManager, the last one first; none of a step itself."""
    if is_checkpoint(path) or items_of(path):
        return []
    numbered = [(int(match[1]), each) for each in _folders(path) if (match := _STEP.fullmatch(each.name))]
    found = [(number, each) for number, each in numbered if is_checkpoint(each) or items_of(each)]
    return [each for _, each in sorted(found, reverse=True)]


def _folders(path: Path) -> list[Path]:
    """Folders right below another that are whole."""
    try:
        with os.scandir(path) as entries:
            names = sorted(each.name for each in entries if each.is_dir(follow_symlinks=False))
    except OSError:
        return []
    return [
        path / name
        for name in names[:_MOST_ENTRIES]
        if _UNFINISHED not in name and not name.startswith(_OF_PROCESS)
    ]


def quoted(path: Path, instead: str = "FOLDER") -> str:
    """A path as a string of Python that may stand between a shell's double quotes, or a word in its place."""
    return repr(str(path)) if not re.search(r"[\"'$`\\!]", str(path)) else instead


def bytes_of(path: Path) -> int:
    """The bytes of a file, or of all files below a folder."""
    if not path.is_dir():
        return path.stat().st_size
    return sum((Path(folder) / name).lstat().st_size for folder, _, names in os.walk(path) for name in names)
