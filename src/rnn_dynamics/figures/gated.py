"""How far gradients reach in gated cells and in plain ones, as they are initialised and as they are trained."""

import functools
import math
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_dynamics import plots
from rnn_dynamics.cells import LSTM, LSTM1997, irnn
from rnn_dynamics.diagnose.verdict import reach
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import Row, claim, number
from rnn_dynamics.figures.temporal_order import (
    CELLS,
    SEEDS,
    STEPS,
    UNITS,
    Network,
    sequences,
    size,
    trained,
    untrained,
)
from rnn_dynamics.jacobians import gradient_norms, pullback
from rnn_dynamics.plots import palette
from rnn_dynamics.rollout import Trajectory, rollout
from rnn_dynamics.scaled import Scaled

__all__ = ["gated_cells"]

_DECADES = 1 / math.log(10)
_OLD = "LSTM of 1997"
_LINES: dict[str, dict[str, Any]] = {
    "tanh": {"color": palette.BLACK},
    "ReLU": {"color": palette.GREY, "linestyle": "--"},
    "ReLU, identity (IRNN)": {"color": palette.GREEN, "linestyle": "--"},
    "GRU": {"color": palette.PURPLE},
    "LSTM": {"color": palette.BLUE},
    "LSTM, forget bias 3": {"color": palette.SKY},
    _OLD: {"color": palette.VERMILION},
}


class _Results(NamedTuple):
    """Of each cell, by name; natural logarithms, by lag.

    Attributes:
        before, after: ln‖∂x_T/∂x_k‖ (Frobenius) over its value at lag 0, initial and trained: shape (seeds, T+1),
            the mean over sequences.
        accuracies: of the trained networks, shape (seeds,).
        parts: of the LSTM of 1997, ‖∂E/∂c_k‖ and ‖∂E/∂h_k‖ for a loss of h_T, initial and trained.
    """

    before: dict[str, np.ndarray]
    after: dict[str, np.ndarray]
    accuracies: dict[str, np.ndarray]
    parts: dict[str, dict[str, np.ndarray]]


def gated_cells(*, quick: bool = False) -> Reproduction:
    """Norms against the lag of seven cells, initial and trained; the carousel of 1997 apart."""
    inputs = np.asarray(sequences(jax.random.key(2), 1 if quick else 8)[0], float)
    before, after, accuracies, parts = {}, {}, {}, {}
    for name in CELLS:
        networks, accuracies[name] = trained(name)
        found = [untrained(name, seed) for seed in range(SEEDS)], networks
        before[name], after[name] = (_norms(some, inputs) for some in found)
        if name == _OLD:
            parts = {
                when: _parts(_run(some[0], inputs[0]))
                for when, some in zip(("initial", "trained"), found, strict=True)
            }
    results = _Results(before, after, accuracies, parts)
    return Reproduction(functools.partial(_picture, results), (*_exact_rows(), *_trained_rows(results)))


def _run(network: Network, inputs: np.ndarray) -> Trajectory:
    return rollout(network.cell, np.zeros(size(network.cell)), inputs)


def _norms(networks: list[Network], inputs: np.ndarray) -> np.ndarray:
    found = []
    for network in networks:
        logs = [np.asarray(gradient_norms(_run(network, one), ord="fro"))[::-1] for one in inputs]
        found.append(np.mean(logs, axis=0))
    return np.asarray(found) - found[0][0]


def _parts(run: Trajectory) -> dict[str, np.ndarray]:
    """‖∂E/∂h_k‖ and ‖∂E/∂c_k‖ for E = Σ h_T / √n."""
    cotangent = np.r_[np.full(UNITS, UNITS**-0.5), np.zeros(UNITS)]
    rows = pullback(run, cotangent)

    def log_norm(part: slice) -> np.ndarray:
        return np.asarray(Scaled(rows.unit[:, part], rows.exponent, 1).norm().log())[::-1]

    return {name: log_norm(part) for name, part in run.cell.parts.items()}


def horizons(logs: np.ndarray) -> np.ndarray:
    """Of each seed the largest lag at which the norm is at least 1/e of its greatest."""
    return np.asarray([reach(one[::-1], 1 / math.e) for one in logs])


def _exact_rows() -> tuple[Row, ...]:
    """Cells without recurrent weights, in closed form."""
    steps, nothing = STEPS, np.zeros
    forget = np.r_[nothing(UNITS), np.ones(UNITS), nothing(2 * UNITS)]
    lstm = rollout(LSTM(nothing((4 * UNITS, UNITS)), forget), nothing(2 * UNITS), steps=steps)
    old = rollout(LSTM1997(nothing((3 * UNITS, UNITS)), nothing(3 * UNITS)), nothing(2 * UNITS), steps=steps)
    identity = rollout(irnn(np.full(UNITS, 0.1)), np.ones(UNITS), steps=steps)
    growth, carousel, kept = (float(_growth(run)) for run in (lstm, old, identity))
    return (
        number(
            "LSTM without recurrent weights, forget bias 1: growth a step", "ln σ(1)", "-0.3132616875", growth
        ),
        number("LSTM of 1997 likewise: growth a step", "constant error carousel", "0.0", carousel),
        number("ReLU from the identity, active units: growth a step", "Le et al. 2015", "0.0", kept),
    )


