"""Scaled numbers, which no float range bounds, against exact integers, python-flint balls and mpmath."""

import functools
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import flint
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from rnn_dynamics.numerics import scaled
from rnn_dynamics.numerics.scaled import Scaled

# Last bits are what these tests are about.
pytestmark = pytest.mark.shipped

EPS = {"float32": 2.0**-24, "float64": 2.0**-53}
RANGE = {"float32": (-126, 128), "float64": (-1022, 1024)}
few = settings(deadline=None, max_examples=40)
entries = st.floats(-1, 1, allow_subnormal=False).map(lambda v: 0.0 if abs(v) < 1e-30 else v)
exponents = st.integers(-5000, 5000)


def _exact(value: Scaled) -> Fraction:
    """The rational number that a scaled scalar stands for."""
    return Fraction(float(value.unit)) * Fraction(2) ** int(value.exponent)


def _number(unit: float, exponent: int, dtype: str) -> Scaled:
    return Scaled(jnp.asarray(unit, dtype), jnp.asarray(exponent, jnp.int32)).normalize()


def _normalised(value: Scaled) -> bool:
    axes = tuple(range(value.unit.ndim - value.event_ndim, value.unit.ndim))
    largest = np.max(np.abs(np.asarray(value.unit)), axis=axes)
    zero = largest == 0
    inside = ((largest >= 0.5) & (largest < 1)) | (zero & (np.asarray(value.exponent) == 0))
    return bool(np.all(inside)) and value.exponent.dtype == np.int32


def test_exponents_from_bits(dtype: str) -> None:
    low, high = RANGE[dtype]
    x = np.concatenate([2.0 ** np.arange(low, high), np.nextafter(2.0 ** np.arange(low + 1, high), 0)])
    x = np.concatenate([x, -x]).astype(dtype)
    np.testing.assert_array_equal(jax.jit(scaled.exponent_of)(x), np.frexp(x)[1])
    special = jnp.array([0.0, -0.0, np.nan, np.inf, -np.inf], dtype)
    np.testing.assert_array_equal(scaled.exponent_of(special), 0)


def test_powers_of_two(dtype: str) -> None:
    low, high = RANGE[dtype]
    e = np.arange(low, high, dtype=np.int32)
    got = jax.jit(functools.partial(scaled.power_of_two, dtype=dtype))(e)
    np.testing.assert_array_equal(got, np.ldexp(np.ones_like(e, dtype), e))
    outside = np.array([-(2**31), low - 1, high, 2**31 - 1], np.int32)
    np.testing.assert_array_equal(scaled.power_of_two(jnp.asarray(outside), dtype), [0, 0, np.inf, np.inf])


def test_round_trip_is_exact(dtype: str) -> None:
    low, high = RANGE[dtype]
    rng = np.random.default_rng(0)
    x = (rng.uniform(1, 2, 300) * 2.0 ** rng.integers(low, high - 1, 300)).astype(dtype)
    value = scaled.from_float(x)
    assert _normalised(value)
    np.testing.assert_array_equal(value.to_float(), x)
    assert value.fits().all()


def test_hazard_02_subnormals_are_zero_and_the_floor_is_the_normal_one(dtype: str) -> None:
    smallest = np.finfo(dtype).smallest_subnormal
    value = scaled.from_float(jnp.asarray(smallest))
    assert value.exponent == 0
    assert float(value.to_float()) in (0.0, float(smallest))
    low = RANGE[dtype][0]
    kept = _number(0.5, low + 1, dtype)
    lost = _number(0.5, low, dtype)
    assert bool(kept.fits())
    assert not bool(lost.fits())
    assert float(kept.to_float()) == np.finfo(dtype).smallest_normal
    # Scaled keeps what the float loses.
    np.testing.assert_allclose(lost.log2(), low - 1.0, rtol=0)


@few
@given(a=entries, b=entries, ea=exponents, eb=exponents)
def test_product_and_sum_of_numbers(a: float, b: float, ea: int, eb: int) -> None:
    for dtype, eps in EPS.items():
        x, y = _number(a, ea, dtype), _number(b, eb, dtype)
        for got, true in ((x * y, _exact(x) * _exact(y)), (x + y, _exact(x) + _exact(y))):
            assert _normalised(got)
            assert abs(_exact(got) - true) <= Fraction(eps) * abs(true)
        assert _exact(x - x) == 0
        assert _exact(-x) == -_exact(x)


