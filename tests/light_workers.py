"""Worker processes that write what a function would have computed: of JAX they load the module, and start nothing.

So a worker is there in hundredths of a second, and a thousand of them can be killed.
"""

import multiprocessing
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.numerics.stored import engines, workers
from rnn_dynamics.numerics.stored.opening import opened
from rnn_dynamics.numerics.stored.store import Store
from rnn_dynamics.numerics.sweep import sweep

AXES = {"w": np.arange(1000.0), "b": np.arange(1.0, 4.0)}
_STORES: dict[str, Store] = {}


def product(w: Any, b: Any) -> Any:
    """What is swept."""
    return w * b


def compute(task: workers.Task, index: int) -> int:
    """As ``workers.compute``."""
    if task.mark not in _STORES:
        _STORES[task.mark] = workers._opened(task)
    w, b = (
        points[one]
        for points, one in zip(AXES.values(), _STORES[task.mark].blocks.box_at(index), strict=True)
    )
    _STORES[task.mark].write(index, [(w[:, None] * b).ravel()])
    return index


class Killer(threading.Thread):
    """Kills one of the workers at random moments, and looks at what is there before each of them."""

    def __init__(self, path: Path, seed: int) -> None:
        super().__init__(daemon=True)
        self.path, self.draws, self.deaths = path, random.Random(seed), 0
        self.pools: list[engines.Spawned] = []
        self.files: dict[str, tuple[int, int]] = {}
        self.ends = threading.Event()

    def run(self) -> None:
        while not self.ends.wait(self.draws.uniform(0.0, 0.1)):
            self.look()
            pool = self.pools[-1]._pool if self.pools else None
            pids = [process.pid for process in list((pool._processes or {}).values())] if pool else []
            if len(pids) == 2:  # a fork server waits for ever for a process that died as it was started
                try:
                    os.kill(self.draws.choice(pids), signal.SIGKILL)
                    self.deaths += 1
                except ProcessLookupError:
                    pass

    def look(self) -> None:
        if self.path.exists():
            for number in np.flatnonzero((store := opened(self.path)).done()):
                file = store._file("value", int(number))
                if (name := os.fspath(file)) not in self.files:
                    found = file.stat()
                    self.files[name] = found.st_ino, found.st_mtime_ns


def main(folder: Path, most: int) -> None:
    """Sweep after sweep until so many workers were killed; prints how many, and of how many sweeps."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.light_workers"])
    multiprocessing.get_context = lambda _: context  # type: ignore[assignment]
    workers.compute = compute
    real, deaths, number = engines.Spawned.submit, 0, 0
    while deaths < most:
        path = folder / f"{number}.zarr"
        killer = Killer(path, number)

        def submit(self: Any, *arguments: Any, killer: Killer = killer) -> Any:
            if self not in killer.pools:
                killer.pools.append(self)
            return real(self, *arguments)

        engines.Spawned.submit = submit  # type: ignore[method-assign]
        killer.start()
        sweep(product, AXES, store=path, chunk=3, executor=2)
        killer.ends.set()
        killer.join()
        deaths += killer.deaths
        store = opened(path)
        aside = set(store.failures())
        assert set(np.flatnonzero(~store.done()).tolist()) == aside
        found = sweep(product, AXES, store=path, chunk=3)  # by JAX, in this process
        assert not opened(path).failures()
        assert not opened(path).damaged()
        assert np.array_equal(found["value"], AXES["w"][:, None] * AXES["b"])
        assert not list(path.rglob("*.tmp"))
        for name, was in killer.files.items():
            now = os.stat(name)
            assert (now.st_ino, now.st_mtime_ns) == was, name
        print(f"{killer.deaths} killed, {len(aside)} set aside, {time.process_time():.0f} s", flush=True)
        number += 1
    print(deaths, number)
