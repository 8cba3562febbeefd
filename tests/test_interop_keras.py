"""Keras' layers as cells: outputs and ∂x_T/∂x_0 as Keras and JAX computed them (data/make_keras.py)."""

import contextlib
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics.cells import GRU, LSTM, ElmanRNN
from rnn_dynamics.cells.activations import leaky_relu
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import jacobian_product
from rnn_dynamics.interop import from_keras
from rnn_dynamics.interop.keras.order import chains, networks_of

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


def _named(name, package="keras"):
    """A function of that name in a package; of Keras, in a version that nothing tells."""

    def function(x):
        """Named as another."""

    function.__name__, function.__module__ = name, f"{package}.src.activations"
    return function


def _subclass(kind, **own):
    """A layer of a class of one's own that is made of one of Keras'."""
    layer = _layer(kind, "lstm")
    mine = type("Mine", (type(layer),), own)
    return mine(**vars(layer))


def _layer_of_lstm():
    return _layer("LSTM", "lstm")


@pytest.mark.parametrize(
    ("package", "version", "expected"),
    [
        ("tf_keras", None, "5"),
        ("tensorflow", None, "5"),
        ("jax", None, "6"),
        ("keras", "2.15.0", "5"),
        ("keras", "3.1", "6"),
    ],
)
def test_the_hard_sigmoid_is_that_of_the_version(monkeypatch, package, version, expected):
    if version:
        monkeypatch.setitem(sys.modules, "keras", SimpleNamespace(__version__=version))
    gate = _named("hard_sigmoid", package)
    cell = from_keras(_layer("LSTM", "lstm", recurrent_activation=gate))
    assert cell.gate_activation.name == f"hard_sigmoid_{expected}"


def test_what_is_made_of_layers():
    one, two = _layer("LSTMCell", "lstm"), _layer("GRUCell", "gru_after")
    stacked = _layer("RNN", "lstm", cell=_layer("StackedRNNCells", "lstm", cells=[one, two]))
    assert [type(each) for each in from_keras(stacked).cells] == [LSTM, GRU]
    assert type(from_keras(_subclass("LSTM", extra=3))) is LSTM
    back = _layer("GRU", "gru_after", go_backwards=True)
    both = _layer("Bidirectional", "lstm", forward_layer=_layer("LSTM", "lstm"), backward_layer=back)
    assert type(from_keras(both, direction="forward")) is LSTM
    assert type(from_keras(both, direction="reverse")) is GRU
    leaky = type("LeakyReLU", (SimpleNamespace,), {})(get_config=lambda: {"negative_slope": 0.25}, weights=[])
    assert from_keras(_layer("GRU", "gru_after", activation=leaky)).activation is leaky_relu(0.25)
    # By its name the function of Keras, whose slope is not that of the library's own.
    assert from_keras(_layer("GRU", "gru_after", activation=_named("leaky_relu"))).activation is leaky_relu(
        0.2
    )
    linear = from_keras(_layer("GRU", "gru_after", activation=None))
    assert linear.activation.name == "linear"


def test_models_are_their_recurrent_layers():
    layers = {"a": _layer("LSTM", "lstm"), "b": _layer("GRU", "gru_after")}
    items = [
        {"class_name": "LSTM", "config": {"name": "a", "return_sequences": True}},
        {"class_name": "GRU", "config": {"name": "b"}},
    ]

    def model(*items):
        made = type("Sequential", (SimpleNamespace,), {})
        return made(get_config=lambda: {"layers": list(items)}, get_layer=layers.__getitem__)

    assert [type(each) for each in from_keras(model(*items)).cells] == [LSTM, GRU]
    assert type(from_keras(model({"class_name": "Dense", "config": {"name": "d"}}, items[1]))) is GRU
    unlike = {"class_name": "Lambda", "config": {"name": "c"}}
    own = {"class_name": "Own", "config": {"name": "o"}, "registered_name": "Custom>Own"}
    calls = " or ".join(rf'rd\.interop\.from_keras\(model\.get_layer\("{name}"\)\)' for name in "ab") + "$"
    for given, words in (
        ((items[0], unlike, items[1]), rf"^source: .*lies c \(Lambda\): {calls}"),
        ((own, items[1]), r"^source: .*passed over.*o \(Own\)"),
        ((unlike,), r"^source: .*got none"),
    ):
        with pytest.raises(ValueError, match=words):
            from_keras(model(*given))
    with pytest.raises(ValueError, match=r"^activation: .*model"):
        from_keras(model(*items), activation="tanh")


