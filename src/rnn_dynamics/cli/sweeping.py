"""``rnn-dynamics atlas`` and ``sweep``: grids in a folder, what has become of them, and how they go on."""

import argparse
import contextlib
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnn_dynamics.cli import known
from rnn_dynamics.cli.arguments import Problems, did_you_mean, lenient, numbers
from rnn_dynamics.cli.places import PICTURES, check_file, check_folder
from rnn_dynamics.cli.program import FAILED, MISUSED, complain, held_signals, settings
from rnn_dynamics.numerics import packages
from rnn_dynamics.numerics.texts import printable

_ACTIONS = ("status", "verify", "resume", "export", "plot")
_TABLES = (".npz", ".nc")
#: Option of an atlas to how it is read and what it is; whole numbers have a least value.
_OPTIONS: dict[str, tuple[dict[str, Any], int | None, str]] = {
    "units": ({"type": lenient(int), "metavar": "N"}, 1, "units of a network, the largest one"),
    "points": ({"type": lenient(int), "metavar": "N"}, 2, "points along each axis"),
    "seeds": ({"type": lenient(int), "metavar": "N"}, 1, "networks of each point"),
    "steps": ({"type": lenient(int), "metavar": "N"}, 1, "T"),
    "gain": ({"type": lenient(float), "metavar": "G", "nargs": "+"}, None, "factors of the weights"),
    "starts": ({"type": lenient(int), "metavar": "K"}, 1, "starts of Newton's method"),
    "activation": ({"metavar": "NAME", "nargs": "+"}, None, "of every unit"),
    "cells": ({"metavar": "NAME", "nargs": "+"}, None, "which cells"),
    "spectra": ({"action": "store_const", "const": True}, None, "every singular value too"),
    "epsilon": ({"type": lenient(float), "metavar": "E", "nargs": "+"}, None, "Euler steps"),
    "x0": ({"type": lenient(float), "metavar": "X", "nargs": "+"}, None, "starts of the neuron"),
}


def add_to(commands: Any) -> None:
    """Add both commands to the program's."""
    about = "compute a grid of networks in a folder; the same command goes on after any stop"
    atlas = commands.add_parser("atlas", help=about, description=about)
    atlas.add_argument("name", metavar="NAME", help=f"{', '.join(known.ATLASES)}")
    atlas.add_argument("--store", metavar="DIR", help="a new folder, or that of the same atlas")
    for option, (how, _, what) in _OPTIONS.items():
        defaults = [f"{name} {_shown(has[option])}" for name, has in known.ATLASES.items() if option in has]
        atlas.add_argument(f"--{option}", help=f"{what} [{', '.join(defaults)}]", **how)
    atlas.add_argument("--chunk", type=lenient(int), metavar="N", help="points of a block, at most")
    atlas.add_argument("--workers", type=lenient(int), metavar="N", help="processes; this one by default")
    atlas.add_argument("--dask", metavar="ADDRESS", help="of a Dask scheduler, as tcp://host:8786")
    atlas.add_argument("--plot", metavar="FILE", help="draw it, as far as it is there: .png, .svg or .pdf")
    atlas.set_defaults(run=_atlas, check=_check_atlas)
    about = (
        "look at a sweep in a folder, check every byte of it, go on with it, write it as one file, or draw it"
    )
    sweep = commands.add_parser("sweep", help=about, description=about)
    sweep.add_argument("action", metavar=f"{{{','.join(_ACTIONS)}}}")
    sweep.add_argument("path", metavar="PATH", help="the folder")
    sweep.add_argument("--out", metavar="FILE", help="of export: .npz or .nc; of plot: .png, .svg or .pdf")
    sweep.add_argument("--value", metavar="NAME", help="of plot: what is drawn; an atlas has its own picture")
    sweep.add_argument("--x", metavar="AXIS", help="of plot: the axis across")
    sweep.add_argument(
        "--y", metavar="AXIS", help="of plot: the axis up; with --x alone, lines over that one"
    )
    sweep.add_argument("--at", metavar="AXIS=POINT", nargs="+", help="of plot: where other axes are held")
    sweep.add_argument("--workers", type=lenient(int), metavar="N", help="of resume: processes")
    sweep.add_argument("--dask", metavar="ADDRESS", help="of resume: a Dask scheduler's")
    sweep.set_defaults(run=_sweep, check=_check_sweep)


