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
    figure = Figure(figsize=(11, 3.7))
    first, second, third = figure.subplots(1, 3, width_ratios=(1.35, 1, 1))
    _crossings(first, bistable, held)
    plots.bifurcation_diagram(cyclic, second)
    second.set_ylim(-0.05, 1.4)
    second.legend(loc="upper left", ncols=2, fontsize=7.5, columnspacing=1.0, handlelength=1.8)
    _chart(third, folds, flips)
    plots.panel_labels((first, second, third))
    return figure


def _crossings(ax: Axes, diagram: Any, held: np.ndarray) -> None:
    """The diagram with its two bifurcation crossings, and the range of b where the boundary is crossed."""
    plots.bifurcation_diagram(diagram, ax, legend=False)
    low, high = sorted(event.parameter for event in diagram.events)
    ax.fill_between([low, high], -0.02, 1, color=palette.LIGHT, alpha=0.5, linewidth=0, zorder=0)
    for b in (low, high):
        ax.plot([b, b], [-0.02, 1], color=palette.BLUE, linewidth=1, linestyle=(0, (1, 1.5)), zorder=1)
    ax.annotate(
        "bifurcation crossing:\none of two values of b",
        (high, 0.9),
        (high + 0.025, 0.42),
        fontsize=8,
        color=palette.BLUE,
        arrowprops={"arrowstyle": "->", "color": palette.BLUE},
    )
    across, states = held
    ax.plot(
        across,
        states,
        linestyle="none",
        marker="o",
        markersize=6,
        markerfacecolor="white",
        markeredgecolor=palette.VERMILION,
        markeredgewidth=1.4,
        label="boundary crossing, in the band",
        zorder=6,
    )
    ax.annotate(
        "",
        xy=(across[1] + 0.12, states[1]),
        xytext=(across[1] - 0.12, states[1]),
        arrowprops={"arrowstyle": "->", "color": palette.VERMILION},
    )
    ax.text(across[1] + 0.035, states[1] + 0.025, "b grows", fontsize=8, color=palette.VERMILION)
    ax.set_ylim(-0.02, 1.16)
    ax.legend(loc="upper left", ncols=2, fontsize=7.5, columnspacing=1.0, handlelength=1.8)


def _chart(ax: Axes, folds: tuple[np.ndarray, np.ndarray], flips: dict[float, tuple]) -> None:
    """Folds and the cusp, and flips for two Euler steps, over (w, b)."""
    up, fold = folds
    for side in range(2):
        label = "fold" if not side else "_nolegend_"
        ax.plot(up, fold[:, side], color=palette.BLACK, linewidth=1.8, label=label)
    ax.fill_between(up, fold[:, 1], fold[:, 0], color=palette.LIGHT, alpha=0.6, linewidth=0)
    ax.annotate(
        "two attractors",
        xy=(10, -4.8),
        xytext=(6.2, 0.6),
        fontsize=8,
        ha="center",
        arrowprops={"arrowstyle": "->", "color": palette.GREY},
    )
    w, b, _ = doya.cusp()
    ax.plot(w, b, label="cusp", **palette.CUSP)
    for epsilon, dashes in ((1.0, "-"), (0.5, (0, (3, 1.5)))):
        down, flip = flips[epsilon]
        for side in range(2):
            label = f"flip, ε = {epsilon:g}" if not side else "_nolegend_"
            ax.plot(down, flip[:, side], color=palette.BLUE, linestyle=dashes, linewidth=1.4, label=label)
        ax.plot(down[-1], -down[-1] / 2, zorder=5, **palette.FLIP)
    ax.set_xlabel("weight w")
    ax.set_ylabel("bias b")
    ax.set_xlim(-16, 12)
    ax.set_title("events over (w, b)")
    ax.legend(loc="upper right")
