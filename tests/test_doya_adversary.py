"""One neuron where its rules are weakest: at the cusp, at huge weights, on slow spirals, in float32 alone."""

import math

import jax
import mpmath
import numpy as np
import pytest

from rnn_dynamics import doya
from rnn_dynamics.doya import Basin
from rnn_dynamics.numerics.status import Status
from tests.oracles import neuron as oracle

RUN, WINDOW = 20_000, 64
COUNT = 1500


def labels_of(w, b, x0, epsilon=1.0) -> np.ndarray:
    """``basin_label``, padded to one shape for all tests, so that it compiles once."""
    points = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (w, b, x0, epsilon)))
    size = points[0].size
    parts = [[np.resize(a[k : k + COUNT], COUNT) for a in points] for k in range(0, size, COUNT)]
    return np.concatenate([np.asarray(doya.basin_label(*part)) for part in parts])[:size]


def test_equilibria_next_to_the_cusp(dtype: str) -> None:
    """Nearly triple roots: z − w σ(z) − b in plain floats is 0 over an interval of 1e−5 there."""
    kind = np.dtype(dtype).type
    unit, four = float(np.finfo(dtype).eps), kind(4)
    weights = [np.nextafter(four, kind(0)), four, np.nextafter(four, kind(5)), kind(3.99999), kind(4.0001)]
    shifts = [-1e9, -3.0, -1.0, 1.0, 2.0, 1e3, 1e6]
    w, b = np.array([(w, -w / 2 + shift * unit) for w in weights for shift in shifts], dtype).T
    found = doya.equilibria(w, b)
    for i in range(len(w)):
        truth = oracle.relative_equilibria(float(w[i]), float(b[i]))
        assert int(found.count[i]) == len(truth)
        for j, true in enumerate(truth):
            error = abs(mpmath.mpf(float(found.points[i, j])) - true.x)
            assert error <= 2 * float(np.spacing(kind(float(true.x)))), (w[i], b[i], j)
            assert int(found.status[i, j]) == Status.CONVERGED


def test_starts_next_to_a_turning_point_at_huge_weights() -> None:
    """x₋ ≈ 1/w lies closer to the repeller than 2 x₀ − 1 resolves: x₀ against x₋ must be decided exactly."""
    w, b, x0 = [], [], []
    for weight in 10.0 ** np.arange(6, 15):
        turn, fold = (float(value) for value in oracle.folds(float(weight))[0])
        near = [turn + k * np.spacing(turn) for k in range(-5, 6)]
        near += [turn + k * np.spacing(1.0) / 3 for k in range(-2, 3)]
        near += [turn * (1 + 10.0**-k) for k in range(10)]
        for bias in (fold - k * np.spacing(abs(fold)) for k in (1, 2, 3, 10)):
            w += [weight] * len(near)
            b += [bias] * len(near)
            x0 += near
    labels = labels_of(w, b, x0)
    truth = [Basin[oracle.basin(*point)] for point in zip(w, b, x0, strict=True)]
    assert [Basin(int(label)) for label in labels] == truth


