"""Recurrent operations of Core ML's ML Programs, as nodes of a graph in the form of ONNX.

Equations and orders of gates are those that coremltools 9.0 documents for its operations ``lstm`` and ``rnn``.
Peepholes, of which those equations are silent, are those of the specification's layer: i and f see c before the
step, o after it. Numbers lie in the program, or in a file beside it.
"""

import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from rnn_dynamics.interop.protobuf import fields, gathered, integers, text
from rnn_dynamics.interop.stored import MOST_BYTES, Refused, Stored, from_bytes, item_size, product, shape_of

_BESIDE, _SENTINEL, _HEADER = "@model_path/", 0xDEADBEEF, 64
_DTYPES = {
    10: "float16",
    11: "float32",
    12: "float64",
    1: "bool",
    21: "int8",
    22: "int16",
    23: "int32",
    24: "int64",
    31: "uint8",
    32: "uint16",
    33: "uint32",
    34: "uint64",
}
#: Of the numbers in a program the fields by type: whole numbers stand one by one, the others as bytes.
_LISTED = {1: "<f4", 6: "<f8"}
_MOST_OPERATIONS, _DEEPEST = 100_000, 8
_GATES = {"lstm": 4, "rnn": 1}
_FUNCTIONS = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "linear": "Affine"}
_DIRECTIONS = ("forward", "reverse", "bidirectional")


class _Constant:
    """An array with a name, as a tensor of a graph."""

    def __init__(self, name: str, array: np.ndarray, told: str) -> None:
        self.name, self._array, self._told = name, array, told

    def array(self) -> np.ndarray:
        return self._array

    def stored(self) -> Stored:
        return Stored(self._array.shape, self._array.dtype.name, self.array, self._told)


def constant(name: str, array: np.ndarray, told: str = "") -> Any:
    """A tensor of a graph."""
    return _Constant(name, array, told)


class Operation(NamedTuple):
    """An operation of a program.

    Attributes:
        kind: its type.
        name: what it gives first.
        inputs: by name the names or values given.
        outputs: names of what it gives.
        attributes: values by name.
    """

    kind: str
    name: str
    inputs: dict[str, list[Any]]
    outputs: list[str]
    attributes: dict[str, Any]


def operations_of(program: memoryview) -> list[Operation]:
    """The operations of all functions of a program, those of inner blocks too, in their order.

    Raises:
        Refused: far too many, or blocks too deep in one another.
    """
    found: list[Operation] = []
    for entry in gathered(program, {2: "functions"})["functions"]:
        function = _value_of(entry)
        for each in gathered(function, {3: "blocks"})["blocks"]:
            _of_block(_value_of(each), found, 0)
    return found


def _value_of(entry: memoryview) -> memoryview:
    """What a map's entry holds."""
    held = gathered(entry, {2: "value"})["value"]
    return held[-1] if held else memoryview(b"")


def _of_block(block: memoryview, found: list[Operation], depth: int) -> None:
    if depth > _DEEPEST:
        raise Refused(f"expected blocks at most {_DEEPEST} deep in one another, got deeper ones")
    for content in gathered(block, {3: "operations"})["operations"]:
        if len(found) >= _MOST_OPERATIONS:
            raise Refused(f"expected at most {_MOST_OPERATIONS} operations, got more")
        held = gathered(content, {1: "type", 2: "inputs", 3: "outputs", 4: "blocks", 5: "attributes"})
        outputs = [text(gathered(each, {1: "name"})["name"]) for each in held["outputs"]]
        inputs = {_key(each): _bound(_value_of(each)) for each in held["inputs"]}
        attributes = {_key(each): _value_of(each) for each in held["attributes"]}
        name = outputs[0] if outputs else ""
        found.append(Operation(text(held["type"]), name, inputs, outputs, attributes))
        for inner in held["blocks"]:
            _of_block(inner, found, depth + 1)


def _key(entry: memoryview) -> str:
    return text(gathered(entry, {1: "key"})["key"])


def _bound(argument: memoryview) -> list[Any]:
    """What an input is bound to: names, or values as they stand."""
    found: list[Any] = []
    for binding in gathered(argument, {1: "arguments"})["arguments"]:
        held = gathered(binding, {1: "name", 2: "value"})
        found.append(text(held["name"]) if held["name"] else held["value"][-1] if held["value"] else "")
    return found


