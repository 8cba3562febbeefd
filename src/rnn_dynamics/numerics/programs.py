"""Compiled programs kept in a folder of the user's: what has been compiled once is read back by later processes."""

import contextlib
import os
import stat
import sys
from pathlib import Path
from typing import Any, NamedTuple

#: Names another folder, or is ``off``.
VARIABLE = "RNN_DYNAMICS_PROGRAMS"
_OFF = ("off", "0", "no", "false")
# What JAX calls its files: a program, and when it was last used.
_ENDINGS = ("-cache", "-atime")


class KeptPrograms(NamedTuple):
    """A folder of compiled programs.

    Attributes:
        folder: where they are.
        number: how many there are.
        megabytes: their size in all.
    """

    folder: Path
    number: int
    megabytes: float

    def __repr__(self) -> str:
        return f"KeptPrograms({self.number} programs, {self.megabytes:.0f} MB in {self.folder})"


def default_folder() -> Path | None:
    """A folder for this library among the user's caches; ``None`` where the environment says off."""
    asked = os.environ.get(VARIABLE, "")
    if asked.lower() in _OFF:
        return None
    if asked:
        return Path(asked).expanduser()
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "rnn_dynamics" / "programs"


def _private(folder: Path) -> None:
    """Make the folder, for its owner alone: what is read back from it is run.

    Raises:
        PermissionError: another user owns it, or may write into it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not hasattr(os, "getuid"):
        return
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(
            f"folder: expected one that its owner alone may write into, as what is kept there is run, got {folder}"
        )


def _files(folder: Path) -> list[tuple[float, int, Path]]:
    """Time of last use, size and path of every program, the oldest first."""
    found = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):  # one that another process has just removed
                if entry.is_file(follow_symlinks=False) and entry.name.endswith(_ENDINGS):
                    seen = entry.stat()
                    found.append((max(seen.st_atime, seen.st_mtime), seen.st_size, Path(entry.path)))
    return sorted(found)


def cleared(folder: Path) -> KeptPrograms:
    """What was in a folder, whose programs are gone now."""
    before = kept(folder)
    for _, _, path in _files(folder):
        with contextlib.suppress(OSError):
            path.unlink()
    return before


def kept(folder: Path) -> KeptPrograms:
    """What is in a folder."""
    files = _files(folder)
    programs = sum(path.name.endswith(_ENDINGS[0]) for _, _, path in files)
    return KeptPrograms(folder, programs, sum(size for _, size, _ in files) / 2**20)


def shrunk(folder: Path, megabytes: float) -> None:
    """Remove the programs that were not used for longest until the rest takes at most so much."""
    files = _files(folder)
    left = sum(size for _, size, _ in files)
    for _, size, path in files:
        if left <= megabytes * 2**20:
            break
        with contextlib.suppress(OSError):
            path.unlink()
            left -= size


def keep_programs(folder: Any = None, *, megabytes: float = 1024) -> Path | None:
    """Keep compiled programs in a folder, and read back those that are there: a second session waits less.

    The library itself never does so; the command line does. Call it before the first computation. A folder that JAX
    has been given already (``jax_compilation_cache_dir``) stays as it is.

    Args:
        folder: where; by default a folder for this library among the user's caches, or the one that the environment
            variable ``RNN_DYNAMICS_PROGRAMS`` names; ``off`` there keeps nothing.
        megabytes: the size that is not exceeded at the beginning; what was not used for longest goes first.

    Returns:
        The folder; ``None`` where it is off.

    Raises:
        TypeError, ValueError: ``folder`` is no path; ``megabytes`` is not a number > 0.
        OSError: the folder cannot be made, or others may write into it.

    Programs that call back into Python are never kept, nor are those of another version, device or processor used.
    """
    import jax

    from rnn_dynamics.numerics.validation import positive

    most = positive("megabytes", megabytes)
    if not (folder is None or isinstance(folder, str | os.PathLike)):
        raise TypeError(f"folder: expected a path, got {type(folder).__name__}")
    given = jax.config.values.get("jax_compilation_cache_dir")
    if folder is None and given:
        return Path(given)
    place = default_folder() if folder is None else Path(folder).expanduser()
    if place is None:
        return None
    _private(place)
    shrunk(place, most)
    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return place
