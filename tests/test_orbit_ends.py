"""Where orbits are said to end: slow spirals, roots that floats cannot place, islands in a ball."""

import functools
import warnings
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics import GRU, ElmanRNN, basins, find_attractors, fixed_points
from rnn_dynamics.dynamics.basins.kinds import AttractorKind
from rnn_dynamics.dynamics.equilibria.ends import MissingAttractorWarning, OrbitEnd
from rnn_dynamics.dynamics.equilibria.results import FixedPoints
from rnn_dynamics.dynamics.equilibria.scale import SmallStateWarning


def _told(*arguments: Any, **options: Any) -> FixedPoints:
    """The result, its warning held against what it says to be missing."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = fixed_points(*arguments, **options)
    assert bool(caught) == bool(found.missing)
    return found


def _spiral(rate: float, gain: float) -> ElmanRNN:
    """Two units that spiral inwards by ``rate`` a step, one that is bistable (gain > 1) or alternates (< −1)."""
    cos, sin = rate * np.cos(2.4), rate * np.sin(2.4)
    return ElmanRNN([[cos, -sin, 0], [sin, cos, 0], [0, 0, gain]], [0.0, 0, 0])


@pytest.mark.parametrize("rate", [0.99, 0.998, 0.999, 0.9999, 0.99999])
@pytest.mark.parametrize("gain", [-2.0, 2.0])
def test_a_slow_spiral_is_no_circle(rate: float, gain: float) -> None:
    starts = np.random.default_rng(0).uniform(-0.9, 0.9, (32, 3))
    found = _told(_spiral(rate, gain), starts)
    assert found.ends is not None
    if gain > 0:  # x = tanh(2 x) has its stable points at ±.9575
        ends = found.points[found.ends.point, 2]
        np.testing.assert_allclose(ends, 0.95750402 * np.sign(starts[:, 2]), atol=1e-8)
        assert found.stable[found.ends.point].all()
    else:
        assert found.missing == (
            "32 of 32 orbits end at a cycle of period 2, which this period does not list",
        )
        both = _told(_spiral(rate, gain), starts, period=2)
        assert both.ends is not None
        assert both.ends.shares().sum() == 32
        assert not both.missing


def test_a_circle_is_told_from_a_spiral() -> None:
    turn = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])

    def step(x: Any, _: Any) -> Any:
        size = jnp.sqrt(jnp.sum(jnp.square(x)) + 1e-30)
        return jnp.dot(turn, x) * (1 + 0.2 * (1 - size))

    found = _told(step, np.random.default_rng(1).normal(size=(40, 2)))
    assert found.ends is not None
    assert found.ends.count(OrbitEnd.RECURRENT) == 40


def test_a_root_that_floats_cannot_place_takes_in_no_other() -> None:
    """A GRU whose update gates saturate keeps many states all but frozen; one other attracts by .868 a step."""
    draw = np.random.default_rng(225207189)
    gain, shift = draw.choice([0.9, 1.2, 2, 4, 10]), draw.choice([0, 0.1, 1])
    weights = 2 * draw.normal(size=(9, 3)) * gain / np.sqrt(3)
    draw.integers(6)
    bias = draw.normal(size=9) * shift
    starts = draw.normal(size=(48, 3)) * draw.choice([0.1, 1, 3])
    found = _told(GRU(jnp.asarray(weights), jnp.asarray(bias)), starts)
    attractor = np.array([0.06530908, -0.0810987, 0.25139848])
    at = np.abs(found.points - attractor).max(1)
    assert at.min() < 1e-7
    assert found.stable[at.argmin()]
    assert found.ends is not None
    ended = found.ends.point >= 0
    apart = np.abs(found.ends.states[ended] - found.points[found.ends.point[ended]]).max(1)
    assert apart.max() < 1e-3 * np.abs(found.points).max()
    assert found.missing  # the other orbits creep, and that is said


@pytest.mark.parametrize("width", [0.05, 0.03])
def test_an_island_in_a_ball_that_contracts_is_not_given_to_its_point(width: float) -> None:
    def step(x: Any, _: Any) -> Any:
        bump = [jnp.exp(-jnp.square((x - at) / width)) for at in (1.0, 1.2)]
        return 0.5 * x + 0.7 * bump[0] + 0.4 * bump[1]

    starts = np.append(np.linspace(-3, 3, 40), 1.001)[:, None]
    state = np.linspace(-3, 3, 40)
    state = np.append(state, 1.001)
    for _ in range(400):
        state = (
            0.5 * state
            + 0.7 * np.exp(-(((state - 1) / width) ** 2))
            + 0.4 * np.exp(-(((state - 1.2) / width) ** 2))
        )
    found = _told(step, starts)
    assert found.ends is not None
    at_cycle = np.abs(state) > 0.5
    assert at_cycle[-1]
    assert ((found.ends.kind == OrbitEnd.CYCLE) == at_cycle).all()
    assert found.missing


@pytest.mark.parametrize("turned", [False, True])
def test_many_slow_units_do_not_hide_a_fast_one(turned: bool) -> None:
    """Sixty units of multiplier .999 beside x = tanh(1.05 x), whose sign an orbit keeps; in any basis."""
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.normal(size=(61, 61)))[0] if turned else np.eye(61)

    def cell(x: Any, u: Any = None) -> Any:
        inner = jnp.matmul(basis.T, x)
        return jnp.matmul(basis, jnp.append(0.999 * inner[:-1], jnp.tanh(1.05 * inner[-1])))

    inner = random.uniform(-1, 1, (40, 61))
    found = _told(cell, inner @ basis.T)
    assert found.ends is not None
    assert (found.ends.kind == OrbitEnd.POINT).all()
    ends = (found.points[found.ends.point] @ basis)[:, -1]
    np.testing.assert_array_equal(np.sign(ends), np.sign(inner[:, -1]))
    assert np.abs(ends).min() > 0.3


def _trap(centre: np.ndarray, width: float, leak: float) -> Any:
    """A region that keeps its orbits, on a 3-cycle or a circle; x⁺ = (1 − leak) x far from it."""
    cos, sin = np.cos(2 * np.pi / 3), np.sin(2 * np.pi / 3)
    turn = np.array([[cos, -sin], [sin, cos]])

    def cell(x: Any, u: Any = None) -> Any:
        apart = (x - centre) / width
        square = jnp.sum(apart**2)
        held = jnp.exp(-(square**2))
        twist = 0.05 * jnp.stack([apart[0] ** 2 - apart[1] ** 2, -2 * apart[0] * apart[1]])
        inside = centre + width * (jnp.matmul(turn, apart) * (1 + 0.5 * (1 - square / 0.16)) + twist)
        return (1 - held) * (1 - leak) * x + held * inside

    return cell


@pytest.mark.parametrize(
    ("centre", "width", "leak", "period"),
    [
        ((1.5236, 0.9009), 0.0154, 0.0701, 3),
        ((2.2405, -0.4264), 0.0608, 0.0215, 0),
        ((1.0016, 0.8935), 0.0176, 0.000345, 0),
    ],
)
def test_a_small_trap_in_a_slow_basin_keeps_its_own(
    centre: tuple[float, float], width: float, leak: float, period: int
) -> None:
    random, middle = np.random.default_rng(3), np.array(centre)
    starts = random.uniform(-2, 2, (60, 2))
    starts[:12] = middle + 0.35 * width * random.normal(size=(12, 2))
    cell = _trap(middle, width, leak)
    x = jax.lax.fori_loop(0, 100_000, lambda _, x: jax.vmap(cell)(x), jnp.asarray(starts))
    trapped = np.linalg.norm(np.asarray(x) - middle, axis=1) < width
    assert 6 <= trapped.sum() <= 14
    assert np.abs(np.asarray(x)[~trapped]).max() < 1e-9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MissingAttractorWarning)
        found = fixed_points(cell, starts)
    assert found.ends is not None
    np.testing.assert_array_equal(found.ends.kind == OrbitEnd.POINT, ~trapped)
    labels = find_attractors(cell, starts)
    assert labels.counts.tolist() == [(~trapped).sum(), trapped.sum()]
    assert labels.periods.tolist()[1] == period


@pytest.mark.parametrize("leak", [1e-5, 1e-6])
def test_a_slow_spiral_whose_turns_differ_is_no_family_of_circles(leak: float) -> None:
    """|x⁺| = (1 − k) |x| exactly: everything goes to 0."""

    def cell(x: Any, u: Any = None) -> Any:
        angle = 1 + 2 * jnp.sum(x**2)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        return (1 - leak) * jnp.stack([cos * x[0] - sin * x[1], sin * x[0] + cos * x[1]])

    found = find_attractors(cell, np.random.default_rng(0).normal(size=(8, 2)))
    assert set(found.kinds) <= {AttractorKind.FIXED_POINT}
    assert found.counts.sum() + found.undecided == 8


def test_a_long_cycle_that_is_neared_slowly_is_no_circle() -> None:
    """On the circle θ⁺ = θ + 89/144 − ε sin(2π · 144 θ)/(2π · 144): stable cycles, multiplier (1 − ε)^144."""
    rate = 2 * np.pi * 144

    def cell(x: Any, u: Any = None) -> Any:
        angle = jnp.arctan2(x[1], x[0]) / (2 * np.pi)
        angle = 2 * np.pi * (angle + 89 / 144 - 0.003 * jnp.sin(rate * angle) / rate)
        radius = 0.5 + 0.5 * jnp.sqrt(jnp.sum(x**2))
        return radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)])

    starts = np.random.default_rng(0).normal(size=(20, 2))
    found = _told(cell, starts)
    assert found.ends is not None
    assert (found.ends.kind == OrbitEnd.CYCLE).all()
    assert (found.ends.period == 144).all()
    assert found.missing


@pytest.mark.parametrize("gain", [2.0, -2.0])
def test_states_too_small_for_the_dtype_are_said_to_be(gain: float) -> None:
    """x⁺ = s tanh(w x/s): points ±.9575 s for w = 2, a 2-cycle for w = −2; in other units the same in float32."""
    size, random = 1e-6, np.random.default_rng(0)

    def cell(x: Any, u: Any = None) -> Any:
        return size * jnp.tanh(gain * x / size)

    starts = size * random.uniform(-1, 1, (20, 1))
    for dtype, function in ((np.float32, fixed_points), (np.float32, find_attractors), (np.float32, basins)):
        with pytest.warns(SmallStateWarning, match="in float32 points nearer"):
            function(cell, starts.astype(dtype))
    listed = find_attractors(cell, starts)
    above = int((starts > 0).sum())
    assert listed.counts.tolist() == ([20 - above, above] if gain > 0 else [20])
    assert listed.periods.tolist() == ([1, 1] if gain > 0 else [2])
    in_units = find_attractors(lambda x, u: cell(size * x, u) / size, (starts / size).astype(np.float32))
    np.testing.assert_array_equal(in_units.counts, listed.counts)
    np.testing.assert_allclose(size * in_units.points, listed.points, rtol=1e-6)


def test_units_too_small_beside_others_are_said_to_be() -> None:
    """Beside a unit of size 1000 that flips, float32 merges both signs of a unit of size 1e-6, and says so."""
    sizes = np.array([1e3, 1e-6])
    starts = (np.random.default_rng(0).normal(size=(20, 2)) * sizes).astype(np.float32)

    def cell(x: Any, u: Any = None) -> Any:
        scale = jnp.asarray(sizes, x.dtype)
        return scale * jnp.tanh(jnp.asarray([-2.0, 2.0], x.dtype) * x / scale)

    for function in (functools.partial(fixed_points, period=2), find_attractors, basins):
        with pytest.warns(SmallStateWarning, match="unit 1 is nowhere larger"):
            function(cell, starts)
    in_units = find_attractors(
        lambda x, u: cell(sizes.astype(x.dtype) * x, u) / sizes.astype(x.dtype), starts / sizes
    )
    assert in_units.periods.tolist() == [2, 2]
    assert in_units.counts.sum() == 20


@pytest.mark.parametrize("seed", [300, 508])
def test_an_orbit_near_another_point_is_not_given_to_a_wide_ball(seed: int) -> None:
    """Slow double wells coupled by a symmetric matrix: balls about some points would hold others."""
    draws = np.random.default_rng(zlib.crc32(b"ccub") % 100_000 + 7919 * seed)
    n = int(draws.choice([8, 10, 12]))
    W = draws.normal(size=(n, n)) / np.sqrt(n)
    W = (W + W.T) / 2 * draws.choice([0.5, 1.0]) - draws.choice([0, 0.8]) * np.eye(n)
    b = draws.choice([0, 0.1]) * draws.normal(size=n)
    a = float(draws.choice([0.02, 0.1]))
    starts = draws.uniform(-1.2, 1.2, (int(draws.choice([60, 120, 300])), n))[:80]
    ends = starts.copy()
    for _ in range(20_000):
        ends += a * (ends - ends**3 + ends @ W.T + b)

    found = fixed_points(lambda x, u: x + a * (x - x**3 + jnp.matmul(W, x) + b), starts)
    assert found.ends is not None
    assert (found.ends.kind == OrbitEnd.POINT).all()
    points = np.asarray(found.points)[np.asarray(found.ends.point)]
    np.testing.assert_allclose(points, ends[np.asarray(found.ends.starts)], atol=1e-6)


def _rectified(seed: int) -> tuple[np.ndarray, float, np.ndarray]:
    """Weights, leak and starts of x ← (1 − a) x + a max(tanh(W x), 0), all of whose kinks meet in 0."""
    draws = np.random.default_rng(seed)
    n = int(draws.choice([4, 6, 10]))
    W, leak = draws.normal(size=(n, n)), float(draws.choice([0.1, 0.3, 1.0]))
    starts = draws.normal(size=(30, n))
    W, states = np.abs(W) * draws.choice([-1, 1], (n, n), p=[0.4, 0.6]), starts
    for _ in range(300):  # the rate at which directions grow
        moved = np.maximum(states @ W.T, 0)
        size, before = (np.linalg.norm(part, axis=1) for part in (moved, states))
        grown = size / np.maximum(before, 1e-300)
        states = moved / np.maximum(size, 1e-300)[:, None]
    return W / np.median(grown[grown > 0.05]) * (1 + draws.choice([0.003, 0.01, 0.03, 0.1])), leak, starts


@pytest.mark.parametrize(
    ("seed", "kind"), [(930_030, "float64"), (930_007, "float64"), (930_019, "float32"), (930_029, "float32")]
)
def test_a_point_where_kinks_meet_is_reached_from_some_sides_and_left_on_others(seed: int, kind: str) -> None:
    W, leak, starts = _rectified(seed)

    def step(weights: Any, x: Any, _: Any) -> Any:
        W, leak = weights
        return (1 - leak) * x + leak * jnp.maximum(jnp.tanh(W @ x), 0)

    given = jnp.asarray(W.astype(kind)), jnp.asarray(leak, kind)
    found = fixed_points(jax.tree_util.Partial(step, given), starts.astype(kind))
    states, W = starts.astype(kind).astype(float), np.asarray(given[0], float)
    for _ in range(40_000):
        states = (1 - leak) * states + leak * np.maximum(np.tanh(states @ W.T), 0)
    ends = found.ends
    at_point = ends.kind == OrbitEnd.POINT
    assert at_point.mean() > 0.8
    listed = np.asarray(found.orbits, float)[ends.point[at_point], 0]
    np.testing.assert_allclose(listed, states[ends.starts[at_point]], atol=1e-3)


@pytest.mark.parametrize("inside", [1, 3])
def test_a_narrow_basin_within_a_sampled_ball_is_another_attractors(inside: int) -> None:
    """Starts that a sampled ball brings nearer once, and then no more, are not its own."""
    n, point = 8, np.zeros(8)
    point[:2] = 0.2, 0.25

    def step(x: Any, _: Any) -> Any:
        away = x - point
        bump = jnp.exp(-((jnp.sum(away**2) / 0.05**2) ** 4))
        return 0.99 * x + bump * (point + 0.5 * away - 0.99 * x)

    draws = np.random.default_rng(0)
    starts = 1.5 * draws.normal(size=(1500, n))
    starts[:inside] = point + 0.005 * draws.normal(size=(inside, n))
    labels = basins(step, starts)
    assert len(labels.attractors) == 2
    there = int(np.argmin([np.abs(labels.attractors.orbit(i)[0] - point).max() for i in range(2)]))
    assert (labels.labels[:inside] == there).all()
    assert (labels.labels[inside:] == 1 - there).all()
