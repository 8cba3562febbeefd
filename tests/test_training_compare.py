"""The protocol: rows, containers, a store that is resumed, the command line, errors before anything is trained."""

import json
import shutil
import signal
import tempfile
from concurrent import futures
from pathlib import Path

import numpy as np
import pytest

from rnn_dynamics import cli, plots
from rnn_dynamics.cli import comparison
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.storage import StorageError, load
from rnn_dynamics.training import REMEDIES, compare, load_comparison, recipe
from rnn_dynamics.training.runs import results
from rnn_dynamics.training.runs.intervals import wilson

SMALL = {"seeds": 2, "updates": 20, "units": 6, "batch": 4, "every": 10}
ROWS = ("plain", "clipping")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def found(store: Path) -> results.Comparison:
    return compare(ROWS, "temporal-order", 10, store=store, rates=(0.01, 0.1), **SMALL)


def test_a_row_for_each_remedy_with_its_runs_interval_and_story(found: results.Comparison) -> None:
    assert [row.remedy for row in found.rows] == list(ROWS)
    for row in found.rows:
        assert row.task == "temporal-order"
        assert row.length == row.steps_of_task == 10
        assert row.seeds.tolist() == [0, 1]
        assert row.rate in row.rates == (0.01, 0.1)
        assert row.steps.tolist() == [20, 20]
        assert (row.status == Status.MAX_STEPS).all()
        assert row.successes == 0
        np.testing.assert_allclose(row.interval, wilson(0, 2))
        assert np.isnan(row.steps_to_success)
        assert row.horizon.shape == (3, 2)
        assert 0 <= row.horizon_at("initial") <= 10
        assert row.regime_at("final") in ("vanishing", "neither", "exploding", "undecided")
        assert row.seconds > 0
    assert "plain" in str(found)
    assert "0/2" in str(found)


def test_a_rate_given_twice_is_tried_once() -> None:
    found = compare("plain", "temporal-order", 10, rates=(0.01, 0.01), **SMALL)
    assert found.rows[0].rates == (0.01,)
    assert found.rows[0].seeds.tolist() == [0, 1]


def test_success_and_divergence_are_counted_apart() -> None:
    row = results.ComparisonRow(
        "a", "cell", "", "latch", 20, 20, 0.1, (0.1,), 1.0, np.arange(4), np.array([0, 0, 4, 5]),
        np.array([300, 500, 10, 900]), np.zeros(4), np.zeros((3, 4)), np.ones((3, 4)), np.full((3, 4), np.nan),
    )  # fmt: skip
    assert (row.successes, row.diverged, row.success_rate, row.steps_to_success) == (2, 1, 0.5, 400)
    assert row.regime_at("final") == "not measured"


def test_the_store_is_resumed_and_longer_runs_go_on_from_it(found: results.Comparison, store: Path) -> None:
    files = {path: path.stat().st_mtime_ns for path in store.glob("*-10.npz")}
    assert len(files) == 2
    again = compare(ROWS, "temporal-order", 10, store=store, rates=(0.01, 0.1), **SMALL)
    for old, new in zip(found.rows, again.rows, strict=True):
        np.testing.assert_array_equal(old.wrong, new.wrong)
        assert old.seconds == new.seconds
    more = SMALL | {"updates": 30}
    longer = compare(ROWS[:1], "temporal-order", 10, store=store, rates=(0.01, 0.1), **more)
    at_once = compare(ROWS[:1], "temporal-order", 10, rates=(0.01, 0.1), **more)
    np.testing.assert_array_equal(longer.rows[0].steps, [30, 30])
    np.testing.assert_array_equal(longer.rows[0].wrong, at_once.rows[0].wrong)


