"""Where is the beat, and which is the first of a bar? BeatNet's LSTM on a piece with beats.

A spectrogram at 50 frames a second as madmom makes it goes through a convolution and a dense layer into two layers
of LSTM. The package's own class of the network is run where PyTorch is installed.
"""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from examples.zoo import madmom, sounds
from examples.zoo.common import (
    About,
    Agreement,
    Files,
    Study,
    arrays_of,
    double,
    largest,
    lstm_states,
    module_of,
    times,
)
from jax.tree_util import Partial

import rnn_dynamics as rd

ABOUT = About(
    "beatnet",
    "BeatNet: beats and bars",
    "BeatNet",
    "1.1.3",
    "CC BY 4.0",
    ("pip install --no-deps BeatNet==1.1.3",),
    "convolution, dense, LSTM 2 × 150, dense → 3",
    0.02,
    "s",
)
SECONDS, BEAT, RATE, HOP, SIZE = 12.0, 0.5, 22_050, 441, 1411
_UNITS = 150


def front_end(arrays: dict[str, np.ndarray], spectrogram: np.ndarray) -> np.ndarray:
    """What the LSTM reads: a convolution, its positive part, the greater of each two frequencies, a dense layer."""
    windows = np.lib.stride_tricks.sliding_window_view(spectrogram, arrays["conv1.weight"].shape[2], axis=1)
    x = np.einsum("tfk,ok->tof", windows, arrays["conv1.weight"][:, 0]) + arrays["conv1.bias"][:, None]
    half = x.shape[2] // 2
    x = np.maximum(x[:, :, : 2 * half], 0).reshape(len(x), 2, half, 2).max(axis=3)
    return x.reshape(len(x), -1) @ arrays["linear0.weight"].T + arrays["linear0.bias"]


def study(files: Files) -> Study:
    """Read the first of the three networks, hear a piece, and compare with the package's class."""
    path, source = files.find(ABOUT, "BeatNet/models/model_1_weights.pt", "BeatNet/model.py")
    arrays = arrays_of(path)
    cell = double(rd.interop.load(path, prefix="lstm."))
    heard = sounds.piece(SECONDS, RATE, beat=BEAT)
    spectrogram = madmom.features(heard, (SIZE,), bands=24, mul=1, ratio=0.5, rate=RATE, hop=HOP)
    inputs = front_end(arrays, spectrogram)
    run = rd.rollout(cell, np.zeros(4 * _UNITS), inputs)
    w, b = arrays["linear.weight"], arrays["linear.bias"]
    top = np.asarray(run.states)[1:, 2 * _UNITS : 3 * _UNITS]
    logits = top @ w.T + b
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    said = shares[:, :2].sum(axis=1)
    told = madmom.peaks(said, least=0.3) * ABOUT.step
    grid = np.arange(4, SECONDS / BEAT) * BEAT
    near = [float(np.abs(told - at).min()) <= 0.07 for at in grid] if len(told) else [False]
    return Study(
        run,
        Partial(_logit, jnp.asarray(w), jnp.asarray(b)),
        "the logit of a beat against none",
        f"{SECONDS:.0f} s of a made piece at 120 beats a minute",
        compared(source, arrays, spectrogram, run, logits),
        {"beats found": f"{sum(near)} of {len(grid)}, within 70 ms"},
        inputs.mean(axis=0),
        "the mean input",
    )


def _logit(w: Any, b: Any, x: Any) -> Any:
    logits = times(x[..., 2 * _UNITS : 3 * _UNITS], w.T) + b
    return logits[..., 0] - logits[..., 2]


def compared(source: Path, arrays: dict, spectrogram: np.ndarray, run: Any, logits: np.ndarray) -> Agreement:
    """The package's own class on PyTorch, from the spectrogram on, else the LSTM's arithmetic in NumPy."""
    ends = np.asarray(run.final).reshape(4, _UNITS)
    try:
        import torch
    except ImportError:
        given = [[arrays[f"lstm.{name}_l{layer}"] for name in _NAMES] for layer in (0, 1)]
        first = lstm_states((given[0][0], given[0][1], given[0][2] + given[0][3]), np.asarray(run.inputs))
        second = lstm_states((given[1][0], given[1][1], given[1][2] + given[1][3]), first[:, :_UNITS])
        states = np.concatenate([first, second], axis=1)
        return Agreement(
            "the same arithmetic in NumPy", False, largest(run.states[1:], states), None, run.steps
        )
    network = module_of(source, "zoo_beatnet_model").BDA(spectrogram.shape[1], _UNITS, 2, "cpu")
    network.load_state_dict(
        {name: torch.tensor(value, dtype=torch.float32) for name, value in arrays.items()}
    )
    with torch.no_grad():
        out = network(torch.tensor(spectrogram, dtype=torch.float32)[None])[0].T.numpy()
    hidden, memory = network.hidden[:, 0].numpy(), network.cell[:, 0].numpy()
    version = torch.__version__.partition("+")[0]
    return Agreement(
        f"BeatNet's own network on PyTorch {version}, from the spectrogram on; the last state",
        True,
        max(largest(ends[[0, 2]], hidden), largest(ends[[1, 3]], memory)),
        largest(logits, out),
        run.steps,
    )


_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
