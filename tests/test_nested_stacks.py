"""Stacks inside stacks, as importing two modules in a row gives: one map, and one name for every layer of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics.cells import GRU, LSTM, ElmanRNN, LeakyRNN, Stack
from rnn_dynamics.cells.pytree import cell_type, layer_name, set_fields
from rnn_dynamics.diagnosis import diagnose
from rnn_dynamics.diagnosis.remedies import _memory

RNG = np.random.default_rng(11)
N, STEPS = 3, 12


def normal(*shape):
    return RNG.normal(size=shape) / 2


def lstm(inputs, units=N):
    return LSTM(normal(4 * units, units), normal(4 * units), normal(4 * units, inputs))


def gru(inputs, units=N):
    return GRU(normal(3 * units, units), normal(3 * units), normal(3 * units, inputs), normal(units))


def elman(inputs, units=N):
    return ElmanRNN(normal(units, units), normal(units), normal(units, inputs))


def leaky(inputs, units=N):
    return LeakyRNN(normal(units, units), normal(units), normal(units, inputs))


A, B, C, D = lstm(2), elman(N), gru(N), leaky(N)
U = RNG.normal(size=(STEPS, 2))
FLAT = Stack([A, B, C, D])
X = RNG.normal(size=5 * N)
NESTED = {
    "first": Stack([Stack([A, B]), C, D]),
    "last": Stack([A, Stack([B, C, D])]),
    "both": Stack([Stack([A, B]), Stack([C, D])]),
    "three deep": Stack([Stack([Stack([A, B]), C]), D]),
    "of one": Stack([Stack([Stack([A])]), Stack([B]), C, Stack([Stack([D])])]),
    "alone": Stack([Stack([Stack([A, B, C, D])])]),
}


@pytest.mark.parametrize("name", NESTED)
def test_any_nesting_is_the_flat_stack(name):
    nested = NESTED[name]
    assert nested.parts == FLAT.parts
    assert jax.tree_util.tree_structure(nested) == jax.tree_util.tree_structure(FLAT)
    run, flat = rd.rollout(nested, X, U), rd.rollout(FLAT, X, U)
    np.testing.assert_array_equal(run.states, flat.states)
    for method in ("gates", "carries"):
        found, expected = getattr(nested, method)(X, U[0]), getattr(FLAT, method)(X, U[0])
        assert list(found) == list(expected)
        for key, value in found.items():
            np.testing.assert_array_equal(value, expected[key])


def test_every_name_tells_of_its_own_layer():
    """Against each layer by itself, given what the layer below puts out."""
    nested = NESTED["three deep"]
    states, below = nested.split(jnp.asarray(X)), jnp.asarray(U[0])
    gates, carries, following = nested.gates(X, U[0]), nested.carries(X, U[0]), nested.split(nested(X, U[0]))
    for i, cell in enumerate((A, B, C, D)):
        own = [value for key, value in states.items() if key.split()[1] == str(i)]
        state = jnp.concatenate(own)
        for method, found in (("gates", gates), ("carries", carries)):
            if hasattr(cell, method):
                for key, value in getattr(cell, method)(state, below).items():
                    np.testing.assert_array_equal(found[layer_name(i, key)], value)
        later = cell(state, below)
        named = [value for key, value in following.items() if key.split()[1] == str(i)]
        np.testing.assert_array_equal(jnp.concatenate(named), later)
        below = later[:N]
    assert set(nested.parts) == {"layer 0 hidden", "layer 0 cell", "layer 1", "layer 2", "layer 3"}
    assert {key.split()[1] for key in gates} == {"0", "2"}
    assert {key.split()[1] for key in carries} == {"0", "2", "3"}


def test_credit_and_parts_by_the_same_names():
    run = rd.rollout(NESTED["both"], X, U)
    found = rd.credit_by_lag(run, lambda x: jnp.sum(jnp.square(x)))
    assert set(found.by("layer")) == {f"layer {i}" for i in range(4)}
    whole = jax.grad(lambda cell: jnp.sum(jnp.square(rd.rollout(cell, X, U).final)))(run.cell)
    groups = {}
    for group in found.groups:
        groups.setdefault(group.layer, []).append(group)
    for i, cell in enumerate(whole.cells):
        size = sum(group.stop - group.start for group in groups[f"layer {i}"])
        assert size == sum(leaf.size for leaf in jax.tree_util.tree_leaves(cell))
    np.testing.assert_array_equal(found.part("layer 2").unit.shape[-1], N)
    assert rd.gradients.part_norms(run, "layer 0 cell", "layer 0 hidden").shape == (STEPS + 1,)
    with pytest.raises(ValueError, match="layer 0 hidden"):
        rd.gradients.part_norms(run, "layer 0")


def test_the_verdict_names_the_layer_that_forgets():
    """The last of three LSTMs, the inner stack's, keeps most; and so on for each."""
    for slow in range(3):
        biases = [np.repeat([0.0, 3.0 if i == slow else -3.0, 0.0, 0.0], N) for i in range(3)]
        small = [0.01 * normal(4 * N, N) for _ in range(6)]
        layers = [LSTM(small[2 * i], biases[i], small[2 * i + 1]) for i in range(3)]
        stack = Stack([layers[0], Stack([layers[1], layers[2]])])
        found = diagnose(rd.rollout(stack, np.full(6 * N, 0.1), RNG.normal(size=(60, N))))
        assert max(found.carries, key=lambda key: found.carries[key]) == f"layer {slow} forget"
        assert {key.split()[1] for key in found.gates} == {"0", "1", "2"}
        assert _memory(stack, f"layer {slow} forget") == f"a larger bias of the forget gate in layer {slow}"
        assert str(found)


