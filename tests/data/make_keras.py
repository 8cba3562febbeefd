"""Write keras.npz: weights, outputs and ∂(last state)/∂(first state) of Keras' recurrent layers.

KERAS_BACKEND=jax JAX_ENABLE_X64=1 python tests/data/make_keras.py
The file was made with Keras 3.15.1 and JAX 0.10.2.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import keras
import numpy as np

UNITS, INPUTS, STEPS = 3, 2, 100
LAYERS = {
    "rnn_tanh": (keras.layers.SimpleRNN, {}),
    "rnn_relu": (keras.layers.SimpleRNN, {"activation": "relu"}),
    "rnn_plain": (keras.layers.SimpleRNN, {"use_bias": False}),
    "lstm": (keras.layers.LSTM, {}),
    "lstm_plain": (keras.layers.LSTM, {"use_bias": False}),
    "gru_after": (keras.layers.GRU, {"reset_after": True}),
    "gru_before": (keras.layers.GRU, {"reset_after": False}),
    "gru_after_plain": (keras.layers.GRU, {"reset_after": True, "use_bias": False}),
    "gru_before_plain": (keras.layers.GRU, {"reset_after": False, "use_bias": False}),
}


def _built(name, dtype, weights):
    cls, options = LAYERS[name]
    keras.config.set_dtype_policy(dtype)
    keras.config.set_floatx(dtype)
    if dtype == "float64":  # keras.ops.tanh gives float32 on JAX, whatever it is given
        options = options | {"activation": jax.nn.relu if "relu" in name else jnp.tanh}
        options |= {} if "rnn" in name else {"recurrent_activation": jax.nn.sigmoid}
    layer = cls(UNITS, return_sequences=True, return_state=True, dtype=dtype, **options)
    layer.build((1, STEPS, INPUTS))
    layer.set_weights([w.astype(dtype) for w in weights] if weights else layer.get_weights())
    return layer


def _run(layer, inputs, x0):
    """Outputs, and the last state [h] or [h, c] as one vector."""
    parts = list(jnp.split(x0[None], x0.shape[0] // UNITS, axis=1))
    outputs, *last = layer(inputs[None], initial_state=parts)
    return outputs[0], jnp.concatenate(last, axis=1)[0]


def main() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(STEPS, INPUTS)).astype(np.float32)
    found = {"inputs": inputs}
    for name in LAYERS:
        shapes = [w.shape for w in _built(name, "float32", None).get_weights()]
        weights = [(random.normal(size=s) * 0.7).astype(np.float32) for s in shapes]
        if "relu" in name:  # units that stay on: their Jacobian would be zero otherwise
            weights = [np.abs(w) / 2 for w in weights[:2]] + [weights[2] + 3]
        x0 = (random.normal(size=2 * UNITS if "lstm" in name else UNITS) / 2).astype(np.float32)
        found |= {f"{name}/weight_{i}": w for i, w in enumerate(weights)} | {f"{name}/x0": x0}
        with jax.enable_x64(False):  # with x64 on, Keras' GRU mixes the two precisions
            single = _built(name, "float32", weights)
            found[f"{name}/outputs"] = np.asarray(_run(single, jnp.asarray(inputs), jnp.asarray(x0))[0])
        double = _built(name, "float64", weights)

        def last(x, double=double):
            return _run(double, jnp.asarray(inputs, float), x)[1]

        found[f"{name}/last"] = np.asarray(last(jnp.asarray(x0, float)))
        found[f"{name}/jacobian"] = np.asarray(jax.jacobian(last)(jnp.asarray(x0, float)))
    np.savez_compressed(Path(__file__).with_name("keras.npz"), **found)


if __name__ == "__main__":
    main()
