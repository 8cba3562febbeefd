"""Stores are made whole or not at all, and opened only where every word in them is one that was written."""

import json
import math
import os
import re
import secrets
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.numerics.grid import Grid
from rnn_dynamics.numerics.storage import StorageError
from rnn_dynamics.numerics.stored import chunks
from rnn_dynamics.numerics.stored.blocks import Blocks
from rnn_dynamics.numerics.stored.identity import difference
from rnn_dynamics.numerics.stored.store import (
    DONE,
    GROUP,
    KEY,
    KINDS,
    Part,
    Store,
    digest,
    small_file,
    zarr_package,
)

_FORMAT, _VERSION = "rnn_dynamics.sweep", 1
_NAME = re.compile(r"[A-Za-z_0-9]+(\.[A-Za-z_0-9]+)*")


def create(
    path: str | os.PathLike[str],
    grid: Grid,
    parts: Mapping[str, Part],
    box_points: int,
    about: Mapping[str, Any],
) -> Store:
    """A new store, of which nothing is computed.

    It is made beside ``path`` and moved there: there is a whole one or none.

    Args:
        path: a folder that is not there yet.
        grid: the points.
        parts: the values.
        box_points: points of a block, at most.
        about: ``identity``, ``metadata`` and what else the manifest holds.

    Raises:
        ValueError: a name that cannot be a folder's.
        FileExistsError: there is something.
        ImportError: zarr is not installed.
    """
    path = Path(path)
    if not is_free(path):
        raise FileExistsError(f"{path}: there is something already")
    blocks = Blocks.of(grid.shape, box_points, len(grid.labels))
    for name in (*grid.axes, *parts):
        if _NAME.fullmatch(name) is None or len(name) > 100 or name == DONE:
            raise ValueError(
                f"function: expected names of words for a store, and not {DONE!r}, got {name[:80]!a}"
            )
    beside = path.parent / f".{path.name}.{os.getpid()}.new"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        _make(beside, grid, parts, blocks, about)
        os.rename(beside, path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return opened(path)


def is_free(path: Path) -> bool:
    """Whether a store can be made there: there is nothing, or an empty folder."""
    return not os.path.lexists(path) or (path.is_dir() and not path.is_symlink() and not any(path.iterdir()))


def _make(
    path: Path,
    grid: Grid,
    parts: Mapping[str, Part],
    blocks: Blocks,
    about: Mapping[str, Any],
) -> None:
    axes = grid.axes
    zarr = zarr_package()
    from zarr.codecs import BytesCodec, Crc32cCodec

    group = zarr.create_group(path, zarr_format=3)
    plain: dict[str, Any] = {"filters": None, "serializer": BytesCodec(), "compressors": [Crc32cCodec()]}
    for name, points in axes.items():
        look = {
            "shape": points.shape,
            "chunks": points.shape,
            "dtype": points.dtype,
            "dimension_names": [name],
            "attributes": {"labels": list(grid.labels[name])} if name in grid.labels else {},
        }
        group.create_array(name, fill_value=chunks.fill_of(points.dtype), **look, **plain)[:] = points
        # Zarr leaves out a chunk of fill values.
        chunks.write(path / name / "c" / "0", chunks.encoded(points, points.shape))
    for name, part in {**parts, DONE: Part(np.dtype(bool), ())}.items():
        inner = [f"{name}_{i}" for i in range(len(part.shape))]
        look = {
            "shape": (*blocks.shape, *part.shape),
            "chunks": (*blocks.box, *part.shape),
            "dtype": part.dtype,
        }
        fill = chunks.fill_of(part.dtype)
        group.create_array(name, fill_value=fill, dimension_names=[*axes, *inner], **look, **plain)
    files = {f"{name}/{GROUP}": digest(small_file(path / name / GROUP)) for name in (*axes, *parts, DONE)}
    manifest: dict[str, Any] = {"format": _FORMAT, "version": _VERSION, "made": secrets.token_hex(8), **about}
    manifest["axes"] = [
        {"name": name, "length": len(points), "dtype": points.dtype.str, "digest": digest(points.tobytes())}
        for name, points in axes.items()
    ]
    manifest["values"] = [
        {"name": name, "dtype": part.dtype.str, "shape": list(part.shape)} for name, part in parts.items()
    ]
    manifest |= {"box": list(blocks.box), "files": files}
    group.attrs[KEY] = manifest | {"digest": _seal(manifest)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that version 3 of the format has no word on it yet
        zarr.consolidate_metadata(path, zarr_format=3)


def opened(path: str | os.PathLike[str]) -> Store:
    """The store of a folder; nothing but its manifest is read.

    Raises:
        StorageError: it is foreign, damaged, or of another version; the message names the path.
        OSError: there is none, or it cannot be read.
    """
    path = Path(path)
    if path.is_dir() and not (path / GROUP).exists():
        raise StorageError(f"{path}: not a store of a sweep")
    try:
        group = json.loads(small_file(path / GROUP))
        manifest = group["attributes"][KEY]
        seal = manifest.pop("digest")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise StorageError(f"{path}: not a store of a sweep, or damaged") from None
    if manifest.get("format") != _FORMAT or manifest.get("version") != _VERSION:
        said = f"{manifest.get('format')!r} {manifest.get('version')!r}"
        raise StorageError(f"{path}: expected format {_FORMAT!r} {_VERSION}, got {said[:80]}")
    if _seal(manifest) != seal:
        raise StorageError(f"{path}: damaged: the manifest is not the one that was written")
    try:
        found = _store(path, manifest)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StorageError(f"{path}: the manifest makes no sense ({error})") from None
    _check_descriptions(found, group)
    return found


def _store(path: Path, manifest: dict[str, Any]) -> Store:
    shape = tuple(int(axis["length"]) for axis in manifest["axes"])
    blocks = Blocks(shape, tuple(int(length) for length in manifest["box"]))
    parts = {
        value["name"]: Part(np.dtype(value["dtype"]), tuple(int(length) for length in value["shape"]))
        for value in manifest["values"]
    }
    names = [*(axis["name"] for axis in manifest["axes"]), *parts]
    sizes = [*shape, *blocks.box, *(length for part in parts.values() for length in part.shape)]
    fits = len(blocks.box) == len(shape) > 0 and all(b <= n for b, n in zip(blocks.box, shape, strict=True))
    if not fits or min(sizes) < 0 or min(*shape, *blocks.box) < 1 or math.prod(shape) >= 2**32:
        raise ValueError("lengths that no sweep has")
    if any(_NAME.fullmatch(name) is None or name == DONE for name in names) or len(set(names)) != len(names):
        raise ValueError("names that no sweep has")
    if any(part.dtype.kind not in KINDS for part in parts.values()):
        raise ValueError("a dtype that has no numbers, and may run code")
    if not all(
        isinstance(manifest[name], kind)
        for name, kind in (("metadata", dict), ("identity", dict), ("made", str))
    ):
        raise ValueError("no metadata")
    return Store(path, manifest, blocks, parts)


def _check_descriptions(store: Store, group: dict[str, Any]) -> None:
    """Hold what Zarr reads, of each array and in the group's own copy, against what was written."""
    described = {}
    for name in (*(axis["name"] for axis in store.manifest["axes"]), *store.parts, DONE):
        path = store.path / name / GROUP
        try:
            content = small_file(path)
        except OSError as error:
            raise StorageError(f"{path}: damaged: {error.strerror}") from None
        if digest(content) != store.manifest["files"].get(f"{name}/{GROUP}"):
            raise StorageError(f"{path}: damaged: not the description of the array that was written")
        described[name] = json.loads(content)
    together = group.pop("consolidated_metadata", None)
    others = {name: value for name, value in group.items() if name != "attributes"}
    copied = together.get("metadata") if isinstance(together, dict) else None
    if (
        copied != described
        or others != {"zarr_format": 3, "node_type": "group"}
        or len(group["attributes"]) != 1
    ):
        raise StorageError(
            f"{store.path / GROUP}: damaged: not the description of the group that was written"
        )


def check_same(store: Store, identity: dict[str, str], parts: Mapping[str, Part]) -> None:
    """Refuse a store of something else.

    Raises:
        StorageError: what differs.
    """
    said = difference(store.manifest["identity"], identity)
    if said is None and dict(parts) != store.parts:
        said = "the results have other names, shapes or dtypes"
    if said is not None:
        raise StorageError(f"{store.path}: holds another sweep: {said}; give it another folder")


def _seal(manifest: Mapping[str, Any]) -> str:
    return digest(json.dumps(manifest, sort_keys=True).encode())
