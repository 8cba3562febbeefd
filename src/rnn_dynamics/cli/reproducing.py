"""``rnn-dynamics reproduce``: the published figures drawn, and their numbers tabulated."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rnn_dynamics._version import __version__
from rnn_dynamics.cli.arguments import Problems, did_you_mean, lenient, numbers
from rnn_dynamics.cli.places import check_folder
from rnn_dynamics.cli.program import FAILED, complain, held_signals, settings
from rnn_dynamics.cli.side_by_side import Drawn, ProcessDied, SideBySide, drawn, processes
from rnn_dynamics.numerics.heartbeat import Heartbeat

_FORMATS = ("png", "svg", "pdf")


def add_to(commands: Any) -> None:
    """Add the command and its arguments."""
    reproduce = commands.add_parser("reproduce", help="draw the published figures and tabulate their numbers")
    reproduce.add_argument("--out", default="figures", metavar="DIR", help="folder for the files [figures]")
    reproduce.add_argument("--only", nargs="+", metavar="NAME", help="only these figures (see `list`)")
    reproduce.add_argument("--quick", action="store_true", help="coarse grids, compiled fast")
    reproduce.add_argument(
        "--dpi", type=lenient(float), default=150.0, metavar="N", help="dots per inch [150]"
    )
    reproduce.add_argument("--format", metavar=f"{{{','.join(_FORMATS)}}}", default="png", help="[png]")
    reproduce.set_defaults(run=_reproduce, check=_check)


def _check(options: argparse.Namespace, problems: Problems) -> None:
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
        with beat, held_signals() as heed, output.staging(folder) as stage, settings():
            found = _drawn(entries, options, heed, beat)
            beat.at("writing the report")
            pictures = {f"{entry.name}.{options.format}": found[entry.name].picture for entry in entries}
            sections = [(entry.name, found[entry.name].rows) for entry in entries]
            files = pictures | _report_files(sections, {name: name for name in pictures}, options)
            heed()
            written = output.publish(stage, folder, files)
    except OSError as error:
        return complain(_reason(error, folder), FAILED)
    except (ValueError, ProcessDied) as error:
        return complain(str(error), FAILED)
    print(report.as_text(sections, shutil.get_terminal_size((120, 24)).columns))
    print(f"{len(written)} files in {folder}")
    return FAILED if report.counts(row for _, rows in sections for row in rows)[report.DIFFERS] else 0


def _reason(error: OSError, folder: Path) -> str:
    where = error.filename if isinstance(error.filename, str) else str(folder)
    return f"cannot write to {folder}: {(error.strerror or str(error)).lower()} ({where})"


def _drawn(
    entries: Sequence[Any], options: argparse.Namespace, heed: Callable[[], None], beat: Heartbeat
) -> dict[str, Drawn]:
    """Every figure by its name, made here or by several processes."""
    from tqdm import tqdm

    found: dict[str, Drawn] = {}
    bar = tqdm(total=len(entries), unit="figure", file=sys.stderr, disable=None, leave=False)
    with bar:
        for name, one in _one_by_one(entries, options, heed, beat):
            found[name] = one
            bar.update()
            beat.done(f"drew {name}, {len(found)} of {len(entries)} figures done")
    return found


def _one_by_one(
    entries: Sequence[Any], options: argparse.Namespace, heed: Callable[[], None], beat: Heartbeat
) -> Iterator[tuple[str, Drawn]]:
    """The figures as they are done."""
    from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

    given = {"quick": options.quick, "format": options.format, "dpi": options.dpi}

    def told(waiting: dict[str, "Future[Drawn]"]) -> Iterator[tuple[str, Drawn]]:
        first, number = next(iter(waiting)), len(entries)
        while waiting:
            done = number - len(waiting)
            beat.at(f"drawing {next(iter(waiting), first)}", f"{done} of {number} figures done")
            while not wait(waiting.values(), 0.1, FIRST_COMPLETED).done:
                heed()
            for name in [name for name, future in waiting.items() if future.done()]:
                yield name, waiting.pop(name).result()

    import jax

    from rnn_dynamics.numerics.compiling import flags

    # Processes would share a GPU, whose memory the first of them takes.
    count = processes(len(entries)) if jax.default_backend() == "cpu" else 1
    if count > 1:
        one_thread = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # each process has a core
        environment = one_thread | os.environ | {"XLA_FLAGS": flags()}
        with SideBySide(entries, count, environment, **given) as running:
            yield from told(dict(running.figures))
        return
    pool = ThreadPoolExecutor(1)  # so that this thread hears signals meanwhile
    try:
        yield from told({entry.name: pool.submit(drawn, entry, **given) for entry in entries})
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


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
