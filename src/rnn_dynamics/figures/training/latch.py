"""The one-neuron latch: how often training converges over weight, noise and length, and what its gradient does.

The shares are drawn from counts that lie beside this file. ``rnn-dynamics retrain latch`` trains the
27 000 runs anew and writes them, in some minutes on one core.
"""

import functools
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_dynamics import plots
from rnn_dynamics.figures import stored as kept
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim, number
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.plots import palette
from rnn_dynamics.training.runs.intervals import wilson
from rnn_dynamics.training.studies.latch import (
    critical_input,
    latch_attractors,
    latch_log_gradients,
    latch_orbit,
)
from rnn_dynamics.training.studies.latch_runs import latch_convergence

_SOURCE = "Bengio et al. 1994"
_DECADES = 1 / math.log(10)
# Weight and noise of the published curve against T; noise beside it.
_WEIGHT, _NOISE, _NOISES = 1.25, 0.2, (0.1, 0.2, 0.3)
_LENGTH = 20
RUNS, RUNS_BY_LENGTH = 48, 200
_COLOURS = (palette.GREEN, palette.BLUE, palette.VERMILION)
_STEPS = 120


class StoredLatch(NamedTuple):
    """Counts of runs that learned, and what was measured along training.

    Attributes:
        weights, noise: of the map, w_0 and s, shapes (m,) and (n,); T = 20.
        converged: runs that learned of ``runs``, shape (m, n).
        lengths: T of the curves from w_0 = 1.25, shape (l,).
        by_length: runs that learned of ``runs_by_length``, shape (l, 3), for s = .1, .2, .3.
        checks: updates at which the gradient was measured, shape (c,).
        log_gradients: ln|∂a_T/∂a_0| at those for s = .2, the median over runs, shape (l, c).
        final_weights: w after training for s = .2, the median over runs, shape (l,).
        latches: w and the inputs of the + class of up to 40 runs that learned at T = 20 and s = .2, shape (r, 4).
    """

    weights: np.ndarray
    noise: np.ndarray
    converged: np.ndarray
    lengths: np.ndarray
    by_length: np.ndarray
    checks: np.ndarray
    log_gradients: np.ndarray
    final_weights: np.ndarray
    latches: np.ndarray
    runs: int
    runs_by_length: int


class _Results(NamedTuple):
    found: StoredLatch
    orbits: np.ndarray
    logs: np.ndarray


def latch(*, quick: bool = False) -> Reproduction:
    """How often training learns to latch a bit, from stored counts; ∂a_t/∂a_0 of the networks that did."""
    found = stored()
    latches = found.latches[: 8 if quick else 40].astype(float)
    noise = np.random.default_rng(0).normal(0, _NOISE, (len(latches), _STEPS))
    noise[:, :3] = latches[:, 1:]
    orbits = [np.asarray(latch_orbit(w, h)) for w, h in zip(latches[:, 0], noise, strict=True)]
    logs = [np.asarray(latch_log_gradients(w, a)) for w, a in zip(latches[:, 0], orbits, strict=True)]
    results = _Results(found, np.asarray(orbits), np.asarray(logs))
    return Reproduction(functools.partial(_picture, results), (*_exact_rows(), *_trained_rows(results)))


def stored() -> StoredLatch:
    """What ``retrain`` wrote."""
    arrays, about = kept.read("latch")
    return StoredLatch(**arrays, runs=about["runs"], runs_by_length=about["runs_by_length"])


def _bounded(share: float, weight: float = 2.0, steps: int = 2000) -> np.ndarray:
    """From ā with |h_t| = share · h*(w) against the sign at every step."""
    push = -share * float(critical_input(weight)) * np.ones(steps)
    return np.asarray(latch_orbit(weight, push, float(np.asarray(latch_attractors(weight))[1])))


def _exact_rows() -> tuple[ReportRow, ...]:
    kept, lost = _bounded(0.999), _bounded(1.001)
    rate = np.asarray(latch_log_gradients(2.0, kept))
    bound = float(np.max(np.log(2.0) - 2 * np.log(np.cosh(kept))))
    return (
        number(
            "largest input that a latch of w = 1.25 withstands, h*", _SOURCE, ".077805", critical_input(1.25)
        ),
        claim(
            "w = 2, 2000 inputs of .999 h* and of 1.001 h* against the sign",
            _SOURCE,
            "kept below h*, lost above",
            f"{'kept' if kept.min() > 0 else 'lost'}, {'kept' if lost.min() > 0 else 'lost'}",
            found=kept.min() > 0 > lost.min(),
        ),
        claim(
            "the same below h*: |∂a_t/∂a_0|",
            _SOURCE,
            "robust latching implies that it vanishes",
            f"every factor at most {math.exp(bound):.3f}; 10^{float(rate[-1]) * _DECADES:.0f} after 2000 steps",
            found=bound < 0,
            note="Kept on its side by |h_t| < h*, a stays where w sech² a < 1.",
        ),
    )


