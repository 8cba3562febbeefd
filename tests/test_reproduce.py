"""The command line and every published figure: files, rows, exit codes, and errors of one line."""

import errno
import json
import os
from pathlib import Path

import pytest

from rnn_dynamics import cli, storage
from rnn_dynamics.figures import output, registry, report


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """Everything once, coarse, at a low resolution."""
    folder = tmp_path_factory.mktemp("figures")
    return cli.main(["reproduce", "--quick", "--dpi", "40", "--out", str(folder)]), folder


def test_every_figure_and_the_report_are_there_and_nothing_else(made: tuple[int, Path]) -> None:
    code, folder = made
    assert code == 0
    expected = {f"{name}.png" for name in registry.FIGURES} | {"report.json", "report.md"}
    assert {path.name for path in folder.iterdir()} == expected
    for name in registry.FIGURES:
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_no_number_differs_and_corrections_say_why(made: tuple[int, Path]) -> None:
    told = json.loads((made[1] / "report.json").read_text())
    rows = told["rows"]
    assert told["verdicts"][report.DIFFERS] == 0
    assert len(rows) > 90
    assert {row["figure"] for row in rows} == set(registry.FIGURES)
    assert all(row["note"] for row in rows if row["verdict"] == report.CORRECTED)
    text = (made[1] / "report.md").read_text()
    assert text.count("![") == len(registry.FIGURES)


@pytest.mark.parametrize(
    "digits",
    [
        ".145",
        ".855",
        ".5",
        "-2.655610",
        "-2.344390",
        ".42",
        "3.91",
        ".54",
        "10.8",
        "1001",
        "4.2e-8",
        ".504392",
    ],
)
def test_numbers_of_the_sources_are_rows(made: tuple[int, Path], digits: str) -> None:
    rows = json.loads((made[1] / "report.json").read_text())["rows"]
    printed = [row["published"].replace("−", "-") for row in rows]
    assert any(digits in text for text in printed), printed


def test_a_number_agrees_only_if_it_rounds_to_the_printed_one() -> None:
    assert report.number("q", "s", "3.91", 3.9149).verdict == report.AGREES
    assert report.number("q", "s", "3.91", 3.9151).verdict == report.DIFFERS
    assert report.number("q", "s", "3.91", 5.0, correct=5.0).verdict == report.CORRECTED
    assert report.number("q", "s", "3.91", 3.91, correct=5.0).verdict == report.DIFFERS
    assert report.claim("q", "s", "p", "m", found=False).verdict == report.DIFFERS


def _error(capsys: pytest.CaptureFixture, arguments: list[str]) -> tuple[int, str]:
    code = cli.main(arguments)
    told = capsys.readouterr()
    assert len(told.err.strip().splitlines()) == 1, told.err
    return code, told.err


def test_an_unknown_figure_is_named_and_close_ones_are_told(capsys, tmp_path: Path) -> None:
    out = tmp_path / "new"
    code, told = _error(capsys, ["reproduce", "--only", "cliff_profil", "--out", str(out)])
    assert code == 2
    assert "cliff_profil" in told
    assert "did you mean cliff_profile" in told
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments", [["--dpi", "0"], ["--dpi", "x"], ["--format", "gif"], ["--frames", "3"]]
)
def test_wrong_options_are_one_line(capsys, tmp_path: Path, arguments: list[str]) -> None:
    code, _ = _error(capsys, ["reproduce", "--out", str(tmp_path), *arguments])
    assert code == 2
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_is_a_file(capsys, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("kept")
    code, told = _error(capsys, ["reproduce", "--only", "nearby_starts", "--out", str(taken)])
    assert code == 1
    assert "cannot write" in told
    assert taken.read_text() == "kept"


def test_a_full_disk_leaves_the_old_files(capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "nearby_starts.png"
    old.write_bytes(b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(output, "atomic_write", full)
    arguments = ["reproduce", "--quick", "--dpi", "30", "--only", "nearby_starts", "--out", str(tmp_path)]
    code = cli.main(arguments)
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 1
    assert "no space" in told
    assert [path.name for path in tmp_path.iterdir()] == ["nearby_starts.png"]
    assert old.read_bytes() == b"old"


def test_two_runs_are_the_same_bytes(tmp_path: Path) -> None:
    for kind in ("svg", "pdf"):
        pictures = []
        for run in ("one", "two"):
            folder = tmp_path / kind / run
            arguments = [
                "reproduce",
                "--quick",
                "--only",
                "nearby_starts",
                "--format",
                kind,
                "--out",
                str(folder),
            ]
            assert cli.main(arguments) == 0
            pictures.append((folder / f"nearby_starts.{kind}").read_bytes())
        assert pictures[0] == pictures[1]


def test_list_and_version(capsys) -> None:
    assert cli.main(["list"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in registry.FIGURES)
    assert cli.main(["--version"]) == 0
    assert cli.main([]) == 2


def test_info_checks_the_numbers_of_this_device(capsys) -> None:
    assert cli.main(["info"]) == 0
    told = capsys.readouterr().out
    assert "checks passed" in told
    assert "FAIL" not in told
    assert "float32" in told
    assert "jax" in told


def test_hazard_35_names_of_output_files_stay_in_their_folder(tmp_path: Path) -> None:
    for name in ("../../etc/x", "/etc/x", "", ".", "a\0b", "-rf", "CON", "x" * 300):
        with output.staging(tmp_path) as stage, pytest.raises(ValueError, match="name"):
            output.publish(stage, tmp_path, {name: b"x"})
    assert not list(tmp_path.iterdir())
    assert issubclass(storage.StorageError, ValueError)
