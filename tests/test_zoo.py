"""Networks in public packages: the stored results, and the programs that made them, without any of the packages."""

import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import examples.zoo as programs
import jax
import numpy as np
import pytest
from examples.zoo import both, common, rnnoise, sleep, unitree
from safetensors.numpy import save_file

import rnn_dynamics as rd
from rnn_dynamics.figures.gradients import zoo, zoo_robots
from rnn_dynamics.interop.contents import contents_of

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "src" / "rnn_dynamics" / "figures" / "data" / "zoo"
RESULTS, BOTH = zoo.stored(), zoo.both_ways()


def about(name: str) -> common.About:
    return importlib.import_module(f"examples.zoo.{name}").ABOUT


def test_every_program_has_a_stored_result_and_no_other_is_there():
    assert sorted([*RESULTS, *BOTH]) == sorted(programs.NAMES)
    assert {path.stem for path in FOLDER.glob("*.json")} == set(RESULTS) | set(BOTH)
    assert max(path.stat().st_size for path in FOLDER.glob("*.json")) < 8000


def assert_is_that_of_its_program(name: str, found: dict) -> None:
    told = about(name)
    for field in ("name", "title", "package", "version", "licence", "architecture", "step", "unit"):
        assert found[field] == getattr(told, field), field
    assert found["install"] == list(told.install)
    assert found["made_with"]["dtype"] == "float64"
    assert zoo.agrees(found)
    assert found["agreement"]["states"] < (2e-3 if name == "rnnoise" else 1e-3)
    assert found["agreement"]["steps"] == found["steps"]


@pytest.mark.parametrize("name", sorted(BOTH))
def test_a_stored_result_of_both_directions_is_consistent_with_itself(name):
    found = BOTH[name]
    assert_is_that_of_its_program(name, found)
    window = found["output_window"]
    assert window == found["steps"] // 3
    curve = found["curves"]["output"]
    lags, decades = np.array(curve["lag"]), np.array(curve["decades"], float)
    np.testing.assert_array_equal(lags, -lags[::-1])
    assert (lags[0], lags[-1]) == (-window, window)
    assert (np.diff(lags) > 0).all()
    assert np.isfinite(decades).all()
    for side in ("back", "ahead"):
        near, far = (found["horizons"][share][side] for share in ("1/e", "1 %"))
        assert 0 <= near <= far <= window
    layers = len(found["directions"]) // 2
    names = [f"layer {layer} {way}" for layer in range(layers) for way in ("forward", "backward")]
    assert [each["name"] for each in found["directions"]] == names
    for each in found["directions"]:
        assert each["exponent_error"] >= 0
        assert 0 <= each["horizons"]["1/e"] <= each["horizons"]["1 %"] <= found["steps"]


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_a_stored_result_is_that_of_its_program_and_consistent_with_itself(name):
    found = RESULTS[name]
    assert_is_that_of_its_program(name, found)
    assert found["exponent_error"] >= 0
    steps, window = found["steps"], found["output_window"]
    assert window == steps // 2
    for of, longest in (("state", steps), ("output", window)):
        near, far = (found["horizons"][share][of] for share in ("1/e", "1 %"))
        assert 0 <= near <= far <= longest
        curve = found["curves"][of]
        lags, decades = np.array(curve["lag"]), np.array(curve["decades"], float)
        assert lags[0] == 0
        assert lags[-1] == longest
        assert (np.diff(lags) > 0).all()
        assert np.isfinite(decades).all()
    state = found["curves"]["state"]
    assert state["decades"][0] == pytest.approx(0, abs=1e-3)  # ∂x_T/∂x_T
    assert max(state["decades"]) <= found["peak"] + 1e-3
    at = np.array(state["decades"]) >= found["peak"] + math.log10(0.01)
    assert np.array(state["lag"])[at].max() <= found["horizons"]["1 %"]["state"]


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_fixed_points_are_what_their_multipliers_say(name):
    held = RESULTS[name]["fixed_points"]
    if held is None:
        return
    assert held["points"] or held["warning"] or held["marginal"]
    for point in held["points"]:
        assert point["stable"] == (point["radius"] < 1) == (point["unstable"] == 0)


