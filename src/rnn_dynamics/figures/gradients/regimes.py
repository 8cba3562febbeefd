"""Bengio's three regimes of the gradient over lags, with the partial sums S(m)."""

import functools
import math

import numpy as np
from matplotlib.figure import Figure

from rnn_dynamics import doya, plots
from rnn_dynamics.cells import DoyaNeuron
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim, number
from rnn_dynamics.gradients.credit import PartialSums, partial_sums
from rnn_dynamics.plots import palette

_STEPS = 1000
_CASES = (
    ("vanish: $x_0 = 0.3$,\n$w = 5$, $b = -2.5$", (5.0, -2.5, 0.3), (-16, 1)),
    ("explode: $x_0 = ½$,\n$w = 5$, $b = -2.5$", (5.0, -2.5, 0.5), (-2, 102)),
    ("neither: $x_0 = 0.3$,\nthe cusp, $w = 4$, $b = -2$", (4.0, -2.0, 0.3), (-6, 3)),
)


def three_regimes(*, quick: bool = False) -> Reproduction:
    """|term of lag m| and |S(m)| of ∂x_T/∂b for terms that vanish, explode, or decay too slowly to sum."""
    runs = [rollout(DoyaNeuron(w, b), x0, steps=_STEPS) for _, (w, b, x0), _ in _CASES]
    split = [partial_sums(run, 1.0) for run in runs]
    return Reproduction(functools.partial(_picture, split), (*_cusp_rows(), *_sum_rows(), *_memory_rows()))


def _picture(split: list[PartialSums]) -> Figure:
    figure = Figure(figsize=(palette.FULL, 3.4))
    axes = figure.subplots(1, 3)
    for ax, sums, (title, _, limits), letter in zip(axes, split, _CASES, "abc", strict=True):
        plots.partial_sums(sums, "b", ax)
        ax.set_title(title)
        own = ax.get_legend()
        if own is not None:
            own.remove()
        ax.set_ylim(limits)
        if title.startswith("explode"):  # exponential growth is a straight line against the lag itself
            ax.set_xscale("linear")
        plots.panel_label(ax, letter)
    plots.shared_legend(axes)
    return figure


def _cusp_rows() -> list[ReportRow]:
    rows = []
    where = "on the cusp (w 4, b −2, x_0 .3)"
    for steps, along_x0, along_b in (
        (100, "2.5e-2", "10.8"),
        (1000, "8.8e-4", "101"),
        (10_000, "2.8e-5", "1001"),
    ):
        end = doya.sensitivities(4.0, -2.0, 0.3, steps)
        rows += [
            number(f"∂x_T/∂x_0 at T = {steps} {where}", "vanishing terms", along_x0, end.initial.to_float()),
            number(f"∂x_T/∂b at T = {steps} {where}", "diverging sum", along_b, end.parameters[1].to_float()),
        ]
    return rows


def _sum_rows() -> list[ReportRow]:
    """Whether the whole sum ∂x_T/∂b settles as T grows from 100 to 1000."""
    w, b, x0 = np.array([parameters for _, parameters, _ in _CASES]).T
    short, long = (doya.sensitivities(w, b, x0, steps) for steps in (100, _STEPS))
    vanish, explode, neither = np.subtract(long.parameters[1].log(), short.parameters[1].log())
    term = float(np.asarray(long.initial.log10())[2])
    return [
        claim(
            "ln of ∂x_T/∂b at T = 1000 over T = 100 in the three cases",
            "Bengio et al. 1994",
            "vanish, explode or neither",
            f"{vanish:.1e}, {explode:.1f}, {neither:.3f}",
            found=abs(vanish) < 1e-9 and explode > 100 and 2 < neither < 2.5,
        ),
        claim(
            "terms that vanish make the sum over lags converge",
            "popular reading",
            "sufficient",
            f"on the cusp ∂x₁₀₀₀/∂x_0 = 10^{term:.1f}; the sum is {math.exp(neither):.2f} times that at T = 100",
            found=neither > 2 and term < -3,
            wrong=True,
            note="Vanishing terms are necessary, not sufficient; exponential decay suffices.",
        ),
    ]


def _memory_rows() -> list[ReportRow]:
    rows = []
    for rate in (0.9, 0.99):
        lags = 1 / math.log(1 / rate)
        cell = DoyaNeuron(0.0, 0.0, 1 - rate)
        log = float(doya.sensitivities(0.0, 0.0, 0.3, 1000, epsilon=float(cell.epsilon)).initial.log())
        rows.append(
            number(
                f"e-folding in lags of a gradient that decays by η = {rate:g} a step",
                "1/ln(1/η)",
                f"{lags:.3f}",
                -1000 / log,
            )
        )
    lags = 1 / (1 - 0.99)
    rows.append(
        claim(
            "how many lags matter, γ = ¼, w = 3.96, at x = ½: η = γ w = .99",
            "Wikipedia",
            "the first O(1/γ) = 4 terms",
            f"the last O(1/(1−η)) = {lags:.0f}: term 100 back is still {_term(100):.2f} of the first",
            found=0.3 < _term(100) < 0.4,
            wrong=True,
            note="γ is no rate: the memory is the most recent O(1/(1−η)) terms.",
        )
    )
    return rows


def _term(lag: int) -> float:
    """∂x_T/∂x_{T−lag} of the neuron that rests at x = ½ with slope .99."""
    return float(doya.sensitivities(3.96, -1.98, 0.5, lag).initial.to_float())