@pytest.mark.parametrize("processes", [0, pytest.param(2, marks=pytest.mark.soak)])
def test_rows_trained_by_an_executor_are_those_trained_here(
    processes: int, found: results.Comparison, tmp_path: Path
) -> None:
    executor = processes or futures.ThreadPoolExecutor(1)
    here = compare(ROWS, "temporal-order", 10, workers=1, rates=(0.01, 0.1), **SMALL)
    sent = compare(ROWS, "temporal-order", 10, store=tmp_path, executor=executor, rates=(0.01, 0.1), **SMALL)
    for old, new in zip(here.rows, sent.rows, strict=True):
        np.testing.assert_array_equal(old.wrong, new.wrong)
        np.testing.assert_array_equal(old.exponent, new.exponent)
    assert [row.remedy for row in sent.rows] == list(ROWS)


def test_rows_that_no_worker_can_train_are_named(tmp_path: Path) -> None:
    compare("plain", "temporal-order", 10, store=tmp_path, **SMALL)
    executor = futures.ThreadPoolExecutor(1)
    sizes = SMALL | {"batch": 5, "store": tmp_path, "executor": executor}
    said = r"executor: 1 of 2 rows .* plain on temporal-order: .*batch 4, not 5"
    with pytest.raises(RuntimeError, match=said):
        compare(["plain", "clipping"], "temporal-order", 10, **sizes)
    assert len(list(tmp_path.glob("clipping*-10.npz"))) == 1
    with pytest.raises(ValueError, match="executor: expected a store too"):
        compare("plain", "temporal-order", 10, executor=2, **SMALL)


def test_a_store_of_other_settings_is_refused_by_name(found: results.Comparison, store: Path) -> None:
    with pytest.raises(ValueError, match=r"checkpoint: .* plan.batch 4, not 5"):
        compare(ROWS, "temporal-order", 10, store=store, rates=(0.01, 0.1), **SMALL | {"batch": 5})


def test_file_json_and_xarray_hold_the_same(found: results.Comparison, tmp_path: Path) -> None:
    found.save(tmp_path / "c.npz")
    loaded = load_comparison(tmp_path / "c.npz")
    assert str(loaded) == str(found)
    assert json.loads(loaded.to_json()) == json.loads(found.to_json())
    dataset = found.to_xarray()
    for row in found.rows:
        at = dataset.sel(remedy=row.remedy, task=row.task, length=row.length)
        assert float(at.success_rate) == row.success_rate
        np.testing.assert_array_equal(at.steps, row.steps)
        np.testing.assert_array_equal(at.horizon.sel(moment="final"), row.horizon[2])
    damaged = (tmp_path / "c.npz").read_bytes()
    (tmp_path / "d.npz").write_bytes(damaged[:-100])
    with pytest.raises(StorageError, match=r"d\.npz"):
        load_comparison(tmp_path / "d.npz")


