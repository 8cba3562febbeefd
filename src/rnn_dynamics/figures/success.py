"""Success against length for MSGD, MSGD-C and MSGD-CR: figure 7 of Pascanu, Mikolov and Bengio, at reduced cost.

``python -m rnn_dynamics.figures.success`` trains the networks, in about an hour on two cores, and writes what
became of them beside this file; ``--full`` takes the paper's 5 million updates. Either can be interrupted: it goes
on from the folder ``--folder``.
"""

import argparse
import importlib.resources
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnn_dynamics import storage
from rnn_dynamics.status import Status

__all__ = ["INITIALIZERS", "LENGTHS", "METHODS", "Series", "stored"]

INITIALIZERS = ("sigmoid", "basic tanh", "smart tanh")
METHODS = ("MSGD", "MSGD-C", "MSGD-CR")
LENGTHS = (10, 20, 30, 50, 75, 100, 150, 200)
SEEDS, UPDATES = 10, 50_000
_FULL_SEEDS, _FULL_UPDATES, _FULL_LENGTHS = 5, 5_000_000, tuple(range(50, 251, 25))
_FILE = "success.npz"


class Series(NamedTuple):
    """The runs of one initialisation and method, by length; a series ends after the first length that all fail.

    Attributes:
        lengths: tried, shape (l,).
        succeeded: shape (l, seeds).
        diverged: shape (l, seeds).
        steps: updates made, shape (l, seeds).
    """

    lengths: np.ndarray
    succeeded: np.ndarray
    diverged: np.ndarray
    steps: np.ndarray


def _plain(initializer: str, method: str) -> str:
    """The name of a series in the file."""
    return f"{initializer}.{method}".replace(" ", "_").replace("-", "_")


def _recipe(initializer: str, method: str) -> Any:
    from rnn_dynamics.training import recipe

    remedies = {"MSGD": (), "MSGD-C": ("clipping",), "MSGD-CR": ("clipping", "omega")}[method]
    start = {"sigmoid": "sigmoid network", "basic tanh": "basic tanh", "smart tanh": "smart tanh"}[
        initializer
    ]
    return recipe(*remedies, start)


def _series(initializer: str, method: str, folder: Path, lengths: Any, seeds: int, updates: int) -> Series:
    from rnn_dynamics.training import Plan, task, train

    found = []
    for length in lengths:
        plan = Plan(task("temporal-order", length), _recipe(initializer, method))
        name = f"{initializer}-{method}-{length}".replace(" ", "-")
        panel = train(plan, range(seeds), updates=updates, checkpoint=folder / f"{name}.npz")
        found.append((length, panel.succeeded, panel.status == Status.DIVERGED, panel.steps))
        if not panel.succeeded.any():
            break
    return Series(*map(np.asarray, zip(*found, strict=True)))


def all_series(folder: Path, lengths: Any, seeds: int, updates: int) -> Iterator[tuple[str, Series]]:
    """Every series, trained or read from the folder."""
    for initializer in INITIALIZERS:
        for method in METHODS:
            yield _plain(initializer, method), _series(initializer, method, folder, lengths, seeds, updates)


def stored() -> tuple[dict[tuple[str, str], Series], dict[str, Any]]:
    """The stored series by initialisation and method, and how they were made."""
    place = importlib.resources.files("rnn_dynamics.figures").joinpath(_FILE)
    with importlib.resources.as_file(place) as path:
        arrays, made = storage.load(path)
    pairs = [(initializer, method) for initializer in INITIALIZERS for method in METHODS]
    series = {
        pair: Series(*(arrays[f"{_plain(*pair)}.{field}"] for field in Series._fields)) for pair in pairs
    }
    return series, made


def main() -> None:
    """Train every network and write what became of them."""
    parser = argparse.ArgumentParser(prog="python -m rnn_dynamics.figures.success", description=main.__doc__)
    parser.add_argument("--folder", type=Path, default=Path("success"), help="for the checkpoints [success]")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name(_FILE), help="the file to write")
    parser.add_argument("--full", action="store_true", help="the paper's lengths, seeds and updates")
    options = parser.parse_args()
    lengths, seeds, updates = (
        (_FULL_LENGTHS, _FULL_SEEDS, _FULL_UPDATES) if options.full else (LENGTHS, SEEDS, UPDATES)
    )
    options.folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for name, series in all_series(options.folder, lengths, seeds, updates):
        arrays |= {f"{name}.{field}": value for field, value in series._asdict().items()}
    made = {"command": "python -m rnn_dynamics.figures.success", "seeds": seeds, "updates": updates}
    storage.save(options.out, arrays, made)


if __name__ == "__main__":
    main()
