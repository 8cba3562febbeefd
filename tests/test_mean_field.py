"""Mean-field theory of random networks: closed forms, limits, quadrature by mpmath, a large network."""

import math

import mpmath
import numpy as np
import pytest
from scipy import optimize

from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.spectral.mean_field import edge_of_chaos, mean_field


def gaussian_mean(function):
    """E f(z), z standard normal."""
    total = mpmath.quad(lambda z: function(z) * mpmath.exp(-(z**2) / 2), [-12, -4, 0, 4, 12])
    return total / mpmath.sqrt(2 * mpmath.pi)


@pytest.mark.parametrize(("gain", "bias", "spread"), [(1.5, 0.0, 0.0), (2.5, 0.3, 0.0), (0.7, -0.8, 0.5)])
def test_tanh_solves_the_equations_by_quadrature(gain, bias, spread):
    found = mean_field(gain, bias=bias, bias_std=spread)
    root = mpmath.sqrt(found.variance)
    q = gain**2 * gaussian_mean(lambda z: mpmath.tanh(bias + root * z) ** 2) + spread**2
    chi = gain**2 * gaussian_mean(lambda z: mpmath.sech(bias + root * z) ** 4)
    assert found.variance == pytest.approx(float(q), rel=1e-9)
    assert found.susceptibility == pytest.approx(float(chi), rel=1e-9)
    assert found.exponent == pytest.approx(float(mpmath.log(chi) / 2), rel=1e-9)
    assert found.status == Status.CONVERGED


def test_at_rest_and_linear_units():
    assert mean_field(0.8).exponent == pytest.approx(math.log(0.8), rel=1e-12)
    assert mean_field(0.8).variance == pytest.approx(0, abs=1e-12)
    linear = mean_field(0.6, bias=2.0, bias_std=0.1, activation="linear")
    # q = g² (q + b²) + σ²
    assert linear.variance == pytest.approx((0.36 * 4 + 0.01) / 0.64, rel=1e-9)
    assert linear.susceptibility == pytest.approx(0.36, rel=1e-9)
    silent = mean_field(0.0)
    assert silent.variance == silent.susceptibility == 0
    assert silent.exponent == -math.inf


def test_what_grows_without_limit_is_labelled():
    found = mean_field(1.5, bias=0.5, activation="relu")
    assert found.status == Status.DIVERGED
    assert math.isinf(found.variance)
    assert math.isnan(found.exponent)
    assert mean_field(1.4, bias=0.5, activation="relu").status == Status.CONVERGED


def test_edges():
    """tanh: 1 at no bias (Sompolinsky); ReLU: √2 (He); a step of the susceptibility through 1 elsewhere."""
    assert edge_of_chaos([0.0]).gain[0] == pytest.approx(1, rel=1e-9)
    assert edge_of_chaos([0.0], activation="relu").gain[0] == pytest.approx(math.sqrt(2), rel=1e-9)
    assert edge_of_chaos([0.0], activation="linear").gain[0] == pytest.approx(1, rel=1e-9)
    for activation, bias, spread in (("tanh", 0.7, 0.0), ("logistic", -1.0, 0.0), ("tanh", 0.2, 0.4)):
        edge = edge_of_chaos([bias], activation=activation, bias_std=spread)
        assert edge.status[0] == int(Status.CONVERGED)
        below, above = (
            mean_field(edge.gain[0] * side, bias=bias, bias_std=spread, activation=activation).susceptibility
            for side in (1 - 1e-6, 1 + 1e-6)
        )
        assert below < 1 < above
    gains = edge_of_chaos(np.linspace(0, 2, 9)).gain
    assert (np.diff(gains) > 0).all()


def test_an_edge_out_of_reach_is_labelled():
    edge = edge_of_chaos([0.0, 1.0], largest_gain=0.5)
    assert np.isnan(edge.gain).all()
    assert (edge.status == int(Status.UNDECIDED)).all()
    assert edge_of_chaos([]).gain.shape == (0,)