def test_labels_in_float32_alone_are_none_wrong() -> None:
    """Without x64 the pairs are pairs of float32: fewer starts are decided, none wrongly."""
    rng = np.random.default_rng(3)
    w = np.concatenate([rng.uniform(4.01, 9, 150), 10 ** rng.uniform(1, 3, 50)]).astype(np.float32)
    folds = [oracle.folds(float(weight)) for weight in w]
    low, high = (np.array([float(pair[k][1]) for pair in folds]) for k in (1, 0))
    share = np.where(rng.random(200) < 0.5, rng.uniform(0, 1, 200), 10 ** rng.uniform(-6, -1, 200))
    b = (low + share * (high - low)).astype(np.float32)
    middle = [oracle.relative_equilibria(float(p), float(q)) for p, q in zip(w, b, strict=True)]
    centre = np.array([float(roots[len(roots) // 2].x) for roots in middle], np.float32)
    steps = np.arange(-5, 6, dtype=np.float32)
    w, b, x0 = (
        a.ravel()
        for a in np.broadcast_arrays(
            w[:, None], b[:, None], centre[:, None] + steps * np.spacing(centre)[:, None]
        )
    )
    with jax.enable_x64(False):
        labels = np.asarray(doya.basin_label(w, b, x0))
    truth = [Basin[oracle.basin(float(p), float(q), float(r))] for p, q, r in zip(w, b, x0, strict=True)]
    decided = labels != Basin.UNDECIDED
    assert [Basin(int(a)) for a in labels[decided]] == [t for t, d in zip(truth, decided, strict=True) if d]
    assert decided.mean() > 0.97


def leaky_neurons(count: int) -> tuple[np.ndarray, ...]:
    """w, b, x₀, ε with ε < 1, w past the first flip; a third of them within 1e−6 … .1 of a flip."""
    rng = np.random.default_rng(1)
    epsilon = rng.uniform(0.05, 0.999, count)
    beyond = np.where(
        rng.random(count) < 0.4, 1 + 10 ** rng.uniform(-6, -0.5, count), 10 ** rng.uniform(0, 1.5, count)
    )
    w = -4 * (2 - epsilon) / epsilon * beyond
    ends = np.asarray(doya.flips(w, epsilon).b)
    beside = 10 ** rng.uniform(-6, -1, count) * rng.choice([-1, 1], count) + rng.integers(0, 2, count)
    along = np.where(rng.random(count) < 0.35, beside, rng.uniform(-0.1, 1.1, count))
    return w, ends[:, 0] + along * (ends[:, 1] - ends[:, 0]), rng.uniform(-0.2, 1.2, count), epsilon


def run_long(w: np.ndarray, b: np.ndarray, x: np.ndarray, epsilon: np.ndarray) -> np.ndarray:
    """The last states of a long orbit in plain NumPy."""
    states = []
    for t in range(RUN + WINDOW + 1):
        x = (1 - epsilon) * x + epsilon / (1 + np.exp(np.clip(-(w * x + b), -700, 700)))
        if t >= RUN:
            states.append(x)
    return np.array(states)


def test_leaky_labels_contradict_no_long_orbit() -> None:
    """ONLY comes to rest, CYCLE keeps moving, CHAOS has no period up to 64."""
    neurons = leaky_neurons(COUNT)
    labels = labels_of(*neurons)
    states = run_long(*neurons)
    moves = np.abs(states[1] - states[0])
    periodic = (np.abs(states[1:] - states[0]) < 1e-9).any(axis=0)
    assert {Basin.ONLY, Basin.CYCLE, Basin.CHAOS} <= {Basin(int(label)) for label in labels}
    assert not (moves[labels == Basin.ONLY] > 1e-4).any()
    assert not (moves[labels == Basin.CYCLE] < 1e-9).any()
    assert not periodic[labels == Basin.CHAOS].any()
    # Half of these neurons lie within a per cent of a flip, where an orbit settles algebraically.
    assert doya.undecided_share(labels) < 0.4


@pytest.mark.parametrize("distance", [1e-3, 3e-3, 1e-2, 2e-2, 5e-2])
def test_hazard_17_a_slow_spiral_is_no_cycle(distance: float) -> None:
    """Multipliers −.9998 … −.988: F² contracts an interval about the orbit long before F does."""
    b = float(doya.flips(-20.0, 0.5).b[1]) + distance
    labels = labels_of(-20.0, b, np.linspace(0, 1, 41), 0.5)
    assert set(labels.tolist()) <= {Basin.ONLY, Basin.UNDECIDED}
    if distance >= 2e-2:
        assert (labels == Basin.ONLY).all()


def test_hazard_13_floats_at_rest_next_to_a_repeller_are_no_attractor() -> None:
    """w −13, ε ½, multiplier −9/8: the floats beside ½ never leave it, the exact orbit goes to a 2-cycle."""
    starts = [math.nextafter(0.5, 1), math.nextafter(0.5, 0)]
    beside, at_rest, cycling = np.split(labels_of(-13.0, 6.5, [*starts, 0.5, 0.3], 0.5), [2, 3])
    assert set(beside.tolist()) <= {Basin.UNDECIDED, Basin.CYCLE}
    assert (at_rest == Basin.BOUNDARY).all()
    assert (cycling == Basin.CYCLE).all()
    # On the flip it rests there, marginally stable.
    assert set(labels_of(-12.0, 6.0, [0.5], 0.5).tolist()) <= {Basin.ONLY, Basin.UNDECIDED}


def test_flips_of_arrays_return(dtype: str) -> None:
    """Many neurons in one call, each with its own ε."""
    w = np.linspace(-100, -20, 1500).astype(dtype)
    epsilon = np.linspace(0.5, 0.9, 1500).astype(dtype)
    found = doya.flips(w, epsilon)
    for i in (0, 700, 1499):
        for k, (x, b) in enumerate(oracle.flips(float(w[i]), float(epsilon[i]))):
            for value, truth in ((found.x[i, k], x), (found.b[i, k], b)):
                assert abs(mpmath.mpf(float(value)) - truth) <= 4 * float(np.spacing(abs(np.asarray(value))))
