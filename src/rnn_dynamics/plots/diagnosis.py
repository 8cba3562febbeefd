"""One figure of a verdict: how far gradients reach, what the loss owes to each lag, units and gates, growth."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import axes_of, panel_label, panel_labels, style
from rnn_dynamics.plots.powers import powers_of_ten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnn_dynamics.diagnosis import BatchDiagnosis, Diagnosis, Tracker

_DECADES = 1 / math.log(10)
#: Where the panels lie and the height of the figure, by how many there are.
_LAYOUTS = {2: ("ab", 3.2), 3: ("aa;bc", 6.2), 4: ("ab;cd", 6.2)}


def diagnosis(found: "Diagnosis", ax: Any = None) -> "Axes":
    """Up to four panels of a ``Diagnosis``: norms against lag, shares of the gradient, units or gates, growth.

    Without a loss there are no shares, and not every cell has gates or units with slopes.

    Args:
        found: from ``diagnose``.
        ax: axes for the norms against the lag alone; by default all panels fill a new figure.

    Returns:
        The axes of the norms; ``.figure`` holds the other panels.
    """
    from matplotlib import pyplot

    if ax is not None:
        _norms(axes_of(ax), found)
        return axes_of(ax)
    with style():
        drawn = [_norms, *([_shares] if found.has_loss else [])]
        drawn += [*([_units] if found.units is not None or found.gates else []), _growth]
        rows, height = _LAYOUTS[len(drawn)]
        _, axes = pyplot.subplot_mosaic(rows, figsize=(palette.FULL, height))
        for draw, letter in zip(drawn, "abcd", strict=False):
            draw(axes[letter], found)
            panel_label(axes[letter], letter)
    return axes["a"]


def diagnoses(found: "BatchDiagnosis", ax: Any = None) -> "Axes":
    """Two panels of a batch: each run's norms against the lag, coloured by regime, and all horizons.

    Args:
        found: from ``diagnose`` of a batch.
        ax: axes for the norms against the lag alone; by default both panels fill a new figure.

    Returns:
        The axes of the norms; ``.figure`` holds the other panel.
    """
    from matplotlib import pyplot

    if ax is not None:
        _norms_of_all(axes_of(ax), found)
        return axes_of(ax)
    with style():
        _, (left, right) = pyplot.subplots(1, 2, figsize=(palette.FULL, 3.2))
        _norms_of_all(left, found)
        right.hist(
            [sample.horizon for sample in found.samples], bins=20, color=palette.SKY, edgecolor=palette.WHITE
        )
        right.set_xlabel("horizon at 1/e, lags")
        right.set_ylabel("runs")
        panel_labels((left, right))
    return left


def _norms_of_all(ax: "Axes", found: "BatchDiagnosis") -> None:
    named: set[str] = set()
    for sample in found.samples:
        label = None if sample.regime in named else sample.regime
        named.add(sample.regime)
        colour = _REGIMES.get(sample.regime, _REGIMES["undecided"])[0]
        logs = _decades(sample.log_norms[::-1])
        ax.plot(np.arange(len(logs)), logs, color=colour, linewidth=palette.THIN, label=label)
    ax.set_xlabel("lag $T - k$")
    powers_of_ten(ax.yaxis, palette.typeset("‖∂x_T/∂x_k‖"))
    ax.legend()


def _decades(logs: Any) -> np.ndarray:
    values = np.asarray(logs, float) * _DECADES
    return np.where(np.isfinite(values), values, np.nan)


def _norms(ax: "Axes", found: "Diagnosis") -> None:
    lags = np.arange(found.measured_steps + 1)
    ax.axhline(0, **palette.ZERO)
    ax.plot(lags, _decades(found.log_norms[::-1]), color=palette.BLACK)
    if not found.has_loss:
        _horizons(ax, found)
    rate = "" if math.isnan(found.exponent) else f": exponent {found.exponent:+.3g} nats a step"
    ax.set_title(f"{found.regime}{rate}")
    ax.set_xlabel("lag $T - k$")
    powers_of_ten(ax.yaxis, palette.typeset("‖∂x_T/∂x_k‖"))


def _horizons(ax: "Axes", found: "Diagnosis") -> None:
    marks = ((found.horizon, "1/e", "-."), (found.horizon_percent, "1 %", ":"))
    for lag, share, line in marks:
        ax.axvline(
            lag,
            color=palette.ORANGE,
            linestyle=line,
            linewidth=palette.LINE,
            label=f"horizon at {share}: {lag}",
        )
    ax.legend()


def _shares(ax: "Axes", found: "Diagnosis") -> None:
    credit = found.credit
    if credit is not None:
        ax.plot(credit.lags, _decades(credit.log_shares), color=palette.BLUE, label="share of lag m")
        ax.plot(credit.lags, _decades(credit.log_sums), color=palette.VERMILION, label="sum of lags 1 … m")
    elif found.log_owed is not None:
        lags = np.arange(1, len(found.log_owed) + 1)
        label = palette.typeset("∂E/∂x") + ", $m - 1$ steps back"
        ax.plot(lags, _decades(found.log_owed), color=palette.BLUE, label=label)
    _horizons(ax, found)
    ax.set_title("the loss's gradient by lag")
    ax.set_xlabel("lag m")
    powers_of_ten(ax.yaxis, "norm")


def _units(ax: "Axes", found: "Diagnosis") -> None:
    if found.units is not None:
        largest = max(1.0, float(found.units.median_slope.max()))
        ax.hist(
            found.units.median_slope, bins=20, range=(0, largest), color=palette.SKY, edgecolor=palette.WHITE
        )
        ax.set_title(
            f"{found.units.dead} dead, {found.units.saturated} saturated of {found.units.total} units"
        )
        ax.set_xlabel("median slope $φ′$ of a unit")
        ax.set_ylabel("units")
    else:
        names = list(found.gates)
        ax.bar(names, [found.gates[name] for name in names], color=palette.SKY)
        ax.set_ylim(0, 1)
        ax.set_title("mean of each gate")


def _growth(ax: "Axes", found: "Diagnosis") -> None:
    """What each step adds to the norm: the logarithm's change from one lag to the next."""
    logs = np.asarray(found.log_norms, float)[::-1]
    with np.errstate(invalid="ignore"):
        growth = np.diff(logs)
    lags = np.arange(1, found.measured_steps + 1)
    ax.axhline(0, **palette.ZERO)
    ax.plot(
        lags,
        np.where(np.isfinite(growth), growth, np.nan),
        color=palette.GREY,
        linewidth=palette.THIN,
        label="one step",
    )
    if math.isfinite(found.exponent):
        ax.axhline(found.exponent, color=palette.ORANGE, linestyle="-.", label="Lyapunov exponent")
    if found.decay is not None:
        ax.axhline(found.decay.weights, color=palette.BLUE, linestyle="--", label="by the weights")
        ax.axhline(found.decay.slopes, color=palette.GREEN, linestyle=":", label="by $φ′$")
    ax.set_title("growth of the norm")
    ax.set_xlabel("lag $T - k$")
    ax.set_ylabel("nats a step")
    ax.legend()


