"""Pictures in state space: trajectories, fixed points and attractors, with the flow of the map behind them.

Two units are drawn as they are; of more the plane of two principal components is, and the arrows are the flow in
that plane. A single neuron is drawn as its map, x_{t+1} against x_t.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.dynamics import planes
from rnn_dynamics.dynamics.planes import Plane
from rnn_dynamics.numerics.results import NotKept
from rnn_dynamics.plots import palette
from rnn_dynamics.plots.attractors import MARKS, POINT
from rnn_dynamics.plots.canvas import axes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnn_dynamics.dynamics.equilibria import FixedPoints

#: Of the flow, across and up.
ARROWS = (17, 13)
RUN: dict[str, Any] = {"color": palette.BLUE, "linewidth": palette.THIN, "alpha": 0.85}


def fixed_points(
    result: "FixedPoints",
    ax: Any = None,
    *,
    axes: tuple[int, int] | None = None,
    runs: Any = None,
    cell: Any = None,
    flow: bool | None = None,
    directions: int = 3,
    legend: bool = True,
) -> "Axes":
    """Fixed points and cycles in state space, the unstable directions as lines; slow points as grey crosses.

    Args:
        result: from ``dynamics.fixed_points``.
        ax: axes to draw on; new ones by default.
        axes: two units to show. By default both of two; of more the two principal components of ``runs``, or of the
            points with their leading eigenvectors.
        runs: a ``Trajectory``, or several, or an array of states (…, n): drawn as thin lines, and what the
            principal components are of.
        cell: the cell whose flow F(x) − x is drawn (of a periodic input, over its whole period); by default the
            result's own.
        flow: whether to draw it, arrows as long as the root of the speed; by default on empty axes, where a cell is
            known.
        directions: how many unstable directions of a point are drawn, those that grow fastest: Re of the
            eigenvector, projected.
        legend: whether to draw the legend.

    Returns:
        The axes. The states of a cycle are joined in their order by a thin line. A single neuron is drawn as its
        map where a cell is known.

    Raises:
        ValueError: units that the states do not have; runs of other states.
    """
    ax = axes_of(ax)
    flow = not ax.has_data() if flow is None else flow
    cell = result.cell if cell is None and is_known(result.cell) else cell
    lines = _runs(runs)
    if result.multipliers.shape[1] == 1:
        return _neuron(result, ax, cell if flow else None, lines, legend)
    plane = plane_of(result, lines, axes)
    for states in lines:
        ax.plot(*plane.of(states).T, **RUN, zorder=1)
    _marked(result, ax, plane)
    _unstable(result, ax, plane, directions)
    label_plane(ax, plane)
    if flow and is_known(cell):
        draw_flow(ax, plane, cell, result.inputs, result.points.shape[1:], result.points.dtype)
    if legend:
        legend_of(ax)
    return ax


def is_known(cell: Any) -> bool:
    return cell is not None and not isinstance(cell, NotKept)


def _runs(runs: Any) -> list[np.ndarray]:
    """Return runs as arrays of states (T+1, n)."""
    if runs is None:
        return []
    several = runs if isinstance(runs, list | tuple) else [runs]
    several = [one for run in several for one in getattr(run, "runs", (run,))]
    found = []
    for run in several:
        states = np.asarray(getattr(run, "states", run))
        found += list(states.reshape(-1, *states.shape[-2:])) if states.ndim > 2 else [states]
    return found


def plane_of(result: "FixedPoints", runs: list[np.ndarray], axes: tuple[int, int] | None) -> Plane:
    """The plane of a picture of fixed points.

    Raises:
        ValueError: units that the states do not have; runs of other states.
    """
    size = result.multipliers.shape[1]
    for states in runs:
        if states.ndim != 2 or states.shape[1] != size:
            raise ValueError(f"runs: expected states of {size} units, got shape {states.shape}")
    if axes is not None or size == 2:
        return planes.of_units(size, (0, 1) if axes is None else axes)
    if runs:
        return planes.principal_plane(np.concatenate(runs))
    states = np.concatenate([result.orbits.reshape(-1, size), result.slow.points.reshape(-1, size)])
    vectors = result.eigenvectors()
    order = np.argsort(-np.abs(vectors.multipliers), axis=None, kind="stable")[:8] if len(result) else []
    leading: list[Any] = [vectors.right.reshape(-1, size)[i] for i in order]
    return planes.principal_plane(states, at_least=[part for v in leading for part in (v.real, v.imag)])


def _marked(result: "FixedPoints", ax: "Axes", plane: Plane) -> None:
    """Draw the markers, and the thin lines along cycles."""
    size = result.multipliers.shape[1]
    if len(result.slow):
        x, y = plane.of(result.slow.points.reshape(-1, size)).T
        ax.plot(x, y, "x", color=palette.GREY, markersize=palette.MARK, label="slow point", zorder=4)
    kinds = np.array(result.kind)
    for kind, mark in MARKS.items():
        for is_cycle in (False, True):
            chosen = np.flatnonzero((kinds == kind) & ((result.period > 1) == is_cycle))
            name = f"{kind} {'cycle' if is_cycle else 'fixed point'}"
            shape = (
                {"marker": "s" if kind != "marginal" else "D", "markersize": palette.MARK} if is_cycle else {}
            )
            for place, i in enumerate(chosen):
                x, y = plane.of(result.orbits[i, : result.period[i]].reshape(-1, size)).T
                if is_cycle:
                    line = np.append(np.arange(len(x)), 0)
                    ax.plot(x[line], y[line], color=palette.GREY, linewidth=palette.THIN, zorder=2)
                ax.plot(x, y, **POINT | mark | shape, label=None if place else name, zorder=5)


def _unstable(result: "FixedPoints", ax: "Axes", plane: Plane, count: int) -> None:
    """Lines through the points along Re of the eigenvectors that grow; of a conjugate pair one."""
    chosen = np.flatnonzero(result.unstable > 0)
    if not len(chosen) or count < 1:
        return
    vectors = result.eigenvectors()
    _open(ax)
    sides = np.array([np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())])
    named = False
    for i in chosen:
        grows = np.flatnonzero((np.abs(vectors.multipliers[i]) > 1) & (vectors.multipliers[i].imag >= 0))
        for j in grows[: min(count, int(result.unstable[i]))]:
            unit = vectors.right[i, j].real
            step = plane.along(unit / np.linalg.norm(unit))
            # As long in the picture as the direction lies in its plane, whatever the scales of the axes.
            step = 0.11 * np.linalg.norm(step) * step / max(float(np.linalg.norm(step / sides)), 1e-300)
            x, y = (plane.of(result.points[i].reshape(-1)) + np.array([[-1], [1]]) * step).T
            label = None if named else "unstable direction"
            ax.plot(
                x,
                y,
                color=palette.VERMILION,
                linewidth=palette.LINE,
                label=label,
                zorder=3,
                solid_capstyle="round",
            )
            named = True


def _open(ax: "Axes") -> None:
    """Limits with some room, the shorter side at least a third of the longer: points on a line are no plane."""
    ax.margins(0.12)
    sides = (ax.get_xlim, ax.set_xlim), (ax.get_ylim, ax.set_ylim)
    longest = max(float(np.ptp(get())) for get, _ in sides)
    for get, put in sides:
        low, high = get()
        if high - low < longest / 3:
            put((low + high) / 2 - longest / 6, (low + high) / 2 + longest / 6)


def label_plane(ax: "Axes", plane: Plane) -> None:
    """Name the coordinates, on axes that have no names."""
    if not ax.get_xlabel():
        ax.set_xlabel(plane.names[0])
    if not ax.get_ylabel():
        ax.set_ylabel(plane.names[1])


def draw_flow(ax: "Axes", plane: Plane, cell: Any, inputs: Any, shape: tuple[int, ...], dtype: Any) -> None:
    """F(x) − x over the axes' limits in the plane, as grey arrows; limits with some room are fixed by it."""
    _open(ax)
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    across = np.linspace(left, right, 2 * ARROWS[0] + 1)[1::2]
    up = np.linspace(low, high, 2 * ARROWS[1] + 1)[1::2]
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    states = plane.at(grid).astype(dtype).reshape(-1, *shape)
    moved = planes.flow(cell, inputs, states).reshape(len(states), -1)
    arrows = plane.along(moved)
    speed = np.linalg.norm(arrows, axis=1)
    largest = np.nanmax(np.where(np.isfinite(speed), speed, np.nan), initial=0.0)
    if largest > 0:
        # In units of the axes' own lengths, so that an arrow lies between its neighbours whatever the aspect.
        cells = np.array([(right - left) / ARROWS[0], (high - low) / ARROWS[1]])
        safe = np.where(speed > 0, speed, 1.0)[:, None]
        drawn = arrows / safe / np.maximum(np.abs(arrows / safe / cells).max(axis=1), 1e-300)[:, None]
        drawn = 0.9 * drawn * np.sqrt(speed / largest)[:, None]
        options: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1.0, "pivot": "mid"}
        ax.quiver(*grid.T, *drawn.T, **options, color=palette.FADED, width=0.0026, headwidth=4, zorder=0.5)
    ax.set_xlim(left, right)
    ax.set_ylim(low, high)


