"""A framework's gradient and the derivative of its map on one pair of axes."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import axes_of
from rnn_dynamics.plots.powers import powers_of_ten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnn_dynamics.interop import Audit


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
