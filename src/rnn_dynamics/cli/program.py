"""What every command shares: exit codes, complaints in one line, signals held back, settings of the program."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from rnn_dynamics.numerics.programs import keep_programs
from rnn_dynamics.numerics.texts import printable

FAILED = 1
MISUSED = 2


@contextlib.contextmanager
def held_signals() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C and a polite kill back until the function given is called, which raises KeyboardInterrupt then.

    An exception that a signal raises wherever the program happens to be is lost in destructors and callbacks,
    which ``import jax`` and JAX's compilations are full of.
    """
    received: list[int] = []

    def heed() -> None:
        if received:
            raise KeyboardInterrupt(received[0])

    if threading.current_thread() is not threading.main_thread():  # where Python allows no handlers
        yield heed
        return
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in numbers}
    try:
        yield heed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def complain(message: str, code: int) -> int:
    print(f"rnn-dynamics: {printable(' '.join(message.split()))}", file=sys.stderr)
    return code


def named(path: str) -> Path:
    """A path whose last part has a name, which "." has not."""
    return Path(path) if Path(path).name else Path(path).resolve()


@contextlib.contextmanager
def settings(*, x64: bool = True) -> Iterator[None]:
    """Float64, unless ``x64`` is false, and no window.

    Compiled programs are kept among the user's caches. These are settings of a program, which the library itself
    never touches.
    """
    import jax

    with contextlib.suppress(OSError):  # a home that cannot be written to, or that others may write to
        keep_programs()
    if x64:
        jax.config.update("jax_enable_x64", True)
    if "matplotlib" in sys.modules:
        sys.modules["matplotlib"].use("Agg")
    else:  # a command that draws nothing need not wait for it
        os.environ["MPLBACKEND"] = "Agg"
    yield
