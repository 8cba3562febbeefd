"""Basin labels: none wrong, and undecided only where nothing can tell."""

import fractions

import jax
import mpmath
import numpy as np
import pytest

from rnn_dynamics import doya
from rnn_dynamics.doya import Basin, attractors, basins
from rnn_dynamics.numerics.batching import computed
from tests.compilations import compilations
from tests.oracles import neuron


def _near_the_separatrix(
    dtype: str, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Bistable neurons, half of them next to a fold, started within five floats of the unstable point."""
    rng = np.random.default_rng(seed)
    w = (4 + 10 ** rng.uniform(-3, 1.5, count)).astype(dtype)
    share = np.where(rng.random(count) < 0.5, 10 ** rng.uniform(-6, -1, count), rng.random(count))
    share = np.where(rng.random(count) < 0.5, share, 1 - share)
    folds = [[float(b) for _, b in neuron.folds(float(v))] for v in w]
    b = np.array([low + s * (high - low) for (high, low), s in zip(folds, share, strict=True)]).astype(dtype)
    x0, ulps = np.empty(count, dtype), rng.integers(-5, 6, count)
    for i in range(count):
        roots = neuron.relative_equilibria(float(w[i]), float(b[i]))
        x0[i] = np.asarray(float(roots[len(roots) // 2].x), dtype)
        x0[i] += ulps[i] * np.spacing(x0[i])
    return w, b, x0, ulps


def test_hazard_16_none_wrong_next_to_the_separatrix(dtype: str) -> None:
    w, b, x0, _ = _near_the_separatrix(dtype, 800, 0)
    labels = np.asarray(doya.basin_label(w, b, x0))
    true = [neuron.basin(*map(float, point)) for point in zip(w, b, x0, strict=True)]
    wrong = [
        (t, Basin(v).name)
        for t, v in zip(true, labels, strict=True)
        if v != Basin.UNDECIDED and Basin(v).name != t
    ]
    assert not wrong
    assert doya.undecided_share(labels) == 0
    # The naive rule: a thousand steps, then a threshold.
    x = x0.astype(np.float64)
    for _ in range(1000):
        x = 1 / (1 + np.exp(-(w.astype(float) * x + b)))
    two = np.isin(true, ["LOW", "HIGH"])
    naive = np.where(x > 0.5, "HIGH", "LOW")
    assert (naive[two] != np.asarray(true)[two]).sum() > 20


def test_everywhere_else(dtype: str) -> None:
    rng = np.random.default_rng(1)
    w, b = rng.uniform(0.1, 30, 300).astype(dtype), rng.uniform(-16, 1, 300).astype(dtype)
    x0 = rng.uniform(-0.3, 1.3, 300).astype(dtype)
    labels = doya.basin_label(w, b, x0)
    for i in range(300):
        assert Basin(int(labels[i])).name == neuron.basin(float(w[i]), float(b[i]), float(x0[i]))


def test_beyond_a_turning_point_the_side_alone_decides() -> None:
    """Near the cusp x₋ and x₊ lie within ¼ of ½, and the outer equilibria just beyond them."""
    for w in (4.2, 4.7, 5.2):
        (_, high), (_, low) = neuron.folds(w)
        for share in (0.01, 0.5, 0.99):
            x0 = np.linspace(0.02, 0.98, 49)
            b = float(low + share * (high - low))
            arguments = (np.full_like(x0, w), np.full_like(x0, b), x0, np.ones(x0.shape, np.int32))
            found = computed(lambda *given: basins._increasing(*given), *arguments)
            assert [Basin(int(label)).name for label in found] == [neuron.basin(w, b, x) for x in x0]


def test_labels_keep_their_numbers_and_what_cannot_be_told_is_undecided() -> None:
    names = ["LOW", "HIGH", "ONLY", "BOUNDARY", "UNDECIDED", "CYCLE", "CHAOS"]
    assert [Basin(value).name for value in range(7)] == names
    sides = basins._decreasing(np.array([1, 0, -1]))  # between the flips, not to be told, outside
    assert sides.tolist() == [Basin.CYCLE, Basin.UNDECIDED, Basin.ONLY]


def test_a_start_that_pairs_of_floats_cannot_tell_from_the_repeller_is_undecided() -> None:
    """In float32, whose pairs have 2⁻⁴³: h(x₀) is below that, and at the floats beside x₀ it is not."""
    for w, b, x0 in (
        (5.015463352203369, -2.649507999420166, 0.6647750735282898),
        (7.0823140144348145, -3.0756304264068604, 0.3416530191898346),
        (7.3024163246154785, -3.5341501235961914, 0.4644812345504761),
    ):
        x = np.float32(x0)
        starts = np.array([np.nextafter(x, np.float32(0)), x, np.nextafter(x, np.float32(1))])
        cells = np.full(3, w, np.float32), np.full(3, b, np.float32)
        found = computed(lambda *given: basins._increasing(*given), *cells, starts, np.ones(3, np.int32))
        assert found.tolist() == [Basin.LOW, Basin.UNDECIDED, Basin.HIGH]


def test_only_the_symmetric_bias_rests_on_a_repeller() -> None:
    labels = np.asarray(doya.basin_label(-8.0, [3.0, 4.0, 5.0], 0.5))
    assert labels.tolist() == [Basin.CYCLE, Basin.BOUNDARY, Basin.CYCLE]


def test_boundary_is_exact(dtype: str) -> None:
    half = np.asarray(0.5, dtype)
    starts = np.array(
        [np.nextafter(half, np.asarray(0, dtype)), half, np.nextafter(half, np.asarray(1, dtype))]
    )
    for epsilon in (1.0, 0.3):
        labels = np.asarray(doya.basin_label(np.asarray(5, dtype), -2.5, starts, epsilon)).tolist()
        assert labels == [Basin.LOW, Basin.BOUNDARY, Basin.HIGH]
    assert int(doya.basin_label(4.0, -2.0, 0.5)) == Basin.ONLY


def test_hazard_15_critical_slowing_does_not_decide() -> None:
    """2⁻²⁰ from the fold an orbit needs 5176 steps; after 100 it looks settled far from its attractor."""
    b = float(doya.folds(8.0).b[0]) - 2.0**-20
    assert Basin(int(doya.basin_label(8.0, b, 0.0))) == Basin.LOW
    above = float(doya.folds(8.0).b[0]) + 2.0**-20
    assert Basin(int(doya.basin_label(8.0, above, 0.0))) == Basin.ONLY
    x = 0.0
    for _ in range(500):
        x = 1 / (1 + np.exp(-(8 * x + above)))
    assert x < 0.5  # not yet at its only attractor, above .9


def test_hazard_44_a_rule_through_log1p_would_mislabel_and_ours_does_not() -> None:
    rng = np.random.default_rng(3)
    x0 = rng.uniform(0.36, 0.414, 400)
    w = rng.uniform(4.5, 40, 400)
    b = np.array([float(neuron.wall(v, x)) for v, x in zip(w, x0, strict=True)])
    labels = doya.basin_label(w, b, x0)
    for i in range(400):
        assert Basin(int(labels[i])).name == neuron.basin(float(w[i]), float(b[i]), float(x0[i]))


def test_two_cycles_of_the_decreasing_map(dtype: str) -> None:
    rng = np.random.default_rng(4)
    w = -(4 + 10 ** rng.uniform(-3, 1.5, 60)).astype(dtype)
    for weight in w:
        (_, low), (_, high) = neuron.flips(float(weight))
        low, high = sorted((float(low), float(high)))
        for share, expected in (
            (-1e-3, Basin.ONLY),
            (1e-3, Basin.CYCLE),
            (0.4, Basin.CYCLE),
            (1.01, Basin.ONLY),
        ):
            b = np.asarray(low + share * (high - low), dtype)
            if abs(share) < 0.01 and (high - low) * 1e-3 < 4 * np.spacing(b):
                continue
            assert int(doya.basin_label(weight, b, np.asarray(0.3, dtype))) == expected
    assert int(doya.basin_label(-3.9, 1.0, 0.2)) == Basin.ONLY


def _exact_orbit_end(w: float, b: float, x0: float, epsilon: float, steps: int) -> np.ndarray:
    x = x0
    tail = []
    for t in range(steps):
        x = (1 - epsilon) * x + epsilon / (1 + np.exp(-(w * x + b)))
        if t >= steps - 64:
            tail.append(x)
    return np.array(tail)


def test_labels_of_the_leaky_neuron_against_long_orbits() -> None:
    rng = np.random.default_rng(5)
    w, epsilon = -(10 ** rng.uniform(0.5, 2.2, 120)), rng.uniform(0.1, 0.95, 120)
    b, x0 = -w * rng.uniform(0.1, 0.95, 120), rng.random(120)
    labels = np.asarray(doya.basin_label(w, b, x0, epsilon))
    assert {Basin.ONLY, Basin.CYCLE, Basin.CHAOS} <= {Basin(v) for v in labels}
    for i, label in enumerate(labels):
        tail = _exact_orbit_end(w[i], b[i], x0[i], epsilon[i], 20_000)
        spread = np.ptp(tail)
        periods = [p for p in range(1, 17) if np.abs(tail[p:] - tail[:-p]).max() < 1e-6]
        if label == Basin.ONLY:
            assert spread < 1e-6
        elif label == Basin.CYCLE:
            assert periods
            assert periods[0] > 1  # hazard 17: of least period, no equilibrium in disguise
        elif label == Basin.CHAOS:
            assert not periods


def test_the_image_of_a_state_is_within_its_radius(dtype: str) -> None:
    """At a huge weight the rounding of w x is far more than that of the image."""
    rng = np.random.default_rng(6)
    w = -np.exp(rng.uniform(2, 12, 40)).astype(dtype)
    b = (-w * rng.uniform(0.2, 0.8, 40)).astype(dtype)
    x = ((rng.normal(size=40) - b) / w).astype(dtype)
    cells = attractors.Neuron(w, b, np.ones_like(w))
    image, radius, _ = computed(lambda *given: attractors._step(*given), cells, x, np.zeros_like(x))
    for i in range(w.size):
        with mpmath.workdps(40):
            z = mpmath.mpf(float(w[i])) * mpmath.mpf(float(x[i])) + mpmath.mpf(float(b[i]))
            assert abs(1 / (1 + mpmath.exp(-z)) - mpmath.mpf(float(image[i]))) <= float(radius[i])


def test_an_interval_that_is_just_not_mapped_into_itself_proves_nothing(dtype: str) -> None:
    """Where |F(c) − c| + radius of the image, in exact arithmetic, is not below the radius."""
    kind = np.dtype(dtype).type
    cell = attractors.Neuron(*(np.full(1, value, dtype) for value in (-6.0, -1.0, 1.0)))
    x = np.full(1, float(neuron.relative_equilibria(-6.0, -1.0)[0].x), dtype)

    def closed(radius: np.ndarray) -> bool:
        image, after, _ = computed(attractors._step, cell, x, radius)
        shift = fractions.Fraction(float(np.abs(np.asarray(image) - x)[0]))
        return shift + fractions.Fraction(float(after[0])) < fractions.Fraction(float(radius[0]))

    low, high = np.full(1, 0.001, dtype), np.full(1, 1.0, dtype)
    assert closed(low)
    assert not closed(high)
    while np.nextafter(low, high) < high:
        middle = low + (high - low) / kind(2)
        low, high = (middle, high) if closed(middle) else (low, middle)
    for radius, expected in ((high, False), (low * kind(0.999), True)):
        orbit = attractors.BoundedOrbit(x, radius / kind(2), np.zeros_like(x))
        fixed, _ = computed(lambda *given: attractors._trapped(*given), cell, orbit)
        assert bool(fixed[0]) == expected


def test_an_orbit_that_leaves_a_repeller_is_no_chaos() -> None:
    """Means of ln|F′| over 16 blocks of 192 steps: positive, but by 8 of their standard errors, not by 5."""
    w, b, epsilon, starts = 5.0, -2.5, 0.007, np.array([0.5025, 0.501])
    x, logarithms = starts, []
    for _ in range(16 * 192):
        image = 1 / (1 + np.exp(-(w * x + b)))
        logarithms.append(np.log(1 - epsilon + epsilon * w * image * (1 - image)))
        x = (1 - epsilon) * x + epsilon * image
    means = np.reshape(logarithms, (16, 192, 2)).mean(axis=1)
    certainty = means.mean(axis=0) / (means.std(axis=0, ddof=1) / 4)
    assert 4.5 < certainty[0] < 7
    assert certainty[1] > 9
    cells = attractors.Neuron(*(np.full(2, value) for value in (w, b, epsilon)))
    start = attractors.BoundedOrbit(starts, np.zeros(2), np.zeros(2))
    orbit, positive = jax.jit(lambda *given: attractors._positive_exponent(*given))(cells, start)
    assert np.asarray(positive).tolist() == [False, True]
    np.testing.assert_allclose(orbit.x, x, rtol=1e-10)


def test_long_cycles_and_ends_close_to_a_flip_are_proved() -> None:
    """Periods up to sixteen by 20 000 steps in NumPy; equilibria beside a flip by its closed form."""
    cells = (
        (-114.59, 91.2672, 0.307, 9),
        (-44.554, 32.806, 0.4906, 10),
        (-67.302, 46.2437, 0.311, 11),
        (-119.3, 36.529, 0.4039, 12),
        (-56.286, 15.5357, 0.4634, 14),
        (-89.404, 58.63, 0.40257, 16),
        (-7.24149256130104, 3.318130728502582, 0.7133617766850511, 2),
        (-21.60265847942305, 7.641246962674173, 0.327378427822785, 1),
        (-23.554726088999615, 17.841521839166624, 0.3460465824345285, 1),
    )
    w, b, epsilon, period = np.array(cells).T
    x = np.full(len(cells), 0.3)
    for _ in range(20_000):
        x = (1 - epsilon) * x + epsilon / (1 + np.exp(-(w * x + b)))
    later, found = x, np.zeros(len(cells))
    for steps in range(1, 17):
        later = (1 - epsilon) * later + epsilon / (1 + np.exp(-(w * later + b)))
        found = np.where((found == 0) & (abs(later - x) < 1e-9), steps, found)
    assert found[period > 1].tolist() == period[period > 1].tolist()
    assert np.asarray(doya.equilibria(w, b, epsilon).stable[:, 0]).tolist() == (period == 1).tolist()
    labels = np.asarray(doya.basin_label(w, b, 0.3, epsilon))
    assert labels.tolist() == np.where(period > 1, Basin.CYCLE, Basin.ONLY).tolist()


def test_chaos_of_the_source() -> None:
    assert int(doya.basin_label(-100.0, 90.0, 0.3, 0.5)) == Basin.CHAOS


@pytest.mark.shipped
def test_hazard_21_labels_do_not_depend_on_the_batch(dtype: str) -> None:
    w, b, x0, _ = _near_the_separatrix(dtype, 64, 7)
    together = np.asarray(doya.basin_label(w, b, x0))
    alone = [int(doya.basin_label(*point)) for point in zip(w[:8], b[:8], x0[:8], strict=True)]
    mapped = np.asarray(jax.jit(jax.vmap(doya.basin_label))(w, b, x0))
    assert together[:8].tolist() == alone
    assert together.tolist() == mapped.tolist()
    with compilations() as fresh:
        doya.basin_label(w, b, x0)
    assert fresh.count == 0


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("w", (None, 0.0, 0.5)),
        ("b", (5.0, 1j, 0.5)),
        ("x0", (5.0, -2.5, float("nan"))),
        ("x0", ([1.0, 2], 0.0, [1.0, 2, 3])),
    ],
)
def test_bad_arguments_are_named(name: str, arguments: tuple) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"^{name}:"):
        doya.basin_label(*arguments)
