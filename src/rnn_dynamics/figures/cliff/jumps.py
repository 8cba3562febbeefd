"""A loss over two parameters of a two-neuron network: its jumps at a basin boundary and at folds."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from rnn_dynamics import cliff, plots
from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim, number
from rnn_dynamics.numerics.batching import mapped, namespace
from rnn_dynamics.plots import palette

_WEIGHTS = np.array([[2.0, -0.3], [0.4, 1.8]])
_ALONE = np.array([[2.0, 0.0], [0.0, 2.0]])
_TARGET = (0.9, -0.8)
_START = np.array([-0.6, 0.1])
_LINE = (-0.6, 0.45), (1.0, -0.2)
_PLANE = (-1.0, -1.0), (1.2, -1.0), (-1.0, 1.0)
_STEPS = (10, 20, 50)
_LONGER = (10, 15, 20, 25, 30, 35, 40)
_BATCH = 401
_FOLD_OF_TANH = "0.532839975354"  # of x = tanh(2 x + b)


def _family(weights: Array, b1: Array, b2: Array) -> ElmanRNN:
    return ElmanRNN(weights, namespace(b1, b2).stack([b1, b2]))


COUPLED, UNCOUPLED = Partial(_family, _WEIGHTS), Partial(_family, _ALONE)


def loss(x: Float[Array, " 2"]) -> Float[Array, ""]:
    """The squared distance from the corner (0.9, −0.8)."""
    return jnp.sum(jnp.square(x - jnp.array(_TARGET, x.dtype)))


class _Results(NamedTuple):
    """What the figure is drawn from.

    Attributes:
        line: the loss along the line at the longest of the numbers of steps, with its limit.
        losses, slopes: L and dL/dλ on the line's grid for every T from 0, shape (m, T+1).
        plane: the loss over the plane.
        steepest: ln max |dL/dλ| against T about the basin boundary and about the first fold.
    """

    line: cliff.LossAlong
    losses: np.ndarray
    slopes: np.ndarray
    plane: cliff.LossAlong
    steepest: dict[str, np.ndarray]


def two_neuron_cliff(*, quick: bool = False) -> Reproduction:
    """Two neurons whose loss jumps at a basin boundary and at two folds; how fast each gradient grows with T."""
    along = functools.partial(cliff.along, COUPLED, loss)
    line = along(_LINE, _START, steps=_STEPS[-1], points=201 if quick else 801)
    losses, slopes = _at_every_step(line.axes[0])
    grid = (23, 21) if quick else (50, 45)
    plane = along(_PLANE, _START, steps=50, points=grid, events=not quick)
    results = _Results(line, losses, slopes, plane, _steepest(line))
    return Reproduction(functools.partial(_picture, results), _rows(results))


@jax.jit
def _of_shares(shares: Float[Array, " m"]) -> tuple[Float[Array, "m steps+1"], Float[Array, "m steps+1"]]:
    """L(x_T) and dL(x_T)/dλ for every T up to the longest, by forward mode."""

    def losses(share: Array) -> Array:
        return jax.vmap(loss)(rollout(COUPLED(*_at(share)), _START, steps=_STEPS[-1]).states)

    return jax.vmap(lambda share: jax.jvp(losses, (share,), (jnp.ones_like(share),)))(shares)


def _at_every_step(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """L and dL/dλ at places on the line, in batches of one size."""
    return mapped(lambda batch: _of_shares(jnp.asarray(batch)), [shares], _BATCH)


def _steepest(line: cliff.LossAlong) -> dict[str, np.ndarray]:
    """ln max |dL/dλ| on an interval about each kind of jump that narrows as its peak does."""
    boundary, fold = line.of_cause("basin boundary")[0], line.of_cause("fold")[0]
    found: dict[str, list[float]] = {"basin boundary": [], "fold": []}
    for steps in _LONGER:
        # An orbit takes π/√δ steps or so past the bottleneck at a distance δ behind a fold.
        reach = {"basin boundary": 30 * math.exp(-boundary.growth * steps), "fold": 40 / steps**2}
        for jump, low in ((boundary, -1.0), (fold, 0.0)):
            shares = jump.position[0] + np.linspace(low, 1.0, _BATCH) * reach[jump.cause]
            slopes = _at_every_step(shares)[1][:, steps]
            found[jump.cause].append(math.log(np.abs(slopes).max()))
    return {cause: np.array(logs) for cause, logs in found.items()}


def _at(share: Any) -> tuple[Any, Any]:
    """The biases at a position on the line."""
    (b1, b2), (c1, c2) = _LINE
    return b1 + share * (c1 - b1), b2 + share * (c2 - b2)


def _rows(results: _Results) -> tuple[ReportRow, ...]:
    """Closed forms where the neurons are apart, and the two laws of growth."""
    apart = cliff.along(
        UNCOUPLED,
        loss,
        ((-0.2, -0.4), (0.9, 0.4)),
        np.array([-0.9, 0.1]),
        steps=50,
        points=201,
        events=False,
    )
    fold, boundary = apart.of_cause("fold")[0], apart.of_cause("basin boundary")[0]
    jump = results.line.of_cause("basin boundary")[0]
    logs, steps = results.steepest, np.array(_LONGER, float)
    rate = (logs["basin boundary"][-1] - logs["basin boundary"][-3]) / (steps[-1] - steps[-3])
    power = (logs["fold"][-1] - logs["fold"][-3]) / math.log(steps[-1] / steps[-3])
    causes = [each.cause for each in results.line.jumps]
    own = "Doya 1992; Pascanu et al. 2013, section 2.3"
    return (
        number(
            "b₁ of the jump at a fold, two neurons apart",
            "closed form",
            _FOLD_OF_TANH,
            fold.parameters[0],
        ),
        number(
            "b₂ of the jump at a basin boundary, x₀ on the repeller: artanh x₀ − 2 x₀",
            "closed form",
            "-0.0996646523",
            boundary.parameters[1],
        ),
        claim(
            "causes of the three jumps along the line",
            own,
            "a basin boundary, then folds",
            ", ".join(causes),
            found=causes == ["basin boundary", "fold", "fold"],
        ),
        number(
            "growth a step of ln max |dL/dλ| at the basin boundary, over that of the saddle's multiplier",
            own,
            "1.0",
            rate / jump.growth,
        ),
        number("power of T that max |dL/dλ| grows with behind the fold", "passage time ∝ δ^−½", "3", power),
    )


def _picture(results: _Results) -> Figure:
    figure = Figure(figsize=(palette.FULL, 6.2))
    axes = figure.subplots(2, 3)
    _losses(axes[0, 0], results)
    _slopes(axes[1, 0], results)
    _units(axes[0, 1], results)
    _growth(axes[1, 1], results)
    _orbits(axes[0, 2], results)
    _plane(axes[1, 2], results)
    plots.panel_labels(axes.T.ravel())
    plots.shared_legend(axes.T.ravel(), columns=4)
    return figure


def _losses(ax: Axes, results: _Results) -> None:
    for steps, colour in zip(_STEPS, palette.shades(len(_STEPS)), strict=True):
        ax.plot(results.line.axes[0], results.losses[:, steps], color=colour, label=f"$T = {steps}$")
    plots.loss_along(results.line, ax, quantity="limit", legend=False)
    ax.set_title("loss along a line of biases")
    ax.set_xlabel(r"position on the line $\lambda$")


def _slopes(ax: Axes, results: _Results) -> None:
    shades = palette.shades(len(_STEPS))
    for steps, colour in zip(_STEPS[:-1], shades, strict=False):
        ax.plot(results.line.axes[0], np.log10(np.abs(results.slopes[:, steps])), color=colour)
    plots.loss_along(results.line, ax, quantity="slope", legend=False)
    ax.lines[len(_STEPS) - 1].set_color(shades[-1])
    ax.set_title("its slope")
    ax.set_xlabel(r"position on the line $\lambda$")


def _units(ax: Axes, results: _Results) -> None:
    line = results.line
    for branch in line.branches:
        plots.branch(branch, ax, component=1)
    known = line.limit_states[:, 1].copy()
    for jump in line.jumps:
        known[np.argmin(np.abs(line.axes[0] - jump.position[0]))] = np.nan
    ax.plot(
        line.axes[0],
        known,
        color=palette.SKY,
        linewidth=palette.WIDE,
        alpha=0.5,
        zorder=0,
        label="where $x_T$ goes",
    )
    ax.axvline(
        line.of_cause("basin boundary")[0].position[0], zorder=0, label="basin boundary", **palette.WALL
    )
    ax.set_title("fixed points along the line")
    ax.set_xlabel(r"position on the line $\lambda$")
    ax.set_ylabel("$x_2$")
    ax.set_xlim(0, 1)
    ax.set_ylim(-1.1, 1.1)
    ax.set_yticks([-1, 0, 1])


def _growth(ax: Axes, results: _Results) -> None:
    steps = np.array(_LONGER)
    growth = results.line.of_cause("basin boundary")[0].growth
    logs = {cause: values / math.log(10) for cause, values in results.steepest.items()}
    exponential = logs["basin boundary"][-1] + (steps - steps[-1]) * growth / math.log(10)
    cubic = logs["fold"][-1] + 3 * np.log10(steps / steps[-1])
    ax.plot(
        steps,
        exponential,
        color=palette.ORANGE,
        label=rf"$\propto {math.exp(growth):.3f}^T$, of the saddle",
    )
    ax.plot(steps, cubic, color=palette.GREY, linestyle=palette.DASHED, label=r"$\propto T^3$")
    ax.plot(steps, logs["basin boundary"], "D", color=palette.ORANGE, label="slope at the boundary")
    ax.plot(steps, logs["fold"], "o", color=palette.BLACK, label="slope behind the fold")
    ax.set_title("the steepest slope against $T$")
    ax.set_xlabel("steps $T$")
    plots.powers_of_ten(ax.yaxis, palette.typeset("max |∂L/∂λ|"))


def _plane(ax: Axes, results: _Results) -> None:
    plots.loss_along(results.plane, ax, legend=False)
    halo = [withStroke(linewidth=palette.BOLD, foreground=palette.WHITE)]
    ax.plot(*zip(*_LINE, strict=True), color=palette.BLACK, linestyle=palette.SHORT, path_effects=halo)
    for share, above in ((0, 5), (1, -13)):
        ax.annotate(
            rf"$\lambda = {share}$",
            _at(share),
            (0, above),
            textcoords="offset points",
            ha="center",
            path_effects=halo,
            zorder=6,
        )
    ax.set_title("loss over both biases")
    ax.set_xlabel("bias $b_1$")
    ax.set_ylabel("bias $b_2$")


def _orbits(ax: Axes, results: _Results) -> None:
    jump = results.line.of_cause("basin boundary")[0]
    for side, colour in ((-1, palette.BLUE), (1, palette.GREEN)):
        share = jump.position[0] + side * 1e-8
        biases = (jnp.asarray(bias) for bias in _at(share))
        states = np.asarray(rollout(COUPLED(*biases), _START, steps=100).states)
        label = f"orbit, $10^{{-8}}$ {'before' if side < 0 else 'behind'} the boundary"
        ax.plot(*states.T, "o-", color=colour, markersize=palette.DOT, linewidth=palette.THIN, label=label)
        ax.plot(*states[-1], "*", color=colour, markersize=palette.STAR, zorder=4)
    ax.plot(*_START, "s", color=palette.BLACK, markersize=palette.MARK, label="$x_0$")
    if jump.edge is not None:
        ax.plot(
            *jump.edge.orbit[0],
            "X",
            color=palette.ORANGE,
            markersize=palette.BIG,
            label="saddle on the boundary",
            zorder=5,
        )
    ax.set_title("either side of the boundary")
    ax.set_xlabel("$x_1$")
    ax.set_ylabel("$x_2$")
