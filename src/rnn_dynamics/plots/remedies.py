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
    median horizon at the start (ring), halfway (stroke) and at the end (dot), coloured by regime. Rows of one kind
    of remedy that follow each other stand on one ground, its name at the right.

    Args:
        result: from ``training.compare``.
        ax: axes to draw on; new ones by default, as high as the rows need.

    Returns:
        The axes.
    """
    is_own, ax = ax is None, axes_of(ax)
    if is_own:
        ax.figure.set_size_inches(palette.FULL, 1.6 + 0.27 * max(len(result.rows), 4))
    several = len({(row.task, row.length) for row in result.rows}) > 1
    for place, row in enumerate(result.rows):
        _success(ax, place, row)
        _story(ax, place, row)
    _groups(ax, [_kind(row.remedy) for row in result.rows])
    names = [f"{row.remedy}  {row.task} {row.length}" if several else row.remedy for row in result.rows]
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.6)
    ax.set_xlim(-0.03, _GAP + 1.04)
    ticks = (0.0, 0.5, 1.0)
    ax.set_xticks([*ticks, *(_GAP + tick for tick in ticks)], ["0", "½", "1", "0", "½", "1"])
    ax.tick_params(axis="x", labeltop=True, top=True)
    for middle, text in ((0.5, "share of runs that learned"), (_GAP + 0.5, "horizon / $T$")):
        for above in (True, False):
            ax.annotate(
                text,
                (middle, 1.0 if above else 0.0),
                (0, 18 if above else -18),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                va="bottom" if above else "top",
            )
    ax.spines[["left", "right"]].set_visible(False)
    ax.spines["top"].set_visible(True)
    ax.tick_params(axis="y", length=0)
    _legend(ax)
    return ax


_GAP = 1.5


def _kind(name: str) -> str:
    """What kind of remedy a row is about: that of the last one it combines."""
    from rnn_dynamics.training import REMEDIES

    remedy = REMEDIES.get(name.split("+")[-1])
    return "" if remedy is None else remedy.kind


def _groups(ax: Any, kinds: list[str]) -> None:
    """Every other run of rows of one kind on a grey ground, each with its name."""
    first, shaded = 0, False
    for place in range(1, len(kinds) + 1):
        if place < len(kinds) and kinds[place] == kinds[first]:
            continue
        if shaded:
            ax.axhspan(first - 0.5, place - 0.5, color=palette.LIGHT, alpha=0.45, linewidth=0, zorder=0)
        at = ("axes fraction", "data")
        text = {"va": "center", "fontsize": palette.NOTE, "color": palette.GREY, "annotation_clip": False}
        ax.annotate(kinds[first], (1.01, (first + place - 1) / 2), xycoords=at, **text)
        first, shaded = place, not shaded


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


#: The marks of the three moments: the ring is wide enough to be seen about a disc.
_RING = {"markerfacecolor": "none", "markersize": 1.35 * palette.BIG, "markeredgewidth": palette.LINE}
_MARKS: dict[str, dict[str, Any]] = {
    "initial": _RING,
    "middle": {"marker": "|", "markersize": palette.BIG, "markeredgewidth": palette.BOLD},
    "final": {"markersize": palette.MARK},
}


def _story(ax: Any, place: int, row: "ComparisonRow") -> None:
    shares = [row.horizon_at(moment) / row.steps_of_task for moment in _MOMENTS]
    known = [share for share in shares if not math.isnan(share)]
    if not known:
        ax.text(_GAP + 0.5, place, "not measured", va="center", ha="center", fontsize=palette.NOTE)
        return
    ax.plot(
        _GAP + np.asarray(known),
        [place] * len(known),
        color=palette.GREY,
        linewidth=palette.THIN,
        zorder=1,
    )
    for moment, share in zip(_MOMENTS, shares, strict=True):
        look = {"marker": "o", "color": _COLOURS.get(row.regime_at(moment), _OTHER)} | _MARKS[moment]
        ax.plot(_GAP + share, place, linestyle="none", zorder=3, **look)


def _legend(ax: Any) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    words = {"initial": "at the start", "middle": "halfway", "final": "at the end"}
    handles: list[Any] = [
        Patch(facecolor=palette.SKY, label="learned"),
        Line2D([], [], color=palette.BLACK, linewidth=palette.THIN, label="95 % interval"),
    ]
    for moment, mark in _MARKS.items():
        look: dict[str, Any] = {"marker": "o", "color": palette.BLACK, "linestyle": "none"} | mark
        handles.append(Line2D([], [], label=f"horizon {words[moment]}", **look))
    for name, colour in _COLOURS.items():
        handles.append(Line2D([], [], linewidth=palette.WIDE, color=colour, label=name))
    ax.legend(
        handles=handles,
        ncols=4,
        title="colour: how the gradient goes on over the last three quarters of the lags",
        loc="upper center",
        bbox_to_anchor=(0.35, 0),
        borderaxespad=4.5,
    )
