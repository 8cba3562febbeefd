"""Sensitivities of any family against balls of 50 digits: one neuron, small networks, bounds, bad input."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.cells import DoyaNeuron, ElmanRNN, PreActivationRNN
from rnn_dynamics.gradients import error_ellipsoids
from rnn_dynamics.gradients.sensitivities import Sensitivities, evaluate, resolution_limit, sensitivities
from rnn_dynamics.numerics.status import Status
from tests.marks import FLOAT32_IN_SOAK
from tests.oracles import neuron, products

# Last bits are what these tests are about.
pytestmark = pytest.mark.shipped

ONE_ULP = math.nextafter(0.5, 1)
# (w, b, x_0, ε, T); epsilon is no parameter of the family.
NEURONS = {
    "well-conditioned": (5.0, -2.4, 0.3, 1.0, 500),
    "leaky": (3.0, 0.2, 0.9, 0.5, 1000),
    "saturated": (50.0, -25.0, 0.2, 0.5, 1000),
    "saturated 1000": (1000.0, -400.0, 0.9, 0.5, 1000),
    "cusp": (4.0, -2.0, 0.3, 1.0, 1000),
    "flip": (-4.0, 2.0, 0.3, 1.0, 1000),
    "period 2": (-8.0, 4.0, 0.3, 1.0, 1000),
    "near-separatrix": (5.0, -2.5, 0.4999, 1.0, 100),
    "one step": (3.0, -1.0, 0.2, 1.0, 1),
    "one ulp off, early": (5.0, -2.5, ONE_ULP, 1.0, 40),
}
LOST = {"chaos": (-100.0, 90.0, 0.3, 0.5, 200), "one ulp off": (5.0, -2.5, ONE_ULP, 1.0, 200)}


@functools.cache
def doya(epsilon: float):
    def family(w, b):
        return DoyaNeuron(w, b, epsilon)

    return family


def run(case: tuple, dtype: str) -> tuple[Sensitivities, neuron.Sensitivities]:
    w, b, x0, epsilon = (float(np.array(value, dtype)) for value in case[:4])
    got = sensitivities(doya(epsilon), (np.array(w, dtype), np.array(b, dtype)), np.array(x0, dtype), case[4])
    return got, neuron.sensitivities(w, b, x0, case[4], epsilon)


@pytest.mark.parametrize("name", NEURONS)
def test_one_neuron(name: str, dtype: str) -> None:
    case = NEURONS[name]
    got, exact = run(case, dtype)
    assert got.state.dtype == dtype
    if dtype == "float64":
        assert int(got.status) == Status.RESOLVED
    assert abs(float(got.state) - float(exact.x)) <= float(got.state_error)
    wanted = (exact.ln_dx0, exact.ln_dw, exact.ln_db)
    values, bounds = (got.initial, *got.parameters), (got.log_error, *got.parameter_log_errors)
    signs = (exact.sign_dx0, exact.sign_dw, exact.sign_db)
    for value, bound, truth, sign in zip(values, bounds, wanted, signs, strict=True):
        if not math.isfinite(float(bound)):
            assert dtype == "float32"
            continue
        error = abs(float(value.log()) - float(truth))
        size = max(1.0, abs(float(truth)))
        assert int(value.sign()) == sign
        assert error <= float(bound)
        if "one ulp" not in name:  # The bound is not vacuous where little is amplified.
            assert float(bound) <= 1e4 * max(error, np.finfo(dtype).eps * size * math.sqrt(case[4]))
        if dtype == "float64":
            assert error <= 1e-6


@pytest.mark.parametrize("name", LOST)
def test_hazard_12_lost_orbits_are_flagged(name: str) -> None:
    got, exact = run(LOST[name], "float64")
    assert int(got.status) == Status.UNRESOLVED
    assert abs(float(got.state) - float(exact.x)) <= float(got.state_error)


def test_a_product_that_underflows_is_not_taken_for_zero() -> None:
    got, _ = run((1000.0, -500.0, 0.3, 1.0, 4), "float32")
    assert float(got.initial.unit) == 0
    assert int(got.status) == Status.UNRESOLVED


def rotation(angle: float, radius: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    return radius * np.array([[c, -s], [s, c]])


_RNG = np.random.default_rng(0)
NETWORKS = {
    "fixed point": ("elman", _RNG.normal(size=(2, 2)) * 0.4, _RNG.normal(size=2) * 0.1, "tanh", 500),
    "turning": ("elman", rotation(0.7, 1.0), np.array([0.1, 0.2]), "tanh", 500),
    "quasi-periodic": ("elman", rotation(0.7, 1.3), np.array([0.05, 0.02]), "tanh", 500),
    "non-normal": ("elman", np.array([[0.9, 1], [0, 0.9]]), np.zeros(2), "tanh", 200),
    "saturated": ("elman", np.array([[50.0, 3], [2, 60]]), np.array([1.0, 2]), "tanh", 50),
    "rank-deficient": ("preactivation", np.array([[1.0, 2], [2, 4]]), np.array([0.1, 0.2]), "logistic", 200),
    "relu": ("elman", _RNG.normal(size=(3, 3)) * 0.6, np.abs(_RNG.normal(size=3)), "relu", 60),
}
CLASSES = {"elman": ElmanRNN, "preactivation": PreActivationRNN}


@functools.cache
def network(kind: str, activation: str):
    def family(W, b):
        return CLASSES[kind](W, b, activation=activation)

    return family


@FLOAT32_IN_SOAK
@pytest.mark.parametrize("name", NETWORKS)
def test_small_networks(name: str, dtype: str) -> None:
    kind, W, b, activation, steps = NETWORKS[name]
    W, b, x0 = W.astype(dtype), b.astype(dtype), np.array([0.3, 0.1, 0.2], dtype)[: b.size]
    got = sensitivities(network(kind, activation), (W, b), x0, steps)
    exact = products.Network(kind, W.astype(float), b.astype(float), activation)
    state = [float(x) for x in products.state(exact, x0.astype(float), steps)]
    assert (np.abs(np.asarray(got.state, float) - state) <= np.asarray(got.state_error)).all()
    assert got.initial.shape == (b.size, b.size)
    assert [p.shape for p in got.parameters] == [(b.size, W.size), (b.size, b.size)]
    truth = float(products.log2_norms(exact, x0.astype(float), steps, [0], "fro")[0]) * math.log(2)
    size = max(1.0, abs(truth))
    if int(got.status) != Status.RESOLVED:
        assert dtype == "float32"
        return
    error = abs(float(got.initial.norm("fro").log()) - truth)
    assert error <= float(got.log_error)
    if name == "quasi-periodic":  # Along the curve errors may add up as T², which the true one does not.
        assert float(got.log_error) <= 10 * steps**2 * np.finfo(dtype).eps * size
        return
    assert float(got.log_error) <= 1e4 * max(error, np.finfo(dtype).eps * size * math.sqrt(steps)) * b.size


def test_parameters_against_reverse_mode() -> None:
    kind, W, b, activation, _ = NETWORKS["turning"]
    x0 = np.array([0.3, 0.1])
    got = sensitivities(network(kind, activation), (W, b), x0, 20)

    def final(W, b):
        x = jnp.asarray(x0)
        for _ in range(20):
            x = network(kind, activation)(W, b)(x, None)
        return x

    along_W, along_b = jax.jit(jax.jacrev(final, argnums=(0, 1)))(jnp.asarray(W), jnp.asarray(b))
    np.testing.assert_allclose(got.parameters[0].to_float(), along_W.reshape(2, 4), rtol=1e-11)
    np.testing.assert_allclose(got.parameters[1].to_float(), along_b, rtol=1e-11)


def test_chaotic_network_is_flagged() -> None:
    W, b = 12 * np.array([[1.0, 1], [-1, -1]]), np.array([-9.0, 6])
    got = sensitivities(network("preactivation", "logistic"), (W, b), np.array([0.3, 0.1]), 300)
    assert int(got.status) == Status.UNRESOLVED


def test_derivatives_of_a_lost_orbit_still_grow_at_its_exponent() -> None:
    """Bounds that leave the floats take no digit of the derivatives with them: 2000 steps at 0.416 nats in all."""
    x, exponent = 0.3, 0.0
    for _ in range(20_000):
        value = 1 / (1 + math.exp(100 * x - 90))
        exponent += math.log(abs(0.5 - 50 * value * (1 - value))) / 20_000
        x = (x + value) / 2
    got = sensitivities(doya(0.5), (-100.0, 90.0), 0.3, 2000)
    assert int(got.status) == Status.UNRESOLVED
    assert math.isinf(float(got.log_error))
    for derivative in (got.initial, *got.parameters):
        assert float(derivative.log()) / 2000 == pytest.approx(exponent, abs=0.03)


def _users_step(W, x, u):
    return jnp.tanh(jnp.matmul(W, x, precision="highest"))


def _users_family(W):
    return jax.tree_util.Partial(_users_step, W)


def test_hazard_41_a_users_cell_keeps_its_slopes_in_saturation() -> None:
    W = np.array([[25.0, 0], [0, 30.0]])
    x0, steps = np.array([0.9, 0.8]), 10
    got = sensitivities(_users_family, (W,), x0, steps)
    exact = products.log2_norms(products.Network("elman", W, np.zeros(2)), x0, steps, [0], "fro")[0]
    assert int(got.status) == Status.RESOLVED
    assert float(got.initial.norm("fro").log2()) == pytest.approx(float(exact), rel=1e-13)


def test_inputs_and_pytree_parameters() -> None:
    rng = np.random.default_rng(1)
    drive = rng.normal(size=30)

    def family(p):
        return DoyaNeuron(p["w"], p["b"], 0.5, p["w_in"])

    values = {"w": 3.0, "b": -1.0, "w_in": 0.7}
    got = sensitivities(family, (values,), 0.2, None, inputs=drive)
    exact = neuron.sensitivities(3.0, -1.0, 0.2, 30, 0.5, inputs=list(drive), w_in=0.7)
    assert abs(float(got.state) - float(exact.x)) <= float(got.state_error)
    assert got.parameters[0].shape == (3,)
    np.testing.assert_allclose(
        got.parameters[0].to_float()[:2], [float(exact.db), float(exact.dw)], rtol=1e-12
    )
    assert int(got.status) == Status.RESOLVED


def test_no_steps_is_the_identity(dtype: str) -> None:
    got = sensitivities(doya(1.0), (np.array(2, dtype), np.array(1, dtype)), np.array(0.5, dtype), 0)
    assert float(got.state) == 0.5
    assert float(got.initial.to_float()) == 1
    assert float(got.parameters[0].to_float()) == 0
    assert int(got.status) == Status.RESOLVED
    assert got.state.dtype == dtype


@FLOAT32_IN_SOAK
def test_no_inputs_are_no_steps(dtype: str) -> None:
    got = sensitivities(
        lambda w: ElmanRNN(np.zeros((2, 2), dtype), np.zeros(2, dtype), w),
        (np.ones((2, 3), dtype),),
        np.array([0.5, -0.25], dtype),
        None,
        inputs=np.zeros((0, 3), dtype),
    )
    np.testing.assert_array_equal(got.state, [0.5, -0.25])
    np.testing.assert_array_equal(got.initial.to_float(), np.eye(2))
    np.testing.assert_array_equal(got.parameters[0].to_float(), np.zeros((2, 6)))
    assert int(got.status) == Status.RESOLVED


def test_an_orbit_that_leaves_the_numbers_is_diverged() -> None:
    got = sensitivities(network("elman", "relu"), (np.eye(3) * 1e10, np.zeros(3)), np.ones(3), 100)
    assert int(got.status) == Status.DIVERGED


def test_hazard_26_another_number_of_steps_compiles_nothing() -> None:
    sensitivities(doya(1.0), (5.0, -2.4), 0.3, 10)
    before = evaluate._cache_size()
    for steps in (11, 40, 200):
        sensitivities(doya(1.0), (5.1, -2.4), 0.31, steps)
    assert evaluate._cache_size() == before


def test_vmap_over_parameters() -> None:
    w = jnp.linspace(3.0, 6.0, 4)
    got = jax.vmap(lambda w: sensitivities(doya(1.0), (w, -2.4), 0.3, 20))(w)
    alone = sensitivities(doya(1.0), (float(w[2]), -2.4), 0.3, 20)
    assert float(got.state[2]) == pytest.approx(float(alone.state), rel=1e-14)


propagate = jax.jit(error_ellipsoids.propagate)


def test_ellipsoids_do_not_grow_on_a_rotation() -> None:
    error = propagate(jnp.eye(2), error_ellipsoids.exact(2, jnp.float64), jnp.ones((2, 1)))
    start = float(error.size)
    for _ in range(200):
        error = propagate(jnp.asarray(rotation(0.7, 1.0)), error, jnp.zeros((2, 1)))
    assert float(error.size) == pytest.approx(start, rel=1e-12)


def test_ellipsoids_hold_sampled_errors() -> None:
    rng = np.random.default_rng(2)
    bound, errors = error_ellipsoids.exact(3, jnp.float64), np.zeros((3, 500))
    for _ in range(30):
        jacobian, local = rng.normal(size=(3, 3)) * 0.6, rng.uniform(size=3)
        errors = jacobian @ errors + local[:, None] * rng.choice([-1, 1], size=(3, 500))
        bound = propagate(jnp.asarray(jacobian), bound, jnp.asarray(local[:, None]))
        assert (np.abs(errors).max(axis=1) <= np.asarray(error_ellipsoids.row_bounds(bound)) + 1e-12).all()
    assert float(bound.size) <= 100 * np.linalg.norm(errors, axis=0).max()


def test_ellipsoids_of_numbers_beyond_their_squares() -> None:
    """A box of half widths r is inside the ellipsoid of size √n |r|, also where r² overflows; inf is no size."""
    exact = error_ellipsoids.exact(2, jnp.float64)
    wide = propagate(jnp.eye(2), exact, jnp.asarray([[3e200], [4e200]]))
    assert float(wide.size) == pytest.approx(math.sqrt(2) * 5e200, rel=1e-12)
    np.testing.assert_allclose(
        error_ellipsoids.row_bounds(wide), np.sqrt(2) * np.array([3e200, 4e200]), rtol=1e-12
    )
    assert math.isnan(propagate(jnp.eye(2), exact, jnp.asarray([[math.inf], [1.0]])).size)


def test_arithmetic_without_underflow_adds_no_smallest_number() -> None:
    """x ← a x keeps 1e-290 with all its digits: what a function's own underflow may lose is not counted there."""
    found = sensitivities(_scaling, (0.5,), 1e-290, 20)
    assert int(found.status) == Status.RESOLVED
    assert float(found.state) == 1e-290 * 0.5**20
    assert float(found.state_error) < 1e-13 * float(found.state)


