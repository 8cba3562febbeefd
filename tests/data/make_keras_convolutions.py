"""Outputs of Keras' ConvLSTM layers: keras 3.15.1 with KERAS_BACKEND=jax, jax 0.10.2."""

from pathlib import Path

import keras
import numpy as np

LAYERS = keras.layers
CASES = {
    "strides": (LAYERS.ConvLSTM2D, (3, (3, 2)), {"strides": (2, 1)}, (7, 6, 2)),
    "same": (
        LAYERS.ConvLSTM2D,
        (2, (4, 3)),
        {"padding": "same", "strides": (2, 2), "use_bias": False},
        (5, 6, 1),
    ),
    "dilation": (LAYERS.ConvLSTM2D, (2, 2), {"dilation_rate": (2, 3), "activation": "relu"}, (5, 6, 2)),
    "first": (LAYERS.ConvLSTM2D, (2, 3), {"data_format": "channels_first", "padding": "same"}, (2, 4, 5)),
    "line": (LAYERS.ConvLSTM1D, (3, 3), {"recurrent_activation": "hard_sigmoid"}, (8, 2)),
    "volume": (LAYERS.ConvLSTM3D, (2, 2), {}, (3, 4, 3, 1)),
}

if __name__ == "__main__":
    rng, found = np.random.default_rng(0), {}
    for name, (kind, arguments, options, image) in CASES.items():
        layer = kind(*arguments, return_sequences=True, **options)
        inputs = rng.normal(size=(1, 5, *image)).astype("float32")
        layer.build(inputs.shape)
        layer.set_weights([rng.normal(size=w.shape).astype("float32") / 2 for w in layer.get_weights()])
        found[f"{name}/inputs"], found[f"{name}/outputs"] = inputs[0], np.asarray(layer(inputs))[0]
        for number, array in enumerate(layer.get_weights()):
            found[f"{name}/weight_{number}"] = array
    np.savez_compressed(Path(__file__).with_name("keras_convolutions.npz"), **found)
