"""Piecewise-linear cells, and their cycles region by region: counts that are known, all against a search."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.cells import (
    ElmanRNN,
    LeakyRNN,
    PiecewiseLinearRNN,
    PreActivationRNN,
    ShallowPiecewiseLinearRNN,
)
from rnn_dynamics.cells.piecewise import piecewise_linear_form
from rnn_dynamics.dynamics.equilibria import fixed_points, piecewise, piecewise_linear_cycles

TENT = PiecewiseLinearRNN([2.0], [[-4.0]], [1.0])  # z⁺ = 1 − 2|z|, conjugate to the full shift on two symbols
SHEAR = np.array([[1.0, 0.5], [-0.25, 1.0]])
PRODUCT = ShallowPiecewiseLinearRNN(
    [2.0, 2.0], -4 * SHEAR, np.linalg.inv(SHEAR), SHEAR.sum(axis=1), [0.0, 0.0]
)
WEIGHTS, BIAS = np.array([[0.4, -1.9], [1.6, -0.3]]), np.array([0.7, -0.2])


def _same_cycles(one: Any, other: Any) -> None:
    np.testing.assert_array_equal(one.period, other.period)
    np.testing.assert_allclose(one.orbits, other.orbits, atol=1e-12)


def test_the_tent_map_has_as_many_cycles_as_there_are_necklaces() -> None:
    found = piecewise_linear_cycles(TENT, 4)
    assert found.complete
    assert [int(np.sum(found.period == p)) for p in range(1, 5)] == [2, 1, 2, 3]
    assert (found.residual <= 4e-15).all()
    np.testing.assert_allclose(np.abs(found.multipliers[:, 0]), 2.0**found.period, rtol=1e-14)
    np.testing.assert_allclose(found.points[:2, 0], [-1, 1 / 3], atol=1e-15)
    np.testing.assert_allclose(found.orbits[2, :2, 0], [-0.6 + 0.4, 0.6], atol=1e-15)


def test_a_search_finds_what_the_enumeration_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = piecewise_linear_cycles(PRODUCT, 2)
    assert everything.complete
    assert everything.period.tolist() == [1] * 4 + [2] * 6
    monkeypatch.setattr(piecewise, "_EXHAUSTIVE_BITS", 0)
    with pytest.raises(ValueError, match="key: expected a random key"):
        piecewise_linear_cycles(PRODUCT, 2)
    found = piecewise_linear_cycles(PRODUCT, 2, key=jax.random.key(0))
    assert not found.complete
    _same_cycles(found, everything)


def test_a_border_collision_map_has_the_cycle_of_its_two_slopes() -> None:
    left, right = 0.5, -3.0
    found = piecewise_linear_cycles(PiecewiseLinearRNN([left], [[right - left]], [1.0]), 2)
    z = (right + 1) / (1 - left * right)
    assert found.period.tolist() == [1, 2]
    np.testing.assert_allclose(found.orbits[1, :, 0], [z, left * z + 1], rtol=1e-15)
    np.testing.assert_allclose(found.multipliers[:, 0].real, [right, left * right], rtol=1e-15)


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param(ElmanRNN(WEIGHTS, BIAS, np.eye(2), activation="relu"), marks=pytest.mark.soak),
        PreActivationRNN(WEIGHTS, BIAS, np.eye(2), activation="leaky_relu"),
        LeakyRNN(WEIGHTS, BIAS, np.eye(2), leak=0.4, activation="relu"),
        PiecewiseLinearRNN([0.3, 0.2], WEIGHTS, BIAS, np.eye(2)),
    ],
    ids=lambda cell: type(cell).__name__,
)
def test_the_one_form_is_the_cell_and_newton_agrees(cell: Any) -> None:
    u = np.array([0.3, 0.1])
    form = piecewise_linear_form(cell, u)
    for z in np.random.default_rng(0).normal(size=(8, 2)):
        inner = np.asarray(form.inner) @ z + np.asarray(form.threshold)
        hidden = np.where(inner > 0, inner, float(form.slope) * inner)
        image = np.asarray(form.decay) * z + np.asarray(form.outer) @ hidden + np.asarray(form.offset)
        np.testing.assert_allclose(image, cell(jnp.asarray(z), jnp.asarray(u)), atol=1e-14)
        expected = jax.jacfwd(lambda x: cell(x, jnp.asarray(u)))(jnp.asarray(z))
        np.testing.assert_allclose(cell.jacobian(jnp.asarray(z), jnp.asarray(u)), expected, atol=1e-14)
    exact = piecewise_linear_cycles(cell, 1, u=u)
    newton = fixed_points(cell, np.random.default_rng(1).normal(size=(200, 2)), u=u, slow=False, orbits=0)
    assert exact.complete
    _same_cycles(newton, exact)


def test_shapes_and_cells_that_do_not_fit_are_named(dtype: str) -> None:
    cell = PiecewiseLinearRNN(*(np.asarray(part, dtype) for part in ([0.5], [[-1.0]], [1.0])))
    assert piecewise_linear_cycles(cell, 1).points.dtype == dtype
    with pytest.raises(ValueError, match="W: expected shape"):
        PiecewiseLinearRNN([0.5, 0.5], [[1.0]], [0.0, 0.0])
    with pytest.raises(ValueError, match="h2: expected shape"):
        ShallowPiecewiseLinearRNN([0.5], [[1.0, 2.0]], [[1.0], [2.0]], [0.0], [0.0])
    with pytest.raises(ValueError, match="W_in: expected shape"):
        PiecewiseLinearRNN([0.5], [[1.0]], [0.0], np.eye(2))
    with pytest.raises(TypeError, match="piecewise-linear activation"):
        piecewise_linear_cycles(ElmanRNN(WEIGHTS, BIAS), 1)
    with pytest.raises(TypeError, match="piecewise-linear cell"):
        piecewise_linear_cycles(lambda x, _: x, 1)
    with pytest.raises(ValueError, match="period"):
        piecewise_linear_cycles(TENT, 0)
