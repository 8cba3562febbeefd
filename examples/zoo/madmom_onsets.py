"""Where do notes begin? The plain tanh network of madmom's online onset detector, of 2013, on a made piece."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from examples.zoo import madmom, sounds
from examples.zoo.common import About, Agreement, Files, Study, largest, sigmoid, times
from jax.tree_util import Partial

import rnn_dynamics as rd

ABOUT = About(
    "madmom_onsets",
    "madmom 2013: onsets of notes",
    "madmom",
    "0.16.1",
    madmom.LICENCE,
    madmom.INSTALL,
    "3 × 25 tanh, dense → 1",
    0.01,
    "s",
)
SECONDS, BEAT = 8.0, 0.5


def study(files: Files) -> Study:
    """Read the first of the eight networks, hear a piece, and compare with the package's layers."""
    path, module = files.find(ABOUT, "madmom/models/onsets/2013/onsets_rnn_1.pkl", "madmom/ml/nn/layers.py")
    *recurrent, last = madmom.layers(path)
    cells = [
        rd.interop.from_keras(
            [layer["weights"], layer["recurrent_weights"], layer["bias"].ravel()], activation="tanh"
        )
        for layer in recurrent
    ]
    cell = rd.cells.Stack(cells)
    heard = sounds.piece(SECONDS, madmom.RATE, beat=BEAT)
    inputs = madmom.features(heard, (512, 1024, 2048), bands=6, mul=5, ratio=0.25)
    run = rd.rollout(cell, np.zeros(75), inputs)
    theirs = madmom.own_layers(module)
    data, states = inputs, []
    for layer in recurrent:
        own = theirs.RecurrentLayer(layer["weights"], layer["bias"], layer["recurrent_weights"], theirs.tanh)
        data = own.activate(data)
        states.append(data)
    activation = theirs.FeedForwardLayer(last["weights"], last["bias"], theirs.sigmoid).activate(data)[:, 0]
    w, b = last["weights"][:, 0], float(last["bias"].ravel()[0])
    ours = sigmoid(np.asarray(run.states)[1:, 50:] @ w + b)
    agreement = Agreement(
        "madmom's own layers (ml.nn.layers)",
        True,
        largest(run.states[1:], np.concatenate(states, axis=1)),
        largest(ours, activation),
        run.steps,
    )
    told = madmom.peaks(ours, least=0.3) * ABOUT.step
    grid = np.arange(1, SECONDS / BEAT * 2) * BEAT / 2
    near = [float(np.abs(told - at).min()) <= 0.03 for at in grid] if len(told) else [False]
    answers = {"notes found": f"{sum(near)} of {len(grid)}, within 30 ms", "onsets told": len(told)}
    radii = {}
    for number, one in enumerate(cells, start=1):
        W = np.asarray(one.W)
        radii[f"layer {number}"] = [
            float(np.abs(np.linalg.eigvals(W)).max().round(4)),
            float(np.linalg.norm(W, 2).round(4)),
        ]
    return Study(
        run,
        Partial(_logit, jnp.asarray(w), b),
        "the logit of an onset",
        f"{SECONDS:.0f} s of a made piece at 120 beats a minute",
        agreement,
        answers,
        inputs.mean(axis=0),
        "the mean input",
        lambda x: float(sigmoid(np.asarray(x)[50:] @ w + b)),
        more={"radius_and_norm": radii},
    )


def _logit(w: Any, b: float, x: Any) -> Any:
    return times(x[..., 50:], w) + b
