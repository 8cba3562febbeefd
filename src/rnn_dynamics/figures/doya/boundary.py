"""Figures 4 and 5 of Pascanu et al.: near starts pulled apart, and an input that carries a state across."""

import functools

import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_dynamics import doya, plots
from rnn_dynamics.cells import DoyaNeuron, PascanuNeuron
from rnn_dynamics.cells.rollout import Trajectory, rollout
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim, number
from rnn_dynamics.gradients import jacobians
from rnn_dynamics.plots import palette

_FOUR = "Pascanu et al. 2013, figure 4"
_FIVE = "Pascanu et al. 2013, figure 5"
_STEPS = 100
_GAP = 2e-4
_KICKS = {12: 2.6, 26: 1.2, 38: -1.2, 50: -2.6, 64: -1.2, 76: 2.6, 88: 1.2}


def nearby_starts(*, quick: bool = False) -> Reproduction:
    """Two starts 2e−4 apart on either side of the separatrix, and what the derivative says of it."""
    cell = DoyaNeuron(5.0, -2.5)
    starts = (0.5 - _GAP / 2, 0.5 + _GAP / 2)
    low, high = (rollout(cell, x0, steps=_STEPS) for x0 in starts)
    derivative = np.asarray(jacobians.pushforward(low, 1.0).log10())
    draw = functools.partial(_picture_of_starts, low, high, derivative)
    return Reproduction(draw, _start_rows(derivative))


def _picture_of_starts(low: Trajectory, high: Trajectory, derivative: np.ndarray) -> Figure:
    starts = float(low.initial), float(high.initial)
    figure = Figure(figsize=(palette.FULL, 3.2))
    left, right = figure.subplots(1, 2)
    plots.orbit(low, left, color=palette.BLUE, label=f"$x_0$ = {starts[0]:.4f}")
    plots.orbit(high, left, color=palette.ORANGE, label=f"$x_0$ = {starts[1]:.4f}")
    left.axhline(0.5, label="separatrix $x$ = ½", **palette.UNSTABLE)
    left.set_ylim(0, 1)
    left.set_title("$w = 5$, $b = -2.5$")
    left.legend(loc="center right", bbox_to_anchor=(1.0, 0.68))
    _distances(right, np.asarray(high.states) - np.asarray(low.states), derivative)
    plots.panel_labels((left, right))
    return figure


def _distances(ax: Axes, apart: np.ndarray, derivative: np.ndarray) -> None:
    ax.axhline(0, **palette.ZERO)
    ratio = np.log10(apart / apart[0])
    ax.plot(ratio, color=palette.BLACK, label=r"finite ratio $\Delta x_t/\Delta x_0$")
    ax.plot(
        derivative, color=palette.BLUE, label=r"derivative $\partial x_t/\partial x_0$ at the lower start"
    )
    growth = np.arange(len(derivative)) * np.log10(1.25)
    ax.plot(growth, color=palette.GREY, linestyle=palette.DOTTED, label="$1.25^t$")
    ax.set_ylim(-11, 6)
    ax.set_xlim(0, len(derivative) - 1)
    ax.set_xlabel("step $t$")
    plots.powers_of_ten(ax.yaxis, "ratio")
    ax.set_title("the ratio stays, the derivative dies")
    ax.legend(loc="lower left")


