"""Bifurcations along training against closed forms, what coincides by chance, and the long unfolding's plan."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.figures.training import along_runs, unfolding
from rnn_dynamics.training import recipe
from rnn_dynamics.training.recipes.recipe import initial_network
from rnn_dynamics.training.studies.events_along_training import (
    coincidences,
    events_along,
    loss_jumps,
    stacked,
)
from rnn_dynamics.training.studies.unfolding import carried, long_unfolding

STARTS = np.linspace(-1.5, 1.5, 8)[:, None]
WEIGHTS = np.linspace(0.5, 2, 11)
BIASES = np.linspace(0.07, 0.8, 9)


def neuron(w: float, b: float) -> ElmanRNN:
    """x⁺ = tanh(w x + b): a pitchfork at w = 1 and a flip at −1 with b = 0; folds at |b| = h*(w)."""
    return ElmanRNN(np.array([[w]]), np.array([b]), activation="tanh")


@pytest.fixture(scope="module")
def through_both():
    """Out of one point by the pitchfork, then back into one by the fold."""
    return events_along([neuron(w, 0.0) for w in WEIGHTS] + [neuron(2.0, b) for b in BIASES], STARTS)


def test_events_stand_where_the_closed_forms_have_them(through_both):
    pitchfork, fold = through_both.events
    assert (pitchfork.kind, pitchfork.change, pitchfork.unstable) == ("pitchfork", 2, 0)
    assert (fold.kind, fold.change, fold.unstable) == ("fold", -2, 0)
    assert pitchfork.position == pytest.approx((1 - 0.5) / 0.15, abs=1e-9)
    at = math.sqrt(2) - math.log(math.sqrt(2) + 1)
    expected = 11 + (at - BIASES[0]) / (BIASES[1] - BIASES[0])
    assert fold.position == pytest.approx(expected, abs=1e-9)
    assert through_both.unfinished == 0
    assert through_both.of_kind("fold") == (fold,)


def test_the_points_of_every_cell_are_counted(through_both):
    numbers = through_both.numbers
    expected = [1] * 4 + [3] * 13 + [1] * 3
    assert numbers[:, 0].tolist() == expected
    assert numbers[:, 1].tolist() == [(n + 1) // 2 for n in expected]
    assert through_both.positions.tolist() == [event.position for event in through_both.events]
    assert "1 fold, 1 pitchfork; 0 branches unfinished" in repr(through_both)


def test_a_path_run_backwards_meets_the_same_events(through_both):
    cells = [neuron(2.0, b) for b in BIASES[::-1]] + [neuron(w, 0.0) for w in WEIGHTS[::-1]]
    back = events_along(stacked(cells), STARTS)
    assert [event.kind for event in back.events] == ["fold", "pitchfork"]
    assert [event.change for event in back.events] == [2, -2]
    there = 19 - through_both.positions[::-1]
    assert np.allclose(back.positions, there, atol=1e-9)


def test_a_flip_is_met_at_minus_one():
    weights = np.linspace(-0.5, -2, 20)
    found = events_along([neuron(w, 0.0) for w in weights], STARTS)
    assert [event.kind for event in found.events] == ["flip"]
    assert found.events[0].change == 0
    assert np.interp(found.positions[0], np.arange(20), weights) == pytest.approx(-1, abs=1e-9)


def test_paths_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="cells: expected at least two, got 1"):
        events_along([neuron(1.0, 0.0)], STARTS)
    with pytest.raises(ValueError, match="cells: expected cells of one type"):
        events_along([neuron(1.0, 0.0), ElmanRNN(np.eye(2), np.zeros(2))], STARTS)
    with pytest.raises(ValueError, match="cells: expected at least two"):
        events_along(neuron(1.0, 0.0), STARTS)


def test_jumps_close_together_are_one():
    losses = np.ones(30)
    losses[10:] *= 2
    losses[12:] *= 2
    losses[20:] /= 4
    assert loss_jumps(losses).tolist() == [9, 19]
    assert loss_jumps(losses, apart=0).tolist() == [9, 11, 19]
    assert loss_jumps(losses, least=1.0).tolist() == [19]
    with pytest.raises(ValueError, match="losses: expected at least two, all > 0"):
        loss_jumps([1.0, 0.0])


def test_chance_is_counted_over_all_shifts():
    """One event covers the updates 3 … 10 of 100: one jump hits it by chance with probability 8/100."""
    one = coincidences([[6.5]], [[7]], 100, within=3.0)
    covered = sum(max(i - 6.5, 6.5 - i - 1) <= 3 for i in range(100))
    assert (one.found, one.jumps) == (1, 1)
    assert one.expected == pytest.approx(covered / 100)
    assert one.p == pytest.approx(covered / 100)
    two = coincidences([[6.5], [6.5]], [[7], [50]], 100, within=3.0)
    assert (two.found, two.jumps) == (1, 2)
    assert two.expected == pytest.approx(2 * covered / 100)
    assert two.p == pytest.approx(1 - (1 - covered / 100) ** 2)
    assert coincidences([[]], [[3]], 10).found == 0
    with pytest.raises(ValueError, match="jumps: expected updates in 0 … 9, got 12 … 12"):
        coincidences([[1.0]], [[12]], 10)


def test_the_long_unfolding_bridges_its_lag_and_measures_a_rotation_exactly():
    plan = long_unfolding(20, units=4)
    assert (plan.task.name, plan.task.steps) == ("random-permutation", 21)
    network = initial_network(plan.recipe, jax.random.key(0), plan.task.width, plan.task.outputs, 4)
    zero = jax.tree_util.tree_map(jnp.zeros_like, network.cell)
    cell = ElmanRNN(0.9 * np.eye(4, dtype=np.float32)[::-1], zero.b, zero.W_in, activation="tanh")
    found = carried(network._replace(cell=cell), plan.task, jax.random.key(1), sequences=2)
    assert np.allclose(found.log_norms[:, ::-1], np.log(0.9) * np.arange(22)[None], atol=1e-4)
    assert found.regime == "vanishing"
    assert found.horizons.tolist() == [9, 9]
    assert np.allclose(found.exponents, np.log(0.9), atol=1e-5)
    with pytest.raises(ValueError, match="lag"):
        long_unfolding(0)


def test_the_stored_networks_learned_a_lag_of_100_or_are_said_not_to_have():
    methods = unfolding.stored()
    assert set(methods) == set(unfolding.METHODS)
    learned = methods["omega"]
    assert learned.succeeded.sum() >= 4
    assert (learned.wrong[learned.succeeded] < 0.02).all()
    assert not methods["clipping"].succeeded.any()
    assert recipe("clipping", "omega", "smart tanh") == unfolding.plans()["omega"].recipe


def test_the_stored_path_meets_the_events_that_are_stored():
    found = along_runs.stored()
    positions = found.positions(3)
    at = int(positions[1])
    cells = jax.tree_util.tree_map(lambda leaf: leaf[at : at + 2], found.path)
    starts = np.random.default_rng(1).uniform(-1, 1, (16, 2))
    event = events_along(cells, starts, u=np.zeros(7)).events[0]
    assert at + event.position == pytest.approx(positions[1], abs=1e-6)
    assert event.kind == "neimark-sacker"
