"""ONNX's recurrent nodes as cells: outputs of onnxruntime, ∂x_T/∂x_0 of the reference (data/make_onnx.py)."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rnn_dynamics.cells import GRU, LSTM, ElmanRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import jacobian_product
from rnn_dynamics.interop import from_onnx

DATA = np.load(Path(__file__).parent / "data" / "onnx.npz")
INPUTS = DATA["inputs"]
NODES = {
    "rnn": (ElmanRNN, {"activation": "tanh"}),
    "gru": (GRU, {"linear_before_reset": 0}),
    "gru_linear": (GRU, {"kind": "GRU", "linear_before_reset": 1}),
    "gru_linear_plain": (GRU, {"linear_before_reset": 1}),
    "lstm": (LSTM, {}),
    "lstm_peepholes": (LSTM, {"kind": "LSTM"}),
}


def weights(name, dtype="float32"):
    keys = [key for key in DATA.files if key.startswith(f"{name}/weights/")]
    return {key[-1]: DATA[key].astype(dtype) for key in keys}


def check(name, which, make):
    """Against the direction of that number."""
    forth = slice(None, None, -1 if which else 1)
    x0, outputs = DATA[f"{name}/x0"][which], DATA[f"{name}/outputs"][forth, which]
    run = rollout(make("float32"), x0, INPUTS[forth])
    np.testing.assert_allclose(run.states[1:, :3], outputs, rtol=2e-6, atol=4e-6)
    run = rollout(make("float64"), x0.astype(float), INPUTS[forth].astype(float))
    np.testing.assert_allclose(run.final, DATA[f"{name}/last"][which], rtol=1e-12, atol=1e-14)
    jacobian, truth = jacobian_product(run).to_float(), DATA[f"{name}/jacobian"][which]
    assert np.abs(truth).max() > 0
    np.testing.assert_allclose(jacobian, truth, rtol=1e-10, atol=1e-12 * np.abs(truth).max())


@pytest.mark.parametrize("name", NODES)
def test_outputs_and_jacobians_are_onnxs(name):
    cls, options = NODES[name]
    cell = from_onnx(weights(name), **options)
    assert type(cell) is cls
    assert cls is not GRU or cell.reset == ("after" if "linear" in name else "before")
    assert cls is not LSTM or (cell.peepholes is None) == (name == "lstm")
    check(name, 0, lambda dtype: from_onnx(weights(name, dtype), **options))


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_either_of_two_directions(direction):
    def make(dtype):
        return from_onnx(weights("lstm_both", dtype), direction=direction)

    check("lstm_both", int(direction == "reverse"), make)


def tensor(name, array, *, raw=True, **changes):
    """A stand-in with the fields of a TensorProto."""
    kind, field = {"float32": (1, "float_data"), "float64": (11, "double_data")}[array.dtype.name]
    fields = {"name": name, "dims": array.shape, "data_type": kind, "raw_data": b"", "data_location": 0}
    fields |= {"raw_data": array.tobytes()} if raw else {field: array.ravel().tolist()}
    return SimpleNamespace(**(fields | changes))


def attribute(name, value):
    """A stand-in with the fields of an AttributeProto."""
    fields = {"s": b"", "i": 0, "f": 0.0, "strings": [], "t": None}
    field = {bytes: "s", int: "i", float: "f", list: "strings", SimpleNamespace: "t"}[type(value)]
    return SimpleNamespace(name=name, **(fields | {field: value}))


def node(kind, given, attributes=None, name="first", inputs=None):
    places = ["X", "W", "R", "B", "", "h", "c", "P"]
    inputs = [place if place in given else "" for place in places] if inputs is None else inputs
    listed = [attribute(*item) for item in (attributes or {}).items()]
    return SimpleNamespace(op_type=kind, domain="", name=name, input=inputs, attribute=listed, output=["Y"])


def model(kind, name, *, raw=True, changes=None, **attributes):
    """A model of one recurrent node and one that is not."""
    arrays = weights(name) | (changes or {})
    other = SimpleNamespace(op_type="Relu", domain="", name="", input=["Y"], attribute=[], output=["Z"])
    tensors = [tensor(n, w, raw=raw) for n, w in arrays.items()]
    graph = SimpleNamespace(node=[node(kind, arrays, attributes), other], initializer=tensors)
    return SimpleNamespace(graph=graph)


def same(one, other):
    for field in ("W", "b", "W_in", "b_hidden", "peepholes"):
        if getattr(one, field, None) is not None:
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    return True


def test_a_model_tells_its_settings():
    assert same(
        from_onnx(model("LSTM", "lstm_peepholes", hidden_size=3)), from_onnx(weights("lstm_peepholes"))
    )
    linear = from_onnx(model("GRU", "gru_linear", raw=False, linear_before_reset=1))
    assert same(linear, from_onnx(weights("gru_linear"), linear_before_reset=1))
    assert from_onnx(model("GRU", "gru", activations=[b"Sigmoid", b"Tanh"])).reset == "before"
    assert from_onnx(model("RNN", "rnn")).activation.name == "tanh"
    assert from_onnx(model("RNN", "rnn", activations=[b"Relu"]), node="first").activation.name == "relu"
    assert same(
        from_onnx(model("RNN", "rnn", direction=b"reverse"), direction="reverse"),
        from_onnx(model("RNN", "rnn")),
    )
    names = [b"Sigmoid", b"Tanh", b"Tanh", b"Sigmoid", b"Relu", b"Tanh"]
    both = model("LSTM", "lstm_both", direction=b"bidirectional", activations=names)
    assert same(from_onnx(both, direction="forward"), from_onnx(weights("lstm_both"), direction="forward"))
    assert from_onnx(both, direction="reverse").activation.name == "relu"


def test_one_of_several_nodes_and_weights_in_constants():
    arrays = {f"{n}2": tensor(n, w) for n, w in weights("gru").items()}
    constants = [
        SimpleNamespace(
            op_type="Constant", domain="", name="", input=[], attribute=[attribute("value", t)], output=[n]
        )
        for n, t in arrays.items()
    ]
    source = model("LSTM", "lstm")
    source.graph.node += [*constants, node("GRU", {}, name="second", inputs=["X", "W2", "R2", "B2"])]
    with pytest.raises(ValueError, match=r"^node: .*first.*second"):
        from_onnx(source)
    for name in (1, "second"):
        assert same(from_onnx(source, node=name), from_onnx(weights("gru"), linear_before_reset=0))
    assert type(from_onnx(source.graph, node=0)) is LSTM


def test_a_node_that_starts_in_the_last_state_of_the_one_below_is_no_layer_of_a_stack():
    """That one's inputs reach it by its first state too; they do not by a first state of its size."""

    def made(start, *makers):
        first = node("RNN", {}, name="below", inputs=["X", "W", "R", "B"])
        first.output = ["Y1", "last"]
        turn = SimpleNamespace(
            op_type="Squeeze", domain="", name="", input=["Y1", "axis"], attribute=[], output=["plain"]
        )
        above = node("RNN", {}, name="above", inputs=["plain", "W2", "R", "B", "", start])
        steps = [
            SimpleNamespace(op_type=kind, domain="", name="", input=[a], attribute=[], output=[b])
            for kind, a, b in makers
        ]
        arrays = weights("rnn")
        tensors = [tensor(n, w) for n, w in arrays.items()] + [tensor("W2", arrays["R"])]
        axis = SimpleNamespace(
            name="axis", dims=(1,), data_type=7, raw_data=np.array([1]).tobytes(), data_location=0
        )
        return SimpleNamespace(node=[first, turn, *steps, above], initializer=[*tensors, axis])

    sized = made("zeros", ("Shape", "last", "shape"), ("ConstantOfShape", "shape", "zeros"))
    for source in (made(""), sized):
        assert len(from_onnx(source).cells) == 2
    for source in (made("last"), made("mapped", ("Tanh", "last", "mapped"))):
        with pytest.raises(ValueError, match=r"^node: .* 2: \['below', 'above'\]"):
            from_onnx(source)
        assert same(from_onnx(source, node="below"), from_onnx(weights("rnn"), activation="tanh"))


