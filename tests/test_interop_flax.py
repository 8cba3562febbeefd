"""Flax's cells as cells: outputs and ∂x_T/∂x_0 as Flax and JAX computed them (data/make_flax.py)."""

from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from rnn_dynamics.cells import GRU, LSTM, ElmanRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import jacobian_product
from rnn_dynamics.interop import from_flax

DATA = np.load(Path(__file__).parent / "data" / "flax.npz")
INPUTS = DATA["inputs"]
LINEN = {
    "linen_simple": (ElmanRNN, {"activation": "tanh"}),
    "linen_residual": (ElmanRNN, {"kind": "SimpleCell", "activation": "sigmoid", "residual": True}),
    "linen_gru": (GRU, {}),
    "linen_lstm": (LSTM, {}),
    "linen_lstm_optimized": (LSTM, {"kind": "OptimizedLSTMCell"}),
}
NNX = {
    "nnx_simple": ("SimpleCell", {"activation_fn": jax.nn.relu, "residual": False}),
    "nnx_residual": ("SimpleCell", {"activation_fn": jax.nn.tanh, "residual": True}),
    "nnx_gru": ("GRUCell", {}),
    "nnx_lstm": ("LSTMCell", {}),
    "nnx_lstm_optimized": ("OptimizedLSTMCell", {}),
}


def params(name, dtype="float32"):
    found = {}
    for key in DATA.files:
        if key.startswith(f"{name}/params/"):
            *_, layer, which = key.split("/")
            found.setdefault(layer, {})[which] = DATA[key].astype(dtype)
    return found


def module(name, dtype="float32", **changes):
    """A stand-in with the attributes that a module of nnx has."""
    kind, options = NNX[name]
    layers = {layer: SimpleNamespace(**({"bias": None} | w)) for layer, w in params(name, dtype).items()}
    options = {"activation_fn": jax.nn.tanh, "gate_fn": jax.nn.sigmoid, "dtype": None} | options
    return type(kind, (SimpleNamespace,), {})(**(layers | options | changes))


def check(name, make):
    run = rollout(make("float32"), DATA[f"{name}/x0"], INPUTS)
    np.testing.assert_allclose(run.states[1:, :3], DATA[f"{name}/outputs"], rtol=2e-6, atol=4e-6)
    run = rollout(make("float64"), DATA[f"{name}/x0"].astype(float), INPUTS.astype(float))
    np.testing.assert_allclose(run.final, DATA[f"{name}/last"], rtol=1e-12, atol=1e-14)
    jacobian, truth = jacobian_product(run).to_float(), DATA[f"{name}/jacobian"]
    assert np.abs(truth).max() > 0
    np.testing.assert_allclose(jacobian, truth, rtol=1e-10, atol=1e-12 * np.abs(truth).max())


@pytest.mark.parametrize("name", LINEN)
def test_outputs_and_jacobians_are_linens(name):
    cls, options = LINEN[name]
    assert type(from_flax({"params": params(name)}, **options)) is cls
    check(name, lambda dtype: from_flax(params(name, dtype), **options))


@pytest.mark.parametrize("name", NNX)
def test_outputs_and_jacobians_are_those_of_nnx(name):
    check(name, lambda dtype: from_flax(module(name, dtype)))


def _changed(name, layer, **arrays):
    found = params(name)
    found[layer] = found[layer] | arrays
    return found


def tanh(x):
    """No hyperbolic tangent, whatever its name."""


def _without(name, layer, which=None):
    found = params(name)
    if which is None:
        return {key: value for key, value in found.items() if key != layer}
    return found | {layer: {key: value for key, value in found[layer].items() if key != which}}


