"""What a store costs a sweep, what a second process gains, and how long a large store takes to open.

A block's work is a loop of matrix products whose length makes it last about a second, or 50 ms. Beside the sweep in
memory, in calls of the same shape, stand the same with a store, and worker processes pinned to one core each. The
large store has 10⁵ chunks; it is opened by this library and by xarray, and one row of it is read.
"""

import argparse
import functools
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from rnn_dynamics.numerics.grid import Grid
from rnn_dynamics.numerics.stored import chunks
from rnn_dynamics.numerics.stored.opening import create, opened
from rnn_dynamics.numerics.stored.store import Part
from rnn_dynamics.numerics.sweep import sweep
from rnn_dynamics.spectral import radius_sweep

_POINTS, _UNITS = 8, 48  # of a block, of a network


class Work:
    """A network's state after so many steps; a class, so that processes can be sent it."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __call__(self, gain: Any, bias: Any) -> Any:
        W = (
            jnp.sin(jnp.arange(_UNITS * _UNITS, dtype=gain.dtype)).reshape(_UNITS, _UNITS)
            * gain
            / _UNITS**0.5
        )

        def step(_: Any, x: Any) -> Any:
            return jnp.tanh(jnp.matmul(W, x, precision="highest") + bias)

        return {"state": jax.lax.fori_loop(0, self.steps, step, jnp.ones(_UNITS, gain.dtype))}


@functools.cache
def work(steps: int) -> Work:
    """One object for each length, so that a sweep compiles once."""
    return Work(steps)


def _axes(blocks: int) -> dict[str, np.ndarray]:
    return {"gain": np.linspace(0.5, 2, blocks), "bias": np.linspace(0, 1, _POINTS)}


def _steps_for(seconds: float) -> int:
    """Steps of a block that lasts so long here."""
    trial = 2000
    sweep(work(trial), _axes(2), chunk=_POINTS)
    begun = time.perf_counter()
    sweep(work(trial), _axes(8), chunk=_POINTS)
    return max(int(trial * seconds * 8 / (time.perf_counter() - begun)), 1)


def _compared(case: str, swept: Callable[..., Any], repetitions: int) -> list[dict]:
    """A sweep in memory and into a new store each time; all stores are removed at the end, which is not timed."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        stores = (Path(folder) / f"{number}.zarr" for number in itertools.count())
        found = timing.interleaved(
            {"in memory": swept, "with a store": lambda: swept(store=next(stores))}, repetitions=repetitions
        )
    return [
        timing.row("stored_sweeps", case, name, taken, found["in memory"]) for name, taken in found.items()
    ]


def _cost(seconds: float, blocks: int, repetitions: int) -> list[dict]:
    swept = functools.partial(sweep, work(_steps_for(seconds)), _axes(blocks), chunk=_POINTS)
    return _compared(f"{blocks} blocks of {1000 * seconds:.0f} ms", swept, repetitions)


def _atlas(units: int, points: int, steps: int, repetitions: int) -> list[dict]:
    """The atlas of spectral radius and bias, three seeds, as ``rnn-dynamics atlas radius`` computes it."""
    asked = {
        "biases": np.linspace(0, 1.5, points),
        "seeds": range(3),
        "n": units,
        "steps": steps,
        "lags": [lag for lag in (1, 2, 3, 5, 8, 14, 30, 60, 120, 200) if lag <= steps],
    }
    case = f"atlas radius, {units} units, {points} × {points}, 3 seeds, T = {steps}"
    swept = functools.partial(radius_sweep, np.linspace(0.2, 2.0, points), **asked)
    return _compared(case, swept, repetitions)


def _processes(blocks: int) -> list[dict]:
    steps, axes, found = _steps_for(0.5), _axes(blocks), {}
    cores = sorted(os.sched_getaffinity(0))
    for count in (1, 2):
        os.sched_setaffinity(0, cores[:count])  # which workers inherit
        try:
            with tempfile.TemporaryDirectory(dir=".") as folder:
                begun = time.perf_counter()
                sweep(work(steps), axes, chunk=_POINTS, store=Path(folder) / "a.zarr", executor=count)
                found[count] = time.perf_counter() - begun
        finally:
            os.sched_setaffinity(0, cores)
    names = {1: "one process on one core", 2: "two processes on two cores"}
    case = f"{blocks} blocks of 500 ms, start of the processes included"
    return [timing.row("stored_sweeps", case, names[n], taken, found[1]) for n, taken in found.items()]


def _opening(chunk_count: int) -> list[dict]:
    """A store of one point a chunk, whose files are written as they are by ``Store.write``, without syncing."""
    import xarray

    side = round(chunk_count**0.5)
    axes = {"w": np.linspace(0, 1, side), "b": np.linspace(0, 1, side)}
    folder = Path(tempfile.mkdtemp(dir="."))
    try:
        about = {"identity": {}, "metadata": {}}
        store = create(folder / "a.zarr", Grid(axes), {"value": Part(np.dtype(float), ())}, 1, about)
        mark = chunks.encoded(np.ones((1, 1), bool), (1, 1))
        for i in range(side):
            for name, content in (
                ("value", chunks.encoded(np.full((1, 1), float(i)), (1, 1))),
                ("computed", mark),
            ):
                (store.path / name / "c" / str(i)).mkdir(parents=True)
                for j in range(side):
                    (store.path / name / "c" / str(i) / str(j)).write_bytes(content)
        taken = {}
        begun = time.perf_counter()
        assert opened(store.path).done().all()
        taken["opened, and what is done"] = time.perf_counter() - begun
        begun = time.perf_counter()
        row = xarray.open_zarr(store.path)["value"][side // 2].values
        assert (row == side // 2).all()
        taken["opened by xarray, a row read"] = time.perf_counter() - begun
        begun = time.perf_counter()
        assert not store.damaged()
        taken["every byte checked"] = time.perf_counter() - begun
        case = f"{side * side} chunks, {2 * side * side} files"
        return [timing.row("stored_sweeps", case, name, seconds, 1.0) for name, seconds in taken.items()]
    finally:
        shutil.rmtree(folder)


def measure(*, repetitions: int = 5, quick: bool = False) -> list[dict]:
    """Rows of the cost, of processes, and of opening; rates are relative to the first of each case, or to 1 s."""
    with jax.enable_x64(True):
        if quick:
            return [*_cost(0.02, 4, 2), *_atlas(3, 2, 5, 1), *_opening(100)]
        rows = [*_cost(1.0, 8, 3), *_cost(0.05, 60, repetitions), *_atlas(64, 24, 200, 3), *_processes(40)]
        return rows + _opening(100_000)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stored_sweeps", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    print(timing.markdown(measure(repetitions=options.repetitions, quick=options.quick)))


if __name__ == "__main__":
    main()
