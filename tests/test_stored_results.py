"""The stored results of figures, made anew and small: each has the stored form, and goes where it is told."""

import functools
import importlib

import jax
import numpy as np
import pytest

from rnn_dynamics import cli
from rnn_dynamics.figures import stored
from rnn_dynamics.figures.gradients import temporal_order
from rnn_dynamics.figures.stored import STORED
from rnn_dynamics.figures.training import along_runs, depth, success
from rnn_dynamics.training import load_comparison

SMALL = {
    "along_training": {"RUNS": along_runs.DRAWN + 1, "UPDATES": 3},
    "depth": {"DEPTHS": (4,), "NETWORKS": depth.NETWORKS[:2], "SEEDS": 2, "_UPDATES": 2},
    "flip_flop": {"_UPDATES": 2},
    "latch": {"RUNS": 2, "RUNS_BY_LENGTH": 8},
    "remedies": {"SEEDS": 2, "UPDATES": 2, "measured": lambda: ("plain", "clipping", "clipping+lstm")},
    "success": {"LENGTHS": (10, 11), "SEEDS": 2, "UPDATES": 2, "METHODS": success.METHODS[1:]},
    "temporal_order": {
        "CELLS": ("tanh", "LSTM of 1997"),
        "train": functools.partial(temporal_order.train, seeds=2, updates=2),
    },
    "unfolding": {"SEEDS": 2, "UPDATES": 2},
}


def fields(path):
    """What each array is of, behind the name of its network, and the kind of its numbers."""
    with np.load(path) as found:
        return {name.split(".")[-1]: np.asarray(found[name]).dtype.kind for name in found.files}


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SMALL)
def test_a_result_made_anew_has_the_form_of_the_stored_one(name, tmp_path, monkeypatch):
    module = importlib.import_module(f"rnn_dynamics.figures.{STORED[name].module}")
    for constant, value in SMALL[name].items():
        monkeypatch.setattr(module, constant, value)
    out = tmp_path / "made.npz"
    # Optax mixes dtypes as JAX does by default.
    with jax.enable_x64(STORED[name].x64), jax.numpy_dtype_promotion("standard"):
        STORED[name].retrain(out, tmp_path / "kept")
    if name == "remedies":
        assert [row.remedy for row in load_comparison(out).rows] == list(module.measured())
    else:
        with stored.path(name) as kept:
            assert fields(out) == fields(kept)
    assert sorted(tmp_path.iterdir()) in ([tmp_path / "kept", out], [out])


def test_every_stored_result_is_made_small_here_and_can_be_read():
    assert set(SMALL) == set(STORED)
    for name in STORED:
        with stored.path(name) as path:
            assert path.stat().st_size < 400_000
        arrays, _ = stored.read(name)
        assert arrays


def test_the_command_names_what_can_be_made_and_what_is_wrong(capsys, tmp_path):
    assert cli.main(["retrain", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in STORED)
    assert cli.main(["retrain", "latsch", "--out", str(tmp_path / "a.txt")]) == 2
    told = capsys.readouterr().err
    assert "did you mean latch" in told
    assert "--out: expected a name ending in .npz" in told
    assert cli.main(["retrain", "latch", "--full", "--out", str(tmp_path / "latch.npz")]) == 2
    assert "--full: latch has no longer form" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
