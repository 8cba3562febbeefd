"""Does the immune system see this peptide? mhcnuggets' LSTM for HLA-A*02:01, whose gates are hard sigmoids.

The weights were made by Keras 2.2, whose LSTM has the hard sigmoid max(0, min(1, x/5 + 1/2)) for its gates; the
file does not say so. TensorFlow 2, on which the package runs today, takes the smooth one. Both are computed
here.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from examples.zoo.common import (
    About,
    Agreement,
    Files,
    Study,
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
    "mhcnuggets",
    "mhcnuggets: peptides that bind",
    "mhcnuggets",
    "2.4.1",
    "Johns Hopkins academic licence",
    ("pip install --no-deps mhcnuggets==2.4.1",),
    "LSTM 64 with hard-sigmoid gates, dense 64, dense → 1",
    1.0,
    "residue",
)
RESIDUES = "ACDEFGHIKLMNPQRSTVWYX"
PEPTIDES = (
    "GILGFVFTL",
    "NLVPMVATV",
    "SLYNTVATL",
    "GLCTLVAML",
    "LLFGYPVYV",
    "KRWIILGLNK",
    "EEYLQAFTY",
    "DPKDEEEPG",
)
_UNITS = 64


def hard(x: Any) -> Any:
    """Keras 2's hard sigmoid."""
    return np.clip(0.2 * np.asarray(x) + 0.5, 0, 1)


def spelt(word: str) -> np.ndarray:
    """One-hot rows of .9, with the rest spread evenly, as the package spells peptides."""
    rows = np.full((len(word), len(RESIDUES)), 0.1 / (len(RESIDUES) - 1))
    rows[np.arange(len(word)), [RESIDUES.index(each) for each in word]] = 0.9
    return rows


def study(files: Files) -> Study:
    """Read, spell peptides, and compare with Keras or with NumPy."""
    (path,) = files.find(ABOUT, "mhcnuggets/saves/production/HLA-A02:01_BA.h5")
    import h5py

    with h5py.File(path) as file:
        layers = {layer: {name: np.asarray(file[f"{layer}/{layer}/{name}:0"], float) for name in names}
                  for layer, names in _NAMES.items()}  # fmt: skip
    cell, smooth = (
        double(rd.interop.read_keras(path, layer="lstm_1", activation="tanh", recurrent_activation=gate))
        for gate in ("hard_sigmoid_5", "sigmoid")
    )
    words = "".join(PEPTIDES) * 4
    inputs = spelt(words)
    run = rd.rollout(cell, np.zeros(2 * _UNITS), inputs)
    dense = [np.asarray(layers[name][part]) for name in ("dense_1", "dense_2") for part in ("kernel", "bias")]

    def affinity(with_cell: Any, peptide: str) -> float:
        state = np.asarray(rd.rollout(with_cell, np.zeros(2 * _UNITS), spelt(peptide)).final)
        hidden = np.tanh(state[:_UNITS] @ dense[0] + dense[1])
        return 50_000 ** (1 - float(sigmoid(hidden @ dense[2] + dense[3])[0]))

    nanomolar = {word: [rounded(affinity(each, word), 4) for each in (cell, smooth)] for word in PEPTIDES}
    return Study(
        run,
        Partial(_logit, [jnp.asarray(each) for each in dense]),
        "the logit of the affinity",
        f"{len(PEPTIDES)} peptides after one another, four times, {len(words)} residues",
        compared(layers["lstm_1"], run),
        {f"{word}, nM": pair[0] for word, pair in list(nanomolar.items())[:4]}
        | {f"{word}, nM": pair[0] for word, pair in list(nanomolar.items())[-2:]},
        inputs.mean(axis=0),
        "the mean residue",
        more={"nanomolar_hard_and_smooth_gates": nanomolar},
    )


_NAMES = {
    "lstm_1": ("kernel", "recurrent_kernel", "bias"),
    "dense_1": ("kernel", "bias"),
    "dense_2": ("kernel", "bias"),
}


def _logit(dense: list, x: Any) -> Any:
    hidden = jnp.tanh(times(x[..., :_UNITS], dense[0]) + dense[1])
    return (times(hidden, dense[2]) + dense[3])[..., 0]


def compared(arrays: dict[str, np.ndarray], run: Any) -> Agreement:
    """Keras' LSTM with these weights and the gates of Keras 2.2, else the same arithmetic in NumPy."""
    inputs = np.asarray(run.inputs)
    try:
        import keras
    except ImportError:
        states = lstm_states((arrays["kernel"].T, arrays["recurrent_kernel"].T, arrays["bias"]), inputs, hard)
        return Agreement(
            "the same arithmetic in NumPy", False, largest(run.states[1:], states), None, run.steps
        )
    layer = keras.layers.LSTM(
        _UNITS,
        return_sequences=True,
        return_state=True,
        recurrent_activation=lambda x: keras.ops.clip(0.2 * x + 0.5, 0, 1),
    )
    layer.build((None, None, inputs.shape[1]))
    layer.set_weights([arrays["kernel"], arrays["recurrent_kernel"], arrays["bias"]])
    out, _, memory = (np.asarray(each) for each in layer(inputs[None].astype(np.float32)))
    states = np.asarray(run.states)[1:]
    return Agreement(
        f"LSTM of Keras {keras.__version__} with the hard sigmoid of Keras 2",
        True,
        max(largest(states[:, :_UNITS], out[0]), largest(states[-1, _UNITS:], memory[0])),
        None,
        run.steps,
    )
