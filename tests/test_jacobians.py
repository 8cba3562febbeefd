"""Jacobian products, norms, pullbacks and gradients against balls, identities and finite differences."""

import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from rnn_dynamics.cells import (
    DoyaNeuron,
    ElmanRNN,
    LeakyRNN,
    PascanuNeuron,
    PreActivationRNN,
    random_rnn,
)
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import (
    gradient_norms,
    jacobian_product,
    jacobian_products,
    parameter_gradient,
    pullback,
    pushforward,
    step_jacobians,
)
from rnn_dynamics.numerics.scaled import Scaled, from_float, matmul
from tests.compilations import compilations
from tests.marks import FLOAT32_IN_SOAK
from tests.oracles import neuron, products
from tests.oracles.products import Network

T = 2000
LAGS = [0, 1, 500, 1999, 2000]


def rotation(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def network(kind, W, b, activation, x0, leak=None) -> tuple[Network, np.ndarray]:
    """Parameters rounded to float32, so that both dtypes run the same network."""
    W, b, x0 = (np.asarray(a, np.float32).astype(float) for a in (W, b, x0))
    return Network(kind, W, b, activation, leak=leak), x0


NETWORKS = {
    "fixed point": network("elman", [[1.2, 0.3], [-0.2, 0.7]], [0.1, 0.2], "tanh", [0.3, -0.1]),
    "fixed point, logistic": network(
        "preactivation",
        [[2, -1, 0.5], [1, 3, -2], [0.3, 1, -2]],
        [0.1, -0.2, 0.3],
        "logistic",
        [0.3, -0.1, 0.2],
    ),
    "circle at onset": network("elman", 1.1 * rotation(0.7), [0, 0], "tanh", [0.3, -0.1]),
    "circle": network("elman", 1.5 * rotation(1.0), [0.05, -0.02], "tanh", [0.3, -0.1]),
    "circle, leaky": network("leaky", 2 * rotation(1.2), [0, 0], "tanh", [0.3, -0.1], leak=0.625),
    "rotation": network("elman", rotation(1.0), [0, 0], "linear", [1, 0]),
    "non-normal": network("preactivation", [[0.9, 50], [0, 0.9]], [0, 0], "linear", [1, 1]),
    "non-normal, tanh": network(
        "elman", [[0.9, 30, 0], [0, 0.85, 30], [1e-6, 0, 0.8]], [0.1, -0.1, 0.05], "tanh", [0.1, 0.1, 0.1]
    ),
    "saturated": network("elman", [[50, 3], [-2, 40]], [1, -1], "tanh", [0.5, -0.5]),
    "saturated, logistic": network("preactivation", [[1000, 3], [-2, 40]], [1, -1], "logistic", [0.5, -0.5]),
    "saturated, leaky": network("leaky", [[50, 3], [-2, 40]], [1, -1], "tanh", [0.5, -0.5], leak=0.125),
    "rank one": network(
        "elman", np.outer([1, -0.5, 0.25], [0.75, 0.5, 1]), [0.1, 0, -0.1], "tanh", [0.1, 0.2, 0.3]
    ),
    "nilpotent": network("preactivation", [[0.5, 0.5], [-0.5, -0.5]], [0.1, -0.2], "linear", [0.1, 0.2]),
    "zero column": network(
        "elman", [[0.5, 0, 0.2], [0.3, 0, 0.4], [0.7, 0, -0.3]], [0.1, 0, -0.1], "tanh", [0.1, 0.2, 0.3]
    ),
    "dead unit": network("elman", [[0.9, 0.5], [-1, 0.1]], [0.1, -2], "relu", [1, 1]),
    "period 2": network("elman", [[-3, 0.5], [0.4, -2]], [0.1, 0.2], "tanh", [0.3, -0.1]),
}


def cell_of(net: Network, dtype: str = "float64"):
    W, b = net.W.astype(dtype), net.b.astype(dtype)
    if net.kind == "leaky":
        return LeakyRNN(W, b, leak=net.leak, activation=net.activation)
    return (ElmanRNN if net.kind == "elman" else PreActivationRNN)(W, b, activation=net.activation)


FROBENIUS = ["fixed point", "circle", "saturated, leaky", "rank one"]


@pytest.mark.parametrize(("name", "ord"), [*((n, 2) for n in NETWORKS), *((n, "fro") for n in FROBENIUS)])
def test_log_norms_of_long_products(name, ord, record_property):
    """float64 within 1e−12·max(1, |log2|); float32 within 1e−6, or 2e−3 where the orbit's phase drifts."""
    net, x0 = NETWORKS[name]
    truth = np.array([float(v) for v in products.log2_norms(net, x0, T, LAGS, ord)])
    for dtype in ("float64", "float32")[: 2 if ord == 2 else 1]:
        path = rollout(cell_of(net, dtype), x0.astype(dtype), steps=T)
        got = np.asarray(gradient_norms(path, ord=ord), float)[LAGS] / math.log(2)
        with np.errstate(invalid="ignore"):
            error = np.where(got == truth, 0, np.abs(got - truth) / np.maximum(1, np.abs(truth))).max()
        record_property(dtype, float(error))
        drifts = "circle" in name or name == "rotation"
        limit = 1e-12 if dtype == "float64" else 2e-3 if drifts else 2e-6
        assert error <= limit, (dtype, error, got, truth)


def test_hazard_1_no_overflow_in_a_hundred_thousand_steps():
    """T = 10⁵ in float32: the linear network's norm is 2^T, 2^−T, or exactly 0."""
    steps = 100_000
    for gain, log2 in ((2.0, steps), (0.5, -steps), (0.0, -math.inf)):
        path = rollout(
            PreActivationRNN(np.float32([[gain]]), np.float32([0]), activation="linear"), [0], steps=steps
        )
        norms = gradient_norms(path)
        assert norms.dtype == np.float32
        assert float(norms[0]) / math.log(2) == pytest.approx(log2, rel=2e-7)
        product = jacobian_product(path)
        assert float(product.log2()[0, 0]) == log2
        assert not np.isnan(np.asarray(norms)).any()


def test_hazard_1_autodiff_returns_zero_where_the_product_is_known():
    cell = DoyaNeuron(50.0, -10.0)
    path = rollout(cell, 0.9, steps=400)
    assert float(jax.grad(lambda x: rollout(cell, x, steps=400).final)(0.9)) == 0
    product = jacobian_product(path)
    truth = neuron.sensitivities(50.0, -10.0, 0.9, 400).ln_dx0
    assert float(product.log()) == pytest.approx(float(truth), rel=1e-14)
    assert float(product.sign()) == 1


def test_hazard_4_logarithms_do_not_gather_rounding():
    """10⁴ steps: as good as the last bit of the logarithm, where a running sum loses two digits."""
    path = rollout(DoyaNeuron(3.0, -1.0), 0.2, steps=10_000)
    truth = float(neuron.sensitivities(3.0, -1.0, 0.2, 10_000).ln_dx0)
    assert float(gradient_norms(path)[0]) == pytest.approx(truth, rel=1e-15)


def test_hazard_2_subnormals_are_no_zeros():
    """A product of size 1e−320, which XLA would flush, keeps its digits."""
    path = rollout(PreActivationRNN([[1e-160]], [0.0], activation="linear"), [1.0], steps=2)
    assert float(gradient_norms(path)[0]) == pytest.approx(2 * math.log(1e-160), rel=1e-15)


# Identities


def random_path(seed: int, n: int = 3, steps: int = 12, dtype: str = "float64"):
    rng = np.random.default_rng(seed)
    W, b, V = rng.normal(size=(n, n)), rng.normal(size=n), rng.normal(size=(n, 2))
    cell = ElmanRNN(*(a.astype(dtype) for a in (W, b, V)))
    return rollout(cell, rng.normal(size=n).astype(dtype), rng.normal(size=(steps, 2)).astype(dtype))


def matrix(product: Scaled) -> np.ndarray:
    return np.asarray(product.to_float(), float)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(0, 8))
