"""OCDBT, the B+tree of files in which TensorStore keeps values by key: its newest version, read as data.

The format is the one that TensorStore documents for its key-value store ``ocdbt``: a manifest that names the root
of each version, nodes that are compressed and have a CRC-32C, and values in the leaves or in files beside them.
"""

import struct
from typing import NamedTuple

from rnn_dynamics.interop.compressed import check_crc32c, inflated
from rnn_dynamics.interop.folders import Folder
from rnn_dynamics.interop.stored import Refused

MANIFEST = "manifest.ocdbt"
_OF_MANIFEST, _OF_NODE = 0x0CDB3A2A, 0x0CDB20DE
_LONGEST_NODE = 2**27
_MOST_KEYS, _MOST_NODES, _LONGEST_NAME = 200_000, 20_000, 65_535
_SINGLE, _NUMBERED = 0, 1


class Value(NamedTuple):
    """A value: the bytes themselves, or where in which file they are."""

    content: bytes | None
    file: str
    offset: int
    length: int


class _Reference(NamedTuple):
    base: str
    file: str
    offset: int
    length: int


def read_values(folder: Folder, inside: str = "") -> dict[str, Value]:
    """The values of the newest version by their keys.

    Args:
        folder: whose files are read.
        inside: the folder in it that has the manifest; "" for itself.

    Raises:
        ImportError: a package that is needed is not installed.
        Refused: it is damaged, has a tree that is none, or more keys than there is reason for.
    """
    start = f"{inside}/" if inside else ""
    root, height = _root(folder, start)
    found: dict[str, Value] = {}
    if root is None:
        return found
    waiting, visited = [(root, height, b"")], 0
    while waiting:
        place, height, prefix = waiting.pop()
        visited += 1
        reader = _opened(folder, place, start)
        if reader.byte() != height:
            raise Refused(
                f"expected a node of height {height} in {place.file[:80]!r}, got another: it is damaged"
            )
        files = _files(reader, place.base)
        count = reader.count()
        if not count or len(found) + count > _MOST_KEYS or visited > _MOST_NODES:
            raise Refused(f"expected nodes of 1 to {_MOST_KEYS} keys in all, got more, or an empty one")
        if height:
            keys, shared = reader.keys(count, is_inner=True)
            below = reader.references(count, files)
            waiting += [
                (each, height - 1, prefix + key[:part])
                for key, part, each in zip(keys, shared, below, strict=True)
            ]
            continue
        keys, _ = reader.keys(count, is_inner=False)
        for key, value in zip(keys, reader.values(count, files), strict=True):
            name = (prefix + key).decode()
            if name in found:
                raise Refused(f"expected each key once, got {name[:60]!r} twice: the tree is none")
            if value.content is None:
                size = folder.size(start + value.file)
                if size is None or value.offset + value.length > size:
                    raise Refused(
                        f"expected {value.length} bytes of {name[:60]!r} in {value.file[:80]!r}, got "
                        f"{'no such file' if size is None else f'{size} bytes in all'}: the folder is not whole"
                    )
            found[name] = value._replace(file=start + value.file)
    return found


def value_of(folder: Folder, value: Value) -> bytes:
    """The bytes of a value.

    Raises:
        Refused: they are not there.
    """
    return value.content if value.content is not None else folder.read(value.file, value.offset, value.length)


def _root(folder: Folder, start: str) -> tuple[_Reference | None, int]:
    """Where the root of the newest version is, and its height."""
    name = start + MANIFEST
    reader = _body(folder.read(name), _OF_MANIFEST, name, folder)
    if _kind(reader) == _NUMBERED:
        _, names = next(folder.below(start[:-1], lambda _, __: True))
        numbers = filter(_is_numbered, names)
        name = start + max(numbers, default="manifest.0000000000000001")
        reader = _body(folder.read(name), _OF_MANIFEST, name, folder)
        if _kind(reader) != _SINGLE:
            raise Refused(f"expected versions in {name!r}, got none: it is damaged")
    files = _files(reader, "")
    count = reader.count()
    if not count:
        raise Refused(f"expected versions in {name!r}, got none: it is damaged")
    generations = reader.varints(count)
    heights = reader.take(count)
    roots = reader.references(count, files)
    last = max(range(count), key=generations.__getitem__)
    return (roots[last] if roots[last].length not in (0, 2**64 - 1) else None), heights[last]


def _is_numbered(name: str) -> bool:
    return name.startswith("manifest.") and len(name) == 25 and set(name[9:]) <= set("0123456789abcdef")


def _kind(reader: "_Reader") -> int:
    """Read the configuration, of which the kind of the manifest alone matters."""
    reader.take(16)
    kind = reader.byte()
    reader.varints(2)
    reader.byte()
    compression = reader.varint()
    if compression:
        reader.take(4)
    if kind not in (_SINGLE, _NUMBERED) or compression > 1:
        raise Refused(f"expected the configuration of OCDBT, got kinds {kind} and {compression}")
    return kind


