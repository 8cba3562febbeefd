"""Speech without noise, once more: the second network of DTLN, two LSTMs on features that it learned itself.

Each step reads the 512 samples that the first network has made of a frame: a matrix gives 256 features, which are
normalised, and the LSTMs give a mask over them. onnxruntime, which the package runs on, is the judge where it is
installed.
"""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from examples.zoo import dtln, sounds
from examples.zoo.common import (
    About,
    Agreement,
    Files,
    Study,
    arrays_of,
    largest,
    rounded,
    sigmoid,
)
from jax.tree_util import Partial

import rnn_dynamics as rd

ABOUT = About(
    "dtln_second",
    "DTLN (second): speech without noise",
    *(dtln.ABOUT.package, dtln.ABOUT.version, dtln.ABOUT.licence, dtln.ABOUT.install),
    "dense 256, layer norm, LSTM 2 × 128, dense → 256 (the second of two networks)",
    dtln.ABOUT.step,
    "s",
)
_UNITS, _FOLDER = 128, "livekit/plugins/dtln/models"


def cleaned(files: Files) -> tuple[np.ndarray, np.ndarray]:
    """Frames that the first network has made of speech in noise, shape (steps, 512), and which of them are loud."""
    clean = sounds.voice(dtln.SECONDS, dtln.RATE)
    noisy = clean + 0.02 * np.random.default_rng(3).normal(size=len(clean))
    views = (np.lib.stride_tricks.sliding_window_view(each, 512)[::128] for each in (noisy, clean))
    frames, clear = views
    (path,) = files.find(ABOUT, f"{_FOLDER}/model_1.onnx")
    arrays = arrays_of(path)
    spectra = np.fft.rfft(frames)
    cell = rd.interop.load(path, prefix="lstm_4,lstm_5")
    run = rd.rollout(cell, np.zeros(4 * _UNITS), np.abs(spectra))
    top = np.asarray(run.states, float)[1:, 2 * _UNITS : 3 * _UNITS]
    mask = sigmoid(top @ arrays["dense_2/kernel:0"] + arrays["dense_2/bias:0"])
    return np.fft.irfft(mask * spectra).astype(np.float32).astype(float), np.abs(clear).max(axis=1) > 0.05


def front_end(arrays: dict[str, np.ndarray], frames: np.ndarray) -> np.ndarray:
    """What the LSTMs read: the normalised features."""
    x = frames @ arrays["conv1d_2/kernel:0"][:, :, 0].T
    centred = x - x.mean(axis=1, keepdims=True)
    flat = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + arrays[f"{_NORM}/add/y:0"])
    return flat * arrays[f"{_NORM}/mul{_END}"] + arrays[f"{_NORM}/add_1{_END}"]


_NORM, _END = "model_2/instant_layer_normalization_1", "/ReadVariableOp/resource:0"


def study(files: Files) -> Study:
    """Read, hear what the first network makes of speech in noise, and compare."""
    (path,) = files.find(ABOUT, f"{_FOLDER}/model_2.onnx")
    arrays = arrays_of(path)
    names = ("MatMul", "MatMul_1", "BiasAdd")
    given = [[arrays[f"model_2/lstm_{number}/{name}{_END}"] for name in names] for number in (6, 7)]
    cell = rd.cells.Stack([rd.interop.from_keras(weights) for weights in given])
    frames, is_loud = cleaned(files)
    inputs = front_end(arrays, frames)
    run = rd.rollout(cell, np.zeros(4 * _UNITS), inputs)
    w, b = arrays["model_2/dense_3/Tensordot/Reshape_1:0"], arrays[f"model_2/dense_3/BiasAdd{_END}"]
    mask = sigmoid(np.asarray(run.states)[1:, 2 * _UNITS : 3 * _UNITS] @ w + b)
    return Study(
        run,
        Partial(dtln.mean_logit, jnp.asarray(w), jnp.asarray(b)),
        "the mean logit of the mask",
        f"{dtln.SECONDS:.0f} s of made speech in noise, as the first network leaves it",
        compared(path, arrays, cell, frames, run, mask),
        {
            "kept, mean over loud steps": float(mask[is_loud].mean()),
            "kept, mean over the others": float(mask[~is_loud].mean()),
        },
        inputs[~is_loud].mean(axis=0),
        "the mean input of noise",
        lambda x: float(sigmoid(np.asarray(x)[2 * _UNITS : 3 * _UNITS] @ w + b).mean()),
        more={"largest_state": rounded(np.abs(np.asarray(run.states)).max())},
    )


def compared(
    path: Path, arrays: dict, cell: Any, frames: np.ndarray, run: Any, mask: np.ndarray
) -> Agreement:
    """The file on onnxruntime, step by step from the frames on, else the arithmetic of the cells in NumPy."""
    try:
        import onnxruntime
    except ImportError:
        return dtln.in_numpy(cell, run)
    sounds_there, there, against = dtln.on_onnxruntime(onnxruntime, path, frames)
    x = frames @ arrays["conv1d_2/kernel:0"][:, :, 0].T
    made = (x * mask) @ arrays["conv1d_3/kernel:0"][:, :, 0].T
    states = largest(np.asarray(run.states)[1:], there)
    return Agreement(f"{against}, from the frames on", True, states, largest(made, sounds_there), run.steps)
