"""Credit by lag against autodiff with a copy of the parameters for every step, and closed forms."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.cells import GRU, LSTM, LSTM1997, DoyaNeuron, ElmanRNN, FeedForward
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.credit import credit_by_lag, input_norms, partial_sums
from rnn_dynamics.gradients.credit.trend import trend_of
from tests.compilations import compilations
from tests.marks import FLOAT32_IN_SOAK

RNG = np.random.default_rng(2)
N, M, STEPS = 3, 2, 9
U = RNG.normal(size=(STEPS, M))
W, B, IN = RNG.normal(size=(4 * N, N)) / 2, RNG.normal(size=4 * N) / 3, RNG.normal(size=(4 * N, M)) / 2
TARGETS = RNG.normal(size=(STEPS, 2 * N))

CELLS = {
    "elman": (lambda: ElmanRNN(W[:N], B[:N], IN[:N]), N),
    "lstm": (lambda: LSTM(W, B, IN), 2 * N),
    "lstm of 1997": (lambda: LSTM1997(W[: 3 * N], B[: 3 * N], IN[: 3 * N]), 2 * N),
    "gru": (lambda: GRU(W[: 3 * N], B[: 3 * N], IN[: 3 * N]), N),
}


def each(x, target):
    return jnp.sum(jnp.square(x - target[: x.size])) + jnp.sum(jnp.sin(x))


def at_the_end(x):
    return each(x, jnp.asarray(TARGETS[-1], x.dtype))


def at_every_step(states):
    return jnp.sum(jax.vmap(each)(states, jnp.asarray(TARGETS, states.dtype)))


def copies(cell, x0):
    """∂l_t/∂θ_k for a copy of the parameters at every step, ∂(Σ l)/∂x_k and ∂(Σ l)/∂u_k, by autodiff."""
    leaves, structure = jax.tree_util.tree_flatten(cell)

    def losses(repeated, pushes, inputs):
        x, found = jnp.asarray(x0) + pushes[0], []
        for t in range(STEPS):
            x = jax.tree_util.tree_unflatten(structure, [leaf[t] for leaf in repeated])(x, inputs[t])
            x = x + pushes[t + 1]
            found.append(each(x, jnp.asarray(TARGETS[t])))
        return jnp.stack(found)

    repeated = [jnp.repeat(leaf[None], STEPS, axis=0) for leaf in leaves]
    pushes = jnp.zeros((STEPS + 1, x0.size))
    rows = jax.jit(jax.jacrev(losses))(repeated, pushes, jnp.asarray(U))
    flat = np.concatenate([np.asarray(row).reshape(STEPS, STEPS, -1) for row in rows], axis=-1)
    total = jax.jit(jax.jacrev(losses, argnums=(1, 2)))(repeated, pushes, jnp.asarray(U))
    return flat, *(np.asarray(part) for part in total)


@pytest.mark.parametrize(
    "name",
    ["elman", "lstm", *(pytest.param(name, marks=pytest.mark.soak) for name in ("lstm of 1997", "gru"))],
)
def test_shares_are_those_of_copies_of_the_parameters(name):
    make, size = CELLS[name]
    cell, x0 = make(), RNG.normal(size=size)
    by_copy, by_state, by_input = copies(cell, x0)
    run = rollout(cell, x0, U)
    for every in (False, True):
        found = credit_by_lag(run, at_every_step if every else at_the_end, every_step=every)
        shares = np.zeros((STEPS, by_copy.shape[-1]))
        for t in range(STEPS) if every else [STEPS - 1]:
            for m in range(1, t + 2):
                shares[m - 1] += by_copy[t, t - m + 1]
        sums, whole = np.cumsum(shares, axis=0), shares.sum(axis=0)
        np.testing.assert_allclose(found.log_shares, np.log(np.linalg.norm(shares, axis=1)), atol=1e-10)
        np.testing.assert_allclose(found.log_sums, np.log(np.linalg.norm(sums, axis=1)), atol=1e-10)
        rest = whole - sums
        sizes = np.linalg.norm(sums, axis=1) * np.linalg.norm(rest, axis=1)
        cosines = np.where(sizes > 1e-9, (sums * rest).sum(axis=1) / np.where(sizes > 1e-9, sizes, 1), 0)
        np.testing.assert_allclose(found.alignment, cosines, atol=1e-8)
        gradient = np.concatenate([np.ravel(p.to_float()) for p in parts_of(found.gradient)])
        np.testing.assert_allclose(gradient, whole, rtol=1e-10, atol=1e-12)
        rows = slice(None) if every else slice(STEPS - 1, None)
        np.testing.assert_allclose(found.states.to_float(), by_state[rows].sum(axis=0), atol=1e-12)
        np.testing.assert_allclose(found.inputs.to_float(), by_input[rows].sum(axis=0), atol=1e-12)


def parts_of(gradient):
    return jax.tree_util.tree_leaves(gradient, is_leaf=lambda leaf: hasattr(leaf, "to_float"))


@FLOAT32_IN_SOAK
@pytest.mark.parametrize("name", CELLS)
def test_shares_add_up_to_the_gradient_of_the_loss(name, dtype):
    make, size = CELLS[name]
    cell = jax.tree_util.tree_map(lambda leaf: leaf.astype(dtype), make())
    x0 = np.linspace(-0.5, 0.5, size).astype(dtype)
    found = credit_by_lag(rollout(cell, x0, U.astype(dtype)), at_every_step, every_step=True)
    truth = jax.grad(lambda c: at_every_step(rollout(c, x0, U.astype(dtype)).states[1:]))(cell)
    for got, expected in zip(parts_of(found.gradient), jax.tree_util.tree_leaves(truth), strict=True):
        limit = (1e-11 if dtype == "float64" else 2e-4) * np.abs(expected).max()
        np.testing.assert_allclose(got.to_float(), expected, rtol=0, atol=limit)


def test_the_last_step_alone_gives_the_partial_sums():
    run = rollout(*_elman(), U)
    found = credit_by_lag(run, at_the_end)
    sums = partial_sums(run, jax.grad(at_the_end)(run.final))
    np.testing.assert_allclose(found.log_shares, sums.contributions.norm().log(), atol=1e-11)
    np.testing.assert_allclose(found.log_sums, sums.sums.norm().log(), atol=1e-11)
    short = credit_by_lag(run, at_the_end, max_lag=4)
    np.testing.assert_allclose(short.log_shares, found.log_shares[:4], atol=1e-12)
    assert short.lags.tolist() == [1, 2, 3, 4]


def _elman():
    return CELLS["elman"][0](), np.array([0.1, -0.4, 0.3])


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99])
def test_the_horizon_of_a_normal_linear_cell(decay):
    """W = ρ R with R orthogonal, driven by one unit vector: ‖C_m‖ ∝ ρ^(m−1), the horizon at 1/e ⌊1/ln(1/ρ)⌋ + 1."""
    turn = np.linalg.qr(RNG.normal(size=(N, N)))[0]
    cell = ElmanRNN(decay * turn, np.zeros(N), np.eye(N), activation="linear")
    # The bias alone tells the shares of W and W_in: with x_0 at rest and one push all of them are proportional.
    run = rollout(cell, np.zeros(N), np.tile([[1.0, 0.0, 0.0]], (600, 1)))
    found = credit_by_lag(run, lambda x: x @ jnp.array([0.6, 0.0, 0.8]))
    norms = np.asarray(found.log_state_norms)
    np.testing.assert_allclose(np.diff(norms), -math.log(decay), atol=1e-12)
    held = math.floor(1 / math.log(1 / decay)) + 1
    lags = np.flatnonzero(norms[::-1] >= norms[-1] - 1)
    assert lags[-1] + 1 == held


def test_hundreds_of_decades_in_float32():
    cell = ElmanRNN(np.float32(0.01) * np.eye(2, dtype=np.float32), np.zeros(2, np.float32))
    found = credit_by_lag(rollout(cell, np.float32([0.5, 0.1]), steps=300), lambda x: jnp.sum(x))
    slopes = np.diff(np.asarray(found.log_state_norms))
    np.testing.assert_allclose(slopes[10:], math.log(100), rtol=1e-4)
    assert np.isfinite(found.log_shares).all()
    assert float(found.log_state_norms[0]) < -1300


def test_parts_of_the_state_and_words():
    run = rollout(CELLS["lstm"][0](), np.zeros(2 * N), U)
    found = credit_by_lag(run, at_the_end)
    both = found.states.to_float()
    np.testing.assert_allclose(found.part("cell").to_float(), both[:, N:], rtol=1e-15)
    with pytest.raises(ValueError, match=r"^name: .*cell.*hidden"):
        found.part("carousel")
    with pytest.raises(ValueError, match=r"^share:"):
        found.horizon(0)
    for wrong in ("a", None):
        with pytest.raises((TypeError, ValueError), match=r"^share:"):
            found.horizon(wrong)
    assert 1 <= found.horizon() <= found.horizon(0.01) <= STEPS
    assert "9 lags" in repr(found)


@pytest.mark.parametrize(
    ("logs", "share", "horizon"),
    [
        ([0.0, -0.5, -1.0, -3.0, -0.75, -5.0], math.exp(-1), 5),
        ([0.0, -0.5, -1.5, -3.0, -5.0, -9.0], 0.01, 4),
        ([-7.0, 2.0, 1.0, 0.0, -1.0, -2.0], 1.0, 2),
        ([3.0, -math.inf, 2.5, -math.inf, -math.inf, -math.inf], 0.5, 3),
        ([-math.inf] * 6, 0.5, 0),
        ([0.0, -1.0, math.nan, -3.0, -4.0, -5.0], 0.5, -1),
        ([0.0, -1.0, math.inf, -3.0, -4.0, -5.0], 0.5, -1),
    ],
)
def test_the_horizon_is_the_last_lag_with_its_share_of_the_greatest(logs, share, horizon):
    run = rollout(ElmanRNN(np.eye(2), np.zeros(2)), [0.1, 0.2], steps=6)
    found = dataclasses.replace(credit_by_lag(run, lambda x: x[0]), log_shares=jnp.asarray(logs))
    assert found.horizon(share) == horizon
    assert found.is_finite == (horizon >= 0)


def test_shares_of_many_runs_are_told_by_their_shape():
    run = rollout(ElmanRNN(np.eye(2), np.zeros(2)), [0.1, 0.2], steps=6)
    found = credit_by_lag(run, lambda x: x[0])
    several = dataclasses.replace(found, log_shares=jnp.stack([found.log_shares] * 2))
    assert repr(several) == "CreditByLag(shares of shape (2, 6))"
    words = []

    def told(shares):
        words.append(repr(dataclasses.replace(found, log_shares=shares)))
        return shares

    jax.eval_shape(told, found.log_shares)
    assert words == ["CreditByLag(shares of shape (6,))"]


LAGS = np.arange(1, 201)


@pytest.mark.parametrize(
    ("log_shares", "sums", "trend"),
    [
        (-0.2 * LAGS, None, "converges"),
        (-0.01 * LAGS, None, "undecided"),  # what is to come is 16 % of what has been added
        (0.0 * LAGS, None, "grows"),
        (0.01 * LAGS, None, "grows"),
        (np.where(LAGS % 2, 0.0, -np.inf), None, "grows"),
        (np.where(LAGS <= 100, 0.0, -np.inf), None, "converges"),
        (np.where(LAGS <= 20, 0.0, -0.02 * LAGS), None, "undecided"),
        (0.0 * LAGS, 1 + 0.5 * np.cos(LAGS / 3), "oscillates"),
        (0.0 * LAGS, 1 + 0.01 * np.cos(LAGS / 3), "undecided"),
        (0.0 * LAGS, np.full(200, np.nan), "undecided"),
        (0.0 * LAGS[:14], None, "undecided"),
    ],
)
def test_the_trend_of_given_shares_and_sums(log_shares, sums, trend):
    """Sums of what does not change its direction, where none are given."""
    log_sums = np.logaddexp.accumulate(log_shares) if sums is None else np.log(sums)
    assert trend_of(log_shares, log_sums) == trend


def test_neurons_and_networks_without_inputs():
    found = credit_by_lag(rollout(DoyaNeuron(5.0, -2.4), 0.3, steps=5), lambda x: x**2)
    assert found.inputs is None
    assert found.states.shape == (6, 1)


def test_another_run_compiles_nothing():
    cell, x0 = _elman()
    credit_by_lag(rollout(cell, x0, U), at_the_end)
    other = rollout(cell, 2 * x0, U)
    with compilations() as found:
        credit_by_lag(other, at_the_end)
    assert found.count == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": 3}, "loss: expected a callable"),
        ({"loss": lambda x: x}, "loss: expected a number"),
        ({"max_lag": 0}, "max_lag"),
        ({"max_lag": STEPS + 1}, "max_lag"),
        ({"every_step": 1}, "every_step"),
        ({"trajectory": 3}, "trajectory"),
    ],
)
def test_errors_name_the_argument(options, words):
    cell, x0 = _elman()
    given = {"trajectory": rollout(cell, x0, U), "loss": at_the_end} | options
    with pytest.raises((TypeError, ValueError), match=rf"^{words}"):
        credit_by_lag(**given)
    with pytest.raises(ValueError, match=r"^trajectory: expected at least one step"):
        credit_by_lag(rollout(cell, x0, steps=0), at_the_end)


@pytest.mark.parametrize(
    ("radius", "angle", "trend"),
    [(0.9, 0.3, "converges"), (1.0, 0.0, "grows"), (1.05, 0.3, "grows"), (1.0, 0.3, "oscillates")],
)
def test_trends_of_the_sum_of_a_turning_linear_cell(radius, angle, trend):
    """∂E/∂b = Σ (ρ R)^(m−1)ᵀ c: a geometric series of turns; W stays out of it at x = 0."""
    turn = radius * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    run = rollout(ElmanRNN(turn, np.zeros(2), activation="linear"), np.zeros(2), steps=150)
    found = credit_by_lag(run, lambda x: x[0])
    assert found.trend == trend
    powers = np.cumsum([np.linalg.matrix_power(turn.T, m)[:, 0] for m in range(150)], axis=0)
    np.testing.assert_allclose(found.log_sums, np.log(np.linalg.norm(powers, axis=1)), atol=1e-9)
    assert trend in repr(found)


@pytest.mark.parametrize("name", ["elman", "lstm"])
def test_input_norms_are_those_of_autodiff(name):
    make, size = CELLS[name]
    cell, x0 = make(), RNG.normal(size=size)
    truth = np.asarray(jax.jit(jax.jacrev(lambda u: rollout(cell, x0, u).final))(jnp.asarray(U)))
    run = rollout(cell, x0, U)
    for ord, numpys in ((2, 2), ("fro", "fro")):
        expected = [math.log(np.linalg.norm(truth[:, k], numpys)) for k in range(STEPS)]
        np.testing.assert_allclose(input_norms(run, ord=ord), expected, atol=1e-11)
    assert input_norms(run, stop=3).shape == (3,)
    with pytest.raises(ValueError, match=r"^trajectory: expected floating inputs"):
        input_norms(rollout(DoyaNeuron(5.0, -2.4), 0.3, steps=5))


def test_layers_of_a_deep_network_are_lags():
    """Untied layers: the share of lag m is the gradient of layer T − m; inputs and parameters are one thing."""
    layers = {"W": RNG.normal(size=(STEPS, N, N)) / 2, "b": RNG.normal(size=(STEPS, N)) / 3}
    x0 = RNG.normal(size=N)
    run = rollout(FeedForward(), x0, layers)
    found = credit_by_lag(run, at_the_end)
    truth = jax.jit(jax.grad(lambda u: at_the_end(rollout(FeedForward(), x0, u).final)))(
        jax.tree_util.tree_map(jnp.asarray, layers)
    )
    sizes = np.sqrt(np.sum(np.square(truth["W"]), axis=(1, 2)) + np.sum(np.square(truth["b"]), axis=1))[::-1]
    np.testing.assert_allclose(found.log_shares, np.log(sizes), atol=1e-11)
    np.testing.assert_allclose(found.log_sums, np.log(np.cumsum(sizes**2)) / 2, atol=1e-11)
    assert found.gradient is None
    assert credit_by_lag(run, at_the_end, max_lag=3).log_shares.shape == (3,)
    whole = jax.jit(jax.jacrev(lambda u: rollout(FeedForward(), x0, u).final))(
        jax.tree_util.tree_map(jnp.asarray, layers)
    )
    by_layer = np.concatenate([np.asarray(whole["W"]).reshape(N, STEPS, -1), np.asarray(whole["b"])], axis=2)
    expected = [math.log(np.linalg.norm(by_layer[:, k], "fro")) for k in range(STEPS)]
    np.testing.assert_allclose(input_norms(run, ord="fro"), expected, atol=1e-11)
    bare = rollout(jax.tree_util.Partial(lambda x, u: jnp.tanh(x)), x0, steps=3)
    with pytest.raises(ValueError, match="no parameters"):
        credit_by_lag(bare, at_the_end)
