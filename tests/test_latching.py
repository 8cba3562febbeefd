"""The one-neuron latch: its critical input, attractors and gradient, and how often training converges."""

import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from rnn_dynamics.cells import PreActivationRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.figures.training.latch import stored
from rnn_dynamics.gradients.jacobians import gradient_norms
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.training.runs.intervals import wilson
from rnn_dynamics.training.studies.latch import (
    critical_input,
    latch_attractors,
    latch_log_gradients,
    latch_orbit,
)
from rnn_dynamics.training.studies.latch_runs import ALLOWED, TARGET, latch_convergence
from tests.compilations import compilations

# As close to 1 as the dtype has it, and up to 10³.
SURPLUSES = {"float32": np.logspace(-6.5, 3, 200), "float64": np.logspace(-15, 3, 200)}


def exact_critical_input(w):
    return mpmath.sqrt(w * (w - 1)) - mpmath.log(mpmath.sqrt(w) + mpmath.sqrt(w - 1))


def test_critical_input_against_fifty_digits(dtype):
    w = (1 + SURPLUSES[dtype]).astype(dtype)
    found = critical_input(w)
    assert found.dtype == dtype
    with mpmath.workdps(50):
        for one, got in zip(w[w > 1], np.asarray(found)[w > 1], strict=True):
            truth = exact_critical_input(mpmath.mpf(float(one)))
            assert abs(mpmath.mpf(float(got)) / truth - 1) < 16 * np.finfo(dtype).eps, one


def test_critical_input_of_the_paper_and_at_the_ends(dtype):
    found = critical_input(np.asarray([1.25, 1.0, 0.5, -2.0], dtype))
    assert float(found[0]) == pytest.approx(0.077805, abs=5e-7)
    assert float(found[1]) == 0
    assert np.isnan(found[2:]).all()


def test_derivative_of_the_critical_input_is_finite_where_the_bit_begins():
    slope = jax.grad(lambda w: critical_input(w))
    assert float(slope(1.0)) == 0
    for w in (1 + 1e-10, 1.25, 3.0):
        with mpmath.workdps(50):
            truth = mpmath.diff(exact_critical_input, mpmath.mpf(w))
        assert float(slope(w)) == pytest.approx(float(truth), rel=1e-12)


def test_attractors_against_fifty_digits(dtype):
    w = (1 + SURPLUSES[dtype][::10]).astype(dtype)
    w = w[w > 1]
    low, high = np.asarray(latch_attractors(w)).T
    assert (low == -high).all()
    with mpmath.workdps(50):
        for one, got in zip(w, high, strict=True):
            at = mpmath.mpf(float(got))
            truth = mpmath.findroot(lambda a, one=one: a * mpmath.coth(a) - mpmath.mpf(float(one)), at)
            assert truth > 0
            assert abs(at / truth - 1) < 8 * np.finfo(dtype).eps, one


def test_without_two_attractors_there_is_no_bit():
    assert np.isnan(latch_attractors(np.asarray([1.0, 0.3, -4.0]))).all()
    assert latch_attractors(np.full((2, 3), 1.5)).shape == (2, 3, 2)


@pytest.mark.parametrize("w", [1.1, 1.25, 2.0, 5.0])
def test_the_sign_is_kept_below_the_critical_input_and_lost_above(w):
    """Simulation by NumPy alone: constant inputs against the sign, and random ones that keep the bound."""
    h, start = float(critical_input(w)), float(latch_attractors(w)[1])
    states = []
    for share in (1 - 1e-3, 1 + 1e-3):
        a = start
        for _ in range(4000):
            a = w * math.tanh(a) - share * h
        states.append(a)
    assert states[0] > 0 > states[1]
    rng, a = np.random.default_rng(0), start
    for push in rng.uniform(-h, h, 4000):
        a = w * math.tanh(a) + push
        assert a > math.acosh(math.sqrt(w))


def test_orbit_and_gradient_are_those_of_the_library(dtype):
    """∂a_T/∂a_k of the general machinery, whose state a is one unit before its activation."""
    w, steps = 1.7, 60
    inputs = (0.1 * np.random.default_rng(1).normal(size=steps)).astype(dtype)
    states = latch_orbit(w, inputs)
    assert states.dtype == dtype
    cell = PreActivationRNN(
        np.asarray([[w]], dtype), np.zeros(1, dtype), np.ones((1, 1), dtype), activation="tanh"
    )
    run = rollout(cell, np.zeros(1, dtype), inputs[:, None])
    close = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-13}
    np.testing.assert_allclose(states, run.states[:, 0], **close)
    logs = latch_log_gradients(w, states)
    assert logs.shape == states.shape
    assert float(logs[-1]) == pytest.approx(
        float(gradient_norms(run)[0]), rel=1e-4 if dtype == "float32" else 1e-11
    )


