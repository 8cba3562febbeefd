"""The picture of the attractors' explorer: flow or basins, points and cycles, sets of a saddle, an orbit."""

from typing import TYPE_CHECKING, Any, NamedTuple

from rnn_dynamics.explore import panel
from rnn_dynamics.explore.picture import Area

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy import ndarray

    from rnn_dynamics.dynamics.basins import Attractors, BasinLabels
    from rnn_dynamics.dynamics.equilibria import FixedPoints
    from rnn_dynamics.dynamics.planes import Plane

SIZE = (7.4, 4.8)  # inches
TWO_UNITS = "two units"  # of the planes of more


class Found(NamedTuple):
    """What does not depend on a control."""

    points: "FixedPoints"
    attractors: "Attractors"
    behind: "list[ndarray]"
    box: tuple[float, float, float, float]


def drawn(
    results: dict[str, Any], found: Found, plane: "Plane", values: dict[str, Any]
) -> tuple[bytes, Area]:
    """The picture as a PNG, and where its axes are."""
    import numpy as np

    from rnn_dynamics import plots
    from rnn_dynamics.plots import palette

    two = found.points.multipliers.shape[1] == 2
    axes = None if two or values["plane"] != TWO_UNITS else (values["first"], values["second"])
    behind = [] if two else found.behind
    with panel.figure(*SIZE) as figure:
        ax = figure.subplots()
        figure.subplots_adjust(left=0.09, right=0.735, top=0.97, bottom=0.11)
        if results["basins"] is not None:
            plots.basins(results["basins"], ax, legend=False)
            for line in list(ax.lines):
                line.remove()  # its marks of attractors, which are drawn by their stability here
        elif two:
            ax.set_xlim(found.box[:2])
            ax.set_ylim(found.box[2:])
        _sets(ax, results)
        with_flow, first = results["basins"] is None, len(ax.lines)
        directions = 3 if results["unstable_set"] is None else 0
        options: dict[str, Any] = {"flow": with_flow, "directions": directions, "legend": False}
        plots.fixed_points(found.points, ax, axes=axes, runs=behind, **options)
        for line in ax.lines[first : first + len(behind)]:
            line.set(color=palette.LIGHT, linewidth=0.6)
        _others(ax, found.attractors, plane)
        _orbit(ax, plane.of(np.asarray(results["trajectory"].states)))
        if two:
            ax.set_xlim(found.box[:2])
            ax.set_ylim(found.box[2:])
        ax.set_xlabel(plane.names[0])
        ax.set_ylabel(plane.names[1])
        _legend(ax, results["basins"])
        return panel.png(figure), Area.of("plane", ax)


def _sets(ax: "Axes", results: dict[str, Any]) -> None:
    from rnn_dynamics import plots

    for name in ("stable_set", "unstable_set"):
        if results[name] is not None:
            plots.invariant_set(results[name], ax)


def _others(ax: "Axes", known: "Attractors", plane: "Plane") -> None:
    """The attractors' numbers, and those that are no fixed points: cycles as squares, other sets as dots."""
    from rnn_dynamics.plots import palette

    for i in range(len(known)):
        orbit = known.orbit(i)
        x, y = plane.of(orbit.reshape(len(orbit), -1)).T
        beside: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "zorder": 8}
        plate = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
        ax.annotate(f"{i}", (x[0], y[0]), (7, 6), bbox=plate, **beside)
        if known.periods[i] == 1:
            continue
        mark: dict[str, Any] = {"marker": ".", "markersize": 2.0}
        if known.periods[i]:
            mark = {"marker": "s", "markersize": 5.0, "markeredgecolor": palette.BLACK}
        label = f"{known.describe(i)}, attracting"
        ax.plot(x, y, color=palette.BLUE, linestyle="none", label=label, zorder=5, **mark)


def _orbit(ax: "Axes", states: "ndarray") -> None:
    from rnn_dynamics.plots import palette

    x, y = states.T
    ax.plot(x, y, ".-", color=palette.GREEN, linewidth=1.0, markersize=3.5, label="orbit", zorder=3.6)
    end: dict[str, Any] = {"linestyle": "none", "markeredgecolor": palette.GREEN, "zorder": 7}
    ax.plot(x[:1], y[:1], marker="o", markersize=7, markerfacecolor="white", label="its start", **end)


def _legend(ax: "Axes", labels: "BasinLabels | None") -> None:
    from matplotlib.patches import Patch

    from rnn_dynamics.plots.basins import basin_colour

    handles, names = ax.get_legend_handles_labels()
    if labels is not None:
        shares = labels.fractions()
        for i, share in enumerate(shares.attractors[:8]):
            handles.append(Patch(facecolor=basin_colour(i), edgecolor="none"))
            names.append(f"basin of {i}: {100 * share:.3g} %")
        rest = ((shares.undecided, "undecided", "#999999"), (shares.diverged, "diverged", "white"))
        for share, name, colour in rest:
            if share:
                handles.append(Patch(facecolor=colour, edgecolor="#6e6e6e", linewidth=0.5))
                names.append(f"{name}: {100 * share:.3g} %")
    ax.legend(handles, names, loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0.0)
