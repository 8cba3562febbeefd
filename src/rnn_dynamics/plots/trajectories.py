"""Pictures of trajectories in state space and in time."""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from rnn_dynamics.dynamics import planes
from rnn_dynamics.numerics.validation import choice
from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import axes_of
from rnn_dynamics.plots.state_space import RUN, cobweb, draw_flow, graph, is_known, label_plane, legend_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnn_dynamics.cells.rollout import Trajectories, Trajectory

_END: dict[str, Any] = {
    "markersize": palette.MARK,
    "markeredgecolor": palette.BLUE,
    "linestyle": "none",
    "marker": "o",
    "zorder": 4,
}


def trajectory(
    run: "Trajectory | Trajectories",
    ax: Any = None,
    *,
    kind: str = "states",
    axes: tuple[int, int] | None = None,
    cell: Any = None,
    flow: bool | None = None,
    legend: bool = True,
) -> "Axes":
    """A trajectory in state space, from an open circle to a filled one, with the flow of its cell behind it.

    Args:
        run: from ``rollout``, several of them, or a batch from ``vmap``.
        ax: axes to draw on; new ones by default.
        kind: "states": both units of two, of more the two principal components of the states, of a single neuron
            x_{t+1} against x_t. "time": every unit against t.
        axes: two units to show in place of principal components.
        cell: the cell whose flow is drawn; the trajectory's own by default.
        flow: whether to draw F(x) − x; by default on empty axes, where the input is the same at every step.
        legend: whether to draw the legend.

    Returns:
        The axes.

    Raises:
        ValueError: another kind, or units that the states do not have.
    """
    ax, kind = axes_of(ax), choice("kind", kind, ("states", "time"))
    flow = not ax.has_data() if flow is None else flow
    lines, size = _lines(run)
    if kind == "time":
        return _in_time(ax, lines)
    cell, inputs = _map_of(run, cell) if flow else (None, None)
    like = lines[0].astype(np.asarray(run.states).dtype)
    if size == 1:
        return _cobwebs(ax, lines, cell, inputs, like.reshape(-1, *_shape(run)), legend)
    plane = planes.of_units(size, (0, 1) if axes is None else axes) if axes is not None or size == 2 else None
    plane = planes.principal_plane(np.concatenate(lines)) if plane is None else plane
    for place, line in enumerate(lines):
        x, y = plane.of(line).T
        options: dict[str, Any] = {"marker": ".", "markersize": palette.DOT} if len(line) < 200 else {}
        ax.plot(x, y, **RUN | options, zorder=2)
        ax.plot(x[:1], y[:1], **_END, markerfacecolor=palette.WHITE, label=None if place else "$x_0$")
        ax.plot(x[-1:], y[-1:], **_END, markerfacecolor=palette.BLUE, label=None if place else "$x_T$")
    label_plane(ax, plane)
    if cell is not None:
        draw_flow(ax, plane, cell, inputs, _shape(run), like.dtype)
    if legend:
        legend_of(ax)
    return ax


def _shape(run: Any) -> tuple[int, ...]:
    """Return the shape of one state."""
    return np.shape(run.states)[1 + np.ndim(run.first_nonfinite) :]


def _lines(run: Any) -> tuple[list[np.ndarray], int]:
    """The states of each run, (T+1, n), and n.

    Raises:
        ValueError: states of several axes.
    """
    shape = _shape(run)
    if len(shape) > 1:
        raise ValueError(f"run: expected states of shape (steps+1, n), got one of shape {shape}")
    size = 1 if not shape else shape[0]
    if hasattr(run, "runs"):
        return [np.asarray(one.states).reshape(-1, size) for one in run.runs], size
    states = np.asarray(run.states)
    return list(states.reshape(-1, states.shape[np.ndim(run.first_nonfinite)], size)), size


def _map_of(run: Any, cell: Any) -> tuple[Any, Any]:
    """The cell and one step of the input, where one map made all steps; else ``None``."""
    batched = np.ndim(run.first_nonfinite) > 0 and not hasattr(run, "runs")
    if cell is None:
        cell = _first_if_same(run.cell) if batched else run.cell
    inputs = [one.inputs for one in getattr(run, "runs", (run,))]
    leaves = [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(inputs)]
    several = batched or len(inputs) > 1
    held = not any(several or not len(leaf) or (leaf != leaf[:1]).any() for leaf in leaves)
    if not held or not is_known(cell):
        return None, None
    return cell, jax.tree_util.tree_map(lambda leaf: leaf[:1], inputs[0]) if leaves else None


def _first_if_same(cells: Any) -> Any:
    """The one cell that all runs of a batch share, or ``None``."""
    leaves = [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(cells) if hasattr(leaf, "shape")]
    if not is_known(cells) or any((leaf != leaf[:1]).any() for leaf in leaves):
        return None
    return jax.tree_util.tree_map(lambda leaf: leaf[0] if hasattr(leaf, "shape") else leaf, cells)


def _in_time(ax: "Axes", lines: list[np.ndarray]) -> "Axes":
    for line in lines:
        ax.plot(np.arange(len(line)), line, linewidth=palette.THIN)
    ax.set_xlabel("step $t$")
    ax.set_ylabel("state $x_t$")
    ax.set_xlim(0, max(*(len(line) - 1 for line in lines), 1))
    return ax


def _cobwebs(
    ax: "Axes", lines: list[np.ndarray], cell: Any, inputs: Any, like: np.ndarray, legend: bool
) -> "Axes":
    if cell is not None:
        graph(ax, np.concatenate(lines).ravel(), cell, inputs, like)
    for place, line in enumerate(lines):
        ax.plot(*cobweb(line.ravel()), **RUN, label=None if place else "orbit", zorder=2)
    ax.set_xlabel("state $x_t$")
    ax.set_ylabel("$x_{t+1}$")
    if legend:
        legend_of(ax)
    return ax