def test_a_large_network_agrees():
    """Variance and exponent of 600 tanh units at g = 2.5, b = .3, measured with NumPy."""
    rng = np.random.default_rng(0)
    n, gain, bias = 600, 2.5, 0.3
    W, x, v = gain * rng.normal(size=(n, n)) / math.sqrt(n), rng.normal(size=n), rng.normal(size=n)
    variances, growth = [], []
    for step in range(400):
        h = W @ np.tanh(x)
        v = W @ (v / np.cosh(x) ** 2)
        x = h + bias
        if step >= 100:
            variances.append(np.mean(h**2))
            growth.append(math.log(np.linalg.norm(v)))
        v /= np.linalg.norm(v)
    found = mean_field(gain, bias=bias)
    assert np.mean(variances) == pytest.approx(found.variance, rel=0.03)
    assert np.mean(growth) == pytest.approx(found.exponent, abs=0.03)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: mean_field(-1.0), "gain"),
        (lambda: mean_field(math.nan), "gain"),
        (lambda: mean_field([1.0]), "gain"),
        (lambda: mean_field(1.0, bias_std=-0.1), "bias_std"),
        (lambda: mean_field(1.0, activation="tan"), "activation"),
        (lambda: edge_of_chaos(0.5), "biases"),
        (lambda: edge_of_chaos([0.5], largest_gain=0.0), "largest_gain"),
    ],
)
def test_errors_name_the_argument(call, argument):
    with pytest.raises((TypeError, ValueError), match=argument):
        call()


def test_a_users_activation():
    doubled = Activation("doubled", lambda z: 2 * z / (1 + abs(z)))
    assert edge_of_chaos([0.0], activation=doubled).gain[0] == pytest.approx(0.5, rel=1e-9)


def test_large_variances_and_folds():
    """Far beyond the slopes' width q → g² and χ → (4/3) g/√(2π); the state of largest variance beside a fold."""
    for gain in (1e3, 1e5):
        found = mean_field(gain)
        assert found.status == Status.CONVERGED
        assert found.variance == pytest.approx(gain**2, rel=2 / gain)
        assert found.susceptibility == pytest.approx(4 / 3 * gain / math.sqrt(2 * math.pi), rel=2 / gain)
    assert mean_field(1.0, bias_std=2e4).variance == pytest.approx(4e8, rel=1e-8)
    fold = {"bias": -6.0, "activation": "logistic"}
    assert mean_field(16.60993996, **fold).variance > 10
    assert mean_field(16.5, **fold).variance < 0.1
    wide = edge_of_chaos([0.0], bias_std=300.0, largest_gain=100.0).gain[0]
    assert mean_field(wide * (1 - 1e-4), bias_std=300.0).susceptibility < 1
    assert mean_field(wide * (1 + 1e-4), bias_std=300.0).susceptibility > 1


def test_a_variance_of_1e16_is_the_largest_that_is_finite():
    at_end, beyond = mean_field(0.0, bias_std=1e8), mean_field(0.0, bias_std=1.0001e8)
    assert at_end.status == Status.CONVERGED
    assert at_end.variance == pytest.approx(1e16, rel=1e-12)
    assert beyond.status == Status.DIVERGED
    assert math.isinf(beyond.variance)


def test_a_fold_is_the_smallest_gain_along_its_branch():
    """g² = (q − σ_b²)/E σ(b + √q z)², least over q, by a sum over 4000 points and golden sections."""
    bias, spread = -4.0, 0.4
    z = np.linspace(-12, 12, 4001)
    weights = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()

    def gain(log_q):
        q = math.exp(log_q)
        size = np.sum(weights * (1 + np.tanh((bias + math.sqrt(q) * z) / 2)) ** 2) / 4
        return math.sqrt((q - spread**2) / size)

    grid = np.linspace(0, 8, 400)
    near = grid[int(np.argmin([gain(each) for each in grid]))]
    found = optimize.minimize_scalar(gain, bracket=(near - 0.02, near, near + 0.02), options={"xtol": 1e-10})
    edge = edge_of_chaos([bias], bias_std=spread, activation="logistic").gain[0]
    assert edge == pytest.approx(found.fun, rel=1e-10)


def test_an_edge_at_a_fold_is_where_the_branch_begins():
    bent = {"bias_std": 0.4, "activation": "logistic"}
    edge = edge_of_chaos([-4.0], **bent).gain[0]
    assert mean_field(edge * (1 - 1e-3), bias=-4.0, **bent).susceptibility < 0.1
    assert mean_field(edge * (1 + 1e-3), bias=-4.0, **bent).susceptibility > 1.2


def test_the_largest_gain_is_compared_with_the_edge_itself():
    edge = edge_of_chaos([1.0]).gain[0]
    assert edge_of_chaos([1.0], largest_gain=edge * 1.001).gain[0] == edge
    assert np.isnan(edge_of_chaos([1.0], largest_gain=edge * 0.999).gain[0])
