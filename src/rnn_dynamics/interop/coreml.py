"""Recurrent layers of Core ML's models, as nodes of a graph in the form of ONNX.

Equations are those of Apple's specification (NeuralNetwork.proto): a GRU resets before the product, and what gates
are taken of is clipped at ±50, which is left out where a function is flat there.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from rnn_dynamics.interop.coreml_programs import constant, read_program
from rnn_dynamics.interop.protobuf import fields, flag, floats, gathered, number, text
from rnn_dynamics.interop.stored import MOST_BYTES, Refused, from_bytes

NETWORKS, PIPELINES, PROGRAM = (500, 403, 303), (202, 200, 201), 502
_LAYERS = {400: "RNN", 410: "GRU", 420: "LSTM", 430: "LSTM"}
_BOTH, _DEEPEST = 430, 4
_NO_CLIP, _CLIP = 50_000.0, 50.0
#: Of each matrix the numbers of W, R and the bias in ONNX's order of gates.
_OF_GRU = ((30, 50, 70), (31, 51, 71), (32, 52, 72))
_OF_LSTM = ((1, 20, 40), (4, 23, 43), (2, 21, 41), (3, 22, 42))
_PEEPHOLES = (60, 62, 61)
_ACTIVATIONS = {
    5: ("affine", (1, 2)),
    10: ("relu", ()),
    15: ("leakyrelu", (1,)),
    20: ("thresholdedrelu", (1,)),
    30: ("tanh", ()),
    31: ("scaledtanh", (1, 2)),
    40: ("sigmoid", ()),
    41: ("hardsigmoid", (1, 2)),
    50: ("elu", (1,)),
    60: ("softsign", ()),
    70: ("softplus", ()),
}
_FLAT = ("tanh", "sigmoid", "hardsigmoid")


def read_file(path: Path) -> SimpleNamespace:
    """The recurrent layers of a model, as the graph of a model of ONNX.

    Raises:
        Refused: layers that are not read, weights that do not fit; what ``read_program`` refuses.
        Exception: of any kind, where it is damaged.
    """
    graph = SimpleNamespace(node=[], initializer=[], input=[], output=[], told=set())
    _read_model(memoryview(path.read_bytes()), path.parent, graph, 0)
    return graph


def _read_model(content: memoryview, folder: Path, graph: SimpleNamespace, depth: int) -> None:
    """Add the layers of a model, and of those inside of it."""
    if depth > _DEEPEST:
        raise Refused(f"expected models at most {_DEEPEST} deep in one another, got deeper ones")
    for key, value in fields(content):
        if key == PROGRAM:
            read_program(value, folder, graph)
        if key in NETWORKS:
            current: dict[str, str] = {}
            for layer in gathered(value, {1: "layer"})["layer"]:
                _read_layer(layer, graph, current)
        if key in PIPELINES:
            inner = value if key == PIPELINES[0] else gathered(value, {1: "pipeline"})["pipeline"][-1]
            for each in gathered(inner, {1: "model"})["model"]:
                _read_model(each, folder, graph, depth + 1)


def _read_layer(content: memoryview, graph: SimpleNamespace, current: dict[str, str]) -> None:
    """Add a recurrent layer; of others the names of what they give are kept."""
    found = gathered(content, {1: "name", 2: "input", 3: "output"} | {n: str(n) for n in _LAYERS})
    inputs, outputs = ([text([each]) for each in found[name]] for name in ("input", "output"))
    number_of = next((n for n in _LAYERS if found[str(n)]), None)
    name, given = text(found["name"]), current.get(inputs[0] if inputs else "", inputs[0] if inputs else "")
    unique = f"{name}/{len(graph.node)}"
    if number_of is None:
        current.update({each: f"{each}/{len(current)}/{len(graph.initializer)}" for each in outputs})
        return
    layer = found[str(number_of)][-1]
    arrays, attributes, is_sequence = _layer(layer, number_of, name, graph.told)
    kind = _LAYERS[number_of]
    for key, array in arrays.items():
        graph.initializer.append(constant(f"{unique}/{key}", array))
    places = ["W", "R", "B", *(["", "", "", "P"] if "P" in arrays else [])]
    names = [given, *(f"{unique}/{place}" if place else "" for place in places)]
    graph.node.append(_node(kind, name, names, f"{unique}/Y", attributes))
    if is_sequence and outputs:
        axis = SimpleNamespace(name="axes", ints=[1])
        graph.node.append(_node("Squeeze", "", [f"{unique}/Y"], f"{unique}/y", [axis]))
        current[outputs[0]] = f"{unique}/y"


def _node(kind: str, name: str, inputs: list[str], output: str, attributes: list[Any]) -> SimpleNamespace:
    return SimpleNamespace(
        op_type=kind, domain="", name=name, input=inputs, output=[output], attribute=attributes
    )


def _layer(
    content: memoryview, which: int, name: str, told: set[str]
) -> tuple[dict[str, np.ndarray], list[Any], bool]:
    """W, R, B and P in ONNX's layout, the attributes, and whether the layer gives all steps."""
    kind, both = _LAYERS[which], which == _BOTH
    held = gathered(content, {n: str(n) for n in (1, 2, 10, 11, 15, 20, 100, *range(30, 73))})
    inputs, units = (int(held[key][-1]) if held[key] else 0 for key in ("1", "2"))
    if not 0 < units < 2**20 or not 0 < inputs < 2**24:
        raise Refused(
            f"expected numbers of units and inputs of layer {name[:60]!r}, got {units} and {inputs}"
        )
    functions = [_activation(each, name) for key in ("10", "11") for each in held[key]]
    reader = _Weights(name, units, inputs, told)
    peepholes: list[np.ndarray] = []
    sequence = flag(held["15"])
    if kind == "LSTM":
        options = gathered(held["15"][-1], {10: "all", 20: "b", 30: "f", 40: "p", 50: "coupled", 60: "clip"})
        _check_lstm(options, name)
        sequence = flag(options["all"])
        groups = []
        for each in held["20"]:
            inner = gathered(each, {n: str(n) for n in range(1, 63)})
            rows = reader.rows(inner, _OF_LSTM, flag(options["b"]))
            rows[2][2 * units : 3 * units] += np.float32(flag(options["f"]))
            groups.append(rows)
            if flag(options["p"]):
                peepholes.append(np.concatenate([reader.array(inner[str(n)], (units,)) for n in _PEEPHOLES]))
    elif kind == "GRU":
        groups = [reader.rows(held, _OF_GRU, flag(held["20"]))]
    else:
        groups = [reader.rows(held, ((30, 31, 32),), flag(held["20"]))]
    if len(groups) != 1 + both:
        raise Refused(
            f"expected the weights of {1 + both} directions in layer {name[:60]!r}, got {len(groups)}"
        )
    W, R, b = (np.stack(parts) for parts in zip(*groups, strict=True))
    arrays = {"W": W, "R": R, "B": np.concatenate([b, np.zeros_like(b)], axis=1)}
    if peepholes:
        arrays["P"] = np.stack(peepholes)
    direction = b"bidirectional" if both else b"reverse" if flag(held["100"]) else b"forward"
    return arrays, _attributes(units, direction, functions), sequence


