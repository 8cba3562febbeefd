"""Recurrent nodes of ONNX in onnxruntime, which has no derivatives: ∂h_T/∂h_0 is by central differences."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from rnn_dynamics.interop import from_onnx
from tests.peers.rows import INPUTS, UNITS, Row

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
NODES = (
    ("RNN", {}, "B"),
    ("RNN", {"activations": ["Relu"]}, "B"),
    ("GRU", {}, "B"),
    ("GRU", {"linear_before_reset": 1}, "B"),
    ("GRU", {}, ""),
    ("LSTM", {}, "B"),
    ("LSTM", {}, "BP"),
)


def rows() -> Iterator[Row]:
    rng = np.random.default_rng(0)
    for kind, options, more in NODES:
        size = GATES[kind] * UNITS
        shapes = {"W": (1, size, INPUTS), "R": (1, size, UNITS)}
        shapes |= {n: (1, width) for n, width in (("B", 2 * size), ("P", 3 * UNITS)) if n in more}
        alive = np.abs if "activations" in options else np.asarray  # a relu below 0 has no derivative
        weights = {n: alive(0.5 * rng.normal(size=s)).astype("float32") for n, s in shapes.items()}
        if "activations" in options:
            weights["B"] += 1
            weights["R"] *= 0.3
        yield of(kind, options, weights, more)


def of(kind: str, options: dict, weights: dict, more: str) -> Row:
    model = _model(kind, options, weights)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(x0: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        parts, found = np.split(x0.astype("float32"), len(x0) // UNITS), []
        for u in inputs:
            feed = {"X": u[None, None]} | {n: p[None, None] for n, p in zip("hc", parts, strict=False)}
            parts = [part[0, 0] for part in session.run(None, feed)[1:]]
            found.append(np.concatenate(parts))
        return np.stack(found)

    def jacobian(x0: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """The product of each step's Jacobian, by central differences of fourth order along the orbit."""
        product, x, sides = np.eye(len(x0)), x0, np.eye(len(x0), dtype="float32") * np.float32(2**-4)
        for u in inputs:
            near, far = (
                np.stack([run(x + k * h, u[None])[0] - run(x - k * h, u[None])[0] for h in sides], axis=1)
                for k in (np.float32(1), np.float32(2))
            )
            product = ((8 * near - far) / (12 * 2.0**-4)).dot(product)
            x = run(x, u[None])[0]
        return product

    words = [f"{key}={value}" for key, value in options.items()]
    words += {"": ["no B"], "BP": ["peepholes"]}.get(more, [])
    because = "onnxruntime has no gradient; ∂h_T/∂h_0 is of central differences in float32"
    return Row(
        kind,
        ", ".join(words),
        from_onnx(model),
        run,
        jacobian,
        "float32",
        tolerances=(2e-6, 2e-3),
        because=because,
    )


def _model(kind: str, options: dict, weights: dict) -> Any:
    states = ["h"] if kind != "LSTM" else ["h", "c"]
    names = [name if name in weights else "" for name in ("W", "R", "B")] + ["", *states]
    names += ["P"] if "P" in weights else []
    last = [f"last_{s}" for s in states]
    node = helper.make_node(kind, ["X", *names], ["Y", *last], name="node", hidden_size=UNITS, **options)
    value = helper.make_tensor_value_info
    inputs = [value("X", TensorProto.FLOAT, (1, 1, INPUTS))]
    inputs += [value(s, TensorProto.FLOAT, (1, 1, UNITS)) for s in states]
    outputs = [value("Y", TensorProto.FLOAT, (1, 1, 1, UNITS))]
    outputs += [value(name, TensorProto.FLOAT, (1, 1, UNITS)) for name in last]
    constants = [numpy_helper.from_array(w, name) for name, w in weights.items()]
    graph = helper.make_graph([node], "graph", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
