"""How many programs are asked of XLA while a block runs, compiled anew or read back from the run's folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax

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
