"""ONNX models read field by field, without the package onnx, and the files of weights beside them."""

import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from rnn_dynamics.interop.files.protobuf import gathered, integers, signed, text
from rnn_dynamics.interop.files.stored import Refused, Stored, from_bytes, item_size, product, shape_of

#: Of TensorProto: the data types that are shown, with the field for numbers that are not raw.
_DTYPES = {
    1: ("float32", 4),
    2: ("uint8", 5),
    3: ("int8", 5),
    4: ("uint16", 5),
    5: ("int16", 5),
    6: ("int32", 5),
    7: ("int64", 7),
    9: ("bool", 5),
    10: ("float16", 5),
    11: ("float64", 10),
    12: ("uint32", 11),
    13: ("uint64", 11),
    16: ("bfloat16", 5),
}
_FIELDS = {4: "float", 5: "int32", 7: "int64", 10: "double", 11: "uint64"}
_HALF = (10, 16)
_DEEPEST = 8


class Tensor:
    """A tensor of the model, whose numbers are read when asked for."""

    def __init__(self, content: memoryview, folder: Path) -> None:
        names = {1: "dims", 2: "type", 4: "float", 5: "int32", 7: "int64", 8: "name", 9: "raw", 10: "double"}
        found = gathered(content, names | {11: "uint64", 13: "external", 14: "location"})
        self._found, self._folder = found, folder
        self.name, self.dims = text(found["name"]), integers(found["dims"])
        own = int(found["type"][-1]) if found["type"] else 0
        self.dtype = _DTYPES.get(own, (f"ONNX's data type {own}", 0))[0]
        self._field = _FIELDS.get(_DTYPES.get(own, ("", 0))[1], "")
        self.is_half = own in _HALF
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
        numbers = np.array(integers(values), np.int64)
        if self.is_half:
            return from_bytes(numbers.astype("<u2").tobytes(), self.dtype, shape)
        return from_bytes(numbers.astype(self.dtype).tobytes(), self.dtype, shape)

    def _beside(self, size: int) -> bytes:
        """The bytes in the file of weights beside the model."""
        entries = {}
        for each in self._found["external"]:
            pair = gathered(each, {1: "key", 2: "value"})
            entries[text(pair["key"])] = text(pair["value"])
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


def _attribute(content: memoryview, folder: Path, depth: int) -> SimpleNamespace:
    names = {1: "name", 2: "f", 3: "i", 4: "s", 5: "t", 6: "g", 7: "floats", 8: "ints", 9: "strings"}
    found = gathered(content, names)
    if depth > _DEEPEST:
        raise Refused(f"expected graphs at most {_DEEPEST} deep in one another, got deeper ones")
    return SimpleNamespace(
        name=text(found["name"]),
        f=struct.unpack("<f", found["f"][-1])[0] if found["f"] else 0.0,
        i=signed(found["i"][-1]) if found["i"] else 0,
        s=bytes(found["s"][-1]) if found["s"] else b"",
        t=Tensor(found["t"][-1], folder) if found["t"] else None,
        g=_graph(found["g"][-1], folder, depth + 1) if found["g"] else None,
        floats=[number for each in found["floats"] for (number,) in struct.iter_unpack("<f", each)],
        ints=integers(found["ints"]),
        strings=[bytes(each) for each in found["strings"]],
    )


def _node(content: memoryview, folder: Path, depth: int) -> SimpleNamespace:
    names = {1: "input", 2: "output", 3: "name", 4: "op_type", 5: "attribute", 7: "domain"}
    found = gathered(content, names)
    return SimpleNamespace(
        input=[text([each]) for each in found["input"]],
        output=[text([each]) for each in found["output"]],
        name=text(found["name"]),
        op_type=text(found["op_type"]),
        domain=text(found["domain"]),
        attribute=[_attribute(each, folder, depth) for each in found["attribute"]],
    )


def _value(content: memoryview) -> SimpleNamespace:
    """The name of an input or an output, and its lengths, ``None`` where one is free; or no lengths at all."""
    found = gathered(content, {1: "name", 2: "type"})
    dims: list[int | None] | None = None
    for kind in found["type"]:
        for tensor in gathered(kind, {1: "tensor"})["tensor"]:
            for shape in gathered(tensor, {2: "shape"})["shape"]:
                listed = gathered(shape, {1: "dim"})["dim"]
                lengths = [gathered(each, {1: "value"})["value"] for each in listed]
                dims = [int(each[-1]) if each and each[-1] < 2**31 else None for each in lengths]
    return SimpleNamespace(name=text(found["name"]), dims=dims)


def _graph(content: memoryview, folder: Path, depth: int = 0) -> SimpleNamespace:
    parts = gathered(content, {1: "node", 5: "initializer", 11: "input", 12: "output"})
    return SimpleNamespace(
        node=[_node(each, folder, depth) for each in parts["node"]],
        initializer=[Tensor(each, folder) for each in parts["initializer"]],
        input=[_value(each) for each in parts["input"]],
        output=[_value(each) for each in parts["output"]],
    )


def read_model(content: bytes, folder: Path) -> SimpleNamespace:
    """The graph of a model.

    Args:
        content: the model's bytes.
        folder: where files of weights beside it lie.

    Raises:
        Refused: it is cut short, or no model.
        Exception: of any kind, where it is damaged.
    """
    model = gathered(memoryview(content), {1: "version", 7: "graph"})
    if not model["graph"]:
        raise Refused("expected a model with a graph, got none: the file is damaged")
    return _graph(model["graph"][-1], folder)


def read_file(path: Path) -> Any:
    """The graph of a model's file; arguments and errors as ``read_model``."""
    return read_model(path.read_bytes(), path.parent)
