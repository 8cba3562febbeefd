"""Models of DyNet read by ``load``, as it ran them (files/make_dynet.py), and files that are damaged."""

import lzma
from pathlib import Path

import numpy as np
import pytest

from rnn_dynamics.cells import LSTM, ElmanRNN, Stack
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
    with pytest.raises(ValueError, match=r'^path: model: .*got 3: .*prefix="/simple-rnn-builder."'):
        load(tmp_path / "model")
    alone = MODEL[MODEL.index(b"#Parameter# /gru") :]
    (tmp_path / "gru").write_bytes(alone)
    with pytest.raises(ValueError, match=r"^path: gru: .*DyNet.*/gru-builder: a builder of DyNet whose step"):
        load(tmp_path / "gru")


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
