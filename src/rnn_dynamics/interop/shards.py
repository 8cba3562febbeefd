"""Weights cut into several files, with an index beside them that says which file holds which array."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rnn_dynamics.interop.names import prefixes
from rnn_dynamics.interop.stored import Refused

_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.\w+$")
_MOST_FILES, _MOST_BYTES = 10_000, 2**27


def files_of(index: Mapping[str, Any], folder: Path) -> dict[str, list[str]]:
    """The names of arrays by the file that holds them, all of them in the index's own folder.

    Raises:
        Refused: no index, a path that leads elsewhere, a file that is missing.
    """
    told = index.get("weight_map")
    if not isinstance(told, Mapping) or not told or not all(isinstance(each, str) for each in told.values()):
        raise Refused(
            "expected weights or the index of several safetensors files, got one without names and files under "
            "weight_map"
        )
    found: dict[str, list[str]] = {}
    for name, file in told.items():
        found.setdefault(file, []).append(name)
    if len(found) > _MOST_FILES:
        raise Refused(f"expected at most {_MOST_FILES} files, got {len(found)}")
    for file in found:
        if Path(file).name != file or file in ("", ".", ".."):
            raise Refused(f"expected files in the folder of the index, got {file[:60]!r}")
        if not (folder / file).is_file():
            raise Refused(f"expected {file[:60]} beside the index, which names it, got no such file")
    return found


def read_index(
    index: Mapping[str, Any], folder: Path, read: Callable[[Path], Mapping[str, Any]]
) -> dict[str, Any]:
    """The arrays of all files of an index.

    Args:
        index: its content.
        folder: where it lies.
        read: what reads one of the files.

    Raises:
        Refused: as ``files_of``; arrays that are not in the file that the index names.
    """
    found: dict[str, Any] = {}
    for file, names in files_of(index, folder).items():
        held = read(folder / file)
        if not isinstance(held, Mapping):
            raise Refused(f"expected arrays by name in {file[:60]}, got {type(held).__name__}")
        missing = next((name for name in names if name not in held), None)
        if missing is not None:
            raise Refused(f"expected {missing[:60]} in {file[:60]}, as the index says, got a file without it")
        found |= {name: held[name] for name in names}
    return found


def said_of_shard(path: Path, prefix: str, own: frozenset[str]) -> str:
    """What to say of a network in one of several files; "" where all of it lies in this one."""
    match = _SHARD.search(path.name)
    if match is None or int(match[2]) < 2:
        return ""
    words = f"the file is one of {int(match[2])}"
    start = path.name[: match.start()]
    index = next(
        (each for each in sorted(path.parent.glob("*.index.json")) if each.name.startswith(start)), None
    )
    if index is None or index.stat().st_size > _MOST_BYTES:
        return (
            f"{words}, and weights of its network may lie in the others: give the index of all (.index.json)"
        )
    try:
        told = json.loads(index.read_bytes())["weight_map"]
        apart = [name for name, file in told.items() if file != path.name and name.startswith(prefix)]
        others = [name for name in apart if prefixes([name])]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        others = [""]
    if not others or all(name in own for name in others):
        return ""
    others = [name for name in others if name not in own]
    return (
        f"{words}, and others hold {others[0] or 'more'}: rd.interop.load({str(index)!r}) reads all together"
    )
