"""Lyapunov exponents of random tanh networks against their gain, and of maps whose exponents are known."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_dynamics import plots
from rnn_dynamics.cells import DoyaNeuron, PreActivationRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.dynamics.lyapunov import LyapunovSpectrum, finite_time_exponents, lyapunov_spectrum
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim, number
from rnn_dynamics.plots import palette
from rnn_dynamics.spectral.mean_field import mean_field

_TRANSIENT = 100
_SHOWN = (0.8, 1.2, 2.0, 3.0)


class _Swept(NamedTuple):
    """Largest exponent and Kaplan–Yorke dimension over gains and seeds, shape (gains, seeds), of one size."""

    units: int
    largest: np.ndarray
    dimension: np.ndarray


def _draws(units: int, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """J at g = 1 and a start for each seed."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(seeds, units, units)) / math.sqrt(units), rng.normal(size=(seeds, units))


@functools.partial(jax.jit, static_argnums=(3, 4))
def _spectra(
    gains: jax.Array, J: jax.Array, starts: jax.Array, steps: int, exponents: int
) -> LyapunovSpectrum:
    """Spectra for every gain and draw, QR every second step: at these gains that is safe (``rounding`` < 1e-9)."""

    def one(gain: jax.Array, J: jax.Array, start: jax.Array) -> LyapunovSpectrum:
        cell = PreActivationRNN(gain * J, jnp.zeros_like(start), activation="tanh")
        run = rollout(cell, start, steps=steps)
        return lyapunov_spectrum(run, exponents=exponents, start=_TRANSIENT, interval=2, blocks=10)

    over_draws = jax.vmap(one, in_axes=(None, 0, 0))
    return jax.vmap(over_draws, in_axes=(0, None, None))(gains, J, starts)


def _sweep(units: int, gains: np.ndarray, seeds: int, steps: int, exponents: int) -> LyapunovSpectrum:
    found = _spectra(jnp.asarray(gains), *map(jnp.asarray, _draws(units, seeds)), steps, exponents)
    return jax.tree.map(np.asarray, found)


def _swept(units: int, found: LyapunovSpectrum) -> _Swept:
    return _Swept(units, np.asarray(found.exponents[..., 0]), np.asarray(found.kaplan_yorke))


