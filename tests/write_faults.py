"""Faults at a chosen step of writing files: an error in the place of a call, or the end of the process there."""

import contextlib
import functools
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

from rnn_dynamics.numerics import files

_CALLS = ("open", "mkdir", "fsync", "replace", "rename", "unlink", "rmdir")


class Steps:
    """Counts what the system is asked for, and does something at one of the steps."""

    def __init__(self, at: int, act: Callable[[], object]) -> None:
        self.at, self.act, self.count = at, act, 0

    def step(self) -> None:
        self.count += 1
        if self.count == self.at + 1:
            self.act()

    def guarded(self, real: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        def call(*arguments: Any, **named: Any) -> Any:
            self.step()
            return real(*arguments, **named)

        return call


class _Halved:
    """A file of which a half is written before the step of writing, and the other half behind it."""

    def __init__(self, file: Any, steps: Steps) -> None:
        self.file, self.steps = file, steps

    def write(self, content: bytes) -> None:
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        self.steps.step()
        self.file.write(content[len(content) // 2 :])

    def __enter__(self) -> "_Halved":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@contextlib.contextmanager
def fault_at(at: int, act: Callable[[], object]) -> Iterator[Steps]:
    """Do something in the place of one call, the others done as ever; opening and writing are steps too."""
    steps, real, opening = Steps(at, act), {name: getattr(os, name) for name in _CALLS}, files._open_new
    try:
        for name, call in real.items():
            setattr(os, name, steps.guarded(call))
        files._open_new = lambda path: _Halved(steps.guarded(opening)(path), steps)  # type: ignore[assignment,return-value]
        yield steps
    finally:
        files._open_new = opening
        for name, call in real.items():
            setattr(os, name, call)


def error_of(number: int) -> Callable[[], object]:
    """Raise the system's error of that number."""

    def act() -> object:
        raise OSError(number, os.strerror(number))

    return act


def killed_at_each_step(call: Callable[[], object], look: Callable[[int], object], every: int = 1) -> int:
    """Fork, call, and kill the child at its first step, at its second, …, until it comes through; how many.

    Args:
        call: what the child does.
        look: what this process does after each child, with the number of the step.
        every: of so many steps one.
    """
    for at in range(0, 10_000, every):
        child = os.fork()
        if child == 0:
            with fault_at(at, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                call()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        look(at)
        if not os.WIFSIGNALED(status):
            return at
    raise AssertionError("expected the child to come through at last")
