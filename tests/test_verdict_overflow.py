"""Runs and derivatives that leave the floats: the step, the growth before it, and what would help."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.cells.rollout import Trajectory, rollout
from rnn_dynamics.diagnosis import diagnose
from rnn_dynamics.training import REMEDIES


def linear(radius, dtype="float64", activation="linear"):
    return ElmanRNN((radius * np.eye(2)).astype(dtype), np.zeros(2, dtype), activation=activation)


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("radius", [1.5, 4.0, 1e30])
def test_a_state_that_outgrows_the_floats(dtype, radius, activation):
    """x_t = rᵗ: the first step beyond the largest float, growth ln r a step in state and gradient."""
    run = rollout(linear(radius, dtype, activation), np.ones(2, dtype), steps=3000)
    first = int(run.first_nonfinite)
    power, expected = np.ones((), dtype), 0
    with np.errstate(over="ignore"):
        while np.isfinite(power):
            power, expected = power * np.asarray(radius, dtype), expected + 1
    assert first == expected
    found = diagnose(run)
    assert (found.regime, found.steps, found.measured_steps) == ("diverged", 3000, first - 1)
    assert found.overflow is not None
    assert (found.overflow.what, found.overflow.kind, found.overflow.step) == ("state", "overflow", first)
    tolerance = 1e-4 if dtype == "float32" else 1e-9
    if first > 1:
        assert found.overflow.growth == pytest.approx(math.log(radius), rel=tolerance)
        np.testing.assert_allclose(found.log_norms[::-1], math.log(radius) * np.arange(first), rtol=tolerance)
    if first > 8:
        assert found.exponent == pytest.approx(math.log(radius), rel=tolerance)
    text = str(found)
    assert f"not finite from step {first} of 3000 on" in text
    assert "nan" not in text.lower()
    assert found.remedies
    assert all(remedy.key in REMEDIES for remedy in found.remedies)
    assert "Remedy: smaller recurrent weights" in text
    assert json.loads(found.to_json())["overflow"]["step"] == first
    found.plot()


def test_the_first_step_fails():
    found = diagnose(rollout(linear(1e200), np.full(2, 1e200), steps=5), jnp.sum)
    assert found.overflow is not None
    assert (found.regime, found.overflow.step, found.measured_steps) == ("diverged", 1, 0)
    assert "it is the first step that fails" in str(found)
    assert "nan" not in str(found).lower()
    assert found.remedies[0].key == "orthogonal"
    json.loads(found.to_json())
    found.plot()


def test_a_cell_of_ones_own_that_diverges_is_told_to_normalise():
    cell = jax.tree_util.Partial(lambda w, x, u: w * x * x, jnp.asarray(1.0))
    found = diagnose(rollout(cell, np.full(2, 1.01), steps=100))
    assert found.regime == "diverged"
    assert [remedy.key for remedy in found.remedies] == ["layer normalisation"]


def test_nan_without_growth_is_no_overflow():
    """x → √(x − .5) leaves its domain at a state of size below 1."""
    cell = jax.tree_util.Partial(lambda w, x, u: jnp.sqrt(x - w), jnp.asarray(0.5))
    run = rollout(cell, np.ones(2), steps=20)
    found = diagnose(run)
    assert found.overflow is not None
    assert (found.overflow.kind, found.overflow.step) == ("NaN", int(run.first_nonfinite))
    assert found.remedies == ()
    assert "an operation outside its domain" in str(found)
    assert "Remedy: none of training's" in str(found)


def test_an_input_that_is_not_finite_is_named():
    cell = ElmanRNN(0.5 * np.eye(2), np.zeros(2), np.ones((2, 1)))
    inputs = np.ones((20, 1))
    run = rollout(cell, np.ones(2), inputs)
    inputs[11] = np.inf
    states = np.array(run.states)
    states[12:] = np.nan
    found = diagnose(Trajectory(cell, jnp.asarray(inputs), jnp.asarray(states), jnp.int32(12)))
    assert found.overflow is not None
    assert (found.overflow.kind, found.overflow.step) == ("input", 12)
    assert "the input of step 11 is not finite" in str(found)


def test_a_gradient_beyond_the_floats_with_finite_states():
    """tanh(3 x) at 0: ‖∂x_T/∂x_k‖ = 3ⁿ passes float32's 3.4e38 at n = 81, where jax.grad gives inf."""
    run = rollout(
        ElmanRNN(3 * np.eye(2, dtype="float32"), np.zeros(2, "float32")), np.zeros(2, "float32"), steps=200
    )
    found = diagnose(run, jnp.sum)
    assert (found.regime, found.plain_limit) == ("exploding", 81)
    assert found.log_norms[0] == pytest.approx(200 * math.log(3), rel=1e-5)
    assert [remedy.key for remedy in found.remedies] == ["clipping", "truncated unfolding"]
    assert "plain gradients overflow from lag 81 on" in str(found)
    plain = jax.grad(lambda x: rollout(run.cell, x, steps=200).final.sum())(jnp.zeros(2, "float32"))
    assert not np.isfinite(np.asarray(plain)).any()


def test_a_derivative_that_is_not_finite_has_its_step():
    """√|x − ½| where x comes to ½ at step 3 alone: the state is finite, the derivative there is not."""
    cell = jax.tree_util.Partial(
        lambda w, x, u: jnp.where(u == 3, w * jnp.sqrt(jnp.abs(x - x)), x), jnp.asarray(1.0)
    )
    found = diagnose(rollout(cell, np.ones(2), np.arange(20.0)))
    assert (found.regime, found.remedies) == ("not finite", ())
    assert found.overflow is not None
    assert (found.overflow.what, found.overflow.step) == ("derivative", 3)
    assert found.overflow.growth == pytest.approx(0, abs=1e-12)
    text = str(found)
    assert "the derivative of the step from x_3 is not" in text
    assert "norm over the last 16" in text
    assert "nan" not in text.lower()


@pytest.mark.parametrize("exact", [True, False])
def test_a_loss_whose_derivative_is_not_finite_leaves_the_run_its_verdict(exact):
    run = rollout(linear(0.9), np.ones(2), steps=100)
    found = diagnose(run, lambda x: jnp.sqrt(jnp.sum(jnp.square(0 * x))), exact=exact)
    assert (found.regime, found.horizon) == ("not finite", -1)
    assert found.exponent == pytest.approx(math.log(0.9), abs=1e-12)
    assert (found.state_horizon, found.state_percent) == (9, 43)
    text = str(found)
    assert "its derivative is not finite" in text
    assert "nan" not in text.lower()


def test_runs_of_a_batch_that_overflow_have_their_own_step():
    batch = jax.vmap(lambda x: rollout(linear(10.0), x, steps=400))(
        jnp.array([[0.0, 0.0], [1.0, 1.0], [1e-50, 0]])
    )
    found = diagnose(batch)
    assert found.regimes == {"diverged": 2, "exploding": 1}
    assert [sample.overflow and sample.overflow.step for sample in found.samples] == [None, 309, 359]
    assert "nan" not in str(found)


def test_a_float64_run_that_overflows_slowly_has_a_verdict():
    """Sums of states near the largest float overflow where each of them is finite."""
    cell = ElmanRNN(1.5 * np.eye(3), np.ones(3), activation="linear")
    found = diagnose(rollout(cell, np.ones(3), steps=2000))
    assert found.regime == "diverged"
    assert found.overflow.step == 1748  # 3 · 1.5^t passes 1.8e308 there
    np.testing.assert_allclose(found.exponent, math.log(1.5), rtol=1e-9)
    assert [remedy.key for remedy in found.remedies] == ["orthogonal"]
