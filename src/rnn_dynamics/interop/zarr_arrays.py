"""Arrays of Zarr 2 and 3 in any store of bytes by key, as TensorStore and zarr write them, read chunk by chunk."""

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from rnn_dynamics.interop.compressed import Bytes, check_crc32c, inflated
from rnn_dynamics.interop.stored import MOST_BYTES, Refused, Stored, from_bytes, item_size, product, shape_of

V2, V3 = ".zarray", "zarr.json"
_LONGEST_HEADER = 2**20
_MOST_CHUNKS = 100_000
_NONE = 2**64 - 1  # the place of a chunk that a shard does not hold
_INFLATED = ("zstd", "gzip", "zlib")
_READ = "bytes, zstd, gzip, crc32c and sharding_indexed"


class Coded(Refused):
    """An array is coded in a way that is not read."""


class Source(Protocol):
    """Bytes by key."""

    def size(self, name: str) -> int | None:
        """The number of bytes; ``None`` of a key that is not there."""
        ...

    def read(self, name: str) -> bytes:
        """The bytes."""
        ...

    def spend(self, count: int) -> None:
        """Count bytes that are about to be held, and refuse too many."""
        ...


class _Chunks(NamedTuple):
    """How one array is cut and coded.

    Attributes:
        shape, chunk: of the array and of a chunk.
        dtype: NumPy's name, or "bfloat16".
        order: of bytes.
        is_fortran: whether the first axis runs fastest.
        fill: what a chunk that is not there is made of; ``None`` where that is an error.
        codecs: from bytes to bytes, in the order of writing.
        inner: of a shard the chunks inside; ``None`` where there are none.
        placed: of a shard whether its index has a checksum, and whether it stands at the beginning.
    """

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: str
    order: Any
    is_fortran: bool
    fill: Any
    codecs: tuple[str, ...]
    inner: "_Chunks | None" = None
    placed: tuple[bool, bool] = (True, False)

    @property
    def bytes(self) -> int:
        """The bytes of a chunk's numbers."""
        return product(self.chunk) * item_size(self.dtype)

    @property
    def longest(self) -> int:
        """The bytes that a chunk may have as it is stored, the index of a shard included."""
        return self.bytes + self.bytes // 32 + 2**16 + 16 * (product(self.inner.grid()) if self.inner else 0)

    def grid(self) -> tuple[int, ...]:
        """The number of chunks along each axis."""
        return tuple(-(-length // max(part, 1)) for length, part in zip(self.shape, self.chunk, strict=True))


def array_of(source: Source, name: str, key: str, *, is_whole: bool = False) -> Stored:
    """An array of Zarr.

    Args:
        source: of its bytes.
        name: of the array, for messages.
        key: of what describes it, which ends in ``.zarray`` or ``zarr.json``.
        is_whole: whether each chunk must be there; else one that is not has the array's fill value.

    Raises:
        Refused: it is described as none that is read, or as far too large.
    """
    described = _json(source, key)
    chunks, at = _version_3(described, name) if key.endswith(V3) else _version_2(described, name)
    if is_whole:
        chunks = chunks._replace(fill=None)
    if product(chunks.shape) * item_size(chunks.dtype) > MOST_BYTES or chunks.bytes > MOST_BYTES:
        raise Refused(
            f"expected at most 16 GiB in {name[:60]!r}, got shape {chunks.shape} and chunks of {chunks.chunk}"
        )
    if product(chunks.grid()) > _MOST_CHUNKS:
        raise Refused(
            f"expected at most {_MOST_CHUNKS} chunks of {name[:60]!r}, got {product(chunks.grid())}"
        )
    base = key[: -len(V3 if key.endswith(V3) else V2)]

    def content(index: tuple[int, ...]) -> Bytes | None:
        place = base + at(index)
        length = source.size(place)
        if length is not None and length > chunks.longest:
            raise Refused(
                f"expected at most {chunks.bytes} bytes in {place[:80]!r}, got {length}: it is damaged"
            )
        return None if length is None else source.read(place)

    def read() -> np.ndarray:
        if chunks.dtype != "bfloat16" and not _is_known(chunks.dtype):
            raise Refused(f"expected dtypes that NumPy has, got {chunks.dtype[:40]} of {name[:60]!r}")
        source.spend(product(chunks.shape) * (4 if chunks.dtype == "bfloat16" else item_size(chunks.dtype)))
        return _assembled(chunks, content, name, source.spend)

    return Stored(chunks.shape, chunks.dtype, read)


def is_array(source: Source, key: str) -> bool:
    """Whether a file describes an array, and no group as one of Zarr 3 may."""
    return key.endswith(V2) or _json(source, key).get("node_type") == "array"


def _json(source: Source, key: str) -> dict[str, Any]:
    size = source.size(key)
    if size is None or size > _LONGEST_HEADER:
        raise Refused(f"expected at most {_LONGEST_HEADER} bytes in {key[:80]!r}, got {size}")
    described = json.loads(source.read(key))
    if not isinstance(described, dict):
        raise Refused(f"expected the description of an array in {key[:80]!r}, got {str(described)[:40]}")
    return described


def _assembled(
    chunks: _Chunks,
    content: Callable[[tuple[int, ...]], Bytes | None],
    name: str,
    spend: Callable[[int], None],
) -> np.ndarray:
    """The numbers of an array or of a shard from its chunks."""
    grid = chunks.grid()
    whole: np.ndarray | None = None
    kind = np.dtype("float32" if chunks.dtype == "bfloat16" else chunks.dtype)
    for index in itertools.product(*map(range, grid)):
        coded = content(index)
        if coded is None and chunks.fill is None:
            raise Refused(f"expected chunk {index} of {name[:60]!r}, which is missing: it is not whole")
        spend(chunks.bytes)
        part = (
            np.broadcast_to(np.asarray(chunks.fill, kind), chunks.chunk)
            if coded is None
            else _decoded(chunks, coded, name, spend)
        )
        if chunks.chunk == chunks.shape:
            return part if coded is not None else part.copy()
        whole = np.empty(chunks.shape, kind) if whole is None else whole
        begins = [each * step for each, step in zip(index, chunks.chunk, strict=True)]
        place = tuple(slice(a, a + step) for a, step in zip(begins, chunks.chunk, strict=True))
        ends = tuple(slice(0, max(length - a, 0)) for a, length in zip(begins, chunks.shape, strict=True))
        whole[place] = part[ends]
    return np.empty(chunks.shape, kind) if whole is None else whole


def _decoded(chunks: _Chunks, coded: Bytes, name: str, spend: Callable[[int], None]) -> np.ndarray:
    """The numbers of a chunk."""
    size = None if chunks.inner else chunks.bytes
    for number, codec in reversed(list(enumerate(chunks.codecs))):
        if codec == "crc32c":
            check_crc32c(coded[:-4], coded[-4:], repr(name[:60]))
            coded = coded[:-4]
        else:
            coded = inflated(codec, coded, None if number else size, chunks.longest)
    if chunks.inner:
        return _of_shard(chunks, chunks.inner, coded, name, spend)
    if len(coded) != chunks.bytes:
        raise Refused(
            f"expected {chunks.bytes} bytes in a chunk of {name[:60]!r}, got {len(coded)}: it is damaged"
        )
    shape = tuple(reversed(chunks.chunk)) if chunks.is_fortran else chunks.chunk
    found = from_bytes(coded, chunks.dtype, shape, order=chunks.order)
    return found.T if chunks.is_fortran else found


def _of_shard(
    chunks: _Chunks, inner: _Chunks, coded: Bytes, name: str, spend: Callable[[int], None]
) -> np.ndarray:
    """The numbers of a shard: chunks in any order, and where each is."""
    grid = inner.grid()
    has_sum, is_before = chunks.placed
    length = 16 * product(grid) + 4 * has_sum
    if length > len(coded):
        raise Refused(f"expected the index of a shard of {name[:60]!r}, got fewer bytes: it is cut short")
    index = coded[:length] if is_before else coded[len(coded) - length :]
    if has_sum:
        check_crc32c(index[:-4], index[-4:], f"the index of a shard of {name[:60]!r}")
    places = np.frombuffer(index, "<u8", 2 * product(grid)).reshape(*grid, 2)

    def content(at: tuple[int, ...]) -> Bytes | None:
        begin, count = (int(each) for each in places[at])
        if begin == count == _NONE:
            return None
        if begin + count > len(coded):
            raise Refused(
                f"expected chunks inside a shard of {name[:60]!r}, got one beyond its end: it is damaged"
            )
        return coded[begin : begin + count]

    return _assembled(inner, content, name, spend)


def _version_2(described: dict[str, Any], name: str) -> tuple[_Chunks, Callable[[Sequence[int]], str]]:
    """How an array of version 2 is cut, and the key of a chunk."""
    shape, chunk = (shape_of(described[each], 2**62) for each in ("shape", "chunks"))
    compressor = described.get("compressor")
    codec = compressor["id"] if compressor else None
    if described.get("filters") or codec not in (None, *_INFLATED):
        raise Coded(_unread(name, codec or "filters"))
    dtype, order = _dtype_2(described["dtype"], name)
    separator = described.get("dimension_separator", ".")
    fill = 0 if described.get("fill_value") is None else described["fill_value"]
    chunks = _checked(
        shape, chunk, dtype, order, described.get("order") == "F", fill, (codec,) if codec else ()
    )
    return chunks, lambda index: separator.join(map(str, index)) or "0"


def _version_3(described: dict[str, Any], name: str) -> tuple[_Chunks, Callable[[Sequence[int]], str]]:
    """How an array of version 3 is cut, and the key of a chunk."""
    if described.get("node_type") != "array" or described["chunk_grid"]["name"] != "regular":
        raise Refused(
            f"expected an array of Zarr with a regular grid of chunks, got another in {name[:60]!r}"
        )
    shape = shape_of(described["shape"], 2**62)
    chunk = shape_of(described["chunk_grid"]["configuration"]["chunk_shape"], 2**62)
    encoding = described["chunk_key_encoding"]
    is_default = encoding["name"] == "default"
    separator = encoding.get("configuration", {}).get("separator", "/" if is_default else ".")
    chunks = _coded(
        shape, chunk, str(described["data_type"]), described.get("fill_value", 0), described["codecs"], name
    )

    def key(index: Sequence[int]) -> str:
        words = [*(["c"] if is_default else []), *map(str, index)]
        return separator.join(words) or "0"

    return chunks, key


def _coded(
    shape: tuple[int, ...],
    chunk: tuple[int, ...],
    dtype: str,
    fill: Any,
    codecs: list[dict[str, Any]],
    name: str,
) -> _Chunks:
    """Chunks by the codecs of version 3."""
    first, *others = ((each["name"], each.get("configuration", {})) for each in codecs)
    names = tuple(each for each, _ in others)
    if unread := [each for each in names if each not in ("zstd", "gzip", "crc32c")]:
        raise Coded(_unread(name, unread[0]))
    if first[0] == "bytes":
        order = ">" if first[1].get("endian") == "big" else "<"
        return _checked(shape, chunk, dtype, order, False, fill, names)
    if first[0] != "sharding_indexed":
        raise Coded(_unread(name, first[0]))
    told = first[1]
    part = shape_of(told["chunk_shape"], 2**62)
    if len(part) != len(chunk) or any(
        not small or large % small for small, large in zip(part, chunk, strict=True)
    ):
        raise Refused(f"expected chunks that fill a shard of {name[:60]!r}, got {part} in {chunk}")
    outer = _checked(shape, chunk, dtype, "<", False, fill, names)
    inner = _coded(chunk, part, dtype, fill, told["codecs"], name)
    if inner.inner or product(inner.grid()) > _MOST_CHUNKS:
        raise Refused(f"expected shards of at most {_MOST_CHUNKS} chunks, got others in {name[:60]!r}")
    if [each["name"] for each in told["index_codecs"]] not in (["bytes", "crc32c"], ["bytes"]):
        raise Coded(_unread(name, "an index of shards that is coded"))
    placed = len(told["index_codecs"]) == 2, told.get("index_location") == "start"
    return outer._replace(inner=inner, placed=placed)


def _checked(
    shape: tuple[int, ...],
    chunk: tuple[int, ...],
    dtype: str,
    order: str,
    is_fortran: bool,
    fill: Any,
    codecs: tuple[str, ...],
) -> _Chunks:
    if len(shape) != len(chunk) or 0 in chunk:
        raise Refused(f"expected a chunk along each axis of {shape}, got {chunk}: it is damaged")
    if not (dtype == "bfloat16" or _is_known(dtype) or dtype.isidentifier()):
        raise Refused(f"expected numbers, got the dtype {dtype[:40]!r}")
    if isinstance(fill, str):
        fill = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}.get(fill)
    return _Chunks(shape, chunk, dtype, order, is_fortran, fill, codecs)


def _is_known(dtype: str) -> bool:
    """Whether it is one of NumPy's own dtypes of numbers; others, of 8 bits and fewer, are listed and not read."""
    try:
        return np.dtype(dtype).kind in "biufc"
    except TypeError:
        return False


def _dtype_2(value: Any, name: str) -> tuple[str, str]:
    """NumPy's name of a dtype of version 2, and the order of its bytes."""
    if not isinstance(value, str):
        raise Refused(f"expected numbers in {name[:60]!r}, got the dtype {str(value)[:40]}")
    if value == "bfloat16":
        return value, "<"
    return (np.dtype(value).name if _is_known(value) else value), ">" if value.startswith(">") else "<"


def _unread(name: str, codec: str) -> str:
    return f"expected {name[:60]!r} coded by {_READ}, got {str(codec)[:40]!r}"
