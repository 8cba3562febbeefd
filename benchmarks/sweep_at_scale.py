"""What a store of 10⁴, 10⁵ and 10⁶ blocks costs whoever looks at it, and whether that grows as the blocks do.

A thousand workers are simulated in one process: each takes the next block, and the block's mark lies there when
the worker is done, after a time of its own draw. Nothing is computed or synced, and of the files only the marks are
made; a store of one value has twice as many. Measured are the looks that a sweep takes when it goes on: the folder
opened, what is done, what killed writers left, every byte of the marks checked; and giving out what is missing.
"""

import argparse
import dataclasses
import heapq
import math
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import timing
from rnn_dynamics.numerics.grid import Grid
from rnn_dynamics.numerics.stored import chunks, workers
from rnn_dynamics.numerics.stored.opening import create, opened
from rnn_dynamics.numerics.stored.store import DONE, Part, Store

_WORKERS = 1000


class Simulated:
    """Workers who need no time here: whoever would be ready first by the simulation's clock is asked first."""

    def __init__(self, finish: Callable[[int], object], count: int = _WORKERS) -> None:
        self._max_workers, self.finish, self.draws = count, finish, random.Random(0)
        self.clocks = [(0.0, worker) for worker in range(count)]

    def submit(self, call: Callable[..., Any], task: Any, index: int) -> futures.Future[int]:
        """As of an executor."""
        free, worker = heapq.heappop(self.clocks)
        heapq.heappush(self.clocks, (free + self.draws.expovariate(1.0), worker))
        self.finish(index)
        future: futures.Future[int] = futures.Future()
        future.set_result(index)
        return future


def _store(folder: Path, blocks: int) -> Store:
    """A grid whose blocks are one point each, a thousand in a folder."""
    axes = {"w": np.arange(blocks // 1000 or 1, dtype=float), "b": np.arange(float(min(blocks, 1000)))}
    parts = {"value": Part(np.dtype(float), ())}
    return _marks_alone(create(folder / "a.zarr", Grid(axes), parts, 1, {"identity": {}, "metadata": {}}))


def _marks_alone(store: Store) -> Store:
    return dataclasses.replace(store, parts={})


def _seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    found = call()
    return time.perf_counter() - begun, found


def _looks(folder: Path, blocks: int) -> dict[str, float]:
    """Seconds of each look at a store of so many blocks, half of which were there when the sweep went on."""
    store, taken = _store(folder, blocks), {}
    content = chunks.encoded(np.ones((1, 1), bool), (1, 1))

    def finish(index: int) -> None:
        file = store._file(DONE, index)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    for index in range(0, blocks, 2):
        finish(index)
    wanted = np.flatnonzero(~store.done()).tolist()
    engine = Simulated(finish)
    task = workers.Task(finish, {}, None, {}, "", "0" * 16, True, True, None)

    def give() -> None:
        failed: dict[int, str] = {}
        is_done, call = store.is_done, workers.compute
        workers.elsewhere(task, engine, wanted, lambda count: None, failed.__setitem__, is_done, call)
        assert not failed

    taken["the other half given to 1000 workers, and their marks made"], _ = _seconds(give)
    taken["opened"], store = _seconds(lambda: _marks_alone(opened(store.path)))
    taken["what is done"], done = _seconds(store.done)
    assert done.all()
    taken["what killed writers left"], _ = _seconds(lambda: store._sweep_up(0))
    taken["every byte of the marks"], damaged = _seconds(store.damaged)
    assert not damaged
    return taken


def exponents(sizes: list[int], taken: list[dict[str, float]]) -> dict[str, float]:
    """The power of the number of blocks with which each time grows, from the last two sizes."""
    ratio = math.log(sizes[-1] / sizes[-2])
    return {name: math.log(taken[-1][name] / taken[-2][name]) / ratio for name in taken[-1]}


def measure(*, quick: bool = False) -> list[dict]:
    """Rows of each size and look; the rate is blocks a second."""
    sizes, found = [300, 1000] if quick else [10_000, 100_000, 1_000_000], []
    for blocks in sizes:
        folder = Path(tempfile.mkdtemp(dir="."))
        try:
            found.append(_looks(folder, blocks))
        finally:
            shutil.rmtree(folder)
    powers = exponents(sizes, found)
    rows = []
    for blocks, taken in zip(sizes, found, strict=True):
        for name, seconds in taken.items():
            said = f"{name} (grows with power {powers[name]:.2f})" if blocks == sizes[-1] else name
            rows.append(timing.row("sweep_at_scale", f"{blocks} blocks", said, seconds, float(blocks)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep_at_scale", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(timing.markdown(measure(quick=parser.parse_args().quick)))


if __name__ == "__main__":
    main()
