"""``rnn-dynamics cache``: where the command line keeps compiled programs, and how to be rid of them."""

import argparse
from typing import Any

from rnn_dynamics.cli.program import FAILED, complain
from rnn_dynamics.numerics import programs


def add_to(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser("cache", help="show where compiled programs are kept, or remove them")
    parser.add_argument("--clear", action="store_true", help="remove them")
    parser.set_defaults(run=_run, check=None)


def _run(options: argparse.Namespace) -> int:
    folder = programs.default_folder()
    if folder is None:
        print(f"no programs are kept: {programs.VARIABLE} says so")
        return 0
    found = programs.cleared(folder) if options.clear else programs.kept(folder)
    print(
        f"{found.number} programs, {found.megabytes:.1f} MB, in {found.folder}{' removed' if options.clear else ''}"
    )
    left = programs.kept(folder).number if options.clear else 0
    return complain(f"cannot remove {left} of them", FAILED) if left else 0
