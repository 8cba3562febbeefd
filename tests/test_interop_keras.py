"""Keras' layers as cells: outputs and ∂x_T/∂x_0 as Keras and JAX computed them (data/make_keras.py)."""

import contextlib
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from rnn_dynamics.cells import GRU, LSTM, ElmanRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import jacobian_product
from rnn_dynamics.interop import from_keras

DATA = np.load(Path(__file__).parent / "data" / "keras.npz")
INPUTS = DATA["inputs"]
LAYERS = {
    "rnn_tanh": (ElmanRNN, {"activation": "tanh"}),
    "rnn_relu": (ElmanRNN, {"activation": "relu"}),
    "rnn_plain": (ElmanRNN, {"kind": "SimpleRNN", "activation": "tanh"}),
    "lstm": (LSTM, {}),
    "lstm_plain": (LSTM, {"kind": "LSTM"}),
    "gru_after": (GRU, {"kind": "GRU", "reset_after": True}),
    "gru_before": (GRU, {}),
    "gru_after_plain": (GRU, {"reset_after": True}),
    "gru_before_plain": (GRU, {"reset_after": False}),
}


def weights(name, dtype="float32"):
    keys = sorted(key for key in DATA.files if key.startswith(f"{name}/weight_"))
    return [DATA[key].astype(dtype) for key in keys]


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_and_jacobians_are_keras(name):
    cls, options = LAYERS[name]
    cell = from_keras(weights(name), **options)
    assert type(cell) is cls
    assert cls is not GRU or cell.reset == name.split("_")[1]
    run = rollout(cell, DATA[f"{name}/x0"], INPUTS)
    np.testing.assert_allclose(run.states[1:, :3], DATA[f"{name}/outputs"], rtol=1e-6, atol=4e-6)
    double = from_keras(weights(name, "float64"), **options)
    run = rollout(double, DATA[f"{name}/x0"].astype(float), INPUTS.astype(float))
    np.testing.assert_allclose(run.final, DATA[f"{name}/last"], rtol=1e-12, atol=1e-14)
    jacobian, truth = jacobian_product(run).to_float(), DATA[f"{name}/jacobian"]
    np.testing.assert_allclose(jacobian, truth, rtol=1e-10, atol=1e-12 * max(np.abs(truth).max(), 1e-300))


def _layer(kind, name, **attributes):
    """A stand-in with the attributes that a layer of Keras has."""

    def sigmoid():
        """Named as Keras names it."""

    def tanh():
        """Named as Keras names it."""

    tanh.__module__ = sigmoid.__module__ = "keras.src.activations.activations"
    defaults = {"activation": tanh, "recurrent_activation": sigmoid, "reset_after": name != "gru_before"}
    fields = defaults | {"get_weights": lambda: weights(name)} | attributes
    return type(kind, (SimpleNamespace,), {})(**fields)


def test_a_layer_tells_its_kind_and_settings():
    for kind, name in (
        ("GRU", "gru_before"),
        ("GRUCell", "gru_before_plain"),
        ("LSTM", "lstm"),
        ("SimpleRNNCell", "rnn_tanh"),
    ):
        layer = _layer(kind, name, **({"reset_after": False} if "before" in name else {}))
        cell = from_keras(layer)
        np.testing.assert_array_equal(cell.W, from_keras(weights(name), **LAYERS[name][1]).W)
    assert from_keras(_layer("GRU", "gru_before", reset_after=False)).reset == "before"


def tanh(x):
    """No hyperbolic tangent, whatever its name."""


