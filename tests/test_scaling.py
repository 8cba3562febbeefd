"""Diagonally scaled bounds: theorems on random networks, the closed form of a shear, and what κ(S) is for."""

import jax
import numpy as np
import pytest

from rnn_dynamics.cells import ElmanRNN, LeakyRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import gradient_norms
from rnn_dynamics.spectral.diagonal_scaling import _Objective, _perron_units, absolute_radius, scaled_bounds

SHEAR = np.array([[0.9, 1.0], [0.0, 0.9]])


def test_the_shear_meets_its_closed_form():
    """For [[r, c], [0, r]] in units (1, s): s σ₁(c/s)ⁿ with σ₁(q) = (√(4r² + q²) + q)/2, over all s ≥ 1."""
    lags = np.array([0, 1, 2, 5, 9, 30, 100, 1000])
    found = scaled_bounds(SHEAR, lags)
    log_s = np.linspace(0, 12, 120_001)
    q = np.exp(-log_s)
    log_norm = np.log((np.sqrt(4 * 0.81 + q**2) + q) / 2)
    for lag, log in zip(lags, found.log, strict=True):
        best = (log_s + lag * log_norm).min()
        assert best - 1e-6 * (1 + lag) <= log <= best + 1e-7
    every = np.arange(1001)
    envelope = scaled_bounds(SHEAR, every).log
    best = np.array([(log_s[::50] + lag * log_norm[::50]).min() for lag in every])
    assert (envelope <= best + 5e-3).all()


def test_without_the_condition_number_the_bound_is_false():
    """‖A⁹‖₂ ≈ 3.91 where ‖S A S⁻¹‖₂⁹ ≈ .387 for far units."""
    power = np.linalg.norm(np.linalg.matrix_power(SHEAR, 9), 2)
    units = np.diag([1.0, 1e6])
    far = np.linalg.norm(units @ SHEAR @ np.linalg.inv(units), 2) ** 9
    assert power == pytest.approx(3.91, abs=5e-3)
    assert far == pytest.approx(0.387, abs=5e-4)
    assert scaled_bounds(SHEAR, [9.0]).log[0] >= np.log(power)


@pytest.mark.parametrize("seed", range(12))
def test_theorems_hold_on_random_networks(seed):
    rng = np.random.default_rng(seed)
    n = (2, 4, 8)[seed % 3]
    W = rng.normal(size=(n, n)) * 10.0 ** rng.uniform(-2, 2, (n, 1)) * 10.0 ** rng.uniform(-1, 1)
    if seed % 2:
        W = np.triu(W)
    cell = LeakyRNN(W, np.zeros(n), leak=0.3) if seed % 4 == 0 else ElmanRNN(W, rng.normal(size=n))
    path = rollout(cell, rng.normal(size=n), steps=60)
    found = scaled_bounds(W, np.arange(60, -1, -1), leak=0.3 if seed % 4 == 0 else 1.0)
    assert (np.asarray(gradient_norms(path)) <= found.log + 1e-10).all()
    assert (found.log <= found.log_plain + 1e-12).all()
    for lag, log, units, condition, norm in zip(
        found.lags, found.log, found.log_units, found.log_condition, found.norm, strict=True
    ):
        scaled = np.exp(units[:, None]) * W / np.exp(units[None, :])
        assert np.linalg.norm(scaled, 2) == pytest.approx(norm, rel=1e-9)
        rate = 0.7 + 0.3 * norm if seed % 4 == 0 else norm
        assert np.ptp(units) == pytest.approx(condition, abs=1e-9)
        assert condition + lag * np.log(rate) == pytest.approx(log, rel=1e-9, abs=1e-9)


def test_long_lags_of_positive_weights_reach_the_spectral_radius():
    W = np.random.default_rng(3).uniform(0.1, 1, (6, 6)) * np.array([100, 1, 1, 0.01, 1, 1])[:, None]
    found = scaled_bounds(W, [1e6])
    radius = np.abs(np.linalg.eigvals(W)).max()
    assert found.norm[0] == pytest.approx(radius, rel=1e-4)
    assert absolute_radius(W) == pytest.approx(radius)
    signed = W * np.sign(np.random.default_rng(4).normal(size=(6, 6)))
    assert absolute_radius(signed) == pytest.approx(radius)
    assert np.abs(np.linalg.eigvals(signed)).max() <= absolute_radius(signed)
    assert "decades" in repr(found)


def test_degenerate_weights():
    assert np.isneginf(scaled_bounds(np.zeros((2, 2)), [1.0, 5.0]).log).all()
    assert scaled_bounds(np.zeros((2, 2)), [0.0]).log.tolist() == [0.0]
    assert scaled_bounds([[0.5]], [0, 2]).log == pytest.approx([0, 2 * np.log(0.5)])
    nilpotent = scaled_bounds(np.eye(4, k=1), [50.0])
    assert nilpotent.log[0] < -10
    assert scaled_bounds(SHEAR, []).log.shape == (0,)


def test_perron_units_bring_the_norm_of_positive_weights_to_their_spectral_radius():
    W = np.random.default_rng(5).uniform(0.1, 1, (4, 4)) * np.array([50, 1, 1, 0.02])[:, None]
    units = np.exp(_perron_units(W))
    assert units.min() == 1
    radius = np.abs(np.linalg.eigvals(W)).max()
    assert np.linalg.norm(units[:, None] * W / units, 2) == pytest.approx(radius, rel=1e-12)


@pytest.mark.parametrize("leak", [0.25, 1.0])
def test_the_slope_in_the_units_is_that_of_the_value(leak):
    """Central differences of ptp D + n ln((1−α) + α γ ‖e^D W e^−D‖₂), D without ties."""
    rng = np.random.default_rng(1)
    objective = _Objective(rng.normal(size=(4, 4)), 0.7, leak)
    units = np.array([0.3, -0.4, 0.1, 0.9])
    value, slope = objective.with_slope(units, 7.0)
    assert value == pytest.approx(objective.value(units, 7.0), rel=1e-13)
    steps = 1e-5 * np.eye(4)
    measured = [
        (objective.value(units + step, 7.0) - objective.value(units - step, 7.0)) / 2e-5 for step in steps
    ]
    np.testing.assert_allclose(slope, measured, atol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "options", "name"),
    [
        (([[1, 2]], [1]), {}, "W"),
        (([[np.inf]], [1]), {}, "W"),
        (([[1.0]], [-1]), {}, "lags"),
        (([[1.0]], 3), {}, "lags"),
        (([[1.0]], [1]), {"slope_bound": 0}, "slope_bound"),
        (([[1.0]], [1]), {"leak": 1.5}, "leak"),
    ],
)
def test_wrong_arguments_are_named(arguments, options, name):
    with pytest.raises((TypeError, ValueError), match=rf"^{name}:"):
        scaled_bounds(*arguments, **options)
    with pytest.raises(TypeError, match=r"^W:"):
        jax.jit(lambda W: scaled_bounds(W, [1.0]).log)(np.eye(2))
