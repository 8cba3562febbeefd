"""What a verdict costs: linear in the steps, little memory, few programs; and that the cheap ways say the same."""

import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.cells import GRU, LSTM, ElmanRNN, FeedForward, PascanuNeuron, PreActivationRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.diagnosis import diagnose, measuring, passes, reverse
from rnn_dynamics.dynamics.lyapunov import lyapunov_spectrum
from rnn_dynamics.gradients.credit import credit_by_lag
from rnn_dynamics.gradients.jacobians import gradient_norms
from tests.compilations import compilations

RNG = np.random.default_rng(0)
N = 12


def elman(gain=0.9, n=N, seed=0):
    rng = np.random.default_rng(seed)
    return ElmanRNN(gain * rng.normal(size=(n, n)) / math.sqrt(n), np.zeros(n), rng.normal(size=(n, 2)))


def lstm(n=4, seed=0):
    rng = np.random.default_rng(seed)
    return LSTM(rng.normal(size=(4 * n, n)), np.zeros(4 * n), rng.normal(size=(4 * n, 2)))


def run_of(cell, size, steps, seed=1):
    return rollout(cell, np.zeros(size), np.random.default_rng(seed).normal(size=(steps, 2)))


def squares(states):
    return jnp.sum(jnp.square(states))


# ---- a loss of every step in one reverse pass


@pytest.mark.parametrize("ends", [1, 3, 64, None])
def test_the_gradient_of_every_step_is_the_sum_of_single_steps(ends):
    steps = 20
    run = run_of(lstm(), 8, steps)
    whole = credit_by_lag(run, squares, every_step=True, ends=ends)
    single = [
        credit_by_lag(run, lambda states, t=t: squares(states[t]), every_step=True) for t in range(steps)
    ]
    for field in ("states", "inputs"):
        total = sum(getattr(one, field).to_float() for one in single)
        np.testing.assert_allclose(getattr(whole, field).to_float(), total, rtol=1e-10, atol=1e-14)
    plain = jax.grad(lambda cell: squares(rollout(cell, run.initial, run.inputs).states[1:]))(run.cell)
    for name in ("W", "b", "W_in"):
        np.testing.assert_allclose(
            getattr(whole.gradient, name).to_float(), getattr(plain, name), rtol=1e-9, atol=1e-12
        )


def test_shares_by_lag_of_some_steps_are_those_of_their_losses():
    """Three of twelve ends: what ``every_step`` gives of a loss that looks at these three alone."""
    run = run_of(lstm(), 8, 12)
    chosen = np.array([3, 7, 11])
    some = credit_by_lag(run, squares, every_step=True, ends=3)
    exact = credit_by_lag(run, lambda states: squares(states[chosen]), every_step=True)
    for field in ("log_shares", "log_sums", "alignment", "log_group_shares"):
        np.testing.assert_allclose(getattr(some, field), getattr(exact, field), rtol=1e-9, atol=1e-9)
    masked = credit_by_lag(run, lambda states: squares(states[chosen]), every_step=True, ends=5)
    np.testing.assert_allclose(masked.log_shares, exact.log_shares, rtol=1e-9)
    with pytest.raises(ValueError, match=r"^ends:"):
        credit_by_lag(run, squares, every_step=True, ends=0)


def test_every_step_is_linear_in_the_steps():
    """CPU seconds, warm, from 1000 steps to 4000: four times as many at best, where T² makes sixteen."""
    seconds = {}
    for steps in (1000, 4000):
        run = run_of(elman(), N, steps)
        diagnose(run, squares, every_step=True, exact=False)
        taken = []
        for _ in range(3):
            begin = time.process_time()
            found = diagnose(run, squares, every_step=True, exact=False)
            taken.append(time.process_time() - begin)
        assert found.credit is not None
        assert found.credit.log_shares.shape == (steps,)
        seconds[steps] = min(taken)
    assert seconds[4000] < 7 * seconds[1000], seconds


# ---- the passes against what they stand for

