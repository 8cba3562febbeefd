"""One neuron charted: orbit diagrams in both directions, and events over exponents in the plane of w and b."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from rnn_dynamics import doya, plots
from rnn_dynamics.cells import DoyaNeuron
from rnn_dynamics.dynamics.bifurcations import BifurcationCurve, bifurcation_curve
from rnn_dynamics.dynamics.lyapunov import FiniteTimeExponents, finite_time_exponents
from rnn_dynamics.dynamics.orbit_diagram import OrbitDiagram, orbit_diagram
from rnn_dynamics.figures.doya.events import flip_curve
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim, number
from rnn_dynamics.plots import palette

_BISTABLE, _WILD = 5.0, -100.0
_START = 0.3
_NARROW = ((-16.0, 12.0), (-8.0, 14.0))  # w and b
_WIDE = ((-140.0, 12.0), (-20.0, 140.0))


class _Cascade(NamedTuple):
    """Orbit diagram and exponents over b at w = −100, ε = ½."""

    orbits: OrbitDiagram
    exponents: np.ndarray


class _Chart(NamedTuple):
    """Exponents over (w, b), and the curves of events, each as (w, b)."""

    epsilon: float
    w: np.ndarray
    b: np.ndarray
    field: FiniteTimeExponents
    folds: np.ndarray
    flips: list[np.ndarray]


def _neuron(b: jax.Array, w: jax.Array, epsilon: jax.Array) -> DoyaNeuron:
    return DoyaNeuron(w, b, epsilon)


def neuron_charts(*, quick: bool = False) -> Reproduction:
    """Hysteresis at w = 5, period doubling to chaos at ε = ½, and both planes of parameters.

    Quick: coarse grids, and the flips from their closed form only.
    """
    size = 80 if quick else 240
    sweep = orbit_diagram(
        _neuron, np.linspace(-3, -1.75, 5 * size), 0.05, transient=400, kept=2, others=(_BISTABLE, 1.0)
    )
    cascade = _cascade(quick)
    folds = _continued_folds()
    flips = {} if quick else {epsilon: _continued_flips(epsilon) for epsilon in (1.0, 0.5)}
    charts = [
        _chart(epsilon, box, size, folds, flips.get(epsilon))
        for epsilon, box in ((1.0, _NARROW), (0.5, _WIDE))
    ]
    rows = (*_sweep_rows(sweep), *_cascade_rows(cascade), *_curve_rows(folds, flips))
    return Reproduction(functools.partial(_picture, sweep, cascade, charts), rows)


def _exponents(w: Any, b: Any, epsilon: float, steps: int) -> FiniteTimeExponents:
    return finite_time_exponents(
        _neuron, _START, parameters=(b, w, epsilon), steps=steps, discard=300, state_ndim=0
    )


def _cascade(quick: bool) -> _Cascade:
    b = np.linspace(-5, 100, 316 if quick else 1051)
    orbits = orbit_diagram(_neuron, b, _START, transient=300, kept=100, others=(_WILD, 0.5))
    return _Cascade(orbits, _exponents(_WILD, b, 0.5, 5000).largest)


def _continued_folds() -> BifurcationCurve:
    """From the upper fold at w = 5 through the cusp to the other side."""
    fold = doya.folds(_BISTABLE)
    x, b = (float(np.asarray(value)[0]) for value in (fold.x, fold.b))
    start = x, (b, _BISTABLE)
    return bifurcation_curve(_neuron, "fold", *start, ranges=((-8.0, 2.0), (3.0, 12.0)), others=(1.0,))


def _continued_flips(epsilon: float) -> BifurcationCurve:
    """From one flip beyond the first to the other; the ranges keep the shape of the closed form's curve."""
    first = -4 * (2 - epsilon) / epsilon
    (low, _), b_range = _NARROW if epsilon == 1 else _WIDE
    flip = doya.flips(1.5 * first, epsilon)
    start = float(flip.x[0]), (float(flip.b[0]), 1.5 * first)
    return bifurcation_curve(
        _neuron, "flip", *start, ranges=(b_range, (low, first + 1)), others=(epsilon,), longest=0.01
    )


