"""Write bidirectional.npz: PyTorch's deep bidirectional networks with their autograd's ∂y_t/∂u_s, in float64.

PYTHONPATH=$PYTHONPATH:DIR python tests/files/make_bidirectional.py        # with torch 2.13.0 in DIR
"""

from pathlib import Path

import torch
from torch import nn

from tests.files.packed import short, write

STEPS, INPUTS = 7, 2


def main() -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    inputs = torch.as_tensor(short(torch.randn(STEPS, INPUTS)))
    found = {"inputs": inputs}
    for name, network in {
        "gru": nn.GRU(INPUTS, 2, num_layers=3, bidirectional=True),
        "lstm": nn.LSTM(INPUTS, 2, num_layers=2, bidirectional=True),
    }.items():
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(torch.as_tensor(short(parameter)))
        found |= {f"{name}/{key}": value for key, value in network.state_dict().items()}
        found[f"{name}/outputs"] = network(inputs)[0].detach()
        found[f"{name}/jacobians"] = torch.autograd.functional.jacobian(lambda u, f=network: f(u)[0], inputs)
    write(Path(__file__).parent / "bidirectional.npz", found, f"torch {torch.__version__}")


if __name__ == "__main__":
    main()
