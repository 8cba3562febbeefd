"""The walking robots of the zoo: panels of its figure, and rows of its report."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from rnn_dynamics.figures.report import ReportRow, claim
from rnn_dynamics.plots import palette

COLOURS = (palette.BLUE, palette.VERMILION, palette.GREEN)
_FALLS = (0.055, 0.0, -0.055)  # the heights at which falls are drawn


def robots(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The stored results of robots that walk, by the robot's name."""
    chosen = {name: each for name, each in results.items() if "memory" in each["more"]}
    return {chosen[name]["title"].partition(":")[0].split()[-1]: chosen[name] for name in sorted(chosen)}


def speeds(ax: Axes, results: dict[str, dict[str, Any]]) -> None:
    """How fast each robot walks on its last few observations; a cross where it falls, a ring with all of them."""
    for place, ((name, result), colour) in enumerate(zip(robots(results).items(), COLOURS, strict=True)):
        memory = result["more"]["memory"]
        last = np.asarray(memory["last"])
        speed = np.array([np.nan if each is None else each for each in memory["speed"]])
        ax.plot(last, speed, "o-", color=colour, linewidth=palette.LINE, markersize=palette.DOT, label=name)
        fell = last[np.isnan(speed)]
        ax.plot(fell, np.full(len(fell), _FALLS[place]), "x", color=colour, markersize=palette.MARK)
        ax.plot(60, result["answers"]["speed, m/s"], "o", color=colour, markersize=palette.MARK,
                markerfacecolor=palette.WHITE)  # fmt: skip
    ax.axhline(0.5, **palette.ZERO)
    ax.set(xscale="log", xlim=(0.85, 78), ylim=(-0.12, 1.12), ylabel="speed (m/s), told 0.5")
    ax.set_xticks([1, 3, 10, 30, 60], ["1", "3", "10", "30", "all"])
    ax.minorticks_off()
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["falls", "0.25", "0.5", "0.75", "1"])
    ax.set_xlabel("observations that the state is made of")
    ax.set_title("robots: walking on the last few")
    ax.legend(loc="upper right")


def pushes(ax: Axes, results: dict[str, dict[str, Any]]) -> None:
    """What a push of the policy's state leaves in the actions: in the network alone, and in the robot."""
    for (name, result), colour in zip(robots(results).items(), COLOURS, strict=True):
        push = result["more"]["push"]
        for of, dash in (("robot", "-"), ("network", palette.SHORT)):
            label = f"{name}, {of}" if of == "robot" else None
            ax.plot(push["lag"], push[of], color=colour, linestyle=dash, linewidth=palette.LINE, label=label)
    ax.plot(
        [], [], color=palette.GREY, linestyle=palette.SHORT, linewidth=palette.LINE, label="network alone"
    )
    ax.axvline(next(iter(robots(results).values()))["more"]["stride"], **palette.ZERO)
    ax.set(yscale="log", ylim=(4e-4, 20), xlim=(0, 80), ylabel="change of the actions")
    ax.set_xlabel("steps after the push; grey: a stride")
    ax.set_title("a push of the state")
    ax.legend(loc="lower left")


def rows(results: dict[str, dict[str, Any]]) -> tuple[ReportRow, ...]:
    """That these policies use their memory, and that more comes back by the robot than their gradient shows."""
    found = robots(results)
    falls = [each["more"]["memory"]["fell"][0] for each in found.values()]
    least = ", ".join(f"{name} {enough(each)}" for name, each in found.items())
    left = {name: after_a_stride(each) for name, each in found.items()}
    told = "; ".join(
        f"{name} {100 * alone:.1f} % and {100 * there:.0f} %" for name, (alone, there) in left.items()
    )
    return (
        claim(
            "policies that walk Unitree's humanoids, on fewer and fewer observations",
            "Siekmann et al. 2020",
            "recurrent policies for walking use their memory",
            f"one: they fall in {min(falls):.1f} to {max(falls):.1f} s; enough are {least}",
            found=all(fell is not None for fell in falls),
        ),
        claim(
            "the same, a push of the LSTM's state: what a stride later is left in the actions",
            "reading the network's gradient alone",
            "what the network forgets is gone",
            f"with its inputs held, and in the robot: {told}",
            found=all(there > 10 * alone for alone, there in left.values()),
            wrong=True,
            note="The robot does not forget: what was done stands in how it moves, which is read again.",
        ),
    )


def enough(result: dict[str, Any]) -> int:
    """The least number of last observations from which on the robot does not fall."""
    memory = result["more"]["memory"]
    falls = [last for last, fell in zip(memory["last"], memory["fell"], strict=True) if fell is not None]
    return min(last for last in memory["last"] if last > max(falls, default=0))


def after_a_stride(result: dict[str, Any]) -> tuple[float, float]:
    """The shares of a push that are left a stride later: in the network alone, and in the robot."""
    push = result["more"]["push"]
    at = push["lag"].index(result["more"]["stride"])
    return push["network"][at], push["robot"][at]
