"""This build beside another one, such as the last release: ``python -m benchmarks.two_builds OTHER/src``.

Each build has a process of its own; a task is run in both in turn. A row has the seconds of the first call, which
compiles, the median of the later ones, and the ratio of the other build to this one: above 1 this one is faster.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

TASKS = (
    "gradient_norms",
    "singular_spectrum",
    "spectral_norms",
    "sensitivities",
    "bifurcation_diagram",
    "surface",
    "along",
    "fixed_points",
    "find_attractors",
    "basins",
    "continue_branch",
    "stable_set",
    "unstable_set",
    "lyapunov_spectrum",
    "slope_radius",
    "non_normality",
    "diagnose",
    "train",
)


def _tasks() -> dict[str, Callable[[], Any]]:
    """Each task of ``TASKS``, with names that the first release has too."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import rnn_dynamics as rd
    from rnn_dynamics import training

    draws = np.random.default_rng(0)

    def network(n: int, gain: float) -> Any:
        return rd.ElmanRNN(draws.normal(0, gain / np.sqrt(n), (n, n)), 0.1 * draws.normal(size=n))

    run = rd.rollout(network(64, 1.2), draws.normal(size=64), steps=300)
    small = rd.rollout(network(16, 1.2), draws.normal(size=16), steps=100)
    henon = jax.tree_util.Partial(lambda x, u: jnp.stack([1 - 1.4 * x[0] ** 2 + 0.3 * x[1], x[0]]))
    cell, starts = network(30, 2.0), draws.normal(size=(200, 30))
    few = network(6, 2.5)
    plane = np.stack(np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 40)), -1).reshape(-1, 2)
    two = rd.ElmanRNN([[2.0, 0.3], [0.1, 1.5]], [0.0, 0.0])
    w, b = np.meshgrid(np.linspace(-12, 12, 300), np.linspace(-10, 5, 300))
    matrix = draws.normal(size=(20, 20)) / 5
    plan = training.Plan(
        training.task("temporal-order", 20), training.recipe("clipping"), units=20, every=100
    )

    def neuron(p: Any) -> Any:
        return rd.DoyaNeuron(w=p, b=jnp.asarray(-2.5, p.dtype))

    def square(x: Any) -> Any:
        return (x - 1) ** 2

    return {
        "gradient_norms": lambda: np.asarray(rd.gradient_norms(run)),
        "singular_spectrum": lambda: np.asarray(rd.singular_spectrum(small).log),
        "spectral_norms": lambda: np.asarray(rd.spectral_norms(run).log),
        "sensitivities": lambda: np.asarray(rd.doya.sensitivities(w, b, 0.5, 200).initial.log()),
        "bifurcation_diagram": lambda: rd.doya.bifurcation_diagram(5.0, np.linspace(-6, 2, 400)),
        "surface": lambda: rd.cliff.surface(np.linspace(4, 7, 80), np.linspace(-4, -1, 80), steps=50),
        "along": lambda: rd.cliff.along(neuron, square, (4.0, 6.0), 0.2, steps=40, points=41),
        "fixed_points": lambda: rd.fixed_points(cell, starts),
        "find_attractors": lambda: rd.find_attractors(few, starts[:60, :6]),
        "basins": lambda: rd.basins(two, plane),
        "continue_branch": lambda: rd.continue_branch(neuron, 0.2, 5.0, p_range=(3.0, 8.0)),
        "stable_set": lambda: rd.stable_set(henon, [0.63, 0.63], length=3.0),
        "unstable_set": lambda: rd.unstable_set(henon, [0.63, 0.63], length=20.0),
        "lyapunov_spectrum": lambda: np.asarray(rd.lyapunov_spectrum(run).values),
        "slope_radius": lambda: rd.slope_radius([[0.9, 0.7], [-0.5, 0.4]]),
        "non_normality": lambda: rd.non_normality(matrix),
        "diagnose": lambda: str(rd.diagnose(run)),
        "train": lambda: training.train(plan, [0, 1, 2, 3], updates=200),
    }


def _serve() -> None:
    """Run the tasks that standard input names, and say what each took."""
    import jax

    jax.config.update("jax_enable_x64", True)
    warnings.simplefilter("ignore")
    tasks = _tasks()
    for line in sys.stdin:
        begin = time.perf_counter()
        tasks[line.strip()]()
        print(json.dumps(time.perf_counter() - begin), flush=True)


class _Build:
    """A process that has one build on its path."""

    def __init__(self, source: str) -> None:
        root = str(pathlib.Path(__file__).parents[1])
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([source, root])}
        command = [sys.executable, "-m", "benchmarks.two_builds", "--serve"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=environment, **pipes)

    def seconds(self, task: str) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(task + "\n")
        self.process.stdin.flush()
        return float(json.loads(self.process.stdout.readline()))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.two_builds", description=__doc__)
    parser.add_argument("other", nargs="?", help="the folder src of the other build")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--task", nargs="*", choices=TASKS, default=TASKS, help="run these only")
    parser.add_argument("--repetitions", type=int, default=7)
    options = parser.parse_args()
    if options.serve:
        _serve()
        return
    own = str(pathlib.Path(__file__).parents[1] / "src")
    builds = {"other": _Build(options.other), "this": _Build(own)}
    print(
        "| task | other, first | this, first | ratio | other | this | ratio |\n|---|---|---|---|---|---|---|"
    )
    for task in options.task:
        first = {name: build.seconds(task) for name, build in builds.items()}
        later: dict[str, list[float]] = {name: [] for name in builds}
        for _ in range(options.repetitions):
            for name, build in builds.items():
                later[name].append(build.seconds(task))
        middle = {name: statistics.median(values) for name, values in later.items()}
        cells = [
            f"{t['other']:.3g} | {t['this']:.3g} | {t['other'] / t['this']:.2f}" for t in (first, middle)
        ]
        print(f"| {task} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
