"""Where is the beat? The LSTM with peepholes of madmom's online beat tracker, of 2016, on a piece with beats."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from examples.zoo import madmom, sounds
from examples.zoo.common import About, Agreement, Files, Study, largest, sigmoid, times
from jax.tree_util import Partial

import rnn_dynamics as rd

ABOUT = About(
    "madmom_beats",
    "madmom 2016: beats",
    "madmom",
    "0.16.1",
    madmom.LICENCE,
    madmom.INSTALL,
    "3 × LSTM 25 with peepholes, dense → 1",
    0.01,
    "s",
)
SECONDS, BEAT = 12.0, 0.5
_GATES = ("input_gate", "forget_gate", "cell", "output_gate")
_UNITS = 25
_HIDDEN = np.arange(6).reshape(3, 2)[:, 0]  # of the six stretches h, c, h, c, h, c of the state


def lstm(layer: dict[str, Any]) -> rd.LSTM:
    """One layer, its gates put on top of one another."""
    gates = [layer[name] for name in _GATES]
    return rd.LSTM(
        np.concatenate([gate["recurrent_weights"].T for gate in gates]),
        np.concatenate([gate["bias"].ravel() for gate in gates]),
        np.concatenate([gate["weights"].T for gate in gates]),
        np.stack([layer[name]["peephole_weights"].ravel() for name in _GATES if name != "cell"]),
    )


def theirs(module: Any, layer: dict[str, Any]) -> Any:
    """One layer of the package's own class."""

    def arrays(name: str) -> tuple:
        gate = layer[name]
        return gate["weights"], gate["bias"].ravel(), gate["recurrent_weights"]

    gates = {
        name: module.Gate(*arrays(name), layer[name]["peephole_weights"]) for name in _GATES if name != "cell"
    }
    cell = module.Cell(*arrays("cell"))
    return module.LSTMLayer(gates["input_gate"], gates["forget_gate"], cell, gates["output_gate"])


def study(files: Files) -> Study:
    """Read the first of the eight networks, hear a piece, and compare with the package's layers."""
    path, source = files.find(ABOUT, "madmom/models/beats/2016/beats_lstm_1.pkl", "madmom/ml/nn/layers.py")
    *recurrent, last = madmom.layers(path)
    cell = rd.cells.Stack([lstm(layer) for layer in recurrent])
    heard = sounds.piece(SECONDS, madmom.RATE, beat=BEAT)
    inputs = madmom.features(heard, (2048,), bands=12, mul=1, ratio=0.5)
    run = rd.rollout(cell, np.zeros(6 * _UNITS), inputs)
    module = madmom.own_layers(source)
    data, states = inputs, []
    for layer in recurrent:
        data = theirs(module, layer).activate(data)
        states.append(data)
    activation = module.FeedForwardLayer(last["weights"], last["bias"], module.sigmoid).activate(data)[:, 0]
    w, b = last["weights"][:, 0], float(last["bias"].ravel()[0])
    ours = np.asarray(run.states)[1:].reshape(-1, 6, _UNITS)
    said = sigmoid(ours[:, 4] @ w + b)
    agreement = Agreement(
        "madmom's own layers (ml.nn.layers)",
        True,
        largest(ours[:, _HIDDEN], np.stack(states, axis=1)),
        largest(said, activation),
        run.steps,
    )
    told = madmom.peaks(said, least=0.2) * ABOUT.step
    grid = np.arange(4, SECONDS / BEAT) * BEAT  # after a bar to get used to the beat
    near = [float(np.abs(told - at).min()) <= 0.07 for at in grid] if len(told) else [False]
    steps = np.diff(told[told > 4 * BEAT - 0.1])
    answers = {
        "beats found": f"{sum(near)} of {len(grid)}, within 70 ms",
        "median distance of beats told, s": float(np.median(steps)) if len(steps) else float("nan"),
    }
    return Study(
        run,
        Partial(_logit, jnp.asarray(w), b),
        "the logit of a beat",
        f"{SECONDS:.0f} s of a made piece at 120 beats a minute",
        agreement,
        answers,
        inputs.mean(axis=0),
        "the mean input",
        lambda x: float(sigmoid(np.asarray(x)[4 * _UNITS : 5 * _UNITS] @ w + b)),
    )


def _logit(w: Any, b: float, x: Any) -> Any:
    return times(x[..., 4 * _UNITS : 5 * _UNITS], w) + b