def test_the_stories_hold():
    opus, ammonia = RESULTS["opus"], RESULTS["nh3pred"]
    line = opus["more"]["line"]
    assert line["folds"] == line["folds_from_music"]
    np.testing.assert_allclose(line["folds"], line["codec_leaves"], atol=1e-5)
    assert [point["stable"] for point in opus["fixed_points"]["points"]] == [True, True, False]
    said = sorted(point["output"] for point in opus["fixed_points"]["points"])
    assert said[0] < 0.05 < said[1] < 0.95 < said[2]
    assert ammonia["more"]["radius"] > 2
    assert ammonia["more"]["norm"] > 6
    assert ammonia["exponent"] + 2 * ammonia["exponent_error"] < 0
    old, new = RESULTS["madmom_onsets"], RESULTS["madmom_beats"]
    assert old["exponent"] + 2 * old["exponent_error"] < -0.2 < new["exponent"]
    assert new["fixed_points"]["settling"]["speed"] > 1  # it counts
    assert new["fixed_points"]["points"] == []
    names = RESULTS["dgaintel"]["fixed_points"]["points"]
    assert [point["stable"] for point in names] == [True, True, False]


@pytest.mark.parametrize("name", ["unitree_g1", "unitree_h1", "unitree_h1_2"])
def test_a_robot_falls_without_memory_and_its_body_remembers(name):
    found = RESULTS[name]
    more, told = found["more"], found["answers"]
    assert not told["fell"]
    assert told["speed, m/s"] == pytest.approx(0.5, abs=0.1)
    assert all("ankle" in body for body in more["touching"])  # no mesh that is left out could have mattered
    memory = more["memory"]
    assert len(memory["last"]) == len(memory["fell"]) == len(memory["speed"])
    for fell, speed in zip(memory["fell"], memory["speed"], strict=True):
        assert (fell is None) == (speed is not None)
    assert memory["fell"][0] == memory["replaced"]["zero"]
    assert memory["replaced"]["zero"] < 3
    assert memory["replaced"]["the mean of the walk"] < 3
    assert memory["replaced"]["the mean at that phase of the stride"] < 20
    assert zoo_robots.enough(found) <= 6
    assert memory["speed"][-1] == pytest.approx(told["speed, m/s"], abs=0.03)
    assert more["multipliers"] == sorted(more["multipliers"], reverse=True)
    assert more["multipliers"][0] < min(0.1, more["norm_of_a_stride"])
    alone, there = zoo_robots.after_a_stride(found)
    assert there > 10 * alone
    assert found["regime"] == "vanishing"


def test_the_policy_in_numpy_is_an_lstm_before_dense_layers_with_elu(tmp_path):
    """Against the library's own LSTM and JAX's ELU, on drawn weights."""
    rng = np.random.default_rng(0)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    shapes = dict(zip((f"memory.{name}_l0" for name in names), ((256, 3), (256, 64), 256, 256), strict=True))
    shapes |= {"actor.0.weight": (32, 64), "actor.0.bias": 32, "actor.2.weight": (2, 32), "actor.2.bias": 2}
    arrays = {name: 0.3 * rng.normal(size=size) for name, size in shapes.items()}
    save_file(arrays, tmp_path / "policy.safetensors")
    step = unitree.policy_in_numpy(tmp_path / "policy.safetensors")
    inputs, state, action = rng.normal(size=(5, 3)), np.zeros(128), np.zeros(2)
    for u in inputs:
        action, state = step(u, state)
    w_in, w, b_in, b = (arrays[f"memory.{name}_l0"] for name in names)
    states = rd.rollout(rd.LSTM(w, b_in + b, w_in), np.zeros(128), inputs).states
    np.testing.assert_allclose(state, states[-1], atol=1e-5)
    y = jax.nn.elu(arrays["actor.0.weight"] @ state[:64] + arrays["actor.0.bias"])
    np.testing.assert_allclose(action, arrays["actor.2.weight"] @ y + arrays["actor.2.bias"], atol=1e-5)


