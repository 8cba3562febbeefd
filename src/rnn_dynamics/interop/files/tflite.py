"""TensorFlow Lite models as graphs in the form of ONNX: recurrent operators as nodes, bodies of WHILE as loops."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from rnn_dynamics.interop.files.coreml import constant
from rnn_dynamics.interop.files.flatbuffers import Table, root
from rnn_dynamics.interop.files.stored import Refused, from_bytes, shape_of

_DTYPES = {
    0: "float32",
    1: "float16",
    2: "int32",
    3: "uint8",
    4: "int64",
    6: "bool",
    7: "int16",
    9: "int8",
    10: "float64",
}
_FUSED = {0: "", 1: "Relu", 4: "Tanh"}
_FUNCTIONS = {14: "Sigmoid", 19: "Relu", 28: "Tanh", 98: "LeakyRelu", 111: "Elu"}
_ARITHMETIC = {0: "Add", 18: "Mul", 41: "Sub", 42: "Div"}
_LSTM, _RNN, _RNN_STEP, _LSTM_STEP, _WHILE = 44, 35, 24, 16, 119
_MOST_TENSORS, _DEEPEST = 100_000, 4
_END = 2**31 - 1
Attributes = list[SimpleNamespace]


class _Model:
    def __init__(self, content: memoryview) -> None:
        model = root(content)
        self.codes = [max(code.number(0, "b"), code.number(3, "i")) for code in model.tables(1)]
        self.graphs, self.buffers = model.tables(2), model.tables(4)
        self.size = len(content)
        self.told: set[str] = set()


def read_file(path: Path) -> SimpleNamespace:
    """The main graph of a model, in the form of a model of ONNX.

    Raises:
        Refused: offsets that lead out of the file, operators that are not read.
        Exception: of any kind, where it is damaged.
    """
    model = _Model(memoryview(path.read_bytes()))
    if not model.graphs:
        raise Refused("expected a model with a graph, got none: the file is damaged")
    graph = _Graph(model, model.graphs[0], "", 0).made()
    graph.told = model.told
    return graph


class _Graph:
    """One graph, whose tensors are called by their numbers, with a letter for each graph around it."""

    def __init__(self, model: _Model, table: Table, prefix: str, depth: int) -> None:
        if depth > _DEEPEST:
            raise Refused(f"expected graphs at most {_DEEPEST} deep in one another, got deeper ones")
        self.model, self.table, self.prefix, self.depth = model, table, prefix, depth
        self.tensors = table.tables(0)
        if len(self.tensors) > _MOST_TENSORS:
            raise Refused(f"expected at most {_MOST_TENSORS} tensors, got more")
        self.nodes: list[SimpleNamespace] = []
        self.constants: list[Any] = []
        self._known: dict[int, np.ndarray | None] = {}

    def made(self) -> SimpleNamespace:
        """The graph as one of ONNX."""
        for operator in self.table.tables(3):
            index = operator.number(0, "I")
            if index >= len(self.model.codes):
                raise Refused("expected operators that the file lists, got another: it is damaged")
            self._add(self.model.codes[index], operator)
        values = {
            name: [self._value(int(i)) for i in self.table.numbers(place, "<i4") if i >= 0]
            for name, place in (("input", 1), ("output", 2))
        }
        for number in range(len(self.tensors)):
            if self._is_constant(number) and (array := self.array(number)) is not None:
                self.constants.append(constant(self.name(number), array))
        return SimpleNamespace(node=self.nodes, initializer=self.constants, **values)

    def name(self, number: int) -> str:
        """The name of a tensor; "" of none."""
        return f"{self.prefix}{number}" if number >= 0 else ""

    def _value(self, number: int) -> SimpleNamespace:
        tensor = self._tensor(number)
        shape = tensor.numbers(7, "<i4") if len(tensor.numbers(7, "<i4")) else tensor.numbers(0, "<i4")
        dims = [int(n) if n > 0 else None for n in shape]
        is_index = not dims and tensor.number(1, "b") in (2, 4)
        return SimpleNamespace(name=self.name(number), dims=dims or None, is_index=is_index)

    def _tensor(self, number: int) -> Table:
        if not 0 <= number < len(self.tensors):
            raise Refused("expected tensors that the file lists, got another: it is damaged")
        return self.tensors[number]

    def _is_constant(self, number: int) -> bool:
        buffer = self._tensor(number).number(2, "I")
        return buffer < len(self.model.buffers) and len(self.model.buffers[buffer].bytes(0)) > 0

    def array(self, number: int) -> np.ndarray | None:
        """The numbers of a constant, those with a scale as float32; ``None`` of what is none or not read."""
        if number < 0 or not self._is_constant(number):
            return None
        if number not in self._known:
            self._known[number] = self._read(self._tensor(number))
        return self._known[number]

    def _read(self, tensor: Table) -> np.ndarray | None:
        dtype = _DTYPES.get(tensor.number(1, "b"))
        shape = shape_of([int(n) for n in tensor.numbers(0, "<i4")], self.model.size)
        content = self.model.buffers[tensor.number(2, "I")].bytes(0)
        if dtype is None or tensor.table(6) is not None:
            return None
        found = from_bytes(content, dtype, shape)
        if dtype == "float16":
            self.model.told.add("float16 was made float32")
            return found.astype(np.float32)
        told = tensor.table(4)
        scale = np.zeros(0) if told is None else told.numbers(2, "<f4")
        if told is None or not len(scale) or dtype not in ("int8", "uint8", "int16", "int32"):
            return found
        zero, axis = told.numbers(3, "<i8"), told.number(6, "i")
        places = [1] * len(shape)
        if len(scale) > 1:
            if not 0 <= axis < len(shape) or shape[axis] != len(scale) or len(zero) not in (0, 1, len(scale)):
                raise Refused(f"expected a scale for each place of an axis of {shape}, got {len(scale)}")
            places[axis] = len(scale)
        self.model.told.add(
            f"{dtype} was made float32 by the scale that the file has; what the runtime rounds at every step is "
            "left out"
        )
        offset = (
            zero.astype(np.float32).reshape(places if len(zero) > 1 else [1] * len(shape)) if len(zero) else 0
        )
        return (found.astype(np.float32) - offset) * scale.reshape(places)

    # --- operators ------------------------------------------------------------------------------------------

    def _add(self, code: int, operator: Table) -> None:
        inputs, outputs = ([int(i) for i in operator.numbers(place, "<i4")] for place in (1, 2))
        options = operator.table(4)
        if code in (_LSTM_STEP, _RNN_STEP):
            raise Refused(
                "expected recurrent layers over a sequence, got a cell of one step (LSTM or RNN), whose matrices "
                "rd.interop.from_onnx takes as W, R and B"
            )
        make = _OPERATORS.get(code)
        if code in _FUNCTIONS:
            slope = SimpleNamespace(name="alpha", f=options.number(0, "f") if options is not None else 0.0)
            self._node(_FUNCTIONS[code], inputs[:1], outputs, [slope] if code == 98 else [])
        elif code in _ARITHMETIC:
            self._fused(_ARITHMETIC[code], inputs, outputs, [], options, 0)
        elif make is not None:
            make(self, inputs, outputs, options)
        else:
            self._node(f"operator {code}", inputs, outputs, [])

    def _node(self, kind: str, inputs: list[int], outputs: list[int], attributes: Attributes) -> None:
        self._named(kind, [self.name(i) for i in inputs], [self.name(i) for i in outputs], attributes)

    def _named(
        self, kind: str, inputs: list[str], outputs: list[str], attributes: Attributes, name: str = ""
    ) -> None:
        self.nodes.append(
            SimpleNamespace(
                op_type=kind, domain="", name=name, input=inputs, output=outputs, attribute=attributes
            )
        )

    def _fused(
        self,
        kind: str,
        inputs: list[int],
        outputs: list[int],
        attributes: Attributes,
        options: Table | None,
        field: int,
    ) -> None:
        """An operator with the function that is taken of what it gives."""
        fused = _FUSED.get(options.number(field, "b") if options is not None else 0)
        names, given = [self.name(i) for i in inputs], [self.name(i) for i in outputs]
        if not fused:
            self._named(kind if fused is not None else "operator with a function", names, given, attributes)
            return
        self._named(kind, names, [f"{given[0]} before"], attributes)
        self._named(fused, [f"{given[0]} before"], given, [])

    def integers(self, number: int) -> list[int]:
        """The integers of a constant."""
        array = self.array(number)
        if array is None or array.dtype.kind not in "iu" or array.size > 64:
            return []
        return [int(n) for n in array.ravel()]

    def fixed(self, name: str, values: list[int]) -> str:
        """The name of a list of integers that is added as a constant."""
        self.constants.append(constant(name, np.array(values, np.int64)))
        return name

    def connected(self, inputs: list[int], outputs: list[int], options: Table | None) -> None:
        """FULLY_CONNECTED, of which missing biases are left out."""
        kept = [i for i in inputs if i >= 0]
        self._fused("Gemm", kept, outputs, [SimpleNamespace(name="transB", i=1)], options, 0)

    def split(self, inputs: list[int], outputs: list[int], options: Table | None) -> None:
        """SPLIT, whose axis is a constant."""
        if axis := self.integers(inputs[0]):
            self._node("Split", inputs[1:2], outputs, [SimpleNamespace(name="axis", i=axis[0])])

    def split_sizes(self, inputs: list[int], outputs: list[int], options: Table | None) -> None:
        """SPLIT_V, with the lengths of the pieces."""
        axis, sizes = self.integers(inputs[2]), self.integers(inputs[1])
        if axis and sizes:
            held = [SimpleNamespace(name="axis", i=axis[0]), SimpleNamespace(name="split", ints=sizes)]
            self._node("Split", inputs[:1], outputs, held)

    def gathered(self, inputs: list[int], outputs: list[int], options: Table | None) -> None:
        """GATHER."""
        axis = options.number(0, "i") if options is not None else 0
        self._node("Gather", inputs[:2], outputs, [SimpleNamespace(name="axis", i=axis)])

    def joined(self, inputs: list[int], outputs: list[int], options: Table | None) -> None:
        """CONCATENATION."""
        axis = options.number(0, "i") if options is not None else 0
        self._fused("Concat", inputs, outputs, [SimpleNamespace(name="axis", i=axis)], options, 1)

    def transposed(self, inputs: list[int], outputs: list[int], options: Table | None) -> None:
        """TRANSPOSE, whose order is a constant."""
        self._node(
            "Transpose", inputs[:1], outputs, [SimpleNamespace(name="perm", ints=self.integers(inputs[1]))]
        )

    def reshaped(self, inputs: list[int], outputs: list[int], options: Table | None) -> None:
        """RESHAPE, to the shape that what it gives has."""
        shape = [int(n) for n in self._tensor(outputs[0]).numbers(0, "<i4")]
        name = self.fixed(f"{self.name(outputs[0])} shape", shape)
        self._named("Reshape", [self.name(inputs[0]), name], [self.name(outputs[0])], [])

    def reversed(self, inputs: list[int], outputs: list[int], options: Table | None) -> None:
        """REVERSE_V2."""
        self._node("Reverse", inputs[:1], outputs, [])

    def sliced(self, inputs: list[int], outputs: list[int], options: Table | None) -> None:
        """SLICE, by begins and lengths."""
        begins, lengths = self.integers(inputs[1]), self.integers(inputs[2])
        if not begins or len(begins) != len(lengths):
            return
        ends = [_END if n < 0 else a + n for a, n in zip(begins, lengths, strict=True)]
        held = [SimpleNamespace(name="starts", ints=begins), SimpleNamespace(name="ends", ints=ends)]
        self._node("Slice", inputs[:1], outputs, held)

    def strided(self, inputs: list[int], outputs: list[int], options: Table | None) -> None:
        """STRIDED_SLICE, by begins and ends, some of which stand for the first and the last place."""
        begins, ends, steps = (self.integers(i) for i in inputs[1:4])
        masks = [options.number(i, "i") if options is not None else 0 for i in range(5)]
        if not begins or len(begins) != len(ends) or set(steps) != {1} or masks[2] or masks[3]:
            return
        for axis in range(len(begins)):
            begins[axis] = 0 if masks[0] >> axis & 1 else begins[axis]
            ends[axis] = _END if masks[1] >> axis & 1 else ends[axis]
        dropped = [axis for axis in range(len(begins)) if masks[4] >> axis & 1]
        for axis in dropped:
            ends[axis] = begins[axis] + 1
        held = [SimpleNamespace(name="starts", ints=begins), SimpleNamespace(name="ends", ints=ends)]
        given = self.name(outputs[0])
        self._named("Slice", [self.name(inputs[0])], [f"{given} cut"], held)
        axes = [SimpleNamespace(name="axes", ints=dropped)]
        self._named("Squeeze" if dropped else "Identity", [f"{given} cut"], [given], axes if dropped else [])

    def same(self, inputs: list[int], outputs: list[int], options: Table | None) -> None:
        """What leaves the numbers as they are."""
        self._node("Identity", inputs[:1], outputs, [])

    def loop(self, inputs: list[int], outputs: list[int], options: Table | None) -> None:
        """WHILE, as a node with its body."""
        index = options.number(1, "i") if options is not None else -1
        if not 0 <= index < len(self.model.graphs):
            raise Refused("expected a body that the file has, got another: it is damaged")
        body = _Graph(self.model, self.model.graphs[index], f"{self.prefix}b", self.depth + 1).made()
        self._node("While", inputs, outputs, [SimpleNamespace(name="body", g=body)])

    def simple(self, inputs: list[int], outputs: list[int], options: Table | None) -> None:
        """UNIDIRECTIONAL_SEQUENCE_RNN."""
        W, R, b = (self._weights(i) for i in inputs[1:4])
        fused = _FUSED.get(options.number(1, "b") if options is not None else 0)
        if fused is None:
            raise Refused("expected the function relu or tanh of an RNN, got another")
        held = [SimpleNamespace(name="activations", strings=[(fused or "Affine").encode()])]
        held += [] if fused else [SimpleNamespace(name="activation_alpha", floats=[1.0])]
        self._recurrent("RNN", inputs, outputs, W, R, b, None, held, options, 0)

    def lstm(self, inputs: list[int], outputs: list[int], options: Table | None) -> None:
        """UNIDIRECTIONAL_SEQUENCE_LSTM."""
        if len(inputs) < 20:
            raise Refused(f"expected an LSTM with at least 20 inputs, got {len(inputs)}: it is damaged")
        if max(inputs[16:18]) >= 0 or max(inputs[20:24], default=-1) >= 0:
            what = "a projection" if max(inputs[16:18]) >= 0 else "normalised layers"
            raise Refused(f"expected an LSTM without {what}, got one with it")
        clip = options.number(1, "f") if options is not None else 0.0
        fused = options.number(0, "b") if options is not None else 4
        if fused != 4:
            raise Refused("expected an LSTM with tanh, got another function")
        if clip > 0:
            self.model.told.add(
                f"its runtime clips c at ±{clip:g}, which the cell does not: hold |c| of your run against it"
            )
        coupled = inputs[1] < 0
        order = (4, 2, 3) if coupled else (1, 4, 2, 3)  # i, o, f, c
        W, R, b = ([self._weights(inputs[place + shift]) for place in order] for shift in (0, 4, 11))
        peepholes = [None if inputs[i] < 0 else self._weights(inputs[i]) for i in (9, 11, 10)]
        if coupled:  # i = 1 − f, whose rows are those of f with the sign turned
            W, R, b = ([-each[1], *each] for each in (W, R, b))
            peepholes[0] = None if peepholes[2] is None else -peepholes[2]
        P = None
        if peepholes[1] is not None:
            P = np.concatenate([np.zeros_like(peepholes[1]) if p is None else p for p in peepholes])
        rows = [np.concatenate(each) for each in (W, R, b)]
        self._recurrent("LSTM", inputs, outputs, rows[0], rows[1], rows[2], P, [], options, 3)

    def _weights(self, number: int) -> np.ndarray:
        found = self.array(number)
        if found is None or found.dtype not in (np.float32, np.float64):
            raise Refused("expected the weights of a recurrent layer as constants, got others")
        return found

    def _recurrent(
        self,
        kind: str,
        inputs: list[int],
        outputs: list[int],
        W: np.ndarray,
        R: np.ndarray,
        b: np.ndarray,
        P: np.ndarray | None,
        attributes: Attributes,
        options: Table | None,
        time_major: int,
    ) -> None:
        """A recurrent layer as a node, with the outputs of its one direction."""
        own, layout = (
            self.name(outputs[0]),
            int(not (options is not None and options.number(time_major, "b"))),
        )
        arrays = {"W": W[None], "R": R[None], "B": np.concatenate([b, np.zeros_like(b)])[None]}
        if P is not None:
            arrays["P"] = P[None]
        for key, array in arrays.items():
            self.constants.append(constant(f"{own} {key}", array))
        names = [self.name(inputs[0]), *(f"{own} {key}" for key in ("W", "R", "B"))]
        names += ["", "", "", f"{own} P"] if P is not None else []
        held = [*attributes, SimpleNamespace(name="layout", i=layout)]
        self._named(kind, names, [f"{own} Y"], held, self._tensor(outputs[0]).text(3)[:200])
        axis = SimpleNamespace(name="axes", ints=[2 if layout else 1])
        self._named("Squeeze", [f"{own} Y"], [own], [axis])


_Maker = Callable[[_Graph, list[int], list[int], Table | None], None]
_OPERATORS: dict[int, _Maker] = {
    2: _Graph.joined,
    6: _Graph.same,
    9: _Graph.connected,
    22: _Graph.reshaped,
    36: _Graph.gathered,
    39: _Graph.transposed,
    43: _Graph.reshaped,
    45: _Graph.strided,
    49: _Graph.split,
    53: _Graph.same,
    65: _Graph.sliced,
    70: _Graph.reshaped,
    102: _Graph.split_sizes,
    105: _Graph.reversed,
    _WHILE: _Graph.loop,
    _RNN: _Graph.simple,
    _LSTM: _Graph.lstm,
}
