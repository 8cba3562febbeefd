"""Pictures of the loss cliff: along b, over (w, b), and paths of descent."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import axes_of, colour_bar
from rnn_dynamics.plots.powers import powers_of_ten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnn_dynamics.cliff import Descent, LossAlong, Profile, Surface

_JUMPS = {
    "basin boundary": palette.WALL,
    "fold": {"color": palette.BLACK, "linestyle": palette.DOTTED, "linewidth": palette.LINE},
    "neither": {"color": palette.GREY, "linestyle": "-", "linewidth": palette.LINE},
}
_POINTS = {
    "basin boundary": {
        "marker": "D",
        "markersize": palette.DOT,
        "color": palette.ORANGE,
        "markeredgecolor": palette.WHITE,
    },
    "fold": {
        "marker": "o",
        "markersize": palette.DOT,
        "color": palette.BLACK,
        "markeredgecolor": palette.WHITE,
    },
    "neither": {"marker": "x", "markersize": palette.DOT, "color": palette.GREY},
}


def loss_profile(
    profile: "Profile", ax: Any = None, *, quantity: str = "loss", legend: bool = True
) -> "Axes":
    """L along b for each T with its limit, or |∂L/∂b| on a log scale, the wall marked.

    Args:
        profile: from ``cliff.profile``.
        ax: axes to draw on; new ones by default.
        quantity: "loss" or "gradient".
        legend: whether to draw the legend.

    Returns:
        The axes.

    Raises:
        ValueError: another quantity.
    """
    if quantity not in ("loss", "gradient"):
        raise ValueError(f"quantity: expected 'loss' or 'gradient', got {quantity!r}")
    ax = axes_of(ax)
    b = np.asarray(profile.b)
    if quantity == "loss":
        lines = np.asarray(profile.loss.value)
        limit = np.asarray(profile.limit.even)
        ax.plot(
            b, limit, color=palette.GREY, linestyle=palette.DOTTED, linewidth=palette.BOLD, label="$T → ∞$"
        )
        ax.set_ylabel("loss $L$")
    else:
        lines = np.asarray(profile.loss.db.log10())
        lines = np.where(np.isfinite(lines), lines, np.nan)
        powers_of_ten(ax.yaxis, palette.typeset("|∂L/∂b|"))
    colours = palette.shades(len(profile.steps))
    for steps, line, colour in zip(profile.steps, lines, colours, strict=True):
        ax.plot(b, line, color=colour, label=f"$T = {steps}$")
    at = float(profile.wall.b)
    if b.min() <= at <= b.max():
        ax.axvline(at, label="wall", zorder=0, **palette.WALL)
    ax.set_xlabel(palette.BIAS_AXIS)
    ax.set_xlim(float(b.min()), float(b.max()))
    if legend:
        ax.legend(loc="best")
    return ax


def loss_surface(
    surface: "Surface",
    ax: Any = None,
    *,
    logarithmic: bool = False,
    limit: float = 6.0,
    floor: float | None = None,
) -> "Axes":
    """A loss over (w, b), its wall drawn where it exists.

    Args:
        surface: from ``cliff.surface``.
        ax: axes to draw on; new ones by default.
        logarithmic: colour by log₁₀ ‖(∂L/∂w, ∂L/∂b)‖ about 0 instead of by the loss.
        limit: decades at the ends of that scale.
        floor: of a loss coloured on a logarithmic scale; the scale is linear by default.

    Returns:
        The axes, with a colour bar.
    """
    from matplotlib.colors import LogNorm, Normalize

    ax = axes_of(ax)
    w, b = np.asarray(surface.w), np.asarray(surface.b)
    options: dict[str, Any]
    if logarithmic:
        values = np.asarray(surface.loss.log_gradient_norm).T / np.log(10)
        options = {"cmap": palette.DIVERGING, "norm": Normalize(-limit, limit)}
        label, extend = palette.typeset("‖∇L‖"), "both"
        values = np.where(np.isneginf(values), -1e9, values)
    else:
        values = np.asarray(surface.loss.value).T
        label, extend = "loss $L$", None
        options = {"cmap": palette.SEQUENTIAL}
        if floor is not None:
            options["norm"], extend = LogNorm(floor, float(np.nanmax(values))), "min"
            values = np.maximum(values, 0.1 * floor)
    image = ax.pcolormesh(w, b, values, shading="nearest", rasterized=True, **options)
    colour_bar(ax, image, label, extend=extend, powers=logarithmic)
    wall = np.where(np.asarray(surface.wall.exists), np.asarray(surface.wall.b), np.nan)
    wall = np.where((wall >= b.min()) & (wall <= b.max()), wall, np.nan)
    if np.isfinite(wall).any():
        ax.plot(w, wall, label="wall ($T → ∞$)", **palette.WALL)
    ax.set_xlabel(palette.WEIGHT_AXIS)
    ax.set_ylabel(palette.BIAS_AXIS)
    ax.set_xlim(float(w.min()), float(w.max()))
    ax.set_ylim(float(b.min()), float(b.max()))
    return ax


def descent(path: "Descent", ax: Any = None, *, label: str = "descent", **line: Any) -> "Axes":
    """A path of gradient descent over (w, b), its start a circle and its end a star.

    Args:
        path: from ``cliff.descend``, of one start.
        ax: axes to draw on; new ones by default.
        label: for the legend.
        line: properties of the line, such as ``color``.

    Returns:
        The axes.

    Raises:
        ValueError: more than one path.
    """
    if path.w.ndim != 1:
        raise ValueError(f"path: expected one path, got shape {path.w.shape[1:]} of them")
    ax = axes_of(ax)
    w, b = np.asarray(path.w), np.asarray(path.b)
    options = {
        "color": palette.BLACK,
        "linewidth": palette.THIN,
        "marker": ".",
        "markersize": palette.DOT,
        **line,
    }
    ax.plot(w, b, label=label, **options)
    ends = {"linestyle": "none", "color": options["color"], "markeredgecolor": palette.WHITE, "zorder": 6}
    named = ax.get_legend_handles_labels()[1]
    for at, marker, size, name in ((0, "o", palette.BIG, "start"), (-1, "*", palette.STAR, "end")):
        ax.plot(
            w[at],
            b[at],
            marker=marker,
            markersize=size,
            label=None if name in named else name,
            **ends,
        )
    ax.set_xlabel(palette.WEIGHT_AXIS)
    ax.set_ylabel(palette.BIAS_AXIS)
    return ax


def _coordinate(result: "LossAlong", side: int) -> str:
    name = result.names[side]
    return f"parameter {name + 1}" if name >= 0 else "share of the path"


def loss_along(
    result: "LossAlong",
    ax: Any = None,
    *,
    quantity: str = "loss",
    label: str | None = None,
    legend: bool = True,
) -> "Axes":
    """A loss along a line or over a plane of parameters, each jump of its limit marked by what makes it.

    Args:
        result: from ``cliff.along``.
        ax: axes to draw on; new ones by default.
        quantity: "loss" with its limit for T → ∞, "slope" log₁₀ of the size of its gradient on the path, or
            "limit" alone.
        label: of the loss at T, for the legend of a line.
        legend: whether to draw the legend.

    Returns:
        The axes; over a plane with a colour bar.

    Raises:
        ValueError: another quantity.
    """
    if quantity not in ("loss", "slope", "limit"):
        raise ValueError(f"quantity: expected 'loss', 'slope' or 'limit', got {quantity!r}")
    ax = axes_of(ax)
    draw = _loss_line if len(result.axes) == 1 else _loss_plane
    draw(result, ax, quantity, label)
    if legend and ax.get_legend_handles_labels()[1]:
        ax.legend(loc="best")
    return ax


def _slope(result: "LossAlong") -> np.ndarray:
    """log₁₀ of the Euclidean size of the slope by the coordinates."""
    logs = np.asarray(result.slope.log10())
    most = logs.max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        size = most[..., 0] + np.log10(np.sum(10.0 ** (2 * (logs - most)), axis=-1)) / 2
    return np.where(np.isfinite(size), size, np.nan)


def _loss_line(result: "LossAlong", ax: "Axes", quantity: str, label: str | None) -> None:
    at = result.axes[0]
    name = label or f"$T = {result.steps}$"
    if quantity == "slope":
        ax.plot(at, _slope(result), label=name)
        powers_of_ten(ax.yaxis, palette.typeset("|∂L/∂λ|"))
    else:
        if quantity == "loss":
            ax.plot(at, result.value, label=name)
        # A line over a jump would show values that no parameter has.
        places = np.array([jump.position[0] for jump in result.jumps])
        order = np.argsort(np.concatenate([at, places]), kind="stable")
        limit = np.concatenate([result.limit, np.full(len(places), np.nan)])[order]
        look = {"color": palette.GREY, "linestyle": palette.DOTTED, "linewidth": palette.BOLD}
        ax.plot(np.concatenate([at, places])[order], limit, label="$T → ∞$", **look)
        ax.set_ylabel("loss $L$")
    seen = set(ax.get_legend_handles_labels()[1])
    for jump in result.jumps:
        new = jump.cause not in seen
        seen.add(jump.cause)
        look = _JUMPS[jump.cause]
        ax.axvline(jump.position[0], label=jump.cause if new else None, zorder=0, **look)
    ax.set_xlabel(_coordinate(result, 0))
    ax.set_xlim(float(at.min()), float(at.max()))


def _loss_plane(result: "LossAlong", ax: "Axes", quantity: str, _: str | None) -> None:
    values = {"loss": result.value, "limit": result.limit, "slope": None}[quantity]
    values = _slope(result) if values is None else values
    words = {
        "loss": f"loss at $T = {result.steps}$",
        "limit": "loss, $T → ∞$",
        "slope": palette.typeset("|∂L/∂λ|"),
    }
    image = ax.pcolormesh(*result.axes, values.T, shading="nearest", rasterized=True, cmap=palette.SEQUENTIAL)
    colour_bar(ax, image, words[quantity], powers=quantity == "slope")
    for curve in result.curves:
        ax.plot(*curve.parameters.T, color=palette.BLACK, linewidth=palette.LINE, label="fold curve")
        for event in (e for e in curve.events if e.kind == "cusp"):
            ax.plot(*event.parameter, label="cusp", zorder=5, **palette.CUSP)
    for cause, look in _POINTS.items():
        places = np.array([jump.position for jump in result.of_cause(cause)]).reshape(-1, 2)
        if len(places):
            ax.plot(*places.T, linestyle="none", label=cause, zorder=4, **look)
    handles, labels = ax.get_legend_handles_labels()
    for handle, label in zip(handles, labels, strict=True):
        if label in labels[: labels.index(label)]:
            handle.set_label("_")
    ax.set_xlabel(_coordinate(result, 0))
    ax.set_ylabel(_coordinate(result, 1))
    ax.set_xlim(float(result.axes[0].min()), float(result.axes[0].max()))
    ax.set_ylim(float(result.axes[1].min()), float(result.axes[1].max()))
