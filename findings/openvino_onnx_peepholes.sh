#!/usr/bin/env bash
# OpenVINO runs an ONNX LSTM with peepholes, or with input_forget, as the plain LSTM without them.
# openvino 2026.4.1, onnx 1.23.2, onnxruntime 1.32.0 (for comparison), numpy 2.4.6, CPU, float32.
# A reader should run both or refuse the file, as OpenVINO refuses activations that it lacks. Instead it is read and
# compiled without a word, and the last state is, to the last bit, that of the node without the input P or the
# attribute (its importer even reads P and reorders it). onnxruntime follows the equations of the standard.
# Touched: from_onnx reads peepholes, so a comparison of its LSTM with OpenVINO differs; compare with onnxruntime.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    openvino==2026.4.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("openvino", "onnx", "onnxruntime")))
steps, batch, inputs, units = 5, 3, 2, 4
draw = np.random.default_rng(0)
shapes = {"W": (1, 16, inputs), "R": (1, 16, units), "B": (1, 32), "h": (1, batch, units), "c": (1, batch, units)}
weights = {name: draw.standard_normal(shape).astype("f4") for name, shape in (shapes | {"P": (1, 12)}).items()}
X = draw.standard_normal((steps, batch, inputs)).astype("f4")


def standard(peepholes, coupled):
    """Y_h by ONNX's equations; the rows of the gates are i, o, f, c, those of P are i, o, f."""
    sigmoid, (W, R, B, h, c, P) = lambda z: 1 / (1 + np.exp(-z)), (weights[name][0].astype(float) for name in "WRBhcP")
    p_i, p_o, p_f = np.split(P * peepholes, 3)
    for x in X:
        i, o, f, g = np.split(x @ W.T + h @ R.T + B[:16] + B[16:], 4, axis=1)
        i = sigmoid(i + p_i * c)
        f = 1 - i if coupled else sigmoid(f + p_f * c)
        c = f * c + i * np.tanh(g)
        h = sigmoid(o + p_o * c) * np.tanh(c)
    return h


def run(peepholes, coupled):
    """Y_h by OpenVINO and by onnxruntime."""
    names = ["X", "W", "R", "B", "", "h", "c"] + ["P"] * peepholes
    node = helper.make_node("LSTM", names, ["", "Y_h"], hidden_size=units, input_forget=int(coupled))
    x = helper.make_tensor_value_info("X", TensorProto.FLOAT, X.shape)
    y = helper.make_tensor_value_info("Y_h", TensorProto.FLOAT, [1, batch, units])
    constants = [numpy_helper.from_array(weights[name], name) for name in names[1:] if name]
    graph = helper.make_graph([node], "lstm", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    core, exact = openvino.Core(), {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU", exact)
    return compiled({"X": X})[0][0], session.run(None, {"X": X})[0][0]


same, plain = True, run(False, False)[0]
for name, choice in (("plain", (False, False)), ("peepholes", (True, False)), ("input_forget=1", (False, True))):
    (ours, theirs), true = run(*choice), standard(*choice)
    off, agree, moved = (float(abs(a - b).max()) for a, b in ((ours, true), (theirs, true), (ours, plain)))
    print(f"{name:14s} off from the equations: OpenVINO {off:.1e}, onnxruntime {agree:.1e};", end=" ")
    print(f"from OpenVINO's plain LSTM: {moved:g}")
    same &= agree < 1e-5 and moved == 0.0 and (off < 1e-5) == (name == "plain")
print("still so" if same else "changed")
sys.exit(0 if same else 1)
PYTHON
