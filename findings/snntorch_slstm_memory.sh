#!/usr/bin/env bash
# The spiking LSTM of snnTorch has no memory unless it has as many inputs as units.
# snntorch 1.0.0, torch 2.13.0, numpy 2.4.6; threshold 1e9, so that it never spikes and is a plain LSTM.
# SLSTM(inputs, units) compares the state it is given with the shape of the input, and where they differ puts zeros in
# its place, at each step. With 4 inputs and 4 units it is torch's LSTMCell; with 3 or 5 inputs the last state is,
# to the last bit, the state after one step from zeros on the last input alone. It trains and gives no warning.
# Touched: dh_T/dh_k is exactly 0 for k < T whatever the weights; as a map of the state it is constant.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check snntorch==1.0.0 torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import snntorch
import torch

print("snntorch", importlib.metadata.version("snntorch"), "torch", torch.__version__)
torch.manual_seed(0)
steps, batch, units, same = 6, 2, 4, True
for inputs in (4, 3, 5):
    cell = snntorch.SLSTM(inputs, units, threshold=1e9)
    x, zeros = torch.randn(steps, batch, inputs), torch.zeros(batch, units)
    with torch.no_grad():
        syn, mem, h, c = zeros, zeros, zeros, zeros
        for t in range(steps):
            _, syn, mem = cell(x[t], syn, mem)
            h, c = cell.lstm_cell(x[t], (h, c))
        alone = cell.lstm_cell(x[-1], (zeros, zeros))[0]
    true, last = float((mem - h).abs().max()), float((mem - alone).abs().max())
    print(f"{inputs} inputs, {units} units: from the LSTM run over {steps} inputs {true:.3g} (expected 0),", end=" ")
    print(f"from the last input alone {last:.3g}")
    same &= (true == 0.0 and last > 0.01) if inputs == units else (last == 0.0 and true > 0.01)
print("still so" if same else "changed")
sys.exit(0 if same else 1)
PYTHON
