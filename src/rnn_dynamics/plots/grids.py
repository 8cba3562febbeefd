"""Pictures of a sweep, whole or not: a value over two axes or one, the others held; only what is drawn is read."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rnn_dynamics.numerics.swept import Sweep
from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import axes_of, colour_bar, panel_labels
from rnn_dynamics.plots.lines import series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HATCHED: dict[str, Any] = {
    "facecolor": palette.LIGHT,
    "edgecolor": palette.FADED,
    "hatch": "////",
    "linewidth": 0,
}


class Slice(NamedTuple):
    """A part of a sweep.

    Attributes:
        values: by name, the axes that were kept in front.
        computed: whether a point is there, over the axes that were kept.
        held: of each other axis the point, a number or a name.
    """

    values: dict[str, np.ndarray]
    computed: np.ndarray
    held: dict[str, Any]


def labels_of(found: Sweep, axis: str) -> list[str] | None:
    """The names that an axis' points stand for; ``None`` of an axis of numbers."""
    labels = found.metadata.get("labels")
    names = labels.get(axis) if isinstance(labels, dict) else None
    return names if names is not None and len(names) == len(found.axes[axis]) else None


def nearest(found: Sweep, axis: str, wanted: Any) -> int:
    """The place of the point of an axis that is nearest to a number, or has that name."""
    labels = labels_of(found, axis)
    if labels is not None and wanted in labels:
        return labels.index(wanted)
    if isinstance(wanted, bool) or not isinstance(wanted, int | float | np.generic) or np.isnan(wanted):
        known = f" or one of {', '.join(labels)}" if labels else ""
        raise ValueError(f"at: expected a number{known} for {axis}, got {wanted!r}")
    return int(np.argmin(np.abs(found.axes[axis].astype(float) - float(wanted))))


def slice_of(
    found: Sweep, names: Sequence[str], kept: Sequence[str], at: Mapping[str, Any] | None = None
) -> Slice:
    """Values over the axes that are kept, in their order, at one point of every other: by ``at``, or the first.

    Raises:
        ValueError: an axis that the sweep does not have, or that is kept and held; a value that is no point.
    """
    held = dict(at or {})
    for axis in held:
        if axis not in found.axes or axis in kept:
            free = [name for name in found.axes if name not in kept]
            raise ValueError(
                f"at: expected axes that are not drawn ({', '.join(free) or 'there are none'}), got {axis!r}"
            )
    places = {
        axis: nearest(found, axis, held[axis]) if axis in held else 0
        for axis in found.axes
        if axis not in kept
    }
    index = tuple(places.get(axis, slice(None)) for axis in found.axes)
    order = [[axis for axis in found.axes if axis in kept].index(axis) for axis in kept]

    def part(array: Any) -> np.ndarray:
        cut = np.asarray(array[index])
        return np.transpose(cut, [*order, *range(len(order), cut.ndim)])

    shown = {}
    for axis, place in places.items():
        labels = labels_of(found, axis)
        shown[axis] = found.axes[axis][place].item() if labels is None else labels[place]
    return Slice({name: part(found.values[name]) for name in names}, part(found.computed), shown)


def edges(points: Any) -> np.ndarray:
    """The borders of the cells about ascending points, halfway between them."""
    points = np.asarray(points, float)
    if len(points) == 1:
        return points[0] + np.array([-0.5, 0.5])
    middle = (points[1:] + points[:-1]) / 2
    return np.concatenate([[2 * points[0] - middle[0]], middle, [2 * points[-1] - middle[-1]]])


def plane(
    ax: "Axes",
    x: Any,
    y: Any,
    values: Any,
    label: str,
    *,
    bar: bool = True,
    extend: str | None = None,
    **colours: Any,
) -> Any:
    """Values over two ascending axes, shape (len(x), len(y)), a cell for each point; the mesh.

    Args:
        ax: axes to draw on.
        x, y: the axes' points.
        values: what has no number leaves a gap.
        label: of the colour bar.
        bar: whether to draw it.
        extend: which ends of it are open.
        colours: ``vmin``, ``vmax``, ``norm`` and ``cmap`` of the colours, the sequential ones by default.
    """
    shown = np.ma.masked_invalid(np.asarray(values, float)).T
    options = {"cmap": palette.SEQUENTIAL, **colours}
    mesh = ax.pcolormesh(edges(x), edges(y), shown, shading="flat", rasterized=True, **options)
    if bar:
        colour_bar(ax, mesh, label, extend=extend)
    return mesh


