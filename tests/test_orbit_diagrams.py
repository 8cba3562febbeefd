"""Orbit diagrams: cycles of the logistic map, hysteresis between the neuron's folds, divergence."""

import jax
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics import orbit_diagram


def _logistic_step(r, x, u):
    return r * x * (1 - x)


def logistic(r):
    return jax.tree_util.Partial(_logistic_step, r)


def neuron(b):
    return rd.DoyaNeuron(5.0, b)


def test_cycles_of_the_logistic_map():
    r = np.array([2.5, 3.2, 3.5, 3.83])
    found = orbit_diagram(logistic, r, 0.3, transient=2000, kept=24)
    counts = [len(np.unique(np.round(states, 8))) for states in found.up]
    assert counts == [1, 2, 4, 3]
    root = np.sqrt((3.2 - 3) * (3.2 + 1))
    exact = np.array([3.2 + 1 - root, 3.2 + 1 + root]) / (2 * 3.2)
    np.testing.assert_allclose(np.unique(np.round(found.up[1], 10)), exact, atol=1e-9)
    assert not found.diverged.any()


def test_hysteresis_lies_between_the_folds():
    low, high = np.sort(np.asarray(rd.doya.folds(5.0).b))
    b = np.linspace(-3, -2, 101)
    found = orbit_diagram(neuron, b, 0.05, transient=3000, kept=2)
    inside = (b > low + 1e-3) & (b < high - 1e-3)
    outside = (b < low - 1e-3) | (b > high + 1e-3)
    assert found.hysteresis()[inside].all()
    assert not found.hysteresis()[outside].any()
    exact = np.asarray(rd.doya.equilibria(5.0, b[inside]).points)
    np.testing.assert_allclose(found.up[inside, -1], exact[:, 0], atol=1e-9)
    np.testing.assert_allclose(found.down[inside, -1], exact[:, 2], atol=1e-9)


def test_divergence_is_seen_and_does_not_spread():
    found = orbit_diagram(logistic, np.array([2.5, 5.0, 2.5]), 0.3, transient=200, kept=4)
    np.testing.assert_array_equal(found.diverged, [False, True, False])
    np.testing.assert_allclose(found.up[2], 0.6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"parameters": []}, "parameters"),
        ({"kept": 0}, "kept"),
        ({"x0": np.nan}, "x0"),
        ({"transient": -1}, "transient"),
    ],
)
def test_bad_input(changes, words):
    arguments = {"parameters": [1.0, 2.0], "x0": 0.3} | changes
    with pytest.raises(ValueError, match=words):
        orbit_diagram(logistic, arguments.pop("parameters"), arguments.pop("x0"), **arguments)


def test_pictures():
    found = orbit_diagram(logistic, np.linspace(2.8, 3.9, 20), 0.3, transient=100, kept=20)
    assert "20 parameters" in repr(found)
    assert found.plot().get_xlabel() == "parameter"
    branch = rd.continue_branch(neuron, 0.05, -3.0, p_range=(-3.0, -2.0))
    axes = branch.plot()
    assert sum(line.get_linestyle() == "--" for line in axes.lines) == 1
    assert sum(line.get_marker() == "o" for line in axes.lines) == 2
