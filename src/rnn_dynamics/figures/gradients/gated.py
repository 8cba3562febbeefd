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
from rnn_dynamics.cells.rollout import Trajectory, rollout
from rnn_dynamics.diagnosis.verdict import reach
from rnn_dynamics.figures.gradients.temporal_order import (
    CELLS,
    SEEDS,
    STEPS,
    UNITS,
    sequences,
    trained,
    untrained,
)
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim, number
from rnn_dynamics.gradients.jacobians import gradient_norms, pullback
from rnn_dynamics.numerics.scaled import Scaled
from rnn_dynamics.plots import palette
from rnn_dynamics.training.recipes.networks import Network

_DECADES = 1 / math.log(10)
_OLD = "LSTM of 1997"
_LEARNED, _CHANCE = 0.99, 0.3
_LAGS = "21 to 45"
_POPULAR = "ReLU has slope 1, so gradients do not vanish"
_SHORT = "a plain network cannot learn such lags"
_REFUTED = (_POPULAR, _SHORT)
_SAID = (
    ("tanh", "popular", _SHORT, 3),
    ("ReLU", "popular", _POPULAR, 0),
    ("ReLU, identity (IRNN)", "Le et al. 2015", "learns", 4),
    ("GRU", "Cho et al. 2014", "learns", 4),
    ("LSTM", "Gers et al. 2000; Jozefowicz et al. 2015", "needs a large forget bias", 1),
    ("LSTM, forget bias 3", "Gers et al. 2000; Jozefowicz et al. 2015", "learns", 4),
    (_OLD, "Hochreiter and Schmidhuber 1997", "learns", 4),
)
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
    return rollout(network.cell, None, inputs)


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
    unit = np.asarray(rows.unit)

    def log_norm(part: slice) -> np.ndarray:
        return np.asarray(Scaled(jax.device_put(unit[:, part]), rows.exponent, 1).norm().log())[::-1]

    return {name: log_norm(part) for name, part in run.cell.parts.items()}


def horizons(logs: np.ndarray) -> np.ndarray:
    """Of each seed the largest lag at which the norm is at least 1 % of its greatest."""
    return np.asarray([reach(one[::-1], 0.01) for one in logs])


def _exact_rows() -> tuple[ReportRow, ...]:
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


def _trained_rows(results: _Results) -> tuple[ReportRow, ...]:
    """What the networks learned, and how far their gradients reach."""
    reached = {
        name: (horizons(results.before[name]), horizons(results.after[name])) for name in results.before
    }
    learned = {name: values > _LEARNED for name, values in results.accuracies.items()}
    rows = [
        claim(
            f"{name}: trained on marks {_LAGS} steps back, right in %",
            source,
            said,
            f"{_percents(results.accuracies[name])}; horizon {_span(reached[name][0])} → "
            f"{_span(reached[name][1])} lags",
            found=learned[name].sum() == count,
            wrong=said in _REFUTED,
            note=f"The seeds one by one; {count} of {SEEDS} learned. Horizon: 1 % of the greatest norm.",
        )
        for name, source, said, count in _SAID
    ]
    return (*rows, *_reach_rows(results, reached))


def _reach_rows(
    results: _Results, reached: dict[str, tuple[np.ndarray, np.ndarray]]
) -> tuple[ReportRow, ...]:
    """How far gated cells reach before training, and whether what is learned is what is reached."""
    plain = {name: reached[name][0] for name in ("tanh", "GRU", "LSTM")}
    far, near = (
        np.concatenate([reached[name][1][chosen(results.accuracies[name])] for name in CELLS])
        for chosen in (lambda values: values > _LEARNED, lambda values: values < _CHANCE)
    )
    return (
        claim(
            "LSTM and GRU with PyTorch's initial weights: horizon as initialised",
            "popular: gates remove vanishing gradients",
            "beyond that of a plain network",
            ", ".join(f"{name} {_span(values)}" for name, values in plain.items()) + f" of {STEPS} lags",
            found=max(values.max() for values in plain.values()) < 12,
            wrong=True,
            note="Gates can be trained, or biased, to keep a state. At 0 bias they are half closed.",
        ),
        claim(
            "networks that learned, against those at chance: horizon when trained",
            "training",
            f"beyond, and below, the {_LAGS} lags of the marks",
            f"{len(far)} with {_span(far)} lags, {len(near)} with {_span(near)}",
            found=far.min() >= 45 and near.max() < 21,
            note="So here. A bit latched by an attractor is kept with a vanishing gradient (Bengio et al. 1994).",
        ),
    )


def _percents(accuracies: np.ndarray) -> str:
    return ", ".join(f"{100 * value:.0f}" for value in accuracies)


