"""The Lyapunov spectrum of a random tanh network beside lyapax, chaotax and the bare QR factorisations.

All run the same map, full spectrum, the same number of steps and of factorisations at the intervals named; the
rivals are jitted, and the trajectory is part of every candidate but the bare factorisations. Those are scans of
``jnp.linalg.qr`` alone with Q formed, as the exponents need it: of the map's step Jacobians, and of a frame, its
own Q with one row changed, which takes less time as it is all but orthonormal. Rates are relative to lyapax at
every step.
"""

import functools
import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.dynamics.lyapunov import lyapunov_spectrum


def network(n: int, dtype: str) -> ElmanRNN:
    """x ← tanh(J x), J_ij ~ N(0, 1.5²/n)."""
    J = 1.5 / np.sqrt(n) * np.random.default_rng(0).normal(size=(n, n))
    return ElmanRNN(J.astype(dtype), np.zeros(n, dtype))


def _step(J: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.tanh(jnp.matmul(J, x, precision="highest"))


def _bare(start: jax.Array, rows: jax.Array) -> jax.Array:
    def advance(frame: jax.Array, row: jax.Array) -> tuple[jax.Array, jax.Array]:
        frame, triangle = jnp.linalg.qr(frame.at[0].add(row))
        return frame, jnp.diagonal(triangle)

    return jax.lax.scan(advance, start, rows)[1]


def _bare_dense(J: jax.Array, slopes: jax.Array) -> jax.Array:
    def advance(corner: jax.Array, slope: jax.Array) -> tuple[jax.Array, jax.Array]:
        frame, triangle = jnp.linalg.qr(slope[:, None] * J + corner)
        return 1e-30 * frame[0, 0], jnp.diagonal(triangle)  # so that Q is formed

    return jax.lax.scan(advance, jnp.zeros((), J.dtype), slopes)[1]


def _ours(cell: ElmanRNN, x0: jax.Array, steps: int, interval: int | None) -> Any:
    run = rollout(cell, x0, steps=steps)
    return lyapunov_spectrum(run, interval=interval, discard=64 if interval is None else 0).values


def _candidates(n: int, steps: int, dtype: str) -> dict[str, Any]:
    cell, x0 = network(n, dtype), jnp.full(n, 0.1, dtype)
    step = functools.partial(_step, cell.W)
    start = jnp.eye(n, dtype=dtype)
    rows = jax.random.normal(jax.random.key(1), (steps, n), dtype)
    bare, dense = jax.jit(_bare), jax.jit(_bare_dense)
    slopes = 1 - jnp.square(rollout(cell, x0, steps=steps).states[1:])
    chosen = lyapunov_spectrum(rollout(cell, x0, steps=steps), discard=64).interval
    found = {
        "rnn_dynamics, interval 1": lambda: _ours(cell, x0, steps, 1),
        f"rnn_dynamics, default (interval {chosen})": lambda: _ours(cell, x0, steps, None),
        "bare QR, of step Jacobians": lambda: dense(cell.W, slopes),
        "bare QR, of a frame": lambda: bare(start, rows),
    }
    lyapax = _module("lyapax")
    for interval in sorted({1, chosen}) if lyapax else ():
        run = jax.jit(
            lambda x, s=interval: lyapax.lyapunov_spectrum(step, x, 1.0, steps, renorm_every=s).exponents
        )
        found[f"lyapax, interval {interval}"] = functools.partial(run, x0)
    chaotax = _module("chaotax")
    if chaotax:
        growth = chaotax.rollout_growth_spectrum(step, steps)  # it cannot be jitted: its sizes are arrays
        found["chaotax, interval 1"] = lambda: jnp.log(jnp.abs(growth(x0, start))).mean(axis=0)
    return found


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _case(n: int, steps: int, dtype: str, repetitions: int) -> list[dict]:
    runs = _candidates(n, steps, dtype)
    waiting = {name: lambda r=run: jax.block_until_ready(r()) for name, run in runs.items()}
    seconds = timing.interleaved(waiting, repetitions=repetitions)
    reference = seconds.get("lyapax, interval 1", seconds["bare QR, of step Jacobians"])
    case = f"n = {n}, T = {steps}, {dtype}"
    return [timing.row("exponents", case, name, value, reference) for name, value in seconds.items()]


def measure(*, steps: int = 2000, repetitions: int = 3, quick: bool = False) -> list[dict]:
    """One row for each dtype and candidate."""
    n, steps = (50, 500) if quick else (200, steps)
    return [row for dtype in ("float64", "float32") for row in _case(n, steps, dtype, repetitions)]


if __name__ == "__main__":
    timing.run_alone(__doc__, measure, steps=2000)
