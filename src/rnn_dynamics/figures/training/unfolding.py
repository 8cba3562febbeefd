"""Long unfolding with shared weights: a plain tanh network trained to a lag of 100, its gradient before and after.

The networks lie beside this file in float16. ``rnn-dynamics retrain unfolding`` trains them anew and
writes them, in some minutes on one core.
"""

import functools
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_dynamics import plots
from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.figures import stored as kept
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.plots import palette
from rnn_dynamics.training import Plan, train
from rnn_dynamics.training.recipes.networks import Network
from rnn_dynamics.training.recipes.recipe import initial_network
from rnn_dynamics.training.runs.panel import Panel
from rnn_dynamics.training.runs.updates import CONFIRM, share_wrong
from rnn_dynamics.training.studies import unfolding
from rnn_dynamics.training.studies.unfolding import Carried, carried

_SOURCE = "Schaefer et al. 2008"
_DECADES = 1 / math.log(10)
LAG, SEEDS, UPDATES = 100, 6, 8000
#: By name in the file: what the picture calls it, its remedies, its colour.
METHODS = {
    "omega": ("clipping and Ω", ("clipping", "omega", "smart tanh"), palette.BLUE),
    "clipping": ("clipping", ("clipping", "smart tanh"), palette.VERMILION),
    "orthogonal": ("clipping, orthogonal start", ("clipping", "orthogonal"), palette.ORANGE),
}
_FIELDS = ("W", "b", "W_in", "readout", "offset")


class Method(NamedTuple):
    """The runs of one method.

    Attributes:
        networks: after training, rounded to float16, one a seed.
        succeeded: whether each learned, shape (seeds,).
        updates: made by each, shape (seeds,).
        wrong: the share of 10 000 fresh sequences that the rounded network puts wrong, shape (seeds,).
        exponents: mean growth of the gradient by lag at every check, nats a step, NaN once learned, shape
            (checks, seeds).
    """

    networks: list[Network]
    succeeded: np.ndarray
    updates: np.ndarray
    wrong: np.ndarray
    exponents: np.ndarray


class _Results(NamedTuple):
    methods: dict[str, Method]
    before: dict[str, list[Carried]]
    after: dict[str, list[Carried]]


def plans() -> dict[str, Plan]:
    """The plan of every method."""
    return {
        name: unfolding.long_unfolding(LAG, remedies=remedies) for name, (_, remedies, _) in METHODS.items()
    }


def _before(plan: Plan, seed: int) -> Network:
    """The network of a seed as ``train`` finds it."""

    @lean
    def drawn(seed: jax.Array) -> Network:
        key = jax.random.fold_in(jax.random.key(seed), 0)
        return initial_network(plan.recipe, key, plan.task.width, plan.task.outputs, plan.units)

    return jax.tree_util.tree_map(lambda leaf: np.asarray(leaf, float), drawn(np.int32(seed)))


def stored() -> dict[str, Method]:
    """What ``retrain`` wrote, by method."""
    arrays, _ = kept.read("unfolding")
    return {name: _method(name, arrays) for name in METHODS}


def _method(name: str, arrays: dict[str, np.ndarray]) -> Method:
    parts = (arrays[f"{name}.{field}"].astype(float) for field in _FIELDS)
    networks = [
        Network(ElmanRNN(W, b, W_in, activation="tanh"), jnp.asarray(V), jnp.asarray(c))
        for W, b, W_in, V, c in zip(*parts, strict=True)
    ]
    return Method(
        networks, *(arrays[f"{name}.{field}"] for field in ("succeeded", "updates", "wrong", "exponents"))
    )


def _measured(seeds: int) -> _Results:
    """∂x_T/∂x_k of the networks of the first seeds of every method, before and after."""
    methods, by_name = stored(), plans()
    key = jax.random.key(7)
    before: dict[str, list[Carried]] = {}
    after: dict[str, list[Carried]] = {}
    for name, method in methods.items():
        plan = by_name[name]
        before[name] = [carried(_before(plan, seed), plan.task, key, sequences=1) for seed in range(seeds)]
        after[name] = [carried(network, plan.task, key, sequences=1) for network in method.networks[:seeds]]
    return _Results(methods, before, after)


