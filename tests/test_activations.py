"""Activations against mpmath at 60 digits: values and derivatives from the origin to where they underflow."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from rnn_dynamics.cells import activations

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
