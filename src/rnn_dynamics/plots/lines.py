"""What several pictures of results are made of: series, bars with errors, numbers, points of the complex plane."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import axes_of, colour_bar
from rnn_dynamics.plots.powers import powers_of_ten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DECADES = 1 / np.log(10)
_MOST_NAMED = 8


def decades(logarithm: Any) -> np.ndarray:
    """log₁₀ of what a natural logarithm is given of; what has none leaves a gap."""
    values = np.asarray(logarithm, float) * DECADES
    return np.where(np.isfinite(values), values, np.nan)


def series(
    ax: Any,
    x: Any,
    values: Mapping[str, Any],
    x_label: str,
    y_label: str,
    *,
    errors: Mapping[str, Any] | None = None,
    zero: bool = False,
    powers: bool = False,
    legend: bool = True,
    **line: Any,
) -> "Axes":
    """Lines over one axis, told apart by colour and dashes; arrays of two axes are one thin line a column.

    Args:
        ax: axes to draw on; new ones by default.
        x: shape (m,).
        values: label to (m,) or (m, k).
        x_label, y_label: of the axes.
        errors: label to (m,), half lengths of bars.
        zero: whether to mark 0.
        powers: whether the values are decades, to be labelled 10^….
        legend: whether to draw one, where there are several lines.
        line: properties of the lines.
    """
    ax = axes_of(ax)
    if zero:
        ax.axhline(0, **palette.ZERO)
    x = np.asarray(x)
    short = {"marker": "o", "markersize": palette.DOT} if len(x) <= 40 else {}
    for i, (label, given) in enumerate(values.items()):
        y = np.asarray(given, float)
        style = (
            {
                "color": palette.SERIES[i % len(palette.SERIES)],
                "linestyle": palette.DASHES[i % len(palette.DASHES)],
            }
            | short
            | line
        )
        if y.ndim == 1:
            bar = None if errors is None else errors.get(label)
            if bar is not None:
                half = np.where(np.isfinite(bar), bar, 0)
                ax.errorbar(x, y, yerr=half, label=label, elinewidth=palette.THIN, **style)
            else:
                ax.plot(x, y, label=label, **style)
            continue
        for j, column in enumerate(y.reshape(len(y), -1).T):
            own = style | {"color": palette.SERIES[(i + j) % len(palette.SERIES)]}
            name = f"{label} {j + 1}" if j < _MOST_NAMED else None
            ax.plot(x, column, label=name, **own)
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    if powers:
        powers_of_ten(ax.yaxis)
    if x.dtype.kind in "iu":
        ax.xaxis.get_major_locator().set_params(integer=True)
    count = len(ax.get_legend_handles_labels()[0])
    if legend and count > 4:
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))  # beside the lines, which leave it no corner
    elif legend and count > 1:
        ax.legend(loc="best")
    return ax


def bars(ax: Any, values: Mapping[str, float], y_label: str, *, errors: Any = None) -> "Axes":
    """Draw bars of one colour with their names below."""
    ax = axes_of(ax)
    at = np.arange(len(values))
    ax.bar(at, list(values.values()), 0.6, color=palette.SKY, edgecolor=palette.BLACK, linewidth=palette.THIN)
    if errors is not None:
        ax.errorbar(at, list(values.values()), yerr=errors, color=palette.BLACK, linestyle="none", capsize=3)
    ax.set_xticks(at, list(values), rotation=20 if max(map(len, values), default=0) > 12 else 0)
    ax.set_ylabel(y_label)
    return ax


def numbers(ax: Any, values: Mapping[str, Any], label: str = "value") -> "Axes":
    """A few numbers, one row each, the number beside its point."""
    ax = axes_of(ax)
    shown = {name: float(value) for name, value in values.items() if np.isfinite(float(value))}
    at = np.arange(len(shown))[::-1]
    ax.axvline(0, **palette.ZERO)
    ax.plot(list(shown.values()), at, "o", color=palette.BLUE, markersize=palette.BIG)
    for height, value in zip(at, shown.values(), strict=True):
        ax.annotate(
            f"{value:.5g}",
            (value, height),
            (0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=palette.NOTE,
        )
    ax.set_yticks(at, list(shown))
    ax.set_ylim(-0.6, max(len(shown) - 0.3, 0.6))
    ax.margins(x=0.15)
    ax.set_xlabel(label)
    return ax


def complex_plane(ax: Any, values: Any, *, radius: float = 1.0, label: str | None = None) -> "Axes":
    """Points of the complex plane with a circle about 0, on axes of equal scale."""
    ax = axes_of(ax)
    angle = np.linspace(0, 2 * np.pi, 361)
    ax.plot(
        radius * np.cos(angle), radius * np.sin(angle), color=palette.GREY, linewidth=palette.THIN, zorder=1
    )
    ax.axhline(0, **palette.ZERO)
    ax.axvline(0, **palette.ZERO)
    values = np.asarray(values).reshape(-1)
    ax.plot(
        np.real(values),
        np.imag(values),
        "o",
        color=palette.BLUE,
        markersize=palette.MARK,
        label=label,
        zorder=3,
    )
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel(palette.typeset("Re λ"))
    ax.set_ylabel(palette.typeset("Im λ"))
    return ax


def field(ax: Any, x: Any, y: Any, values: Any, x_label: str, y_label: str, label: str) -> "Axes":
    """Values over a plane, shape (len(x), len(y)), in the sequential colours."""
    ax = axes_of(ax)
    shown = np.where(np.isfinite(values), values, np.nan).T
    mesh = ax.pcolormesh(x, y, shown, cmap=palette.SEQUENTIAL, shading="nearest", rasterized=True)
    colour_bar(ax, mesh, label)
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    return ax