CASES = {
    "elman": (run_of(elman(), N, 150), True),
    "chaotic": (run_of(elman(2.0), N, 300), True),
    "lstm": (run_of(lstm(6), 12, 90), True),
    "gru": (run_of(GRU(RNG.normal(size=(18, 6)), np.zeros(18), RNG.normal(size=(18, 2))), 6, 65), True),
    "inside": (rollout(PreActivationRNN(elman().W, np.zeros(N)), RNG.normal(size=N), steps=64), True),
    "neuron": (rollout(PascanuNeuron(6.0, -3.0), 0.2, steps=70), True),
    "deep": (
        rollout(FeedForward(), RNG.normal(size=5), {"W": RNG.normal(size=(40, 5, 5)) / 2, "b": np.zeros((40, 5))}),
        True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("stretch", [None, 16])
def test_norms_and_exponents_along_rows(name, stretch, monkeypatch):
    run, _ = CASES[name]
    if stretch:  # cut at many places
        monkeypatch.setattr(passes, "_SHORTEST", stretch)
        monkeypatch.setattr(passes, "_STRETCH", stretch)
    true = np.asarray(gradient_norms(run))
    runs = passes.runs_of(run)
    along = passes.forward(runs)
    for forms_product, slack in ((True, 0.03), (False, 1.2)):
        logs, owed = reverse.backward(runs, along.frame, forms_product=forms_product)
        assert owed is None
        assert (logs[0] <= true + 1e-9 * (1 + np.abs(true))).all()
        assert (logs[0] >= true - slack).all()
        np.testing.assert_allclose(logs[0, -1], 0, atol=1e-12)
    blocks = max(2, min(20, (run.steps - run.steps // 4) // 4))
    exact = lyapunov_spectrum(run, exponents=1, discard=run.steps // 4, blocks=blocks)
    found = diagnose(run, exact=False)
    assert found.exponent == pytest.approx(float(exact.values[0]), abs=1e-9)


@pytest.mark.parametrize("every_step", [False, True])
def test_what_the_loss_owes_to_states_without_shares(every_step, monkeypatch):
    monkeypatch.setattr(measuring, "_MOST_SHARES", 0)
    run = run_of(lstm(), 8, 70)
    found = diagnose(run, squares, every_step=every_step)
    assert found.credit is None
    assert found.log_owed is not None
    assert any("credit_by_lag" in text for text in found.left_out)
    expected = np.full((70, 70), -np.inf)
    for end in range(1, 71) if every_step else [70]:
        loss = (lambda states, end=end: squares(states[end - 1])) if every_step else squares
        credit = credit_by_lag(run, loss, every_step=every_step, max_lag=1)
        expected[:end, end - 1] = np.asarray(credit.log_state_norms)[1 : end + 1][::-1]
    ends = np.ceil(np.arange(1, 65) * (70 / 64)).astype(int) if every_step else np.array([70])
    truth = np.logaddexp.reduce(2 * expected[:, ends - 1], axis=1) / 2
    np.testing.assert_allclose(found.log_owed, truth, rtol=1e-9)
    near = np.flatnonzero(truth >= truth.max() - 1)[-1] + 1
    assert found.horizon == near
    assert "left out" in str(found)


def test_a_batch_says_what_its_runs_say():
    cell = lstm()
    inputs = np.random.default_rng(3).normal(size=(4, 60, 2))
    batch = jax.vmap(lambda u: rollout(cell, jnp.zeros(8), u))(inputs)
    for options in ({}, {"exact": False}):
        found = diagnose(batch, squares, **options)
        for sample, u in zip(found.samples, inputs, strict=True):
            alone = diagnose(rollout(cell, np.zeros(8), u), squares, **options)
            assert (sample.regime, sample.horizon, sample.norms) == (alone.regime, alone.horizon, alone.norms)
            assert sample.exponent == pytest.approx(alone.exponent, abs=1e-12)
            np.testing.assert_allclose(sample.log_norms, alone.log_norms, rtol=1e-9, atol=1e-9)
            assert sample.gates == pytest.approx(alone.gates)
            assert sample.credit is not None
            assert alone.credit is not None
            np.testing.assert_allclose(sample.credit.log_shares, alone.credit.log_shares, rtol=1e-8)
            assert str(sample).splitlines()[0] == str(alone).splitlines()[0]


def test_a_batch_over_cells():
    draws = np.random.default_rng(4).normal(size=(3, 4, 4)) / 4
    batch = jax.vmap(lambda W: rollout(ElmanRNN(W, jnp.zeros(4)), jnp.ones(4), steps=60))(draws)
    for exact in (True, False):
        for sample, W in zip(diagnose(batch, exact=exact).samples, draws, strict=True):
            alone = diagnose(rollout(ElmanRNN(W, np.zeros(4)), np.ones(4), steps=60), exact=exact)
            np.testing.assert_allclose(sample.log_norms, alone.log_norms, rtol=1e-9, atol=1e-9)
            assert sample.exponent == pytest.approx(alone.exponent, abs=1e-10)


# ---- cost


def test_memory_beyond_the_run_is_that_of_one_stretch():
    """√T: a hundred times the steps, ten times the stretch; and what XLA sets aside does not know T."""
    lengths = {steps: passes.stretches(steps)[0] for steps in (1000, 100_000, 10_000_000)}
    assert lengths[1000] == 256
    assert lengths[10_000_000] <= 2 * 4096
    for steps, length in lengths.items():
        assert length <= max(256, 2 * math.sqrt(steps))
    cell, size = elman(n=32), 32
    taken = []
    for steps in (2000, 8000):
        runs = passes.runs_of(run_of(cell, size, steps))
        length, parts = passes.stretches(steps)
        states, inputs = passes.stretch(runs, *parts[0], length)
        frame = np.ones((1, size))
        program = passes._forward.lower(
            runs.static, runs.arrays, states, inputs, frame, np.int32(length), True
        ).compile()
        memory = program.memory_analysis()
        taken.append(memory.temp_size_in_bytes + memory.output_size_in_bytes)
    assert taken[0] == taken[1]
    assert taken[0] < 20 * 256 * size * 8


def test_a_new_length_compiles_the_loss_alone():
    """Of a loss E(x_T) nothing; of E(x_1 … x_T) what it is made of."""
    cell = elman()

    def of_last(x):
        return squares(x)

    @jax.jit
    def of_all(states):
        return squares(states)

    options = ({}, {"loss": of_last}, {"loss": of_all, "every_step": True})
    for given in options:
        for steps in (70, 130):
            diagnose(run_of(cell, N, steps), **given)
    for given, allowed in zip(options, (0, 0, 3), strict=True):
        for steps in (65, 101, 128, 140, 250):
            run = run_of(cell, N, steps)
            with compilations() as programs:
                diagnose(run, **given)
            assert programs.count <= allowed, (given, steps)


def test_a_new_length_of_a_large_run_compiles_nothing():
    cell = elman(n=160)  # products are followed
    diagnose(run_of(cell, 160, 40), exact=False)
    runs = [run_of(cell, 160, steps) for steps in (33, 51, 63)]
    passes.forward(passes.runs_of(runs[0]))
    with compilations() as programs:
        for run in runs:
            pair = passes.runs_of(run)
            reverse.backward(pair, passes.forward(pair).frame, forms_product=False)
    assert programs.count == 0


def test_large_runs_leave_out_what_costs_a_decomposition_of_every_step():
    run = run_of(elman(n=100), 100, 150)
    found = diagnose(run)
    assert (found.norms, found.bounds) == ("followed", None)
    assert "product_bounds(run)" in str(found)
    exact = diagnose(run, exact=True)
    assert exact.norms == "exact"
    assert exact.bounds is not None
    assert (found.regime, found.horizon_percent) == (exact.regime, exact.horizon_percent)
    np.testing.assert_allclose(found.log_norms, exact.log_norms, atol=0.03)
    assert measuring._kind(500 * 512.0**3 * 32, None) == "rows"
    assert measuring._kind(20_000 * 300.0**3, None) == "rows"
    assert measuring._kind(300 * 512.0**3, None) == "followed"


def test_progress_is_told_up_to_the_end():
    for options in ({}, {"exact": False}):
        told: list[tuple[int, int]] = []
        diagnose(run_of(elman(), N, 600), progress=lambda *both, told=told: told.append(both), **options)
        assert told[-1] == (1200, 1200)
        assert [done for done, _ in told] == sorted(done for done, _ in told)
        assert len(told) >= 4
    with pytest.raises(TypeError, match=r"^progress:"):
        diagnose(run_of(elman(), N, 5), progress=3)