def _check_lstm(options: dict[str, list[Any]], name: str) -> None:
    clip = number(options["clip"])
    if flag(options["coupled"]):
        raise Refused(
            f"expected an LSTM with gates i and f of its own in layer {name[:60]!r}, got coupled ones, whose form "
            "Core ML's specification does not say"
        )
    if 0 < clip < _NO_CLIP:
        raise Refused(
            f"expected an LSTM that does not clip c in layer {name[:60]!r}, got a limit of {clip:g}"
        )


def _attributes(units: int, direction: bytes, functions: list[tuple[str, tuple[float, ...]]]) -> list[Any]:
    names = [name for name, _ in functions]
    numbers = [values for _, values in functions]
    found = [
        SimpleNamespace(name="hidden_size", i=units),
        SimpleNamespace(name="direction", s=direction),
        SimpleNamespace(name="activations", strings=[name.encode() for name in names]),
        SimpleNamespace(name="activation_alpha", floats=[each[0] for each in numbers if each]),
        SimpleNamespace(name="activation_beta", floats=[each[1] for each in numbers if len(each) > 1]),
    ]
    if any(name not in _FLAT for name in names):
        found.append(SimpleNamespace(name="clip", f=_CLIP))
    return found


def _activation(content: memoryview, layer: str) -> tuple[str, tuple[float, ...]]:
    for key, value in fields(content):
        if key in _ACTIVATIONS:
            name, places = _ACTIVATIONS[key]
            held = gathered(value, {place: str(place) for place in places})
            return name, tuple(number(held[str(place)]) for place in places)
        raise Refused(f"expected a function of the units in layer {layer[:60]!r}, got number {key}")
    raise Refused(f"expected the activations of layer {layer[:60]!r}, got none")


