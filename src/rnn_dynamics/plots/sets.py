"""Pictures in state space of what orbits go to: attractors, edge states, one side of an invariant set."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.dynamics import planes
from rnn_dynamics.dynamics.planes import Plane
from rnn_dynamics.plots import palette
from rnn_dynamics.plots.attractors import MARKS, POINT
from rnn_dynamics.plots.basins import basins, is_grid
from rnn_dynamics.plots.canvas import axes_of
from rnn_dynamics.plots.state_space import label_plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnn_dynamics.dynamics.basins import Attractors, BasinLabels, EdgeState
    from rnn_dynamics.dynamics.manifolds import Side


def _plane(states: np.ndarray, axes: tuple[int, int] | None) -> Plane | None:
    """Both of two units, principal components of more; of a single neuron there is none."""
    size = states.shape[1]
    if size == 1:
        return None
    if axes is not None or size == 2:
        return planes.of_units(size, (0, 1) if axes is None else axes)
    return planes.principal_plane(states)


def _placed(plane: Plane | None, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = states.reshape(len(states), -1)
    if plane is None:
        return flat[:, 0], np.zeros(len(flat))
    x, y = plane.of(flat).T
    return x, y


def _named(ax: "Axes", plane: Plane | None) -> None:
    if plane is None:
        ax.set_xlabel("state x")
        ax.set_yticks([])
    else:
        label_plane(ax, plane)
    ax.margins(0.15)


def attractors(found: "Attractors", ax: Any = None, *, axes: tuple[int, int] | None = None) -> "Axes":
    """Attractors in state space: fixed points as discs, cycles as squares, samples of other sets as dots.

    Args:
        found: from ``find_attractors``.
        ax: axes to draw on; new ones by default.
        axes: two units to show; by default both of two, or two principal components.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    orbits = [found.orbit(i) for i in range(len(found))]
    size = int(np.prod(found.points.shape[1:], dtype=int))
    plane = _plane(np.concatenate([np.zeros((0, size)), *(o.reshape(len(o), size) for o in orbits)]), axes)
    for i, orbit in enumerate(orbits):
        colour = palette.SERIES[i % len(palette.SERIES)]
        kind = found.describe(i)
        dots = int(found.periods[i]) == 0
        style: dict[str, Any] = {"marker": "."} if dots else {"marker": "o" if len(orbit) == 1 else "s"}
        style |= (
            {"markersize": palette.DOT}
            if dots
            else {"markersize": palette.BIG, "markeredgecolor": palette.BLACK}
        )
        ax.plot(*_placed(plane, orbit), color=colour, linestyle="none", label=f"{i}: {kind}", **style)
    _named(ax, plane)
    if orbits:
        ax.legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none")
    return ax


def basin_starts(found: "BasinLabels", ax: Any = None, *, axes: tuple[int, int] | None = None) -> "Axes":
    """Starts that are no grid, each a dot in the colour of the attractor that it goes to; grey where open.

    Args:
        found: from ``basins``.
        ax: axes to draw on; new ones by default.
        axes: two units to show; by default both of two, or two principal components of starts and attractors.

    Returns:
        The axes.
    """
    ax, known = axes_of(ax), found.attractors
    size = int(np.prod(known.points.shape[1:], dtype=int))
    starts, labels = found.starts.reshape(-1, size), found.labels.reshape(-1)
    orbits = [known.orbit(i).reshape(-1, size) for i in range(len(known))]
    plane = _plane(np.concatenate([starts, *orbits]), axes)
    for label in (-2, -1, *range(len(known))):
        chosen = starts[labels == label]
        if not len(chosen):
            continue
        colour = palette.SERIES[label % len(palette.SERIES)] if label >= 0 else palette.GREY
        name = (
            f"to {label}: {known.describe(label)}" if label >= 0 else {-1: "undecided", -2: "diverged"}[label]
        )
        mark = "." if label >= 0 else {-1: "x", -2: "+"}[label]
        ax.plot(*_placed(plane, chosen), mark, color=colour, markersize=palette.MARK, alpha=0.7, label=name)
    for i, orbit in enumerate(orbits):
        style = {"color": palette.SERIES[i % len(palette.SERIES)], "markeredgecolor": palette.BLACK}
        ax.plot(*_placed(plane, orbit), "o", markersize=palette.BIG, **style, zorder=4)
    _named(ax, plane)
    ax.legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none")
    return ax


def basin_labels(found: "BasinLabels", ax: Any = None, **options: Any) -> "Axes":
    """The map of starts on a two-dimensional grid (``basins``), others as dots (``basin_starts``).

    Args:
        found: from ``basins``.
        ax: axes to draw on; new ones by default.
        options: of the one or the other.

    Returns:
        The axes.
    """
    return (basins if is_grid(found) else basin_starts)(found, ax, **options)


def edge_state(found: "EdgeState", ax: Any = None, *, axes: tuple[int, int] | None = None) -> "Axes":
    """The set on a boundary between two basins, beside the attractors of both.

    Args:
        found: from ``dynamics.edge_state``.
        ax: axes to draw on; new ones by default.
        axes: two units to show; by default both of two, or two principal components.

    Returns:
        The axes.
    """
    ax = attractors(found.attractors, ax, axes=axes)
    size = int(np.prod(found.state.shape, dtype=int))
    orbit = found.orbit.reshape(-1, size)
    others = [found.attractors.orbit(i).reshape(-1, size) for i in range(len(found.attractors))]
    plane = _plane(np.concatenate(others) if others else orbit, axes)
    ax.plot(*_placed(plane, orbit), **POINT | MARKS["saddle"], label="edge state", zorder=5)
    ax.legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none")
    return ax


def side(found: "Side", ax: Any = None, *, axes: tuple[int, int] | None = None) -> "Axes":
    """One side of an invariant set, from the saddle on.

    Args:
        found: one of ``InvariantSet.sides``.
        ax: axes to draw on; new ones by default.
        axes: two units to show; by default both of two, or two principal components.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    states = found.states.reshape(len(found.states), -1)
    plane = _plane(states, axes)
    x, y = _placed(plane, states)
    ax.plot(x, y, color=palette.BLACK, linewidth=palette.LINE)
    ax.plot(x[:1], y[:1], **POINT | MARKS["saddle"])
    _named(ax, plane)
    return ax
