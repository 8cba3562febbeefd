"""Layers of MLX, on the CPU."""

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from rnn_dynamics.interop import from_mlx
from tests.peers.rows import INPUTS, UNITS, Row

LAYERS = {
    ("RNN", ""): lambda: nn.RNN(INPUTS, UNITS),
    ("RNN", "nonlinearity=relu, bias=False"): lambda: nn.RNN(INPUTS, UNITS, bias=False, nonlinearity=nn.relu),
    ("GRU", ""): lambda: nn.GRU(INPUTS, UNITS),
    ("GRU", "bias=False"): lambda: nn.GRU(INPUTS, UNITS, bias=False),
    ("LSTM", ""): lambda: nn.LSTM(INPUTS, UNITS),
    ("LSTM", "bias=False"): lambda: nn.LSTM(INPUTS, UNITS, bias=False),
}


def rows() -> Iterator[Row]:
    mx.set_default_device(mx.cpu)
    mx.random.seed(0)
    for (kind, option), make in LAYERS.items():
        yield of(kind, option, make())


def of(kind: str, option: str, layer: Any) -> Row:
    def run(x: Any, inputs: Any) -> Any:
        parts = [part[None] for part in mx.split(x, len(x) // UNITS)]
        found = layer(inputs[None], *parts)
        return mx.concatenate([part[0] for part in (found if isinstance(found, tuple) else (found,))], axis=1)

    def states(x0: np.ndarray, inputs: np.ndarray) -> Any:
        return np.array(run(mx.array(x0), mx.array(inputs)))

    def jacobian(x0: np.ndarray, inputs: np.ndarray) -> Any:
        fixed = mx.array(inputs)
        units = np.eye(len(x0), dtype="float32")
        pulled = [mx.vjp(lambda x: run(x, fixed)[-1], [mx.array(x0)], [mx.array(v)])[1][0] for v in units]
        return np.array(mx.stack(pulled))

    relu = {"activation": "relu"} if "relu" in option else {}
    cell = from_mlx(layer, **relu)
    return Row(kind, option, cell, states, jacobian, "float32", layer, {"cell": cell})
