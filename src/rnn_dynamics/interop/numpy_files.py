"""Files of safetensors and NumPy: what their headers tell, and the numbers of one array when they are asked for."""

import itertools
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.interop.archives import Archive
from rnn_dynamics.interop.stored import (
    MOST_BYTES,
    Part,
    Refused,
    Stored,
    from_bytes,
    item_size,
    product,
    shape_of,
)
from rnn_dynamics.numerics import memory

_DTYPES = {
    "F32": "float32",
    "F64": "float64",
    "F16": "float16",
    "BF16": "bfloat16",
    "BOOL": "bool",
    **{
        f"{kind}{bits}": f"{word}{bits}"
        for kind, word in (("I", "int"), ("U", "uint"))
        for bits in (8, 16, 32, 64)
    },
}
_LONGEST_HEADER = 10**8  # as the format itself has it


def read_safetensors_file(path: Path) -> dict[str, Stored]:
    """The arrays of a safetensors file.

    Raises:
        Refused: it is cut short, or its header and its size do not fit.
        Exception: of any kind, where its header is damaged.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        if length + 8 > size or length > _LONGEST_HEADER:
            raise Refused(f"it is cut short: a header of {length} bytes is announced, {size} are there")
        described: dict[str, Any] = json.loads(file.read(length).decode())
    described.pop("__metadata__", None)
    ends = [entry["data_offsets"][1] for entry in described.values()]
    if max(itertools.chain(ends, [0])) + 8 + length > size:
        raise Refused("it is cut short: arrays are announced that would end behind the file")
    return {str(name): _tensor(path, name, entry, 8 + length) for name, entry in described.items()}


def _tensor(path: Path, name: str, entry: Any, base: int) -> Stored:
    begin, end = (int(each) for each in entry["data_offsets"])
    dtype = _DTYPES.get(entry["dtype"], str(entry["dtype"]))
    shape = shape_of(entry["shape"], max(end - begin, 0) * 8)
    if (
        begin < 0
        or end < begin
        or (entry["dtype"] in _DTYPES and end - begin != product(shape) * item_size(dtype))
    ):
        raise Refused(
            f"expected {name[:60]!r} of shape {shape} in as many bytes, got {end - begin}: it is damaged"
        )

    def read() -> np.ndarray:
        with path.open("rb") as file:
            file.seek(base + begin)
            return from_bytes(memory.read(file, end - begin), dtype, shape)

    return Stored(shape, dtype, read)


def read_archive(path: Path) -> dict[str, Stored | Part]:
    """The arrays of a NumPy archive (.npz); what is no array in it is left out.

    Raises:
        Refused: sizes that do not fit, or that no such file has.
        Exception: of any kind, where it is damaged.
    """
    archive = Archive(path)
    found: dict[str, Stored | Part] = {}
    for name in archive.names:
        if name.endswith(".npy"):
            with archive.opened(name) as member:
                found[name.removesuffix(".npy")] = _array(path, name, member, archive)
    announced = sum(each.bytes for each in found.values() if isinstance(each, Stored))
    if announced > MOST_BYTES:
        raise Refused(f"expected at most 16 GiB of arrays, got {announced / 2**30:.0f}")
    for name, each in found.items():
        if isinstance(each, Stored) and each.bytes > archive.size(f"{name}.npy"):
            raise Refused(f"expected {each.bytes} bytes of {name[:60]!r}, got fewer: the archive is damaged")
    return found


def read_single(path: Path) -> dict[str, Stored]:
    """The one array of a .npy file.

    Raises:
        Refused: Python's objects, or a size that does not fit.
        Exception: of any kind, where it is damaged.
    """
    with path.open("rb") as file:
        found = _array(path, path.name, file, None)
        end = file.tell() + (0 if isinstance(found, Part) else found.bytes)
        file.seek(min(end, path.stat().st_size))
        follows = file.read(6)
    if follows == b"\x93NUMPY":
        raise Refused(
            "expected one array, got several one after another, as equinox.tree_serialise_leaves writes them "
            "without names: equinox.tree_deserialise_leaves(path, cell) fills a cell, which "
            "rd.interop.from_equinox reads"
        )
    if isinstance(found, Part):
        raise Refused(
            "expected an array of numbers, got Python's objects, as np.save makes of a dictionary: write its "
            "arrays with np.savez('weights.npz', **weights), which rd.interop.load reads"
        )
    if found.bytes > path.stat().st_size:
        raise Refused(
            f"expected {found.bytes} bytes of numbers, got {path.stat().st_size}: the file is cut short"
        )
    return {"array": found}


def _array(path: Path, name: str, file: Any, archive: Archive | None) -> Stored | Part:
    """The array behind a header of NumPy's format."""
    shape, by_columns, dtype = _header(file)
    if dtype.hasobject:
        return Part(f"numpy.ndarray of Python objects in {name.removesuffix('.npy')!r}", {})

    def read() -> np.ndarray:
        with path.open("rb") if archive is None else archive.opened(name) as file:
            _header(file)
            content = memory.read(file, product(shape) * dtype.itemsize)
            file.read(1)  # behind a member's last byte its checksum is looked at
        order = ">" if dtype.byteorder == ">" else "<"
        found = from_bytes(content, str(dtype), shape[::-1] if by_columns else shape, order=order)
        return found.T if by_columns else found

    return Stored(tuple(shape), str(dtype), read)


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and dtype of the array that is at its beginning in a file."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)
