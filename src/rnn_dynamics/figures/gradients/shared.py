"""Shared weights against weights of their own: one recurrence in time and in depth, and what sharing changes."""

import functools
import math
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import digamma

from rnn_dynamics import plots
from rnn_dynamics.cells import ElmanRNN, FeedForward
from rnn_dynamics.cells.rollout import Trajectory, rollout
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim, number
from rnn_dynamics.gradients.credit import CreditByLag, credit_by_lag
from rnn_dynamics.gradients.jacobians import gradient_norms, pullback, pushforward
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.plots import palette
from rnn_dynamics.spectral.mean_field import MeanField, mean_field

_DECADES = 1 / math.log(10)
_STEPS, _FIRST, _LAST = 120, 20, 100
_LONG = 400
# Gain, spread of the biases, what happens.
CASES = (
    (2.0, 0.3, "explode: $g = 2$, $σ_b = 0.3$"),
    (0.9, 0.0, "vanish by the weights: $g = 0.9$, $σ_b = 0$"),
    (1.2, 1.0, "vanish by $φ′$: $g = 1.2$, $σ_b = 1$"),
)
_COLOURS = (palette.VERMILION, palette.GREEN, palette.BLUE)
_TIED, _UNTIED = ("shared, in time", "own, in depth")


class MeasuredDraws(NamedTuple):
    """Networks of one gain and one spread of the biases, tied or not; natural logarithms, a draw a row.

    Attributes:
        norms: ln‖∂x_T/∂x_k‖_F − ln√n by lag, shape (draws, T+1).
        exponents: the slope of it between lags 20 and 100, shape (draws,).
        weights, slopes: the mean growth a step of a tangent by W and by φ′, shape (draws,).
    """

    norms: np.ndarray
    exponents: np.ndarray
    weights: np.ndarray
    slopes: np.ndarray


class _Results(NamedTuple):
    units: int
    tied: list[MeasuredDraws]
    untied: list[MeasuredDraws]
    theory: list[MeanField]
    widths: tuple[int, ...]
    by_width: dict[str, list[np.ndarray]]
    credit: dict[str, CreditByLag]


def shared_weights(*, quick: bool = False) -> Reproduction:
    """Norms, exponents and credit of a recurrence whose steps share their weights, and of one whose do not."""
    units, draws = (64, 4) if quick else (128, 10)
    tied, untied = (
        [measured(units, draws, gain, spread, tied=is_tied) for gain, spread, _ in CASES]
        for is_tied in (True, False)
    )
    theory = [mean_field(gain, bias_std=spread) for gain, spread, _ in CASES]
    widths = (4, 16, 48) if quick else (4, 8, 16, 32, 64)
    by_width = exponents_by_width(widths, 8 if quick else 10)
    results = _Results(units, tied, untied, theory, widths, by_width, credit_of(units))
    return Reproduction(functools.partial(_picture, results), (*_case_rows(results), *_sharing_rows(results)))


