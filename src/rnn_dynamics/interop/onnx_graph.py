"""Recurrent nodes of an ONNX graph: attributes and weights, read by their fields without the package onnx."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_dynamics.interop.onnx_constants import Computed, Constants
from rnn_dynamics.numerics.texts import counted

_DEFAULTS = {"RNN": ("tanh",), "GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}
_DIRECTIONS = ("forward", "reverse", "bidirectional")
_ACTIVATIONS = {"activations", "activation_alpha", "activation_beta"}
_KNOWN = {"direction", "linear_before_reset", "input_forget", "clip", "hidden_size", "layout"}
_PLACES = {"W": 1, "R": 2, "B": 3, "P": 7}
_INITIAL = {"initial_h": 5, "initial_c": 6}
#: What onnxruntime takes for α and β of the activations that have them; ``None`` where it has no sensible default.
_PARAMETERS: dict[str, tuple[float | None, ...]] = {
    "affine": (None, 0.0),
    "elu": (1.0,),
    "hardsigmoid": (0.2, 0.5),
    "leakyrelu": (0.01,),
    "scaledtanh": (None, None),
    "thresholdedrelu": (0.0,),
}
_PLAIN = ("relu", "sigmoid", "softplus", "softsign", "tanh")
_QUANTISED = "DynamicQuantizeLSTM"
QUANTISED = (
    "int8 was made float32 by the scale that the file has; that the node also rounds its inputs and its state to 8 "
    "bits at every step is left out"
)

Function = tuple[str, tuple[float, ...]]


def nodes_of(graph: Any) -> list[Any]:
    """Return the recurrent nodes of a graph, in its order."""
    return [node for node in graph.node if kind_of(node) is not None]


def kind_of(node: Any) -> str | None:
    """ "RNN", "GRU" or "LSTM"; ``None`` of another node."""
    if is_quantised(node):
        return "LSTM"
    return node.op_type if node.op_type in _DEFAULTS and node.domain in ("", "ai.onnx") else None


def is_quantised(node: Any) -> bool:
    """Whether its weights are 8-bit integers."""
    return node.op_type == _QUANTISED and node.domain == "com.microsoft"


def settings(node: Any, direction: str | None) -> dict[str, Any]:
    """Kind, direction, size, functions in the direction asked for, clipping and the like of a node.

    Raises:
        ValueError: an activation that the standard lacks, or not as many as the directions need, numbers of them
            that are missing or too many, clipping at no number > 0, an unknown attribute or direction.
    """
    kind = kind_of(node)
    assert kind is not None
    found = {attribute.name: attribute for attribute in node.attribute}
    unknown = sorted(set(found) - _ACTIVATIONS - _KNOWN)
    if unknown:
        raise ValueError(f"source: expected the attributes of ONNX's {kind}, got also {unknown}")
    told: dict[str, Any] = {"kind": kind, "direction": "forward", "layout": 0}
    if "direction" in found:
        told["direction"] = _text(found["direction"].s)
    if told["direction"] not in _DIRECTIONS:
        raise ValueError(f"source: expected a direction of {_DIRECTIONS}, got {told['direction']!r}")
    for name in ("hidden_size", "layout"):
        if name in found:
            told[name] = int(found[name].i)
    told["clip"] = None
    if "clip" in found:
        told["clip"] = float(found["clip"].f)
        if not 0 < told["clip"] < np.inf:
            raise ValueError(
                f"source: expected clip > 0 of the {kind}, got {told['clip']:g}, which onnxruntime refuses of GRU "
                "and LSTM, and which makes an RNN constant: leave the attribute out where nothing is clipped"
            )
    told["coupled"] = bool("input_forget" in found and found["input_forget"].i)
    if kind == "GRU":
        reset = found.get("linear_before_reset")
        told["linear_before_reset"] = int(reset is not None and reset.i != 0)
    names = _activations(kind, found.get("activations"))
    numbers: list[list[float]] = [
        list(getattr(found.get(f"activation_{name}"), "floats", ())) for name in ("alpha", "beta")
    ]
    told["functions"] = _functions(kind, names, numbers, told["direction"], direction)
    if told["coupled"] and told["functions"][0][0] not in ("sigmoid", "hardsigmoid"):
        raise ValueError(
            f"source: expected Sigmoid or HardSigmoid gates with input_forget=1, got {told['functions'][0][0]!r}"
        )
    return told


def _activations(kind: str, attribute: Any) -> tuple[str, ...]:
    own = tuple(_text(s).lower() for s in attribute.strings) if attribute is not None else ()
    for name in own:
        if name not in _PARAMETERS and name not in _PLAIN:
            raise ValueError(f"source: expected activations that ONNX has of the {kind}, got {name[:40]!r}")
    return own


def _functions(
    kind: str, own: tuple[str, ...], numbers: list[list[float]], known: str, wanted: str | None
) -> tuple[Function, ...]:
    """Those of the direction wanted, each with its α and β, which are listed for those alone that have them."""
    size, both = len(_DEFAULTS[kind]), known == "bidirectional"
    names = own or _DEFAULTS[kind] * (1 + both)
    if len(names) != size * (1 + both):
        raise ValueError(f"source: expected {size * (1 + both)} activations of a {known} {kind}, got {own}")
    lists, found = [iter(each) for each in numbers], []
    for name in names:
        defaults = _PARAMETERS.get(name, ())
        values = [next(each, default) for each, default in zip(lists, defaults, strict=False)]
        if None in values:
            words = " and ".join(("activation_alpha", "activation_beta")[: len(defaults)])
            raise ValueError(
                f"source: expected {words} of {name!r}, which the standard gives no default, got none: onnxruntime "
                "takes 0, with which it is a constant"
            )
        found.append((name, tuple(float(value) for value in values if value is not None)))
    return tuple(found[size:] if both and wanted == "reverse" else found[:size])


def arrays_of(constants: Constants, node: Any) -> dict[str, np.ndarray]:
    """W, R and where the node has them B and P, from initializers and constants.

    Raises:
        ValueError: weights that are missing, computed by the model, in another file, or of another dtype; initial
            states that do not fit them.
    """
    found = {}
    for name, place in _PLACES.items():
        source = node.input[place] if place < len(node.input) else ""
        if not source and name in ("W", "R"):
            raise ValueError(f"source: expected {name}, which is missing")
        if source:
            found[name] = _weights(constants, name, source)
    if is_quantised(node):
        found |= {name: _dequantised(constants, node, name, found[name]) for name in ("W", "R")}
        constants.told.add(QUANTISED)
    for name, array in found.items():
        if array.dtype == np.float16:
            constants.told.add("float16 was made float32")
            found[name] = array.astype(np.float32)
        elif array.dtype not in (np.float32, np.float64):
            raise ValueError(f"source: expected {name} in float32 or float64, got {array.dtype}")
    _check_initial(constants, node, found["R"])
    return found


def _weights(constants: Constants, name: str, source: str) -> np.ndarray:
    try:
        found = constants.array(source)
    except Computed as error:
        raise ValueError(
            f"source: expected {name} among the initializers, or made of them by Slice, Concat, Transpose and the "
            f"like, got {error}"
        ) from error
    tensor = constants.tensor(source)
    if getattr(tensor, "dtype", "") == "bfloat16" or getattr(tensor, "data_type", 0) == 16:
        constants.told.add("bfloat16 was made float32")
    return found


def _dequantised(constants: Constants, node: Any, name: str, whole: np.ndarray) -> np.ndarray:
    """W or R of a quantised node, which has them the other way round and a scale for all or for each row."""
    first = {"W": 8, "R": 10}[name]
    inputs = [node.input[place] if place < len(node.input) else "" for place in (first, first + 1)]
    if not inputs[0] or whole.ndim != 3 or whole.dtype not in (np.int8, np.uint8):
        raise ValueError(
            f"source: expected {name} of {_QUANTISED} as int8 of shape (directions, columns, 4 n) with a scale, "
            f"got {whole.dtype} of shape {whole.shape}"
        )
    scale = _weights(constants, f"{name}_scale", inputs[0]).astype(np.float32)
    zero = np.zeros(1) if not inputs[1] else _weights(constants, f"{name}_zero_point", inputs[1])
    count, _, rows = whole.shape
    for each in (scale, zero):
        if each.size not in (1, count, count * rows):
            raise ValueError(
                f"source: expected a scale of {name} for each direction or row, got shape {each.shape}"
            )
    scale, zero = (
        each.astype(np.float32).reshape((count if each.size > 1 else 1, 1, -1)) for each in (scale, zero)
    )
    return ((whole.astype(np.float32) - zero) * scale).swapaxes(1, 2)


def _check_initial(constants: Constants, node: Any, R: np.ndarray) -> None:
    """The initial states that the model holds are as wide as R.

    PyTorch's export of an LSTM with ``proj_size`` writes one of that many units with part of the weights; a wider
    initial c is all that tells (torch 2.13.0, findings/torch_onnx_projection.sh).
    """
    for name, place in _INITIAL.items():
        source = node.input[place] if place < len(node.input) else ""
        if not source or R.ndim != 3 or not constants.has(source):
            continue
        shape = constants.array(source).shape
        if len(shape) != 3 or shape[2] != R.shape[2]:
            hint = ": an LSTM with proj_size, whose export lacks weights? Import the module by from_torch"
            got = shape[2] if len(shape) == 3 else f"shape {shape}"
            raise ValueError(
                f"source: expected {name} of {counted(R.shape[2], 'unit')}, as R has, got {got}"
                + hint * (name == "initial_c" and len(shape) == 3)
            )


def initial_of(constants: Constants, node: Any, which: int, units: int) -> np.ndarray | None:
    """The state that the model starts the node in: h, of an LSTM [h, c]; ``None`` where it is not a constant.

    Args:
        which: the number of the direction.

    Raises:
        ValueError: samples of a batch start in different states.
    """
    parts: list[np.ndarray] = []
    for name in _INITIAL if kind_of(node) == "LSTM" else ("initial_h",):
        place = _INITIAL[name]
        source = node.input[place] if place < len(node.input) else ""
        if source and not constants.has(source):
            return None
        array = constants.array(source) if source else np.zeros((1, 1, units), np.float32)
        if array.ndim != 3 or array.shape[2] != units:
            raise ValueError(f"source: expected {name} of {counted(units, 'unit')}, got shape {array.shape}")
        rows = array[which % len(array)]
        if (rows != rows[:1]).any():
            raise ValueError(
                f"source: expected {name} that is the same for all samples, got {len(rows)} different"
            )
        parts.append(rows[0])
    return np.concatenate(parts)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def shown(functions: Sequence[Function]) -> str:
    """Names of functions in a few words."""
    return ", ".join(name for name, _ in functions)
