"""The first call of a public function in a fresh process: ``python -m benchmarks.first_answer [OTHER/src]``.

A process imports the library, makes the arguments, and calls the function once, without a folder of compiled
programs and with JAX's own settings. A row has the call's wall and CPU seconds; how many programs XLA compiled, and
the seconds of that, of tracing and lowering (intervals that overlap count once) and of the rest; and the process's
largest memory. With another build's folder ``src`` its numbers stand beside, task by task in turn.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

TASKS = (
    "rollout",
    "product_bounds",
    "gradient_norms",
    "singular_spectrum",
    "jacobian_products",
    "bifurcation_diagram",
    "sensitivities",
    "fixed_points",
    "lyapunov_spectrum",
    "basins",
    "continue_branch",
    "credit_by_lag",
    "diagnose",
    "surface",
)
# Programs that each call may ask XLA for; what puts a value on the device (``device_put``) counts as one.
BUDGET = {
    "rollout": 1,
    "product_bounds": 2,
    "gradient_norms": 1,
    "singular_spectrum": 1,
    "jacobian_products": 1,
    "bifurcation_diagram": 0,
    "sensitivities": 2,
    "fixed_points": 7,
    "lyapunov_spectrum": 3,
    "basins": 4,
    "continue_branch": 3,
    "credit_by_lag": 2,
    "diagnose": 6,
    "surface": 2,
}
# Beside the fourteen calls, a whole program.
PROGRAMS = ("ten_lines",)

_COMPILING = "/jax/core/compile/backend_compile_duration"
_TRACING = ("/jax/core/compile/jaxpr_trace_duration", "/jax/core/compile/jaxpr_to_mlir_module_duration")


def _elman(n: int, gain: float) -> Any:
    import numpy as np

    import rnn_dynamics as rd

    draws = np.random.default_rng(n)
    return rd.ElmanRNN(draws.normal(0, gain / np.sqrt(n), (n, n)), 0.1 * draws.normal(size=n))


def _run(n: int, steps: int) -> Any:
    import numpy as np

    import rnn_dynamics as rd

    return rd.rollout(_elman(n, 1.2), np.full(n, 0.5), steps=steps)


def _lstm_run() -> Any:
    import numpy as np

    import rnn_dynamics as rd

    draws = np.random.default_rng(0)
    shapes = {"weight_ih_l0": (128, 8), "weight_hh_l0": (128, 32), "bias_ih_l0": 128, "bias_hh_l0": 128}
    weights = {name: draws.uniform(-0.2, 0.2, shape) for name, shape in shapes.items()}
    return rd.rollout(rd.interop.from_torch(weights), np.zeros(64), draws.normal(size=(200, 8)))


def _square(x: Any) -> Any:
    return (x**2).sum()


def _verdict(run: Any) -> str:
    import rnn_dynamics as rd

    return str(rd.diagnose(run, _square))


def prepared(task: str) -> Callable[[], Any]:
    """The call of a task, its arguments made; a result's arrays are awaited."""
    import jax
    import numpy as np

    import rnn_dynamics as rd

    draws = np.random.default_rng(1)
    w, b = np.linspace(-12, 12, 100), np.linspace(-10, 5, 100)

    def two(p: Any) -> Any:
        return rd.ElmanRNN([[p, 0.3], [0.1, 1.5]], [0.1, 0.0])

    made: dict[str, Callable[[], Callable[[], Any]]] = {
        "rollout": lambda: partial(rd.rollout, _elman(64, 1.2), np.full(64, 0.5), steps=200),
        "product_bounds": lambda: partial(rd.product_bounds, _run(64, 200)),
        "gradient_norms": lambda: partial(rd.gradient_norms, _run(64, 200)),
        "singular_spectrum": lambda: partial(rd.singular_spectrum, _run(64, 200)),
        "jacobian_products": lambda: partial(rd.jacobian_products, _run(64, 200)),
        "bifurcation_diagram": lambda: partial(rd.doya.bifurcation_diagram, 5.0, np.linspace(-3, -2, 501)),
        "sensitivities": lambda: partial(rd.doya.sensitivities, w[:, None], b, 0.5, 200),
        "fixed_points": lambda: partial(rd.fixed_points, _elman(64, 1.5), draws.normal(size=(200, 64))),
        "lyapunov_spectrum": lambda: partial(rd.lyapunov_spectrum, _run(64, 500)),
        "basins": lambda: partial(rd.basins, two(2.0), draws.normal(size=(500, 2))),
        "continue_branch": lambda: partial(
            rd.continue_branch, two, np.array([0.5, 0.9]), 1.5, p_range=(0.5, 3.0)
        ),
        "credit_by_lag": lambda: partial(rd.credit_by_lag, _run(32, 100), _square),
        "diagnose": lambda: partial(_verdict, _lstm_run()),
        "surface": lambda: partial(
            rd.cliff.surface, np.linspace(4, 7, 60), np.linspace(-4, -1, 60), steps=50
        ),
        "ten_lines": lambda: _ten_lines,
    }
    call = made[task]()
    return lambda: jax.block_until_ready(call())