def layers_of(
    rng: np.random.Generator, depth: int, units: int, gain: float, spread: float = 0.0, *, tied: bool = False
) -> dict[str, np.ndarray]:
    """W_ij ~ N(0, g²/n), b ~ N(0, σ_b²), every layer its own or all the first's: as ``cells.deep_parameters``."""
    layers = 1 if tied else depth
    W = rng.normal(0, gain / math.sqrt(units), (layers, units, units))
    own = {"W": W, "b": rng.normal(0, spread, (layers, units))}
    return {name: np.repeat(leaf, depth // layers, axis=0) for name, leaf in own.items()}


def _run(units: int, seed: int, gain: float, spread: float, tied: bool) -> Trajectory:
    rng = np.random.default_rng(seed)
    start = rng.normal(size=units)
    return rollout(FeedForward("tanh"), start, layers_of(rng, _STEPS, units, gain, spread, tied=tied))


def measured(units: int, draws: int, gain: float, spread: float, *, tied: bool) -> MeasuredDraws:
    """x_{l+1} = tanh(W_l x_l + b_l), W_ij ~ N(0, g²/n), b ~ N(0, σ_b²): every layer its own, or all the first's."""
    found = []
    for seed in range(draws):
        run = _run(units, seed, gain, spread, tied)
        logs = np.asarray(gradient_norms(run, ord="fro"))[::-1] - math.log(units) / 2
        slope = (logs[_LAST] - logs[_FIRST]) / (_LAST - _FIRST)
        found.append((logs, slope, *_decay(run)))
    return MeasuredDraws(*map(np.asarray, zip(*found, strict=True)))


def _decay(run: Trajectory) -> tuple[float, float]:
    """The mean growth a step of a tangent by W, and by φ′, past the first steps."""
    tangent = np.random.default_rng(0).normal(size=run.states.shape[-1])
    vectors = np.asarray(pushforward(run, tangent).unit)[:-1]
    turned = np.matmul(np.asarray(run.inputs["W"]), vectors[..., None])[..., 0]
    passed = turned * np.asarray(lean(jax.vmap(run.cell.slopes))(np.asarray(run.states)[:-1], run.inputs))
    before, between, after = (
        np.log(np.linalg.norm(part[_FIRST:], axis=-1)) for part in (vectors, turned, passed)
    )
    return float(np.mean(between - before)), float(np.mean(after - between))


def newman(units: Any) -> np.ndarray:
    """The largest exponent of products of n×n Gaussian matrices of variance 1/n: ½(ln 2 + ψ(n/2) − ln n)."""
    n = np.asarray(units, float)
    return (math.log(2) + digamma(n / 2) - np.log(n)) / 2


def exponents_by_width(widths: tuple[int, ...], draws: int) -> dict[str, list[np.ndarray]]:
    """Growth a step of linear networks at g = 1 over lags 200 … 400: tied, untied; and ln ρ(W) of the tied.

    Narrow networks are blocks of a wide one whose other weights are 0, so that one program runs them all.
    """
    found: dict[str, list[np.ndarray]] = {"tied": [], "untied": [], "radius": []}
    rng = np.random.default_rng(1)
    for units in widths:
        tied, untied = (
            [_block(rng, units, max(widths), tied=is_tied) for _ in range(draws)] for is_tied in (True, False)
        )
        radii = [np.abs(np.linalg.eigvals(layers["W"][0])).max() for layers in tied]
        found["radius"].append(np.log(radii))
        for name, networks in (("tied", tied), ("untied", untied)):
            found[name].append(np.asarray([_growth(layers, units) for layers in networks]))
    return found


def _block(rng: np.random.Generator, units: int, width: int, *, tied: bool) -> dict[str, np.ndarray]:
    W = np.zeros((_LONG, width, width))
    W[:, :units, :units] = layers_of(rng, _LONG, units, 1.0, tied=tied)["W"]
    return {"W": W, "b": np.zeros((_LONG, width))}


def _growth(layers: dict[str, np.ndarray], units: int) -> float:
    width = layers["W"].shape[-1]
    run = rollout(FeedForward("linear"), np.zeros(width), layers)
    cotangent = (np.arange(width) < units).astype(float)
    logs = np.asarray(pullback(run, cotangent).norm().log())[::-1]
    return float(logs[-1] - logs[_LONG // 2]) / (_LONG - _LONG // 2)


def _loss(x: jax.Array) -> jax.Array:
    return x.sum() / x.size**0.5


def credit_of(units: int) -> dict[str, CreditByLag]:
    """Where ∂E/∂θ comes from for E = Σ x_T/√n, in the last of the cases: tied in time, and untied in depth."""
    gain, spread, _ = CASES[-1]
    rng = np.random.default_rng(0)
    start, own = rng.normal(size=units), layers_of(rng, _STEPS, units, gain, spread)
    cell = ElmanRNN(own["W"][0], own["b"][0], activation="tanh")
    return {
        "tied": credit_by_lag(rollout(cell, start, steps=_STEPS), _loss),
        "untied": credit_by_lag(rollout(FeedForward("tanh"), start, own), _loss),
    }


def _error(values: np.ndarray) -> float:
    """Standard error of the mean over draws."""
    return float(np.std(values, ddof=1)) / math.sqrt(len(values))


def _text(values: np.ndarray) -> str:
    return f"{values.mean():+.3f} ± {_error(values):.3f}"


def _case_rows(results: _Results) -> list[ReportRow]:
    """The exponent of each case, own and shared, beside ½ ln χ; and its parts."""
    rows: list[ReportRow] = []
    for (gain, spread, _), tied, untied, theory in zip(
        CASES, results.tied, results.untied, results.theory, strict=True
    ):
        where = f"tanh layers with g = {gain:g}, σ_b = {spread:g}"
        rows.append(
            number(
                f"{where}, own weights: nats a layer",
                "mean field, ½ ln χ",
                f"{theory.exponent:.4f}",
                untied.exponents.mean(),
                within=max(4 * _error(untied.exponents), 2 / results.units),
                note=f"{results.units} units; standard error {_error(untied.exponents):.4f} over draws; "
                "the bias of finite width falls like 1/n.",
            )
        )
        rows.append(
            claim(
                f"{where}: parts of W and of φ′, own and shared",
                "popular: in feed-forward networks it is wholly different",
                "different",
                f"W {_text(untied.weights)} and {_text(tied.weights)}, "
                f"φ′ {_text(untied.slopes)} and {_text(tied.slopes)}",
                found=all(
                    abs(own.mean() - shared.mean()) < 0.15
                    for own, shared in ((untied.weights, tied.weights), (untied.slopes, tied.slopes))
                ),
                wrong=True,
                note="The same two factors take the same shares: alike for wide layers, tied or not.",
            )
        )
    exponents = [case.exponents for case in results.tied]
    rows.append(
        claim(
            "sharing weights removes the problem",
            "popular",
            "removes it",
            "; ".join(
                f"{_text(values)} ({theory.exponent:+.3f})"
                for values, theory in zip(exponents, results.theory, strict=True)
            ),
            found=all(
                np.sign(theory.exponent) * values.mean() > 2 * _error(values)
                for values, theory in zip(exponents, results.theory, strict=True)
            ),
            wrong=True,
            note="Nats a step of the three cases with shared weights, ½ ln χ in brackets: it explodes and "
            "vanishes as with own weights. Lags of 100 steps can be learned all the same.",
        )
    )
    return rows


def _sharing_rows(results: _Results) -> list[ReportRow]:
    """Where the two differ: the exponents of narrow networks, and the gradient of the parameters."""
    at = results.widths.index(16)
    untied, tied, radius = (results.by_width[name][at] for name in ("untied", "tied", "radius"))
    own, shared = results.credit["untied"], results.credit["tied"]
    shares, sums = np.asarray(own.log_shares), np.asarray(shared.log_sums)
    far = float(shares[-1] - shares[0]) * _DECADES
    sums = np.exp(sums - sums[-1])
    settled = int(np.flatnonzero(np.abs(sums - 1) > 0.01)[-1]) + 2
    return [
        number(
            "16 linear units of g = 1, own weights: nats a layer",
            "Newman 1986, ½(ln 2 + ψ(n/2) − ln n)",
            f"{float(newman(16)):.4f}",
            untied.mean(),
            within=4 * _error(untied),
            note=f"Standard error {_error(untied):.4f}.",
        ),
        number(
            "the same, shared weights: nats a step less ln ρ(W)",
            "Gelfand",
            "0",
            np.abs(tied - radius).max(),
            within=0.02,
            note=f"The largest of {len(tied)} draws; ln ρ itself is {_text(radius)}.",
        ),
        claim(
            "vanishing, shared weights: the gradient ∂E/∂W as a whole",
            "popular: it vanishes",
            "vanishes",
            f"the sum over lags {shared.trend} and is within 1 % from lag {settled} on; horizon {shared.horizon()}",
            found=shared.trend == "converges" and settled < _STEPS / 3,
            wrong=True,
            note="The sum is that of the short lags. It does not vanish; it ignores what is far.",
        ),
        claim(
            f"vanishing, own weights: the first layer's gradient of {_STEPS}",
            "Hochreiter 1991",
            "vanishes",
            f"10^{far:.1f} times that of the last layer",
            found=far < -8,
        ),
    ]


def _picture(results: _Results) -> Figure:
    figure = Figure(figsize=(palette.FULL, 7.0))
    axes = figure.subplots(2, 2).ravel()
    for ax, draw in zip(axes, (_norms, _parts, _gradients, _widths), strict=True):
        draw(ax, results)
    plots.panel_labels(axes)
    plots.shared_legend(axes[:2], columns=3)
    return figure


def _norms(ax: Axes, results: _Results) -> None:
    lags = np.arange(_STEPS + 1)
    for (_, _, label), colour, tied, untied, theory in zip(
        CASES, _COLOURS, results.tied, results.untied, results.theory, strict=True
    ):
        for found, line in ((tied, "-"), (untied, "--")):
            logs = found.norms * _DECADES
            middle, spread = logs.mean(axis=0), logs.std(axis=0)
            ax.plot(lags, middle, color=colour, linestyle=line, label=label if line == "-" else None)
            ax.fill_between(lags, middle - spread, middle + spread, color=colour, alpha=0.13, linewidth=0)
        ax.plot(
            lags,
            theory.exponent * lags * _DECADES,
            color=palette.BLACK,
            linestyle=":",
            linewidth=palette.THIN,
        )
    for line, label in (
        ("-", _TIED),
        ("--", _UNTIED),
        (palette.DOTTED, f"mean field, {palette.typeset('½ ln χ')}"),
    ):
        ax.plot([], [], color=palette.BLACK, linestyle=line, label=label)
    ax.axhline(0, **palette.ZERO)
    ax.set_title(f"gradient over the states, {results.units} tanh units")
    ax.set_xlabel("lag $T - k$ (steps or layers)")
    plots.powers_of_ten(ax.yaxis, palette.typeset("‖∂x_T/∂x_k‖ / √n"))


def _parts(ax: Axes, results: _Results) -> None:
    """What W and what φ′ add a step, and both."""
    names = ("$W$", "$φ′$", "both")
    for i, (tied, untied, theory, colour) in enumerate(
        zip(results.tied, results.untied, results.theory, _COLOURS, strict=True)
    ):
        by_weights = math.log(CASES[i][0])
        predicted = (by_weights, theory.exponent - by_weights, theory.exponent)
        for j in range(3):
            at = i * 4 + j
            for found, shift, hatch in ((tied, -0.2, ""), (untied, 0.2, "////")):
                part = (found.weights, found.slopes, found.weights + found.slopes)[j]
                ax.bar(
                    at + shift,
                    part.mean(),
                    0.38,
                    yerr=_error(part),
                    color=palette.WHITE if hatch else colour,
                    edgecolor=colour,
                    hatch=hatch,
                    ecolor=palette.BLACK,
                )
            ax.plot([at - 0.45, at + 0.45], [predicted[j]] * 2, color=palette.BLACK, linestyle=":")
    ax.axhline(0, color=palette.BLACK, linewidth=palette.THIN)
    ax.set_xticks([i * 4 + j for i in range(3) for j in range(3)], [*names, *names, *names])
    ax.xaxis.remove_overlapping_locs = False  # the names of the cases, below
    ax.set_xticks([i * 4 + 1 for i in range(3)], [f"$g = {gain:g}$" for gain, _, _ in CASES], minor=True)
    ax.tick_params(axis="x", which="minor", length=0, pad=1.8 * palette.NOTE)
    ax.tick_params(axis="x", length=0)
    for hatch, face, label in (("", palette.GREY, f"{_TIED} (b)"), ("////", palette.WHITE, f"{_UNTIED} (b)")):
        ax.bar([0], [0], color=face, edgecolor=palette.GREY, hatch=hatch, label=label)
    ax.set_title("growth a step, by what makes it")
    ax.set_ylabel("nats a step")


def _gradients(ax: Axes, results: _Results) -> None:
    tied, untied = results.credit["tied"], results.credit["untied"]
    top, own = float(np.asarray(tied.log_shares)[0]), np.asarray(untied.log_shares)
    total = f"shared: {palette.typeset('‖S(m)‖')}, the sum to lag $m$"
    layer = "own: all that layer $T - m + 1$ gets"
    lines: tuple[tuple[Any, str, dict[str, Any]], ...] = (
        (np.asarray(tied.log_sums) - top, total, {"linewidth": palette.BOLD}),
        (np.asarray(tied.log_shares) - top, "shared: the term of lag $m$", {"linewidth": palette.THIN}),
        (own - own[0], layer, {"linestyle": palette.DASHED}),
    )
    for logs, label, look in lines:
        ax.plot(tied.lags, np.asarray(logs) * _DECADES, color=_COLOURS[-1], label=label, **look)
    ax.set_title("gradient over the parameters, $g = 1.2$")
    ax.set_xlabel("lag $m$ (steps or layers)")
    plots.powers_of_ten(ax.yaxis, "norm over lag 1's")
    ax.legend(loc="lower left")


def _widths(ax: Axes, results: _Results) -> None:
    """Where tied and untied differ: narrow networks over long lags."""
    widths = np.asarray(results.widths, float)
    for tied, label, colour, marker, shift in (
        ("tied", f"shared: {palette.typeset('ln ρ(W)')}, another for each $W$", palette.BLACK, "o", 0.95),
        ("untied", "own: one exponent for all", palette.GREY, "s", 1.05),
    ):
        for at, values in zip(widths, results.by_width[tied], strict=True):
            look = {"color": colour, "markersize": palette.DOT, "alpha": 0.55}
            name = label if at == widths[0] else None
            ax.plot(np.full(len(values), at * shift), values, marker, label=name, **look)
    fine = np.geomspace(widths[0], widths[-1], 100)
    ax.plot(
        fine,
        newman(fine),
        color=palette.BLACK,
        linestyle=":",
        label="Newman: " + palette.typeset("½(ln 2 + ψ(n/2) − ln n)"),
    )
    ax.axhline(0, **palette.ZERO)
    ax.set_xscale("log", base=2)
    ax.set_title("where they differ: linear, $g = 1$")
    ax.set_xlabel("units $n$")
    ax.set_ylabel("nats a step, lags 200 to 400")
    ax.legend(loc="lower right")
