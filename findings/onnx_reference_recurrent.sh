#!/usr/bin/env bash
# onnx's ReferenceEvaluator leaves out clip, sequence_lens and the activations of GRU and LSTM, without a word.
# onnx 1.23.2, onnxruntime 1.32.0 (for comparison), numpy 2.4.6, CPU, float32.
# It is onnx's own executable form of the standard, and follows direction, peepholes, linear_before_reset and layout
# of the same nodes; an attribute that it does not implement should be refused, as it refuses Relu in an RNN. Instead
# each of the three below gives, to the last bit, what the node without it gives. onnxruntime follows the standard.
# Touched: tests of ONNX readers and exporters that take the reference for the truth.
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
from onnx.reference import ReferenceEvaluator

print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
steps, batch, inputs, units = 4, 2, 2, 3
draw = np.random.default_rng(0)
X = draw.standard_normal((steps, batch, inputs)).astype("f4")


def last_states(kind, lengths=None, **attributes):
    """Y_h by the reference and by onnxruntime."""
    rows = {"GRU": 3, "LSTM": 4}[kind] * units
    draw = np.random.default_rng(1)
    weights = {
        "W": draw.standard_normal((1, rows, inputs)).astype("f4"),
        "R": draw.standard_normal((1, rows, units)).astype("f4"),
        "B": draw.standard_normal((1, 2 * rows)).astype("f4"),
    }
    if lengths is not None:
        weights["lengths"] = np.array(lengths, "i4")
    names = ["X", "W", "R", "B", "lengths" if lengths is not None else ""]
    node = helper.make_node(kind, names, ["", "Y_h"], hidden_size=units, **attributes)
    graph = helper.make_graph(
        [node],
        kind,
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("Y_h", TensorProto.FLOAT, [1, batch, units])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return ReferenceEvaluator(model).run(None, {"X": X})[0], session.run(None, {"X": X})[0]


same = True
for kind, activations in (("GRU", ["HardSigmoid", "Softsign"]), ("LSTM", ["HardSigmoid", "Softsign", "Softsign"])):
    plain = last_states(kind)
    agree = abs(plain[0] - plain[1]).max()
    print(f"{kind}, plain: reference and onnxruntime differ by {agree:.1e}")
    same &= bool(agree < 1e-5)
    for name, changed in [
        ("clip=0.5", last_states(kind, clip=0.5)),
        ("activations", last_states(kind, activations=activations)),
        ("sequence_lens", last_states(kind, lengths=[2, 4])),
    ]:
        moved = [float(abs(new - old).max()) for new, old in zip(changed, plain, strict=True)]
        print(f"  {name:13s} expected: moves the states by {moved[1]:.3f}; the reference moves them by {moved[0]:g}")
        same &= moved[0] == 0.0 and moved[1] > 0.01
print("still so" if same else "changed")
sys.exit(0 if same else 1)
PYTHON
