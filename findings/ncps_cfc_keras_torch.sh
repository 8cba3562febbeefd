#!/usr/bin/env bash
# ncps gives the CfC cell (closed-form continuous-time network) twice, and the two are different maps.
# ncps 1.0.1, keras 3.15.1 on the backend of torch 2.13.0, numpy 2.4.6.
# Up to transposes, weights have the same names and shapes in ncps.torch and ncps.keras, so a copy should carry a cell
# over. But in ncps.keras the heads ff1 and ff2 lack their tanh, and the gate is sigmoid(b - a t), not sigmoid(a t + b).
# The torch state stays in [-1, 1]; the Keras state leaves it, and without a backbone nothing bounds it.
# Touched: weights or results taken from one to the other. time_a can be negated, a missing tanh can't be made up for:
# say which of the two maps you study, and write its step from its equations.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    ncps==1.0.1 keras==3.15.1 torch==2.13.0 numpy==2.4.6
KERAS_HOME="$work" KERAS_BACKEND=torch "$work/venv/bin/python" -W ignore - <<'PYTHON'
import importlib.metadata
import sys

import keras
import ncps.keras
import ncps.torch
import numpy as np
import torch

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("ncps", "keras", "torch")))
steps, inputs, units = 6, 2, 4


def pair(backbone, draw):
    """A torch CfC, a Keras CfC with a copy of its weights, and those weights."""
    size = {"backbone_units": 5 * backbone, "backbone_layers": backbone}
    one, other = ncps.torch.CfC(inputs, units, **size), ncps.keras.CfC(units, **size)
    other(np.zeros((1, 1, inputs), "f4"))
    weights = {name: draw.normal(0, 0.8, tuple(w.shape)).astype("f4") for name, w in one.named_parameters()}
    one.load_state_dict({name: torch.tensor(w) for name, w in weights.items()})
    weights = {name.removeprefix("rnn_cell."): w for name, w in weights.items()}
    for w in other.weights:
        layer, leaf = w.path.split("/")[-2:]  # time_a/kernel, backbone0/bias, cf_c_cell/ff1_weight
        layer, leaf = leaf.split("_") if leaf.startswith("ff") else (layer.replace("backbone0", "backbone.0"), leaf)
        w.assign(weights[f"{layer}.{leaf.replace('kernel', 'weight')}"].T)
    return one, other, weights


def last(weights, x, head, sign):
    """The last state by the cell's equations, from zeros, at time steps of 1."""
    h = np.zeros(units)
    for now in x:
        z = np.concatenate([now, h])
        if "backbone.0.weight" in weights:
            z = 1.7159 * np.tanh(0.666 * (weights["backbone.0.weight"] @ z + weights["backbone.0.bias"]))
        f, g, a, b = (weights[n + ".weight"] @ z + weights[n + ".bias"] for n in ("ff1", "ff2", "time_a", "time_b"))
        gate = 1 / (1 + np.exp(-(sign * a + b)))
        h = head(f) * (1 - gate) + head(g) * gate
    return h


same, draw = True, np.random.default_rng(0)
for backbone in (0, 1):
    one, other, weights = pair(backbone, draw)
    x = draw.standard_normal((steps, inputs)).astype("f4")
    with torch.no_grad():
        by_torch = one(torch.tensor(x[None]))[1][0].numpy()
    by_keras = keras.ops.convert_to_numpy(other(x[None]))[0]
    apart = abs(by_torch - by_keras).max()
    own = abs(by_torch - last(weights, x, np.tanh, 1)).max(), abs(by_keras - last(weights, x, lambda f: f, -1)).max()
    print(f"{backbone} backbone layers; expected: the same state; torch {by_torch.round(3)}, Keras {by_keras.round(3)}")
    print(f"  off from tanh heads, +a: torch {own[0]:.1e}; off from affine heads, -a: Keras {own[1]:.1e}")
    same &= bool(apart > 0.5 and abs(by_keras).max() > 1 and max(own) < 1e-4)
print("still so" if same else "changed")
sys.exit(0 if same else 1)
PYTHON
