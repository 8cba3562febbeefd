"""One door for the picture of any result, and the pictures that need no module of their own."""

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from rnn_dynamics.numerics.results.datasets import shapes_of
from rnn_dynamics.numerics.results.registry import fields_of
from rnn_dynamics.plots import growth, palette
from rnn_dynamics.plots.canvas import axes_of
from rnn_dynamics.plots.grids import sweep
from rnn_dynamics.plots.lines import bars, complex_plane, field, numbers, series
from rnn_dynamics.plots.sets import attractors, edge_state, side

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def result(found: Any, ax: Any = None, **options: Any) -> "Axes":
    """Draw any result of the library that has no picture of its own: its main numbers against what they count.

    Args:
        found: the result.
        ax: axes to draw on; new ones by default.
        options: of the picture, see ``plots``.

    Returns:
        The axes.

    Raises:
        ValueError: nothing in it is a number.
    """
    is_ours = type(found).__module__.startswith("rnn_dynamics.")
    draw = _DRAWN.get(type(found).__name__, _first_numbers) if is_ours else _first_numbers
    return draw(found, axes_of(ax), **options)


def _first_numbers(found: Any, ax: "Axes") -> "Axes":
    """Results without a picture here: the first floating array, else the single numbers."""
    values = {name: getattr(found, name) for name in fields_of(type(found))}
    arrays = {
        name: value
        for name, value in values.items()
        if isinstance(value, jax.Array | np.ndarray | np.generic)
    }
    for name, value in arrays.items():
        if value.ndim and np.asarray(value).dtype.kind == "f":
            counted = shapes_of(type(found)).get(name, ("index",))[0]
            host = np.asarray(value)
            rows = host.reshape(len(host), -1)
            return series(ax, np.arange(len(rows)), {name: rows}, counted, name)
    plain = {
        n: v for n, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool | IntEnum)
    }
    single = plain | {n: float(v) for n, v in arrays.items() if not v.ndim and v.dtype.kind in "fiu"}
    single = {name: value for name, value in single.items() if np.isfinite(value)}
    if not single:
        raise ValueError(f"found: expected a result with numbers, got {type(found).__name__} without")
    return numbers(ax, single)


def _flat(values: Any) -> np.ndarray:
    return np.asarray(values, float).reshape(-1)


def _over_points(names: dict[str, str], x_label: str, y_label: str, **line: Any) -> Callable[..., "Axes"]:
    """Elementwise results: fields against the number of the point; fields of more axes a line each."""

    def draw(found: Any, ax: Any) -> "Axes":
        values = {label: np.asarray(getattr(found, name), float) for name, label in names.items()}
        rows = {label: v.reshape(v.size) if v.ndim < 2 else v for label, v in values.items()}
        count = max(len(v) for v in rows.values())
        return series(ax, np.arange(count), rows, x_label, y_label, **line)

    return draw


def _loss(found: Any, ax: "Axes") -> "Axes":
    values = np.asarray(found.value, float)
    if values.ndim == 2:
        x, y = map(np.arange, values.shape)
        return field(ax, x, y, values, "first axis", "second axis", "loss L")
    errors = {"loss": _flat(found.value_error)}
    return series(ax, np.arange(values.size), {"loss": values.reshape(-1)}, "point", "loss L", errors=errors)


def _wall(found: Any, ax: "Axes") -> "Axes":
    w, b = _flat(found.w), _flat(found.b)
    ax.plot(b, w, marker="o", markersize=palette.DOT, **palette.WALL)
    ax.set_xlabel("bias b of the wall")
    ax.set_ylabel("weight w")
    return ax


def _two_places(found: Any, ax: "Axes") -> "Axes":
    """Folds and flips: the two branches in the plane of bias and state."""
    b, x = np.asarray(found.b, float).reshape(-1, 2), np.asarray(found.x, float).reshape(-1, 2)
    mark = palette.FOLD if type(found).__name__ == "Folds" else palette.FLIP
    for i, name in enumerate(("lower", "upper")):
        ax.plot(b[:, i], x[:, i], color=palette.SERIES[i], linewidth=palette.THIN, zorder=1)
        ax.plot(b[:, i], x[:, i], **mark, label=name if not i else None, zorder=2)
    ax.set_xlabel("bias b")
    ax.set_ylabel("state x")
    return ax


