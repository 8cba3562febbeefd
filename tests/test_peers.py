"""Cells of other frameworks beside the library's, each in its own process: run by `make peers` (tests/peers)."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.peers import page
from tests.peers.packages import ENVIRONMENTS, FOLDER, FRAMEWORKS, ROOT, python_with

RESULTS = FOLDER / "results"


@pytest.mark.peers
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_frameworks_cells_are_ours(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = RESULTS / f"{name}.json"
    result.parent.mkdir(parents=True, exist_ok=True)
    try:
        python = python_with(FRAMEWORKS[name][0])
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        result.write_text(json.dumps({"could not": str(error)}), encoding="utf-8")
        pytest.skip(f"{name} could not be installed: {error}")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT)))}
    environment.pop("XLA_FLAGS", None)
    command = [str(python), "-m", "tests.peers", name, str(result)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1800, check=False
    )
    with capsys.disabled():
        print(f"\n{done.stdout}", end="")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        result.write_text(json.dumps({"could not": last}), encoding="utf-8")
    assert done.returncode == 0, done.stderr[-4000:]
    rows = json.loads(result.read_text(encoding="utf-8"))["rows"]
    wrong = [f"{row['cell']} {row['option']} {row['dtype']}: {said}" for row in rows for said in row["wrong"]]
    assert rows
    assert not wrong, "\n".join(wrong)


@pytest.mark.peers
def test_the_page_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    found = {name: RESULTS / f"{name}.json" for name in FRAMEWORKS}
    missing = [name for name, path in found.items() if not path.is_file()]
    if missing:
        pytest.skip(f"not run yet, so that the page stays as it was: {', '.join(missing)}")
    results = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in found.items()}
    failed = {name: one["could not"] for name, one in results.items() if "could not" in one}
    with capsys.disabled():
        for name, reason in failed.items():
            print(f"\nNOT RUN: {name}: {reason}")
    (ROOT / "docs" / "peers.md").write_text(page.text(results), encoding="utf-8")


def test_each_framework_has_its_rows_and_packages() -> None:
    files = {path.stem.removeprefix("of_") for path in (Path(__file__).parent / "peers").glob("of_*.py")}
    assert files - {"jax"} == set(FRAMEWORKS)
    assert {environment for environment, _ in FRAMEWORKS.values()} == set(ENVIRONMENTS)
    for environment in ENVIRONMENTS.values():
        assert all("==" in requirement for requirement in (*environment.exact, *environment.alone))


def test_the_page_shows_every_framework_and_what_could_not_be_run() -> None:
    row = {"cell": "GRU", "option": "", "dtype": "float32", "states": 1e-7, "jacobian": 2e-7, "wrong": []}
    row |= {"cause": "FLOOR", "verdict": "x: its gradient …", "parted": 4, "lags": 9, "because": "of a scan"}
    results = {"torch": {"versions": {"torch": "2"}, "rows": [row]}, "mlx": {"could not": "no such file"}}
    written = page.text(results)
    assert "| torch 2 | GRU | | float32 | 1e-07 | 2e-07 |" in written
    assert "of a scan" in written
    assert "- mlx: no such file" in written
    shown = (ROOT / "docs" / "peers.md").read_text(encoding="utf-8")
    for name, (_, distributions) in FRAMEWORKS.items():
        assert f"| {distributions[0]} " in shown or f"- {name}: " in shown
