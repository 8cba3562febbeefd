"""Basins of a two-neuron network from 1000 × 1000 starts: trapping balls against iterating in NumPy.

The rival iterates all starts until no state moves by more than 1e−10 in a step and gives each to the nearest
attractor: how basins are usually drawn. "fixed points": four stable ones; "cycles": two stable
2-cycles, where the rival runs the second iterate. Rates are relative to the rival, which is told the attractors.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.dynamics.basins import BasinLabels, basins

_FIXED = np.array([[2.0, 0.3], [-0.2, 1.8]]), np.array([0.05, -0.1])
_CYCLES = np.array([[-1.8, 0.2], [-0.1, 1.7]]), np.array([0.05, -0.1])


def iterated(
    W: np.ndarray, b: np.ndarray, starts: np.ndarray, orbits: list[np.ndarray], period: int
) -> np.ndarray:
    """The nearest attractor once no state moves, ``period`` steps at a time."""
    x = starts
    for _ in range(1000):
        later = x
        for _ in range(period):
            later = np.tanh(later @ W.T + b)
        moved = np.abs(later - x).max()
        x = later
        if moved < 1e-10:
            break
    distances = [np.linalg.norm(x[:, None] - orbit, axis=-1).min(1) for orbit in orbits]
    return np.argmin(distances, axis=0).astype(np.int32)


def _case(
    name: str, W: np.ndarray, b: np.ndarray, side: int, repetitions: int, period: int
) -> list[dict[str, Any]]:
    axis = np.linspace(-1.5, 1.5, side)
    grid = np.stack(np.meshgrid(axis, axis), -1)
    cell = ElmanRNN(jnp.asarray(W), jnp.asarray(b))
    found = basins(cell, grid)
    orbits = [found.attractors.orbit(i) for i in range(len(found.attractors))]
    results: dict[str, Any] = {}

    def ours(**given: Any) -> BasinLabels:
        return basins(cell, grid, **given)

    candidates = {
        "NumPy, nearest attractor": lambda: results.update(
            rival=iterated(W, b, grid.reshape(-1, 2), orbits, period)
        ),
        "basins, given": lambda: results.update(given=ours(attractors=found.attractors)),
        "basins, discovered": lambda: results.update(discovered=ours()),
    }
    seconds = timing.interleaved(candidates, repetitions=repetitions)
    assert (results["given"].labels == results["discovered"].labels).all()
    differing = int((results["given"].labels.ravel() != results["rival"]).sum())
    undecided = int((found.labels < 0).sum())
    case = f"{name}, {side}×{side} starts, {undecided} undecided, {differing} labels differ"
    reference = seconds["NumPy, nearest attractor"]
    return [timing.row("basin_labels", case, key, value, reference) for key, value in seconds.items()]


def measure(*, side: int = 1000, repetitions: int = 3, quick: bool = False) -> list[dict[str, Any]]:
    """One row for each network and candidate."""
    side = 300 if quick else side
    rows = _case("four fixed points", *_FIXED, side, repetitions, 1)
    return rows + _case("cycles", *_CYCLES, side, repetitions, 2)


if __name__ == "__main__":
    import jax

    jax.config.update("jax_enable_x64", True)
    print(timing.markdown(measure()))
