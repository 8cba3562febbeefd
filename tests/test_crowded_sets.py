"""Sets that lie within one another's reach: told apart where many units, rounding or symmetry bring them near."""

import math
import types
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics.diagnosis.growth import Growth, at_rest
from rnn_dynamics.diagnosis.table import Facts, row_of
from rnn_dynamics.dynamics.basins.kinds import AttractorKind
from rnn_dynamics.dynamics.basins.polish import same_cycle
from rnn_dynamics.dynamics.basins.starts import checked_problem
from rnn_dynamics.dynamics.basins.window_means import Bands
from rnn_dynamics.dynamics.equilibria.ends import MissingAttractorWarning, OrbitEnd
from rnn_dynamics.dynamics.equilibria.recurrence import _is_rounding


def oscillators_and_bit(pairs, gain, weight, seed=0):
    """Pairs of units that turn, each by its own angle, beside one unit that keeps its sign."""
    draws = np.random.default_rng(seed)
    n = 2 * pairs + 1
    W = np.zeros((n, n))
    for i in range(pairs):
        turn = draws.uniform(0.3, 2.8)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        W[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = gain * rotation
    W[-1, -1] = weight
    return W, draws


def signs_after(W, b, starts, steps=20_000):
    for _ in range(steps):
        starts = np.tanh(starts @ W.T + b)
    return starts[:, -1] > 0


@pytest.mark.parametrize(("pairs", "weight"), [(3, 1.05), (4, 2.0)])
def test_a_bit_beside_phases_makes_two_tori(pairs, weight):
    W, draws = oscillators_and_bit(pairs, 1.5, weight)
    starts = draws.normal(size=(40, len(W)))
    up = signs_after(W, 0, starts)
    cell = rd.ElmanRNN(W, np.zeros(len(W)))
    found = rd.find_attractors(cell, starts)
    assert (found.undecided, found.diverged) == (0, 0)
    assert list(found.kinds) == [AttractorKind.INVARIANT_CIRCLE] * 2
    assert sorted(found.counts) == sorted([int(up.sum()), int((~up).sum())])
    labels = rd.basins(cell, starts).labels
    assert {(bool(u), int(label)) for u, label in zip(up, labels, strict=True)} in (
        {(True, 0), (False, 1)},
        {(True, 1), (False, 0)},
    )
    given = rd.basins(cell, starts, found).labels
    assert len({(bool(u), int(label)) for u, label in zip(up, given, strict=True)}) == 2


def circle_and_small_bit(basis, rate, well):
    """A circle of radius 1 beside a bit y that goes to ±well at a rate of its own, in a basis of three units."""

    def step(parameters, state, _):
        basis, rate, well = parameters
        x, y, bit = state @ basis
        grown = 1 + 0.3 * (1 - x * x - y * y)
        cos, sin, v = math.cos(1.0), math.sin(1.0), bit / well
        moved = jnp.stack(
            [grown * (cos * x - sin * y), grown * (sin * x + cos * y), well * (v + rate * (v - v * v * v))]
        )
        return basis @ moved

    cell = jax.tree_util.Partial(step, tuple(map(jnp.asarray, (basis, rate, well))))
    draws = np.random.default_rng(0)
    starts = np.concatenate([draws.normal(size=(20, 2)), well * draws.uniform(-1.2, 1.2, (20, 1))], axis=1)
    return cell, starts @ basis.T, starts[:, 2] > 0


@pytest.mark.parametrize("turned", [False, True])
def test_a_bit_far_smaller_than_the_circle_beside_it_makes_two_sets(turned):
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0] if turned else np.eye(3)
    cell, starts, up = circle_and_small_bit(basis, 1e-3, 1e-3)
    found = rd.find_attractors(cell, starts)
    assert (list(found.kinds), found.undecided) == ([AttractorKind.INVARIANT_CIRCLE] * 2, 0)
    labels = rd.basins(cell, starts, found).labels
    assert len(set(labels[up])) == len(set(labels[~up])) == 1
    assert set(labels) == {0, 1}


