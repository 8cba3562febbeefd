"""Gated cells against their formulas in NumPy, autodiff and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.cells import (
    GRU,
    LSTM,
    LSTM1997,
    AntisymmetricRNN,
    AttentionRNN,
    ElmanRNN,
    MinimalGatedUnit,
    MinimalRNN,
    ResidualRNN,
    SkipRNN,
    Stack,
    irnn,
)
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.credit import credit_by_lag
from rnn_dynamics.gradients.jacobians import gradient_norms, jacobian_product, step_jacobians
from rnn_dynamics.gradients.one_step import step_jacobian

N, M, STEPS = 3, 2, 12
RNG = np.random.default_rng(11)
U = RNG.normal(size=(STEPS, M))
W, B, IN = RNG.normal(size=(4 * N, N)) / 2, RNG.normal(size=4 * N) / 3, RNG.normal(size=(4 * N, M)) / 2
PEEP, BH, V = RNG.normal(size=(3, N)), RNG.normal(size=N), RNG.normal(size=(N, N)) / 2


def sig(z):
    return 1 / (1 + np.exp(-z))


def lstm(x, u, peep=((0.0,), (0.0,), (0.0,))):
    h, c = x[:N], x[N:]
    i, f, g, o = np.split(W @ h + IN @ u + B, 4)
    pi, pf, po = np.asarray(peep)
    later = sig(f + pf * c) * c + sig(i + pi * c) * np.tanh(g)
    return np.concatenate([sig(o + po * later) * np.tanh(later), later])


def lstm1997(x, u):
    i, g, o = np.split((W @ x[:N] + IN @ u + B)[: 3 * N], 3)
    later = x[N:] + sig(i) * (4 * sig(g) - 2)
    return np.concatenate([sig(o) * (2 * sig(later) - 1), later])


def gru_after(x, u):
    (r, z, n), (rx, zx, nx) = np.split((IN @ u + B)[: 3 * N], 3), np.split((W @ x)[: 3 * N], 3)
    r, z = sig(r + rx), sig(z + zx)
    return (1 - z) * np.tanh(n + r * (nx + BH)) + z * x


def gru_before(x, u):
    r, z, n = np.split((IN @ u + B)[: 3 * N], 3)
    r, z = sig(r + W[:N] @ x), sig(z + W[N : 2 * N] @ x)
    return (1 - z) * np.tanh(n + W[2 * N : 3 * N] @ (r * x)) + z * x


def hard(z):
    return np.clip(0.2 * z + 0.5, 0, 1)


def hard_lstm(x, u, peep):
    h, c = x[:N], x[N:]
    i, f, g, o = np.split(W @ h + IN @ u + B, 4)
    pi, pf, po = np.asarray(peep)
    later = hard(f + pf * c) * c + hard(i + pi * c) * g / (1 + np.abs(g))
    return np.concatenate([hard(o + po * later) * later / (1 + np.abs(later)), later])


def hard_gru(x, u):
    (r, z, n), (rx, zx, nx) = np.split((IN @ u + B)[: 3 * N], 3), np.split((W @ x)[: 3 * N], 3)
    r, z = (np.clip(gate / 6 + 0.5, 0, 1) for gate in (r + rx, z + zx))
    return (1 - z) * np.maximum(n + r * (nx + BH), 0) + z * x


def minimal_unit(x, u):
    f, g = np.split((IN @ u + B)[: 2 * N], 2)
    f = sig(f + W[:N] @ x)
    return (1 - f) * x + f * np.tanh(g + W[N : 2 * N] @ (f * x))


def minimal_rnn(x, u):
    z = np.tanh(IN[:N] @ u + BH)
    g = sig(W[:N] @ x + V @ z + B[:N])
    return g * x + (1 - g) * z


def stacked(x, u):
    first = gru_after(x[:N], u)
    return np.concatenate([first, np.tanh(V @ x[N:] + W[:N] @ first + BH)])


def residual(x, u):
    return x + 0.5 * np.tanh(V @ x + IN[:N] @ u + BH)


def antisymmetric(x, u):
    return x + 0.1 * np.tanh((V - V.T - 0.2 * np.eye(N)) @ x + IN[:N] @ u + BH)


def skipping(x, u):
    return np.concatenate([np.tanh(W[:N] @ x[:N] + V @ x[-N:] + IN[:N] @ u + BH), x[:-N]])


def attending(x, u):
    past = x.reshape(3, N)
    e = np.tanh(past @ W[:N].T + V @ past[0]) @ BH
    a = np.exp(e - e.max())
    hidden = np.tanh(W[:N] @ past[0] + V @ (a / a.sum() @ past) + IN[:N] @ u + BH)
    return np.concatenate([hidden, x[:-N]])


def rows(count):
    return W[: count * N], B[: count * N], IN[: count * N]


CELLS = {
    "lstm": (lambda: LSTM(W, B, IN), lstm, 2 * N),
    "peepholes": (lambda: LSTM(W, B, IN, PEEP), lambda x, u: lstm(x, u, PEEP), 2 * N),
    "1997": (lambda: LSTM1997(*rows(3)), lstm1997, 2 * N),
    "gru": (lambda: GRU(*rows(3), BH), gru_after, N),
    "gru of Cho": (lambda: GRU(*rows(3), reset="before"), gru_before, N),
    "hard lstm": (
        lambda: LSTM(W, B, IN, PEEP, gate_activation="hard_sigmoid_5", activation="softsign"),
        lambda x, u: hard_lstm(x, u, PEEP),
        2 * N,
    ),
    "hard gru": (
        lambda: GRU(*rows(3), BH, gate_activation="hard_sigmoid_6", activation="relu"),
        hard_gru,
        N,
    ),
    "minimal gated unit": (lambda: MinimalGatedUnit(*rows(2)), minimal_unit, N),
    "minimal rnn": (lambda: MinimalRNN(W[:N], V, B[:N], IN[:N], BH), minimal_rnn, N),
    "residual": (lambda: ResidualRNN(V, BH, IN[:N], scale=0.5), residual, N),
    "antisymmetric": (lambda: AntisymmetricRNN(V, BH, IN[:N], step=0.1, damping=0.2), antisymmetric, N),
    "skip": (lambda: SkipRNN(W[:N], V, BH, IN[:N], skip=3), skipping, 3 * N),
    "attention": (
        lambda: AttentionRNN(W[:N], V, BH, IN[:N], query=V, key=W[:N], score=BH, span=3),
        attending,
        3 * N,
    ),
    "stack": (lambda: Stack([GRU(*rows(3), BH), ElmanRNN(V, BH, W[:N])]), stacked, 2 * N),
}


@pytest.mark.parametrize("name", CELLS)
def test_states_and_jacobians(name):
    make, plain, size = CELLS[name]
    cell, x = make(), RNG.normal(size=size)
    run = rollout(cell, x, U)
    states = [x]
    for u in U:
        states.append(plain(states[-1], u))
    np.testing.assert_allclose(run.states, states, rtol=1e-13, atol=1e-14)
    steps = np.asarray(step_jacobians(run))
    for k in (0, STEPS - 1):
        columns = [
            (plain(states[k] + d, U[k]) - plain(states[k] - d, U[k])) / 2e-6 for d in 1e-6 * np.eye(size)
        ]
        np.testing.assert_allclose(steps[k], np.transpose(columns), atol=1e-8)
    whole = np.linalg.multi_dot(steps[::-1])
    np.testing.assert_allclose(jacobian_product(run).to_float(), whole, rtol=1e-10, atol=1e-14)
    assert type(cell).__name__ in repr(cell)
    leaves, structure = jax.tree_util.tree_flatten(cell)
    np.testing.assert_array_equal(jax.tree_util.tree_unflatten(structure, leaves)(x, U[0]), cell(x, U[0]))


def test_other_functions_in_both_precisions(dtype):
    """The step Jacobian against float64's, which the differences above hold; the usual cell as it was."""
    functions = {"gate_activation": "hard_sigmoid_5", "activation": "elu"}
    double = GRU(*rows(3), reset="before", **functions)
    cell = jax.tree_util.tree_map(lambda leaf: leaf.astype(dtype), double)
    x, u = (0.5 * part.astype(dtype) for part in (PEEP[0], U[0]))
    found = jax.jit(step_jacobian)(cell, x, u)
    assert found.dtype == dtype
    columns = [(double(x + d, u) - double(x - d, u)) / 2e-6 for d in 1e-6 * np.eye(N)]
    np.testing.assert_allclose(found, np.transpose(columns), atol=2e-6 if dtype == "float32" else 1e-8)
    assert "gate_activation=hard_sigmoid_5, activation=elu" in repr(cell)
    usual, named = (
        GRU(*rows(3), **more) for more in ({}, {"gate_activation": "logistic", "activation": "tanh"})
    )
    assert "activation" not in repr(usual)
    assert jax.tree_util.tree_structure(usual) == jax.tree_util.tree_structure(named)


