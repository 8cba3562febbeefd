"""Compiled programs kept for later processes: only where asked, private, bounded, and read back."""

import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from rnn_dynamics import cli, keep_programs
from rnn_dynamics.numerics import programs

_SESSION = """
import jax
import rnn_dynamics as rd

hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if "cache_hit" in event else None)
from rnn_dynamics.numerics import programs

before = programs.kept(rd.keep_programs({folder!r}))
jax.jit(lambda x: x * 3.25 + 1)(2.0).block_until_ready()
print(before.number, len(hits))
"""


def _session(folder: Path, **extra: str) -> tuple[int, int]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("JAX_")}
    done = subprocess.run(
        [sys.executable, "-c", _SESSION.format(folder=str(folder))],
        env=kept | extra,
        check=True,
        capture_output=True,
        text=True,
    )
    count, hits = map(int, done.stdout.split())
    return count, hits


def test_a_second_session_reads_back_what_the_first_compiled(tmp_path: Path) -> None:
    folder = tmp_path / "programs"
    assert _session(folder) == (0, 0)
    assert folder.stat().st_mode & 0o777 == 0o700
    count, hits = _session(folder)
    assert count >= 1
    assert hits >= 1


def _written(folder: Path, number: int, size: int) -> list[Path]:
    folder.mkdir(mode=0o700)
    paths = [folder / f"jit_f-{i:02}-cache" for i in range(number)]
    for i, path in enumerate(paths):
        path.write_bytes(bytes(size))
        os.utime(path, (time.time() - 100 + i,) * 2)
    return paths


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    paths = _written(tmp_path / "programs", 8, 2**19)
    (tmp_path / "programs" / "notes.txt").write_text("not ours")
    programs.shrunk(tmp_path / "programs", 2)
    assert [path.exists() for path in paths] == [False] * 4 + [True] * 4
    found = programs.kept(tmp_path / "programs")
    assert (found.number, found.megabytes) == (4, 2.0)
    assert "4 programs, 2 MB in" in repr(found)
    programs.cleared(tmp_path / "programs")
    assert [path.name for path in (tmp_path / "programs").iterdir()] == ["notes.txt"]


def test_a_folder_that_others_may_write_into_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "programs"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="folder: expected one that its owner alone may write into"):
        keep_programs(folder)


def test_a_folder_that_jax_has_stays_and_off_keeps_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = jax.config.values["jax_compilation_cache_dir"]
    monkeypatch.setenv(programs.VARIABLE, str(tmp_path / "elsewhere"))
    assert str(keep_programs()) == before
    assert jax.config.values["jax_compilation_cache_dir"] == before
    assert programs.default_folder() == tmp_path / "elsewhere"
    monkeypatch.setenv(programs.VARIABLE, "off")
    assert programs.default_folder() is None


def test_the_command_shows_and_clears(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "programs"
    _written(folder, 3, 2**20)
    monkeypatch.setenv(programs.VARIABLE, str(folder))
    assert cli.main(["cache"]) == 0
    assert capsys.readouterr().out == f"3 programs, 3.0 MB, in {folder}\n"
    assert cli.main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out == f"3 programs, 3.0 MB, in {folder} removed\n"
    assert cli.main(["cache"]) == 0
    assert capsys.readouterr().out.startswith("0 programs")
    monkeypatch.setenv(programs.VARIABLE, "off")
    assert cli.main(["cache"]) == 0
    assert "no programs are kept" in capsys.readouterr().out
