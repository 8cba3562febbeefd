"""Pictures of gradients through time: norms against the lag, partial sums, growth of powers."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import axes_of
from rnn_dynamics.plots.powers import powers_of_ten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnn_dynamics.gradients.credit import PartialSums
    from rnn_dynamics.spectral import Counterexample, RadiusSweep
    from rnn_dynamics.spectral.bounds import Bounds

_DECADES = 1 / np.log(10)
_BOUND_LINES = {
    "steps": {"color": palette.SKY, "linestyle": "-", "linewidth": palette.BOLD},
    "norm": {"color": palette.BLUE, "linestyle": palette.DASHED, "linewidth": palette.LINE},
    "scaled": {"color": palette.PURPLE, "linestyle": palette.DASHDOT, "linewidth": palette.LINE},
    "absolute": {"color": palette.ORANGE, "linestyle": palette.SHORT, "linewidth": palette.LINE},
    "radius": {"color": palette.VERMILION, "linestyle": palette.DOTTED, "linewidth": palette.LINE},
    "volume": {"color": palette.GREEN, "linestyle": "-", "linewidth": palette.LINE},
    "smallest": {"color": palette.GREEN, "linestyle": palette.SHORT, "linewidth": palette.LINE},
}


def _finite(logarithm: Any) -> np.ndarray:
    """Decades; what is exactly zero has none and leaves a gap."""
    decades = np.asarray(logarithm, float) * _DECADES
    return np.where(np.isfinite(decades), decades, np.nan)


def norms_against_lag(bounds: "Bounds", ax: Any = None, *, legend: bool = True) -> "Axes":
    """log₁₀‖∂x_T/∂x_k‖₂ against the lag n = T − k beside every bound of a ``Bounds``.

    Theorems are drawn as such, those from below in green; the claim that is none is dotted, with a cross wherever
    the norm exceeds it. The axis holds the norm, the best theorem on either side and
    the claim; what lies far beyond leaves it.

    Args:
        bounds: from ``product_bounds``, of one trajectory.
        ax: axes to draw on; new ones by default.
        legend: whether to draw the legend.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    ax.axhline(0, **palette.ZERO)
    for entry in bounds.entries():
        formula = palette.typeset(entry.formula)
        label = f"{'≤' if entry.above else '≥'} {formula}" if entry.theorem else f"{formula}, no theorem"
        ax.plot(bounds.lags, _finite(entry.log), label=label, **_BOUND_LINES[entry.name])
        if entry.violated.any():
            at = bounds.lags[entry.violated]
            heights = _finite(entry.log)[entry.violated]
            label = f"violated at {len(at)} of {bounds.steps} lags"
            every = max(1, len(at) // 20)
            cross = {"color": palette.VERMILION, "markersize": palette.MARK, "markeredgewidth": palette.LINE}
            ax.plot(at[::every], heights[::every], "x", label=label, zorder=5, **cross)
    norms = _finite(bounds.log_norms)
    ax.plot(
        bounds.lags,
        norms,
        color=palette.BLACK,
        linewidth=palette.BOLD,
        label=palette.NORM,
        zorder=3,
    )
    ax.set_xlabel(palette.LAG)
    powers_of_ten(ax.yaxis, "norm")
    ax.set_xlim(0, max(bounds.steps, 1))
    _frame(ax, bounds, norms)
    if legend:
        ax.legend(loc="best")
    return ax


def _frame(ax: "Axes", bounds: "Bounds", norms: np.ndarray) -> None:
    """Room for the norm, the best theorem on either side and the claim; what is far off leaves the frame."""
    entries = [entry for entry in bounds.entries() if np.isfinite(entry.log).all()]
    sides = [[_finite(e.log) for e in entries if e.theorem and e.above is above] for above in (True, False)]
    best = [choose(lines, axis=0) for choose, lines in zip((np.min, np.max), sides, strict=True) if lines]
    claims = [_finite(entry.log) for entry in entries if not entry.theorem]
    shown = np.concatenate([norms[np.isfinite(norms)], *best])
    reach = max(float(np.ptp(shown)), 1.0)
    low, high = float(shown.min()), float(shown.max())
    for claim in claims:
        low, high = max(min(low, claim.min()), low - reach), min(max(high, claim.max()), high + reach)
    ax.set_ylim(low - 0.05 * (high - low) - 1e-3, high + 0.05 * (high - low) + 1e-3)


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
    ax.axhline(0, **palette.ZERO)
    ax.plot(lags, np.where(np.isfinite(total), total, np.nan), color=palette.BLACK, label=f"{prefix}$|S(m)|$")
    ax.plot(
        lags,
        np.where(np.isfinite(share), share, np.nan),
        color=palette.BLUE,
        linestyle=palette.DASHED,
        label=f"{prefix}|term of lag $m$|",
    )
    ax.set_xscale("log")
    ax.set_xlabel("lag $m$ (steps)")
    powers_of_ten(ax.yaxis, rf"share of $\partial x_T/\partial {parameter}$")
    ax.legend(loc="best")
    return ax


def counterexample(case: "Counterexample", ax: Any = None, *, legend: bool = True) -> "Axes":
    """The norm beside the bounds and the claim that it refutes; the title says what happens.

    Args:
        case: one of ``spectral.counterexamples``.
        ax: axes to draw on; new ones by default.
        legend: whether to draw the legend.

    Returns:
        The axes.
    """
    ax = norms_against_lag(case.bounds, ax, legend=legend)
    ax.set_title(f"{case.name}: {case.truth}")
    return ax


def radius_sweep(result: "RadiusSweep", ax: Any = None) -> "Axes":
    """Decades a step of ‖∂x_T/∂x_0‖₂ against the spectral radius: every network a dot, beside the claim.

    Above the dotted line log₁₀(γ ρ) the claim "(γ ρ(W))ⁿ bounds the norm" is false.

    Args:
        result: from ``spectral.radius_sweep``.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    radii = np.asarray(result.sweep.axes["radius"])
    biases = np.asarray(result.sweep.axes["bias"])
    lag = result.lags[0]
    colours = palette.shades(len(biases))
    # Side by side, so that those of one bias do not hide those of another.
    beside = 0.3 * float(np.diff(radii).min()) if len(radii) > 1 and len(biases) > 1 else 0.0
    for index, (bias, colour) in enumerate(zip(biases, colours, strict=True)):
        rates = result.rate[:, index]
        shift = beside * (index - (len(biases) - 1) / 2) / max(len(biases) - 1, 1)
        across = np.broadcast_to(radii[:, None] + shift, rates.shape)
        ax.plot(
            across.ravel(),
            rates.ravel(),
            "osD^v"[index % 5],
            color=colour,
            markersize=palette.DOT,
            markeredgewidth=0,
            label=f"networks, $b = {bias:g}$",
        )
    if result.slope_bound is not None:
        claim = result.log_radius_claim[:, 0, 0, 0] * _DECADES / lag
        theorem = result.log_norm_bound[:, 0].max(axis=1)[:, 0] * _DECADES / lag
        ax.plot(
            radii, _gaps(claim), label=f"{palette.typeset('γ ρ(W)')}, no theorem", **_BOUND_LINES["radius"]
        )
        ax.plot(
            radii,
            _gaps(theorem),
            label=f"{palette.typeset('γ s₁(W)')}, largest of the seeds",
            **_BOUND_LINES["norm"],
        )
    ax.axhline(0, **palette.ZERO)
    ax.set_xlabel(palette.RADIUS_AXIS)
    ax.set_ylabel(f"decades a step over {lag} lags")
    ax.legend(loc="best")
    return ax


def _gaps(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)
