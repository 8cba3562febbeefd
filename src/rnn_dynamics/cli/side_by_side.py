"""Figures made by several processes at once, the longest first: tracing and drawing keep one core each busy.

Each runs ``serve``: it reads a figure's name and options as a line of JSON, and writes a pickled answer behind its
length. It ends with its input.
"""

import contextlib
import json
import os
import pickle
import queue
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from rnn_dynamics.figures.registry import Entry
from rnn_dynamics.figures.report import ReportRow

_LENGTH = struct.Struct("<Q")
_MOST = 4  # processes: beyond, the longest figure is what is waited for
_FEWEST = 4  # figures: fewer take less time than a process to begin


class Drawn(NamedTuple):
    """One figure: its picture as the bytes of a file, and its rows for the report."""

    picture: bytes
    rows: tuple[ReportRow, ...]


class ProcessDied(Exception):
    """A process ended before it had drawn its figure, as one that takes too much memory is made to."""


def drawn(entry: Entry, *, quick: bool, format: str, dpi: float) -> Drawn:
    """Compute a figure and draw it, in the style of the library."""
    from rnn_dynamics.figures.output import rendered
    from rnn_dynamics.numerics.compiling import quickly
    from rnn_dynamics.plots import style

    with quickly(quick or not entry.runs_long):
        made = entry.make(quick=quick)
    with style():
        return Drawn(rendered(made.draw(), format=format, dpi=dpi), made.rows)


def processes(figures: int) -> int:
    """How many processes so many figures are worth; 1 is this one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST) if figures >= _FEWEST else 1


class SideBySide:
    """Processes that draw figures, between ``with`` and its end, which stops them at once.

    Args:
        entries: the figures.
        number: of processes.
        environment: theirs.
        options: of ``drawn``.
    """

    def __init__(
        self, entries: Sequence[Entry], number: int, environment: Mapping[str, str], **options: Any
    ) -> None:
        self._left: queue.SimpleQueue[Entry] = queue.SimpleQueue()
        for entry in sorted(entries, key=lambda entry: -entry.seconds):
            self._left.put(entry)
        self.figures: dict[str, Future[Drawn]] = {entry.name: Future() for entry in entries}
        self._number, self._environment, self._options = number, dict(environment), options
        self._running: list[subprocess.Popen[bytes]] = []
        self._servers: list[threading.Thread] = []

    def __enter__(self) -> "SideBySide":
        for _ in range(self._number):
            process = subprocess.Popen(
                [sys.executable, "-c", "from rnn_dynamics.cli.side_by_side import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is this process's to answer
            )
            server = threading.Thread(target=self._serve, args=(process,), daemon=True)
            server.start()
            self._running.append(process)
            self._servers.append(server)
        return self

    def __exit__(self, *_: object) -> None:
        while not self._left.empty():
            with contextlib.suppress(queue.Empty):
                self._left.get_nowait()
        for process, server in zip(self._running, self._servers, strict=True):
            process.kill()
            process.wait()
            server.join()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(OSError):  # what was not written has no reader any more
                    pipe.close()

    def _serve(self, process: "subprocess.Popen[bytes]") -> None:
        """Give one process figure after figure, until none is left."""
        while True:
            try:
                entry = self._left.get_nowait()
            except queue.Empty:
                return
            future = self.figures[entry.name]
            try:
                future.set_result(_asked(process, entry.name, self._options))
            except BaseException as error:  # the caller's to raise
                future.set_exception(error)


def _asked(process: "subprocess.Popen[bytes]", name: str, options: Mapping[str, Any]) -> Drawn:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps({"name": name, **options}).encode() + b"\n")
        process.stdin.flush()
        head = process.stdout.read(_LENGTH.size)
    except OSError:
        head = b""
    if len(head) < _LENGTH.size:
        raise ProcessDied(f"the process that was to draw {name} has ended with status {process.wait()}")
    found = pickle.loads(process.stdout.read(*_LENGTH.unpack(head)))
    if isinstance(found, BaseException):
        raise found
    return found


def serve() -> None:
    """Draw what standard input asks for; what a figure prints goes to standard error."""
    from rnn_dynamics.cli.program import settings
    from rnn_dynamics.figures.registry import FIGURES

    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as out, contextlib.redirect_stdout(sys.stderr):
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                with settings():
                    found: Any = drawn(FIGURES[asked.pop("name")], **asked)
            except Exception as error:
                found = error
            answer = pickle.dumps(found)
            out.write(_LENGTH.pack(len(answer)) + answer)
            out.flush()