def test_two_bidirectional_layers_with_a_dense_one_between_are_joined_as_printed():
    def inner(name):
        return {"class_name": "LSTM", "config": {"name": name, "return_sequences": True}}

    both = [
        {"class_name": "Bidirectional", "config": {"name": n, "layer": inner(n)}} for n in ("first", "second")
    ]
    dense = {"class_name": "Dense", "config": {"name": "d"}}
    back = _layer("LSTM", "lstm", go_backwards=True)
    layer = _layer("Bidirectional", "lstm", forward_layer=_layer("LSTM", "lstm"), backward_layer=back)
    items = [both[0], dense, both[1]]
    model = type("Sequential", (SimpleNamespace,), {})(
        get_config=lambda: {"layers": items}, get_layer={"first": layer, "second": layer}.__getitem__
    )
    with pytest.raises(ValueError, match=r"lies d \(Dense\)") as caught:
        from_keras(model)
    calls = re.findall(r"rd\.interop\.from_keras\(model\.get_layer\(\"\w+\"\)\)", str(caught.value))
    assert len(calls) == 2
    (joins,) = re.findall(r"rd\.Bidirectional\(.*?=\[dense\]\)", str(caught.value))
    a, b = (eval(call, {"rd": rd, "model": model}) for call in calls)
    width = b.inputs
    known = {"rd": rd, "a": a, "b": b, "dense": lambda y: y[:width]}
    assert eval(joins, known).run(np.ones((3, a.inputs), np.float32)).outputs.shape == (3, b.width())


@pytest.mark.parametrize("bias", [True, False])
def test_a_dense_without_a_function_is_part_of_what_is_above_it(bias):
    """Both directions of the upper layer read Kᵀ y + c of what the lower one gives."""
    layer = {"class_name": "LSTM", "config": {"name": "inner", "return_sequences": True}}
    dense = {"class_name": "Dense", "config": {"activation": "linear", "use_bias": bias}}
    items = [
        {"class_name": "Bidirectional", "config": {"name": "first", "layer": layer}},
        {"class_name": "TimeDistributed", "config": {"name": "d", "layer": dense}},
        {"class_name": "Bidirectional", "config": {"name": "second", "layer": layer}},
    ]
    halves = {
        "forward_layer": _layer("LSTM", "lstm"),
        "backward_layer": _layer("LSTM", "lstm", go_backwards=True),
    }
    both = _layer("Bidirectional", "lstm", **halves)
    width = from_keras(both).inputs
    draws = np.random.default_rng(0)
    K, c = draws.normal(size=(from_keras(both).width(), width)), draws.normal(size=width)
    weights_of_it = SimpleNamespace(get_weights=lambda: [K, c] if bias else [K])
    layers = {"first": both, "second": both, "d": weights_of_it}
    model = type("Sequential", (SimpleNamespace,), {})
    found = from_keras(model(get_config=lambda: {"layers": items}, get_layer=layers.__getitem__))
    pairs = from_keras(both).layers * 2
    truth = rd.Bidirectional(pairs, between=[lambda y: y @ K.astype("f4") + c.astype("f4") * bias])
    inputs = draws.normal(size=(7, width))
    np.testing.assert_allclose(found.run(inputs).outputs, truth.run(inputs).outputs, rtol=0, atol=2e-6)
    dense["config"]["activation"] = "relu"
    with pytest.raises(ValueError, match=r"lies d \(TimeDistributed\)"):
        from_keras(model(get_config=lambda: {"layers": items}, get_layer=layers.__getitem__))


