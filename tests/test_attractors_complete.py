"""No attractor is missed in silence: networks whose attractors long plain runs give, and what the result says."""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.cells import GRU, LSTM, DoyaNeuron, ElmanRNN, LeakyRNN, PiecewiseLinearRNN, Stack
from rnn_dynamics.dynamics.equilibria import FixedPoints, MissingAttractorWarning, OrbitEnd, fixed_points
from rnn_dynamics.dynamics.equilibria.indices import maps_a_ball_into_itself
from rnn_dynamics.numerics.status import Status
from tests.oracles import long_runs

SLOW = Path(__file__).parent / "data" / "slow_gru.npz"


class Network(NamedTuple):
    """A cell, the same written out in NumPy, starts, the period asked for, and steps until the ends are reached."""

    cell: Any
    step: long_runs.Step
    starts: np.ndarray
    period: int = 1
    steps: int = 3000


def _one_pattern(n: int = 100) -> Network:
    rng = np.random.default_rng(3)
    pattern = rng.choice([-1.0, 1.0], n)
    weights = 1.6 * np.outer(pattern, pattern) / n + 0.3 * rng.normal(size=(n, n)) / np.sqrt(n)
    starts = 0.3 * rng.normal(size=(200, n))
    return Network(ElmanRNN(weights, np.zeros(n)), long_runs.tanh_network(weights, np.zeros(n)), starts)


def _patterns() -> Network:
    n, count = 60, 3
    rng = np.random.default_rng(5)
    patterns = np.linalg.qr(rng.choice([-1.0, 1.0], (n, count)))[0].T * np.sqrt(n)
    weights = 1.8 * patterns.T @ patterns / n
    starts = rng.normal(size=(200, n))
    return Network(ElmanRNN(weights, np.zeros(n)), long_runs.tanh_network(weights, np.zeros(n)), starts)


def _ring() -> Network:
    """Bumps on a ring of units: all but a continuous line, so that multipliers come near 1."""
    n = 12
    angle = 2 * np.pi * np.arange(n) / n
    weights = 3.0 / n * (1.5 * np.cos(angle[:, None] - angle) - 0.2)
    bias = 0.02 * np.cos(3 * angle)
    starts = np.random.default_rng(1).normal(size=(100, n))
    return Network(ElmanRNN(weights, bias), long_runs.tanh_network(weights, bias), starts, steps=20_000)


def _point_and_cycle(period: int) -> Network:
    weights, bias = np.array([[-1.8, 0.2], [-0.1, 1.7]]), np.array([0.05, -0.1])
    starts = np.random.default_rng(0).normal(size=(200, 2))
    return Network(ElmanRNN(weights, bias), long_runs.tanh_network(weights, bias), starts, period)


def _rectified() -> Network:
    decay, weights, bias = np.array([0.5, 0.3]), np.array([[0.0, -1.4], [-1.4, 0.0]]), np.array([0.6, 0.5])
    starts = np.random.default_rng(2).normal(size=(100, 2))
    return Network(
        PiecewiseLinearRNN(decay, weights, bias),
        lambda x: decay * x + np.maximum(x, 0) @ weights.T + bias,
        starts,
    )


def _lstm() -> Network:
    n = 3
    rng = np.random.default_rng(4)
    weights = np.concatenate(
        [np.zeros((2 * n, n)), 3 * np.eye(n) + 0.3 * rng.normal(size=(n, n)), np.zeros((n, n))]
    )
    bias = np.concatenate([np.zeros(n), np.ones(n), 0.05 * rng.normal(size=n), np.ones(n)])
    starts = rng.normal(size=(150, 2 * n))
    return Network(LSTM(weights, bias), long_runs.lstm(weights, bias), starts)


def _trained_gru(seed: int, slower: float, size: float) -> Network:
    with np.load(SLOW) as file:
        weights, bias = size * file[f"W_{seed}"], file[f"b_{seed}"].copy()
    bias[24:48] += slower
    starts = 0.5 * np.random.default_rng(seed).normal(size=(120, 24))
    return Network(GRU(weights, bias), long_runs.gru(weights, bias), starts, steps=60_000)


def _doya_pair() -> Network:
    weights, bias = np.array([[8.0, -6.0], [-6.0, 8.0]]), np.array([-1.2, -1.0])
    starts = np.random.default_rng(6).uniform(0, 1, (100, 2))
    cell = LeakyRNN(weights, bias, leak=0.3, activation="logistic")
    return Network(cell, lambda x: 0.7 * x + 0.3 * long_runs.sigmoid(x @ weights.T + bias), starts)


_WONG_WANG = {"a": 270.0, "b": 108.0, "d": 0.154, "gamma": 0.641, "tau": 0.1, "dt": 0.005}


def _wong_wang_step(x: Any, library: Any) -> Any:
    """The two-variable model of decisions of Wong and Wang (J. Neurosci. 26, 2006), no noise, 0 coherence."""
    p = _WONG_WANG
    current = 0.2609 * x - 0.0497 * x[..., ::-1] + 0.3255 + 5.2e-4 * 30
    drive = p["a"] * current - p["b"]
    rate = drive / (1 - library.exp(-p["d"] * drive))
    return x + p["dt"] * (-x / p["tau"] + (1 - x) * p["gamma"] * rate)