def _picture(results: _Results) -> Figure:
    """Norms before and after of those that learn and of those that do not, horizons, and the way there."""
    figure = Figure(figsize=(palette.FULL, 6.4))
    axes = figure.subplots(2, 2).ravel()
    _norms(axes[0], results, ("omega",))
    axes[0].set_title(f"learned: {METHODS['omega'][0]}")
    _norms(axes[1], results, ("clipping", "orthogonal"))
    axes[1].set_title("not learned: without Ω (other scale)")
    _horizons(axes[2], results)
    _way(axes[3], results)
    plots.panel_labels(axes)
    return figure


def _norms(ax: Axes, results: _Results, names: tuple[str, ...]) -> None:
    lags = np.arange(LAG + 2)
    for name, dashes in zip(names, ("-", palette.DOTTED), strict=False):
        label, _, colour = METHODS[name]
        prefix = "" if len(names) == 1 else f"{label}, "
        for found, when, style in (
            (results.before[name], "before", {"color": palette.GREY, "linestyle": palette.DASHED}),
            (results.after[name], "after", {"color": colour, "linestyle": dashes}),
        ):
            named: str | None = f"{prefix if when == 'after' else ''}{when} training"
            if when == "before" and name != names[0]:
                named = None
            for one in found:
                ax.plot(lags, one.log_norms[0][::-1] * _DECADES, linewidth=palette.LINE, label=named, **style)
                named = None
    ax.axhline(0, **palette.ZERO)
    ax.axvline(LAG, color=palette.LIGHT, linewidth=palette.THIN, zorder=0)
    ax.set_xlabel(palette.LAG)
    plots.powers_of_ten(ax.yaxis, palette.NORM)
    ax.legend()


def _horizons(ax: Axes, results: _Results) -> None:
    """Where each network's gradient reaches, before and after, filled where it has learned."""
    for j, (name, (_, _, colour)) in enumerate(METHODS.items()):
        pairs = zip(results.before[name], results.after[name], strict=True)
        reached = np.array([(one.horizons[0], other.horizons[0]) for one, other in pairs], float)
        places = j + np.linspace(-0.25, 0.25, len(reached))
        learned = results.methods[name].succeeded[: len(reached)].astype(bool)
        for x, (start, end), has_learned in zip(places, reached, learned, strict=True):
            ax.plot([x, x], [start, end], color=colour, linewidth=palette.THIN, alpha=0.6)
            ax.plot(x, start, "_", color=palette.GREY, markersize=palette.BIG, markeredgewidth=palette.BOLD)
            ax.plot(x, end, "o", color=colour, markerfacecolor=colour if has_learned else palette.WHITE)
        ax.text(j, 112, f"{learned.sum()} of {len(learned)}", ha="center", fontsize=palette.TEXT)
    ax.plot(
        [],
        [],
        "_",
        color=palette.GREY,
        markersize=palette.BIG,
        markeredgewidth=palette.BOLD,
        label="before training",
    )
    ax.plot([], [], "o", color=palette.BLACK, label="after, learned")
    ax.plot([], [], "o", color=palette.BLACK, markerfacecolor=palette.WHITE, label="after, not learned")
    ax.axhline(LAG, color=palette.LIGHT, linewidth=palette.THIN, zorder=0)
    ax.set_xticks(range(len(METHODS)), [label.replace(", ", ",\n") for label, _, _ in METHODS.values()])
    ax.set_ylim(-5, 120)
    ax.set_yticks(range(0, LAG + 1, 20))
    ax.set_ylabel("largest lag with 1/e of the\ngreatest " + palette.typeset("‖∂x_T/∂x_k‖") + " (steps)")
    ax.set_title(f"how far the gradient reaches; learned, of {SEEDS} seeds")
    ax.legend(loc="center right")


def _way(ax: Axes, results: _Results) -> None:
    """Return the mean exponent at every check of training."""
    for name, (label, _, colour) in METHODS.items():
        history = results.methods[name].exponents
        updates = np.arange(len(history)) * 500
        for i, of_seed in enumerate(history.T):
            ax.plot(updates, of_seed, color=colour, linewidth=palette.LINE, label=label if i == 0 else None)
            last = int(np.flatnonzero(np.isfinite(of_seed))[-1])
            if results.methods[name].succeeded[i]:
                ax.plot(updates[last], of_seed[last], "o", color=colour, zorder=4)
    ax.axhline(0, **palette.ZERO)
    ax.plot([], [], "o", color=palette.BLACK, label="learned")
    ax.set_title("the gradient's exponent in training")
    ax.set_xlabel("updates")
    ax.set_ylabel("mean growth by lag (nats a step)")
    ax.legend(loc="upper right", bbox_to_anchor=(1, 0.9))


