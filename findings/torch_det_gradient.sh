#!/usr/bin/env bash
# torch.linalg.det of a singular matrix: the first gradient is zero, and right only if a second one may follow.
# torch 2.13.0, numpy 2.4.6, CPU, float64.
# The derivative of det is the matrix of cofactors, which is not zero at rank n - 1: of [[1, 2], [2, 4]] it is
# [[4, -2], [-2, 1]]. torch.autograd.grad and backward() give zeros; the same call with create_graph=True gives the
# cofactors, and so does torch.func.grad, while torch.func.jacfwd gives zeros again. No warning, and the page of
# torch.linalg.det says nothing of singular matrices (an issue of 2023 shows the zeros, not the switch).
# Touched: whoever follows det(J - I), zero at a fold, with gradients; whoever compares gradients in a test.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import torch

print("torch", torch.__version__)
det, float64 = torch.linalg.det, torch.float64
# The second: J - I at the fold of a two-unit map, with J = [[1/2, 1/2], [1/4, 3/4]], whose eigenvalue is 1.
cases = [
    ([[1.0, 2.0], [2.0, 4.0]], [[4.0, -2.0], [-2.0, 1.0]]),
    ([[-0.5, 0.5], [0.25, -0.25]], [[-0.25, -0.25], [-0.5, -0.5]]),
]
same = True
for entries, cofactors in cases:
    A = torch.tensor(entries, dtype=float64, requires_grad=True)
    truth = torch.tensor(cofactors, dtype=float64)
    found = {
        "autograd.grad": torch.autograd.grad(det(A), A)[0],
        "autograd.grad, create_graph=True": torch.autograd.grad(det(A), A, create_graph=True)[0].detach(),
        "func.grad": torch.func.grad(det)(A.detach()),
        "func.jacfwd": torch.func.jacfwd(det)(A.detach()),
    }
    print("A =", entries, " det =", float(det(A.detach())))
    print("  expected", cofactors)
    for name, value in found.items():
        print(f"  {name:33s}", [[round(float(v), 6) + 0.0 for v in row] for row in value])
    zero = [bool((value == 0).all()) for value in found.values()]
    right = [bool(torch.allclose(value, truth)) for value in found.values()]
    same &= zero == [True, False, False, True] and right == [False, True, True, False]
print("still so" if same else "changed")
sys.exit(0 if same else 1)
PYTHON
