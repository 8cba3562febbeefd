"""Pictures of the loss cliff: along b, over (w, b), and paths of descent."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import axes_of, colour_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnn_dynamics.cliff import Descent, Profile, Surface

__all__ = ["descent", "loss_profile", "loss_surface"]


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
        ax.plot(b, limit, color=palette.GREY, linestyle=(0, (1, 1)), linewidth=2, label="T → ∞")
        ax.set_ylabel("loss L")
    else:
        lines = np.asarray(profile.loss.db.log10())
        lines = np.where(np.isfinite(lines), lines, np.nan)
        ax.set_ylabel("log₁₀ |∂L/∂b|")
    colours = palette.shades(len(profile.steps))
    for steps, line, colour in zip(profile.steps, lines, colours, strict=True):
        ax.plot(b, line, color=colour, label=f"T = {steps}")
    at = float(profile.wall.b)
    if b.min() <= at <= b.max():
        ax.axvline(at, label="wall", zorder=0, **palette.WALL)
    ax.set_xlabel("bias b")
    ax.set_xlim(float(b.min()), float(b.max()))
    if legend:
        ax.legend(loc="best")
    return ax


def loss_surface(
    surface: "Surface", ax: Any = None, *, logarithmic: bool = False, limit: float = 6.0
) -> "Axes":
    """A loss over (w, b), its wall drawn where it exists.

    Args:
        surface: from ``cliff.surface``.
        ax: axes to draw on; new ones by default.
        logarithmic: colour by log₁₀ ‖(∂L/∂w, ∂L/∂b)‖ about 0 instead of by the loss.
        limit: decades at the ends of that scale.

    Returns:
        The axes, with a colour bar.
    """
    from matplotlib.colors import Normalize

    ax = axes_of(ax)
    w, b = np.asarray(surface.w), np.asarray(surface.b)
    if logarithmic:
        values = np.asarray(surface.loss.log_gradient_norm).T / np.log(10)
        options = {"cmap": palette.DIVERGING, "norm": Normalize(-limit, limit)}
        label, extend = "log₁₀ ‖∇L‖", "both"
        values = np.where(np.isneginf(values), -1e9, values)
    else:
        values = np.asarray(surface.loss.value).T
        options, label, extend = {"cmap": palette.SEQUENTIAL}, "loss", None
    image = ax.pcolormesh(w, b, values, shading="nearest", rasterized=True, **options)
    colour_bar(ax, image, label, extend=extend)
    wall = np.where(np.asarray(surface.wall.exists), np.asarray(surface.wall.b), np.nan)
    wall = np.where((wall >= b.min()) & (wall <= b.max()), wall, np.nan)
    if np.isfinite(wall).any():
        ax.plot(w, wall, label="wall (T → ∞)", **palette.WALL)
    ax.set_xlabel("weight w")
    ax.set_ylabel("bias b")
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
    options = {"color": palette.BLACK, "linewidth": 1.0, "marker": ".", "markersize": 2.5, **line}
    ax.plot(w, b, label=label, **options)
    ends = {"linestyle": "none", "color": options["color"], "markeredgecolor": "white", "zorder": 6}
    ax.plot(w[0], b[0], marker="o", markersize=7, **ends)
    ax.plot(w[-1], b[-1], marker="*", markersize=12, **ends)
    ax.set_xlabel("weight w")
    ax.set_ylabel("bias b")
    return ax
