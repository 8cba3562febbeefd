"""Many runs of one plan side by side: tiles of one shape over all cores, finished runs taken out, resumable."""

import concurrent.futures
import dataclasses
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.validation import count, instance, integers, real_array
from rnn_dynamics.training.recipes.recipe import initial_network
from rnn_dynamics.training.runs import checkpoints
from rnn_dynamics.training.runs.gradient_history import measured
from rnn_dynamics.training.runs.panel import Panel
from rnn_dynamics.training.runs.updates import (
    CONFIRM,
    TEST,
    Plan,
    ProgressCheck,
    Run,
    advance,
    first_state,
    lengths_of_calls,
    share_wrong,
)

_TILE = 8  # runs of a compiled call: more of them leave the cache
_CONFIRMED = 10_000  # fresh sequences that decide a success
_SAVED = 10.0  # seconds between two checkpoints
_NEVER_NEGATIVE = ("learning_rate", "threshold", "momentum", "largest_step")
_PATIENCE = 0.2  # seconds between two calls of ``heed``


def _host(tree: Any) -> Any:
    return jax.tree_util.tree_map(np.array, tree)


def _first_panel(plan: Plan, seeds: np.ndarray, numbers: Mapping[str, np.ndarray]) -> Panel:
    starts, task = [jax.random.key(int(seed)) for seed in seeds], plan.task
    networks = [
        initial_network(plan.recipe, jax.random.fold_in(key, 0), task.width, task.outputs, plan.units)
        for key in starts
    ]
    network = jax.tree_util.tree_map(
        lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *networks
    )
    memory = jax.vmap(functools.partial(first_state, plan))(network, numbers)
    keys = jax.vmap(lambda key: jax.random.key_data(jax.random.fold_in(key, 1)))(jnp.stack(starts))
    zeros, ones = np.zeros(len(seeds), np.int32), np.ones(len(seeds), bool)
    runs: Any = (network, memory, dict(numbers), keys, zeros, ones)
    runs = Run(*runs)
    first = measured(plan.task, network)
    history = {field: np.full((1, len(seeds)), np.nan) for field in ProgressCheck._fields} | first
    undecided = np.full(len(seeds), int(Status.UNDECIDED))
    return Panel(plan, seeds, _host(runs), undecided, np.full(len(seeds), np.nan), history)


def first_panel(plan: Plan, seeds: Sequence[int], *, numbers: Mapping[str, Any] | None = None) -> Panel:
    """The runs that ``train`` begins with; arguments and errors as there."""
    chosen = _seeds(seeds)
    return _first_panel(plan, chosen, _numbers(plan, len(chosen), numbers))


def _seeds(seeds: Sequence[int]) -> np.ndarray:
    chosen = integers("seeds", seeds)
    if not chosen.size:
        raise ValueError("seeds: expected at least one run, got none")
    return chosen