def test_lists_gate_by_gate_and_of_cudnn():
    """Keras 1's order i, c, f, o; cuDNN's buffers, whose conversion is ``_convert_rnn_weights`` of Keras 2.2.5."""
    kernel, recurrent, bias = weights("lstm")
    parts = [np.split(array, 4, axis=-1) for array in (kernel, recurrent, bias)]
    gate_by_gate = [part[gate] for gate in (0, 2, 1, 3) for part in parts]
    plain = from_keras(weights("lstm"))
    np.testing.assert_array_equal(from_keras(gate_by_gate).W, plain.W)
    np.testing.assert_array_equal(from_keras(gate_by_gate).W_in, plain.W_in)
    fused = [
        np.hstack([k.T.reshape(k.shape, order="C") for k in parts[0]]),
        np.hstack([k.T for k in parts[1]]),
        np.tile(0.5 * bias, 2),
    ]
    for name in ("W", "b", "W_in"):
        np.testing.assert_array_equal(getattr(from_keras(fused), name), getattr(plain, name))
    kernel, recurrent, bias = weights("gru_after")
    fused = [
        np.hstack([k.T.reshape(k.shape, order="C") for k in np.hsplit(kernel, 3)]),
        np.hstack([k.T for k in np.hsplit(recurrent, 3)]),
        bias.reshape(-1),
    ]
    plain = from_keras(weights("gru_after"))
    for name in ("W", "b", "W_in", "b_hidden"):
        np.testing.assert_array_equal(getattr(from_keras(fused), name), getattr(plain, name))


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
        (
            lambda: _layer("Bidirectional", "lstm", merge_mode=None),
            {},
            r'^source: .*None.*direction="forward"',
        ),
        (lambda: _layer("LSTM", "lstm", get_weights=list), {}, r"^source: .*not built"),
        (lambda: _layer("LSTM", "lstm", go_backwards=True), {}, r'^direction: .*"reverse".*go_backwards'),
        (lambda: _layer("LSTM", "lstm"), {"direction": "reverse"}, r'^direction: .*"forward"'),
        (lambda: weights("lstm"), {"direction": "reverse"}, r"^direction: .*list"),
        (lambda: weights("lstm"), {"direction": "up"}, r"^direction: .*'up'"),
        (
            lambda: _layer("LSTM", "lstm", recurrent_activation=max),
            {},
            r"^source: .*recurrent_activation.*'builtins.max'",
        ),
        (lambda: _layer("SimpleRNN", "rnn_tanh", activation=max), {}, r"^source: .*activation.*max"),
        (lambda: _layer("LSTM", "lstm", activation=tanh), {}, r"^source: .*as activation.*keras.tanh'"),
        (
            lambda: _layer("LSTM", "lstm", activation=_named("softmax")),
            {},
            r"^source: .*activation.*'softmax'",
        ),
        (lambda: _layer("LSTM", "lstm", activation=_named("gelu", "jax")), {}, r"^source: .*jax.nn.gelu"),
        (
            lambda: _layer("LSTM", "lstm", recurrent_activation=_named("hard_sigmoid", "keras")),
            {},
            r"^recurrent_activation: .*'hard_sigmoid_5'.*'hard_sigmoid_6'.*None",
        ),
        (lambda: _subclass("LSTM", call=print), {}, r"^source: .*Mine, which overrides call"),
        (lambda: _subclass("LSTM", inner_loop=print), {}, r"^source: .*Mine, which overrides inner_loop"),
        (lambda: _layer("LSTM", "lstm", compute_dtype="float16"), {}, r"^source: .*float16"),
        (lambda: _layer("LSTM", "lstm"), {"kind": "GRU"}, r"^kind: .*'LSTM'.*'GRU'"),
        (lambda: _layer("GRU", "gru_after"), {"reset_after": False}, r"^reset_after: .*True"),
        (lambda: weights("lstm")[:1], {}, r"^source: .*1 arrays"),
        (lambda: weights("lstm"), {"kind": "GRU"}, r"^kind: .*'LSTM'.*'GRU'"),
        (lambda: weights("lstm"), {"kind": "transformer"}, r"^kind"),
        (lambda: weights("lstm"), {"activation": "tahn"}, r"^activation: .*'tahn'"),
        (_layer_of_lstm, {"activation": "relu"}, r"^activation: .*'tanh'.*'relu'"),
        (lambda: weights("lstm"), {"recurrent_activation": "hard_sigmoid"}, r"^recurrent_activation: .*_5"),
        (
            lambda: weights("rnn_tanh"),
            {"activation": "tanh", "recurrent_activation": "sigmoid"},
            r"^recurrent_activation: .*SimpleRNN",
        ),
        (lambda: weights("lstm"), {"reset_after": True}, r"^reset_after: .*LSTM"),
        (lambda: weights("rnn_tanh"), {}, r"^activation: .*'tanh'.*None"),
        (lambda: weights("rnn_tanh"), {"activation": "tahn"}, r"^activation: "),
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
        (
            keras.layers.GRU(
                3, activation="mish", recurrent_activation="hard_sigmoid", return_sequences=True
            ),
            3,
        ),
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
    assert type(from_keras(layer, direction="reverse")) is LSTM


