"""Sets that lie within one another's reach: told apart where many units, rounding or symmetry bring them near."""

import math
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics.diagnosis.growth import Growth, at_rest
from rnn_dynamics.diagnosis.table import Facts, row_of
from rnn_dynamics.dynamics.basins.kinds import AttractorKind
from rnn_dynamics.dynamics.equilibria.ends import MissingAttractorWarning, OrbitEnd


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
