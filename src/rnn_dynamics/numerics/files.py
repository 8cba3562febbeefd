"""Files written whole or not at all, under names that lead nowhere else."""

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_RESERVED = frozenset(
    ["CON", "PRN", "AUX", "NUL", *(f"{port}{digit}" for port in ("COM", "LPT") for digit in range(10))]
)


def safe_name(name: str) -> str:
    """Return ``name`` if it can serve as a file name on every system, and raise otherwise.

    Allowed are 1 to 100 ASCII letters, digits, ``.``, ``_`` and ``-``; the first no ``.`` or ``-``, the last
    no ``.``, and the part before the first dot no device name of Windows (``CON``, ``NUL``).

    Args:
        name: the name of a file, without a folder.

    Returns:
        The same name.

    Raises:
        TypeError: ``name`` is not a string.
        ValueError: ``name`` is outside the allow-list.
    """
    if not isinstance(name, str):
        raise TypeError(f"name: expected a string, got {type(name).__name__}")
    allowed = len(name) <= 100 and _FILE_NAME.fullmatch(name) is not None and not name.endswith(".")
    if not allowed or name.split(".")[0].upper() in _RESERVED:
        raise ValueError(
            "name: expected at most 100 letters, digits, '.', '_' or '-', starting with a letter, digit or "
            f"underscore and no reserved device name, got {name[:120]!a}"
        )
    return name


def safe_path(folder: str | os.PathLike[str], name: str) -> Path:
    """Return the path of ``name`` inside ``folder``, and raise where it would lead anywhere else.

    Args:
        folder: the folder; it need not exist yet.
        name: the name of a file, see :func:`safe_name`.

    Returns:
        The resolved path.

    Raises:
        TypeError: ``name`` is not a string.
        ValueError: ``name`` is outside the allow-list, or is a symbolic link.
    """
    expected = Path(folder).resolve() / safe_name(name)
    if expected.resolve() != expected:
        raise ValueError(f"name: expected a file inside {expected.parent}, got the link {name!r}")
    return expected


def atomic_write(path: str | os.PathLike[str], content: bytes | str | Callable[[BinaryIO], object]) -> Path:
    """Write a file so that its path holds the old content or the new at every moment, come what may.

    The content goes to a temporary file in the same folder, is flushed and synced to the disk, and is renamed
    over ``path``; the folder is synced last. A failure removes the temporary file and leaves the old one as
    it was; a process that is killed can leave a hidden ``.*.tmp`` file behind, which may be deleted.

    Args:
        path: the file to write; its folder exists. A symbolic link is replaced, not followed.
        content: bytes, text (written as UTF-8), or a function that writes to the binary file it is given.

    Returns:
        The path.

    Raises:
        TypeError: ``content`` is none of these.
        ValueError: ``path`` exists and is no regular file.
        OSError: the folder is missing or not writable, or the disk is full.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"path: expected a regular file or a new name, got {str(path)!r}")
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(path.parent))
    if isinstance(content, str):
        content = content.encode()
    if not callable(content) and not isinstance(content, bytes):
        raise TypeError(f"content: expected bytes, str or a function, got {type(content).__name__}")
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    with _open_new(temporary) as file:
        try:
            if callable(content):
                content(file)
            else:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                file.close()  # flushes, and may fail for the same reason
            temporary.unlink(missing_ok=True)
            raise
    try:
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return path


def _open_new(path: Path) -> BinaryIO:
    """Open a new file for reading and writing, with the permissions that the user's umask gives."""
    return open(path, "x+b")


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading, and no pipe, which would be waited for, or device, which might never end.

    Raises:
        OSError: there is none, or it cannot be read, or is no regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def sync_folder(folder: Path) -> None:
    """Make a rename inside the folder durable, where the system can sync a folder."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