def not_computed(ax: "Axes", x: Any, y: Any, computed: Any) -> None:
    """Hatch on grey where nothing is computed, below what is drawn; computed points without a number are white."""
    from matplotlib.patches import Rectangle

    computed = np.asarray(computed)
    if computed.all():
        return
    ax.add_patch(Rectangle((0, 0), 1, 1, transform=ax.transAxes, zorder=0.1, **_HATCHED))
    white = np.ma.masked_array(np.zeros(computed.T.shape), ~computed.T)
    colour = {"cmap": _only(palette.WHITE), "zorder": 0.2, "rasterized": True}
    ax.pcolormesh(edges(x), edges(y), white, shading="flat", **colour)
    ax.set_xlim(*edges(x)[[0, -1]])
    ax.set_ylim(*edges(y)[[0, -1]])


def _only(colour: str) -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap([colour])


def panels(ax: Any, rows: int, columns: int, height: float) -> list["Axes"]:
    """The panels of a new figure, lettered; of axes that are given these alone.

    Args:
        ax: axes, or ``None``.
        rows, columns: of panels.
        height: of a row, in inches.
    """
    if ax is not None:
        return [axes_of(ax)]
    from matplotlib import pyplot

    size = (palette.FULL, rows * height)
    _, axes = pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    return list(axes.flat)


def caption(panels: Sequence["Axes"], cut: Slice, note: str = "", **symbols: str) -> None:
    """Say above the picture at which points other axes are held, and how much of what it shows is not computed.

    Args:
        panels: the panels, of one figure or one alone; several get letters.
        cut: what is shown.
        note: what else is said.
        symbols: how an axis is written; its name by default.
    """
    said = [f"{symbols.get(axis, axis)} = {written(point)}" for axis, point in cut.held.items()]
    missing = 1 - float(np.mean(cut.computed))
    if missing:
        said.append(f"hatched: not computed ({max(missing, 0.01):.0%})")
    text = "; ".join(part for part in (", ".join(said), note) if part)
    if len(panels) > 1:
        panel_labels(panels)
        figure = panels[0].get_figure(root=True)
        assert figure is not None
        figure.suptitle(text)
    elif text:
        panels[0].set_title(text)


def written(point: Any) -> str:
    """A point of an axis in a caption."""
    return f"{point:.6g}".replace("-", "−") if isinstance(point, int | float) else str(point)


def sweep(
    found: Sweep,
    ax: Any = None,
    *,
    value: str | None = None,
    x: str | None = None,
    y: str | None = None,
    at: Mapping[str, Any] | None = None,
) -> "Axes":
    """One value of a sweep: a map over two axes, or lines over one.

    Of a sweep with a store only what is drawn is read; points that are not computed are hatched on grey, and the
    title says so.

    Args:
        found: from ``sweep``.
        ax: axes to draw on; new ones by default.
        value: name of the value; the first one by default.
        x: name of the axis across; by default the first one of several points.
        y: name of the axis up. Without it and with ``x`` given, or of a sweep of one axis, lines over ``x`` are
            drawn; else it is the next axis of several points.
        at: points at which other axes are held, by name: of numbers the nearest one, of names that one; their first
            point by default. Entries of a value of more than a number are axes NAME_0, NAME_1, …

    Returns:
        The axes.

    Raises:
        ValueError: a value or an axis that the sweep does not have; complex values.
    """
    value = _chosen("value", value, list(found.values)) or next(iter(found.values))
    x, y = _across(found, _chosen("x", x, list(found.axes)), _chosen("y", y, list(found.axes)))
    at, inner = dict(at or {}), {}
    for name in [name for name in at if name.startswith(f"{value}_") and name not in found.axes]:
        inner[name] = at.pop(name)
    cut = slice_of(found, [value], [x] if y is None else [x, y], at)
    values, entries = _numbers(cut.values[value], value, inner, kept=1 if y is None else 2, lines=y is None)
    cut = cut._replace(held=cut.held | entries)
    ax = axes_of(ax)
    across, across_order = _placed(found, x)
    values, computed = values[across_order], cut.computed[across_order]
    if y is None:
        _lines(ax, across, values, computed, x, value)
    else:
        up, up_order = _placed(found, y)
        values, computed = values[:, up_order], computed[:, up_order]
        plane(ax, across, up, np.where(computed, values, np.nan), value)
        not_computed(ax, across, up, computed)
        ax.set_ylabel(y)
        _named(ax.yaxis, found, y)
    ax.set_xlabel(x)
    _named(ax.xaxis, found, x)
    caption([ax], cut)
    return ax


