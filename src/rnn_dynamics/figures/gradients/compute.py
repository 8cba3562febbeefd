"""How many lags c times the compute buys: ln c / ln(1/η), and half of that where it goes into averages."""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_dynamics import plots
from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim, number
from rnn_dynamics.gradients.jacobians import gradient_norms
from rnn_dynamics.plots import palette

_DECADES = 1 / math.log(10)
_RATES = (0.5, 0.8, 0.9, 0.95, 0.99)
_UNITS, _STEPS = 32, 2800
# What can be told from nothing before compute grows: 1 % of the value at lag 0.
_FLOOR = 0.01
_FACTORS = 10.0 ** np.arange(10)
_HARDWARE = 1e6
_SAMPLED = (0.5, 0.8, 0.9)
_DRAWS = 16


class _Results(NamedTuple):
    """Of each η: ln of the norm by lag over its value at lag 0; lags bought by each factor; and by averages.

    Attributes:
        norms: shape (rates, T+1).
        bought: shape (rates, factors).
        samples: N of averages, shape (s,).
        averaged: detectable lags with N samples, the mean over draws, and its standard error; (sampled, s) each.
    """

    norms: np.ndarray
    bought: np.ndarray
    samples: np.ndarray
    averaged: np.ndarray
    errors: np.ndarray


def compute_and_lags(*, quick: bool = False) -> Reproduction:
    """Lags that c times the compute buys: from measured norms, and from averages over samples."""
    norms = np.asarray([_norms(rate, seed) for seed, rate in enumerate(_RATES)])
    bought = np.asarray([lags_bought(logs, _FACTORS, _FLOOR) for logs in norms])
    samples = 10.0 ** np.arange(2, 5 if quick else 7)
    found = np.asarray([_by_averages(rate, samples) for rate in _SAMPLED])
    results = _Results(norms, bought, samples, found[:, 0], found[:, 1])
    return Reproduction(functools.partial(_picture, results), _rows(results))


def _norms(rate: float, seed: int) -> np.ndarray:
    """ln‖∂x_T/∂x_k‖_F by lag, 0 at lag 0, of a random tanh network with ρ(W) = η that comes to rest."""
    rng = np.random.default_rng(seed)
    W, start = rng.normal(size=(_UNITS, _UNITS)), rng.normal(size=_UNITS)
    cell = ElmanRNN(W * (rate / np.abs(np.linalg.eigvals(W)).max()), np.zeros(_UNITS), activation="tanh")
    logs = np.asarray(gradient_norms(rollout(cell, start, steps=_STEPS), ord="fro"))[::-1]
    return logs - logs[0]


def lags_bought(log_norms: np.ndarray, factors: np.ndarray, floor: float) -> np.ndarray:
    """How many lags more are above floor/c than above the first one, between lags by a straight line.

    Args:
        log_norms: ln of the norm by lag, shape (T+1,).
        factors: c, shape (m,), the first of them 1.
        floor: what can be told from nothing at c = 1.
    """
    levels = np.log(floor) - np.log(factors)
    last = np.asarray([np.flatnonzero(log_norms >= level)[-1] for level in levels])
    if last.max() == len(log_norms) - 1:
        raise ValueError("log_norms: expected lags until the norm is below floor / c for every c")
    reached = last + (log_norms[last] - levels) / (log_norms[last] - log_norms[last + 1])
    return reached - reached[0]