def test_a_rotation_turns_axes_as_its_quaternion_says():
    half = math.sqrt(0.5)
    about_z, about_x = (unitree.turned(np.array([half, *axis])) for axis in ((0, 0, half), (half, 0, 0)))
    np.testing.assert_allclose(about_z @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(about_x @ [0, 1, 0], [0, 0, 1], atol=1e-12)


def test_branch_of_opus_runs_through_both_folds():
    branch = RESULTS["opus"]["more"]["line"]["branch"]
    p, stable = np.array(branch["p"]), np.array(branch["stable"])
    assert np.abs(np.diff(stable)).sum() == 2
    for at, fold in zip(
        np.flatnonzero(np.diff(stable)), sorted(RESULTS["opus"]["more"]["line"]["folds"])[::-1], strict=True
    ):
        assert abs(p[at] - fold) < 0.01


def test_the_reach_to_both_sides_is_that_of_an_average_of_neighbours():
    """Of y_t = Σ_m w_m u_{t+m} with one linear cell each way the horizons are those of its weights."""
    cell = rd.ElmanRNN(np.array([[0.5]]), np.zeros(1), np.ones((1, 1)), activation="linear")
    slow = rd.ElmanRNN(np.array([[0.8]]), np.zeros(1), np.ones((1, 1)), activation="linear")
    run = rd.Bidirectional((cell, slow)).run(np.ones((90, 1)))
    logs = both.signed_logs(run, lambda y: y.sum(), ends=3)
    assert logs.shape == (3, 61)
    lags = np.arange(1, 31)
    np.testing.assert_allclose(logs[:, 31:], np.log(0.8) * lags + np.zeros((3, 1)), rtol=1e-4)
    np.testing.assert_allclose(logs[:, 29::-1], np.log(0.5) * lags + np.zeros((3, 1)), rtol=1e-4)
    assert both.reach(logs[0], 0.01) == (5, 17)  # of the greatest, which is 2
    np.testing.assert_allclose(both.rates(logs[0]), np.log([0.5, 0.8]), rtol=1e-4)


def test_layers_in_numpy_are_those_of_the_library():
    rng = np.random.default_rng(0)

    def gru(inputs: int) -> rd.GRU:
        w, b, w_in, b_hidden = (rng.normal(size=size) for size in ((6, 2), (6,), (6, inputs), (2,)))
        return rd.GRU(w, b, w_in, b_hidden=b_hidden)

    network = rd.Bidirectional([(gru(3), gru(3)), (gru(4), gru(4))])
    run = network.run(rng.normal(size=(7, 3)))
    worst, steps = both.compared(run, both.gru_layers(network, run.inputs))
    assert steps == 7
    assert worst < 1e-5


def test_blocks_of_a_sparse_matrix_stand_where_the_index_says():
    """RNNoise's layout: for each 8 rows the number of blocks and their first columns; a block by columns."""
    blocks = np.arange(64.0, dtype=np.float32)
    index = np.array([2, 0, 4, 0], np.int32)
    dense = rnnoise.matrix({"a_weights_float": blocks, "a_weights_idx": index}, "a", 16)
    assert dense.shape == (16, 8)
    np.testing.assert_array_equal(dense[:8, 0], np.arange(8))
    np.testing.assert_array_equal(dense[:8, 5], np.arange(40, 48))
    assert not dense[8:].any()


def test_a_night_has_all_stages_and_the_heart_beats_through_it():
    stages = sleep.night(1.0)
    assert len(stages) == 120
    assert set(sleep.night(7.0)) == {sleep.WAKE, sleep.LIGHT, sleep.DEEP, sleep.REM}
    heard = sleep.beats(stages[:20])
    assert (np.diff(heard) > 0.4).all()
    assert (np.diff(heard) < 2).all()
    assert heard[-1] >= 600
    signal = sleep.eye(np.array([sleep.DEEP, sleep.REM]), 2560 / 30)
    assert signal.shape == (5120,)
    assert np.isfinite(signal).all()


@pytest.mark.parametrize("name", programs.NAMES)
def test_what_is_missing_is_named_with_the_commands_that_bring_it(name, tmp_path, monkeypatch):
    def nothing(_: str) -> None:
        raise common.metadata.PackageNotFoundError

    monkeypatch.setattr(common.metadata, "distribution", nothing)
    program = importlib.import_module(f"examples.zoo.{name}")
    with pytest.raises(SystemExit) as refused:
        program.study(common.Files(tmp_path))
    lines = str(refused.value).splitlines()
    assert lines[0].startswith(f"{name}: ")
    assert lines[0].endswith("is not there; it comes by")
    assert [line.strip() for line in lines[1:]] == list(program.ABOUT.install)


def test_the_table_names_every_network():
    text = (ROOT / "examples" / "zoo" / "README.md").read_text(encoding="utf-8")
    for name, found in RESULTS.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
        assert f"{found['exponent']:+.4f} ± {found['exponent_error']:.4f}".replace("-", "−") in row
        assert found["licence"] in row
        for share in ("1/e", "1 %"):
            assert zoo.in_its_unit(found, found["horizons"][share]["output"]) in row
    for name, found in BOTH.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
        for each in found["directions"]:
            assert f"{each['exponent']:+.4f}".replace("-", "−") in row
        assert found["licence"] in row
        for share in ("1/e", "1 %"):
            pair = [zoo.in_its_unit(found, found["horizons"][share][side]) for side in ("back", "ahead")]
            assert ", ".join(pair) in row


def test_an_unknown_network_is_refused_with_the_known_ones():
    done = subprocess.run(
        [sys.executable, "-m", "examples.zoo", "opsu"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 2
    assert "unknown network 'opsu'; known are opus, " in done.stderr


def test_numbers_of_arrays_that_python_2_and_jax_pickled(tmp_path):
    """The array [1, 2] in float32, as Python 2 wrote it, its bytes a string; and as JAX keeps it."""
    raw = np.array([1, 2], "<f4").tobytes()
    dtype = b"cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    state = b"(K\x01(K\x02t" + dtype + b"\x89U\x08" + raw + b"t"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    (tmp_path / "old.pkl").write_bytes(b"\x80\x02}U\x01a" + array + state + b"bs.")
    function = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01bt"
    jaxs = b"cjax._src.array\n_reconstruct_array\n(" + function + state + b"}tR"
    (tmp_path / "jax.pkl").write_bytes(b"\x80\x02}U\x01a" + jaxs + b"s.")
    for name in ("old.pkl", "jax.pkl"):
        found = contents_of(tmp_path / name)
        assert not found.refused
        np.testing.assert_array_equal(found.arrays["a"].read(), [1, 2])


@pytest.mark.soak
@pytest.mark.parametrize("name", programs.NAMES)
def test_programs_whose_package_is_there_find_what_is_stored(name, tmp_path):
    """``ZOO`` names a folder of unpacked packages; installed ones are found without."""
    unpacked = os.environ.get("ZOO")
    command = [sys.executable, "-m", "examples.zoo", name, "--out", str(tmp_path)]
    done = subprocess.run(
        command + (["--unpacked", unpacked] if unpacked else []),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    if "is not there; it comes by" in done.stderr:
        pytest.skip(done.stderr.splitlines()[0])
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    stored = (RESULTS | BOTH)[name]
    pairs = (
        [(found, stored)] if name in RESULTS else zip(found["directions"], stored["directions"], strict=True)
    )
    for here, there in pairs:
        assert here["exponent"] == pytest.approx(there["exponent"], abs=3 * there["exponent_error"] + 1e-4)
    assert found["regime"] == stored["regime"]
    assert found["answers"].keys() == stored["answers"].keys()
