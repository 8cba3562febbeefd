"""Pictures of spectra: singular values along time, maps over radius and bias, pseudospectra, powers, intervals."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import axes_of, colour_bar
from rnn_dynamics.plots.powers import powers_of_ten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnn_dynamics.gradients.singular_values import SpectraByLag
    from rnn_dynamics.spectral import RadiusSweep
    from rnn_dynamics.spectral.joint_radius import JointRadius
    from rnn_dynamics.spectral.mean_field import Edge
    from rnn_dynamics.spectral.nonnormal import PowerNorms, Pseudospectrum

_DECADES = 1 / np.log(10)
_BANDS = ((0.0, 1.0, "all"), (0.1, 0.9, "middle 80 %"), (0.25, 0.75, "middle half"))
_QUANTITIES = {
    "rate": "decades a step: " + palette.typeset("log₁₀ ‖∂x_T/∂x_0‖₂ / T"),
    "excess": f"decades above {palette.typeset('(γ ρ)ⁿ')}, worst lag",
    "gap": f"decades a step below {palette.typeset('(γ s₁)ⁿ')}",
}


def singular_bands(result: "SpectraByLag", ax: Any = None, *, legend: bool = True) -> "Axes":
    """Quantile bands of log₁₀ σ_i of ∂x_T/∂x_k against the lag, with the largest, the median and the smallest.

    Args:
        result: from ``spectra_by_lag``.
        ax: axes to draw on; new ones by default.
        legend: whether to draw the legend.

    Returns:
        The axes. Values that are −∞ are left out of the picture.
    """
    ax = axes_of(ax)
    order = np.argsort(result.lags, kind="stable")
    lags, values = np.asarray(result.lags)[order], np.asarray(result.log, float)[order] * _DECADES
    values = np.where(np.isfinite(values), values, np.nan)
    ax.set_xlim(lags.min(), max(lags.max(), 1))
    known = np.isfinite(values).any(axis=1)
    lags, values = lags[known], values[known]
    ax.axhline(0, **palette.ZERO)
    for (low, high, label), alpha in zip(_BANDS, (0.15, 0.25, 0.4), strict=True):
        edges = np.nanquantile(values, [low, high], axis=1)
        ax.fill_between(lags, *edges, color=palette.BLUE, alpha=alpha, linewidth=0, label=label)
    ax.plot(lags, values[:, 0], color=palette.BLACK, linewidth=palette.BOLD, label="largest: the norm")
    ax.plot(lags, np.nanmedian(values, axis=1), color=palette.BLUE, label="median")
    ax.plot(
        lags,
        np.nanmean(values, axis=1),
        color=palette.GREEN,
        linestyle=palette.DASHED,
        label="mean: " + palette.typeset("ln|det|/n"),
    )
    ax.set_xlabel(palette.LAG)
    powers_of_ten(ax.yaxis, "singular values")
    if legend:
        ax.legend(loc="best")
    return ax


def radius_atlas(
    result: "RadiusSweep", ax: Any = None, *, show: str = "rate", edge: "Edge | None" = None
) -> "Axes":
    """A map over spectral radius and bias, the mean over the seeds.

    Args:
        result: from ``spectral.radius_sweep``, over one activation, ensemble and gain, with at least two radii
            and biases.
        ax: axes to draw on; new ones by default.
        show: "rate", decades a step of the norm; "excess", decades by which the claim (γ ρ)ⁿ is passed; or
            "gap", decades a step by which the theorem (γ s₁)ⁿ lies above the norm at the longest lag.
        edge: from ``edge_of_chaos`` at the sweep's biases: the mean-field edge, g standing for the radius.

    Returns:
        The axes.

    Raises:
        ValueError: another quantity, or a sweep of other axes.
    """
    from matplotlib.colors import Normalize, TwoSlopeNorm
    from matplotlib.ticker import MaxNLocator

    if show not in _QUANTITIES:
        raise ValueError(f"show: expected one of {', '.join(_QUANTITIES)}, got {show!r}")
    if result.sweep.names != ("radius", "bias", "seed") or min(result.sweep.shape[:2]) < 2:
        raise ValueError(f"result: expected two radii and biases or more, and seeds, got {result!r}")
    ax = axes_of(ax)
    radii, biases = (np.asarray(result.sweep.axes[name], float) for name in ("radius", "bias"))
    values = _finite_mean(_quantity(result, show)).T
    about_zero = show == "rate"
    reach = max(float(np.nanquantile(np.abs(values), 0.8)), 1e-300)
    colours = palette.DIVERGING if about_zero else palette.SEQUENTIAL
    low, high = min(0.0, float(np.nanmin(values))), float(np.nanmax(values))
    if about_zero:  # each side of 0 has all of its colours
        norm: Normalize = TwoSlopeNorm(0.0, vmin=-reach, vmax=min(reach, high) if high > 0 else reach)
    else:
        norm = Normalize(low, max(high, low + 1e-12))
    # Between the points as the contours are, unless one has no value.
    between = "gouraud" if np.isfinite(values).all() else "nearest"
    mesh = ax.pcolormesh(radii, biases, values, cmap=colours, norm=norm, shading=between, rasterized=True)
    bar = colour_bar(ax, mesh, _QUANTITIES[show], extend="min" if about_zero else None)
    if about_zero:
        few = [MaxNLocator(2).tick_values(*ends) for ends in ((-reach, 0.0), (0.0, norm.vmax or reach))]
        bar.set_ticks(
            [tick for tick in np.unique(np.concatenate(few)) if -reach <= tick <= (norm.vmax or reach)]
        )
    if about_zero:
        ax.contour(radii, biases, values, levels=[0.0], colors=palette.BLACK, linewidths=palette.LINE)
        ax.plot([], [], color=palette.BLACK, linewidth=palette.LINE, label="norm neither grows nor decays")
    if edge is not None:
        inside = np.where(edge.gain <= radii.max(), edge.gain, np.nan)
        ax.plot(
            inside, biases, color=palette.ORANGE, linestyle=palette.DASHED, label="mean-field edge of chaos"
        )
    ax.axvline(1, color=palette.GREY, linewidth=palette.THIN, linestyle=palette.DOTTED, label="$ρ = 1$")
    ax.set_xlim(radii.min(), radii.max())
    ax.set_xlabel(palette.RADIUS_AXIS)
    ax.set_ylabel("bias of every unit")
    ax.legend(loc="upper left", framealpha=0.85, frameon=True)
    return ax


def _quantity(result: "RadiusSweep", show: str) -> np.ndarray:
    if show == "gap":
        longest = int(np.argmax(result.lags))
        over = (result.log_norm_bound - result.log_norms)[..., longest]
        return over * _DECADES / result.lags[longest]
    return result.rate if show == "rate" else np.maximum(result.excess, 0.0)


def _finite_mean(values: np.ndarray) -> np.ndarray:
    """The mean over the seeds of what is finite; NaN, a blank, where nothing is."""
    finite = np.isfinite(values)
    count = finite.sum(axis=-1)
    return np.where(count, np.where(finite, values, 0).sum(axis=-1), np.nan) / np.maximum(count, 1)


def pseudospectrum(result: "Pseudospectrum", ax: Any = None) -> "Axes":
    """log₁₀ σ_min(z − A) as contours, a decade each, with the eigenvalues and the unit circle.

    Args:
        result: from ``pseudospectrum``, with at least two points along each axis.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes, of equal scale.
    """
    ax = axes_of(ax)
    decades = np.log10(np.maximum(result.distance, 1e-300))
    top = np.floor(2 * decades.max()) / 2
    levels = top - np.arange(9)[::-1] * (1.0 if decades.min() < top - 4 else 0.5)
    filled = ax.contourf(
        result.real, result.imaginary, decades, levels=levels, cmap=palette.FALLING, extend="both"
    )
    colour_bar(ax, filled, "distance $ε$ to an eigenvalue", powers=True)
    angle = np.linspace(0, 2 * np.pi, 400)
    ax.plot(np.cos(angle), np.sin(angle), color=palette.VERMILION, linewidth=palette.LINE, label="$|z| = 1$")
    across, up = np.real(result.eigenvalues), np.imag(result.eigenvalues)
    points = {
        "color": palette.WHITE,
        "markeredgecolor": palette.BLACK,
        "markersize": palette.MARK,
        "label": "eigenvalues",
    }
    ax.plot(np.asarray(across), np.asarray(up), "o", **points)
    ax.set_aspect("equal")
    ax.set_xlim(result.real.min(), result.real.max())
    ax.set_ylim(result.imaginary.min(), result.imaginary.max())
    ax.set_xlabel(palette.typeset("Re z"))
    ax.set_ylabel(palette.typeset("Im z"))
    ax.legend(loc="upper right", frameon=True, framealpha=0.85)
    return ax


def power_norms(result: "PowerNorms", ax: Any = None) -> "Axes":
    """log₁₀‖A^k‖₂ against k, between ρ^k and the numerical radius' bound, with the Kreiss constant.

    Args:
        result: from ``power_norms``.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    k = np.arange(len(result.log_norms))
    norms, radius, numerical = (
        np.where(np.isfinite(line), line, np.nan) * _DECADES
        for line in (result.log_norms, result.log_radius, result.log_numerical)
    )
    constant = result.about.kreiss_constant
    ax.axhline(0, **palette.ZERO)
    ax.plot(
        k,
        numerical,
        color=palette.BLUE,
        linestyle=palette.DASHED,
        label=f"≤ {palette.typeset('min(2 wᵏ, s₁ᵏ)')}",
    )
    ax.plot(k, norms, color=palette.BLACK, linewidth=palette.BOLD, label="$\\|A^k\\|_2$")
    ax.plot(
        k,
        radius,
        color=palette.VERMILION,
        linestyle=palette.DOTTED,
        linewidth=palette.LINE,
        label="$ρ^k$, below it for every $k$",
    )
    if np.isfinite(constant):
        label = f"Kreiss: the peak is at least {constant:.3g}"
        ax.axhline(np.log10(constant), color=palette.GREEN, linewidth=palette.LINE, label=label)
    low, high = np.nanmin([np.nanmin(norms), np.nanmin(radius)]), np.nanmax(norms)
    room = max(high - low, 1.0)
    ax.set_ylim(max(low, high - 3 * room) - 0.05 * room, high + 0.6 * room)
    ax.set_xlim(0, k[-1])
    ax.set_xlabel("power $k$")
    powers_of_ten(ax.yaxis, "norm")
    ax.legend(loc="best")
    return ax


