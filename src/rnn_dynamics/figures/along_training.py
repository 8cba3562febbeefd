"""Fixed points, exponents and bifurcations met along training, and the jumps of the loss beside them.

What the runs met lies beside this file. ``python -m rnn_dynamics.figures.along_training`` trains them anew and
writes it, in some minutes on one core.
"""

import functools
import importlib.resources
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_dynamics import plots
from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.equilibria import FixedPoints, fixed_points
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import Row, claim
from rnn_dynamics.lyapunov import lyapunov_spectrum
from rnn_dynamics.plots import palette
from rnn_dynamics.rollout import rollout
from rnn_dynamics.storage import load, save
from rnn_dynamics.training import Plan, recipe, task
from rnn_dynamics.training.along import (
    AlongTraining,
    Coincidences,
    coincidences,
    events_along,
    loss_jumps,
    stacked,
)
from rnn_dynamics.training.networks import Network, outputs, states
from rnn_dynamics.training.panels import first_panel
from rnn_dynamics.training.updates import recorded

__all__ = ["Stored", "stored", "training_bifurcations"]

_FILE = "along_training.npz"
_COMMAND = "python -m rnn_dynamics.figures.along_training"
_SOURCE = "Eisenmann et al. 2023"
LENGTH, UNITS, RATE, RUNS, UPDATES = 10, 2, 1.0, 8, 600
_CUE, _SETTLED, _SEQUENCES = 3, 400, 200
#: The run that is drawn, and the updates about its event.
_DRAWN, _WINDOW = 3, (480, 520)
_KINDS = ("fold", "flip", "neimark-sacker", "pitchfork", "transcritical")
_STARTS = np.random.default_rng(0).uniform(-1, 1, (64, UNITS))
_WITHIN, _FIRST = 3.0, 20


class Stored(NamedTuple):
    """What all runs met, and the parameters of one of them before each update.

    Attributes:
        losses: of 200 sequences that are the same throughout, shape (runs, updates).
        norms: ‖∂E/∂θ‖ of each update's own sequences, shape (runs, updates).
        exponents: the largest of the map without input, from the state after the first cue, shape (runs, updates).
        events: run, position, index of the kind, change of the number of fixed points, further unstable
            directions; shape (events, 5).
        unfinished: branches that ended inside a segment, of all runs.
        W, b, W_in: of the run that is drawn, a leading axis of updates.
    """

    losses: np.ndarray
    norms: np.ndarray
    exponents: np.ndarray
    events: np.ndarray
    unfinished: int
    W: np.ndarray
    b: np.ndarray
    W_in: np.ndarray

    @property
    def path(self) -> ElmanRNN:
        """The drawn run's cells, a leading axis of updates on every parameter."""
        return _path(self.W, self.b, self.W_in)

    def positions(self, run: int) -> np.ndarray:
        """Of a run's events, in updates."""
        return self.events[self.events[:, 0] == run, 1]


class _Results(NamedTuple):
    found: Stored
    jumps: list[np.ndarray]
    chance: Coincidences
    along: AlongTraining
    last: FixedPoints
    settled: np.ndarray
    read: np.ndarray


def _path(W: Any, b: Any, W_in: Any) -> ElmanRNN:
    cells = [ElmanRNN(*map(np.asarray, parts), activation="tanh") for parts in zip(W, b, W_in, strict=True)]
    return stacked(cells)


def training_bifurcations(*, quick: bool = False) -> Reproduction:
    """One small network's fixed points, orbits and loss along training, and what eight such runs met."""
    found = stored()
    jumps = [loss_jumps(losses) for losses in found.losses]
    positions = [found.positions(run) for run in range(RUNS)]
    chance = coincidences(positions, jumps, UPDATES, within=_WITHIN)
    first, last = _WINDOW
    window = jax.tree_util.tree_map(lambda leaf: leaf[first : last + 1], found.path)
    along = events_along(window, _STARTS[:16] if quick else _STARTS, u=np.zeros(2 * _CUE + 1))
    final = jax.tree_util.tree_map(lambda leaf: leaf[-1], found.path)
    last = fixed_points(final, _STARTS, u=np.zeros(2 * _CUE + 1), period=2, slow=False)
    read, settled = map(np.asarray, _orbits(found.path))
    results = _Results(found, jumps, chance, along, last, settled, read)
    return Reproduction(functools.partial(_picture, results), _rows(results))