def _scaling(a):
    return jax.tree_util.Partial(lambda a, x, u: a * x, a)


def test_resolution_limit() -> None:
    assert resolution_limit(jnp.float64) == pytest.approx(1e-7, rel=0.01)
    assert resolution_limit(jnp.float32) == pytest.approx(2.3e-3, rel=0.02)


BAD = [
    (
        lambda: sensitivities(DoyaNeuron, (math.nan, 1.0), 0.5, 3),
        ValueError,
        r"parameters\[0\]: expected finite",
    ),
    (lambda: sensitivities(DoyaNeuron, (1.0, "b"), 0.5, 3), TypeError, r"parameters\[1\]: expected real"),
    (lambda: sensitivities(DoyaNeuron, 1.0, 0.5, 3), TypeError, "parameters: expected a tuple"),
    (lambda: sensitivities(DoyaNeuron, (1.0, 1.0), 0.5, -3), ValueError, "steps"),
    (lambda: sensitivities(DoyaNeuron, (1.0, 1.0), 0.5, 2.5), TypeError, "steps"),
    (lambda: sensitivities(DoyaNeuron, (1.0, 1.0), math.inf, 3), ValueError, "x0: expected finite"),
    (
        lambda: sensitivities(DoyaNeuron, (1.0, 1.0), 0.5, 3, inputs=[1.0]),
        ValueError,
        "steps: expected the length",
    ),
    (lambda: sensitivities(lambda w: w, (1.0,), 0.5, 3), TypeError, "cell: expected a callable"),
    (lambda: sensitivities(3, (1.0,), 0.5, 3), TypeError, "family: expected a callable"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_input(call, error, message: str) -> None:
    with pytest.raises(error, match=message):
        call()
