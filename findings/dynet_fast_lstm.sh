#!/usr/bin/env bash
# DyNet's FastLSTMBuilder keeps, saves and lists peephole weights that take no part in what it computes.
# dyNET38 2.2 (DyNet 2.1 for Python 3.8 and later), numpy 2.4.6.
# Its get_parameter_expressions lists W_ic and W_oc among the eleven weights of a layer, vectors where those of
# CoupledLSTMBuilder are matrices, and the model's file holds them. So one expects that i sees W_ic * c and o sees
# W_oc * c, as the equations of CoupledLSTMBuilder have it. Outputs are the same to the bit for any values of the two,
# and are those of an LSTM with f = 1 - i without peepholes. CoupledLSTMBuilder's own do act. No word of it.
# Touched: whoever reads such a model by the names of its weights, or counts on peepholes for timing.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check dyNET38==2.2 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import dynet as dy
import numpy as np

print("dyNET38", version("dyNET38"))
inputs = np.random.default_rng(0).normal(size=(8, 2))


def outputs(make, scale):
    model, rng = dy.ParameterCollection(), np.random.default_rng(1)
    builder = make(1, 2, 3, model)
    for number, weights in enumerate(model.parameters_list()):
        value = rng.normal(size=weights.shape())
        weights.set_value(value * (scale if number in (2, 6) else 1))  # W_ic and W_oc
    dy.renew_cg()
    return np.array([y.npvalue() for y in builder.initial_state().transduce([dy.inputVector(u) for u in inputs])])


moved = {}
for make in (dy.CoupledLSTMBuilder, dy.FastLSTMBuilder):
    moved[make.__name__] = np.abs(outputs(make, 1.0) - outputs(make, 100.0)).max()
    print(f"{make.__name__}: outputs move by {moved[make.__name__]:.3g} where W_ic and W_oc grow a hundredfold")
print("expected: both move")
same = moved["FastLSTMBuilder"] == 0 and moved["CoupledLSTMBuilder"] > 0.01
print("still so" if same else "changed")
sys.exit(0 if same else 1)
PYTHON