def _start_rows(derivative: np.ndarray) -> tuple[ReportRow, ...]:
    where = "w = 5, b = −2.5, ε = 1"
    ten, hundred = (
        float(doya.sensitivities(5.0, -2.5, 0.4999, steps).initial.to_float()) for steps in (10, 100)
    )
    peak = int(np.argmax(derivative))
    gap = 2e-4
    ratio = doya.finite_ratios(5.0, -2.5, 0.5, 500, dx0=gap / 2)
    late = doya.sensitivities(5.0, -2.5, 0.4999, 500).initial
    rows = [
        number(f"∂x₁₀/∂x_0 at x_0 = .4999, {where}", _FOUR, "9.3", ten),
        number(f"∂x₁₀₀/∂x_0 at x_0 = .4999, {where}", _FOUR, "2.5e-10", hundred),
        claim(
            "∂x_T/∂x_0 at x_0 = .4999 against T",
            _FOUR,
            "peaks at a finite T, then → 0",
            f"peak 10^{derivative[peak]:.2f} at T = {peak}",
            found=10 < peak < 100 and derivative[-1] < -9,
        ),
        number(
            "Δx_T/Δx_0 across the separatrix, Δx_0 = 2e−4, T = 500",
            "difference of the attractors over Δx_0",
            "3552.06",
            ratio.initial,
            within=0.02,
            note=f"The derivative beside it is 10^{float(late.log10()):.0f}.",
        ),
    ]
    for epsilon in (1.0, 0.5):
        on = doya.sensitivities(5.0, -2.5, 0.5, 37, epsilon=epsilon)
        exact = (1 + epsilon / 4) ** 37
        at = f"on the repeller x_0 = ½, T = 37, ε = {epsilon:g}"
        rows += [
            number(f"∂x_T/∂x_0 {at}", "(1 + ε/4)^T", f"{exact:.8f}", on.initial.to_float()),
            number(f"∂x_T/∂b {at}", "(1 + ε/4)^T − 1", f"{exact - 1:.8f}", on.parameters[1].to_float()),
        ]
    pushed = [float(doya.sensitivities(5.0, -2.5, x0, 100).state) for x0 in (0.2, 0.3)]
    rows.append(
        claim(
            "vanishing gradients make the output sensitive to tiny perturbations",
            "popular statement",
            "sensitive",
            f"x₁₀₀ moves by {abs(pushed[1] - pushed[0]):.0e} when x_0 moves by .1",
            found=abs(pushed[1] - pushed[0]) < 1e-10,
            wrong=True,
            note="The reverse: where ∂x_T/∂x_0 vanishes the output forgets the perturbation.",
        )
    )
    return tuple(rows)


def input_over_boundary(*, quick: bool = False) -> Reproduction:
    """F_t = U_t ∘ F̃: the input adds to the state after the step and carries it over a fixed boundary."""
    cell = PascanuNeuron(5.0, -2.5, 1.0)
    inputs = np.zeros(_STEPS)
    for step, kick in _KICKS.items():
        inputs[step - 1] = kick
    run = rollout(cell, -1.0, jnp.asarray(inputs))
    rest = 5.0 * np.asarray(doya.equilibria(5.0, -2.5).points) - 2.5
    return Reproduction(functools.partial(_picture_of_bit, run, inputs, rest), _bit_rows(run, rest))


def _picture_of_bit(run: Trajectory, inputs: np.ndarray, rest: np.ndarray) -> Figure:
    figure = Figure(figsize=(palette.FULL, 3.9))
    axes = figure.subplot_mosaic("ab;ac", width_ratios=(1, 1.7), height_ratios=(2.4, 1))
    _step_and_input(axes["a"], rest)
    _stored_bit(axes["b"], run)
    _inputs(axes["c"], inputs, rest)
    plots.panel_labels(axes.values())
    plots.shared_legend(list(axes.values()), columns=4)
    return figure


