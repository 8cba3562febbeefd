"""Layers and cells of Paddle."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import paddle

from rnn_dynamics.interop import from_torch
from tests.peers.rows import INPUTS, UNITS, Row


def rows() -> Iterator[Row]:
    paddle.seed(0)
    for kind in ("SimpleRNN", "GRU", "LSTM"):
        for dtype in ("float64", "float32"):
            paddle.set_default_dtype(dtype)
            yield of(kind, "", getattr(paddle.nn, kind)(INPUTS, UNITS), dtype)
        paddle.set_default_dtype("float64")
        yield of(f"{kind}Cell", "", getattr(paddle.nn, f"{kind}Cell")(INPUTS, UNITS), "float64")
    yield of("SimpleRNN", "activation=relu", paddle.nn.SimpleRNN(INPUTS, UNITS, activation="relu"), "float64")


def of(kind: str, option: str, module: Any, dtype: str) -> Row:
    is_cell, count = kind.endswith("Cell"), 2 if "LSTM" in kind else 1

    def run(x: Any, inputs: Any) -> Any:
        parts, found = paddle.split(x[None], count, axis=1), []
        for t in range(inputs.shape[0]):
            u, given = inputs[t : t + 1], tuple(parts)
            if not is_cell:
                u, given = u[None], tuple(part[None] for part in parts)
            _, state = module(u, given if count > 1 else given[0])
            parts = state if isinstance(state, tuple | list) else (state,)
            parts = [part if is_cell else part[0] for part in parts]
            found.append(paddle.concat(parts, axis=1)[0])
        return paddle.stack(found)

    def states(x0: np.ndarray, inputs: np.ndarray) -> Any:
        return run(paddle.to_tensor(x0), paddle.to_tensor(inputs)).numpy()

    def jacobian(x0: np.ndarray, inputs: np.ndarray) -> Any:
        rows = []
        for i in range(len(x0)):
            x = paddle.to_tensor(x0, stop_gradient=False)
            last = run(x, paddle.to_tensor(inputs))[-1]
            wanted = [x, *module.parameters()]  # of x alone the fused layers fail
            rows.append(paddle.grad([last[i]], wanted, allow_unused=True)[0].numpy())
        return np.stack(rows)

    return Row(kind, option, from_torch(module), states, jacobian, dtype, module)
