"""The README: its example runs as printed, its links and figure names exist."""

import re
from pathlib import Path

from tests.pages import as_a_user

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def _run(arguments: list[str], folder: Path) -> str:
    done = as_a_user(arguments, folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_examples_run_as_printed(tmp_path: Path) -> None:
    first, verdict, second, third = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    (tmp_path / "first.py").write_text(first, encoding="utf-8")
    assert "spectral" in _run(["-W", "error", "first.py"], tmp_path).lower()
    (tmp_path / "verdict.py").write_text(verdict, encoding="utf-8")
    printed = _run(["-W", "error", "verdict.py"], tmp_path)
    (shown,) = re.findall(r"```text\n(.*?)```", TEXT, flags=re.DOTALL)
    assert printed.splitlines()[0] == shown.splitlines()[0]
    assert [line.split()[0] for line in printed.splitlines()] == [
        line.split()[0] for line in shown.splitlines()
    ]
    (tmp_path / "second.py").write_text(second, encoding="utf-8")
    printed = _run(["-W", "error", "second.py"], tmp_path)
    assert "fold at" in printed
    assert "Jump(basin boundary" in printed
    (tmp_path / "third.py").write_text(third, encoding="utf-8")
    assert "\nclipping+omega" in _run(["-W", "error", "third.py"], tmp_path)


def test_figures_of_the_table_are_those_of_the_command(tmp_path: Path) -> None:
    table = TEXT.split("## Figures")[1].split("\n## ")[0]
    named = set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE))
    listed = set(re.findall(r"\w+", _run(["-m", "rnn_dynamics", "list"], tmp_path)))
    assert named
    assert named <= listed


def test_links_into_the_repository_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT):
        assert (ROOT / target).is_file(), target
