"""Equinox's cells as cells: outputs and ∂x_T/∂x_0 against Equinox itself and JAX's autodiff through it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.cells import GRU, LSTM
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import jacobian_product
from rnn_dynamics.interop import from_equinox

eqx = pytest.importorskip("equinox", reason="Equinox is not installed")
INPUTS, UNITS, STEPS = 2, 3, 100
KINDS = {"GRUCell": GRU, "LSTMCell": LSTM}


def _cell(kind, dtype, bias=True):
    cell = getattr(eqx.nn, kind)(INPUTS, UNITS, use_bias=bias, dtype=jnp.dtype(dtype), key=jax.random.key(3))
    # Twice the usual weights: saturation, and gradients that do not vanish at once.
    return jax.tree.map(lambda leaf: 2 * leaf if eqx.is_array(leaf) else leaf, cell)


def _start(kind, dtype):
    size = 2 * UNITS if kind == "LSTMCell" else UNITS
    keys = jax.random.split(jax.random.key(5))
    return jax.random.normal(keys[0], (STEPS, INPUTS), dtype), jax.random.normal(keys[1], (size,), dtype) / 2


@jax.jit
def _states(cell, x0, inputs):
    """Equinox's own run, its pair [h, c] as one vector."""
    paired = isinstance(cell, eqx.nn.LSTMCell)

    def step(x, u):
        x = jnp.concatenate(cell(u, tuple(jnp.split(x, 2)))) if paired else cell(u, x)
        return x, x

    return jax.lax.scan(step, x0, inputs)[1]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_states_and_jacobians_are_equinoxs(kind, bias, dtype):
    source = _cell(kind, dtype, bias)
    inputs, x0 = _start(kind, dtype)
    cell = from_equinox(source)
    assert type(cell) is KINDS[kind]
    run = rollout(cell, x0, inputs)
    assert run.states.dtype == dtype
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(run.states[1:], _states(source, x0, inputs), atol=tolerance)
    truth = jax.jacobian(lambda x: _states(source, x, inputs)[-1])(x0)
    tolerance = 1e-3 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(
        jacobian_product(run).to_float(), truth, rtol=tolerance, atol=tolerance * np.abs(truth).max()
    )


def _with(name, value):
    return eqx.tree_at(
        lambda c: getattr(c, name), _cell("GRUCell", "float32"), value, is_leaf=lambda x: x is None
    )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (lambda: 3, r"^source: .*GRUCell.*int"),
        (lambda: eqx.nn.Linear(2, 3, key=jax.random.key(0)), r"^source: .*Linear"),
        (lambda: _with("weight_ih", None), r"^source: .*weight_ih.*missing"),
        (lambda: _with("bias_n", None), r"^source: .*bias_n.*missing"),
        (lambda: _with("weight_hh", jnp.zeros((8, 3))), r"^source: .*weight_hh.*\(9, 3\).*\(8, 3\)"),
        (lambda: _with("weight_hh", jnp.zeros(9)), r"^source: .*weight_hh"),
        (lambda: _with("weight_ih", jnp.zeros((8, 2))), r"^source: .*weight_ih.*\(9, any\)"),
        (lambda: _with("bias", jnp.zeros(3)), r"^source: .*bias.*\(9,\)"),
        (lambda: _with("bias", jnp.zeros(9, int)), r"^source: .*bias.*float32"),
    ],
)
def test_errors_name_what_is_wrong(source, words):
    with pytest.raises((TypeError, ValueError), match=words):
        from_equinox(source())