def _span(values: np.ndarray) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"


def _picture(results: _Results) -> Figure:
    figure = Figure(figsize=(palette.FULL, 7.0))
    axes = figure.subplots(2, 2).ravel()
    for ax, norms, title in (
        (axes[0], results.before, "as initialised"),
        (axes[1], results.after, "trained on temporal order"),
    ):
        for name in CELLS:
            good = results.accuracies[name] > _LEARNED
            _lines(ax, name, norms[name], good if norms is results.after else np.full(SEEDS, True))
        ax.axhline(0, **palette.ZERO)
        ax.set_ylim(-20, 4)
        ax.set_xlabel(palette.LAG)
        plots.powers_of_ten(ax.yaxis, palette.typeset("‖∂x_T/∂x_k‖") + ", 1 at lag 0")
        ax.set_title(title)
    axes[1].plot([], [], ":", color=palette.GREY, label="seeds that did not learn")
    plots.shared_legend(axes[:2], columns=4)
    _reached(axes[2], results)
    _carousel(axes[3], results.parts)
    plots.panel_labels(axes)
    return figure


def _lines(ax: Axes, name: str, logs: np.ndarray, learned: np.ndarray) -> None:
    """The mean over the seeds that learned, one standard deviation to both sides; the others one by one."""
    colour, lags, decades = _LINES[name]["color"], np.arange(logs.shape[1]), _finite(logs)
    ax.plot(lags, decades[~learned].T, color=colour, linestyle=":", linewidth=palette.THIN)
    if learned.any():
        middle, spread = decades[learned].mean(axis=0), decades[learned].std(axis=0)
        ax.plot(lags, middle, label=name, **_LINES[name])
        ax.fill_between(lags, middle - spread, middle + spread, color=colour, alpha=0.15, linewidth=0)


def _reached(ax: Axes, results: _Results) -> None:
    """Every seed's horizon before and after, and what it learned."""
    for row, name in enumerate(CELLS):
        colour = _LINES[name]["color"]
        pairs = zip(horizons(results.before[name]), horizons(results.after[name]), strict=True)
        for i, (first, last) in enumerate(pairs):
            at = row + 0.18 * (i - (SEEDS - 1) / 2)
            ax.plot([first, last], [at, at], color=colour, linewidth=palette.THIN, alpha=0.6)
            ax.plot(last, at, "o", color=colour, markersize=palette.MARK)
            ax.plot(
                first, at, "o", markerfacecolor=palette.WHITE, markeredgecolor=colour, markersize=palette.MARK
            )
        ax.text(STEPS + 2, row, _percents(results.accuracies[name]), va="center", fontsize=palette.NOTE)
    ax.text(STEPS + 2, -0.75, "right, %, top seed first", va="center", fontsize=palette.NOTE)
    for face, label in ((palette.WHITE, "as initialised"), (palette.GREY, "trained")):
        ax.plot(
            [],
            [],
            "o",
            markerfacecolor=face,
            markeredgecolor=palette.GREY,
            markersize=palette.MARK,
            label=label,
        )
    ax.axvspan(21, 45, color=palette.LIGHT, alpha=0.35, linewidth=0, zorder=0, label="lags of the marks")
    ax.set_yticks(range(len(CELLS)), CELLS)
    ax.set_ylim(len(CELLS) - 0.4, -1)
    ax.set_xlim(-1, STEPS + 23)
    ax.set_xticks(range(0, STEPS + 1, 10))
    ax.set_xlabel("horizon: the largest lag with 1 % of the greatest norm")
    ax.set_title("how far each seed's gradient reaches")
    ax.legend(loc="lower left")


def _carousel(ax: Axes, parts: dict[str, dict[str, np.ndarray]]) -> None:
    colour = _LINES["LSTM of 1997"]["color"]
    for when, line in (("initial", palette.DASHED), ("trained", "-")):
        for part, mark, sign in (("cell", "", "c_k"), ("hidden", "s", "h_k")):
            label = f"to the {part} state, ${sign}$, {when}"
            look = {
                "linestyle": line,
                "marker": mark,
                "markevery": 5,
                "markersize": palette.DOT,
                "color": colour,
            }
            ax.plot(_finite(parts[when][part]), label=label, **look)
    ax.axhline(0, **palette.ZERO)
    ax.set_title("LSTM of 1997: the gradient of $h_T$ by part")
    ax.set_xlabel(palette.LAG)
    plots.powers_of_ten(ax.yaxis, "norm")
    low, high = ax.get_ylim()
    ax.set_ylim(low - 0.3 * (high - low), high)
    ax.legend(loc="lower right")


def _finite(logs: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(logs), logs * _DECADES, np.nan)