@pytest.mark.parametrize("turned", [False, True])
def test_a_circle_on_which_a_bit_still_creeps_is_no_attractor(turned):
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0] if turned else np.eye(3)
    cell, starts, _ = circle_and_small_bit(basis, 3e-5, 1e-3)
    found = rd.find_attractors(cell, starts)
    assert (len(found), found.undecided) == (0, len(starts))


def test_chaos_beside_a_bit_that_has_all_but_settled_is_two_sets():
    def step(state, _):
        x, y, bit = state
        v = bit / 0.1
        return jnp.stack([1 - 1.4 * x * x + y, 0.3 * x, 0.1 * (v + 3e-4 * (v - v**3))])

    draws = np.random.default_rng(3)
    columns = draws.uniform(-0.3, 0.3, 40), draws.uniform(-0.1, 0.1, 40), 0.1 * draws.uniform(-1.2, 1.2, 40)
    found = rd.find_attractors(step, np.stack(columns, axis=1))
    assert list(found.kinds) == [AttractorKind.CHAOTIC] * 2
    ends = sorted(float(np.asarray(found.orbit(i))[:, 2].mean()) for i in range(2))
    np.testing.assert_allclose(ends, [-0.1, 0.1], rtol=1e-3)


def test_a_circle_locked_to_a_long_cycle_is_no_circle():
    """The angle comes to a cycle of 578 steps by a thousandth a step: it returns ever nearer."""
    period, turn = 578, 2 * math.pi * 137 / 578

    def step(state, _):
        angle = jnp.arctan2(state[1], state[0])
        angle = angle + turn - 1.1e-3 / period * jnp.sin(period * angle)
        size = jnp.sqrt(jnp.sum(state**2))
        return size * (1 + 0.3 * (1 - size**2)) * jnp.stack([jnp.cos(angle), jnp.sin(angle)])

    starts = np.random.default_rng(0).normal(size=(6, 2))
    found = rd.find_attractors(step, starts)
    assert (len(found), found.undecided) == (0, 6)
    turning = rd.find_attractors(jax.tree_util.Partial(lambda x, _: step(x, _) @ rotation(0.01)), starts)
    assert (list(turning.kinds), turning.undecided) == ([AttractorKind.INVARIANT_CIRCLE], 0)


def rotation(angle):
    return jnp.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def test_phases_that_turn_with_or_against_one_another_are_two_tori():
    """Every unit has the same mean and mean square on both: only products of units tell."""
    turn = 1.0
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    n = 5

    def cell(x, u):
        del u
        first = jnp.tanh(1.5 * jnp.matmul(jnp.asarray(rotation), x[:2], precision="highest"))
        side = jnp.sign(x[4])
        held = jnp.tanh(2.0 * x[4])
        return jnp.concatenate([first, 0.5 * x[2:4] + 0.5 * side * first, held[None]])

    starts = np.random.default_rng(1).normal(size=(20, n))
    found = rd.find_attractors(cell, starts)
    assert len(found) == 2
    assert sorted(found.counts) == sorted([int((starts[:, 4] > 0).sum()), int((starts[:, 4] < 0).sum())])


def test_a_cycle_within_the_reach_of_chaos_is_counted_as_a_cycle():
    """A bit switches 40 chaotic units on or holds them; beside them a ring of 37 units turns."""
    draws, held, ring = np.random.default_rng(0), 40, 37
    n = held + 1 + ring
    W, b = np.zeros((n, n)), np.zeros(n)
    W[:held, :held] = 3.0 * draws.normal(size=(held, held)) / np.sqrt(held)
    W[held, held] = 2.0
    W[:held, held] = 4.0 * draws.choice([-1, 1], held)
    b[:held] = -W[:held, held] * 0.9575
    W[held + 1 :, held + 1 :] = 2 * np.roll(np.eye(ring), 1, 0)
    starts = draws.normal(size=(40, n))
    starts[:, held + 1 :] = np.abs(starts[:, held + 1 :])
    starts[:, held + 1] *= -1
    down = starts[:, held] < 0
    with pytest.warns(MissingAttractorWarning, match=f"cycle of period {ring}"):
        found = rd.fixed_points(rd.ElmanRNN(W, b), starts)
    ends = found.ends
    assert (ends.kind[down] == OrbitEnd.CYCLE).sum() >= 0.9 * down.sum()
    assert set(ends.period[ends.kind == OrbitEnd.CYCLE]) == {ring}