def _wong_wang() -> Network:
    starts = np.random.default_rng(7).uniform(0, 0.8, (100, 2))
    return Network(
        lambda x, _: _wong_wang_step(x, jnp), lambda x: _wong_wang_step(x, np), starts, steps=10_000
    )


def _beer() -> Network:
    """The oscillating pair of Beer, Adaptive Behavior 3, 1995: a limit cycle that no period of the map hits."""
    weights, bias = np.array([[4.5, 1.0], [-1.0, 4.5]]), np.array([-2.75, -1.75])

    def step(x: Any, library: Any) -> Any:
        out = 1 / (1 + library.exp(-(x + bias)))
        return x + 0.1 * (library.matmul(out, weights.T) - x)

    starts = np.random.default_rng(8).normal(size=(60, 2))
    return Network(lambda x, _: step(x, jnp), lambda x: step(x, np), starts)


NETWORKS = {
    "one pattern": _one_pattern,
    "three patterns": _patterns,
    "ring": _ring,
    "a point and a 2-cycle, asked for": lambda: _point_and_cycle(2),
    "a 2-cycle, not asked for": lambda: _point_and_cycle(1),
    "rectified": _rectified,
    "LSTM": _lstm,
    "trained GRU": lambda: _trained_gru(0, 0.0, 1.0),
    "trained GRU, slow": lambda: _trained_gru(1, 3.0, 1.0),
    "trained GRU, slow and steep": lambda: _trained_gru(0, 3.0, 1.5),
    "Doya pair": _doya_pair,
    "Wong and Wang": _wong_wang,
    "Beer": _beer,
}


