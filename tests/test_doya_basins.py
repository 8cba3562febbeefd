"""Basin labels: none wrong, and undecided only where nothing can tell."""

import jax
import numpy as np
import pytest

from rnn_dynamics import doya
from rnn_dynamics.doya import Basin
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
