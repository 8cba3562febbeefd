"""Sequences a second in training on temporal order: 15 tanh networks of 50 units, length 100, batches of 20.

One row is this library, a panel of 15 runs over both cores; the others are PyTorch's ``nn.RNN`` trained on the same
task with the same updates, one run after the other in a process that has every core, and as many processes of one
thread as there are cores, which take the runs in turn. Each draws its sequences fresh. PyTorch's processes start
before the clock does.
"""

import functools
import importlib.util
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks import timing
from rnn_dynamics.training import Plan, recipe, task, train

_LENGTH, _UNITS, _BATCH, _RUNS = 100, 50, 20, 15


def _ours(updates: int) -> Callable[[], object]:
    plan = Plan(task("temporal-order", _LENGTH), recipe("clipping"), _UNITS, _BATCH, every=500, test=20)
    return lambda: train(plan, range(_RUNS), updates=updates)


def _sequences(rng: np.random.Generator) -> tuple[Any, Any]:
    """A batch as the library draws it, in PyTorch's tensors."""
    import torch

    first = rng.integers(_LENGTH // 10, _LENGTH // 5, _BATCH)
    second = rng.integers(_LENGTH // 2, 3 * _LENGTH // 5, _BATCH)
    bits = rng.integers(0, 2, (2, _BATCH))
    symbols = rng.integers(2, 6, (_LENGTH, _BATCH))
    every = np.arange(_BATCH)
    symbols[first, every], symbols[second, every] = bits
    inputs = torch.nn.functional.one_hot(torch.from_numpy(symbols), 6).float()
    return inputs, torch.from_numpy(bits[0] + 2 * bits[1])


def _torch_run(seed: int, updates: int) -> None:
    """One network, ``updates`` updates of clipped gradient descent."""
    import torch

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network, readout = torch.nn.RNN(6, _UNITS), torch.nn.Linear(_UNITS, 4)
    parameters = [*network.parameters(), *readout.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.01)
    for _ in range(updates):
        inputs, classes = _sequences(rng)
        optimizer.zero_grad()
        last = network(inputs)[1][0]
        torch.nn.functional.cross_entropy(readout(last), classes).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
    _torch_run(0, 1)


def _torch_one_by_one(updates: int) -> Callable[[], object]:
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    return lambda: [_torch_run(seed, updates) for seed in range(_RUNS)]


def measure(*, quick: bool = False, repetitions: int = 3) -> list[dict]:
    """A row each: sequences a second follow from seconds; rates are relative to the faster way of PyTorch."""
    updates, theirs = (500, 4) if quick else (1000, 40)
    run = _ours(updates)
    run()
    seconds: dict[str, list[float]] = {}

    def clocked(name: str, function: Callable[[], object], made: int) -> None:
        begin = time.perf_counter()
        function()
        per_update = (time.perf_counter() - begin) / (_RUNS * made)
        seconds.setdefault(name, []).append(per_update)

    cores = os.cpu_count() or 1
    has_torch = importlib.util.find_spec("torch") is not None
    context = multiprocessing.get_context("spawn")
    pool = context.Pool(cores, initializer=_one_thread) if has_torch else None
    for _ in range(repetitions):
        clocked(f"rnn_dynamics, one process, {cores} threads", run, updates)
        if pool is not None:
            one_by_one = _torch_one_by_one(theirs)
            clocked(f"PyTorch nn.RNN, one process, {cores} threads", one_by_one, theirs)
            work = [(seed, theirs) for seed in range(_RUNS)]
            clocked(
                f"PyTorch nn.RNN, {cores} processes of one thread",
                functools.partial(pool.starmap, _torch_run, work, 1),
                theirs,
            )
    if pool is not None:
        pool.terminate()
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    reference = min(
        (v for name, v in medians.items() if "PyTorch" in name), default=next(iter(medians.values()))
    )
    device = jax.devices()[0].platform
    case = f"temporal order, {_UNITS} units, length {_LENGTH}, batch {_BATCH}, {_RUNS} runs, {device}"
    return [
        timing.row(
            "training_panel", f"{case}; {_BATCH / value:.0f} sequences a second", name, value, reference
        )
        for name, value in medians.items()
    ]