def joint_radius(result: "JointRadius", ax: Any = None, *, legend: bool = True) -> "Axes":
    """The certified interval for the joint spectral radius against the length of the products looked at.

    Args:
        result: from ``joint_spectral_radius`` or ``slope_radius``.
        ax: axes to draw on; new ones by default.
        legend: whether to draw the legend.

    Returns:
        The axes.
    """
    ax = axes_of(ax)
    lengths = np.arange(1, len(result.history) + 1)
    low, high = np.asarray(result.history, float).T
    ax.fill_between(
        lengths, low, high, color=palette.SKY, alpha=0.35, linewidth=0, label="certified interval"
    )
    ax.plot(lengths, high, color=palette.BLUE, marker="v", markersize=palette.MARK, label="upper end: norms")
    ax.plot(
        lengths,
        low,
        color=palette.GREEN,
        marker="^",
        markersize=palette.MARK,
        label="lower end: spectral radii",
    )
    ends = "exact" if result.exact else f"[{result.lower:.4g}, {result.upper:.4g}]"
    look = {"color": palette.BLACK, "linewidth": palette.THIN, "linestyle": palette.DASHED}
    ax.axhline(result.lower, label="the lower end reached", **look)
    ax.set_title(f"{result.lower:.6g}, exact" if result.exact else ends)
    ax.set_xlabel("length of the products")
    ax.set_ylabel("joint spectral radius")
    ax.xaxis.get_major_locator().set_params(integer=True)
    if legend:
        ax.legend(loc="best")
    return ax
