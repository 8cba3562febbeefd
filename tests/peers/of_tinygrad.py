"""The LSTM cell of tinygrad, on its PYTHON device, which needs no compiler."""

import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("DEV", "PYTHON")
os.environ.setdefault("PYTHON", "1")

import numpy as np
from tinygrad import Tensor
from tinygrad.nn import LSTMCell

from rnn_dynamics.interop import from_torch
from tests.peers.rows import INPUTS, UNITS, Row


def rows() -> Iterator[Row]:
    Tensor.manual_seed(0)
    yield of(LSTMCell(INPUTS, UNITS))


def of(module: Any) -> Row:
    def run(x: Any, inputs: Any) -> Any:
        parts, found = (x[None, :UNITS], x[None, UNITS:]), []
        for t in range(inputs.shape[0]):
            parts = module(inputs[t : t + 1], parts)
            found.append(parts[0].cat(parts[1], dim=1))
        return found[0].cat(*found[1:])

    def states(x0: np.ndarray, inputs: np.ndarray) -> Any:
        return run(Tensor(x0), Tensor(inputs)).numpy()

    def jacobian(x0: np.ndarray, inputs: np.ndarray) -> Any:
        rows = []
        for i in range(len(x0)):
            x = Tensor(x0)
            rows.append(run(x, Tensor(inputs))[-1, i].gradient(x)[0].numpy())
        return np.stack(rows)

    return Row("LSTMCell", "", from_torch(module), states, jacobian, "float32", module, {"checks": 0}, 5)