@few
@given(a=entries.filter(bool), e=st.integers(-(10**6), 10**6))
def test_sign_and_logarithms(a: float, e: int) -> None:
    for dtype, eps in EPS.items():
        x = _number(a, e, dtype)
        with mpmath.workdps(60):
            true = mpmath.mpf(float(x.unit)) * mpmath.mpf(2) ** int(x.exponent)
            for got, log in (
                (x.log(), mpmath.log),
                (x.log10(), mpmath.log10),
                (x.log2(), lambda v: mpmath.log(v, 2)),
            ):
                expected = log(abs(true))
                assert abs(float(got) - expected) <= 8 * eps * max(1, abs(expected))
        assert float(x.sign()) == np.sign(a)


def test_zero_is_exact(dtype: str) -> None:
    zero, tiny = _number(0.0, 7, dtype), _number(0.5, -100_000, dtype)
    assert zero.exponent == 0
    assert float(zero.sign()) == 0
    for log in (zero.log(), zero.log2(), zero.log10()):
        assert log == -np.inf
    assert _exact(zero * tiny) == 0
    assert _exact(zero + tiny) == _exact(tiny)
    assert _exact(tiny + zero) == _exact(tiny)
    assert _exact(zero + zero) == 0
    vectors = scaled.from_float(jnp.zeros((2, 3), dtype), event_ndim=1)
    assert _exact(vectors.norm()[0]) == 0
    assert _exact(scaled.from_float(jnp.zeros((3, 3), dtype), event_ndim=2).norm(2)) == 0


def test_nan_and_infinities_stay_visible(dtype: str) -> None:
    for bad in (np.nan, np.inf, -np.inf):
        value = scaled.from_float(jnp.asarray(bad, dtype))
        np.testing.assert_array_equal(value.to_float(), bad)
        far = value * _number(0.5, -100_000, dtype)
        np.testing.assert_array_equal(far.to_float(), bad)
        vector = scaled.from_float(jnp.array([1.0, bad], dtype), event_ndim=1)
        assert not np.isfinite(vector.norm().to_float())
        assert np.isnan(scaled.from_float(jnp.array([[1.0, bad], [0, 1]], dtype), event_ndim=2).norm(2).unit)
        assert not np.isfinite((value + _number(0.5, 3, dtype)).to_float())


def test_to_float_out_of_range(dtype: str) -> None:
    x = Scaled(jnp.array([0.5, 0.0, -0.75, 1e-30], dtype), jnp.asarray(3000, jnp.int32), 1)
    np.testing.assert_array_equal(x.to_float(), [np.inf, 0, -np.inf, np.inf])
    x = Scaled(jnp.array([0.5, 0.0, -0.75], dtype), jnp.asarray(-3000, jnp.int32), 1)
    np.testing.assert_array_equal(x.to_float(), [0, 0, 0])


def test_norms_far_out_of_range(dtype: str) -> None:
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(5, 3)).astype(dtype)
    big = scaled.from_float(matrix, event_ndim=2) * _number(0.5, 40_001, dtype)
    with mpmath.workdps(50):
        exact = mpmath.matrix(matrix.tolist())
        spectral = mpmath.svd_r(exact, compute_uv=False)[0]
        frobenius = mpmath.sqrt(sum(v**2 for v in exact))
        column = mpmath.sqrt(sum(v**2 for v in exact[:, 0]))
        expected = [40_000 + mpmath.log(v, 2) for v in (spectral, frobenius, column)]
    vector = scaled.from_float(matrix[:, 0], event_ndim=1) * _number(0.5, 40_001, dtype)
    got = [big.norm(2).log2(), big.norm("fro").log2(), vector.norm().log2()]
    np.testing.assert_allclose(got, np.array(expected, float), rtol=4 * EPS[dtype])
    np.testing.assert_allclose(big.transpose.norm(2).log2(), got[0], rtol=4 * EPS[dtype])


def test_hazard_01_product_of_100000_matrices(dtype: str) -> None:
    """A rotation by an exact angle (3-4-5 triangle) times g: the product's norm is g^T, whatever T."""
    for gain in (3.0, 0.2):
        matrix = jnp.array([[0.6, -0.8], [0.8, 0.6]], dtype) * gain
        norm = jax.jit(_power, static_argnums=1)(matrix, 100_000).norm("fro")
        assert np.isfinite(norm.unit)
        assert not bool(norm.fits())
        expected = 100_000 * np.log2(gain) + 0.5
        np.testing.assert_allclose(float(norm.log2()), expected, rtol=4 * EPS[dtype])


def _step(product: Scaled, matrix: jax.Array) -> tuple[Scaled, None]:
    return scaled.matmul(matrix, product), None