def _found(network: Network, **options: Any) -> tuple[FixedPoints, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = fixed_points(network.cell, network.starts, period=network.period, slow=False, **options)
    return found, [str(w.message) for w in caught if issubclass(w.category, MissingAttractorWarning)]


def _listed(found: FixedPoints, states: np.ndarray) -> np.ndarray:
    """Which states lie on a listed point or cycle that attracts."""
    stable = found.stable | found.marginal
    orbits = found.orbits[stable].reshape(-1, states.shape[1])
    orbits = orbits[np.isfinite(orbits).all(1)]
    gaps = np.abs(states[:, None] - orbits[None]).max(-1).min(1, initial=np.inf)
    return gaps <= 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_every_attractor_of_a_known_network_is_listed_or_said_to_be_missing(name: str) -> None:
    network = NETWORKS[name]()
    found, caught = _found(network)
    listed = _listed(found, long_runs.ends(network.step, network.starts, network.steps))
    assert found.ends is not None
    assert len(found.ends) == len(network.starts)
    told = found.ends.kind == OrbitEnd.POINT
    # No orbit is given to the list that does not end there; what is not on the list is counted elsewhere.
    assert (listed | ~told).all()
    elsewhere = int((~told).sum())
    assert f"{elsewhere} elsewhere" in repr(found)
    unlisted = int((~listed).sum())
    if not unlisted:
        assert elsewhere <= len(listed) // 10 or any("no known end" in text for text in caught)
        return
    recurrent, cycles = found.ends.count(OrbitEnd.RECURRENT), found.ends.unlisted_cycles()
    assert recurrent + sum(cycles.values()) == unlisted
    assert bool(cycles) == bool(caught) == bool(found.missing)


def test_newton_alone_takes_every_start_to_the_saddle_and_the_orbits_say_where_they_go() -> None:
    network = _one_pattern()
    alone = fixed_points(network.cell, network.starts, orbits=0)
    assert alone.converged() == 200
    assert alone.kind == ("saddle",)
    assert alone.ends is None
    found, caught = _found(network)
    assert sorted(found.kind) == ["saddle", "stable", "stable"]
    assert not caught
    signs = np.sign(long_runs.ends(network.step, network.starts, 500)[:, 0])
    sizes = [int((signs < 0).sum()), int((signs > 0).sum())]
    assert found.ends is not None
    assert found.ends.shares().tolist() == sizes
    assert f"{sizes[0]} : {sizes[1]} of 200 orbits end at listed points; 0 elsewhere; index sum 1" in repr(
        found
    )


def test_a_cycle_of_another_period_is_named_in_field_text_and_warning() -> None:
    found, caught = _found(_point_and_cycle(1))
    assert found.ends is not None
    assert found.ends.unlisted_cycles() == {2: 200}
    assert "0 of 200 orbits end at listed points; 200 elsewhere: 200 at a 2-cycle not listed" in repr(found)
    assert len(caught) == 1
    assert "period 2" in caught[0]
    asked, none = _found(_point_and_cycle(2))
    assert not none
    assert asked.ends is not None
    assert asked.ends.count(OrbitEnd.POINT) == 200


def test_orbits_that_rest_on_a_saddle_by_symmetry_fool_nobody() -> None:
    cell = ElmanRNN(np.diag([2.0, 0.5]), np.zeros(2))
    starts = np.stack([np.zeros(40), np.linspace(-1, 1, 40)], axis=1)  # the saddle's own stable set
    found, _ = _found(Network(cell, long_runs.tanh_network(np.diag([2.0, 0.5]), np.zeros(2)), starts))
    assert sorted(found.kind) == ["saddle", "stable", "stable"]
    np.testing.assert_allclose(np.abs(found.points[found.stable][:, 0]), 0.957504024077, atol=1e-12)
    assert found.ends is not None
    assert found.ends.count(OrbitEnd.RESTS) == 40
    assert (np.array(found.kind)[found.ends.point] == "saddle").all()
    assert "rest on a point that does not attract" in repr(found)
    assert found.ends.nudged >= 2


def test_slow_networks_converge_and_what_does_not_says_why() -> None:
    network = _trained_gru(0, 3.0, 1.5)
    network = network._replace(starts=2 * network.starts)
    alone, _ = _found(network, orbits=0)
    assert alone.converged() < len(network.starts) // 2
    assert alone.start_residual is not None
    assert "stalled at residual" in repr(alone) or "ran out of steps at residual" in repr(alone)
    found, _ = _found(network)
    assert found.converged() == len(network.starts)
    assert sorted(found.kind) == ["saddle", "stable", "stable"]
    assert (np.abs(found.multipliers[found.stable][:, 0]) > 0.999).all()


def test_the_index_sum_proves_that_points_are_missing_and_finds_them() -> None:
    weights, bias = np.array([[2.5, 0.3], [-0.2, 2.2]]), np.array([0.05, -0.02])
    cell = ElmanRNN(weights, bias)  # nine points: four stable, four saddles, one repelling
    starts = np.array([[0.9, 0.9], [-0.9, -0.9]])
    found = fixed_points(cell, starts)
    assert found.bounded
    assert found.index_sum == 1
    assert len(found) >= 3
    two = fixed_points(cell, starts, orbits=0)
    assert not two.bounded
    assert "index sum" not in repr(two)
    free = fixed_points(lambda x, _: jnp.tanh(weights @ x + bias), starts)
    assert "index sum not defined" in repr(free)


def test_which_cells_take_a_box_into_itself() -> None:
    square, gates = np.eye(2), np.ones((8, 2))
    bounded = [ElmanRNN(square, np.zeros(2)), LeakyRNN(square, np.zeros(2)), DoyaNeuron(5.0, -2.5)]
    bounded += [
        LSTM(gates, np.zeros(8)),
        Stack([ElmanRNN(square, np.zeros(2), square), LSTM(gates, np.zeros(8), gates)]),
    ]
    assert all(map(maps_a_ball_into_itself, bounded))
    free = [ElmanRNN(square, np.zeros(2), activation="relu"), lambda x, _: x]
    free += [LSTM(gates, np.zeros(8), None, np.ones((3, 2))), Stack([*bounded[:1], free[0]])]
    assert not any(map(maps_a_ball_into_itself, free))


def test_orbits_that_go_away_or_diverge_or_creep_are_named() -> None:
    line = np.linspace(-1, 2, 40)
    for cell, kind in ((lambda x, _: x + 1, OrbitEnd.AWAY), (lambda x, _: 2.0 * x + 1, OrbitEnd.AWAY)):
        found = fixed_points(cell, line, slow=False)
        assert found.ends is not None
        assert found.ends.count(OrbitEnd.POINT) == 0
        assert (
            found.ends.count(kind) + found.ends.count(OrbitEnd.DIVERGED) + found.ends.count(OrbitEnd.RESTS)
            == 40
        )
    creeping = fixed_points(lambda x, _: x - x**3, 0.5 * line[:20], slow=False)
    assert creeping.kind == ("marginal",)
    assert not creeping.missing


def test_both_dtypes_and_a_share_of_the_starts(dtype: str) -> None:
    network = _one_pattern(20)
    cell = ElmanRNN(np.asarray(network.cell.W, dtype), np.zeros(20, dtype))
    found = fixed_points(cell, network.starts.astype(dtype), orbits=50)
    assert sorted(found.kind) == ["saddle", "stable", "stable"]
    assert found.ends is not None
    assert len(found.ends) == 50
    assert found.ends.starts[0] == 0
    assert found.ends.starts[-1] == 199
    assert found.ends.count(OrbitEnd.POINT) == 50
    with pytest.raises(ValueError, match="orbits: expected an integer"):
        fixed_points(cell, network.starts.astype(dtype), orbits=-1)


def test_under_a_periodic_input_orbits_are_followed_by_whole_periods() -> None:
    gains = np.array([3.0, 2.5])
    line = np.linspace(0.05, 0.95, 50)
    found = fixed_points(lambda x, u: u * x * (1 - x), line, inputs=gains, slow=False)
    assert found.ends is not None
    assert found.ends.count(OrbitEnd.POINT) == 50
    assert set(found.ends.period.tolist()) <= {2}
    assert (found.start_status == Status.CONVERGED).sum() >= 40
