"""What a framework gives beside what its map has: gradients by lag, outputs by step."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import axes_of
from rnn_dynamics.plots.powers import powers_of_ten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnn_dynamics.interop import Agreement, Audit

_LEAST = 1e-17  # what is drawn for an error of 0


def agreement(found: "Agreement", ax: Any = None) -> "Axes":
    """The error of each step, relative to the largest output, against the step, and the tolerance.

    Args:
        found: from ``interop.check``.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes. An error of 0 is drawn at 1e-17.
    """
    ax = axes_of(ax)
    errors = np.asarray(found.errors, float)
    first = max(found.steps - len(errors), 0) + 1
    with np.errstate(divide="ignore", invalid="ignore"):
        decades = np.log10(np.maximum(errors, _LEAST))
    ax.plot(
        np.arange(first, first + len(errors)),
        decades,
        color=palette.BLUE,
        marker="o" if len(errors) == 1 else "",
        label="largest error of the step",
    )
    ax.axhline(
        np.log10(found.tolerance),
        color=palette.VERMILION,
        linestyle=palette.DASHED,
        linewidth=palette.LINE,
        label="tolerance",
    )
    ax.set_xlabel("step $t$")
    powers_of_ten(ax.yaxis, "error relative to the largest output")
    ax.legend(loc="best")
    return ax


def audit(found: "Audit", ax: Any = None, *, legend: bool = True) -> "Axes":
    """Norms of both gradients in decades against the lag, and where they part.

    Args:
        found: from ``interop.audit``.
        ax: axes to draw on; new ones by default.
        legend: whether to draw one.

    Returns:
        The axes. What is exactly zero, or not finite, leaves a gap.
    """
    ax = axes_of(ax)
    lags = np.asarray(found.lags)
    ours, theirs = (
        np.where(np.isfinite(values), values, np.nan) for values in (found.log10_ours, found.log10_theirs)
    )
    ax.plot(lags, ours, color=palette.BLACK, linewidth=palette.BOLD, label="derivative of the map")
    ax.plot(
        lags,
        theirs,
        color=palette.VERMILION,
        linewidth=palette.LINE,
        linestyle=palette.DASHED,
        label=found.framework,
    )
    if found.parted is not None:
        words = f"part at lag {found.parted}: {found.cause.name.lower()}"
        ax.axvline(
            found.parted, color=palette.BLUE, linewidth=palette.THIN, linestyle=palette.DOTTED, label=words
        )
    ax.set_xlabel("lag $l$ (steps)")
    ax.set_xlim(0, max(len(lags) - 1, 1))
    powers_of_ten(ax.yaxis, f"norm of {palette.typeset('∂y_T/∂u_{T−l}')}")
    if legend:
        ax.legend(loc="best")
    return ax