def _rows(results: _Results) -> tuple[ReportRow, ...]:
    """Who learned, and what the gradient was at the lag that had to be bridged."""
    methods = results.methods
    learned = methods["omega"].succeeded.astype(bool)
    rest = {name: methods[name].succeeded.astype(bool) for name in ("clipping", "orthogonal")}

    def at_lag(found: list[Carried], which: np.ndarray) -> np.ndarray:
        kept = [one for one, is_in in zip(found, which, strict=False) if is_in]
        return np.array([one.log_norms[0][-1 - LAG] * _DECADES for one in kept])

    def spread(values: np.ndarray) -> str:
        return f"10^{values.min():.1f} to 10^{values.max():.1f}" if len(values) else "none"

    before, after = at_lag(results.before["omega"], learned), at_lag(results.after["omega"], learned)
    failed = np.concatenate([at_lag(results.after[name], ~rest[name]) for name in rest])
    regimes = [one.regime for one in results.after["omega"]]
    return (
        claim(
            "plain tanh network with shared weights, lag 100: runs that learn",
            _SOURCE,
            "lags of 100 steps and more are learned",
            f"{learned.sum()} of {len(learned)} with clipping and Ω, updates {int(methods['omega'].updates.min())} "
            f"to {int(methods['omega'].updates.max())}",
            found=learned.any(),
            note=f"Symbol of {LAG} steps ago, all later ones at random, 30 units, a sparse start; at most "
            f"{UPDATES} updates of 20 sequences. In float16 the networks put at most "
            f"{methods['omega'].wrong[learned].max():.2%} of fresh sequences wrong. The source trains without Ω.",
        ),
        claim(
            "‖∂x_T/∂x_k‖ at the lag of 100 of those that learned",
            _SOURCE,
            "does not vanish when the network has learned",
            f"{spread(before)} before, {spread(after)} after; then {', '.join(sorted(set(regimes)))}",
            found=len(after) > 0 and before.max() < -1 and after.min() > -1,
        ),
        claim(
            "sharing weights over a long unfolding removes vanishing",
            "popular",
            "removes it",
            f"without Ω {sum(int(v.sum()) for v in rest.values())} of {sum(map(len, rest.values()))} runs learn; "
            f"‖∂x_T/∂x_k‖ of the others at the lag of 100 is {spread(failed)}",
            found=len(failed) > 0 and failed.min() < -6,
            wrong=True,
            note="The same weights at every step, the same task: the gradient vanishes at the start and, without "
            "Ω, all the more after training.",
        ),
    )


def long_unfolding(*, quick: bool = False) -> Reproduction:
    """∂x_T/∂x_k of stored networks before and after training to a lag of 100, of some that learn and some not."""
    results = _measured(3 if quick else SEEDS)
    return Reproduction(functools.partial(_picture, results), _rows(results))


def _arrays(panel: Panel) -> dict[str, np.ndarray]:
    """A panel as the file holds it."""
    cell, readout, offset = panel.networks
    leaves: tuple[Any, ...] = (cell.W, cell.b, cell.W_in, readout, offset)
    small = {field: np.asarray(leaf, np.float16) for field, leaf in zip(_FIELDS, leaves, strict=True)}
    rounded = [jnp.asarray(leaf, jnp.float32) for leaf in small.values()]
    networks = Network(
        jax.vmap(lambda W, b, U: ElmanRNN(W, b, U, activation="tanh"))(*rounded[:3]), *rounded[3:]
    )
    wrong = share_wrong(panel.plan.task, networks, panel.runs.key, panel.steps, 10_000, CONFIRM)
    return small | {
        "succeeded": panel.succeeded,
        "updates": panel.steps.astype(np.int32),
        "wrong": wrong,
        "exponents": panel.history["exponent"].astype(np.float32),
    }


def retrain(out: Path) -> None:
    """Train every network and write it."""
    arrays: dict[str, np.ndarray] = {}
    for name, plan in plans().items():
        panel = train(plan, range(SEEDS), updates=UPDATES)
        arrays |= {f"{name}.{field}": value for field, value in _arrays(panel).items()}
    kept.write(out, "unfolding", arrays, lag=LAG, seeds=SEEDS, updates=UPDATES)
