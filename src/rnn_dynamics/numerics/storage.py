"""Results on disk: arrays as .npy members of one .npz file, the rest as JSON, written whole or not at all.

A file is an uncompressed zip archive that ``numpy.load`` opens as well. Its members are one ``NAME.npy`` for
each array and ``manifest.json`` (schema, version, metadata, and for each array dtype, shape and SHA-256); its
archive comment is the SHA-256 of all bytes before it, so that a flipped bit is noticed wherever it falls.
Nothing is pickled, and nothing in a file is believed before it has been checked against the bytes there.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

__all__ = ["StorageError", "atomic_write", "load", "safe_name", "safe_path", "save"]

_SCHEMA = "rnn_dynamics.arrays"
_VERSION = 1
_MANIFEST = "manifest.json"
_MANIFEST_LIMIT = 64 * 2**20
_SEAL = b"sha256:"
_SEAL_LENGTH = len(_SEAL) + 64
_KINDS = "biufc"
_BLOCK = 2**20
_ARRAY_NAME = re.compile(r"\w+(\.\w+)*")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_RESERVED = frozenset(
    ["CON", "PRN", "AUX", "NUL", *(f"{port}{digit}" for port in ("COM", "LPT") for digit in range(10))]
)
# What hostile bytes raise: RuntimeError takes in RecursionError (nested JSON), OSError a wild seek.
_FOREIGN = (
    *(zipfile.BadZipFile, struct.error, EOFError, RuntimeError),
    *(ValueError, KeyError, TypeError, OverflowError, OSError),
)


class StorageError(ValueError):
    """A file is not what this library wrote: foreign, cut short, damaged, or of another version."""


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
    _sync_folder(path.parent)
    return path


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
    text = _metadata_text(metadata)
    return atomic_write(path, lambda file: _write_archive(file, host, text))


def load(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a file of :func:`save`, and believe nothing in it unchecked.

    The file's checksum is verified first, then schema and version, then each array's declared size against
    the size that is there (before any memory is asked for), and its own checksum.

    Args:
        path: the file.

    Returns:
        The arrays by name, in the order in which they were saved, and the metadata.

    Raises:
        StorageError: the file is foreign, cut short, damaged, of another version, or holds Python objects.
        OSError: the file is missing or cannot be read.
    """
    with open(path, "rb") as file:
        try:
            _check_seal(file)
            return _read_archive(file)
        except StorageError as error:
            raise StorageError(f"{os.fspath(path)}: {error}") from None
        except _FOREIGN as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            raise StorageError(f"{os.fspath(path)}: not a readable {_SCHEMA} file ({error})") from error


def _open_new(path: Path) -> BinaryIO:
    """Open a new file for reading and writing, with the permissions that the user's umask gives."""
    return open(path, "x+b")


def _sync_folder(folder: Path) -> None:
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


class _HashingWriter:
    """A writer that hashes what passes through it, so that an array is traversed once."""

    def __init__(self, stream: Any):
        self.stream = stream
        self.digest = hashlib.sha256()

    def write(self, block: Any) -> int:
        self.digest.update(block)
        return self.stream.write(block)


def _write_archive(file: BinaryIO, arrays: Mapping[str, np.ndarray], metadata_text: str) -> None:
    """Write arrays, manifest and seal; zip dates are fixed, so that the same content gives the same bytes."""
    entries = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                writer = _HashingWriter(member)
                np.lib.format.write_array(writer, array, allow_pickle=False)
            digest = writer.digest.hexdigest()
            entries[name] = {"dtype": array.dtype.str, "shape": list(array.shape), "sha256": digest}
        metadata = json.loads(metadata_text)
        manifest = {"schema": _SCHEMA, "version": _VERSION, "arrays": entries, "metadata": metadata}
        archive.writestr(zipfile.ZipInfo(_MANIFEST), json.dumps(manifest, indent=1))
        archive.comment = _SEAL + b"0" * 64
    end = file.seek(0, os.SEEK_END) - _SEAL_LENGTH
    seal = _file_digest(file, end)
    file.seek(end)
    file.write(_SEAL + seal.encode())


def _file_digest(file: BinaryIO, length: int) -> str:
    """SHA-256 of the first ``length`` bytes, in blocks of constant memory."""
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(min(_BLOCK, length)):
        digest.update(block)
        length -= len(block)
    return digest.hexdigest()


