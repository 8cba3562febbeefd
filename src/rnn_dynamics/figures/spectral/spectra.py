"""Every singular value along time, the atlas over radius and bias, transients, and joint spectral radii."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from rnn_dynamics import plots, spectral
from rnn_dynamics.cells import ElmanRNN, PreActivationRNN, random_rnn
from rnn_dynamics.cells.initializers import non_normal, orthogonal
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim, number
from rnn_dynamics.gradients.singular_values import SpectraByLag, spectra_by_lag
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.plots import palette
from rnn_dynamics.spectral import RadiusSweep
from rnn_dynamics.spectral.bounds import product_bounds
from rnn_dynamics.spectral.joint_radius import JointRadius, joint_spectral_radius, slope_radius
from rnn_dynamics.spectral.mean_field import Edge, edge_of_chaos
from rnn_dynamics.spectral.nonnormal import power_norms, pseudospectrum

_WIKIPEDIA = "arXiv 1211.5063 v2; Wikipedia"


def singular_values(*, quick: bool = False) -> Reproduction:
    """The distribution of all singular values of ∂x_T/∂x_k against the lag, for three networks."""
    units, steps = 32, 100
    start = np.full(units, 0.1)
    turn = 1.0 * np.asarray(orthogonal(jax.random.key(2), units))
    cells = {
        "tanh, Gaussian weights, ρ = 1.3": random_rnn(jax.random.key(0), units, spectral_radius=1.3),
        "tanh, orthogonal weights, s₁ = 1": ElmanRNN(turn, np.zeros(units)),
        "the first with biases N(0, 1)": random_rnn(jax.random.key(0), units, spectral_radius=1.3, bias=1.0),
    }
    lags = np.unique(np.linspace(0, steps, 11 if quick else 34).round().astype(int))
    found = {name: spectra_by_lag(rollout(cell, start, steps=steps), lags) for name, cell in cells.items()}
    resting = ElmanRNN(0.9 * turn, np.zeros(units))  # at x = 0, where every slope is 1
    isometry = spectra_by_lag(rollout(resting, 0 * start, steps=steps), lags)
    return Reproduction(functools.partial(_bands, found), _spectrum_rows(found, isometry, steps))


def _bands(found: dict[str, SpectraByLag]) -> Figure:
    figure = Figure(figsize=(palette.FULL, 3.2))
    axes = figure.subplots(1, 3)
    gaussian, orthogonal_weights, with_biases = found.values()
    titles = (r"Gaussian $W$, $ρ = 1.3$", "the same with biases $N(0, 1)$", "orthogonal $W$ (own scale)")
    for ax, spectra, title in zip(axes, (gaussian, with_biases, orthogonal_weights), titles, strict=True):
        plots.singular_bands(spectra, ax, legend=False)
        ax.set_title(title)
    lowest = min(ax.get_ylim()[0] for ax in axes[:2])
    for ax in axes[:2]:  # one range, so that slopes compare
        ax.set_ylim(lowest, -0.05 * lowest)
    plots.panel_labels(axes)
    plots.shared_legend(axes, columns=6)
    return figure


def _spectrum_rows(
    found: dict[str, SpectraByLag], isometry: SpectraByLag, steps: int
) -> tuple[ReportRow, ...]:
    spread = float(np.std(np.asarray(isometry.log)[-1]))
    first = next(iter(found.values()))
    decades = (np.asarray(first.log)[-1] / math.log(10))[[0, -1]]
    resolved = float(np.mean(np.asarray(first.spectra.status) == int(Status.RESOLVED)))
    return (
        number(
            f"mean of ln σ_i of (0.9 Q)^{steps}, Q orthogonal, a step",
            "dynamical isometry: all exponents ln g",
            f"{math.log(0.9):.6f}",
            float(np.mean(np.asarray(isometry.log)[-1])) / steps,
        ),
        claim(
            f"all singular values of (0.9 Q)^{steps} equal",
            "dynamical isometry",
            "spread 0",
            f"{spread:.1e}",
            found=spread < 1e-10,
        ),
        claim(
            f"singular values of ∂x_T/∂x_0, 32 tanh units, ρ = 1.3, T = {steps}",
            "product SVD",
            "each to its own digits",
            f"10^{decades[0]:.1f} to 10^{decades[1]:.1f}, {100 * resolved:.0f} % resolved",
            found=decades[0] - decades[1] > 20 and resolved == 1,
            note="An explicit product and an SVD keep some 16 decades.",
        ),
    )


def radius_atlas(*, quick: bool = False) -> Reproduction:
    """Norm, violation of the claim, looseness of the theorem over radius and bias: random tanh networks."""
    units, points, seeds, steps = (16, 8, 2, 60) if quick else (64, 20, 2, 200)
    lags = [n for n in (1, 2, 3, 5, 8, 14, 30, 60, 200) if n <= steps]
    biases = np.linspace(0, 1.5, points)
    swept = spectral.radius_sweep(
        np.linspace(0.2, 2.0, points), biases=biases, seeds=range(seeds), n=units, steps=steps, lags=lags
    )
    edge = edge_of_chaos(biases)
    return Reproduction(functools.partial(_maps, swept, edge, units), _atlas_rows(swept, edge))


def _maps(swept: RadiusSweep, edge: Edge, units: int) -> Figure:
    figure = Figure(figsize=(palette.FULL, 3.5))
    titles = {
        "rate": f"norm, {units} units, $T = {swept.steps}$",
        "excess": "the claim " + palette.typeset("(γ ρ)ⁿ") + " fails",
        "gap": "the bound " + palette.typeset("(γ s₁)ⁿ") + " is loose",
    }
    axes = figure.subplots(1, 3, sharey=True)
    for ax, (show, title) in zip(axes, titles.items(), strict=True):
        plots.radius_atlas(swept, ax, show=show, edge=edge)
        ax.set_title(title)
        if ax is not axes[0]:
            ax.set_ylabel("")
    plots.panel_labels(axes)
    plots.shared_legend(axes, columns=3)
    return figure


def _atlas_rows(swept: RadiusSweep, edge: Edge) -> tuple[ReportRow, ...]:
    radius, bias = swept.along("radius"), swept.along("bias")
    below = np.broadcast_to(radius < 1, swept.violated.shape)
    rounding = 1e-9
    broken = int((swept.log_norms > swept.log_norm_bound + rounding).sum())
    broken += int((swept.log_norms > swept.sweep["log_absolute"] + rounding).sum())
    saturated = np.broadcast_to((radius > 1.2) & (bias > 1), swept.rate.shape)
    return (
        claim(
            f"(γ ρ(W))ⁿ bounds ‖∂x_T/∂x_k‖₂, {int(below.sum())} random networks with ρ < 1",
            _WIKIPEDIA,
            "at every lag",
            f"passed in {100 * swept.violated[below].mean():.0f} %, by up to 10^{swept.excess[below].max():.2f}",
            found=bool(swept.violated[below].any()),
            wrong=True,
            note="The norm passes it at short lags already, where W is not normal.",
        ),
        claim(
            f"(γ s₁(W))ⁿ and √(‖Mⁿ‖₁‖Mⁿ‖_∞) bound it, {swept.violated.size} networks",
            "theorems",
            "at every lag",
            f"passed at {broken} lags",
            found=broken == 0,
        ),
        claim(
            "ρ(W) > 1 makes gradients explode: networks with ρ > 1.2 and biases above 1",
            "folklore",
            "explodes",
            f"the norm falls in {100 * (swept.rate[saturated] < 0).mean():.0f} % of them",
            found=bool((swept.rate[saturated] < 0).any()),
            wrong=True,
            note="Saturated units have slopes well below 1.",
        ),
        number(
            "mean-field edge of chaos without bias, gain",
            "Sompolinsky et al. 1988",
            "1.0",
            edge.gain[0],
        ),
    )


def non_normal_growth(*, quick: bool = False) -> Reproduction:
    """Pseudospectrum, powers and gradients of one non-normal W whose spectral radius is .9."""
    units, steps = 24, 60
    W = np.asarray(non_normal(jax.random.key(1), units, gain=0.9, departure=2.0))
    grid = np.linspace(-1.8, 1.8, 41 if quick else 121)
    near, powers = pseudospectrum(W, grid, grid), power_norms(W, steps)
    small = jnp.asarray(1e-3 * np.random.default_rng(0).normal(size=units))
    bounds = product_bounds(
        rollout(PreActivationRNN(W, np.zeros(units), activation="tanh"), small, steps=steps)
    )
    about, peak = powers.about, math.exp(powers.log_peak)
    rows = (
        claim(
            "ρ(W) = .9 bounds ‖Wᵏ‖₂ by .9ᵏ, 24 units of Henrici departure "
            f"{about.departure:.1f}, eigenvalue condition up to {about.conditions.max():.0f}",
            _WIKIPEDIA,
            "at every k",
            f"the norm rises to {peak:.0f} at k = {int(powers.log_norms.argmax())}",
            found=peak > 1,
            wrong=True,
            note="ρᵏ is below the norm for every k; pseudospectra outside the unit circle make it grow first.",
        ),
        claim(
            "K ≤ sup ‖Wᵏ‖₂ ≤ e n K for that W",
            "Kreiss matrix theorem",
            f"{about.kreiss_constant:.2f} ≤ sup ≤ {math.e * units * about.kreiss_constant:.0f}",
            f"{peak:.2f}",
            found=about.kreiss_constant <= peak * (1 + 1e-9) <= math.e * units * about.kreiss_constant,
        ),
    )
    return Reproduction(functools.partial(_transient, near, powers, bounds), rows)


def _transient(near: Any, powers: Any, bounds: Any) -> Figure:
    figure = Figure(figsize=(palette.FULL, 4.4))
    axes = figure.subplots(1, 3)
    plots.pseudospectrum(near, axes[0])
    axes[0].set_title(palette.typeset("s_min(z − W)") + f", $ρ(W) = {powers.about.spectral_radius:.2g}$")
    plots.power_norms(powers, axes[1])
    axes[1].set_title("powers of $W$")
    plots.norms_against_lag(bounds, axes[2])
    axes[2].set_title("gradients, " + palette.typeset("x⁺ = W tanh x"))
    plots.panel_labels(axes)
    plots.shared_legend(axes, columns=4)
    return figure


_GOLDEN = [[[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]]
_NILPOTENT = [[8.0, 8.0], [-8.0, -8.0]]
_TURNING = [[0.9, 1.0], [-0.6, 0.9]]


def joint_radius(*, quick: bool = False) -> Reproduction:
    """The interval for the joint spectral radius closing with the length of the products, four sets."""
    pair = [_GOLDEN[0], (0.7 * np.array(_GOLDEN[1])).tolist()]
    damped = [[0.0, 1.0], [-0.5, 0.9]]
    W = np.asarray(random_rnn(jax.random.key(1), 3, spectral_radius=0.95).W)
    found = {
        "{[[1, 1], [0, 1]], .7 [[1, 0], [1, 1]]}": joint_spectral_radius(pair),
        "slopes in [0, 1], $ρ(W) = 0$": slope_radius(_NILPOTENT),
        "slopes in [0, 1], 3 units, $ρ(W) = 0.95$": slope_radius(W),
        "slopes in [0, 1], $s_1(W) = 1.38$": slope_radius(damped),
    }
    return Reproduction(
        functools.partial(_intervals, found), _interval_rows(W, damped, list(found.values())[1:])
    )


def _interval_rows(W: np.ndarray, damped: list, found: list[JointRadius]) -> tuple[ReportRow, ...]:
    golden, turning = joint_spectral_radius(_GOLDEN), slope_radius(_TURNING)
    nilpotent, units, vanishing = found
    pair, phi = "{[[1, 1], [0, 1]], [[1, 0], [1, 1]]}", "1.6180339887"
    norm, largest = float(np.linalg.norm(_TURNING, 2)), float(np.linalg.norm(damped, 2))
    return (
        number(f"joint spectral radius of {pair}, lower end", "golden ratio", phi, golden.lower, within=1e-9),
        number(f"joint spectral radius of {pair}, upper end", "golden ratio", phi, golden.upper, within=1e-9),
        number(
            "joint spectral radius of {W D, 0 ≤ D ≤ 1}, W = [[8, 8], [−8, −8]], upper end",
            "closed form",
            "8",
            nilpotent.upper,
            within=1e-8,
        ),
        claim(
            "ρ(W) < 1 makes all gradients of slopes in [0, 1] vanish: W = [[8, 8], [−8, −8]], and 3 random units",
            _WIKIPEDIA,
            "vanishes",
            f"joint spectral radii {nilpotent.lower:.6g} and {units.lower:.6g}: each {units.conclusive}",
            found=nilpotent.conclusive == units.conclusive == "can explode",
            wrong=True,
            note="Slopes that differ from unit to unit make other matrices than γ W: some product of them grows.",
        ),
        claim(
            "γ s₁(W) > 1 is not sufficient: W = [[0, 1], [−.5, .9]], slopes in [0, 1]",
            "joint spectral radius below 1",
            "vanishes",
            f"s₁ = {largest:.2f}, joint spectral radius {vanishing.upper:.6g}: it {vanishing.conclusive}",
            found=vanishing.conclusive == "vanishes" and largest > 1,
        ),
        claim(
            "joint spectral radius of {W D, 0 ≤ D ≤ 1}, W = [[.9, 1], [−.6, .9]]",
            "between max ρ(P)^1/k and max ‖P‖^1/k",
            "an interval, not a number",
            f"[{turning.lower:.6f}, {turning.upper:.6f}], inside ‖W‖₂ = {norm:.4f}",
            found=turning.lower <= turning.upper <= norm * (1 + 1e-12),
        ),
    )


def _intervals(found: dict[str, JointRadius]) -> Figure:
    figure = Figure(figsize=(palette.FULL, 4.8))
    axes = figure.subplots(2, 2).ravel()
    for ax, (name, interval) in zip(axes, found.items(), strict=True):
        plots.joint_radius(interval, ax, legend=False)
        ends = ", exact" if interval.exact else f" to {interval.upper:.5g}"
        ax.set_title(f"{name}\n{interval.lower:.5g}{ends}: {interval.conclusive}")
        low, high = ax.get_ylim()
        if 0.8 < low < 1.2:
            line = {"color": palette.VERMILION, "linestyle": palette.DOTTED}
            ax.axhline(1, label="1: above it a product grows", **line)
            ax.set_ylim(min(low, 0.98), max(high, 1.02))
    plots.panel_labels(axes)
    plots.shared_legend(axes, columns=3)
    return figure
