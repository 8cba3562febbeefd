"""Gradient norms through depth, 10 and 15 hidden layers, and which networks learn to tell bars from stripes.

What training found lies beside this file. ``rnn-dynamics retrain depth`` trains anew and writes it, in
some minutes.
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
from rnn_dynamics.cells import BatchNormalized
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.figures import stored as kept
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim, number
from rnn_dynamics.gradients.jacobians import gradient_norms
from rnn_dynamics.gradients.singular_values import singular_spectrum
from rnn_dynamics.plots import palette
from rnn_dynamics.spectral.mean_field import mean_field
from rnn_dynamics.training.studies.depth import NETWORKS, DeepNetwork, DeepRuns, cell_of, images, train_deep

DEPTHS, SEEDS = (10, 15), 5
_SIDE, _SAMPLES, _UPDATES = 6, 32, 20_000
_FEW = 8
_DECADES = 1 / math.log(10)
_LINES: dict[str, dict[str, Any]] = {
    "logistic": {"color": palette.BLACK},
    "logistic, Kumar": {"color": palette.ORANGE},
    "logistic, Yilmaz–Poli": {"color": palette.VERMILION},
    "logistic, pre-trained": {"color": palette.GREEN},
    "logistic, layer norm": {"color": palette.SKY},
    "tanh, layer norm": {"color": palette.SKY, "linestyle": "--"},
    "logistic, batch norm": {"color": palette.BLUE},
    "ReLU, batch norm": {"color": palette.BLUE, "linestyle": "--"},
    "ReLU, He": {"color": palette.PURPLE},
    "tanh, residual": {"color": palette.GREY, "linestyle": "--"},
}


# Network, source, what it says, how many of the seeds learn with 10 and 15 layers, whether it is wrong, why.
_SAID = (
    ("logistic", "Hochreiter 1991; Glorot and Bengio 2010", "vanish", (0, 0), False, ""),
    (
        "logistic, Kumar",
        "Kumar 2017",
        "layers keep the variance",
        (5, 0),
        True,
        "The rule takes activities of variance 1; the logistic's vary by less. Gradients shrink by 0.59 a layer.",
    ),
    ("logistic, Yilmaz–Poli", "Yilmaz and Poli 2022", "10 and 15 layers train", (5, 5), False, ""),
    ("logistic, pre-trained", "Hinton et al. 2006", "trains", (5, 5), False, "2000 steps of CD-1 a layer."),
    (
        "logistic, layer norm",
        "popular: normalisation keeps gradients",
        "trains",
        (0, 0),
        True,
        "It takes the mean over units, before the logistic, whose mean of ½ all samples share: E σ′²/E σ² = 0.15.",
    ),
    ("tanh, layer norm", "Ba et al. 2016", "trains", (5, 5), False, ""),
    ("logistic, batch norm", "Ioffe and Szegedy 2015", "trains", (5, 5), False, ""),
    (
        "ReLU, batch norm",
        "Yang et al. 2019",
        "explodes as initialised",
        (5, 5),
        False,
        "It learns all the same.",
    ),
    ("ReLU, He", "He et al. 2015", "trains", (5, 5), False, ""),
    ("tanh, residual", "He et al. 2016", "trains", (5, 5), False, ""),
)


class Found(NamedTuple):
    """One network at one depth; natural logarithms.

    Attributes:
        before, after: ln‖∂x_L/∂x_l‖_F − ln√n by layer l, shape (seeds, L+1), the mean square over samples: as
            initialised, and at the end of training at the rate that served best.
        two: the two largest singular values of ∂x_L/∂x_0 as initialised, shape (seeds, 2); NaN of batches.
        updates: after which each seed had learned, −1 where it had not, shape (seeds,).
        wrong: the share of fresh images put wrong at the end, shape (seeds,).
        rate: the learning rate.
    """

    before: np.ndarray
    after: np.ndarray
    two: np.ndarray
    updates: np.ndarray
    wrong: np.ndarray
    rate: np.ndarray


def norms_of(name: str, layers: dict[str, Any], inputs: np.ndarray) -> np.ndarray:
    """ln‖∂x_L/∂x_l‖_F − ln√n for l = 0 … L, the mean square over the samples, shape (L+1,).

    Of batch normalisation the state is the whole batch, all of its samples through one another.
    """
    cell = cell_of(name, len(inputs))
    starts = inputs.reshape(1, -1) if isinstance(cell, BatchNormalized) else inputs[:_FEW]
    logs = [np.asarray(gradient_norms(rollout(cell, x, layers), ord="fro")) for x in starts]
    mean = np.logaddexp.reduce(2 * np.stack(logs), axis=0) - math.log(len(logs))
    return (mean - math.log(starts.shape[1])) / 2


def _largest(name: str, layers: dict[str, Any], inputs: np.ndarray) -> np.ndarray:
    cell = cell_of(name, len(inputs))
    if isinstance(cell, BatchNormalized):
        return np.full(2, np.nan)
    return np.asarray(singular_spectrum(rollout(cell, inputs[0], layers)).log[:2])


def _layers(network: DeepNetwork, rate: int, seed: int) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf[rate, seed]) for name, leaf in network.layers.items()}


def measured(runs: DeepRuns, inputs: np.ndarray) -> Found:
    """What is drawn of the training of one network."""
    at, seeds = runs.best, range(runs.updates.shape[1])
    before, after = (
        np.stack([norms_of(runs.name, _layers(network, at, seed), inputs) for seed in seeds])
        for network in (runs.before, runs.after)
    )
    two = np.stack([_largest(runs.name, _layers(runs.before, at, seed), inputs) for seed in seeds])
    return Found(before, after, two, runs.updates[at], runs.wrong[at], runs.rates[at])


def batch_norm_growth(units: int = 256, layers: int = 12) -> float:
    """The growth a layer of the squared gradient of wide ReLU layers with batch normalisation, as initialised.

    Of as many samples as units, for a random cotangent, from layer 4 on.
    """
    drawn, start, last = jax.random.split(jax.random.key(0), 3)
    cell = BatchNormalized("relu", units)
    ones, zeros = jnp.ones(units), jnp.zeros(units)
    x, pulls = jax.random.normal(start, (units * units,)), []
    for key in jax.random.split(drawn, layers):
        W = jax.random.normal(key, (units, units)) / units**0.5
        x, pull = jax.vjp(functools.partial(_normalised, cell, W, ones, zeros), x)
        pulls.append(pull)
    cotangent, logs = jax.random.normal(last, x.shape), []
    for pull in reversed(pulls):
        (cotangent,) = pull(cotangent)
        logs.append(float(jnp.sum(cotangent**2)))
    return (logs[-4] / logs[0]) ** (1 / (layers - 4))


def _normalised(cell: BatchNormalized, W: Any, ones: Any, zeros: Any, x: Any) -> Any:
    return cell(x, {"W": W, "b": zeros, "gain": ones, "offset": zeros})


@functools.cache
def stored() -> tuple[dict[tuple[str, int], Found], float]:
    """What is stored of every network and depth, and the growth of ``batch_norm_growth``."""
    arrays, _ = kept.read("depth")
    found = {
        (name, depth): Found(*(arrays[_array(name, depth, field)] for field in Found._fields))
        for name in NETWORKS
        for depth in DEPTHS
    }
    return found, float(arrays["growth"])


def _array(name: str, depth: int, field: str) -> str:
    return kept.array_name(f"{name}.{depth}.{field}")


def depth_norms(*, quick: bool = False) -> Reproduction:
    """Norms through depth of ten networks before and after training, and which learn; the same if quick."""
    del quick
    found, growth = stored()
    return Reproduction(functools.partial(_picture, found), _rows(found, growth))


def _rows(found: dict[tuple[str, int], Found], growth: float) -> tuple[ReportRow, ...]:
    said = [_said_row(found, *row) for row in _SAID]
    return (
        number(
            "ReLU with batch normalisation, 256 units: growth of the squared gradient a layer",
            "Yang et al. 2019, π/(π − 1)",
            "1.467",
            growth,
            within=0.015,
            note="E φ′²/Var φ ≥ 1 for every activation but a linear one: it explodes for all of them.",
        ),
        *_mean_field_rows(found),
        _direction_row(found),
        *said,
    )


def _growth(one: Found) -> float:
    """The growth of a gradient from layer 12 down to layer 2, an even number of them, each."""
    return float(np.exp((one.before[:, 2] - one.before[:, 12]).mean() / 10))


def _mean_field_rows(found: dict[tuple[str, int], Found]) -> list[ReportRow]:
    """Growth a layer of the 15 logistic layers with independent weights of mean 0."""
    rows = []
    for name, gain in (("logistic", 1.0), ("logistic, Kumar", math.sqrt(64 / 5))):
        theory = math.exp(mean_field(gain, activation="logistic").exponent)
        measured = _growth(found[name, DEPTHS[-1]])
        note = "With 36 units; the bias of finite width falls like 1/n."
        rows.append(
            number(
                f"{name}: growth a layer", "mean field, √χ", f"{theory:.4f}", measured, within=0.03, note=note
            )
        )
    return rows


def _first(one: Found) -> tuple[float, float]:
    """log₁₀ of the norm over all layers, as initialised and at the end, the mean over seeds."""
    return float(one.before[:, 0].mean() * _DECADES), float(one.after[:, 0].mean() * _DECADES)


def _said_row(
    found: dict[tuple[str, int], Found],
    name: str,
    source: str,
    said: str,
    counts: tuple[int, int],
    wrong: bool,
    note: str,
) -> ReportRow:
    learned = [int((found[name, depth].updates >= 0).sum()) for depth in DEPTHS]
    parts = [
        f"{depth} layers 10^{before:.1f}, at the end 10^{after:.1f}, {count} of {SEEDS} learned"
        for depth, count in zip(DEPTHS, learned, strict=True)
        for before, after in [_first(found[name, depth])]
    ]
    return claim(
        f"{name}: ‖∂x_L/∂x_0‖/√n and success",
        source,
        said,
        "; ".join(parts),
        found=tuple(learned) == counts,
        wrong=wrong,
        note=note,
    )


def _direction_row(found: dict[tuple[str, int], Found]) -> ReportRow:
    """The two largest singular values of Yilmaz and Poli's layers, and the decay on the 2-cycle of equal units."""
    shallow, deep = (found["logistic, Yilmaz–Poli", depth].two * _DECADES for depth in DEPTHS)
    a_layer = _growth(found["logistic, Yilmaz–Poli", DEPTHS[-1]])
    return claim(
        "logistic, Yilmaz–Poli: the largest singular value as initialised, and the second",
        "Yilmaz and Poli 2022",
        "gradients do not vanish",
        f"10^{shallow[:, 0].mean():.1f} and 10^{shallow[:, 1].mean():.1f} over {DEPTHS[0]} layers, "
        f"10^{deep[:, 0].mean():.1f} and 10^{deep[:, 1].mean():.1f} over {DEPTHS[1]}",
        found=0.55 < a_layer < 0.75 and (deep[:, 0] - deep[:, 1] > 8).all(),
        wrong=True,
        note=f"One direction of 36, equal units, shrinks by {a_layer:.2f} a layer (0.652 on the 2-cycle of "
        "equal units; ¼ with mean 0). The others vanish. It is enough to learn.",
    )


