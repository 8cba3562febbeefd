#!/usr/bin/env bash
# norse's SuperSpike has no slope: its parameter α changes nothing, and nothing says so.
# norse 1.1.0, torch 2.13.0 on a CPU.
# LIFParameters, LSNNParameters and the other neurons have alpha = 100, "hyper parameter to use in surrogate gradient
# computation", and the method "super" by default. Its backward pass divides by (|x| + 1)², where section 3.3.2 of the
# article that it cites has (α|x| + 1)²: at a distance of 0.5 from the threshold the pseudo-derivative is 0.44 for every
# α, where α = 100 would give 0.00038. The methods "tanh" and "triangle" do follow α.
# Touched: gradients of spiking networks that are trained with the default method, and searches over α.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check norse==1.1.0 torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import importlib.metadata
import sys

import torch
from norse.torch.functional.threshold import threshold

print("norse", importlib.metadata.version("norse"), "torch", torch.__version__)


def slope(method, alpha):
    x = torch.tensor(0.5, requires_grad=True)
    threshold(x, method, alpha).backward()
    return x.grad.item()


found = [slope("super", alpha) for alpha in (1.0, 10.0, 100.0)]
others = [slope("tanh", alpha) for alpha in (1.0, 10.0)]
print("expected of super at x = 0.5, 1/(α|x| + 1)² for α = 1, 10, 100:", [(0.5 * a + 1) ** -2 for a in (1, 10, 100)])
print("found:", found)
print("of tanh for α = 1, 10:", others)
so = len(set(found)) == 1 and abs(found[0] - 4 / 9) < 1e-6 and others[0] != others[1]
print("still so" if so else "changed")
sys.exit(0 if so else 1)
PYTHON
