"""Blocks of a sweep computed and written by whoever is there: this process, worker processes, an executor, Dask."""

import contextlib
import dataclasses
import enum
import functools
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

from rnn_dynamics.numerics.grid import Grid
from rnn_dynamics.numerics.mapped import kernel_of, map_chunk
from rnn_dynamics.numerics.on_host import OnHost
from rnn_dynamics.numerics.storage import StorageError
from rnn_dynamics.numerics.stored.engines import Spawned, engine_of
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
        traced: whether JAX can trace the function.
        x64: whether JAX has float64.
        programs: the folder in which JAX keeps compiled programs, if it does.
    """

    function: Callable[..., Any]
    axes: dict[str, np.ndarray]
    key: tuple[Any, str] | None
    labels: dict[str, tuple[str, ...]]
    path: str
    mark: str
    traced: bool
    x64: bool
    programs: str | None

    @classmethod
    def of(cls, function: Callable[..., Any], grid: Grid, store: Store, traced: bool = True) -> "Task":
        """That of a sweep."""
        key = None
        if grid.key is not None:
            key = np.asarray(jax.random.key_data(grid.key)), str(jax.random.key_impl(grid.key))
        path, settings = os.fspath(store.path.resolve()), jax.config.values
        x64, programs = bool(settings["jax_enable_x64"]), settings["jax_compilation_cache_dir"]
        return cls(function, grid.axes, key, grid.labels, path, store.manifest["made"], traced, x64, programs)

    def grid(self) -> Grid:
        """The grid."""
        key = None if self.key is None else jax.random.wrap_key_data(self.key[0], impl=self.key[1])
        return Grid(self.axes, key, self.labels)


class NotStored(OSError):
    """A worker could not read the store or write to it, which is not the fault of its block."""


_PREPARED: dict[str, tuple[Any, Grid, Store, Any]] = {}
# Points of a call in this process, by a store's mark, where a block's were too many.
_CALLS: dict[str, int] = {}


def compute(task: Task, index: int) -> int:
    """Compute one block and write it; the number of the block.

    A process keeps the last task's program, and with it the function, which a pickle makes anew for each block.

    Raises:
        NotStored: the store cannot be read or written, or another one stands in its place.
    """
    with jax.enable_x64(task.x64):
        known = _PREPARED.get(task.mark)
        if known is None:
            if jax.config.values["jax_compilation_cache_dir"] is None:
                jax.config.update("jax_compilation_cache_dir", task.programs)
            kernel = kernel_of(task.function) if task.traced else OnHost(task.function)
            known = kernel, task.grid(), _opened(task), task.function
            _PREPARED.clear()
            _PREPARED[task.mark] = known
        kernel, grid, store, _ = known
        values = values_of(kernel, grid, store, index)
        with _not_the_blocks_fault():
            store.write(index, values)
    return index


@contextlib.contextmanager
def _not_the_blocks_fault() -> Iterator[None]:
    try:
        yield
    except (OSError, StorageError) as error:
        raise NotStored(f"{type(error).__name__}: {error}") from error


def _opened(task: Task) -> Store:
    with _not_the_blocks_fault():
        store = opened(task.path)
        if store.manifest["made"] != task.mark:
            raise StorageError(f"{task.path}: another store stands in the place of this sweep's")
        return store


def values_of(
    kernel: Any,
    grid: Grid,
    store: Store,
    index: int,
    mesh: Any = None,
    between: Callable[[], object] = lambda: None,
) -> list[np.ndarray]:
    """The values of one block's points, computed in calls of the shape that the store was made for.

    ``between`` is called before each call but the first.

    Where there is no memory for that it is computed in calls of half the points, or a quarter and so on, and so are
    all further blocks of the store in this process; the store keeps that, since the last bits may differ.
    """
    mark, whole = store.manifest["made"], store.call
    while True:
        points = _CALLS.get(mark, whole)
        try:
            return _in_calls_of(points, kernel, grid, store, index, mesh, between)
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            is_memory = isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
            if points == 1 or isinstance(kernel, OnHost) or not is_memory:
                raise
        with _not_the_blocks_fault():
            store.note_smaller(points // 2, index)
        _CALLS[mark] = points // 2


def _in_calls_of(
    points: int, kernel: Any, grid: Grid, store: Store, index: int, mesh: Any, between: Callable[[], object]
) -> list[np.ndarray]:
    count = math.prod(one.stop - one.start for one in store.blocks.box_at(index))
    first = store.blocks.start(index)
    calls: list[list[np.ndarray]] = []
    for start in range(first, first + count, points):
        if calls:
            between()
        values = map_chunk(kernel, grid, start, points, first + count, mesh)
        calls.append([value[: first + count - start] for value in values])
    return calls[0] if len(calls) == 1 else [np.concatenate(parts) for parts in zip(*calls, strict=True)]


def here(
    kernel: Any, grid: Grid, store: Store, mesh: Any, wanted: list[int], report: Callable[[int], object]
) -> None:
    """Compute blocks in this process; a thread writes the one before meanwhile.

    The number of blocks that are done is reported after each call: whoever is told may end it there.
    """
    with futures.ThreadPoolExecutor(1) as writer:
        waiting: deque[futures.Future[None]] = deque()
        try:
            for number, index in enumerate(wanted):
                values = values_of(kernel, grid, store, index, mesh, functools.partial(report, number))
                if waiting:
                    waiting.popleft().result()
                waiting.append(writer.submit(store.write, index, values))
                report(number + 1)
            while waiting:
                waiting.popleft().result()
        finally:
            for future in waiting:  # of an interrupted sweep: what has begun is finished
                future.cancel()


def elsewhere(
    task: Any,
    executor: Any,
    wanted: list[int],
    report: Callable[[int], object],
    failed: Callable[[int, str], object],
    is_done: Callable[[int], bool],
    call: Callable[[Any, int], Any],
) -> None:
    """Compute blocks by an executor's workers, which write them: ``call(task, index)`` for each that is wanted.

    Where a process of the library's own pool dies, all that the pool had in hand is lost: each of those blocks is
    given out again alone, so that it is known which one it was, and is set aside the third time. So is one that
    raises an error, or that killed as many workers as Dask allows. The rest goes on.

    Args:
        task: what workers are told.
        executor: a number of processes, or whoever takes ``submit``.
        wanted: the blocks.
        report: called with the number of blocks that are done.
        failed: called with a block that is set aside, and why.
        is_done: whether a block is there, which a worker may have written before it died.

    Raises:
        TypeError: a function that cannot be sent.
        concurrent.futures.BrokenExecutor: the caller's own pool broke.
        OSError: workers could not write a block three times.
    """
    _check_sent(task, executor)
    with engine_of(executor, task.mark) as (engine, width):
        submit = functools.partial(engine.submit, call, task)
        _Rounds(submit, engine, width, report, failed, is_done).run(wanted)


class _Rounds:
    """Blocks on their way to workers and back."""

    def __init__(
        self, submit: Any, engine: Any, width: Callable[[], int], report: Any, failed: Any, is_done: Any
    ) -> None:
        self.submit, self.engine, self.width = submit, engine, width
        self.report, self.failed, self.is_done = report, failed, is_done
        self.todo: deque[int] = deque()
        self.running: dict[Any, int] = {}
        self.ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.suspects: deque[int] = deque()
        self.tries: Counter[int] = Counter()
        self.count = 0

    def run(self, wanted: list[int]) -> None:
        self.todo.extend(wanted)
        try:
            while self.todo or self.suspects or self.running:
                self._give()
                if self.running:
                    self._take(self.ended.get())
        finally:
            for future in list(self.running):  # of a sweep that was interrupted
                with contextlib.suppress(Exception):
                    future.cancel()

    def _give(self) -> None:
        """Give out as many blocks as the workers take; one at a time while it is open which one ends them."""
        while (self.todo or self.suspects) and len(self.running) < (1 if self.suspects else self.width()):
            is_suspect = bool(self.suspects)
            index = self.suspects.popleft() if is_suspect else self.todo.popleft()
            if (is_suspect or self.tries[index]) and self.is_done(index):
                self._count()
                continue
            try:
                future = self.submit(index)
            except futures.BrokenExecutor:  # a worker has just died
                if not isinstance(self.engine, Spawned):
                    raise
                self.suspects.append(index)
                if not self.running:
                    self.engine.renew()
                return
            self.running[future] = index
            future.add_done_callback(self.ended.put)

    def _take(self, future: Any) -> None:
        index = self.running.pop(future, None)
        if index is None:  # of a pool that is gone
            return
        end, said, error = _outcome(future)
        if end is _End.DONE:
            self._count()
        elif end is _End.FAILED:
            self.failed(index, said)
        elif end is _End.LOST:
            self._again(index, said, self.todo)
        elif end is _End.NOT_STORED:
            self.tries[index] += 1
            if self.tries[index] == _MOST_TRIES:
                raise error
            self.todo.append(index)
        elif isinstance(self.engine, Spawned):
            others = list(self.running.values())
            self.running.clear()
            self.engine.renew()
            self.suspects.extend(others)
            if others:
                self.suspects.append(index)
            else:
                self._again(index, "its worker died", self.suspects)
        else:
            raise error

    def _count(self) -> None:
        self.count += 1
        self.report(self.count)

    def _again(self, index: int, said: str, among: deque[int]) -> None:
        self.tries[index] += 1
        if self.tries[index] < _MOST_TRIES:
            among.append(index)
        else:
            self.failed(index, f"{said}, {_MOST_TRIES} times")


class _End(enum.Enum):
    """What became of a block that was given out."""

    DONE = enum.auto()
    FAILED = enum.auto()
    LOST = enum.auto()
    NOT_STORED = enum.auto()
    BROKEN = enum.auto()


def _outcome(future: Any) -> tuple[_End, str, Any]:
    """What became of a block, in words, and the error.

    What a worker raised is not raised here: it may be a ``SystemExit`` or a ``KeyboardInterrupt``.
    """
    try:
        error = future.exception()
    except (futures.CancelledError, Exception) as raised:
        error = raised
    if future.cancelled():  # Dask's future has no error then, as if all were well
        return _End.LOST, "the scheduler lost it", error
    if error is None:
        return _End.DONE, "", None
    if isinstance(error, futures.BrokenExecutor):
        return _End.BROKEN, "", error
    kind = type(error).__name__
    # Of Dask, which need not be installed: its scheduler was started anew, or is out of reach.
    if "Cancelled" in kind or kind == "CommClosedError":
        return _End.LOST, "the scheduler lost it", error
    if isinstance(error, KeyboardInterrupt):
        return _End.LOST, "its worker was interrupted", error
    if isinstance(error, NotStored):
        return _End.NOT_STORED, "", error
    lines = [line.strip()[:200] for line in f"{kind}: {error}".strip().splitlines()]
    return _End.FAILED, " … ".join(dict.fromkeys([lines[0], lines[-1]])), error


def _check_sent(task: Any, executor: Any) -> None:
    """Refuse a function that cannot go to another process, before any is started.

    Raises:
        TypeError: the message names it.
    """
    if not isinstance(executor, int | futures.ProcessPoolExecutor):
        return
    try:
        pickle.dumps(task)
    except Exception as error:  # pickle has no error of its own for all of it
        function = getattr(task, "function", task)
        name = getattr(function, "__qualname__", type(function).__name__)
        raise TypeError(
            f"function: expected one that worker processes can import, at the top of a module, got {name} ({error})"
        ) from None
