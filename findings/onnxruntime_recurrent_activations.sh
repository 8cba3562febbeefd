#!/usr/bin/env bash
# In onnxruntime the activations of RNN, GRU and LSTM are not the operators of the same name.
# onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6, CPU, float32.
# The Softplus of an RNN is inf from about 89 on, where the operator Softplus in the same file gives 90 for 90; in a
# GRU or LSTM the inf turns into NaN at the next product. ThresholdedRelu without activation_alpha cuts at 0, the
# operator at 1, although the standard says of activation_alpha: "Default values are the same as of corresponding
# ONNX operators". No error, no warning; the checker passes both files.
# Touched: rate networks with softplus units exported to ONNX; whoever takes onnxruntime for the oracle of a reader.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

print("onnxruntime", onnxruntime.__version__, "onnx", onnx.__version__)


def outputs(activation, value):
    """What an RNN of one unit (W = 1, R = 0) and the operator make of one number."""
    weights = {"W": np.ones((1, 1, 1), "f4"), "R": np.zeros((1, 1, 1), "f4")}
    rnn = helper.make_node("RNN", ["X", "W", "R"], ["Y"], hidden_size=1, activations=[activation])
    graph = helper.make_graph(
        [rnn, helper.make_node(activation, ["X"], ["Z"])],
        "one_unit",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [1, 1, 1])],
        [
            helper.make_tensor_value_info("Y", TensorProto.FLOAT, [1, 1, 1, 1]),
            helper.make_tensor_value_info("Z", TensorProto.FLOAT, [1, 1, 1]),
        ],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [float(y.item()) for y in session.run(None, {"X": np.full((1, 1, 1), value, "f4")})]


same = True
for activation, value, in_rnn, alone in [
    ("Softplus", 80.0, 80.0, 80.0),
    ("Softplus", 90.0, np.inf, 90.0),
    ("ThresholdedRelu", 0.5, 0.5, 0.0),
    ("ThresholdedRelu", 1.5, 1.5, 1.5),
]:
    found = outputs(activation, value)
    print(f"{activation}({value}): the operator gives {found[1]:g}; expected of the RNN too; it gives {found[0]:g}")
    same &= np.allclose(found, [in_rnn, alone])
print("still so" if same else "changed")
sys.exit(0 if same else 1)
PYTHON