def test_layers_in_a_row_in_a_model_in_memory_are_one_network():
    """Its configuration, as Keras 3.15.1 gives it, has tuples where that of a file has lists."""

    def layer(kind, name, *before):
        tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": [*before, 0, 0]}}
        nodes = [{"args": (tensor,), "kwargs": {}}] if before else []
        config = {"name": name, "units": 2, "return_sequences": True}
        return {"class_name": kind, "name": name, "config": config, "inbound_nodes": nodes}

    layers = [layer("InputLayer", "in"), layer("GRU", "a", "in"), layer("LSTM", "b", "a")]
    networks, unknown = networks_of("Functional", {"layers": layers})
    assert ([[each.name for each in chain] for chain in chains(networks)], unknown) == ([["a", "b"]], [])


def _model(layers, *, classes=("Functional",), **of_layer):
    """A model by its configuration: of each layer its class, its name, and what each of its calls takes."""
    made, config = {}, []
    for kind, name, *calls in layers:
        told = {"name": name, "units": 2, "return_sequences": True, **of_layer.get(name, {})}
        arrays = [np.eye(2, 6), np.eye(2, 6), np.zeros((2, 6))]
        attributes = {"reset_after": True, "get_weights": lambda self, arrays=arrays: arrays}
        functions = {"activation": "tanh", "recurrent_activation": "sigmoid"}
        for key, function in functions.items():
            attributes[key] = staticmethod(
                type(function, (), {"__name__": function, "__module__": "keras"})()
            )
        attributes["go_backwards"] = told.get("go_backwards", False)
        made[name] = type(kind, (), attributes)()
        tensors = [[{"config": {"keras_history": [below, 0, 0]}} for below in call] for call in calls]
        nodes = [{"args": [each[0]], "kwargs": {"initial_state": each[1:]}} for each in tensors]
        config.append({"class_name": kind, "name": name, "config": told, "inbound_nodes": nodes})
    base = type("Functional", (), {"__module__": "keras.src.models", "call": lambda self, x: x})
    kinds = {"get_layer": lambda self, name: made[name], "get_config": lambda self: {"layers": config}}
    found = type("Functional", (base,), kinds | {"__module__": "keras.src.models"})
    for name in classes[1:]:
        found = type(name, (found,), {"__module__": "mine", "call": lambda self, x: x})
    return found()


START = ("InputLayer", "in")


