"""Models of DyNet read by ``load``, as it ran them (files/make_dynet.py), and files that are damaged."""

import lzma
import re
from pathlib import Path

import numpy as np
import pytest

from rnn_dynamics.cells import GRU, LSTM, ElmanRNN, Stack
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.interop import load
from tests.files.packed import read

FILES = Path(__file__).parent / "files"
DATA = read(FILES / "dynet.npz")
MODEL = lzma.decompress((FILES / "dynet.model.xz").read_bytes())


@pytest.mark.parametrize(
    ("name", "prefix", "cls", "last"),
    [
        ("lstm", "/vanilla-lstm-builder", Stack, slice(6, 9)),
        pytest.param("compact", "/compact-vanilla-lstm-builder", LSTM, slice(0, 3), marks=pytest.mark.soak),
        ("simple", "/simple-rnn-builder", ElmanRNN, slice(0, 3)),
        ("gru", "/gru-builder", GRU, slice(0, 3)),
        ("fast", "/fast-lstm-builder", Stack, slice(6, 9)),
    ],
)
def test_states_are_dynets(tmp_path, name, prefix, cls, last):
    (tmp_path / "model").write_bytes(MODEL)
    cell = load(tmp_path / "model", prefix=prefix)
    assert type(cell) is cls
    states = np.asarray(rollout(cell, None, DATA["inputs"].astype("float32")).states[1:])
    np.testing.assert_allclose(states[:, last], DATA[name], rtol=2e-5, atol=2e-6)


def test_several_are_listed_and_others_named(tmp_path):
    (tmp_path / "model").write_bytes(MODEL)
    with pytest.raises(ValueError, match=r'^path: model: .*got 5: .*prefix="/simple-rnn-builder."'):
        load(tmp_path / "model")
    alone = MODEL[MODEL.index(b"#Parameter# /gru") :]
    for name, words in (
        (b"/lstm-builder", "a CoupledLSTMBuilder, with f = 1 − i and whole matrices"),
        (b"/fast-lstm-builder", "fast-lstm-builder with 9 arrays"),
        (b"/sparse-lstm-builder", "a builder of DyNet whose step is not known"),
    ):
        (tmp_path / "other").write_bytes(alone.replace(b"/gru-builder", name))
        with pytest.raises(ValueError, match=rf"^path: other: .*DyNet.*{name.decode()}: {words}"):
            load(tmp_path / "other")


def test_grus_of_several_layers_are_listed_and_others_refused(tmp_path):
    alone = MODEL[MODEL.index(b"#Parameter# /gru") :]
    (tmp_path / "gru").write_bytes(alone)
    assert type(load(tmp_path / "gru")) is GRU
    again = re.sub(rb"/_(\d) ", lambda m: b"/_%d " % (int(m[1]) + 9), alone)
    (tmp_path / "two").write_bytes(alone + again)
    with pytest.raises(ValueError, match=r"got 2: .*layer0.*layer1"):
        load(tmp_path / "two")
    for damaged in (alone[: alone.index(b"#Parameter# /gru-builder/_8")], alone.replace(b"{3,2}", b"{2,3}")):
        (tmp_path / "bad").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"^path: bad: .*a gru-builder (of shapes|with 8 arrays)"):
            load(tmp_path / "bad")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"{12,2}", b"{12,9000000000000}", "no larger than the file"),
        (b"{12,2}", b"{2,12}", "with layer normalisation"),
        (b"{12,2}", b"{x}", "a line '#Parameter#"),
        (b" ZERO_GRAD", b" NO_GRAD", "a line '#Parameter#"),
        (b"} 385 ", b"} 384 ", "a line '#Parameter#|numbers"),
        (b"} 385 ", b"} 999999 ", "cut short"),
        (b"} 385 ", b"} 3 ", "got too few"),
        (b"/_2 ", b"/_9 ", "expected"),
    ],
)
def test_damaged_files_are_refused(tmp_path, old, new, words):
    begin = MODEL.index(b"#Parameter# /vanilla")
    own = MODEL[begin:].split(b"#Parameter# /compact")[0]
    assert old in own
    (tmp_path / "model").write_bytes(own.replace(old, new))
    with pytest.raises(ValueError, match=rf"^path: model: .*({words})"):
        load(tmp_path / "model")


@pytest.mark.soak
def test_mutated_models_are_refused_or_read(tmp_path):
    """Two thousand files with bytes changed or cut: an error of one line, or a cell."""
    draws, said = np.random.default_rng(0), []
    own = MODEL[MODEL.index(b"#Parameter# /simple") :].split(b"#Parameter# /gru")[0]
    for number in range(2000):
        made = bytearray(own)
        for place in draws.integers(0, len(made), 1 + number % 4):
            made[place] = draws.integers(0, 256)
        made = made[: draws.integers(1, len(made))] if number % 5 == 0 else made
        (tmp_path / "model").write_bytes(made)
        try:
            load(tmp_path / "model")
        except ValueError as error:
            said.append(str(error))
    assert max(map(len, said)) < 2000
    assert not any("\n" in words for words in said)
