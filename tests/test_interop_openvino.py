"""Models of OpenVINO read by ``load``, as its CPU ran them (files/make_openvino.py), and files that are damaged."""

import re
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest

from rnn_dynamics.cells import GRU, LSTM, Bidirectional, ElmanRNN, Stack
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.interop import check, load
from tests.files.packed import read

FILES = Path(__file__).parent / "files"
DATA = read(FILES / "openvino.npz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("openvino")
    with tarfile.open(FILES / "openvino.tar.xz") as archive:
        archive.extractall(found, filter="data")
    return found


@pytest.mark.parametrize(
    ("name", "cls", "options", "tolerance"),
    [
        ("lstm", LSTM, {}, 1e-6),
        ("gru_after", GRU, {}, 1e-6),
        ("gru_before", GRU, {}, 1e-3),  # its weights were rounded to half precision
        ("gru_reverse", GRU, {"direction": "reverse"}, 1e-6),
        ("rnn_relu", ElmanRNN, {}, 1e-6),
        ("lstm_both", LSTM, {"direction": "forward"}, 1e-6),
        ("lstm_both", LSTM, {"direction": "reverse"}, 1e-6),
    ],
)
def test_states_are_openvinos(folder, name, cls, options, tolerance):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if name == "gru_before" else "error", UserWarning)
        cell = load(folder / f"{name}.xml", **options)
    assert type(cell) is cls
    back = slice(None, None, -1 if options.get("direction") == "reverse" else 1)
    states = np.asarray(rollout(cell, None, DATA["inputs"][back].astype("float32")).states[1:, :3])
    which = int(name == "lstm_both" and options["direction"] == "reverse")
    np.testing.assert_allclose(states[back], DATA[name][which], rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    found = tmp_path_factory.mktemp("openvino_rows")
    with tarfile.open(FILES / "openvino_rows.tar.xz") as archive:
        archive.extractall(found, filter="data")
    return found


@pytest.mark.parametrize(
    ("name", "cls", "depth"),
    [("lstm_two", Stack, 2), ("gru_three", Stack, 3), ("lstm_both", Bidirectional, 2)],
)
def test_layers_in_a_row_are_one_network(rows, name, cls, depth):
    network = load(rows / f"{name}.xml")
    assert type(network) is cls
    assert len(network.cells if cls is Stack else network.layers) == depth
    with np.load(rows / f"{name}.npz") as held:
        assert check(network, held["x"], held["y"]).error < 1e-6


@pytest.mark.parametrize("name", ["turned_between", "mixed"])
def test_layers_with_something_between_are_listed(rows, name):
    with pytest.raises(ValueError, match=r"expected one recurrent network, got 2: .*load.*; .*load"):
        load(rows / f"{name}.xml")


def test_operations_of_names_that_are_not_pytorchs_stay_apart(folder, tmp_path):
    """Two GRUs that reset before the product have Keras' names of weights: neither hides the other."""
    words = (folder / "gru_before.xml").read_text()
    layers = words[words.index("<layers>") + 8 : words.index("</layers>")]
    edges = words[words.index("<edges>") + 7 : words.index("</edges>")]
    again = re.sub(r'id="(\d+)" name', lambda m: f'id="{int(m[1]) + 100}" name', layers)
    turned = re.sub(r'(from|to)-layer="(\d+)"', lambda m: f'{m[1]}-layer="{int(m[2]) + 100}"', edges)
    path = tmp_path / "twice.xml"
    path.write_text(words.replace("</layers>", f"{again}</layers>").replace("</edges>", f"{turned}</edges>"))
    path.with_suffix(".bin").write_bytes((folder / "gru_before.bin").read_bytes())
    with pytest.raises(ValueError, match=r"expected one recurrent network, got 2: GRU"):
        load(path)


def test_half_precision_and_both_directions_are_told(folder):
    with pytest.warns(UserWarning, match="float16 was made float32"):
        assert load(folder / "gru_before.xml").reset == "before"
    assert type(load(folder / "lstm_both.xml")) is Bidirectional
    with pytest.raises(ValueError, match=r"^path: .*OpenVINO.*net: LSTMSequence with .*clip=0.5"):
        load(folder / "lstm_clip.xml")


def changed(folder, path, old, new):
    words = (folder / "lstm.xml").read_text()
    assert old in words
    (path / "lstm.xml").write_text(words.replace(old, new))
    (path / "lstm.bin").write_bytes((folder / "lstm.bin").read_bytes())
    return path / "lstm.xml"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<net ", '<!DOCTYPE net [<!ENTITY a "b">]><net ', r"document type|HTML or XML"),
        ('shape="1, 12, 2"', 'shape="1, 12, 9000000000000"', "no larger than the file"),
        ('size="96"', 'size="99"', r"inside the \d+ bytes of lstm.bin"),
        ('offset="', 'offset="9', r"inside the \d+ bytes|no larger"),
        ('size="96"', 'size="x"', "expected a number"),
        ('element_type="f32"', 'element_type="q3"', "'q3'"),
        ("<dim>12</dim>", "<dim>13</dim>", "got shapes"),
        ("</net>", "", "whole description"),
        ("<edge ", "<other ", "an edge to each input"),
        ("<net ", "<net><net ", "."),
        ('type="LSTMSequence"', 'type="Other"', "no arrays|expected a recurrent network"),
    ],
)
def test_damaged_and_hostile_files_are_refused(folder, tmp_path, old, new, words):
    with pytest.raises(ValueError, match=rf"(?s)^path: lstm.xml: .*({words})"):
        load(changed(folder, tmp_path, old, new))


