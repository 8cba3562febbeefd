"""Bounds on ‖∂x_T/∂x_k‖: theorems hold, the spectral radius fails where it should; hazards 7, 8, 9."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.cells import DoyaNeuron, ElmanRNN, LeakyRNN, PascanuNeuron, PreActivationRNN
from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import jacobian_products, step_jacobians
from rnn_dynamics.numerics import eigen
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.spectral import bounds
from rnn_dynamics.spectral.bounds import product_bounds
from tests.compilations import compilations
from tests.oracles import products
from tests.oracles.products import Network

SHEAR = np.array([[0.9, 1.0], [0.0, 0.9]])


def test_hazard_7_shear_passes_its_spectral_radius(dtype):
    """‖A⁹‖₂ = 3.91 where ρ⁹ = .387; ‖Aᵏ‖ ≥ ρᵏ always, so the norm never lies below."""
    cell = PreActivationRNN(SHEAR.astype(dtype), np.zeros(2, dtype), activation="linear")
    found = product_bounds(rollout(cell, np.ones(2, dtype), steps=60))
    norms = np.asarray(found.log_norms, float)
    assert found.log_norms.dtype == dtype
    truth = products.log2_norm(np.linalg.matrix_power(SHEAR, 9))
    assert norms[60 - 9] / math.log(2) == pytest.approx(
        float(truth), rel=2e-6 if dtype == "float32" else 1e-13
    )
    assert math.exp(norms[60 - 9]) == pytest.approx(3.91, abs=5e-3)
    claim = found["radius"]
    assert math.exp(claim.log[60 - 9]) == pytest.approx(0.387, abs=5e-4)
    assert not claim.theorem
    assert claim.violated[:60].all()
    assert not claim.violated[60]
    assert (norms >= claim.log - 1e-3 * (dtype == "float32") - 1e-12).all()
    for name in ("steps", "norm"):
        assert found[name].theorem
        assert not found[name].violated.any()
    text = repr(found)
    assert "no theorem" in text
    assert "violated at 60 of 60 lags" in text


def test_tightness_is_in_decades_a_step():
    """Of 1.2 I every bound is the norm; of diag(1.2, .3) the norm grows by 1.2 a step and its bound below by .3."""
    cell = PreActivationRNN(1.2 * np.eye(2), np.zeros(2), activation="linear")
    found = product_bounds(rollout(cell, np.ones(2), steps=50))
    assert found["norm"].tightness == pytest.approx(0, abs=1e-12)
    skew = PreActivationRNN([[1.2, 0.0], [0.0, 0.3]], np.zeros(2), activation="linear")
    found = product_bounds(rollout(skew, np.ones(2), steps=50))
    below = next(entry for entry in found.entries() if not entry.above)
    excess = (float(found.log_norms[0]) - below.log[0]) / (50 * math.log(10))
    assert excess > 0.1
    assert below.tightness == pytest.approx(excess, rel=1e-12)
    assert f"{below.tightness:+.3g} decades a step" in repr(found)


FORMS = {
    "elman tanh": lambda W, b, a: ElmanRNN(W, b, activation="tanh"),
    "pre leaky relu": lambda W, b, a: PreActivationRNN(W, b, activation="leaky_relu"),
    "leaky logistic": lambda W, b, a: LeakyRNN(W, b, leak=a, activation="logistic"),
}


@pytest.mark.parametrize(
    "form", ["elman tanh", *(pytest.param(each, marks=pytest.mark.soak) for each in list(FORMS)[1:])]
)
def test_theorems_hold_on_a_thousand_random_networks(form):
    """n ≤ 4 units, gains from .1 to 30, leaks from .01 to 1: norm ≤ Π‖J_i‖ and norm ≤ ((1−α) + α γ s₁)ⁿ."""
    steps = 15

    def one(key):
        keys = jax.random.split(key, 5)
        gain = 10 ** jax.random.uniform(keys[0], (), float, -1, 1.5)
        W, b = gain * jax.random.normal(keys[1], (4, 4)), jax.random.normal(keys[2], (4,))
        leak = 10 ** jax.random.uniform(keys[3], (), float, -2, 0)
        path = rollout(FORMS[form](W, b, leak), jax.random.normal(keys[4], (4,)), steps=steps)
        found = product_bounds(path)
        above = found.log_steps, found.log_norm_bound, found.log_absolute
        return found.log_norms, *above, found.log_volume, found.log_smallest, step_jacobians(path)

    norms, steps_bound, norm_bound, absolute, volume, smallest, J = map(
        np.asarray, jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(3), 1000))
    )
    rounding = 1e-12 * (1 + np.abs(np.where(np.isneginf(norms), 0, norms)))
    assert not np.isnan(norms).any()
    assert (norms <= steps_bound + rounding).all()
    assert (norms <= norm_bound + rounding).all()
    assert (norms <= absolute + rounding).all()
    assert (volume <= norms + rounding).all()
    assert (smallest <= volume + rounding).all()
    assert (steps_bound <= norm_bound + rounding).all()
    with np.errstate(divide="ignore"):
        sizes = np.log(np.linalg.norm(J, 2, axis=(2, 3)))
    plain = np.cumsum(sizes[:, ::-1], axis=1)[:, ::-1]
    np.testing.assert_allclose(steps_bound[:, :-1], plain, rtol=1e-12, atol=1e-12)


def test_bounds_are_attained():
    """Orthogonal linear networks: every bound holds with equality, and equality is no violation."""
    angle = np.array([[math.cos(1.0), -math.sin(1.0)], [math.sin(1.0), math.cos(1.0)]])
    for gain in (0.7, 1.0, 1.6):
        found = product_bounds(
            rollout(ElmanRNN(gain * angle, [0.0, 0.0], activation="linear"), [1e-3, 0.0], steps=300)
        )
        for entry in found.entries():
            assert not entry.violated.any()
            if entry.name != "absolute":
                np.testing.assert_allclose(entry.log, found.log_norms, rtol=1e-12, atol=1e-11)
                assert entry.tightness == pytest.approx(0, abs=1e-12)


def test_what_counts_as_rounding_grows_with_the_lag_and_with_the_logarithm():
    """64 ε of 1 + n + |ln‖∂x_T/∂x_k‖|: a sum of n logarithms, each rounded, and the rounding of the sum."""
    run = rollout(ElmanRNN(np.array([[1.7, -0.6], [0.8, 1.1]]), np.zeros(2)), [0.2, 0.1], steps=40)
    found = product_bounds(run)
    excess, rounding = found._excess(np.zeros(41))
    np.testing.assert_array_equal(excess, found.log_norms)
    size = 1 + np.arange(41)[::-1] + np.abs(found.log_norms)
    np.testing.assert_allclose(rounding, 64 * np.finfo(float).eps * size, rtol=1e-12)


def test_leaky_form():
    W, b = np.array([[1.7, -0.6], [0.8, 1.1]]), np.array([0.1, -0.3])
    found = product_bounds(rollout(LeakyRNN(W, b, leak=0.3, activation="logistic"), [0.2, 0.1], steps=50))
    norm = np.linalg.norm(W, 2)
    assert found["norm"].log[0] == pytest.approx(50 * math.log(0.7 + 0.3 * 0.25 * norm), rel=1e-13)
    truth = products.log2_norms(Network("leaky", W, b, "logistic", leak=0.3), np.array([0.2, 0.1]), 50, [0])[
        0
    ]
    assert float(found.log_norms[0]) / math.log(2) == pytest.approx(float(truth), rel=1e-13)
    assert found["norm"].conclusive == "vanishes"
    assert found["norm"].formula == "((1−α) + αγ s₁(W))ⁿ"
    plain = product_bounds(rollout(ElmanRNN(W, b), [0.2, 0.1], steps=2))
    assert plain["norm"].formula == "(γ s₁(W))ⁿ"
    neuron = product_bounds(rollout(DoyaNeuron(-9.0, 4.0, 0.5), 0.3, steps=20))
    assert neuron["norm"].log[0] == pytest.approx(20 * math.log(0.5 + 0.5 * 0.25 * 9), rel=1e-13)
    assert not neuron["norm"].violated.any()


def test_vanishing_is_concluded_from_theorems_alone():
    """γ s₁ < 1 says that it vanishes; γ ρ < 1 alone says nothing."""
    contracting = product_bounds(rollout(PreActivationRNN(3.9 * np.eye(2), [0.0, 0.0]), [0.1, 0.2], steps=10))
    assert contracting["norm"].conclusive == "vanishes"
    assert contracting["radius"].conclusive == ""
    exploding = product_bounds(
        rollout(PreActivationRNN([[0, 0.0], [60.0, 0]], [0.0, 0.0]), [0.1, 0.2], steps=10)
    )
    assert exploding["norm"].conclusive == ""


def test_a_diverged_run_and_weights_beyond_other_units_are_labelled():
    cell = PreActivationRNN(1e200 * np.eye(2), np.zeros(2), activation="linear")
    found = product_bounds(rollout(cell, np.full(2, 1e100), steps=3))
    assert found.scaled is None
    user = PreActivationRNN(1e200 * np.eye(2), np.zeros(2), activation=lambda z: z**3)
    diverged = product_bounds(rollout(user, np.full(2, 1e100), steps=3))
    assert diverged.status == Status.DIVERGED
    assert "DIVERGED" in repr(diverged)
    assert diverged.conclusion == ""


def test_a_wrong_slope_bound_concludes_nothing():
    wrong = Activation("sin", jnp.sin, slope_bound=1e-3)
    found = product_bounds(rollout(ElmanRNN(np.eye(2), np.zeros(2), activation=wrong), [0.1, 0.2], steps=5))
    assert found["norm"].violated.any()
    assert found["norm"].conclusive == ""


def test_what_each_bound_proves():
    """Growing volumes explode; a shear vanishes by its units and by |W|, not by its norm; radii have conditions."""
    shear = product_bounds(
        rollout(PreActivationRNN(SHEAR, [0.0, 0.0], activation="linear"), [0.0, 0.0], steps=60)
    )
    assert [shear[name].conclusive for name in ("norm", "scaled", "absolute")] == ["", "vanishes", "vanishes"]
    assert shear.conclusion == "vanishes"
    assert shear.radius_condition is not None
    assert shear.radius_condition > 1e6
    assert "condition" in repr(shear)
    assert shear.joint_radius(low=1.0).conclusive == "vanishes"
    growing = product_bounds(
        rollout(PreActivationRNN(1.5 * np.eye(2), [0.0, 0.0], activation="linear"), [0.0, 0.0], steps=60)
    )
    assert growing["volume"].conclusive == growing["smallest"].conclusive == "explodes"
    assert growing.conclusion == "explodes"
    assert growing.radius_condition == pytest.approx(1)
    resting = PreActivationRNN([[8.0, 8.0], [-8.0, -8.0]], [0.0, 0.0], activation="tanh")
    found = product_bounds(rollout(resting, [0.0, 0.0], steps=5))
    assert found.conclusion == ""
    joint = found.joint_radius()
    assert joint.exact
    assert joint.lower == pytest.approx(8, rel=1e-10)
    assert joint.conclusive == "can explode"
    leaky = LeakyRNN(0.5 * np.eye(2), [0.0, 0.0], leak=0.25)
    assert product_bounds(rollout(leaky, [0.0, 0.0], steps=3)).joint_radius().upper == pytest.approx(0.875)
    for cell in (undeclared, LeakyRNN(np.eye(11), np.zeros(11), leak=0.5)):
        start = np.zeros(2 if cell is undeclared else 11)
        with pytest.raises(ValueError, match=r"trajectory|W"):
            product_bounds(rollout(cell, start, steps=2)).joint_radius()


def test_a_bound_that_does_not_fall_below_one_proves_nothing():
    """γ s₁ = 1: the bound is 1 at every lag. γ s₁ = 1.05: 1.05⁵ < e, and it grows."""
    for gain in (1.0, 1.05):
        found = product_bounds(rollout(ElmanRNN(gain * np.eye(2), np.zeros(2)), [0.1, 0.2], steps=5))
        assert found["norm"].log[0] == pytest.approx(5 * math.log(gain), abs=1e-14)
        assert found["norm"].conclusive == ""
    for steps in (1, 2):  # one step suffices where γ s₁ < 1
        found = product_bounds(rollout(ElmanRNN(0.5 * np.eye(2), np.zeros(2)), [0.1, 0.2], steps=steps))
        assert found["norm"].conclusive == "vanishes"


def test_the_condition_of_the_radius_is_that_of_the_worst_leading_eigenvalue():
    """1 and −1 are both leading: of 1 the condition is 1, of −1 in [[−1, 5], [0, 0]] it is √26."""
    W = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 5.0], [0.0, 0.0, 0.0]])
    found = product_bounds(rollout(ElmanRNN(W, np.zeros(3)), [0.1, 0.2, 0.3], steps=1))
    assert found.radius_condition == pytest.approx(math.sqrt(26), rel=1e-12)


def test_powers_of_the_absolute_weights():
    """ln √(‖Mⁿ‖₁‖Mⁿ‖_∞) with M from NumPy; the same for a new length without a new compilation."""
    W, b = np.array([[0.5, -1.2, 0.0], [0.3, 0.1, 2.0], [-0.7, 0.0, 0.2]]), np.zeros(3)
    M = 0.6 * np.eye(3) + 0.4 * 0.25 * np.abs(W)
    for steps in (7, 8):
        found = product_bounds(rollout(LeakyRNN(W, b, leak=0.4, activation="logistic"), b, steps=steps))
        for lag, log in zip(found.lags, found.log_absolute, strict=True):
            power = np.linalg.matrix_power(M, lag)
            size = np.linalg.norm(power, 1) * np.linalg.norm(power, np.inf)
            assert float(log) == pytest.approx(math.log(size) / 2, abs=1e-12)


def undeclared(x, u):
    return jnp.tanh(jnp.asarray(SHEAR, x.dtype) @ x)


def test_an_undeclared_cell_gets_the_bound_of_its_trajectory_only():
    found = product_bounds(rollout(undeclared, np.array([0.1, 0.2]), steps=20))
    assert [entry.name for entry in found.entries()] == ["steps", "volume", "smallest"]
    assert found.log_norm_bound is None
    assert found.scaled is None
    assert found.radius is None
    assert not found["steps"].violated.any()
    with pytest.raises(KeyError, match="norm"):
        found["norm"]


def doubled(z):
    return 2 * jnp.tanh(z)


def test_a_users_activation_without_slope_bound_gets_no_theorem():
    found = product_bounds(rollout(ElmanRNN(SHEAR, np.zeros(2), activation=doubled), [0.1, 0.2], steps=20))
    assert [entry.name for entry in found.entries()] == ["steps", "volume", "smallest"]
    assert float(found.norm) == pytest.approx(np.linalg.norm(SHEAR, 2), rel=1e-14)
    assert "not declared" in repr(found)
    declared = Activation("doubled", doubled, slope_bound=2.0)
    found = product_bounds(rollout(ElmanRNN(SHEAR, np.zeros(2), activation=declared), [0.1, 0.2], steps=20))
    assert found["norm"].log[0] == pytest.approx(20 * math.log(2 * np.linalg.norm(SHEAR, 2)), rel=1e-13)
    assert not found["norm"].violated.any()


@pytest.mark.parametrize("W", [[[0.0]], [[0.0, 1.0], [0.0, 0.0]]])
def test_zero_products_and_zero_bounds_violate_nothing_but_the_claim(W):
    n = len(W)
    found = product_bounds(rollout(PreActivationRNN(W, [0.0] * n, activation="linear"), [1.0] * n, steps=4))
    assert math.isinf(found.log_norms[0])
    for entry in found.entries():
        assert not np.isnan(entry.log).any()
        assert entry.name == "radius" or not entry.violated.any()
    assert found["radius"].violated.tolist() == [False, False, False, n == 2, False]
    repr(found)


def test_zero_steps_and_batches():
    path = rollout(ElmanRNN(SHEAR, np.zeros(2)), [0.1, 0.2], steps=0)
    found = product_bounds(path)
    assert found.log_norms.shape == (1,)
    repr(found)
    run = jax.vmap(lambda x: product_bounds(rollout(PascanuNeuron(5, -2), x, steps=3)))(
        jnp.asarray([0.1, 0.2])
    )
    assert run.log_norms.shape == (2, 4)
    repr(run)
    with pytest.raises(TypeError, match="trajectory"):
        product_bounds(path.states)


def test_repeated_shapes_compile_nothing():
    def run(scale):
        return product_bounds(rollout(LeakyRNN(scale * SHEAR, np.zeros(2)), [0.1, 0.2], steps=9)).entries()

    run(1.0)
    with compilations() as fresh:
        run(0.5)
    assert fresh.count == 0


# Eigenvalues


def test_hazard_9_eigenvalues_from_the_host_where_the_device_has_none(monkeypatch, dtype):
    """The fallback agrees with the device, under jit, vmap and for matrices that are not finite."""
    W = jax.random.normal(jax.random.key(0), (20, 4, 4), dtype)  # few go to the host on every device
    here = np.sort_complex(np.asarray(eigen.eigenvalues(W)))
    asked = []
    monkeypatch.setattr(eigen, "_device_has_eig", lambda platform: asked.append(platform))
    away = eigen.eigenvalues(W)
    assert asked
    assert away.dtype == here.dtype
    np.testing.assert_allclose(np.sort_complex(np.asarray(away)), here, rtol=100 * float(np.finfo(dtype).eps))
    mapped = jax.jit(jax.vmap(eigen.spectral_radius))(W)
    np.testing.assert_allclose(mapped, np.abs(here).max(axis=1), rtol=100 * float(np.finfo(dtype).eps))
    broken = W.at[2, 0, 0].set(jnp.nan)
    assert np.flatnonzero(np.isnan(np.asarray(eigen.spectral_radius(broken)))).tolist() == [2]
    few = eigen.eigenvalues(W[:3])
    np.testing.assert_allclose(
        np.sort_complex(np.asarray(few)), here[:3], rtol=100 * float(np.finfo(dtype).eps)
    )


def test_hazard_9_the_feature_is_tested_and_not_assumed():
    assert eigen._device_has_eig("cpu")
    assert not eigen._device_has_eig("tpu")


@pytest.mark.parametrize("size", [1e-30, 1e-14, 1e13, 1e30])
def test_eigenvalues_of_any_size(size, dtype):
    """LAPACK scales such matrices and leaves the eigenvalues scaled."""
    A = np.random.default_rng(0).normal(size=(2, 4, 4))
    wide = size if dtype == "float32" else size**5
    found = eigen.spectral_radius((A * wide).astype(dtype))
    truth = np.abs(np.linalg.eigvals(A)).max(axis=1) * wide
    np.testing.assert_allclose(found, truth, rtol=1e-5 if dtype == "float32" else 1e-12)


def test_hazard_8_the_modulus_of_a_complex_multiplier_counts():
    """Real parts 0 and moduli 1.2 or .8: growth is decided by |λ|, never by Re λ."""
    for size in (1.2, 0.8):
        W = size * np.array([[0.0, -1.0], [1.0, 0.0]])
        assert float(eigen.spectral_radius(jnp.asarray(W))) == pytest.approx(size, rel=1e-14)
        path = rollout(ElmanRNN(W, [0.0, 0.0], activation="linear"), [1e-3, 0.0], steps=100)
        assert float(product_bounds(path).log_norms[0]) == pytest.approx(100 * math.log(size), rel=1e-13)


def test_radius_never_exceeds_the_norm(dtype):
    W = jax.random.normal(jax.random.key(1), (200, 5, 5), dtype)
    radius, norm = eigen.spectral_radius(W), eigen.spectral_norm(W)
    assert (np.asarray(radius) <= np.asarray(norm) * (1 + 1e-5)).all()
    np.testing.assert_allclose(norm, np.linalg.norm(np.asarray(W), 2, axis=(1, 2)), rtol=2e-6)
    assert bounds.spectral_norm is eigen.spectral_norm


def test_norms_of_powers_stay_above_powers_of_the_radius():
    path = rollout(ElmanRNN(SHEAR, [0.0, 0.0], activation="linear"), [0.0, 0.0], steps=30)
    powers = np.asarray(jacobian_products(path).to_float())[::-1]
    for k, power in enumerate(powers):
        np.testing.assert_allclose(power, np.linalg.matrix_power(SHEAR, k), rtol=1e-13, atol=1e-15)
        assert np.linalg.norm(power, 2) >= 0.9**k * (1 - 1e-13)