@pytest.mark.parametrize(("turn", "gain"), [(1.0, 1.5), (2.1, 1.2), (0.7, 1.05)])
def test_a_float32_circle_is_no_cycle(turn, gain):
    W = (gain * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])).astype("f4")
    cell = rd.ElmanRNN(W, np.zeros(2, "f4"))
    starts = np.random.default_rng(0).normal(size=(20, 2)).astype("f4")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = rd.fixed_points(cell, starts)
    assert (found.ends.kind == OrbitEnd.RECURRENT).all()
    assert list(rd.find_attractors(cell, starts).kinds) == [AttractorKind.INVARIANT_CIRCLE]


def test_float32_keeps_two_cycles_that_lie_near_one_another():
    """Two units of amplitude 2e-3 about 1 in float32: their 2-cycle is no fixed point."""
    size = 2e-3

    def cell(x, u):
        del u
        y = (x - 1) / np.float32(size)
        return (1 + np.float32(size) * jnp.tanh(np.float32(-2.0) * y)).astype(x.dtype)

    starts = (1 + size * np.random.default_rng(0).normal(size=(20, 1))).astype("f4")
    found = rd.find_attractors(cell, starts)
    assert list(found.kinds) == [AttractorKind.CYCLE]
    assert (list(found.periods), found.undecided) == ([2], 0)


@pytest.mark.parametrize("gain", [100.0, 500.0])
def test_no_point_found_is_an_empty_list_and_no_error(gain):
    draws = np.random.default_rng(2)
    W = gain * draws.normal(size=(8, 8)) * (draws.random((8, 8)) < 0.5)
    b = 0.3 * draws.normal(size=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MissingAttractorWarning)
        found = rd.fixed_points(rd.ElmanRNN(W, b), draws.normal(size=(20, 8)))
    assert found.ends.kind.shape == (20,)


def test_a_map_that_keeps_volume_has_no_attractors():
    """McMillan's map, det DF = 1: circles about the origin, none of which attracts."""

    def cell(x, u):
        del u
        return jnp.stack([x[1], -x[0] + 2 * 0.4 * x[1] / (1 + x[1] ** 2)])

    found = rd.find_attractors(cell, 0.3 * np.random.default_rng(0).normal(size=(8, 2)))
    assert (len(found), found.marginal, found.undecided) == (0, True, 8)
    assert "nothing attracts" in repr(found)


def test_a_norm_that_has_grown_is_named_beside_a_rate_that_is_not_told_from_0():
    grown = Facts(300, 0, 0.0067, 6.28 * math.log(10), 6.28 * math.log(10), 300, 300, "grows")
    rule, sentence = row_of(grown)
    assert rule.regime == "neither"
    assert "10^6.28" in sentence
    level = grown._replace(whole=1.0, peak=1.0)
    assert "10^" not in row_of(level)[1]


def test_a_run_at_rest_has_the_sign_of_its_multiplier_and_an_error_that_reaches_it():
    measured = Growth(-0.004693, 0.00028, 20)
    found, sign = at_rest(measured, 0.99342, np.float64)
    assert abs(found.rate - math.log(0.99342)) <= found.error
    assert sign == -1
    assert at_rest(Growth(0.001, 1e-4, 20), 0.999, np.float64)[1] == -1
    assert at_rest(measured, math.nan, np.float64)[0] == measured


def test_the_order_in_which_equal_units_run_through_a_cycle_makes_another_set():
    """Two logistic units on one 3-cycle, 0, 1 or 2 steps apart for ever, beside a torus that hides how far."""

    def rotation(turn):
        return 1.5 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])

    W = np.zeros((4, 4))
    W[:2, :2], W[2:, 2:] = rotation(0.9), rotation(2.1)

    def cell(x, u):
        return jnp.concatenate([jnp.tanh(jnp.asarray(W) @ x[:4]), 3.83 * x[4:] * (1 - x[4:])])

    draws = np.random.default_rng(0)
    starts = np.hstack([draws.normal(size=(40, 4)), draws.uniform(0.1, 0.9, (40, 2))])
    z = starts[:, 4:]
    for _ in range(6000):
        z = 3.83 * z * (1 - z)
    lag = np.zeros(40, int)
    for steps in (1, 2):
        z = np.column_stack([3.83 * z[:, 0] * (1 - z[:, 0]), z[:, 1]])
        lag[np.abs(z[:, 0] - z[:, 1]) < 1e-4] = steps
    assert set(lag) == {0, 1, 2}
    found = rd.find_attractors(cell, starts)
    assert list(found.kinds) == [AttractorKind.INVARIANT_CIRCLE] * 3
    assert sorted(found.counts) == sorted(np.bincount(lag))
    labels = rd.basins(cell, starts).labels
    assert len(set(zip(lag.tolist(), labels.tolist(), strict=True))) == 3


