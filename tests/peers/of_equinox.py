"""Cells of Equinox."""

from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp

from rnn_dynamics.interop import from_equinox
from tests.peers.of_jax import row_of
from tests.peers.rows import INPUTS, UNITS, Row


def rows() -> Iterator[Row]:
    for kind in ("GRUCell", "LSTMCell"):
        for option in ({}, {"use_bias": False}):
            for dtype in (jnp.float64, jnp.float32):
                module = getattr(eqx.nn, kind)(INPUTS, UNITS, key=jax.random.key(0), dtype=dtype, **option)
                words = ", ".join(f"{key}={value}" for key, value in option.items())
                step = lstm(module) if kind == "LSTMCell" else lambda x, u, module=module: module(u, x)
                yield row_of(kind, words, from_equinox(module), step, dtype, module, {})


def lstm(module):
    def step(x, u):
        return jnp.concatenate(module(u, (x[:UNITS], x[UNITS:])))

    return step