def _equilibria(found: Any, ax: "Axes") -> "Axes":
    points = np.asarray(found.points, float).reshape(-1, 3)
    stable = np.asarray(found.stable).reshape(-1, 3)
    at = np.broadcast_to(np.arange(len(points))[:, None], points.shape)
    for chosen, face, label in (
        (stable, palette.BLUE, "stable"),
        (~stable & np.isfinite(points), palette.WHITE, "not stable"),
    ):
        style = {
            "markerfacecolor": face,
            "markeredgecolor": palette.BLACK,
            "markersize": palette.MARK,
            "linestyle": "none",
        }
        ax.plot(at[chosen], points[chosen], marker="o", label=label, **style)
    ax.set_xlabel("point")
    ax.set_ylabel("equilibrium x")
    ax.legend(loc="best")
    return ax


def _doya_branch(found: Any, ax: "Axes") -> "Axes":
    style = palette.CYCLE if found.kind == "2-cycle" else palette.BRANCH if found.stable else palette.UNSTABLE
    ax.plot(found.b, found.x, label=found.kind, **style)
    ax.set_xlabel("bias b")
    ax.set_ylabel("state x")
    return ax


def _special_point(found: Any, ax: "Axes") -> "Axes":
    if found.multipliers is None:
        ax.plot(np.atleast_1d(found.parameter)[:1], np.ravel(found.state)[:1], **palette.FOLD)
        ax.set_xlabel("parameter")
        ax.set_ylabel("state")
    else:
        complex_plane(ax, found.multipliers)
    where = ", ".join(f"{value:.5g}" for value in np.atleast_1d(np.asarray(found.parameter, float)))
    ax.set_title(f"{found.kind} at {where}".replace("-", "−"))
    return ax


def _eigenvectors(found: Any, ax: "Axes") -> "Axes":
    complex_plane(ax, found.multipliers)
    finite = found.condition[np.isfinite(found.condition)]
    ax.set_title(f"condition up to {finite.max():.3g}" if finite.size else "")
    return ax


def _non_normality(found: Any, ax: "Axes") -> "Axes":
    complex_plane(ax, found.eigenvalues, radius=1.0, label="eigenvalues")
    angle = np.linspace(0, 2 * np.pi, 361)
    for size, label, style in (
        (found.numerical_radius, "numerical radius", palette.DASHED),
        (found.norm, f"norm {palette.typeset('‖A‖₂')}", palette.DOTTED),
    ):
        ax.plot(
            size * np.cos(angle), size * np.sin(angle), color=palette.ORANGE, linestyle=style, label=label
        )
    ax.legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none")
    ax.set_title(f"Kreiss constant {found.kreiss_constant:.4g}")
    return ax


def _states_along(found: Any, ax: "Axes") -> "Axes":
    return series(
        ax,
        found.amplitudes,
        {"growth": found.log_growth},
        "amplitude",
        "ln of the growth (nats)",
        legend=False,
    )


def _slow_points(found: Any, ax: "Axes") -> "Axes":
    series(
        ax, np.arange(len(found)), {"q": found.speed}, "slow point", "speed q", linestyle="none", marker="x"
    )
    ax.set_yscale("log")
    return ax


def _uncertainty(found: Any, ax: "Axes") -> "Axes":
    series(
        ax,
        found.distances,
        {"measured": found.fractions},
        "distance ε (steps of the grid)",
        "share f(ε)",
        linestyle="none",
    )
    shown = found.fractions > 0
    if np.isfinite(found.exponent) and shown.any():
        x = np.asarray(found.distances, float)
        middle = np.exp(np.mean(np.log(found.fractions[shown]) - found.exponent * np.log(x[shown])))
        ax.plot(x, middle * x**found.exponent, color=palette.GREY, label=f"ε^{found.exponent:.3g}")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.legend(loc="best")
    return ax


