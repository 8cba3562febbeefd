"""The protocol: remedies × tasks × lengths × seeds, each run's success beside what its gradient did."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnn_dynamics.numerics.stored.engines import check_executor
from rnn_dynamics.numerics.validation import choice, count
from rnn_dynamics.training.recipes.composition import find, recipe
from rnn_dynamics.training.recipes.remedies import REMEDIES, Remedy
from rnn_dynamics.training.runs.panel import Panel
from rnn_dynamics.training.runs.panels import train
from rnn_dynamics.training.runs.results import Comparison, ComparisonRow, row_of
from rnn_dynamics.training.runs.sent import Row, train_elsewhere
from rnn_dynamics.training.runs.updates import Plan
from rnn_dynamics.training.tasks import TASKS, Task, task

PLAIN = "plain"


class Preset(NamedTuple):
    """What ``compare`` measures where its arguments do not say.

    Attributes:
        remedies: as ``compare`` takes them.
        tasks: names of tasks.
        lengths: of each task.
        seeds: runs of each row.
        updates: of a run, at most.
    """

    remedies: tuple[str, ...]
    tasks: tuple[str, ...]
    lengths: tuple[int, ...]
    seeds: int
    updates: int


_FIRST_TIER = (
    PLAIN,
    "clipping",
    "clipping+omega",
    "clipping+orthogonal",
    "clipping+irnn",
    "clipping+leaky",
    "clipping+residual",
    "clipping+flossing",
    "clipping+lstm+adam",
    "clipping+gru+adam",
)


#: "quick" takes minutes on two cores, "paper" hours, or a GPU.
PRESETS: dict[str, Preset] = {
    "quick": Preset(_FIRST_TIER, ("temporal-order",), (30,), 5, 4000),
    "paper": Preset(
        (PLAIN, *REMEDIES, "clipping+omega", "clipping+lstm", "clipping+gru"),
        ("temporal-order", "addition"),
        (50, 100, 150, 200),
        5,
        5_000_000,
    ),
}


class _Planned(NamedTuple):
    """One row's panel, to be trained."""

    label: str
    remedies: tuple[Remedy, ...]
    plan: Plan
    rates: tuple[float, ...]


def compare(
    remedies: Sequence[Any] | str | None = None,
    tasks: Sequence[str] | str | None = None,
    lengths: Sequence[int] | int | None = None,
    *,
    preset: str = "quick",
    seeds: int | None = None,
    updates: int | None = None,
    rates: Sequence[float] | None = None,
    units: int = 50,
    batch: int = 20,
    every: int = 500,
    store: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    executor: Any = None,
    progress: Callable[[str, Panel], object] | None = None,
    done: Callable[[ComparisonRow], object] | None = None,
    heed: Callable[[], object] | None = None,
) -> Comparison:
    """Train every remedy on every task and length, and put beside its success what became of ∂x_T/∂x_k.

    A remedy is a name of ``REMEDIES``, a ``Remedy``, several joined as "clipping+omega" or in a tuple, or "plain":
    minibatch gradient descent on a tanh network of standard deviation .1, rate .01. Every row's runs share one
    compiled program; they differ by seed and rate. Where more than one rate is tried, that with most successes
    stands for the row, the faster one of equals, which favours rows that were given more rates.

    Args:
        remedies, tasks, lengths, seeds, updates: those of the preset where ``None``.
        preset: "quick" (minutes on two cores) or "paper" (hours, or a GPU).
        rates: learning rates that every remedy is tried with; by default its own alone.
        units: of the hidden vector.
        batch: sequences of an update.
        every: updates between two checks.
        store: a folder; what has been trained is kept there, and a repeated call goes on from it.
        workers: threads; see ``train``. Of each worker process where there are some, and then 1 by default.
        executor: who trains, each row for itself, into the store: a number of worker processes, any
            ``concurrent.futures`` executor, or a Dask client. A worker that dies costs what its row did since its
            file was last written.
        progress: called with a row's label and panel after each round of checks.
        done: called with each row once it is trained.
        heed: called several times a second; what it raises stops the training, see ``train``.

    Returns:
        A ``Comparison``, a row for each remedy, task and length.

    Raises:
        TypeError, ValueError: unknown tasks or remedies, remedies that exclude each other, a length too short for
            its task, numbers out of range: all before anything is trained. A store made with other settings.
        StorageError: a damaged file in the store.
        RuntimeError: rows that no worker could train, and why; the others are in the store.
    """
    chosen = PRESETS[choice("preset", preset, tuple(PRESETS))]
    seeds = count("seeds", chosen.seeds if seeds is None else seeds, minimum=1)
    updates = count("updates", chosen.updates if updates is None else updates, minimum=1)
    sizes = {
        "units": count("units", units, minimum=1),
        "batch": count("batch", batch, minimum=1),
        "every": count("every", every, minimum=1),
    }
    sought = [
        task(choice("tasks", name, TASKS), length)
        for name in (chosen.tasks if tasks is None else _several("tasks", tasks))
        for length in (chosen.lengths if lengths is None else _several("lengths", lengths))
    ]
    asked = chosen.remedies if remedies is None else _several("remedies", remedies)
    rows = [row for one in asked for row in _rows(one, sought, rates, sizes)]
    if len({(row.label, row.plan) for row in rows}) < len(rows):
        raise ValueError("remedies, tasks, lengths: expected each only once")
    check_executor(store, executor)
    folder = _folder(store)
    if executor is not None and folder is not None:
        _train_elsewhere(rows, seeds, folder, updates, workers, executor)
    found = []
    for row in rows:
        own, path = _numbers(row, seeds), None if folder is None else folder / _file_name(row)
        told = None if progress is None else (lambda panel, label=row.label: progress(label, panel))
        panel = train(
            row.plan,
            own["seed"].tolist(),
            updates=updates,
            numbers={"learning_rate": own["rate"]},
            checkpoint=path,
            workers=workers,
            progress=told,
            heed=heed,
        )
        found.append(row_of(row.label, row.remedies, panel, own["rate"]))
        if done is not None:
            done(found[-1])
    return Comparison(tuple(found), {"seeds": seeds, "updates": updates, **sizes})


