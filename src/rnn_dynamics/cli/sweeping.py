"""``rnn-dynamics atlas`` and ``sweep``: grids in a folder, what has become of them, and how they go on."""

import argparse
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnn_dynamics.cli.arguments import Problems, did_you_mean, lenient, numbers
from rnn_dynamics.cli.places import PICTURES, check_file, check_folder, save_picture
from rnn_dynamics.cli.program import FAILED, MISUSED, complain, held_signals, settings
from rnn_dynamics.numerics import packages
from rnn_dynamics.numerics.texts import printable

_ATLASES = ("radius",)
_ACTIONS = ("status", "verify", "resume", "export")
_TABLES = (".npz", ".nc")


def add_to(commands: Any) -> None:
    """Add both commands to the program's."""
    about = "compute a grid of networks in a folder; the same command goes on after any stop"
    atlas = commands.add_parser("atlas", help=about, description=about)
    atlas.add_argument("name", metavar="NAME", help="radius: norms and bounds over spectral radius and bias")
    atlas.add_argument("--store", metavar="DIR", help="a new folder, or that of the same atlas")
    for option, default, what in (
        ("--units", 64, "of a network"),
        ("--points", 24, "along each axis"),
        ("--seeds", 3, "networks of each point"),
        ("--steps", 200, "T"),
    ):
        atlas.add_argument(
            option, type=lenient(int), default=default, metavar="N", help=f"{what} [{default}]"
        )
    atlas.add_argument("--workers", type=lenient(int), metavar="N", help="processes; this one by default")
    atlas.add_argument("--dask", metavar="ADDRESS", help="of a Dask scheduler, as tcp://host:8786")
    atlas.add_argument("--plot", metavar="FILE", help="draw it, as far as it is there: .png, .svg or .pdf")
    atlas.set_defaults(run=_atlas, check=_check_atlas)
    about = "look at a sweep in a folder, check every byte of it, go on with it, or write it as one file"
    sweep = commands.add_parser("sweep", help=about, description=about)
    sweep.add_argument("action", metavar="{status,verify,resume,export}")
    sweep.add_argument("path", metavar="PATH", help="the folder")
    sweep.add_argument("--out", metavar="FILE", help="of export: .npz or .nc")
    sweep.add_argument("--workers", type=lenient(int), metavar="N", help="of resume: processes")
    sweep.add_argument("--dask", metavar="ADDRESS", help="of resume: a Dask scheduler's")
    sweep.set_defaults(run=_sweep, check=_check_sweep)


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


def _check_atlas(options: argparse.Namespace, problems: Problems) -> None:
    if options.name not in _ATLASES:
        hint = did_you_mean(options.name, _ATLASES)
        problems.add(f"NAME: expected one of {', '.join(_ATLASES)}, got {options.name[:80]!a}{hint}")
    if options.store is None:
        problems.add("--store: expected a folder, got none")
    else:
        check_folder(problems, "--store", options.store, MISUSED)
    for option, least in (("--units", 1), ("--points", 2), ("--seeds", 1), ("--steps", 1)):
        whole: dict[str, Any] = {
            "expected": f"an integer from {least}",
            "fits": lambda n, least=least: n >= least,
        }
        numbers(problems, option, getattr(options, option[2:]), **whole)
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
    if options.action == "export" and options.out is None:
        problems.add("--out: expected a file, got none")
    check_file(problems, "--out", options.out, _TABLES)
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
    asked = {name: getattr(options, name) for name in ("units", "points", "seeds", "steps")}
    return _computed(options, options.name, asked, options.store, options.plot)


def _computed(
    options: argparse.Namespace, name: str, asked: dict[str, int], store: str, plot: str | None
) -> int:
    """Compute an atlas, or what is missing of it."""
    try:
        with settings(), _executor(options) as executor, held_signals() as heed:
            found = _radius(asked, store, executor, heed)
            print(found)
            save_picture(found, plot)
    except (OSError, ValueError, TypeError, ImportError) as error:
        return complain(f"{error}", MISUSED)
    except KeyboardInterrupt as signalled:
        number = signalled.args[0] if signalled.args else signal.SIGINT
        return complain(f"interrupted; go on by: rnn-dynamics sweep resume {store}", 128 + number)
    return 0


def _radius(asked: dict[str, int], store: str, executor: Any, heed: Any) -> Any:
    import numpy as np

    from rnn_dynamics import spectral
    from rnn_dynamics.numerics.heartbeat import Heartbeat

    steps, points = asked["steps"], asked["points"]
    lags = sorted({lag for lag in (1, 2, 3, 5, 8, 14, 30, 60, 120, 200, steps) if lag <= steps})
    with Heartbeat("computing the atlas") as beat:

        def done(count: int, total: int) -> None:
            beat.at("computing the atlas", f"{count} of {total} networks")
            heed()

        return spectral.radius_sweep(
            np.linspace(0.2, 2.0, points),
            biases=np.linspace(0, 1.5, points),
            seeds=range(asked["seeds"]),
            n=asked["units"],
            steps=steps,
            lags=lags,
            progress=done,
            store=store,
            executor=executor,
            about={"atlas": {"name": "radius", "options": asked}},
        )


def _sweep(options: argparse.Namespace) -> int:
    from rnn_dynamics.numerics.stored.opening import opened

    try:
        store = opened(options.path)
        return {"status": _status, "verify": _verify, "resume": _resume, "export": _export}[options.action](
            store, options
        )
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


def _is_atlas(atlas: Any, shape: tuple[int, ...]) -> bool:
    """Whether that is what an atlas of that shape keeps, and no wish of somebody else."""
    if not isinstance(atlas, dict) or atlas.get("name") not in _ATLASES:
        return False
    asked = atlas.get("options")
    if not isinstance(asked, dict) or set(asked) != {"units", "points", "seeds", "steps"}:
        return False
    is_sized = all(type(number) is int and 1 <= number < 2**31 for number in asked.values())
    return is_sized and shape == (asked["points"], asked["points"], 1, asked["seeds"])


def _resume(store: Any, options: argparse.Namespace) -> int:
    atlas = store.manifest.get("atlas")
    if not _is_atlas(atlas, store.blocks.shape):
        said = (
            f"{options.path}: a sweep of {store.metadata.get('function')} goes on by the call that began it"
        )
        return complain(f"{said}: sweep(function, axes, store={options.path!r})", MISUSED)
    return _computed(options, atlas["name"], dict(atlas["options"]), options.path, None)


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
