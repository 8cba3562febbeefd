"""Pictures as bytes, and a set of files that appears in a folder whole or not at all."""

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rnn_dynamics.numerics.files import atomic_write, safe_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
# What would make two runs differ: the date.
_UNDATED = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}}


def rendered(figure: "Figure", *, format: str, dpi: float) -> bytes:
    """A figure as the bytes of a picture, the same for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=format, dpi=dpi, metadata=_UNDATED[format])
    return buffer.getvalue()


@contextlib.contextmanager
def staging(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder inside ``folder`` (made if need be), so that an unwritable one is known at once.

    It is removed at the end come what may, and ``folder`` too where it was made here and is still empty.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    folder = Path(folder)
    made = _make(folder)
    try:
        stage = Path(tempfile.mkdtemp(prefix=".reproduce-", suffix=".tmp", dir=folder))
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    finally:
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()


def _make(folder: Path) -> list[Path]:
    """Make the folder and its parents; return those that were not there, innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def target(folder: str | os.PathLike[str], name: str) -> Path:
    """Where a file of that name goes in a folder.

    Raises:
        ValueError: it is no safe file name, or a folder or link is in its place.
    """
    path = safe_path(folder, name)
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is in the way: it is no regular file")
    return path


def publish(stage: Path, folder: str | os.PathLike[str], files: Mapping[str, bytes]) -> list[Path]:
    """Write all files to the staging folder, synced, and only then rename each into ``folder``.

    A full disk is met while staging, when nothing in ``folder`` has changed; renaming takes no space.

    Raises:
        ValueError: a name that is no safe file name, or a folder in a file's place.
        OSError: the disk is full, or the folder cannot be written to.
    """
    targets = {name: target(folder, name) for name in files}
    for name, content in files.items():
        atomic_write(stage / name, content)
    for name, path in targets.items():
        os.replace(stage / name, path)
    return list(targets.values())
