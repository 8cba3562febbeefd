"""Networks in depth as recurrent maps: against NumPy, networks written independently, autodiff and closed forms."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from rnn_dynamics.cells import (
    BatchNormalized,
    ElmanRNN,
    FeedForward,
    LayerNormalized,
    ResidualBlock,
    deep_parameters,
    initializers,
)
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.diagnosis import diagnose
from rnn_dynamics.dynamics.lyapunov import lyapunov_spectrum
from rnn_dynamics.gradients.credit import credit_by_lag
from rnn_dynamics.gradients.jacobians import gradient_norms, jacobian_product, step_jacobians
from rnn_dynamics.gradients.singular_values import singular_spectrum
from tests.compilations import compilations

N, DEPTH, SAMPLES = 4, 8, 3
RNG = np.random.default_rng(5)
LAYERS = {
    "W": RNG.normal(size=(DEPTH, N, N)) / math.sqrt(N),
    "b": RNG.normal(size=(DEPTH, N)) / 3,
    "gain": RNG.uniform(0.7, 1.4, size=(DEPTH, N)),
    "offset": RNG.normal(size=(DEPTH, N)) / 3,
}
PLAIN = {name: LAYERS[name] for name in ("W", "b")}
X, BATCH = RNG.normal(size=N), RNG.normal(size=SAMPLES * N)


def forward(x, u):
    return np.tanh(u["W"] @ x + u["b"])


def residual(x, u):
    return x + 0.5 * np.tanh(u["W"] @ x + u["b"])


def layer_norm(x, u):
    z = u["W"] @ x + u["b"]
    return 1 / (1 + np.exp(-u["gain"] * (z - z.mean()) / np.sqrt(z.var() + 1e-5) - u["offset"]))


def batch_norm(x, u):
    z = np.stack([u["W"] @ row + u["b"] for row in x.reshape(SAMPLES, N)])
    z = (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-5)
    return np.tanh(u["gain"] * z + u["offset"]).ravel()


CASES = {
    "forward": (FeedForward(), X, PLAIN, forward),
    "residual": (ResidualBlock(scale=0.5), X, PLAIN, residual),
    "layer norm": (LayerNormalized("logistic"), X, LAYERS, layer_norm),
    "batch norm": (BatchNormalized(samples=SAMPLES), BATCH, LAYERS, batch_norm),
}
EVERY = pytest.mark.parametrize("name", CASES)


def at(layers, i):
    return {name: np.asarray(leaf)[i] for name, leaf in layers.items()}


@EVERY
def test_depth_is_the_network_in_numpy(name):
    cell, x, layers, step = CASES[name]
    states = [x]
    for i in range(DEPTH):
        states.append(step(states[-1], at(layers, i)))
    run = rollout(cell, x, layers)
    assert run.steps == DEPTH
    np.testing.assert_allclose(run.states, states, rtol=1e-12, atol=1e-13)


@EVERY
def test_jacobians_are_those_of_autodiff(name):
    cell, x, layers, _ = CASES[name]
    run = rollout(cell, x, layers)
    by_autodiff = jax.jit(jax.vmap(jax.jacfwd(cell)))(
        run.states[:-1], jax.tree_util.tree_map(jnp.asarray, layers)
    )
    np.testing.assert_allclose(step_jacobians(run), by_autodiff, rtol=1e-10, atol=1e-13)


def network(name, x):
    """The whole network in plain JAX, sharing no code with the cells; of batch norm on all samples at once."""
    batched = name == "batch norm"

    def layer(h, u):
        z = jnp.einsum("ij,...j->...i", u["W"], h)
        if name == "batch norm":  # without b, which the batch's mean takes away
            z = (z - z.mean(0)[None]) / jnp.sqrt(z.var(0) + 1e-5)[None]
            return jnp.tanh(z * u["gain"][None] + u["offset"][None]), None
        z = z + u["b"]
        if name == "layer norm":
            return jax.nn.sigmoid((z - z.mean()) / jnp.sqrt(z.var() + 1e-5) * u["gain"] + u["offset"]), None
        return (jnp.tanh(z) if name == "forward" else h + 0.5 * jnp.tanh(z)), None

    return jax.lax.scan(layer, x.reshape(SAMPLES, N) if batched else x, LAYERS)[0].reshape(-1)


@EVERY
def test_the_product_of_jacobians_is_the_gradient_of_the_networks_output(name):
    cell, x, layers, _ = CASES[name]
    truth = np.asarray(jax.jit(jax.jacrev(lambda state: network(name, state)))(jnp.asarray(x)))
    run = rollout(cell, x, layers)
    np.testing.assert_allclose(
        jacobian_product(run).to_float(), truth, rtol=1e-8, atol=1e-10 * abs(truth).max()
    )
    assert float(gradient_norms(run)[0]) == pytest.approx(math.log(np.linalg.norm(truth, 2)), abs=1e-7)


@pytest.mark.parametrize("name", ["layer norm", "batch norm"])
def test_what_measures_gradients_in_time_measures_them_in_depth(name):
    cell, x, layers, _ = CASES[name]
    run = rollout(cell, x, layers)
    spectrum = singular_spectrum(run)
    norms = np.asarray(gradient_norms(run))
    assert float(spectrum.log[0]) == pytest.approx(norms[0], abs=1e-8)
    exponent = float(lyapunov_spectrum(run, exponents=1, blocks=2, discard=DEPTH // 4).values[0])
    found = diagnose(run)
    assert found.exponent == pytest.approx(exponent, rel=1e-14)
    assert math.isfinite(exponent)
    assert found.steps == DEPTH
    np.testing.assert_allclose(found.log_norms, norms, rtol=1e-12)
    assert (found.units is None) == (name == "batch norm")


def test_cell_and_parameters_take_both_dtypes(dtype):
    layers = deep_parameters(jax.random.key(3), 6, N, initializer="kumar", bias=0.1, dtype=dtype)
    assert {leaf.dtype.name for leaf in layers.values()} == {dtype}
    run = rollout(ResidualBlock("logistic", 0.25), jnp.asarray(X, dtype), layers)
    assert run.states.dtype == dtype
    state, truth = X, np.eye(N)
    for i in range(6):
        W, b = (np.asarray(layers[name], float)[i] for name in ("W", "b"))
        y = 1 / (1 + np.exp(-W @ state - b))
        state, truth = state + y / 4, (np.eye(N) + (y * (1 - y) / 4)[:, None] * W) @ truth
    tolerance = 2e-5 if dtype == "float32" else 1e-12
    product = jacobian_product(run)
    assert product.dtype == dtype
    np.testing.assert_allclose(run.final, state, rtol=tolerance)
    np.testing.assert_allclose(product.to_float(), truth, rtol=tolerance, atol=tolerance)


def test_tied_layers_are_elmans_network():
    layers = deep_parameters(jax.random.key(0), DEPTH, N, bias=0.2, tied=True)
    assert all((leaf == leaf[:1]).all() for leaf in map(np.asarray, layers.values()))
    deep = rollout(FeedForward(), X, layers)
    wide = rollout(ElmanRNN(**at(layers, 0)), X, steps=DEPTH)
    np.testing.assert_array_equal(deep.states, wide.states)
    np.testing.assert_allclose(step_jacobians(deep), step_jacobians(wide), rtol=1e-14)
    np.testing.assert_allclose(gradient_norms(deep), gradient_norms(wide), rtol=1e-13, atol=1e-14)


def test_credit_by_layer_of_shared_parameters_adds_up_to_the_gradient():
    layers = deep_parameters(jax.random.key(0), DEPTH, N, bias=0.2, tied=True)
    cell, shared = FeedForward(), at(layers, 0)
    run = rollout(Partial(lambda layer, x, u: cell(x, layer), shared), X, steps=DEPTH)
    credit = credit_by_lag(run, lambda x: jnp.sum(x**2) / 2)

    def loss(layer):
        x = jnp.asarray(X)
        for _ in range(DEPTH):
            x = jnp.tanh(jnp.dot(layer["W"], x) + layer["b"])
        return jnp.sum(x**2) / 2

    (found,) = credit.gradient.args
    for name, truth in jax.jit(jax.grad(loss))(shared).items():
        np.testing.assert_allclose(found[name].to_float(), truth, rtol=1e-9, atol=1e-14)


def test_the_shares_of_a_residual_network_are_those_of_its_layers():
    """α is a setting, no parameter: lag m's share is the gradient of layer T − m."""
    credit = credit_by_lag(rollout(ResidualBlock(scale=0.5), X, PLAIN), lambda x: jnp.sum(x**2) / 2)

    def loss(layers):
        x = jnp.asarray(X)
        for i in range(DEPTH):
            x = x + 0.5 * jnp.tanh(jnp.dot(layers["W"][i], x) + layers["b"][i])
        return jnp.sum(x**2) / 2

    by_layer = jax.jit(jax.grad(loss))(jax.tree_util.tree_map(jnp.asarray, PLAIN))
    truth = np.concatenate([np.asarray(by_layer["W"]).reshape(DEPTH, -1), by_layer["b"]], axis=1)
    np.testing.assert_allclose(credit.inputs.to_float(), truth, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(credit.log_shares, np.log(np.linalg.norm(truth, axis=1))[::-1], atol=1e-9)
    assert set(credit.by("parameter")) == {"W", "b"}


def test_tied_layers_are_a_recurrent_network():
    layers = deep_parameters(jax.random.key(0), DEPTH, N, tied=True)
    found = credit_by_lag(rollout(FeedForward(), X, layers), jnp.sum)
    truth = credit_by_lag(rollout(ElmanRNN(layers["W"][0], layers["b"][0]), X, steps=DEPTH), jnp.sum)
    np.testing.assert_allclose(found.log_sums, truth.log_sums, atol=1e-11)
    np.testing.assert_allclose(found.alignment, truth.alignment, atol=1e-9)
    np.testing.assert_allclose(found.gradient["W"].to_float(), truth.gradient.W.to_float(), rtol=1e-9)
    apart = credit_by_lag(rollout(FeedForward(), X, layers), jnp.sum, tied=False)
    assert apart.gradient is None
    np.testing.assert_allclose(
        apart.log_sums, np.log(np.cumsum(np.exp(2 * apart.log_shares))) / 2, atol=1e-11
    )


def test_two_samples_in_float32_cancel_nothing():
    """1 − ½ − ẑ²/2 = ε/(2 (var + ε)): over 8 layers of gain 100 the product is that of float64."""
    layers = deep_parameters(jax.random.key(1), 8, N, gain=100.0, normalized=True)
    x = np.random.default_rng(0).normal(size=2 * N)
    by_dtype = [
        gradient_norms(rollout(BatchNormalized(), x.astype(d), layers), ord="fro")
        for d in ("float32", "float64")
    ]
    np.testing.assert_allclose(*by_dtype, atol=1e-3)


def test_batch_norm_couples_the_samples():
    cell, x, layers, _ = CASES["batch norm"]
    blocks = np.asarray(step_jacobians(rollout(cell, x, layers))[0]).reshape(SAMPLES, N, SAMPLES, N)
    for s in range(SAMPLES):
        for t in range(SAMPLES):
            assert np.abs(blocks[s, :, t]).max() > 1e-3, (s, t)
    # All samples moved by one vector: the mean takes it away, so the blocks of a row add up to nothing.
    np.testing.assert_allclose(blocks.sum(axis=2), 0, atol=1e-13)
    moved = rollout(cell, x, layers | {"b": layers["b"] + 1})
    np.testing.assert_allclose(moved.states, rollout(cell, x, layers).states, atol=1e-12)


def test_batch_norm_of_permuted_samples_is_permuted():
    cell, x, layers, _ = CASES["batch norm"]
    order = np.array([2, 0, 1])
    turned = rollout(cell, x.reshape(SAMPLES, N)[order].ravel(), layers)
    expected = cell.batch(rollout(cell, x, layers).states)[:, order]
    np.testing.assert_allclose(cell.batch(turned.states), expected, atol=1e-12)


def test_layer_norm_does_not_see_the_scale_or_a_shift_of_its_sum():
    layer_normalized = LayerNormalized("tanh", epsilon=1e-18)
    cell, jacobian = jax.jit(layer_normalized), jax.jit(layer_normalized.jacobian)
    first = at(LAYERS, 0) | {"b": np.zeros(N)}
    x = jnp.asarray(X)
    y = cell(x, first)
    np.testing.assert_allclose(cell(1000 * x, first), y, rtol=1e-12)
    np.testing.assert_allclose(cell(x, first | {"b": np.full(N, 7.0)}), y, rtol=1e-10)
    # So a tangent along x dies, and the Jacobian at c x is that at x over c.
    J = np.asarray(jacobian(x, first))
    np.testing.assert_allclose(J @ X, 0, atol=1e-13)
    np.testing.assert_allclose(jacobian(1000 * x, first), J / 1000, rtol=1e-9, atol=1e-15)
    assert np.linalg.matrix_rank(J, tol=1e-10) == N - 2


def test_slopes_stay_right_in_saturation():
    layers = {"W": np.eye(N)[None] * 300.0, "b": np.zeros((1, N))}
    run = rollout(FeedForward(), np.ones(N), layers)
    expected = math.log(300) + math.log(4) - 600
    assert float(gradient_norms(run)[0]) == pytest.approx(expected, rel=1e-12)


def linear_network(initializer, gain):
    n, depth = 32, 8
    layers = deep_parameters(jax.random.key(2), depth, n, initializer=initializer, gain=gain)
    run = rollout(FeedForward("linear"), np.ones(n), layers)
    return n, depth, np.asarray(step_jacobians(run)), np.asarray(jacobian_product(run).to_float())


def test_orthogonal_weights_keep_every_singular_value():
    n, depth, _, product = linear_network("orthogonal", 1.0)
    np.testing.assert_allclose(np.linalg.svd(product, compute_uv=False), 1, atol=n * depth * 1e-15)


def test_a_linear_gaussian_network_grows_by_n_sigma_squared_a_layer():
    gain = 1.3
    n, depth, matrices, product = linear_network("gaussian", gain)
    each = np.mean(matrices**2, axis=(1, 2)) * n  # of a layer: tr(J Jᵀ)/n, with n σ² = gain²
    np.testing.assert_allclose(each, gain**2, rtol=5 * math.sqrt(2) / n)
    # E tr(P Pᵀ)/n = (n σ²)^L; ln of it varies by about 2 L/n², from the χ² of each layer.
    growth = math.log(np.sum(product**2) / n) / depth
    assert growth == pytest.approx(2 * math.log(gain), abs=5 * math.sqrt(2 / depth) / n)


@pytest.mark.parametrize(
    ("initializer", "mean", "deviation"),
    [
        ("gaussian", 0.0, 2 / math.sqrt(100)),
        ("kumar", 0.0, 2 * 3.6 / math.sqrt(100)),
        ("yilmaz-poli", 2 * -0.08, 2 * 0.1),
    ],
)
def test_initializers_have_the_moments_of_their_papers(initializer, mean, deviation):
    W = np.asarray(deep_parameters(jax.random.key(4), 5, 100, initializer=initializer, gain=2)["W"])
    error = deviation / math.sqrt(W.size)
    assert W.mean() == pytest.approx(mean, abs=5 * error)
    assert W.std() == pytest.approx(deviation, abs=5 * error)
    assert not np.array_equal(W[0], W[1])


def test_yilmaz_and_polis_mean_is_never_below_minus_one():
    W = np.asarray(deep_parameters(jax.random.key(4), 900, 2, initializer="yilmaz-poli")["W"])
    assert W.mean() == pytest.approx(-1, abs=5 * 0.1 / math.sqrt(W.size))


def test_an_initializer_may_be_a_function_and_layers_may_be_normalized():
    layers = deep_parameters(
        jax.random.key(0),
        3,
        N,
        initializer=lambda key, n: initializers.identity(n, gain=0.5),
        normalized=True,
    )
    np.testing.assert_array_equal(layers["W"], np.broadcast_to(np.eye(N) / 2, (3, N, N)))
    assert (np.asarray(layers["gain"]) == 1).all()
    assert (np.asarray(layers["offset"]) == 0).all()
    assert {name: leaf.shape for name, leaf in layers.items() if name != "W"} == dict.fromkeys(
        ("b", "gain", "offset"), (3, N)
    )


def test_other_parameters_of_a_shape_compile_nothing():
    cell, x, layers, _ = CASES["layer norm"]
    gradient_norms(rollout(cell, x, layers))
    with compilations() as fresh:
        gradient_norms(rollout(LayerNormalized("logistic"), x, layers | {"W": layers["W"] / 2}))
    assert fresh.count == 0


def test_cells_are_pytrees_with_a_short_repr():
    block = ResidualBlock("relu", np.float32(0.5))
    assert repr(block) == "ResidualBlock(scale=0.5, activation=relu)"
    assert repr(BatchNormalized(samples=4)) == "BatchNormalized(activation=tanh, samples=4, epsilon=1e-05)"
    leaves = jax.tree_util.tree_leaves(block)
    assert leaves == []
    assert not jax.tree_util.tree_leaves(FeedForward())


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "^activation:", lambda: FeedForward("sine")),
        (ValueError, "^scale:", lambda: ResidualBlock(scale=1.5)),
        (TypeError, "^scale:", lambda: ResidualBlock(scale=True)),
        (ValueError, "^epsilon:", lambda: LayerNormalized(epsilon=0.0)),
        (TypeError, "^epsilon:", lambda: BatchNormalized(epsilon="small")),
        (ValueError, "^samples:", lambda: BatchNormalized(samples=1)),
        (
            TypeError,
            "inputs.*u: expected a layer's parameters W, b",
            lambda: rollout(FeedForward(), X, steps=2),
        ),
        (
            ValueError,
            "inputs.*u: expected .*W, b, got W",
            lambda: rollout(FeedForward(), X, {"W": LAYERS["W"]}),
        ),
        (ValueError, "inputs.*u: expected .*W, b, got W", lambda: rollout(FeedForward(), X, LAYERS)),
        (ValueError, r"inputs.*u\['W'\]: expected shape", lambda: rollout(FeedForward(), X[:3], PLAIN)),
        (
            ValueError,
            r"inputs.*u\['gain'\]: expected",
            lambda: rollout(LayerNormalized(), X, LAYERS | {"gain": LAYERS["W"]}),
        ),
        (ValueError, "x0.*x: expected a state", lambda: rollout(FeedForward(), X[None], PLAIN)),
        (ValueError, "x0.*x: expected 3 samples", lambda: rollout(CASES["batch norm"][0], X, LAYERS)),
        (TypeError, "^key:", lambda: deep_parameters(0, 2, 2)),
        (ValueError, "^depth:", lambda: deep_parameters(jax.random.key(0), 0, 2)),
        (TypeError, "^units:", lambda: deep_parameters(jax.random.key(0), 2, 2.5)),
        (ValueError, "^initializer:", lambda: deep_parameters(jax.random.key(0), 2, 2, initializer="he")),
        (
            ValueError,
            "^initializer:",
            lambda: deep_parameters(jax.random.key(0), 2, 2, initializer=lambda key, n: jnp.eye(3)),
        ),
        (TypeError, "^gain:", lambda: deep_parameters(jax.random.key(0), 2, 2, gain="one")),
        (TypeError, "^tied:", lambda: deep_parameters(jax.random.key(0), 2, 2, tied=1)),
        (TypeError, "^dtype:", lambda: deep_parameters(jax.random.key(0), 2, 2, dtype=int)),
    ],
)
def test_errors_name_the_argument(error, message, call):
    with pytest.raises(error, match=message):
        call()
