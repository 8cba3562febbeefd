"""The command line: the three studies, the published figures, an explorer, a verdict, remedies compared."""

import argparse
import contextlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from rnn_dynamics._version import __version__
from rnn_dynamics.cli import (
    comparison,
    diagnosis,
    exploring,
    inspecting,
    kept,
    reproducing,
    retraining,
    studies,
    sweeping,
)
from rnn_dynamics.cli.arguments import Parser, Problems, parsed
from rnn_dynamics.cli.program import FAILED, complain, settings
from rnn_dynamics.numerics.heartbeat import Heartbeat

__all__ = ["main"]


def _parser() -> Parser:
    return _parsers()[0]


def _parsers() -> tuple[Parser, Any]:
    """The program's parser, and that of its commands."""
    parser = Parser(prog="rnn-dynamics", description="Where gradients go in recurrent networks, and why.")
    parser.add_argument("--version", action="version", version=f"rnn-dynamics {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=Parser, title="commands"
    )
    reproducing.add_to(commands)
    listing = commands.add_parser("list", help="name the figures")
    listing.set_defaults(run=_list, check=None)
    info = commands.add_parser(
        "info", help="device, versions, and a self-check of the numbers on this device"
    )
    info.set_defaults(run=_info, check=None)
    studies.add_to(commands)
    exploring.add_to(commands)
    diagnosis.add_to(commands)
    inspecting.add_to(commands)
    comparison.add_to(commands)
    retraining.add_to(commands)
    sweeping.add_to(commands)
    kept.add_to(commands)
    return parser, commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: those of the command line; ``sys.argv[1:]`` by default.

    Returns:
        0; 1 where a number differs or the files cannot be written; 2 for wrong arguments; 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without Greek gets "?", not a traceback
            stream.reconfigure(errors="replace")
    problems = Problems()
    parser, commands = _parsers()
    given = sys.argv[1:] if arguments is None else arguments
    try:
        options = parsed(parser, commands.choices, commands.choices.__getitem__, given, problems)
    except SystemExit as stop:  # argparse has said why
        return int(stop.code or 0)
    try:
        if options.check is not None:
            options.check(options, problems)
        code = problems.told() or options.run(options)
        print(end="", flush=True)  # what is written at the interpreter's end fails outside of this
        return code
    except KeyboardInterrupt as signalled:
        number = signalled.args[0] if signalled.args else signal.SIGINT
        code = complain("interrupted, nothing written", 128 + number)
        if arguments is None:  # a program's end waits for its threads, which compute on for a while
            sys.stderr.flush()
            os._exit(code)
        return code
    except BrokenPipeError:  # the reader of our output has gone
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _list(options: argparse.Namespace) -> int:
    from rnn_dynamics.figures import registry

    width = max(len(name) for name in registry.FIGURES)
    for name, entry in registry.FIGURES.items():
        print(f"{name:<{width}}  {entry.title} [{entry.source}]")
    return 0


def _info(options: argparse.Namespace) -> int:
    with Heartbeat("checking numbers"), settings():
        from rnn_dynamics.figures import self_check

        for name, value in self_check.environment().items():
            print(f"{name:<12} {value}", flush=True)
        checks = self_check.checks()
    failed = [check for check in checks if not check.passed]
    for check in checks:
        verdict = "pass" if check.passed else "FAIL"
        values = f"{check.measured:.10g} (expected {check.expected:.10g})"
        print(f"{verdict}  {check.dtype:<8} {check.quantity:<52} {values}")
    print(f"{len(checks) - len(failed)} of {len(checks)} checks passed")
    return FAILED if failed else 0
