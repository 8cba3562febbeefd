"""Activations against mpmath at 60 digits: values and derivatives from the origin to where they underflow."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings, strategies as st

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.further import FUNCTIONS

# Last bits are what these tests are about.
pytestmark = pytest.mark.shipped

FORMS = ("logistic", "tanh", "relu", "leaky_relu", "linear")
UNDERFLOW = {"float32": 87.33, "float64": 708.39}  # e^(−z) is a normal number up to here
PRECISION = {"float32": 24, "float64": 53}


def _logistic(z: mpmath.mpf) -> mpmath.mpf:
    return 1 / (1 + mpmath.exp(-z))


def _ulps(got: np.ndarray, points: np.ndarray, truth: Callable, dtype: str) -> np.ndarray:
    """|got − truth(points)| in units of the last place of the truth; 0 where the truth is subnormal."""
    errors = []
    with mpmath.workdps(60):
        for value, point in zip(got.tolist(), points.tolist(), strict=True):
            true = truth(mpmath.mpf(point))
            _, exponent = mpmath.frexp(true)
            normal = abs(true) >= float(np.finfo(dtype).smallest_normal)
            unit = mpmath.ldexp(1, int(exponent) - PRECISION[dtype])
            errors.append(float(abs(mpmath.mpf(value) - true) / unit) if normal else 0.0)
    return np.array(errors)


def _points(dtype: str, reach: float) -> np.ndarray:
    """The origin, its surroundings, the whole range, and the last stretch before underflow."""
    rng = np.random.default_rng(1)
    pieces = [
        [0.0, 1e-30, 20.0, np.nextafter(20.0, 21), 37.0, reach],
        rng.normal(size=100) * 1e-3,
        rng.uniform(-5, 5, 500),
        rng.uniform(-reach, reach, 500),
        rng.uniform(reach - 1.5, reach, 200),
    ]
    return np.clip(np.concatenate(pieces), -reach, reach).astype(dtype)


@pytest.mark.parametrize("form", ["function", "gradient"])
def test_hazard_03_logistic_derivative_in_saturation(dtype: str, form: str) -> None:
    z = _points(dtype, UNDERFLOW[dtype])
    slope = activations.sigmoid_derivative if form == "function" else jax.vmap(jax.grad(activations.sigmoid))
    got = np.asarray(jax.jit(slope)(z))
    assert got.dtype == dtype
    assert (got > 0).all()
    assert _ulps(got, z, lambda p: _logistic(p) * _logistic(-p), dtype).max() <= 4


@pytest.mark.parametrize("form", ["function", "gradient"])
def test_hazard_03_tanh_derivative_in_saturation(dtype: str, form: str) -> None:
    z = _points(dtype, (UNDERFLOW[dtype] + 1.38) / 2)
    slope = activations.tanh_derivative if form == "function" else jax.vmap(jax.grad(activations.tanh))
    got = np.asarray(jax.jit(slope)(z))
    assert got.dtype == dtype
    assert (got > 0).all()
    assert _ulps(got, z, lambda p: mpmath.sech(p) ** 2, dtype).max() <= 4


def test_hazard_03_naive_derivatives_are_zero_where_ours_are_not() -> None:
    assert jax.grad(jax.nn.sigmoid)(40.0) == 0
    assert jax.grad(jnp.tanh)(21.0) == 0
    np.testing.assert_allclose(jax.grad(activations.sigmoid)(40.0), np.exp(-40.0), rtol=1e-15)
    np.testing.assert_allclose(jax.grad(activations.tanh)(21.0), 4 * np.exp(-42.0), rtol=1e-15)


def test_values(dtype: str) -> None:
    z = _points(dtype, UNDERFLOW[dtype])
    assert _ulps(np.asarray(jax.jit(activations.sigmoid)(z)), z, _logistic, dtype).max() <= 4
    assert _ulps(np.asarray(jax.jit(activations.tanh)(z)), z, mpmath.tanh, dtype).max() <= 8


def test_second_derivatives(dtype: str) -> None:
    z = np.linspace(-12, 12, 101).astype(dtype)
    tolerance = 50 * np.finfo(dtype).eps
    second = jax.vmap(jax.grad(jax.grad(activations.sigmoid)))(z)
    with mpmath.workdps(40):
        true = [float(mpmath.diff(_logistic, p, 2)) for p in z.tolist()]
    np.testing.assert_allclose(second, true, rtol=tolerance, atol=tolerance)
    second = jax.vmap(jax.grad(jax.grad(activations.tanh)))(z)
    with mpmath.workdps(40):
        true = [float(mpmath.diff(mpmath.tanh, p, 2)) for p in z.tolist()]
    np.testing.assert_allclose(second, true, rtol=tolerance, atol=tolerance)


def test_hazard_44_logit_where_log1p_is_wrong(dtype: str) -> None:
    rng = np.random.default_rng(2)
    pieces = [rng.uniform(0, 1, 500), rng.uniform(0.28, 0.33, 500), 0.5 + rng.normal(size=200) * 1e-5]
    x = np.concatenate([*pieces, [1e-30, 1e-9, 0.25, 0.75]]).astype(dtype)
    x = x[x != 0.5]
    got = np.asarray(jax.jit(activations.logit)(x))
    assert _ulps(got, x, lambda p: mpmath.log(p / (1 - p)), dtype).max() <= 4
    ends = np.asarray(activations.logit(np.array([0.0, 0.5, 1.0], dtype)))
    assert ends.tolist() == [-np.inf, 0, np.inf]
    slope = jax.vmap(jax.grad(activations.logit))(x)
    np.testing.assert_allclose(slope, 1 / (x * (1 - x)), rtol=4 * np.finfo(dtype).eps)


def test_limits_and_nan_stay_visible(dtype: str) -> None:
    z = jnp.array([-jnp.inf, jnp.inf, jnp.nan], dtype)
    np.testing.assert_array_equal(activations.sigmoid(z), np.array([0, 1, np.nan], dtype))
    np.testing.assert_array_equal(activations.sigmoid_derivative(z), np.array([0, 0, np.nan], dtype))
    np.testing.assert_array_equal(activations.tanh_derivative(z), np.array([0, 0, np.nan], dtype))
    for form in FORMS[:4]:
        chosen = activations.get(form)
        assert np.isnan(chosen(z)[2])
        assert np.isnan(chosen.slope(z)[2])


@pytest.mark.parametrize("form", FORMS)
def test_hazard_19_derivative_at_the_kink_and_elsewhere(form: str, dtype: str) -> None:
    chosen = activations.get(form)
    z = jnp.array([-3.0, -0.5, -0.0, 0.0, 0.25, 4.0], dtype)
    declared = np.asarray(chosen.slope(z))
    by_autodiff = np.asarray(jax.vmap(jax.grad(chosen))(z))
    np.testing.assert_array_equal(declared, by_autodiff)
    at_zero = {"logistic": 0.25, "tanh": 1, "relu": 0, "leaky_relu": np.asarray(0.01, dtype), "linear": 1}
    assert declared[3] == declared[2] == at_zero[form]
    assert declared.dtype == dtype


FURTHER = {
    "hard_sigmoid_5": lambda z: np.clip(z / 5 + 0.5, 0, 1),
    "hard_sigmoid_6": lambda z: np.clip(z / 6 + 0.5, 0, 1),
    "hard_tanh": lambda z: np.clip(z, -1, 1),
    "relu6": lambda z: np.clip(z, 0, 6),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "selu": lambda z: (
        1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(np.minimum(z, 0)))
    ),
    "softplus": lambda z: np.logaddexp(z, 0),
    "softsign": lambda z: z / (1 + np.abs(z)),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "gelu": lambda z: z / 2 * (1 + scipy.special.erf(z / np.sqrt(2))),
    "mish": lambda z: z * np.tanh(np.logaddexp(z, 0)),
    "hard_silu": lambda z: z * np.clip(z / 6 + 0.5, 0, 1),
    "log_sigmoid": lambda z: -np.logaddexp(-z, 0),
    "squareplus": lambda z: (z + np.sqrt(z * z + 4)) / 2,
    "sparse_plus": lambda z: np.where(z >= 1, z, np.where(z <= -1, 0, (z + 1) ** 2 / 4)),
    "sparse_sigmoid": lambda z: np.clip((z + 1) / 2, 0, 1),
    "soft_shrink": lambda z: np.sign(z) * np.maximum(np.abs(z) - 0.5, 0),
    "tanh_shrink": lambda z: z - np.tanh(z),
    "exponential": np.exp,
}
#: Where φ has kinks, and the left derivative there.
KINKS = {
    "hard_sigmoid_5": {-2.5: 0, 2.5: 0.2},
    "hard_sigmoid_6": {-3: 0, 3: 1 / 6},
    "hard_tanh": {-1: 0, 1: 1},
    "relu6": {0: 0, 6: 1},
    "selu": {0: 1.7580993408473766},
    "hard_silu": {-3: 0, 3: 1.5},
    "sparse_sigmoid": {-1: 0, 1: 0.5},
    "soft_shrink": {-0.5: 1, 0.5: 0},
}


@pytest.mark.parametrize("name", FURTHER)
def test_hazard_19_further_functions_derivatives_and_kinks(name: str, dtype: str) -> None:
    chosen, eps = activations.get(name), np.finfo(dtype).eps
    kinks = np.array(list(KINKS.get(name, {})), dtype)
    z = np.append(
        np.setdiff1d(np.linspace(-7.03, 7, 201).astype(dtype), kinks), np.append(kinks, np.nan)
    ).astype(dtype)
    values, slopes, gradients = (np.asarray(part) for part in _all_of(chosen, z))
    assert slopes.dtype == dtype
    assert np.isnan([values[-1], slopes[-1]]).all()
    np.testing.assert_allclose(gradients[:-1], slopes[:-1], rtol=9 * eps, atol=9 * eps)
    usual = slice(0, len(z) - len(kinks) - 1)
    wide = z[usual].astype(float)
    np.testing.assert_allclose(values[usual], FURTHER[name](wide), rtol=20 * eps, atol=20 * eps)
    truth = (FURTHER[name](wide + 1e-6) - FURTHER[name](wide - 1e-6)) / 2e-6
    np.testing.assert_allclose(slopes[usual], truth, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        slopes[usual.stop : -1], list(KINKS.get(name, {}).values()), rtol=4 * eps, atol=eps
    )
    assert chosen.slope_bound is None or np.abs(slopes[:-1]).max() <= chosen.slope_bound * (1 + eps)
    assert activations.Activation.of_name(chosen.kept_name() or "") is chosen
    assert chosen.is_bounded == (np.abs(FURTHER[name](np.array([-600.0, 600.0]))).max() < 10)


@functools.partial(jax.jit, static_argnums=0)
def _all_of(chosen: activations.Activation, z: np.ndarray) -> tuple[jax.Array, ...]:
    return chosen(z), chosen.slope(z), jax.vmap(jax.grad(chosen))(z)


def test_every_further_function_is_tested() -> None:
    assert set(FURTHER) == set(FUNCTIONS)
    with pytest.raises(ValueError, match=r"^activation: .*'hard_sigmoid_5'.*Keras 1 and 2.*'hard_sigmoid_6'"):
        activations.get("hard_sigmoid")


@settings(deadline=None, max_examples=50)
@given(z=st.floats(-800, 800))
def test_declared_slope_bounds_hold(z: float) -> None:
    for chosen in (*map(activations.get, FORMS), activations.leaky_relu(-1.5)):
        assert chosen.slope_bound is not None
        assert abs(float(chosen.slope(jnp.asarray(z)))) <= chosen.slope_bound * (1 + 2**-51)


def test_get() -> None:
    assert activations.get("sigmoid") is activations.get("logistic") is activations.get(activations.sigmoid)
    assert activations.get(activations.leaky_relu) is activations.get("leaky_relu")
    assert activations.leaky_relu(0.2) is activations.leaky_relu(0.2)
    user = activations.get(jnp.sin)
    assert user.slope_bound is None
    np.testing.assert_allclose(user.slope(jnp.array([0.3])), np.cos([0.3]), rtol=1e-15)
    assert "sin" in repr(user)
    with pytest.raises(ValueError, match=r"activation: expected one of 'logistic'.*got 'tahn'"):
        activations.get("tahn")
    with pytest.raises(TypeError, match="activation: expected a name"):
        activations.get(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="slope: expected a real number"):
        activations.leaky_relu("steep")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="slope: expected a finite number"):
        activations.leaky_relu(float("nan"))


@pytest.mark.parametrize("bound", [0.0, -1.0, math.inf, math.nan, "1", True])
def test_a_slope_bound_is_a_positive_number(bound):
    with pytest.raises((TypeError, ValueError), match=r"^slope_bound:"):
        activations.Activation("user", lambda z: z, slope_bound=bound)
