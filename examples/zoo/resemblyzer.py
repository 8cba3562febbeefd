"""Whose voice is it? Resemblyzer's LSTM, which turns speech into a vector that tells speakers apart.

The mel spectrogram is made here in NumPy as librosa makes it: 40 bands, windows of 25 ms every 10 ms. The package
cuts speech into parts of 1.6 s and begins anew at each; here one run goes through all of it.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from examples.zoo import sounds
from examples.zoo.common import About, Agreement, Files, Study, arrays_of, double, largest, lstm_states, times
from jax.tree_util import Partial

import rnn_dynamics as rd

ABOUT = About(
    "resemblyzer",
    "Resemblyzer: whose voice",
    "Resemblyzer",
    "0.1.4",
    "Apache-2.0",
    ("pip install --no-deps Resemblyzer==0.1.4",),
    "LSTM 3 × 256, dense → 256",
    0.01,
    "s",
)
RATE, SECONDS = 16_000, 5.0
_SIZE, _HOP, _BANDS, _UNITS = 400, 160, 40, 256


def _hertz(mel: np.ndarray) -> np.ndarray:
    """Slaney's mel scale: 200/3 Hz each up to 1000 Hz, and factors of 6.4^(1/27) beyond."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def spectrogram(sound: np.ndarray) -> np.ndarray:
    """Power in mel bands of unit area, shape (frames, 40)."""
    top = 15 + 27 * np.log(RATE / 2 / 1000) / np.log(6.4)
    edges = _hertz(np.linspace(0, top, _BANDS + 2))
    frequencies = np.arange(_SIZE // 2 + 1) * RATE / _SIZE
    rise = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    bands = np.maximum(0, np.minimum(rise, fall)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    padded = np.pad(sound, _SIZE // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _SIZE)[::_HOP]
    window = np.hanning(_SIZE + 1)[:-1]
    return np.abs(np.fft.rfft(frames * window)) ** 2 @ bands.T


def study(files: Files) -> Study:
    """Read, make two voices, and compare with PyTorch's layer or with NumPy."""
    (path,) = files.find(ABOUT, "resemblyzer/pretrained.pt")
    arrays = arrays_of(path)
    cell = double(rd.interop.load(path, prefix="model_state.lstm."))
    sound = sounds.voice(SECONDS, RATE)
    sound = sound * 10 ** (-30 / 20) / np.sqrt(np.mean(sound**2))
    inputs = spectrogram(sound)
    run = rd.rollout(cell, np.zeros(6 * _UNITS), inputs)
    w, b = arrays["model_state.linear.weight"], arrays["model_state.linear.bias"]

    def embedded(states: np.ndarray) -> np.ndarray:
        raw = np.maximum(states[..., 4 * _UNITS : 5 * _UNITS] @ w.T + b, 0)
        return raw / np.linalg.norm(raw, axis=-1, keepdims=True)

    voice = embedded(np.asarray(run.states[1:]))
    mean = voice[160:].mean(axis=0)
    return Study(
        run,
        Partial(_likeness, jnp.asarray(w), jnp.asarray(b), jnp.asarray(mean / np.linalg.norm(mean))),
        "the likeness to the voice's mean vector",
        f"{SECONDS:.0f} s of made speech",
        compared(arrays, run),
        {"likeness of 1.6 s to the whole": float(voice[159] @ mean / np.linalg.norm(mean))},
    )


def _likeness(w: Any, b: Any, mean: Any, x: Any) -> Any:
    raw = jnp.maximum(times(x[..., 4 * _UNITS : 5 * _UNITS], w.T) + b, 0)
    return times(raw, mean) / jnp.sqrt(jnp.square(raw).sum(axis=-1))


def compared(arrays: dict[str, np.ndarray], run: Any) -> Agreement:
    """PyTorch's LSTM with the package's weights, else the same arithmetic in NumPy."""
    ends = np.asarray(run.final).reshape(6, _UNITS)
    names = [
        f"{name}_l{layer}" for layer in range(3) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    given = {name: arrays[f"model_state.lstm.{name}"] for name in names}
    try:
        import torch
    except ImportError:
        data, states = np.asarray(run.inputs), []
        for layer in range(3):
            w_in, w, b_in, b = (
                given[f"{name}_l{layer}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            states.append(lstm_states((w_in, w, b_in + b), data))
            data = states[-1][:, :_UNITS]
        whole = np.concatenate(states, axis=1)
        return Agreement(
            "the same arithmetic in NumPy", False, largest(run.states[1:], whole), None, run.steps
        )
    layers = torch.nn.LSTM(_BANDS, _UNITS, 3, batch_first=True)
    layers.load_state_dict({name: torch.tensor(value, dtype=torch.float32) for name, value in given.items()})
    with torch.no_grad():
        out, (hidden, memory) = layers(torch.tensor(np.asarray(run.inputs), dtype=torch.float32)[None])
    states = np.asarray(run.states)[1:]
    version = torch.__version__.partition("+")[0]
    return Agreement(
        f"torch.nn.LSTM of PyTorch {version}, which the package takes; the last state",
        True,
        max(largest(ends[::2], hidden[:, 0].numpy()), largest(ends[1::2], memory[:, 0].numpy())),
        largest(states[:, 4 * _UNITS : 5 * _UNITS], out[0].numpy()),
        run.steps,
    )
