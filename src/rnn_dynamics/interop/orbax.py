"""Checkpoints of Orbax and folders of Zarr as nested mappings of arrays; no package of theirs is needed."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from rnn_dynamics.interop import ocdbt, zarr_arrays
from rnn_dynamics.interop.folders import (
    Folder,
    is_checkpoint,
    is_unfinished,
    items_of,
    quoted,
    steps_of,
    whole_of,
)
from rnn_dynamics.interop.stored import Refused, Stored

_METADATA = "_METADATA"
_LONGEST_METADATA = 2**26
_SHOWN, _LONGEST_LIST = 4, 450
_ENDS = (f"/{zarr_arrays.V2}", f"/{zarr_arrays.V3}")
_ARRAYS = ("jax.Array", "np.ndarray", "scalar")


class _Told(NamedTuple):
    """What a checkpoint says of itself.

    Attributes:
        names: of its arrays.
        is_whole: whether all of their chunks are kept.
        is_tree: whether they are the values of an OCDBT.
    """

    names: frozenset[str]
    is_whole: bool
    is_tree: bool


class _Values:
    """The values of an OCDBT as bytes by key."""

    def __init__(self, folder: Folder, inside: str) -> None:
        self._folder, self.values = folder, ocdbt.read_values(folder, inside)
        self.spend = folder.spend

    def size(self, name: str) -> int | None:
        """The bytes of a value, ``None`` where there is none of that key."""
        return self.values[name].length if name in self.values else None

    def read(self, name: str) -> bytes:
        """The bytes of a value."""
        return ocdbt.value_of(self._folder, self.values[name])


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The arrays of a checkpoint by their names, with dots between those of mappings in one another.

    Where several things were saved as one step, each is a mapping of its own.

    Raises:
        ImportError: a package that its compression needs is not installed.
        Refused: several steps, one that was not finished, or what is damaged.
        Exception: of any kind, where it is damaged.
    """
    if is_unfinished(path):
        raise Refused(
            "expected a checkpoint that is whole, got one that Orbax was writing when it was stopped"
        )
    if (whole := whole_of(path)) != path:
        raise Refused(
            f"expected the whole, got what one process wrote of it; rd.interop.load({str(whole)!r}) reads it"
        )
    steps = steps_of(path)
    if steps:
        return read_checkpoint(_only(steps))
    items = {} if is_checkpoint(path) else items_of(path)
    if not items and not is_checkpoint(path):
        raise Refused("expected arrays in it, got other things alone, as JsonSave keeps them")
    folder = Folder(path)
    try:
        found = {name: _arrays(folder, name) for name in items} or {"": _arrays(folder, "")}
    except zarr_arrays.Coded as error:
        raise Refused(
            f"{error}; rd.interop.load reads it once it is one file: python -c "
            "\"import flax.serialization as s, orbax.checkpoint as o; open('weights.msgpack', 'wb').write("
            f's.to_bytes(o.PyTreeCheckpointer().restore({quoted(path.absolute() / min(items, default=""))})))"'
        ) from error
    return dict(next(iter(found.values()))) if len(found) == 1 else dict(found)


def read_zarr(path: Path) -> dict[str, Stored]:
    """The arrays of a group of Zarr by their names, with dots between those of groups; one array is "array".

    Raises:
        ImportError: a package that its compression needs is not installed.
        Refused: what is not read, or damaged.
        Exception: of any kind, where it is damaged.
    """
    folder = Folder(path)
    try:
        return {
            name.replace("/", ".") or "array": zarr_arrays.array_of(folder, name or path.name, key)
            for name, key in _described(folder, "").items()
        }
    except zarr_arrays.Coded as error:
        raise Refused(
            f"{error}; rd.interop.load reads it once it is one file: python -c "
            f"\"import numpy as n, pathlib, zarr; p = pathlib.Path({quoted(path)}); n.savez('weights.npz', **"
            "{'.'.join(f.parent.relative_to(p).parts): zarr.open(f.parent, mode='r')[...] for f in "
            "p.rglob('*zarr*') if f.name == '.zarray' or 'data_type' in open(f).read()})\""
        ) from error


def _only(steps: list[Path]) -> Path:
    """The one step that there is.

    Raises:
        Refused: there are several; the message has the call that reads each.
    """
    if len(steps) == 1:
        return steps[0]
    shown = min(_SHOWN, max(1, _LONGEST_LIST // (len(str(steps[0])) + 20)))
    calls = [f"rd.interop.load({str(each)!r})" for each in steps[:shown]]
    more = f"; and {len(steps) - shown} before" if len(steps) > shown else ""
    raise Refused(f"expected one step, got {len(steps)}, the last one first: {'; '.join(calls)}{more}")


def _arrays(folder: Folder, inside: str) -> dict[str, Stored]:
    """The arrays of one checkpoint, in a folder below another or in itself."""
    start = f"{inside}/" if inside else ""
    told = _told(folder, start + _METADATA)
    if told.is_tree or folder.size(start + ocdbt.MANIFEST) is not None:
        source: zarr_arrays.Source = _Values(folder, inside)
        keys = {key.rpartition("/")[0]: key for key in source.values if f"/{key}".endswith(_ENDS)}
    else:
        source, keys = folder, _described(folder, inside)
    if missing := sorted(told.names - set(keys)):
        raise Refused(
            f"expected {len(told.names)} arrays that {_METADATA} names, got none of {missing[0][:60]!r}: "
            "it is not whole"
        )
    return {
        name or "array": zarr_arrays.array_of(source, name or "array", key, is_whole=told.is_whole)
        for name, key in keys.items()
    }


def _told(folder: Folder, name: str) -> _Told:
    """What a checkpoint says of itself; nothing where it says nothing."""
    size = folder.size(name)
    if size is None:
        return _Told(frozenset(), False, False)
    if size > _LONGEST_METADATA:
        raise Refused(f"expected at most {_LONGEST_METADATA} bytes in {name!r}, got {size}")
    told = json.loads(folder.read(name))
    entries = told.get("tree_metadata", {}).values()
    names = (
        ".".join(str(key["key"]) for key in each["key_metadata"])
        for each in entries
        if each["value_metadata"]["value_type"] in _ARRAYS and not each["value_metadata"]["skip_deserialize"]
    )
    is_whole, is_tree = (
        told.get(each) is True for each in ("store_array_data_equal_to_fill_value", "use_ocdbt")
    )
    return _Told(frozenset(names), is_whole, is_tree)


def _described(folder: Folder, inside: str) -> dict[str, str]:
    """The arrays of Zarr below a folder, by their names there, and what describes each."""

    found: dict[str, str] = {}

    def is_array(place: str, names: set[str]) -> bool:
        start = f"{place}/" if place else ""
        ends = [end for end in (zarr_arrays.V3, zarr_arrays.V2) if end in names]
        keys = [start + end for end in ends if zarr_arrays.is_array(folder, start + end)]
        if keys:
            found[place.removeprefix(inside).lstrip("/")] = keys[0]
        return bool(keys)

    for _ in folder.below(inside, is_array):
        pass
    return dict(sorted(found.items()))
