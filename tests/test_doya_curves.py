"""Folds, flips, cusp and walls of one neuron against 50 digits."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics import doya
from tests.oracles import neuron

# Last bits are what these tests are about.
pytestmark = pytest.mark.shipped


def _ulps(found: float, true: mpmath.mpf, dtype: str) -> float:
    return float(abs(mpmath.mpf(float(found)) - true) / np.spacing(abs(np.asarray(float(true), dtype))))


def _fold_weights(dtype: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    four = np.asarray(4, dtype)
    near = [np.nextafter(four, np.asarray(5, dtype)), *(four + 10.0 ** np.arange(-5, 0)).astype(dtype)]
    return np.array([*near, *(4 + 10 ** rng.uniform(-3, 6, 60)), 5, 8, 50, 1000, 1e6], dtype)


def test_folds_to_four_ulp(dtype: str) -> None:
    w = _fold_weights(dtype)
    found = doya.folds(w)
    assert found.b.dtype == dtype
    for i, weight in enumerate(w):
        for j, (x, b) in enumerate(neuron.folds(float(weight))):
            assert _ulps(found.x[i, j], x, dtype) <= 4
            assert _ulps(found.b[i, j], b, dtype) <= 4


def test_flips_to_four_ulp(dtype: str) -> None:
    rng = np.random.default_rng(1)
    epsilon = np.array([1, 0.5, 0.25, *rng.uniform(0.05, 1, 40)], dtype)
    w = (-4 * (2 - epsilon) / epsilon * (1 + 10 ** rng.uniform(-3, 3, epsilon.size))).astype(dtype)
    found = doya.flips(w, epsilon)
    for i, weight in enumerate(w):
        for j, (x, b) in enumerate(neuron.flips(float(weight), float(epsilon[i]))):
            size = abs(mpmath.log(x / (1 - x))) + abs(mpmath.mpf(float(weight)) * x)
            unit = float(np.finfo(dtype).eps) / 2
            assert _ulps(found.x[i, j], x, dtype) <= 4
            error = abs(mpmath.mpf(float(found.b[i, j])) - b)
            assert _ulps(found.b[i, j], b, dtype) <= 4 or error <= 4 * unit * size


def test_walls_to_four_ulp_or_cancelling(dtype: str) -> None:
    rng = np.random.default_rng(2)
    x0 = rng.uniform(0.05, 0.95, 60).astype(dtype)
    w = ((1 + 10 ** rng.uniform(-2, 2, 60)) / (x0 * (1 - x0)) * rng.choice([1, -1], 60)).astype(dtype)
    found = np.asarray(doya.wall(w, x0))
    for i in range(60):
        b = neuron.wall(float(w[i]), float(x0[i]))
        size = abs(mpmath.log(mpmath.mpf(float(x0[i])) / (1 - mpmath.mpf(float(x0[i]))))) + abs(
            mpmath.mpf(float(w[i])) * float(x0[i])
        )
        error = abs(mpmath.mpf(float(found[i])) - b)
        assert _ulps(found[i], b, dtype) <= 4 or error <= 4 * float(np.finfo(dtype).eps) / 2 * size


def test_the_wall_moves_as_its_formula_says(dtype: str) -> None:
    """b = ln(x/(1 − x)) − w x: ∂b/∂x = 1/(x(1 − x)) − w and ∂b/∂w = −x, on either side of ½ and of w = 0."""
    for w, x in ((5.0, 0.3), (5.0, 0.7), (-9.0, 0.4)):
        by_w, by_x = jax.grad(doya.wall, argnums=(0, 1))(np.asarray(w, dtype), np.asarray(x, dtype))
        rounding = 16 * np.finfo(dtype).eps * (1 / (x * (1 - x)) + abs(w))
        assert abs(float(by_x) - (1 / (x * (1 - x)) - w)) <= rounding
        assert abs(float(by_w) + x) <= rounding


EULER = [
    function
    for room in (rd.doya, rd.cliff)
    for function in map(vars(room).get, room.__all__)
    if inspect.isfunction(function) and "epsilon" in inspect.signature(function).parameters
]


@pytest.mark.parametrize("function", [*EULER, rd.DoyaNeuron])
def test_without_an_euler_step_it_is_1(function: Any) -> None:
    assert len(EULER) > 10
    assert inspect.signature(function).parameters["epsilon"].default == 1.0


def test_there_is_nothing_where_there_is_nothing() -> None:
    assert doya.cusp() == (4.0, -2.0, 0.5)
    assert np.isnan(np.asarray(doya.folds([3.9, -5.0, 0.0]).b)).all()
    assert np.isnan(np.asarray(doya.flips([-3.9, 5.0, 0.0]).b)).all()
    assert np.isnan(np.asarray(doya.wall([3.9, -3.9, 5.0], [0.5, 0.5, 1.5]))).all()
    at_cusp = doya.folds(4.0)
    assert np.asarray(at_cusp.x).tolist() == [0.5, 0.5]
    assert np.asarray(at_cusp.b).tolist() == [-2.0, -2.0]
    np.testing.assert_allclose(doya.fold_window(5.0), 0.31122068, atol=1e-8)


def test_the_bistable_window_to_four_ulp_from_the_cusp_on(dtype: str) -> None:
    four = np.asarray(4, dtype)
    w = np.array([np.nextafter(four, np.asarray(5, dtype)), 4.001, 4.1, 4.3, 4.39, 4.4, 4.9, 50], dtype)
    found = np.asarray(doya.fold_window(w))
    for weight, width in zip(w, found, strict=True):
        assert _ulps(width, neuron.fold_window(float(weight)), dtype) <= 4
    assert float(doya.fold_window(four)) == 0
    assert np.isnan(doya.fold_window(np.nextafter(four, np.asarray(0, dtype))))


def test_derivatives_beside_holes_are_numbers() -> None:
    """A sum over the folds or cycles that exist has a derivative; those that do not exist add nothing to it."""
    w = np.array([3.0, 5.0, -8.0, 0.0])
    of_folds = jax.grad(lambda w: jnp.nansum(doya.folds(w).b) + jnp.nansum(doya.fold_window(w)))(w)
    alone = jax.grad(lambda w: jnp.sum(doya.folds(w).b) + doya.fold_window(w))(5.0)
    np.testing.assert_allclose(of_folds, [0.0, alone, 0.0, 0.0], rtol=1e-14)
    of_flips = jax.grad(lambda w: jnp.nansum(doya.flips(w).x[..., 1]))(w)
    assert np.isfinite(of_flips).all()
    assert of_flips[2] < 0
    of_cycles = jax.grad(lambda w: jnp.nansum(doya.two_cycle(w, 4.0).x))(w)
    assert np.isfinite(of_cycles).all()
    assert of_cycles[:2].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("side", [0, 1])
def test_derivatives_are_those_of_the_closed_forms(side: int) -> None:
    for w in (4.1, 5.0, 30.0):
        slope = jax.grad(lambda v: doya.folds(v).b[side])(w)
        step = w * 2.0**-20
        up, down = (neuron.folds(w + s)[side][1] for s in (step, -step))
        np.testing.assert_allclose(slope, float((up - down) / (2 * step)), rtol=1e-5)
    slope = jax.grad(lambda v: doya.flips(v, 1.0).b[side])(-8.0)
    step = 1e-5
    up, down = (float(doya.flips(-8.0 + s, 1.0).b[side]) for s in (step, -step))
    np.testing.assert_allclose(slope, (up - down) / (2 * step), rtol=1e-6)


@pytest.mark.parametrize("epsilon", [0.5, 0.9])
def test_flips_move_with_the_euler_step(epsilon: float) -> None:
    """Differences of the flips of the oracle, at 2⁻²⁰ of ε."""
    w, step = -18.0, epsilon * 2.0**-20
    moved = jax.jvp(lambda e: doya.flips(w, e), (epsilon,), (1.0,))[1]
    for side in (0, 1):
        up, down = (neuron.flips(w, epsilon + s)[side] for s in (step, -step))
        exact = [float((more - less) / (2 * step)) for more, less in zip(up, down, strict=True)]
        np.testing.assert_allclose([moved.x[side], moved.b[side]], exact, rtol=1e-8)


@pytest.mark.parametrize("call", [doya.folds, doya.flips, lambda w: doya.wall(w, 0.5), doya.fold_window])
@pytest.mark.parametrize("bad", [None, "5", 1j, float("nan"), [1.0, float("inf")], [[1.0], [1.0, 2.0]]])
def test_bad_weights_are_named(call, bad) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^w:"):
        call(bad)


@pytest.mark.parametrize("epsilon", [0.0, -0.5, 1.5, float("nan")])
def test_epsilon_outside_its_range_is_named(epsilon: float) -> None:
    with pytest.raises(ValueError, match=r"^epsilon:"):
        doya.flips(-8.0, epsilon)
    with pytest.raises(ValueError, match=r"^epsilon:"):
        doya.basin_label(5.0, -2.5, 0.5, epsilon)
    with pytest.raises(ValueError, match=r"^epsilon:"):
        doya.equilibria(5.0, -2.5, epsilon)
    with pytest.raises(ValueError, match=r"^epsilon:"):
        doya.bifurcation_diagram(5.0, jnp.linspace(-3, -2, 5), epsilon)