def _picture(found: dict[tuple[str, int], Found]) -> Figure:
    figure = Figure(figsize=(palette.FULL, 7.2))
    axes = figure.subplots(len(DEPTHS), 3, width_ratios=(1, 1, 0.8))
    for row, depth in zip(axes, DEPTHS, strict=True):
        _norms(row[0], found, depth, "before")
        _norms(row[1], found, depth, "after")
        _learned(row[2], found, depth)
    axes[0, 1].plot([], [], linestyle=palette.DOTTED, color=palette.GREY, label="seeds that did not learn")
    axes[0, 1].plot([], [], "x", color=palette.GREY, label=f"not learned in {_UPDATES} updates")
    low = min(ax.get_ylim()[0] for ax in axes[:, :2].ravel())
    for ax in axes[:, :2].ravel():  # one range, so that slopes compare
        ax.set_ylim(low, 2.2)
    for ax in axes[:, 1]:
        ax.set_ylabel("")
    plots.shared_legend(axes[:, 0].tolist() + axes[:, 1].tolist(), columns=4)
    plots.panel_labels(axes.ravel())
    return figure


def _norms(ax: Axes, found: dict[tuple[str, int], Found], depth: int, when: str) -> None:
    for name, look in _LINES.items():
        one = found[name, depth]
        logs = getattr(one, when) * _DECADES
        learned = one.updates >= 0 if when == "after" else np.ones(len(logs), bool)
        ax.plot(logs[~learned].T, color=look["color"], linestyle=palette.DOTTED, linewidth=palette.THIN)
        if learned.any():
            middle, spread = logs[learned].mean(axis=0), logs[learned].std(axis=0)
            ax.plot(middle, label=name, **look)
            ax.fill_between(np.arange(depth + 1), middle - spread, middle + spread, color=look["color"],
                            alpha=0.15, linewidth=0)  # fmt: skip
    ax.axhline(0, **palette.ZERO)
    ax.set_xlabel("layer $l$ (0 the image)")
    ax.set_xticks(range(0, depth + 1, 5))
    plots.powers_of_ten(ax.yaxis, palette.typeset("‖∂x_L/∂x_l‖ / √n"))
    ax.set_title(f"{depth} layers, " + ("as initialised" if when == "before" else "trained"))


