"""Pairs of floats against mpmath: sums, products, quotients, roots and logarithms, compiled and not."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from rnn_dynamics.numerics import double_double as dd

# Last bits are what these tests are about.
pytestmark = pytest.mark.shipped

OPERATIONS = {
    "add": (dd.add, lambda a, b: a + b),
    "subtract": (dd.subtract, lambda a, b: a - b),
    "multiply": (dd.multiply, lambda a, b: a * b),
    "divide": (dd.divide, lambda a, b: a / b),
    "log_quotient": (dd.log_quotient, lambda a, b: mpmath.log(a / b)),
}


def _pairs(dtype: str, seed: int, count: int = 300) -> dd.Pair:
    """Positive pairs over 12 powers of ten, both parts filled."""
    rng = np.random.default_rng(seed)
    hi = (10 ** rng.uniform(-6, 6, count)).astype(dtype)  # their products keep a normal low part in float32
    lo = (np.spacing(hi) * rng.uniform(-0.5, 0.5, count).astype(dtype)).astype(dtype)
    return dd.two_sum(jnp.asarray(hi), jnp.asarray(lo))


def _exact(value: dd.Pair) -> list[mpmath.mpf]:
    with mpmath.workdps(60):
        return [
            mpmath.mpf(float(h)) + mpmath.mpf(float(low))
            for h, low in zip(*map(np.asarray, value), strict=True)
        ]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_against_mpmath(name: str, compiled: bool, dtype: str) -> None:
    operation, truth = OPERATIONS[name]
    a, b = _pairs(dtype, 1), _pairs(dtype, 2)
    found = _exact((jax.jit(operation) if compiled else operation)(a, b))
    with mpmath.workdps(60):
        for x, y, z in zip(_exact(a), _exact(b), found, strict=True):
            size = abs(x) + abs(y) if name in ("add", "subtract") else abs(truth(x, y))
            assert abs(z - truth(x, y)) <= 4 * dd.precision(dtype) * size


def test_square_root_and_logit(dtype: str) -> None:
    a = _pairs(dtype, 3)
    rng = np.random.default_rng(4)
    near = np.nextafter(np.full(3, 0.5, dtype), np.array([0, 0.5, 1], dtype))
    x = np.concatenate([rng.uniform(0, 1, 200), 10.0 ** rng.uniform(-30, -1, 50)]).astype(dtype)
    x = jnp.asarray(np.concatenate([x, near]))
    with mpmath.workdps(60):
        for value, found in zip(_exact(a), _exact(jax.jit(dd.sqrt)(a)), strict=True):
            assert abs(found - mpmath.sqrt(value)) <= 4 * dd.precision(dtype) * mpmath.sqrt(value)
        for value, found in zip(map(float, np.asarray(x)), _exact(jax.jit(dd.logit)(x)), strict=True):
            true = mpmath.log(mpmath.mpf(value) / (1 - mpmath.mpf(value)))
            assert abs(found - true) <= 8 * dd.precision(dtype) * abs(true)


def test_sums_and_products_of_floats_are_exact_under_jit(dtype: str) -> None:
    """Contracting a·b + c into one operation would break the textbook split."""
    rng = np.random.default_rng(5)
    a, b = (jnp.asarray(rng.standard_normal(500).astype(dtype)) for _ in range(2))
    for exact, operation in ((lambda x, y: x + y, dd.two_sum), (lambda x, y: x * y, dd.two_prod)):
        found = _exact(jax.jit(operation)(a, b))
        with mpmath.workdps(60):
            assert all(
                z == exact(mpmath.mpf(float(x)), mpmath.mpf(float(y)))
                for x, y, z in zip(a, b, found, strict=True)
            )


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_differences_of_pairs_with_one_leading_part(compiled: bool, dtype: str) -> None:
    """The leading parts cancel wholly; the difference of the lower ones is exact."""
    first = _pairs(dtype, 6)
    bend = np.random.default_rng(7).integers(1, 2**12, len(first.hi)).astype(dtype)
    second = dd.Pair(first.hi, first.lo + jnp.asarray(np.spacing(np.asarray(first.lo)) * bend))
    found = _exact((jax.jit(dd.subtract) if compiled else dd.subtract)(first, second))
    with mpmath.workdps(60):
        assert found == [x - y for x, y in zip(_exact(first), _exact(second), strict=True)]


def test_additions_of_constants_are_not_merged(dtype: str) -> None:
    """XLA turns (x + 1) − 1 into x; the exact 1 − x survives it for tiny x."""
    x = jnp.asarray(np.array([1e-30, 3e-9, 0.3, 1 - 2.0**-20], dtype))
    found = jax.jit(lambda x: dd.two_sum(jnp.ones_like(x), -x))(x)
    with mpmath.workdps(60):
        for value, got in zip(map(float, np.asarray(x)), _exact(found), strict=True):
            assert abs(got - (1 - mpmath.mpf(value))) <= mpmath.mpf(2) ** -100


def test_logarithm_of_numbers_next_to_one_is_relative_to_itself(dtype: str) -> None:
    unit = float(np.finfo(dtype).eps)
    x = jnp.asarray(np.array([1 + unit, 1 - unit / 2, 1 + 1e3 * unit, 2**0.5, 0.5**0.5], dtype))
    with mpmath.workdps(60):
        for value, got in zip(map(float, np.asarray(x)), _exact(jax.jit(dd.log)(dd.pair(x))), strict=True):
            truth = mpmath.log(mpmath.mpf(value))
            assert abs(got - truth) <= 16 * dd.precision(dtype) * abs(truth)
