"""``rnn-dynamics atlas`` and ``sweep``: what they print, leave, and refuse."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

from rnn_dynamics import cli, spectral
from rnn_dynamics.numerics.stored.opening import opened
from rnn_dynamics.numerics.sweep import Sweep, sweep
from rnn_dynamics.numerics.swept import of_store
from tests import sweeps

pytest.importorskip("zarr")
SMALL = ("--units", "4", "--points", "3", "--seeds", "2", "--steps", "9")


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("atlas") / "a.zarr"
    assert cli.main(["atlas", "radius", "--store", str(path), *SMALL]) == 0
    return path


def test_an_atlas_is_the_librarys_sweep(atlas: Path) -> None:
    lags = [1, 2, 3, 5, 8, 9]
    wanted = spectral.radius_sweep(
        np.linspace(0.2, 2, 3), biases=np.linspace(0, 1.5, 3), seeds=range(2), n=4, steps=9, lags=lags
    )
    found = xarray.open_zarr(atlas)
    np.testing.assert_allclose(found.log_norms, wanted.log_norms, rtol=1e-12, atol=1e-12)
    assert dict(found.sizes) | {"radius": 3, "bias": 3, "seed": 2} == dict(found.sizes)


def test_status_and_verify_say_what_is_there(atlas: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sweep", "status", str(atlas)]) == 0
    said = capsys.readouterr().out
    assert "3 radius × 3 bias × 2 seed" in said
    assert "1 of 1 blocks of 18 points are there" in said
    assert cli.main(["sweep", "verify", str(atlas)]) == 0
    assert "1 of 1 blocks are there and whole" in capsys.readouterr().out


def test_damage_is_named_and_resume_mends_it(
    atlas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chunk = opened(atlas)._file("log_norms", 0)
    content = chunk.read_bytes()
    chunk.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert cli.main(["sweep", "verify", str(atlas)]) == 1
    assert "block 0: log_norms damaged" in capsys.readouterr().out
    assert cli.main(["sweep", "resume", str(atlas)]) == 0
    assert chunk.read_bytes() == content


def test_export_writes_one_file(atlas: Path, tmp_path: Path) -> None:
    assert cli.main(["sweep", "export", str(atlas), "--out", str(tmp_path / "a.nc")]) == 0
    with xarray.open_dataset(tmp_path / "a.nc") as data:
        np.testing.assert_array_equal(data.log_norms, xarray.open_zarr(atlas).log_norms)
    assert cli.main(["sweep", "export", str(atlas), "--out", str(tmp_path / "a.npz")]) == 0
    back = Sweep.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(back["log_norms"], of_store(opened(atlas))["log_norms"])


def test_a_sweep_of_ones_own_says_how_it_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    axes = {name: np.linspace(*ends) for name, ends in sweeps.AXES.items()}
    sweep(sweeps.orbit, axes, store=tmp_path / "a.zarr")
    assert cli.main(["sweep", "resume", str(tmp_path / "a.zarr")]) == 2
    assert "tests.sweeps.orbit goes on by the call that began it" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_an_atlas_and_says_how_it_goes_on(number: int, tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    command = [sys.executable, "-m", "rnn_dynamics", "atlas", "radius", "--store", str(store)]
    command += ["--units", "48", "--points", "60", "--seeds", "4", "--steps", "200"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ.copy())
    end = time.monotonic() + 200
    while time.monotonic() < end and not (store.exists() and opened(store).done().any()):
        time.sleep(0.05)
    running.send_signal(number)
    begun = time.monotonic()
    said = running.communicate(timeout=60)[1]
    assert running.returncode == 128 + number
    assert f"interrupted; go on by: rnn-dynamics sweep resume {store}" in said
    assert time.monotonic() - begun < 30
    found = opened(store)
    assert found.damaged() == {}
    assert found.done().any()


MISTAKES: dict[str, tuple[list[str], str]] = {
    "name": (["atlas", "radiu", "--store", "x"], "did you mean radius?"),
    "no store": (["atlas", "radius"], "--store: expected a folder"),
    "option of another": (
        ["atlas", "neuron", "--store", "x", "--units", "3"],
        "--units: atlas neuron has no such option; it takes --points, --steps, --epsilon, --x0",
    ),
    "list": (["atlas", "gated", "--store", "x", "--gain", "1", "a"], "--gain: expected numbers, got 'a'"),
    "no picture": (["sweep", "plot", "."], "--out: expected a file"),
    "table as picture": (["sweep", "plot", ".", "--out", "a.nc"], "--out: expected a name ending in .png"),
    "held": (["sweep", "plot", ".", "--out", "a.png", "--at", "w"], "--at: expected AXIS=POINT, got 'w'"),
    "points": (["atlas", "radius", "--store", "x", "--points", "1"], "--points: expected an integer from 2"),
    "workers": (["atlas", "radius", "--store", "x", "--workers", "0"], "--workers: expected"),
    "both": (["atlas", "radius", "--store", "x", "--workers", "1", "--dask", "y"], "expected one of them"),
    "action": (["sweep", "verfy", "."], "did you mean verify?"),
    "folder": (["sweep", "status", "nowhere"], "no such folder"),
    "no sweep": (["sweep", "status", "."], "not a store of a sweep"),
    "no file": (["sweep", "export", "."], "--out: expected a file"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, said = MISTAKES[name]
    assert cli.main(arguments) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_no_other_folder_is_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert cli.main(["atlas", "radius", "--store", str(tmp_path), *SMALL]) == 2
    assert "not a store of a sweep" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["mine.txt"]
    empty: Any = tmp_path / "empty"
    empty.mkdir()
    assert cli.main(["atlas", "radius", "--store", str(empty), *SMALL]) == 0
