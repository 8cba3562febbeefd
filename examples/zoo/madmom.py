"""Two generations of madmom's networks: what its programs share.

Both read a spectrogram at 100 frames a second, on a logarithmic scale of frequencies and of magnitudes, beside
its rise over the last frames (S. Böck, M. Schedl, DAFx 2011; S. Böck and others, DAFx 2012). The front end is
NumPy, after what the package's modules say. Its networks are pickles of its own classes, which are read as data
and never run. The states are compared with those of the package's own layers, ``madmom/ml/nn/layers.py``, whose
modules need NumPy and SciPy alone, and which are loaded without the rest of the package.
"""

import importlib
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.interop.files.stored import Part, Stored
from rnn_dynamics.interop.files.torch_files import read_pickle

LICENCE = "code BSD-3-Clause; networks CC BY-NC-SA 4.0"
INSTALL = (
    "pip download --no-deps --no-binary madmom --no-build-isolation madmom==0.16.1   # wants numpy and cython",
    "mkdir packages && tar -xzf madmom-0.16.1.tar.gz -C packages",
    "--unpacked packages",
)
RATE, HOP = 44_100, 441


def layers(path: Path) -> list[dict[str, Any]]:
    """The layers of a network: their arrays by name, gates as mappings of such."""

    def plain(value: Any) -> Any:
        if isinstance(value, Stored):
            return value.read().astype(float)
        if isinstance(value, Part):
            return {name: plain(inner) for name, inner in value.inside.items()}
        return value

    found = read_pickle(path)
    return [plain(layer) for layer in found.inside["layers"]]


def own_layers(path: Path) -> types.ModuleType:
    """The package's module of layers, of the folder in which it lies."""
    name = "zoo_madmom_layers"
    package = types.ModuleType(name)
    package.__path__ = [str(path.parent)]
    sys.modules[name] = package
    return importlib.import_module(f"{name}.layers")


def _filters(size: int, bands: int, rate: int) -> np.ndarray:
    """Triangular filters of area 1, shape (size/2, filters), centred at so many frequencies an octave."""
    frequencies = np.arange(size // 2) * rate / size
    first, last = (np.log2(edge / 440) * bands for edge in (30, 17_000))
    centres = 440 * 2 ** (np.arange(np.floor(first), np.ceil(last)) / bands)
    centres = centres[(centres >= 30) & (centres <= 17_000)]
    nearest = np.unique(np.abs(frequencies[:, None] - centres[None]).argmin(axis=0))
    columns = []
    for start, centre, stop in zip(nearest, nearest[1:], nearest[2:], strict=False):
        if stop - start < 2:
            centre, stop = start, start + 1
        column = np.zeros(size // 2)
        column[start:centre] = np.linspace(0, 1, centre - start, endpoint=False)
        column[centre:stop] = np.linspace(1, 0, stop - centre, endpoint=False)
        columns.append(column / column.sum())
    return np.array(columns).T


def features(
    sound: np.ndarray,
    sizes: tuple[int, ...],
    *,
    bands: int,
    mul: float,
    ratio: float,
    rate: int = RATE,
    hop: int = HOP,
) -> np.ndarray:
    """Spectrograms of frames that end at each hop, and their rise, shape (frames, inputs)."""
    parts = []
    for size in sizes:
        padded = np.concatenate([np.zeros(size), sound])
        count = len(sound) // hop
        frames = np.lib.stride_tricks.sliding_window_view(padded, size)[hop : hop * count + 1 : hop]
        window = np.hanning(size)
        spectrum = np.abs(np.fft.rfft(frames * window)[:, : size // 2])
        logs = np.log10(mul * np.einsum("tf,fb->tb", spectrum, _filters(size, bands, rate)) + 1)
        behind = size / 2 - np.argmax(window > ratio * window.max())
        back = max(1, round(behind / hop))
        rise = np.zeros_like(logs)
        rise[back:] = np.maximum(logs[back:] - logs[:-back], 0)
        parts += [logs, rise]
    return np.concatenate(parts, axis=1)


def peaks(activation: np.ndarray, *, least: float) -> np.ndarray:
    """The frames of local maxima of an activation that reach a bound."""
    inner = activation[1:-1]
    return 1 + np.flatnonzero((inner >= least) & (inner > activation[:-2]) & (inner >= activation[2:]))
