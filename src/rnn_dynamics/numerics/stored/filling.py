"""A sweep into a store: what is missing or damaged is computed, what is there stays."""

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnn_dynamics.numerics.grid import Grid, Kernel, Outline
from rnn_dynamics.numerics.progress import Progress, reporter
from rnn_dynamics.numerics.stored import workers
from rnn_dynamics.numerics.stored.identity import identity_of
from rnn_dynamics.numerics.stored.opening import check_same, create, is_free, opened
from rnn_dynamics.numerics.stored.store import Part, Store


class IncompleteSweepWarning(UserWarning):
    """Some blocks of a sweep were set aside; the others are there."""


class Computation(NamedTuple):
    """What is swept.

    Attributes:
        function: of one point.
        grid: the points.
        kernel: the function's map over points.
        outline: its results.
        points: of one call, at most.
    """

    function: Callable[..., Any]
    grid: Grid
    kernel: Kernel
    outline: Outline
    points: int


class Means(NamedTuple):
    """Who computes: an executor's workers, or this process and the devices of a mesh; and who is told of it."""

    executor: Any
    mesh: Any
    progress: Progress


def filled(swept: Computation, path: str | os.PathLike[str], about: Mapping[str, Any], means: Means) -> Store:
    """The store at ``path`` with every block computed that can be.

    Args:
        swept: what is computed.
        path: a store of the same sweep, or nothing.
        about: metadata and what else the manifest holds.
        means: who computes.

    Raises:
        StorageError: the folder holds something else, or another process writes there.
    """
    function, grid, found = swept.function, swept.grid, swept.outline
    identity = identity_of(function, grid)
    parts = {name: Part(dtype, shape) for name, (shape, dtype) in zip(found.names, found.leaves, strict=True)}
    if is_free(Path(path)):
        store = create(path, grid, parts, swept.points, {"identity": identity, **about})
    else:
        store = opened(path)
        check_same(store, identity, parts)
    with store.locked():
        for index in store.damaged():
            store.forget(index)
        _fill(store, swept, means)
    _warn(store)
    return store


def _fill(store: Store, swept: Computation, means: Means) -> None:
    grid, progress = swept.grid, means.progress
    wanted = [int(index) for index in np.flatnonzero(~store.done())]
    total, aside = len(store.blocks), 0
    before = total - len(wanted)

    def failed(index: int, cause: str) -> None:
        nonlocal aside
        aside += 1
        store.set_aside(index, cause, _ends(store, grid, index))

    def in_points(done: int, _: int) -> None:
        if callable(progress):
            progress(min(store.blocks.points * done, grid.size), grid.size)

    with reporter(in_points if callable(progress) else progress, total, "block", before) as told:

        def report(done: int) -> None:
            told(before + done, aside)

        if means.executor is None:
            workers.here(swept.kernel, grid, store, means.mesh, wanted, report)
        elif wanted:
            task = workers.Task.of(swept.function, grid, store)
            workers.elsewhere(task, means.executor, wanted, report, failed)


def _ends(store: Store, grid: Grid, index: int) -> dict[str, list[Any]]:
    """First and last point of each axis in a block; the name on an axis of names."""
    boxes = dict(zip(grid.axes, store.blocks.box_at(index), strict=True))
    ends: dict[str, list[Any]] = {
        name: [points[boxes[name]][0].item(), points[boxes[name]][-1].item()]
        for name, points in grid.numbers.items()
    }
    return {name: [names[boxes[name].start]] for name, names in grid.labels.items()} | ends


def _warn(store: Store) -> None:
    failures = store.failures()
    if failures:
        index, first = next(iter(failures.items()))
        warnings.warn(
            f"{store.path}: {len(failures)} of {len(store.blocks)} blocks were set aside; block {index},"
            f" {first.get('points')}: {first.get('cause')}",
            IncompleteSweepWarning,
            stacklevel=4,
        )
