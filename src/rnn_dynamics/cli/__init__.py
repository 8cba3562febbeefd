"""The command line: the three studies, the published figures, a verdict on a network, remedies compared."""

import argparse
import contextlib
import io
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rnn_dynamics._version import __version__
from rnn_dynamics.cli import comparison, diagnosis, kept, retraining, studies
from rnn_dynamics.cli.arguments import Parser, Problems, did_you_mean, lenient, numbers, parsed
from rnn_dynamics.cli.places import check_folder
from rnn_dynamics.cli.program import FAILED, complain, held_signals, settings
from rnn_dynamics.numerics.heartbeat import Heartbeat

__all__ = ["main"]

_THREADS = 3
_FORMATS = ("png", "svg", "pdf")


def _parser() -> Parser:
    return _parsers()[0]


def _parsers() -> tuple[Parser, Any]:
    """The program's parser, and that of its commands."""
    parser = Parser(prog="rnn-dynamics", description="Where gradients go in recurrent networks, and why.")
    parser.add_argument("--version", action="version", version=f"rnn-dynamics {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=Parser, title="commands"
    )
    reproduce = commands.add_parser("reproduce", help="draw the published figures and tabulate their numbers")
    reproduce.add_argument("--out", default="figures", metavar="DIR", help="folder for the files [figures]")
    reproduce.add_argument("--only", nargs="+", metavar="NAME", help="only these figures (see `list`)")
    reproduce.add_argument("--quick", action="store_true", help="coarse grids, compiled fast")
    reproduce.add_argument(
        "--dpi", type=lenient(float), default=150.0, metavar="N", help="dots per inch [150]"
    )
    reproduce.add_argument("--format", metavar=f"{{{','.join(_FORMATS)}}}", default="png", help="[png]")
    reproduce.set_defaults(run=_reproduce, check=_check_reproduce)
    listing = commands.add_parser("list", help="name the figures")
    listing.set_defaults(run=_list, check=None)
    info = commands.add_parser(
        "info", help="device, versions, and a self-check of the numbers on this device"
    )
    info.set_defaults(run=_info, check=None)
    studies.add_to(commands)
    diagnosis.add_to(commands)
    comparison.add_to(commands)
    retraining.add_to(commands)
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
        return problems.told() or options.run(options)
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


def _check_reproduce(options: argparse.Namespace, problems: Problems) -> None:
    """Names of figures, numbers, and whether every file can be written, without JAX."""
    from rnn_dynamics.figures import output, registry

    for name in options.only or ():
        try:
            registry.select([name])
        except ValueError as error:
            problems.add(f"--only: {error}")
    numbers(
        problems,
        "--dpi",
        options.dpi,
        expected="a number from 10 to 1200",
        fits=lambda value: 10 <= value <= 1200,
    )
    if options.format not in _FORMATS:
        hint = did_you_mean(options.format, _FORMATS)
        problems.add(f"--format: expected one of {', '.join(_FORMATS)}, got {options.format[:40]!a}{hint}")
    if check_folder(problems, "--out", options.out):
        chosen = [name for name in options.only or registry.FIGURES if name in registry.FIGURES]
        for name in (*(f"{name}.{options.format}" for name in chosen), "report.json", "report.md"):
            try:
                output.target(options.out, name)
            except ValueError as error:
                problems.add(f"--out: {error}", FAILED)


def _reproduce(options: argparse.Namespace) -> int:
    from rnn_dynamics.figures import output, registry, report

    folder = Path(options.out)
    entries = registry.select(options.only)
    beat = Heartbeat("drawing figures")
    try:
        with beat, held_signals() as heed, output.staging(folder) as stage, settings(quick=options.quick):
            files, sections = _draw(entries, options, heed, beat)
            beat.at("writing the report")
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
    entries: Sequence[Any], options: argparse.Namespace, heed: Callable[[], None], beat: Heartbeat
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
                beat.at(f"drawing {entry.name}", f"{len(sections)} of {len(entries)} figures done")
                while wait([future], timeout=0.1).not_done:
                    heed()
                made = future.result()
                files[f"{entry.name}.{options.format}"] = output.rendered(
                    made.draw(), format=options.format, dpi=options.dpi
                )
                sections.append((entry.name, made.rows))
                beat.done(f"drew {entry.name}, {len(sections)} of {len(entries)} figures done")
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
