"""Results on disk: arrays as .npy members of one .npz file, the rest as JSON, written whole or not at all.

A file is an uncompressed zip archive that ``numpy.load`` opens as well. Its members are one ``NAME.npy`` for
each array and ``manifest.json`` (schema, version, metadata, and for each array dtype, shape and SHA-256). Files of
version 1 have a checksum of the whole beside, which is not looked at any more.
"""

import errno
import hashlib
import io
import json
import math
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rnn_dynamics.numerics.files import atomic_write

_SCHEMA = "rnn_dynamics.arrays"
_VERSIONS = (1, 2)
_MANIFEST = "manifest.json"
_KINDS = "biufc"
_ARRAY_NAME = re.compile(r"\w+(\.\w+)*")
# What hostile bytes raise: RuntimeError takes in RecursionError (nested JSON), OSError a wild seek.
_FOREIGN = (
    *(zipfile.BadZipFile, struct.error, EOFError, RuntimeError),
    *(ValueError, KeyError, TypeError, OverflowError, OSError),
)


class StorageError(ValueError):
    """A file is not what this library wrote: foreign, cut short, damaged, or of another version."""


def save(path: str | os.PathLike[str], arrays: Mapping[str, Any], metadata: Mapping[str, Any]) -> Path:
    """Write named arrays and JSON metadata to one file, atomically and with checksums.

    Args:
        path: the file, ending in ``.npz``; its folder exists.
        arrays: name to array of booleans, integers, floats or complex numbers, any shape. Names are words of
            letters, digits and underscores, joined by dots.
        metadata: what JSON can hold, with strings as keys; NumPy scalars are converted, tuples become lists.

    Returns:
        The path.

    Raises:
        TypeError: an array has another dtype, or the metadata has no JSON form.
        ValueError: ``path`` has another ending, a name is not allowed, or the metadata holds nan or infinity.
        OSError: the folder is missing or not writable, or the disk is full; an old file is left as it was.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"path: expected a name ending in .npz, got {path.name!r}")
    host = {name: _host_array(name, value) for name, value in arrays.items()}
    about = json.loads(_metadata_text(metadata))
    return atomic_write(path, lambda file: _write(file, host, about))


def load(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a file of :func:`save`; nothing in it is unpickled.

    Args:
        path: the file.

    Returns:
        The arrays by name, in the order in which they were saved, and the metadata.

    Raises:
        StorageError: the file is foreign, cut short, damaged, of another version, or holds Python objects.
        TypeError: no path.
        OSError: the file is missing or cannot be read.
    """
    if not isinstance(path, str | bytes | os.PathLike):
        raise TypeError(f"path: expected the path of a file, got {path!r} ({type(path).__name__})")
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return _read(archive)
        except StorageError as error:
            raise StorageError(f"{os.fspath(path)}: {error}") from None
        except _FOREIGN as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            raise StorageError(
                f"{os.fspath(path)}: not a readable {_SCHEMA} file, or cut short ({error}); "
                "weights of a network are read by rd.interop.load"
            ) from error


def _read(archive: zipfile.ZipFile) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the metadata, checked against schema, version and the SHA-256 of each array."""
    if any(
        m.compress_type != zipfile.ZIP_STORED or m.file_size != m.compress_size for m in archive.infolist()
    ):
        raise StorageError("a member is compressed, and may unpack to any size")
    manifest = json.loads(archive.read(_MANIFEST))
    if not isinstance(manifest, dict) or manifest.get("schema") != _SCHEMA:
        raise StorageError(f"expected schema {_SCHEMA!r}, got another")
    if manifest.get("version") not in _VERSIONS:
        raise StorageError(f"expected version {_VERSIONS} of {_SCHEMA}, got {manifest.get('version')!r}")
    entries, metadata = manifest.get("arrays"), manifest.get("metadata")
    if not isinstance(entries, dict) or not isinstance(metadata, dict):
        raise StorageError("the manifest lacks its arrays or its metadata")
    if sorted(archive.namelist()) != sorted([_MANIFEST, *(f"{name}.npy" for name in entries)]):
        raise StorageError("the members are not those that the manifest lists")
    return {name: _array(archive, name, entry["sha256"]) for name, entry in entries.items()}, metadata


def _array(archive: zipfile.ZipFile, name: str, digest: str) -> np.ndarray:
    """One .npy member; its header's claims are held against the bytes before any memory is asked for."""
    content = bytearray(archive.read(f"{name}.npy"))
    if hashlib.sha256(content).hexdigest() != digest:
        raise StorageError(f"array {name!r} is damaged: its SHA-256 is not the one it was written with")
    stream = io.BytesIO(content)
    is_first = np.lib.format.read_magic(stream) == (1, 0)
    header = np.lib.format.read_array_header_1_0 if is_first else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(stream)
    if dtype.kind not in _KINDS:
        raise StorageError(f"array {name!r} has dtype {dtype}, which may run code or has no number in it")
    claimed, there = math.prod(shape) * dtype.itemsize, len(content) - stream.tell()
    if min(shape, default=0) < 0 or claimed != there:
        raise StorageError(f"array {name!r} claims {claimed} bytes, but {there} are there")
    return np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape, order="F" if fortran else "C")


def _write(file: BinaryIO, arrays: Mapping[str, np.ndarray], metadata: dict[str, Any]) -> None:
    """Arrays and manifest; the dates in the archive are fixed, so that the same content gives the same bytes."""
    entries = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            content = buffer.getbuffer()
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content)
            digest = hashlib.sha256(content).hexdigest()
            entries[name] = {"dtype": array.dtype.str, "shape": list(array.shape), "sha256": digest}
        manifest = {"schema": _SCHEMA, "version": _VERSIONS[-1], "arrays": entries, "metadata": metadata}
        archive.writestr(zipfile.ZipInfo(_MANIFEST), json.dumps(manifest, indent=1))


def _host_array(name: str, value: Any) -> np.ndarray:
    """Return a NumPy array of a dtype that .npy holds without pickle, under a name that a member can have."""
    if not isinstance(name, str):
        raise TypeError(f"arrays: expected strings as names, got {type(name).__name__}")
    if len(name) > 200 or _ARRAY_NAME.fullmatch(name) is None:
        raise ValueError(f"arrays: expected words of letters, digits and '_', got {name[:220]!a}")
    array = np.asarray(value)
    if array.dtype.kind not in _KINDS:
        raise TypeError(f"arrays[{name!r}]: expected numbers or booleans, got dtype {array.dtype}")
    return array


def _metadata_text(metadata: Mapping[str, Any]) -> str:
    """Return the metadata as JSON, and raise where JSON would change them in silence."""
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata: expected a mapping, got {type(metadata).__name__}")
    try:
        _check_keys(metadata)
        return json.dumps(dict(metadata), allow_nan=False, default=_plain)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"metadata: expected finite numbers, without cycles ({error})") from None


def _check_keys(value: Any) -> None:
    """Refuse keys that are no strings: JSON would turn them into strings."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"metadata: expected strings as keys, got {type(key).__name__} {key!r}")
            _check_keys(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_keys(item)


def _plain(value: Any) -> Any:
    """Convert a NumPy scalar for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"metadata: expected what JSON can hold, got {type(value).__name__}")
