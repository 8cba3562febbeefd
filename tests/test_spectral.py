"""Sweeps over spectral radii, and the cases in which the radius misleads."""

import math

import jax
import numpy as np
import pytest

from rnn_dynamics.cells import ElmanRNN, PreActivationRNN
from rnn_dynamics.cells.initializers import ensemble_weights
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import jacobian_product, jacobian_products, step_jacobians
from rnn_dynamics.gradients.singular_values import singular_spectrum
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.spectral import counterexamples, held, radius_sweep
from rnn_dynamics.spectral.bounds import product_bounds
from rnn_dynamics.spectral.counterexamples import _at_zero
from tests.compilations import compilations
from tests.oracles import products
from tests.oracles.products import Network

NILPOTENT = np.array([[1.0, 1.0], [-1.0, -1.0]])


@pytest.fixture(scope="module")
def cases():
    return {case.name: case for case in counterexamples(chaotic_steps=4000)}


def test_every_counterexample_is_there_and_prints(cases):
    assert list(cases) == ["shear", "Jordan block", "fixed point", "chaos", "rotation", "slow rotation"]
    for case in cases.values():
        assert case.name in repr(case)
        for name in ("steps", "norm"):
            assert not case.bounds[name].violated.any()
        assert not case.bounds["radius"].theorem


def test_states_that_are_held_are_fixed_points(cases):
    """Those of the cases but for the chaotic orbit, and x = 0 of any logistic network with b = −W σ(0)."""
    held_ones = [case.trajectory for name, case in cases.items() if name != "chaos"]
    for run in (*held_ones, _at_zero(np.array([[1.0, 2.0, -4.0], [3.0, -1.0, 0.5], [0.25, 0.0, 8.0]]), 2)):
        states = np.asarray(run.states)
        np.testing.assert_array_equal(states, np.broadcast_to(states[0], states.shape))
        np.testing.assert_allclose(run.cell(states[0]), states[0], atol=1e-13)


def test_shear(cases):
    norms = np.exp(np.asarray(cases["shear"].bounds.log_norms))[::-1]
    assert norms[9] == pytest.approx(3.91, abs=5e-3)
    assert (norms[1:] > 0.9 ** np.arange(1, 61)).all()
    assert cases["shear"].bounds["radius"].violated[:-1].all()


def test_jordan_block_grows_like_the_lag(cases):
    norms = np.exp(np.asarray(cases["Jordan block"].bounds.log_norms))[::-1]
    lags = np.arange(61)
    np.testing.assert_allclose(norms, (lags + np.sqrt(lags**2 + 4.0)) / 2, rtol=1e-12)
    assert float(cases["Jordan block"].bounds.radius) == pytest.approx(1, abs=1e-7)


def test_resting_fixed_point_doubles_every_step(cases):
    """J = [[8, 6], [−8, −6]], J² = 2 J, so ‖Jⁿ‖ = 2ⁿ⁻¹ ‖J‖, with ρ(W) = 0."""
    case = cases["fixed point"]
    J = np.asarray(step_jacobians(case.trajectory))
    np.testing.assert_allclose(J, np.broadcast_to([[8.0, 6.0], [-8.0, -6.0]], J.shape), rtol=1e-14)
    np.testing.assert_allclose(J[0] @ J[0], 2 * J[0], rtol=1e-13)
    norms = np.asarray(case.bounds.log_norms)[::-1]
    lags = np.arange(1, 41)
    np.testing.assert_allclose(
        norms[1:], (lags - 1) * math.log(2) + math.log(np.linalg.norm(J[0], 2)), rtol=1e-12
    )
    np.testing.assert_allclose(jacobian_product(case.trajectory).to_float(), 2.0**39 * J[0], rtol=1e-11)
    assert float(case.bounds.radius) < 1e-6
    assert case.bounds["radius"].violated[:-1].all()
    x = np.array([0.0, math.log(3)])
    back = 32 * NILPOTENT @ (1 / (1 + np.exp(-x))) + [-40.0, 40.0 + math.log(3)]
    np.testing.assert_allclose(back, x, atol=1e-13)


def test_chaos_with_radius_zero(cases):
    case = cases["chaos"]
    exponent = float(case.bounds.log_norms[0]) / case.trajectory.steps
    assert exponent == pytest.approx(0.54, abs=0.03)
    assert float(case.bounds.radius) < 1e-6
    assert case.bounds["radius"].violated[:-1].all()


def test_wikipedias_rotation_needs_epsilon_above_eight(cases):
    for name, epsilon in (("rotation", 9.0), ("slow rotation", 7.0)):
        every = np.asarray(jacobian_products(cases[name].trajectory).to_float())
        np.testing.assert_allclose(every[0], (epsilon / 8) ** 30 * np.eye(2), rtol=1e-12, atol=1e-12)
        states = np.asarray(cases[name].trajectory.states)
        np.testing.assert_array_equal(states, np.zeros_like(states))
        cell = cases[name].trajectory.cell
        np.testing.assert_allclose(np.asarray(cell(states[0])), [0, 0], atol=1e-15)


