"""Temporal contributions and their partial sums S(m)."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from rnn_dynamics.cells import DoyaNeuron, ElmanRNN, PreActivationRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.credit import partial_sums
from rnn_dynamics.gradients.jacobians import jacobian_product, parameter_gradient
from tests.compilations import compilations
from tests.oracles import neuron

W = np.array([[0.8, -0.5], [0.6, 0.9]])
B = np.array([0.1, -0.2])
V = np.array([[0.5], [-0.25]])


def test_the_last_sum_is_the_gradient(dtype):
    """Against autodiff through the rollout, contributions summed by NumPy, and parameter_gradient."""
    arrays = tuple(a.astype(dtype) for a in (W, B, V))
    x0, u, c = (np.array(a, dtype) for a in ([0.3, -0.1], [[1.0], [0.5], [-0.5]] * 5, [1.0, -2.0]))
    path = rollout(ElmanRNN(*arrays), x0, u)
    found = partial_sums(path, c)
    assert found.sums.shape == found.contributions.shape == (15, 8)
    assert found.sums.dtype == dtype
    assert found.parameters == (*(f"W[{i}]" for i in range(4)), "b[0]", "b[1]", "W_in[0]", "W_in[1]")
    assert found.lags.tolist() == list(range(1, 16))
    grads = jax.grad(lambda a: jnp.dot(jnp.asarray(c), rollout(ElmanRNN(*a), x0, u).final))(
        tuple(map(jnp.asarray, arrays))
    )
    flat = np.concatenate([np.ravel(g) for g in grads])
    limit = {"rtol": 0, "atol": 1e-13 if dtype == "float64" else 5e-5}
    np.testing.assert_allclose(found.sums.to_float()[-1], flat, **limit)
    np.testing.assert_allclose(
        np.cumsum(found.contributions.to_float(), axis=0), found.sums.to_float(), **limit
    )
    whole = parameter_gradient(path, c)
    np.testing.assert_allclose(whole.W.to_float(), grads[0], **limit)
    assert "lags 1 … 15" in repr(found)


@pytest.mark.parametrize(
    ("steps", "along_x0", "along_b"), [(100, 2.5e-2, 10.8), (1000, 8.8e-4, 101), (10_000, 2.8e-5, 1001)]
)
def test_at_the_cusp_contributions_vanish_and_their_sum_diverges(steps, along_x0, along_b):
    path = rollout(DoyaNeuron(4.0, -2.0), 0.3, steps=steps)
    found = partial_sums(path, 1.0)
    at = found.parameters.index("b")
    truth = neuron.sensitivities(4.0, -2.0, 0.3, steps)
    dx0 = float(jacobian_product(path).to_float())
    db = float(found.sums.to_float()[-1, at])
    assert dx0 == pytest.approx(along_x0, rel=0.02)
    assert db == pytest.approx(along_b, rel=0.005)
    assert dx0 == pytest.approx(float(truth.dx0), rel=1e-9)
    assert db == pytest.approx(float(truth.db), rel=1e-9)
    shares = np.asarray(found.contributions.to_float())[:, at]
    assert (shares > 0).all()
    assert shares[-1] < 0.2 * shares[0]


@pytest.mark.parametrize("epsilon", [1.0, 0.5, 0.25])
def test_on_the_repeller_the_sum_has_a_closed_form(epsilon):
    """x_0 = ½ at w 5, b −2.5: ∂x_T/∂b = (1+ε/4)^T − 1, S(m) = (1+ε/4)^m − 1."""
    steps = 120
    path = rollout(DoyaNeuron(5.0, -2.5, epsilon), 0.5, steps=steps)
    found = partial_sums(path, 1.0)
    got = np.asarray(found.sums.to_float())[:, found.parameters.index("b")]
    lags = np.arange(1, steps + 1)
    np.testing.assert_allclose(got, (1 + epsilon / 4) ** lags - 1, rtol=1e-12)


def test_bengios_three_cases():
    """Vanishing shares make S converge, exploding ones do not, whatever their size."""
    vanish = partial_sums(rollout(DoyaNeuron(5.0, -1.0), 0.8, steps=60), 1.0)
    sums = np.asarray(vanish.sums.to_float())
    assert np.abs(sums[-1] - sums[30]).max() < 1e-9 * np.abs(sums[-1]).max()
    explode = partial_sums(
        rollout(PreActivationRNN([[3.0]], [0.0], activation="linear"), [0.0], steps=3000), [1.0]
    )
    decades = np.asarray(explode.sums.log10())[:, explode.parameters.index("b[0]")]
    assert decades[-1] == pytest.approx(3000 * math.log10(3) - math.log10(2), rel=1e-13)
    saturated = partial_sums(rollout(DoyaNeuron(50.0, -10.0), 0.9, steps=300), 1.0)
    far = np.asarray(saturated.contributions.log10())[-1][:3]  # w, b, ε; w′ has no input
    assert np.isfinite(far).all()
    assert (far < -4000).all()


def logit_step(parameters, x, u):
    return jnp.tanh(parameters["w"] * x + parameters["b"])


def test_names_of_a_users_parameters():
    """Python numbers among the parameters count, and are named like the arrays."""
    path = rollout(Partial(logit_step, {"w": 2.0, "b": jnp.asarray(0.5)}), np.array(0.3), steps=4)
    found = partial_sums(path, 1.0)
    assert found.parameters == ("args[0]['b']", "args[0]['w']")
    assert found.sums.shape == (4, 2)


def test_zero_steps_bad_cotangents_and_repeats():
    path = rollout(ElmanRNN(W, B), [0.1, 0.2], steps=0)
    assert partial_sums(path, [1.0, 0.0]).sums.shape == (0, 6)
    with pytest.raises(ValueError, match="cotangent"):
        partial_sums(path, [1.0])
    with pytest.raises(TypeError, match="trajectory"):
        partial_sums(path.states, [1.0, 0.0])
    with pytest.raises(ValueError, match="no parameters"):
        partial_sums(rollout(sine, 0.3, steps=2), 1.0)
    partial_sums(rollout(ElmanRNN(W, B), [0.1, 0.2], steps=3), [1.0, 0.0])
    with compilations() as fresh:
        partial_sums(rollout(ElmanRNN(0.5 * W, B), [0.1, 0.2], steps=3), [1.0, 0.5])
    assert fresh.count == 0


def sine(x, u):
    return jnp.sin(x)
