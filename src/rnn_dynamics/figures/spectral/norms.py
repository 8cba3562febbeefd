"""‖∂x_T/∂x_k‖ against the lag for several spectral radii, beside every bound."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from rnn_dynamics import plots, spectral
from rnn_dynamics.cells import ElmanRNN, LeakyRNN, PreActivationRNN
from rnn_dynamics.cells.initializers import gaussian, orthogonal
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim
from rnn_dynamics.figures.spectral.random_facts import random_rows
from rnn_dynamics.gradients.jacobians import gradient_norms
from rnn_dynamics.numerics.eigen import spectral_norm, spectral_radius
from rnn_dynamics.plots import palette
from rnn_dynamics.spectral.bounds import Bounds, product_bounds

_UNITS, _STEPS = 32, 100
_RADII = (0.5, 0.95, 1.1, 1.5)
_SOURCE = "Pascanu et al. 2013, section 2"


def norms_against_lag(*, quick: bool = False) -> Reproduction:
    """One random tanh network at four spectral radii, the leaky form, and many networks over the radius."""
    W = np.asarray(gaussian(jax.random.key(3), _UNITS))
    W = W / float(spectral_radius(W))
    start = jnp.asarray(np.random.default_rng(0).normal(size=_UNITS) / math.sqrt(_UNITS))
    runs = [rollout(ElmanRNN(radius * W, np.zeros(_UNITS)), start, steps=_STEPS) for radius in _RADII]
    found = [product_bounds(run) for run in runs]
    leaky = product_bounds(rollout(LeakyRNN(0.95 * W, np.zeros(_UNITS), leak=0.3), start, steps=_STEPS))
    seeds = range(2 if quick else 8)
    swept = spectral.radius_sweep(
        np.linspace(0.2, 1.8, 5 if quick else 13), biases=(0.0, 0.5), seeds=seeds, n=_UNITS, steps=_STEPS
    )
    rows = (*_theorem_rows([*found, leaky]), *_below_rows(found[2]), *_sufficient_rows())
    return Reproduction(functools.partial(_picture, found, leaky, swept), (*rows, *random_rows()))


def _picture(found: list[Bounds], leaky: Bounds, swept: spectral.RadiusSweep) -> Figure:
    figure = Figure(figsize=(palette.FULL, 6.0))
    axes = figure.subplots(2, 3).ravel()
    for ax, bounds, radius in zip(axes, found, _RADII, strict=False):
        plots.norms_against_lag(bounds, ax)
        ax.set_title(f"tanh, $ρ(W) = {radius:g}$")
    plots.norms_against_lag(leaky, axes[4])
    axes[4].set_title("leaky, $α = 0.3$, $ρ(W) = 0.95$")
    plots.radius_sweep(swept, axes[5])
    for line in axes[5].lines[-3:-1]:  # the bound and the claim look as in the other panels
        line.set_label("_")
    axes[5].set_title(f"{swept.rate.size} networks of {_UNITS} units")
    for ax in axes[:5]:  # one range, so that slopes compare
        ax.set_ylim(-35, 40)
    plots.panel_labels(axes)
    plots.shared_legend(axes, columns=3)
    return figure


def _theorem_rows(found: list[Bounds]) -> list[ReportRow]:
    """No theorem is violated at any lag; the claim with the radius is."""
    rows = []
    names = {
        "steps": "Π‖J_i‖₂ bounds ‖∂x_T/∂x_k‖₂",
        "norm": "(γ s₁(W))ⁿ, leaky ((1−ε) + ε γ s₁)ⁿ, bounds ‖∂x_T/∂x_k‖₂",
        "scaled": "κ(S) (γ‖S W S⁻¹‖₂)ⁿ, the best diagonal S at each lag, bounds ‖∂x_T/∂x_k‖₂",
        "absolute": "√(‖Mⁿ‖₁‖Mⁿ‖_∞), M = γ|W|, bounds ‖∂x_T/∂x_k‖₂",
    }
    for name, quantity in names.items():
        violated = sum(int(bounds[name].violated.sum()) for bounds in found)
        looseness = ", ".join(f"{bounds[name].tightness:.2g}" for bounds in found)
        rows.append(
            claim(
                f"{quantity}, 5 networks × 100 lags",
                _SOURCE,
                "at every lag",
                f"violated at {violated} lags",
                found=violated == 0,
                note=f"Loose by {looseness} decades a step.",
            )
        )
    violated = [int(bounds["radius"].violated.sum()) for bounds in found]
    rows.append(
        claim(
            "(γ ρ(W))ⁿ bounds ‖∂x_T/∂x_k‖₂, the same networks",
            "arXiv 1211.5063 v2; Wikipedia",
            "at every lag",
            f"violated at {', '.join(map(str, violated))} of 100 lags",
            found=any(violated),
            wrong=True,
            note="The spectral radius stands where the largest singular value belongs.",
        )
    )
    vanishing, exploding = found[1], found[3]
    s = [float(bounds.norm or 0) for bounds in (vanishing, exploding)]
    last = [float(np.asarray(bounds.log_norms)[0]) for bounds in (vanishing, exploding)]
    rows.append(
        claim(
            "γ s₁(W) > 1 is necessary for exploding, not sufficient",
            _SOURCE,
            "necessary",
            f"s₁ = {s[0]:.2f}: 10^{last[0] / math.log(10):.0f}; "
            f"s₁ = {s[1]:.2f}: 10^{last[1] / math.log(10):.0f}",
            found=s[0] > 1 and last[0] < 0 < last[1],
        )
    )
    return rows


def _below_rows(bounds: Bounds) -> list[ReportRow]:
    """From below: Π s_min(J_i) and |det Π J_i|^(1/dim)."""
    rows = []
    for entry in (bounds["smallest"], bounds["volume"]):
        at_last, norm = (log[0] / math.log(10) for log in (entry.log, np.asarray(bounds.log_norms)))
        rows.append(
            claim(
                f"{entry.formula} ≤ ‖∂x_T/∂x_k‖₂, ρ = {_RADII[2]:g}, 100 lags",
                "singular values",
                "at every lag",
                f"10^{at_last:.0f} ≤ 10^{norm:.1f} at lag 100",
                found=not entry.violated.any(),
            )
        )
    return rows


def _sufficient_rows() -> list[ReportRow]:
    """γ s₁ < 1 suffices to vanish; γ ρ(|W|) < 1 does so asymptotically; g·orthogonal: λ = ln g."""
    W = np.asarray(orthogonal(jax.random.key(1), _UNITS))
    linear = PreActivationRNN(0.9 * W, np.zeros(_UNITS), activation="linear")
    run = rollout(linear, np.zeros(_UNITS), steps=_STEPS)
    decay = float(np.asarray(gradient_norms(run))[0]) / _STEPS
    upper = np.triu(np.full((_UNITS, _UNITS), 0.5), 1) + 0.5 * np.eye(_UNITS)
    signs = np.where(np.random.default_rng(1).random((_UNITS, _UNITS)) < 0.5, -1.0, 1.0)
    entrywise = upper * signs
    small = rollout(ElmanRNN(entrywise, np.zeros(_UNITS)), np.full(_UNITS, 0.01), steps=_STEPS)
    norms = np.asarray(gradient_norms(small))
    radius = float(np.abs(np.linalg.eigvals(np.abs(entrywise))).max())
    norm = float(spectral_norm(entrywise))
    return [
        claim(
            "‖(0.9 Q)¹⁰⁰‖₂, Q orthogonal: exponents all ln .9, γ s₁ = .9 < 1 suffices to vanish",
            _SOURCE,
            f"{math.log(0.9):.6f} a step",
            f"{decay:.6f} a step",
            found=abs(decay - math.log(0.9)) < 1e-10,
        ),
        claim(
            "γ ρ(|W|) < 1 suffices asymptotically",
            "non-negative matrices",
            "vanishes although γ s₁(W) > 1",
            f"ρ(|W|) = {radius:.2f}, s₁ = {norm:.2f}: peak 10^{norms.max() / math.log(10):.1f}, "
            f"lag 100 10^{norms[0] / math.log(10):.1f}",
            found=radius < 1 < norm and norms[0] < norms[len(norms) // 2],
        ),
    ]
