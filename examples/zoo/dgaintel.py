"""Did a program make up this domain name? The LSTM of dgaintel, on names of both kinds.

A name of at most 82 characters goes through an embedding, a convolution of width 3 and a maximum over pairs;
the LSTM reads the 41 pairs, of which those behind the name's end hold the padding. It is the one network here
that reads a whole sequence before its only answer, so that what it keeps to the end is what it can answer by.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from examples.zoo.common import About, Agreement, Files, Study, double, largest, lstm_states, sigmoid, times
from jax.tree_util import Partial

import rnn_dynamics as rd

ABOUT = About(
    "dgaintel",
    "dgaintel: malicious names",
    "dgaintel",
    "2.3",
    "MIT",
    (
        "pip download --no-deps --no-binary dgaintel dgaintel==2.3",
        "mkdir packages && tar -xzf dgaintel-2.3.tar.gz -C packages",
        "--unpacked packages",
    ),
    "embedding 128, convolution, LSTM 64, dense → 1",
    2.0,
    "letter",
)
_LETTERS = "-.0123456789_abcdefghijklmnopqrstuvwxyz"
NAMES = (
    "wikipedia.org",
    "python.org",
    "debian.org",
    "xjwkqzvbtpl.com",
    "qpwoeirutyzx.net",
    "a8f3kd93ls0q.info",
)
_UNITS, _LENGTH = 64, 82


def study(files: Files) -> Study:
    """Read, spell names, compare, and judge them."""
    (path,) = files.find(ABOUT, "dgaintel/domain_classifier_model.h5")
    import h5py

    with h5py.File(path) as file:
        arrays = {
            layer: {
                name: np.asarray(file[f"model_weights/{layer}/{layer}/{name}:0"], float) for name in names
            }
            for layer, names in _NAMES.items()
        }
    cell = double(rd.interop.read_keras(path, layer="lstm_4"))
    dense = arrays["dense_4"]["kernel"][:, 0], float(arrays["dense_4"]["bias"][0])
    read = [front_end(arrays, name) for name in NAMES]
    runs = [rd.rollout(cell, np.zeros(2 * _UNITS), inputs) for inputs in read]
    said = {name: float(sigmoid(np.asarray(run.final)[:_UNITS] @ dense[0] + dense[1]))
            for name, run in zip(NAMES, runs, strict=True)}  # fmt: skip
    return Study(
        runs[0],
        Partial(_logit, jnp.asarray(dense[0]), dense[1]),
        "the logit of a made-up name",
        f"the name {NAMES[0]}, padded to {_LENGTH} characters, in pairs",
        compared(arrays["lstm_4"], runs[0]),
        said,
        read[0][-10],
        "the padding",
        lambda x: float(sigmoid(np.asarray(x)[:_UNITS] @ dense[0] + dense[1])),
    )


_NAMES = {
    "embedding_4": ("embeddings",),
    "conv1d_4": ("kernel", "bias"),
    "lstm_4": ("kernel", "recurrent_kernel", "bias"),
    "dense_4": ("kernel", "bias"),
}


def front_end(arrays: dict[str, dict[str, np.ndarray]], name: str) -> np.ndarray:
    """What the LSTM reads of a name, shape (41, 128)."""
    numbers = [_LETTERS.index(letter) for letter in name]
    x = arrays["embedding_4"]["embeddings"][numbers + [0] * (_LENGTH - len(numbers))]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((1, 1), (0, 0))), 3, axis=0)
    x = np.einsum("tik,kio->to", windows, arrays["conv1d_4"]["kernel"]) + arrays["conv1d_4"]["bias"]
    return np.maximum(x, 0).reshape(_LENGTH // 2, 2, -1).max(axis=1)


def _logit(w: Any, b: float, x: Any) -> Any:
    return times(x[..., :_UNITS], w) + b


def compared(arrays: dict[str, np.ndarray], run: Any) -> Agreement:
    """Keras' LSTM with these weights, else the same arithmetic in NumPy."""
    inputs, states = np.asarray(run.inputs), np.asarray(run.states)[1:]
    weights = [arrays["kernel"], arrays["recurrent_kernel"], arrays["bias"]]
    try:
        import keras
    except ImportError:
        own = lstm_states((weights[0].T, weights[1].T, weights[2]), inputs)
        return Agreement("the same arithmetic in NumPy", False, largest(states, own), None, run.steps)
    layer = keras.layers.LSTM(_UNITS, return_sequences=True)
    layer.build((None, None, inputs.shape[1]))
    layer.set_weights(weights)
    out = np.asarray(layer(inputs[None].astype(np.float32)))[0]
    return Agreement(
        f"LSTM of Keras {keras.__version__}", True, largest(states[:, :_UNITS], out), None, run.steps
    )