def legend_of(ax: "Axes") -> None:
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none")


def _neuron(result: "FixedPoints", ax: "Axes", cell: Any, runs: list[np.ndarray], legend: bool) -> "Axes":
    """A scalar map: F with the diagonal where a cell is known, else the points on a line."""
    orbits = result.orbits.reshape(*result.orbits.shape[:2])
    with_map = is_known(cell)
    if with_map:
        _graph(ax, result, cell, runs)
    slow = result.slow.points.reshape(-1)
    if len(slow):
        ax.plot(
            slow,
            slow if with_map else 0 * slow,
            "x",
            color=palette.GREY,
            markersize=palette.MARK,
            label="slow point",
            zorder=4,
        )
    kinds = np.array(result.kind)
    for kind, mark in MARKS.items():
        for is_cycle in (False, True):
            chosen = np.flatnonzero((kinds == kind) & ((result.period > 1) == is_cycle))
            name = f"{kind} {'cycle' if is_cycle else 'fixed point'}"
            shape = (
                {"marker": "s" if kind != "marginal" else "D", "markersize": palette.MARK} if is_cycle else {}
            )
            for place, i in enumerate(chosen):
                x = orbits[i, : result.period[i]]
                following = np.roll(x, -1)
                if is_cycle and with_map:
                    ax.plot(*cobweb(np.append(x, x[0])), color=palette.GREY, linewidth=palette.THIN, zorder=2)
                y = following if with_map else np.zeros_like(x)
                ax.plot(x, y, **POINT | mark | shape, label=None if place else name, zorder=5)
    ax.set_xlabel("state $x_t$" if with_map else "state x")
    if with_map:
        ax.set_ylabel("$x_{t+1}$")
    else:
        ax.set_yticks([])
    if legend:
        legend_of(ax)
    return ax


