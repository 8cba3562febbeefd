"""Levenberg's and Marquardt's steps: in closed form where the map is linear, and against MINPACK's on a network."""

import warnings

import jax.numpy as jnp
import numpy as np
import scipy.optimize

from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.dynamics.equilibria import fixed_points
from rnn_dynamics.dynamics.equilibria.least_squares import Damping, marquardt_step
from rnn_dynamics.dynamics.equilibria.newton import Equation


def _equation(function, slope):
    return Equation(function, lambda x: (function(x), slope(x)))


def test_a_step_on_a_linear_map(dtype: str) -> None:
    """F(x) = B x + c: q falls by exactly what is promised, so the damping falls to a tenth."""
    rng = np.random.default_rng(0)
    matrix, shift, x = rng.normal(size=(3, 3)), rng.normal(size=3), rng.normal(size=(2, 3))
    equation = _equation(
        lambda y: (y @ matrix.T + shift).astype(dtype),
        lambda y: np.broadcast_to(matrix, (len(y), 3, 3)).astype(dtype),
    )
    step = marquardt_step(equation, x.astype(dtype), Damping.first(2, np.dtype(dtype)))
    a = np.eye(3) - matrix
    mu = 0.1 * np.trace(a.T @ a) / 3
    close = 50 * np.finfo(dtype).eps
    for row in range(2):
        r = a @ x[row] - shift
        end = x[row] - np.linalg.solve(a.T @ a + mu * np.eye(3), a.T @ r)
        np.testing.assert_allclose(step.x[row], end, rtol=close, atol=close)
        np.testing.assert_allclose(step.residual[row], np.linalg.norm(a @ end - shift), rtol=close * 10)
        size = np.sqrt(np.trace(a.T @ a) / 3)
        np.testing.assert_allclose(
            step.slope[row], np.linalg.norm(a.T @ r) / (size * np.linalg.norm(r)), rtol=close * 10
        )
    np.testing.assert_allclose(step.damping.amount, 0.01, rtol=close * 100)
    np.testing.assert_array_equal(step.damping.rise, 2)
    assert step.x.dtype == step.residual.dtype == step.damping.amount.dtype == dtype


def test_a_step_that_does_not_gain_is_refused() -> None:
    """x − F(x) = arctan x from 20: the full Newton step leaves to −580; damping doubles, then by four."""
    equation = _equation(lambda x: x - np.arctan(x), lambda x: (1 - 1 / (1 + x * x))[..., None])
    start, damping = np.array([[20.0]]), Damping(np.array([1e-6]), np.array([2.0]))
    first = marquardt_step(equation, start, damping)
    np.testing.assert_array_equal(first.x, start)
    np.testing.assert_allclose(first.residual, np.arctan(20))
    np.testing.assert_allclose(first.damping.amount, 2e-6)
    second = marquardt_step(equation, start, first.damping)
    np.testing.assert_allclose(second.damping.amount, 8e-6)
    x, damping = start, second.damping
    for _ in range(60):
        x, damping, _, _ = marquardt_step(equation, x, damping)
    assert abs(x[0, 0]) < 1e-12


def test_not_a_number_is_refused() -> None:
    equation = _equation(lambda x: x - np.sqrt(x) + 2, lambda x: (1 - 0.5 / np.sqrt(x))[..., None])
    start = np.array([[100.0]])  # the full step goes below 0
    step = marquardt_step(equation, start, Damping(np.array([1e-9]), np.array([2.0])))
    np.testing.assert_array_equal(step.x, start)
    np.testing.assert_allclose(step.damping.amount, 2e-9)


def test_as_many_starts_converge_as_with_minpack() -> None:
    rng = np.random.default_rng(1)
    n = 32
    weights, bias = 1.6 * rng.normal(size=(n, n)) / np.sqrt(n), 0.1 * rng.normal(size=n)
    starts = np.tanh(rng.normal(size=(60, n)))
    cell = ElmanRNN(jnp.asarray(weights), jnp.asarray(bias))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # more starts would find more: not what is compared
        found = fixed_points(cell, starts, orbits=0, slow=False)

    def rest(x: np.ndarray) -> np.ndarray:
        return x - np.tanh(weights @ x + bias)

    def slope(x: np.ndarray) -> np.ndarray:
        return np.eye(n) - (1 - np.tanh(weights @ x + bias) ** 2)[:, None] * weights

    ends = [scipy.optimize.root(rest, start, method="lm", jac=slope).x for start in starts]
    roots = np.array([end for end in ends if np.abs(rest(end)).max() < 1e-10])
    assert len(roots) >= 10
    assert found.converged() >= len(roots)
    gaps = np.abs(roots[:, None] - np.asarray(found.points)[None]).max(axis=2)
    assert gaps.min(axis=1).max() < 1e-8