def test_the_numbers_lie_in_the_file_beside(folder, tmp_path):
    path = changed(folder, tmp_path, "<net ", "<net ")
    (tmp_path / "lstm.bin").unlink()
    with pytest.raises(ValueError, match=r"^path: lstm.xml: .*lstm.bin.*beside it, got none"):
        load(path)
    (tmp_path / "lstm.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"^path: lstm.xml: "):
        load(path)


@pytest.mark.soak
def test_mutated_descriptions_are_refused_or_read(folder, tmp_path):
    """Two thousand files with bytes changed, cut or doubled: an error of one line, or a cell."""
    draws, words = np.random.default_rng(0), bytearray((folder / "lstm.xml").read_bytes())
    (tmp_path / "lstm.bin").write_bytes((folder / "lstm.bin").read_bytes())
    said = []
    for number in range(2000):
        made = bytearray(words)
        for place in draws.integers(0, len(made), 1 + number % 4):
            made[place] = draws.integers(32, 127)
        made = made[: draws.integers(1, len(made))] if number % 5 == 0 else made
        (tmp_path / "lstm.xml").write_bytes(made)
        try:
            load(tmp_path / "lstm.xml")
        except (ValueError, UserWarning) as error:
            said.append(str(error))
    assert max(map(len, said)) < 2000
    assert not any("\n" in words for words in said)


def _altered(folder, tmp_path, old, new):
    """The network of both directions with other words in its description."""
    words = (folder / "lstm_both.xml").read_text()
    assert re.search(old, words)
    (tmp_path / "a.xml").write_text(re.sub(old, new, words))
    (tmp_path / "a.bin").write_bytes((folder / "lstm_both.bin").read_bytes())
    return tmp_path / "a.xml"


def test_functions_of_both_directions_may_stand_in_a_row(folder, tmp_path):
    """As OpenVINO 2026.4.1 converts a bidirectional RNN of ONNX."""
    own, once = 'activations="[^"]*"', "sigmoid, tanh, tanh"
    path = _altered(folder, tmp_path, own, f'activations="{once}, {once}"')
    for direction in ("forward", "reverse"):
        one, other = (load(each, direction=direction) for each in (path, folder / "lstm_both.xml"))
        np.testing.assert_array_equal(one.W, other.W)
    path = _altered(folder, tmp_path, own, f'activations="{once}, sigmoid, relu, tanh"')
    with pytest.raises(ValueError, match=r"^path: .*activations sigmoid, tanh, tanh, sigmoid, relu, tanh"):
        load(path)


def test_a_model_without_recurrent_operations_says_what_is_read(folder, tmp_path):
    path = _altered(folder, tmp_path, '"LSTMSequence"', '"MatMul"')
    with pytest.raises(
        ValueError, match=r"with no arrays; expected its sequences or cells of RNN, GRU or LSTM"
    ):
        load(path)
