"""Trained recurrent networks that are public: how far back they reach, and the folds of the one in Opus.

The programs of ``examples/zoo`` read each network from its installed package, or from a clone of its repository,
check its states against the package's own runtime, and write what is measured as JSON. Those results lie in
``figures/data/zoo``; nothing of a package does.
"""

import functools
import importlib.resources
import json
import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_dynamics import plots
from rnn_dynamics.figures.gradients import zoo_both, zoo_robots
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim, number
from rnn_dynamics.plots import palette

_SHARES = ("1/e", "1 %")
_LOWEST = -8.0  # decades that are drawn


def stored() -> dict[str, dict[str, Any]]:
    """The stored results by name, those with the shortest memory of the output first.

    These are of networks that read in one direction; ``both_ways`` has the others.
    """
    found = {name: each for name, each in _all().items() if "directions" not in each}
    return dict(sorted(found.items(), key=lambda pair: (pair[1]["horizons"]["1 %"]["output"], pair[0])))


def both_ways() -> dict[str, dict[str, Any]]:
    """The stored results of networks that read in both directions, those of fewer units first."""
    found = {name: each for name, each in _all().items() if "directions" in each}
    return dict(sorted(found.items(), key=lambda pair: pair[1]["state_size"]))


def _all() -> dict[str, dict[str, Any]]:
    folder = importlib.resources.files("rnn_dynamics.figures") / "data" / "zoo"
    texts = [each.read_text(encoding="utf-8") for each in folder.iterdir() if each.name.endswith(".json")]
    return {each["name"]: each for each in map(json.loads, texts)}


def label(result: dict[str, Any]) -> str:
    """The network's name, as lines and rows have it."""
    return result["title"].partition(":")[0]


def agrees(result: dict[str, Any]) -> bool:
    """Whether states are the runtime's to 1e−3, and further apart by no more than its own σ and tanh explain.

    A step of a GRU, (1 − z) n + z h, is off by less than five times the larger error of the two where |W h| < 5.
    """
    own = result["more"].get("error_of_its_functions", 0)
    return result["agreement"]["states"] < max(1e-3, 5 * own)


def in_its_unit(result: dict[str, Any], lags: float) -> str:
    """A number of lags as a time, or in what the network reads at each step."""
    amount = lags * result["step"]
    if result["unit"] == "s":
        if amount >= 300:
            return f"{amount / 60:.0f} min"
        return f"{amount:.2g} s" if amount < 9.5 else f"{amount:.0f} s"
    return f"{amount:.0f} {result['unit']}{'' if amount == 1 else 's'}"


def zoo(*, quick: bool = False) -> Reproduction:
    """Gradient norms, horizons and exponents of every stored network; Opus's folds; robots with less memory."""
    del quick  # nothing is computed
    results, both = stored(), both_ways()
    labels = {name: label(each) for name, each in both.items()}
    rows = (*_rows(results, both), *zoo_robots.rows(results), *zoo_both.rows(both, labels))
    return Reproduction(functools.partial(_picture, results, both, labels), rows)


def _picture(
    results: dict[str, dict[str, Any]], both: dict[str, dict[str, Any]], labels: dict[str, str]
) -> Figure:
    figure = Figure(figsize=(palette.FULL, 13.2))
    grid = figure.add_gridspec(4, 3, width_ratios=(1.25, 1.25, 0.8), height_ratios=(1.6, 1, 0.95, 1))
    norms = figure.add_subplot(grid[0, 0])
    horizons = figure.add_subplot(grid[0, 1])
    exponents = figure.add_subplot(grid[0, 2], sharey=horizons)
    weights = figure.add_subplot(grid[1, 2])
    folds = figure.add_subplot(grid[1, :2])
    styles = _styles(results)
    _norms(norms, results, styles)
    _horizons(horizons, results, styles)
    _exponents(exponents, results)
    _folds(folds, results["opus"])
    _weights(weights, results)
    signed = figure.add_subplot(grid[2, :2])
    directions = figure.add_subplot(grid[2, 2])
    zoo_both.signed(signed, both, labels)
    zoo_both.directions(directions, both, labels)
    below = grid[3, :].subgridspec(1, 2)
    speeds, pushes = figure.add_subplot(below[0]), figure.add_subplot(below[1])
    zoo_robots.speeds(speeds, results)
    zoo_robots.pushes(pushes, results)
    plots.panel_labels((norms, horizons, exponents, folds, weights, signed, directions, speeds, pushes))
    return figure


