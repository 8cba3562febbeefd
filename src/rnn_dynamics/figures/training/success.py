"""Success against length for MSGD, MSGD-C and MSGD-CR: figure 7 of Pascanu, Mikolov and Bengio, at reduced cost.

``rnn-dynamics retrain success`` trains the networks, in about an hour on two cores, and writes what
became of them beside this file; ``--full`` takes the paper's 5 million updates. Either can be interrupted: it goes
on from the folder ``--folder``.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_dynamics import plots
from rnn_dynamics.figures import stored as kept
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.plots import palette
from rnn_dynamics.training.runs.intervals import wilson

INITIALIZERS = ("sigmoid", "basic tanh", "smart tanh")
METHODS = ("MSGD", "MSGD-C", "MSGD-CR")
LENGTHS = (10, 20, 30, 50, 75, 100)
SEEDS, UPDATES = 10, 20_000
_FULL_SEEDS, _FULL_UPDATES, _FULL_LENGTHS = 5, 5_000_000, tuple(range(50, 251, 25))


_SOURCE = "Pascanu et al. 2013, figure 7"
_STYLES = {
    "MSGD": {"color": palette.VERMILION, "marker": "s", "linestyle": palette.DOTTED},
    "MSGD-C": {"color": palette.BLUE, "marker": "^", "linestyle": palette.DASHED},
    "MSGD-CR": {"color": palette.GREEN, "marker": "o", "linestyle": "-"},
}
_ALL_SERIES = dict[tuple[str, str], "Series"]


class Series(NamedTuple):
    """The runs of one initialisation and method, by length; a series ends after the first length that all fail.

    Attributes:
        lengths: tried, shape (l,).
        succeeded: shape (l, seeds).
        diverged: shape (l, seeds).
        steps: updates made, shape (l, seeds).
    """

    lengths: np.ndarray
    succeeded: np.ndarray
    diverged: np.ndarray
    steps: np.ndarray


def _recipe(initializer: str, method: str) -> Any:
    from rnn_dynamics.training import recipe

    remedies = {"MSGD": (), "MSGD-C": ("clipping",), "MSGD-CR": ("clipping", "omega")}[method]
    start = {"sigmoid": "sigmoid network", "basic tanh": "basic tanh", "smart tanh": "smart tanh"}[
        initializer
    ]
    return recipe(*remedies, start)


def _series(initializer: str, method: str, folder: Path, lengths: Any, seeds: int, updates: int) -> Series:
    from rnn_dynamics.training import Plan, task, train

    found = []
    for length in lengths:
        plan = Plan(task("temporal-order", length), _recipe(initializer, method))
        name = f"{initializer}-{method}-{length}".replace(" ", "-")
        panel = train(plan, range(seeds), updates=updates, checkpoint=folder / f"{name}.npz")
        found.append(
            (length, panel.succeeded & (panel.steps <= updates), panel.status == Status.DIVERGED, panel.steps)
        )
        if not found[-1][1].any():
            break
    return Series(*map(np.asarray, zip(*found, strict=True)))


def all_series(folder: Path, lengths: Any, seeds: int, updates: int) -> Iterator[tuple[str, Series]]:
    """Every series, trained or read from the folder."""
    for initializer in INITIALIZERS:
        for method in METHODS:
            name = kept.array_name(f"{initializer}.{method}")
            yield name, _series(initializer, method, folder, lengths, seeds, updates)


def stored() -> tuple[dict[tuple[str, str], Series], dict[str, Any]]:
    """The stored series by initialisation and method, and how they were made."""
    arrays, made = kept.read("success")
    pairs = [(initializer, method) for initializer in INITIALIZERS for method in METHODS]
    names = {pair: kept.array_name(".".join(pair)) for pair in pairs}
    series = {
        pair: Series(*(arrays[f"{name}.{field}"] for field in Series._fields)) for pair, name in names.items()
    }
    return series, made


def success_by_length(*, quick: bool = False) -> Reproduction:
    """The share of runs that learn temporal order against its length, drawn from the stored runs."""
    series, made = stored()
    return Reproduction(functools.partial(_picture, series, made), _rows(series))


def _reach(series: Series) -> int:
    """The longest length that a run learned; 0 where none did."""
    learned = series.succeeded.any(axis=1)
    return int(series.lengths[learned].max()) if learned.any() else 0


def _rows(series: _ALL_SERIES) -> tuple[ReportRow, ...]:
    rows = []
    for initializer in INITIALIZERS:
        reach = [_reach(series[initializer, method]) for method in METHODS]
        found = ", ".join(f"{m} {r or 'none'}" for m, r in zip(METHODS, reach, strict=True))
        ordered = reach[0] <= reach[1] <= reach[2] and reach[0] < reach[2]
        said = "MSGD fails first as the length grows, clipping helps, clipping with Ω reaches the longest"
        rows.append(
            claim(f"{initializer}: longest length that a run learned", _SOURCE, said, found, found=ordered)
        )
    rows.append(_at_one_length(series))
    return tuple(rows)


def _learned(series: Series, length: int) -> int:
    """Runs that learned a length; 0 beyond the end of a series."""
    at = np.flatnonzero(series.lengths == length)
    return int(series.succeeded[at[0]].sum()) if at.size else 0


def _at_one_length(series: _ALL_SERIES) -> ReportRow:
    """Where plain descent has failed from the usual start, and clipping has not: the rates."""
    of = {method: series["basic tanh", method] for method in METHODS}
    seeds = of["MSGD"].succeeded.shape[1]
    failed = [length for length in LENGTHS if not _learned(of["MSGD"], length)]
    at = max(failed, key=lambda length: (_learned(of["MSGD-C"], length) > 0, -length))
    counts = {method: _learned(of[method], at) for method in METHODS}
    texts = []
    for method, learned in counts.items():
        low, high = wilson(learned, seeds)
        texts.append(f"{method} {learned}/{seeds} ({low:.2f} … {high:.2f})")
    return claim(
        f"basic tanh, length {at}: runs that learned, 95 % interval",
        _SOURCE,
        "MSGD-CR reaches 100 % up to length 200; MSGD alone collapses with the length",
        ", ".join(texts),
        found=counts["MSGD"] <= counts["MSGD-C"] <= counts["MSGD-CR"] and counts["MSGD"] < counts["MSGD-CR"],
        note="With a 250th of the updates of the paper; the direction is compared.",
    )


def _picture(series: _ALL_SERIES, made: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(palette.FULL, 3.6))
    axes = figure.subplots(1, 3, sharey=True)
    for ax, initializer, letter in zip(axes, INITIALIZERS, "abc", strict=True):
        for place, method in enumerate(METHODS):
            _curve(ax, series[initializer, method], method, 0.985 + 0.015 * place)
        ax.set_xscale("log")
        ax.set_xticks(LENGTHS, [str(length) for length in LENGTHS])
        ax.minorticks_off()
        ax.set(xlabel="length of the sequences", ylim=(-4, 104), title=_TITLES[initializer])
        plots.panel_label(ax, letter)
    axes[0].set_ylabel("runs that learned (%)")
    plots.shared_legend(axes[:1])
    figure.suptitle(_reduction(made), fontsize=palette.NOTE, color=palette.GREY)
    return figure


_TITLES = {
    "sigmoid": r"logistic, $W \sim N(0, 0.01)$",
    "basic tanh": r"tanh, $W \sim N(0, 0.1)$",
    "smart tanh": "tanh, sparse $W$, $ρ = 0.95$",
}


def _curve(ax: Axes, series: Series, method: str, shift: float) -> None:
    seeds = series.succeeded.shape[1]
    learned = series.succeeded.sum(axis=1)
    low, high = wilson(learned, np.full(len(learned), seeds))
    shares = 100 * learned / seeds
    bars = np.clip([shares - 100 * low, 100 * high - shares], 0, None)
    ax.errorbar(
        series.lengths * shift,
        shares,
        bars,
        label=method,
        capsize=2,
        elinewidth=palette.THIN,
        markersize=palette.MARK,
        **_STYLES[method],
    )


def _reduction(made: dict[str, Any]) -> str:
    updates = f"{made['updates'] // 1000} 000"
    return (
        f"reduced: at most {updates} updates (the paper: 5 000 000); {made['seeds']} seeds, 95 % intervals; "
        "a curve ends at the first length that no run learned"
    )


def retrain(out: Path, folder: Path, *, full: bool = False) -> None:
    """Train every network, with ``full`` over the paper's lengths, seeds and updates, and write the result."""
    lengths, seeds, updates = (
        (_FULL_LENGTHS, _FULL_SEEDS, _FULL_UPDATES) if full else (LENGTHS, SEEDS, UPDATES)
    )
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for name, series in all_series(folder, lengths, seeds, updates):
        arrays |= {f"{name}.{field}": value for field, value in series._asdict().items()}
    kept.write(out, "success", arrays, seeds=seeds, updates=updates)
