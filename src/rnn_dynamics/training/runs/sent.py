"""Rows of a comparison trained by worker processes, each into its own file."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rnn_dynamics.numerics.stored import workers as engines
from rnn_dynamics.training.runs.panels import train
from rnn_dynamics.training.runs.updates import Plan


@dataclasses.dataclass(frozen=True)
class Row:
    """One row's runs.

    Attributes:
        plan: what they have in common.
        numbers: seed and rate of each.
        path: of the checkpoint.
    """

    plan: Plan
    numbers: dict[str, np.ndarray]
    path: Path


@dataclasses.dataclass(frozen=True)
class Rows:
    """What a worker is told.

    Attributes:
        rows: of the comparison.
        updates: of a run, at most.
        threads: of a worker; one by default.
        x64: whether JAX has float64.
        programs: the folder in which JAX keeps compiled programs, if it does.
        mark: of the comparison, the same for all workers.
    """

    rows: tuple[Row, ...]
    updates: int
    threads: int | None
    x64: bool
    programs: str | None
    mark: str = "comparison"


def train_elsewhere(rows: list[Row], updates: int, threads: int | None, executor: Any) -> dict[int, str]:
    """Train rows by an executor's workers until each has its file; the causes of those that could not be, by row.

    A worker that dies is replaced, and goes on from what the file has.

    Raises:
        TypeError: a remedy that cannot be sent to another process.
    """
    settings, failures = jax.config.values, {}
    kept = tuple(dataclasses.replace(row, path=row.path.resolve()) for row in rows)
    x64, programs = bool(settings["jax_enable_x64"]), settings["jax_compilation_cache_dir"]
    task = Rows(kept, updates, threads, x64, programs)
    engines.elsewhere(
        task,
        executor,
        list(range(len(rows))),
        lambda done: None,
        failures.__setitem__,
        lambda index: False,  # a row that is trained is soon trained again
        trained,
    )
    return failures


def trained(task: Rows, index: int) -> int:
    """Train one row; its number."""
    if task.programs is not None and jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", os.fspath(task.programs))
    row = task.rows[index]
    with jax.enable_x64(task.x64):
        train(
            row.plan,
            row.numbers["seed"].tolist(),
            updates=task.updates,
            numbers={"learning_rate": row.numbers["rate"]},
            checkpoint=row.path,
            workers=task.threads or 1,
        )
    return index
