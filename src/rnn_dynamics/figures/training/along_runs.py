"""Small networks trained on the latch, and what is met along their training: what the figure is drawn from.

``rnn-dynamics retrain along_training`` trains them anew and writes what they met beside this file, in some
minutes on one core.
"""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.dynamics.lyapunov import lyapunov_spectrum
from rnn_dynamics.figures import stored as kept
from rnn_dynamics.training import Plan, recipe, task
from rnn_dynamics.training.recipes.networks import Network, outputs, states
from rnn_dynamics.training.runs.panels import first_panel
from rnn_dynamics.training.runs.updates import recorded
from rnn_dynamics.training.studies.events_along_training import events_along

LENGTH, UNITS, RATE, RUNS, UPDATES = 10, 2, 1.0, 8, 600
CUE, SETTLED, _SEQUENCES = 3, 400, 200
DRAWN = 3  # the run that is drawn
KINDS = ("fold", "flip", "neimark-sacker", "pitchfork", "transcritical")
STARTS = np.random.default_rng(0).uniform(-1, 1, (64, UNITS))
BLANK = np.zeros(2 * CUE + 1)  # the input without cue and noise


class StoredRuns(NamedTuple):
    """What all runs met, and the parameters of one of them before each update.

    Attributes:
        losses: of 200 sequences that are the same throughout, shape (runs, updates).
        norms: ‖∂E/∂θ‖ of each update's own sequences, shape (runs, updates).
        exponents: the largest of the map without input, from the state after the first cue, shape (runs, updates).
        events: run, position, index of the kind, change of the number of fixed points, further unstable
            directions; shape (events, 5).
        unfinished: branches that ended inside a segment, of all runs.
        W, b, W_in: of the run that is drawn, a leading axis of updates.
    """

    losses: np.ndarray
    norms: np.ndarray
    exponents: np.ndarray
    events: np.ndarray
    unfinished: int
    W: np.ndarray
    b: np.ndarray
    W_in: np.ndarray

    @property
    def path(self) -> ElmanRNN:
        """The drawn run's cells, a leading axis of updates on every parameter."""
        return _path(self.W, self.b, self.W_in)

    def positions(self, run: int) -> np.ndarray:
        """The positions of a run's events, in updates."""
        return self.events[self.events[:, 0] == run, 1]


def _path(W: Any, b: Any, W_in: Any) -> ElmanRNN:
    return jax.vmap(lambda *parts: ElmanRNN(*parts, activation="tanh"))(*map(jnp.asarray, (W, b, W_in)))


def stored() -> StoredRuns:
    """What ``retrain`` wrote."""
    arrays, about = kept.read("along_training")
    doubles = {name: np.asarray(leaf, float) for name, leaf in arrays.items()}
    return StoredRuns(**doubles, unfinished=about["unfinished"])


def _cues(dtype: Any) -> Array:
    """The cues of both classes, shape (2, 3, 7)."""
    cue = jnp.arange(CUE)
    return jax.nn.one_hot(cue[None] + CUE * jnp.arange(2)[:, None], 2 * CUE + 1, dtype=dtype)


@jax.jit
def after_cue(cell: ElmanRNN) -> Array:
    """The states after the cues of both classes."""
    inputs = _cues(cell.W.dtype)
    start = jnp.zeros(UNITS, cell.W.dtype)
    return jax.vmap(lambda u: jax.lax.scan(lambda x, v: (cell(x, v), None), start, u)[0])(inputs)


def _exponent(cell: ElmanRNN) -> float:
    """The largest exponent without input, from the state after the first cue."""
    zeros = jnp.zeros((SETTLED, 2 * CUE + 1), cell.W.dtype)
    orbit = rollout(cell, after_cue(cell)[0], zeros)
    return float(lyapunov_spectrum(orbit, exponents=1, discard=SETTLED // 4).exponents[0])


def _plan() -> Plan:
    return Plan(task("latch", LENGTH), recipe("gaussian").with_numbers(learning_rate=RATE), units=UNITS)


def _losses(plan: Plan, networks: Network) -> np.ndarray:
    """Of the same sequences for every network, leading axes (runs, updates)."""
    batch = plan.task.batch(jax.random.key(99), _SEQUENCES)
    inputs = jnp.swapaxes(batch.inputs, 0, 1)

    def of_one(network: Network) -> Array:
        read = outputs(network, states(network.cell, inputs), batch.at)
        return jnp.mean(plan.task.loss(read, batch.targets))

    return np.asarray(jax.jit(jax.vmap(functools.partial(jax.lax.map, of_one)))(networks))


def retrain(out: Path) -> None:
    """Train the runs, find what they met, and write it; in float64."""
    plan = _plan()
    _, networks, _, norms = recorded(plan, first_panel(plan, range(RUNS)).runs, UPDATES)
    leaves = [np.asarray(leaf) for leaf in (networks.cell.W, networks.cell.b, networks.cell.W_in)]
    events: list[tuple[float, ...]] = []
    exponents = np.empty((RUNS, UPDATES), np.float32)
    unfinished = 0
    for run in range(RUNS):
        path = _path(*(leaf[run].astype(float) for leaf in leaves))
        along = events_along(path, STARTS, u=BLANK, longest=0.25)
        unfinished += along.unfinished
        events += [
            (run, event.position, KINDS.index(event.kind), event.change, event.unstable)
            for event in along.events
        ]
        for i in range(UPDATES):
            exponents[run, i] = _exponent(jax.tree_util.tree_map(lambda leaf, i=i: leaf[i], path))
    arrays = {
        "losses": _losses(plan, networks).astype(np.float32),
        "norms": np.asarray(norms, np.float32),
        "exponents": exponents,
        "events": np.array(events),
        **{name: leaf[DRAWN] for name, leaf in zip(("W", "b", "W_in"), leaves, strict=True)},
    }
    kept.write(out, "along_training", arrays, unfinished=unfinished)
