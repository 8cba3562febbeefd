"""States along a direction: their ends are those of runs of their own, and their growth is σ while linear."""

import math

import jax
import numpy as np
import pytest

from rnn_dynamics.cells import DoyaNeuron, ElmanRNN, random_rnn
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.perturbations import states_along
from rnn_dynamics.gradients.singular_values import singular_spectrum
from tests.marks import FLOAT32_IN_SOAK


@FLOAT32_IN_SOAK
def test_growth_is_the_singular_value_while_linear_and_ends_are_runs(dtype):
    cell = random_rnn(jax.random.key(0), 12, spectral_radius=1.3, dtype=dtype)
    run = rollout(cell, np.full(12, 0.1, dtype), steps=30)
    spectrum = singular_spectrum(run, start=3, stop=20)
    small = 1e-3 if dtype == "float32" else 1e-6
    for index in (0, 1):
        found = states_along(run, 5 * spectrum.right[index], [small, -small, 0.0, 0.5], start=3, stop=20)
        assert found.ends.dtype == dtype
        np.testing.assert_allclose(found.log_growth[:2], float(spectrum.log[index]), atol=0.02)
        assert math.isnan(found.log_growth[2])
        for at in (0, 3):
            alone = rollout(cell, found.starts[at], steps=17)
            np.testing.assert_allclose(found.ends[at], alone.final, atol=50 * float(np.finfo(dtype).eps))
    np.testing.assert_allclose(found.starts[3] - run.states[3], 0.5 * spectrum.right[1], atol=1e-6)
    assert "StatesAlong(4 states" in repr(found)


def test_inputs_are_the_trajectorys_own():
    W, W_in = np.array([[0.5, -0.3], [0.2, 0.9]]), np.eye(2)
    inputs = np.random.default_rng(0).normal(size=(6, 2))
    run = rollout(ElmanRNN(W, np.zeros(2), W_in), [0.1, 0.2], inputs)
    found = states_along(run, [1.0, 0.0], [0.25])
    alone = rollout(run.cell, [0.35, 0.2], inputs)
    np.testing.assert_allclose(found.ends[0], alone.final, rtol=1e-14)


def test_errors_name_the_argument():
    run = rollout(ElmanRNN(np.eye(2), np.zeros(2)), [0.1, 0.2], steps=4)
    for arguments, options, name in (
        ((run.states, [1.0, 0.0], [0.1]), {}, "trajectory"),
        ((run, [1.0], [0.1]), {}, "direction"),
        ((run, [0.0, 0.0], [0.1]), {}, "direction"),
        ((run, [1.0, 0.0], 0.1), {}, "amplitudes"),
        ((run, [1.0, 0.0], [math.nan]), {}, "amplitudes"),
        ((run, [1.0, 0.0], [0.1]), {"start": 4}, "trajectory"),
        ((run, [1.0, 0.0], [0.1]), {"stop": 5}, "stop"),
        ((rollout(DoyaNeuron(5.0, -2.4), 0.3, steps=3), 1.0, [0.1]), {}, "trajectory"),
    ):
        with pytest.raises((TypeError, ValueError), match=name):
            states_along(*arguments, **options)


def test_growth_over_hundreds_of_decades():
    for size in (0.1, 10.0):
        cell = ElmanRNN(size * np.eye(3), np.zeros(3), activation="linear")
        found = states_along(rollout(cell, np.zeros(3), steps=200), [1.0, 0, 0], [1.0, 0.5])
        np.testing.assert_allclose(found.log_growth, 200 * math.log(size), rtol=1e-12)
