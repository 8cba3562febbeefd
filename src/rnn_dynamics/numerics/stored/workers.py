"""Blocks of a sweep computed and written by whoever is there: this process, worker processes, an executor, Dask."""

import contextlib
import dataclasses
import enum
import math
import os
import pickle
import queue
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import jax
import numpy as np

from rnn_dynamics.numerics.grid import Grid, kernel_of, map_chunk
from rnn_dynamics.numerics.stored.opening import opened
from rnn_dynamics.numerics.stored.store import Store

_MOST_TRIES = 3  # of a block alone under which a worker died, or that was lost


@dataclasses.dataclass(frozen=True)
class Task:
    """What a worker is told; it goes to other processes as it is.

    Attributes:
        function: of one point.
        axes, key, labels: the grid; the key as its data.
        path: of the store.
        mark: of the store; another one at the same path has another.
        x64: whether JAX has float64.
        programs: the folder in which JAX keeps compiled programs, if it does.
    """

    function: Callable[..., Any]
    axes: dict[str, np.ndarray]
    key: tuple[Any, str] | None
    labels: dict[str, tuple[str, ...]]
    path: str
    mark: str
    x64: bool
    programs: str | None

    @classmethod
    def of(cls, function: Callable[..., Any], grid: Grid, store: Store) -> "Task":
        """That of a sweep."""
        key = None
        if grid.key is not None:
            key = np.asarray(jax.random.key_data(grid.key)), str(jax.random.key_impl(grid.key))
        path, settings = os.fspath(store.path.resolve()), jax.config.values
        x64, programs = bool(settings["jax_enable_x64"]), settings["jax_compilation_cache_dir"]
        return cls(function, grid.axes, key, grid.labels, path, store.manifest["made"], x64, programs)

    def grid(self) -> Grid:
        """The grid."""
        key = None if self.key is None else jax.random.wrap_key_data(self.key[0], impl=self.key[1])
        return Grid(self.axes, key, self.labels)


_PREPARED: dict[str, tuple[Any, Grid, Store, Any]] = {}


def compute(task: Task, index: int) -> int:
    """Compute one block and write it; the number of the block.

    A process keeps the last task's program, and with it the function, which a pickle makes anew for each block.
    """
    with jax.enable_x64(task.x64):
        known = _PREPARED.get(task.mark)
        if known is None:
            if jax.config.values["jax_compilation_cache_dir"] is None:
                jax.config.update("jax_compilation_cache_dir", task.programs)
            known = kernel_of(task.function), task.grid(), opened(task.path), task.function
            _PREPARED.clear()
            _PREPARED[task.mark] = known
        kernel, grid, store, _ = known
        store.write(index, values_of(kernel, grid, store, index))
    return index


def values_of(kernel: Any, grid: Grid, store: Store, index: int, mesh: Any = None) -> list[np.ndarray]:
    """The values of one block's points, computed in a call of a whole block's shape."""
    count = math.prod(one.stop - one.start for one in store.blocks.box_at(index))
    start = store.blocks.start(index)
    found = map_chunk(kernel, grid, start, store.blocks.points, start + count, mesh)
    return [value[:count] for value in found]


def here(
    kernel: Any, grid: Grid, store: Store, mesh: Any, wanted: list[int], report: Callable[[int], object]
) -> None:
    """Compute blocks in this process; a thread writes them meanwhile."""
    with futures.ThreadPoolExecutor(1) as writer:
        waiting: deque[futures.Future[None]] = deque()
        try:
            for number, index in enumerate(wanted):
                values = values_of(kernel, grid, store, index, mesh)
                waiting.append(writer.submit(store.write, index, values))
                while len(waiting) > 2:
                    waiting.popleft().result()
                report(number + 1)
            while waiting:
                waiting.popleft().result()
        finally:
            for future in waiting:  # of an interrupted sweep: what has begun is finished
                future.cancel()


