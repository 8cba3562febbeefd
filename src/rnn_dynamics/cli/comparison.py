"""``rnn-dynamics compare``: remedies trained side by side."""

import argparse
import itertools
import math
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rnn_dynamics.cli import known
from rnn_dynamics.cli.arguments import Problems, Wrong, did_you_mean, lenient, numbers
from rnn_dynamics.cli.places import PICTURES, check_file, check_folder, save_picture
from rnn_dynamics.cli.program import MISUSED, complain, held_signals, settings
from rnn_dynamics.numerics import packages
from rnn_dynamics.numerics.heartbeat import Heartbeat

_TABLES = (".npz", ".nc", ".json")
_PRESETS = ("quick", "paper")
_MOST = 2**31 - 1


def add_to(commands: Any) -> None:
    """Add the command's arguments to its parser."""
    about = "train remedies side by side: which networks learn, and what their gradients do"
    parser = commands.add_parser("compare", help=about, description=about)
    parser.add_argument(
        "--preset", default="quick", metavar="{quick,paper}", help="minutes on two cores [quick], or hours"
    )
    parser.add_argument("--remedies", nargs="+", metavar="NAME", help="as: plain clipping clipping+omega")
    parser.add_argument("--task", nargs="+", metavar="NAME", help="as: temporal-order")
    parser.add_argument("--lengths", nargs="+", type=lenient(int), metavar="L", help="of the task")
    parser.add_argument("--seeds", type=lenient(int), metavar="N", help="runs of each row")
    parser.add_argument("--updates", type=lenient(int), metavar="N", help="of a run, at most")
    parser.add_argument(
        "--rates", nargs="+", type=lenient(float), metavar="R", help="learning rates to try each with"
    )
    parser.add_argument(
        "--units", type=lenient(int), default=50, metavar="N", help="of the hidden vector [50]"
    )
    parser.add_argument("--store", metavar="DIR", help="keep what is trained there, and go on from it")
    parser.add_argument("--out", metavar="FILE", help="write the result: .npz, .nc (needs xarray) or .json")
    parser.add_argument("--plot", metavar="FILE", help="write the table as a picture: .png, .svg or .pdf")
    parser.add_argument(
        "--list", action="store_true", help="name the tasks and the remedies, and train nothing"
    )
    parser.set_defaults(run=_compare, check=_check)


def _check(options: argparse.Namespace, problems: Problems) -> None:
    """Names, numbers, files and packages, all of them, without JAX; names become those of the library."""
    if options.list:
        return
    if options.preset not in _PRESETS:
        hint = did_you_mean(options.preset, _PRESETS)
        problems.add(f"--preset: expected one of {', '.join(_PRESETS)}, got {options.preset[:40]!a}{hint}")
    if options.remedies is not None:
        options.remedies = [_checked_remedy(text, problems) for text in options.remedies]
        _check_once("--remedies", options.remedies, problems)
    for name in options.task or ():
        if name not in known.TASKS:
            hint = did_you_mean(name, known.TASKS)
            problems.add(f"--task: expected some of {', '.join(known.TASKS)}, got {name[:80]!a}{hint}")
    _check_once("--task", options.task or [], problems)
    _check_lengths(options, problems)
    for option, value in (
        ("--seeds", options.seeds),
        ("--updates", options.updates),
        ("--units", options.units),
    ):
        whole = {"expected": "an integer of at least 1", "fits": lambda value: 1 <= value <= _MOST}
        numbers(problems, option, value, **whole)
    rates = {"expected": "a learning rate > 0", "fits": lambda value: 0 < value < math.inf}
    numbers(problems, "--rates", options.rates, **rates)
    out = check_file(problems, "--out", options.out, _TABLES)
    check_file(problems, "--plot", options.plot, PICTURES)
    if out is not None and out.suffix == ".nc" and not packages.is_installed("xarray"):
        problems.add(f"--out: netCDF needs xarray: {packages.tip('xarray')}")
    if options.store is not None:
        check_folder(problems, "--store", options.store, MISUSED)


def _checked_remedy(text: str, problems: Problems) -> str:
    """Remedies joined by + by the library's names; unknown ones and those that exclude each other are noted."""
    parts = [known.remedy(part.strip()) for part in text.split("+")]
    unknown = [part for part in parts if part not in known.REMEDIES and part != known.PLAIN]
    for part in unknown:
        names = [known.PLAIN, *map(known.shell_name, known.REMEDIES)]
        hint = did_you_mean(known.shell_name(part), names)
        told = hint or f"; known are {', '.join(names)}"
        problems.add(f"--remedies: expected some of those that --list names, got {part[:80]!a}{told}")
    there = [part for part in parts if part in known.REMEDIES]
    for one, other in itertools.combinations(there, 2):
        if known.exclude(one, other) and (one != other or not unknown):
            problems.add(f"--remedies: {one} and {other} exclude each other, in {text[:80]!a}")
    return "+".join(parts)


def _check_once(option: str, values: list[Any], problems: Problems) -> None:
    for value in dict.fromkeys(values):
        if values.count(value) > 1:
            problems.add(f"{option}: expected each only once, got {value} {values.count(value)} times")


