"""Where orbits are said to end: slow spirals, roots that floats cannot place, islands in a ball."""

import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics import GRU, ElmanRNN, fixed_points
from rnn_dynamics.equilibria.ends import OrbitEnd
from rnn_dynamics.equilibria.results import FixedPoints


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
