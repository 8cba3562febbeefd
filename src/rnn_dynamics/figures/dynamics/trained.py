"""A trained network's unit against a held input: where the bit that it stores is lost."""

import functools

import jax
import numpy as np
from jax.tree_util import Partial
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_dynamics import plots
from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.dynamics.continuation import Branch, continue_branch
from rnn_dynamics.dynamics.orbit_diagram import OrbitDiagram, orbit_diagram
from rnn_dynamics.figures.dynamics.flip_flop import FlipFlop, Played, played, trained
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim, number
from rnn_dynamics.numerics.batching import namespace
from rnn_dynamics.plots import palette

_RANGE = (-0.6, 0.6)
_SETTLING = 300
_SHOWN = 60


def _held(cell: ElmanRNN, u: jax.Array) -> ElmanRNN:
    """The network while its first input is held at u, the second at 0."""
    assert cell.W_in is not None
    space = namespace(cell, u)
    return ElmanRNN(cell.W, space.asarray(cell.b) + space.asarray(u) * space.asarray(cell.W_in)[:, 0])


def trained_unit(*, quick: bool = False) -> Reproduction:
    """Branches of fixed points of a network that holds two bits, against a held input, over its orbit diagram."""
    network = trained()
    family = Partial(_held, network.cell)
    stored = _stored_states(network)
    unit = int(np.argmax(np.abs(stored[2:].mean(axis=0) - stored[:2].mean(axis=0))))
    branches: list[Branch] = []
    for x in (*stored, stored.mean(axis=0)):
        if not any(_holds(branch, x) for branch in branches):
            branches.append(continue_branch(family, x, 0.0, p_range=_RANGE, longest=0.05))
    values = np.linspace(*_RANGE, 101 if quick else 401)
    diagrams = [orbit_diagram(family, values, x, transient=_SETTLING, kept=1) for x in stored[:2]]
    run = played(network, jax.random.key(3))
    rows = _rows(network, run, stored, branches, diagrams)
    return Reproduction(functools.partial(_picture, run, branches, diagrams, unit), rows)


def _stored_states(network: FlipFlop) -> np.ndarray:
    """The states for the bits (−1, −1), (−1, 1), (1, −1), (1, 1), long after the pulses that set them."""
    states = []
    for bits in ((-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)):
        inputs = np.zeros((_SETTLING, 2))
        inputs[0] = bits
        states.append(rollout(network.cell, np.zeros(network.cell.b.size), inputs).states)
    return np.array([np.asarray(run)[-1] for run in states])


def _holds(branch: Branch, x: np.ndarray) -> bool:
    """Whether a branch passes the state x at u = 0."""
    near = np.abs(branch.parameters) < 0.1
    return bool(near.any() and np.abs(branch.states[near] - x).max(axis=1).min() < 0.1)


def _picture(run: Played, branches: list[Branch], diagrams: list[OrbitDiagram], unit: int) -> Figure:
    figure = Figure(figsize=(palette.FULL, 3.8))
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.5))
    upper = figure.add_subplot(grid[0, 0])
    lower = figure.add_subplot(grid[1, 0], sharex=upper)
    for bit, ax in enumerate((upper, lower)):
        _bit(ax, run, bit)
    upper.set_title("two bits held by 16 units")
    upper.tick_params(labelbottom=False)
    lower.set_xlabel("step $t$")
    upper.legend(loc="upper left", bbox_to_anchor=(0, 0.0), ncols=3, columnspacing=1.0)
    right = figure.add_subplot(grid[:, 1])
    _diagram(right, branches, diagrams, unit)
    plots.panel_labels((upper, right))
    return figure


def _bit(ax: Axes, run: Played, bit: int) -> None:
    inputs, targets, outputs = (part[0, :_SHOWN, bit] for part in run)
    steps = np.arange(_SHOWN)
    ax.step(steps, targets, where="mid", color=palette.LIGHT, linewidth=palette.WIDE, label="to be held")
    ax.plot(steps, outputs, color=palette.BLUE, linewidth=palette.LINE, label="read out")
    pulses = np.flatnonzero(inputs)
    ax.plot(pulses, inputs[pulses], "v", color=palette.VERMILION, markersize=palette.MARK, label="pulse")
    ax.set_ylabel(f"bit {bit + 1}")
    ax.set_ylim(-1.4, 1.4)
    ax.set_yticks([-1, 0, 1])


def _diagram(ax: Axes, branches: list[Branch], diagrams: list[OrbitDiagram], unit: int) -> None:
    for i, diagram in enumerate(diagrams):
        for states, colour, name in (
            (diagram.down, palette.VERMILION, "$u$ falling"),
            (diagram.up, palette.SKY, "$u$ rising"),
        ):
            width = (2 if name == "$u$ falling" else 1) * palette.WIDE
            ax.plot(
                diagram.parameters,
                states[:, -1, unit],
                color=colour,
                linewidth=width,
                label="" if i else name,
            )
    for branch in branches:
        plots.branch(branch, ax, component=unit)
    ax.set_xlabel("first input, held at $u$")
    ax.set_ylabel(f"state of unit {unit}")
    ax.set_title("where the first bit is lost: fixed points against a held input")
    ax.set_xlim(*_RANGE)
    ax.legend(loc="upper right", frameon=True)


def _rows(
    network: FlipFlop, run: Played, stored: np.ndarray, branches: list[Branch], diagrams: list[OrbitDiagram]
) -> tuple[ReportRow, ...]:
    gaps = np.abs(stored[:, None] - stored[None]).max(axis=-1) + 2 * np.eye(4)
    rows = [
        number("states stored by the trained network", "two bits", "4", np.sum(gaps.min(axis=1) > 0.1)),
        claim(
            "both bits of 200 fresh sequences of 100 steps read out right",
            "training",
            "all steps",
            f"{100 * run.accuracy:.2f} %",
            found=run.accuracy > 0.99,
        ),
    ]
    folds = np.array([event.parameter for branch in branches for event in branch.of_kind("fold")])
    readout = np.asarray(network.readout)[0]
    for bit, diagram in zip(("−1", "+1"), diagrams, strict=True):
        step = diagram.parameters[1] - diagram.parameters[0]
        for verb, states in (("sets", diagram.up), ("clears", diagram.down)):
            jump = _jump(np.dot(states[:, -1], readout), diagram.parameters)
            fold = folds[np.argmin(np.abs(folds - jump))]
            rows.append(
                number(
                    f"held input that {verb} the first bit, the second {bit}: the fold on the branch",
                    "where the simulated network jumps",
                    f"{jump:.4f}",
                    fold,
                    within=2 * step,
                    note=f"The simulation's step in u is {step:.3f}.",
                )
            )
    return tuple(rows)


def _jump(values: np.ndarray, parameters: np.ndarray) -> float:
    """The parameter in the middle of the largest change from one value to the next."""
    i = int(np.argmax(np.abs(np.diff(values))))
    return float(parameters[i] + parameters[i + 1]) / 2
