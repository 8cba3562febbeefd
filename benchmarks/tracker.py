"""What a ``Tracker`` costs in a training loop with Optax: seconds of a step with it and without.

The loop trains an LSTM with Adam and reads the loss at each step, as a loop with a progress line does. The loops
take their steps in turn, in random order. A row is the median of the steps that make no record, plus what the
records took, spread over all steps; the first records, which compile, come beforehand.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import timing
from rnn_dynamics.cells import LSTM
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.diagnosis import Tracker


def _update(units: int) -> tuple[Any, Callable[..., tuple]]:
    """The optimizer, and one step of training: parameters, its state and the loss."""
    optimizer = optax.adam(1e-3)

    def loss(parameters: dict, inputs: jax.Array, targets: jax.Array) -> jax.Array:
        cell = LSTM(**parameters)
        x0 = jnp.zeros(2 * units, inputs.dtype)
        last = jax.vmap(lambda u: rollout(cell, x0, u).final)(inputs)
        return jnp.mean(jnp.square(last[:, :units].mean(axis=1) - targets))

    @jax.jit
    def update(parameters: dict, state: Any, inputs: jax.Array, targets: jax.Array) -> tuple:
        value, gradient = jax.value_and_grad(loss)(parameters, inputs, targets)
        change, state = optimizer.update(gradient, state)
        return optax.apply_updates(parameters, change), state, value

    return optimizer, update


def measure(*, repetitions: int = 500, quick: bool = False) -> list[dict]:
    """One row for each loop; rates are relative to the loop without a tracker."""
    units, steps, batch, width = (32, 50, 8, 4) if quick else (128, 100, 16, 16)
    rng = np.random.default_rng(0)
    scale = 1 / np.sqrt(units)
    drawn = {"W": (4 * units, units), "b": (4 * units,), "W_in": (4 * units, width)}
    parameters = {k: jnp.asarray(scale * rng.uniform(-1, 1, s), jnp.float32) for k, s in drawn.items()}
    inputs = jnp.asarray(rng.normal(size=(batch, steps, width)), jnp.float32)
    targets, x0 = inputs[:, 0, 0], np.zeros(2 * units, np.float32)
    optimizer, update = _update(units)
    trackers = {
        "without": None,
        "default": Tracker(),
        "default, called at every step": Tracker(),
    }
    asks = {name: "called" not in name for name in trackers}  # ``due`` before the cell is made
    loops = {name: [0, parameters, optimizer.init(parameters)] for name in trackers}

    def step(name: str) -> tuple[bool, float]:
        tracker, loop, begin = trackers[name], loops[name], time.perf_counter()
        loop[1], loop[2], value = update(loop[1], loop[2], inputs, targets)
        float(value)
        has_record = tracker is not None and (not asks[name] or tracker.due(loop[0]))
        if has_record:
            has_record = tracker(loop[0], LSTM(**loop[1]), x0, inputs[0])
        loop[0] += 1
        return has_record, time.perf_counter() - begin

    for name, tracker in trackers.items():
        while tracker is not None and len(tracker.records) < 3:
            step(name)
    taken: dict[str, list] = {name: [] for name in trackers}
    for _ in range(200 if quick else repetitions):
        for name in rng.permutation(list(trackers)).tolist():
            taken[name].append(step(name))
    seconds = {}
    for name, pairs in taken.items():
        plain = statistics.median(second for has_record, second in pairs if not has_record)
        records = [second - plain for has_record, second in pairs if has_record]
        seconds[name] = plain + sum(records) / len(pairs)
    seconds["one record"] = statistics.median(trackers["default"].to_dict()["seconds"][3:])
    case = f"LSTM, {units} units, T = {steps}, batch {batch}, float32"
    return [timing.row("tracker", case, name, value, seconds["without"]) for name, value in seconds.items()]
