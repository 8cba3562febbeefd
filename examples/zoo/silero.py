"""Is it speech? The LSTM of the detector that silero-vad loads by default, on made speech.

``examples/silero_vad.py`` asks the same of the weights in the package's safetensors file, on recorded sound,
and looks closer. Here it is the network of ``silero_vad.jit``, another training, read as data from the
TorchScript archive; where PyTorch is installed that archive itself is the judge of the states.
"""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from examples import silero_vad
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
    sigmoid,
    times,
)
from jax.tree_util import Partial

import rnn_dynamics as rd

ABOUT = About(
    "silero",
    "silero-vad: is it speech?",
    "silero-vad",
    "6.2.3",
    "MIT",
    ("pip install --no-deps silero-vad==6.2.3",),
    "STFT, 4 convolutions, LSTM 128, dense → 1",
    0.032,
    "s",
)
SECONDS = 24.0


def front_end(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The convolutions by the names that the example has for them."""
    found = {"stft_conv.weight": arrays["_model.stft.forward_basis_buffer"]}
    for number in range(4):
        for name in ("weight", "bias"):
            found[f"conv{number + 1}.{name}"] = arrays[f"_model.encoder.{number}.reparam_conv.{name}"]
    return found


def study(files: Files) -> Study:
    """Read, make speech, and compare with the archive run by PyTorch, or with NumPy."""
    (path,) = files.find(ABOUT, "silero_vad/data/silero_vad.jit")
    arrays = arrays_of(path)
    cell = double(rd.interop.load(path, prefix="_model.decoder.rnn."))
    sound = sounds.voice(SECONDS, silero_vad.RATE)
    inputs = silero_vad.features(sound, front_end(arrays)).astype(float)
    run = rd.rollout(cell, np.zeros(256), inputs)
    w, b = (
        arrays["_model.decoder.decoder.2.weight"][0, :, 0],
        float(arrays["_model.decoder.decoder.2.bias"][0]),
    )
    said = sigmoid(np.maximum(np.asarray(run.states)[1:, :128], 0) @ w + b)
    loud = (
        np.abs(sound[: len(said) * silero_vad.CHUNK - silero_vad.CHUNK])
        .reshape(-1, silero_vad.CHUNK)
        .max(axis=1)
        > 0.01
    )
    return Study(
        run,
        Partial(_logit, jnp.asarray(w), b),
        "the logit of speech",
        f"{SECONDS:.0f} s of made speech in phrases",
        compared(path, sound, arrays, run, said),
        {
            "speech, mean over loud steps": float(said[: len(loud)][loud].mean()),
            "speech, mean over the others": float(said[: len(loud)][~loud].mean()),
        },
        inputs.mean(axis=0),
        "the mean input",
        lambda x: float(sigmoid(np.maximum(np.asarray(x)[:128], 0) @ w + b)),
    )


def _logit(w: Any, b: float, x: Any) -> Any:
    return times(jnp.maximum(x[..., :128], 0), w) + b


def compared(
    path: Path, sound: np.ndarray, arrays: dict[str, np.ndarray], run: Any, said: np.ndarray
) -> Agreement:
    """The archive as PyTorch runs it, chunk by chunk, else the LSTM's arithmetic in NumPy."""
    try:
        import torch
    except ImportError:
        return _in_numpy(arrays, run)
    network = torch.jit.load(path)
    network.eval()
    states, outputs = [], []
    padded = np.pad(sound, (0, -len(sound) % silero_vad.CHUNK)).astype(np.float32)
    with torch.no_grad():
        for chunk in padded.reshape(-1, silero_vad.CHUNK):
            outputs.append(float(network(torch.from_numpy(chunk.copy())[None], silero_vad.RATE)))
            states.append(network._state.numpy()[:, 0].ravel().copy())
    version = torch.__version__.partition("+")[0]
    against = f"silero_vad.jit itself on PyTorch {version}, from the sound on"
    return Agreement(against, True, largest(run.states[1:], states), largest(said, outputs), run.steps)


def _in_numpy(arrays: dict[str, np.ndarray], run: Any) -> Agreement:
    w_in, w, b_in, b = (
        arrays[f"_model.decoder.rnn.{name}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    states = lstm_states((w_in, w, b_in + b), np.asarray(run.inputs))
    return Agreement("the same arithmetic in NumPy", False, largest(run.states[1:], states), None, run.steps)