class Values:
    """The constants of a program.

    Args:
        operations: of the program.
        folder: that its file lies in.
        told: what was done to numbers, to which sentences are added.
    """

    def __init__(self, operations: list[Operation], folder: Path, told: set[str]) -> None:
        self._constants = {
            each.name: each.attributes.get("val") for each in operations if each.kind == "const"
        }
        self._makers = {name: each.kind for each in operations for name in each.outputs}
        self._folder, self._told = folder, told

    def of(self, operation: Operation, name: str) -> Any:
        """An input that is a constant: an array or a string; ``None`` where there is none.

        Raises:
            Refused: it is computed, or damaged.
        """
        given = operation.inputs.get(name)
        if not given:
            return None
        (value,) = given if len(given) == 1 else (given[0],)
        if isinstance(value, str):
            found = self._constants.get(value)
            if found is None:
                maker = self._makers.get(value, "an input of the model")
                raise Refused(
                    f"expected {name} of {operation.name[:60]!r} as a constant, got what {maker[:40]} gives"
                )
            value = found
        return self._decoded(value, f"{name} of {operation.name[:60]!r}")

    def has(self, name: str) -> bool:
        """Whether there is a constant of that name."""
        return name in self._constants

    def is_computed(self, operation: Operation, name: str) -> bool:
        """Whether an input is what another operation gives."""
        given = (operation.inputs.get(name) or [b""])[0]
        return isinstance(given, str) and given not in self._constants and given in self._makers

    def _decoded(self, value: memoryview, what: str) -> Any:
        held = gathered(value, {2: "type", 3: "immediate", 5: "blob"})
        kinds = gathered(held["type"][-1], {1: "tensor"})["tensor"] if held["type"] else []
        if not kinds:
            raise Refused(f"expected {what} as a tensor, got another value")
        told = gathered(kinds[-1], {1: "dtype", 3: "dimensions"})
        sizes = []
        for each in told["dimensions"]:
            constant = gathered(each, {1: "constant"})["constant"]
            sizes += integers(gathered(constant[-1], {1: "size"})["size"]) or [0] if constant else [-1]
        code = told["dtype"][-1] if told["dtype"] else 0
        if held["immediate"]:
            return self._immediate(held["immediate"][-1], code, sizes, what)
        dtype = _DTYPES.get(code)
        if dtype is None or not held["blob"]:
            raise Refused(f"expected {what} in float32 or float16, got Core ML's type {code}")
        return self._upcast(self._blob(held["blob"][-1], dtype, shape_of(sizes, 2**34), what))

    def _upcast(self, array: np.ndarray) -> np.ndarray:
        if array.dtype == np.float16:
            self._told.add("float16 was made float32")
            return array.astype(np.float32)
        return array

    def _immediate(self, content: memoryview, code: int, sizes: list[int], what: str) -> Any:
        tensors = gathered(content, {1: "tensor"})["tensor"]
        for key, inner in fields(tensors[-1]) if tensors else ():
            values = gathered(inner, {1: "values"})["values"]
            if key == 4:
                return text(values)
            if key == 3:
                return bool(integers(values) and integers(values)[-1])
            shape = shape_of(sizes, 2**34)
            if key in _LISTED:
                array = np.frombuffer(b"".join(map(bytes, values)), _LISTED[key])
            elif key == 7 and code in _DTYPES:
                array = np.frombuffer(b"".join(map(bytes, values)), np.dtype(_DTYPES[code]).newbyteorder("<"))
            else:
                array = np.array(integers(values))
            if array.size != product(shape):
                raise Refused(f"expected {what} with {product(shape)} numbers, got {array.size}")
            return self._upcast(array.reshape(shape))
        raise Refused(f"expected {what} as a tensor, got another value")

    def _blob(self, content: memoryview, dtype: str, shape: tuple[int, ...], what: str) -> np.ndarray:
        """An array of the file of weights: a header at the place that is told, which says where the numbers lie."""
        held = gathered(content, {1: "file", 2: "offset"})
        name, at = text(held["file"]), int(held["offset"][-1]) if held["offset"] else 0
        parts = name.removeprefix(_BESIDE).split("/")
        path = self._folder.joinpath(*parts)
        if not name.startswith(_BESIDE) or {"", ".", ".."} & set(parts) or "\\" in name:
            raise Refused(f"expected weights in a file beside the program, got {name[:80]!r}")
        if not path.is_file() or not path.resolve().is_relative_to(self._folder.resolve()):
            raise Refused(
                f"expected the file {'/'.join(parts)[:80]} of its weights beside the program, got none"
            )
        need, whole = product(shape) * item_size(dtype), path.stat().st_size
        if need > MOST_BYTES:
            raise Refused(f"expected {what} that fits into memory, got shape {shape}")
        with path.open("rb") as file:
            file.seek(at)
            head = file.read(_HEADER)
            sentinel, _, size, start = struct.unpack("<IIQQ", head[:24]) if len(head) >= 24 else (0, 0, 0, 0)
            if sentinel != _SENTINEL or size != need or start + size > whole:
                raise Refused(f"expected {need} bytes of {what} in {path.name}, got {size} from {start} on")
            file.seek(start)
            return from_bytes(memoryview(file.read(need)), dtype, shape)


