"""Models of ONNX that say their recurrence in many ways: the states that onnxruntime computes from them."""

import io
import itertools
import re
import tarfile
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics import cli
from rnn_dynamics.cells.stack import state_size
from rnn_dynamics.interop.forms import Algebra
from rnn_dynamics.interop.onnx_constants import Constants
from rnn_dynamics.interop.onnx_files import read_model
from rnn_dynamics.interop.onnx_functions import function_of
from rnn_dynamics.interop.onnx_graph import nodes_of
from rnn_dynamics.interop.onnx_unrolled import layers_of

with tarfile.open(Path(__file__).parent / "files" / "onnx_more.tar.xz") as archive:
    HELD = {member.name: archive.extractfile(member).read() for member in archive.getmembers()}
NAMES = sorted(name.removesuffix(".onnx") for name in HELD if name.endswith(".onnx"))
ONE_STEP = ("torch_gru_cell", "torch_lstm_cell")
#: What is said of the numbers.
SAID = {
    "lstm_computed": "int8 was made float32",
    "lstm_quantised": "rounds its inputs and its state",
    "lstm_starts": "does not start at 0",
}


def array(name):
    return np.load(io.BytesIO(HELD[f"{name}.npy"]))


def file_of(name, folder):
    path = folder / f"{name}.onnx"
    path.write_bytes(HELD[f"{name}.onnx"])
    return path


def loaded(name, path, **options):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        cell = rd.interop.load(path, **options)
    said = "; ".join(str(each.message) for each in told)
    assert SAID.get(name, "") in said
    assert bool(said) == (name in SAID)
    return cell


def outputs_of(cell, inputs, start=None):
    states = np.asarray(
        rd.rollout(cell, np.zeros(state_size(cell)) if start is None else start, inputs).states
    )
    last = getattr(cell, "cells", (cell,))[-1]
    first = state_size(cell) - state_size(last)
    return states[1:, first : first + 3]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "row_with_a_sum"])
def test_a_model_computes_what_onnxruntime_does(tmp_path, name):
    path = file_of(name, tmp_path)
    is_reverse = name.endswith("backwards")
    cell = loaded(name, path, **({"direction": "reverse"} if is_reverse else {}))
    inputs = array("X")[: 1 if name in ONE_STEP else None]
    start = rd.interop.onnx_initial_state(path) if name == "lstm_starts" else None
    found = outputs_of(cell, inputs[:: -1 if is_reverse else 1], start)
    # 8 bits of the quantised node's inputs and states are not in the cell
    size = 0.03 if name == "lstm_quantised" else 2e-6
    np.testing.assert_allclose(found[:: -1 if is_reverse else 1], array(name), rtol=size, atol=size)


@pytest.mark.parametrize("name", NAMES)
def test_inspect_prints_calls_that_work(tmp_path, capsys, name):
    path = file_of(name, tmp_path)
    assert cli.main(["inspect", str(path)]) == 0
    calls = re.findall(r"rd\.interop\.load\('.*?'.*?\)(?=$|  )", capsys.readouterr().out, re.M)
    assert len(calls) == (2 if name == "row_with_a_sum" else 1)
    for call in calls:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            assert state_size(eval(call, {"rd": rd})) in (3, 6, 9)


def test_one_node_of_a_row(tmp_path):
    path = file_of("row_turned", tmp_path)
    whole = rd.interop.load(path)
    assert [type(each).__name__ for each in whole.cells] == ["LSTM", "GRU"]
    for node in ("upper", 1):
        np.testing.assert_array_equal(rd.interop.from_onnx(path, node=node).W, whole.cells[1].W)
    np.testing.assert_array_equal(rd.interop.load(path, prefix="lower").W, whole.cells[0].W)
    start = rd.interop.onnx_initial_state(path)
    np.testing.assert_array_equal(start, np.zeros(9))
    with pytest.raises(ValueError, match=r"^node: expected one of 'lower,upper', 'lower', 'upper'"):
        rd.interop.from_onnx(path, node="x")


def test_functions_have_the_slopes_of_their_differences():
    z = np.linspace(-3.1, 3.3, 57)
    for name, numbers in (
        *((name, ()) for name in ("identity", "relu", "sigmoid", "softplus", "softsign", "tanh")),
        *((name, (0.3, 0.7)) for name in ("affine", "hardsigmoid", "scaledtanh")),
        *((name, (0.3,)) for name in ("elu", "leakyrelu", "thresholdedrelu")),
    ):
        for clip in (None, 1.55):
            function = function_of(name, numbers, clip)
            assert function is function_of(name, numbers, clip)
            inside = np.clip(z, -(clip or 9), clip or 9)
            truth = (np.asarray(function(z + 1e-6)) - np.asarray(function(z - 1e-6))) / 2e-6
            np.testing.assert_allclose(function(z), function_of(name, numbers)(inside), rtol=1e-6)
            if np.asarray(function(z)).dtype == np.float64:
                np.testing.assert_allclose(function.slope(z), truth, atol=1e-6)
                assert function.slope_bound is None or np.abs(truth).max() <= function.slope_bound * (
                    1 + 1e-6
                )