def _check_lengths(options: argparse.Namespace, problems: Problems) -> None:
    """Check that the lengths are integers, none shorter than its task allows."""
    lengths = options.lengths or []
    whole = {"expected": "integers of at least 1", "fits": lambda value: 1 <= value <= _MOST}
    numbers(problems, "--lengths", lengths, **whole)
    tasks = [name for name in options.task or ["temporal-order"] if name in known.TASKS]
    for name in tasks:
        for length in lengths:
            if not isinstance(length, Wrong) and 1 <= length < known.TASKS[name]:
                problems.add(
                    f"--lengths: length: expected at least {known.TASKS[name]} for the task {name}, got {length}"
                )
    _check_once("--lengths", lengths, problems)


def _compare(options: argparse.Namespace) -> int:
    if options.list:
        print(_known())
        return 0
    with _Store(options.store) as store:
        try:
            with Heartbeat("comparing remedies") as beat, held_signals() as heed, settings(), _line() as line:
                found = _found(options, store.folder, heed, beat, line)
                print(found)
                if options.out is not None:
                    _write(found, Path(options.out))
                save_picture(found, options.plot)
        except (OSError, ValueError, TypeError, ImportError) as error:
            return complain(f"{error}{store.keep() if store.is_own else ''}", MISUSED)
        except KeyboardInterrupt as signalled:
            if not (kept := store.keep()):
                raise
            number = signalled.args[0] if signalled.args else signal.SIGINT
            return complain(f"interrupted{kept}", 128 + number)
    return 0


class _Store:
    """The folder of what is trained: the user's, or one of our own that is removed at the end unless it is kept."""

    def __init__(self, given: str | None) -> None:
        self.is_own = given is None
        self.folder = given if given is not None else tempfile.mkdtemp(prefix="rnn-dynamics-")
        self._is_kept = False

    def __enter__(self) -> "_Store":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self.is_own and (kept := self.keep()):
            print(f"rnn-dynamics: stopped{kept}", file=sys.stderr)
        if self.is_own and not self._is_kept:
            shutil.rmtree(self.folder)

    def keep(self) -> str:
        """How to go on from what was trained, which stays; nothing where nothing was."""
        if not any(Path(self.folder).glob("*")):
            return ""
        self._is_kept = True
        return f"; with --store {self.folder} the same command goes on from what is trained"


def _known() -> str:
    from rnn_dynamics.training import REMEDIES, TASKS, published_lengths

    names = {name: shlex.quote(name) for name in REMEDIES}
    width = max(map(len, (*TASKS, *names.values())))
    kinds = max(len(r.kind) for r in REMEDIES.values())
    lines = ["tasks"]
    lines += [f"  {name:<{width}}  {' '.join(map(str, published_lengths(name)))}" for name in TASKS]
    lines += ["remedies, joined by +; hyphens spare the quotes: value-clipping"]
    lines += [
        f"  {names[r.name]:<{width}}  {r.kind:<{kinds}}  {r.claim} [{r.reference}]" for r in REMEDIES.values()
    ]
    return "\n".join(lines)


def _line() -> Any:
    """The line of a terminal that says how far a row is; nothing where standard error is none."""
    from tqdm import tqdm

    return tqdm(bar_format="{desc}", leave=False, disable=None)


def _found(
    options: argparse.Namespace, store: str, heed: Callable[[], None], beat: Heartbeat, line: Any
) -> Any:
    from rnn_dynamics.training import compare

    def done(row: Any) -> None:
        line.set_description_str("")
        _tell_done(row)
        beat.at("comparing remedies")
        beat.heard()

    return compare(
        options.remedies,
        options.task,
        options.lengths,
        preset=options.preset,
        seeds=options.seeds,
        updates=options.updates,
        rates=options.rates,
        units=options.units,
        store=store,
        progress=lambda label, panel: _tell(label, panel, beat, line),
        done=done,
        heed=heed,
    )


def _tell(label: str, panel: Any, beat: Heartbeat, line: Any) -> None:
    """How far a row is: on one line of a terminal, or in the lines that come every half minute."""
    row = f"{label}, {panel.plan.task.name} {panel.plan.task.length}"
    learned = f"{int(panel.succeeded.sum())} of {len(panel.seeds)} learned"
    text = f"{int(panel.steps.max())} updates, {learned}"
    beat.at(f"training {row}", text)
    line.set_description_str(f"{row}: {text}")


def _tell_done(row: Any) -> None:
    """Print a line for a row whose training has ended."""
    from tqdm import tqdm

    text = f"{row.remedy}, {row.task} {row.length}: {row.successes} of {len(row.seeds)} learned"
    tqdm.write(f"{text}, {row.seconds:.0f} s", file=sys.stderr)


def _write(found: Any, path: Path) -> None:
    if path.suffix == ".npz":
        found.save(path)
    elif path.suffix == ".nc":
        found.to_xarray().to_netcdf(path)
    else:
        path.write_text(found.to_json() + "\n", encoding="utf-8")