def _train_elsewhere(
    rows: list[_Planned], seeds: int, folder: Path, updates: int, workers: int | None, executor: Any
) -> None:
    sent = [Row(row.plan, _numbers(row, seeds), folder / _file_name(row)) for row in rows]
    failures = train_elsewhere(sent, updates, workers, executor)
    if failures:
        said = "; ".join(f"{rows[i].label} on {rows[i].plan.task.name}: {why}" for i, why in failures.items())
        raise RuntimeError(f"executor: {len(failures)} of {len(rows)} rows could not be trained: {said}")


def _several(name: str, values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray):
        values = [values]
    if not len(values):
        raise ValueError(f"{name}: expected at least one, got none")
    return list(values)


def _named(remedy: Any) -> tuple[Any, ...]:
    """The parts of "clipping+omega", of a tuple, or one remedy."""
    if isinstance(remedy, str):
        return tuple(part.strip() for part in remedy.split("+") if part.strip() != PLAIN)
    return tuple(remedy) if isinstance(remedy, tuple | list) else (remedy,)


def _rows(remedy: Any, tasks: list[Task], rates: Any, sizes: dict[str, int]) -> list[_Planned]:
    parts = tuple(map(find, _named(remedy)))
    made = recipe(*parts)
    label = "+".join(part.name for part in parts) or PLAIN
    tried = (dict(made.numbers)["learning_rate"],) if rates is None else _rates(rates)
    return [_Planned(label, parts, Plan(one, made, **sizes), tried) for one in tasks]


def _rates(rates: Any) -> tuple[float, ...]:
    values = np.atleast_1d(np.asarray(rates, float))
    if values.ndim != 1 or not values.size or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"rates: expected learning rates > 0, got {rates!r}")
    return tuple(dict.fromkeys(values.tolist()))


def _numbers(row: _Planned, seeds: int) -> dict[str, np.ndarray]:
    """Seed and rate of each run: all seeds at the first rate, then at the next."""
    return {
        "seed": np.tile(np.arange(seeds), len(row.rates)),
        "rate": np.repeat(np.asarray(row.rates), seeds),
    }


def _folder(store: Any) -> Path | None:
    if store is None:
        return None
    folder = Path(store)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"store: expected a folder, got the file {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _file_name(row: _Planned) -> str:
    plain = re.sub(r"[^A-Za-z0-9]+", "-", f"{row.label}-{row.plan.task.name}").strip("-")
    return f"{plain[:80]}-{row.plan.task.length}.npz"
