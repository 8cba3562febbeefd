"""Layers of Keras on JAX: kinds, bias, reset_after, activations."""

import os
from collections.abc import Iterator
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import jax
import jax.numpy as jnp
import keras
import numpy as np

from rnn_dynamics.interop import Cause, from_keras
from tests.peers.rows import INPUTS, UNITS, Row

LAYERS = {
    "SimpleRNN": ({}, {"use_bias": False}, {"activation": "relu"}, {"activation": "softsign"}),
    "GRU": ({}, {"reset_after": False}, {"use_bias": False}, {"recurrent_activation": "hard_sigmoid"}),
    "LSTM": ({}, {"use_bias": False}, {"unit_forget_bias": False}, {"activation": "relu"}),
}


def rows() -> Iterator[Row]:
    jax.config.update("jax_enable_x64", False)  # with it, some layers in float32 fail in their scan
    for kind, options in LAYERS.items():
        for option in options:
            yield of(kind, option, "float32")
    jax.config.update("jax_enable_x64", True)
    coarse = "tanh of Keras on JAX is float32 in a float64 network (sigmoid is float64)"
    yield of("GRU", {}, "float64", expected=Cause.PRECISION, tolerances=(1e-6, 1e-3), because=coarse)


def of(kind: str, option: dict, dtype: str, **more: Any) -> Row:
    keras.utils.set_random_seed(1)
    layer = getattr(keras.layers, kind)(UNITS, return_sequences=True, dtype=dtype, **option)
    layer.build((None, None, INPUTS))
    rng = np.random.default_rng(3)
    alive = np.abs if option.get("activation") == "relu" else np.asarray
    weights = [alive(w + 0.2 * rng.normal(size=w.shape)) for w in layer.get_weights()]
    layer.set_weights([w.astype(dtype) for w in weights])
    count = 2 if kind == "LSTM" else 1

    def run(x0: Any, inputs: Any) -> Any:
        states, found = list(jnp.split(x0[None], count, axis=1)), []
        for u in inputs:
            _, states = layer.cell(u[None], states)
            found.append(jnp.concatenate([state[0] for state in states]))
        return jnp.stack(found)

    def jacobian(x0: np.ndarray, inputs: np.ndarray) -> Any:
        return jax.jacrev(lambda x: run(x, jnp.asarray(inputs))[-1])(jnp.asarray(x0))

    words = ", ".join(f"{key}={value}" for key, value in option.items())
    return Row(kind, words, from_keras(layer), run_of(run), jacobian, dtype, layer, **more)


def run_of(run: Any) -> Any:
    return lambda x0, inputs: run(jnp.asarray(x0), jnp.asarray(inputs))