def test_the_picture_names_every_row(found: results.Comparison) -> None:
    ax = found.plot()
    assert [label.get_text() for label in ax.get_yticklabels()] == list(ROWS)
    assert plots.comparison(found, ax) is ax


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"remedies": ["no such"]}, "remedies: expected some of 'clipping', 'omega', .*got 'no such'"),
        ({"remedies": ["lstm+gru"]}, "lstm and gru exclude each other: cell"),
        ({"remedies": ["plain", "plain"]}, "remedies, tasks, lengths: expected each only once"),
        ({"lengths": [10, 10]}, "remedies, tasks, lengths: expected each only once"),
        ({"tasks": ["copy", "copy"]}, "remedies, tasks, lengths: expected each only once"),
        ({"remedies": []}, "remedies: expected at least one"),
        ({"tasks": ["no such"]}, "tasks: expected .*temporal-order"),
        ({"lengths": [3]}, "length: expected at least"),
        ({"rates": [-1.0]}, "rates: expected learning rates > 0"),
        ({"seeds": 0}, "seeds: expected"),
        ({"updates": 0}, "updates: expected"),
        ({"preset": "slow"}, "preset: expected"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_trained(changed: dict, message: str) -> None:
    def refuse(label: str, panel: object) -> None:
        raise AssertionError("something was trained")

    arguments = {"remedies": ["plain"], "tasks": ["temporal-order"], "lengths": [10]} | changed
    with pytest.raises(ValueError, match=message):
        compare(**arguments, progress=refuse)


def test_two_forms_of_one_remedy_and_a_remedy_that_is_none_are_refused() -> None:
    with pytest.raises(ValueError, match="omega and omega, norms are forms of one another"):
        recipe("omega", "omega, norms")
    with pytest.raises(TypeError, match="remedies: expected names or Remedy objects, got int"):
        recipe(3)


def test_every_remedy_says_what_it_claims_or_is_for_comparison_and_where() -> None:
    for remedy in REMEDIES.values():
        assert remedy.reference, remedy.name
        assert remedy.kind, remedy.name
        assert remedy.changes, remedy.name


def _run(capsys: pytest.CaptureFixture, *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["compare", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_command_line_prints_the_table_and_writes_files(capsys, tmp_path: Path) -> None:
    out, picture = tmp_path / "c.json", tmp_path / "c.png"
    sizes = ["--seeds", "2", "--updates", "500", "--units", "4"]
    chosen = ["--task", "temporal-order", "--lengths", "10", "--remedies", "plain"]
    code, text, _ = _run(
        capsys, *chosen, *sizes, "--store", str(tmp_path / "s"), "--out", str(out), "--plot", str(picture)
    )
    assert code == 0
    assert text.splitlines()[1].startswith("plain")
    assert json.loads(out.read_text())["rows"][0]["remedy"] == "plain"
    assert picture.stat().st_size > 5000


def test_what_is_interrupted_without_a_store_is_kept_and_gone_on_from(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sizes = ["--seeds", "1", "--updates", "500", "--units", "4"]
    command = [*sizes, "--task", "temporal-order", "--lengths", "10", "--remedies", "plain", "clipping"]

    def interrupt(row: results.ComparisonRow) -> None:
        raise KeyboardInterrupt(int(signal.SIGINT))

    with monkeypatch.context() as patch:
        patch.setattr(comparison, "_tell_done", interrupt)
        code, text, err = _run(capsys, *command)
    assert (code, text) == (130, "")
    (store,) = tmp_path.iterdir()
    assert f"interrupted; with --store {store} the same command goes on" in err
    (trained,) = store.glob("*-10.npz")
    seconds = load(trained)[1]["seconds"]
    code, text, err = _run(capsys, *command, "--store", str(store))
    assert (code, load(trained)[1]["seconds"]) == (0, seconds)
    rows = [line for line in err.splitlines() if not line.startswith("rnn-dynamics: ")]
    assert [line.split(",")[0] for line in rows] == ["plain", "clipping"]
    shutil.rmtree(store)
    assert _run(capsys, *command)[1].splitlines()[1:] != []
    assert list(tmp_path.iterdir()) == []

    def fail(row: results.ComparisonRow) -> None:
        raise MemoryError

    monkeypatch.setattr(comparison, "_tell_done", fail)
    with pytest.raises(MemoryError):
        _run(capsys, *command)
    (store,) = tmp_path.iterdir()
    assert f"stopped; with --store {store} the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--remedies", "clippin"], "remedies: expected some of"),
        (["--task", "order"], "task: expected"),
        (["--lengths", "2"], "length: expected at least"),
        (["--out", "x.txt"], "--out: expected a name ending in .npz, .nc, .json, got x.txt"),
        (["--plot", "/no/such/folder/x.png"], "--plot: no such folder"),
    ],
)
def test_command_line_names_what_is_wrong_in_one_line(capsys, arguments: list[str], message: str) -> None:
    code, out, err = _run(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_command_line_lists_tasks_and_remedies(capsys) -> None:
    code, text, _ = _run(capsys, "--list")
    assert code == 0
    assert all(name in text for name in REMEDIES)
    assert "temporal-order" in text
