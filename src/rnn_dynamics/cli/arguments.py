"""A command's arguments, read so that everything wrong with them is known before anything heavy is imported."""

import argparse
import difflib
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rnn_dynamics.cli.program import MISUSED, complain

_NUMBER = re.compile(r"-\.?\d")
_HELP = "(--help shows the options)"


class Wrong(str):
    """A value that its option cannot take, kept as it was written until all are known."""


def lenient(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """A conversion for argparse that gives ``Wrong`` where it fails, and so lets the other arguments be read."""

    def converted(text: str) -> Any:
        try:
            return convert(text)
        except ValueError:
            return Wrong(text)

    return converted


class Problems:
    """Everything wrong with a command, a line each, told at once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._code = 0

    def add(self, message: str, code: int = MISUSED) -> None:
        """Note one complaint; the highest exit code of all counts."""
        if message not in self.lines:
            self.lines.append(message)
        self._code = max(self._code, code)

    def told(self) -> int:
        """Write them to standard error; the exit code, 0 where there are none."""
        for line in self.lines:
            complain(line, self._code)
        return self._code


class _Help(argparse.HelpFormatter):
    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        """A positional argument is optional to argparse alone, so that its absence is one complaint of several."""
        if not action.option_strings and action.nargs == argparse.OPTIONAL:
            return str(action.metavar)
        return super()._format_args(action, default_metavar)


class Parser(argparse.ArgumentParser):
    """A parser that states an error in one line, without the usage before it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"formatter_class": _Help} | options)

    def error(self, message: str) -> NoReturn:
        self.exit(MISUSED, f"{self.prog}: {message} {_HELP}\n")


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """ "; did you mean …?", or nothing where no name is near."""
    close = difflib.get_close_matches(text, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def numbers(
    problems: Problems,
    option: str,
    values: Any,
    *,
    expected: str,
    fits: Callable[[Any], bool],
) -> None:
    """Note each of an option's values that is no number of the range; ``None`` stands for the default."""
    for value in values if isinstance(values, list) else [values]:
        if value is not None and (isinstance(value, Wrong) or not fits(value)):
            shown = f"{value[:40]!a}" if isinstance(value, str) else f"{value}"
            problems.add(f"{option}: expected {expected}, got {shown}")


def parsed(
    parser: argparse.ArgumentParser,
    commands: Collection[str],
    subparser: Callable[[str], argparse.ArgumentParser],
    arguments: Sequence[str],
    problems: Problems,
) -> argparse.Namespace:
    """The arguments by name; what argparse would stop at is noted and left out.

    Raises:
        SystemExit: help or the version was asked for; there is no command, or an unknown one.
    """
    tokens = list(arguments)
    at = next((i for i, token in enumerate(tokens) if not token.startswith("-")), None)
    if at is not None and tokens[at] not in commands:
        hint = did_you_mean(tokens[at], commands) or f"; known are {', '.join(commands)}"
        parser.error(f"COMMAND: invalid choice {tokens[at][:80]!a}{hint}")
    if at is not None:
        tokens[at + 1 :] = _readable(subparser(tokens[at]), tokens[at + 1 :], problems)
    options, rest = parser.parse_known_args(tokens)
    for token in rest:
        problems.add(f"unexpected argument {token[:80]!a} {_HELP}")
    return options


def _is_option(token: str) -> bool:
    return token.startswith("-") and len(token) > 1 and not _NUMBER.match(token)


def _may_be_positional(parser: argparse.ArgumentParser, kept: list[str], left: list[str]) -> bool:
    """Whether what follows an unknown option may be the command's own argument, and not that option's value."""
    takes_one = any(not action.option_strings for action in parser._actions)
    return takes_one and (Path(left[0]).exists() or (len(left) == 1 and not kept))


def _readable(parser: argparse.ArgumentParser, tokens: list[str], problems: Problems) -> list[str]:
    """What argparse can read: options that are unknown, ambiguous or lack their value are noted and left out."""
    known = parser._option_string_actions
    kept: list[str] = []
    left = list(tokens)
    while left:
        token = left.pop(0)
        if token == "--":
            return [*kept, token, *left]
        if not _is_option(token):
            kept.append(token)
            continue
        name, equals, value = token.partition("=")
        found = [name] if name in known else [k for k in known if len(name) > 2 and k.startswith(name)]
        if len(found) != 1:
            near = found or difflib.get_close_matches(name, known, n=3, cutoff=0.7)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            problems.add(f"unknown option {name[:80]!a}{hint} {_HELP}")
            if not equals and left and not _is_option(left[0]):
                is_flag = bool(near) and known[near[0]].nargs == 0
                if not is_flag and not _may_be_positional(parser, kept, left):
                    left.pop(0)  # its value, which would be taken for something else
            continue
        takes_none = known[found[0]].nargs == 0
        if takes_none and equals:
            problems.add(f"{found[0]}: expected no value, got {value[:80]!a}")
        elif not takes_none and not equals and (not left or _is_option(left[0])):
            problems.add(f"{found[0]}: expected a value, got none")
            continue
        kept.append(found[0] if takes_none else f"{found[0]}{equals}{value}")
    return kept