@pytest.mark.parametrize("size", [1e-3, 1e-6])
def test_a_bit_of_any_size_beside_a_circle_makes_two_circles(size):
    turn = 1.4 * np.array([[np.cos(1.0), -np.sin(1.0)], [np.sin(1.0), np.cos(1.0)]])

    def cell(x, u):
        return jnp.concatenate([jnp.tanh(jnp.asarray(turn) @ x[:2]), size * jnp.tanh(2 * x[2:] / size)])

    starts = np.random.default_rng(0).normal(size=(40, 3)) * [1, 1, size]
    found = rd.find_attractors(cell, starts)
    up = int((starts[:, 2] > 0).sum())
    assert sorted(found.counts) == sorted([up, 40 - up])
    assert found.undecided == 0


def test_a_coordinate_that_nears_its_rest_slowly_belongs_to_the_circle():
    """It makes no second set, however far from its rest the starts are."""
    turn = 1.4 * np.array([[np.cos(1.0), -np.sin(1.0)], [np.sin(1.0), np.cos(1.0)]])

    def cell(x, u):
        return jnp.concatenate([jnp.tanh(jnp.asarray(turn) @ x[:2]), 0.998 * x[2:]])

    starts = np.random.default_rng(0).normal(size=(20, 3))
    found = rd.find_attractors(cell, starts)
    assert (len(found), found.undecided, int(found.counts[0])) == (1, 0, 20)


def locked_circle(numerator, period, pull):
    """A circle in the plane, drawn in at rate ½; its angles turn by numerator/period and lock at rate ``pull``."""

    def cell(x, u):
        radius, angle = jnp.hypot(x[0], x[1]), jnp.arctan2(x[1], x[0])
        angle = angle + 2 * jnp.pi * numerator / period + pull / period * jnp.sin(period * angle)
        radius = radius + 0.5 * (1 - radius) * radius
        return radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)])

    return cell


def test_a_cycle_that_is_neared_slowly_is_no_circle():
    """A 45-cycle that draws in by 7e-4 a step: named, or undecided, and said; not in silence on a circle."""
    cell, starts = locked_circle(17, 45, 7e-4), np.random.default_rng(0).normal(size=(12, 2))
    with pytest.warns(MissingAttractorWarning, match="12 of 12 orbits"):
        found = rd.fixed_points(cell, starts)
    assert not (found.ends.kind == OrbitEnd.RECURRENT).any()
    asked = rd.fixed_points(cell, starts, period=45)
    assert (asked.ends.kind == OrbitEnd.POINT).all()


def test_a_circle_that_does_not_lock_is_one():
    golden = (np.sqrt(5) - 1) / 2
    cell, starts = locked_circle(golden, 1.0, 0.0), np.random.default_rng(0).normal(size=(12, 2))
    assert (rd.fixed_points(cell, starts).ends.kind == OrbitEnd.RECURRENT).all()