def test_products_compose(seed, k):
    """∂x_T/∂x_k = ∂x_T/∂x_8 ∂x_8/∂x_k, and the product of NumPy's matrices along the path."""
    path = random_path(seed)
    every = matrix(jacobian_products(path))
    steps = np.asarray(step_jacobians(path))
    plain = [np.eye(3)]
    for J in steps[::-1]:
        plain.append(plain[-1] @ J)
    size = np.linalg.norm(steps, axis=(1, 2))[:, None, None]
    scale = np.concatenate([np.cumprod(size[::-1], axis=0)[::-1], np.ones((1, 1, 1))])
    assert (np.abs(every - np.array(plain[::-1])) <= 1e-14 * scale).all()
    through = matrix(matmul(jacobian_products(path)[8], jacobian_products(path, stop=8)[k]))
    assert np.abs(through - every[k]).max() <= 1e-14 * scale[k].max()


@pytest.mark.parametrize(("k", "m", "stop"), [(0, 5, 12), (4, 9, 9)])
def test_products_of_parts(k, m, stop, dtype):
    path = random_path(7, dtype=dtype)
    whole = jacobian_product(path, start=k, stop=stop)
    parts = matmul(jacobian_product(path, start=m, stop=stop), jacobian_product(path, start=k, stop=m))
    assert whole.dtype == dtype
    limit = (
        30 * float(np.finfo(dtype).eps) * np.prod(np.linalg.norm(step_jacobians(path), axis=(1, 2))[k:stop])
    )
    assert np.abs(matrix(whole) - matrix(parts)).max() <= limit
    every = jacobian_products(path, stop=stop)
    assert np.abs(matrix(every)[k] - matrix(whole)).max() <= limit
    assert len(every) == stop + 1


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_pullback_and_pushforward_are_adjoint(seed):
    """⟨w, P v⟩ = ⟨Pᵀ w, v⟩, and both agree with the product."""
    path = random_path(seed)
    rng = np.random.default_rng(seed + 1)
    w, v = rng.normal(size=3), rng.normal(size=3)
    back, forth = pullback(path, w), pushforward(path, v)
    assert back.shape == forth.shape == (13, 3)
    P = matrix(jacobian_products(path))
    scale = np.prod(np.linalg.norm(step_jacobians(path), axis=(1, 2)).clip(min=1)) * 10
    left, right = w @ matrix(forth)[-1], v @ matrix(back)[0]
    assert abs(left - right) <= 1e-14 * scale
    np.testing.assert_allclose(matrix(back), np.einsum("kij,i->kj", P, w), rtol=0, atol=1e-14 * scale)
    np.testing.assert_allclose(matrix(forth)[-1], P[0] @ v, rtol=0, atol=1e-14 * scale)


