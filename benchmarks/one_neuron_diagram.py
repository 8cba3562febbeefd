"""The bifurcation diagram of one neuron, w = 5, b from −3 to −2: ours against JaxCont's and BrainPy's.

Ours follows x = σ(w x + b); the others x' = −x + σ(w x + b), which has the same equilibria and folds. JaxCont is
used as its quick start says (first step 0.03, Fold events), BrainPy as its example of a one-dimensional system says
(Bifurcation1D with a resolution of 0.001 in the parameter), its picture left out; both with x64 on. BrainPy has no
folds: what is told for it is how far the ends of the stretch with more than one equilibrium lie from them. Its row
"again" repeats the same analyzer, which keeps what it compiled; the other makes a new one, as the example does.
Seconds are medians of calls after the first, "first call" of one that compiles. The closed form judges the folds.
"""

import contextlib
import functools
import io
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from rnn_dynamics.cells import DoyaNeuron
from rnn_dynamics.dynamics.continuation import continue_branch

WEIGHT, RANGE = 5.0, (-3.0, -2.0)


def exact_folds() -> np.ndarray:
    """b = ln(x/(1 − x)) − w x at x = (1 ± √(1 − 4/w))/2, ascending."""
    s = np.sqrt(1 - 4 / WEIGHT)
    x = np.array([(1 + s) / 2, (1 - s) / 2])
    return np.log(x / (1 - x)) - WEIGHT * x


def neuron(b: Any, w: Any) -> DoyaNeuron:
    return DoyaNeuron(w, b)


def ours() -> np.ndarray:
    branch = continue_branch(neuron, 0.05, RANGE[0], p_range=RANGE, others=(WEIGHT,))
    return np.sort([event.parameter for event in branch.events])


def _field(u: Any, p: Any, args: Any) -> Any:
    return -u + jax.nn.sigmoid(WEIGHT * u + p)


def jaxcont() -> np.ndarray:
    import jaxcont as jc

    problem = jc.bif_problem(_field, u0=jnp.array([0.05]), p0=RANGE[0], state_names=["x"], param_name="b")
    settings = jc.ContinuationPar(ds=0.03, max_steps=200)
    result = jc.continuation(problem, p_span=RANGE, settings=settings, events=[jc.Fold()])
    return np.sort([float(event.p) for event in result.events])


def brainpy_analyzer() -> Any:
    import brainpy as bp
    import brainpy.math as bm

    bm.enable_x64()

    @bp.odeint
    def derivative(x, t, b):  # type: ignore[no-untyped-def]  # its source is read, annotations and all
        return -x + 1 / (1 + bm.exp(-(WEIGHT * x + b)))

    return bp.analysis.Bifurcation1D(
        derivative, target_pars={"b": list(RANGE)}, target_vars={"x": [0, 1]}, resolutions={"b": 0.001}
    )


def brainpy(analyzer: Any = None) -> np.ndarray:
    """The ends of the stretch of b with more than one equilibrium."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        analyzer = brainpy_analyzer() if analyzer is None else analyzer
        _, parameters, _ = analyzer.plot_bifurcation(with_plot=False, with_return=True)
    values, number = np.unique(np.round(np.ravel(parameters), 9), return_counts=True)
    several = values[number > 1]
    return several[[0, -1]]


def _error(folds: np.ndarray) -> str:
    exact = exact_folds()
    if len(folds) != 2:
        return f"{len(folds)} folds of 2"
    return f"folds to {np.abs(folds - exact).max():.1e}"


def _timed(run: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    begun = time.perf_counter()
    folds = run()
    return time.perf_counter() - begun, folds


def _present(rivals: dict[str, Callable[[], np.ndarray]]) -> tuple[dict[str, Callable], list[str]]:
    """The rivals that are installed, and the names of the others."""
    there, absent = {}, []
    for name, run in rivals.items():
        try:
            run()
        except ImportError:
            absent.append(name)
            continue
        there[name] = run
    return there, absent


def measure(*, steps: int = 0, repetitions: int = 5, quick: bool = False) -> list[dict]:
    """One row for each candidate; ``steps`` is not used, as each library chooses its own."""
    case = f"w = {WEIGHT:g}, b from {RANGE[0]:g} to {RANGE[1]:g}"
    first, folds = _timed(ours)
    rivals, absent = _present({"JaxCont": jaxcont, "BrainPy": brainpy})
    if "BrainPy" in rivals:
        with contextlib.redirect_stdout(io.StringIO()):
            rivals["BrainPy, again"] = functools.partial(brainpy, brainpy_analyzer())
    seconds = timing.interleaved({"continue_branch": ours, **rivals}, repetitions=2 if quick else repetitions)
    reference = seconds["continue_branch"]
    rows = [
        ("continue_branch, first call", first, _error(folds)),
        ("continue_branch", reference, _error(ours())),
    ]
    rows += [(name, seconds[name], _error(run())) for name, run in rivals.items()]
    rows += [(name, float("nan"), "not installed") for name in absent]
    return [
        timing.row("one_neuron_diagram", case, f"{name}: {what}", value, reference)
        for name, value, what in rows
    ]


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    timing.run_alone(__doc__, measure, steps=0)
