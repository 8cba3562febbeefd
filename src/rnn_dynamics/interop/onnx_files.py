"""ONNX models read field by field, without the package onnx, and the files of weights beside them."""

import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from rnn_dynamics.interop.onnx_graph import settings
from rnn_dynamics.interop.stored import Refused, Stored, from_bytes, item_size, product, shape_of

_KINDS = ("RNN", "GRU", "LSTM")
_PLACES = {"W": 1, "R": 2, "B": 3, "P": 7}
#: Of TensorProto: the data types that are shown, with the field for numbers that are not raw.
_DTYPES = {
    1: ("float32", 4),
    2: ("uint8", 5),
    3: ("int8", 5),
    6: ("int32", 5),
    7: ("int64", 7),
    9: ("bool", 5),
    10: ("float16", 5),
    11: ("float64", 10),
    16: ("bfloat16", 5),
}
_FLOAT, _HALF = 1, (10, 16)
_LONGEST_VARINT = 10


class Nodes:
    """The recurrent nodes of a model, which stand beside its arrays."""

    def __init__(self, found: list[dict[str, Any]]) -> None:
        self.found = found


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for i in range(_LONGEST_VARINT):
        byte = content[at + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, at + i + 1
    raise Refused("expected a number of at most ten bytes, got a longer one: the file is damaged")


def _fields(content: memoryview) -> Iterator[tuple[int, Any]]:
    """Number and value of each field: an integer, or the bytes of it."""
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(content, at)
            yield tag >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind, -1)
        if kind == 2:
            size, at = _varint(content, at)
        if size < 0 or size > len(content) - at:
            raise Refused(
                "expected a field that ends inside the model, got one beyond: the file is cut short"
            )
        yield tag >> 3, content[at : at + size]
        at += size


