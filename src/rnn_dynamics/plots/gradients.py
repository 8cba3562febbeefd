"""Pictures of gradients through time: norms against the lag, partial sums, growth of powers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import axes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnn_dynamics.bounds import Bounds
    from rnn_dynamics.credit import PartialSums

__all__ = ["norms_against_lag", "partial_sums", "powers"]

_DECADES = 1 / np.log(10)
_BOUND_LINES = {
    "steps": {"color": palette.BLUE, "linestyle": "-", "linewidth": 1.1},
    "norm": {"color": palette.GREEN, "linestyle": (0, (5, 2)), "linewidth": 1.4},
    "radius": {"color": palette.VERMILION, "linestyle": (0, (1, 1.2)), "linewidth": 1.8},
}


def _finite(logarithm: Any) -> np.ndarray:
    """Decades; what is exactly zero has none and leaves a gap."""
    decades = np.asarray(logarithm, float) * _DECADES
    return np.where(np.isfinite(decades), decades, np.nan)


def norms_against_lag(bounds: "Bounds", ax: Any = None, *, legend: bool = True) -> "Axes":
    """log₁₀‖∂x_T/∂x_k‖₂ against the lag n = T − k beside every bound of a ``Bounds``.

    Theorems are drawn as such; the claim that is none is dotted, with a cross wherever the norm exceeds it.

    Args:
        bounds: from ``product_bounds``, of one trajectory.
        ax: axes to draw on; new ones by default.
        legend: whether to draw the legend.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    ax.axhline(0, color=palette.LIGHT, linewidth=0.8, zorder=0)
    for entry in bounds.entries():
        label = entry.formula if entry.theorem else f"{entry.formula}, no theorem"
        ax.plot(bounds.lags, _finite(entry.log), label=label, **_BOUND_LINES[entry.name])
        if entry.violated.any():
            at = bounds.lags[entry.violated]
            heights = _finite(entry.log)[entry.violated]
            label = f"violated at {len(at)} of {bounds.steps} lags"
            every = max(1, len(at) // 20)
            ax.plot(at[::every], heights[::every], "x", color=palette.VERMILION, markersize=4, label=label)
    norms = _finite(bounds.log_norms)
    ax.plot(bounds.lags, norms, color=palette.BLACK, linewidth=2.2, label="‖∂x_T/∂x_k‖₂", zorder=3)
    ax.set_xlabel("lag n = T − k (steps)")
    ax.set_ylabel("log₁₀ of the norm")
    ax.set_xlim(0, max(bounds.steps, 1))
    if legend:
        ax.legend(loc="best")
    return ax


def partial_sums(sums: "PartialSums", parameter: str, ax: Any = None, *, label: str = "") -> "Axes":
    """|contribution of lag m| (dashed) and |S(m)|, the sum of the last m of them (solid), on log axes.

    Args:
        sums: from ``partial_sums``.
        parameter: the name of one of ``sums.parameters``.
        ax: axes to draw on; new ones by default.
        label: put before the legend's entries.

    Returns:
        The axes.

    Raises:
        ValueError: no such parameter.
    """
    if parameter not in sums.parameters:
        raise ValueError(f"parameter: expected one of {', '.join(sums.parameters)}, got {parameter!r}")
    ax = axes_of(ax)
    column = sums.parameters.index(parameter)
    lags = np.asarray(sums.lags)
    # A negative logarithm of one entry, as decades: the axis stays right where floats would underflow.
    total, share = (np.asarray(part.log10())[:, column] for part in (sums.sums, sums.contributions))
    prefix = f"{label}: " if label else ""
    ax.axhline(0, color=palette.LIGHT, linewidth=0.8, zorder=0)
    ax.plot(lags, np.where(np.isfinite(total), total, np.nan), color=palette.BLACK, label=f"{prefix}|S(m)|")
    ax.plot(
        lags,
        np.where(np.isfinite(share), share, np.nan),
        color=palette.BLUE,
        linestyle=(0, (4, 2)),
        label=f"{prefix}|term of lag m|",
    )
    ax.set_xscale("log")
    ax.set_xlabel("lag m (steps)")
    ax.set_ylabel(f"log₁₀ of the share of ∂x_T/∂{parameter}")
    ax.legend(loc="best")
    return ax


def powers(
    steps: Any, log_norms: Any, lines: Sequence[tuple[str, Any, dict[str, Any]]], ax: Any = None
) -> "Axes":
    """log₁₀ of a norm against the number of steps beside lines that do or do not bound it.

    Args:
        steps: numbers of steps, shape (k,).
        log_norms: natural logarithms of the norms, shape (k,).
        lines: (label, natural logarithms, line style) of each comparison.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    ax.axhline(0, color=palette.LIGHT, linewidth=0.8, zorder=0)
    for label, logarithms, options in lines:
        ax.plot(steps, _finite(logarithms), label=label, **options)
    ax.plot(steps, _finite(log_norms), color=palette.BLACK, linewidth=2.2, label="norm of the product")
    ax.set_xlabel("lag n (steps)")
    ax.set_ylabel("log₁₀ of the norm")
    ax.legend(loc="best")
    return ax
