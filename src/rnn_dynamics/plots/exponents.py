"""Pictures of Lyapunov exponents: a spectrum with its errors, how it converges, fields over a plane."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import axes_of, colour_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnn_dynamics.dynamics.lyapunov import FiniteTimeExponents, LyapunovSpectrum


def lyapunov_spectrum(
    result: "LyapunovSpectrum", ax: Any = None, *, label: str | None = None, inset: bool = True, **line: Any
) -> "Axes":
    """λ_i against i with error bars of two standard errors, and in a corner how the first ones converge.

    Args:
        result: from ``lyapunov_spectrum``.
        ax: axes to draw on; new ones by default.
        label: for the legend.
        inset: whether to draw the convergence.
        line: colour, marker and the like of the spectrum.

    Returns:
        The axes. Exponents that are −∞ are left out of the picture.
    """
    ax = axes_of(ax)
    values, errors = (np.asarray(part, float) for part in (result.exponents, result.standard_errors))
    shown = np.isfinite(values)
    number = np.arange(1, len(values) + 1)[shown]
    options = {
        "color": palette.BLUE,
        "marker": "o",
        "markersize": palette.DOT,
        "linewidth": palette.THIN,
        "capsize": 0,
    } | line
    ax.axhline(0, **palette.ZERO)
    bars = np.where(np.isfinite(errors[shown]), 2 * errors[shown], 0)
    ax.errorbar(number, values[shown], yerr=bars, label=label, **options)
    ax.set_xlabel("index $i$")
    ax.set_ylabel("Lyapunov exponent $λ_i$ (nats a step)")
    ax.xaxis.get_major_locator().set_params(integer=True)
    if inset and shown.any():
        corner = ax.inset_axes((0.16, 0.15, 0.38, 0.26))
        exponent_convergence(result, corner, count=3)
        corner.tick_params(labelsize=palette.NOTE)
        corner.set_xlabel("steps", fontsize=palette.NOTE)
        # Above it: beside it the name would lie on the numbers of the axis around.
        corner.set_ylabel("")
        corner.set_title(f"the first {min(3, len(values))} as they converge", fontsize=palette.NOTE)
    return ax


def exponent_convergence(result: "LyapunovSpectrum", ax: Any = None, *, count: int = 5) -> "Axes":
    """The estimates after each block, the first ``count`` of them, with two standard errors about the last.

    Args:
        result: from ``lyapunov_spectrum``.
        ax: axes to draw on; new ones by default.
        count: how many exponents.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    history = np.asarray(result.history, float)[:, :count]
    errors = np.asarray(result.standard_errors, float)
    steps = result.block_length * np.arange(1, len(history) + 1)
    for i, line in enumerate(history.T):
        if not np.isfinite(line).all():
            continue
        colour = palette.SERIES[i % len(palette.SERIES)]
        error = 2 * errors[i]
        ax.axhspan(line[-1] - error, line[-1] + error, color=colour, alpha=0.15, linewidth=0)
        ax.plot(steps, line, color=colour, linewidth=palette.LINE, label=f"$λ_{{{i + 1}}}$")
    ax.set_xlabel("steps averaged over")
    ax.set_ylabel("estimate (nats a step)")
    return ax


def exponent_field(
    result: "FiniteTimeExponents", x: Any, y: Any, ax: Any = None, *, limit: float | None = None
) -> "Axes":
    """The largest finite-time exponent over a plane of states or parameters.

    Red grows, blue decays, about 0 in white; where nothing grows the scale ends at 0. Diverged points are left
    blank.

    Args:
        result: from ``finite_time_exponents`` over a grid of shape (len(x), len(y)).
        x, y: the coordinates.
        ax: axes to draw on; new ones by default.
        limit: the end of the colour scale; by default the largest positive value.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    values = np.where(np.isfinite(result.largest), result.largest, np.nan).T
    top = np.nanmax(values, initial=0.0)
    reach = (top if top > 0 else float(np.nanmax(np.abs(values)))) if limit is None else limit
    colours, high = (palette.DIVERGING, reach) if top > 0 else (palette.DECAYING, 0.0)
    mesh = ax.pcolormesh(
        x, y, values, cmap=colours, vmin=-reach, vmax=high, shading="nearest", rasterized=True
    )
    colour_bar(ax, mesh, f"exponent over {result.steps} steps (nats a step)", extend="min")
    return ax