def test_a_gradient_far_below_the_floats_is_still_a_number():
    """At a = 400 sech² is below the smallest float64."""
    logs = latch_log_gradients(400.0, latch_orbit(400.0, np.zeros(10), 400.0))
    assert float(logs[-1]) == pytest.approx(10 * (math.log(1600) - 800), rel=1e-6)
    assert float(latch_log_gradients(0.0, np.zeros(3))[-1]) == -math.inf


@pytest.mark.parametrize("w", [1.1, 1.5, 3.0])
def test_a_latched_bit_has_a_vanishing_gradient(w):
    """Inputs of up to .9 h*: every factor stays below the one at the least state that they allow."""
    h = 0.9 * float(critical_input(w))
    lowest = float(latch_attractors(w)[1])
    for _ in range(5000):
        lowest = w * math.tanh(lowest) - h
    rate = math.log(w) - 2 * math.log(math.cosh(lowest))
    assert rate < 0
    inputs = np.random.default_rng(2).uniform(-h, h, 500)
    logs = np.asarray(latch_log_gradients(w, latch_orbit(w, inputs, float(latch_attractors(w)[1]))))
    assert (np.diff(logs) <= rate + 1e-9).all()
    # On the repeller, where no bit is, it explodes.
    assert float(latch_log_gradients(w, np.zeros(501))[-1]) == pytest.approx(500 * math.log(w))


@pytest.fixture(scope="module")
def trained():
    weights, noise = np.asarray([0.5, 1.5], np.float32), np.asarray([0.05, 0.3], np.float32)
    return latch_convergence(
        jax.random.key(3),
        weights,
        noise,
        lengths=(8, 30),
        runs=8,
        updates=400,
        checks=4,
        rate=0.1,
        tested=100,
    )


def test_training_converges_where_it_is_easy_and_not_where_there_is_no_bit(trained):
    assert trained.converged.shape == (2, 2, 2)
    assert trained.converged[0, 1, 0] == 1
    assert trained.converged[1, 0].max() <= 0.25
    assert trained.status.dtype == np.int32
    assert set(np.unique(trained.status)) <= {int(Status.CONVERGED), int(Status.MAX_STEPS)}
    ended = trained.status == int(Status.CONVERGED)
    assert (trained.updates[~ended] == 400).all()
    assert (trained.updates % 100 == 0).all()


def test_what_has_learned_latches_fresh_noise(trained):
    """The trained w and inputs, run by NumPy on 2000 sequences that training has not seen."""
    rng = np.random.default_rng(5)
    for run in range(4):
        w, h = float(trained.trained[0, 1, 0, run]), trained.inputs[0, 1, 0, run].astype(float)
        for sign, first in zip((1, -1), h, strict=True):
            inputs = np.concatenate([np.tile(first, (2000, 1)), 0.05 * rng.normal(size=(2000, 5))], axis=1)
            a = np.zeros(2000)
            for at in inputs.T:
                a = w * np.tanh(a) + at
            assert np.mean(sign * a <= 0) < 3 * ALLOWED
            assert abs(np.mean(np.tanh(a)) - sign * TARGET) < 0.3


def test_the_gradient_vanishes_along_training_and_with_length(trained):
    logs = np.median(trained.log_gradients[:, 1, 0], axis=1)
    assert logs.shape == (2, 5)
    assert (logs[1] < logs[0]).all()
    assert logs[1, -1] < math.log(1e-3)


def test_one_update_is_gradient_descent():
    """Against central differences of the loss in NumPy, at the one sequence without noise."""
    options = {"lengths": (6,), "runs": 1, "updates": 1, "checks": 1, "rate": 0.1, "tested": 1}
    weights, noise = np.asarray([1.3]), np.asarray([0.0])
    moved = latch_convergence(jax.random.key(0), weights, noise, **options)
    same = latch_convergence(jax.random.key(0), weights, noise, **{**options, "rate": 1e-300})

    def loss(p):
        a = np.zeros(2)
        for t in range(6):
            a = p[0] * np.tanh(a) + (p[1:].reshape(2, 3)[:, t] if t < 3 else 0)
        return np.mean((np.tanh(a) - np.asarray([TARGET, -TARGET])) ** 2)

    start = np.concatenate([same.trained.ravel(), same.inputs.ravel()])
    steps = 1e-6 * np.eye(7)
    slopes = np.asarray([(loss(start + e) - loss(start - e)) / 2e-6 for e in steps])
    after = np.concatenate([moved.trained.ravel(), moved.inputs.ravel()])
    np.testing.assert_allclose(after, start - 0.1 * slopes, rtol=1e-7, atol=1e-9)


