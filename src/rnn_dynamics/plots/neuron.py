"""Pictures of one neuron: its bifurcation diagram, orbits, basins and maps of sensitivities."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import axes_of, colour_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnn_dynamics.cells.rollout import Trajectory
    from rnn_dynamics.doya import BifurcationDiagram
    from rnn_dynamics.gradients.sensitivities import Sensitivities

_BASINS = (
    ("lower equilibrium", palette.PALE_BLUE),
    ("upper equilibrium", palette.PALE_ORANGE),
    ("the only equilibrium", palette.WHITE),
    ("on the boundary", palette.BLACK),
    ("undecided", palette.VERMILION),
    ("cycle", palette.PALE_GREEN),
    ("chaos", palette.VIOLET),
)


def bifurcation_diagram(diagram: "BifurcationDiagram", ax: Any = None, *, legend: bool = True) -> "Axes":
    """x_∞ against b: what attracts solid, what repels dashed, folds filled dots, flips open squares.

    Args:
        diagram: from ``doya.bifurcation_diagram``.
        ax: axes to draw on; new ones by default.
        legend: whether to draw the legend.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    seen: set[str] = set()

    def once(label: str) -> str:
        new = label not in seen
        seen.add(label)
        return label if new else "_nolegend_"

    for branch in diagram.branches:
        if branch.kind == "2-cycle":
            ax.plot(branch.b, branch.x, label=once("stable 2-cycle"), **palette.CYCLE)
        elif branch.stable:
            ax.plot(branch.b, branch.x, label=once("stable equilibrium"), **palette.BRANCH)
        else:
            ax.plot(branch.b, branch.x, label=once("unstable equilibrium"), **palette.UNSTABLE)
    markers = {"fold": palette.FOLD, "flip": palette.FLIP, "cusp": palette.CUSP}
    for event in diagram.events:
        ax.plot(event.parameter, event.state, zorder=5, label=once(event.kind), **markers[event.kind])
    ax.set_xlabel(palette.BIAS_AXIS)
    ax.set_ylabel(palette.STATE_AXIS)
    ax.set_title(rf"$w = {diagram.w:g}$, $\varepsilon = {diagram.epsilon:g}$")
    ax.set_xlim(float(diagram.b.min()), float(diagram.b.max()))
    if legend:
        ax.legend(loc="best")
    return ax


def orbit(trajectory: "Trajectory", ax: Any = None, **line: Any) -> "Axes":
    """The states of a trajectory against time, every unit a line.

    Args:
        trajectory: from ``rollout``; a batch from ``jax.vmap`` too, all its runs in one picture.
        ax: axes to draw on; new ones by default.
        line: properties of matplotlib's lines, such as ``color`` and ``label``.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    states = np.moveaxis(np.asarray(trajectory.states), len(trajectory.batch), 0)
    ax.plot(np.arange(len(states)), states.reshape(len(states), -1), **line)
    ax.set_xlabel("step $t$")
    ax.set_ylabel("state $x_t$")
    ax.set_xlim(0, max(trajectory.steps, 1))
    return ax


def basin_map(horizontal: Any, vertical: Any, labels: Any, ax: Any = None) -> "Axes":
    """Which attractor each start or parameter reaches, one flat colour a label.

    Args:
        horizontal: the axis across, shape (m,), ascending.
        vertical: the axis up, shape (n,), ascending.
        labels: from ``doya.basin_label``, shape (n, m).
        ax: axes to draw on; new ones by default.

    Returns:
        The axes, with a legend of the labels that occur.
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch

    ax = axes_of(ax)
    colours = ListedColormap([colour for _, colour in _BASINS])
    steps = BoundaryNorm(np.arange(len(_BASINS) + 1) - 0.5, len(_BASINS))
    labels = np.asarray(labels)
    ax.pcolormesh(horizontal, vertical, labels, cmap=colours, norm=steps, shading="nearest", rasterized=True)
    present = [(name, colour) for i, (name, colour) in enumerate(_BASINS) if (labels == i).any()]
    patches = [Patch(facecolor=colour, edgecolor=palette.GREY, label=name) for name, colour in present]
    ax.legend(handles=patches, loc="upper left", frameon=True, framealpha=0.9)
    return ax


def log_map(
    horizontal: Any,
    vertical: Any,
    decades: Any,
    ax: Any = None,
    *,
    limit: float = 6.0,
    label: str = "size",
    unresolved: Any = None,
    bar: bool = True,
) -> "Axes":
    """Decades over a plane in a diverging map about 0: red grows, blue decays, white keeps its size.

    Args:
        horizontal: the axis across, shape (m,), ascending.
        vertical: the axis up, shape (n,), ascending.
        decades: log₁₀ of a size, shape (n, m); −inf takes the end colour.
        ax: axes to draw on; new ones by default.
        limit: decades at the ends of the scale; what lies beyond takes the end colour, and the bar says so.
        label: of the colour bar.
        unresolved: mask of points whose number floats cannot carry; they are hatched out.
        bar: whether to draw the colour bar.

    Returns:
        The axes.
    """
    from matplotlib.colors import Normalize

    ax = axes_of(ax)
    values = np.asarray(decades, float)
    image = ax.pcolormesh(
        horizontal,
        vertical,
        np.where(np.isneginf(values), -1e9, values),
        cmap=palette.DIVERGING,
        norm=Normalize(-limit, limit),
        shading="nearest",
        rasterized=True,
    )
    low, high = bool((values < -limit).any()), bool((values > limit).any())
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get((low, high), "neither")
    if bar:
        colour_bar(ax, image, label, extend=extend, powers=True)
    if unresolved is not None and np.any(unresolved):
        mask = np.asarray(unresolved, float)
        ax.contourf(horizontal, vertical, mask, [0.5, 1.5], colors="none", hatches=["xxxx"])
    return ax


def sensitivity_map(
    horizontal: Any,
    vertical: Any,
    sensitivities: "Sensitivities",
    ax: Any = None,
    *,
    parameter: int | None = None,
    limit: float = 6.0,
    label: str | None = None,
    bar: bool = True,
) -> "Axes":
    """log₁₀ of a derivative of x_T over a plane; points that floats cannot carry are hatched.

    Args:
        horizontal, vertical: the axes, shapes (m,) and (n,).
        sensitivities: of shape (n, m).
        ax: axes to draw on; new ones by default.
        parameter: which parameter's derivative; ``None`` is that with respect to x_0.
        limit: decades at the ends of the colour scale.
        label: of the colour bar; by default it names the derivative.
        bar: whether to draw the colour bar.

    Returns:
        The axes.
    """
    from rnn_dynamics.numerics.status import Status

    value = sensitivities.initial if parameter is None else sensitivities.parameters[parameter]
    name = "x_0" if parameter is None else rf"\theta_{{{parameter}}}"
    return log_map(
        horizontal,
        vertical,
        value.log10(),
        ax,
        limit=limit,
        label=label or rf"$|\partial x_T/\partial {name}|$",
        unresolved=np.asarray(sensitivities.status) != int(Status.RESOLVED),
        bar=bar,
    )