class _Weights:
    """The weights of a layer."""

    def __init__(self, name: str, units: int, inputs: int, told: set[str]) -> None:
        self._name, self._units, self._inputs, self._told = name, units, inputs, told

    def rows(
        self, held: dict[str, list[Any]], gates: tuple[tuple[int, int, int], ...], biased: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """W, R and the bias of the gates on top of one another."""
        shapes = ((self._units, self._inputs), (self._units, self._units), (self._units,))
        parts: list[np.ndarray] = []
        for place, shape in enumerate(shapes):
            if place == 2 and not biased:
                parts.append(np.zeros(len(gates) * self._units, np.float32))
                continue
            parts.append(np.concatenate([self.array(held[str(gate[place])], shape) for gate in gates]))
        return parts[0], parts[1], parts[2]

    def array(self, values: list[Any], shape: tuple[int, ...]) -> np.ndarray:
        """Weights of that shape, as float32."""
        if not values:
            raise Refused(
                f"expected weights of shape {shape} in layer {self._name[:60]!r}, which are missing"
            )
        held = gathered(values[-1], {1: "float", 2: "half", 30: "raw", 31: "int8", 40: "scale"})
        count = int(np.prod(shape, dtype=object))
        if count * 4 > MOST_BYTES:
            raise Refused(f"expected weights that fit into memory, got shape {shape}")
        for key, dtype, size in (("float", "float32", 4), ("half", "float16", 2)):
            if held[key]:
                content = floats(held[key])
                if len(content) != count * size:
                    raise Refused(
                        f"expected {count} weights of shape {shape} in layer {self._name[:60]!r}, "
                        f"got {len(content) // size}"
                    )
                if dtype == "float16":
                    self._told.add("float16 was made float32")
                return from_bytes(content, dtype, shape).astype(np.float32)
        return self._scaled(held, shape, count)

    def _scaled(self, held: dict[str, list[Any]], shape: tuple[int, ...], count: int) -> np.ndarray:
        """Weights of 8 bits: scale · number + bias, one for all or one for each row."""
        told = gathered(held["scale"][-1], {1: "bits", 101: "linear"}) if held["scale"] else {}
        linear = told.get("linear")
        if not linear or not held["raw"] or told["bits"][-1:] not in ([8], []):
            raise Refused(
                f"expected weights in float32, float16, or 8 bits with a scale in layer {self._name[:60]!r}, got "
                "another kind"
            )
        parts = gathered(linear[-1], {1: "scale", 2: "bias"})
        whole = from_bytes(floats(held["raw"]), "uint8", shape).astype(np.float32)
        scale, bias = (np.frombuffer(floats(parts[key]), "<f4") for key in ("scale", "bias"))
        for each in (scale, bias):
            if each.size not in (0, 1, shape[0]):
                raise Refused(
                    f"expected one scale or {shape[0]} in layer {self._name[:60]!r}, got {each.size}"
                )
        column = (-1, *(1 for _ in shape[1:]))
        self._told.add("8 bits were made float32 by the scale that the file has")
        found = whole * scale.reshape(column if scale.size else (1,) * len(shape))
        return found + bias.reshape(column) if bias.size else found
