"""One neuron where floats are at their end: beside folds, flips and the cusp, at rest on a repeller."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from rnn_dynamics import doya
from rnn_dynamics.doya import Basin
from rnn_dynamics.numerics import double_double as dd
from rnn_dynamics.numerics.roots import bracketed_root
from rnn_dynamics.numerics.status import Status
from tests.compilations import compilations
from tests.oracles import neuron

# Last bits are what these tests are about.
pytestmark = pytest.mark.shipped

MPF = mpmath.mpf
# Every array has one of two lengths, so that each kernel compiles once a dtype.
NEURONS, LABELS = 60, 600


@pytest.fixture(autouse=True)
def sixty_digits():
    with mpmath.workdps(60):
        yield


def ulps(value, truth, dtype):
    value = np.dtype(dtype).type(value)
    return float(abs(MPF(float(value)) - truth) / MPF(float(np.spacing(abs(value)))))


def moved(value, ulp_count):
    """``value`` moved by that many floats, elementwise."""
    value = np.array(value)
    for step in range(int(np.max(np.abs(ulp_count), initial=0))):
        toward = np.where(ulp_count > 0, np.inf, -np.inf).astype(value.dtype)
        value = np.where(np.abs(ulp_count) > step, np.nextafter(value, toward), value)
    return value


def weights_beyond_the_cusp(rng, dtype):
    near = 4 + np.exp(rng.uniform(-10, -1, NEURONS // 3))
    far = np.exp(rng.uniform(np.log(4.01), np.log(1e6), NEURONS - 5 - len(near)))
    first = np.nextafter(np.dtype(dtype).type(4), np.dtype(dtype).type(5))
    return np.concatenate([[first, 1e6, 5, 50, 1000], near, far]).astype(dtype)


def labels(w, b, x0, epsilon=1.0):
    """``basin_label`` in float64 arrays of one length."""
    points = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (w, b, x0, epsilon)))
    padded = (np.resize(a.ravel(), LABELS) for a in points)
    return np.asarray(doya.basin_label(*padded))[: points[0].size].reshape(points[0].shape)


# Pairs of floats


@pytest.mark.parametrize("constant", [False, True])
def test_double_double_survives_the_compiler(dtype, constant):
    """XLA contracts a·b + c and rewrites (x + 1) − 1 as x; with constants baked in it may fold more."""
    rng = np.random.default_rng(1)
    kind = np.dtype(dtype).type
    x = np.concatenate([rng.uniform(0, 1, 50), 0.5 - np.exp(rng.uniform(-14, -1, 50)) / 2]).astype(kind)
    y = np.exp(rng.uniform(-5, 5, 100)).astype(kind)

    def quantities(x, y):
        product = dd.two_prod(x, y)
        return (dd.logit(x), product, dd.add(product, dd.pair(-(x * y))), dd.divide(dd.pair(x), dd.pair(y)))

    if constant:
        found = jax.jit(lambda: quantities(jnp.asarray(x), jnp.asarray(y)))()
    else:
        found = jax.jit(quantities)(x, y)
    allowed = MPF(dd.precision(dtype))
    for i in range(len(x)):
        a, b = MPF(float(x[i])), MPF(float(y[i]))
        got = [MPF(float(p.hi[i])) + MPF(float(p.lo[i])) for p in found]
        logit = mpmath.log(a / (1 - a))
        assert abs(got[0] - logit) <= allowed * abs(logit)
        assert got[1] == a * b
        assert abs(got[2] - (a * b - MPF(float(x[i] * y[i])))) <= allowed * a * b
        assert abs(got[3] - a / b) <= allowed * (a / b)


# Roots


def _square_less(x, p):
    return jnp.square(x) - p


def test_hazard_23_derivative_where_the_root_meets_a_bracket_end():
    def root(p):
        return bracketed_root(_square_less, jnp.ones_like(p), jnp.full_like(p, 2.0), p).value

    slope = jax.jit(jax.grad(root))
    np.testing.assert_allclose(slope(1.0), 0.5, rtol=1e-12)
    np.testing.assert_allclose(slope(4.0), 0.25, rtol=1e-12)
    # A missing root leaves the derivative of a sum over the others finite.
    total = jax.jit(jax.grad(lambda p: jnp.nansum(root(p))))(jnp.array([2.25, 9.0]))
    np.testing.assert_allclose(total, [1 / 3, 0])


# Equilibria


def neurons_beside_folds(rng, dtype):
    w = weights_beyond_the_cusp(rng, dtype)
    fold = np.asarray(doya.folds(w).b)
    between = rng.uniform(-0.2, 1.2, NEURONS).astype(dtype)
    choice = rng.integers(0, 3, NEURONS)
    inside = between * fold[:, 0] + (1 - between) * fold[:, 1]
    b = np.where(choice == 0, fold[:, 0], np.where(choice == 1, fold[:, 1], inside)).astype(dtype)
    return w, moved(b, rng.integers(-2, 3, NEURONS))


def plain_neurons(rng, dtype):
    special = np.array([[4, -2], [4, -2.5], [50, -25], [1000, -500], [5, -2.5], [-4, 2], [0, 1]], dtype)
    half = (NEURONS - len(special)) // 2
    w = np.concatenate([-np.exp(rng.uniform(-2, 6, half)), rng.uniform(0, 4, NEURONS - len(special) - half)])
    b = -w / 2 + rng.standard_normal(len(w)) * (1 + abs(w))
    return (np.concatenate([a, special[:, k]]).astype(dtype) for k, a in enumerate((w, b)))


@pytest.mark.parametrize("draw", [neurons_beside_folds, plain_neurons])
def test_hazard_14_equilibria_within_two_ulp_also_beside_a_fold(dtype, draw):
    w, b = draw(np.random.default_rng(4), dtype)
    found = doya.equilibria(w, b)
    unit, tiny = MPF(float(np.finfo(dtype).eps)), float(np.finfo(dtype).tiny)
    points, multipliers = np.asarray(found.points), np.asarray(found.multipliers)
    for i in range(len(w)):
        truth = neuron.relative_equilibria(float(w[i]), float(b[i]))
        assert int(found.count[i]) == len(truth), (w[i], b[i])
        assert np.isnan(points[i, len(truth) :]).all()
        for j, true in enumerate(truth):
            if true.x < tiny:
                continue
            assert found.status[i, j] == Status.CONVERGED
            assert ulps(points[i, j], true.x, dtype) <= 2, (w[i], b[i], j)
            multiplier = true.multiplier()
            assert abs(MPF(float(multipliers[i, j])) - multiplier) <= 4 * unit * max(1, abs(multiplier))
            if not found.marginal[i, j]:
                assert bool(found.stable[i, j]) == bool(abs(multiplier) < 1)


def test_derivatives_of_equilibria_are_right_beside_a_fold_and_in_saturation():
    w, b = neurons_beside_folds(np.random.default_rng(5), "float64")
    slope = jax.jvp(lambda b: doya.equilibria(w, b).points, (jnp.asarray(b),), (jnp.ones_like(b),))[1]
    checked = 0
    for i in np.flatnonzero(w < 1e4):
        for j, true in enumerate(neuron.relative_equilibria(float(w[i]), float(b[i]))):
            change = true.x * (1 - true.x) / (1 - true.slope)
            if abs(change) > 1e-300:
                assert abs(MPF(float(slope[i, j])) / change - 1) < 1e-11
                checked += 1
    assert checked > NEURONS / 2
    assert (np.asarray(slope)[np.isnan(doya.equilibria(w, b).points)] == 0).all()


# Cycles


def test_two_cycles_exist_between_the_flips_to_the_last_float(dtype):
    rng = np.random.default_rng(5)
    w = (-4 - np.exp(rng.uniform(-6, 7, NEURONS))).astype(dtype)
    flips = np.asarray(doya.flips(w, np.ones_like(w)).b)
    along = rng.uniform(-0.05, 1.05, NEURONS).astype(dtype)
    b = (flips[:, 0] * (1 - along) + flips[:, 1] * along).astype(dtype)
    b[:20] = moved(flips[:20, 0], rng.integers(-3, 4, 20))
    b[20:40] = moved(flips[20:40, 1], rng.integers(-3, 4, 20))
    found = doya.two_cycle(w, b)
    root = float(np.sqrt(np.finfo(dtype).eps))
    for i in range(NEURONS):
        truth = neuron.two_cycle(float(w[i]), float(b[i]))
        assert (truth is None) == np.isnan(found.multiplier[i]), (w[i], b[i])
        if truth is not None:
            unit, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).tiny)
            np.testing.assert_allclose(found.x[i], [float(x) for x in truth], rtol=32 * unit, atol=tiny)
            assert 0 <= found.multiplier[i] <= 1 + root


# Basins


def test_labels_of_far_and_degenerate_starts():
    found = labels(6, -3, [-1e6, 0, 5e-324, 1, 1e6])
    assert found.tolist() == [Basin.LOW, Basin.LOW, Basin.LOW, Basin.HIGH, Basin.HIGH]
    assert (labels([0, 4, -3], -2, 0.3) == Basin.ONLY).all()
    assert labels(-30, 15.1, [1e30, 0.3], 0.9)[1] == labels(-30, 15.1, 0.3, 0.9)


def test_hazard_17_even_periods_are_no_rest():
    assert labels(-8, 4.1, 0.3) == Basin.CYCLE
    assert labels(-8, 4, 0.5) == Basin.BOUNDARY
    low, high = np.asarray(doya.flips(np.full(NEURONS, -8.0), np.ones(NEURONS)).b)[0]
    b = np.concatenate([moved(np.full(5, end), np.arange(-2, 3)) for end in (low, high)])
    rests = [neuron.two_cycle(-8.0, float(bias)) is None for bias in b]
    np.testing.assert_array_equal(labels(-8, b, 0.3), np.where(rests, Basin.ONLY, Basin.CYCLE))


def test_attractors_proved_by_a_trapping_interval_hold_the_exact_orbit():
    w, b = np.meshgrid(np.linspace(-40, -13, 25), np.linspace(5, 22, 24))
    found = labels(w, b, 0.3, 0.5)
    assert {Basin.ONLY, Basin.CYCLE, Basin.CHAOS} <= set(found.ravel().tolist())
    assert doya.undecided_share(found) < 0.03
    proved = np.argwhere((found == Basin.ONLY) | (found == Basin.CYCLE))
    for i, j in proved[:: len(proved) // 10]:
        end, after = (neuron.orbit(w[i, j], b[i, j], 0.3, steps, 0.5) for steps in (3000, 3001))
        assert (abs(after - end) < MPF(10) ** -12) == (found[i, j] == Basin.ONLY)


def test_floats_at_rest_on_a_repeller_are_no_chaos():
    w, b, epsilon = -100.0, 90.0, 0.5
    at_rest = float(neuron.relative_equilibria(w, b)[0].x)
    assert labels(w, b, at_rest, epsilon) in (Basin.CHAOS, Basin.UNDECIDED)
    assert labels(-40, 20, 0.5, epsilon) == Basin.BOUNDARY
    assert labels(-40, 20, 0.3, epsilon) != Basin.BOUNDARY


# Compilation


def test_repeated_shapes_compile_nothing():
    def everything(shift):
        w, b = np.linspace(-20, 20, NEURONS) + shift, np.linspace(-5, 5, NEURONS) + shift
        half = np.full(NEURONS, 0.5)
        results = (
            doya.folds(w),
            doya.flips(w, half),
            doya.wall(w, half),
            doya.equilibria(w, b),
            doya.two_cycle(w, b),
            doya.basin_label(*(np.resize(a, LABELS) for a in (w, b, half, half))),
        )
        return jax.block_until_ready(results)

    everything(0.25)
    with compilations() as seen:
        everything(0.75)
    assert seen.count == 0