def changed(name, **fields):
    """A model with other attributes, inputs or tensors, as the reader's own graph."""
    graph = read_model(HELD[f"{name}.onnx"], Path())
    (node,) = nodes_of(graph)
    for field, value in fields.items():
        if field in ("initial_h", "initial_c"):
            graph.initializer.append(SimpleNamespace(name=field, array=lambda value=value: value))
            node.input += [""] * (7 - len(node.input))
            node.input[{"initial_h": 5, "initial_c": 6}[field]] = field
        else:
            node.attribute = [each for each in node.attribute if each.name != field]
            node.attribute.append(SimpleNamespace(name=field, **value))
    return graph


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        (
            "rnn_Elu",
            {"activations": {"strings": [b"ScaledTanh"]}},
            "activation_alpha and activation_beta of 'sc",
        ),
        (
            "rnn_Elu",
            {"activations": {"strings": [b"Affine"]}},
            "activation_alpha and activation_beta of 'aff",
        ),
        (
            "rnn_Elu",
            {"activations": {"strings": [b"Swish"]}},
            "activations that ONNX has of the RNN, got 'swish'",
        ),
        ("rnn_clip", {"clip": {"f": 0.0}}, r"clip > 0 of the RNN, got 0"),
        ("gru_clip", {"clip": {"f": float("nan")}}, r"clip > 0 of the GRU, got nan"),
        ("lstm_clip", {"hidden_size": {"i": 4}}, "hidden_size=4"),
        ("lstm_clip", {"initial_h": np.zeros((1, 1, 4), "f4")}, "initial_h of 3 units, as R has, got 4"),
        (
            "lstm_clip",
            {"initial_c": np.zeros((1, 3), "f4")},
            r"initial_c of 3 units, as R has, got shape \(1, 3\)",
        ),
        (
            "lstm_coupled",
            {"activations": {"strings": [b"Tanh"] * 3}},
            "Sigmoid or HardSigmoid gates with input_forget=1, got 'tanh'",
        ),
        (
            "lstm_coupled_hard",
            {"clip": {"f": 1.0}},
            "activation_beta 0.5 where input_forget and clip go together, got 0.4",
        ),
    ],
)
def test_what_is_refused_says_why(name, fields, words):
    with pytest.raises(ValueError, match=f"^source: .*{words}"):
        rd.interop.from_onnx(changed(name, **fields))


def test_first_states_that_are_no_constants_are_the_users():
    graph = read_model(HELD["lstm_starts.onnx"], Path())
    graph.initializer = [each for each in graph.initializer if each.name != "h"]
    assert state_size(rd.interop.from_onnx(graph)) == 6
    with pytest.raises(ValueError, match=r"expected initial states that are constants .*rd\.rollout"):
        rd.interop.onnx_initial_state(graph)


@pytest.mark.parametrize("name", ["scan_lstm", "scan_gru_before", "torch_rnn", "torch_gru_cell"])
def test_a_step_that_is_another_is_not_read(name):
    graph = read_model(HELD[f"{name}.onnx"], Path())
    inner = next((a.g for node in graph.node for a in node.attribute if a.g is not None), graph)
    for node in inner.node:
        node.op_type = {"Tanh": "Erf"}.get(node.op_type, node.op_type)
    with pytest.raises(ValueError, match=r"^source: expected a model with an RNN.*its operators are"):
        rd.interop.from_onnx(graph)


def test_constants_that_grow_are_refused_before_they_do():
    nodes = [SimpleNamespace(op_type="ConstantOfShape", domain="", input=["n"], output=["w"], attribute=[])]
    n = SimpleNamespace(name="n", array=lambda: np.array([2**40]))
    with pytest.raises(ValueError, match=r"expected ConstantOfShape of constants that fit, got .*no larger"):
        Constants(SimpleNamespace(node=nodes, initializer=[n])).array("w")
    names = ["a", *(f"a{i}" for i in range(60))]
    nodes = [
        SimpleNamespace(
            op_type="Concat",
            domain="",
            input=[one] * 8,
            output=[other],
            attribute=[SimpleNamespace(name="axis", i=0)],
        )
        for one, other in itertools.pairwise(names)
    ]
    a = SimpleNamespace(name="a", array=lambda: np.zeros(100, "f4"))
    with pytest.raises(ValueError, match=r"far too many entries|expected constants of at most"):
        Constants(SimpleNamespace(node=nodes, initializer=[a])).array("a59")


def unrolled(places, lag=None):
    """tanh(W h + U x + b) of the inputs at some places; with a lag also a layer on what is so many steps old."""
    algebra, draws = Algebra(), np.random.default_rng(0)
    U, W, U2, W2 = (draws.normal(size=(3, 3)) for _ in range(4))
    b = algebra.constant(np.ones(3))

    def step(read, h, into, back):
        form = b if read is None else algebra.add(algebra.matrix(read, into), b)
        return algebra.function("tanh", form if h is None else algebra.add(form, algebra.matrix(h, back)))

    h, g, states = None, None, [None, None]
    for place in places:
        h = step(algebra.named("input", "x", 3, 2, step=place), h, U, W)
        states.append(h)
        if lag is not None:
            g = step(states[-1 - lag], g, U2, W2)
    return layers_of(SimpleNamespace(algebra=algebra, graph=SimpleNamespace(node=[]), has=bool))


@pytest.mark.parametrize(
    ("places", "lag", "layers", "direction"),
    [
        (range(8), None, 1, "forward"),
        (range(7, -1, -1), None, 1, "reverse"),
        (range(8), 0, 2, "forward"),
        ([0, 0, 1, 2, 3, 4], None, 0, "forward"),
        (range(0, 16, 2), None, 0, "forward"),
        (range(8), 1, 0, "forward"),
    ],
)
def test_an_unrolled_network_reads_one_input_after_another(places, lag, layers, direction):
    """One that reads older inputs, or every second, or a layer on older states, is another network."""
    found = [(len(steps), way) for steps, way in unrolled(places, lag)]
    assert found == ([(layers, direction)] if layers else [])