def _power(matrix: jax.Array, count: int) -> Scaled:
    start = scaled.from_float(jnp.eye(2, dtype=matrix.dtype), event_ndim=2)
    return jax.lax.scan(lambda product, _: _step(product, matrix), start, length=count)[0]


def test_hazard_04_no_logarithm_is_summed_along_a_product(dtype: str) -> None:
    """10⁴ factors against python-flint: a few ulp, where summing the logs step by step loses hundreds."""
    rng = np.random.default_rng(5)
    factors = rng.uniform(0.1, 0.9, 10_000).astype(dtype)

    def multiply(total: Scaled, factor: jax.Array) -> tuple[Scaled, None]:
        return scaled.multiply(total, scaled.from_float(factor)), None

    start = scaled.from_float(jnp.ones((), dtype))
    got = float(jax.jit(lambda f: jax.lax.scan(multiply, start, f)[0].log())(factors))
    with flint.ctx.workprec(300):
        true = sum((flint.arb(float(f)).log() for f in factors), flint.arb(0))
        error = abs(float((flint.arb(got) - true).mid()))
    # Rounding of the mantissas, √T of them, is not amplified; that of the one logarithm is relative.
    assert error <= 4 * EPS[dtype] * (abs(got) + np.sqrt(10_000))
    naive = float(np.cumsum(np.log(factors))[-1])
    if dtype == "float32":
        assert abs(naive - float(true.mid())) > 10 * error


def test_products_of_matrices_and_vectors_against_exact_integers(dtype: str) -> None:
    rng = np.random.default_rng(7)
    a, b = rng.integers(-9, 10, (4, 3, 5)), rng.integers(-9, 10, (4, 5, 2))
    v, w = rng.integers(-9, 10, 5), rng.integers(-9, 10, (4, 3))
    left, right = (scaled.from_float(m.astype(dtype), event_ndim=2) for m in (a, b))
    vector, row = (scaled.from_float(m.astype(dtype), event_ndim=1) for m in (v, w))

    @jax.jit
    def computed(left: Scaled, right: Scaled, vector: Scaled, row: Scaled) -> list[jax.Array]:
        products = [left @ right, left @ vector, row @ left, row @ row, jnp.eye(3, dtype=dtype) @ left[0]]
        return [value.to_float() for value in (*products, 2.0 * row, np.float32(2) * row, row - row[1])]

    exact = [
        a @ b,
        a @ v,
        np.einsum("bi,bij->bj", w, a),
        np.sum(w * w, axis=-1),
        a[0],
        2 * w,
        2 * w,
        w - w[1],
    ]
    for value, truth in zip(computed(left, right, vector, row), exact, strict=True):
        np.testing.assert_array_equal(value, truth)