def _growth(run: Trajectory) -> float:
    """The slope of ln‖∂x_T/∂x_k‖ over the lags 1 … T."""
    logs = np.asarray(gradient_norms(run, ord="fro"))
    return float(logs[0] - logs[-2]) / (run.steps - 1)


def _trained_rows(results: _Results) -> tuple[Row, ...]:
    return ()


def _picture(results: _Results) -> Figure:
    figure = Figure(figsize=(11, 8))
    axes = figure.subplots(2, 2).ravel()
    for ax, norms, title in (
        (axes[0], results.before, "as initialised"),
        (axes[1], results.after, "trained on temporal order"),
    ):
        _lines(ax, norms)
        ax.set_title(f"‖∂$x_T$/∂$x_k$‖ over its value at lag 0, {title}")
    low = min(ax.get_ylim()[0] for ax in axes[:2])
    high = max(ax.get_ylim()[1] for ax in axes[:2])
    for ax in axes[:2]:
        ax.set_ylim(low, high)
    _reached(axes[2], results)
    _carousel(axes[3], results.parts)
    for ax, letter in zip(axes, "abcd", strict=True):
        plots.panel_label(ax, letter)
    return figure


def _lines(ax: Axes, norms: dict[str, np.ndarray]) -> None:
    """The mean over seeds, and one standard deviation to both sides."""
    for name, logs in norms.items():
        decades = _finite(logs)
        lags, middle, spread = np.arange(logs.shape[1]), np.mean(decades, axis=0), np.std(decades, axis=0)
        ax.plot(lags, middle, label=name, **_LINES[name])
        colour = _LINES[name]["color"]
        ax.fill_between(lags, middle - spread, middle + spread, color=colour, alpha=0.12, linewidth=0)
    ax.axhline(0, color=palette.LIGHT, linewidth=0.8, zorder=0)
    ax.set_xlabel("lag T − k")
    ax.set_ylabel("log₁₀ of the norm")
    ax.legend(ncols=2, fontsize=7, loc="lower left")


def _reached(ax: Axes, results: _Results) -> None:
    """Every seed's horizon before and after, and what it learned."""
    for row, name in enumerate(CELLS):
        colour = _LINES[name]["color"]
        pairs = zip(horizons(results.before[name]), horizons(results.after[name]), strict=True)
        for i, (first, last) in enumerate(pairs):
            at = row + 0.18 * (i - (SEEDS - 1) / 2)
            ax.plot([first, last], [at, at], color=colour, linewidth=0.8, alpha=0.6)
            ax.plot(first, at, "o", markerfacecolor="white", markeredgecolor=colour, markersize=4)
            ax.plot(last, at, "o", color=colour, markersize=4)
        percents = ", ".join(f"{100 * value:.0f}" for value in np.sort(results.accuracies[name])[::-1])
        ax.text(STEPS + 2, row, percents, va="center", fontsize=8)
    ax.text(STEPS + 2, -0.85, "right, %", va="center", fontsize=8)
    for face, label in (("white", "as initialised"), (palette.GREY, "trained")):
        ax.plot([], [], "o", markerfacecolor=face, markeredgecolor=palette.GREY, markersize=4, label=label)
    ax.set_yticks(range(len(CELLS)), CELLS, fontsize=8)
    ax.invert_yaxis()
    ax.set_xlim(-1, STEPS + 19)
    ax.set_xticks(range(0, STEPS + 1, 10))
    ax.set_xlabel("horizon: largest lag with 1/e of the greatest norm")
    ax.set_title("what each of the seeds came to")
    ax.legend(fontsize=7, loc="upper right")


def _carousel(ax: Axes, parts: dict[str, dict[str, np.ndarray]]) -> None:
    for when, line in (("initial", "--"), ("trained", "-")):
        for part, colour, sign in (("cell", palette.VERMILION, "c_k"), ("hidden", palette.BLUE, "h_k")):
            label = f"to the {part} state, ${sign}$, {when}"
            ax.plot(_finite(parts[when][part]), color=colour, linestyle=line, label=label)
    ax.axhline(0, color=palette.LIGHT, linewidth=0.8, zorder=0)
    ax.set_title("LSTM of 1997: what a loss of $h_T$ owes to each part")
    ax.set_xlabel("lag T − k")
    ax.set_ylabel("log₁₀ of the norm")
    ax.legend(fontsize=7)


def _finite(logs: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(logs), logs * _DECADES, np.nan)
