"""What a GPU does with the library, in one script of some minutes: ``python -m benchmarks.on_gpu [--small]``.

A row sets one of the library's kernels against the same arithmetic alone: a loop that the device runs without
bounds, scaling or checks. ``rate`` is the share of that speed, 1 where the library costs nothing. Besides: what
``rnn-dynamics info`` says, the tests marked ``gpu``, and the first calls in fresh processes. Parts begin only while
there is time (``--limit``); those left out are named. ``--small`` runs all of it in small sizes, on any device.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

# A process that takes the whole card leaves nothing for those it starts.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import numpy as np

import rnn_dynamics as rd
from benchmarks import first_answer, timing
from rnn_dynamics import training

ROOT = pathlib.Path(__file__).parents[1]
_HIGHEST = jax.lax.Precision.HIGHEST


class Size(NamedTuple):
    """How large each part is."""

    grid: int
    steps: int
    units: int
    runs: int
    updates: int
    length: int
    tasks: tuple[str, ...]


LARGE = Size(2048, 208, 512, 256, 200, 100, first_answer.TASKS)
SMALL = Size(32, 16, 8, 2, 2, 20, ("rollout",))


def _awaited(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: jax.block_until_ready(function(*arguments))


def _compared(name: str, case: str, alone: Callable[[], Any], ours: Callable[[], Any]) -> list[dict]:
    found = timing.interleaved({"alone": alone, "rnn_dynamics": ours}, repetitions=5)
    return [timing.row(name, case, who, seconds, found["alone"]) for who, seconds in found.items()]


def neuron_grid(size: Size, dtype: str) -> list[dict]:
    """x_T and its three derivatives over a grid of (w, b), against the recursion in plain floats."""
    w = jnp.linspace(-12, 12, size.grid, dtype=dtype)[:, None] * jnp.ones((1, size.grid), dtype)
    b = jnp.linspace(-10, 5, size.grid, dtype=dtype)[None] * jnp.ones((size.grid, 1), dtype)

    @jax.jit
    def alone(w: Any, b: Any) -> Any:
        def step(_: int, state: tuple) -> tuple:
            x, by_x, by_w, by_b = state
            y = jax.nn.sigmoid(w * x + b)
            slope = y * (1 - y)
            return y, slope * w * by_x, slope * (x + w * by_w), slope * (1 + w * by_b)

        x = jnp.full_like(w, 0.5)
        start = x, jnp.ones_like(x), jnp.zeros_like(x), jnp.zeros_like(x)
        return jax.lax.fori_loop(0, size.steps, step, start)

    case = f"{size.grid} × {size.grid}, {size.steps} steps, {dtype}"
    ours = _awaited(lambda: rd.doya.sensitivities(w, b, jnp.asarray(0.5, dtype), size.steps))
    return _compared("neuron grid", case, _awaited(alone, w, b), ours)


def _run(size: Size, dtype: str) -> Any:
    draws = np.random.default_rng(0)
    W = draws.normal(0, 1.2 / np.sqrt(size.units), (size.units, size.units)).astype(dtype)
    cell = rd.ElmanRNN(W, np.zeros(size.units, dtype))
    return rd.rollout(cell, draws.normal(size=size.units).astype(dtype), steps=size.steps)


def products(size: Size, dtype: str) -> list[dict]:
    """∂x_T/∂x_k for every k, against a scan of the same products of matrices."""
    run = _run(size, dtype)
    matrices = jnp.asarray(np.random.default_rng(1).normal(size=(size.steps, size.units, size.units)), dtype)
    matrices = matrices / size.units**0.5

    @jax.jit
    def alone(matrices: Any) -> Any:
        def step(product: Any, matrix: Any) -> tuple[Any, Any]:
            product = jnp.matmul(product, matrix, precision=_HIGHEST)
            return product, product

        return jax.lax.scan(step, jnp.eye(size.units, dtype=dtype), matrices)[1]

    case = f"{size.units} units, {size.steps} steps, {dtype}"
    ours = _awaited(lambda: rd.jacobian_products(run))
    return _compared("jacobian_products", case, _awaited(alone, matrices), ours)


def spectra(size: Size, dtype: str) -> list[dict]:
    """All singular values of ∂x_T/∂x_0, against a scan of QR factorisations alone."""
    small = size._replace(units=max(size.units // 4, 4))
    run = _run(small, dtype)
    matrix = jnp.asarray(np.random.default_rng(1).normal(size=(small.units, small.units)), dtype)

    @jax.jit
    def alone(matrix: Any) -> Any:
        def step(frame: Any, _: None) -> tuple[Any, Any]:
            frame, triangle = jnp.linalg.qr(jnp.matmul(matrix, frame, precision=_HIGHEST))
            return frame, jnp.diagonal(triangle)

        return jax.lax.scan(step, jnp.eye(small.units, dtype=dtype), None, length=small.steps)[1]

    case = f"{small.units} units, {small.steps} steps, {dtype}"
    return _compared(
        "singular_spectrum", case, _awaited(alone, matrix), _awaited(lambda: rd.singular_spectrum(run))
    )


def panel(size: Size, dtype: str) -> list[dict]:
    """A panel of networks on temporal order, against products of the matrices that its updates multiply."""
    length, units, batch = size.length, 50, 20
    plan = training.Plan(training.task("temporal-order", length), training.recipe("clipping"), units, batch)
    every = jnp.ones((size.runs, batch, units), dtype), jnp.ones((size.runs, units, units), dtype)

    @jax.jit
    def alone(states: Any, weights: Any) -> Any:
        def step(_: int, states: Any) -> Any:  # forwards, and twice backwards
            return jnp.matmul(states, weights, precision=_HIGHEST) / units

        return jax.lax.fori_loop(0, 3 * length * size.updates, step, states)

    case = f"{size.runs} networks of {units} units, {size.updates} updates"
    ours = _awaited(lambda: training.train(plan, range(size.runs), updates=size.updates))
    return _compared("training panel", case, _awaited(alone, *every), ours)


def first_answers(size: Size, _: str) -> list[dict]:
    """Wall seconds of first calls in fresh processes, beside that of a rollout."""
    found = {task: first_answer.in_fresh_process(task, first_answer.OWN)["wall"] for task in size.tasks}
    return [
        timing.row("first call", "fresh process", task, seconds, found["rollout"])
        for task, seconds in found.items()
    ]


KERNELS = {"neuron grid": neuron_grid, "products": products, "spectra": spectra, "panel": panel}
PARTS: list[tuple[str, Callable[[Size, str], list[dict]], str]] = [
    *(
        (f"{name}, {dtype}", part, dtype)
        for name, part in KERNELS.items()
        for dtype in (("float32", "float64") if part is not panel else ("float32",))
    ),
    ("first answers", first_answers, ""),
]


def _said(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip()


def measure(*, quick: bool = False, limit: float = 360.0) -> list[dict]:
    """The rows of all parts that begin within so many seconds."""
    size, begin, rows = SMALL if quick else LARGE, time.perf_counter(), []
    for name, part, dtype in PARTS:
        if time.perf_counter() - begin > limit:
            rows.append(timing.row(name, "left out: no time", "", float("nan"), float("nan")))
            continue
        rows += part(size, dtype)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.on_gpu", description=__doc__)
    parser.add_argument("--small", action="store_true", help="small sizes, on any device")
    parser.add_argument("--limit", type=float, default=360.0, help="seconds within which parts begin [360]")
    parser.add_argument("--no-tests", action="store_true", help="leave out the tests marked gpu")
    parser.add_argument("--out", type=pathlib.Path, help="write the table here too")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    environment = timing.environment() | {"date": time.strftime("%Y-%m-%d")}
    lines = [f"# on {environment['device']}", "", *(f"- {key}: {text}" for key, text in environment.items())]
    lines += ["", "```", _said([sys.executable, "-m", "rnn_dynamics", "info"]), "```"]
    if not options.no_tests:
        said = _said([sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"])
        lines += ["", f"Tests marked gpu: {re.sub(r'=+', '', said.splitlines()[-1]).strip()}"]
    lines += ["", timing.markdown(measure(quick=options.small, limit=options.limit))]
    text = "\n".join(lines)
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
