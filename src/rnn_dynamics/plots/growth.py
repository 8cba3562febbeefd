"""Pictures of gradients, norms and growth that are one call long; ``plots.result`` leads here."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.numerics.batching import computed
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.plots import palette
from rnn_dynamics.plots.exponents import exponent_field
from rnn_dynamics.plots.gradients import partial_sums
from rnn_dynamics.plots.lines import decades, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NORM, _LAG = "norm", palette.LAG


def _spectrum(found: Any, ax: "Axes") -> "Axes":
    logs = decades(found.log)
    order = np.arange(1, logs.size + 1)
    errors = {"$σ_i$": np.asarray(found.log_errors, float) / np.log(10)}
    series(ax, order, {"$σ_i$": logs}, "index $i$", "$σ_i$", powers=True, errors=errors, zero=True)
    lost = np.asarray(found.status) != int(Status.RESOLVED)
    if lost.any():
        ax.plot(
            order[lost],
            logs[lost],
            "o",
            markersize=palette.BIG,
            color=palette.VERMILION,
            fillstyle="none",
            label="unresolved",
        )
        ax.legend(loc="best")
    return ax


def _against_lag(found: Any, ax: "Axes") -> "Axes":
    logs = decades(found.log)
    label = palette.NORM
    errors = {label: np.asarray(found.log_errors, float) / np.log(10)}
    return series(
        ax, np.arange(len(logs))[::-1], {label: logs}, _LAG, _NORM, powers=True, errors=errors, zero=True
    )


def _credit(found: Any, ax: "Axes") -> "Axes":
    lines = {"share of lag $m$": decades(found.log_shares), "sum of the last $m$": decades(found.log_sums)}
    return series(
        ax, found.lags, lines, "lag $m$ (steps)", f"norm of {palette.typeset('∂E/∂θ')}", powers=True
    )


def _credit_of_samples(found: Any, ax: "Axes") -> "Axes":
    shares = decades(found.log_shares if not callable(found.log_shares) else found.log_shares()).T
    lags = np.arange(1, len(shares) + 1)
    return series(ax, lags, {"run": shares}, "lag $m$ (steps)", "share of lag $m$", powers=True)


def _partial_sums(found: Any, ax: "Axes", parameter: str | None = None) -> "Axes":
    return partial_sums(found, found.parameters[0] if parameter is None else parameter, ax)


def _path_lengths(found: Any, ax: "Axes") -> "Axes":
    shares = np.asarray(found.shares, float)
    ax.bar(
        np.arange(len(shares)),
        shares,
        0.7,
        color=palette.SKY,
        edgecolor=palette.BLACK,
        linewidth=palette.THIN,
    )
    ax.axhline(0, color=palette.BLACK, linewidth=palette.THIN)
    ax.set_xlabel("length of the path (branches)")
    ax.set_ylabel(f"share of {palette.typeset('∂E/∂x₀')}")
    return ax


def _probes(found: Any, ax: "Axes") -> "Axes":
    logs = decades(found.log_norms)
    series(ax, np.arange(len(logs)), {palette.typeset("∂E/∂p_k"): logs}, "probe $k$", _NORM, powers=True)
    ax.axhline(
        float(decades(found.log_floor)),
        color=palette.VERMILION,
        linestyle=palette.DASHED,
        linewidth=palette.THIN,
        label="floor of the floats",
    )
    return ax


def _past(found: Any, ax: "Axes") -> "Axes":
    total, direct = decades(found.total), decades(found.direct)
    series(
        ax,
        np.arange(len(total))[::-1],
        {"through all edges": total},
        "lag (steps)",
        _NORM,
        powers=True,
        legend=False,
    )
    ax.plot(
        np.arange(1, len(direct) + 1),
        direct,
        "s",
        color=palette.VERMILION,
        markersize=palette.MARK,
        label="one direct edge",
    )
    ax.legend(loc="best")
    return ax


def _bound(found: Any, ax: "Axes") -> "Axes":
    logs = decades(found.log)
    label = f"{'≤' if found.above else '≥'} {palette.typeset(found.formula)}"
    return series(ax, np.arange(len(logs))[::-1], {label: logs}, _LAG, _NORM, powers=True, zero=True)


def _step_bounds(found: Any, ax: "Axes") -> "Axes":
    lines = {
        "product of largest": found.largest,
        "volume": found.volume,
        "product of smallest": found.smallest,
    }
    logs = {label: decades(values) for label, values in lines.items()}
    return series(ax, np.arange(len(found.largest))[::-1], logs, _LAG, _NORM, powers=True, zero=True)


def _scaled_bounds(found: Any, ax: "Axes") -> "Axes":
    lines = {"best scaling": decades(found.log), "no scaling": decades(found.log_plain)}
    return series(ax, found.lags, lines, "lag $n$ (steps)", "bound", powers=True, zero=True)


def _decades_of(found: Any) -> Any:
    return found.norm().log10() if found.event_ndim else found.log10()


def _scaled(found: Any, ax: "Axes") -> "Axes":
    size = computed(_decades_of, found)
    values = np.asarray(size, float)
    values = np.where(np.isfinite(values), values, np.nan)
    rows = values.reshape(max(len(values), 1) if values.ndim else 1, -1)
    return series(
        ax,
        np.arange(len(rows)),
        {"size": rows[:, 0] if rows.shape[1] == 1 else rows},
        "index",
        "size",
        powers=True,
        legend=False,
    )


def _covariant(found: Any, ax: "Axes") -> "Axes":
    growth = np.asarray(found.log_growth, float)
    steps = np.arange(found.start + 1, found.start + 1 + len(growth))
    return series(ax, steps, {"vector": growth}, "step $t$", "growth of the vector (nats)", zero=True)


def _finite_time(found: Any, ax: "Axes") -> "Axes":
    if found.status.ndim == 2:
        x, y = map(np.arange, found.status.shape)
        exponent_field(found, x, y, ax)
        ax.set_xlabel("first axis of the grid")
        ax.set_ylabel("second axis of the grid")
        return ax
    rows = found.values.reshape(-1, found.values.shape[-1])
    label = f"exponent over {found.steps} steps (nats a step)"
    return series(
        ax,
        np.arange(len(rows)),
        {"λ": rows},
        "point of the grid",
        label,
        zero=True,
        linestyle="none",
        marker="o",
    )


def _sensitivities(found: Any, ax: "Axes") -> "Axes":
    lines = {palette.BY_START: found.initial}
    lines |= {palette.typeset(f"∂x_T/∂θ_{i}"): p for i, p in enumerate(found.parameters)}
    logs = {}
    for label, value in lines.items():
        size = np.asarray(value.log10(), float)
        logs[label] = np.where(np.isfinite(size), size, np.nan).reshape(-1)
    return series(ax, np.arange(max(map(len, logs.values()))), logs, "point", "size", powers=True, zero=True)


DRAWN = {
    "Bound": _bound,
    "CreditByLag": _credit,
    "CreditOfSamples": _credit_of_samples,
    "PartialSums": _partial_sums,
    "PastNorms": _past,
    "PathLengths": _path_lengths,
    "ProbedCredit": _probes,
    "CovariantVectors": _covariant,
    "FiniteTimeExponents": _finite_time,
    "Scaled": _scaled,
    "ScaledBounds": _scaled_bounds,
    "Sensitivities": _sensitivities,
    "SingularSpectrum": _spectrum,
    "SpectralNorms": _against_lag,
    "StepBounds": _step_bounds,
}
