"""Recurrent cores of Haiku."""

from collections.abc import Iterator
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from rnn_dynamics.interop import from_haiku
from tests.peers.of_jax import row_of
from tests.peers.rows import INPUTS, UNITS, Row

CORES = {
    ("VanillaRNN", ""): lambda: hk.VanillaRNN(UNITS),
    ("VanillaRNN", "double_bias=False"): lambda: hk.VanillaRNN(UNITS, double_bias=False),
    ("GRU", ""): lambda: hk.GRU(UNITS),
    ("LSTM", ""): lambda: hk.LSTM(UNITS),
}


def rows() -> Iterator[Row]:
    for (kind, option), make in CORES.items():
        for dtype in (jnp.float64, jnp.float32):
            yield of(kind, option, make, dtype)


def of(kind: str, option: str, make: Any, dtype: Any) -> Row:
    network = hk.without_apply_rng(hk.transform(lambda u, state: make()(u, state)))

    def state_of(x: Any) -> Any:
        return hk.LSTMState(x[:UNITS], x[UNITS:]) if kind == "LSTM" else x

    size = UNITS * (2 if kind == "LSTM" else 1)
    start = state_of(jnp.zeros(size, dtype))
    params = network.init(jax.random.key(1), jnp.zeros(INPUTS, dtype), start)
    rng = np.random.default_rng(2)
    params = jax.tree.map(lambda w: w + jnp.asarray(0.1 * np.abs(rng.normal(size=w.shape)), w.dtype), params)

    def step(x: Any, u: Any) -> Any:
        state = network.apply(params, u, state_of(x))[1]
        return jnp.concatenate(state) if kind == "LSTM" else state

    def whole(inputs: Any) -> Any:
        def one(state: Any, u: Any) -> Any:
            output, state = network.apply(params, u, state)
            return state, output

        return jax.lax.scan(one, start, inputs)[1]

    cell = from_haiku(params, kind=kind)
    return row_of(kind, option, cell, step, dtype, whole, {"cell": cell})
