"""Whether files and folders of a command can be written, looked at before hours of work; and its picture."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnn_dynamics.cli.arguments import Problems
from rnn_dynamics.cli.program import FAILED

if TYPE_CHECKING:
    from rnn_dynamics.numerics.results import Result

PICTURES = (".png", ".svg", ".pdf")


def check_file(
    problems: Problems, option: str, path: str | None, endings: tuple[str, ...], also: tuple[str, ...] = ()
) -> Path | None:
    """A file that can be written at the end; every reason why it cannot is noted."""
    if path is None:
        return None
    found = Path(path)
    if found.suffix not in endings + also:
        problems.add(f"{option}: expected a name ending in {', '.join(endings)}, got {path}")
    if found.is_dir():
        problems.add(f"{option}: expected a file, got the folder {found}")
    elif not found.parent.is_dir():
        problems.add(f"{option}: no such folder: {found.parent}")
    elif not os.access(found if found.exists() else found.parent, os.W_OK):
        problems.add(f"{option}: cannot write to {found}: permission denied")
    return found


def check_folder(problems: Problems, option: str, path: str, code: int = FAILED) -> bool:
    """Whether a folder is there or can be made, and files in it; the reason why not is noted."""
    folder = Path(path)
    above = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
    if above.is_symlink() and not above.exists():
        reason = "a link that leads nowhere"
    elif not above.is_dir():
        reason = "a file of that name exists" if above == folder else "not a folder"
    elif not os.access(above, os.W_OK | os.X_OK):
        reason = "permission denied"
    else:
        return True
    problems.add(f"{option}: cannot write to {folder}: {reason} ({above})", code)
    return False


def save_picture(found: "Result", path: str | None) -> None:
    """The result's whole figure in a file, where one was asked for.

    Raises:
        OSError: the file cannot be written.
    """
    if path is not None:
        from rnn_dynamics.plots import style

        with style():  # sizes as of the figures; text in it stays text
            figure: Any = found.plot().figure
            figure.savefig(path, bbox_inches="tight", dpi=150)
