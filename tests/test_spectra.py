"""Singular spectra of long products of Jacobians against compound matrices in balls; hazards 5 and 6."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import digamma

from rnn_dynamics.cells import DoyaNeuron, ElmanRNN, LeakyRNN, random_rnn
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import gradient_norms, jacobian_product, pushforward, step_jacobians
from rnn_dynamics.gradients.singular_values import singular_spectrum, spectra_by_lag
from rnn_dynamics.numerics.product_svd import product_svd, seats_after
from rnn_dynamics.numerics.status import Status
from tests.marks import FLOAT32_IN_SOAK
from tests.oracles import products
from tests.oracles.products import Network
from tests.test_jacobians import NETWORKS, cell_of

# Last bits are what these tests are about.
pytestmark = pytest.mark.shipped

STEPS = 2000
LIMIT = {"float64": 1e-11, "float32": 5.4e-3}


def checked(found, truth: np.ndarray, dtype: str) -> int:
    """Assert that every value is right within the limit or flagged; return how many are right and not flagged."""
    values, status = np.asarray(found.log, float) / np.log(2), np.asarray(found.status)
    scale = max(1.0, np.abs(truth[np.isfinite(truth)]).max(initial=0.0))
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(values - truth) <= LIMIT[dtype] * scale)
    assert (status[wrong] == Status.UNRESOLVED).all()
    assert (np.diff(values[np.isfinite(values)]) <= 0).all()
    return int((status == Status.RESOLVED).sum())


#: Networks with a value that one step hides from floats: beyond their digits, or by a slope that underflows.
HIDDEN = {"non-normal, tanh": 1, "saturated, logistic": 1}


@pytest.mark.parametrize("name", NETWORKS)
def test_long_products_of_small_networks(name):
    net, x0 = NETWORKS[name]
    rank = 1 if name == "rank one" else None
    truth = np.array([float(value) for value in products.log2_singular_values(net, x0, STEPS, rank)])
    found = singular_spectrum(rollout(cell_of(net), x0, steps=STEPS))
    assert checked(found, truth, "float64") == np.isfinite(truth).sum() - HIDDEN.get(name, 0)
    # Whether zeros cancel to the last bit depends on the processor's instructions; no zero passes for a number.
    zeros = np.isneginf(truth)
    assert (np.asarray(found.status)[zeros] == Status.UNRESOLVED).all()
    assert (np.asarray(found.log)[zeros] < np.asarray(found.log)[~zeros].min(initial=np.inf)).all()


@pytest.mark.parametrize("size", [2, 4, 10])
def test_every_two_rows_meet_once_a_sweep(size):
    order, met = list(range(size)), []
    for _ in range(size - 1):
        met += [frozenset((order[i], order[-1 - i])) for i in range(size // 2)]
        order = [order[seat] for seat in seats_after(size)]
    assert order == list(range(size))
    assert len(set(met)) == len(met) == size * (size - 1) // 2


@pytest.mark.parametrize(
    ("seed", "dtype"),
    [
        *((seed, "float64") for seed in range(3)),
        (0, "float32"),
        *(pytest.param(seed, "float32", marks=pytest.mark.soak) for seed in (1, 2)),
    ],
)
def test_random_networks_of_five(seed, dtype):
    rng = np.random.default_rng(seed)
    W = (rng.normal(size=(5, 5)) * [0.5, 0.8, 0.6][seed]).astype(np.float32).astype(float)
    b, x0 = np.round(rng.normal(size=5), 3).astype(np.float32), np.full(5, 0.25)
    kind = ("elman", "preactivation", "leaky")[seed]
    net = Network(kind, W, b.astype(float), "tanh", 0.5 if kind == "leaky" else None)
    truth = np.array([float(value) for value in products.log2_singular_values(net, x0, 120)])
    found = singular_spectrum(rollout(cell_of(net, dtype), x0.astype(dtype), steps=120))
    assert found.log.dtype == dtype
    assert checked(found, truth, dtype) == 5


def test_hazard_5_an_explicit_product_keeps_only_the_largest():
    net, x0 = NETWORKS["circle"]
    path = rollout(cell_of(net), x0, steps=STEPS)
    explicit = np.linalg.svd(np.asarray(jacobian_product(path).to_float()), compute_uv=False)
    truth = [float(value) for value in products.log2_singular_values(net, x0, STEPS)]
    assert truth[1] < -2700
    assert explicit[1] == 0 or np.log2(explicit[1]) > -80
    np.testing.assert_allclose(singular_spectrum(path).log / np.log(2), truth, rtol=1e-13, atol=1e-12)


def test_hazard_6_logarithms_of_plain_qr_are_no_singular_values():
    W = np.array([[0.5, 8.0], [0.0, 0.4]])
    net = Network("elman", W, np.zeros(2), "linear")
    path = rollout(cell_of(net), np.array([0.1, 0.1]), steps=200)
    frame, sums = np.eye(2), np.zeros(2)
    for jacobian in np.asarray(step_jacobians(path)):
        frame, triangle = np.linalg.qr(jacobian @ frame)
        sums += np.log2(np.abs(np.diag(triangle)))
    truth = np.array([float(v) for v in products.log2_singular_values(net, np.array([0.1, 0.1]), 200)])
    assert np.abs(np.sort(sums)[::-1] - truth).max() > 4
    np.testing.assert_allclose(singular_spectrum(path).log / np.log(2), truth, rtol=1e-13)


def test_directions():
    rng = np.random.default_rng(5)
    cell = ElmanRNN(rng.normal(size=(5, 5)) / 2, rng.normal(size=5))
    path = rollout(cell, np.zeros(5), steps=120)
    found = singular_spectrum(path)
    for directions in (found.left, found.right):
        np.testing.assert_allclose(directions @ directions.T, np.eye(5), atol=1e-13)
    np.testing.assert_allclose(found.log[0], gradient_norms(path)[0], rtol=1e-13)
    grown = pushforward(path, found.right[0])[-1]
    np.testing.assert_allclose(grown.norm().log(), found.log[0], rtol=1e-13)
    aligned = np.asarray(grown.unit) / np.linalg.norm(grown.unit)
    np.testing.assert_allclose(abs(aligned @ np.asarray(found.left[0])), 1, rtol=1e-12)
    short = singular_spectrum(path, start=2, stop=5)
    product = np.asarray(jacobian_product(path, start=2, stop=5).to_float())
    rebuilt = np.asarray(short.left).T * np.exp(np.asarray(short.log)) @ np.asarray(short.right)
    np.testing.assert_allclose(rebuilt, product, rtol=1e-11, atol=1e-14 * np.abs(product).max())
    assert short.steps == 3


def test_determinant_and_measures():
    rng = np.random.default_rng(7)
    path = rollout(LeakyRNN(rng.normal(size=(5, 5)), rng.normal(size=5), leak=0.3), np.zeros(5), steps=120)
    found = singular_spectrum(path)
    determinants = np.linalg.slogdet(np.asarray(step_jacobians(path)))[1]
    np.testing.assert_allclose(5 * found.mean_log, determinants.sum(), rtol=1e-12)
    values = np.asarray(found.log)
    np.testing.assert_allclose(found.spread, values.std(), rtol=1e-14)
    np.testing.assert_allclose(found.log_condition, values[0] - values[-1], rtol=1e-14)
    shares = found.shares(0.5)
    assert float(sum(shares)) == pytest.approx(1)
    assert float(shares.vanishing) == np.mean(values < -0.5 * np.log(10))
    isometry = singular_spectrum(
        rollout(ElmanRNN(np.eye(2), np.zeros(2), activation="linear"), np.ones(2), steps=200)
    )
    assert np.abs(np.asarray(isometry.log)).max() < 1e-12
    assert isometry.shares() == (0.0, 1.0, 0.0)


def _swapped(rng):
    """What grows first shrinks later: the order of the directions turns round half-way."""
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    first, second = turn * [4, 1, 0.5, 0.25], turn.T * [0.125, 1, 3, 6]
    return np.concatenate([np.stack([first] * 40), np.stack([second] * 40)])


# As many factors for each size, so that a size is one program.
FACTORS = {
    "swapped": _swapped,
    "shears": lambda rng: np.stack([np.array([[1, 50.0 * s], [0, 1]]) for s in rng.normal(size=120)]),
    "up and down": lambda rng: np.stack(
        [np.array([[2.0 ** (-1) ** (t // 20), 0.3], [0, 0.5]]) for t in range(120)]
    ),
    "rotations": lambda rng: np.linalg.qr(rng.normal(size=(80, 4, 4)))[0],
    "repeated": lambda rng: np.stack([np.linalg.qr(rng.normal(size=(4, 4)))[0] * [2, 2, 0.5, 0.5]] * 80),
    "graded rows": lambda rng: rng.normal(size=(80, 4, 4)) * np.array([1, 1e-3, 1e-6, 1e-9])[:, None],
    "graded columns": lambda rng: rng.normal(size=(80, 4, 4)) * np.array([1, 1e-3, 1e-6, 1e-9]),
    "nearly singular": lambda rng: np.ones((30, 3, 3)) + 1e-7 * rng.normal(size=(30, 3, 3)),
    "one zero step": lambda rng: np.concatenate([rng.normal(size=(149, 3, 3)), np.zeros((1, 3, 3))]),
    "a lost direction": lambda rng: np.concatenate(
        [rng.normal(size=(149, 3, 3)), np.diag([1.0, 1, 0])[None]]
    ),
    "huge and tiny": lambda rng: rng.normal(size=(150, 3, 3)) * 10.0 ** rng.integers(-150, 150, (150, 1, 1)),
    "companion": lambda rng: np.stack([np.array([[0, 1.0, 0], [0, 0, 1], [1e-4, 0, 0.2]])] * 150),
}
#: Values that one step alone hides, or, at a condition of 1e9 a step, keeps to too few digits.
LOST = {
    "nearly singular": 2,
    "one zero step": 3,
    "a lost direction": 1,
    "graded rows": 2,
    "graded columns": 2,
}


@jax.jit
def decomposed(factors):
    """The singular values of the product of given matrices."""
    return product_svd(lambda m: m, factors, factors.shape[1], factors.dtype)


@pytest.mark.parametrize("name", FACTORS)
def test_products_made_to_be_hard(name):
    factors = FACTORS[name](np.random.default_rng(11))
    truth = np.array([float(value) for value in products.log2_singular_values_of(factors)])
    found = decomposed(jnp.asarray(factors))
    values, errors = np.asarray(found.log2), np.asarray(found.error)
    scale = max(1.0, np.abs(truth[np.isfinite(truth)]).max(initial=0.0))
    with np.errstate(invalid="ignore"):
        right = np.abs(values - truth) <= 1e-11 * scale
    assert right[errors <= 1e-11 * scale].all(), (values - truth, errors)
    assert (errors > 1e-11 * scale).sum() <= LOST.get(name, 0), errors


def test_newmans_exponents():
    """λ_i = ½(ln 2 + ψ((N − i + 1)/2)) for Gaussian matrices with entries of variance 1 (Newman 1986)."""
    size, steps = 6, 4000
    factors = jnp.asarray(np.random.default_rng(1).normal(size=(steps, size, size)))
    found = decomposed(factors)
    exact = 0.5 * (np.log(2) + digamma((size - np.arange(size)) / 2))
    np.testing.assert_allclose(found.log2 * np.log(2) / steps, exact, atol=0.06)
    assert (np.asarray(found.error) < 1e-8).all()


def test_jit_vmap_neurons_and_nothing_between():
    rng = np.random.default_rng(3)
    cell, starts = ElmanRNN(rng.normal(size=(5, 5)) / 2, np.zeros(5)), rng.normal(size=(3, 5))
    together = jax.jit(jax.vmap(lambda x: singular_spectrum(rollout(cell, x, steps=120)).log))(starts)
    for start, values in zip(starts, together, strict=True):
        alone = singular_spectrum(rollout(cell, start, steps=120))
        np.testing.assert_allclose(values, alone.log, rtol=1e-12)
    neuron = rollout(DoyaNeuron(5.0, -2.4), 0.3, steps=50)
    np.testing.assert_allclose(singular_spectrum(neuron).log, gradient_norms(neuron)[:1], rtol=1e-13)
    nothing = singular_spectrum(rollout(cell, starts[0], steps=120), start=7, stop=7)
    assert np.abs(np.asarray(nothing.log)).max() < 1e-15
    assert (np.asarray(nothing.status) == Status.RESOLVED).all()


def test_wrong_arguments_are_named():
    path = rollout(DoyaNeuron(5.0, -2.4), 0.3, steps=5)
    for arguments, name in (({"start": 6}, "start"), ({"stop": 9}, "stop"), ({"start": 1.5}, "start")):
        with pytest.raises((TypeError, ValueError), match=rf"^{name}:"):
            singular_spectrum(path, **arguments)
    with pytest.raises(TypeError, match=r"^trajectory:"):
        singular_spectrum(np.zeros(3))
    with pytest.raises(ValueError, match=r"^decades:"):
        singular_spectrum(path).shares(-1)
    assert "1 values over 5 steps" in repr(singular_spectrum(path))


def test_a_diverged_trajectory_says_so():
    cell = ElmanRNN(np.diag([1e200, 1.0]), np.zeros(2), activation="linear")
    found = singular_spectrum(rollout(cell, np.ones(2), steps=4))
    assert (np.asarray(found.status) == Status.DIVERGED).all()


@FLOAT32_IN_SOAK
def test_spectra_at_many_lags_are_those_of_each_lag(dtype):
    cell = random_rnn(jax.random.key(4), 5, spectral_radius=1.2, dtype=dtype)
    run = rollout(cell, np.full(5, 0.2, dtype), steps=120)
    found = spectra_by_lag(run, [0, 1, 17, 120], stop=120)
    rounding = 2e-4 if dtype == "float32" else 1e-11
    for lag, log, status in zip(found.lags, found.log, found.spectra.status, strict=True):
        alone = singular_spectrum(run, start=120 - lag, stop=120)
        np.testing.assert_allclose(log, alone.log, atol=rounding * (1 + np.abs(alone.log).max()))
        np.testing.assert_array_equal(status, alone.status)
    assert found.log.dtype == dtype
    assert "SpectraByLag(5 values at 4 lags" in repr(found)
    for wrong in ([], [51], [-1], 3):
        with pytest.raises((TypeError, ValueError), match="lags"):
            spectra_by_lag(run, wrong, stop=50)