def test_a_run_that_diverges_is_named_and_leaves_the_others_alone():
    """At w_0 = 10³⁰ the state saturates, the gradient is 0, and no rate moves it."""
    weights, noise = np.asarray([1.5, 1e30], np.float32), np.asarray([0.05, 0.1], np.float32)
    options = {"lengths": (8,), "runs": 8, "updates": 400, "checks": 4, "tested": 100}
    found = latch_convergence(jax.random.key(3), weights, noise, rate=3e38, **options)
    diverged = found.status[0] == int(Status.DIVERGED)
    assert diverged[0].any()
    assert not diverged[1].any()
    assert (found.trained[0, 1] == weights[1]).all()
    assert f"{diverged.sum()} diverged" in repr(found)


def test_another_length_of_the_same_padding_compiles_nothing_more(trained):
    weights, noise = np.asarray([0.7, 2.0], np.float32), np.asarray([0.1, 0.2], np.float32)
    with compilations() as asked:
        latch_convergence(
            jax.random.key(1),
            weights,
            noise,
            lengths=(11,),
            runs=8,
            updates=200,
            checks=2,
            rate=0.05,
            tested=100,
        )
    assert asked.count == 0


def test_wilson_solves_its_equation():
    """|p − k/n| = z √(p(1−p)/n) at both ends."""
    low, high = wilson(7, 18)
    for end in (low, high):
        assert abs(end - 7 / 18) == pytest.approx(
            1.959963984540054 * math.sqrt(end * (1 - end) / 18), rel=1e-12
        )
    trials = np.arange(1, 200)
    assert (wilson(0, trials)[0] == 0).all()
    assert (wilson(trials, trials)[1] == 1).all()


BAD = [
    ({"weights": [[1.0]]}, "weights"),
    ({"weights": []}, "weights"),
    ({"weights": [math.nan]}, "weights"),
    ({"noise": [-0.1]}, "noise"),
    ({"lengths": (3,)}, "lengths"),
    ({"lengths": ()}, "lengths"),
    ({"lengths": (20.5,)}, "lengths"),
    ({"runs": 0}, "runs"),
    ({"checks": 7}, "checks"),
    ({"rate": 0.0}, "rate"),
    ({"spread": "x"}, "spread"),
    ({"batch": 1.5}, "batch"),
    ({"key": 3.5}, "key"),
]


@pytest.mark.parametrize(("change", "name"), BAD, ids=[f"{name}-{i}" for i, (_, name) in enumerate(BAD)])
def test_bad_input_is_named(change, name):
    given = {"key": jax.random.key(0), "weights": [1.25], "noise": [0.2], **change}
    with pytest.raises((TypeError, ValueError), match=name):
        latch_convergence(given.pop("key"), given.pop("weights"), given.pop("noise"), **given)


def test_bad_input_of_the_neuron_is_named():
    with pytest.raises(TypeError, match="w: "):
        critical_input("x")
    with pytest.raises(ValueError, match="inputs: "):
        latch_orbit(1.0, jnp.zeros((2, 2)))
    with pytest.raises(ValueError, match="states: "):
        latch_log_gradients(1.0, jnp.zeros(0))
    with pytest.raises(ValueError, match="trials: "):
        wilson(0, 0)
    with pytest.raises(ValueError, match="successes: "):
        wilson(3, 2)


@pytest.mark.soak
def test_stored_counts_of_the_figure_are_those_of_fresh_runs():
    found = stored()
    weights, noise = np.asarray([1.25], np.float32), np.asarray([0.1, 0.2, 0.3], np.float32)
    fresh = latch_convergence(jax.random.key(7), weights, noise, lengths=(20, 40), runs=200)
    kept = found.by_length[np.isin(found.lengths, [20, 40])] / found.runs_by_length
    spread = np.sqrt(2 * np.maximum(kept * (1 - kept), 0.02) / 200)
    assert (np.abs(fresh.converged[:, 0] - kept) < 4 * spread).all()
