"""Programs of single operations that code on the host asks for, as ``jnp.sum`` of an array does the first time."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import jax
import jax.numpy as jnp

_LOGGER = logging.getLogger("jax._src.interpreters.pxla")
_SOURCE = "/src/rnn_dynamics/"


def _is_one_operation(program: str) -> bool:
    """Whether a program bears the name of a function of JAX's; what only puts values on a device is none."""
    name = program.removeprefix("jit(").removesuffix(")")
    if name == "stage":
        return False
    places = jnp, jax.lax, jax.lax.linalg, jnp.linalg
    return any(hasattr(place, name.lstrip("_")) for place in places) or name.startswith("_reduce_")


class _Seen(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage().split()
        if words[0] != "Compiling" or not _is_one_operation(words[1]):
            return
        frames = [frame for frame in traceback.extract_stack() if _SOURCE in frame.filename]
        if frames:
            self.found.append(f"{words[1]} at {frames[-1].filename.split(_SOURCE)[1]}:{frames[-1].lineno}")


@contextmanager
def single_operations() -> Iterator[list[str]]:
    """Name the programs of one operation that the library's own lines ask for inside a ``with`` block."""
    seen, before, level = _Seen(), _LOGGER.propagate, _LOGGER.level
    jax.clear_caches()  # what ran before is asked for again
    _LOGGER.addHandler(seen)
    _LOGGER.propagate = False
    _LOGGER.setLevel(logging.DEBUG)
    try:
        with jax.log_compiles():
            yield seen.found
    finally:
        _LOGGER.removeHandler(seen)
        _LOGGER.propagate = before
        _LOGGER.setLevel(level)