def _precisions(jaxpr: Any) -> list[Any]:
    """The precision of every dot_general in a jaxpr and in those inside it."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            found.append(equation.params["precision"])
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                found += _precisions(inner) if hasattr(inner, "eqns") else []
    return found


def test_hazard_10_every_product_asks_for_full_precision(dtype: str) -> None:
    highest = (jax.lax.Precision.HIGHEST,) * 2
    m, v = jnp.ones((3, 3), dtype), jnp.ones(3, dtype)

    def log_norm(m: jax.Array, v: jax.Array) -> jax.Array:
        vector = scaled.matmul(scaled.matmul(m, m), v)
        return vector.norm().log() + scaled.matmul(v, m).norm().log() + scaled.matmul(m, m).norm(2).log()

    for function in (
        log_norm,
        jax.grad(log_norm, argnums=(0, 1)),
        jax.vmap(log_norm, in_axes=(None, None), axis_size=2),
    ):
        asked = _precisions(jax.make_jaxpr(function)(m, v).jaxpr)
        assert len(asked) >= 4
        assert all(precision == highest for precision in asked)


def test_hazard_19_gradients_stay_finite(dtype: str) -> None:
    def slope(f: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
        return jax.jit(jax.grad(f))

    def log_of(x: jax.Array) -> jax.Array:
        return scaled.from_float(x, event_ndim=1).norm().log()

    x = jnp.array([3.0, 4.0], dtype)
    np.testing.assert_allclose(slope(log_of)(x), np.array([3, 4]) / 25, rtol=4 * EPS[dtype])
    at_zero = slope(lambda x: scaled.from_float(x, event_ndim=1).norm().to_float())(jnp.zeros(2, dtype))
    np.testing.assert_array_equal(at_zero, 0)
    assert np.isfinite(slope(log_of)(jnp.zeros(2, dtype))).all()

    def spectral(m: jax.Array) -> jax.Array:
        return scaled.from_float(m, event_ndim=2).norm(2).to_float()

    repeated = slope(spectral)(jnp.eye(3, dtype=dtype))
    np.testing.assert_allclose(np.sum(np.abs(np.linalg.svd(repeated)[1])), 1, rtol=16 * EPS[dtype])
    assert np.isfinite(slope(spectral)(jnp.zeros((2, 2), dtype))).all()
    long = slope(lambda m: _power(m, 2000).norm("fro").log())(jnp.array([[0.3, 0.1], [0.0, 0.2]], dtype))
    # d ln‖A^T‖_F at a simple dominant eigenvalue λ = .3: T/λ times the spectral projector, to O(1).
    np.testing.assert_allclose(long[0, 0] / (2000 / 0.3), 1, rtol=1e-2)


def test_hazard_39_rebuilding_with_placeholders() -> None:
    value = scaled.from_float(jnp.ones((2, 3)), event_ndim=1)
    leaves, tree = jax.tree_util.tree_flatten(value)
    assert len(leaves) == 2
    for leaf in (None, object(), jax.ShapeDtypeStruct((2, 3), "float32")):
        rebuilt = jax.tree_util.tree_unflatten(tree, [leaf] * 2)
        assert repr(rebuilt).startswith("Scaled(vectors")
    assert jax.tree_util.tree_map(jnp.shape, value).unit == (2, 3)
    seen = []
    jax.make_jaxpr(lambda v: seen.append(repr(v)))(value)
    assert seen == ["Scaled(traced vectors, shape=(2, 3), dtype=float64)"]


def test_indexing_runs_over_the_batch_and_stays_inside() -> None:
    value = scaled.from_float(jnp.arange(24.0).reshape(2, 3, 4), event_ndim=1)
    assert [v.shape for v in value] == [(3, 4), (3, 4)]
    assert value[..., 0].shape == (2, 4)
    assert value[1, -1].shape == (4,)
    np.testing.assert_array_equal(value[1, -1].to_float(), [20, 21, 22, 23])
    for item in (2, -3, (0, 3), (slice(None), 3)):
        with pytest.raises(IndexError, match="out of range for batch axis"):
            value[item]
    with pytest.raises(TypeError, match="without batch axes"):
        len(value[0, 0])


def test_hazard_24_wrong_arguments_raise() -> None:
    vector, matrix = (scaled.from_float(jnp.ones((3,) * n), event_ndim=n) for n in (1, 2))
    number = scaled.from_float(jnp.ones(()))
    for case, match in (
        (lambda: scaled.from_float(jnp.ones(2), event_ndim=2), "x: expected at least 2 dimensions"),
        (lambda: scaled.from_float(jnp.ones(2), event_ndim=3), "event_ndim: expected one of 0, 1, 2"),
        (lambda: matrix.norm("nuc"), "ord: expected one of 'fro', 2"),
        (lambda: vector.norm(1), "ord: expected 2, got 1"),
        (lambda: vector.transpose, "transpose: expected matrices"),
        (lambda: vector + matrix, "b: expected event_ndim 1, got 2"),
        (lambda: scaled.matmul(number, matrix), "expected vectors or matrices, got scalars"),
        (lambda: scaled.matmul(matrix, jnp.ones((2, 2))), r"b: expected 3 rows.*got shape \(2, 2\)"),
    ):
        with pytest.raises(ValueError, match=match):
            case()


def test_prints_legibly() -> None:
    assert repr(_number(0.5, 4000, "float64")) == "Scaled(6.59102e+1203)"
    assert repr(scaled.from_float(jnp.asarray(-1000.0))) == "Scaled(-1e+3)"
    assert repr(scaled.from_float(jnp.asarray(9.9999999))) == "Scaled(1e+1)"
    assert repr(_number(0.0, 0, "float32")) == "Scaled(0)"
    assert (
        repr(scaled.from_float(jnp.ones((2, 3)), event_ndim=1))
        == "Scaled(vectors, shape=(2, 3), dtype=float64)"
    )


def test_repeated_shapes_compile_once(dtype: str) -> None:
    kernel = jax.jit(lambda m, v: scaled.matmul(m, scaled.from_float(v, event_ndim=1)).norm().log())
    for seed in range(3):
        rng = np.random.default_rng(seed)
        kernel(rng.normal(size=(3, 3)).astype(dtype), rng.normal(size=3).astype(dtype))
    assert kernel._cache_size() == 1