def random_tanh_exponents(*, quick: bool = False) -> Reproduction:
    """λ₁ and the dimension of the attractor of x⁺ = J tanh x against g, and full spectra at some g.

    Quick: one size of network, whose full spectra are those of the sweep.
    """
    if quick:
        gains, units = np.array([0.6, *_SHOWN]), 32
        whole = _sweep(units, gains, 2, 300, units)
        swept, place = [_swept(units, whole)], 1
    else:
        gains, units = np.linspace(0.6, 3.0, 13), 64
        # The leading third of the spectrum: the dimension of these attractors stays below it.
        swept = [_swept(size, _sweep(size, gains, 6, 500, -(-size // 3))) for size in (16, units)]
        whole, place = _sweep(units, np.array(_SHOWN), 1, 500, units), 0
    each = {g: jax.tree.map(lambda leaf, i=i: leaf[i + place, 0], whole) for i, g in enumerate(_SHOWN)}
    rows = (*_map_rows(), *_network_rows(swept[-1], gains, each))
    return Reproduction(functools.partial(_picture, gains, swept, each), rows)


def _picture(gains: np.ndarray, swept: list[_Swept], spectra: dict[float, LyapunovSpectrum]) -> Figure:
    figure = Figure(figsize=(palette.FULL, 3.1))
    first, second, third = figure.subplots(1, 3)
    for ax in (first, second):
        ax.axvline(1, color=palette.GREY, linewidth=palette.THIN, linestyle=palette.DOTTED)
        ax.set_xlabel("gain $g$")
    first.axhline(0, color=palette.LIGHT, linewidth=palette.THIN, zorder=0)
    for one, colour in zip(swept, palette.shades(len(swept)), strict=True):
        _band(first, gains, one.largest, colour, f"$N = {one.units}$")
        _band(second, gains, one.dimension / one.units, colour, f"$N = {one.units}$")
    dense = np.linspace(gains[0], gains[-1], 25)
    first.plot(
        dense,
        [mean_field(g).exponent for g in dense],
        color=palette.ORANGE,
        linestyle=palette.DASHED,
        label=f"mean field, {palette.typeset('½ ln χ')}",
    )
    first.set_ylabel("largest exponent $λ_1$ (nats a step)")
    first.set_title(r"$x^+ = J\,\tanh x$, $J \sim N(0, g^2/N)$")
    second.set_ylabel("Kaplan–Yorke dimension / $N$")
    second.set_title("share of directions it fills")
    first.legend(loc="lower right")
    for (g, one), colour, mark in zip(spectra.items(), palette.SERIES, "osD^", strict=False):
        look = {"color": colour, "marker": mark}
        plots.lyapunov_spectrum(one, third, inset=False, label=f"$g = {g:g}$", **look)
    third.set_title(f"spectra, $N = {swept[-1].units}$ (± 2 s.e.)")
    third.legend(loc="lower left")
    plots.panel_labels((first, second, third))
    return figure


def _band(ax: Axes, gains: np.ndarray, values: np.ndarray, colour: Any, label: str) -> None:
    """Mean over the seeds, and the range of them as a band."""
    ax.fill_between(gains, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.2, linewidth=0)
    ax.plot(gains, values.mean(axis=1), color=colour, marker="o", markersize=palette.DOT, label=label)


def _logistic(x: jax.Array, _: None) -> jax.Array:
    return 4 * x * (1 - x)


def _henon(x: jax.Array, _: None) -> jax.Array:
    return jnp.stack([1 - 1.4 * jnp.square(x[0]) + x[1], 0.3 * x[0]])


def _map_rows() -> list[ReportRow]:
    steps = 20_000
    logistic = lyapunov_spectrum(rollout(Partial(_logistic), 0.3, steps=steps))
    henon = lyapunov_spectrum(rollout(Partial(_henon), np.array([0.1, 0.1]), steps=steps), interval=4)
    neuron = finite_time_exponents(
        DoyaNeuron(-100.0, 90.0, 0.5), 0.3, steps=steps, discard=1000, state_ndim=0
    )
    henon_error = float(np.asarray(henon.standard_errors)[0])
    exact = float(np.asarray(logistic.standard_errors)[0])
    return [
        number(
            f"λ of the logistic map, r = 4, {steps} steps",
            "ln 2",
            f"{math.log(2):.4f}",
            logistic.exponents[0],
            within=4 * exact,
            note=f"Standard error {exact:.4f}.",
        ),
        number(
            "λ₁ + λ₂ of the Hénon map",
            "ln .3, its determinant",
            f"{math.log(0.3):.10f}",
            np.asarray(henon.exponents).sum(),
        ),
        number(
            "λ₁ of the Hénon map (1.4, .3)",
            "Sprott 2003",
            "0.41922",
            np.asarray(henon.exponents)[0],
            within=4 * henon_error,
            note=f"Standard error {henon_error:.4f}.",
        ),
        number(
            "λ of one neuron, ε = .5, w = −100, b = 90", "Doya's neuron", "0.42", neuron.largest, within=0.01
        ),
    ]


def _network_rows(
    largest: _Swept, gains: np.ndarray, spectra: dict[float, LyapunovSpectrum]
) -> list[ReportRow]:
    low, high = gains < 0.95, gains > 1.5
    chaotic, orderly = largest.largest[high].mean(axis=1).min(), largest.largest[low].mean(axis=1).max()
    share = float(spectra[3.0].kaplan_yorke) / largest.units
    return [
        claim(
            f"N = {largest.units}: chaos at high gain, rest at low",
            "Sompolinsky et al. 1988",
            "λ₁ changes sign at g = 1 as N → ∞",
            f"λ₁ ≤ {orderly:.3f} for g < .95, ≥ {chaotic:.3f} for g > 1.5, mean of seeds",
            found=orderly < 0 < chaotic,
        ),
        claim(
            f"the attractor fills a small share of the directions, g = 3, N = {largest.units}",
            "Engelken et al. 2023",
            "well below N",
            f"Kaplan–Yorke dimension {100 * share:.0f} % of N",
            found=0 < share < 0.5,
        ),
    ]
