"""What a verdict costs: of a batch of LSTMs against one ``jax.grad``, of one large run against all its products.

CPU seconds of this process, as the machine may be shared; candidates run in turn, medians after a warming round.
The loss is the mean of ½‖h_T‖²; "gradient_norms, fro" forms ∂x_T/∂x_k for every k.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from rnn_dynamics.cells import LSTM, ElmanRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.diagnosis import diagnose
from rnn_dynamics.gradients.jacobians import gradient_norms


def _in_turn(candidates: dict[str, Callable[[], Any]], repetitions: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for round_ in range(repetitions + 1):
        for name, run in candidates.items():
            begin = time.process_time()
            jax.block_until_ready(run())
            if round_:
                seconds[name].append(time.process_time() - begin)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def _rows(case: str, candidates: dict[str, Callable[[], Any]], repetitions: int) -> list[dict]:
    seconds = _in_turn(candidates, repetitions)
    reference = next(iter(seconds.values()))
    return [timing.row("diagnose_cost", case, name, value, reference) for name, value in seconds.items()]


def _text(found: Any) -> str:
    """A verdict as a user sees it, so that nothing is left to be computed."""
    return str(found)


def _batch(units: int, steps: int, batch: int, width: int) -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return (rng.uniform(-1, 1, shape) / np.sqrt(units)).astype(np.float32)

    cell = LSTM(draw(4 * units, units), draw(4 * units), draw(4 * units, width))
    inputs = jnp.asarray(rng.normal(size=(batch, steps, width)), jnp.float32)
    x0 = jnp.zeros((batch, 2 * units), jnp.float32)

    def of_state(x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.square(x[:units])) / 2

    def loss(cell: LSTM, x0: jax.Array, inputs: jax.Array) -> jax.Array:
        return jnp.mean(jax.vmap(lambda x, u: of_state(rollout(cell, x, u).final))(x0, inputs))

    gradient = jax.jit(jax.grad(loss))
    runs = jax.jit(jax.vmap(lambda x, u: rollout(cell, x, u)))(x0, inputs)
    return {
        "jax.grad": lambda: gradient(cell, x0, inputs),
        "diagnose": lambda: _text(diagnose(runs)),
        "diagnose with a loss": lambda: _text(diagnose(runs, of_state)),
    }


def _one(units: int, steps: int) -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(0)
    cell = ElmanRNN(1.2 * rng.normal(size=(units, units)) / np.sqrt(units), np.zeros(units))
    run = rollout(cell, rng.normal(size=units), steps=steps)
    gradient = jax.jit(jax.grad(lambda cell, x: squares(rollout(cell, x, steps=steps).final)))

    def squares(x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.square(x))

    return {
        "gradient_norms, fro": lambda: gradient_norms(run, ord="fro"),
        "jax.grad": lambda: gradient(cell, run.initial),
        "diagnose": lambda: _text(diagnose(run)),
        "diagnose with a loss": lambda: _text(diagnose(run, squares)),
    }


def _every_step(units: int, steps: int) -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(0)
    cell = ElmanRNN(0.9 * rng.normal(size=(units, units)) / np.sqrt(units), np.zeros(units))
    runs = [rollout(cell, rng.normal(size=units), steps=s) for s in (steps, 4 * steps)]

    def squares(states: jax.Array) -> jax.Array:
        return jnp.sum(jnp.square(states))

    return {
        f"every_step, T = {run.steps}": lambda run=run: _text(
            diagnose(run, squares, every_step=True, exact=False)
        )
        for run in runs
    }


def measure(*, repetitions: int = 5, quick: bool = False) -> list[dict]:
    """Rows for a batch (relative to ``jax.grad``), two single runs (to the products), and every step (to T)."""
    sizes = (64, 100, 8, 16) if quick else (256, 500, 32, 64)
    repetitions = 2 if quick else repetitions
    case = "LSTM, {} units, T = {}, batch {}, float32".format(*sizes)
    rows = _rows(case, _batch(*sizes), repetitions)
    for units, steps in ((128, 100),) if quick else ((512, 300), (300, 20_000)):
        few = min(repetitions, 1 if steps > 1000 else repetitions)
        rows += _rows(f"tanh, n = {units}, T = {steps}", _one(units, steps), few)
    return rows + _rows(
        "tanh, n = 32, a loss of every step", _every_step(32, 100 if quick else 500), repetitions
    )
