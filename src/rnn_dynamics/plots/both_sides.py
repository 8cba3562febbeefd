"""Pictures of what reads in both directions: norms and credit by signed lag, a run, the verdict."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.gradients.bidirectional.results import reach_words
from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import axes_of, panel_labels, style
from rnn_dynamics.plots.powers import powers_of_ten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnn_dynamics.cells import BidirectionalRun
    from rnn_dynamics.diagnosis import BidirectionalDiagnosis
    from rnn_dynamics.gradients import CreditBySignedLag, SignedNorms

_DECADES = 1 / math.log(10)
_ABOVE = 0.3  # decades between a line and the curve that it stands by
_OF_LEGEND = 0.35  # of the height of a panel, below its curve
_LAG = "signed lag $s - t$ (steps)"
_WAYS = {"forward": (palette.BLUE, "-"), "backward": (palette.VERMILION, palette.DASHED)}


def signed_norms(found: "SignedNorms", ax: Any = None) -> "Axes":
    """The norm of ∂y_t/∂u_s against the signed lag s − t: the past on the left, the future on the right.

    Args:
        found: from ``gradients.output_norms``.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    _by_lag(ax, found, np.asarray(found.lags), np.asarray(found.log_norms), palette.BLUE)
    what = {"output": "y", "input": "u"}
    of, by = (what.get(name, "h") for name in (found.of, found.by))
    powers_of_ten(ax.yaxis, palette.typeset(f"‖∂{of}_t/∂{by}_s‖") + f", $t = {found.at}$")
    return ax


def credit_by_signed_lag(found: "CreditBySignedLag", ax: Any = None) -> "Axes":
    """The share of a loss's gradient that comes from the inputs at each signed lag.

    Args:
        found: from ``gradients.credit_by_signed_lag``.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    _by_lag(ax, found, np.asarray(found.lags), np.asarray(found.log_shares), palette.BLUE)
    powers_of_ten(ax.yaxis, "share of the loss's gradient")
    return ax


def _by_lag(ax: "Axes", found: Any, lags: np.ndarray, logs: np.ndarray, colour: str) -> None:
    """A line over signed lags, with zero and the horizons on both sides marked."""
    ax.axvline(0, **palette.ZERO)
    with np.errstate(invalid="ignore"):
        decades = np.where(np.isfinite(logs), logs * _DECADES, np.nan)
    ax.plot(lags, decades, color=colour)
    for share, text, line in ((1 / math.e, "1/e", palette.DASHDOT), (0.01, "1 %", palette.DOTTED)):
        back, ahead = found.horizon(share)
        if back < 0:
            continue
        label = "at {}: {} back, {} ahead".format(text, *reach_words(found, share))
        for lag in (-back, ahead):
            ax.axvline(lag, color=palette.ORANGE, linestyle=line, linewidth=palette.LINE, label=label)
            label = None
    ax.set_xlabel(_LAG)
    _legend(ax, decades)


def _legend(ax: "Axes", decades: np.ndarray) -> None:
    """A legend below the curve's peak, with room made for it, or beside a peak at the end of the lags."""
    known = decades[np.isfinite(decades)]
    peak = np.argmax(known) / max(len(known) - 1, 1) if known.size else 0.5
    if 0.2 <= peak <= 0.8 and known.size:
        bottom, top = ax.get_ylim()
        least = known[len(known) // 7 : -(len(known) // 7) or None].min()
        if least < (lowest := bottom + _OF_LEGEND * (top - bottom)):
            ax.set_ylim(bottom - (lowest - least) / (1 - _OF_LEGEND), top, auto=True)
    ax.legend(
        loc="upper left" if peak > 0.8 else "upper right" if peak < 0.2 else "lower center", **palette.OVER
    )


def bidirectional_run(found: "BidirectionalRun", ax: Any = None) -> "Axes":
    """The outputs of a bidirectional network against time, one line a unit.

    Args:
        found: from ``Bidirectional.run``.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    outputs = np.asarray(found.outputs)
    for column, colour in zip(outputs.T, palette.shades(outputs.shape[1]), strict=True):
        ax.plot(np.arange(len(outputs)), column, color=colour, linewidth=palette.THIN)
    ax.set_xlabel("step $t$")
    ax.set_ylabel("output $y_t$")
    return ax


def bidirectional_diagnosis(found: "BidirectionalDiagnosis", ax: Any = None) -> "Axes":
    """Two panels of the verdict: how far the output reaches to both sides, and each direction's own norms by lag.

    Args:
        found: from ``diagnose`` of a bidirectional run.
        ax: axes for the first panel alone; by default both fill a new figure.

    Returns:
        The axes of the first panel; ``.figure`` holds the other.
    """
    from matplotlib import pyplot

    if ax is not None:
        return _reach(axes_of(ax), found)
    with style():
        _, (left, right) = pyplot.subplots(1, 2, figsize=(palette.FULL, 3.2))
        _reach(left, found)
        _chains(right, found)
        panel_labels((left, right))
    return left


def _reach(ax: "Axes", found: "BidirectionalDiagnosis") -> "Axes":
    if found.credit is not None:
        credit_by_signed_lag(found.credit, ax)
        ax.set_title("what the loss owes to inputs")
        lags, logs = found.credit.lags, np.asarray(found.credit.log_shares)
    else:
        signed_norms(found.output, ax)
        ax.set_title("what an output owes to inputs")
        lags, logs = found.output.lags, np.asarray(found.output.log_norms)
    _guides(ax, found, lags, logs)
    _legend(ax, logs * _DECADES)
    return ax


def _guides(ax: "Axes", found: "BidirectionalDiagnosis", lags: np.ndarray, logs: np.ndarray) -> None:
    """Straight lines above the curve: what the slowest direction of either way keeps."""
    label = "rate of the slowest direction"
    for way, sign in (("forward", -1), ("backward", 1)):
        rates = [each.exponent for name, each in found.of_directions() if name.endswith(way)]
        side = sign * lags
        there = (side > 0) & np.isfinite(logs)
        if not rates or not math.isfinite(max(rates)) or not there.any():
            continue
        rate = max(rates)
        height = np.max((logs - rate * side)[there & (side <= side.max() / 2)], initial=-np.inf)
        if math.isfinite(height):
            ends = np.array([0, side[there].max()])
            line = (height + rate * ends) * _DECADES + _ABOVE
            ax.plot(
                sign * ends,
                line,
                color=palette.GREY,
                linestyle=palette.DASHED,
                linewidth=palette.THIN,
                label=label,
            )
            label = None


def _chains(ax: "Axes", found: "BidirectionalDiagnosis") -> None:
    """The norm of each direction's own chain against the lag: deeper layers darker, backward ones dashed."""
    widths = np.linspace(palette.THIN, palette.BOLD, max(len(found.directions), 2))
    for name, each in found.of_directions():
        layer, way = int(name.split()[1]), name.split()[2]
        colour, line = _WAYS[way]
        logs = np.asarray(each.log_norms, float)[::-1]
        decades = np.where(np.isfinite(logs), logs * _DECADES, np.nan)
        ax.plot(
            np.arange(len(logs)), decades, color=colour, linestyle=line, linewidth=widths[layer], label=name
        )
    ax.set_title("each direction by itself")
    ax.set_xlabel(palette.LAG)
    powers_of_ten(ax.yaxis, palette.NORM)
    ax.legend()