def train(
    plan: Plan,
    seeds: Sequence[int],
    *,
    updates: int,
    numbers: Mapping[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    progress: Callable[[Panel], object] | None = None,
    heed: Callable[[], object] | None = None,
) -> Panel:
    """Train runs until each has learned the task, diverged, or made ``updates`` updates.

    Runs differ by seed (initial weights and all sequences) and by the numbers of the recipe. After every
    ``plan.every`` updates each is checked on fresh sequences; where fewer than ``task.allowed`` are wrong, 10 000
    others decide. Ended runs are taken out, the others close ranks, so that a panel's cost falls as it ends. A run
    that diverges keeps its last finite parameters and touches no other.

    Args:
        plan: what the runs have in common.
        seeds: one for each run.
        updates: at most; rounded up to whole checks.
        numbers: name to one value for each run; the recipe's own where not given.
        checkpoint: a file (.npz) to resume from, and to save to every ten seconds and at the end. An interrupted
            panel goes on as if it had not been, bit for bit with as many workers.
        workers: threads; as many as there are cores by default, one on a GPU.
        progress: called with the panel after each round of checks.
        heed: called several times a second. What it or ``progress`` raises stops the training, and the checkpoint
            then holds all rounds that were completed.

    Returns:
        The ``Panel`` at the end.

    Raises:
        TypeError, ValueError: seeds or numbers that do not fit; a checkpoint of another plan.
        StorageError: a damaged checkpoint, and no older one beside it.
        FileNotFoundError: the checkpoint's folder is missing.
    """
    instance("plan", plan, Plan, "training.Plan")
    updates = count("updates", updates, minimum=1)
    chosen = _seeds(seeds)
    filled, workers = _numbers(plan, len(chosen), numbers), _workers(plan, workers)
    saved = panel = checkpoints.resumed(checkpoint, lambda: _first_panel(plan, chosen, filled))
    at = time.monotonic()
    try:
        for following in _rounds(panel, updates, workers, heed):
            panel = following
            if checkpoint is not None and time.monotonic() - at > _SAVED:
                checkpoints.save(checkpoint, panel)
                saved, at = panel, time.monotonic()
            if progress is not None:
                progress(panel)
    except BaseException:
        if checkpoint is not None and saved is not panel:
            checkpoints.save(checkpoint, panel)
        raise
    panel.status[panel.status == Status.UNDECIDED] = int(Status.MAX_STEPS)
    if checkpoint is not None:
        checkpoints.save(checkpoint, panel)
    return panel


def _rounds(panel: Panel, updates: int, workers: int, heed: Callable[[], object] | None) -> Iterator[Panel]:
    """The panel after each round of checks, a new one each time: what an interrupt leaves is always whole."""
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        while (active := _active(panel, updates)).size:
            begin = time.perf_counter()
            following = dataclasses.replace(
                panel, runs=_host(panel.runs), status=panel.status.copy(), wrong=panel.wrong.copy()
            )
            _round(following, active, pool, heed)
            following.seconds += time.perf_counter() - begin
            panel = following
            yield panel


def _numbers(plan: Plan, runs: int, given: Mapping[str, Any] | None) -> dict[str, np.ndarray]:
    """Every number of the recipe for each run, in float32."""
    known = dict(plan.recipe.numbers)
    try:
        plan.recipe.transformation(known)
        _ = [known[name] for term in plan.recipe.terms for name in (term.name, *term.settings)]
    except KeyError as missing:
        raise ValueError(f"numbers: the recipe needs {missing}, and has {', '.join(known)}") from None
    unknown = set(given or {}) - set(known)
    if unknown:
        raise ValueError(f"numbers: expected some of {', '.join(known)}, got {', '.join(sorted(unknown))}")
    return {name: _of_runs(name, value, runs) for name, value in (known | dict(given or {})).items()}


def _of_runs(name: str, value: Any, runs: int) -> np.ndarray:
    """One number for each run; a step, a threshold or a momentum below 0 would turn the descent round."""
    # As a list: runs are trained in float32, and what that rounds is no news.
    given = value.tolist() if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
    array = np.asarray(real_array(f"numbers[{name!r}]", given))
    if array.shape not in ((), (runs,)) or not (np.abs(array) < np.finfo(np.float32).max).all():
        raise ValueError(
            f"numbers[{name!r}]: expected one number that float32 holds for each of {runs} runs, got {value!r}"
        )
    if name in _NEVER_NEGATIVE and (array < 0).any():
        raise ValueError(f"numbers[{name!r}]: expected numbers of at least 0, got {array.min()}")
    return np.broadcast_to(array.astype(np.float32), (runs,)).copy()


def _workers(plan: Plan, asked: int | None) -> int:
    if asked is not None:
        return count("workers", asked, minimum=1)
    if jax.default_backend() != "cpu" or plan.recipe.uses_lapack:
        return 1
    return os.cpu_count() or 1


def _active(panel: Panel, updates: int) -> np.ndarray:
    """Return the runs that go on, by index."""
    panel.status[(panel.status == Status.MAX_STEPS) & (panel.steps < updates)] = int(Status.UNDECIDED)
    return np.flatnonzero((panel.status == Status.UNDECIDED) & (panel.steps < updates))


def _tiles(active: np.ndarray, workers: int) -> list[np.ndarray]:
    """Indices in rows of one width, the last run repeated where they do not fill."""
    share = -(-active.size // workers)
    width = next(w for w in (1, 2, 3, 4, 6, _TILE) if w >= min(share, _TILE))
    padded = np.append(active, np.repeat(active[-1:], -active.size % width))
    return list(padded.reshape(-1, width))


def _awaited(futures: list[Any], heed: Callable[[], object] | None) -> list[Any]:
    """Return the results of the futures, with ``heed`` called now and then meanwhile."""
    while concurrent.futures.wait(futures, timeout=_PATIENCE).not_done:
        if heed is not None:
            heed()
    return [future.result() for future in futures]


def _round(
    panel: Panel,
    active: np.ndarray,
    pool: concurrent.futures.ThreadPoolExecutor,
    heed: Callable[[], object] | None,
) -> None:
    """Do one check of every active run."""
    tiles = _tiles(active, pool._max_workers)
    stop = threading.Event()
    of_tile = functools.partial(_advance_tile, panel.plan, panel.runs, stop)
    try:
        ahead = (
            [] if _seen(panel.plan, len(tiles[0])) else [_awaited([pool.submit(of_tile, tiles[0])], heed)[0]]
        )
        done = ahead + _awaited([pool.submit(of_tile, tile) for tile in tiles[len(ahead) :]], heed)
    except BaseException:
        stop.set()
        raise
    row = {name: np.full(len(panel.seeds), np.nan) for name in panel.history}
    for tile, (runs, seen) in zip(tiles, done, strict=True):
        for whole, part in zip(*map(jax.tree_util.tree_leaves, (panel.runs, runs)), strict=True):
            whole[tile] = part
        for name, values in seen.items():
            row[name][tile] = values
    panel.history = {name: np.concatenate([old, row[name][None]]) for name, old in panel.history.items()}
    panel.wrong[active] = row["wrong"][active]
    panel.status[active[~panel.runs.is_finite[active]]] = int(Status.DIVERGED)
    _confirm(panel, active, tiles)


_COMPILED: set[tuple[Plan, int]] = set()


def _seen(plan: Plan, width: int) -> bool:
    """Whether a tile of this width was run before: its first one compiles, alone."""
    known = (plan, width) in _COMPILED
    _COMPILED.add((plan, width))
    return known


def _advance_tile(
    plan: Plan, runs: Run, stop: threading.Event, tile: np.ndarray
) -> tuple[Run, dict[str, np.ndarray]]:
    """``plan.every`` updates of the runs of a tile and a check, in calls that are short enough to be stopped."""
    part = jax.tree_util.tree_map(lambda leaf: leaf[tile], runs)
    losses, norms = [], []
    for length in lengths_of_calls(plan.every):
        if stop.is_set():
            raise InterruptedError("training was stopped")
        part, (loss, norm) = advance(plan, part, length)
        losses.append(np.asarray(loss))
        norms.append(np.asarray(norm))
    part = _host(part)
    loss, norm = (np.concatenate(values, axis=1) for values in (losses, norms))
    wrong = share_wrong(plan.task, part.network, part.key, part.step, plan.test, TEST)
    with np.errstate(all="ignore"):  # of a run that diverges
        check = ProgressCheck(loss.mean(axis=1), norm.mean(axis=1), norm.max(axis=1), wrong)
    story = {name: values[0] for name, values in measured(plan.task, part.network).items()}
    return part, {**check._asdict(), **story}


def _confirm(panel: Panel, active: np.ndarray, tiles: list[np.ndarray]) -> None:
    """Decide on 10 000 fresh sequences those runs whose check was good."""
    good = np.zeros(len(panel.seeds), bool)
    allowed = panel.plan.task.allowed
    good[active] = (panel.wrong[active] < allowed) & (panel.status[active] == Status.UNDECIDED)
    for tile in tiles:
        if not good[tile].any():
            continue
        networks = jax.tree_util.tree_map(lambda leaf, tile=tile: leaf[tile], panel.networks)
        shares = share_wrong(
            panel.plan.task, networks, panel.runs.key[tile], panel.steps[tile], _CONFIRMED, CONFIRM
        )
        for run, share in zip(tile, shares, strict=True):
            if good[run]:
                panel.wrong[run] = share
                if share < allowed:
                    panel.status[run] = int(Status.CONVERGED)