def read_program(program: memoryview, folder: Path, graph: SimpleNamespace) -> None:
    """Add the recurrent operations of a program to a graph.

    Raises:
        Refused: none, a GRU, one that is not understood, weights that are damaged or not there.
    """
    operations = operations_of(program)
    values, current = Values(operations, folder, graph.told), dict[str, str]()
    for each in operations:
        if each.kind in ("identity", "cast") and each.inputs.get("x"):
            source = each.inputs["x"][0]
            current[each.name] = current.get(source, source) if isinstance(source, str) else each.name
        if each.kind == "gru":
            raise Refused(
                f"expected the operations rnn and lstm, got the gru {each.name[:60]!r}: coremltools' text has its "
                "reset after the product, the specification of the layer that it stands for before it; say which "
                'yourself, rd.GRU(W, b, W_in, reset="before") or "after"'
            )
        if each.kind in _GATES:
            _add(each, values, graph, current)
    if not graph.node:
        kinds = sorted({each.kind[:40] for each in operations} - {"const"})
        loop = ": PyTorch's GRU becomes a while_loop" if "while_loop" in kinds else ""
        raise Refused(
            f"expected an ML Program with an lstm or an rnn, got one of {', '.join(kinds[:12]) or 'none'}{loop}; "
            "rd.interop.from_module(module) reads the module that it was made from"
        )


def _add(operation: Operation, values: Values, graph: SimpleNamespace, current: dict[str, str]) -> None:
    name, kind = operation.name, operation.kind.upper()
    direction = values.of(operation, "direction") or "forward"
    if direction not in _DIRECTIONS or (kind == "RNN" and direction == "bidirectional"):
        raise Refused(f"expected a direction of {_DIRECTIONS} of {name[:60]!r}, got {direction!r}")
    if operation.inputs.get("clip"):
        raise Refused(f"expected an LSTM that does not clip its gates, got {name[:60]!r} with clip")
    both = direction == "bidirectional"
    arrays = _arrays(operation, values, both)
    units = arrays["R"].shape[-1]
    keys = ["recurrent_activation", "cell_activation", "activation"] if kind == "LSTM" else ["activation"]
    functions = []
    for key in keys:
        told = values.of(operation, key) or ("sigmoid" if key == "recurrent_activation" else "tanh")
        if told not in _FUNCTIONS:
            raise Refused(
                f"expected as {key} of {name[:60]!r} one of {', '.join(_FUNCTIONS)}, got {str(told)[:40]!r}, "
                "whose numbers the program does not tell"
            )
        functions.append(_FUNCTIONS[told])
    attributes = [
        SimpleNamespace(name="hidden_size", i=units),
        SimpleNamespace(name="direction", s=direction.encode()),
        SimpleNamespace(name="activations", strings=[each.encode() for each in functions * (1 + both)]),
        SimpleNamespace(
            name="activation_alpha", floats=[1.0 for each in functions * (1 + both) if each == "Affine"]
        ),
    ]
    order = ["W", "R", "B", "", "initial_h", "initial_c", "P"]
    given = operation.inputs.get("x", [""])[0]
    source = current.get(given, given) if isinstance(given, str) else ""
    starts = {key: values.is_computed(operation, key) for key in ("initial_h", "initial_c")}
    if any(starts.values()):
        source = f"{name}/x"  # a decoder's, which starts in what another puts out: no layer of a row
    for key, is_computed in starts.items():
        start = None if is_computed else _start(operation, values, key, both, units)
        arrays |= {} if start is None else {key: start}
    inputs = [source, *(f"{name}/{key}" if key in arrays else "" for key in order)]
    for key, array in arrays.items():
        graph.initializer.append(constant(f"{name}/{key}", array))
    _node(graph, kind, name, inputs, f"{name}/Y", attributes)
    if not values.of(operation, "output_sequence"):
        return
    current[name] = f"{name}/y"
    if not both:
        _node(graph, "Squeeze", "", [f"{name}/Y"], f"{name}/y", [SimpleNamespace(name="axes", ints=[1])])
        return
    perm = SimpleNamespace(name="perm", ints=[0, 2, 1, 3])
    graph.initializer.append(constant(f"{name}/shape", np.array([0, 0, -1])))
    _node(graph, "Transpose", "", [f"{name}/Y"], f"{name}/T", [perm])
    _node(graph, "Reshape", "", [f"{name}/T", f"{name}/shape"], f"{name}/y", [])


