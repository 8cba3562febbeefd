"""``rnn-dynamics retrain``: the stored results of figures made anew, where they are told to go."""

import argparse
from pathlib import Path
from typing import Any

from rnn_dynamics.cli.arguments import Problems, did_you_mean
from rnn_dynamics.cli.places import check_file, check_folder
from rnn_dynamics.cli.program import FAILED, complain, settings
from rnn_dynamics.numerics.heartbeat import Heartbeat


def add_to(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "retrain", help="train anew what a figure shows of stored runs (minutes to hours)"
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="the stored result; --list names them")
    parser.add_argument("--list", action="store_true", help="name the stored results")
    parser.add_argument("--out", metavar="FILE.npz", help="the file to write [NAME.npz]")
    parser.add_argument(
        "--folder", metavar="DIR", help="for checkpoints, where a stopped command goes on [NAME]"
    )
    parser.add_argument("--full", action="store_true", help="the published lengths and numbers of runs")
    parser.set_defaults(run=_run, check=_check)


def _check(options: argparse.Namespace, problems: Problems) -> None:
    if options.list:
        return
    from rnn_dynamics.figures.stored import STORED

    entry = STORED.get(options.name or "")
    if entry is None:
        hint = did_you_mean(options.name or "", STORED) or f"; known are {', '.join(STORED)}"
        problems.add(f"NAME: expected a stored result, got {options.name!a}{hint}")
    else:
        options.out = options.out or f"{entry.name}.npz"
        options.folder = options.folder or entry.name
        if options.full and not entry.has_full:
            problems.add(f"--full: {entry.name} has no longer form")
        if entry.resumes:
            check_folder(problems, "--folder", options.folder)
    check_file(problems, "--out", options.out, (".npz",))


def _run(options: argparse.Namespace) -> int:
    from rnn_dynamics.figures.stored import STORED

    if options.list:
        width = max(map(len, STORED))
        for name, entry in STORED.items():
            print(f"{name:<{width}}  {entry.title}")
        return 0
    entry = STORED[options.name]
    try:
        with Heartbeat(f"training {entry.name}"), settings(x64=entry.x64):
            entry.retrain(Path(options.out), Path(options.folder), full=options.full)
    except OSError as error:
        return complain(f"{error}", FAILED)
    print(f"wrote {options.out}")
    return 0
