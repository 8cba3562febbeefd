"""Fixed points, exponents and bifurcations met along training, and the jumps of the loss beside them."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_dynamics import plots
from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.dynamics.equilibria import FixedPoints, fixed_points
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim
from rnn_dynamics.figures.training.along_runs import (
    BLANK,
    CUE,
    DRAWN,
    KINDS,
    LENGTH,
    RATE,
    RUNS,
    SETTLED,
    STARTS,
    UNITS,
    UPDATES,
    StoredRuns,
    after_cue,
    stored,
)
from rnn_dynamics.plots import palette
from rnn_dynamics.training.studies.events_along_training import (
    AlongTraining,
    Coincidences,
    coincidences,
    events_along,
    loss_jumps,
)

_SOURCE = "Eisenmann et al. 2023"
_WINDOW = (480, 520)  # updates about the drawn run's events
_WITHIN, _FIRST = 3.0, 20


class _Results(NamedTuple):
    found: StoredRuns
    jumps: list[np.ndarray]
    chance: Coincidences
    along: AlongTraining
    last: FixedPoints
    settled: np.ndarray
    read: np.ndarray


def training_bifurcations(*, quick: bool = False) -> Reproduction:
    """One small network's fixed points, orbits and loss along training, and what eight such runs met."""
    found = stored()
    jumps = [loss_jumps(losses) for losses in found.losses]
    positions = [found.positions(run) for run in range(RUNS)]
    chance = coincidences(positions, jumps, UPDATES, within=_WITHIN)
    first, last = _WINDOW
    path = jax.tree_util.tree_map(np.asarray, found.path)
    window = jax.tree_util.tree_map(lambda leaf: leaf[first : last + 1], path)
    along = events_along(window, STARTS[:16] if quick else STARTS, u=BLANK)
    final = jax.tree_util.tree_map(lambda leaf: leaf[-1], path)
    ends = fixed_points(final, STARTS, u=BLANK, period=2, slow=False, orbits=0)
    read, settled = map(np.asarray, _orbits(found.path))
    results = _Results(found, jumps, chance, along, ends, settled, read)
    return Reproduction(functools.partial(_picture, results), _rows(results))


@jax.jit
def _orbits(path: ElmanRNN) -> tuple[Array, Array]:
    """Without noise, both classes: the state at the reading, and 24 states after a long time."""

    def of_cell(cell: ElmanRNN) -> tuple[Array, Array]:
        def step(x: Array, _: None) -> tuple[Array, Array]:
            return cell(x, jnp.asarray(BLANK, x.dtype)), x

        def of_state(x: Array) -> tuple[Array, Array]:
            along = jax.lax.scan(step, x, None, length=SETTLED)[1]
            return along[LENGTH - CUE], along[-24:]

        return jax.vmap(of_state)(after_cue(cell))

    return jax.lax.map(of_cell, path)


def _rows(results: _Results) -> tuple[ReportRow, ...]:
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
            f"updates: {late.found} of {late.jumps}, {late.expected:.1f} by chance, p = {late.p:.1g}.",
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
            f"where the trained run {DRAWN} keeps its bit",
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
    figure = Figure(figsize=(palette.FULL, 8.6))
    grid = figure.add_gridspec(4, 2, height_ratios=(1, 1, 1, 1.2))
    window = (_WINDOW[0] + 8, _WINDOW[1] - 8)
    for row, draw in enumerate((_loss, _states, _growth)):
        for column, limits in enumerate(((0, UPDATES), window)):
            ax = figure.add_subplot(grid[row, column])
            draw(ax, results, column == 1)
            _events(ax, results)
            ax.set_xlim(*limits)
            if row == 2:
                ax.set_xlabel("updates")
    titles = (f"run {DRAWN}: {UNITS} units, latch of {LENGTH}", "the same about its bifurcations")
    titles += ("where orbits end", "the same", "growth along orbits", "events, located between updates")
    for ax, title in zip(figure.axes, titles, strict=True):
        ax.set_title(title)
    raster = figure.add_subplot(grid[3, :])
    _raster(raster, results)
    plots.panel_labels(figure.axes)
    plots.shared_legend(figure.axes, columns=4)
    return figure


def _events(ax: Axes, results: _Results) -> None:
    """A line at each bifurcation of the run drawn; another where no attractor takes part."""
    own = results.found.events[results.found.events[:, 0] == DRAWN]
    other = {"color": palette.GREY, "linestyle": palette.DOTTED}
    for look, label, is_stable in (
        (palette.WALL, "bifurcation of an attractor", True),
        (other, "bifurcation without one", False),
    ):
        for _, position, _, _, unstable in own:
            if (unstable == 0) == is_stable:
                ax.axvline(position, zorder=0, label=label, **look)


def _loss(ax: Axes, results: _Results, is_near: bool) -> None:
    losses, norms = results.found.losses[DRAWN], results.found.norms[DRAWN]
    updates, mark = np.arange(UPDATES), "o" if is_near else ""
    ax.semilogy(updates, losses, color=palette.BLACK, marker=mark, markersize=palette.DOT, label="loss")
    ax.semilogy(
        updates, norms, color=palette.SKY, linewidth=palette.THIN, label=palette.typeset("‖∂E/∂θ‖"), zorder=1
    )
    at = results.jumps[DRAWN]
    ax.semilogy(
        at, losses[at], "v", color=palette.VERMILION, markersize=palette.BIG, label="a jump begins", zorder=5
    )
    ax.set_ylabel("loss, gradient norm")
    if not is_near:
        ax.set_ylim(bottom=1e-3)


