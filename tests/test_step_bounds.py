"""Bounds from the single steps: theorems on random networks, exact where they must be."""

import jax
import numpy as np
import pytest

from rnn_dynamics.cells import DoyaNeuron, ElmanRNN, LeakyRNN, PreActivationRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import gradient_norms, step_jacobians
from rnn_dynamics.gradients.singular_values import singular_spectrum
from rnn_dynamics.spectral.step_bounds import step_bounds


def holds(path, dtype: str = "float64") -> bool:
    """smallest ≤ volume ≤ norm ≤ largest at every lag."""
    norms = np.asarray(gradient_norms(path), float)
    lags = np.arange(path.steps, -1, -1)
    size = np.where(np.isfinite(norms), np.abs(norms), 0)
    room = 64 * np.finfo(dtype).eps * (1 + lags) * (1 + size / (1 + lags))
    largest, smallest, volume = (np.asarray(log, float) for log in step_bounds(path))
    ordered = (smallest <= volume + room).all() and (volume <= norms + room).all()
    return bool(ordered and (norms <= largest + room).all())


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("elman", "float32"),
        ("leaky", "float64"),
        *(pytest.param(kind, "float32", marks=pytest.mark.soak) for kind in ("pre", "leaky")),
        *(pytest.param(kind, "float64", marks=pytest.mark.soak) for kind in ("elman", "pre")),
    ],
)
def test_theorems_hold_on_random_networks(kind, dtype):
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n = (2, 3, 6)[seed % 3]
        W = (rng.normal(size=(n, n)) * 10.0 ** rng.uniform(-2, 1)).astype(dtype)
        b = rng.normal(size=n).astype(dtype)
        cell = {
            "elman": lambda W=W, b=b: ElmanRNN(W, b),
            "pre": lambda W=W, b=b: PreActivationRNN(W, b, activation="logistic"),
            "leaky": lambda W=W, b=b: LeakyRNN(W, b, leak=0.4, activation="relu"),
        }[kind]()
        path = rollout(cell, rng.normal(size=n).astype(dtype), steps=30)
        assert step_bounds(path).smallest.dtype == dtype
        assert holds(path, dtype), (kind, seed)


def test_an_orthogonal_network_meets_all():
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    found = step_bounds(
        rollout(ElmanRNN(1.25 * turn, np.zeros(5), activation="linear"), np.ones(5), steps=400)
    )
    exact = np.arange(400, -1, -1) * np.log(1.25)
    for log in found:
        np.testing.assert_allclose(log, exact, atol=1e-10)


def test_the_volume_is_the_mean_of_the_spectrum():
    rng = np.random.default_rng(2)
    path = rollout(ElmanRNN(rng.normal(size=(5, 5)), rng.normal(size=5)), np.zeros(5), steps=150)
    found = step_bounds(path)
    np.testing.assert_allclose(found.volume[0], singular_spectrum(path).mean_log, rtol=1e-11)
    steps = np.linalg.svd(np.asarray(step_jacobians(path)), compute_uv=False)[:, -1]
    np.testing.assert_allclose(found.smallest[0], np.log(steps).sum(), rtol=1e-9)
    assert float(found.smallest[0]) <= float(singular_spectrum(path).log[-1])


def test_a_singular_step_bounds_nothing_and_a_neuron_bounds_all():
    singular = step_bounds(
        rollout(ElmanRNN(np.outer([1.0, 2.0], [0.5, 0.25]), np.zeros(2)), np.ones(2), steps=9)
    )
    assert np.isneginf(np.asarray(singular.smallest[:-1])).all()
    assert float(singular.smallest[-1]) == 0
    neuron = rollout(DoyaNeuron(5.0, -2.4), 0.3, steps=70)
    found = step_bounds(neuron)
    for log in found:
        np.testing.assert_allclose(log, gradient_norms(neuron), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_a_step_of_rank_one_has_no_smallest_singular_value_beyond_rounding(seed):
    """Entries of many digits: the SVD finds small values where there are none, and they count as 0."""
    rng = np.random.default_rng(seed)
    W = np.outer(rng.normal(size=4), rng.normal(size=4))
    found = step_bounds(rollout(ElmanRNN(W, np.zeros(4), activation="linear"), np.zeros(4), steps=2))
    assert np.isneginf(np.asarray(found.smallest[:-1])).all()
    assert float(found.largest[0]) == pytest.approx(2 * np.log(np.linalg.norm(W, 2)), rel=1e-12)


def test_jit_vmap_nothing_and_wrong_arguments():
    cell, starts = ElmanRNN(np.eye(3) * 0.9, np.zeros(3)), np.random.default_rng(1).normal(size=(4, 3))
    together = jax.jit(jax.vmap(lambda x: step_bounds(rollout(cell, x, steps=11))))(starts)
    alone = step_bounds(rollout(cell, starts[2], steps=11))
    np.testing.assert_allclose(together.volume[2], alone.volume, rtol=1e-12)
    np.testing.assert_allclose(together.smallest[2], alone.smallest, rtol=1e-12)
    nothing = step_bounds(rollout(cell, starts[0], steps=0))
    assert np.asarray(nothing.smallest).tolist() == np.asarray(nothing.volume).tolist() == [0.0]
    with pytest.raises(TypeError, match=r"^trajectory:"):
        step_bounds(3)


def test_a_determinant_lost_in_rounding_bounds_nothing():
    """W² = 0 exactly, and LU finds a determinant of rounding; a small one among large entries."""
    nilpotent = np.array([[-78.0, 12, -60], [-52, 8, -40], [91, -14, 70]]) * 2.0**40
    near = np.array([[2.0, 2, -2], [5, 1, -3], [1, 5, -3]]) * (3e6 / 7)
    for W in (nilpotent, near):
        path = rollout(PreActivationRNN(W, np.zeros(3), activation="linear"), np.zeros(3), steps=20)
        assert holds(path)
        assert np.isneginf(np.asarray(step_bounds(path).volume)[:-1]).all()


def test_the_volume_of_saturated_steps_survives_their_scales():
    """J = D W with D over thirty decades: the rows' scales are no rounding."""
    W = np.array([[0.5, 1.0], [-1.0, 0.25]])
    path = rollout(ElmanRNN(W, np.array([0.0, 40.0])), np.zeros(2), steps=5)
    J = np.asarray(step_jacobians(path))
    truth = sum(np.log(np.abs(j[0, 0] * j[1, 1] - j[0, 1] * j[1, 0])) for j in J) / 2
    assert float(step_bounds(path).volume[0]) == pytest.approx(truth, rel=1e-12)
