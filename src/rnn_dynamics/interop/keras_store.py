"""The HDF5 file of a model of Keras: its arrays by layer, as versions 1 to 3 lay them out. No link is followed."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from rnn_dynamics.interop.keras_registered import as_registered

_MOST_BYTES = 2**34
_MOST_NAMES = 10_000
_DENSEST = 1100  # bytes that one byte of gzip may stand for
_FILTERS = (None, "gzip", "lzf")
_MOST_GROUPS = 20_000
_MOST_HEAPS = 1000
_CELL = re.compile(r"(^|/)cell(/cells/[^/]+)?/vars$")
_PIECE = 2**19  # bytes that stay near the processor
_LAYER = re.compile(r"(?:^|/)(?:layers|_layer_checkpoint_dependencies)/([^/]+)")


def check_heaps(file: Any) -> None:
    """Refuse heaps of names whose sizes do not add up, and names longer than the file, before HDF5 reads them.

    HDF5 1.14 does not come back from every damaged file.

    Args:
        file: open for reading bytes, with a descriptor.

    Raises:
        ValueError: such a heap.
    """
    data = np.memmap(file, np.uint8, "r").view(np.ndarray)
    for count, place in enumerate(_places(data, b"GCOL")):
        size = _number(data, place + 8, 8)
        if place + size > len(data) or count >= _MOST_HEAPS:
            raise ValueError(f"path: a heap of names is damaged: {size} bytes at {place}")
        indices = _objects(data, place + 16, place + size)
        for pointer in _places(data, place.to_bytes(8, "little")):
            length, index = _number(data, pointer - 4, 4), _number(data, pointer + 8, 4)
            if length > len(data) and index in indices:
                raise ValueError(f"path: a name is damaged: it announces {length} bytes")


def _number(data: np.ndarray, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size].tobytes(), "little")


def _places(data: np.ndarray, pattern: bytes) -> Iterator[int]:
    """Where bytes occur behind the first four; their first four are compared at many places at once."""
    word = int.from_bytes(pattern[:4], "little")
    for begin in range(4, len(data) - 3, _PIECE):
        piece = data[begin : begin + _PIECE + 3]
        for shift in range(4):
            words = piece[shift : shift + (piece.size - shift) // 4 * 4].view("<u4")
            equal = words == word
            for place in np.flatnonzero(equal) if equal.any() else ():
                at = begin + shift + 4 * int(place)
                if data[at : at + len(pattern)].tobytes() == pattern:
                    yield at


def _objects(data: np.ndarray, at: int, end: int) -> set[int]:
    """The numbers of a heap's objects, each of which is where the one before it ends."""
    found = set()
    while at + 16 <= end:
        index, held = _number(data, at, 2), _number(data, at + 8, 8)
        step = 16 + (held + 7) // 8 * 8 if index else held
        if step < 16 or at + step > end:
            raise ValueError(f"path: a heap of names is damaged: {held} bytes at {at}, {end - at} are left")
        found.add(index)
        at += step
    return found


