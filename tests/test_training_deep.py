"""Networks in depth: Boltzmann machines against enumeration in NumPy, weights' moments, training of every kind."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.cells import FeedForward, activations, initializers
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.figures.training import depth
from rnn_dynamics.training.recipes import boltzmann
from rnn_dynamics.training.recipes.boltzmann import boltzmann_machine, contrastive_divergence, log_likelihood
from rnn_dynamics.training.studies import depth as deep
from tests.compilations import compilations

HIDDEN, VISIBLE = 4, 4
RNG = np.random.default_rng(3)
W, B, C = RNG.normal(size=(HIDDEN, VISIBLE)), RNG.normal(size=VISIBLE), RNG.normal(size=HIDDEN)
IMAGES = deep.bars_and_stripes(2)


def machine_of(dtype="float64"):
    return boltzmann_machine(W.astype(dtype), B.astype(dtype), C.astype(dtype))


def states(units):
    return np.array(list(itertools.product([0, 1], repeat=units)), float)


def joint():
    """p(v, h) of every pair of states, shape (2^visible, 2^hidden), by the energy alone."""
    v, h = states(VISIBLE), states(HIDDEN)
    weights = np.exp(v @ B[:, None] + (h @ C)[None] + v @ W.T @ h.T)
    return weights, v, h


def exact_gradient(data):
    """Of the mean log-likelihood: ⟨h vᵀ⟩ given the data less that of the model, each a sum over states."""
    weights, v, h = joint()
    model = weights / weights.sum()
    total = [np.einsum("vh,hj,vi->ji", model, h, v), model.sum(axis=1) @ v, model.sum(axis=0) @ h]
    for row in data:
        given = weights[(v == row).all(axis=1)][0]
        mean = given / given.sum() @ h
        for sign, part in zip(total, (np.outer(mean, row), row, mean), strict=True):
            sign -= part / len(data)
    return [-part for part in total]


def test_free_energy_is_that_of_the_sum_over_hidden_states(dtype):
    weights, v, _ = joint()
    found = boltzmann.free_energy(machine_of(dtype), jnp.asarray(v, dtype))
    assert found.dtype == dtype
    np.testing.assert_allclose(
        found, -np.log(weights.sum(axis=1)), rtol=1e-5 if dtype == "float32" else 1e-12
    )


def test_partition_and_likelihood_by_enumeration_and_of_either_layer(dtype):
    weights, v, _ = joint()
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    machine = machine_of(dtype)
    assert float(boltzmann.log_partition(machine)) == pytest.approx(math.log(weights.sum()), rel=tolerance)
    probabilities = weights.sum(axis=1) / weights.sum()
    truth = np.mean([np.log(probabilities[(v == row).all(axis=1)][0]) for row in IMAGES])
    assert float(log_likelihood(machine, IMAGES)) == pytest.approx(truth, rel=tolerance)
    # Three hidden units of four: the sum goes over the other layer.
    narrow = boltzmann_machine(W[:3].astype(dtype), B.astype(dtype), C[:3].astype(dtype))
    by_visible = np.log(np.exp(-np.asarray(boltzmann.free_energy(narrow, jnp.asarray(v, dtype)))).sum())
    assert float(boltzmann.log_partition(narrow)) == pytest.approx(by_visible, rel=tolerance)


def test_units_given_the_other_layer_have_the_probabilities_of_the_joint_one():
    weights, v, h = joint()
    up = (weights @ h) / weights.sum(axis=1, keepdims=True)
    down = (weights.T @ v) / weights.sum(axis=0)[:, None]
    np.testing.assert_allclose(boltzmann.hidden_probabilities(machine_of(), jnp.asarray(v)), up, rtol=1e-12)
    np.testing.assert_allclose(
        boltzmann.visible_probabilities(machine_of(), jnp.asarray(h)), down, rtol=1e-12
    )


def test_many_steps_of_the_chain_give_the_gradient_and_one_does_not():
    """Chains of 40 steps from 50 copies of the data: within 5 standard errors of the exact gradient."""
    truth = np.concatenate([part.ravel() for part in exact_gradient(IMAGES)])
    data = np.repeat(IMAGES, 50, axis=0)

    def mean_of(k):
        keys = jax.random.split(jax.random.key(0), 64)
        found = jax.vmap(lambda key: contrastive_divergence(key, machine_of(), data, k=k)[0])(keys)
        values = np.concatenate([np.asarray(leaf).reshape(64, -1) for leaf in found], axis=1)
        return values.mean(axis=0), values.std(axis=0) / 8

    far, error = mean_of(40)
    assert np.abs(far - truth).max() < 5 * error.max()
    near, _ = mean_of(1)
    assert near @ truth > 0.3 * np.linalg.norm(near) * np.linalg.norm(truth)
    assert np.linalg.norm(near - truth) > 10 * np.linalg.norm(far - truth)


def test_the_exact_gradient_is_that_of_the_likelihood():
    by_autodiff = jax.grad(lambda machine: log_likelihood(machine, IMAGES))(machine_of())
    for found, truth in zip(by_autodiff, exact_gradient(IMAGES), strict=True):
        np.testing.assert_allclose(found, truth, atol=1e-12)


@pytest.mark.parametrize("persistent", [False, True])
def test_contrastive_divergence_raises_the_likelihood(persistent):
    """Bars and stripes of 2×2, 6 images: at best −ln 6 = −1.79; independent pixels have −ln 16 = −2.77."""
    machine = boltzmann_machine(0.1 * W, np.zeros(VISIBLE), np.zeros(HIDDEN))
    before, data = float(log_likelihood(machine, IMAGES)), np.repeat(IMAGES, 5, axis=0)

    def step(carry, key):
        machine, chains = carry
        start = chains if persistent else None
        machine, moved = boltzmann.update(key, machine, data, rate=0.3, k=5, chains=start)
        return (machine, moved if persistent else chains), None

    keys = jax.random.split(jax.random.key(0), 2000)
    first = jnp.asarray(data)
    (machine, _), _ = jax.jit(lambda m: jax.lax.scan(step, (m, first), keys))(machine)
    after = float(log_likelihood(machine, IMAGES))
    assert before == pytest.approx(-math.log(16), abs=0.2)
    assert -math.log(6) - 0.4 < after < -math.log(6)


def test_pretrained_layers_are_those_of_the_network_and_narrow_data_stand_in_the_first_units():
    def pretrained(dtype):
        data = np.tile(IMAGES, (5, 1)).astype(dtype)
        return boltzmann.pretrain(jax.random.key(0), data, 3, 6, updates=2000, batch=20)

    shapes = jax.eval_shape(lambda: pretrained("float64"))
    assert {name: (leaf.shape, leaf.dtype) for name, leaf in shapes.items()} == {
        "W": ((3, 6, 6), "float64"),
        "b": ((3, 6), "float64"),
    }
    layers = pretrained("float32")
    one, other = (
        rollout(FeedForward("logistic"), np.r_[image, 0, 0].astype(np.float32), layers).states
        for image in IMAGES[1:3]
    )
    assert one.dtype == "float32"
    assert np.isfinite(one).all()
    # With its first weights of 0.01 a layer tells no images apart; here another makes another state.
    assert np.abs(np.asarray(one[1] - other[1])).max() > 0.05


def test_kumars_rule_gives_the_published_numbers():
    def deviation(activation):
        return float(np.std(initializers.kumar(jax.random.key(0), 300, activation=activation))) * 300**0.5

    assert deviation("logistic") == pytest.approx(math.sqrt(64 / 5), rel=0.01)
    assert round(math.sqrt(64 / 5), 1) == 3.6
    assert deviation("tanh") == pytest.approx(1, rel=0.01)
    assert deviation(activations.Activation("twice", lambda z: 2 * z + 1)) == pytest.approx(
        1 / math.sqrt(8), rel=0.01
    )
    for activation in ("relu", lambda z: z**3):
        with pytest.raises(ValueError, match=r"^activation: expected one with a slope at 0"):
            initializers.kumar(jax.random.key(0), 3, activation=activation)


def test_yilmaz_and_polis_mean_keeps_the_direction_of_equal_units():
    """m = σ(−8 m) by bisection; its multiplier −8 σ′, the 2-cycle, and the sums of the weights."""
    low, high, m = 0.0, 1.0, 0.5
    for _ in range(60):
        m = (low + high) / 2
        low, high = (m, high) if 1 / (1 + math.exp(8 * m)) > m else (low, m)
    assert m == pytest.approx(0.1852, abs=5e-5)
    assert -8 * m * (1 - m) == pytest.approx(-1.207, abs=5e-4)
    cycle = [0.1]
    for _ in range(200):
        cycle.append(1 / (1 + math.exp(8 * cycle[-1])))
    assert sorted(cycle[-2:]) == pytest.approx([0.0277, 0.4449], abs=5e-5)
    assert 8 * math.prod(m * (1 - m) for m in cycle[-2:]) ** 0.5 == pytest.approx(0.652, abs=5e-4)
    W = np.asarray(initializers.yilmaz_poli(jax.random.key(0), 400))
    assert W.sum(axis=1).mean() == pytest.approx(-8, abs=5 * 0.1)
    assert W.std() == pytest.approx(0.1, rel=0.02)
    assert np.asarray(initializers.yilmaz_poli(jax.random.key(0), 5, deviation=1e-9)) == pytest.approx(-1)


def test_bars_and_stripes_are_rows_or_columns():
    assert len(IMAGES) == 6
    assert len(deep.bars_and_stripes(3)) == 14
    found, classes = map(np.asarray, deep.images(jax.random.key(0), 400, 3, flips=0))
    squares = found.reshape(-1, 3, 3)
    np.testing.assert_array_equal((squares == squares[:, :, :1]).all(axis=(1, 2)), classes == 0)
    np.testing.assert_array_equal((squares == squares[:, :1]).all(axis=(1, 2)), classes == 1)
    assert len(np.unique(found, axis=0)) == 12
    noisy, again = map(np.asarray, deep.images(jax.random.key(0), 400, 3, flips=0.1))
    np.testing.assert_array_equal(again, classes)
    assert (noisy != found).mean() == pytest.approx(0.1, abs=0.03)


def test_seeds_train_as_one_and_those_that_fail_or_diverge_are_told():
    def trained(seed, updates):
        return deep.train_deep(jax.random.key(seed), "ReLU, He", 2, side=3, seeds=3, rates=(0.03, 1e6),
                               updates=updates, chunk=300, fresh=500, allowed=0.25)  # fmt: skip

    runs = trained(0, 1200)
    with compilations() as fresh:
        trained(1, 300)
    assert fresh.count == 0
    assert runs.learned.shape == runs.wrong.shape == runs.diverged.shape == (2, 3)
    assert runs.learned[0].sum() >= 2
    assert not runs.learned[1].any()
    assert runs.diverged[1].any()
    assert runs.best == 0
    assert (runs.updates[runs.learned] % 300 == 0).all()
    assert (runs.wrong[runs.learned] < 0.3).all()
    assert "of 3 learned at rate 0.03" in repr(runs)
    assert runs.after.layers["W"].shape == (2, 3, 2, 9, 9)
    first = np.asarray(runs.before.layers["W"])
    np.testing.assert_array_equal(first[0], first[1])


def test_the_stored_norms_are_those_of_the_networks_training_starts_from():
    name, length = "logistic, Kumar", depth.DEPTHS[0]
    found = depth.stored()[0][name, length]
    start, _ = jax.random.split(jax.random.key(length))
    network = jax.jit(lambda key: deep.initial(key, name, length, 6))(jax.random.split(start, depth.SEEDS)[0])
    inputs = np.asarray(deep.images(jax.random.key(2), 32, 6)[0], float)
    layers = {key: np.asarray(leaf, float) for key, leaf in network.layers.items()}
    np.testing.assert_allclose(depth.norms_of(name, layers, inputs), found.before[0], atol=1e-3)
    # The product of the Jacobians of one image, in NumPy.
    x, product = inputs[0], np.eye(36)
    for W in layers["W"]:
        x = 1 / (1 + np.exp(-W @ x))
        product = (x * (1 - x))[:, None] * W @ product
    one = depth.norms_of(name, layers, inputs[:1])
    assert one[0] == pytest.approx(math.log(np.linalg.norm(product) / 6), abs=1e-9)


@pytest.mark.soak
def test_batch_normalised_relu_layers_explode_at_their_first_weights():
    """E φ′²/Var φ = (1/2)/((π − 1)/(2π)) of a standard normal z (Yang et al. 2019)."""
    assert depth.batch_norm_growth(64, 10) == pytest.approx(math.pi / (math.pi - 1), abs=0.06)


@pytest.mark.parametrize("name", deep.NETWORKS)
def test_every_network_starts_with_the_layers_its_cell_takes(name):
    network = jax.eval_shape(lambda key: deep.initial(key, name, 3, 2), jax.random.key(0))
    cell = deep.cell_of(name, 5)
    inputs = jax.ShapeDtypeStruct((5, 4), jnp.float32)
    logits = jax.eval_shape(lambda n, x: deep.logits_of(cell, n, x), network, inputs)
    assert logits.shape == (5, 2)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "^visible:", lambda: boltzmann_machine(W, B[:2], C)),
        (ValueError, "^hidden:", lambda: boltzmann_machine(W, B, C[:2])),
        (ValueError, "^data: expected rows of 4", lambda: log_likelihood(machine_of(), np.zeros((3, 5)))),
        (ValueError, "^data: .*from 0 to 1", lambda: log_likelihood(machine_of(), np.full((3, 4), 2.0))),
        (ValueError, "^data:", lambda: log_likelihood(machine_of(), np.zeros((0, 4)))),
        (
            ValueError,
            "^machine: expected a layer of at most 16",
            lambda: boltzmann.log_partition(boltzmann_machine(np.eye(17), np.zeros(17), np.zeros(17))),
        ),
        (ValueError, "^k:", lambda: contrastive_divergence(jax.random.key(0), machine_of(), IMAGES, k=0)),
        (
            ValueError,
            "^chains:",
            lambda: contrastive_divergence(jax.random.key(0), machine_of(), IMAGES, chains=np.zeros((2, 3))),
        ),
        (ValueError, "^rate:", lambda: boltzmann.update(jax.random.key(0), machine_of(), IMAGES, rate=0)),
        (ValueError, "^data: expected rows of at most 3", lambda: boltzmann.pretrain(0, IMAGES, 2, 3)),
        (ValueError, "^layers:", lambda: boltzmann.pretrain(jax.random.key(0), IMAGES, 0, 4)),
        (ValueError, "^updates:", lambda: boltzmann.pretrain(jax.random.key(0), IMAGES, 1, 4, updates=0)),
        (ValueError, "^name:.*logistic", lambda: deep.train_deep(jax.random.key(0), "tanh", 2)),
        (ValueError, "^depth:", lambda: deep.train_deep(jax.random.key(0), "logistic", 0)),
        (ValueError, "^rates:", lambda: deep.train_deep(jax.random.key(0), "logistic", 1, rates=(-1.0,))),
        (ValueError, "^allowed:", lambda: deep.train_deep(jax.random.key(0), "logistic", 1, allowed=0)),
        (ValueError, "^side:", lambda: deep.images(jax.random.key(0), 3, 1)),
        (ValueError, "^side:", lambda: deep.bars_and_stripes(0)),
        (TypeError, "^key:", lambda: initializers.kumar(0, 3)),
        (ValueError, "^n:", lambda: initializers.yilmaz_poli(jax.random.key(0), 0)),
    ],
)  # fmt: skip
def test_errors_name_the_argument(error, message, call):
    with pytest.raises(error, match=message):
        call()
