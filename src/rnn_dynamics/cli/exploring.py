"""``rnn-dynamics explore``: an explorer as a page, in a file or in the browser."""

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
from rnn_dynamics.explore.settings import THEMES, CliffSettings, NeuronSettings, Settings

_STUDIES: dict[str, type[Settings]] = {"neuron": NeuronSettings, "cliff": CliffSettings}


def add_to(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser("explore", help="one neuron or its loss cliff to play with, in the browser")
    parser.add_argument(
        "study",
        nargs="?",
        default="neuron",
        metavar=f"{{{','.join(_STUDIES)}}}",
        help="which explorer [neuron]",
    )
    counts = CliffSettings.counts | NeuronSettings.counts
    for name, about in {n: one.about for n, one in CliffSettings.numbers.items()}.items():
        parser.add_argument(
            f"--{name}", type=lenient(float), metavar="NUMBER", help=f"{about} {_default(name)}"
        )
    for name, (_, about) in counts.items():
        parser.add_argument(f"--{name}", type=lenient(int), metavar="N", help=f"{about} {_default(name)}")
    parser.add_argument(
        "--theme", default="auto", metavar=f"{{{','.join(THEMES)}}}", help="colours [auto: the browser's]"
    )
    parser.add_argument("--out", metavar="FILE.html", help="write the page there and open no browser")
    parser.set_defaults(run=_run, check=_check)


def _default(name: str) -> str:
    """What an option is where it is not given, by study."""
    known = {study: getattr(kind(), name) for study, kind in _STUDIES.items() if name in kind._fields}
    if len(known) == 1:
        return f"[{known['cliff']:g}; cliff alone]"
    first, other = known["neuron"], known["cliff"]
    return f"[{first:g}]" if first == other else f"[{first:g}, cliff: {other:g}]"


def _elsewhere(options: argparse.Namespace) -> str:
    """Where what was asked for is explored: a network, of a file or by the name of its explorer."""
    if options.study not in ("network", "attractors", "gradients") and not Path(options.study).exists():
        return ""
    return (
        "; a network is explored in Jupyter, rd.explore.network(rd.diagnose(run)); "
        "rnn-dynamics diagnose FILE --plot FILE.png draws its verdict"
    )


def _check(options: argparse.Namespace, problems: Problems) -> None:
    kind = _STUDIES.get(options.study)
    if kind is None:
        got = f"{options.study[:40]!a}{_elsewhere(options)}"
        problems.add(f"STUDY: expected one of {', '.join(_STUDIES)}, got {got}")
        kind = CliffSettings
    for name, limits in CliffSettings.numbers.items():
        value = getattr(options, name)
        if value is not None and name not in kind._fields:
            problems.add(f"--{name}: expected with explore cliff alone")
        elif value is not None:
            numbers(
                problems,
                f"--{name}",
                value,
                expected=str(limits),
                fits=lambda one, limits=limits: math.isfinite(one) and limits.holds(one),
            )
    for name, (most, _) in (CliffSettings.counts | kind.counts).items():
        value = getattr(options, name)
        if value is not None and name not in kind._fields:
            problems.add(f"--{name}: expected with explore cliff alone")
        elif value is not None:
            numbers(
                problems,
                f"--{name}",
                value,
                expected=f"an integer from 0 to {most}",
                fits=lambda count, most=most: 0 <= count <= most,
            )
    if options.theme not in THEMES:
        problems.add(f"--theme: expected one of {', '.join(THEMES)}, got {options.theme[:40]!a}")
    check_file(problems, "--out", options.out, (".html",))


def _run(options: argparse.Namespace) -> int:
    kind = _STUDIES[options.study]
    given = {name: getattr(options, name) for name in kind._fields}
    page = document(kind(**{name: value for name, value in given.items() if value is not None}))
    try:
        # A folder of its own, which no other user can have put there.
        path = Path(options.out or Path(tempfile.mkdtemp(prefix="rnn-dynamics-")) / f"{options.study}.html")
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        return complain(f"{error}", FAILED)
    print(path)
    if not options.out and not webbrowser.open(path.absolute().as_uri()):
        return complain(f"no browser was found: open {path} in one", FAILED)
    return 0
