"""Constants of an ONNX graph: its initializers, and what a few operators make of them, evaluated in NumPy."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnn_dynamics.interop.stored import from_bytes, product, shape_of

#: Of onnx.TensorProto: data types, with the field that holds what is not raw.
TYPES = {
    1: ("float32", "float_data"),
    2: ("uint8", "int32_data"),
    3: ("int8", "int32_data"),
    4: ("uint16", "int32_data"),
    5: ("int16", "int32_data"),
    6: ("int32", "int32_data"),
    7: ("int64", "int64_data"),
    9: ("bool", "int32_data"),
    10: ("float16", "int32_data"),
    11: ("float64", "double_data"),
    12: ("uint32", "uint64_data"),
    13: ("uint64", "uint64_data"),
    16: ("bfloat16", "int32_data"),
}
_EXTERNAL = 1
_MOST_ENTRIES, _MOST_BYTES, _DEEPEST = 2**27, 2**31, 100


class Computed(ValueError):
    """Says of a value that the model computes it from its inputs, or in a way that is not followed."""


def attribute(node: Any, name: str, field: str, default: Any = None) -> Any:
    """An attribute of a node; its field is "i", "f", "s", "t", "g", "ints", "floats" or "strings"."""
    for each in node.attribute:
        if each.name == name:
            found = getattr(each, field, default)
            return list(found) if field in ("ints", "floats", "strings") else found
    return default


def numbers_of(tensor: Any, name: str) -> np.ndarray:
    """The numbers of a tensor of onnx's or of the reader's own; bfloat16 as float32.

    Raises:
        ValueError: a data type that is not read, another file, numbers that do not fit the shape.
    """
    if hasattr(tensor, "array"):
        return tensor.array()
    if tensor.data_type not in TYPES:
        raise ValueError(f"source: expected {name} in float32 or float64, got ONNX's type {tensor.data_type}")
    if tensor.data_location == _EXTERNAL:
        raise ValueError(
            f"source: expected {name} in the model, got it in another file; onnx.load fetches it"
        )
    dtype, field = TYPES[tensor.data_type]
    shape, raw = shape_of(list(tensor.dims), 2**34), tensor.raw_data
    listed = [] if raw else list(getattr(tensor, field, ()))
    count, size = product(shape), 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
    if (len(raw) != count * size) if raw else (len(listed) != count):
        got = f"{len(raw)} bytes" if raw else f"{len(listed)} numbers"
        raise ValueError(f"source: expected {name} with the numbers of its shape {shape}, got {got}")
    if raw:
        return from_bytes(raw, dtype, shape)
    if dtype in ("float16", "bfloat16"):
        return from_bytes(np.array(listed, "<u2").tobytes(), dtype, shape)
    return np.array(listed, np.dtype(dtype)).reshape(shape)


class Constants:
    """The constants of a graph by name; each is evaluated when it is asked for, once.

    Args:
        graph: of onnx, or of the reader's own.
        outer: the constants around it, of a graph within another.

    Attributes:
        told: what was done to numbers on the way, as sentences.
    """

    def __init__(self, graph: Any, outer: "Constants | None" = None) -> None:
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}
        self.makers = {name: node for node in graph.node for name in node.output if name}
        self.told: set[str] = set() if outer is None else outer.told
        self._outer, self._known, self._bytes = outer, {}, 0
        self._same: dict[str, str] = {}

    def has(self, name: str) -> bool:
        """Whether the value is a constant."""
        try:
            self.array(name)
        except Computed:
            return False
        return True

    def array(self, name: str, depth: int = 0) -> np.ndarray:
        """The numbers of a constant.

        Raises:
            Computed: it is none, or an operator makes it that is not followed.
            ValueError: it is damaged, or far too large.
        """
        if name in self._known:
            return self._known[name]
        if name in self.tensors:
            found = {name: numbers_of(self.tensors[name], name)}
        elif name in self.makers:
            found = self._made(self.makers[name], depth)
        elif name in self._same and self._outer is not None:
            return self._outer.array(self._same[name], depth)
        elif self._outer is not None:
            return self._outer.array(name, depth)
        else:
            raise Computed(f"{name[:60]!r}, which is an input of the model")
        if name not in found:
            raise Computed(f"{name[:60]!r}, which no operator gives")
        self._bytes += sum(array.nbytes for array in found.values())
        if self._bytes > _MOST_BYTES:
            raise ValueError(f"source: expected constants of at most {_MOST_BYTES >> 20} MiB, got more")
        self._known |= found
        return found[name]

    def call(self, name: str, outside: str) -> None:
        """Say that a value of this graph is one of the graph around it."""
        self._same[name] = outside

    def tensor(self, name: str) -> Any:
        """The tensor of that name where it is stored as it is, else ``None``."""
        node = self.makers.get(name)
        if name in self.tensors or node is None or node.op_type != "Constant":
            return self.tensors.get(name)
        return attribute(node, "value", "t")

    def _made(self, node: Any, depth: int) -> dict[str, np.ndarray]:
        operator = _OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if operator is None:
            raise Computed(f"{node.output[0][:60]!r}, which {str(node.op_type)[:40]} computes")
        if depth > _DEEPEST:
            raise Computed(f"{node.output[0][:60]!r}, which more than {_DEEPEST} operators make")
        inputs = [self.array(each, depth + 1) if each else None for each in node.input]
        try:
            found = operator(node, inputs)
        except (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            if isinstance(error, Computed):
                raise
            raise ValueError(
                f"source: expected {node.op_type} of constants that fit, got {str(error)[:80]}"
            ) from error
        if node.op_type == "DequantizeLinear" and inputs[0] is not None:
            self.told.add(f"{inputs[0].dtype} was made {found[0].dtype} by the scale that the file has")
        return dict(zip(node.output, found, strict=False))


def _constant(node: Any, _: Sequence[Any]) -> list[np.ndarray]:
    for name, field, dtype in (("value_float", "f", "f4"), ("value_int", "i", "i8")):
        if (value := attribute(node, name, field)) is not None:
            return [np.array(value, dtype)]
    for name, field, dtype in (("value_floats", "floats", "f4"), ("value_ints", "ints", "i8")):
        if (value := attribute(node, name, field)) is not None:
            return [np.array(value, dtype)]
    tensor = attribute(node, "value", "t")
    if tensor is None:
        raise Computed(f"{node.output[0][:60]!r}, a Constant of another kind")
    return [numbers_of(tensor, node.output[0])]


def _filled(node: Any, inputs: Sequence[Any]) -> list[np.ndarray]:
    tensor = attribute(node, "value", "t")
    value = np.zeros(1, "f4") if tensor is None else numbers_of(tensor, "value")
    shape = shape_of([int(n) for n in inputs[0].ravel()], _MOST_ENTRIES)
    return [np.full(shape, value.ravel()[0])]


def _cast(node: Any, inputs: Sequence[Any]) -> list[np.ndarray]:
    dtype = TYPES[attribute(node, "to", "i")][0]
    with np.errstate(over="ignore", invalid="ignore"):
        return [inputs[0].astype("f4" if dtype == "bfloat16" else dtype)]


def _along(array: np.ndarray, values: np.ndarray, axis: int) -> np.ndarray:
    """One number, or one for each place of an axis, to be broadcast."""
    if values.size == 1:
        return values.reshape(())
    shape = [1] * array.ndim
    shape[axis] = array.shape[axis]
    return values.reshape(shape)


def _dequantized(node: Any, inputs: Sequence[Any]) -> list[np.ndarray]:
    if attribute(node, "block_size", "i", 0):
        raise Computed(f"{node.output[0][:60]!r}, which DequantizeLinear makes in blocks")
    scale, axis = inputs[1], attribute(node, "axis", "i", 1)
    zero = inputs[2] if len(inputs) > 2 and inputs[2] is not None else np.zeros(1)
    dtype = np.float32 if scale.dtype == np.float16 else scale.dtype
    whole = inputs[0].astype(dtype) - _along(inputs[0], zero.astype(dtype), axis)
    return [whole * _along(inputs[0], scale.astype(dtype), axis)]


def _axes(node: Any, inputs: Sequence[Any], place: int) -> list[int] | None:
    """Axes as an input, which newer models have, or as an attribute."""
    if len(inputs) > place and inputs[place] is not None:
        return [int(n) for n in inputs[place].ravel()]
    return attribute(node, "axes", "ints")


def slices(node: Any, inputs: Sequence[Any], rank: int) -> dict[int, slice]:
    """Of a Slice the stretches by axis.

    Raises:
        ValueError: they do not fit the value.
    """
    if len(inputs) > 2:
        starts, ends = ([int(n) for n in inputs[i].ravel()] for i in (1, 2))
        steps = [int(n) for n in inputs[4].ravel()] if len(inputs) > 4 and inputs[4] is not None else None
    else:
        starts, ends, steps = attribute(node, "starts", "ints"), attribute(node, "ends", "ints"), None
    axes = _axes(node, inputs, 3) or list(range(len(starts)))
    found = {}
    for start, end, step, axis in zip(starts, ends, steps or [1] * len(starts), axes, strict=True):
        if not -rank <= axis < rank or not step:
            raise ValueError(f"an axis of {rank} and a step other than 0, got {axis}, {step}")
        found[axis % rank] = slice(start, None if step < 0 and end < -(2**31) else end, step)
    return found


def _sliced(node: Any, inputs: Sequence[Any]) -> list[np.ndarray]:
    found = slices(node, inputs, inputs[0].ndim)
    return [inputs[0][tuple(found.get(axis, slice(None)) for axis in range(inputs[0].ndim))]]


def parts(node: Any, sizes: np.ndarray | None, length: int) -> list[int]:
    """Of a Split the lengths of the pieces.

    Raises:
        ValueError: they do not fit the value.
    """
    listed = sizes.ravel().tolist() if sizes is not None else attribute(node, "split", "ints")
    if listed is None:
        count = attribute(node, "num_outputs", "i", 0) or len(node.output)
        each = -(-length // max(count, 1))
        listed = [min(each, max(length - i * each, 0)) for i in range(count)]
    if sum(listed) != length or min(listed) < 0:
        raise ValueError(f"pieces of {length} together, got {listed[:9]}")
    return [int(n) for n in listed]


def _split(node: Any, inputs: Sequence[Any]) -> list[np.ndarray]:
    axis, array = attribute(node, "axis", "i", 0), inputs[0]
    lengths = parts(node, inputs[1] if len(inputs) > 1 else None, array.shape[axis])
    return np.split(array, np.cumsum(lengths)[:-1], axis=axis)


def _joined(node: Any, inputs: Sequence[Any]) -> list[np.ndarray]:
    if sum(array.size for array in inputs) > _MOST_ENTRIES:
        raise ValueError("far too many entries")
    return [np.concatenate(inputs, axis=attribute(node, "axis", "i"))]


def _gathered(node: Any, inputs: Sequence[Any]) -> list[np.ndarray]:
    array, which = inputs
    axis = attribute(node, "axis", "i", 0)
    if which.size * array.size // max(array.shape[axis], 1) > _MOST_ENTRIES:
        raise ValueError("far too many entries")
    return [np.take(array, which.astype(np.int64), axis=axis)]


def _unsqueezed(node: Any, inputs: Sequence[Any]) -> list[np.ndarray]:
    return [np.expand_dims(inputs[0], tuple(_axes(node, inputs, 1) or ()))]


def _squeezed(node: Any, inputs: Sequence[Any]) -> list[np.ndarray]:
    axes = _axes(node, inputs, 1)
    return [np.squeeze(inputs[0], None if axes is None else tuple(axes))]


def _reshaped(node: Any, inputs: Sequence[Any]) -> list[np.ndarray]:
    array, wanted = inputs[0], [int(n) for n in inputs[1].ravel()]
    if not attribute(node, "allowzero", "i", 0):
        wanted = [array.shape[i] if n == 0 else n for i, n in enumerate(wanted)]
    return [array.reshape(wanted)]


def _transposed(node: Any, inputs: Sequence[Any]) -> list[np.ndarray]:
    return [np.transpose(inputs[0], attribute(node, "perm", "ints"))]


def _shape(node: Any, inputs: Sequence[Any]) -> list[np.ndarray]:
    first, last = attribute(node, "start", "i", 0), attribute(node, "end", "i")
    return [np.array(inputs[0].shape[first:last], np.int64)]


_OPERATORS: dict[str, Callable[[Any, Sequence[Any]], list[np.ndarray]]] = {
    "Cast": _cast,
    "Concat": _joined,
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "DequantizeLinear": _dequantized,
    "Gather": _gathered,
    "Identity": lambda _, inputs: [inputs[0]],
    "Reshape": _reshaped,
    "Shape": _shape,
    "Slice": _sliced,
    "Split": _split,
    "Squeeze": _squeezed,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
}
#: Those that leave the numbers as they are, and may stand between layers.
PLAIN = {name: _OPERATORS[name] for name in ("Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")}
