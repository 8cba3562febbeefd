"""``rnn-dynamics explore``: the one-neuron explorer as a page, in a file or in the browser."""

import argparse
import math
import tempfile
import webbrowser
from pathlib import Path
from typing import Any

from rnn_dynamics.cli.arguments import Problems, lenient, numbers
from rnn_dynamics.cli.places import check_file
from rnn_dynamics.cli.program import FAILED, complain
from rnn_dynamics.explore.page import document
from rnn_dynamics.explore.settings import LARGEST, MOST_STEPS, THEMES, Settings

_NUMBERS = {
    "w": (-LARGEST, LARGEST, "weight"),
    "b": (-LARGEST, LARGEST, "bias"),
    "epsilon": (0.0, 1.0, "Euler step in (0, 1]"),
    "x0": (0.0, 1.0, "start in [0, 1]"),
}


def add_to(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser("explore", help="one neuron to play with, in the browser")
    for name, (_, _, about) in _NUMBERS.items():
        default = getattr(Settings(), name)
        parser.add_argument(
            f"--{name}",
            type=lenient(float),
            default=default,
            metavar="NUMBER",
            help=f"{about} to begin with [{default:g}]",
        )
    parser.add_argument(
        "--steps", type=lenient(int), default=Settings().steps, metavar="N", help="number of steps T [60]"
    )
    parser.add_argument(
        "--theme", default="auto", metavar=f"{{{','.join(THEMES)}}}", help="colours [auto: the browser's]"
    )
    parser.add_argument("--out", metavar="FILE.html", help="write the page there and open no browser")
    parser.set_defaults(run=_run, check=_check)


def _check(options: argparse.Namespace, problems: Problems) -> None:
    for name, (low, high, _) in _NUMBERS.items():
        is_open = name == "epsilon"

        def fits(value: float, low: float = low, high: float = high, is_open: bool = is_open) -> bool:
            return math.isfinite(value) and (low < value if is_open else low <= value) and value <= high

        expected = f"a number {'above' if is_open else 'from'} {low:g} to {high:g}"
        numbers(problems, f"--{name}", getattr(options, name), expected=expected, fits=fits)
    numbers(
        problems,
        "--steps",
        options.steps,
        expected=f"an integer from 0 to {MOST_STEPS}",
        fits=lambda steps: 0 <= steps <= MOST_STEPS,
    )
    if options.theme not in THEMES:
        problems.add(f"--theme: expected one of {', '.join(THEMES)}, got {options.theme[:40]!a}")
    check_file(problems, "--out", options.out, (".html",))


def _run(options: argparse.Namespace) -> int:
    page = document(Settings(*(getattr(options, name) for name in Settings._fields)))
    try:
        # A folder of its own, which no other user can have put there.
        path = Path(options.out or Path(tempfile.mkdtemp(prefix="rnn-dynamics-")) / "neuron.html")
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        return complain(f"{error}", FAILED)
    print(path)
    if not options.out and not webbrowser.open(path.absolute().as_uri()):
        return complain(f"no browser was found: open {path} in one", FAILED)
    return 0