def _without(name, key):
    return {k: v for k, v in weights(name).items() if k != key}


def _graph(**changes):
    source = model("LSTM", "lstm")
    for name, value in changes.items():
        for tensor in source.graph.initializer:
            setattr(tensor, name, value)
    return source


def _computed():
    source = model("LSTM", "lstm")
    source.graph.initializer.pop(0)
    return source


ZEROS = np.zeros((1, 5, 3), np.float32)


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (lambda: 3, {}, r"^source: .*int"),
        (lambda: SimpleNamespace(graph=SimpleNamespace(node=[], initializer=[])), {}, r"^source: .*none"),
        (lambda: model("LSTM", "lstm", clip=-3.0), {}, r"^source: .*clip > 0 of the LSTM, got -3"),
        (lambda: model("RNN", "rnn", activations=[b"Swish"]), {}, r"^source: .*activations.*'swish'"),
        (lambda: model("LSTM", "lstm", output_sequence=1), {}, r"^source: .*output_sequence"),
        (
            lambda: model("LSTM", "lstm", direction=b"bidirectional"),
            {},
            r"^source: .*bidirectional.*\(1, 12, 3\)",
        ),
        (lambda: model("LSTM", "lstm", hidden_size=7), {}, r"^source: .*hidden_size=7.*\(1, 12, 3\)"),
        (lambda: model("LSTM", "lstm", direction=b"sideways"), {}, r"^source: .*direction.*'sideways'"),
        (
            lambda: model("RNN", "rnn", direction=b"bidirectional", activations=[b"Relu"]),
            {"direction": "reverse"},
            r"^source: .*2 activations of a bidirectional RNN.*'relu'",
        ),
        (lambda: model("RNN", "rnn", activations=[b"Tanh"] * 2), {}, r"^source: .*1 activations"),
        (lambda: _graph(raw_data=bytes(92)), {}, r"^source: .*W.*\(1, 12, 2\).*92 bytes"),
        (lambda: _graph(raw_data=bytes(91)), {}, r"^source: .*W.*\(1, 12, 2\).*91 bytes"),
        (lambda: _graph(raw_data=b"", float_data=[0.0]), {}, r"^source: .*W.*\(1, 12, 2\).*1 numbers"),
        (lambda: model("LSTM", "lstm", direction=b"reverse"), {}, r"^direction: .*'reverse'.*None"),
        (lambda: model("LSTM", "lstm"), {"direction": "reverse"}, r"^direction: .*'forward'"),
        (lambda: model("LSTM", "lstm"), {"node": "third"}, r"^node: .*'first'.*'third'"),
        (lambda: model("LSTM", "lstm"), {"kind": "GRU"}, r"^kind: .*'LSTM'.*'GRU'"),
        (lambda: model("GRU", "gru"), {"linear_before_reset": 1}, r"^linear_before_reset: .*0.*1"),
        (lambda: model("GRU", "lstm"), {}, r"^source: .*R of shape \(1, 9, 3\)"),
        (lambda: _graph(data_type=10), {}, r"^source: .*W.*\(1, 12, 2\).*96 bytes"),
        (lambda: _graph(data_type=17), {}, r"^source: .*W in float32.*17"),
        (lambda: _graph(data_location=1), {}, r"^source: .*another file"),
        (_computed, {}, r"^source: .*W among the initializers"),
        (lambda: weights("lstm_both"), {"direction": "backward"}, r"^direction: "),
        (lambda: weights("lstm"), {"node": 0}, r"^node: "),
        (lambda: weights("lstm"), {"kind": "transformer"}, r"^kind: "),
        (lambda: weights("lstm"), {"activation": "tanh"}, r"^activation: .*LSTM"),
        (lambda: weights("lstm"), {"linear_before_reset": 1}, r"^linear_before_reset: .*LSTM"),
        (lambda: weights("gru"), {}, r"^linear_before_reset: .*None"),
        (lambda: weights("rnn"), {}, r"^activation: .*None"),
        (lambda: _without("lstm", "R"), {}, r"^source: .*R.*missing"),
        (lambda: weights("lstm") | {"head": ZEROS}, {}, r"^source: .*head"),
        (lambda: weights("lstm") | {"R": ZEROS}, {}, r"^source: .*R.*\(1, 5, 3\)"),
        (lambda: weights("lstm") | {"R": ZEROS[0]}, {}, r"^source: .*R.*\(5, 3\)"),
        (lambda: weights("lstm") | {"W": ZEROS}, {}, r"^source: .*W.*\(1, 12, any\).*\(1, 5, 3\)"),
        (lambda: weights("lstm") | {"B": ZEROS[0]}, {}, r"^source: .*B.*\(1, 24\)"),
        (lambda: weights("lstm") | {"P": ZEROS[0]}, {}, r"^source: .*P.*\(1, 9\)"),
        (lambda: weights("rnn") | {"P": ZEROS[0]}, {"activation": "tanh"}, r"^source: .*no peepholes"),
        (lambda: weights("lstm") | {"W": ZEROS.astype(int)}, {}, r"^source: .*W in float32"),
    ],
)
def test_errors_name_what_is_wrong(source, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        from_onnx(source(), **options)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^source: .*none.onnx"):
        from_onnx(tmp_path / "none.onnx")


def test_a_file_of_another_format(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"garbage!!")
    with pytest.raises(ValueError, match=r"^source: a.onnx .*damaged.*cut short"):
        from_onnx(tmp_path / "a.onnx")
    np.save(tmp_path / "a.npy", np.eye(3))
    with pytest.raises(ValueError, match=r"^source: a.npy: expected a model of ONNX, got a NumPy array"):
        from_onnx(tmp_path / "a.npy")


@pytest.mark.parametrize("name", [*NODES, "lstm_both"])
def test_models_of_onnx_itself(name, tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    source = onnx.load_from_string(DATA[f"{name}/model"].tobytes())
    options = NODES.get(name, (LSTM, {}))[1] | ({"direction": "reverse"} if name == "lstm_both" else {})
    truth = from_onnx(weights(name), **options)
    assert same(truth, from_onnx(source, **options))
    onnx.save(source, tmp_path / "model.onnx")
    assert same(truth, from_onnx(str(tmp_path / "model.onnx"), **options))


@pytest.mark.parametrize(("place", "width"), [("h", 5), ("c", 5), ("c", 2)])
def test_initial_states_of_another_width_than_r_are_refused(place, width):
    """A wider initial c is what an LSTM with a projection keeps of it in PyTorch's export (torch 2.13.0)."""
    told = {place: np.zeros((1, 1, width), "float32")}
    words = r"proj_size.*from_torch" if place == "c" else "initial_h of 3 units"
    with pytest.raises(ValueError, match=words):
        from_onnx(model("LSTM", "lstm", changes=told, hidden_size=3))


def test_initial_states_of_the_nodes_width_change_nothing():
    told = {place: np.zeros((1, 1, 3), "float32") for place in ("h", "c")}
    assert same(from_onnx(model("LSTM", "lstm", changes=told, hidden_size=3)), from_onnx(weights("lstm")))
