"""The commands that make the stored results of figures, run small: each ends, and writes what is stored."""

from pathlib import Path

import numpy as np
import pytest

from rnn_dynamics.figures import along_runs, depth, latch, remedies, success, unfolding
from rnn_dynamics.training import load_comparison

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

SMALL = {
    along_runs: {"RUNS": along_runs.DRAWN + 1, "UPDATES": 3},
    depth: {"DEPTHS": (4,), "NETWORKS": depth.NETWORKS[:2], "SEEDS": 2, "_UPDATES": 2},
    latch: {"RUNS": 2, "RUNS_BY_LENGTH": 8},
    remedies: {"SEEDS": 2, "UPDATES": 2, "measured": lambda: ("plain", "clipping", "clipping+lstm")},
    success: {"LENGTHS": (10, 11), "SEEDS": 2, "UPDATES": 2, "METHODS": success.METHODS[1:]},
    unfolding: {"SEEDS": 2, "UPDATES": 2},
}


def fields(path):
    """What each array is of, behind the name of its network, and the kind of its numbers."""
    with np.load(path) as stored:
        return {name.split(".")[-1]: np.asarray(stored[name]).dtype.kind for name in stored.files}


@pytest.fixture
def small(request, monkeypatch):
    """A module whose command trains little."""
    for name, value in SMALL[request.param].items():
        monkeypatch.setattr(request.param, name, value)
    return request.param


@pytest.mark.parametrize("small", [along_runs, depth, latch, unfolding], indirect=True, ids=lambda m: m._FILE)
def test_a_command_writes_beside_its_module_what_is_stored(small, tmp_path, monkeypatch):
    kept = Path(small.__file__).with_name(small._FILE)
    monkeypatch.setattr(small, "__file__", str(tmp_path / "module.py"))
    small.main()
    assert fields(tmp_path / small._FILE) == fields(kept)


@pytest.mark.parametrize("small", [success], indirect=True)
def test_the_command_of_figure_7(small, tmp_path):
    small.main(["--folder", str(tmp_path / "kept"), "--out", str(tmp_path / "made.npz")])
    assert fields(tmp_path / "made.npz") == fields(Path(small.__file__).with_name(small._FILE))


@pytest.mark.parametrize("small", [remedies], indirect=True)
def test_the_command_of_the_table_of_remedies(small, tmp_path):
    small.main(["--folder", str(tmp_path / "kept"), "--out", str(tmp_path / "made.npz")])
    assert [row.remedy for row in load_comparison(tmp_path / "made.npz").rows] == list(small.measured())