def _states(ax: Axes, results: _Results, is_near: bool) -> None:
    """Where orbits without input end, both classes; and the fixed point."""
    updates = np.arange(UPDATES)
    looks: tuple[dict[str, Any], ...] = (
        {"color": palette.BLUE, "linewidth": palette.BOLD},
        {"color": palette.GREEN, "linestyle": palette.DASHED},  # over the other where both are the same
    )
    size = palette.DOT if is_near else palette.DUST
    for orbits, read, look, name in zip(
        np.moveaxis(results.settled, 1, 0), results.read.swapaxes(0, 1), looks, "01", strict=True
    ):
        at = np.repeat(updates, orbits.shape[1])
        dots = {"color": look["color"], "markersize": size, "alpha": 0.5, "markeredgewidth": 0}
        ax.plot(at, orbits[..., 0].ravel(), ".", **dots)
        ax.plot(updates, read[:, 0], label=f"class {name} when it is read", **look)
    if is_near:
        along = results.along
        at = np.repeat(np.arange(len(along.points)), along.numbers[:, 0]) + _WINDOW[0]
        x = np.concatenate([points.points[:, 0] for points in along.points])
        stable = np.concatenate([points.stable for points in along.points])
        ax.plot(
            at[stable],
            x[stable],
            "o",
            color=palette.BLACK,
            markersize=palette.DOT,
            label="stable fixed point",
        )
        ax.plot(
            at[~stable],
            x[~stable],
            "o",
            color=palette.BLACK,
            markerfacecolor=palette.WHITE,
            markersize=palette.DOT,
            label="unstable fixed point",
        )
    else:
        ax.plot([], [], ".", color=palette.GREY, label=f"dots: {SETTLED} steps later")
    ax.set_ylim(-1.1, 1.1)
    ax.set_ylabel("$x_1$")


def _growth(ax: Axes, results: _Results, is_near: bool) -> None:
    exponents = results.found.exponents[DRAWN]
    ax.plot(
        exponents,
        color=palette.PURPLE,
        marker="o" if is_near else "",
        markersize=palette.DOT,
        label="$λ_1$ of the orbit",
    )
    if is_near:
        sizes = [np.log(np.abs(points.multipliers).max(axis=1).min()) for points in results.along.points]
        at = _WINDOW[0] + np.arange(len(sizes))
        ax.plot(
            at,
            sizes,
            "s-",
            color=palette.BLACK,
            markersize=palette.DOT,
            label=palette.typeset("ln max |μ|") + " of the fixed point",
        )
        known = [event for event in results.along.events if event.unstable == 0 or event.kind != "fold"]
        for event in known:
            at = event.position + _WINDOW[0]
            ax.annotate(
                f"{event.kind.capitalize().replace('-s', '–S')}\nat {at:.2f}",
                (at, 1.9),
                (-4 if event.kind == "neimark-sacker" else 4, -2),
                textcoords="offset points",
                ha="right" if event.kind == "neimark-sacker" else "left",
                va="top",
                fontsize=palette.NOTE,
            )
    ax.axhline(0, **palette.ZERO)
    if is_near:
        ax.set_ylim(-2.4, 2)
    ax.set_ylabel("nats a step")


def _raster(ax: Axes, results: _Results) -> None:
    """Jumps and events of every run."""
    found, chance = results.found, results.chance
    markers = {"fold": "o", "flip": "s", "neimark-sacker": "D"}
    for run, jumps in enumerate(results.jumps):
        ax.vlines(jumps, run - 0.32, run + 0.32, color=palette.VERMILION, linewidth=palette.LINE)
        own = found.events[found.events[:, 0] == run]
        for _, position, kind, _, unstable in own:
            name = KINDS[int(kind)]
            face = palette.BLACK if unstable == 0 else palette.WHITE
            ax.plot(
                position,
                run,
                markers.get(name, "^"),
                color=palette.BLACK,
                markerfacecolor=face,
                markersize=palette.MARK,
            )
        learned = np.flatnonzero(found.losses[run] < 0.05)
        if learned.size:
            ax.plot(
                [learned[0], UPDATES],
                [run, run],
                color=palette.LIGHT,
                linewidth=palette.WIDE,
                zorder=0,
            )
    ax.vlines([], 0, 0, color=palette.VERMILION, label="jump of the loss")
    for name, marker in markers.items():
        ax.plot(
            [],
            [],
            marker,
            color=palette.BLACK,
            markersize=palette.MARK,
            label=name.replace("n", "N", 1).replace("-s", "–S") if "-" in name else name,
        )
    ax.plot(
        [], [], "o", color=palette.BLACK, markerfacecolor=palette.WHITE, label="open: no attractor takes part"
    )
    ax.plot([], [], color=palette.LIGHT, linewidth=palette.WIDE, label="learned")
    ax.set_title(
        f"{chance.found} of {chance.jumps} jumps have a bifurcation at most {_WITHIN:g} updates away; "
        f"by chance {chance.expected:.1f}"
    )
    ax.set_xlim(-4, UPDATES)
    ax.set_ylim(RUNS - 0.4, -0.6)
    ax.set_yticks(range(RUNS))
    ax.set_xlabel("updates")
    ax.set_ylabel("run")
