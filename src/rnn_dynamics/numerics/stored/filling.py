"""A sweep into a store: what is missing or damaged is computed, what is there stays."""

import contextlib
import errno
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnn_dynamics.numerics.grid import Grid
from rnn_dynamics.numerics.mapped import Kernel, Plan, outline
from rnn_dynamics.numerics.on_host import OnHost
from rnn_dynamics.numerics.progress import Progress, reporter
from rnn_dynamics.numerics.stored import workers
from rnn_dynamics.numerics.stored.identity import identity_of
from rnn_dynamics.numerics.stored.opening import check_same, create, is_free, opened
from rnn_dynamics.numerics.stored.store import Part, Store
from rnn_dynamics.numerics.texts import printable

_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class IncompleteSweepWarning(UserWarning):
    """Some blocks of a sweep were set aside; the others are there."""


class Computation(NamedTuple):
    """What is swept.

    Attributes:
        function: of one point.
        grid: the points.
        kernel: the function's map over points.
        cut: points of a call and of a block, at most.
    """

    function: Callable[..., Any]
    grid: Grid
    kernel: Kernel
    cut: Plan


class Means(NamedTuple):
    """Who computes: an executor's workers, or this process and the devices of a mesh; and who is told of it."""

    executor: Any
    mesh: Any
    progress: Progress


def filled(
    swept: Computation, path: str | os.PathLike[str], about: Mapping[str, Any], means: Means
) -> tuple[Store, Any]:
    """The store at ``path`` with every block computed that can be, and how results are nested, where it is known.

    Args:
        swept: what is computed.
        path: a store of the same sweep, or nothing.
        about: metadata and what else the manifest holds.
        means: who computes.

    Raises:
        StorageError: the folder holds something else, or another process writes there.
        OSError: the disk is full, or not writable and something is missing.
    """
    grid, on_host, is_new = swept.grid, isinstance(swept.kernel, OnHost), is_free(Path(path))
    identity = identity_of(swept.function, grid, not on_host)
    # Of a function on the host it takes a point's whole computation to learn what it returns.
    found = outline(swept.kernel, grid, swept.cut.call) if is_new or not on_host else None
    leaves = () if found is None else zip(found.names, found.leaves, strict=True)
    parts = {name: Part(dtype, shape) for name, (shape, dtype) in leaves}
    store = None
    if is_new:
        with contextlib.suppress(FileExistsError):  # another process was quicker
            store = create(path, grid, parts, swept.cut.block, {"identity": identity, **about})
    if store is None:
        store = opened(path)
        check_same(store, identity, parts if found else store.parts)
    try:
        with store.locked():
            for index in store.damaged():
                store.forget(index)
            _fill(store, swept, means)
    except OSError as error:
        if error.errno not in _READ_ONLY or not store.done().all() or store.damaged():
            raise
    _warn(store)
    return store, None if found is None else found.structure


def _fill(store: Store, swept: Computation, means: Means) -> None:
    grid, progress = swept.grid, means.progress
    wanted = [int(index) for index in np.flatnonzero(~store.done())]
    total, aside = len(store.blocks), set()
    before = total - len(wanted)

    def failed(index: int, cause: str) -> None:
        aside.add(index)
        store.set_aside(index, cause, _ends(store, grid, index))

    def in_points(done: int, _: int) -> None:
        if callable(progress):
            progress(min(store.blocks.points * done, grid.size), grid.size)

    with reporter(in_points if callable(progress) else progress, total, "block", before) as told:

        def report(done: int) -> None:
            told(before + done, len(aside))

        if means.executor is None:
            workers.here(swept.kernel, grid, store, means.mesh, wanted, report)
        elif wanted:
            task = workers.Task.of(swept.function, grid, store, not isinstance(swept.kernel, OnHost))
            workers.elsewhere(task, means.executor, wanted, report, failed, store.is_done, workers.compute)
            there = store.done()
            for index in wanted:
                if not there[index] and index not in aside:
                    failed(index, "a worker said that it wrote it, and it is not there")


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
            f" {printable(first.get('points'))}: {printable(first.get('cause'))}",
            IncompleteSweepWarning,
            stacklevel=4,
        )
    if (said := in_smaller_calls(store)) is not None:
        warnings.warn(f"{store.path}: {said}", stacklevel=4)


def in_smaller_calls(store: Store) -> str | None:
    """What it means that there was no memory for a block in one call, if there was none."""
    sizes = store.smaller()
    if not sizes:
        return None
    return (
        f"some calls of {store.call} points found no memory, and were computed in calls of"
        f" {' and '.join(map(str, sizes))}: their last bits may be others than those of one call"
    )
