"""How many programs are asked of XLA while a block runs, compiled anew or read back from the run's folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax

from rnn_dynamics.numerics.compiling import Compiled

_EVENT = "/jax/core/compile/backend_compile_duration"
_seen = 0


def _listen(event: str, _duration: float, **_: Any) -> None:
    global _seen
    _seen += event == _EVENT


jax.monitoring.register_event_duration_secs_listener(_listen)


class Compilations:
    """``count`` is the number of compilations of the block, once it has ended."""

    count: int = -1


@contextmanager
def compilations() -> Iterator[Compilations]:
    """Count compilations inside a ``with`` block."""
    before, found = _seen, Compilations()
    try:
        yield found
    finally:
        found.count = _seen - before


def programs_of(kernel: Compiled) -> int:
    """How many programs a kernel has been traced for, with options of its own or without."""
    return sum(each._cache_size() for each in {id(f): f for f in (kernel._own, kernel._plain)}.values())