def _shown(default: Any) -> str:
    several = default if isinstance(default, list) else [default]
    return " ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in several)


def _check_workers(options: argparse.Namespace, problems: Problems) -> None:
    whole: dict[str, Any] = {
        "expected": "a number of processes from 1 to 4096",
        "fits": lambda n: 1 <= n <= 4096,
    }
    numbers(problems, "--workers", options.workers, **whole)
    if options.workers is not None and options.dask is not None:
        problems.add("--workers, --dask: expected one of them")
    if options.dask is not None and not packages.is_installed("distributed"):
        problems.add(f"--dask: needs distributed: {packages.tip('distributed')}")


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """The options of an atlas that were given."""
    return {name: given for name in _OPTIONS if (given := getattr(options, name)) is not None}


def _check_atlas(options: argparse.Namespace, problems: Problems) -> None:
    has = known.ATLASES.get(options.name)
    if has is None:
        hint = did_you_mean(options.name, known.ATLASES)
        problems.add(f"NAME: expected one of {', '.join(known.ATLASES)}, got {options.name[:80]!a}{hint}")
    if options.store is None:
        problems.add("--store: expected a folder, got none")
    else:
        check_folder(problems, "--store", options.store, MISUSED)
    for name, given in _asked(options).items():
        if has is not None and name not in has:
            takes = ", ".join(f"--{one}" for one in has)
            problems.add(f"--{name}: atlas {options.name} has no such option; it takes {takes}")
        least = _OPTIONS[name][1]
        if least is not None:
            whole: dict[str, Any] = {
                "expected": f"an integer from {least}",
                "fits": lambda n, least=least: n >= least,
            }
            numbers(problems, f"--{name}", given, **whole)
        elif _OPTIONS[name][0].get("type") is not None:
            numbers(problems, f"--{name}", given, expected="numbers", fits=lambda _: True)
    numbers(problems, "--chunk", options.chunk, expected="an integer from 1", fits=lambda n: n >= 1)
    check_file(problems, "--plot", options.plot, PICTURES)
    _check_workers(options, problems)
    if not packages.is_installed("zarr"):
        problems.add(f"--store: needs zarr: {packages.tip('zarr')}")


def _check_sweep(options: argparse.Namespace, problems: Problems) -> None:
    if options.action not in _ACTIONS:
        hint = did_you_mean(options.action, _ACTIONS)
        problems.add(f"ACTION: expected one of {', '.join(_ACTIONS)}, got {options.action[:80]!a}{hint}")
    if not Path(options.path).is_dir():
        problems.add(f"PATH: no such folder: {options.path}")
    if options.action in ("export", "plot") and options.out is None:
        problems.add("--out: expected a file, got none")
    check_file(problems, "--out", options.out, PICTURES if options.action == "plot" else _TABLES)
    for one in options.at or []:
        if not re.fullmatch(r"\w+=.+", one):
            problems.add(f"--at: expected AXIS=POINT, got {one[:80]!a}")
    _check_workers(options, problems)


@contextlib.contextmanager
def _executor(options: argparse.Namespace) -> Iterator[Any]:
    """Who computes."""
    if options.dask is None:
        yield options.workers
        return
    from distributed import Client

    with Client(options.dask) as client:
        yield client


def _atlas(options: argparse.Namespace) -> int:
    asked = _asked(options) | ({} if options.chunk is None else {"chunk": options.chunk})
    return _computed(options, options.name, asked, options.store, options.plot)


def _computed(
    options: argparse.Namespace, name: str, asked: dict[str, Any], store: str, plot: str | None
) -> int:
    """Compute an atlas, or what is missing of it."""
    try:
        with settings(), _executor(options) as executor, held_signals() as heed:
            print(_made(name, asked, store, executor, heed))
            if plot is not None:
                _drawn(plot, store, {})
    except (OSError, ValueError, TypeError, ImportError) as error:
        return complain(f"{error}", MISUSED)
    except KeyboardInterrupt as signalled:
        number = signalled.args[0] if signalled.args else signal.SIGINT
        return complain(f"interrupted; go on by: rnn-dynamics sweep resume {store}", 128 + number)
    return 0


