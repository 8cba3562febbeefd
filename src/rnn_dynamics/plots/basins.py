"""Pictures of basins: which start goes to which attractor, and how the shares change with a parameter."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import axes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnn_dynamics.dynamics.basins import BasinLabels, FractionsAlong

_UNDECIDED, _DIVERGED = -1, -2
_MARKS = "osD^vPX*"
_MOST_NAMED = 10


def _colour(index: int) -> tuple[float, float, float]:
    """Okabe and Ito's colours, then points of a sequential map."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    if index < len(palette.SERIES) - 1:
        return to_rgb(palette.SERIES[index])
    return to_rgb(colormaps[palette.SEQUENTIAL]((0.37 * (index - len(palette.SERIES) + 2)) % 1.0))


def _pale(colour: tuple[float, float, float]) -> tuple[float, float, float]:
    red, green, blue = (1 - 0.5 * (1 - part) for part in colour)
    return red, green, blue


def basin_colour(index: int) -> tuple[float, float, float]:
    """The colour of the basin of an attractor, by its number."""
    return _pale(_colour(index))


def _planes(starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, int, int, bool]:
    """The values across and up, their coordinates in the state, and whether the grid's first axis runs across."""
    for swapped in (False, True):
        rows = starts.swapaxes(0, 1) if swapped else starts
        across = np.flatnonzero(np.ptp(rows[0], axis=0) > 0)
        up = np.flatnonzero(np.ptp(rows[:, 0], axis=0) > 0)
        if len(across) != 1 or len(up) != 1 or across[0] == up[0]:
            continue
        if not swapped and across[0] > up[0]:
            continue  # "ij" indexing: the first coordinate runs along the first axis
        a, b = int(across[0]), int(up[0])
        same = (rows[..., a] == rows[:1, :, a]).all() and (rows[..., b] == rows[:, :1, b]).all()
        if same:
            return rows[0, :, a], rows[:, 0, b], a, b, swapped
    raise ValueError("labels: expected starts on a rectangular grid in two of the state's coordinates")


def is_grid(labels: "BasinLabels") -> bool:
    """Whether the starts are a rectangular grid in two of the state's coordinates, as ``basins`` draws them.

    Args:
        labels: from ``basins``.

    Returns:
        True where they are.
    """
    starts = np.asarray(labels.starts)
    if starts.ndim != 3 or min(starts.shape) < 2:
        return False
    try:
        _planes(starts)
    except ValueError:
        return False
    return True


