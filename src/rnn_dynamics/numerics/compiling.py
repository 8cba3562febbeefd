"""How XLA compiles the library's programs on a CPU: at length where their speed is what counts, else shortly.

A program takes seconds to compile and mostly milliseconds to run. Three choices, measured with jaxlib 0.10.2:

- ``jax.jit``: XLA's own settings, for what is run over large grids and whose speed is advertised;
- ``lean``: the older emitters, which jaxlib 0.11.1 dropped, and LLVM's first level. A third to a half of the
  compiler's time; the kernels that take it were not slower by more than the noise. The singular spectrum's and the
  neuron's grid were, and do not;
- ``wide``: as ``jax.jit``, with the processor's widest vectors. XLA's default is 256 bits; a core with 512 runs the
  neuron's grid 1.6 times as fast with them, any other the same.

LLVM's level 0 takes a fifth of the time, and programs are up to seven times slower: only for figures (``quickly``).
Last bits differ between the choices. The options belong to the outermost program: inside another one, on other
devices and where ``XLA_FLAGS`` or an XLA without them says otherwise, the function is that of ``jax.jit``.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.core import Tracer
from jaxlib.version import __version_info__ as _version

# A process whose ``XLA_FLAGS`` name one that its XLA does not know is ended by it.
_OLDER_EMITTERS = {"xla_cpu_use_fusion_emitters": False} if _version < (0, 11, 1) else {}
_LEAN: dict[str, Any] = {**_OLDER_EMITTERS, "xla_backend_optimization_level": 1}
_WIDE = {"xla_cpu_prefer_vector_width": 512}


def flags() -> str:
    """``XLA_FLAGS`` by which a whole process compiles as ``lean``; what they say already stays."""
    given = os.environ.get("XLA_FLAGS", "")
    options = _left_open(_LEAN, given)
    return " ".join([given, *(f"--{name}={str(value).lower()}" for name, value in options.items())]).strip()


_is_quick = False


@contextlib.contextmanager
def quickly(wanted: bool = True) -> Iterator[None]:
    """Have JAX compile everything without most optimisations for a while, if wanted."""
    global _is_quick
    before = jax.config.values["jax_disable_most_optimizations"], _is_quick
    jax.config.update("jax_disable_most_optimizations", wanted or before[0])
    _is_quick = wanted or before[1]
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before[0])
        _is_quick = before[1]


class Compiled:
    """``jax.jit(function)`` compiled with options of its own wherever XLA takes them."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any], **of_jit: Any) -> None:
        functools.update_wrapper(self, function)
        self._plain = jax.jit(function, **of_jit)
        self._own = jax.jit(function, compiler_options=options, **of_jit) if options else self._plain

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        # To look through whole pytrees for tracers takes as long as a small program: JAX tells what is missed.
        is_within = any(isinstance(argument, Tracer) for argument in arguments)
        if is_within or self._own is self._plain or _is_quick or not _is_on_cpu():
            return self._plain(*arguments, **named)
        try:
            return self._own(*arguments, **named)
        except Exception as error:  # what an XLA without the option raises is no part of its interface
            if "compile option" in str(error).lower():
                self._own = self._plain
            elif "compiler_options" not in str(error):  # which JAX says within another program
                raise
            return self._plain(*arguments, **named)

    @property
    def lower(self) -> Callable[..., Any]:
        """As of ``jax.jit``."""
        return self._plain.lower

    @property
    def trace(self) -> Callable[..., Any]:
        """As of ``jax.jit``."""
        return self._plain.trace


def lean(function: Callable[..., Any] | None = None, **of_jit: Any) -> Any:
    """``jax.jit`` in a third to a half of the time, as a decorator with or without its arguments."""
    return _compiled(function, _LEAN, of_jit)


def wide(function: Callable[..., Any] | None = None, **of_jit: Any) -> Any:
    """``jax.jit`` with the widest vectors of the processor, as a decorator with or without its arguments."""
    return _compiled(function, _WIDE, of_jit)


def _compiled(function: Callable[..., Any] | None, options: dict[str, Any], of_jit: dict[str, Any]) -> Any:
    if function is None:
        return lambda given: _compiled(given, options, of_jit)
    return Compiled(function, _left_open(options, os.environ.get("XLA_FLAGS", "")), **of_jit)


def _left_open(options: dict[str, Any], given: str) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in given}


@functools.cache
def _is_on_cpu() -> bool:
    return jax.default_backend() == "cpu"