def _bare(name, **changes):
    found = weights(name)
    for i, value in changes.items():
        found[int(i[1:])] = value
    return found


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (lambda: 3, {}, r"^source: .*int"),
        (lambda: _layer("Dense", "lstm"), {}, r"^source: .*Dense"),
        (lambda: _layer("Bidirectional", "lstm"), {}, r"^source: .*forward_layer"),
        (lambda: _layer("LSTM", "lstm", get_weights=list), {}, r"^source: .*not built"),
        (lambda: _layer("LSTM", "lstm", go_backwards=True), {}, r"^source: .*go_backwards"),
        (lambda: _layer("LSTM", "lstm", activation=None), {}, r"^source: .*activation 'tanh'.*'linear'"),
        (
            lambda: _layer("LSTM", "lstm", recurrent_activation=max),
            {},
            r"^source: .*recurrent_.*'builtins.max'",
        ),
        (lambda: _layer("SimpleRNN", "rnn_tanh", activation=max), {}, r"^source: .*activation.*max"),
        (lambda: _layer("LSTM", "lstm", activation=tanh), {}, r"^source: .*activation 'tanh'.*keras.tanh'"),
        (lambda: _layer("RNN", "lstm"), {}, r"^source: .*RNN; choose its cell"),
        (lambda: _layer("LSTM", "lstm", compute_dtype="float16"), {}, r"^source: .*float16"),
        (lambda: _layer("LSTM", "lstm"), {"kind": "GRU"}, r"^kind: .*'LSTM'.*'GRU'"),
        (lambda: _layer("GRU", "gru_after"), {"reset_after": False}, r"^reset_after: .*True"),
        (lambda: weights("lstm")[:1], {}, r"^source: .*1 arrays"),
        (lambda: weights("lstm"), {"kind": "GRU"}, r"^kind: .*'LSTM'.*'GRU'"),
        (lambda: weights("lstm"), {"kind": "transformer"}, r"^kind"),
        (lambda: weights("lstm"), {"activation": "tanh"}, r"^activation: .*LSTM"),
        (lambda: weights("lstm"), {"reset_after": True}, r"^reset_after: .*LSTM"),
        (lambda: weights("rnn_tanh"), {}, r"^activation: .*'tanh'.*None"),
        (lambda: weights("rnn_tanh"), {"activation": "elu"}, r"^activation: "),
        (lambda: weights("gru_after_plain"), {}, r"^reset_after: .*None"),
        (lambda: weights("gru_after"), {"reset_after": False}, r"^reset_after: .*True"),
        (lambda: _bare("lstm", _0=np.zeros((2, 9), np.float32)), {}, r"^source: .*kernel.*12.*\(2, 9\)"),
        (
            lambda: _bare("lstm", _1=np.zeros((3, 7), np.float32)),
            {},
            r"^source: .*recurrent_kernel.*\(3, 7\)",
        ),
        (lambda: _bare("lstm", _1=np.zeros(3, np.float32)), {}, r"^source: .*recurrent_kernel.*\(3,\)"),
        (lambda: _bare("lstm", _2=np.zeros(3, np.float32)), {}, r"^source: .*bias.*\(12,\).*\(3,\)"),
        (lambda: _bare("gru_after", _2=np.zeros((2, 3), np.float32)), {}, r"^source: .*bias.*\(2, 9\)"),
        (lambda: _bare("lstm", _0=np.zeros((2, 12), int)), {}, r"^source: .*kernel in float32.*int"),
        (lambda: _bare("lstm", _0=object()), {}, r"^source: .*kernel"),
    ],
)
def test_errors_name_what_is_wrong(source, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        from_keras(source(), **options)


@contextlib.contextmanager
def _usual_settings():
    """JAX's own defaults, which Keras needs."""
    with (
        jax.enable_x64(False),
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        jax.default_matmul_precision("highest"),
    ):
        yield


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras' own get_weights
def test_layers_of_keras_itself(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    inputs = INPUTS[None, :20]
    for layer, size in (
        (keras.layers.SimpleRNN(3, activation="relu", return_sequences=True), 3),
        (keras.layers.LSTM(3, return_sequences=True), 6),
        (keras.layers.GRU(3, return_sequences=True), 3),
        (keras.layers.GRU(3, reset_after=False, return_sequences=True), 3),
        (keras.layers.GRU(3, use_bias=False, dropout=0.5, unroll=True, return_sequences=True), 3),
    ):
        with _usual_settings():
            truth = np.asarray(layer(inputs))[0]
        run = rollout(from_keras(layer), np.zeros(size, np.float32), inputs[0])
        np.testing.assert_allclose(run.states[1:, :3], truth, atol=2e-6)
    with pytest.raises(ValueError, match="not built"):
        from_keras(keras.layers.LSTM(3))
    layer = keras.layers.LSTM(3, go_backwards=True)
    with _usual_settings():
        layer.build((1, 5, 2))
    with pytest.raises(ValueError, match="go_backwards"):
        from_keras(layer)
