"""Counterexamples to the spectral radius as a bound, and the numbers of section 2 that go with them."""

import functools
import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_dynamics import plots, spectral
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim, number
from rnn_dynamics.gradients.one_step import step_jacobian
from rnn_dynamics.numerics.eigen import spectral_norm
from rnn_dynamics.plots import palette
from rnn_dynamics.spectral.bounds import Bounds
from rnn_dynamics.spectral.nonnormal import non_normality, power_norms

_VERSION = "arXiv 1211.5063 v2; Wikipedia"
_ZERO = 1e-5  # a defective eigenvalue 0 comes back as the square root of rounding
_SHEAR = np.array([[0.9, 1.0], [0.0, 0.9]])


def counterexamples(*, quick: bool = False) -> Reproduction:
    """Six small pictures: the norm of the product, what bounds it, and what does not."""
    cases = spectral.counterexamples(chaotic_steps=400)
    rows = (*_shear_rows(), *_case_rows(cases), *_transient_rows())
    return Reproduction(functools.partial(_picture, cases), rows)


def _picture(cases: tuple[spectral.Counterexample, ...]) -> Figure:
    figure = Figure(figsize=(palette.FULL, 6.2))
    axes = figure.subplots(2, 3).ravel()
    for ax, case, letter in zip(axes, cases, "abcdef", strict=True):
        plots.counterexample(case, ax, legend=False)
        ax.set_title(f"{case.name}\n{_TITLES[case.name]}")
        plots.panel_label(ax, letter)
        _claim_of_zero(ax, case.bounds)
    plots.shared_legend(axes, columns=3)
    return figure


_TITLES = {
    "shear": r"$\|W^9\|_2 \approx 3.91$, $ρ^9 \approx 0.387$",
    "Jordan block": "grows like $k$ at $ρ(W) = 1$",
    "fixed point": "$ρ(W) = 0$: doubles every step",
    "chaos": "$ρ(W) = 0$ on a chaotic attractor",
    "rotation": "$ε = 9 > 8$: explodes",
    "slow rotation": "$ε = 7 < 8$: vanishes",
}


def _claim_of_zero(ax: Axes, bounds: Bounds) -> None:
    """A claim of exactly 0 has no logarithm: say so where it would be."""
    if bounds.radius is not None and float(bounds.radius) < _ZERO:
        top = 1.08 * float(np.max(bounds["norm"].log)) / math.log(10)
        ax.set_ylim(-0.25 * top, top)
        text = "claim: 0 from lag 1 on, far below"
        ax.text(
            0.97,
            0.05,
            text,
            transform=ax.transAxes,
            ha="right",
            fontsize=palette.NOTE,
            color=palette.VERMILION,
        )


def _shear_rows() -> list[ReportRow]:
    norms = np.exp(power_norms(_SHEAR, 60).log_norms[1:])
    ratios = np.geomspace(1, 1e6, 60)
    scaled = np.stack([[[0.9, 1 / s], [0.0, 0.9]] for s in ratios])
    without = np.asarray(spectral_norm(scaled)) ** 9
    best = float((ratios * without).min())
    k = np.arange(1, 61)
    return [
        number("‖A⁹‖₂ for A = [[.9, 1], [0, .9]]", _VERSION, "3.91", norms[8]),
        claim(
            "‖Aᵏ‖₂ ≤ ρ(A)ᵏ for that A",
            _VERSION,
            "ρᵏ bounds the norm (.387 at k = 9)",
            f"violated at {int((norms > 0.9**k).sum())} of 60 powers",
            found=(norms >= 0.9**k).all() and norms[8] > 3.9,
            wrong=True,
            note="Correct: ‖Aᵏ‖ ≥ ρᵏ always; the largest singular value bounds it from above.",
        ),
        number("inf over S of ‖S A S⁻¹‖⁹ without κ(S)", "scaled bound", ".387", without.min(), within=1e-3),
        claim(
            "κ(S) ‖S A S⁻¹‖⁹, best of 60 diagonal S",
            "scaled bound",
            "a bound only with κ(S): ≥ 3.91",
            f"{best:.3f}",
            found=best >= norms[8],
            note="Without κ(S) it would be .387, below the norm: false.",
        ),
    ]