def _gathered(content: memoryview, names: dict[int, str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {name: [] for name in names.values()}
    for number, value in _fields(content):
        if number in names:
            found[names[number]].append(value)
    return found


def _text(values: list[Any]) -> str:
    return bytes(values[-1]).decode() if values and isinstance(values[-1], memoryview) else ""


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _integers(values: list[Any]) -> list[int]:
    """Integers that stand one by one or packed."""
    found: list[int] = []
    for value in values:
        if isinstance(value, int):
            found.append(_signed(value))
            continue
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            found.append(_signed(number))
    return found


class Tensor:
    """A tensor of the model, with the fields that ``onnx_graph`` reads; its numbers are read when asked for."""

    double_data: tuple[float, ...] = ()
    float_data: tuple[float, ...] = ()
    data_location = 0

    def __init__(self, content: memoryview, folder: Path) -> None:
        names = {1: "dims", 2: "type", 4: "float", 5: "int32", 7: "int64", 8: "name", 9: "raw", 10: "double"}
        found = _gathered(content, names | {13: "external", 14: "location"})
        self._found, self._folder = found, folder
        self.name, self.dims = _text(found["name"]), _integers(found["dims"])
        own = int(found["type"][-1]) if found["type"] else 0
        self.dtype = _DTYPES.get(own, (f"ONNX's data type {own}", 0))[0]
        self._field = {4: "float", 5: "int32", 7: "int64", 10: "double"}.get(_DTYPES.get(own, ("", 0))[1], "")
        self.is_half = own in _HALF
        self.data_type = _FLOAT if self.is_half else own
        self.is_external = bool(found["location"]) and found["location"][-1] == 1

    def array(self) -> np.ndarray:
        """The numbers.

        Raises:
            Refused: they are missing, in a file outside of the model's folder, or too few.
        """
        shape = shape_of(self.dims, 2**34)
        if self.is_external:
            return from_bytes(self._beside(product(shape) * item_size(self.dtype)), self.dtype, shape)
        if self._found["raw"]:
            return from_bytes(self._found["raw"][-1], self.dtype, shape)
        values = self._found[self._field] if self._field else []
        if self._field in ("float", "double"):
            return from_bytes(b"".join(bytes(each) for each in values), self.dtype, shape)
        numbers = np.array(_integers(values), np.int64)
        if self.is_half:
            return from_bytes(numbers.astype("<u2").tobytes(), self.dtype, shape)
        return from_bytes(numbers.astype(self.dtype).tobytes(), self.dtype, shape)

    @property
    def raw_data(self) -> bytes:
        """The numbers' bytes, those of half precision as float32."""
        array = self.array()
        return (array.astype("<f4") if self.is_half else array).tobytes()

    def _beside(self, size: int) -> bytes:
        """The bytes in the file of weights beside the model."""
        entries = {}
        for each in self._found["external"]:
            pair = _gathered(each, {1: "key", 2: "value"})
            entries[_text(pair["key"])] = _text(pair["value"])
        place, folder = entries.get("location", ""), self._folder.resolve()
        path = (folder / place).resolve()
        if not place or folder not in path.parents or not path.is_file():
            raise Refused(f"expected the weights in a file beside the model, got {place[:80]!r}")
        begin, size = int(entries.get("offset", 0)), min(int(entries.get("length", size)), size)
        if begin < 0 or begin + size > path.stat().st_size:
            raise Refused(f"expected {size} bytes of weights in {place[:80]!r}, got fewer: it is cut short")
        with path.open("rb") as file:
            file.seek(begin)
            return file.read(size)

    def stored(self) -> Stored:
        """The tensor as an array of the file."""
        told = f"{self.dtype} was made float32" if self.is_half else ""
        return Stored(tuple(max(n, 0) for n in self.dims), self.dtype, self.array, told)


def _attribute(content: memoryview, folder: Path) -> SimpleNamespace:
    names = {1: "name", 2: "f", 3: "i", 4: "s", 5: "t", 7: "floats", 8: "ints", 9: "strings"}
    found = _gathered(content, names)
    f = struct.unpack("<f", found["f"][-1])[0] if found["f"] else 0.0
    return SimpleNamespace(
        name=_text(found["name"]),
        f=f,
        i=_signed(found["i"][-1]) if found["i"] else 0,
        s=bytes(found["s"][-1]) if found["s"] else b"",
        t=Tensor(found["t"][-1], folder) if found["t"] else None,
        strings=[bytes(each) for each in found["strings"]],
    )


def _node(content: memoryview, folder: Path) -> SimpleNamespace:
    names = {1: "input", 2: "output", 3: "name", 4: "op_type", 5: "attribute", 7: "domain"}
    found = _gathered(content, names)
    kind, domain = _text(found["op_type"]), _text(found["domain"])
    wanted = kind == "Constant" or kind in _KINDS
    return SimpleNamespace(
        input=[_text([each]) for each in found["input"]],
        output=[_text([each]) for each in found["output"]],
        name=_text(found["name"]),
        op_type=kind,
        domain=domain,
        attribute=[_attribute(each, folder) for each in found["attribute"]] if wanted else [],
    )


def read_file(path: Path) -> dict[str, Any]:
    """The constants of a model by name, and under "" its recurrent nodes.

    Raises:
        Refused: it is cut short, or no model.
        Exception: of any kind, where it is damaged.
    """
    model = _gathered(memoryview(path.read_bytes()), {1: "version", 7: "graph"})
    if not model["graph"]:
        raise Refused("expected a model with a graph, got none: the file is damaged")
    parts = _gathered(model["graph"][-1], {1: "node", 5: "initializer"})
    nodes = [_node(each, path.parent) for each in parts["node"]]
    graph = SimpleNamespace(
        node=nodes, initializer=[Tensor(each, path.parent) for each in parts["initializer"]]
    )
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in nodes:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value" and attribute.t is not None:
                tensors.setdefault(node.output[0] if node.output else "", attribute.t)
    recurrent = [node for node in nodes if node.op_type in _KINDS and node.domain in ("", "ai.onnx")]
    found = [
        _described(node, number, recurrent, tensors) | {"graph": graph}
        for number, node in enumerate(recurrent)
    ]
    return {name: tensor.stored() for name, tensor in tensors.items() if name} | {"": Nodes(found)}


def _described(
    node: SimpleNamespace, number: int, nodes: list[SimpleNamespace], tensors: dict[str, Tensor]
) -> dict[str, Any]:
    """What ``networks`` tells of a node."""
    names = [each.name for each in nodes]
    at = {name: node.input[place] if place < len(node.input) else "" for name, place in _PLACES.items()}
    arrays = {name: tensors[each].stored() for name, each in at.items() if each in tensors}
    told: dict[str, Any] = {}
    trouble = ""
    try:
        directions = {a.name: a.s for a in node.attribute}
        both = directions.get("direction") == b"bidirectional"
        told = settings(node, "forward" if both else None)
        if not {"W", "R"} <= set(arrays):
            trouble = "expected its weights as constants of the model, got them computed"
    except (ValueError, UnicodeDecodeError) as error:
        trouble = str(error)
    return {
        "name": node.name
        if node.name and names.count(node.name) == 1
        else str(number)
        if len(nodes) > 1
        else "",
        "number": number,
        "kind": node.op_type,
        "direction": told.get("direction", "forward"),
        "activation": told.get("activation", ""),
        "arrays": {"W": arrays.get("W"), "R": arrays.get("R")},
        "all": arrays,
        "own": frozenset(each for each in at.values() if each in tensors),
        "trouble": trouble,
    }