def _made(name: str, asked: dict[str, Any], store: str, executor: Any, heed: Any) -> Any:
    from rnn_dynamics import atlases
    from rnn_dynamics.numerics.heartbeat import Heartbeat

    with Heartbeat("computing the atlas") as beat:

        def done(count: int, total: int) -> None:
            beat.at("computing the atlas", f"{count} of {total} points")
            heed()

        return atlases.make(name, store=store, executor=executor, progress=done, **asked)


def _drawn(file: str, path: str, how: dict[str, Any]) -> None:
    """A picture of a store: that of its atlas, or of a slice where one is asked for or it is no atlas'."""
    from rnn_dynamics import atlases
    from rnn_dynamics.numerics.stored.opening import opened
    from rnn_dynamics.numerics.swept import of_store
    from rnn_dynamics.plots import style

    store = opened(path)
    with style():
        if "atlas" in store.manifest and not how.keys() - {"at"}:
            ax: Any = atlases.draw(path, **how)
        else:
            ax = of_store(store).plot(**how)
        ax.figure.savefig(file, bbox_inches="tight", dpi=150)


def _sweep(options: argparse.Namespace) -> int:
    from rnn_dynamics.numerics.stored.opening import opened

    try:
        store = opened(options.path)
        act = {"status": _status, "verify": _verify, "resume": _resume, "export": _export, "plot": _plot}
        return act[options.action](store, options)
    except (OSError, ValueError, ImportError) as error:
        return complain(f"{error}", MISUSED)


def _status(store: Any, options: argparse.Namespace) -> int:
    from rnn_dynamics.numerics.stored.filling import in_smaller_calls

    done, failures = int(store.done().sum()), store.failures()
    shape = " × ".join(f"{axis['length']} {axis['name']}" for axis in store.manifest["axes"])
    about = {name: printable(store.metadata.get(name), 200) for name in ("function", "device", "jax")}
    print(f"{about['function']} on {about['device']}, jax {about['jax']}: {shape}")
    print(f"{done} of {len(store.blocks)} blocks of {store.blocks.points} points are there")
    for index, said in failures.items():
        print(f"set aside: block {index}, {printable(said.get('points'))}: {printable(said.get('cause'))}")
    if (smaller := in_smaller_calls(store)) is not None:
        print(smaller)
    return 0


def _verify(store: Any, options: argparse.Namespace) -> int:
    from rnn_dynamics.numerics.heartbeat import Heartbeat

    store.axes()
    with Heartbeat("reading every byte"):
        damaged = store.damaged()
    for index, said in damaged.items():
        print(f"block {index}: {', '.join(f'{name} {fault}' for name, fault in said.items())}")
    print(f"{int(store.done().sum()) - len(damaged)} of {len(store.blocks)} blocks are there and whole")
    return FAILED if damaged else 0


def _resume(store: Any, options: argparse.Namespace) -> int:
    from rnn_dynamics.atlases.making import told

    try:
        name, _, asked = told(store)
    except ValueError:
        said = (
            f"{options.path}: a sweep of {store.metadata.get('function')} goes on by the call that began it"
        )
        return complain(f"{said}: sweep(function, axes, store={options.path!r})", MISUSED)
    return _computed(options, name, asked, options.path, None)


def _export(store: Any, options: argparse.Namespace) -> int:
    from rnn_dynamics.numerics.swept import of_store

    found = of_store(store)
    missing = len(store.blocks) - int(store.done().sum())
    if options.out.endswith(".nc"):
        data = found.to_xarray()
        data.attrs = {name: str(value) for name, value in store.metadata.items()}
        data.to_netcdf(options.out)
    else:
        found.save(options.out)
    if missing:
        return complain(
            f"{missing} of {len(store.blocks)} blocks are not there yet, and empty in {options.out}", 0
        )
    return 0


def _plot(store: Any, options: argparse.Namespace) -> int:
    how: dict[str, Any] = {name: getattr(options, name) for name in ("value", "x", "y")}
    held = dict(one.split("=", 1) for one in options.at or [])
    with settings():
        _drawn(
            options.out,
            options.path,
            {name: given for name, given in how.items() if given is not None}
            | ({"at": {axis: _point(text) for axis, text in held.items()}} if held else {}),
        )
    missing = len(store.blocks) - int(store.done().sum())
    if missing:
        return complain(
            f"{missing} of {len(store.blocks)} blocks are not there yet; {options.out} says where", 0
        )
    return 0


def _point(text: str) -> int | float | str:
    """A point of an axis as it was written: a number, or a name."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