def _case_rows(cases: tuple[spectral.Counterexample, ...]) -> list[ReportRow]:
    by_name = {case.name: case for case in cases}
    logs = {name: np.asarray(case.bounds.log_norms) for name, case in by_name.items()}
    fixed = by_name["fixed point"].trajectory
    at = np.asarray(fixed.states)[0]
    J = np.asarray(step_jacobian(fixed.cell, at))
    residual = float(np.abs(np.asarray(fixed.cell(at)) - at).max())
    double = float(np.abs(np.matmul(J, J) - 2 * J).max())
    radius = float(np.asarray(by_name["fixed point"].bounds.radius))
    steps = len(logs["chaos"]) - 1
    jordan = math.exp(logs["Jordan block"][0])
    rate = {name: math.exp(logs[name][0] / (len(logs[name]) - 1)) for name in ("rotation", "slow rotation")}
    return [
        claim(
            "‖Aᵏ‖₂ at ρ = 1 with a Jordan block, k = 60",
            "linear algebra",
            "grows",
            f"{jordan:.2f}",
            found=jordan > 59,
        ),
        claim(
            "ρ(W) < 1 makes the gradient vanish: W = 32 [[1, 1], [−1, −1]], logistic",
            _VERSION,
            "vanishes",
            f"ρ(W) = {radius:.0e}; J = [[{J[0, 0]:g}, {J[0, 1]:g}], [{J[1, 0]:g}, {J[1, 1]:g}]], J² = 2 J",
            found=radius < _ZERO and residual < 1e-13 and double < 1e-11 and logs["fixed point"][0] > 25,
            wrong=True,
            note="At the fixed point (0, ln 3) the product doubles every step although ρ(W) = 0 up to √rounding.",
        ),
        number(
            "top Lyapunov exponent, W = 12 [[1, 1], [−1, −1]], b = (−9, 6), ρ(W) = 0",
            "iteration",
            ".54",
            logs["chaos"][0] / steps,
            within=0.06,
            note=f"ln of the norm over {steps} steps; its sampling error is some .03.",
        ),
        claim(
            "growth a step of (W D)ᴺ, W = [[0, 2], [ε, 0]], D = ¼ I, ε = 9 and 7",
            "Wikipedia, note 3",
            "explodes for small ε",
            f"{rate['rotation']:.4f} and {rate['slow rotation']:.4f}",
            found=rate["rotation"] > 1 > rate["slow rotation"],
            wrong=True,
            note="(W D)^2N = (2 ε c²)ᴺ I is right, but the logistic has c ≤ ¼: it needs ε > 8.",
        ),
    ]


def _transient_rows() -> list[ReportRow]:
    rows = []
    for r, c in ((0.9, 1.0), (0.5, 3.0), (0.9, 0.1)):
        closed = c / (4 * (1 - r)) + (1 - r) / c if c >= 2 * (1 - r) else 1.0
        powers = power_norms([[r, c], [0.0, r]], 60)
        K, largest = powers.about.kreiss_constant, math.exp(powers.log_peak)
        of = f"[[{r:g}, {c:g}], [0, {r:g}]]"
        rows.append(
            number(f"Kreiss constant of {of}", "closed form", f"{closed:.4f}", K, within=1e-3 * closed)
        )
        rows.append(
            claim(
                f"K ≤ sup ‖Aᵏ‖₂ ≤ e n K for {of}",
                "Kreiss matrix theorem",
                f"{K:.3f} ≤ sup ≤ {2 * math.e * K:.3f}",
                f"{largest:.3f}",
                found=K * (1 - 1e-6) <= largest <= 2 * math.e * K,
            )
        )
    departure = non_normality(_SHEAR).departure
    return [
        *rows,
        number("Henrici departure of [[.9, 1], [0, .9]]", "√(‖A‖_F² − Σ|λ|²)", "1.0000", departure),
    ]
