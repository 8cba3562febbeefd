"""Stores are made whole or not at all, and opened only where every word in them is one that was written."""

import contextlib
import errno
import glob
import json
import math
import os
import re
import secrets
import shutil
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.numerics.files import sync_folder
from rnn_dynamics.numerics.grid import Grid
from rnn_dynamics.numerics.storage import StorageError
from rnn_dynamics.numerics.stored import chunks
from rnn_dynamics.numerics.stored.blocks import Blocks
from rnn_dynamics.numerics.stored.identity import difference
from rnn_dynamics.numerics.stored.store import (
    DONE,
    FAILED,
    GROUP,
    KEY,
    KINDS,
    SMALLER,
    Part,
    Store,
    digest,
    small_file,
    zarr_package,
)
from rnn_dynamics.numerics.texts import printable

_FORMAT, _VERSION = "rnn_dynamics.sweep", 1
_NAME = re.compile(r"[A-Za-z_0-9]+(\.[A-Za-z_0-9]+)*")
_DTYPE = re.compile(rf"[<>|][{KINDS}][0-9]{{1,2}}")
_MOST_BLOCKS = 2**28  # a look at them takes a byte each
_LARGEST = 2**40  # bytes of a chunk
_DEEPEST = 30  # of metadata
_LEFT_BEHIND = 3600  # seconds, for what takes one


def create(
    path: str | os.PathLike[str],
    grid: Grid,
    parts: Mapping[str, Part],
    box_points: int,
    about: Mapping[str, Any],
) -> Store:
    """A new store, of which nothing is computed.

    It is made beside ``path``, synced and moved there: there is a whole one or none. Of several that are made at
    the same time one is moved there, and the others raise.

    Args:
        path: a folder that is not there yet.
        grid: the points.
        parts: the values.
        box_points: points of a block, at most.
        about: ``identity``, ``metadata`` and what else the manifest holds.

    Raises:
        ValueError: a name that cannot be a folder's, a dtype that is none of NumPy's, or too many blocks.
        FileExistsError: there is something.
        OSError: the disk is full or not writable; nothing is left there.
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
    for name, part in parts.items():
        if part.dtype.kind not in KINDS:
            raise ValueError(f"function: expected a dtype of NumPy for a store, got {part.dtype} of {name}")
    if len(blocks) > _MOST_BLOCKS:
        raise ValueError(
            f"chunk: expected at most {_MOST_BLOCKS} blocks in a store, got {len(blocks)}: give more"
        )
    _sweep_up(path)
    beside = path.parent / f".{path.name}.{secrets.token_hex(8)}.new"
    try:
        _make(beside, grid, parts, blocks, about)
        _sync(beside)
        _move(beside, path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    sync_folder(path.parent)
    return opened(path)


def _sweep_up(path: Path) -> None:
    """Remove what was left of stores whose making was killed."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 16}.new"):
        with contextlib.suppress(OSError):
            if left.lstat().st_mtime < time.time() - _LEFT_BEHIND:
                shutil.rmtree(left)


def _sync(folder: Path) -> None:
    """Sync every file and folder in a folder that nobody else writes."""
    for inner, _, files in os.walk(folder):
        for name in files:
            with open(Path(inner, name), "r+b") as file:
                os.fsync(file.fileno())
        sync_folder(Path(inner))