def _chosen(argument: str, name: str | None, known: list[str]) -> str | None:
    if name is not None and name not in known:
        raise ValueError(f"{argument}: expected one of {', '.join(known)}, got {name!r}")
    return name


def _across(found: Sweep, x: str | None, y: str | None) -> tuple[str, str | None]:
    """The axes of the picture: those of several points first, where none are given."""
    if x is not None and x == y:
        raise ValueError(f"y: expected another axis than x, got {y!r} twice")
    left = sorted(
        (name for name in found.axes if name not in (x, y)), key=lambda name: len(found.axes[name]) < 2
    )
    if x is not None:
        return x, y
    x = left.pop(0) if left else None
    if x is None:
        raise ValueError(f"y: expected a sweep of two axes or more, got one over {y!r} alone")
    return x, y or (left[0] if left else None)


def _numbers(
    values: np.ndarray, name: str, inner: Mapping[str, Any], kept: int, lines: bool
) -> tuple[np.ndarray, dict[str, Any]]:
    """Real numbers over the axes that are kept; lines may have one axis more, a map takes one entry."""
    if values.dtype.kind == "c":
        raise ValueError(f"value: expected real numbers, got {name} of {values.dtype}")
    known = [f"{name}_{i}" for i in range(values.ndim - kept)]
    for axis in inner:
        if axis not in known:
            raise ValueError(f"at: {name} has no axis {axis!r}")
    entries = {axis: inner.get(axis, 0) for axis in known if axis in inner or not lines}
    for i, axis in reversed([(i, axis) for i, axis in enumerate(known) if axis in entries]):
        place, length = entries[axis], values.shape[kept + i]
        if isinstance(place, bool) or not isinstance(place, int) or not -length <= place < length:
            raise ValueError(f"at: expected an integer from 0 to {length - 1} for {axis}, got {place!r}")
        values = np.take(values, place, axis=kept + i)
    return values, entries


def _placed(found: Sweep, axis: str) -> tuple[np.ndarray, np.ndarray]:
    """The points of an axis in ascending order, names by their number; and the order."""
    points = found.axes[axis].astype(float)
    order = np.argsort(points, kind="stable")
    return points[order], order


def _named(axis: Any, found: Sweep, name: str) -> None:
    labels = labels_of(found, name)
    if labels is not None:
        axis.set_ticks(np.arange(len(labels)), labels)


def _lines(
    ax: "Axes", x: np.ndarray, values: np.ndarray, computed: np.ndarray, name: str, label: str
) -> None:
    rows = values.astype(float).reshape(len(x), -1)
    shown = np.where(computed[:, None], rows, np.nan)
    series(ax, x, {label: shown if rows.shape[1] > 1 else shown[:, 0]}, name, label)
    gaps(ax, x, computed)


def gaps(ax: "Axes", x: Any, computed: Any) -> None:
    """Hatch on grey the stretches of the axis across where nothing is computed."""
    borders = edges(x)
    for place in np.flatnonzero(~np.asarray(computed)):
        ax.axvspan(borders[place], borders[place + 1], zorder=0.1, **_HATCHED)
