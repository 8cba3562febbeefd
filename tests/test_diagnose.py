"""The verdict: regimes of cells with known exponents, what is dead or saturated, and what selects a remedy."""

import itertools
import json
import math
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics.cells import GRU, LSTM, ElmanRNN, irnn
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.diagnosis import BatchDiagnosis, Tracker, diagnose

RNG = np.random.default_rng(5)
N, STEPS = 8, 400
TURN = np.linalg.qr(RNG.normal(size=(N, N)))[0]


def linear(radius):
    return rollout(ElmanRNN(radius * TURN, np.zeros(N), activation="linear"), np.ones(N), steps=STEPS)


@pytest.mark.parametrize(("radius", "regime"), [(0.9, "vanishing"), (1.0, "neither"), (1.1, "exploding")])
def test_regimes_of_orthogonal_linear_networks(radius, regime):
    """λ = ln ρ exactly, all by the weights; the horizon at 1/e is ⌊1/|ln ρ|⌋ where it vanishes."""
    found = diagnose(linear(radius))
    assert found.regime == regime
    assert found.exponent == pytest.approx(math.log(radius), abs=1e-12)
    assert found.decay is not None
    assert found.decay.weights == pytest.approx(math.log(radius), abs=1e-12)
    assert found.decay.slopes == pytest.approx(0, abs=1e-12)
    expected = {0.9: math.floor(-1 / math.log(0.9)), 1.0: STEPS, 1.1: STEPS}[radius]
    assert found.horizon == expected
    names = [remedy.name for remedy in found.remedies]
    assert ("gradient-norm clipping" in names) == (radius > 1)
    assert ("orthogonal or identity initialisation" in names) == (radius < 1)
    assert regime in str(found)


@pytest.mark.parametrize(("gain", "regime"), [(0.5, "vanishing"), (1.5, "exploding")])
def test_regimes_of_random_tanh_networks(gain, regime):
    """Sompolinsky's transition: rest at g < 1, chaos at g > 1 (n = 64; λ = .014 at g = 1.5)."""
    W = gain * np.random.default_rng(0).normal(size=(64, 64)) / 8
    found = diagnose(
        rollout(ElmanRNN(W, np.zeros(64)), np.random.default_rng(1).normal(size=64), steps=5 * STEPS)
    )
    assert found.regime == regime
    assert abs(found.exponent) > 2 * found.standard_error
    assert found.decay is not None
    assert found.decay.slopes < 0
    total = found.decay.weights + found.decay.slopes
    assert total == pytest.approx(found.exponent, abs=0.05)


def test_the_identity_relu_network_does_neither_and_a_dead_unit_is_seen():
    found = diagnose(rollout(irnn(np.full(N, 0.01)), np.ones(N), steps=100))
    assert (found.regime, found.horizon, found.remedies) == ("neither", 100, ())
    b = np.full(N, 0.01)
    b[3] = -5.0
    dead = diagnose(rollout(irnn(b), np.ones(N), steps=100))
    assert dead.units is not None
    assert (dead.units.dead, dead.units.saturated, dead.units.total) == (1, 1, N)
    assert dead.remedies[0].name == "leaky ReLU"


def test_saturation_selects_what_does_not_saturate():
    found = diagnose(rollout(ElmanRNN(3 * np.eye(N), np.full(N, 4.0)), np.zeros(N), steps=60))
    assert found.regime == "vanishing"
    assert found.units is not None
    assert found.units.saturated == N
    assert "saturate" in found.remedies[0].name


def test_gated_cells_with_a_loss():
    W, b, V = RNG.normal(size=(4 * N, N)) / 4, RNG.normal(size=4 * N) / 4, RNG.normal(size=(4 * N, 2))
    inputs = RNG.normal(size=(STEPS, 2))
    run = rollout(LSTM(W, b, V), np.zeros(2 * N), inputs)
    found = diagnose(run, lambda states: jnp.sum(jnp.square(states[:, :N])) / STEPS, every_step=True)
    assert found.credit is not None
    assert found.horizon == found.credit.horizon()
    assert set(found.gates) == {"input", "forget", "output"}
    assert found.bounds is not None
    assert found.bounds.conclusion == ""
    assert found.units is None
    if found.regime == "vanishing":
        assert "forget" in found.remedies[-1].name
    text = str(found)
    assert "mean gates" in text
    assert len(text.splitlines()) < 25
    assert len(found.plot().figure.axes) == 4


