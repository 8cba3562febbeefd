"""Exponents of random products and of random networks, against their closed forms."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from rnn_dynamics.cells import PreActivationRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.figures.report import ReportRow, claim, number
from rnn_dynamics.gradients.jacobians import pushforward, step_jacobians
from rnn_dynamics.spectral.mean_field import mean_field

_EULER = 0.5772156649015329
_SIZE, _FACTORS = 4, 3000
_NETWORK, _TIME = 400, 400


def random_rows() -> tuple[ReportRow, ...]:
    """Newman's exponents of Gaussian products, and the mean-field exponent of a random tanh network."""
    return (*_newman_rows(), *_mean_field_rows())


def _digamma(twice: int) -> float:
    """ψ(twice/2), from ψ(½) = −γ − 2 ln 2, ψ(1) = −γ and ψ(x+1) = ψ(x) + 1/x."""
    x, value = (0.5, -_EULER - 2 * math.log(2)) if twice % 2 else (1.0, -_EULER)
    while x < twice / 2 - 0.25:
        value, x = value + 1 / x, x + 1
    return value


def _times_input(x: jax.Array, A: jax.Array) -> jax.Array:
    return jnp.matmul(A, x, precision=jax.lax.Precision.HIGHEST)


def _newman_rows() -> list[ReportRow]:
    """x ← A_t x with a fresh Gaussian A_t as the input of each step; exponents by QR of its Jacobians."""
    factors = np.random.default_rng(0).normal(size=(_FACTORS, _SIZE, _SIZE))
    run = rollout(jax.tree_util.Partial(_times_input), np.zeros(_SIZE), factors)
    basis, logs = np.eye(_SIZE), []
    for factor in np.asarray(step_jacobians(run)):
        basis, upper = np.linalg.qr(np.matmul(factor, basis))
        logs.append(np.log(np.abs(np.diagonal(upper))))
    means = np.mean(logs, axis=0)
    errors = np.std(logs, axis=0) / math.sqrt(_FACTORS)
    return [
        number(
            f"λ_{i} of products of {_SIZE}×{_SIZE} Gaussian matrices, {_FACTORS} factors",
            "Newman 1986, ½(ln 2 + ψ((N−i+1)/2))",
            f"{(math.log(2) + _digamma(_SIZE - i + 1)) / 2:.5f}",
            means[i - 1],
            within=4 * errors[i - 1],
            note=f"Standard error {errors[i - 1]:.3f}.",
        )
        for i in range(1, _SIZE + 1)
    ]


def _mean_field_rows() -> list[ReportRow]:
    rng = np.random.default_rng(2)
    J = rng.normal(size=(_NETWORK, _NETWORK)) / math.sqrt(_NETWORK)
    start, tangent = rng.normal(size=(2, _NETWORK))
    found = {}
    for gain in (0.8, 1.5):
        run = rollout(PreActivationRNN(gain * J, np.zeros(_NETWORK), activation="tanh"), start, steps=_TIME)
        logs = np.asarray(pushforward(run, tangent).norm().log())
        found[gain] = float(logs[-1] - logs[_TIME // 4]) / (_TIME - _TIME // 4)
    predicted = {gain: mean_field(gain).exponent for gain in found}
    rows = [
        number(
            f"λ₁ of x′ = J tanh x, g = {gain:g}, N = {_NETWORK}",
            "Sompolinsky et al. 1988, ½ ln χ",
            f"{predicted[gain]:.4f}",
            found[gain],
            within=0.05,
            note="Finite size: the bias is large below N ≈ 1000.",
        )
        for gain in found
    ]
    rows.append(
        claim(
            "that network is chaotic for g > 1",
            "Sompolinsky et al. 1988",
            "g > 1",
            f"λ₁ = {found[0.8]:.3f} at g = .8, {found[1.5]:.3f} at g = 1.5",
            found=found[0.8] < 0 < found[1.5],
        )
    )
    return rows