_REGIMES = {
    "vanishing": (palette.BLUE, "v"),
    "neither": (palette.GREEN, "o"),
    "exploding": (palette.VERMILION, "^"),
    "undecided": (palette.GREY, "s"),
    "diverged": (palette.BLACK, "X"),
    "not finite": (palette.BLACK, "P"),
}


def tracked(tracker: "Tracker", ax: Any = None) -> "Axes":
    """The horizon against training steps, a mark for the regime of each record; dotted the length of the runs.

    Args:
        tracker: a ``Tracker`` with records.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.

    Raises:
        ValueError: no records.
    """
    if not tracker.records:
        raise ValueError("tracker: expected records, got none")
    ax = axes_of(ax)
    columns = {name: np.asarray(values) for name, values in tracker.to_dict().items()}
    ax.plot(columns["step"], columns["horizon"], color=palette.LIGHT, zorder=1)
    for regime, (colour, marker) in _REGIMES.items():
        chosen = columns["regime"] == regime
        if chosen.any():
            at = columns["step"][chosen], columns["horizon"][chosen]
            ax.plot(*at, marker, color=colour, markersize=palette.MARK, linestyle="none", label=regime)
    ax.plot(columns["step"], columns["steps"], color=palette.GREY, linestyle=":", label="length of the runs")
    ax.set_xlabel("training step")
    ax.set_ylabel("horizon at 1/e, lags")
    ax.legend()
    return ax
