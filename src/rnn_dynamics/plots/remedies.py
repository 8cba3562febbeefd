"""Pictures of trained remedies: the table of a comparison, and success against length."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import axes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnn_dynamics.training.runs.results import Comparison, ComparisonRow

_MOMENTS = ("initial", "middle", "final")
_COLOURS = {"vanishing": palette.BLUE, "exploding": palette.VERMILION, "neither": palette.GREEN}
_OTHER = palette.GREY


def comparison(result: "Comparison", ax: Any = None) -> "Axes":
    """One line a row: the success rate with its interval, and how far back the gradient reached.

    Left, from 0 to 1, the share of runs that learned, as a bar with Wilson's interval; right, as a share of T, the
    median horizon at the start (ring), halfway (small) and at the end (dot), coloured by regime.

    Args:
        result: from ``training.compare``.
        ax: axes to draw on; new ones by default, as high as the rows need.

    Returns:
        The axes.
    """
    is_own, ax = ax is None, axes_of(ax)
    if is_own:
        ax.figure.set_size_inches(7.2, 1.4 + 0.27 * len(result.rows))
    several = len({(row.task, row.length) for row in result.rows}) > 1
    for place, row in enumerate(result.rows):
        _success(ax, place, row)
        _story(ax, place, row)
    names = [f"{row.remedy}  {row.task} {row.length}" if several else row.remedy for row in result.rows]
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.6)
    ax.set_xlim(-0.03, _GAP + 1.04)
    ticks = (0.0, 0.5, 1.0)
    ax.set_xticks([*ticks, *(_GAP + tick for tick in ticks)], ["0", "½", "1", "0", "½", "1"])
    ax.text(0.5, -0.75, "share of runs that learned", ha="center", va="bottom", fontsize=palette.NOTE)
    ax.text(_GAP + 0.5, -0.75, "horizon / T", ha="center", va="bottom", fontsize=palette.NOTE)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", linewidth=palette.THIN, alpha=0.5)
    _legend(ax)
    return ax


_GAP = 1.5


def _success(ax: Any, place: int, row: "ComparisonRow") -> None:
    low, high = row.interval
    rate = row.success_rate
    ax.barh(place, rate, height=0.55, color=palette.SKY, zorder=2)
    ax.plot([low, high], [place, place], color=palette.BLACK, linewidth=palette.THIN, zorder=3)
    ax.plot(rate, place, "|", color=palette.BLACK, markersize=palette.BIG, zorder=3)
    took = "" if math.isnan(row.steps_to_success) else f"{_short(row.steps_to_success)} updates"
    note = ", ".join(filter(None, (took, f"{row.diverged} diverged" if row.diverged else "")))
    ax.text(1.02, place, note, va="center", fontsize=palette.NOTE, ha="left")


def _short(value: float) -> str:
    return f"{value / 1000:.3g}k" if value >= 1000 else f"{value:.0f}"


def _story(ax: Any, place: int, row: "ComparisonRow") -> None:
    shares = [row.horizon_at(moment) / row.steps_of_task for moment in _MOMENTS]
    known = [share for share in shares if not math.isnan(share)]
    if not known:
        ax.text(_GAP + 0.5, place, "not measured", va="center", ha="center", fontsize=palette.NOTE)
        return
    ax.plot(
        _GAP + np.asarray(known), [place] * len(known), color=palette.GREY, linewidth=palette.THIN, zorder=1
    )
    for moment, share, size in zip(_MOMENTS, shares, (7, 3.5, 6), strict=True):
        colour = _COLOURS.get(row.regime_at(moment), _OTHER)
        face = palette.WHITE if moment == "initial" else colour
        ax.plot(_GAP + share, place, "o", color=colour, markerfacecolor=face, markersize=size, zorder=3)


def _legend(ax: Any) -> None:
    from matplotlib.lines import Line2D

    handles: list[Any] = [
        Line2D([], [], marker="o", linestyle="", color=colour, label=name)
        for name, colour in _COLOURS.items()
    ]
    handles.append(
        Line2D(
            [],
            [],
            marker="o",
            linestyle="",
            color=palette.BLACK,
            markerfacecolor=palette.WHITE,
            label="at the start",
        )
    )
    ax.legend(
        handles=handles,
        ncols=4,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        borderaxespad=3.5,
    )
