#!/usr/bin/env bash
# Paddle's weight_norm and spectral_norm of a recurrent layer have no effect, and nothing says so.
# paddlepaddle 3.3.1 on a CPU, torch 2.13.0 for comparison.
# After weight_norm(layer, "weight_hh_l0") the layer has weight_hh_l0_g and weight_hh_l0_v, and its weight_hh_l0 is computed
# from them before each forward; but the forward runs on the list of weights that the layer made of its cells when it
# was made. Three times the length g changes no output, g and v get no gradient, and the cell's own weight, which the state
# dict has as 0.cell.weight_hh, goes on being trained. spectral_norm leaves a largest singular value of 4 as it is. Both
# work on cells (GRUCell, …), and on layers of PyTorch.
# Touched: SimpleRNN, GRU and LSTM under either norm, such as networks made contractive by a spectral norm of 1.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check paddlepaddle==3.3.1 torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import paddle
import torch

print("paddlepaddle", paddle.__version__, "torch", torch.__version__)
rng = np.random.default_rng(0)
inputs = rng.normal(size=(1, 6, 2)).astype("float32")


def of_paddle(kind):
    layer = getattr(paddle.nn, kind)(2, 3)
    given = paddle.to_tensor(inputs)
    paddle.nn.utils.weight_norm(layer, "weight_hh_l0")
    before = layer(given)[0]
    before.sum().backward()
    gradient = layer.weight_hh_l0_g.grad
    layer.weight_hh_l0_g.set_value(3 * layer.weight_hh_l0_g)
    moved = abs(layer(given)[0] - before).max().item()
    layer = getattr(paddle.nn, kind)(2, 3)
    layer[0].cell.weight_hh.set_value(4 * layer[0].cell.weight_hh)
    before = layer(given)[0]
    paddle.nn.utils.spectral_norm(layer, "weight_hh_l0")
    return moved, gradient, abs(layer(given)[0] - before).max().item()


def of_torch(kind):
    layer = getattr(torch.nn, kind)(2, 3, batch_first=True)
    given = torch.tensor(inputs)
    torch.nn.utils.weight_norm(layer, "weight_hh_l0")
    before = layer(given)[0]
    with torch.no_grad():
        layer.weight_hh_l0_g *= 3
    return abs(layer(given)[0] - before).max().item()


print("expected: outputs move with the lengths g, and with a spectral norm of 1 in the place of 4")
idle = True
for kind, other in (("SimpleRNN", "RNN"), ("GRU", "GRU"), ("LSTM", "LSTM")):
    moved, gradient, by_spectral = of_paddle(kind)
    idle = idle and moved == 0 and gradient is None and by_spectral == 0 and of_torch(other) > 1e-3
    print(f"{kind}: 3 g moves outputs by {moved} (PyTorch's {other}: {of_torch(other):.2f}), gradient of g {gradient},")
    print(f"  spectral_norm moves them by {by_spectral}")
print("still so" if idle else "changed")
sys.exit(0 if idle else 1)
PYTHON
