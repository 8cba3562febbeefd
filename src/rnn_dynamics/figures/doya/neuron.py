"""Figure 3 of Pascanu et al.: the attractors of one neuron against its bias, and both ways of crossing."""

import functools
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_dynamics import doya, plots
from rnn_dynamics.figures.doya import neuron_facts
from rnn_dynamics.figures.doya.events import flip_curve, fold_curve
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.plots import palette

_WEIGHT = 5.0


def doya_bifurcation(*, quick: bool = False) -> Reproduction:
    """Attractors at w = 5 with both kinds of crossing, the 2-cycle at w = −8, and all events over (w, b)."""
    bistable = doya.bifurcation_diagram(_WEIGHT, np.linspace(-2.9, -2.1, 64))
    cyclic = doya.bifurcation_diagram(-8.0, np.linspace(-1.0, 9.0, 64))
    states = np.array([0.38, 0.5, 0.62])
    held = np.stack([doya.wall(_WEIGHT, states), states])
    flips = {epsilon: flip_curve(-16, epsilon) for epsilon in (1.0, 0.5)}
    draw = functools.partial(_picture, bistable, held, cyclic, fold_curve(12), flips)
    return Reproduction(draw, neuron_facts.rows())


def _picture(bistable: Any, held: np.ndarray, cyclic: Any, folds: tuple, flips: dict) -> Figure:
    figure = Figure(figsize=(palette.FULL, 3.2))
    first, second, third = figure.subplots(1, 3, width_ratios=(1.35, 1, 1))
    _crossings(first, bistable, held)
    plots.bifurcation_diagram(cyclic, second, legend=False)
    second.set_ylim(-0.02, 1.02)
    _chart(third, folds, flips)
    plots.panel_labels((first, second, third))
    plots.shared_legend((first, second, third), columns=4)
    return figure


def _crossings(ax: Axes, diagram: Any, held: np.ndarray) -> None:
    """The diagram with its two bifurcation crossings, and the range of b where the boundary is crossed."""
    plots.bifurcation_diagram(diagram, ax, legend=False)
    low, high = sorted(event.parameter for event in diagram.events)
    ax.axvspan(low, high, color=palette.LIGHT, alpha=0.5, linewidth=0, zorder=0)
    note: dict[str, Any] = {"fontsize": palette.NOTE, "va": "center", "linespacing": 1.1}
    for b in (low, high):
        ax.axvline(b, color=palette.BLUE, linewidth=palette.THIN, linestyle=palette.DOTTED, zorder=1)
    ax.text(
        high + 0.015, 0.45, "bifurcation\ncrossing: at\na fold, one\nof two $b$", color=palette.BLUE, **note
    )
    across, states = held
    ax.plot(
        across,
        states,
        linestyle="none",
        marker="o",
        markersize=palette.BIG,
        markerfacecolor=palette.WHITE,
        markeredgecolor=palette.VERMILION,
        markeredgewidth=palette.LINE,
        label="boundary crossing (three of them)",
        zorder=6,
    )
    for b, x in zip(across, states, strict=True):
        arrow = {"arrowstyle": "->", "color": palette.VERMILION, "linewidth": palette.THIN}
        ax.annotate("", xy=(b + 0.07, x), xytext=(b - 0.07, x), arrowprops=arrow, zorder=5)
    text = "boundary\ncrossing:\nany $b$ in\nthe band"
    ax.text(low - 0.015, 0.55, text, color=palette.VERMILION, ha="right", **note)
    ax.set_ylim(-0.02, 1.02)


def _chart(ax: Axes, folds: tuple[np.ndarray, np.ndarray], flips: dict[float, tuple]) -> None:
    """Folds and the cusp, and flips for two Euler steps, over (w, b)."""
    up, fold = folds
    for side in range(2):
        label = "curve of folds" if not side else "_nolegend_"
        ax.plot(up, fold[:, side], color=palette.BLACK, linewidth=palette.LINE, label=label)
    ax.fill_between(up, fold[:, 1], fold[:, 0], color=palette.LIGHT, linewidth=0, label="two attractors")
    w, b, _ = doya.cusp()
    ax.plot(w, b, label="cusp", **palette.CUSP)
    for epsilon, dashes, name in ((1.0, "-", "1"), (0.5, palette.SHORT, "½")):
        down, flip = flips[epsilon]
        for side in range(2):
            label = f"curve of flips, $\\varepsilon$ = {name}" if not side else "_nolegend_"
            ax.plot(
                down,
                flip[:, side],
                color=palette.BLUE,
                linestyle=dashes,
                linewidth=palette.LINE,
                label=label,
            )
        ax.plot(down[-1], -down[-1] / 2, zorder=5, **palette.FLIP)
    ax.set_xlabel(palette.WEIGHT_AXIS)
    ax.set_ylabel(palette.BIAS_AXIS)
    ax.set_xlim(-16, 12)
    ax.set_title("events over $(w, b)$")
