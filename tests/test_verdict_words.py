"""The verdict's words: every combination of what can be measured, and pairs of statements that must not meet."""

import dataclasses
import itertools
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.cells import GRU, LSTM, ElmanRNN, FeedForward, LeakyRNN, ResidualRNN, Stack
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.diagnosis import Decay, Diagnosis, Units, diagnose
from rnn_dynamics.diagnosis.growth import REGIMES, summary_of
from rnn_dynamics.diagnosis.remedies import KEYS
from rnn_dynamics.diagnosis.table import TABLE
from rnn_dynamics.diagnosis.verdict import judged
from rnn_dynamics.training import REMEDIES, recipe

STEPS = 300
LN10 = math.log(10)
LSTM_CELL = LSTM(np.zeros((8, 2)), np.zeros(8))
CELLS = {
    "elman": ElmanRNN(np.eye(2), np.zeros(2)),
    "lstm": LSTM_CELL,
    "gru": GRU(np.zeros((6, 2)), np.zeros(6)),
    "leaky": LeakyRNN(np.eye(2), np.zeros(2)),
    "stack": Stack([LSTM_CELL, LSTM(np.zeros((8, 2)), np.zeros(8), np.zeros((8, 2)))]),
    "deep": FeedForward(),
    "own": jax.tree_util.Partial(lambda w, x, u: w * x, jnp.asarray(0.5)),
}
GATES = {"lstm": "forget", "gru": "update", "leaky": "leak", "stack": "layer 1 forget"}
EXPONENTS = [
    (-0.4, -1),
    (-0.01, -1),
    (0.003, 0),
    (0.004, 1),
    (0.01, 1),
    (0.2, 1),
    (math.nan, None),
    (-math.inf, -1),
]
WHOLES = [-100.0, -3.0, 0.0, 1.0, 30.0]
HORIZONS = [(0, 2), (3, 40), (20, 151), (300, 300)]
TRENDS = ["", "converges", "oscillates", "grows", "undecided"]
KEPT = [None, 0.1, 0.8, 1.2, 4.0]  # what the gate takes beside the exponent
SLOPES = [None, Decay(-0.3, -0.1), Decay(0.1, -0.4), Decay(0.2, 0.0)]
DEAD = [None, 0, 3]


def made(cell, exponent, whole, state, loss, trend, kept, decay, dead):
    """A verdict on measurements that were not made, judged as those that were."""
    logs = np.linspace(whole, 0, STEPS + 1)
    credit = None if not trend else types.SimpleNamespace(log_shares=np.zeros(1), trend=trend, is_finite=True)
    units = None if dead is None else Units(8, dead, dead, np.ones(8))
    gate = GATES.get(cell)
    rate = exponent[0] if math.isfinite(exponent[0]) else -0.1
    carries = {gate: -abs(rate) * kept} if gate and kept is not None else {}
    found = Diagnosis(
        "", exponent[0], 0.001, STEPS, logs, *loss, state[0], max(whole, 0.0), STEPS if whole > 0 else 0, None,
        decay, units, {gate: 0.5} if gate else {}, carries, None, credit, (), state_percent=state[1],
    )  # fmt: skip
    return judged(found, CELLS[cell], exponent[1])


def combinations():
    core = list(itertools.product(EXPONENTS, WHOLES, HORIZONS, HORIZONS, TRENDS))
    rest = list(itertools.product(CELLS, KEPT, SLOPES, DEAD))
    rng = np.random.default_rng(0)
    for i, (exponent, whole, state, loss, trend) in enumerate(core):
        loss = loss if trend else state
        for j in rng.choice(len(rest), 6, replace=False):
            cell, kept, decay, dead = rest[j]
            yield made(cell, exponent, whole, state, loss, trend, kept, decay, dead)
        cell, kept, decay, dead = rest[i % len(rest)]
        yield made(cell, exponent, whole, state, loss, trend, kept, decay, dead)


ALL = list(combinations())
HALF = STEPS / 2


def names(found):
    return " / ".join(remedy.name for remedy in found.remedies)