def _check_seal(file: BinaryIO) -> None:
    """Refuse a file whose last bytes are not the checksum of all others."""
    end = file.seek(0, os.SEEK_END) - _SEAL_LENGTH
    file.seek(max(end, 0))
    seal = file.read()
    if end < 0 or not seal.startswith(_SEAL):
        raise StorageError(f"not a {_SCHEMA} file, or cut short")
    if seal != _SEAL + _file_digest(file, end).encode():
        raise StorageError("damaged: the SHA-256 of the file is not the one it was written with")


def _read_archive(file: BinaryIO) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read manifest and arrays of a file whose seal holds, but whose author may still be a stranger."""
    size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        _check_members(archive.infolist(), size)
        if _MANIFEST not in members or members[_MANIFEST].file_size > _MANIFEST_LIMIT:
            raise StorageError(f"no {_MANIFEST} of at most {_MANIFEST_LIMIT} bytes in it")
        manifest = json.loads(archive.read(_MANIFEST))
        entries, metadata = _check_manifest(manifest)
        if members.keys() != {f"{name}.npy" for name in entries} | {_MANIFEST}:
            raise StorageError("the members are not those that the manifest lists")
        arrays = {
            name: _read_array(archive, members[f"{name}.npy"], name, entry) for name, entry in entries.items()
        }
    return arrays, metadata


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse compressed members (they can claim any size), doubles, and more bytes than there are."""
    plain = [m for m in members if m.compress_type == zipfile.ZIP_STORED and m.compress_size == m.file_size]
    if len({member.filename for member in plain}) != len(members):
        raise StorageError("a member is compressed or named twice")
    claimed = sum(member.file_size for member in members)
    if claimed > size:
        raise StorageError(f"its members claim {claimed} bytes, but the file has {size}")


def _check_manifest(manifest: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays' entries and the metadata of a manifest of this schema and version."""
    if not isinstance(manifest, dict) or manifest.get("schema") != _SCHEMA:
        raise StorageError(f"expected schema {_SCHEMA!r}, got another")
    if manifest.get("version") != _VERSION:
        raise StorageError(f"expected version {_VERSION} of {_SCHEMA}, got {manifest.get('version')!r}")
    entries, metadata = manifest.get("arrays"), manifest.get("metadata")
    if not isinstance(entries, dict) or not isinstance(metadata, dict):
        raise StorageError("the manifest lacks its arrays or its metadata")
    return entries, metadata


def _read_array(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, entry: dict[str, Any]
) -> np.ndarray:
    """Read one .npy member, its declared size checked against the member's before memory is asked for."""
    with archive.open(member) as stream:
        shape, fortran, dtype = _npy_header(stream, name)
        start = stream.tell()
    if dtype.hasobject or dtype.kind not in _KINDS:
        raise StorageError(f"array {name!r} has dtype {dtype}, which may run code or has no number in it")
    if entry["dtype"] != dtype.str or entry["shape"] != list(shape):
        raise StorageError(f"array {name!r} is {dtype}{list(shape)}, the manifest says otherwise")
    claimed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or claimed != member.file_size - start:
        raise StorageError(f"array {name!r} claims {claimed} bytes, but {member.file_size - start} are there")
    content = bytearray(member.file_size)
    with archive.open(member) as stream:
        digest = _fill(content, stream)
    if digest != entry["sha256"]:
        raise StorageError(f"array {name!r} is damaged: its SHA-256 is not the one it was written with")
    flat = np.frombuffer(content, dtype=dtype, offset=start)
    return flat.reshape(shape, order="F" if fortran else "C")


def _fill(content: bytearray, stream: Any) -> str:
    """Read a member into memory that is already there, in blocks, and return its SHA-256."""
    digest = hashlib.sha256()
    view = memoryview(content)
    for start in range(0, len(content), _BLOCK):
        part = view[start : start + _BLOCK]
        if stream.readinto(part) != len(part):
            raise StorageError("cut short inside a member")
        digest.update(part)
    return digest.hexdigest()


def _npy_header(stream: Any, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and dtype that a .npy header declares; at most 10 000 characters of it are parsed."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream)
    raise StorageError(f"array {name!r} has .npy version {version}, expected (1, 0) or (2, 0)")


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