def basins(labels: "BasinLabels", ax: Any = None, *, legend: bool = True) -> "Axes":
    """The basins of a two-dimensional grid of starts, one pale colour each, attractors in the full colour.

    Undecided starts are grey, diverged ones white with hatching.

    Args:
        labels: from ``basins``, starts of shape (rows, columns, n) on a rectangular grid in two coordinates.
        ax: axes to draw on; new ones by default.
        legend: whether to draw the legend, with the share of each basin.

    Returns:
        The axes.

    Raises:
        ValueError: starts that are no such grid.
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap

    starts = np.asarray(labels.starts)
    if starts.ndim != 3 or min(starts.shape) < 2:
        raise ValueError(f"labels: expected starts of shape (rows, columns, n), got {starts.shape}")
    ax = axes_of(ax)
    across, up, a, b, swapped = _planes(starts)
    values = labels.labels.T if swapped else labels.labels
    count = len(labels.attractors)
    colours = [(1.0, 1.0, 1.0), palette.FADED, *(_pale(_colour(i)) for i in range(count))]
    norm = BoundaryNorm(np.arange(count + 3) - 2.5, count + 2)
    cmap = ListedColormap(colours)
    ax.pcolormesh(across, up, values, cmap=cmap, norm=norm, shading="nearest", rasterized=True)
    _hatch(ax, across, up, values)
    _mark(ax, labels, a, b)
    ax.set_xlabel(f"state of unit {a}")
    ax.set_ylabel(f"state of unit {b}")
    ax.set_xlim(across.min(), across.max())
    ax.set_ylim(up.min(), up.max())
    if legend:
        _legend(ax, labels)
    return ax


def _hatch(ax: "Axes", across: np.ndarray, up: np.ndarray, values: np.ndarray) -> None:
    if (values == _DIVERGED).any():
        diverged = np.where(values == _DIVERGED, 1.0, 0.0)
        filled = ax.contourf(across, up, diverged, levels=[0.5, 1.5], colors="none", hatches=["///"])
        filled.set_edgecolor(palette.LIGHT)
        filled.set_linewidth(0.0)


def _mark(ax: "Axes", labels: "BasinLabels", a: int, b: int) -> None:
    found = labels.attractors
    for i in range(len(found)):
        orbit = found.orbit(i).reshape(-1, found.points.shape[-1])
        if found.periods[i]:
            style = {
                "marker": _MARKS[i % len(_MARKS)],
                "markersize": palette.BIG,
                "markeredgecolor": palette.BLACK,
            }
        else:
            style = {"marker": ".", "markersize": palette.DUST, "markeredgecolor": "none", "alpha": 0.9}
        dark = tuple(0.75 * part for part in _colour(i))
        shown = _colour(i) if found.periods[i] else dark
        ax.plot(orbit[:, a], orbit[:, b], linestyle="none", color=shown, zorder=4, **style)


def _legend(ax: "Axes", labels: "BasinLabels") -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shares, found = labels.fractions(), labels.attractors
    handles: list[Any] = []
    for i in range(min(len(found), _MOST_NAMED)):
        text = f"{i}: {found.describe(i)}, {_percent(shares.attractors[i])}"
        mark = _MARKS[i % len(_MARKS)] if found.periods[i] else "s"
        face = _colour(i) if found.periods[i] else _pale(_colour(i))
        line = {
            "marker": mark,
            "markerfacecolor": face,
            "markeredgecolor": palette.BLACK,
            "markersize": palette.BIG,
        }
        handles.append(Line2D([], [], linestyle="none", label=text, **line))
    if len(found) > _MOST_NAMED:
        handles.append(Patch(facecolor="none", label=f"and {len(found) - _MOST_NAMED} more"))
    if shares.undecided:
        text = f"undecided, {_percent(shares.undecided)}"
        handles.append(Patch(facecolor=palette.FADED, edgecolor=palette.GREY, label=text))
    if shares.diverged:
        text = f"diverged, {_percent(shares.diverged)}"
        handles.append(Patch(facecolor=palette.WHITE, edgecolor=palette.GREY, hatch="///", label=text))
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else "< 0.1 %"


def basin_fractions(result: "FractionsAlong", ax: Any = None, *, legend: bool = True) -> "Axes":
    """The share of each basin against the parameter, stacked to 1; undecided grey, diverged white with hatching.

    Args:
        result: from ``fractions_along``.
        ax: axes to draw on; new ones by default.
        legend: whether to draw the legend.

    Returns:
        The axes.
    """
    from matplotlib.colors import to_rgb

    ax = axes_of(ax)
    base = np.zeros(len(result.parameters))
    parts = [
        (result.fractions[:, i], _colour(i), "", f"{i}: {result.describe(i)}")
        for i in range(result.fractions.shape[1])
    ]
    parts.append((result.undecided, to_rgb(palette.FADED), "", "undecided"))
    parts.append((result.diverged, (1.0, 1.0, 1.0), "///", "diverged"))
    for share, colour, hatch, name in parts:
        if not share.any():
            continue
        top = base + share
        named = name in ("undecided", "diverged")
        face, line = (colour, palette.GREY) if named else (_pale(colour), colour)
        fill: dict[str, Any] = {
            "facecolor": face,
            "hatch": hatch,
            "edgecolor": palette.GREY,
            "linewidth": 0.0,
        }
        ax.fill_between(result.parameters, base, top, label=name, **fill)
        ax.plot(result.parameters, np.where(share > 0, top, np.nan), color=line, linewidth=palette.LINE)
        base = top
    ax.set_xlabel("parameter")
    ax.set_ylabel("fraction of the starts")
    ax.set_xlim(float(result.parameters.min()), float(result.parameters.max()))
    ax.set_ylim(0, 1)
    if legend:
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
    return ax