class Store:
    """An open file of Keras.

    Args:
        file: of h5py.
        size: of the file in bytes: what its parts may not exceed.
        config, metadata: of a .keras archive; else they are looked for in the file.
    """

    def __init__(self, file: Any, size: int, config: Any, metadata: Any) -> None:
        self._size = max(size, getattr(file.id, "get_filesize", lambda: size)())
        self._root = self._group(file, "model_weights") if "model_weights" in file else file
        self.is_by_layer = self._has(self._root, "layer_names")
        told = self._text(file, "model_config")
        try:
            self.config = as_registered(config if told is None else json.loads(told))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"path: model_config is no JSON: {error}") from error
        if self.config is not None and not isinstance(self.config, dict):
            raise ValueError(f"path: expected a model_config with a class, got {type(self.config).__name__}")
        version = (metadata or {}).get("keras_version") or self._text(file, "keras_version")
        version = version or self._text(self._root, "keras_version")
        if version is None and self.is_by_layer:
            version = "1"  # which wrote none at first
        self.passed: list[str] = []
        self.major = int(version[0]) if isinstance(version, str) and version[:1].isdigit() else None

    # --- what is in a group ----------------------------------------------------------------------------------

    def _has(self, group: Any, name: str) -> bool:
        return name in group.attrs or f"{name}0" in group.attrs

    def _attribute(self, group: Any, name: str) -> Any:
        import h5py

        found = group.attrs.get_id(name)
        space = math.prod(found.shape or ())
        stored = found.dtype.itemsize * space
        is_text = found.dtype.kind == "O"  # of any length, each of which may be the whole file
        if (
            is_text and h5py.check_string_dtype(found.dtype) is None
        ):  # HDF5 does not survive reading some of these
            raise ValueError(f"path: expected names in {name}, got {found.dtype}")
        most = _MOST_BYTES if is_text and space > 1 else math.inf
        if space > _MOST_NAMES or stored > self._size or space * self._size > most:
            raise ValueError(
                f"path: expected at most {_MOST_NAMES} names in {name}, got {space} of {stored} bytes"
            )
        return group.attrs[name]

    def _text(self, group: Any, name: str) -> str | None:
        if name not in group.attrs:
            return None
        value = self._attribute(group, name)
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.item()
        if isinstance(value, bytes | np.bytes_):
            return bytes(value).decode(errors="replace")
        return str(value) if isinstance(value, str) else None

    def _texts(self, group: Any, name: str) -> list[str]:
        """An attribute of names, which Keras cuts into name0, name1, … where it is long."""
        keys = [name] if name in group.attrs else []
        while f"{name}{len(keys)}" in group.attrs and name not in keys:
            keys.append(f"{name}{len(keys)}")
        found: list[Any] = []
        for key in keys:
            found += np.ravel(self._attribute(group, key)).tolist()
        if not all(isinstance(each, bytes | str) for each in found):
            raise ValueError(f"path: expected names in {name}, got numbers")
        return [each.decode(errors="replace") if isinstance(each, bytes) else each for each in found]

    def _group(self, group: Any, name: str) -> Any:
        """What lies at a path, step by step: a link that leads elsewhere is not followed.

        Raises:
            KeyError: nothing does.
            ValueError: a link.
        """
        import h5py

        for step in filter(None, name.split("/")):
            if not isinstance(group, h5py.Group):
                raise KeyError(f"no group at {name}")
            link = group.get(step, getlink=True)
            if link is not None and not isinstance(link, h5py.HardLink):
                raise ValueError(f"path: expected arrays in the file itself, got a link at {name:.80}")
            group = group[step]
        return group

    # --- arrays ----------------------------------------------------------------------------------------------

    def array(self, place: str) -> np.ndarray:
        """The array at a path, once what it announces is no more than what may be there.

        Raises:
            KeyError, OSError: there is none, it is damaged.
            ValueError: a link, another file's, sizes that do not fit the file.
        """
        import h5py

        found = self._group(self._root, place)
        if not isinstance(found, h5py.Dataset):
            raise KeyError(f"no array at {place}")
        if found.external or found.is_virtual:
            raise ValueError(
                f"path: expected arrays in the file itself, got one of another file at {place:.80}"
            )
        if found.dtype.kind != "f" or found.compression not in _FILTERS or found.shape is None:
            told = f"{found.dtype}, filter {found.compression}"
            raise ValueError(f"path: expected floating-point numbers at {place:.80}, got {told}")
        stored = min(found.id.get_storage_size(), self._size)
        most = stored * (_DENSEST if found.compression else 1)
        announced = math.prod(found.shape) * found.dtype.itemsize
        chunk = math.prod(found.chunks or (0,)) * found.dtype.itemsize
        if max(announced, chunk) > min(most, _MOST_BYTES):
            raise ValueError(
                f"path: {place:.80} announces {max(announced, chunk)} bytes, {stored} are in the file"
            )
        return np.asarray(found[()])

    def at(self, place: str) -> list[np.ndarray]:
        """The arrays of a group of Keras 3, in their order."""
        group = self._vars(place)
        count = min(len(group), 100)
        return [self.array(f"{self._name(group)}/{i}") for i in range(count) if str(i) in group]

    def _vars(self, place: str) -> Any:
        first = place.partition("/")[0]
        if first not in self._root:
            place = place.replace("layers/", "_layer_checkpoint_dependencies/")  # of TensorFlow 2.12
        try:
            return self._group(self._root, f"{place}/vars")
        except KeyError as error:
            raise ValueError(
                f"path: expected the weights of a layer at {place:.80}, which are missing"
            ) from error

    def _name(self, group: Any) -> str:
        return str(group.name).removeprefix(str(self._root.name)).strip("/")

    def of_layer(self, name: str, inner: str) -> list[str]:
        """The paths of a layer's arrays in their order; of a layer within it, of those that carry its name.

        Raises:
            ValueError: there are none.
        """
        try:
            group = self._group(self._root, name)
        except KeyError as error:
            raise ValueError(
                f"path: expected the weights of layer {name!r:.80}, which are missing"
            ) from error
        names = [each for each in self._texts(group, "weight_names") if not inner or inner in each.split("/")]
        if not names:
            raise ValueError(f"path: expected the weights of layer {name!r:.80}, got none")
        return [f"{name}/{each}" for each in names]

    # --- weights alone ---------------------------------------------------------------------------------------

    def networks(self) -> dict[tuple[str, str | None], list[str]]:
        """Layer and direction to the paths of the arrays, of what looks like a recurrent layer."""
        return dict(self._by_layer() if self.is_by_layer else self._by_place())

    def _by_layer(self) -> Iterator[tuple[tuple[str, str | None], list[str]]]:
        for layer in self._texts(self._root, "layer_names"):
            groups: dict[str, list[str]] = {}
            for path in self._texts(self._group(self._root, layer), "weight_names"):
                groups.setdefault(_stem(path), []).append(f"{layer}/{path}")
            recurrent = {stem: paths for stem, paths in groups.items() if _is_recurrent(paths)}
            for stem, paths in recurrent.items():
                way = _direction(stem)
                inner = stem.strip("/").rpartition("/")[2]
                alone = len(recurrent) == 1 or (way and len(recurrent) == 2)
                yield (layer if alone else f"{layer}/{inner}", way), paths

    def _by_place(self) -> Iterator[tuple[tuple[str, str | None], list[str]]]:
        import h5py

        open_groups, seen = [""], 0
        while open_groups:
            place = open_groups.pop()
            group = self._group(self._root, place)
            seen += 1
            if seen > _MOST_GROUPS or place.count("/") > 40:
                raise ValueError(f"path: expected at most {_MOST_GROUPS} groups, got more")
            for name in sorted(group, reverse=True):
                link = group.get(name, getlink=True)
                if isinstance(link, h5py.HardLink) and isinstance(group[name], h5py.Group):
                    open_groups.append(f"{place}/{name}".strip("/"))
            if _CELL.search(place) and {"0", "1"} <= set(group):
                if "3" in group or self._has_more(place):
                    self.passed.append(self._shown(place))
                    continue
                paths = [f"{place}/{i}" for i in range(3) if str(i) in group]
                way = _direction(place)
                yield (self._shown(place), way), paths

    def _has_more(self, place: str) -> bool:
        """Whether something in a cell has weights of its own, as a norm; seeds of dropout are none."""
        cell = self._group(self._root, place.removesuffix("/vars"))
        inner = [cell[name] for name in cell if name not in ("vars", "seed_generator")]
        return any(len(each["vars"]) for each in inner if "vars" in each)

    def _shown(self, place: str) -> str:
        """What the user calls the layer of a group: its own name where the file has it."""
        layer = re.sub(r"(/(forward|backward)_layer)?/cell(/cells/[^/]+)?/vars$", "", place)
        own = (
            self._text(self._group(self._root, f"{layer}/vars"), "name")
            if self._is_there(f"{layer}/vars")
            else None
        )
        inner = re.search(r"/cells/([^/]+)/vars$", place)
        shown = own or "/".join(_LAYER.findall(layer)) or layer
        return f"{shown}/{inner[1]}" if inner else shown

    def _is_there(self, place: str) -> bool:
        try:
            self._group(self._root, place)
        except KeyError:
            return False
        return True


def _stem(path: str) -> str:
    """What the arrays of one cell have in common: the group, or in Keras 1 the name before _W_i."""
    if re.search(r"_[WUb](_[a-z])?(:0)?$", path):
        return re.sub(r"_[WUb](_[a-z])?(:0)?$", "", path)
    return path.rpartition("/")[0]


def _is_recurrent(paths: list[str]) -> bool:
    ends = [re.sub(r"(:0|_\d+)+$", "", path.rpartition("/")[2]) for path in paths]
    return "recurrent_kernel" in ends or any(re.search(r"_U(_[a-z])?$", end) for end in ends)


def _direction(path: str) -> str | None:
    if re.search(r"(^|/)forward_", path):
        return "forward"
    return "reverse" if re.search(r"(^|/)backward_", path) else None
