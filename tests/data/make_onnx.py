"""Write onnx.npz: models, outputs and ∂(last state)/∂(first state) of ONNX's recurrent nodes.

python tests/data/make_onnx.py        # the file was made with onnx 1.23.2 and onnxruntime 1.31.1

Outputs are onnxruntime's. It has no derivatives of its own: the Jacobian is a complex step through the reference
implementation that comes with onnx, exact to rounding.
"""

from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

UNITS, INPUTS, STEPS = 3, 2, 100
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
NODES = {
    "rnn": ("RNN", {}, "B"),
    "gru": ("GRU", {}, "B"),
    "gru_linear": ("GRU", {"linear_before_reset": 1}, "B"),
    "gru_linear_plain": ("GRU", {"linear_before_reset": 1}, ""),
    "lstm": ("LSTM", {}, "B"),
    "lstm_peepholes": ("LSTM", {}, "BP"),
    "lstm_both": ("LSTM", {"direction": "bidirectional"}, "BP"),
}


def _model(kind, options, weights, dtype):
    """A model of one node; x0 is an input."""
    element = TensorProto.FLOAT if dtype == np.float32 else TensorProto.DOUBLE
    states = ["h"] if kind != "LSTM" else ["h", "c"]
    names = [name if name in weights else "" for name in ("W", "R", "B")] + ["", *states]
    if "P" in weights:
        names += ["P"]
    node = helper.make_node(
        kind,
        ["X", *names],
        ["Y", *(f"last_{s}" for s in states)],
        name=kind.lower(),
        hidden_size=UNITS,
        **options,
    )
    count = len(weights["R"])
    inputs = [helper.make_tensor_value_info("X", element, (STEPS, 1, INPUTS))]
    inputs += [helper.make_tensor_value_info(s, element, (count, 1, UNITS)) for s in states]
    outputs = [helper.make_tensor_value_info("Y", element, (STEPS, count, 1, UNITS))]
    outputs += [helper.make_tensor_value_info(f"last_{s}", element, (count, 1, UNITS)) for s in states]
    constants = [numpy_helper.from_array(w.astype(dtype), name) for name, w in weights.items()]
    graph = helper.make_graph([node], "graph", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def _feed(inputs, x0):
    """x0: for each direction the flat state [h] or [h, c]."""
    parts = np.split(x0, x0.shape[1] // UNITS, axis=1)
    return {"X": inputs[:, None]} | dict(zip("hc", (p[:, None] for p in parts), strict=False))


def _last(session, inputs, x0):
    found = session.run(None, _feed(inputs, x0))
    return np.concatenate([part[:, 0] for part in found[1:]], axis=1)


def main() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(STEPS, INPUTS)).astype(np.float32)
    found = {"inputs": inputs}
    for name, (kind, options, more) in NODES.items():
        count, rows = (2 if "direction" in options else 1), GATES[kind] * UNITS
        shapes = {"W": (count, rows, INPUTS), "R": (count, rows, UNITS)}
        shapes |= {n: (count, size) for n, size in (("B", 2 * rows), ("P", 3 * UNITS)) if n in more}
        weights = {n: (random.normal(size=s) * 0.7).astype(np.float32) for n, s in shapes.items()}
        size = 2 * UNITS if kind == "LSTM" else UNITS
        x0 = (random.normal(size=(count, size)) / 2).astype(np.float32)
        model = _model(kind, options, weights, np.float32)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        found |= {f"{name}/weights/{n}": w for n, w in weights.items()} | {f"{name}/x0": x0}
        found[f"{name}/model"] = np.frombuffer(model.SerializeToString(), np.uint8)
        found[f"{name}/outputs"] = session.run(None, _feed(inputs, x0))[0][:, :, 0]
        reference = ReferenceEvaluator(_model(kind, options, weights, np.float64))
        found[f"{name}/last"] = _last(reference, inputs.astype(float), x0.astype(float))
        jacobian = np.empty((count, size, size))
        for i in range(size):
            moved = x0.astype(complex)
            moved[:, i] += 1e-100j
            jacobian[:, :, i] = _last(reference, inputs.astype(complex), moved).imag / 1e-100
        found[f"{name}/jacobian"] = jacobian
    np.savez_compressed(Path(__file__).with_name("onnx.npz"), **found)


if __name__ == "__main__":
    main()