def _learned(ax: Axes, found: dict[tuple[str, int], Found], depth: int) -> None:
    """Updates until each seed had learned; a cross at the right for one that had not."""
    for row, (name, look) in enumerate(_LINES.items()):
        updates = found[name, depth].updates
        for i, spent in enumerate(updates):
            at = row + 0.14 * (i - (len(updates) - 1) / 2)
            if spent >= 0:
                ax.plot(spent, at, "o", color=look["color"], markersize=palette.MARK)
            else:
                ax.plot(1.5 * _UPDATES, at, "x", color=look["color"], markersize=palette.MARK)
        ax.text(
            2.4 * _UPDATES,
            row,
            f"{(updates >= 0).sum()} of {len(updates)}",
            va="center",
            fontsize=palette.NOTE,
        )
    ax.set_xscale("log")
    ax.set_yticks(range(len(_LINES)), list(_LINES))
    ax.set_ylim(len(_LINES) - 0.4, -0.6)
    ax.set_xlabel("updates until learned")
    ax.set_title(f"{depth} layers: learned")


def retrain(out: Path) -> None:
    """Train every network at both depths and write what is drawn; in float64."""
    inputs = np.asarray(images(jax.random.key(2), _SAMPLES, _SIDE)[0], float)
    arrays: dict[str, Any] = {"growth": batch_norm_growth()}
    for depth in DEPTHS:
        for name in NETWORKS:
            runs = train_deep(
                jax.random.key(depth), name, depth, side=_SIDE, seeds=SEEDS, updates=_UPDATES, batch=_SAMPLES
            )
            fields = measured(runs, inputs)._asdict()
            arrays |= {
                _array(name, depth, field): value.astype(_DTYPES.get(field, np.float32))
                for field, value in fields.items()
            }
    kept.write(out, "depth", arrays)


_DTYPES = {"updates": np.int32}