def _fractions(found: Any, ax: "Axes") -> "Axes":
    shares = {f"attractor {i}": float(share) for i, share in enumerate(found.attractors)}
    shares |= {"undecided": found.undecided, "diverged": found.diverged}
    errors = [*found.standard_errors, found.undecided_error, found.diverged_error]
    return bars(ax, shares, "share of the starts", errors=errors)


def _shares(found: Any, ax: "Axes") -> "Axes":
    return bars(ax, {name: float(getattr(found, name)) for name in found._fields}, "share of the directions")


def _jump(found: Any, ax: "Axes") -> "Axes":
    series(
        ax, [0, 1], {"loss": [found.before, found.after]}, "side of the jump", "loss for T → ∞", legend=False
    )
    ax.set_xticks([0, 1], ["before", "after"])
    ax.set_title(f"{found.cause} at {float(np.ravel(found.position)[0]):.5g}".replace("-", "−"))
    return ax


def _row(found: Any, ax: "Axes") -> "Axes":
    horizon = np.asarray(found.horizon, float)
    series(
        ax, np.arange(len(horizon)), {"run": horizon}, "moment of training", "horizon (steps)", legend=False
    )
    ax.set_xticks(np.arange(len(horizon)), ["initial", "middle", "final"][: len(horizon)])
    ax.set_title(f"{found.remedy}, {found.task} {found.length}")
    return ax


def _along_training(found: Any, ax: "Axes") -> "Axes":
    counts = [len(points) for points in found.points]
    series(
        ax, np.arange(len(counts)), {"fixed points": counts}, "network of the path", "number", legend=False
    )
    for event in found.events:
        ax.axvline(event.position, color=palette.VERMILION, linewidth=palette.THIN, linestyle=palette.SHORT)
    return ax


def _latch(found: Any, ax: "Axes") -> "Axes":
    share = np.asarray(found.converged, float)
    share = share.mean(axis=tuple(range(1, share.ndim)))
    return series(
        ax,
        found.lengths,
        {"converged": share},
        "length of the sequence",
        "share of runs that converged",
        legend=False,
    )


def _deep_runs(found: Any, ax: "Axes") -> "Axes":
    series(ax, found.rates, {"seed": found.wrong}, "learning rate", "share of wrong answers")
    ax.set_xscale("log")
    return ax


_DRAWN: dict[str, Callable[..., Any]] = growth.DRAWN | {
    "Attractors": attractors,
    "EdgeState": edge_state,
    "Fractions": _fractions,
    "UncertaintyExponent": _uncertainty,
    "SpecialPoint": _special_point,
    "Jump": _jump,
    "LimitLoss": _over_points({"even": "even T", "odd": "odd T"}, "point", "loss for T → ∞"),
    "Loss": _loss,
    "Wall": _wall,
    "NeuronBranch": _doya_branch,
    "Equilibria": _equilibria,
    "FiniteRatios": _over_points(
        {"initial": palette.typeset("Δx_T/Δx₀"), "bias": palette.typeset("Δx_T/Δb")}, "point", "ratio"
    ),
    "Flips": _two_places,
    "Folds": _two_places,
    "TwoCycle": _over_points({"x": "state"}, "point", "state x", linestyle="none", marker="s"),
    "Eigenvectors": _eigenvectors,
    "SlowPoints": _slow_points,
    "Side": side,
    "Edge": _over_points({"gain": "edge of chaos"}, "number of the bias", "gain g"),
    "StatesAlong": _states_along,
    "NonNormality": _non_normality,
    "Shares": _shares,
    "Sweep": sweep,
    "AlongTraining": _along_training,
    "DeepRuns": _deep_runs,
    "LatchConvergence": _latch,
    "ComparisonRow": _row,
}
