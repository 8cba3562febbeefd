"""The command line: reproduce the published figures, list them, and check the library on this device."""

import argparse
import contextlib
import io
import math
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rnn_dynamics._version import __version__
from rnn_dynamics.cli import comparison, diagnosis
from rnn_dynamics.cli.program import FAILED, MISUSED, complain, held_signals, settings

__all__ = ["main"]

_THREADS = 3


class _Parser(argparse.ArgumentParser):
    """Errors in one line, without the usage before them."""

    def error(self, message: str) -> NoReturn:
        self.exit(MISUSED, f"{self.prog}: {message} (--help shows the options)\n")


def _resolution(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 10 <= value <= 1200:
        raise argparse.ArgumentTypeError(f"expected a number from 10 to 1200, got {text[:40]!a}")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="rnn-dynamics", description="Where gradients go in recurrent networks, and why.")
    parser.add_argument("--version", action="version", version=f"rnn-dynamics {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_Parser, title="commands"
    )
    reproduce = commands.add_parser("reproduce", help="draw the published figures and tabulate their numbers")
    reproduce.add_argument("--out", default="figures", metavar="DIR", help="folder for the files [figures]")
    reproduce.add_argument("--only", nargs="+", metavar="NAME", help="only these figures (see `list`)")
    reproduce.add_argument("--quick", action="store_true", help="coarse grids, compiled fast")
    reproduce.add_argument("--dpi", type=_resolution, default=150.0, metavar="N", help="dots per inch [150]")
    reproduce.add_argument("--format", choices=("png", "svg", "pdf"), default="png", help="[png]")
    reproduce.set_defaults(run=_reproduce)
    listing = commands.add_parser("list", help="name the figures")
    listing.set_defaults(run=_list)
    info = commands.add_parser(
        "info", help="device, versions, and a self-check of the numbers on this device"
    )
    info.set_defaults(run=_info)
    diagnosis.add_to(commands)
    comparison.add_to(commands)
    return parser


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
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as stop:  # argparse has said why
        return int(stop.code or 0)
    try:
        return options.run(options)
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


def _reason(error: OSError, folder: Path) -> str:
    where = error.filename if isinstance(error.filename, str) else str(folder)
    return f"cannot write to {folder}: {(error.strerror or str(error)).lower()} ({where})"


def _reproduce(options: argparse.Namespace) -> int:
    from rnn_dynamics.figures import output, registry, report

    folder = Path(options.out)
    try:
        entries = registry.select(options.only)
    except ValueError as error:
        return complain(str(error), MISUSED)
    try:
        with held_signals() as heed, output.staging(folder) as stage, settings(quick=options.quick):
            files, sections = _draw(entries, options, heed)
            files |= _report_files(sections, {name: name for name in files}, options)
            heed()
            written = output.publish(stage, folder, files)
    except OSError as error:
        return complain(_reason(error, folder), FAILED)
    except ValueError as error:
        return complain(str(error), FAILED)
    print(report.as_text(sections, shutil.get_terminal_size((120, 24)).columns))
    print(f"{len(written)} files in {folder}")
    return FAILED if report.counts(row for _, rows in sections for row in rows)[report.DIFFERS] else 0


def _draw(
    entries: Sequence[Any], options: argparse.Namespace, heed: Callable[[], None]
) -> tuple[dict[str, bytes], list]:
    """Every picture's bytes by file name, and the rows by figure.

    Threads compute, as most of the time is spent in compilations, during which others trace; drawing, which is
    not safe in threads, stays here. Processes took longer: each compiles anew what the figures share.
    """
    from concurrent.futures import ThreadPoolExecutor, wait

    from tqdm import tqdm

    from rnn_dynamics.figures import output
    from rnn_dynamics.plots import style

    files: dict[str, bytes] = {}
    sections = []
    bar = tqdm(entries, unit="figure", file=sys.stderr, disable=None, leave=False)
    pool = ThreadPoolExecutor(_THREADS)
    try:
        computed = [pool.submit(entry.make, quick=options.quick) for entry in entries]
        with bar, style():
            for entry, future in zip(bar, computed, strict=True):
                bar.set_postfix_str(entry.name)
                while wait([future], timeout=0.1).not_done:
                    heed()
                made = future.result()
                files[f"{entry.name}.{options.format}"] = output.rendered(
                    made.draw(), format=options.format, dpi=options.dpi
                )
                sections.append((entry.name, made.rows))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return files, sections


def _report_files(sections: list, pictures: dict[str, str], options: argparse.Namespace) -> dict[str, bytes]:
    import jax
    import numpy as np

    from rnn_dynamics.figures import registry, report

    about = {
        "program": f"rnn_dynamics {__version__}",
        "jax": jax.__version__,
        "numpy": np.__version__,
        "device": jax.devices()[0].device_kind,
        "dtype": "float64",
        "quick": options.quick,
    }
    titles = {entry.name: entry.title for entry in registry.FIGURES.values()}
    by_name = {name.rpartition(".")[0]: name for name in pictures}
    return {
        "report.json": report.as_json(sections, about).encode(),
        "report.md": report.as_markdown(sections, titles, by_name).encode(),
    }


def _list(options: argparse.Namespace) -> int:
    from rnn_dynamics.figures import registry

    width = max(len(name) for name in registry.FIGURES)
    for name, entry in registry.FIGURES.items():
        print(f"{name:<{width}}  {entry.title} [{entry.source}]")
    return 0


def _info(options: argparse.Namespace) -> int:
    from rnn_dynamics.figures import self_check

    with settings():
        for name, value in self_check.environment().items():
            print(f"{name:<12} {value}")
        checks = self_check.checks()
    failed = [check for check in checks if not check.passed]
    for check in checks:
        verdict = "pass" if check.passed else "FAIL"
        values = f"{check.measured:.10g} (expected {check.expected:.10g})"
        print(f"{verdict}  {check.dtype:<8} {check.quantity:<52} {values}")
    print(f"{len(checks) - len(failed)} of {len(checks)} checks passed")
    return FAILED if failed else 0