def _chart(
    epsilon: float, box: tuple, size: int, folds: BifurcationCurve, flips: BifurcationCurve | None
) -> _Chart:
    w, b = (np.linspace(low, high, size) for low, high in box)
    field = _exponents(w[:, None], b[None, :], epsilon, 200)
    if flips is None:
        across, closed = flip_curve(box[0][0], epsilon)
        curves = [np.stack([across, closed[:, side]], 1) for side in range(2)]
    else:
        curves = [flips.parameters[:, ::-1]]
    return _Chart(epsilon, w, b, field, folds.parameters[:, ::-1], curves)


def _picture(sweep: OrbitDiagram, cascade: _Cascade, charts: list[_Chart]) -> Figure:
    figure = Figure(figsize=(palette.FULL, 6.2))
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 1.25))
    first = figure.add_subplot(grid[0, 0])
    inner = grid[0, 1].subgridspec(2, 1, height_ratios=(2, 1), hspace=0.05)
    second = figure.add_subplot(inner[0])
    _hysteresis(first, sweep)
    _doubling(second, figure.add_subplot(inner[1], sharex=second), cascade)
    lower = [figure.add_subplot(grid[1, column]) for column in range(2)]
    for ax, chart in zip(lower, charts, strict=True):
        _plane(ax, chart)
    plots.panel_labels((first, second, *lower))
    plots.shared_legend((first, *lower), columns=4)
    return figure


def _hysteresis(ax: Axes, sweep: OrbitDiagram) -> None:
    for states, colour, name, width in (
        (sweep.down, palette.VERMILION, "$b$ falling", 4.0),
        (sweep.up, palette.BLUE, "$b$ rising", 1.8),
    ):
        ax.plot(sweep.parameters, states[:, -1], color=colour, linewidth=width, label=name)
    low, high = np.sort(np.asarray(doya.folds(_BISTABLE).x))
    x = np.linspace(low, high, 100)
    ax.plot(doya.wall(_BISTABLE, x), x, **palette.UNSTABLE, label="unstable equilibrium")
    ax.plot(doya.folds(_BISTABLE).b, doya.folds(_BISTABLE).x, label="fold", **palette.FOLD)
    ax.set_title(r"hysteresis: $w = 5$, $\varepsilon = 1$")
    ax.set_xlabel(palette.BIAS_AXIS)
    ax.set_ylabel(palette.STATE_AXIS)
    ax.set_xlim(sweep.parameters[0], sweep.parameters[-1])


def _doubling(above: Axes, below: Axes, cascade: _Cascade) -> None:
    states = cascade.orbits.up
    at = np.broadcast_to(cascade.orbits.parameters[:, None], states.shape)
    above.plot(at.ravel(), states.ravel(), ",", color=palette.BLACK, alpha=0.35, rasterized=True)
    above.set_ylabel(palette.STATE_AXIS)
    above.set_title(r"period doubling to chaos: $w = -100$, $\varepsilon = ½$")
    above.tick_params(labelbottom=False)
    below.axhline(0, color=palette.GREY, linewidth=palette.THIN)
    below.plot(cascade.orbits.parameters, cascade.exponents, color=palette.BLUE, linewidth=palette.THIN)
    below.set_ylim(-1.5, 0.7)
    below.set_ylabel("exponent $λ$\n(nats a step)")
    below.set_xlabel(palette.BIAS_AXIS)
    below.set_xlim(cascade.orbits.parameters[0], cascade.orbits.parameters[-1])


def _plane(ax: Axes, chart: _Chart) -> None:
    plots.exponent_field(chart.field, chart.w, chart.b, ax, limit=12.0 if chart.epsilon == 1 else 0.7)
    halo = [withStroke(linewidth=palette.WIDE, foreground=palette.WHITE)]
    line: dict[str, Any] = {"color": palette.BLACK, "path_effects": halo}
    if chart.epsilon == 1:
        ax.plot(*chart.folds.T, label="curve of folds", **line)
        w, b, _ = doya.cusp()
        ax.plot(w, b, label="cusp", **palette.CUSP)
        ax.set_xlim(chart.w[0], chart.w[-1])
        # Between the folds the colour is that of the attractor which the start reaches: it changes at the wall.
        ax.annotate(
            f"between the folds: of the\nattractor that $x_0 = {_START:g}$ reaches",
            xy=(8.0, -4.0),
            xytext=(-15.5, -5.6),
            fontsize=palette.NOTE,
            va="center",
            arrowprops={"arrowstyle": "->", "linewidth": palette.THIN},
        )
    else:
        ax.axvline(_WILD, color=palette.WHITE, linestyle=palette.DOTTED)
        ax.text(_WILD + 2, chart.b[-1], "panel b", color=palette.WHITE, fontsize=palette.NOTE, va="top")
        ax.set_xlim(chart.w[0], 0)
    for i, curve in enumerate(chart.flips):
        name = "" if i else "curve of flips"
        ax.plot(*curve.T, linestyle=palette.DASHED, label=name, **line)
    ax.set_xlabel(palette.WEIGHT_AXIS)
    ax.set_ylabel(palette.BIAS_AXIS)
    ax.set_ylim(chart.b[0], chart.b[-1])
    ax.set_title(rf"events over the exponent, $\varepsilon = {'1' if chart.epsilon == 1 else '½'}$")