def _ten_lines() -> None:
    """The lines of README's first example."""
    import matplotlib

    matplotlib.use("Agg")
    import jax
    import jax.numpy as jnp

    import rnn_dynamics as rd

    rd.doya.bifurcation_diagram(5.0, jnp.linspace(-3, -2, 501)).plot()
    cell = rd.random_rnn(jax.random.key(0), 64, spectral_radius=1.2)
    run = rd.rollout(cell, jnp.full(64, 0.5), steps=200)
    bounds = rd.product_bounds(run)
    bounds.plot()
    str(bounds)


class Clock:
    """Listens to JAX: the programs compiled, and the intervals in which it compiled or traced."""

    def __init__(self) -> None:
        import jax

        self.programs = 0
        self.compiling: list[tuple[float, float]] = []
        self.tracing: list[tuple[float, float]] = []
        jax.monitoring.register_event_duration_secs_listener(self._heard)

    def _heard(self, event: str, duration: float, **_: Any) -> None:
        now = time.perf_counter()
        if event == _COMPILING:
            self.programs += 1
            self.compiling.append((now - duration, now))
        elif event in _TRACING:
            self.tracing.append((now - duration, now))


def covered(intervals: list[tuple[float, float]]) -> float:
    """The length of the union of intervals."""
    total, reached = 0.0, -1e300
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def measured(task: str) -> dict[str, float]:
    """What the first call of a task takes in this process."""
    import jax

    jax.config.update("jax_enable_x64", True)
    warnings.simplefilter("ignore")
    whole = task in PROGRAMS  # the import belongs to it
    cpu, begin = (0.0, 0.0) if whole else (time.process_time(), time.perf_counter())
    call = prepared(task)
    clock = Clock()
    if not whole:
        cpu, begin = time.process_time(), time.perf_counter()
    else:
        begin = time.perf_counter() - time.process_time()
    call()
    end = time.perf_counter()
    compiling = covered(clock.compiling)
    either = covered(clock.compiling + clock.tracing)
    return {
        "wall": end - begin,
        "cpu": time.process_time() - cpu,
        "programs": clock.programs,
        "compile": compiling,
        "trace": either - compiling,
        "rest": end - begin - either,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def counted() -> dict[str, int]:
    """How many programs each call asks for, all in this process, what was compiled forgotten in between."""
    import jax

    jax.config.update("jax_enable_x64", True)
    warnings.simplefilter("ignore")
    clock, found = Clock(), {}
    for task in TASKS:
        call = prepared(task)
        jax.clear_caches()
        before = clock.programs
        call()
        found[task] = clock.programs - before
    return found


def in_fresh_process(task: str, source: str) -> dict[str, float]:
    """``measured`` in a process of its own that has one build on its path."""
    root = str(pathlib.Path(__file__).parents[1])
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
    environment = kept | {"PYTHONPATH": os.pathsep.join([source, root])}
    command = [sys.executable, "-m", "benchmarks.first_answer", "--serve", task]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


OWN = str(pathlib.Path(__file__).parents[1] / "src")


def measure(*, quick: bool = False) -> list[dict]:
    """The CPU seconds of each first call, beside those of a rollout."""
    from benchmarks import timing

    tasks = TASKS[:3] if quick else TASKS
    found = {task: in_fresh_process(task, OWN)["cpu"] for task in tasks}
    return [
        timing.row("first_answer", "first call", task, seconds, found["rollout"])
        for task, seconds in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_answer", description=__doc__)
    parser.add_argument("other", nargs="?", help="the folder src of the other build")
    parser.add_argument("--task", nargs="*", choices=(*TASKS, *PROGRAMS), default=(*TASKS, *PROGRAMS))
    parser.add_argument("--serve", choices=(*TASKS, *PROGRAMS), help=argparse.SUPPRESS)
    parser.add_argument("--count", action="store_true", help="count programs only, beside their budget")
    options = parser.parse_args()
    if options.count:
        for task, programs in counted().items():
            print(f"{task}: {programs} of {BUDGET[task]}")
        return
    if options.serve:
        print(json.dumps(measured(options.serve)))
        return
    builds = {"other": options.other, "this": OWN} if options.other else {"this": OWN}
    print("| task | build | wall s | CPU s | programs | compile s | trace s | rest s | MB |")
    print("|---|---|---|---|---|---|---|---|---|")
    total = dict.fromkeys(builds, 0.0)
    for task in options.task:
        for name, source in builds.items():
            m = in_fresh_process(task, source)
            if task in TASKS:
                total[name] += m["cpu"]
            print(
                f"| {task} | {name} | {m['wall']:.2f} | {m['cpu']:.2f} | {m['programs']} | {m['compile']:.2f} "
                f"| {m['trace']:.2f} | {m['rest']:.2f} | {m['megabytes']:.0f} |",
                flush=True,
            )
    print("".join(f"\nCPU seconds of all calls, {name}: {seconds:.1f}" for name, seconds in total.items()))


if __name__ == "__main__":
    main()
