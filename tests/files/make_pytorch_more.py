"""Write pytorch_more.npz: PyTorch networks with projections, computed weights, several directions, in float64.

PYTHONPATH=$PYTHONPATH:DIR python tests/files/make_pytorch_more.py        # with torch 2.13.0 in DIR
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune

from tests.files.packed import short, write

STEPS, INPUTS = 20, 2


def _shortened(network: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.as_tensor(short(parameter)))
    return network


def _pruned() -> nn.LSTM:
    network = _shortened(nn.LSTM(INPUTS, 2))
    prune.l1_unstructured(network, "weight_hh_l0", 0.25)
    return network


def _normed() -> nn.GRU:
    return _shortened(nn.utils.weight_norm(nn.GRU(INPUTS, 2), "weight_hh_l0"))


def main() -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    inputs = torch.as_tensor(short(torch.randn(STEPS, INPUTS)))
    found = {"inputs": inputs}
    networks = {
        "projected": _shortened(nn.LSTM(INPUTS, 3, proj_size=2)),
        "deep_both": _shortened(nn.LSTM(INPUTS, 2, num_layers=2, bidirectional=True, proj_size=1)),
        "pruned": _pruned(),
        "normed": _normed(),
    }
    for name, network in networks.items():
        found |= {f"{name}/{key}": value.detach() for key, value in network.state_dict().items()}
        found[f"{name}/outputs"] = network(inputs)[0].detach()
    network = networks["projected"]

    def last(x: torch.Tensor) -> torch.Tensor:
        return torch.cat(network(inputs, (x[None, :2], x[None, 2:]))[1], dim=1)[0]

    x0 = torch.as_tensor(short(torch.randn(5)))
    found |= {"projected/x0": x0, "projected/last": last(x0).detach()}
    found["projected/jacobian"] = torch.autograd.functional.jacobian(last, x0)
    arrays = {name: np.asarray(value) for name, value in found.items()}
    write(Path(__file__).with_name("pytorch_more.npz"), arrays, f"torch {torch.__version__}")


if __name__ == "__main__":
    main()