def _by_averages(rate: float, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Detectable lags for each number of samples: mean and standard error over draws."""
    lags = int(math.log(1e-5) / math.log(rate))
    found = [
        [detectable(rate, int(n), lags, np.random.default_rng([draw, int(n)])) for draw in range(_draws(n))]
        for n in samples
    ]
    errors = [np.std(values, ddof=1) / math.sqrt(len(values)) for values in found]
    return np.asarray([np.mean(values) for values in found]), np.asarray(errors)


def _draws(samples: float) -> int:
    return _DRAWS if samples < 1e6 else 4


def detectable(rate: float, samples: int, lags: int, rng: np.random.Generator, units: int = 4) -> int:
    """Lags n at which the gradient of a network asked to recall its input of n steps ago stands out of its noise.

    x_{t+1} = η Q x_t + W_in u_t, Q orthogonal, u_t = ±1, E = ½ (u_{T−n} − v·x_T)² with a small readout v. The
    gradient over W_in of one sequence is −u_{T−n} Σ_m u_{T−m} (η Qᵀ)^m v: its mean has norm ηⁿ |v|, its
    standard deviation is |v| / √(1 − η²), that of the shorter lags. Detected is what exceeds 3 standard errors
    of the average over ``samples`` sequences.

    Returns:
        The largest n of 0 … ``lags`` to which every lag is detected; −1 for none.
    """
    turn = rate * np.linalg.qr(rng.normal(size=(units, units)))[0]
    streams = min(samples, 4096)
    kept, burn = -(-samples // streams), lags + int(8 / (1 - rate))
    # In float32, whose rounding lies far below the noise.
    inputs = 2 * rng.integers(0, 2, (burn + kept, streams), dtype=np.int8).astype(np.float32) - 1
    turn, readout = turn.astype(np.float32), np.eye(units, dtype=np.float32)[0]
    sums = np.zeros((streams, units), np.float32)
    means = np.zeros((lags + 1, units))
    for t, u in enumerate(inputs):
        sums = np.matmul(sums, turn) + u[:, None] * readout[None]
        if t >= burn:
            means += np.matmul(inputs[t - lags : t + 1][::-1], sums)
    error = 1 / math.sqrt((1 - rate**2) * kept * streams)
    seen = np.linalg.norm(means / (kept * streams), axis=1) > 3 * error
    return int(np.argmin(np.append(seen, False))) - 1


def _theory(factor: Any, rate: Any) -> Any:
    return np.log(factor) / -np.log(rate)


def _rows(results: _Results) -> tuple[ReportRow, ...]:
    source = "popular: faster hardware; Schmidhuber 2015"
    at = int(np.argmin(np.abs(np.log(_FACTORS / _HARDWARE))))
    rows = [
        number(
            f"lags that a million times the updates buys, random tanh network with η = {rate:g}",
            "ln c / ln(1/η)",
            f"{_theory(_HARDWARE, rate):.1f}",
            bought[at],
            within=1 + 0.05 * _theory(_HARDWARE, rate),
            note=f"From gradient norms: lags above {_FLOOR:g}/c of the norm at lag 0, less those at c = 1. "
            "Within one lag and 5 %: several eigenvalues near η decay together at first.",
        )
        for rate, bought in zip(_RATES, results.bought, strict=True)
    ]
    expected = _theory(_FACTORS[None, 3:], np.asarray(_RATES)[:, None])
    off = float(np.max(np.abs(results.bought[:, 3:] / expected - 1)))
    slopes = [
        float(np.polyfit(np.log(results.samples), lags, 1)[0]) * math.log(1 / rate)
        for rate, lags in zip(_SAMPLED, results.averaged, strict=True)
    ]
    return (
        *rows,
        claim(
            "lags bought, c = 10³ … 10⁹, η = .5 … .99",
            "ln c / ln(1/η)",
            "grow like the logarithm of the compute",
            f"within {100 * off:.1f} %",
            found=off < 0.12,
            note="Longer sequences also cost more an update, which is not counted here.",
        ),
        claim(
            "faster hardware removes the vanishing gradient",
            source,
            "makes some layers more feasible, does not overcome the problem",
            f"c = 10⁶ buys {results.bought[0][at]:.0f} lags at η = .5, {results.bought[2][at]:.0f} at η = .9",
            found=results.bought[2][at] < 150,
        ),
        claim(
            "lags bought where compute goes into averages over samples",
            "ln c / ln(1/η)",
            "no more than that",
            ", ".join(f"{slope:.2f}" for slope in slopes) + " of it at η = .5, .8, .9",
            found=all(abs(slope - 0.5) < 0.1 for slope in slopes),
            note="Half: the noise of an average falls like c^−½. The whole needs gradients without noise.",
        ),
    )


def _picture(results: _Results) -> Figure:
    figure = Figure(figsize=(palette.FULL, 3.6))
    axes = figure.subplots(1, 3)
    for ax, draw in zip(axes, (_norm_lines, _bought_lines, _average_lines), strict=True):
        draw(ax, results)
    plots.panel_labels(axes)
    plots.shared_legend(axes, columns=4)
    return figure


def _norm_lines(ax: Axes, results: _Results) -> None:
    for colour, rate, logs in zip(palette.shades(len(_RATES)), _RATES, results.norms, strict=True):
        ax.plot(np.arange(1, 401), logs[1:401] * _DECADES, color=colour, label=f"$η = {rate:g}$")
    for c, text in ((1, "1"), (1e3, "10³"), (1e6, "10⁶"), (1e9, "10⁹")):
        level = math.log10(_FLOOR / c)
        ax.axhline(level, color=palette.GREY, linewidth=palette.THIN, linestyle=":")
        ax.text(395, level + 0.12, f"$c = {text}$", fontsize=palette.NOTE, color=palette.GREY, ha="right")
    ax.set_ylim(-12, 0.8)
    ax.set_xlim(0, 400)
    ax.set_title("told from 0 by $c$ times the work")
    ax.set_xlabel(palette.LAG)
    plots.powers_of_ten(ax.yaxis, palette.typeset("‖∂x_T/∂x_k‖") + ", 1 at lag 0")


def _bought_lines(ax: Axes, results: _Results) -> None:
    factors = np.logspace(0, 9, 200)
    for colour, rate, bought in zip(palette.shades(len(_RATES)), _RATES, results.bought, strict=True):
        ax.plot(factors, np.maximum(_theory(factors, rate), 1e-3), color=colour, linestyle=palette.DOTTED)
        ax.plot(_FACTORS[1:], bought[1:], "o", color=colour, markersize=palette.MARK)
    ax.plot([], [], "o", color=palette.GREY, markersize=palette.MARK, label="measured")
    ax.axvline(_HARDWARE, color=palette.LIGHT, linewidth=palette.THIN, zorder=0)
    ax.text(
        _HARDWARE * 0.75,
        4700,
        "a computer of 2015\nover one of 1991",
        fontsize=palette.NOTE,
        color=palette.GREY,
        ha="right",
        va="top",
    )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(1, 1e9)
    ax.set_ylim(1, 6000)
    ax.set_title("lags bought by updates")
    ax.set_xlabel("$c$, times the updates")
    ax.set_ylabel("lags bought")


def _average_lines(ax: Axes, results: _Results) -> None:
    shades = palette.shades(len(_RATES))
    for rate, lags, errors in zip(_SAMPLED, results.averaged, results.errors, strict=True):
        colour = shades[_RATES.index(rate)]
        ax.errorbar(
            results.samples,
            lags,
            2 * errors,
            fmt="o",
            color=colour,
            markersize=palette.MARK,
            label=f"$η = {rate:g}$",
        )
        half = lags[0] + _theory(results.samples / results.samples[0], rate) / 2
        ax.plot(results.samples, half, color=colour)
        ax.plot(results.samples, 2 * half - lags[0], color=colour, linestyle=palette.DOTTED)
    for line, label in (("-", "½ ln c / ln(1/η)"), (palette.DOTTED, "ln c / ln(1/η)")):
        ax.plot([], [], color=palette.GREY, linestyle=line, label=palette.typeset(label))
    ax.set_xscale("log")
    ax.set_title("averages buy half as many")
    ax.set_xlabel("sequences in the average")
    ax.set_ylabel("lag still told from noise")
