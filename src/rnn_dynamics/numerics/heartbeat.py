"""Plain lines that say what a long command is doing, for where no terminal shows a bar: a log, a pipe, a file."""

import contextlib
import sys
import threading
import time
from typing import Any, TextIO

#: Seconds of silence after which a line is due: half a minute, less what a busy machine loses.
EVERY = 27.0
_SHORT = 10.0  # seconds that a command may take without a word on what is done


class Heartbeat:
    """Lines on standard error at least every half minute, between ``with`` and its end; none on a terminal.

    A thread of its own writes them, so that they come while XLA compiles or a loop runs; it ends with the block.

    Args:
        doing: what is being done, as "drawing cliff_surface".
        program: the name that begins every line.
        every: seconds of silence after which a line is due.
        stream: where to; standard error by default.
        short: seconds in which ``done`` says nothing.
        first: seconds of silence before the first line, where they are others.
        on_terminals: whether to write to a terminal too, where no bar is shown.
    """

    def __init__(
        self,
        doing: str,
        *,
        program: str = "rnn-dynamics",
        every: float = EVERY,
        stream: TextIO | None = None,
        short: float = _SHORT,
        first: float | None = None,
        on_terminals: bool = False,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._program, self._every, self._short = program, every, short
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None
        self._began = self._last = self._since = time.monotonic()
        self._doing, self._detail = doing, ""
        self._due, self._on_terminals = every if first is None else first, on_terminals

    @property
    def is_plain(self) -> bool:
        """Whether there is a stream to write to, and it is no terminal, unless those are meant too."""
        try:
            return self._stream is not None and (self._on_terminals or not self._stream.isatty())
        except ValueError:  # closed
            return False

    def __enter__(self) -> "Heartbeat":
        self._began = self._last = self._since = time.monotonic()
        if self.is_plain:
            self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def at(self, doing: str, detail: str = "") -> None:
        """Say what is being done from now on, and how far it is; the time is counted from a change of the first."""
        with self._lock:
            if doing != self._doing:
                self._doing, self._since = doing, time.monotonic()
            self._detail = detail

    def done(self, what: str) -> None:
        """A line for a part that is done, unless the whole has taken no time so far."""
        now = time.monotonic()
        with self._lock:
            if self._thread is not None and now - self._began >= self._short:
                self._write(what, now)

    def line(self, what: str) -> None:
        """Print a line in any case, except on a terminal."""
        with self._lock:
            if self.is_plain:
                self._write(what, time.monotonic())

    def heard(self) -> None:
        """Somebody else has written a line: the next one is due later."""
        with self._lock:
            self._last = time.monotonic()

    def _beat(self) -> None:
        while not self._stop.wait(max(self._last + self._due - time.monotonic(), 0.0)):
            now = time.monotonic()
            with self._lock:
                if now >= self._last + self._due:
                    detail = f", {self._detail}" if self._detail else ""
                    self._write(f"{self._doing}{detail} … {now - self._since:.0f} s", now)

    def _write(self, text: Any, now: float) -> None:
        self._last, self._due = now, self._every
        with contextlib.suppress(OSError, ValueError):  # nobody reads any more, which is no reason to stop
            self._stream.write(f"{self._program}: {' '.join(str(text).split())}\n")
            self._stream.flush()
