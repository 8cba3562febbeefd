"""Credit where the state is not Markov, by path length, by gate and layer, by sample, through a readout."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.cells import (
    GRU,
    LSTM,
    AttentionRNN,
    DoyaNeuron,
    ElmanRNN,
    LeakyRNN,
    ResidualRNN,
    SkipRNN,
    Stack,
)
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.credit import (
    credit_by_lag,
    credit_by_probes,
    credit_of_samples,
    input_norms,
    part_norms,
    past_norms,
    path_lengths,
    readout_norms,
    state_gradients,
)
from rnn_dynamics.gradients.credit.kernels import _of_groups
from rnn_dynamics.gradients.credit.probes import _at_several_scales, _chosen
from rnn_dynamics.gradients.jacobians import gradient_norms, pullback
from rnn_dynamics.gradients.parameters import Group
from rnn_dynamics.numerics.status import Status

RNG = np.random.default_rng(11)
N, STEPS, SPAN = 3, 4, 6
V = RNG.normal(size=(4, N, N)) / 2
B, U, Q = RNG.normal(size=N) / 2, RNG.normal(size=(STEPS, 2)), RNG.normal(size=(3, 2, N))
IN = RNG.normal(size=(N, 2))


def attention(dtype="float64"):
    given = {"query": Q[0], "key": Q[1], "score": Q[2, :, 0]}
    given = {name: value.astype(dtype) for name, value in given.items()}
    return AttentionRNN(*(a.astype(dtype) for a in (V[0], V[1], B, IN)), **given, span=SPAN)


def attended(hidden, u):
    """One step over all hidden vectors so far, written out."""
    past = jnp.stack(hidden)
    e = jnp.tanh(past @ Q[1].T + (Q[0] @ past[-1])[None]) @ Q[2, :, 0]
    c = jax.nn.softmax(e) @ past
    return jnp.tanh(V[0] @ past[-1] + V[1] @ c + IN @ u + B)


def probed(p):
    """The same network, from h_0 = 0.3, with a probe on every hidden vector."""
    hidden = [jnp.full(N, 0.3) + p[0]]
    for t in range(STEPS):
        hidden.append(attended(hidden, jnp.asarray(U[t])) + p[t + 1])
    return jnp.sum(jnp.sin(hidden[-1])), jnp.stack(hidden)


START = np.r_[np.full(N, 0.3), np.zeros((SPAN - 1) * N)]


def test_attention_over_all_of_the_past_and_its_total_derivatives():
    cell = attention()
    run = rollout(cell, START, U)
    no_probes = jnp.zeros((STEPS + 1, N))
    np.testing.assert_allclose(cell.window(run.states)[:, 0], probed(no_probes)[1], rtol=1e-13)
    weights = np.asarray(cell.attention(run.states[3], U[3]))
    assert weights.sum() == pytest.approx(1, abs=1e-15)
    assert (weights[:4] > 0).all()
    assert (weights[4:] == 0).all()
    truth = jax.jit(jax.grad(lambda p: probed(p)[0]))(no_probes)
    found = credit_by_lag(run, lambda x: jnp.sum(jnp.sin(x[:N])))
    np.testing.assert_allclose(found.part("hidden").to_float(), truth, rtol=1e-11, atol=1e-13)
    by_probes = credit_by_probes(probed, no_probes)
    assert by_probes.derivative == "total"
    assert (by_probes.status == Status.RESOLVED).all()
    np.testing.assert_allclose(by_probes.states.to_float(), truth, rtol=1e-12, atol=1e-14)
    assert "5 of 5 resolved" in repr(by_probes)


def test_total_and_direct_derivatives_of_the_last_hidden_vector():
    run = rollout(attention(), START, U)
    total = jax.jit(jax.jacrev(lambda p: probed(p)[1][-1]))(jnp.zeros((STEPS + 1, N)))
    hidden = list(probed(jnp.zeros((STEPS + 1, N)))[1])
    direct = jax.jit(jax.jacrev(lambda past: attended(list(past), jnp.asarray(U[-1]))))(
        jnp.stack(hidden[:-1])
    )
    found = past_norms(run)
    sizes = [np.linalg.norm(total[:, k], 2) for k in range(STEPS + 1)]
    np.testing.assert_allclose(found.total, np.log(sizes), atol=1e-12)
    edges = [np.linalg.norm(direct[:, k], 2) for k in range(STEPS)][::-1]
    np.testing.assert_allclose(found.direct[:STEPS], np.log(edges), atol=1e-12)
    assert (np.asarray(found.direct[STEPS:]) == -np.inf).all()
    skipping = past_norms(rollout(SkipRNN(V[0], V[1], B, skip=3), np.full(3 * N, 0.1), steps=STEPS))
    assert np.isfinite(np.asarray(skipping.direct)[[0, 2]]).all()
    assert skipping.direct[1] == -np.inf


def test_the_parts_of_a_product():
    cell = LSTM(RNG.normal(size=(4 * N, N)), RNG.normal(size=4 * N))
    run = rollout(cell, np.zeros(2 * N), steps=6)
    from_start = jax.jacrev(lambda x: rollout(cell, x, steps=6).final)(run.initial)
    for of, by in (("hidden", "hidden"), ("cell", "cell"), ("hidden", "cell")):
        block = np.asarray(from_start)[cell.parts[of], cell.parts[by]]
        found = part_norms(run, of, by, ord="fro")
        assert found.shape == (7,)
        assert float(found[0]) == pytest.approx(math.log(np.linalg.norm(block)), abs=1e-12)
    assert float(part_norms(run, "hidden", "cell")[-1]) == -np.inf


def test_probes_of_a_float32_lstm_are_scaled_and_flagged():
    """The plain gradient is exactly 0 at most of 800 lags; here half as many again are right, the rest flagged."""
    steps, rng = 800, np.random.default_rng(3)
    cell = LSTM(*(rng.normal(size=shape).astype("float32") / 2 for shape in ((4 * N, N), (4 * N,))))

    def network(p):
        def step(x, push):
            return cell(x) + push, x

        return jnp.sum(jax.lax.scan(step, jnp.zeros(2 * N, p.dtype), p)[0])

    zeros = jnp.zeros((steps, 2 * N), "float32")
    found = credit_by_probes(network, zeros)
    plain = np.asarray(jax.jit(jax.grad(network))(zeros))
    run = rollout(cell, np.zeros(2 * N, "float32"), steps=steps)
    truth = np.asarray(credit_by_lag(run, jnp.sum).log_state_norms)[1:]
    good = found.status == Status.RESOLVED
    assert found.derivative == "unknown"
    assert good.sum() > 1.4 * (plain != 0).any(axis=1).sum()
    assert not good[0]
    assert good[-1]
    np.testing.assert_allclose(np.asarray(found.log_norms)[good], truth[good], atol=2e-4)
    assert (truth[~good] < found.log_floor).all()
    assert (np.asarray(found.log_norms)[~good] == -np.inf).all()


def test_a_direct_probe_says_so():
    def direct(p):
        hidden = jnp.cumsum(jnp.ones_like(p), axis=0)
        return jnp.sum(jnp.square(hidden + p)), hidden + p

    found = credit_by_probes(direct, jnp.zeros((5, 2)))
    assert found.derivative == "direct"
    np.testing.assert_allclose(found.states.to_float(), 2 * np.arange(1, 6)[:, None] * np.ones((1, 2)))


@pytest.mark.parametrize(("power", "scale"), [(0, 1016), (100, 919)])
def test_the_floor_of_probes_is_the_least_number_with_all_digits_at_the_largest_scale(power, scale):
    """2^s ∂E/∂p with ∂E/∂p = 2^power: s is 1016 at most, and 2^(s + power) a sixteenth of the largest float."""
    found = credit_by_probes(lambda p: 2.0**power * jnp.sum(p[1:]), jnp.zeros((3, 2)))
    assert found.status.tolist() == [Status.UNRESOLVED, Status.RESOLVED, Status.RESOLVED]
    np.testing.assert_allclose(found.log_norms[1:], (power + 0.5) * np.log(2), rtol=1e-15)
    assert found.log_floor == pytest.approx((-1022 + 52 - scale + 0.5) * math.log(2), rel=1e-15)


def test_a_probe_takes_the_largest_seed_at_which_nothing_after_it_is_lost():
    """Of seed 1 the second row has sunk and those before it are lost; of seed 2⁸ the first has overflown."""
    found = np.zeros((2, 4, 2), np.float32)
    found[:, :, 0] = [[1, 1e-35, 2, 3], [np.inf, 5, 512, 768]]
    rows, good = _chosen(found, np.array([0, 8]))
    assert good.tolist() == [False, True, True, True]
    np.testing.assert_array_equal(rows.to_float()[:, 0], [0, 5 / 256, 2, 3])
    np.testing.assert_array_equal(rows.to_float()[:, 1], 0)


def test_one_scale_that_holds_the_derivatives_is_enough(monkeypatch):
    """1e−70 in float32: of seeds up to 2^60 nothing is left, of 2^120 it is 1e−34."""

    def pulled(loss, probes, seeds):
        return np.asarray(seeds)[:, None, None] * np.full((1, 2, 3), 1e-35, np.float32) * np.float32(1e-35)

    monkeypatch.setattr("rnn_dynamics.gradients.credit.probes._pulled", pulled)
    found, powers = _at_several_scales(None, jnp.zeros((2, 3), jnp.float32), jnp.float32)
    assert powers.tolist() == [-120, -60, 0, 60, 120, 120]
    assert (found[:4] == 0).all()
    np.testing.assert_allclose(found[4:], 2.0**120 * 1e-70, rtol=1e-6)


def test_groups_of_small_and_large_numbers_keep_their_size():
    """Each is measured in units of its largest entry: 1e-200 beside 1 is none of them squared to inf."""
    share = jnp.asarray([1e-200, 1.0, -3.0, 0.0, 0.0, 2e-200])
    largest, by_group = _of_groups(share, [Group("", "a", "", 0, 3), Group("", "b", "", 3, 6)])
    np.testing.assert_allclose(largest, [3.0, 2e-200], rtol=1e-15)
    np.testing.assert_allclose(by_group, [1 + 1 / 9, 1.0], rtol=1e-15)


@pytest.mark.parametrize("loss", ["last", "every"])
def test_path_lengths_of_a_linear_residual_network(loss):
    """∂E/∂x_0 = Σ C(T, L) (αWᵀ)^L e; summed over T for a loss of every step."""
    cell = ResidualRNN(V[0], B, scale=0.5, activation="linear")
    run, e = rollout(cell, B, steps=6), np.array([1.0, -2.0, 0.5])
    every = loss == "every"
    found = path_lengths(run, lambda x: jnp.sum(x * e if not every else x * e[None]), every_step=every)
    truth = np.zeros((7, N))
    for last in range(1, 7) if every else (6,):
        for L in range(last + 1):
            truth[L] += math.comb(last, L) * np.linalg.matrix_power(0.5 * V[0].T, L) @ e
    np.testing.assert_allclose(found.terms.to_float(), truth, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.log_norms, np.log(np.linalg.norm(truth, axis=1)), atol=1e-12)
    whole = truth.sum(axis=0)
    np.testing.assert_allclose(found.shares, truth @ whole / (whole @ whole), atol=1e-12)
    sizes = np.linalg.norm(truth, axis=1)
    assert found.mean_length == pytest.approx(np.arange(7) @ sizes / sizes.sum())
    assert "0 … 6 branches" in repr(found)


def test_path_lengths_add_up_to_the_gradient_over_hundreds_of_decades():
    cell = LeakyRNN(np.float32(0.1) * V[0].astype("float32"), B.astype("float32"), leak=0.9)
    run = rollout(cell, np.zeros(N, "float32"), steps=100)
    found = path_lengths(run, jnp.sum)
    assert float(found.shares.sum()) == pytest.approx(1, abs=1e-4)
    assert float(found.log_norms[0]) == pytest.approx(100 * math.log(0.1) + math.log(3) / 2, abs=1e-3)
    assert np.isfinite(found.log_norms).all()
    whole = credit_by_lag(run, jnp.sum).log_state_norms[0]
    largest = float(found.log_norms.max())
    assert largest - 1 < float(whole) < largest + math.log(101)


def test_shares_by_gate_layer_and_parameter():
    first = LSTM(RNG.normal(size=(4 * N, N)), RNG.normal(size=4 * N), RNG.normal(size=(4 * N, 2)))
    second = GRU(RNG.normal(size=(3 * N, N)), RNG.normal(size=3 * N), RNG.normal(size=(3 * N, N)), B)
    cell = Stack([first, second])
    run = rollout(cell, np.zeros(3 * N), U)
    found = credit_by_lag(run, jnp.sum)
    for kind, names in (
        ("layer", {"layer 0", "layer 1"}),
        ("gate", {"input", "forget", "candidate", "output", "reset", "update"}),
        ("parameter", {"W", "b", "W_in", "b_hidden"}),
    ):
        logs = found.by(kind)
        assert set(logs) == names
        whole = np.logaddexp.reduce([2 * part for part in logs.values()], axis=0) / 2
        np.testing.assert_allclose(whole, found.log_shares, atol=1e-12)
    # Lag 1 alone is the gradient through the last step.
    last = jax.grad(lambda c: jnp.sum(c(run.states[-2], jnp.asarray(U[-1]))))(cell)
    forget = np.r_[tuple(np.ravel(getattr(last.cells[0], name)[N : 2 * N]) for name in ("W", "b", "W_in"))]
    assert found.by("gate")["forget"][0] == pytest.approx(math.log(np.linalg.norm(forget)), abs=1e-12)
    layers = [
        np.linalg.norm([np.linalg.norm(leaf) for leaf in jax.tree_util.tree_leaves(c)]) for c in last.cells
    ]
    np.testing.assert_allclose(
        [found.by("layer")[f"layer {i}"][0] for i in (0, 1)], np.log(layers), atol=1e-12
    )
    np.testing.assert_allclose(found.log_units[0], np.log(np.abs(found.states[0].to_float())), atol=1e-12)
    with pytest.raises(ValueError, match=r"^kind: the cell of this credit has no gates"):
        credit_by_lag(rollout(ElmanRNN(V[0], B), B, steps=4), jnp.sum).by("gate")


def test_samples_are_the_runs_one_by_one():
    cell = ElmanRNN(V[0], B, IN)
    inputs, targets = RNG.normal(size=(6, STEPS, 2)), RNG.normal(size=(6, N))
    batch = jax.vmap(lambda u: rollout(cell, np.zeros(N), u))(inputs)

    def loss(x, target):
        return jnp.sum(jnp.square(x - target))

    found = credit_of_samples(batch, loss, targets=targets)
    alone = [
        credit_by_lag(rollout(cell, np.zeros(N), u), lambda x, t=t: loss(x, t))
        for u, t in zip(inputs, targets, strict=True)
    ]
    np.testing.assert_allclose(found.log_shares, [one.log_shares for one in alone], atol=1e-11)
    assert found.horizons().tolist() == [one.horizon() for one in alone]
    low, middle, high = found.spread()
    assert (low <= middle).all()
    assert (middle <= high).all()
    np.testing.assert_allclose(found[2].log_sums, alone[2].log_sums, atol=1e-11)
    assert len(found) == 6
    assert "6 runs" in repr(found)
    with pytest.raises(ValueError, match=r"^quantiles:"):
        found.spread(2.0)
    with pytest.raises(IndexError):
        found[6]
    with pytest.raises(ValueError, match=r"^targets: .* 6 runs"):
        credit_of_samples(batch, loss, targets=targets[:2])
    with pytest.raises(ValueError, match=r"^batch: expected runs along one axis"):
        credit_of_samples(rollout(cell, np.zeros(N), U), loss)
    several = jax.vmap(lambda W: rollout(ElmanRNN(W, B, IN), np.zeros(N), U))(V)
    with pytest.raises(ValueError, match=r"^batch: expected runs of one cell"):
        credit_of_samples(several, jnp.sum)


def test_a_readout_and_its_jacobian():
    cell, G = ElmanRNN(V[0], B, IN), RNG.normal(size=(2, N))
    run = rollout(cell, B, U)
    found = readout_norms(run, lambda x: jnp.tanh(G @ x))
    slopes = 1 - np.tanh(G @ np.asarray(run.final)) ** 2
    truth = slopes[:, None] * G
    assert float(found[-1]) == pytest.approx(math.log(np.linalg.norm(truth, 2)), abs=1e-12)
    from_start = jax.jacrev(lambda x: rollout(cell, x, U).final)(run.initial)
    assert float(found[0]) == pytest.approx(math.log(np.linalg.norm(truth @ from_start, 2)), abs=1e-12)
    np.testing.assert_allclose(readout_norms(run, lambda x: x), gradient_norms(run), atol=1e-12)
    by_first = jax.jacrev(lambda u: rollout(cell, B, u).final)(jnp.asarray(U))[:, 0]
    assert float(input_norms(run, readout=lambda x: jnp.tanh(G @ x))[0]) == pytest.approx(
        math.log(np.linalg.norm(truth @ by_first, 2)), abs=1e-12
    )


def test_a_language_model():
    """Tokens in, the cross-entropy of the next token at every step; shares add up to the gradient."""
    table = jnp.asarray(RNG.normal(size=(5, 2)))
    tokens = RNG.integers(0, 5, STEPS + 1)
    out = jnp.asarray(RNG.normal(size=(5, N)))

    def loss(states):
        scores = jax.nn.log_softmax(states @ out.T)
        return -jnp.mean(scores[jnp.arange(STEPS), tokens[1:]])

    cell = jax.tree_util.Partial(lambda c, e, x, u: c(x, e[u]), ElmanRNN(V[0], B, IN), table)
    run = rollout(cell, np.zeros(N), tokens[:-1])
    found = credit_by_lag(run, loss, every_step=True)
    truth = jax.grad(lambda c: loss(rollout(c, np.zeros(N), tokens[:-1]).states[1:]))(cell)
    for got, expected in zip(
        jax.tree_util.tree_leaves(found.gradient, is_leaf=lambda leaf: hasattr(leaf, "to_float")),
        jax.tree_util.tree_leaves(truth),
        strict=True,
    ):
        np.testing.assert_allclose(got.to_float(), expected, rtol=1e-10, atol=1e-13)
    assert found.inputs is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda run: path_lengths(run, jnp.sum), "trajectory: expected a cell with carry and branch"),
        (lambda run: past_norms(run), "trajectory: expected a cell with a window"),
        (lambda run: part_norms(run, "cell"), "trajectory: ElmanRNN names no parts"),
        (lambda run: readout_norms(run, 3), "readout: expected a callable"),
        (lambda run: readout_norms(run, lambda x: (x, x)), "readout: expected one array"),
        (lambda run: credit_by_probes(3, run.states), "network: expected a callable"),
        (lambda run: credit_by_probes(jnp.sum, run.states), "probes: expected zeros"),
        (lambda run: credit_by_probes(jnp.sum, 0.0), "probes: expected a leading axis"),
        (lambda run: credit_by_probes(lambda p: p, 0 * run.states), "network: expected a number E"),
        (lambda run: credit_by_probes(lambda p: (p.sum(), p[0]), 0 * run.states), "network: expected states"),
    ],
)
def test_errors_name_the_argument(call, words):
    with pytest.raises((TypeError, ValueError), match=rf"^{words}"):
        call(rollout(ElmanRNN(V[0], B), B, steps=3))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_run_and_its_gradients_at_once(dtype):
    """The same as ``rollout`` and ``pullback``, hundreds of decades down, for vectors and for a neuron."""
    cell = LSTM(*(RNG.normal(size=shape).astype(dtype) / 2 for shape in ((4 * N, N), (4 * N,), (4 * N, 2))))
    x0, inputs = np.linspace(-1, 1, 2 * N).astype(dtype), np.tile(U, (300, 1)).astype(dtype)
    run, found = state_gradients(cell, x0, inputs, loss=lambda x: jnp.sum(jnp.square(x)))
    plain = rollout(cell, x0, inputs)
    tolerance = 1e-9 if dtype == "float64" else 3e-3
    np.testing.assert_allclose(run.states, plain.states, atol=1e-4 * tolerance)
    assert int(run.first_nonfinite) == -1
    truth = pullback(plain, 2 * plain.final)
    assert float(truth[0].norm().log()) < -200
    np.testing.assert_allclose(found.norm().log(), truth.norm().log(), rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.unit, truth.unit, atol=tolerance)
    with pytest.raises(TypeError, match=r"^loss:"):
        state_gradients(cell, x0, inputs, loss=3)
    with pytest.raises(ValueError, match=r"^loss: expected a number"):
        state_gradients(cell, x0, inputs, loss=lambda x: x)


def test_at_once_for_a_neuron_and_a_zero_gradient():
    _, found = state_gradients(DoyaNeuron(5.0, -2.4), 0.3, steps=5, loss=lambda x: x)
    np.testing.assert_allclose(
        found.to_float()[:, 0],
        pullback(rollout(DoyaNeuron(5.0, -2.4), 0.3, steps=5), 1.0).to_float(),
        rtol=1e-13,
    )
    _, nothing = state_gradients(DoyaNeuron(5.0, -2.4), 0.3, steps=5, loss=lambda x: 0.0 * x)
    assert (np.asarray(nothing.unit) == 0).all()
    run, last = state_gradients(DoyaNeuron(5.0, -2.4), 0.3, steps=0, loss=lambda x: 2 * x)
    assert (run.steps, last.to_float().tolist()) == (0, [[2.0]])
