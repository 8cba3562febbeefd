"""Cells of Flax, linen's and nnx's."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx

from rnn_dynamics.interop import from_flax
from tests.peers.of_jax import row_of
from tests.peers.rows import INPUTS, UNITS, Row

CELLS = (
    ("SimpleCell", {}),
    ("SimpleCell", {"residual": True}),
    ("GRUCell", {}),
    ("LSTMCell", {}),
    ("OptimizedLSTMCell", {}),
)


def rows() -> Iterator[Row]:
    for kind, option in CELLS:
        for dtype in (jnp.float64,) if option else (jnp.float64, jnp.float32):
            yield of_linen(kind, option, dtype)
            yield of_nnx(kind, option, dtype)


def parts(kind: str, x: Any) -> Any:
    """Flax's carry of the library's [h, c]."""
    return (x[UNITS:], x[:UNITS]) if "LSTM" in kind else x


def flat(carry: Any) -> Any:
    return jnp.concatenate(carry[::-1]) if isinstance(carry, tuple) else carry


def of_linen(kind: str, option: dict, dtype: Any) -> Row:
    module = getattr(linen, kind)(UNITS, dtype=dtype, param_dtype=dtype, **option)
    size = UNITS * (2 if "LSTM" in kind else 1)
    start = parts(kind, jnp.zeros(size, dtype))
    variables = module.init(jax.random.key(0), start, jnp.zeros(INPUTS, dtype))
    told = {"kind": kind} | ({"activation": "tanh", **option} if kind == "SimpleCell" else {})
    cell = from_flax(variables["params"], **told)

    def step(x: Any, u: Any) -> Any:
        return flat(module.apply(variables, parts(kind, x), u)[0])

    words = ", ".join(["linen", *(f"{key}={value}" for key, value in option.items())])
    return row_of(kind, words, cell, step, dtype, (module, variables), {"cell": cell})


def of_nnx(kind: str, option: dict, dtype: Any) -> Row:
    module = getattr(nnx, kind)(INPUTS, UNITS, rngs=nnx.Rngs(0), dtype=dtype, param_dtype=dtype, **option)

    def step(x: Any, u: Any) -> Any:
        return flat(module(parts(kind, x), u)[0])

    words = ", ".join(["nnx", *(f"{key}={value}" for key, value in option.items())])
    return row_of(kind, words, from_flax(module), step, dtype, module, {})
