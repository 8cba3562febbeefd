"""The loss cliff: along b at w = 5, and Pascanu's figure 6 with clipped and unclipped descent."""

import dataclasses
import functools
import math
from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rnn_dynamics import cliff, plots
from rnn_dynamics.figures.cliff import loss_facts
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.plots import palette

_STEPS = (5, 10, 20, 50)
_NO_CLIP = 1e300


def cliff_profile(*, quick: bool = False) -> Reproduction:
    """L(b) and |dL/db| for several T with the limit, and how the steepest gradient grows with T."""
    points = 401 if quick else 1601
    wide = cliff.profile(np.linspace(-2.7, -2.3, points), steps=_STEPS)
    steepest = loss_facts.steepest_gradients((10, 20, 30, 40, 50))
    return Reproduction(functools.partial(_profiles, wide, steepest), loss_facts.profile_rows(steepest))


def _profiles(wide: Any, steepest: dict[int, float]) -> Figure:
    figure = Figure(figsize=(palette.FULL, 3.2))
    first, second, third = figure.subplots(1, 3, width_ratios=(1.2, 1.2, 0.9))
    plots.loss_profile(wide, first)
    first.set_title("$w = 5$, $x_0 = ½$, target .855")
    plots.loss_profile(wide, second, quantity="gradient", legend=False)
    second.set_ylim(-5, 5.2)
    second.set_title("its gradient")
    _growth(third, steepest)
    plots.panel_labels((first, second, third))
    return figure


def _growth(ax: Axes, steepest: dict[int, float]) -> None:
    steps = np.array(list(steepest))
    sizes = np.log10(list(steepest.values()))
    line = sizes[-1] + (steps - steps[-1]) * math.log10(1.25)
    ax.plot(steps, line, color=palette.GREY, linestyle=palette.DASHED, label=r"$\propto 1.25^T$")
    ax.plot(steps, sizes, "o", color=palette.BLUE, label="measured")
    ax.set_xlabel("steps $T$")
    plots.powers_of_ten(ax.yaxis, palette.typeset("max |∂L/∂b|"))
    ax.set_title("the steepest gradient")
    ax.legend(loc="upper left")


def cliff_surface(*, quick: bool = False) -> Reproduction:
    """E₅₀ over (w, b), and descent from (4.75, −2) thrown across the wall without clipping, kept with it."""
    across, up = (120, 90) if quick else (360, 280)
    surface = cliff.surface(np.linspace(3, 10.5, across), np.linspace(-5, 6.5, up), steps=50)
    near = cliff.surface(np.linspace(4.3, 4.8, across), np.linspace(-2.45, -1.95, up), steps=50)
    w, b, clip = np.array([[4.75, 4.75, 6, 6], [-2, -2, -3, -3], [_NO_CLIP, 1, _NO_CLIP, 1]])
    every = cliff.descend(w, b, rate=0.1, clip=clip, updates=500)
    paths = [_single(every, index, updates) for index, updates in enumerate((100, 100, 500, 500))]
    rows = loss_facts.surface_rows(surface, *paths)
    return Reproduction(functools.partial(_surfaces, surface, near, *paths[:2]), rows)


def _surfaces(surface: Any, near: Any, unclipped: Any, clipped: Any) -> Figure:
    figure = Figure(figsize=(palette.FULL, 3.4))
    first, second, third = figure.subplots(1, 3, width_ratios=(1.15, 1.15, 1))
    plots.loss_surface(surface, first, floor=1e-3)
    plots.loss_surface(near, second, logarithmic=True, limit=2.0)
    first.set_title("loss at $T = 50$")
    second.set_title("its gradient; red is clipped")
    for ax in (first, second):
        limits = ax.get_xlim(), ax.get_ylim()
        _paths(ax, unclipped, clipped)
        ax.set_xlim(limits[0])
        ax.set_ylim(limits[1])
    w, b = np.asarray(near.w), np.asarray(near.b)
    frame = {"fill": False, "edgecolor": palette.BLACK, "linewidth": palette.LINE}
    first.add_patch(Rectangle((w[0], b[0]), float(np.ptp(w)), float(np.ptp(b)), **frame))
    first.text(w[-1] + 0.1, b[0] - 1.6, "panel b", fontsize=palette.NOTE, va="center")
    _losses(third, unclipped, clipped)
    plots.panel_labels((first, second, third))
    plots.shared_legend((first, second))
    return figure


def _single(paths: cliff.Descent, index: int, updates: int) -> cliff.Descent:
    """One of several paths, as far as ``updates``; its status is that of the whole path."""
    path = jax.tree_util.tree_map(lambda leaf: np.asarray(leaf)[..., index], paths)
    first = {"w": path.w, "b": path.b, "loss": path.loss, "path_error": path.path_error}
    first = jax.tree_util.tree_map(lambda leaf: leaf[: updates + 1], first)
    return dataclasses.replace(path, **first)


def _paths(ax: Axes, unclipped: Any, clipped: Any) -> None:
    plots.descent(clipped, ax, label="clipped at 1", color=palette.BLACK)
    plots.descent(unclipped, ax, label="unclipped", color=palette.VERMILION)


def _losses(ax: Axes, unclipped: Any, clipped: Any) -> None:
    for path, label, colour in (
        (unclipped, "unclipped", palette.VERMILION),
        (clipped, "clipped at 1", palette.BLACK),
    ):
        ax.plot(np.log10(np.asarray(path.loss.value)), color=colour, label=label)
    ax.set_xlabel("update")
    plots.powers_of_ten(ax.yaxis, palette.typeset("L"))
    ax.set_xlim(0, unclipped.updates)
    ax.set_title("along both paths, rate .1")
    ax.set_ylim(-5, 0.1)
    note = {"color": palette.VERMILION, "fontsize": palette.NOTE, "ha": "right"}
    ax.text(unclipped.updates, -0.35, "unclipped: on a plateau", **note)
