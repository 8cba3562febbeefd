"""Pictures of invariant sets in state space and of multipliers in the complex plane; the marks of fixed points."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import axes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnn_dynamics.dynamics.equilibria import FixedPoints
    from rnn_dynamics.dynamics.manifolds import InvariantSet

POINT: dict[str, Any] = {"linestyle": "none", "markersize": palette.BIG, "markeredgecolor": palette.BLACK}
# Filled, half filled, open: how many directions decay.
MARKS: dict[str, dict[str, Any]] = {
    "stable": {"marker": "o", "markerfacecolor": palette.BLUE},
    "saddle": {
        "marker": "o",
        "fillstyle": "left",
        "markerfacecolor": palette.BLACK,
        "markerfacecoloralt": palette.WHITE,
    },
    "repelling": {"marker": "o", "markerfacecolor": palette.WHITE},
    "marginal": {"marker": "D", "markerfacecolor": palette.ORANGE},
}

_SETS: dict[str, dict[str, Any]] = {
    "stable": {"color": palette.BLACK, "linestyle": "-", "linewidth": palette.LINE},
    "unstable": {"color": palette.BLACK, "linestyle": palette.SHORT, "linewidth": palette.THIN},
}


def _pair(states: np.ndarray, axes: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Two coordinates of states (…, *state); of a scalar state the state and zeros."""
    if states.ndim == 1 or states.shape[-1] == 1:
        flat = states.reshape(len(states))
        return flat, np.zeros_like(flat)
    return states[:, axes[0]], states[:, axes[1]]


def invariant_set(
    result: "InvariantSet", ax: Any = None, *, axes: tuple[int, int] = (0, 1), label: str | None = None
) -> "Axes":
    """A stable set (solid) or unstable set (dashed) in two coordinates of state space, the saddle at its middle.

    Args:
        result: from ``stable_set`` or ``unstable_set``.
        ax: axes to draw on, whose limits are kept; new ones by default.
        axes: the two units that are shown.
        label: for the legend, "stable set" or "unstable set" by default.

    Returns:
        The axes.

    Raises:
        ValueError: units that the states do not have.
    """
    size = len(result.direction)
    if size > 1 and not all(-size <= i < size for i in axes):
        raise ValueError(f"axes: expected two units of {size}, got {axes}")
    given, ax = ax is not None, axes_of(ax)
    limits = ax.get_xlim(), ax.get_ylim()
    drawn = ax.has_data()
    ax.plot(*_pair(result.states, axes), **_SETS[result.kind], label=label or f"{result.kind} set", zorder=3)
    ax.plot(*_pair(result.point[None], axes), **POINT | MARKS["saddle"], zorder=5)
    if given and drawn:
        ax.set_xlim(limits[0])
        ax.set_ylim(limits[1])
    if not ax.get_xlabel():
        ax.set_xlabel(palette.STATE_AXIS if size == 1 else f"state of unit {axes[0]}")
    if not ax.get_ylabel() and size > 1:
        ax.set_ylabel(f"state of unit {axes[1]}")
    return ax


def multipliers(result: "FixedPoints", ax: Any = None, *, legend: bool = True) -> "Axes":
    """Multipliers of every fixed point and cycle in the complex plane, with the unit circle.

    Args:
        result: from ``dynamics.fixed_points``.
        ax: axes to draw on; new ones by default.
        legend: whether to draw the legend.

    Returns:
        The axes, of equal scale. Stable directions lie inside the circle.
    """
    ax = axes_of(ax)
    angle = np.linspace(0, 2 * np.pi, 361)
    ax.plot(np.cos(angle), np.sin(angle), color=palette.GREY, linewidth=palette.THIN, zorder=1)
    ax.axhline(0, **palette.ZERO)
    ax.axvline(0, **palette.ZERO)
    kinds = np.array(result.kind)
    for kind, mark in MARKS.items():
        values = result.multipliers[kinds == kind].reshape(-1)
        if values.size:
            style = POINT | mark | {"markersize": palette.MARK, "markeredgewidth": palette.THIN}
            ax.plot(np.real(values), np.imag(values), **style, label=kind, zorder=3)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel(palette.typeset("Re λ"))
    ax.set_ylabel(palette.typeset("Im λ"))
    if legend and ax.get_legend_handles_labels()[0]:
        ax.legend(loc="best", title="multipliers of")
    return ax
