"""Cells of BrainPy."""

from collections.abc import Iterator
from typing import Any

import brainpy as bp
import brainpy.math as bm
import jax
import jax.numpy as jnp
import numpy as np

from rnn_dynamics.interop import from_brainpy
from tests.peers.rows import INPUTS, UNITS, Row


def rows() -> Iterator[Row]:
    bm.enable_x64()
    bm.set_environment(bm.training_mode)
    for kind in ("RNNCell", "GRUCell", "LSTMCell"):
        yield of(kind)


def of(kind: str) -> Row:
    module, rng = getattr(bp.dyn, kind)(INPUTS, UNITS), np.random.default_rng(2)
    for weight in ("Wi", "Wh", "b"):
        variable = getattr(module, weight)
        variable.value = jnp.asarray(0.5 * rng.normal(size=variable.shape))

    def run(x: Any, inputs: Any) -> Any:
        module.state.value = x[None]
        found = []
        for u in inputs:
            module.update(u[None])
            found.append(bm.as_jax(module.state.value)[0])
        return jnp.stack(found)

    def states(x0: np.ndarray, inputs: np.ndarray) -> Any:
        return run(jnp.asarray(x0), jnp.asarray(inputs))

    def jacobian(x0: np.ndarray, inputs: np.ndarray) -> Any:
        return jax.jacfwd(lambda x: run(x, jnp.asarray(inputs))[-1])(jnp.asarray(x0))

    cell, size = from_brainpy(module), UNITS * (2 if kind == "LSTMCell" else 1)

    def whole(inputs: Any) -> Any:
        return run(jnp.zeros(size), inputs)

    return Row(kind, "", cell, states, jacobian, "float64", whole, {"cell": cell}, 20)
