"""The command line: reproduce the published figures, list them, and check the library on this device."""

import argparse
import contextlib
import io
import math
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rnn_dynamics._version import __version__

__all__ = ["main"]

_FAILED = 1
_MISUSED = 2
_THREADS = 3


class _Parser(argparse.ArgumentParser):
    """Errors in one line, without the usage before them."""

    def error(self, message: str) -> NoReturn:
        self.exit(_MISUSED, f"{self.prog}: {message} (--help shows the options)\n")


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
    _add_diagnose(commands)
    return parser


def _add_diagnose(commands: Any) -> None:
    verdict = commands.add_parser("diagnose", help="how far back the gradients of a trained network reach")
    verdict.add_argument("model", metavar="MODEL", help="a safetensors file with PyTorch's names")
    verdict.add_argument("--inputs", metavar="FILE", help="inputs of shape (steps, width), as .npy")
    verdict.add_argument("--steps", type=int, metavar="T", help="run without inputs, for so many steps")
    kinds = "lstm, gru, rnn_tanh or rnn_relu, where the shapes do not tell"
    verdict.add_argument("--kind", metavar="KIND", help=kinds)
    verdict.add_argument(
        "--prefix", default="", metavar="NAME", help="of the network's weights, as encoder.lstm."
    )
    directions = "of a bidirectional network; reverse reads the inputs from their last step to their first"
    verdict.add_argument("--direction", choices=("forward", "reverse"), help=directions)
    verdict.add_argument("--plot", metavar="FILE", help="write the figure too: .png, .svg or .pdf")
    verdict.add_argument("--json", action="store_true", help="print JSON instead of text")
    verdict.set_defaults(run=_diagnose)


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
        code = _complain("interrupted, nothing written", 128 + number)
        if arguments is None:  # a program's end waits for its threads, which compute on for a while
            sys.stderr.flush()
            os._exit(code)
        return code
    except BrokenPipeError:  # the reader of our output has gone
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED


@contextlib.contextmanager
def _held_signals() -> Iterator[Callable[[], None]]:
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


def _complain(message: str, code: int) -> int:
    print(f"rnn-dynamics: {' '.join(message.split())}", file=sys.stderr)
    return code


def _reason(error: OSError, folder: Path) -> str:
    where = error.filename if isinstance(error.filename, str) else str(folder)
    return f"cannot write to {folder}: {(error.strerror or str(error)).lower()} ({where})"


@contextlib.contextmanager
def _settings(*, quick: bool = False) -> Iterator[None]:
    """Float64 and no window; quick: programs that run once are compiled without most optimisations.

    These are settings of a program, which the library itself never touches.
    """
    import jax
    import matplotlib

    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_disable_most_optimizations", quick or before)
    matplotlib.use("Agg")
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


def _reproduce(options: argparse.Namespace) -> int:
    from rnn_dynamics.figures import output, registry, report

    folder = Path(options.out)
    try:
        entries = registry.select(options.only)
    except ValueError as error:
        return _complain(str(error), _MISUSED)
    try:
        with _held_signals() as heed, output.staging(folder) as stage, _settings(quick=options.quick):
            files, sections = _draw(entries, options, heed)
            files |= _report_files(sections, {name: name for name in files}, options)
            heed()
            written = output.publish(stage, folder, files)
    except OSError as error:
        return _complain(_reason(error, folder), _FAILED)
    except ValueError as error:
        return _complain(str(error), _FAILED)
    print(report.as_text(sections, shutil.get_terminal_size((120, 24)).columns))
    print(f"{len(written)} files in {folder}")
    return _FAILED if report.counts(row for _, rows in sections for row in rows)[report.DIFFERS] else 0


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

    with _settings():
        for name, value in self_check.environment().items():
            print(f"{name:<12} {value}")
        checks = self_check.checks()
    failed = [check for check in checks if not check.passed]
    for check in checks:
        verdict = "pass" if check.passed else "FAIL"
        values = f"{check.measured:.10g} (expected {check.expected:.10g})"
        print(f"{verdict}  {check.dtype:<8} {check.quantity:<52} {values}")
    print(f"{len(checks) - len(failed)} of {len(checks)} checks passed")
    return _FAILED if failed else 0


def _diagnose(options: argparse.Namespace) -> int:
    try:
        with _settings():
            print(_verdict(options))
    except (OSError, ValueError, TypeError, ImportError) as error:
        return _complain(str(error), _MISUSED)
    return 0


def _verdict(options: argparse.Namespace) -> str:
    """The verdict on the network of a file, from the state 0 on, in float64."""
    import jax
    import numpy as np

    from rnn_dynamics.cells.stack import state_size
    from rnn_dynamics.diagnose import diagnose
    from rnn_dynamics.interop import load
    from rnn_dynamics.rollout import rollout

    if (options.inputs is None) == (options.steps is None):
        raise ValueError("--inputs, --steps: expected one of them")
    cell = load(options.model, kind=options.kind, prefix=options.prefix, direction=options.direction)
    cell = jax.tree_util.tree_map(lambda leaf: leaf.astype(float), cell)
    inputs = None
    if options.inputs is not None:
        inputs = _inputs(options.inputs)[:: -1 if options.direction == "reverse" else 1]
    found = diagnose(rollout(cell, np.zeros(state_size(cell)), inputs, steps=options.steps))
    if options.plot is not None:
        found.plot().savefig(options.plot)
    return found.to_json() if options.json else str(found)


def _inputs(path: str) -> Any:
    """The inputs in a file, of shape (steps, width), in float64 and the file's order."""
    import numpy as np

    from rnn_dynamics.validation import concrete_array

    try:
        with open(path, "rb") as file:
            begin = file.read(6)
    except OSError as error:
        raise ValueError(f"--inputs: cannot read {path}: {error.strerror}") from error
    if begin != b"\x93NUMPY":
        kind = "a zip archive, as .npz is" if begin.startswith(b"PK") else "another format"
        raise ValueError(f"--inputs: expected one array as .npy, got {path}, {kind if begin else 'empty'}")
    try:
        found = np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged header raises whatever Python's parser does
        raise ValueError(f"--inputs: expected an array of numbers, got {path}: {error}") from error
    inputs = concrete_array("--inputs", found, ndim=2)
    if not len(inputs):
        raise ValueError(f"--inputs: expected an array of shape (steps, width), got shape {inputs.shape}")
    return inputs.astype(float)


if __name__ == "__main__":
    sys.exit(main())