#: What must not be printed together: a name, and whether a verdict prints it.
CONTRADICTIONS = {
    "vanishing, and the sum grows": lambda f, text: f.regime == "vanishing" and "grows: the shares" in text,
    "vanishing, and half a run back 1 % is left": lambda f, text: f.regime == "vanishing"
    and (f.horizon_percent >= HALF or f.state_percent >= HALF),
    "vanishing, at a rate that is not below 0": lambda f, text: f.regime == "vanishing" and not f.exponent < 0,
    "exploding, and less than tenfold": lambda f, text: f.regime == "exploding"
    and (f.log_norms[0] < LN10 or f.exponent * STEPS < LN10),
    "exploding, and the sum converges": lambda f, text: f.regime == "exploding" and "converges" in text,
    "exploding, and a horizon of less than half": lambda f, text: f.regime == "exploding"
    and f.horizon_percent < HALF,
    "clipping, and never tenfold": lambda f, text: "clipping" in names(f) and f.peak < LN10,
    "more memory, and half a run back 1 % is left": lambda f, text: any(
        remedy.key in ("lstm", "gru", "leaky", "skip", "residual", "orthogonal") for remedy in f.remedies
    )
    and max(f.horizon_percent, f.state_percent) >= HALF,
    "no memory, and no remedy": lambda f, text: f.regime in ("vanishing", "neither")
    and max(f.horizon_percent, f.state_percent) < HALF
    and f.trend != "grows"
    and not f.remedies,
    "a gate's bias, and the gates do not lose it": lambda f, text: "bias" in names(f) and not f.gates_forget,
    "a part larger than the whole, unexplained": lambda f, text: f.slowest_gate is not None
    and math.isfinite(f.exponent)
    and f.carries[f.slowest_gate] < f.exponent
    and "all other ways give back" not in text,
    "smaller slopes blamed, and the weights take more": lambda f, text: "does not saturate" in names(f)
    and not f.decay.slopes < f.decay.weights,
    "undecided, and a rate": lambda f, text: f.regime == "undecided" and "Lyapunov" in text,
    "a number that is none": lambda f, text: "nan" in text.lower().replace("nan-", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_no_combination_of_measurements_contradicts_itself(name):
    told = [found for found in ALL if CONTRADICTIONS[name](found, str(found))]
    assert not told, f"{len(told)} of {len(ALL)}:\n{told[0]}"


def test_every_row_of_the_table_is_reached_and_every_regime_is_named():
    reached = {found.reason for found in ALL}
    assert {row.reason for row in TABLE} - reached == {"state", "derivative"}
    assert {row.regime for row in TABLE} == set(REGIMES)
    for found in ALL:
        assert str(found).startswith(f"Gradients: {found.regime}: ")
        assert found.sentence in str(found)
        assert "{" not in found.sentence


def test_what_is_proposed_is_a_remedy_of_training_and_goes_together():
    assert set(KEYS) <= set(REMEDIES)
    proposed = {tuple(remedy.key for remedy in found.remedies) for found in ALL}
    assert {key for keys in proposed for key in keys} <= set(KEYS)
    for keys in proposed:
        assert len(set(keys)) == len(keys)
        recipe(*keys)
    assert any(len(keys) > 2 for keys in proposed)


def test_each_term_is_explained_in_the_text():
    rng = np.random.default_rng(0)
    layers = [
        LSTM(rng.normal(size=(16, 4)) / 4, np.zeros(16), rng.normal(size=(16, width)) / 4) for width in (2, 4)
    ]
    text = str(diagnose(rollout(Stack(layers), np.zeros(16), rng.normal(size=(60, 2)))))
    for clause in (
        "a nat is a factor e",
        "how fast a small change grows",
        "the farthest lag with that share of the greatest",
        "of the unit that keeps most, along its carousel x⁺ = gate · x",
    ):
        assert clause in text
    gates = [
        line.split("layer", 1)[1] for line in text.splitlines() if "layer" in line and "nats" not in line
    ]
    assert len(gates) == 6, text  # one a line
    assert all(line.count("layer") <= 2 for line in text.splitlines())


def test_exponents_are_per_unit_of_time_where_a_step_has_one():
    run = rollout(ElmanRNN(0.9 * np.eye(2), np.zeros(2), activation="linear"), np.ones(2), steps=100)
    found = diagnose(run, dt=0.01)
    assert f"{math.log(0.9) / 0.01:+.4g}" in str(found)
    assert "a unit of time (dt = 0.01)" in str(found)
    assert found.to_dict()["dt"] == 0.01
    assert "unit of time" not in str(diagnose(run))
    with pytest.raises(ValueError, match=r"^dt:"):
        diagnose(run, dt=0.0)
    timed = dataclasses.make_dataclass("Timed", [("w", float)], namespace={
        "dt": 0.5, "__call__": lambda self, x, u=None: self.w * x})  # fmt: skip
    jax.tree_util.register_dataclass(timed, ["w"], [])
    assert diagnose(rollout(timed(0.9), np.ones(2), steps=40)).dt == 0.5


def test_a_small_positive_exponent_is_no_explosion_and_asks_for_no_clipping():
    """λ = .01 a step, sure to every digit, makes a factor of e over 100 steps."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    cell = ElmanRNN(math.exp(0.01) * turn, np.zeros(4), activation="linear")
    found = diagnose(rollout(cell, np.ones(4), steps=100))
    assert (found.regime, found.reason, found.remedies) == ("neither", "slow growth", ())
    assert diagnose(rollout(cell, np.ones(4), steps=1000)).regime == "exploding"
    logs = np.array([np.linspace(top, 0.0, 101) for top in (1.0, 10.0, 10.0, 1.0, -3.0)])
    carried = summary_of(logs, dtype=np.float64)
    assert carried.regimes == ("neither", "exploding", "exploding", "neither", "vanishing")
    assert carried.regime == "neither"  # of two that are equally frequent the first of REGIMES
    assert summary_of(logs[1:], dtype=np.float64).regime == "exploding"
    np.testing.assert_allclose(carried.rates, [0.01, 0.1, 0.1, 0.01, -0.03], rtol=1e-12)
    assert carried.horizons == (100, 100, 100, 100, 33)


def test_a_cell_of_ones_own_with_a_short_horizon_gets_a_remedy_for_any_cell():
    for step in (lambda w, x, u: jnp.tanh(w * x) + 0.1, lambda w, x, u: jnp.sin(w * x[::-1])):
        found = diagnose(rollout(jax.tree_util.Partial(step, jnp.asarray(0.3)), np.ones(3), steps=300))
        assert found.horizon_percent < 10
        assert [remedy.key for remedy in found.remedies] == ["leaky"]
        assert "any cell" in found.remedies[0].name


def test_where_the_recurrent_matrix_remembers_no_bias_is_named():
    """A GRU with its update gate at .3, whose candidate passes .95 of the state: λ = ln(.7·.95 + .3), not ln .3."""
    n = 2
    W = np.zeros((3 * n, n))
    W[2 * n :] = 0.95 * 2 * np.eye(n)  # the reset gate is at ½
    b = np.concatenate([np.zeros(n), np.full(n, math.log(0.3 / 0.7)), np.zeros(n)])
    found = diagnose(rollout(GRU(W, b), np.zeros(n), steps=300))
    assert found.exponent == pytest.approx(math.log(0.7 * 0.95 + 0.3), abs=1e-9)
    assert found.regime == "vanishing"
    assert "bias" not in names(found)
    assert "kept by other ways than the gates" in found.remedies[0].because
    assert "give back" in str(found)


def test_residual_networks_have_the_way_past_the_cell_already():
    found = diagnose(rollout(ResidualRNN(-0.5 * np.eye(2), np.zeros(2)), np.full(2, 0.1), steps=60))
    assert "leaky" not in [remedy.key for remedy in found.remedies]


@pytest.mark.parametrize("every_step", [False, True])
def test_a_loss_that_does_not_change_says_so(every_step):
    run = rollout(ElmanRNN(0.9 * np.eye(4), np.zeros(4)), np.full(4, 0.5), steps=100)
    found = diagnose(run, lambda x: 0.0 * x.sum(), every_step=every_step)
    text = str(found)
    assert "none, as it is 0 at every lag; the loss does not change with the states" in text
    assert "sum over the lags" not in text


def test_a_sum_that_later_lags_hardly_change_does_not_grow():
    """Shares fall by 16 nats and rise a little at the end: no regime word may rest on that."""
    for seed in (21, 40, 41, 46):
        draw = np.random.default_rng(seed)
        weights = 3 * draw.normal(size=(8, 8)) / 8**0.5
        cell = ElmanRNN(weights, 0.3 * draw.normal(size=8), draw.normal(size=(8, 2)))
        found = diagnose(rollout(cell, None, draw.normal(size=(40, 2))), lambda x: jnp.sum(x**2))
        shares = np.asarray(found.credit.log_sums)
        assert found.trend != "grows" or shares[-1] - shares[20] > 0.01
        assert found.remedies or max(found.horizon_percent, found.state_percent) >= 20


def test_a_batch_names_remedies_by_key_of_the_runs_that_have_a_regime():
    cell = ElmanRNN(0.3 * np.eye(4), np.zeros(4), np.ones((4, 1)))
    inputs = np.random.default_rng(0).normal(size=(80, 1))
    found = diagnose(rollout(cell, None, [inputs[:length] for length in (1, 2, 3, 60, 70, 80)]))
    assert found.regimes == {"undecided": 3, "vanishing": 3}
    assert {remedy.key for remedy in found.remedies} == {"orthogonal", "lstm"}
    assert 'training.REMEDIES["lstm"]), \n' not in str(found)
    assert str(found).count("in 3 of 6 runs") == 2
    none = diagnose(rollout(ElmanRNN(np.eye(2), np.zeros(2), activation="linear"), np.ones((2,)), steps=40))
    assert not none.remedies
