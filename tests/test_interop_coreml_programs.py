"""ML Programs of Core ML read by ``load``: PyTorch's own states, and files that are damaged."""

import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics import cli
from rnn_dynamics.cells import LSTM, Bidirectional, Stack, rollout
from rnn_dynamics.interop import check, load, onnx_initial_state
from rnn_dynamics.interop.formats import read_from

PROGRAM, WEIGHTS = (Path("Data/com.apple.CoreML") / name for name in ("model.mlmodel", "weights/weight.bin"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("coreml_programs")
    with tarfile.open(Path(__file__).parent / "files" / "coreml_programs.tar.xz") as archive:
        archive.extractall(found, filter="data")
    return found


@pytest.mark.parametrize(
    ("name", "cls"), [("lstm", LSTM), ("lstm_half", LSTM), ("lstm_both", Bidirectional), ("rnn_row", Stack)]
)
def test_states_are_those_of_the_module_that_it_was_made_from(folder, name, cls):
    network = load(folder / f"{name}.mlpackage")  # coremltools keeps these weights in float32, half or not
    assert type(network) is cls
    with np.load(folder / f"{name}.npz") as held:
        assert check(network, held["x"], held["y"]).error < 1e-6


def test_peepholes_functions_and_first_states_of_an_operation(folder):
    path = folder / "lstm_by_hand.mlpackage"
    with pytest.warns(UserWarning, match="does not start at 0"):
        cell = load(path, direction="reverse")
    with np.load(folder / "lstm_by_hand.npz") as held:
        x, y = held["x"], held["y"]
    with pytest.raises(ValueError, match=r"^source: .*Core ML"):
        onnx_initial_state(read_from(path))
    start = np.concatenate([held_start(path, key) for key in ("initial_h", "initial_c")])
    states = np.asarray(rollout(cell, start, x[::-1]).states)[1:, :3]
    np.testing.assert_allclose(states[::-1], y, rtol=0, atol=2e-6)


def held_start(path, key):
    from rnn_dynamics.interop import coreml

    found = {
        each.name.rpartition("/")[2]: each.array() for each in coreml.read_file(read_from(path)).initializer
    }
    return found[key][0, 0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gru_by_hand", r"the gru .*before it.*rd\.GRU\("),
        ("torch_gru", r"PyTorch's GRU becomes a while_loop.*rd\.interop\.from_module"),
    ],
)
def test_grus_are_refused_by_name(folder, name, words):
    with pytest.raises(ValueError, match=rf"^path: {name}.mlpackage: .*{words}"):
        load(folder / f"{name}.mlpackage")


def test_inspect_prints_a_call_that_works(folder, capsys):
    assert cli.main(["inspect", str(folder / "rnn_row.mlpackage")]) == 0
    (call,) = re.findall(r"rd\.interop\.load\(.*?\)$", capsys.readouterr().out, re.M)
    assert type(eval(call, {"rd": rd})) is Stack


def changed(folder, path, old, new):
    kept = path / "a.mlpackage"
    shutil.copytree(folder / "lstm.mlpackage", kept)
    content = (kept / PROGRAM).read_bytes()
    assert old in content
    assert len(old) == len(new)
    (kept / PROGRAM).write_bytes(content.replace(old, new))
    return kept


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            b"@model_path/weights/weight.bin",
            b"@model_path/../../x/weight.bin",
            "beside the program, got '@model",
        ),
        (
            b"@model_path/weights/weight.bin",
            b"/model_path/weights/weight.bin",
            "beside the program, got '/model",
        ),
        (b"@model_path/weights/weight.bin", b"@model_path/weights/weighs.bin", "weighs.bin of its weights"),
        (b"weight_hh", b"weight_hj", "expected weight_hh"),
        (b"forward", b"forwarp", "a direction of"),
        (b"sigmoid", b"sigmoir", "recurrent_activation of"),
        (b"lstm", b"lstn", "."),
    ],
)
def test_damaged_and_hostile_programs_are_refused(folder, tmp_path, old, new, words):
    with pytest.raises(ValueError, match=rf"^path: a.mlpackage: .*({words})") as error:
        load(changed(folder, tmp_path, old, new))
    assert "\n" not in str(error.value)


def test_weights_that_are_cut_or_missing_are_refused(folder, tmp_path):
    kept = changed(folder, tmp_path, b"lstm", b"lstm")
    content = (kept / WEIGHTS).read_bytes()
    for short in (content[:-200], content[:64], b""):
        (kept / WEIGHTS).write_bytes(short)
        with pytest.raises(ValueError, match=r"^path: a.mlpackage: .*expected \d+ bytes of .* in weight.bin"):
            load(kept)
    (kept / WEIGHTS).unlink()
    with pytest.raises(ValueError, match=r"^path: a.mlpackage: .*weight.bin of its weights .* got none"):
        load(kept)
    (kept / PROGRAM).unlink()
    with pytest.raises(ValueError, match=r"a folder|without Data"):
        load(kept)


@pytest.mark.soak
def test_mutated_programs_are_refused_or_read(folder, tmp_path):
    """Two thousand programs with bytes changed or cut: an error of one line, or a cell."""
    kept = changed(folder, tmp_path, b"lstm", b"lstm")
    draws, words, said = np.random.default_rng(0), (kept / PROGRAM).read_bytes(), []
    for number in range(2000):
        made = bytearray(words)
        for place in draws.integers(0, len(made), 1 + number % 4):
            made[place] = draws.integers(0, 256)
        (kept / PROGRAM).write_bytes(made[: draws.integers(1, len(made))] if number % 5 == 0 else made)
        try:
            load(kept)
        except (ValueError, UserWarning) as error:
            said.append(str(error))
    assert max(map(len, said)) < 2000
    assert not any("\n" in words for words in said)
