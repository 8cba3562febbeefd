"""Write pytorch.npz: weights, outputs and ∂(last state)/∂(first state) of PyTorch's recurrent networks.

python tests/data/make_pytorch.py        # needs torch; the file was made with 2.13.0
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

UNITS, INPUTS, STEPS = 3, 2, 100
NETWORKS = {
    "rnn_tanh": lambda: nn.RNN(INPUTS, UNITS),
    "rnn_relu": lambda: nn.RNN(INPUTS, UNITS, nonlinearity="relu"),
    "lstm": lambda: nn.LSTM(INPUTS, UNITS),
    "gru": lambda: nn.GRU(INPUTS, UNITS),
    "gru_plain": lambda: nn.GRU(INPUTS, UNITS, bias=False),
    "lstm_stacked": lambda: nn.LSTM(INPUTS, UNITS, num_layers=2),
    "gru_both": lambda: nn.GRU(INPUTS, UNITS, bidirectional=True),
}


def _split(network, state):
    """The framework's initial state from the flat one, layer by layer [h, c]."""
    layers = network.num_layers * (2 if network.bidirectional else 1)
    if isinstance(network, nn.LSTM):
        both = state.reshape(layers, 2, UNITS)
        return both[:, 0].contiguous(), both[:, 1].contiguous()
    return state.reshape(layers, UNITS)


def _flat(last):
    if isinstance(last, tuple):
        return torch.stack(last, dim=1).reshape(-1)
    return last.reshape(-1)


def main() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(STEPS, INPUTS)
    found = {"inputs": inputs.numpy()}
    for name, make in NETWORKS.items():
        network = make()
        state = torch.randn(_flat(network(inputs)[1]).shape) / 2
        found |= {f"{name}/{key}": value.numpy() for key, value in network.state_dict().items()}
        found[f"{name}/x0"] = state.numpy()
        with torch.no_grad():
            found[f"{name}/outputs"] = network(inputs, _split(network, state))[0].numpy()
        double = network.double()

        def last(x, double=double):
            return _flat(double(inputs.double(), _split(double, x))[1])

        found[f"{name}/last"] = last(state.double()).detach().numpy()
        found[f"{name}/jacobian"] = torch.autograd.functional.jacobian(last, state.double()).numpy()
    np.savez_compressed(Path(__file__).with_name("pytorch.npz"), **found)


if __name__ == "__main__":
    main()