def test_a_long_stable_cycle_has_its_own_period_and_is_stable():
    """All starts run to one 106-cycle, whose multiplier is that of their last turns."""
    W = np.array(
        [
            [0.76030254, 0.55955899, 1.00560349],
            [0.49715385, -0.32838723, -0.38074181],
            [0.05364606, 0.0749472, 0.309939],
        ]
    )

    def cell(x, u):
        z = jnp.asarray(W) @ x
        z = z - z.mean()
        return jnp.tanh(0.5 * z / jnp.sqrt((z * z).mean() + 1e-5))

    starts = np.random.default_rng(0).normal(size=(60, 3))
    with pytest.warns(MissingAttractorWarning, match="60 of 60 orbits end at a cycle of period 106"):
        found = rd.fixed_points(cell, starts)
    assert set(found.ends.period) == {106}
    asked = rd.fixed_points(cell, starts, period=106)
    assert (asked.ends.kind == OrbitEnd.POINT).all()
    assert sorted(asked.kind) == ["saddle", "stable"]
    leading = np.abs(asked.multipliers[list(asked.kind).index("stable")]).max()
    x = [starts[0]]
    for _ in range(2000):
        z = W @ x[-1]
        z = z - z.mean()
        x.append(np.tanh(0.5 * z / np.sqrt((z * z).mean() + 1e-5)))
    moved = np.array([np.abs(x[t + 106] - x[t]).max() for t in range(0, 1800, 106)])
    last = np.flatnonzero(moved > 1e-9)[-1]
    assert moved[last - 1] < 1e-4
    assert leading == pytest.approx(moved[last] / moved[last - 1], rel=1e-2)


@pytest.mark.parametrize(
    ("gaps", "is_rounding"),
    [
        ([1e-13, 1.1e-13, 0.9e-13, 1.4e-13], True),
        ([1e-13, 2.1e-13, 2.5e-13, 1.7e-13], True),
        ([1e-13, 2e-13, 4e-13, 8e-13], False),  # a turn along a circle
        ([1e-13, 2e-13], False),
        ([1e-13, 1.2e-13], True),
        ([1e-11, 1e-11, 1e-11, 1e-11], False),  # more than rounding
    ],
)
def test_a_turn_misses_more_after_each_period_and_rounding_does_not(gaps, is_rounding):
    assert _is_rounding(gaps, float(np.finfo(np.float64).eps)) is is_rounding


def _lag_of_four(z):
    return 3.5 * z * (1 - z)


def _small_flips(z):
    return -1e-6 * np.tanh(2e6 * z)


def _rest_or_flip(z):
    v = z / 1e-5
    return -1e-5 * 3 * v**3 / (1 + 2 * v**4)


def _ring(z):
    return np.tanh(2 * np.roll(z, -1, axis=-1))


_MARKS = np.array([1, 1, 1, -1, 1, -1, -1])  # its reverse has the same means, squares and products of two


