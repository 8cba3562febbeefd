"""The networks of the zoo that read in both directions: panels of its figure, and a row of its report."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from rnn_dynamics.figures.report import ReportRow, claim
from rnn_dynamics.plots import palette

_LOWEST = 3e-4  # share of the greatest gradient that is drawn
_WAYS = {"forward": (">", palette.BLUE), "backward": ("<", palette.VERMILION)}


def shares(result: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Signed lags and the gradient of the output there, as a share of the greatest one."""
    curve = result["curves"]["output"]
    decades = np.array([math.nan if each is None else each for each in curve["decades"]])
    return np.asarray(curve["lag"]), 10.0 ** (decades - np.nanmax(decades))


def signed(ax: Axes, results: dict[str, dict[str, Any]], labels: dict[str, str]) -> None:
    """The gradient of each network's output by the inputs before it and after it."""
    looks = zip(palette.SERIES, palette.DASHES, strict=False)
    for (name, result), (colour, dash) in zip(results.items(), looks, strict=False):
        lags, share = shares(result)
        ax.plot(lags, share, color=colour, linestyle=dash, linewidth=palette.LINE, label=labels[name])
    for share, text in ((1 / math.e, "1/e"), (0.01, "1 %")):
        ax.axhline(share, color=palette.GREY, linewidth=palette.THIN, linestyle=palette.DOTTED, zorder=0)
        ax.text(-780, share * 1.12, text, ha="left", va="bottom", fontsize=palette.NOTE, color=palette.GREY)
    ax.axvline(0, **palette.ZERO)
    ax.set_xscale("symlog", linthresh=10)
    ticks = (-100, -10, 0, 10, 100)
    ax.set_xticks(ticks, [f"{tick}".replace("-", "−") for tick in ticks])
    ax.set(yscale="log", xlim=(-800, 800), ylim=(_LOWEST, 2.5), ylabel="share of the greatest")
    ax.set_xlabel("signed lag $s-t$ (steps): the past on the left, the future on the right")
    ax.set_title("gradients of the output, in both directions")
    ax.legend(loc="lower center")


def directions(ax: Axes, results: dict[str, dict[str, Any]], labels: dict[str, str]) -> None:
    """The exponent of each direction of each layer."""
    names, place = [], 0
    for name, result in results.items():
        for number in range(len(result["directions"]) // 2):
            for way, each in zip(_WAYS, result["directions"][2 * number : 2 * number + 2], strict=True):
                mark, colour = _WAYS[way]
                height = place + (-0.16 if way == "forward" else 0.16)
                ax.errorbar(each["exponent"], height, xerr=each["exponent_error"], fmt=mark, color=colour,
                            markersize=palette.MARK, elinewidth=palette.THIN,
                            label=way if not place else None)  # fmt: skip
            names.append(f"{labels[name] + ' ' if not number else ''}{number + 1}")
            place += 1
        if name != list(results)[-1]:
            ax.axhline(place - 0.5, **palette.ZERO)
    ax.axvline(0, **palette.ZERO)
    ax.set_yticks(range(place), names)
    ax.set_ylim(place + 1.7, -0.6)  # the legend is below the last row
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(-0.02, 0.007)
    ax.set_xticks([-0.02, -0.01, 0], ["−.02", "−.01", "0"])
    ax.set_xlabel("nats a step")
    ax.set_title("by layer")
    ax.legend(loc="lower center")


def rows(results: dict[str, dict[str, Any]], labels: dict[str, str]) -> tuple[ReportRow, ...]:
    """That outputs of these networks look far to both sides."""
    far = {name: each["horizons"]["1 %"] for name, each in results.items()}
    least = min(min(each["back"], each["ahead"]) for each in far.values())
    told = "; ".join(
        f"{labels[name]} {each['back']:.0f} and {each['ahead']:.0f}" for name, each in far.items()
    )
    return (
        claim(
            "trained networks that read in both directions: 1 % horizons of the output, back and ahead",
            "Schuster and Paliwal 1997",
            "both pasts and futures count",
            f"{told} steps",
            found=least > 10,
        ),
    )