def test_without_its_condition_number_the_scaled_bound_is_false(cases):
    """‖S A S⁻¹‖⁹ → .387 against 3.91; κ(S) times it holds for every S."""
    A = np.array([[0.9, 1.0], [0.0, 0.9]])
    norm = math.exp(float(cases["shear"].bounds.log_norms[60 - 9]))
    for ratio in np.geomspace(1, 1e6, 50):
        S = np.diag([1.0, ratio])
        scaled = np.linalg.norm(S @ A @ np.linalg.inv(S), 2) ** 9
        assert ratio * scaled >= norm
    assert scaled == pytest.approx(0.387, abs=5e-4)


def test_short_chaotic_orbit_against_balls():
    """The norm along the true orbit, while float64 still follows it."""
    net = Network("preactivation", 12 * NILPOTENT, np.array([-9.0, 6.0]), "logistic")
    start = np.array([0.25, -0.125])
    truth = float(products.log2_norms(net, start, 20, [0])[0])
    path = rollout(PreActivationRNN(net.W, net.b), start, steps=20)
    assert float(product_bounds(path).log_norms[0]) / math.log(2) == pytest.approx(truth, abs=1e-8)


@pytest.mark.shipped
def test_sweep_of_radii():
    """Shapes, the exact radius, bounds; a repeated sweep compiles nothing; excess over the claim."""
    radii, biases, seeds = [0.0, 0.5, 0.9, 1.5], [0.0, 0.5], [1, 2, 3]
    found = radius_sweep(radii, biases=biases, seeds=seeds, n=6, steps=20)
    assert found.log_norms.shape == (4, 2, 3, 21)
    assert found.lags.tolist() == list(range(20, -1, -1))
    assert found.excess.shape == found.rate.shape == (4, 2, 3)
    finite = np.where(np.isneginf(found.log_norms), -1e9, found.log_norms)
    assert (finite <= found.log_norm_bound + 1e-9)[1:].all()
    assert (found.excess[1:3] > 0).any()
    assert not np.isnan(found.excess).any()
    assert np.isneginf(found.excess[0]).all()
    np.testing.assert_array_equal(found.log_norms[..., -1], 0)
    ratio = found.sweep["spectral_norm"][1:] / np.array(radii[1:])[:, None, None]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:1], ratio.shape), rtol=1e-12)
    assert (ratio > 1).all()
    assert "4 radius × 2 bias × 3 seed" in repr(found)
    with compilations() as fresh:
        again = radius_sweep(radii, biases=biases, seeds=seeds, n=6, steps=20)
    assert fresh.count == 0
    np.testing.assert_array_equal(again.log_norms, found.log_norms)


def test_sweep_of_an_activation_without_slope_bound():
    found = radius_sweep(np.float32([0.5]), n=3, steps=4, activation=wave, form="pre_activation")
    assert found.log_norms.dtype == np.float32
    assert found.slope_bounds == (None,)
    with pytest.raises(ValueError, match="slope_bound"):
        _ = found.log_norm_bound


def test_sweep_over_every_axis():
    """A point of the grid is that network: norms, bounds and spectrum as if it were run alone."""
    found = radius_sweep(
        [0.8, 1.3],
        biases=[0.4],
        gains=[1.0, 2.0],
        seeds=[5, 7],
        n=5,
        steps=12,
        lags=[12, 1, 3],
        activation=["tanh", "logistic"],
        ensemble=["non_normal"],
        spectra=True,
    )
    assert found.sweep.names == ("activation", "ensemble", "radius", "bias", "gain", "seed")
    assert found.log_norms.shape == (2, 1, 2, 1, 2, 2, 3)
    assert found.slope_bound.ravel().tolist() == [1.0, 0.25]
    assert "tanh, logistic" in repr(found.sweep)
    drawn, started = jax.random.split(jax.random.fold_in(jax.random.key(0), 7))
    W = 2.0 * 1.3 * ensemble_weights(drawn, 5, "non_normal")
    cell = ElmanRNN(W, np.full(5, 0.4), activation="logistic")
    run = rollout(cell, jax.random.normal(started, (5,)) / math.sqrt(5), steps=12)
    at = (1, 0, 1, 0, 1, 1)
    bounds = product_bounds(run)
    places = [0, 11, 9]
    np.testing.assert_allclose(
        found.log_norms[at], bounds.log_norms[np.array(places)], rtol=1e-10, atol=1e-12
    )
    np.testing.assert_allclose(found.log_norm_bound[at], bounds["norm"].log[places], rtol=1e-10)
    np.testing.assert_allclose(found.log_radius_claim[at], bounds["radius"].log[places], rtol=1e-8)
    for name in ("absolute", "steps", "volume", "smallest"):
        np.testing.assert_allclose(
            found.sweep[f"log_{name}"][at], bounds[name].log[places], rtol=1e-9, atol=1e-9
        )
    np.testing.assert_allclose(found.sweep["log_singular_values"][at], singular_spectrum(run).log, rtol=1e-9)
    assert (found.sweep["spectrum_status"] == int(Status.RESOLVED)).all()
    assert (found.log_norms <= found.sweep["log_absolute"] + 1e-10).all()
    assert (found.log_norms <= found.log_norm_bound + 1e-10).all()
    excess = (found.log_norms - found.log_radius_claim).max(axis=-1) / math.log(10)
    np.testing.assert_allclose(found.excess, excess)
    assert found.violated.tolist() == (excess > 1e-9).tolist()
    rate = found.log_norms[..., 0] / 12 / math.log(10)
    np.testing.assert_allclose(found.rate, rate)