class Spawned:
    """Worker processes of the standard library's pool, spawned, with a new pool where one of them died."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: futures.ProcessPoolExecutor | None = None

    def submit(self, call: Callable[..., Any], *arguments: Any) -> futures.Future[Any]:
        """As of an executor."""
        import multiprocessing

        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = futures.ProcessPoolExecutor(self.count, mp_context=context)
        return self._pool.submit(call, *arguments)

    def renew(self) -> None:
        """Leave the pool whose worker died."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """End the workers, also those in the middle of a block."""
        pool, self._pool = self._pool, None
        if pool is not None:
            processes = list((pool._processes or {}).values())  # the library has no other way to end them
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()


@contextlib.contextmanager
def _engine(executor: Any) -> Iterator[tuple[Any, int]]:
    """What takes ``submit``, and how many blocks it is given at a time."""
    if isinstance(executor, int):
        pool = Spawned(executor)
        try:
            yield pool, 2 * executor
        finally:
            pool.close()
        return
    told = getattr(executor, "_max_workers", None)
    yield executor, 2 * told if isinstance(told, int) else 64


def elsewhere(
    task: Task,
    executor: Any,
    wanted: list[int],
    report: Callable[[int], object],
    failed: Callable[[int, str], object],
) -> None:
    """Compute blocks by an executor's workers, which write them.

    Where a process of the library's own pool dies, all that the pool had in hand is lost: each of those blocks is
    given out again alone, so that it is known which one it was, and is set aside the third time. So is one that
    raises an error, or that killed as many workers as Dask allows. The rest goes on.

    Raises:
        TypeError: a function that cannot be sent.
        concurrent.futures.BrokenExecutor: the caller's own pool broke.
    """
    _check_sent(task, executor)
    with _engine(executor) as (engine, width):
        _Rounds(task, engine, width, report, failed).run(wanted)


class _Rounds:
    """Blocks on their way to workers and back."""

    def __init__(self, task: Task, engine: Any, width: int, report: Any, failed: Any) -> None:
        self.task, self.engine, self.width, self.report, self.failed = task, engine, width, report, failed
        self.running: dict[Any, int] = {}
        self.ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.suspects: deque[int] = deque()
        self.tries: Counter[int] = Counter()
        self.count = 0

    def run(self, wanted: list[int]) -> None:
        todo = deque(wanted)
        while todo or self.suspects or self.running:
            while (todo or self.suspects) and len(self.running) < (1 if self.suspects else self.width):
                index = self.suspects.popleft() if self.suspects else todo.popleft()
                try:
                    future = _submitted(self.engine, self.task, index)
                except futures.BrokenExecutor:  # a worker has just died
                    if not isinstance(self.engine, Spawned):
                        raise
                    self.suspects.append(index)
                    if not self.running:
                        self.engine.renew()
                    break
                self.running[future] = index
                future.add_done_callback(self.ended.put)
            if self.running:
                self._take(self.ended.get())

    def _take(self, future: Any) -> None:
        index = self.running.pop(future, None)
        if index is None:  # of a pool that is gone
            return
        end, said = _outcome(future)
        if end is _End.DONE:
            self.count += 1
            self.report(self.count)
        elif end is _End.FAILED:
            self.failed(index, said)
        elif end is _End.LOST:
            self._again(index, said)
        elif isinstance(self.engine, Spawned):
            others = list(self.running.values())
            self.running.clear()
            self.engine.renew()
            self.suspects.extend(others)
            if others:
                self.suspects.append(index)
            else:
                self._again(index, "its worker died")
        else:
            future.result()

    def _again(self, index: int, said: str) -> None:
        self.tries[index] += 1
        if self.tries[index] < _MOST_TRIES:
            self.suspects.append(index)
        else:
            self.failed(index, f"{said}, {_MOST_TRIES} times")


class _End(enum.Enum):
    """What became of a block that was given out."""

    DONE = enum.auto()
    FAILED = enum.auto()
    LOST = enum.auto()
    BROKEN = enum.auto()


def _submitted(engine: Any, task: Task, index: int) -> Any:
    if hasattr(engine, "scheduler_info"):  # Dask: the same call twice is two calls
        return engine.submit(compute, task, index, pure=False)
    return engine.submit(compute, task, index)


def _outcome(future: Any) -> tuple[_End, str]:
    """What became of a block, and in words."""
    try:
        future.result()
        return _End.DONE, ""
    except futures.BrokenExecutor:
        return _End.BROKEN, ""
    except (futures.CancelledError, Exception) as error:
        kind = type(error).__name__
        # Of Dask, which need not be installed: its scheduler was started anew, or is out of reach.
        if "Cancelled" in kind or kind == "CommClosedError":
            return _End.LOST, "the scheduler lost it"
        lines = [line.strip()[:200] for line in f"{kind}: {error}".strip().splitlines()]
        return _End.FAILED, " … ".join(dict.fromkeys([lines[0], lines[-1]]))


def _check_sent(task: Task, executor: Any) -> None:
    """Refuse a function that cannot go to another process, before any is started.

    Raises:
        TypeError: the message names it.
    """
    if not isinstance(executor, int | futures.ProcessPoolExecutor):
        return
    try:
        pickle.dumps(task)
    except Exception as error:  # pickle has no error of its own for all of it
        name = getattr(task.function, "__qualname__", type(task.function).__name__)
        raise TypeError(
            f"function: expected one that worker processes can import, at the top of a module, got {name} ({error})"
        ) from None