def test_pushforward_from_a_later_step():
    path = random_path(3)
    v = np.array([1.0, -2.0, 0.5])
    later = pushforward(path, v, start=5)
    assert later.shape == (8, 3)
    np.testing.assert_allclose(
        matrix(later)[-1], matrix(jacobian_product(path, start=5)) @ v, rtol=1e-12, atol=1e-13
    )
    np.testing.assert_allclose(matrix(later)[0], v, rtol=1e-15)


def test_norms_are_the_norms_of_the_products(dtype):
    path = random_path(11, n=5, dtype=dtype)
    every = matrix(jacobian_products(path))
    tolerance = 1e-13 if dtype == "float64" else 3e-5
    for ord in (2, "fro"):
        got = np.asarray(gradient_norms(path, ord=ord))
        assert got.dtype == dtype
        np.testing.assert_allclose(
            got, np.log(np.linalg.norm(every, ord, axis=(1, 2))), rtol=0, atol=tolerance
        )
    assert len(gradient_norms(path, stop=4)) == 5


@pytest.mark.parametrize("cell", [DoyaNeuron(5, -2.4, 0.5), PascanuNeuron(-9, 3.0)])
def test_a_single_neuron_gives_scalars(cell):
    path = rollout(cell, 0.3, steps=20)
    truth = np.cumprod(np.asarray(step_jacobians(path))[::-1])[::-1]
    assert step_jacobians(path).shape == (20,)
    assert jacobian_product(path).shape == ()
    assert jacobian_products(path).shape == (21,)
    np.testing.assert_allclose(jacobian_product(path).to_float(), truth[0], rtol=1e-13)
    np.testing.assert_allclose(jacobian_products(path).to_float()[:-1], truth, rtol=1e-13)
    np.testing.assert_allclose(gradient_norms(path)[:-1], np.log(np.abs(truth)), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(pullback(path, 2.0).to_float()[:-1], 2 * truth, rtol=1e-13)
    np.testing.assert_allclose(pushforward(path, 2.0).to_float()[-1], 2 * truth[0], rtol=1e-13)


def test_identity_where_nothing_is_between():
    path = random_path(1)
    for k in (0, 5, 12):
        np.testing.assert_array_equal(matrix(jacobian_product(path, start=k, stop=k)), np.eye(3))
    assert gradient_norms(path, stop=0) == pytest.approx([0.0], abs=1e-15)
    empty = rollout(ElmanRNN(np.eye(2), np.zeros(2)), [0.1, 0.2], steps=0)
    assert step_jacobians(empty).shape == (0, 2, 2)
    np.testing.assert_array_equal(matrix(jacobian_products(empty)), np.eye(2)[None])
    np.testing.assert_allclose(matrix(pullback(empty, [3.0, 4.0])), [[3.0, 4.0]])
    np.testing.assert_allclose(matrix(pushforward(empty, [3.0, 4.0])), [[3.0, 4.0]])
    zero = parameter_gradient(empty, [3.0, 4.0])
    assert not np.any(matrix(zero.W))


def test_scaled_vectors_of_any_size_may_be_pulled():
    """A cotangent far outside the float range, in another dtype, not normalised."""
    path = random_path(2)
    w = np.array([1.0, -2.0, 0.5])
    plain = pullback(path, w)
    for unit in (w, w.astype(np.float32), 64 * w):
        huge = pullback(path, Scaled(jnp.asarray(unit), jnp.asarray(5000, jnp.int32), 1))
        shift = 5000 + (6 if unit[0] == 64 else 0)
        np.testing.assert_allclose(huge.unit, plain.unit, rtol=1e-14, atol=1e-15)
        np.testing.assert_array_equal(huge.exponent, plain.exponent + shift)
    small = random_path(2, dtype="float32")
    assert np.isfinite(np.asarray(pullback(small, 1e300 * w).log2())).all()


# Parameters


def test_parameter_gradient_of_a_saturated_neuron_beyond_every_float():
    """Hundreds of thousands of decades down, where autodiff gives 0 (1e−214039 in the longest case seen)."""
    w, b, x0, steps = 1000.0, -400.0, 0.9, 800
    path = rollout(DoyaNeuron(w, b), x0, steps=steps)
    truth = neuron.sensitivities(w, b, x0, steps)
    assert float(jacobian_product(path).log()) == pytest.approx(float(truth.ln_dx0), rel=1e-14)
    assert float(truth.ln_dx0) / math.log(10) < -200_000
    assert float(jax.grad(lambda x: rollout(DoyaNeuron(w, b), x, steps=steps).final)(x0)) == 0
    grad = parameter_gradient(path, 1.0)
    assert float(grad.b.log()) == pytest.approx(float(truth.ln_db), rel=1e-14)
    assert float(grad.w.log()) == pytest.approx(float(truth.ln_dw), rel=1e-14)


@pytest.mark.parametrize(
    ("w", "b", "x0", "steps"), [(5.0, -2.4, 0.3, 60), (5.0, -2.5, 0.49, 40), (4.0, -2.0, 0.3, 500)]
)
def test_parameter_gradient_of_neurons(w, b, x0, steps):
    truth = neuron.sensitivities(w, b, x0, steps)
    grad = parameter_gradient(rollout(DoyaNeuron(w, b), x0, steps=steps), 1.0)
    assert float(grad.b.to_float()) == pytest.approx(float(truth.db), rel=1e-11)
    assert float(grad.w.to_float()) == pytest.approx(float(truth.dw), rel=1e-11)


def test_parameter_gradient_of_an_exploding_network():
    """d x_T/d b = Σ 3^j of the linear network, past 1e+1760."""
    path = rollout(PreActivationRNN([[3.0]], [0.0], activation="linear"), [0.0], steps=4000)
    grad = parameter_gradient(path, [1.0])
    assert float(grad.b.log10()[0]) == pytest.approx(4000 * math.log10(3) - math.log10(2), rel=1e-14)


# Transformations


def log_norm(w, ord=2):
    W = jnp.asarray([[0.9, 0.7, 0.1], [-0.4, 0.8, 0.3], [0.2, -0.6, 1.1]]) * w
    cell = LeakyRNN(W, jnp.asarray([0.1, -0.2, 0.3]) + w, leak=0.5)
    return gradient_norms(rollout(cell, jnp.asarray([0.3, 0.1, -0.2]), steps=8), ord=ord)[0]


@pytest.mark.parametrize("ord", [2, "fro"])
def test_gradient_of_a_log_norm(ord):
    slope = float(jax.grad(log_norm)(1.2, ord))
    h = 1e-5
    difference = (float(log_norm(1.2 + h, ord)) - float(log_norm(1.2 - h, ord))) / (2 * h)
    assert slope == pytest.approx(difference, rel=1e-7)
    assert float(jax.jacfwd(log_norm)(1.2, ord)) == pytest.approx(slope, rel=1e-12)


def test_every_function_under_jit_vmap_and_grad():
    """One compiled function of all of them, over a batch, differentiated in reverse mode."""
    starts = jnp.asarray([[0.3, 0.1, -0.2], [0.5, -0.4, 0.2]])
    W, b = jnp.asarray(NETWORKS["rank one"][0].W), jnp.asarray([0.1, 0.2, 0.3])

    def everything(x0):
        path = rollout(ElmanRNN(W + 0.5 * jnp.eye(3), b), x0, steps=6)
        results = [
            jacobian_product(path, start=2).to_float(),
            jacobian_products(path).to_float(),
            gradient_norms(path, ord="fro"),
            pullback(path, x0).to_float(),
            pushforward(path, b, start=1).norm().log(),
            step_jacobians(path),
        ]
        return jnp.concatenate([jnp.ravel(r) for r in results])

    values, slopes = jax.jit(jax.vmap(lambda x: (everything(x), jax.jacrev(everything)(x))))(starts)
    np.testing.assert_allclose(values[0], everything(starts[0]), rtol=1e-11, atol=1e-13)
    h = 1e-6
    for j in range(3):
        ends = [everything(starts[0] + side * h * jnp.eye(3)[j]) for side in (1, -1)]
        np.testing.assert_allclose(slopes[0][:, j], (ends[0] - ends[1]) / (2 * h), rtol=2e-6, atol=2e-7)


def test_gradient_of_a_norm_where_the_largest_singular_value_repeats():
    """Hazard 19: g·Q has n equal singular values; d ln‖(gQ)^T‖/dg = T/g, never NaN."""
    Q = jnp.asarray(rotation(1.0))

    def last(g):
        return gradient_norms(
            rollout(PreActivationRNN(g * Q, jnp.zeros(2), activation="linear"), jnp.ones(2), steps=7)
        )[0]

    assert float(jax.grad(last)(1.5)) == pytest.approx(7 / 1.5, rel=1e-12)
    zero = jax.grad(lambda g: jnp.where(jnp.isinf(last(g)), 0.0, last(g)))(0.0)
    assert not math.isnan(float(zero))


# Resources


def test_memory_of_norms_is_that_of_the_states():
    """O(T n + n²): the compiled program asks for far less than the T matrices."""
    n, steps = 32, 500
    cell = ElmanRNN(0.1 * np.eye(n), np.zeros(n))

    def norms(x0):
        return gradient_norms(rollout(cell, x0, steps=steps))

    x0 = jax.ShapeDtypeStruct((n,), jnp.float64)
    analysis = jax.jit(norms).lower(x0).compile().memory_analysis()
    used = analysis.temp_size_in_bytes + analysis.output_size_in_bytes
    assert used < 8 * (6 * steps * n + 40 * n * n)
    assert used < 8 * steps * n * n / 4


def test_repeated_shapes_compile_nothing():
    calls = [
        gradient_norms,
        jacobian_product,
        jacobian_products,
        step_jacobians,
        lambda path: pullback(path, np.ones(3)),
        lambda path: pushforward(path, np.ones(3), start=2),
        lambda path: parameter_gradient(path, np.ones(3)),
    ]
    for call in calls:
        call(random_path(1))
    path = random_path(2)
    with compilations() as fresh:
        for call in calls:
            call(path)
    assert fresh.count == 0


# Errors

PATH = rollout(ElmanRNN(np.eye(2) / 2, np.zeros(2)), [0.1, 0.2], steps=3)
BATCH = jax.vmap(lambda x: rollout(ElmanRNN(np.eye(2) / 2, np.zeros(2)), x, steps=3))(jnp.ones((4, 2)))
ERRORS = {
    "start past stop": (lambda: jacobian_product(PATH, start=2, stop=1), "start"),
    "start past T": (lambda: jacobian_product(PATH, start=4), "start"),
    "start negative": (lambda: jacobian_product(PATH, start=-1), "start"),
    "start float": (lambda: jacobian_product(PATH, start=1.0), "start"),
    "start bool": (lambda: jacobian_product(PATH, start=True), "start"),
    "stop past T": (lambda: gradient_norms(PATH, stop=4), "stop"),
    "stop negative": (lambda: jacobian_products(PATH, stop=-1), "stop"),
    "stop NaN": (lambda: pullback(PATH, [1.0, 1.0], stop=math.nan), "stop"),
    "stop str": (lambda: step_jacobians(PATH, stop="3"), "stop"),
    "stop 1e20": (lambda: gradient_norms(PATH, stop=1e20), "stop"),
    "start of pushforward": (lambda: pushforward(PATH, [1.0, 1.0], start=4), "start"),
    "norm 1": (lambda: gradient_norms(PATH, ord=1), "ord"),
    "norm nuclear": (lambda: gradient_norms(PATH, ord="nuc"), "ord"),
    "states for a trajectory": (lambda: gradient_norms(PATH.states), "trajectory"),
    "None for a trajectory": (lambda: pullback(None, [1.0, 1.0]), "trajectory"),
    "batch of trajectories": (lambda: gradient_norms(BATCH), "trajectory"),
    "cotangent of another length": (lambda: pullback(PATH, [1.0]), "cotangent"),
    "cotangent of rank 2": (lambda: pullback(PATH, [[1.0], [1.0]]), "cotangent"),
    "cotangent NaN": (lambda: pullback(PATH, [1.0, math.nan]), "cotangent"),
    "cotangent None": (lambda: parameter_gradient(PATH, None), "cotangent"),
    "cotangent of many exponents": (lambda: pullback(PATH, from_float(jnp.ones(2))), "cotangent"),
    "tangent complex": (lambda: pushforward(PATH, [1j, 0]), "tangent"),
}


@pytest.mark.shipped
@pytest.mark.parametrize("name", ERRORS)
def test_hazards_24_and_25_errors_name_the_argument_at_once(name):
    call, argument = ERRORS[name]
    with pytest.raises((TypeError, ValueError)):
        call()
    start = time.thread_time()
    with compilations() as fresh, pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert time.thread_time() - start < 0.05
    assert str(caught.value).startswith(argument + ":")
    assert fresh.count == 0


def test_neurons_side_by_side_are_no_network():
    """An elementwise neuron runs on an array of states, but has no Jacobian matrix there."""
    path = rollout(DoyaNeuron(5, -2.5), [0.1, 0.2], steps=3)
    with pytest.raises(ValueError, match=r"jax\.vmap"):
        jacobian_product(path)


def test_a_cell_without_parameters_says_so():
    path = rollout(sine, 0.3, steps=3)
    with pytest.raises(ValueError, match="no parameters"):
        parameter_gradient(path, 1.0)


def sine(x, u):
    return jnp.sin(x)


@FLOAT32_IN_SOAK
def test_norms_at_chosen_lags(dtype):
    """The same numbers but for rounding, in the order of the lags; under vmap too."""
    cell = random_rnn(jax.random.key(2), 4, dtype=dtype)
    starts = jax.random.normal(jax.random.key(3), (3, 4), dtype)
    run = rollout(cell, starts[0], steps=9)
    every = np.asarray(gradient_norms(run))
    asked = [9, 0, 4, 4]
    eps = float(np.finfo(dtype).eps)
    alone = gradient_norms(run, lags=asked)
    np.testing.assert_allclose(alone, every[9 - np.array(asked)], rtol=20 * eps, atol=20 * eps)
    few = gradient_norms(run, stop=6, lags=np.array([2, 6]), ord="fro")
    whole = np.asarray(gradient_norms(run, stop=6, ord="fro"))
    np.testing.assert_allclose(few, whole[[4, 0]], rtol=20 * eps, atol=20 * eps)
    together = jax.vmap(lambda x: gradient_norms(rollout(cell, x, steps=9), lags=asked))(starts)
    np.testing.assert_allclose(
        together[0], every[9 - np.array(asked)], rtol=1e-5 if dtype == "float32" else 1e-12
    )
    for wrong in ([10], [-1], 3, [0.5], "all"):
        with pytest.raises((TypeError, ValueError), match="lags"):
            gradient_norms(run, lags=wrong)
