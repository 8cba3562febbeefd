"""Nodes, attributes and constants of an ONNX graph, read by their fields: the package onnx is not needed."""

from typing import Any

import numpy as np

_DEFAULTS = {"RNN": ("tanh",), "GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}
_DIRECTIONS = ("forward", "reverse", "bidirectional")
_OF_AN_RNN = ("tanh", "relu", "sigmoid")
# Attributes that leave the step as it is: layout orders the axes of a batch; α and β belong to other activations.
_INERT = {"activation_alpha", "activation_beta", "hidden_size", "layout"}
_SETTLED = {"activations", "direction", "linear_before_reset", "input_forget", "clip"}
_INPUTS = {"W": 1, "R": 2, "B": 3, "P": 7}
_INITIAL = {"initial_h": 5, "initial_c": 6}
# Of onnx.TensorProto: data types FLOAT and DOUBLE, with the fields that hold what is not raw.
_FLOATS = {1: ("<f4", "float_data"), 11: ("<f8", "double_data")}
_EXTERNAL = 1


def nodes_of(graph: Any) -> list[Any]:
    """Return the recurrent nodes of a graph, in its order."""
    return [node for node in graph.node if node.op_type in _DEFAULTS and node.domain in ("", "ai.onnx")]


def settings(node: Any, direction: str | None) -> dict[str, Any]:
    """Kind, direction and size of a node, an RNN's activation in the direction asked for, linear_before_reset.

    Raises:
        ValueError: clipping, input_forget, activations that are not the defaults (of an RNN: but tanh, relu and
            sigmoid) or not as many as the directions need, an unknown attribute or direction.
    """
    kind = node.op_type
    found = {attribute.name: attribute for attribute in node.attribute}
    unknown = sorted(set(found) - _INERT - _SETTLED)
    if unknown:
        raise ValueError(f"source: expected the attributes of ONNX's {kind}, got also {unknown}")
    if "clip" in found:
        raise ValueError(f"source: expected a {kind} that does not clip, got clip={found['clip'].f}")
    if "input_forget" in found and found["input_forget"].i:
        raise ValueError("source: expected an LSTM with gates i and f of its own, got input_forget=1")
    told: dict[str, Any] = {"kind": kind, "direction": "forward"}
    if "direction" in found:
        told["direction"] = _text(found["direction"].s)
    if told["direction"] not in _DIRECTIONS:
        raise ValueError(f"source: expected a direction of {_DIRECTIONS}, got {told['direction']!r}")
    if "hidden_size" in found:
        told["hidden_size"] = int(found["hidden_size"].i)
    if kind == "GRU":
        reset = found.get("linear_before_reset")
        told["linear_before_reset"] = int(reset is not None and reset.i != 0)
    own = _activations(kind, found.get("activations"), told["direction"], direction)
    if kind == "RNN" and own[0] in _OF_AN_RNN:
        return told | {"activation": own[0]}
    if own != _DEFAULTS[kind]:
        raise ValueError(f"source: expected the activations {_DEFAULTS[kind]} of a {kind}, got {own}")
    return told


def _activations(kind: str, attribute: Any, known: str, wanted: str | None) -> tuple[str, ...]:
    """Those of the direction wanted, of a node whose direction is known."""
    own = tuple(_text(s).lower() for s in attribute.strings) if attribute is not None else ()
    size, both = len(_DEFAULTS[kind]), known == "bidirectional"
    if not own:
        return _DEFAULTS[kind]
    if len(own) != size * (1 + both):
        raise ValueError(f"source: expected {size * (1 + both)} activations of a {known} {kind}, got {own}")
    return own[size:] if both and wanted == "reverse" else own[:size]


def arrays_of(graph: Any, node: Any) -> dict[str, np.ndarray]:
    """W, R and where the node has them B and P, from initializers and constants.

    Raises:
        ValueError: weights that are missing, computed by the model, in another file, or of another dtype.
    """
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for other in graph.node:
        if other.op_type == "Constant":
            values = [attribute.t for attribute in other.attribute if attribute.name == "value"]
            tensors |= dict(zip(other.output, values, strict=False))
    found = {}
    for name, place in _INPUTS.items():
        source = node.input[place] if place < len(node.input) else ""
        if not source and name in ("W", "R"):
            raise ValueError(f"source: expected {name}, which is missing")
        if source and source not in tensors:
            raise ValueError(f"source: expected {name} among the initializers, got {source!r}, which is not")
        if source:
            found[name] = _array(name, tensors[source])
    _check_initial(node, tensors, found["R"])
    return found


def _check_initial(node: Any, tensors: dict[str, Any], R: np.ndarray) -> None:
    """The initial states that the model holds are as wide as R.

    PyTorch's export of an LSTM with ``proj_size`` writes one of that many units with part of the weights; a wider
    initial c is all that tells (torch 2.13.0, findings/torch_onnx_projection.sh).
    """
    for name, place in _INITIAL.items():
        source = node.input[place] if place < len(node.input) else ""
        width = tuple(tensors[source].dims)[-1:] if source in tensors else ()
        if width and R.ndim == 3 and int(width[0]) != R.shape[2]:
            hint = ": an LSTM with proj_size, whose export lacks weights? Import the module by from_torch"
            raise ValueError(
                f"source: expected {name} of {R.shape[2]} units, as R has, got {int(width[0])}"
                + hint * (name == "initial_c")
            )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _array(name: str, tensor: Any) -> np.ndarray:
    if tensor.data_type not in _FLOATS:
        raise ValueError(
            f"source: expected {name} in float32 or float64, got ONNX's data type {tensor.data_type}"
        )
    if tensor.data_location == _EXTERNAL:
        raise ValueError(
            f"source: expected {name} in the model, got it in another file; onnx.load fetches it"
        )
    dtype, field = _FLOATS[tensor.data_type]
    shape, raw = tuple(tensor.dims), tensor.raw_data
    try:
        flat = np.frombuffer(raw, dtype) if raw else np.array(getattr(tensor, field), dtype)
        return flat.astype(dtype[1:]).reshape(shape)
    except ValueError as error:
        got = f"{len(raw)} bytes" if raw else f"{len(getattr(tensor, field))} numbers"
        raise ValueError(
            f"source: expected {name} with the numbers of its shape {shape}, got {got}"
        ) from error