def _percent(learned: Any, runs: int) -> str:
    return f"{100 * float(learned) / runs:.0f} %"


def _trained_rows(results: _Results) -> tuple[ReportRow, ...]:
    found = results.found
    curve = found.by_length[:, _NOISES.index(_NOISE)]
    low, high = (int(np.argmin(np.abs(found.noise - s))) for s in (0.1, 0.8))
    at = int(np.argmin(np.abs(found.weights - _WEIGHT)))
    below = found.converged[found.weights < 1].sum() / (found.runs * found.converged[found.weights < 1].size)
    slopes = (results.logs[:, -1] - results.logs[:, _LENGTH]) / (_STEPS - _LENGTH)
    first, last = found.log_gradients[-1, 0], found.log_gradients[-1, 1:]
    return (
        claim(
            "runs that learn against T, w_0 = 1.25, s = .2",
            f"{_SOURCE}, experiment on the minimal task",
            "ever fewer as T grows",
            ", ".join(
                f"T {t}: {_percent(n, found.runs_by_length)}"
                for t, n in zip(found.lengths, curve, strict=True)
                if t in (5, 20, 50, 100)
            ),
            found=curve[0] > 0.95 * found.runs_by_length and curve[-1] < 0.2 * found.runs_by_length,
            note="Rate, number of updates and test are this library's choice: the direction is compared.",
        ),
        claim(
            f"runs that learn against noise, T = 20, w_0 = {found.weights[at]:g}",
            f"{_SOURCE}, experiment on the minimal task",
            "fewer as the noise grows",
            f"s .1: {_percent(found.converged[at, low], found.runs)}, "
            f"s .8: {_percent(found.converged[at, high], found.runs)}",
            found=found.converged[at, low] > 4 * max(found.converged[at, high], 1),
        ),
        claim(
            "runs that learn from w_0 < 1, T = 20",
            f"{_SOURCE}, two attractors iff w > 1",
            "few",
            f"{100 * below:.1f} % over all s",
            found=below < 0.15,
        ),
        claim(
            f"{len(slopes)} networks that learned (T = 20, s = .2): ∂a_t/∂a_0 run on to t = {_STEPS}",
            _SOURCE,
            "vanishes",
            f"{slopes.mean():+.2f} nats a step, {slopes.min():+.2f} … {slopes.max():+.2f}",
            found=slopes.max() < 0,
        ),
        claim(
            f"|∂a_T/∂a_0| in training at T = {found.lengths[-1]}, s = .2: before, and after "
            f"{found.checks[1]} updates or more",
            _SOURCE,
            "vanishes whether or not the bit is learned",
            f"10^{first * _DECADES:.0f}, then 10^{last.max() * _DECADES:.0f} … 10^{last.min() * _DECADES:.0f}",
            found=max(first, last.max()) < math.log(1e-4),
            note=f"Median of runs: nearly all fail at this length, w falling to {found.final_weights[-1]:.2f}.",
        ),
    )


def _picture(results: _Results) -> Figure:
    figure = Figure(figsize=(palette.FULL, 6.8))
    axes = figure.subplots(2, 2).ravel()
    for ax, draw, letter in zip(axes, (_map, _curves, _along_runs, _along_training), "abcd", strict=True):
        draw(ax, results)
        plots.panel_label(ax, letter)
    return figure


def _map(ax: Axes, results: _Results) -> None:
    found = results.found
    shares = 100 * found.converged.T / found.runs
    mesh = ax.pcolormesh(
        found.weights, found.noise, shares, cmap=palette.SEQUENTIAL, vmin=0, vmax=100, rasterized=True
    )
    plots.colour_bar(ax, mesh, "runs that learned (%)")
    w = np.linspace(1, found.weights.max(), 200)
    top = found.noise.max() + (found.noise[1] - found.noise[0]) / 2
    h = np.asarray(critical_input(w))
    ax.plot(w, h, color=palette.WHITE, linewidth=palette.BOLD)
    ax.plot(w, h, color=palette.VERMILION, linewidth=palette.LINE, label="critical input $h^*(w_0)$")
    ax.set_ylim(2 * found.noise[0] - found.noise[1] / 2 - found.noise[0] / 2, top)
    ax.set_title(f"{found.runs} runs of training each, $T = {_LENGTH}$")
    ax.set_xlabel("initial weight $w_0$")
    ax.set_ylabel("noise $s$")
    ax.legend(loc="upper left", **palette.OVER)