def _opened(folder: Folder, place: _Reference, start: str) -> "_Reader":
    if place.length > _LONGEST_NODE:
        raise Refused(f"expected a node of at most {_LONGEST_NODE} bytes, got {place.length}: it is damaged")
    content = folder.read(start + place.file, place.offset, place.length)
    return _body(content, _OF_NODE, place.file, folder)


def _body(content: bytes, magic: int, name: str, folder: Folder) -> "_Reader":
    """What stands between the header and the checksum."""
    shown = name[:80]
    if len(content) < 18 or int.from_bytes(content[:4]) != magic:
        raise Refused(
            f"expected {magic:#010x} at the beginning of what {shown!r} holds, got another: it is damaged"
        )
    if struct.unpack_from("<Q", content, 4)[0] != len(content):
        raise Refused(
            f"expected {len(content)} bytes of {shown!r} announced, got another number: it is cut short"
        )
    check_crc32c(content[:-4], content[-4:], repr(shown))
    reader = _Reader(content[:-4], 12)
    version, compression = reader.varint(), reader.varint()
    if version or compression > 1:
        raise Refused(f"expected version 0 of OCDBT with compression 0 or 1, got {version}, {compression}")
    if not compression:
        return reader
    found = inflated("zstd", content[reader.at : -4], None, min(_LONGEST_NODE, folder.left))
    folder.spend(len(found))
    return _Reader(bytes(found), 0)


def _files(reader: "_Reader", base: str) -> list[tuple[str, str]]:
    """The table of data files: what precedes the names of files that a file itself refers to, and the name."""
    count = reader.count()
    prefixes = [0, *reader.varints(count - 1)] if count else []
    suffixes, bases = reader.varints(count), reader.varints(count)
    found, path = [], b""
    for prefix, suffix, own in zip(prefixes, suffixes, bases, strict=True):
        if prefix > len(path) or prefix + suffix > _LONGEST_NAME or own > prefix + suffix:
            raise Refused("expected a table of files, got lengths that do not fit: it is damaged")
        path = path[:prefix] + reader.take(suffix)
        found.append((base + path[:own].decode(), base + path.decode()))
    return found


class _Reader:
    def __init__(self, content: bytes, at: int) -> None:
        self.content, self.at = content, at

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > len(self.content) - self.at:
            raise Refused(f"expected {count} bytes in a node of OCDBT, got fewer: it is damaged")
        self.at += count
        return self.content[self.at - count : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        """The next number, seven bits a byte, the lowest first."""
        found = shift = 0
        while True:
            byte = self.byte()
            found |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift > 63:
                raise Refused("expected a number of at most 64 bits in a node of OCDBT, got a longer one")
        return found

    def varints(self, count: int) -> list[int]:
        return [self.varint() for _ in range(count)]

    def count(self) -> int:
        """A number of entries, of which each takes a byte at least."""
        found = self.varint()
        if found > len(self.content) - self.at:
            raise Refused(f"expected no more entries than bytes in a node, got {found}: it is damaged")
        return found

    def keys(self, count: int, *, is_inner: bool) -> tuple[list[bytes], list[int]]:
        """Keys, each as what it shares with the one before and the rest; of inner nodes what a subtree shares."""
        prefixes, suffixes = [0, *self.varints(count - 1)], self.varints(count)
        shared = self.varints(count) if is_inner else [0] * count
        found, key = [], b""
        for prefix, suffix, part in zip(prefixes, suffixes, shared, strict=True):
            if prefix > len(key) or prefix + suffix > _LONGEST_NAME or part > prefix + suffix:
                raise Refused("expected keys in a node of OCDBT, got lengths that do not fit: it is damaged")
            key = key[:prefix] + self.take(suffix)
            found.append(key)
        return found, shared

    def file(self, files: list[tuple[str, str]]) -> tuple[str, str]:
        index = self.varint()
        if index >= len(files):
            raise Refused(f"expected the number of one of {len(files)} files, got {index}: it is damaged")
        return files[index]

    def references(self, count: int, files: list[tuple[str, str]]) -> list[_Reference]:
        """Where nodes are; the numbers of keys and bytes below them are passed over."""
        numbers = self.varints(count)
        offsets, lengths = self.varints(count), self.varints(count)
        self.varints(3 * count)
        found = []
        for number, offset, length in zip(numbers, offsets, lengths, strict=True):
            if number >= len(files):
                raise Refused(
                    f"expected the number of one of {len(files)} files, got {number}: it is damaged"
                )
            found.append(_Reference(*files[number], offset, length))
        return found

    def values(self, count: int, files: list[tuple[str, str]]) -> list[Value]:
        """Values of a leaf."""
        lengths, kinds = self.varints(count), self.take(count)
        if max(kinds) > 1:
            raise Refused(
                f"expected values inside or outside of a node, got kind {max(kinds)}: it is damaged"
            )
        places = [self.file(files)[1] if kind else "" for kind in kinds]
        offsets = [self.varint() if kind else 0 for kind in kinds]
        return [
            Value(None if kind else self.take(length), place, offset, length)
            for kind, place, offset, length in zip(kinds, places, offsets, lengths, strict=True)
        ]