def test_what_a_gate_keeps_is_never_negative():
    cell = GRU(*rows(3), gate_activation="tanh")
    x = np.full(N, 0.3)
    np.testing.assert_array_equal(cell.carries(x, U[0])["update"], np.abs(cell.gates(x, U[0])["update"]))


def test_the_carousel_of_1997_is_exactly_one(dtype):
    """∂c⁺/∂c at fixed h is 1 at every step; with recurrent weights 0 the whole ∂c_T/∂c_0 is, over 1000 steps."""
    cell = LSTM1997(*(a.astype(dtype) for a in rows(3)))
    run = rollout(cell, RNG.normal(size=2 * N).astype(dtype), U.astype(dtype))
    carousel = np.asarray(step_jacobians(run))[:, N:, N:]
    np.testing.assert_array_equal(carousel, np.broadcast_to(np.eye(N), carousel.shape))
    alone = LSTM1997(*(a.astype(dtype) for a in (0 * rows(3)[0], *rows(3)[1:])))
    long = rollout(alone, np.zeros(2 * N, dtype), np.tile(U, (84, 1)).astype(dtype))
    np.testing.assert_array_equal(jacobian_product(long).to_float()[N:, N:], np.eye(N))


def test_a_forget_gate_of_one_half_halves():
    """No weights, bias 0: c⁺ = c/2 exactly, and so ‖∂x_T/∂x_k‖ falls by ln 2 a step."""
    run = rollout(LSTM(0 * W, 0 * B), RNG.normal(size=2 * N), steps=50)
    norms = np.asarray(gradient_norms(run))
    np.testing.assert_allclose(np.diff(norms[:-1]), np.log(2), atol=1e-12)