def _curves(ax: Axes, results: _Results) -> None:
    found = results.found
    for i, (s, colour) in enumerate(zip(_NOISES, _COLOURS, strict=True)):
        learned = found.by_length[:, i]
        low, high = 100 * wilson(learned, found.runs_by_length)
        ax.plot(found.lengths, 100 * learned / found.runs_by_length, "o-", color=colour, label=f"$s = {s:g}$")
        ax.fill_between(found.lengths, low, high, color=colour, alpha=0.15, linewidth=0)
    ax.set_ylim(-3, 103)
    ax.set_title(f"against the length, $w_0 = {_WEIGHT:g}$")
    ax.set_xlabel("length $T$")
    ax.set_ylabel(f"learned, % of {found.runs_by_length} runs (95 %)")
    ax.legend()


def _along_runs(ax: Axes, results: _Results) -> None:
    steps = np.arange(_STEPS + 1)
    decades = results.logs * _DECADES
    ax.plot(steps, decades.T, color=palette.BLUE, linewidth=palette.THIN, alpha=0.5)
    ax.plot([], [], color=palette.BLUE, label=f"{len(decades)} networks that learned, $s = {_NOISE:g}$")
    w = float(np.median(results.found.latches[:, 0]))
    rest = w / math.cosh(float(np.asarray(latch_attractors(w))[1])) ** 2
    label = f"at rest in $ā$, $w = {w:.2f}$: ${rest:.2f}^t$"
    ax.plot(steps, steps * math.log10(rest), color=palette.BLACK, linestyle="--", label=label)
    ax.plot(
        steps,
        steps * math.log10(_WEIGHT),
        color=palette.VERMILION,
        linestyle=":",
        label=f"on the repeller 0, no bit: ${_WEIGHT:g}^t$",
    )
    ax.axhline(0, **palette.ZERO)
    ax.set_ylim(-130, 20)
    ax.set_title("a latched bit is kept, its gradient is not")
    ax.set_xlabel("step $t$")
    plots.powers_of_ten(ax.yaxis, palette.typeset("|∂a_t/∂a_0|"))
    ax.legend(loc="lower left")


def _along_training(ax: Axes, results: _Results) -> None:
    found = results.found
    chosen = [i for i, n in enumerate(found.checks) if n in (0, 100, 300, 1000)]
    for colour, i in zip(palette.shades(len(chosen)), chosen, strict=True):
        label = f"after {found.checks[i]} updates" if i else "before training"
        ax.plot(found.lengths, found.log_gradients[:, i] * _DECADES, "o-", color=colour, label=label)
    ax.axhline(0, **palette.ZERO)
    ax.plot([], [], " ", label="$w$: its median then")
    for place in (found.lengths == _LENGTH, found.lengths == found.lengths[-1]):
        i = int(np.flatnonzero(place)[0])
        at = (float(found.lengths[i]), float(found.log_gradients[i, -1]) * _DECADES)
        text = f"$w = {found.final_weights[i]:.2f}$"
        ax.annotate(
            text, at, xytext=(-8, -4), textcoords="offset points", ha="right", va="top", fontsize=palette.NOTE
        )
    ax.set_ylim(-130, 20)
    ax.set_title(f"the gradient in training, $w_0 = {_WEIGHT:g}$, $s = {_NOISE:g}$")
    ax.set_xlabel("length $T$")
    plots.powers_of_ten(ax.yaxis, palette.typeset("|∂a_T/∂a_0|") + ", median")
    ax.legend()


def retrain(out: Path) -> None:
    """Train all runs and write their counts."""
    weights, noise = np.linspace(0.5, 3, 21, dtype=np.float32), np.linspace(0.05, 1, 20, dtype=np.float32)
    lengths = (5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100)
    grid = latch_convergence(jax.random.key(0), weights, noise, runs=RUNS)
    one, some = np.asarray([_WEIGHT], np.float32), np.asarray(_NOISES, np.float32)
    curves = latch_convergence(jax.random.key(1), one, some, lengths=lengths, runs=RUNS_BY_LENGTH)
    at = _NOISES.index(_NOISE)
    learned = curves.status[lengths.index(_LENGTH), 0, at] == int(Status.CONVERGED)
    trained = curves.trained[lengths.index(_LENGTH), 0, at][learned]
    written = curves.inputs[lengths.index(_LENGTH), 0, at, :, 0][learned]
    arrays = {
        "weights": weights.astype(float),
        "noise": noise.astype(float),
        "converged": np.sum(grid.status == int(Status.CONVERGED), axis=-1)[0].astype(np.int16),
        "lengths": np.asarray(lengths, np.int16),
        "by_length": np.sum(curves.status == int(Status.CONVERGED), axis=-1)[:, 0].astype(np.int16),
        "checks": curves.checks,
        "log_gradients": np.median(curves.log_gradients[:, 0, at], axis=1).astype(np.float32),
        "final_weights": np.median(curves.trained[:, 0, at], axis=1).astype(np.float32),
        "latches": np.concatenate([trained[:, None], written], axis=1)[:40].astype(np.float32),
    }
    kept.write(out, "latch", arrays, runs=RUNS, runs_by_length=RUNS_BY_LENGTH)
