"""Files of PyTorch: archives of torch.save and TorchScript, and the files before version 1.6. Nothing is run."""

import io
import struct
from pathlib import Path
from typing import IO, Any

import numpy as np

from rnn_dynamics.interop.archives import Archive
from rnn_dynamics.interop.opcodes import Machine
from rnn_dynamics.interop.rebuilt import Storage, storage_dtype
from rnn_dynamics.interop.stored import MOST_BYTES, Refused, from_bytes, item_size
from rnn_dynamics.numerics import memory

_MAGIC = 0x1950A86A20F9469CFC6C
#: How the pickle of that number begins, with which files before version 1.6 begin.
LEGACY = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
_MOST_PICKLED = 2**26


def _described(what: Any) -> tuple[str, str, int, Any]:
    """Key, dtype, count and view of a storage, by what a pickle says of it.

    Raises:
        Refused: it is no storage.
    """
    if not isinstance(what, tuple) or len(what) < 5 or what[0] != "storage":
        raise Refused(f"expected the numbers of tensors outside the pickle, got {str(what)[:60]}")
    dtype, key, count = storage_dtype(what[1]), str(what[2]), what[4]
    if (
        isinstance(count, bool)
        or not isinstance(count, int)
        or not 0 <= count * item_size(dtype) <= MOST_BYTES
    ):
        raise Refused(f"expected a storage of at most 16 GiB, got {str(count)[:30]} entries")
    return key, dtype, count, what[5] if len(what) > 5 else None


def read_archive(path: Path) -> Any:
    """What an archive of ``torch.save`` or TorchScript holds: nested mappings with arrays that are not read yet.

    Raises:
        Refused: calls, names or sizes that no file of weights has.
        Exception: of any kind, where the archive is damaged.
    """
    archive = Archive(path)
    (name, *others) = sorted(
        (name for name in archive.names if name.rpartition("/")[2] == "data.pkl"), key=len
    )
    del others  # a program's constants and the like are further down
    root = name.removesuffix("data.pkl")
    order = ">" if archive.has(f"{root}byteorder") and archive.read(f"{root}byteorder") == b"big" else "<"

    def storage(what: Any) -> Storage:
        key, dtype, count, _ = _described(what)
        member = f"{root}data/{key}" if archive.has(f"{root}data/{key}") else f"{root}tensors/{key}"
        if archive.size(member) < count * item_size(dtype):
            raise Refused(
                f"expected {count * item_size(dtype)} bytes in {member}, got {archive.size(member)}: cut short"
            )
        return Storage(
            dtype, count, lambda kind, n: from_bytes(archive.numbers(member), kind, (n,), order=order)
        )

    return Machine(storage).value(io.BytesIO(archive.read(name, most=_MOST_PICKLED)))


def read_legacy(path: Path) -> Any:
    """What a file of ``torch.save`` before version 1.6 holds; as ``read_archive``."""
    places: dict[str, tuple[str, int]] = {}
    at: dict[str, int] = {}

    def storage(what: Any) -> Any:
        if isinstance(what, tuple) and len(what) == 4 and what[0] == "module":
            return what[1]  # a class by its name, with the text of its program
        key, dtype, count, view = _described(what)
        places.setdefault(key, (dtype, count))
        first = 0
        if view is not None:
            first, count = int(view[1]), int(view[2])
            if first < 0 or count < 0 or first + count > places[key][1]:
                raise Refused("expected a view inside its storage, got one beyond")
        begin = first * item_size(dtype)

        def read(kind: str, n: int) -> np.ndarray:
            with path.open("rb") as file:
                file.seek(at[key] + begin)
                return from_bytes(memory.read(file, n * item_size(kind)), kind, (n,))

        return Storage(dtype, count, read)

    with path.open("rb") as file:
        if Machine(storage).value(file) != _MAGIC:
            raise Refused("expected PyTorch's number at the file's beginning, got another one")
        version, system = Machine(storage).value(file), Machine(storage).value(file)
        if version != 1001 or not isinstance(system, dict) or system.get("little_endian") is not True:
            raise Refused(f"expected PyTorch's version 1001, little endian, got {str(version)[:20]}")
        value = Machine(storage).value(file)
        keys = Machine(storage).value(file)
        _find(file, path.stat().st_size, keys, places, at)
    return value


def _find(
    file: IO[bytes], size: int, keys: Any, places: dict[str, tuple[str, int]], at: dict[str, int]
) -> None:
    """Note where the numbers of each storage begin: one follows another, each after its count."""
    if not isinstance(keys, list) or set(map(str, keys)) < set(places):
        raise Refused("expected the keys of all storages, got others: the file is damaged")
    for key in map(str, keys):
        head = file.read(8)
        if len(head) < 8 or key not in places:
            raise Refused("expected the numbers of all storages, got too few: the file is cut short")
        dtype, count = places[key]
        if struct.unpack("<q", head)[0] != count:
            raise Refused(
                f"expected {count} numbers, got {struct.unpack('<q', head)[0]}: the file is damaged"
            )
        at[key] = file.tell()
        file.seek(count * item_size(dtype), 1)
        if file.tell() > size:
            raise Refused("expected the numbers of all storages, got too few: the file is cut short")


def read_pickle(path: Path) -> Any:
    """What a bare pickle holds, with arrays of NumPy in it; as ``read_archive``."""

    def outside(what: Any) -> Storage:
        raise Refused(
            f"expected a pickle that is whole, got one with numbers outside of it: {str(what)[:60]}"
        )

    with path.open("rb") as file:
        return Machine(outside).value(file)
