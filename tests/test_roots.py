"""Bracketed roots: values, statuses, and the derivative of the implicit function."""

import jax
import jax.numpy as jnp
import numpy as np

from rnn_dynamics.numerics.roots import bracketed_root
from rnn_dynamics.numerics.status import Status


def _cubic(x, p):
    return x * x * x - p


def test_roots_and_derivatives(dtype: str) -> None:
    p = jnp.asarray(np.linspace(0.1, 7.9, 40).astype(dtype))
    zero, two = jnp.zeros_like(p), jnp.full_like(p, 2)
    root = bracketed_root(_cubic, zero, two, p)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(root.value, np.cbrt(p.astype(np.float64)), rtol=4 * eps)
    assert (np.asarray(root.status) == Status.CONVERGED).all()
    slope = jax.grad(lambda q: bracketed_root(_cubic, zero, two, q).value.sum())(p)
    np.testing.assert_allclose(slope, 1 / (3 * np.cbrt(np.asarray(p, np.float64)) ** 2), rtol=16 * eps)


def test_hazard_23_derivative_where_the_root_meets_an_end_of_the_bracket(dtype: str) -> None:
    one = jnp.ones((), dtype)

    def solved(p):
        return bracketed_root(_cubic, jnp.zeros_like(p), one, p).value

    value, slope = jax.jit(jax.value_and_grad(solved))(one)
    assert abs(float(value) - 1) <= np.finfo(dtype).eps
    assert abs(float(slope) - 1 / 3) < 1e-6

    def clipped(p):  # the naive solver: Newton, clipped into the bracket, differentiated through
        x = one / 2
        for _ in range(60):
            x = jnp.clip(x - _cubic(x, p) / (3 * x * x), 0.0, 1.0)
        return x

    assert abs(float(jax.grad(clipped)(one)) - 1 / 3) > 0.1


def test_hazard_20_nan_and_a_bracket_without_sign_change_are_not_converged(dtype: str) -> None:
    p = jnp.asarray(np.array([np.nan, 9.0, 1.0], dtype))
    root = bracketed_root(_cubic, jnp.zeros_like(p), jnp.full_like(p, 2), p)
    assert np.asarray(root.status).tolist() == [Status.UNDECIDED, Status.UNDECIDED, Status.CONVERGED]
    assert np.isnan(np.asarray(root.value)).tolist() == [True, True, False]


def _holed(x, p):
    return jnp.where(jnp.abs(x - p) < 0.1, jnp.nan, x - p)


def test_hazard_20_a_hole_of_nan_inside_the_bracket_is_not_converged(dtype: str) -> None:
    """Both ends are finite and change sign; in float32 the last bisection is shorter than the tolerance."""
    one = jnp.ones(3, dtype)
    root = bracketed_root(_holed, -one, one, jnp.asarray([0.2, 0.0, -0.6], dtype))
    assert (np.asarray(root.status) != Status.CONVERGED).all()


def test_a_root_of_higher_order_is_near_and_may_say_that_it_is_not_there(dtype: str) -> None:
    p = jnp.asarray([0.3], dtype)
    root = bracketed_root(lambda x, p: (x - p) * (x - p) * (x - p), p - 1, p + 2, p)
    distance = abs(float(root.value[0]) - float(p[0]))
    assert distance < 1e-4
    assert int(root.status[0]) == Status.MAX_STEPS or distance < 64 * np.finfo(dtype).eps


def test_the_bracket_carries_no_derivative_and_the_second_derivative_is_right(dtype: str) -> None:
    def root(p, low):
        return bracketed_root(_cubic, low, jnp.full_like(p, 9), p).value

    p, low = jnp.asarray(8.0, dtype), jnp.asarray(0.5, dtype)
    assert float(jax.grad(root, argnums=1)(p, low)) == 0
    second = float(jax.grad(jax.grad(root))(p, low))
    assert abs(second + 2 / 9 * 8 ** (-5 / 3)) < 32 * float(np.finfo(dtype).eps)


def test_no_roots_bits_depend_on_how_long_others_take(dtype: str) -> None:
    p = np.linspace(0.1, 7.9, 40).astype(dtype)

    def solved_beside(other):
        p_and_other = jnp.asarray(np.append(p, np.asarray(other, dtype)))
        low, high = jnp.full_like(p_and_other, -1), jnp.full_like(p_and_other, 2)
        return np.asarray(bracketed_root(_cubic, low, high, p_and_other, bisections=4).value)[:-1]

    beside_slow = solved_beside(0.0)  # a triple root, to which Newton creeps
    np.testing.assert_array_equal(beside_slow, solved_beside(1.0))
    np.testing.assert_allclose(beside_slow, np.cbrt(p.astype(np.float64)), rtol=4 * np.finfo(dtype).eps)


def test_a_repeated_shape_compiles_nothing() -> None:
    solve = jax.jit(lambda p: bracketed_root(_cubic, jnp.zeros_like(p), jnp.full_like(p, 2), p).value)
    solve(jnp.linspace(0.1, 1, 5))
    solve(jnp.linspace(0.2, 2, 5))
    assert solve._cache_size() == 1