def _graph(ax: "Axes", result: "FixedPoints", cell: Any, runs: list[np.ndarray]) -> None:
    """The map's graph over the range of all states, the diagonal, and runs as cobwebs."""
    states = [result.orbits.ravel(), result.slow.points.ravel(), *(run.ravel() for run in runs)]
    graph(ax, np.concatenate(states), cell, result.inputs, result.points)
    for run in runs:
        ax.plot(*cobweb(run.ravel()), **RUN, zorder=2)


def graph(ax: "Axes", states: np.ndarray, cell: Any, inputs: Any, like: np.ndarray) -> None:
    finite = states[np.isfinite(states)]
    low, high = (finite.min(), finite.max()) if len(finite) else (-1.0, 1.0)
    room = 0.15 * (high - low) if high > low else 1.0
    x = np.linspace(low - room, high + room, 301).astype(like.dtype)
    image = x + planes.flow(cell, inputs, x.reshape(-1, *like.shape[1:])).reshape(-1)
    ax.plot(x, x, color=palette.LIGHT, linewidth=palette.THIN, zorder=1)
    ax.plot(x, image, color=palette.BLACK, linewidth=palette.LINE, label="$x_{t+1} = F(x_t)$", zorder=3)


def cobweb(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The stairs between graph and diagonal: (x0, x1), (x1, x1), (x1, x2), …"""
    return np.repeat(x, 2)[1:-2], np.repeat(x, 2)[2:-1]