def stored() -> Stored:
    """What ``main`` wrote."""
    with importlib.resources.as_file(importlib.resources.files("rnn_dynamics.figures") / _FILE) as path:
        arrays, about = load(path)
    doubles = {name: np.asarray(leaf, float) for name, leaf in arrays.items()}
    return Stored(**doubles, unfinished=about["unfinished"])


def _cues(dtype: Any) -> tuple[Array, Array]:
    """The inputs of both classes without noise: the cue, then zeros. Shape (2, 3, 7), and one zero input."""
    cue = jnp.arange(_CUE)
    inputs = jax.nn.one_hot(cue[None] + _CUE * jnp.arange(2)[:, None], 2 * _CUE + 1, dtype=dtype)
    return inputs, jnp.zeros(2 * _CUE + 1, dtype)


@jax.jit
def _after_cue(cell: ElmanRNN) -> Array:
    """The states after the cues of both classes."""
    inputs, _ = _cues(cell.W.dtype)
    start = jnp.zeros(UNITS, cell.W.dtype)
    return jax.vmap(lambda u: jax.lax.scan(lambda x, v: (cell(x, v), None), start, u)[0])(inputs)


@jax.jit
def _orbits(path: ElmanRNN) -> tuple[Array, Array]:
    """Without noise, both classes: the state at the reading, and 24 states after a long time."""

    def of_cell(cell: ElmanRNN) -> tuple[Array, Array]:
        _, blank = _cues(cell.W.dtype)

        def step(x: Array, _: None) -> tuple[Array, Array]:
            return cell(x, blank), x

        def of_state(x: Array) -> tuple[Array, Array]:
            along = jax.lax.scan(step, x, None, length=_SETTLED)[1]
            return along[LENGTH - _CUE], along[-24:]

        return jax.vmap(of_state)(_after_cue(cell))

    return jax.lax.map(of_cell, path)


