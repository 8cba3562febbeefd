"""CfC and LTC of ncps in PyTorch."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from ncps import wirings
from ncps.torch import LTC, CfC

from rnn_dynamics.interop import from_ncps
from tests.peers.rows import INPUTS, UNITS, Row

MODULES = {
    ("CfC", ""): lambda: CfC(INPUTS, UNITS, backbone_units=4),
    ("CfC", "mode=no_gate"): lambda: CfC(INPUTS, UNITS, backbone_units=4, mode="no_gate"),
    ("CfC", "mode=pure"): lambda: CfC(INPUTS, UNITS, backbone_units=4, mode="pure"),
    ("CfC", "NCP wiring"): lambda: CfC(INPUTS, wirings.NCP(2, 2, 1, 2, 1, 1, 2, seed=1)),
    ("LTC", ""): lambda: LTC(INPUTS, UNITS),
}


def rows() -> Iterator[Row]:
    torch.manual_seed(0)
    for (kind, option), make in MODULES.items():
        yield of(kind, option, make().double())


def of(kind: str, option: str, module: Any) -> Row:
    cell, size = from_ncps(module), module.state_size

    def run(x: Any, inputs: Any) -> Any:
        found = []
        for u in inputs:
            x = module(u[None], x)[1]
            found.append(x)
        return torch.stack(found)

    def states(x0: np.ndarray, inputs: np.ndarray) -> Any:
        return run(torch.tensor(x0), torch.tensor(inputs)).detach()

    def jacobian(x0: np.ndarray, inputs: np.ndarray) -> Any:
        fixed = torch.tensor(inputs)
        return torch.autograd.functional.jacobian(lambda x: run(x, fixed)[-1], torch.tensor(x0))

    def whole(inputs: Any) -> Any:
        return run(torch.zeros(size, dtype=inputs.dtype), inputs)

    options = {"framework": "torch", "cell": cell, "x0": np.zeros(size)}
    return Row(kind, option, cell, states, jacobian, "float64", whole, options, 20, size=size)