def _sweep_rows(sweep: OrbitDiagram) -> list[ReportRow]:
    low, high = np.sort(np.asarray(doya.folds(_BISTABLE).b))
    b, step = sweep.parameters, sweep.parameters[1] - sweep.parameters[0]
    jump_up = b[np.argmax(sweep.up[:, -1] > 0.5)]
    jump_down = b[np.argmax(sweep.down[:, -1] > 0.5)]
    return [
        number(
            f"{name} fold at w = 5: where the orbit diagram jumps with b {way}",
            "Doya 1992, the closed form",
            f"{fold:.6f}",
            jump,
            within=2 * step,
            note=f"The diagram's step in b is {step:.4f}.",
        )
        for name, way, fold, jump in (
            ("upper", "rising", high, jump_up),
            ("lower", "falling", low, jump_down),
        )
    ]


def _cascade_rows(cascade: _Cascade) -> list[ReportRow]:
    b = cascade.orbits.parameters
    chaotic = float(cascade.exponents[np.argmin(np.abs(b - 90))])
    flip = float(np.min(np.asarray(doya.flips(_WILD, 0.5).b)))
    swing = np.ptp(cascade.orbits.up, axis=1) > 1e-3
    first = b[np.argmax(swing)]
    return [
        number(
            "exponent of the diagram's orbit at ε = .5, w = −100, b = 90",
            "Doya's neuron",
            "0.42",
            chaotic,
            within=0.02,
        ),
        number(
            "lower flip at ε = .5, w = −100: where the orbit diagram splits in two",
            "the closed form",
            f"{flip:.4f}",
            first,
            within=2 * (b[1] - b[0]),
        ),
        claim(
            "one neuron with ε < 1 is chaotic for strongly negative w",
            "Doya's neuron",
            "λ > 0 between windows of order",
            f"λ > 0.01 at {100 * float(np.mean(cascade.exponents > 0.01)):.0f} % of b in [−5, 100]",
            found=0.05 < np.mean(cascade.exponents > 0.01) < 0.95,
        ),
    ]


def _curve_rows(folds: BifurcationCurve, flips: dict[float, BifurcationCurve]) -> list[ReportRow]:
    exact = np.asarray(doya.folds(folds.parameters[:, 1]).b)
    gap = float(np.nanmax(np.abs(exact - folds.parameters[:, :1]).min(axis=1)))
    (cusp,) = folds.events
    b, w = np.asarray(cusp.parameter)
    rows = [
        number("w of the cusp, located on the continued curve of folds", "closed form", "4", w),
        number("b of the cusp, located on the continued curve of folds", "closed form", "-2", b),
        claim(
            "the curve of folds continued in (b, w), largest error in b",
            "logit(x) − w x at x = (1 ± √(1 − 4/w))/2",
            "0",
            f"{gap:.1e} over {len(folds)} points",
            found=gap < 1e-12,
        ),
    ]
    for epsilon, curve in flips.items():
        exact = np.asarray(doya.flips(curve.parameters[:, 1], epsilon).b)
        gap = float(np.nanmax(np.abs(exact - curve.parameters[:, :1]).min(axis=1)))
        rows.append(
            claim(
                f"the curve of flips continued in (b, w), ε = {epsilon:g}, largest error in b",
                "1 − ε + ε w x(1−x) = −1",
                "0",
                f"{gap:.1e} over {len(curve)} points",
                found=gap < 1e-10,
            )
        )
    return rows
