"""The task whose trained cells the figures show: its classes, the stored networks, and training anew."""

import jax
import numpy as np
import pytest

from rnn_dynamics.figures.gradients import shared, temporal_order


def test_the_class_is_that_of_the_two_marks():
    inputs, classes = map(np.asarray, temporal_order.sequences(jax.random.key(3), 200))
    assert inputs.shape == (200, 50, 6)
    np.testing.assert_array_equal(inputs.sum(axis=2), 1)
    for sequence, wanted in zip(inputs, classes, strict=True):
        marks = [(step, int(symbol)) for step, symbol in enumerate(sequence.argmax(axis=1)) if symbol < 2]
        assert len(marks) == 2
        (first, low), (second, high) = marks
        assert 5 <= first < 10
        assert 25 <= second < 30
        assert wanted == low + 2 * high
    assert set(classes) == {0, 1, 2, 3}


@pytest.mark.parametrize("name", ["tanh", "LSTM"])
def test_stored_networks_are_as_right_as_stored(name):
    networks, accuracies = temporal_order.trained(name)
    assert len(networks) == len(accuracies) == temporal_order.SEEDS
    found = temporal_order.accuracy(networks, jax.random.key(7), 1000)
    np.testing.assert_allclose(found, accuracies, atol=0.06)


def test_every_cell_is_stored_with_the_shapes_it_starts_from():
    for name in temporal_order.CELLS:
        stored, first = temporal_order.trained(name)[0][0], temporal_order.untrained(name, 0)
        shapes, wanted = ([leaf.shape for leaf in jax.tree_util.tree_leaves(one)] for one in (stored, first))
        assert shapes == wanted
        assert jax.tree_util.tree_structure(stored) == jax.tree_util.tree_structure(first)


def test_newmans_exponent_by_simulation():
    rng, logs, x = np.random.default_rng(0), [], np.ones(4)
    for _ in range(20_000):
        x = rng.normal(0, 0.5, (4, 4)) @ (x / np.linalg.norm(x))
        logs.append(np.log(np.linalg.norm(x)))
    error = np.std(logs) / len(logs) ** 0.5
    assert abs(np.mean(logs) - shared.newman(4)) < 4 * error


def test_tied_layers_repeat_the_first():
    layers = shared.layers_of(np.random.default_rng(0), 5, 3, 2.0, 0.1, tied=True)
    assert layers["W"].shape == (5, 3, 3)
    np.testing.assert_array_equal(layers["W"], np.broadcast_to(layers["W"][:1], (5, 3, 3)))
    np.testing.assert_array_equal(layers["b"], np.broadcast_to(layers["b"][:1], (5, 3)))


@pytest.mark.soak
def test_training_anew_learns_lags_of_45_steps():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # Optax mixes dtypes
        networks, losses = temporal_order.train("LSTM, forget bias 3", seeds=1, updates=1500)
    assert losses[-50:].mean() < 0.02
    (network,) = (jax.tree_util.tree_map(lambda leaf: leaf[0].astype(float), networks),)
    assert temporal_order.accuracy([network], jax.random.key(7))[0] > 0.99