ZEROS = np.zeros((3, 3), np.float32)


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (lambda: 3, {}, r"^source: .*int"),
        (lambda: SimpleNamespace(dense_i=3), {}, r"^source: .*SimpleNamespace"),
        (lambda: module("nnx_gru", dense_h=SimpleNamespace(kernel=ZEROS)), {}, r"^source: .*dense_h/kernel"),
        (lambda: module("nnx_gru", dense_i=SimpleNamespace(kernel=ZEROS)), {}, r"dense_i/bias.*missing"),
        (lambda: module("nnx_gru", gate_fn=jax.nn.relu), {}, r"^source: .*gate_fn 'sigmoid'.*'relu'"),
        (lambda: module("nnx_simple", activation_fn=tanh), {}, r"^source: .*activation_fn.*flax.tanh'"),
        (lambda: module("nnx_simple", activation_fn=jax.nn.elu), {}, r"^source: .*activation_fn.*'elu'"),
        (lambda: module("nnx_gru", dtype=jax.numpy.bfloat16), {}, r"^source: .*bfloat16"),
        (lambda: module("nnx_gru"), {"kind": "LSTMCell"}, r"^kind: .*'GRUCell'.*'LSTMCell'"),
        (lambda: module("nnx_simple"), {"residual": True}, r"^residual: .*False"),
        (lambda: module("nnx_simple"), {"activation": "tanh"}, r"^activation: .*'relu'.*'tanh'"),
        (lambda: params("linen_lstm"), {"kind": "GRUCell"}, r"^kind: .*'LSTMCell'.*'GRUCell'"),
        (lambda: params("linen_lstm"), {"kind": "transformer"}, r"^kind: "),
        (lambda: params("linen_lstm"), {"activation": "tanh"}, r"^activation: .*LSTMCell"),
        (lambda: params("linen_gru"), {"residual": False}, r"^residual: .*GRUCell"),
        (lambda: params("linen_simple"), {}, r"^activation: .*'tanh'.*None"),
        (lambda: params("linen_simple"), {"activation": "elu"}, r"^activation: "),
        (lambda: {"cell": params("linen_lstm")}, {}, r"^source: .*'cell'"),
        (lambda: _without("linen_lstm", "hf"), {}, r"^source: .*names"),
        (lambda: _without("linen_lstm", "hf"), {"kind": "LSTMCell"}, r"^source: .*hf.*missing"),
        (lambda: params("linen_gru") | {"head": {}}, {"kind": "GRUCell"}, r"^source: .*head"),
        (lambda: params("linen_gru") | {"hr": 3}, {}, r"^source: .*hr as a mapping.*int"),
        (lambda: _without("linen_gru", "hn", "bias"), {}, r"^source: .*hn/bias.*missing"),
        (lambda: _changed("linen_gru", "hr", bias=ZEROS[0]), {}, r"^source: .*hr/bias"),
        (lambda: _changed("linen_gru", "iz", bias=ZEROS[0, :2]), {}, r"^source: .*iz/bias.*\(3,\).*\(2,\)"),
        (lambda: _changed("linen_gru", "hn", kernel=ZEROS[:2]), {}, r"^source: .*hn/kernel.*\(3, 3\)"),
        (lambda: _changed("linen_gru", "in", kernel=ZEROS), {}, r"^source: .*in/kernel.*\(2, 3\)"),
        (lambda: _changed("linen_gru", "hr", kernel=ZEROS.astype(int)), {}, r"^source: .*hr/kernel.*float32"),
    ],
)
def test_errors_name_what_is_wrong(source, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        from_flax(source(), **options)


def test_modules_of_flax_itself():
    pytest.importorskip("flax", reason="Flax is not installed")
    from flax import linen, nnx

    x, u = np.full(3, 0.5, np.float32), INPUTS[0]
    for cls, carry in (
        (nnx.SimpleCell, x),
        (nnx.GRUCell, x),
        (nnx.LSTMCell, (x, x)),
        (nnx.OptimizedLSTMCell, (x, x)),
    ):
        with jax.numpy_rank_promotion("allow"):
            source = cls(2, 3, rngs=nnx.Rngs(0))
            truth = source(carry, u)[1]
        cell = from_flax(source)
        x0 = np.concatenate([x, x]) if "LSTM" in cls.__name__ else x
        np.testing.assert_allclose(cell(x0, u)[:3], truth, rtol=1e-6, atol=1e-7)
    boxed = linen.GRUCell(3, kernel_init=linen.with_partitioning(linen.initializers.ones, (None, "model")))
    with jax.numpy_rank_promotion("allow"):
        variables = boxed.init(jax.random.key(0), x, u)
        truth = boxed.apply(variables, x, u)[1]
    np.testing.assert_allclose(from_flax(variables)(x, u), truth, rtol=1e-6)
    with pytest.raises(TypeError, match="linen's GRUCell"):
        from_flax(boxed)
