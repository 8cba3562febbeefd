"""Branches of fixed points and cycles, bifurcation curves, orbit diagrams."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import axes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnn_dynamics.dynamics.bifurcations import BifurcationCurve
    from rnn_dynamics.dynamics.continuation import Branch, Branches
    from rnn_dynamics.dynamics.orbit_diagram import OrbitDiagram

_OTHER = {**palette.FLIP, "marker": "^"}
_MARKERS = {
    "fold": palette.FOLD,
    "flip": palette.FLIP,
    "neimark-sacker": {**palette.FLIP, "marker": "o", "markerfacecolor": palette.SKY},
    "pitchfork": {**palette.FLIP, "marker": "v"},
    "transcritical": {**palette.FLIP, "marker": "X"},
    "cusp": palette.CUSP,
}
_CURVES = {"fold": palette.BLACK, "flip": palette.BLUE, "neimark-sacker": palette.GREEN}


def _component(states: np.ndarray, component: int) -> np.ndarray:
    return states if states.ndim == 1 else states[..., component]


def _runs(stable: np.ndarray) -> list[tuple[int, int, bool]]:
    """Stretches of equal stability, each with the first point of the next so that lines meet."""
    ends = np.flatnonzero(np.diff(stable)) + 1
    starts = np.concatenate([[0], ends])
    stops = np.concatenate([ends + 1, [len(stable)]])
    return [(int(a), int(b), bool(stable[a])) for a, b in zip(starts, stops, strict=True)]


def branch(
    result: "Branch", ax: "Axes | None" = None, *, component: int = 0, legend: bool = False, color: Any = None
) -> "Axes":
    """One coordinate of a branch against its parameter; stable solid, unstable dashed, events marked.

    Every state of a cycle is drawn.

    Args:
        result: from ``continue_branch``.
        ax: axes to draw on; new ones by default.
        component: which coordinate of the state is drawn.
        legend: whether a legend is added.
        color: of the lines; those of ``plots.palette`` by default.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    orbits = result.orbits()
    values = orbits if orbits.ndim == 2 else orbits[..., component]
    solid = palette.BRANCH if result.period == 1 else palette.CYCLE
    for first, last, stable in _runs(result.stable):
        look = dict(solid if stable else {**palette.UNSTABLE, "color": solid["color"]})
        look |= {} if color is None else {"color": color}
        ax.plot(result.parameters[first:last], values[first:last], **look)
    seen = set(ax.get_legend_handles_labels()[1])
    for event in result.events:
        height = event.state if np.ndim(event.state) == 0 else np.asarray(event.state)[component]
        label = None if event.kind in seen else event.kind.replace("neimark-sacker", "Neimark–Sacker")
        seen.add(event.kind)
        ax.plot(event.parameter, height, label=label, zorder=4, **_MARKERS.get(event.kind, _OTHER))
    ax.set_xlabel("parameter")
    ax.set_ylabel("x" if np.ndim(result.states) == 1 else f"$x_{{{component + 1}}}$")
    if legend and seen:
        ax.legend()
    return ax


def branches(result: "Branches", ax: "Axes | None" = None, *, component: int = 0) -> "Axes":
    """One coordinate of every branch against the parameter, dark to light with q; stable solid, unstable dashed.

    The first, the middle and the last branch stand in the legend. Of a cycle one state is drawn.

    Args:
        result: from ``continue_branches``.
        ax: axes to draw on; new ones by default.
        component: which coordinate of the state is drawn.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    named = {0, len(result) // 2, len(result) - 1}
    for i, colour in enumerate(palette.shades(len(result))):
        number = int(result.number[i])
        values = _component(result.states[i], component)
        label = f"q = {result.q[i]:g}" if i in named and result.q.ndim == 1 else None
        for first, last, stable in _runs(result.stable[i, :number]) if number else []:
            look = {
                **(palette.BRANCH if stable else palette.UNSTABLE),
                "linewidth": palette.LINE,
                "color": colour,
            }
            ax.plot(result.parameters[i, first:last], values[first:last], label=label, **look)
            label = None
    ax.set_xlabel("parameter")
    ax.set_ylabel("x" if result.states.ndim == 2 else f"$x_{{{component + 1}}}$")
    if ax.get_legend_handles_labels()[1]:
        ax.legend()
    return ax


def bifurcation_curve(
    result: "BifurcationCurve", ax: "Axes | None" = None, *, label: str | None = None
) -> "Axes":
    """A bifurcation curve in the plane of its two parameters, points of codimension two marked and named.

    Args:
        result: from ``bifurcation_curve``.
        ax: axes to draw on; new ones by default.
        label: for the legend; the kind of bifurcation by default.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    style = palette.DASHED if result.kind == "flip" else "-"
    colour = _CURVES[result.kind]
    ax.plot(
        *result.parameters.T,
        color=colour,
        linestyle=style,
        linewidth=palette.LINE,
        label=label or result.kind,
    )
    for event in result.events:
        ax.plot(*event.parameter, zorder=4, **_MARKERS.get(event.kind, _OTHER))
        ax.annotate(
            event.kind, event.parameter, xytext=(6, 4), textcoords="offset points", fontsize=palette.NOTE
        )
    ax.set_xlabel("first parameter")
    ax.set_ylabel("second parameter")
    return ax


def orbit_diagram(result: "OrbitDiagram", ax: "Axes | None" = None, *, component: int = 0) -> "Axes":
    """The kept states as points; where the two directions differ the downward one is drawn in another colour.

    Args:
        result: from ``orbit_diagram``.
        ax: axes to draw on; new ones by default.
        component: which coordinate of the state is drawn.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    for states, colour, name in ((result.down, palette.VERMILION, "down"), (result.up, palette.BLACK, "up")):
        values = states if states.ndim == 2 else states[..., component]
        at = np.broadcast_to(result.parameters[:, None], values.shape)
        ax.plot(at.ravel(), values.ravel(), ",", color=colour, alpha=0.6, label=name, rasterized=True)
    ax.set_xlabel("parameter")
    ax.set_ylabel("x" if result.up.ndim == 2 else f"$x_{{{component + 1}}}$")
    return ax
