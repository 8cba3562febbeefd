"""What letter comes next? textgenrnn's two LSTMs, whose weights are laid out for cuDNN, on an English text.

The package reads windows of 40 characters and begins anew at each; its output averages over all steps of a
window by attention. Here one run goes through a whole text, and the output that is watched is that of the last
step alone. The layout: kernels of the input transposed within each gate, those of the state transposed, two
biases.
"""

import json
from typing import Any

import jax.numpy as jnp
import numpy as np
from examples.zoo.common import About, Agreement, Files, Study, double, largest, lstm_states, times
from jax.tree_util import Partial

import rnn_dynamics as rd

ABOUT = About(
    "textgenrnn",
    "textgenrnn: the next letter",
    "textgenrnn",
    "2.0.0",
    "MIT",
    (
        "pip download --no-deps --no-binary textgenrnn textgenrnn==2.0.0",
        "mkdir packages && tar -xzf textgenrnn-2.0.0.tar.gz -C packages",
        "--unpacked packages",
    ),
    "embedding 100, LSTM 2 × 128, attention, dense → 465",
    1.0,
    "letter",
)
TEXT = (
    "What a network keeps of its past is a matter of its weights, and of the way that its state takes. "
    "I have been trying to find out how long a small one can remember the beginning of a sentence, "
    "and whether it knows at the end who was the subject of it. The first thing to do is to read it a text, "
    "letter by letter, and to look at what changes when one of the letters is another."
)
_UNITS, _WINDOW = 128, 40


def plain(
    kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keras' kernel, recurrent kernel and bias of an LSTM, from those that cuDNN has."""
    gates = [part.T.reshape(part.shape, order="F") for part in np.hsplit(kernel, 4)]
    return (
        np.hstack(gates),
        np.hstack([part.T for part in np.hsplit(recurrent, 4)]),
        bias[: 4 * _UNITS] + bias[4 * _UNITS :],
    )


def study(files: Files) -> Study:
    """Read, spell the text, compare, and let it write."""
    folder = "textgenrnn/textgenrnn_"
    path, letters = files.find(ABOUT, f"{folder}weights.hdf5", f"{folder}vocab.json")
    import h5py

    known = json.loads(letters.read_text(encoding="utf-8"))
    with h5py.File(path) as file:
        embedding = np.asarray(file["embedding/embedding/embeddings:0"], float)
        stored = [
            [
                np.asarray(file[f"rnn_{i}/rnn_{i}/{name}:0"], float)
                for name in ("kernel", "recurrent_kernel", "bias")
            ]
            for i in (1, 2)
        ]
        attention = np.asarray(file["attention/attention/attention_W:0"], float)[:, 0]
        w, b = (np.asarray(file[f"output/output/{name}:0"], float) for name in ("kernel", "bias"))
    cells = [
        rd.interop.read_keras(path, layer=f"rnn_{i}", activation="tanh", recurrent_activation="sigmoid")
        for i in (1, 2)
    ]
    cell = double(rd.cells.Stack(cells))
    inputs = embedding[[known[letter] for letter in TEXT]]
    run = rd.rollout(cell, np.zeros(4 * _UNITS), inputs)
    layers = [plain(*each) for each in stored]
    return Study(
        run,
        Partial(_logit, jnp.asarray(w), jnp.asarray(b)),
        "the largest logit of the next letter",
        f"an English text of {len(TEXT)} letters",
        compared(layers, run),
        {"it writes": written(layers, embedding, attention, (w, b), known)},
    )


def _logit(w: Any, b: Any, x: Any) -> Any:
    h = jnp.concatenate([x[..., :_UNITS], x[..., 2 * _UNITS : 3 * _UNITS]], axis=-1)
    return (times(h, w[100:]) + b).max()


def _layers(layers: list, inputs: np.ndarray) -> np.ndarray:
    """The states of both layers, [h, c, h, c], in NumPy."""
    first = lstm_states((layers[0][0].T, layers[0][1].T, layers[0][2]), inputs)
    second = lstm_states((layers[1][0].T, layers[1][1].T, layers[1][2]), first[:, :_UNITS])
    return np.concatenate([first, second], axis=1)


def written(
    layers: list, embedding: np.ndarray, attention: np.ndarray, out: tuple, known: dict[str, int]
) -> str:
    """What the network writes from "I ", always the likeliest letter, in windows as the package reads them."""
    letters = {number: letter for letter, number in known.items()}
    numbers = [known["<s>"], known["I"], known[" "]]
    for _ in range(30):
        window = ([0] * _WINDOW + numbers)[-_WINDOW:]
        inputs = embedding[window]
        states = _layers(layers, inputs)
        whole = np.concatenate([inputs, states[:, :_UNITS], states[:, 2 * _UNITS : 3 * _UNITS]], axis=1)
        shares = np.exp(whole @ attention - (whole @ attention).max())
        said = int(((shares / shares.sum()) @ whole @ out[0] + out[1]).argmax())
        if letters.get(said) == "<s>":
            break
        numbers.append(said)
    return "".join(letters.get(number, "?") for number in numbers[1:])


def compared(layers: list, run: Any) -> Agreement:
    """Keras' LSTMs with these weights, else the same arithmetic in NumPy."""
    inputs, states = np.asarray(run.inputs), np.asarray(run.states)[1:]
    try:
        import keras
    except ImportError:
        return Agreement(
            "the same arithmetic in NumPy", False, largest(states, _layers(layers, inputs)), None, run.steps
        )
    data, outs = inputs[None].astype(np.float32), []
    for weights in layers:
        layer = keras.layers.LSTM(_UNITS, return_sequences=True)
        layer.build((None, None, data.shape[2]))
        layer.set_weights(list(weights))
        data = np.asarray(layer(data))
        outs.append(data[0])
    hidden = np.stack([states[:, :_UNITS], states[:, 2 * _UNITS : 3 * _UNITS]])
    return Agreement(f"LSTM of Keras {keras.__version__}", True, largest(hidden, outs), None, run.steps)