def _exponent(cell: ElmanRNN) -> float:
    """The largest exponent without input, from the state after the first cue."""
    zeros = jnp.zeros((_SETTLED, 2 * _CUE + 1), cell.W.dtype)
    orbit = rollout(cell, _after_cue(cell)[0], zeros)
    return float(lyapunov_spectrum(orbit, exponents=1, discard=_SETTLED // 4).values[0])


def _rows(results: _Results) -> tuple[Row, ...]:
    found, chance = results.found, results.chance
    learned = found.losses[:, -1] < 0.05
    first = {run: np.flatnonzero(found.losses[run] < 0.1) for run in np.flatnonzero(learned)}
    leads = []
    for run, below in first.items():
        attractor = found.events[(found.events[:, 0] == run) & (found.events[:, 4] == 0), 1]
        before = attractor[attractor <= below[0]]
        leads.append(below[0] - before.max() if before.size else np.inf)
    near = _near_jump(results)
    late = coincidences(
        [(p := found.positions(run))[p > _FIRST] - _FIRST for run in range(RUNS)],
        [jumps[jumps >= _FIRST] - _FIRST for jumps in results.jumps],
        UPDATES - _FIRST,
        within=_WITHIN,
    )
    return (
        claim(
            "jumps of the loss with a bifurcation at most 3 updates away",
            _SOURCE,
            "bifurcations go with loss jumps",
            f"{chance.found} of {chance.jumps}; {chance.expected:.1f} by chance, p = {chance.p:.1g}",
            found=chance.p < 0.01,
            note=f"{RUNS} networks of {UNITS} tanh units, latch of length {LENGTH}, rate {RATE:g}, {UPDATES} "
            f"updates; a jump is a change of the loss by more than a third in one update. Past the first {_FIRST} "
            f"updates, which are large: {late.found} of {late.jumps}, {late.expected:.1f} by chance, p = {late.p:.1g}.",
        ),
        claim(
            "every jump of the loss is a bifurcation",
            "popular",
            "every one",
            f"{chance.jumps - chance.found} of {chance.jumps} have none within 3 updates; of {len(found.events)} "
            f"bifurcations {int(near.sum())} have a jump",
            found=chance.found < chance.jumps,
            wrong=True,
            note="Many are single updates on unlucky sequences that the next ones undo.",
        ),
        claim(
            "runs that learned: from the last bifurcation of an attractor to a loss below .1",
            _SOURCE,
            "the loss falls once the dynamics has changed",
            f"{', '.join(f'{lead:.0f}' for lead in leads)} updates in {len(leads)} of {RUNS} runs",
            found=bool(leads) and np.median(leads) < 20,
        ),
        claim(
            f"where the trained run {_DRAWN} keeps its bit",
            "popular",
            "in two stable fixed points",
            ", ".join(
                f"a stable {period}-cycle" if period > 1 else "a stable fixed point"
                for period in results.last.period[results.last.stable]
            ),
            found=results.last.period[results.last.stable].tolist() == [2],
            wrong=True,
            note="With two units it is the phase of a cycle that holds it; no pair of fixed points was born.",
        ),
        claim(
            "branches of fixed points that ended between two updates unexplained",
            "this library",
            "0",
            f"{found.unfinished} of all runs; {results.along.unfinished} in the window drawn",
            found=found.unfinished == 0 and results.along.unfinished == 0,
        ),
    )


def _near_jump(results: _Results) -> np.ndarray:
    """Which events have a jump beside them."""
    near = []
    for run, position in results.found.events[:, :2]:
        gaps = [max(jump - position, position - jump - 1) for jump in results.jumps[int(run)]]
        near.append(min(gaps, default=np.inf) <= _WITHIN)
    return np.array(near)


def _picture(results: _Results) -> Figure:
    figure = Figure(figsize=(12, 9.6))
    grid = figure.add_gridspec(4, 2, height_ratios=(1, 1, 1, 1.15))
    window = (_WINDOW[0] + 8, _WINDOW[1] - 8)
    for row, (draw, letters) in enumerate(((_loss, "ab"), (_states, "cd"), (_growth, "ef"))):
        for column, limits in enumerate(((0, UPDATES), window)):
            ax = figure.add_subplot(grid[row, column])
            draw(ax, results, column == 1)
            for position in results.found.positions(_DRAWN):
                ax.axvline(position, zorder=0, **palette.WALL)
            ax.set_xlim(*limits)
            plots.panel_label(ax, letters[column])
            if row == 2:
                ax.set_xlabel("updates")
    figure.axes[0].set_title(f"run {_DRAWN} of {RUNS}: {UNITS} tanh units learn a latch of length {LENGTH}")
    figure.axes[1].set_title("the same about its bifurcations")
    ax = figure.add_subplot(grid[3, :])
    _raster(ax, results)
    plots.panel_label(ax, "g")
    return figure


def _loss(ax: Axes, results: _Results, is_near: bool) -> None:
    losses, norms = results.found.losses[_DRAWN], results.found.norms[_DRAWN]
    updates, mark = np.arange(UPDATES), "o" if is_near else ""
    ax.semilogy(updates, losses, color=palette.BLACK, marker=mark, markersize=3, label="loss")
    ax.semilogy(updates, norms, color=palette.SKY, linewidth=0.9, label="‖∂E/∂θ‖", zorder=1)
    at = results.jumps[_DRAWN]
    ax.semilogy(at, losses[at], "v", color=palette.VERMILION, markersize=7, label="a jump begins", zorder=5)
    ax.set_ylabel("loss, gradient norm")
    if not is_near:
        ax.plot([], [], label="bifurcation", **palette.WALL)
        ax.legend(fontsize=8, loc="lower left", ncols=2)


def _states(ax: Axes, results: _Results, is_near: bool) -> None:
    """Where orbits without input end, both classes; and the fixed point."""
    updates = np.arange(UPDATES)
    for orbits, read, colour, name in zip(
        np.moveaxis(results.settled, 1, 0),
        results.read.swapaxes(0, 1),
        (palette.BLUE, palette.GREEN),
        ("0", "1"),
        strict=True,
    ):
        size = 3 if is_near else 0.8
        at = np.repeat(updates, orbits.shape[1])
        ax.plot(at, orbits[..., 0].ravel(), ".", color=colour, markersize=size, alpha=0.5, markeredgewidth=0)
        ax.plot(updates, read[:, 0], color=colour, linewidth=1.2, alpha=0.9)
        ax.plot([], [], color=colour, label=None if is_near else f"class {name} when it is read")
    if is_near:
        along = results.along
        at = np.repeat(np.arange(len(along.points)), along.numbers[:, 0]) + _WINDOW[0]
        x = np.concatenate([points.points[:, 0] for points in along.points])
        stable = np.concatenate([points.stable for points in along.points])
        ax.plot(at[stable], x[stable], "o", color=palette.BLACK, markersize=3.5, label="stable fixed point")
        ax.plot(
            at[~stable],
            x[~stable],
            "o",
            color=palette.BLACK,
            markerfacecolor="white",
            markersize=3.5,
            label="unstable fixed point",
        )
    else:
        ax.plot([], [], ".", color=palette.GREY, label=f"{_SETTLED} steps later")
    ax.set_ylim(-1.1, 1.1)
    ax.set_ylabel("$x_1$")
    where: Any = {"loc": "center right", "bbox_to_anchor": (1, 0.78)} if is_near else {"loc": "lower left"}
    ax.legend(fontsize=7.5, **where)


def _growth(ax: Axes, results: _Results, is_near: bool) -> None:
    exponents = results.found.exponents[_DRAWN]
    ax.plot(
        exponents,
        color=palette.PURPLE,
        marker="o" if is_near else "",
        markersize=3,
        label="$λ_1$, of the orbit",
    )
    if is_near:
        sizes = [np.log(np.abs(points.multipliers).max(axis=1).min()) for points in results.along.points]
        at = _WINDOW[0] + np.arange(len(sizes))
        ax.plot(at, sizes, "s-", color=palette.BLACK, markersize=3, label="ln max |μ|, of the fixed point")
        known = [event for event in results.along.events if event.unstable == 0 or event.kind != "fold"]
        for event in known:
            at = event.position + _WINDOW[0]
            ax.annotate(
                f"{event.kind.capitalize().replace('-s', '–S')}\n{at:.2f}",
                (at, 1.9),
                (-4 if event.kind == "neimark-sacker" else 4, -2),
                textcoords="offset points",
                ha="right" if event.kind == "neimark-sacker" else "left",
                va="top",
                fontsize=8,
            )
    ax.axhline(0, color=palette.LIGHT, linewidth=0.8, zorder=0)
    if is_near:
        ax.set_ylim(-2.4, 2)
    ax.set_ylabel("nats a step")
    ax.legend(fontsize=8, loc="lower left")


def _raster(ax: Axes, results: _Results) -> None:
    """Jumps and events of every run."""
    found, chance = results.found, results.chance
    markers = {"fold": "o", "flip": "s", "neimark-sacker": "D"}
    for run, jumps in enumerate(results.jumps):
        ax.vlines(jumps, run - 0.32, run + 0.32, color=palette.VERMILION, linewidth=1.2)
        own = found.events[found.events[:, 0] == run]
        for _, position, kind, _, unstable in own:
            name = _KINDS[int(kind)]
            face = palette.BLACK if unstable == 0 else "white"
            ax.plot(
                position, run, markers.get(name, "^"), color=palette.BLACK, markerfacecolor=face, markersize=5
            )
        learned = np.flatnonzero(found.losses[run] < 0.05)
        if learned.size:
            ax.plot([learned[0], UPDATES], [run, run], color=palette.GREEN, linewidth=5, alpha=0.3, zorder=0)
    ax.vlines([], 0, 0, color=palette.VERMILION, label="jump of the loss")
    for name, marker in markers.items():
        ax.plot(
            [],
            [],
            marker,
            color=palette.BLACK,
            markersize=5,
            label=name.replace("n", "N", 1).replace("-s", "–S") if "-" in name else name,
        )
    ax.plot([], [], "o", color=palette.BLACK, markerfacecolor="white", label="no attractor takes part")
    ax.plot([], [], color=palette.GREEN, linewidth=5, alpha=0.3, label="learned")
    ax.set_title(
        f"{chance.found} of {chance.jumps} jumps have a bifurcation at most {_WITHIN:g} updates away; "
        f"by chance {chance.expected:.1f}"
    )
    ax.set_xlim(-4, UPDATES)
    ax.set_ylim(RUNS - 0.4, -0.6)
    ax.set_yticks(range(RUNS))
    ax.set_xlabel("updates")
    ax.set_ylabel("run")
    ax.legend(fontsize=8, ncols=1, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _plan() -> Plan:
    return Plan(task("latch", LENGTH), recipe("gaussian").with_numbers(learning_rate=RATE), units=UNITS)


def _losses(plan: Plan, networks: Network) -> np.ndarray:
    """Of the same sequences for every network, leading axes (runs, updates)."""
    batch = plan.task.batch(jax.random.key(99), _SEQUENCES)
    inputs = jnp.swapaxes(batch.inputs, 0, 1)

    def of_one(network: Network) -> Array:
        read = outputs(network, states(network.cell, inputs), batch.at)
        return jnp.mean(plan.task.loss(read, batch.targets))

    return np.asarray(jax.jit(jax.vmap(functools.partial(jax.lax.map, of_one)))(networks))


def main() -> None:
    """Train the runs, find what they met, and write it beside this file; in float64."""
    jax.config.update("jax_enable_x64", True)
    plan = _plan()
    _, networks, _, norms = recorded(plan, first_panel(plan, range(RUNS)).runs, UPDATES)
    leaves = [np.asarray(leaf) for leaf in (networks.cell.W, networks.cell.b, networks.cell.W_in)]
    events: list[tuple[float, ...]] = []
    exponents = np.empty((RUNS, UPDATES), np.float32)
    unfinished = 0
    for run in range(RUNS):
        path = _path(*(leaf[run].astype(float) for leaf in leaves))
        along = events_along(path, _STARTS, u=np.zeros(2 * _CUE + 1), longest=0.25)
        unfinished += along.unfinished
        events += [
            (run, event.position, _KINDS.index(event.kind), event.change, event.unstable)
            for event in along.events
        ]
        for i in range(UPDATES):
            exponents[run, i] = _exponent(jax.tree_util.tree_map(lambda leaf, i=i: leaf[i], path))
    arrays = {
        "losses": _losses(plan, networks).astype(np.float32),
        "norms": np.asarray(norms, np.float32),
        "exponents": exponents,
        "events": np.array(events),
        **{name: leaf[_DRAWN] for name, leaf in zip(("W", "b", "W_in"), leaves, strict=True)},
    }
    save(Path(__file__).with_name(_FILE), arrays, {"command": _COMMAND, "unfinished": unfinished})


if __name__ == "__main__":
    main()