@pytest.mark.parametrize(
    ("part", "draw", "rotators"),
    [
        (_lag_of_four, lambda r: r.uniform(0.1, 0.9, (30, 2)), 2),
        (_small_flips, lambda r: 1e-6 * r.normal(size=(30, 2)), 1),
        (_rest_or_flip, lambda r: 1e-5 * r.choice([0.3, 1.0], (30, 1)), 1),
        (_ring, lambda r: np.stack([_MARKS[:: r.choice([1, -1])] for _ in range(30)]) * 0.9, 4),
    ],
)
def test_coordinates_that_repeat_by_themselves_are_compared_as_a_cycle(part, draw, rotators):
    """Which sets there are the part tells alone: starts whose parts run through the same states belong together."""
    draws = np.random.default_rng(0)
    W = np.zeros((2 * rotators, 2 * rotators))
    for i, turn in enumerate((0.9, 2.1, 0.53, 1.37)[:rotators]):
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        W[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = 1.5 * rotation
    z = draw(draws)
    starts = np.hstack([draws.normal(size=(30, len(W))), z])
    for _ in range(5000):
        z = part(z)
    orbit = [z := part(z) for _ in range(56)]  # a multiple of every period here
    scale = np.abs(orbit).max()
    sets = {tuple(sorted(map(tuple, np.round(np.array(orbit)[:, i] / scale, 6) + 0.0))) for i in range(30)}

    def cell(x, u):
        later = jnp.tanh(jnp.asarray(W) @ x[: len(W)])
        return jnp.concatenate([later, _traced(part)(x[len(W) :])])

    found = rd.find_attractors(cell, starts)
    assert (len(found), found.undecided) == (len(sets), 0)
    assert all(kind == AttractorKind.INVARIANT_CIRCLE for kind in found.kinds)
    assert len(np.unique(rd.basins(cell, starts).labels)) == len(sets)


def _traced(part):
    """The part in JAX: the same lines, with its functions."""
    names = {"np": jnp}
    return types.FunctionType(part.__code__, names)


def test_a_unit_that_rests_between_bursts_is_no_coordinate_that_repeats():
    """A saturated unit is constant to rounding for most of a slow turn, and elsewhere for the rest: one set."""
    turn = np.array([[np.cos(0.002), -np.sin(0.002)], [np.sin(0.002), np.cos(0.002)]])

    def cell(x, u):
        circle = jnp.asarray(turn) @ x[:2] * (1.5 - 0.5 * jnp.hypot(x[0], x[1]))  # drawn to radius 1
        return jnp.append(circle, jnp.tanh(40 * (circle[0] + 0.8)))

    angles = 0.002 * np.arange(1, 4097)
    orbit = np.column_stack([np.cos(angles), np.sin(angles), np.tanh(40 * (np.cos(angles) + 0.8))])
    assert np.ptp(orbit[:200, 2]) < 1e-15
    assert np.ptp(orbit[:, 2]) > 1
    bands = Bands(checked_problem(cell, orbit), orbit)
    assert bands.hold(orbit[::64]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rate", "past"), [(0.3, 1e-5), (0.3, 1e-7), (0.1, 1e-5), (1.0, 1e-6)])
def test_a_point_and_a_saddle_close_together_stop_what_comes_by(dtype, rate, past):
    """One unit just past its fold: the saddle and the upper point lie closer than two places of a coarse look."""
    fold = math.sqrt(1 - 1 / 2.2)
    numbers = np.array([2.2, math.atanh(fold) - 2.2 * fold + past, rate], dtype)
    starts = np.random.default_rng(0).uniform(-2, 2, (20, 1)).astype(dtype)

    def cell(x, u):
        w, b, a = jnp.asarray(numbers)
        return (1 - a) * x + a * jnp.tanh(w * x + b)

    w, b, a = numbers.astype(float)
    ends = starts[:, 0].astype(float)
    for _ in range(200_000):
        ends = (1 - a) * ends + a * np.tanh(w * ends + b)
    up = ends > 0
    assert 0 < up.sum() < 20
    found = rd.find_attractors(cell, starts)
    assert (len(found), found.undecided) == (2, 0)
    assert list(found.counts) == [int((~up).sum()), int(up.sum())]
    np.testing.assert_array_equal(rd.basins(cell, starts, found).labels, up)


def test_a_ball_that_samples_miss_in_many_units_takes_no_start_that_moves_away():
    """A steep switch along one direction of 32 units: three of 200 starts are beyond it."""
    draws = np.random.default_rng(0)
    v = draws.normal(size=32)
    v /= np.linalg.norm(v)
    starts = 0.1 * draws.normal(size=(200, 32))
    starts -= 0.7 * np.outer(starts @ v, v)
    beyond = [21, 94, 173]
    starts[beyond] = 0.22 * v
    others = np.setdiff1d(np.arange(200), beyond)
    assert np.abs(starts[others] @ v).max() < 0.2

    def cell(x, u):
        switch = 0.5 + 0.5 * jnp.tanh(1000 * (jnp.asarray(v) @ x - 0.2))
        return (1 - 2e-4) * x + 2e-4 * switch * jnp.asarray(v)

    found = rd.find_attractors(cell, starts)
    assert (len(found), found.undecided) == (2, 0)
    assert sorted(found.counts) == [3, 197]
    labels = np.asarray(rd.basins(cell, starts).labels)
    assert len(set(labels[beyond])) == len(set(labels[others])) == 1
    assert labels[21] != labels[0]


def test_cycles_that_differ_at_one_phase_alone_are_two():
    orbit = np.array([[1.0, 0.5], [-1.0, 0.25]])
    assert same_cycle(orbit, orbit[::-1])
    assert same_cycle(orbit, orbit + 1e-13)
    assert not same_cycle(orbit, orbit + np.array([[0, 0], [0, 1e-3]]))
    assert not same_cycle(orbit, orbit[:1])


def products(first, second):
    """Two maps of one unit each, side by side: their numbers as arguments, so that few programs compile."""
    return jax.tree_util.Partial(_side_by_side, tuple(map(jnp.asarray, (*first, *second))))


def _side_by_side(numbers, x, u):
    a, b, size = numbers
    y, z = x[0], x[1] / size
    return jnp.stack([a * y * (1 - y), size * b * z * (1 - z)])


@pytest.mark.parametrize("size", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize(("chaos", "cycle", "sets"), [(3.6, 3.2, 2), (3.58, 3.5, 4)])
def test_chaos_in_bands_beside_a_small_cycle_is_a_set_for_each_way_to_turn_together(chaos, cycle, sets, size):
    """Two bands with a 2-cycle, four with a 4-cycle: the phase of the one against the other never changes."""
    starts = np.random.default_rng(0).uniform(0.1, 0.9, (24, 2))
    x, number = starts.copy(), np.array([chaos, cycle])
    for _ in range(10_000):
        x = number * x * (1 - x)
    tops, values = x.copy(), x.copy()  # where the unit on the cycle is when the chaos is highest
    for _ in range(400):
        x = number * x * (1 - x)
        higher = x[:, 0] > tops[:, 0]
        tops[higher], values[higher] = x[higher], x[higher]
    relation = np.unique(np.round(values[:, 1], 6), return_inverse=True)[1]
    assert relation.max() == sets - 1
    cell = products((chaos,), (cycle, size))
    found = rd.find_attractors(cell, starts * [1, size])
    assert (len(found), found.undecided) == (sets, 0)
    labels = np.asarray(rd.basins(cell, starts * [1, size], found).labels)
    assert len(set(zip(labels.tolist(), relation.tolist(), strict=True))) == sets


def test_chaos_that_is_left_after_thousands_of_steps_is_no_set_that_orbits_end_on():
    """Eight coupled quadratic maps: chaos is a transient, all orbits end on stable cycles of periods 2 and 4."""
    a, coupling = 1.6968583027653867, 0.29364304242985867

    def step(np, x):
        y = 1 - a * x * x
        return (1 - coupling) * y + coupling / 2 * (np.roll(y, 1, -1) + np.roll(y, -1, -1))

    starts = np.random.default_rng(0).uniform(-0.5, 0.5, (24, 8))
    x = starts.copy()
    for _ in range(320):
        x = step(np, x)
    repeats = np.abs(step(np, step(np, step(np, step(np, x)))) - x).max(axis=1) < 1e-9
    assert repeats.sum() < 12
    for _ in range(40_000):
        x = step(np, x)
    assert np.abs(step(np, step(np, step(np, step(np, x)))) - x).max() < 1e-12
    found = rd.fixed_points(lambda x, u: step(jnp, x), starts, period=4)
    assert found.ends.count(OrbitEnd.POINT) == 24
    assert found.stable[found.ends.point].all()


def test_chaos_that_its_own_states_leave_is_no_attractor():
    """A random network of five units: orbits are chaotic for thousands of steps, then on one of two 4-cycles."""
    draws = np.random.default_rng(545)
    W = np.round(3 * draws.normal(size=(5, 5)) / np.sqrt(5), 2)
    starts = draws.normal(size=(24, 5))
    x = starts.copy()
    for _ in range(2000):
        x = np.tanh(x @ W.T)
    late = x.copy()
    for _ in range(4):
        late = np.tanh(late @ W.T)
    assert (np.abs(late - x).max(axis=1) > 1e-3).sum() > 10  # still chaotic
    for _ in range(60_000):
        x = np.tanh(x @ W.T)
    cycles = [x := np.tanh(x @ W.T) for _ in range(4)]
    assert np.abs(np.tanh(cycles[-1] @ W.T) - cycles[0]).max() < 1e-12
    cell = rd.ElmanRNN(W, np.zeros(5))
    found = rd.find_attractors(cell, starts)
    assert [(kind, period) for kind, period in zip(found.kinds, found.periods, strict=True)] == [
        (AttractorKind.CYCLE, 4)
    ] * 2
    listed = [np.asarray(found.orbit(i)) for i in range(2)]
    for state in cycles[0]:
        assert min(np.abs(orbit - state).max(axis=1).min() for orbit in listed) < 1e-10
    assert (np.asarray(rd.basins(cell, starts, found).labels) >= -1).all()


def random_leaky(seed, dtype="float64"):
    """A random leaky network of 6 to 12 units with 24 starts."""
    draws = np.random.default_rng(seed)
    n = int(draws.choice([6, 8, 12]))
    gain = draws.choice([1.5, 2, 3, 4])
    W = gain * draws.normal(size=(n, n)) / n**0.5
    b = draws.choice([0, 0, 0.1]) * draws.normal(size=n)
    leak = float(draws.choice([1, 1, 0.7]))
    return W.astype(dtype), b.astype(dtype), leak, draws.normal(size=(24, n)).astype(dtype)


def periods_after(W, b, leak, x, steps, longest=100):
    """The period of each orbit after so many steps of plain iteration in float64, 0 where it has none."""
    W, b, x = (np.asarray(part, float) for part in (W, b, x))

    def step(x):
        return (1 - leak) * x + leak * np.tanh(x @ W.T + b)

    for _ in range(steps):
        x = step(x)
    later, periods = x, np.zeros(len(x), int)
    for period in range(1, longest + 1):
        later = step(later)
        periods[(periods == 0) & (np.abs(later - x).max(axis=1) < 1e-9)] = period
    return periods


def test_chaos_that_ends_on_a_cycle_longer_than_the_windows_is_left():
    """A 36-cycle that draws in by 7e-3 a step after chaos of thousands of steps, in a network of twelve units."""
    W, b, leak, starts = random_leaky(3000296)
    assert (periods_after(W, b, leak, starts, 500) == 36).sum() < 12
    assert (periods_after(W, b, leak, starts, 60_000) == 36).all()
    with pytest.warns(MissingAttractorWarning, match="period 36"):
        ends = rd.fixed_points(rd.LeakyRNN(W, b, leak=leak), starts).ends
    assert ends.count(OrbitEnd.RECURRENT) == 0
    assert set(ends.unlisted_cycles()) == {36}


def test_a_listed_cycle_within_the_reach_of_a_circle_keeps_its_starts():
    """A stable 19-cycle lies .004 from the samples of a circle: what comes to it is not the circle's."""
    W, b, leak, starts = random_leaky(3000007)
    truth = periods_after(W, b, leak, starts, 15_000)
    assert (truth == 19).sum() == 2
    cell = rd.LeakyRNN(W, b, leak=leak)
    found = rd.find_attractors(cell, starts)
    assert 19 in found.periods
    labels = np.asarray(rd.basins(cell, starts, found).labels)
    np.testing.assert_array_equal(labels == list(found.periods).index(19), truth == 19)


def test_in_float32_a_spiral_to_a_short_cycle_is_no_long_cycle():
    """All orbits come to a 2-cycle by 1.7e-3 a step, turning: near rounding they seem to close after 46 or 66."""
    W, b, leak, starts = random_leaky(3100018, "float32")
    assert (periods_after(W, b, leak, starts, 60_000) == 2).all()
    with pytest.warns(MissingAttractorWarning):
        ends = rd.fixed_points(rd.LeakyRNN(W, b, leak=leak), starts).ends
    assert set(ends.unlisted_cycles()) <= {2}
    assert ends.count(OrbitEnd.RECURRENT) == 0


@pytest.mark.parametrize("past", [3e-8, 3e-9])
def test_the_two_lobes_of_one_chaotic_set_are_not_two_sets(past):
    """A cubic map past the crisis that joins its halves: an orbit changes sides every 15 500 or 50 000 steps."""
    a = 1.5 * math.sqrt(3) + past
    x, changes = np.random.default_rng(1).uniform(0.3, 1, 500), 0
    for _ in range(20_000):
        later = a * x - x**3
        changes += (np.sign(later) != np.sign(x)).sum()
        x = later
    assert changes > 100
    cell = jax.tree_util.Partial(_cubic, (jnp.asarray(a), jnp.asarray(0.5)))
    starts = np.random.default_rng(0).uniform(-1, 1, (24, 2))
    found = rd.find_attractors(cell, starts)
    assert len(found) <= 1
    assert len(set(np.asarray(rd.basins(cell, starts).labels).tolist())) == 1


def _cubic(numbers, x, u):
    a, leak = numbers
    return jnp.stack([a * x[0] - x[0] ** 3, leak * x[1] + 0.1 * x[0]])
