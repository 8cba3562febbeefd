#!/usr/bin/env bash
# jax.numpy.linalg.det from 4 x 4 on: at some singular matrices the derivative is zero, where it is not.
# jax 0.10.2, jaxlib 0.10.2, numpy 2.4.6, CPU, float64.
# JAX has a derivative of its own for det, made so that it holds at rank n - 1 too, and there it does hold where the
# last pivot vanishes, and for all of 2 x 2 and 3 x 3. Where an earlier pivot does (a unit that nothing reads: a zero
# column), forward and reverse mode agree on zeros, without a warning; moving that column to the end mends it.
# Touched: det(J) and det(J - I) as test functions of networks with a silent unit or a delay line (a nilpotent J).
set -euo pipefail
unset PYTHONPATH
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


def cofactors(A):
    def minor(i, j):
        return np.linalg.det(np.delete(np.delete(A, i, 0), j, 1))

    n = len(A)
    return np.array([[(-1) ** (i + j) * minor(i, j) for j in range(n)] for i in range(n)])


full = np.array([[2.0, 1, 0, 1], [1, 3, 1, 0], [0, 1, 2, 1], [1, 0, 1, 4]])
first, last = full.copy(), full.copy()
first[:, 0], last[:, 3] = 0.0, 0.0
cases = {
    "delay line of 3": (np.eye(3, k=1), True),
    "delay line of 4": (np.eye(4, k=1), False),
    "zero last column": (last, True),
    "zero first column": (first, False),
}
same = True
for name, (A, right) in cases.items():
    truth = cofactors(A)
    found = [np.asarray(f(jnp.linalg.det)(jnp.asarray(A))) for f in (jax.grad, jax.jacfwd)]
    i, j = np.unravel_index(np.argmax(abs(truth)), A.shape)
    moved = A.copy()
    moved[i, j] += 0.5  # det is linear in one entry: the difference quotient is exact
    quotient = (float(jnp.linalg.det(jnp.asarray(moved))) - float(jnp.linalg.det(jnp.asarray(A)))) / 0.5
    print(f"{name:18s} d det / d A[{i},{j}]: expected {truth[i, j]:.6g}, difference quotient {quotient:.6g},", end=" ")
    print(f"grad {found[0][i, j]:.6g}, jacfwd {found[1][i, j]:.6g}")
    for value in found:
        same &= np.allclose(value, truth) == right and (right or not value.any())
    same &= bool(np.isclose(quotient, truth[i, j]))
print("still so" if same else "changed")
sys.exit(0 if same else 1)
PYTHON