def test_an_identity_relu_network_passes_gradients_unchanged():
    run = rollout(irnn(np.full(N, 0.1)), np.ones(N), steps=300)
    np.testing.assert_array_equal(jacobian_product(run).to_float(), np.eye(N))


def test_gates_and_parts_have_names():
    cell, x = LSTM(W, B, IN), RNG.normal(size=2 * N)
    gates = cell.gates(x, U[0])
    assert set(gates) == {"input", "forget", "candidate", "output"}
    assert all(g.shape == (N,) for g in gates.values())
    parts = cell.split(rollout(cell, x, U).states)
    np.testing.assert_array_equal(parts["hidden"][0], x[:N])
    np.testing.assert_array_equal(parts["cell"][0], x[N:])
    assert set(GRU(*rows(3)).gates(x[:N], U[0])) == {"reset", "update", "candidate"}
    two = Stack([cell, LSTM(W, B, W[:, :N])])
    assert list(two.parts) == ["layer 0 hidden", "layer 0 cell", "layer 1 hidden", "layer 1 cell"]
    assert two.parts["layer 1 cell"] == slice(3 * N, 4 * N)


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: LSTM(W[:-1], B, IN), "W"),
        (lambda: LSTM(W, B[:-1], IN), "b"),
        (lambda: LSTM(W, B, IN[:-1]), "W_in"),
        (lambda: LSTM(W, B, IN, PEEP[:2]), "peepholes"),
        (lambda: GRU(*rows(3), BH, reset="before"), "b_hidden"),
        (lambda: GRU(*rows(3), reset="never"), "reset"),
        (lambda: GRU(*rows(3), activation="tahn"), "activation"),
        (lambda: GRU(*rows(3), gate_activation=3), "gate_activation"),
        (lambda: LSTM(W, B, gate_activation="hard_sigmoid"), "gate_activation"),
        (lambda: GRU(*rows(3), BH[:2]), "b_hidden"),
        (lambda: MinimalRNN(W[:N], V[:2], B[:N]), "V"),
        (lambda: MinimalGatedUnit(np.full((2 * N, N), np.nan), B[: 2 * N]), "W"),
        (lambda: Stack([]), "cells"),
        (lambda: ResidualRNN(V, BH, scale=0.0), "scale"),
        (lambda: AntisymmetricRNN(V, BH, damping=-1.0), "damping"),
        (lambda: SkipRNN(V, V, BH, skip=1), "skip"),
        (lambda: SkipRNN(V, V[:2], BH), "V"),
        (lambda: AttentionRNN(V, V, BH, query=V[:, :2], key=V, score=BH, span=2), "query"),
        (lambda: AttentionRNN(V, V, BH, query=V, key=V[:2], score=BH, span=2), "key"),
        (lambda: AttentionRNN(V, V, BH, query=V, key=V, score=BH[:2], span=2), "score"),
        (lambda: AttentionRNN(V, V, BH, query=V, key=V, score=BH, span=0), "span"),
        (lambda: Stack([jnp.tanh]), "sizes"),
        (lambda: Stack([3]), "cells"),
        (lambda: rollout(LSTM(W, B), np.zeros(2 * N), U), "inputs"),
    ],
)
def test_errors_name_the_argument(make, argument):
    with pytest.raises((TypeError, ValueError), match=rf"(^|, ){argument}(\[0\])?:"):
        make()


@pytest.mark.soak
@pytest.mark.parametrize("name", CELLS)
def test_contributions_of_all_lags_are_the_gradient(name):
    make, _, size = CELLS[name]
    cell, x0 = make(), np.linspace(-0.5, 0.5, size)

    def loss(states):
        return jnp.sum(jnp.sin(states)) + jnp.sum(jnp.square(states[-1]))

    found = credit_by_lag(rollout(cell, x0, U), loss, every_step=True)
    truth = jax.grad(lambda c: loss(rollout(c, x0, U).states[1:]))(cell)
    shares = jax.tree_util.tree_leaves(found.gradient, is_leaf=lambda leaf: hasattr(leaf, "to_float"))
    for got, expected in zip(shares, jax.tree_util.tree_leaves(truth), strict=True):
        np.testing.assert_allclose(
            got.to_float(), expected, rtol=0, atol=1e-11 * max(np.abs(expected).max(), 1e-3)
        )
