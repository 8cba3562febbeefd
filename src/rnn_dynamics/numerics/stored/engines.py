"""Who takes blocks: worker processes of the library's own, any executor, or a Dask client."""

import contextlib
import itertools
import math
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

_LOOKS_AFTER = 5.0  # seconds, at how many threads a Dask cluster has now


class Spawned:
    """Worker processes of the standard library's pool, spawned, with a new pool where one of them died."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: futures.ProcessPoolExecutor | None = None

    def submit(self, call: Callable[..., Any], *arguments: Any) -> futures.Future[Any]:
        """As of an executor.

        Raises:
            concurrent.futures.BrokenExecutor: a worker has died.
        """
        import multiprocessing

        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = futures.ProcessPoolExecutor(self.count, context, _leave_interrupts)
        try:
            return self._pool.submit(call, *arguments)
        except (OSError, ValueError) as error:
            if self._pool._broken:  # while a process was being started, which then finds its pipes closed
                raise futures.BrokenExecutor(f"{error}") from error
            raise

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


def _leave_interrupts() -> None:
    """Leave Ctrl-C, which a terminal sends to all processes, to the one that gives out blocks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Dask:
    """A client of Dask: each block is a task of its own name; those of a sweep are one group in its dashboard."""

    def __init__(self, client: Any, mark: str) -> None:
        self.client, self.tries = client, itertools.count()
        # Not the mark alone: another process may have begun the same sweep, whose tasks are its own.
        self.group = f"sweep-{mark[:8]}-{secrets.token_hex(4)}"
        self._threads, self._looked = 0, -math.inf

    def submit(self, call: Callable[..., Any], task: Any, index: int) -> Any:
        """As of an executor; a name that came twice would be the same task."""
        key = (self.group, index, next(self.tries))
        return self.client.submit(call, task, index, key=key, pure=False)

    def width(self) -> int:
        """Twice as many blocks as there are threads, which come and go."""
        if time.monotonic() > self._looked + _LOOKS_AFTER:
            with contextlib.suppress(Exception):  # of a scheduler that is out of reach just now
                self._threads = sum(self.client.nthreads().values())
            self._looked = time.monotonic()
        return max(2 * self._threads, 64)


@contextlib.contextmanager
def engine_of(executor: Any, mark: str) -> Iterator[tuple[Any, Callable[[], int]]]:
    """What takes ``submit``, and how many blocks it is given at a time."""
    if isinstance(executor, int):
        pool = Spawned(executor)
        try:
            yield pool, lambda: 2 * executor
        finally:
            pool.close()
    elif hasattr(executor, "scheduler_info"):
        client = Dask(executor, mark)
        yield client, client.width
    else:
        told = getattr(executor, "_max_workers", None)
        yield executor, lambda: 2 * told if isinstance(told, int) else 64


def check_executor(store: Any, executor: Any) -> None:
    """Refuse what takes no blocks, and workers without a store.

    Raises:
        TypeError, ValueError: the message says what is expected.
    """
    if executor is None:
        return
    if store is None:
        raise ValueError("executor: expected a store too, through which workers hand over what they compute")
    if isinstance(executor, bool) or not (
        isinstance(executor, int) or callable(getattr(executor, "submit", None))
    ):
        raise TypeError(
            "executor: expected a number of processes, an executor of concurrent.futures or a Dask client, got"
            f" {type(executor).__name__}"
        )
    if isinstance(executor, int) and not 1 <= executor <= 4096:
        raise ValueError(f"executor: expected 1 to 4096 processes, got {executor}")