@pytest.mark.parametrize(
    ("layers", "options", "words"),
    [
        (
            [START, ("GRU", "a", ["in"], ["a"])],
            {},
            "got 1, of which 'a' is used several times on top of others: ",
        ),
        (
            [START, ("GRU", "a", ["in"], ["b"]), ("GRU", "b", ["a"])],
            {},
            "got 2, of which 'a' is used several",
        ),
        ([START, ("GRU", "a", ["in"]), ("GRU", "b", ["a", "a", "a"])], {}, "got 2: "),
        ([START, ("GRU", "a", ["in"]), ("GRU", "b", ["a"])], {"b": {"go_backwards": True}}, "got 2: "),
        (
            [START, ("GRU", "a", ["in"])],
            {"classes": ("Functional", "Mine")},
            "got Mine, which overrides call",
        ),
    ],
)
def test_models_that_are_more_than_their_layers_in_a_row_are_refused_with_calls(layers, options, words):
    """A layer on top of itself, one that starts in the state of that below it, a call of one's own."""
    model = _model(layers, **options)
    with pytest.raises(ValueError, match=f"^source: expected .*{words}") as said:
        from_keras(model)
    calls = re.findall(r"from_keras\(model\.get_layer\(\"\w\"\)(?:, direction=\"\w+\")?\)", str(said.value))
    assert len(calls) == len(layers) - 1
    for call in calls:
        assert isinstance(eval(call, {"from_keras": from_keras, "model": model}), GRU)


def test_a_dense_layer_below_cells_in_a_row_is_one_with_the_first():
    draws = np.random.default_rng(3)
    kernel, bias = draws.normal(size=(2, 2)), draws.normal(size=2)
    model = _model([START, ("GRU", "a", ["in"]), ("Dense", "d", ["a"]), ("GRU", "b", ["d"])])
    gru = model.get_layer("b")
    gru.get_weights = lambda: [draws.normal(size=shape) for shape in ((2, 6), (2, 6), (2, 6))]
    first = from_keras(gru)
    gru.get_weights = lambda: [first.W_in.T, first.W.T, np.zeros((2, 6))]
    plain = from_keras(gru)
    cells = type("StackedRNNCells", (), {"cells": [gru, gru], "get_weights": lambda self: []})()
    told = model.get_config()["layers"]
    told[2]["config"]["activation"] = "linear"
    config = {"class_name": "StackedRNNCells", "config": {"cells": [{"class_name": "GRUCell"}] * 2}}
    told[3]["class_name"], told[3]["config"]["cell"] = "RNN", config
    model.get_layer("d").get_weights = lambda: [kernel, bias]
    rnn = type("RNN", (), {"cell": cells, "get_weights": lambda self: []})()
    layers = {"a": model.get_layer("a"), "d": model.get_layer("d"), "b": rnn}
    type(model).get_layer = lambda self, name: layers[name]
    found = from_keras(model)
    assert [type(each) for each in found.cells] == [GRU] * 3
    h, u, v = draws.normal(size=(3, 2))
    expected = plain(h, kernel.T.dot(u) + bias)
    np.testing.assert_allclose(found.cells[1](h, u), expected, rtol=1e-12)
    np.testing.assert_array_equal(found.cells[2](h, v), plain(h, v))


def test_a_layer_of_two_inputs_is_one_network():
    assert isinstance(from_keras(_model([START, ("InputLayer", "x"), ("GRU", "a", ["in"], ["x"])])), GRU)


def test_a_wrapper_with_its_halves_exchanged_is_refused():
    """Keras 3.15.1 takes a forward_layer with go_backwards=True, and one backward_layer without."""
    model = _model([START, ("GRU", "a", ["in"]), ("GRU", "b", ["in"])], a={"go_backwards": True})
    half, other = model.get_layer("a"), model.get_layer("b")
    wrapper = type("Bidirectional", (), {"get_weights": lambda self: [], "merge_mode": "concat"})()
    wrapper.forward_layer, wrapper.backward_layer = half, other
    for direction in (None, "forward", "reverse"):
        with pytest.raises(
            ValueError, match=r"^source: .*go_backwards=True.*from_keras\(layer.backward_layer\)"
        ):
            from_keras(wrapper, direction=direction)
    told = {"layer": {"class_name": "GRU", "config": {"go_backwards": True}}}
    ((network,), _) = networks_of(
        "Sequential", {"layers": [{"class_name": "Bidirectional", "name": "w", "config": told}]}
    )
    with pytest.raises(ValueError, match="go_backwards"):
        network.parts("forward")