def _styles(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A colour and a dash for each network."""
    colours = palette.SERIES
    return {
        name: {"color": colours[i % len(colours)], "linestyle": palette.DASHES[i // len(colours)]}
        for i, name in enumerate(results)
    }


def _norms(ax: Axes, results: dict[str, dict[str, Any]], styles: dict[str, dict[str, Any]]) -> None:
    for name, result in results.items():
        curve = result["curves"]["state"]
        lags = np.asarray(curve["lag"][1:], float)
        decades = np.array([math.nan if each is None else each for each in curve["decades"][1:]])
        shown = decades >= _LOWEST - 2
        ax.plot(lags[shown], 10.0 ** decades[shown], linewidth=palette.LINE, **styles[name])
    ax.axhline(1, **palette.ZERO)
    ax.set(xscale="log", yscale="log", ylim=(10**_LOWEST, 1e4), xlabel=palette.LAG, ylabel=palette.NORM)
    ax.set_title("gradients of the state")


def _horizons(ax: Axes, results: dict[str, dict[str, Any]], styles: dict[str, dict[str, Any]]) -> None:
    marks = {"state": ("o", 0.16, palette.GREY), "output": ("s", -0.16, palette.BLACK)}
    for place, (name, result) in enumerate(results.items()):
        for of, (mark, shift, colour) in marks.items():
            near, far = (max(result["horizons"][share][of], 0.7) for share in _SHARES)
            longest = result["steps"] if of == "state" else result["output_window"]
            ax.plot([near, far], [place + shift] * 2, color=colour, linewidth=palette.LINE)
            for lags, face in ((far, palette.WHITE), (near, colour)):
                form = ">" if lags >= longest else mark
                ax.plot(lags, place + shift, form, markersize=palette.MARK, markerfacecolor=face,
                        markeredgecolor=colour)  # fmt: skip
        sample = {"transform": ax.get_yaxis_transform(), "clip_on": False, "linewidth": palette.LINE}
        ax.plot([-0.13, -0.02], [place, place], **sample, **styles[name])
    for of, (mark, _, colour) in marks.items():
        ax.plot([], [], mark, color=colour, linestyle="-", markersize=palette.MARK, label=of)
    ax.plot([], [], ">", color=palette.GREY, markersize=palette.MARK, label="all looked at")
    ax.set(xscale="log", xlabel="horizon (steps), 1/e to 1 %", xlim=(0.6, 3000))
    ax.set_yticks(range(len(results)), [label(each) for each in results.values()])
    ax.tick_params(axis="y", length=0, pad=24)
    ax.set_ylim(len(results) - 0.5, -0.5)
    ax.legend(loc="upper right")
    ax.set_title("how far back")


def _exponents(ax: Axes, results: dict[str, dict[str, Any]]) -> None:
    for place, result in enumerate(results.values()):
        ax.errorbar(
            result["exponent"],
            place,
            xerr=result["exponent_error"],
            fmt="D",
            color=palette.BLACK,
            markersize=palette.DOT,
            elinewidth=palette.THIN,
            capsize=2,
        )
    ax.axvline(0, **palette.ZERO)
    ax.set_xscale("symlog", linthresh=1e-2)
    ax.set_xticks([-1, -0.1, 0, 0.1], ["−1", "−.1", "0", ".1"])
    ax.set_xlim(-1.2, 0.12)
    ax.set_xlabel("nats a step")
    ax.tick_params(axis="y", labelleft=False, length=0)
    ax.set_title("exponents")


def _folds(ax: Axes, opus: dict[str, Any]) -> None:
    """Fixed points of the GRU in Opus while its input is held between the mean of speech and that of music."""
    line = opus["more"]["line"]
    p, stable = np.array(line["branch"]["p"]), np.array(line["branch"]["stable"], bool)
    chance = 1 / (1 + np.exp(-np.array(line["branch"]["logit"])))
    for is_stable, style in ((True, palette.BRANCH), (False, palette.UNSTABLE)):
        chosen = stable == is_stable
        near = chosen | np.roll(chosen, 1) | np.roll(chosen, -1) if not is_stable else chosen
        ax.plot(np.where(near, p, np.nan), np.where(near, chance, np.nan), **style,
                label="stable" if is_stable else "saddle")  # fmt: skip
    at = np.array(line["folds"])
    said = 1 / (1 + np.exp(-np.array(line["fold_logits"])))
    ax.plot(at, said, **palette.FOLD, label="fold")
    for place, x in enumerate(line["codec_leaves"]):
        ax.axvline(x, color=palette.VERMILION, linestyle=palette.DOTTED, linewidth=palette.LINE,
                   label="libopus itself jumps" if not place else None)  # fmt: skip
    ax.axvline(1, **palette.ZERO)
    ax.set(xlim=(p.min(), p.max()), ylim=(-0.04, 1.04), ylabel="probability of music at rest")
    ax.set_xlabel("held input $p$: the mean of speech at 0, the mean of music at 1")
    ax.set_title("Opus: 24 units, two answers at one input")
    ax.legend(loc="center right")


def _weights(ax: Axes, results: dict[str, dict[str, Any]]) -> None:
    """Norm and radius of W of a plain network beside the factor by which its gradient grows a step."""
    result = results["nh3pred"]
    values = {
        r"$\|W\|_2$": result["more"]["norm"],
        r"$\rho(W)$": result["more"]["radius"],
        r"$e^{\lambda}$": math.exp(result["exponent"]),
    }
    colours = (palette.LIGHT, palette.GREY, palette.VERMILION)
    for place, (value, colour) in enumerate(zip(values.values(), colours, strict=True)):
        ax.bar(place, value, color=colour, width=0.6)
        ax.text(place, value * 1.06, f"{value:.2f}", ha="center", va="bottom", fontsize=palette.NOTE)
    ax.axhline(1, color=palette.BLACK, linewidth=palette.THIN)
    ax.set(yscale="log", ylim=(0.4, 14), ylabel="factor a step")
    ax.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    ax.minorticks_off()
    ax.set_xticks(range(len(values)), list(values))
    ax.set_title("nh3pred")


def _rows(results: dict[str, dict[str, Any]], both: dict[str, dict[str, Any]]) -> tuple[ReportRow, ...]:
    opus, nh3pred = results["opus"], results["nh3pred"]
    everyone = (*results.values(), *both.values())
    checked = [each["agreement"] for each in everyone]
    own = sum(each["is_runtime"] for each in checked)
    worst = max(each["states"] for each in checked)
    old, new = results["madmom_onsets"], results["madmom_beats"]
    radius, rate = nh3pred["more"]["radius"], nh3pred["exponent"]
    rest = nh3pred["fixed_points"]["points"][0]["radius"]
    rows = [
        claim(
            "states of trained networks that are public against the runtimes that they are made for",
            "the packages",
            "the same, to single precision",
            f"{len(checked)} networks, {own} by their own runtime, largest difference {worst:.0e}",
            found=all(map(agrees, everyone)) and own >= len(checked) - 1,
        ),
        claim(
            "ρ(W) > 1 makes the gradient explode: the trained ReLU network of nh3pred",
            "popular reading of Pascanu et al. 2013",
            "explodes",
            f"ρ(W) = {radius:.2f}, ‖W‖₂ = {nh3pred['more']['norm']:.2f}, exponent {rate:+.3f}",
            found=radius > 1 and rate + 2 * nh3pred["exponent_error"] < 0,
            wrong=True,
            note=f"What counts is W among the units that are on together; its radius at rest is {rest:.2f}.",
        ),
        claim(
            "madmom, the same piece: 1 % horizon of the plain tanh network and of the LSTM",
            "Hochreiter and Schmidhuber 1997",
            "the LSTM reaches further back",
            " and ".join(in_its_unit(each, each["horizons"]["1 %"]["output"]) for each in (old, new)),
            found=old["horizons"]["1 %"]["output"] < new["horizons"]["1 %"]["output"],
        ),
    ]
    line = opus["more"]["line"]
    for place, name in enumerate(("music ends as p falls", "speech ends as p grows")):
        rows.append(
            number(
                f"Opus, held input: the fold where {name}",
                "where the GRU of libopus 1.3.1 jumps",
                f"{line['codec_leaves'][place]:.5f}",
                line["folds"][place],
                within=1e-5,
                note="Located from either side to 12 digits; the codec computes in single precision.",
            )
        )
    return tuple(rows)