def _start(operation: Operation, values: Values, key: str, both: bool, units: int) -> np.ndarray | None:
    """A first state as ONNX has it, (directions, batch, units), where it is a constant other than 0."""
    given = (operation.inputs.get(key) or [""])[0]
    array = None if isinstance(given, str) and not values.has(given) else values.of(operation, key)
    if not isinstance(array, np.ndarray) or not array.any():
        return None
    if array.ndim != 2 or array.shape[1] != units * (1 + both):
        raise Refused(f"expected {key} of {operation.name[:60]!r} of {units} units, got shape {array.shape}")
    return array.reshape(len(array), 1 + both, units).swapaxes(0, 1)


def _node(graph: Any, kind: str, name: str, inputs: list[str], output: str, attributes: list[Any]) -> None:
    graph.node.append(
        SimpleNamespace(
            op_type=kind, domain="", name=name, input=inputs, output=[output], attribute=attributes
        )
    )


def _arrays(operation: Operation, values: Values, both: bool) -> dict[str, np.ndarray]:
    """W, R, B and what else there is, as ONNX lays them out: gates i, o, f, c of i, f, o, z."""
    gates = _GATES[operation.kind]
    ends = ("", "_back") if both else ("",)

    def rows(key: str, order: tuple[int, ...], shape: tuple[int | None, ...]) -> np.ndarray | None:
        found = [values.of(operation, key + end) for end in ends]
        if all(each is None for each in found):
            return None
        for each in found:
            size = each.shape if isinstance(each, np.ndarray) else ()
            wanted = tuple(n if w is None else w for n, w in zip(size, shape, strict=False))
            if len(size) != len(shape) or size != wanted:
                raise Refused(f"expected {key} of {operation.name[:60]!r} of shape {shape}, got {size}")
        return np.stack([np.concatenate([np.split(each, len(order))[i] for i in order]) for each in found])

    order = (0, 2, 1, 3) if gates == 4 else (0,)
    recurrent = values.of(operation, "weight_hh")
    units = recurrent.shape[-1] if isinstance(recurrent, np.ndarray) and recurrent.ndim == 2 else 0
    if not units:
        raise Refused(f"expected weight_hh of {operation.name[:60]!r} as a matrix")
    W, R = (rows(key, order, (gates * units, n)) for key, n in (("weight_ih", None), ("weight_hh", units)))
    if W is None or R is None:
        raise Refused(f"expected weight_ih and weight_hh of {operation.name[:60]!r}, got one missing")
    b = rows("bias", order, (gates * units,))
    b = np.zeros((len(ends), gates * units), np.float32) if b is None else b
    found = {"W": W, "R": R, "B": np.concatenate([b, np.zeros_like(b)], axis=1)}
    peepholes = rows("peephole", (0, 2, 1), (3 * units,)) if gates == 4 else None
    return found if peepholes is None else found | {"P": peepholes}
