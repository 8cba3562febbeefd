"""Runs on which a verdict could mislead: transients, short runs, closed gates, dead units, NaN."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.cells import GRU, LSTM, ElmanRNN, LeakyRNN, MinimalGatedUnit, ResidualRNN, Stack
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.diagnosis import Tracker, diagnose
from rnn_dynamics.diagnosis.growth import mean_growth, regime_of
from rnn_dynamics.gradients.credit import credit_by_lag
from rnn_dynamics.gradients.credit.trend import trend_of
from rnn_dynamics.numerics.results.powers import DECADE, power_of_ten

N, STEPS = 2, 60


def regime(by_lag):
    return regime_of(mean_growth(by_lag), diverged=False, finite=True, dtype=np.float64)


def names(found):
    return [remedy.name for remedy in found.remedies]


@pytest.mark.parametrize(
    ("decades", "text"),
    [
        (0.05936, "10^0.05936"),
        (-93.9, "10^-93.9"),
        (999.94, "10^999.9"),
        (1203.8, "10^1204"),
        (-98765.4, "10^-98765"),
    ],
)
def test_sizes_beyond_the_floats_are_written_without_an_exponent_of_their_own(decades, text):
    assert power_of_ten(decades * DECADE) == text
    assert power_of_ten(-math.inf) == "0"
    assert power_of_ten(math.inf) == "10^inf"


def test_a_transient_is_no_explosion():
    """[[.99, 100], [0, .99]] grows a thousandfold before it decays: at T = 100 the rate has not settled."""
    cell = ElmanRNN(np.array([[0.99, 100.0], [0.0, 0.99]]), np.zeros(N), activation="linear")
    found = diagnose(rollout(cell, np.ones(N), steps=100))
    assert found.regime == "neither"
    assert found.standard_error > 0.005
    assert "the gradient reaches 10^3.568 at lag 99" in found.remedies[0].because
    over = ElmanRNN(np.array([[0.5, 100.0], [0.0, 0.5]]), np.zeros(N), activation="linear")
    assert (
        "a transient takes the gradient to"
        in diagnose(rollout(over, np.ones(N), steps=100)).remedies[0].because
    )
    lags = np.arange(1.0, 1001)
    assert regime(np.log(lags)) == "neither"  # a Jordan block of 1: growth without exponent
    assert regime(np.log(lags) - 0.1 * lags) == "vanishing"


@pytest.mark.parametrize("steps", [16, 40, 400])
def test_random_walks_are_neither(steps):
    """ln‖∂x_T/∂x_k‖ a random walk without drift: 5 % of the runs may be called otherwise, 10 % at most are."""
    rng = np.random.default_rng(steps)
    found = [regime(np.cumsum(rng.normal(size=steps))) for _ in range(400)]
    assert found.count("neither") >= 360
    drift = [regime(np.cumsum(rng.normal(size=steps) / 20 - 1)) for _ in range(20)]
    assert set(drift) == {"vanishing"}


def gated(kind, gates, bias, factor=0.1, inputs=None):
    """A cell whose gates see no state, all at one bias; its candidates do."""
    W = np.zeros((gates * N, N))
    row = {LSTM: 2, GRU: 2, MinimalGatedUnit: 1}[kind]
    W[row * N : (row + 1) * N] = factor * np.eye(N)
    return kind(W, np.full(gates * N, bias), None if inputs is None else np.zeros((gates * N, inputs)))


@pytest.mark.parametrize(
    ("cell", "advice"),
    [
        (gated(LSTM, 4, 0.0), "a larger bias of the forget gate"),
        (gated(GRU, 3, 0.0), "a larger bias of the update gate"),
        (gated(MinimalGatedUnit, 2, 0.0), "a smaller bias of its gate"),
        (LeakyRNN(0.01 * np.eye(N), np.zeros(N), leak=0.5), "a smaller leak"),
        (ResidualRNN(-0.5 * np.eye(N), np.zeros(N)), None),
    ],
)
def test_gates_are_opened_where_they_are_what_forgets(cell, advice):
    size = 2 * N if isinstance(cell, LSTM) else N
    found = diagnose(rollout(cell, np.full(size, 0.1), steps=STEPS))
    assert found.regime == "vanishing"
    assert names(found) == ([advice] if advice else [])
    if advice:
        kept = max(found.carries.values())
        assert kept == pytest.approx(math.log(0.5), abs=1e-12)
        assert "memory kept by the gates" in str(found)


def test_layers_of_a_stack_have_their_own_gates():
    first, second = gated(LSTM, 4, 0.0), gated(LSTM, 4, 1.0, inputs=N)
    found = diagnose(rollout(Stack([first, second]), np.full(4 * N, 0.1), steps=STEPS))
    assert set(found.carries) == {"layer 0 forget", "layer 1 forget"}
    assert "layer 1 output" in found.gates
    assert names(found) == ["a larger bias of the forget gate in layer 1"]


def test_dead_units_and_weights_that_nothing_passes():
    """A dead ReLU network: leaky ReLU is named, initialisation is not, as its decay cannot be split."""
    cell = ElmanRNN(3 * np.eye(N), np.full(N, -9.0), activation="relu")
    found = diagnose(rollout(cell, np.ones(N), steps=STEPS))
    assert found.units is not None
    assert found.units.dead == N
    assert "orthogonal or identity initialisation" not in names(found)
    assert "leaky ReLU" in names(found)
    deep = ElmanRNN(*(a.astype("float32") for a in (np.eye(N), np.full(N, 60.0))))  # tanh′ underflows to 0
    saturated = diagnose(rollout(deep, np.ones(N, "float32"), steps=STEPS))
    assert saturated.units is not None
    assert (saturated.units.dead, saturated.units.saturated) == (0, N)
    assert "leaky ReLU" not in names(saturated)


def test_the_fixed_point_a_run_ends_at_and_what_is_next_to_it():
    """x = tanh(w x): at w = 1.2 the multiplier is w (1 − x²); rotations and alternations by their angles."""
    found = diagnose(rollout(ElmanRNN([[1.2]], [0.0]), np.ones(1), steps=200)).rest
    x = 1.0
    for _ in range(500):
        x = math.tanh(1.2 * x)
    assert found is not None
    assert found.multiplier == pytest.approx(1.2 * (1 - x * x), abs=1e-9)
    assert found.kind == "fold or pitchfork"
    assert found.time_constant == pytest.approx(-1 / math.log(abs(found.multiplier)))
    flip = diagnose(rollout(ElmanRNN([[-0.9]], [0.0]), np.zeros(1), steps=20)).rest
    assert flip is not None
    assert (flip.kind, flip.distance) == ("flip", pytest.approx(0.1))
    turn = 0.9 * np.array([[0.6, -0.8], [0.8, 0.6]])
    turning = diagnose(rollout(ElmanRNN(turn, np.zeros(2)), np.zeros(2), steps=20))
    assert turning.rest is not None
    assert turning.rest.kind == "Neimark-Sacker"
    assert "0.1 from a Neimark-Sacker" in str(turning)
    moving = diagnose(rollout(ElmanRNN([[1.2]], [0.0]), np.ones(1), steps=10))
    assert moving.rest is None


def test_derivatives_that_are_not_finite_are_called_so():
    """The NaN of reverse mode at √0 behind a ``where``: the states stay finite."""
    cell = jax.tree_util.Partial(
        lambda w, x, u: w * x + jnp.where(x > 2, jnp.sqrt(jnp.abs(x - x)), 0.0), jnp.asarray(0.5)
    )
    run = rollout(cell, np.ones(N), steps=STEPS)
    found = diagnose(run, jnp.sum)
    assert (found.regime, found.horizon, found.remedies) == ("not finite", -1, ())
    assert found.credit is not None
    assert "not finite" in repr(found.credit)
    assert np.isnan(found.credit.alignment).any()
    assert found.credit.trend == "undecided"
    tracker = Tracker(every=1)
    tracker(0, cell, np.ones(N), steps=STEPS)
    assert (tracker.records[0].regime, tracker.records[0].horizon) == ("not finite", -1)
    with pytest.raises(TypeError, match=r"^step:"):
        tracker("a", cell, np.ones(N), steps=STEPS)


def test_a_batch_with_a_diverged_run():
    cell = ElmanRNN(1e100 * np.eye(1), np.zeros(1), activation="linear")
    batch = jax.vmap(lambda x: rollout(cell, x, steps=20))(jnp.array([[0.0], [1.0], [0.0]]))
    found = diagnose(batch)
    assert found.regimes == {"exploding": 2, "diverged": 1}
    assert "of 2 runs" in str(found)
    assert "nan" not in str(found)
    with pytest.raises(ValueError, match=r"^trajectory: expected at least one run"):
        diagnose(jax.tree_util.tree_map(lambda leaf: leaf[:0], batch))


@pytest.mark.parametrize(("period", "first"), [(10, 7), (50, 25)])
def test_an_integrator_with_rare_events_grows(period, first):
    shares = np.full(200, 1e-6)
    shares[first::period] = 1
    assert trend_of(np.log(shares), np.log(np.cumsum(shares))) == "grows"


@pytest.mark.parametrize(
    ("ratio", "lags", "expected"), [(0.95, 60, "undecided"), (0.95, 400, "converges"), (1.01, 60, "grows")]
)
def test_a_geometric_series(ratio, lags, expected):
    shares = ratio ** np.arange(float(lags))
    assert trend_of(np.log(shares), np.log(np.cumsum(shares))) == expected


@pytest.mark.parametrize("size", [-400.0, 0.0, 400.0])
def test_a_sum_that_swings_does_so_at_any_size(size):
    sums = np.log(2 + np.cos(0.3 * np.arange(200)))
    assert trend_of(np.full(200, size), size + sums) == "oscillates"


@pytest.mark.parametrize("steps", [100, 1000, 10_000])
def test_a_power_law_is_no_exponential_fall(steps):
    """At the cusp (w = 4, b = −2) C_m ∝ ((T − m)/T)^{3/2}, whose sum is in proportion to T."""
    shares = (np.arange(steps, 0, -1) / steps) ** 1.5
    assert trend_of(np.log(shares), np.log(np.cumsum(shares))) == "undecided"
    slow = np.arange(1.0, steps + 1) ** -1
    assert trend_of(np.log(slow), np.log(np.cumsum(slow))) == "undecided"


def test_complex_parameters_are_refused():
    cell = jax.tree_util.Partial(lambda c, x, u: jnp.real(c) * x, jnp.asarray(0.5 + 0.1j))
    with pytest.raises(ValueError, match=r"^trajectory: expected a cell with real parameters"):
        credit_by_lag(rollout(cell, np.ones(N), steps=3), jnp.sum)
