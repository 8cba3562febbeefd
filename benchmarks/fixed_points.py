"""Fixed points of a 50-unit tanh network from 10⁴ starts: ours against descent on q as FixedPointFinder does it.

The rival is a transcription of FixedPointFinder's PyTorch version with its default settings: all starts in one Adam
descent in float32 (rate 0.05, times 0.7 every 500 steps, at most 5000), until q = ½‖F(x) − x‖² is below 1e−12 or
moves by less than 1e−20 for every start; then unique points to 1e−3. Starts: states of trajectories with noise of
0.1. "first call" compiles; the others are medians. Each row tells how many starts converged and what was found.

The last rows, in CPU seconds: 200 starts of a 64-unit network against SciPy's ``root(method="lm")`` (MINPACK,
with the Jacobian in closed form), one start after another.
"""

import functools
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import scipy.optimize

from benchmarks import timing
from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.dynamics.equilibria import FixedPoints, fixed_points


def network(gain: float, n: int, starts: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W, b and the starts, all from one seed."""
    rng = np.random.default_rng(1)
    weights, bias = gain * rng.normal(size=(n, n)) / np.sqrt(n), 0.1 * rng.normal(size=n)
    states, kept = rng.normal(size=(64, n)), []
    for step in range(100):
        states = np.tanh(states @ weights.T + bias)
        if step >= 20:
            kept.append(states)
    path = np.concatenate(kept)
    return weights, bias, path[rng.integers(len(path), size=starts)] + 0.1 * rng.normal(size=(starts, n))


def descent_on_q(
    weights: np.ndarray, bias: np.ndarray, starts: np.ndarray, *, max_steps: int = 5000
) -> tuple[np.ndarray, np.ndarray]:
    """Final states and q of a joint Adam descent; the rival."""
    import torch

    matrix, shift = (torch.tensor(part, dtype=torch.float32) for part in (weights, bias))
    x = torch.tensor(starts, dtype=torch.float32).requires_grad_(True)
    optimizer = torch.optim.Adam([x], lr=0.05)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=500, gamma=0.7)
    before = torch.full((len(starts),), float("nan"))
    q = before
    for step in range(max_steps):
        optimizer.zero_grad()
        rest = x - torch.tanh(x @ matrix.T + shift)
        q = 0.5 * (rest * rest).sum(1)
        q.mean().backward()
        optimizer.step()
        schedule.step()
        q = q.detach()
        change = (q - before).abs()
        before = q
        if step and bool(((change < 1e-20) | (q < 1e-12)).all()):
            break
    return x.detach().numpy().astype(float), q.numpy()


def unique(points: np.ndarray, tolerance: float = 1e-3) -> np.ndarray:
    """Points that differ by more than the tolerance in some coordinate, the first of each kept."""
    kept: list[np.ndarray] = []
    for point in points:
        if not kept or (np.max(np.abs(np.array(kept) - point), axis=1) > tolerance).all():
            kept.append(point)
    return np.array(kept).reshape(-1, points.shape[1])


def _described(name: str, seconds: float, reference: float, case: str, what: str) -> dict[str, Any]:
    return timing.row("fixed_points", case, f"{name}: {what}", seconds, reference)


def _rival(weights: np.ndarray, bias: np.ndarray, starts: np.ndarray, ours: FixedPoints) -> tuple[float, str]:
    begun = time.perf_counter()
    states, q = descent_on_q(weights, bias, starts)
    done = q < 1e-12
    points = unique(states[done])
    seconds = time.perf_counter() - begun
    gaps = np.max(np.abs(points[:, None] - ours.points[None]), axis=2, initial=0.0)
    known = int((gaps.min(axis=1, initial=np.inf) < 1e-2).sum()) if len(ours) else 0
    residual = np.sqrt(2 * q[done].max(initial=0.0))
    return seconds, (
        f"{int(done.sum())} starts converged, {len(points)} points, residual to {residual:.1e}, "
        f"{known} of them ours"
    )


def _case(gain: float, starts: int, repetitions: int) -> list[dict]:
    weights, bias, states = network(gain, 50, starts)
    cell = ElmanRNN(weights, bias)
    case = f"n = 50, g = {gain}, {starts} starts"
    begun = time.perf_counter()
    found = fixed_points(cell, states)
    first = time.perf_counter() - begun
    candidates = {
        "fixed_points": functools.partial(fixed_points, cell, states),
        "fixed_points, slow=False": functools.partial(fixed_points, cell, states, slow=False),
        "fixed_points, no orbits": functools.partial(fixed_points, cell, states, orbits=0),
    }
    seconds = timing.interleaved(candidates, repetitions=repetitions)
    rows = [("fixed_points, first call", first, found)]
    rows += [(name, seconds[name], run()) for name, run in candidates.items()]
    try:
        rival, what = _rival(weights, bias, states, found)
        name = "descent on q (PyTorch)"
    except ImportError:
        rival, what, name = float("nan"), "PyTorch is not installed", "descent on q"
    lines = [_described(name, rival, rival, case, what)]
    for name, value, result in rows:
        residual = result.residual.max(initial=0.0)
        what = (
            f"{result.converged()} starts converged, {len(result)} points, residual to {residual:.1e}, "
            f"{len(result.slow)} slow"
        )
        lines.append(_described(name, value, rival, case, what))
    return lines


def _roots_of_scipy(weights: np.ndarray, bias: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Where MINPACK's Levenberg–Marquardt converges, a row for each such start."""
    one, ends = np.eye(len(bias)), []

    def rest(x: np.ndarray) -> np.ndarray:
        return np.tanh(weights @ x + bias) - x

    def slope(x: np.ndarray) -> np.ndarray:
        return (1 - np.square(np.tanh(weights @ x + bias)))[:, None] * weights - one

    for start in starts:
        end = scipy.optimize.root(rest, start, method="lm", jac=slope).x
        if np.max(np.abs(rest(end))) < 1e-10:
            ends.append(end)
    return np.array(ends).reshape(-1, len(bias))


def _cpu_seconds(run: Callable[[], Any], repetitions: int) -> float:
    seconds = []
    for _ in range(repetitions):
        before = time.process_time()
        run()
        seconds.append(time.process_time() - before)
    return statistics.median(seconds)


def _against_scipy(gain: float, n: int, starts: int, repetitions: int) -> list[dict]:
    weights, bias, states = network(gain, n, starts)
    cell = ElmanRNN(weights, bias)
    case = f"n = {n}, g = {gain}, {starts} starts, CPU s"
    ends = _roots_of_scipy(weights, bias, states)
    what = f"{len(ends)} starts converged, {len(unique(ends))} points"
    rival = _cpu_seconds(lambda: _roots_of_scipy(weights, bias, states), repetitions)
    lines = [_described("SciPy's root, lm", rival, rival, case, what)]
    for name, options in (
        ("fixed_points, orbits=0, slow=False", {"orbits": 0, "slow": False}),
        ("fixed_points, orbits=0", {"orbits": 0}),
        ("fixed_points", {}),
    ):
        run = functools.partial(fixed_points, cell, states, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of chaotic orbits, which the row is not about
            found = run()
            seconds = _cpu_seconds(run, repetitions)
        what = f"{found.converged()} starts converged, {len(found)} points, {len(found.slow)} slow"
        lines.append(_described(name, seconds, rival, case, what))
    return lines


def measure(*, steps: int = 10_000, repetitions: int = 3, quick: bool = False) -> list[dict]:
    """One row for each gain and candidate; ``steps`` is the number of starts."""
    starts = min(steps, 500) if quick else steps
    lines = [line for gain in (0.8, 1.5) for line in _case(gain, starts, min(repetitions, 3))]
    return lines + _against_scipy(1.5, 64, 200, min(repetitions, 3))


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    timing.run_alone(__doc__, measure, steps=10_000)
