"""``rnn-dynamics compare``: remedies trained side by side."""

import argparse
import importlib.util
import signal
import sys
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
    try:
        out = _output("--out", options.out, _TABLES)
        picture = _output("--plot", options.plot, _PICTURES)
        with held_signals() as heed, settings():
            found = _found(options, heed)
            print(found)
            if out is not None:
                _write(found, out)
            if picture is not None:
                found.plot().figure.savefig(picture)
    except (OSError, ValueError, TypeError, ImportError) as error:
        return complain(str(error), MISUSED)
    except KeyboardInterrupt as signalled:
        if options.store is None:
            raise
        number = signalled.args[0] if signalled.args else signal.SIGINT
        return complain(f"interrupted; the same command goes on from {options.store}", 128 + number)
    return 0


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


def _found(options: argparse.Namespace, heed: Callable[[], None]) -> Any:
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
        store=options.store,
        progress=_tell if sys.stderr.isatty() else None,
        heed=heed,
    )


def _tell(label: str, panel: Any) -> None:
    """One line on a terminal that says how far a row is, gone when the row is done."""
    done, last = int(panel.succeeded.sum()), int(panel.steps.max())
    text = f"{label}, {panel.plan.task.name} {panel.plan.task.length}: "
    text += f"{last} updates, {done} of {len(panel.seeds)} learned"
    print(f"\r\033[K{text if panel.is_running else ''}", end="", file=sys.stderr, flush=True)


def _write(found: Any, path: Path) -> None:
    if path.suffix == ".npz":
        found.save(path)
    elif path.suffix == ".nc":
        found.to_xarray().to_netcdf(path)
    else:
        path.write_text(found.to_json() + "\n", encoding="utf-8")