def test_modules_imported_in_a_row_are_wired_in_a_row():
    """Two networks of two LSTM layers: the second reads the hidden state of the first one's upper layer."""

    def weights(inputs):
        return {
            f"{kind}_{which}_l{layer}": normal(*shape)
            for layer, width in ((0, inputs), (1, N))
            for kind, which, shape in (
                ("weight", "ih", (4 * N, width)),
                ("weight", "hh", (4 * N, N)),
                ("bias", "ih", (4 * N,)),
                ("bias", "hh", (4 * N,)),
            )
        }

    first, second = (rd.interop.from_torch(weights(width)) for width in (2, N))
    both = Stack((first, second))
    run = rd.rollout(both, None, U)
    lower = rd.rollout(first, None, U)
    upper = rd.rollout(second, None, lower.states[1:, 2 * N : 3 * N])
    np.testing.assert_allclose(
        run.states, np.concatenate([lower.states, upper.states], 1), rtol=1e-13, atol=1e-15
    )
    assert diagnose(run).gates.keys() == {
        f"layer {i} {gate}" for i in range(4) for gate in ("input", "forget", "output")
    }


def test_a_layer_as_wide_as_the_whole_state_below_still_takes_it():
    inner = Stack([A, B])
    wide = elman(3 * N)
    nested = Stack([inner, wide, D])
    x, u = jnp.asarray(X[: 5 * N]), jnp.asarray(U[0])
    lower = inner(x[: 3 * N], u)
    middle = wide(x[3 * N : 4 * N], lower)
    expected = jnp.concatenate([lower, middle, D(x[4 * N :], middle)])
    np.testing.assert_array_equal(nested(x, u), expected)
    assert (nested.reads, NESTED["both"].reads) == ((0, 0, 2, 0), None)
    np.testing.assert_array_equal(Stack([nested, C])(jnp.append(x, x[:N]), u)[: 5 * N], expected)
    alone = Stack([Stack([A]), elman(2 * N)])
    assert alone(x[: 3 * N], u).shape == (3 * N,)


@cell_type()
class Halved:
    """A cell of one's own around a network, which hands its parts on."""

    inner: Stack

    def __init__(self, inner):
        set_fields(self, inner=inner)

    @property
    def parts(self):
        return self.inner.parts

    def gates(self, x, u):
        return self.inner.gates(x, u)

    def __call__(self, x, u):
        return self.inner(x, u) / 2


def test_a_wrapper_around_a_stack_within_a_stack():
    wrapped = Stack([elman(2), Halved(Stack([lstm(N), gru(N)]))])
    assert list(wrapped.parts) == ["layer 0", "layer 1.0 hidden", "layer 1.0 cell", "layer 1.1"]
    run = rd.rollout(wrapped, np.full(4 * N, 0.1), U)
    found = diagnose(run)
    assert {key.split()[1] for key in found.gates} == {"1.0", "1.1"}
    credit = rd.credit_by_lag(run, lambda x: jnp.sum(x))
    assert set(credit.by("layer")) == {"layer 0", "layer 1.0", "layer 1.1"}
    assert _memory(wrapped, "layer 1.1 update").endswith("in layer 1.1")


def test_sizes_of_inner_stacks_are_checked():
    with pytest.raises(ValueError, match=r"^sizes\[0\]: expected 9"):
        Stack([Stack([A, B]), C], sizes=(8, 3))
    assert Stack([Stack([A, B]), C], sizes=(9, 3)).sizes == (6, 3, 3)
