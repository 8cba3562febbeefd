"""``rnn-dynamics compare``: remedies trained side by side."""

import argparse
import importlib.util
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rnn_dynamics.cli.program import MISUSED, complain, held_signals, settings

__all__ = ["add_to"]

_TABLES = (".npz", ".nc", ".json")
_PICTURES = (".png", ".svg", ".pdf")


def add_to(commands: Any) -> None:
    """The command's arguments."""
    about = "train remedies side by side: which networks learn, and what their gradients do"
    parser = commands.add_parser("compare", help=about, description=about)
    parser.add_argument(
        "--preset", choices=("quick", "paper"), default="quick", help="minutes on two cores [quick], or hours"
    )
    parser.add_argument("--remedies", nargs="+", metavar="NAME", help="as: plain clipping clipping+omega")
    parser.add_argument("--task", nargs="+", metavar="NAME", help="as: temporal-order")
    parser.add_argument("--lengths", nargs="+", type=int, metavar="L", help="of the task")
    parser.add_argument("--seeds", type=int, metavar="N", help="runs of each row")
    parser.add_argument("--updates", type=int, metavar="N", help="of a run, at most")
    parser.add_argument("--rates", nargs="+", type=float, metavar="R", help="learning rates to try each with")
    parser.add_argument("--units", type=int, default=50, metavar="N", help="of the hidden vector [50]")
    parser.add_argument("--store", metavar="DIR", help="keep what is trained there, and go on from it")
    parser.add_argument("--out", metavar="FILE", help="write the result: .npz, .nc (needs xarray) or .json")
    parser.add_argument("--plot", metavar="FILE", help="write the table as a picture: .png, .svg or .pdf")
    parser.add_argument(
        "--list", action="store_true", help="name the tasks and the remedies, and train nothing"
    )
    parser.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> int:
    if options.list:
        print(_known())
        return 0
    with _Store(options.store) as store:
        try:
            out = _output("--out", options.out, _TABLES)
            picture = _output("--plot", options.plot, _PICTURES)
            with held_signals() as heed, settings():
                found = _found(options, store.folder, heed)
                print(found)
                if out is not None:
                    _write(found, out)
                if picture is not None:
                    found.plot().figure.savefig(picture)
        except (OSError, ValueError, TypeError, ImportError) as error:
            return complain(f"{error}{store.keep() if store.is_own else ''}", MISUSED)
        except KeyboardInterrupt as signalled:
            if not (kept := store.keep()):
                raise
            number = signalled.args[0] if signalled.args else signal.SIGINT
            _clear()
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

    lines = ["tasks"]
    lines += [f"  {name:<24} {' '.join(map(str, published_lengths(name)))}" for name in TASKS]
    lines += ["remedies, joined by +"]
    lines += [f"  {r.name:<24} {r.kind:<14} {r.claim} [{r.reference}]" for r in REMEDIES.values()]
    return "\n".join(lines)


def _output(name: str, path: str | None, endings: tuple[str, ...]) -> Path | None:
    """A file that can be written at the end, so that hours of training are not lost to a wrong name."""
    if path is None:
        return None
    found = Path(path)
    if found.suffix not in endings:
        raise ValueError(f"{name}: expected a name ending in {', '.join(endings)}, got {path}")
    if not found.parent.is_dir():
        raise ValueError(f"{name}: no such folder: {found.parent}")
    if found.suffix == ".nc" and importlib.util.find_spec("xarray") is None:
        raise ValueError(f"{name}: netCDF needs xarray: pip install 'rnn_dynamics[data]'")
    return found


def _found(options: argparse.Namespace, store: str, heed: Callable[[], None]) -> Any:
    from rnn_dynamics.training import compare

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
        progress=_tell if sys.stderr.isatty() else None,
        done=_tell_done,
        heed=heed,
    )


def _clear() -> None:
    """Take back the line of a terminal that says how far a row is."""
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _tell(label: str, panel: Any) -> None:
    """How far a row is, on one line of a terminal."""
    done, last = int(panel.succeeded.sum()), int(panel.steps.max())
    text = f"{label}, {panel.plan.task.name} {panel.plan.task.length}: "
    _clear()
    print(f"{text}{last} updates, {done} of {len(panel.seeds)} learned", end="", file=sys.stderr, flush=True)


def _tell_done(row: Any) -> None:
    """A line for a row that is trained."""
    text = f"{row.remedy}, {row.task} {row.length}: {row.successes} of {len(row.seeds)} learned"
    _clear()
    print(f"{text}, {row.seconds:.0f} s", file=sys.stderr, flush=True)


def _write(found: Any, path: Path) -> None:
    if path.suffix == ".npz":
        found.save(path)
    elif path.suffix == ".nc":
        found.to_xarray().to_netcdf(path)
    else:
        path.write_text(found.to_json() + "\n", encoding="utf-8")