def test_plain_numbers_for_json():
    found = rd.diagnose(linear(0.9))
    read = json.loads(found.to_json())
    assert read["regime"] == "vanishing"
    assert read["bounds"] == "vanishes"
    assert len(read["log_norms"]) == STEPS + 1
    assert read["remedies"][0]["because"]
    nothing = diagnose(rollout(GRU(np.zeros((3, 1)), np.zeros(3)), np.zeros(1), steps=3))
    assert nothing.regime == "undecided"
    assert json.loads(nothing.to_json())["exponent"] is None
    assert "undecided" in repr(nothing)


def test_a_diverged_run_says_so():
    found = diagnose(
        rollout(ElmanRNN(1e200 * np.eye(2), np.zeros(2), activation="linear"), np.ones(2), steps=20)
    )
    assert found.regime == "diverged"
    assert found.horizon >= 0
    assert [remedy.key for remedy in found.remedies] == ["orthogonal"]
    assert json.loads(found.to_json())["regime"] == "diverged"


def test_errors_name_the_argument():
    run = linear(0.9)
    with pytest.raises(TypeError, match=r"^trajectory:"):
        diagnose(3)
    with pytest.raises(ValueError, match=r"^trajectory: expected at least one step"):
        diagnose(rollout(run.cell, np.ones(N), steps=0))
    with pytest.raises(TypeError, match=r"^loss:"):
        diagnose(run, 3)


def test_a_tracker_in_a_training_loop():
    """A network whose radius grows from .8 to 1.2 in training: vanishing, then exploding; the horizon grows."""
    tracker, x0 = Tracker(every=1, share=1.0), np.ones(N)
    for step, radius in enumerate(np.linspace(0.8, 1.2, 9)):
        cell = ElmanRNN(radius * TURN, np.zeros(N), activation="linear")
        assert tracker(step, cell, x0, steps=100)
    regimes = [record.regime for record in tracker.records]
    assert regimes == ["vanishing"] * 4 + ["neither"] + ["exploding"] * 4
    for record, radius in zip(tracker.records, np.linspace(0.8, 1.2, 9), strict=True):
        assert record.exponent == pytest.approx(math.log(radius), abs=1e-12)
    assert tracker.records[0].horizon == math.floor(-1 / math.log(0.8))
    assert tracker.records[-1].horizon == 100
    ax = tracker.plot()
    assert ax.get_xlabel() == "training step"
    assert "9 records" in repr(tracker)
    assert json.dumps(tracker.to_dict())


def test_a_tracker_keeps_to_its_share_and_its_steps(monkeypatch):
    clock = [0.0]
    module = sys.modules["rnn_dynamics.diagnosis.tracking"]
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def costs_one_second(*_):
        clock[0] += 1.0
        return "neither", 0.0, 0.0, 5, 5

    monkeypatch.setattr(module, "_measured", costs_one_second)
    tracker = Tracker(every=10, share=0.05)
    for step in range(2000):
        clock[0] += 0.1
        is_due = tracker.due(step)
        assert tracker(step, None, None) == is_due
    steps = [record.step for record in tracker.records]
    assert steps[:3] == [0, 10, 20]
    assert all(later - earlier >= 190 for earlier, later in itertools.pairwise(steps[2:]))
    assert len(steps) > 10


@pytest.mark.parametrize(
    ("options", "name"), [({"every": 0}, "every"), ({"share": 0.0}, "share"), ({"share": 2.0}, "share")]
)
def test_a_tracker_checks_its_arguments(options, name):
    with pytest.raises(ValueError, match=rf"^{name}:"):
        Tracker(**options)
    with pytest.raises(ValueError, match=r"^tracker:"):
        Tracker().plot()


def test_a_batch_of_runs():
    """Two starts of a bistable unit pair: rest with slope near 0, and the unstable point 0 with λ = ln 1.5."""
    cell = ElmanRNN(1.5 * np.eye(2), np.zeros(2))
    found = diagnose(
        jax.vmap(lambda x: rollout(cell, x, steps=60))(jnp.array([[0.5, 0.5], [0.0, 0.0], [-0.5, 1.0]]))
    )
    assert isinstance(found, BatchDiagnosis)
    assert found.regimes == {"vanishing": 2, "exploding": 1}
    assert (found.regime, len(found)) == ("vanishing", 3)
    assert found[1].exponent == pytest.approx(math.log(1.5), abs=1e-12)
    assert "2 vanishing, 1 exploding" in str(found)
    assert "3 runs" in repr(found)
    assert len(found.plot().figure.axes) == 2
    assert len(json.loads(found.to_json())["samples"]) == 3
    assert "gradient-norm clipping" not in [remedy.name for remedy in found.remedies]