def _step_and_input(ax: Axes, rest: np.ndarray) -> None:
    """The autonomous step F̃, its equilibria, and one input that carries the lower state over the boundary."""
    x = np.linspace(-4, 4, 201)
    ax.plot(x, 5 / (1 + np.exp(-x)) - 2.5, color=palette.BLACK, label=r"$\tilde F(x) = 5\,\sigma(x) - 2.5$")
    ax.plot(x, x, color=palette.GREY, linewidth=palette.THIN, label="next state = state")
    ax.plot([0, 0], [-4, 4], label="boundary", **palette.UNSTABLE)
    ax.plot(rest[[0, 2]], rest[[0, 2]], "o", color=palette.BLACK, markersize=palette.BIG, label="attractors")
    ax.plot(
        rest[1],
        rest[1],
        "o",
        markerfacecolor=palette.WHITE,
        markeredgecolor=palette.BLACK,
        markersize=palette.BIG,
        label="repeller",
    )
    kick = max(_KICKS.values())
    ax.annotate(
        "",
        xy=(rest[0] + kick, rest[0]),
        xytext=(rest[0], rest[0]),
        arrowprops={"arrowstyle": "-|>", "color": palette.VERMILION, "linewidth": palette.LINE},
    )
    ax.text(
        rest[0] + kick + 0.1,
        rest[0],
        "the input\nmoves $x$",
        color=palette.VERMILION,
        fontsize=palette.NOTE,
        va="center",
    )
    ax.set_xlabel(palette.STATE_AXIS)
    ax.set_ylabel("next state, without input")
    ax.set_title(r"$F_t = U_t \circ \tilde F$, $U_t(x) = x + u_t$")
    ax.set_xlim(-4, 4)
    ax.set_ylim(-4, 4)


def _stored_bit(ax: Axes, run: Trajectory) -> None:
    plots.orbit(run, ax, color=palette.BLACK, label="state")
    ax.axhline(0, label="boundary", **palette.UNSTABLE)
    ax.axhspan(0, 4, color=palette.PALE_ORANGE, alpha=0.45, linewidth=0, zorder=0)
    ax.axhspan(-4, 0, color=palette.PALE_BLUE, alpha=0.45, linewidth=0, zorder=0)
    ax.text(1, 3.3, "bit 1", fontsize=palette.NOTE)
    ax.text(1, -3.7, "bit 0", fontsize=palette.NOTE)
    ax.set_ylim(-4, 4)
    ax.set_title("one bit, kept between the inputs")
    ax.set_xlabel("")
    ax.tick_params(labelbottom=False)


def _inputs(ax: Axes, inputs: np.ndarray, rest: np.ndarray) -> None:
    """The inputs; those longer than the way from attractor to boundary set the bit."""
    steps = np.arange(1, len(inputs) + 1)
    sets = np.abs(inputs) > rest[2]
    for mask, colour, label in (
        (sets, palette.VERMILION, "sets the bit"),
        (~sets & (inputs != 0), palette.GREY, "too small"),
    ):
        ax.vlines(steps[mask], 0, inputs[mask], color=colour, linewidth=palette.BOLD, label=label)
    ax.axhline(0, color=palette.GREY, linewidth=palette.THIN)
    ax.set_xlim(0, len(inputs))
    ax.set_ylim(-3.2, 3.2)
    ax.set_title("the inputs")
    ax.set_xlabel("step $t$")
    ax.set_ylabel("input $u_t$")


def _bit_rows(run: Trajectory, rest: np.ndarray) -> tuple[ReportRow, ...]:
    states = np.asarray(run.states)
    bit, read, said = -1.0, [], []
    for step, kick in _KICKS.items():
        bit = np.sign(kick) if abs(kick) > rest[2] else bit
        said.append(bit)
        read.append(np.sign(states[step + 11]))
    log10 = np.asarray(jacobians.pushforward(run, 1.0).log10())
    return (
        claim(
            "bit read 11 steps after each of 7 inputs, w = 5, b = −2.5",
            _FIVE,
            "set by inputs that cross the boundary, kept by the others",
            " ".join("+" if r > 0 else "−" for r in read),
            found=read == said,
        ),
        number(
            "distance from attractor to boundary, the smallest input that sets the bit",
            "w x + b at x = .855206",
            "1.77603",
            rest[2],
        ),
        claim(
            "∂x₁₀₀/∂x_0 of the neuron that stores the bit",
            "Bengio et al. 1994",
            "robust latching implies vanishing gradients",
            f"10^{log10[-1]:.1f}",
            found=log10[-1] < -10,
        ),
    )
