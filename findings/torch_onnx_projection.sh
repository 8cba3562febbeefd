#!/usr/bin/env bash
# torch.onnx.export of an LSTM with proj_size writes, without a word, an LSTM of other size and other weights.
# torch 2.13.0, onnx 1.23.2, onnxscript 0.7.2, numpy 2.4.6; export with dynamo=True.
# ONNX has no projected LSTM, so one expects an error or an LSTM and a MatMul with W_hr. The file has one LSTM node with
# hidden_size = proj_size, 8 of the 20 rows of the weights, and no trace of W_hr. onnx.checker passes it, and a reader
# of the weights finds a consistent 2-unit LSTM. Only initial_c, of 5 columns, shows that it is not one: that is what
# the checker's full_check and a runtime stumble over, later and with other words. No warning, no documented limit.
# Touched: whoever reads the weights from such a file, with whatever reader.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import logging
import sys
import warnings

import numpy as np
import onnx
import torch
from onnx import numpy_helper

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)
print("torch", torch.__version__, "onnx", onnx.__version__)
torch.manual_seed(0)
lstm = torch.nn.LSTM(3, 5, proj_size=2).eval()
torch.onnx.export(lstm, (torch.randn(4, 1, 3),), "lstm.onnx", dynamo=True, verbose=False)
model = onnx.load("lstm.onnx")
onnx.checker.check_model(model)
graph = model.graph
arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
(node,) = [n for n in graph.node if n.op_type == "LSTM"]
size = next(a.i for a in node.attribute if a.name == "hidden_size")
R, initial_c = arrays[node.input[2]], arrays[node.input[6]]
products = [n.op_type for n in graph.node if n.op_type in ("MatMul", "Gemm")]
print("module: hidden_size 5, proj_size 2, weight_hh", tuple(lstm.weight_hh_l0.shape), "weight_hr",
      tuple(lstm.weight_hr_l0.shape))
print("expected: an error, or R of (1, 20, 2) and a product with weight_hr")
print(f"file: hidden_size {size}, R {R.shape}, products {products}, initial_c {initial_c.shape}; the checker passes")
rows = lstm.weight_hh_l0.detach().numpy()
taken = [int(np.flatnonzero((rows == row).all(1))[0]) for row in R[0]]
print("rows of weight_hh (i 0-4, f 5-9, g 10-14, o 15-19) taken for the gates i, o, f, c:", taken)
hr = lstm.weight_hr_l0.detach().numpy()
lost = not any(np.isin(hr, array).all() for array in arrays.values())
same = size == 2 and R.shape == (1, 8, 2) and not products and initial_c.shape[-1] == 5 and lost
print("still so" if same else "changed")
sys.exit(0 if same else 1)
PYTHON
