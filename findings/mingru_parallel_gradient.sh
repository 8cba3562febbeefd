#!/usr/bin/env bash
# The parallel form of minGRU that trains gives old inputs a gradient that is rounding noise, and does not fall.
# minGRU-pytorch 0.2.1, torch 2.13.0, einops 0.8.2, numpy 2.4.6; 8 units, 2 000 steps, initial weights, normal inputs.
# h_t = (1 - z_t) h_{t-1} + z_t g(c_t), so that dh_T/dh_k is the product of 1 - z, here below 1e-600 over all steps, and
# the module's own sequential form gives exactly that (an exact 0 in float32). Run on the whole sequence, as in training,
# it is a scan over logarithms, which grow with T: the gradient at the first input is some 1e-5 in float32 and 1e-13 in
# float64, as large as at the hundredth step from the end, so that the network seems to remember for ever.
# Touched: any measure of memory by autograd, saliency of inputs, norms of gradients over long sequences.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check minGRU-pytorch==0.2.1 torch==2.13.0 einops==0.8.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import torch
from minGRU_pytorch import minGRU

print("minGRU-pytorch", importlib.metadata.version("minGRU-pytorch"), "torch", torch.__version__)
torch.manual_seed(0)
units, steps, same = 8, 2000, True
module = minGRU(units)
inputs = torch.randn(steps, units)


def gradient(dtype, last):
    """Norm of the gradient of a sum of h_T at the inputs 100 and last steps before the end, and of the true one."""
    net, x = module.to(dtype), inputs.to(dtype)[None].requires_grad_()
    (found,) = torch.autograd.grad(net(x)[0, -1].sum(), x)
    with torch.no_grad():
        gate = net.to_hidden_and_gate(x[0]).chunk(2, dim=-1)[1].double()
        left = torch.nn.functional.logsigmoid(-gate)[-last:].sum(0) / torch.log(torch.tensor(10.0))
    norms = found[0].norm(dim=1)
    return float(norms[-101]), float(norms[-1 - last]), float(left.max())


for dtype, floor in ((torch.float32, 1e-7), (torch.float64, 1e-16)):
    near, far, true = gradient(dtype, steps - 1)
    print(f"{dtype}: gradient at lag 100 {near:.1e}, at lag {steps - 1} {far:.1e};", end=" ")
    print(f"the product of 1 - z over the latter is at most 10^{true:.0f}")
    same &= far > floor and true < -500

x = inputs.float().requires_grad_()
h, module = None, module.float()
for t in range(steps):
    h = module(x[None, t : t + 1], h)
(found,) = torch.autograd.grad(h.sum(), x)
print(f"sequential form, float32: at lag {steps - 1} {float(found[0].norm()):.1e}")
same &= float(found[0].norm()) == 0.0
print("still so" if same else "changed")
sys.exit(0 if same else 1)
PYTHON
