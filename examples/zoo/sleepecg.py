"""Awake, dreaming, or neither? The GRUs of sleepecg, in both directions, over a night's heartbeats.

Each step is 30 s: 33 numbers of the heart's rhythm around it, the hour at which the recording began, age and sex
go through a dense layer of 64 units into two layers of GRUs of 8 units that read the night from both ends. The
numbers are made by the package's own functions. Keras, which the package runs on, is the judge where it is
installed.
"""

import io
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from examples.zoo import both, sleep
from examples.zoo.common import About, Agreement, Files, double, functions_of, largest, times
from jax.tree_util import Partial

import rnn_dynamics as rd

ABOUT = About(
    "sleepecg",
    "sleepecg: sleep from heartbeats",
    "sleepecg",
    "0.6.0",
    "BSD-3-Clause",
    ("pip install --no-deps sleepecg==0.6.0",),
    "dense 64, GRU 2 × 8 in both directions, dense → 4",
    30.0,
    "s",
)
_BACK, _AHEAD, _RATE, _MASK = 120, 150, 4.0, -1.0
_START, _AGE, _SEX = 21.5 * 3600.0, 68.0, 1.0
_FUNCTIONS = (
    *("_hrv_timedomain_features", "_hrv_frequencydomain_features", "_create_ragged_array"),
    *("_split_into_windows", "_nanpsd"),
)


def features(source: Path, heard: np.ndarray, epochs: int) -> np.ndarray:
    """What the network reads of times of heartbeats, shape (epochs, 36), by the package's functions."""
    from numpy.lib.stride_tricks import sliding_window_view
    from scipy.integrate import trapezoid
    from scipy.interpolate import interp1d
    from scipy.signal import periodogram

    found = {"sliding_window_view": sliding_window_view, "trapezoid": trapezoid, "interp1d": interp1d}
    in_time, in_frequency, *_ = functions_of(source, _FUNCTIONS, np=np, periodogram=periodogram, **found)
    between, at = np.diff(heard), heard[1:]
    begins = np.arange(epochs) * sleep.EPOCH
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        given = [
            in_time(between, at, begins, _BACK, _AHEAD),
            in_frequency(between, at, begins, _BACK, _AHEAD, _RATE, 0.5),
            np.tile([_START, _AGE, _SEX], (epochs, 1)),
        ]
    read = np.concatenate(given, axis=1)
    read[~np.isfinite(read)] = _MASK
    return read.astype(np.float32).astype(float)


def study(files: Files) -> both.Study:
    """Read, sleep a night, compare with Keras, and tell how many stages are found."""
    archive, source = files.find(
        ABOUT, "sleepecg/classifiers/wrn-gru-mesa-weighted.zip", "sleepecg/feature_extraction.py"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "classifier.keras"
        with zipfile.ZipFile(archive) as zipped:
            path.write_bytes(zipped.read(path.name))
        network = double(rd.interop.load(path))
        arrays = dense_of(path)
        stages = sleep.night()
        read = features(source, sleep.beats(stages), len(stages))
        run = network.run(front_end(arrays, read))
        w, b = arrays["dense_1"]
        logits = np.asarray(run.outputs) @ w + b
        agreement = compared(path, read, run, logits)
    truth = np.array([3, 1, 1, 2])[stages]  # of the network's four: none, not REM, REM, awake
    told = logits.argmax(axis=1)
    share = {
        name: float((told[truth == number] == number).mean())
        for name, number in (("awake", 3), ("REM", 2), ("other sleep", 1))
    }
    return both.Study(
        run,
        Partial(_logit, jnp.asarray(w[:, 2] - w[:, 1])),
        "the logit of REM against other sleep",
        f"a made night of {len(stages) * sleep.EPOCH / 3600:.0f} h",
        agreement,
        {f"found of {name}": value for name, value in share.items()},
    )


def _logit(w: Any, y: Any) -> Any:
    return times(y, w)


def dense_of(path: Path) -> dict[str, list[np.ndarray]]:
    """The arrays of the layers that are not recurrent."""
    import h5py

    names = {"batch_normalization": 4, "dense": 2, "dense_1": 2}
    with zipfile.ZipFile(path) as zipped, h5py.File(io.BytesIO(zipped.read("model.weights.h5"))) as file:
        group: Any = file["layers"] if "layers" in file else file["_layer_checkpoint_dependencies"]
        return {
            name: [np.asarray(group[f"{name}/vars/{i}"], float) for i in range(count)]
            for name, count in names.items()
        }


def front_end(arrays: dict[str, list[np.ndarray]], read: np.ndarray) -> np.ndarray:
    """What the GRUs read: the normalised numbers through a dense layer, the positive part."""
    scale, offset, mean, variance = arrays["batch_normalization"]
    w, b = arrays["dense"]
    return np.maximum(((read - mean) / np.sqrt(variance + 1e-3) * scale + offset) @ w + b, 0)


def compared(path: Path, read: np.ndarray, run: Any, logits: np.ndarray) -> Agreement:
    """The file in Keras, from the numbers on, else the arithmetic of the GRUs in NumPy."""
    try:
        import keras
    except ImportError:
        found = both.compared(run, both.gru_layers(run.network, run.inputs))
        return Agreement("the same arithmetic in NumPy", False, found[0], None, found[1])
    model = keras.models.load_model(path)
    parts = [layer.output for layer in model.layers if isinstance(layer, keras.layers.Bidirectional)]
    made = keras.Model(model.inputs, [*parts, *model.outputs])(read[None].astype(np.float32))
    *layers, shares = (np.asarray(each)[0] for each in made)
    states, steps = both.compared(run, layers)
    own = np.exp(logits - logits.max(axis=1, keepdims=True))
    apart = largest(own / own.sum(axis=1, keepdims=True), shares)
    against = f"the file in Keras {keras.__version__}, from the heart's numbers on"
    return Agreement(against, True, states, apart, steps)
