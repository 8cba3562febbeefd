#!/usr/bin/env bash
# jax.numpy.max and min on a CPU: of 4096 entries or more, a NaN among them is passed over, or the result is -inf.
# jax 0.10.2, jaxlib 0.10.2, numpy 2.4.6, CPU, eager and under jit.
# max and min of arrays with a NaN are NaN in NumPy, in JAX's documentation (nanmax is the one that ignores them) and,
# up to 4095 entries in all, in JAX. From 4096 on (rows of a 64 x 64 matrix, say) float32 and float64 lose it in both,
# float16 and bfloat16 in min alone; where the NaN stands last in its row, the maximum of 63 ones and a NaN is -inf.
# The program hands such a reduction to a library of kernels (a fusion named ynn). sum and mean keep NaN, and so do
# jax.numpy.isfinite(x).all() and reductions of fewer entries; jax 0.9 is not asked here.
# Touched: every check of the kind max|x - y| <= tolerance, which a state that is not a number passes; norms by the
# largest entry; a spectral radius as the largest |eigenvalue| of many matrices at once.
set -euo pipefail
unset PYTHONPATH XLA_FLAGS
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_PLATFORMS=cpu JAX_ENABLE_X64=1 "$work/venv/bin/python" - <<'PYTHON'
import sys

import jax
import jax.numpy as jnp
import numpy as np

print("jax", jax.__version__)
reductions = {"max": jnp.max, "min": jnp.min, "sum": jnp.sum}
lost = {"float32": {"max", "min"}, "float64": {"max", "min"}, "float16": {"min"}, "bfloat16": {"min"}}
same = True
for shape in ((64, 63), (64, 64)):
    for dtype, names in lost.items():
        x = np.ones(shape, jnp.dtype(dtype))
        x[0, 5] = np.nan
        found = {name: float(reduce(jnp.asarray(x), axis=1)[0]) for name, reduce in reductions.items()}
        print(f"{shape[0]} x {shape[1]} {dtype:8s} first row, a NaN and ones: expected nan, {found}")
        for name, value in found.items():
            is_lost = name in names and shape == (64, 64)
            same &= np.isnan(value) != is_lost
x = np.ones((64, 64))
x[1, -1] = np.nan
compiled = jax.jit(lambda y: jnp.max(y, axis=1))
print("the NaN last in its row, float64:", float(compiled(x)[1]), "expected nan; NumPy:", float(x.max(axis=1)[1]))
same &= bool(compiled(x)[1] == -np.inf) and bool(np.isnan(x.max(axis=1)[1]))
residual = jnp.max(jnp.abs(jnp.asarray(x[1:2].repeat(64, axis=0)) - 1), axis=1) <= 1e-12
print("rows that pass max|x - 1| <= 1e-12 with a NaN in each:", int(residual.sum()), "of 64, expected 0")
same &= int(residual.sum()) == 64
print("still so" if same else "changed")
sys.exit(0 if same else 1)
PYTHON