def test_radius_zero_and_norms_that_grow():
    """A chain of gain g > 1 with linear units grows like gⁿ for n − 1 steps, then the product is exactly 0."""
    found = radius_sweep([0.0], gains=[0.5, 1.5], ensemble="chain", activation="linear", n=6, steps=8)
    lags = found.lags
    for gain, norms in zip((0.5, 1.5), found.log_norms[0, 0, :, 0], strict=True):
        with np.errstate(divide="ignore"):
            truth = np.where(lags < 6, lags * math.log(gain), -np.inf)
        np.testing.assert_allclose(norms, truth, atol=1e-12)
    assert np.isposinf(found.excess).all()
    assert found.violated.all()
    same = {"activation": "linear", "n": 6, "steps": 8}
    labelled = radius_sweep([0.0], gains=[0.5, 1.5], ensemble=["chain", "nilpotent"], **same)
    assert labelled.sweep.metadata["labels"] == {"ensemble": ["chain", "nilpotent"]}
    counted = []
    same = {"ensemble": ["chain", "nilpotent"], "activation": "linear", "n": 6, "steps": 8}
    radius_sweep([0.0], gains=[0.5, 1.5], progress=lambda *at: counted.append(at), **same)
    assert counted == [(2, 4), (4, 4)]


def wave(z):
    return 2 * z / (1 + z * z)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"radii": [-0.1]}, "radii"),
        ({"radii": [math.nan]}, "radii"),
        ({"radii": 0.5}, "radii"),
        ({"radii": []}, "radii"),
        ({"radii": [0.5], "biases": 0.0}, "biases"),
        ({"radii": [0.5], "seeds": 3}, "seeds"),
        ({"radii": [0.5], "seeds": [0.5]}, "seeds"),
        ({"radii": [0.5], "seeds": []}, "seeds"),
        ({"radii": [0.5], "biases": []}, "biases"),
        ({"radii": [0.5], "gains": []}, "gains"),
        ({"radii": [0.5], "steps": 0}, "steps"),
        ({"radii": [0.5], "n": 2.0}, "n"),
        ({"radii": [0.5], "form": "gru"}, "form"),
        ({"radii": [0.5], "activation": "tan"}, "activation"),
        ({"radii": [0.5], "activation": []}, "activation"),
        ({"radii": [0.5], "ensemble": "wishart"}, "ensemble"),
        ({"radii": [0.5], "ensemble": ["gaussian", "chain"]}, "radii"),
        ({"radii": [0.0, 0.5], "ensemble": "chain"}, "radii"),
        ({"radii": [0.0], "ensemble": []}, "ensemble"),
        ({"radii": [0.5], "gains": [-1.0]}, "gains"),
        ({"radii": [0.5], "gains": 2.0}, "gains"),
        ({"radii": [0.5], "lags": [101]}, "lags"),
        ({"radii": [0.5], "lags": [0]}, "lags"),
        ({"radii": [0.5], "lags": "all"}, "lags"),
        ({"radii": [0.5], "spectra": 1}, "spectra"),
    ],
)
def test_errors_name_the_argument(options, argument):
    with pytest.raises((TypeError, ValueError), match=argument):
        radius_sweep(options.pop("radii"), **options)


def test_held_states_are_checked():
    cell = PreActivationRNN(NILPOTENT, [0.0, 0.0])
    assert held(cell, [0.0, 0.0], 3).states.shape == (4, 2)
    for state, steps, argument in (
        (None, 3, "state"),
        ([0.0, math.nan], 3, "state"),
        ([0.0, 0.0], -1, "steps"),
    ):
        with pytest.raises((TypeError, ValueError), match=argument):
            held(cell, state, steps)
