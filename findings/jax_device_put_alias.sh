#!/usr/bin/env bash
# jax.device_put(x, may_alias=False) on a CPU: where a NumPy array begins at a multiple of 64 bytes, the JAX array is
# its memory all the same, and changes when the caller writes to it.
# jax 0.10.2, jaxlib 0.10.2, numpy 2.4.6, torch 2.13.0 (CPU).
# Its documentation says of may_alias: "If False, `x` will be copied." jax.Array is immutable; jax.numpy.array copies.
# NumPy's arrays begin at such a place by chance, a quarter of the time or so, so that a program is right in its tests
# and wrong at another size; PyTorch's tensors always do, and so a network that is read through .numpy() goes on
# training inside of its JAX copy.
# Touched: weights handed over by device_put and changed afterwards, buffers that are filled anew for each batch.
set -euo pipefail
unset PYTHONPATH XLA_FLAGS
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 torch==2.13.0
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'PYTHON'
import sys

import jax
import jax.numpy as jnp
import numpy as np
import torch

print("jax", jax.__version__, "torch", torch.__version__)


def placed(offset, count=1000):
    raw = np.zeros(4 * count + 128, np.uint8)
    first = -raw.ctypes.data % 64 + offset
    return raw[first : first + 4 * count].view(np.float32)


def follows(put, x):
    """Whether the JAX array changes with the caller's."""
    taken = jax.block_until_ready(put(x))
    x[:] = 1
    return bool(np.asarray(taken)[0] == 1)


def put(x):
    return jax.device_put(x, may_alias=False)


found = {offset: follows(put, placed(offset)) for offset in (0, 16, 32)}
print("device_put(x, may_alias=False) changes with x, by where x begins past a multiple of 64 bytes:", found)
print("    expected False at each")
copied = {offset: follows(jnp.array, placed(offset)) for offset in (0, 16, 32)}
print("jax.numpy.array(x) changes with x:", copied)
layer = torch.nn.Linear(40, 40)
weights = jax.block_until_ready(put(layer.weight.detach().numpy()))
before = np.array(weights)
with torch.no_grad():
    layer.weight += 1
moved = float(np.abs(np.asarray(weights) - before).max())
print("a layer's weights in JAX, after a step of 1 in PyTorch, moved by", moved, "expected 0.0")
same = found == {0: True, 16: False, 32: False} and not any(copied.values()) and moved == 1.0
print("still so" if same else "changed")
sys.exit(0 if same else 1)
PYTHON