def _move(beside: Path, path: Path) -> None:
    """Rename a folder to a name that is free, or that of an empty folder.

    Raises:
        FileExistsError: it is not free any more.
    """
    try:
        os.rename(beside, path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        try:
            path.rmdir()  # empty, where folders are not renamed over such; it raises of any other
            os.rename(beside, path)
        except OSError:
            raise FileExistsError(errno.EEXIST, "there is something already", os.fspath(path)) from None


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
    plain: dict[str, Any] = {
        "filters": None,
        "serializer": BytesCodec(endian="little"),
        "compressors": [Crc32cCodec()],
    }
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
        chunks.write(path / name / "c" / "0", chunks.encoded(points, points.shape), path)
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
    if path.is_dir() and not os.path.lexists(path / GROUP):
        raise StorageError(f"{path}: not a store of a sweep")
    try:
        group = json.loads(small_file(path / GROUP))
        manifest = group["attributes"][KEY]
        seal, kind, version = manifest.pop("digest"), manifest["format"], manifest["version"]
        is_whole = _seal(manifest) == seal
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise StorageError(f"{path}: not a store of a sweep, or damaged") from None
    if kind != _FORMAT or version != _VERSION:
        said = printable(f"{kind!r} {version!r}", 80)
        raise StorageError(f"{path}: expected format {_FORMAT!r} {_VERSION}, got {said}")
    if not is_whole:
        raise StorageError(f"{path}: damaged: the manifest is not the one that was written")
    try:
        found = _store(path, manifest)
        _check_descriptions(found, group)
    except StorageError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        said = printable(str(error), 200)
        raise StorageError(f"{path}: the manifest makes no sense ({said})") from None
    return found


def _store(path: Path, manifest: dict[str, Any]) -> Store:
    shape = _lengths([axis["length"] for axis in manifest["axes"]])
    blocks = Blocks(shape, _lengths(manifest["box"]))
    parts = {
        value["name"]: Part(_dtype(value["dtype"]), _lengths(value["shape"])) for value in manifest["values"]
    }
    if any(
        len(str(axis["digest"])) != 64 or _dtype(axis["dtype"]).kind not in KINDS for axis in manifest["axes"]
    ):
        raise ValueError("axes that no sweep has")
    names = [*(axis["name"] for axis in manifest["axes"]), *parts]
    sizes = [*shape, *blocks.box, *(length for part in parts.values() for length in part.shape)]
    fits = len(blocks.box) == len(shape) > 0 and all(b <= n for b, n in zip(blocks.box, shape, strict=True))
    if not fits or min(sizes) < 0 or min(*shape, *blocks.box) < 1 or math.prod(shape) >= 2**32:
        raise ValueError("lengths that no sweep has")
    largest = max((math.prod(part.shape) * part.dtype.itemsize for part in parts.values()), default=0)
    if largest * blocks.points > _LARGEST or len(blocks) > _MOST_BLOCKS or not parts:
        raise ValueError("lengths that no sweep has")
    if any(_NAME.fullmatch(name) is None or name == DONE for name in names) or len(set(names)) != len(names):
        raise ValueError("names that no sweep has")
    if not all(
        isinstance(manifest[name], kind)
        for name, kind in (("metadata", dict), ("identity", dict), ("made", str))
    ):
        raise ValueError("no metadata")
    if len(manifest["made"]) != 16 or not all(
        isinstance(said, str) for said in manifest["identity"].values()
    ):
        raise ValueError("no words on what it is of")
    if not _is_flat(manifest, _DEEPEST):
        raise ValueError("metadata that nobody wrote")
    return Store(path, manifest, blocks, parts)


def _lengths(found: Any) -> tuple[int, ...]:
    """Integers and nothing that looks like some."""
    if not isinstance(found, list) or any(type(length) is not int for length in found):
        raise ValueError("lengths that are no integers")
    return tuple(found)


def _dtype(said: Any) -> np.dtype:
    if not isinstance(said, str) or _DTYPE.fullmatch(said) is None:
        raise ValueError("a dtype that has no numbers, and may run code")
    return np.dtype(said)


def _is_flat(value: Any, depth: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth > 0 and all(_is_flat(one, depth - 1) for one in inner)


def _check_descriptions(store: Store, group: dict[str, Any]) -> None:
    """Hold what Zarr reads, of each array and in the group's own copy, against what was written."""
    described = {}
    for name in (*(axis["name"] for axis in store.manifest["axes"]), *store.parts, DONE):
        path = store.path / name / GROUP
        try:
            content = small_file(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StorageError(f"{path}: damaged: {error.strerror}") from None
        if digest(content) != store.manifest["files"].get(f"{name}/{GROUP}"):
            raise StorageError(f"{path}: damaged: not the description of the array that was written")
        described[name] = json.loads(content)
    labels = store.metadata.get("labels", {})
    if not isinstance(labels, dict):
        raise StorageError(f"{store.path}: the manifest makes no sense (labels that no sweep has)")
    for name, (shape, chunk, dtype) in _arrays(store).items():
        if not _is_plain(described[name], shape, chunk, dtype, labels.get(name)):
            raise StorageError(f"{store.path / name}: not an array as a sweep has them")
        for link in (store.path / name, store.path / name / "c"):
            if link.is_symlink():
                raise StorageError(f"{link}: a link leads out of the store")
    for link in (store.path / DONE / FAILED, store.path / DONE / SMALLER):
        if link.is_symlink():
            raise StorageError(f"{link}: a link leads out of the store")
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


def _arrays(store: Store) -> dict[str, tuple[tuple[int, ...], tuple[int, ...], np.dtype]]:
    """Shape, shape of a chunk and dtype of every array of a store."""
    axes = {
        axis["name"]: ((length,), (length,), np.dtype(axis["dtype"]))
        for axis, length in zip(store.manifest["axes"], store.blocks.shape, strict=True)
    }
    parts = {
        name: ((*store.blocks.shape, *part.shape), (*store.blocks.box, *part.shape), part.dtype)
        for name, part in {**store.parts, DONE: Part(np.dtype(bool), ())}.items()
    }
    return {**axes, **parts}


def _is_plain(
    described: Any, shape: tuple[int, ...], chunk: tuple[int, ...], dtype: np.dtype, labels: Any
) -> bool:
    """Whether Zarr would read those numbers as they are: with these two codecs, from these files, and unscaled."""
    first, *others = described["codecs"]
    wanted = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    }
    return (
        all(described[name] == said for name, said in wanted.items())
        and (first["name"], first.get("configuration", {}).get("endian", "little")) == ("bytes", "little")
        and others == [{"name": "crc32c"}]
        and described.get("attributes", {}) in ({}, {"labels": labels})
        and not described.get("storage_transformers")
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
