"""All equilibria of one neuron against 50 digits; stability by the multiplier; 2-cycles."""

import importlib

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from rnn_dynamics import doya
from rnn_dynamics.doya import cycles
from rnn_dynamics.doya.bifurcations import turning
from rnn_dynamics.numerics.batching import computed
from rnn_dynamics.numerics.status import Status
from tests.compilations import compilations
from tests.oracles import neuron

# The package has a function of that name.
equilibria = importlib.import_module("rnn_dynamics.doya.equilibria")


def _cases(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Random, near folds on both sides, saturated, and w < 0."""
    rng = np.random.default_rng(0)
    w = np.concatenate(
        [rng.uniform(-20, 20, 60), 4 + 10 ** rng.uniform(-2, 1, 60), rng.choice([-1e3, 1e3], 20)]
    )
    b = -w / 2 + rng.uniform(-3, 3, w.size)
    for i in range(60, 120):
        fold = [float(v) for _, v in neuron.folds(float(w[i]))]
        b[i] = fold[i % 2] + (fold[0] - fold[1]) * rng.choice([-1, 1]) * 10 ** rng.uniform(-5, 0)
    return w.astype(dtype), b.astype(dtype)


def test_points_to_four_ulp_and_none_missed(dtype: str) -> None:
    w, b = _cases(dtype)
    found = doya.equilibria(w, b)
    points, status = np.asarray(found.points), np.asarray(found.status)
    for i in range(w.size):
        true = neuron.relative_equilibria(float(w[i]), float(b[i]))
        assert len(true) == int(found.count[i])
        for j in range(3):
            if j >= len(true):
                assert np.isnan(points[i, j])
                assert status[i, j] == -1
                continue
            assert status[i, j] == Status.CONVERGED
            error = abs(mpmath.mpf(float(points[i, j])) - true[j].x)
            assert float(error) <= 4 * np.spacing(np.asarray(float(true[j].x), dtype))
            multiplier = float(true[j].multiplier(1))
            if abs(abs(multiplier) - 1) > 1e-4:
                assert bool(found.stable[i, j]) == (abs(multiplier) < 1)  # hazard 8: never by the real part


@pytest.mark.parametrize(
    ("w", "b", "index"), [(5.0, -2.5, 0), (5.0, -2.5, 1), (-8.0, 3.0, 0), (2.0, -1.0, 0)]
)
def test_derivatives_of_the_implicit_function(w: float, b: float, index: int) -> None:
    x = float(doya.equilibria(w, b).points[index])
    slope = 1 / (1 / (x * (1 - x)) - w)
    by_w, by_b = jax.grad(lambda v, c: doya.equilibria(v, c).points[index], argnums=(0, 1))(w, b)
    np.testing.assert_allclose([by_w, by_b], [x * slope, slope], rtol=1e-12)


def test_hazard_13_an_unstable_point_that_holds_a_float_orbit_is_unstable(dtype: str) -> None:
    found = doya.equilibria(np.asarray(5, dtype), np.asarray(-2.5, dtype))
    x = np.asarray(found.points[1])
    orbit = x.copy()
    for _ in range(1000):
        orbit = (1 / (1 + np.exp(-(5 * orbit - 2.5), dtype=dtype))).astype(dtype)
    assert orbit == x  # "it stopped moving" would call this stable
    assert not bool(found.stable[1])


def test_hazard_14_next_to_a_fold_the_root_is_right(dtype: str) -> None:
    """Newton at a double root stops 1e−9 away with residual 0; here b is one float inside the fold."""
    fold = doya.folds(np.asarray(5, dtype))
    b = np.nextafter(np.asarray(fold.b[0]), np.asarray(-9, dtype))
    found = doya.equilibria(np.asarray(5, dtype), b)
    true = neuron.relative_equilibria(5.0, float(b))
    assert len(true) == int(found.count)
    for x, root in zip(found.points, true, strict=False):
        assert float(abs(mpmath.mpf(float(x)) - root.x)) <= 4 * np.spacing(np.asarray(float(root.x), dtype))


@pytest.mark.parametrize("ulps", [1, 2, 16, 60, 1000])
def test_just_above_the_cusp_the_outer_points_are_right(ulps: int) -> None:
    """At b = −w/2 the three lie √(3 (w − 4))/8 apart: Newton's steps from far outside only halve."""
    w = 4 + ulps * np.spacing(4.0)
    found = doya.equilibria(w, -w / 2)
    true = neuron.relative_equilibria(w, -w / 2)
    assert len(true) == int(found.count) == 3
    for x, status, root in zip(found.points, found.status, true, strict=True):
        assert float(abs(mpmath.mpf(float(x)) - root.x)) <= 2 * np.spacing(0.5)
        assert status == Status.CONVERGED
    assert abs(float(found.multipliers[0]) - float(true[0].multiplier())) < 1e-15


def test_beside_the_fold_of_a_huge_weight_float32_says_what_it_cannot_place() -> None:
    """A float of b inside the fold the residual's rounding, even in pairs, is worth dozens of last digits."""
    w = np.exp(np.random.default_rng(0).uniform(np.log(2e4), np.log(1e6), 40)).astype(np.float32)
    b = np.nextafter(np.asarray(doya.folds(w).b)[:, 0], np.float32(-99))
    found = doya.equilibria(w, b)
    points, status = np.asarray(found.points), np.asarray(found.status)
    wrong = 0
    for i in range(len(w)):
        for j, root in enumerate(neuron.relative_equilibria(float(w[i]), float(b[i]))):
            is_off = abs(mpmath.mpf(float(points[i, j])) - root.x) > 4 * np.spacing(points[i, j])
            assert not is_off or status[i, j] == Status.MAX_STEPS
            wrong += is_off
    assert wrong  # else nothing was judged
    assert (status[:, 2] == Status.CONVERGED).all()


@pytest.mark.parametrize(
    ("w", "b"), [(10.0, -30.0), (-10.0, 30.0), (30.0, 5.0), (-0.5, 20.0), (1e-9, 3.0), (6.0, -3.0)]
)
def test_small_multipliers_are_right_in_their_own_digits(dtype: str, w: float, b: float) -> None:
    found = doya.equilibria(np.asarray(w, dtype), np.asarray(b, dtype))
    true = [float(root.multiplier()) for root in neuron.relative_equilibria(w, b)]
    np.testing.assert_allclose(found.multipliers[: len(true)], true, rtol=64 * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("w", "b", "wanted"),
    [
        (-408.19451904296875, -80.60834503173828, 9.822918876e-36),
        (-884.1019897460938, -85.54515075683594, 7.05038889e-38),
        (502.51397705078125, -84.39441680908203, 2.228283664e-37),
    ],
)
def test_a_point_near_the_least_float_is_right_in_float32(w: float, b: float, wanted: float) -> None:
    """The wanted values are of mpmath; the start of the polish is off by 1e-4 of them."""
    found = doya.equilibria(np.float32(w), np.float32(b)).points[0]
    assert found.dtype == np.float32
    assert abs(float(found) - wanted) <= 4 * np.finfo(np.float32).eps * wanted


def test_the_polish_goes_on_to_an_ulp(dtype: str) -> None:
    """One step of Newton from x (1 + δ) leaves δ²/2 of x: some 5 ulp where δ² is 12 ulp of 1."""
    w, b = np.zeros(1, dtype), np.full(1, -3, dtype)
    true = 1 / (1 + mpmath.exp(3))
    unit = float(np.finfo(dtype).eps)
    start = np.full((3, 1), float(true) * (1 + np.sqrt(12 * unit)), dtype)

    def polished(w, b, start):
        return equilibria._polish(equilibria._slots(w, b, turning(w, b * 0 + 1)), start)

    point, *_ = computed(polished, w, b, start)
    assert abs(mpmath.mpf(float(point[0, 0])) - true) <= unit * true


@pytest.mark.timeout(20)
def test_the_polish_ends_where_it_goes_to_and_fro() -> None:
    """Beside a fold Newton's corrections may alternate in the last digits of float32 for ever."""
    w = np.array([6240.766, 47208.523, 150907.55, 5021.3765, 126336.36, 251160.92, 547277.3], np.float32)
    b = np.array([-9.738698, -11.762309, -12.924424, -9.52126, -12.7466955, -13.4338455, -14.212709])
    found = doya.equilibria(w, b.astype(np.float32))
    for i in range(w.size):
        truth = neuron.relative_equilibria(float(w[i]), float(np.float32(b[i])))
        assert int(found.count[i]) == len(truth)
        np.testing.assert_allclose(found.points[i, : len(truth)], [float(t.x) for t in truth], rtol=1e-5)


def test_hazard_17_period_two_is_no_equilibrium(dtype: str) -> None:
    w = np.array([-4.001, -5, -8, -50], dtype)
    b = (-w / 2 + np.array([0, 0.1, 1, 5])).astype(dtype)
    found = doya.two_cycle(w, b)
    for i in range(w.size):
        true = neuron.two_cycle(float(w[i]), float(b[i]))
        tolerance = 1e4 if abs(w[i] + 4) < 0.1 else 32  # the 2-cycle's own condition at the flip
        for x, root in zip(np.asarray(found.x[i]), true, strict=True):
            assert abs(float(x) - float(root)) <= tolerance * np.finfo(dtype).eps
        equilibrium = doya.equilibria(w[i], b[i])
        assert not bool(equilibrium.stable[0])
    assert np.isnan(np.asarray(doya.two_cycle(-3.9, 1.95).x)).all()


@pytest.mark.parametrize(("w", "b"), [(-8.0, 3.0), (-5.0, 2.4), (-30.0, 14.0)])
def test_how_the_cycle_moves_and_its_multiplier(w: float, b: float) -> None:
    """Against central differences of the cycle in 60 digits, and w² x(1 − x) y(1 − y) of its states x and y."""
    low, high = neuron.two_cycle(w, b)
    multiplier = w**2 * low * (1 - low) * high * (1 - high)
    np.testing.assert_allclose(float(doya.two_cycle(w, b).multiplier), float(multiplier), rtol=1e-12)

    def moved(*arguments):
        return cycles._cycle_states_jvp(arguments[:2], arguments[2:])[1]

    step = 2.0**-16
    for dw, db in ((1.0, 0.0), (0.0, 1.0)):
        up, down = (neuron.two_cycle(w + sign * dw, b + sign * db) for sign in (step, -step))
        wanted = [float((u - d) / (2 * step)) for u, d in zip(up, down, strict=True)]
        found = computed(moved, *(np.full(1, value) for value in (w, b, dw, db)))
        np.testing.assert_allclose(np.ravel(found), wanted, rtol=1e-6)


def test_a_cycle_whose_lower_state_underflows_is_0_and_1(dtype: str) -> None:
    """Its lower state is e^(−1000)."""
    w, b = np.array([-2000], dtype), np.array([1000], dtype)
    found = computed(lambda w, b: cycles._cycle_states(w, b), w, b)
    assert np.ravel(found).tolist() == [0.0, 1.0]
    assert np.asarray(doya.two_cycle(w, b).x).tolist() == [[0.0, 1.0]]
    assert np.asarray(doya.two_cycle(w, b).multiplier).tolist() == [0.0]


def test_the_parabola_of_the_fold_is_a_good_start() -> None:
    """Its distance δ from the turning point is right to (h‴ δ/s)², on either side."""
    for w in (4.5, 8.0, 50.0):
        fold = neuron.folds(w)[0][1]
        b = float(fold) - 2.0**-30
        s, distance = mpmath.sqrt(1 - 4 / mpmath.mpf(w)), fold - mpmath.mpf(b)
        turn = -2 * mpmath.atanh(s)
        for side, true in zip((1.0, -1.0), neuron.relative_equilibria(w, b), strict=False):
            arguments = [np.full(1, float(value)) for value in (w, s, turn, distance, side)]
            guess, is_better = computed(lambda *given: equilibria._fold_guess(*given), *arguments)
            delta = float(abs(true.z - turn))
            assert bool(is_better[0])
            third = float(2 / mpmath.mpf(w) - s**2)
            assert abs(float(guess[0]) - float(true.z)) <= (third * delta / float(s)) ** 2 * delta + 1e-15


def test_hazard_18_marginal_points_are_labelled() -> None:
    for w, b in ((4.0, -2.0), (-4.0, 2.0)):
        found = doya.equilibria(w, b)
        assert bool(found.marginal[0])
        assert not bool(found.stable[0])
        assert "marginal" in repr(found)
    flip = doya.equilibria(-12.0, 6.0, 0.5)
    assert bool(flip.marginal[0])


def test_shapes_and_no_recompilation() -> None:
    w, b = np.linspace(-5, 8, 7)[:, None], np.linspace(-4, 1, 5)
    found = doya.equilibria(w, b)
    assert found.points.shape == (7, 5, 3)
    assert found.count.shape == (7, 5)
    with compilations() as fresh:
        doya.equilibria(w + 1, b)
        doya.equilibria(5.0, [-2.5, -2.4])
    assert fresh.count == 0
    inside = jax.jit(jax.vmap(lambda v: doya.equilibria(v, -2.5).points))(np.array([4.9, 5.0]))
    np.testing.assert_array_equal(inside[1], doya.equilibria(5.0, -2.5).points)


@pytest.mark.parametrize(
    ("name", "arguments"), [("w", (None, 0.0)), ("b", (5.0, "x")), ("b", ([1.0, 2.0], [1, 2, 3.0]))]
)
def test_bad_arguments_are_named(name: str, arguments: tuple) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"^{name}:"):
        doya.equilibria(*arguments)
    with pytest.raises((TypeError, ValueError), match=rf"^{name}:"):
        doya.two_cycle(*arguments)


def test_equilibria_differentiate_twice() -> None:
    w, b = np.full(60, 5.0), jnp.linspace(-2.6, -2.4, 60)

    def first(b: jax.Array) -> jax.Array:
        return jax.jvp(lambda b: doya.equilibria(w, b).points, (b,), (jnp.ones_like(b),))[1]

    second = jax.jvp(first, (b,), (jnp.ones_like(b),))[1]
    x = np.asarray(doya.equilibria(w, b).points)
    gap = 1 - 5 * x * (1 - x)
    np.testing.assert_allclose(second, (1 - 2 * x) * x * (1 - x) / gap**3, rtol=1e-9, atol=1e-12)
