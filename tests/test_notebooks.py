"""Every notebook runs from top to bottom, is the notebook of its py:percent source, and a lesson of one course."""

import importlib.util
import re
import types
from pathlib import Path
from typing import Any

import jax
import jupytext
import matplotlib
import matplotlib.pyplot as plt
import nbformat
import pytest

from tests import calls, pages

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
SOURCES = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))


def _runner() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("execute_notebooks", NOTEBOOKS / "execute.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_notebooks() -> None:
    assert len(SOURCES) >= 3


def test_notebooks_are_run_by_name_or_number_and_others_refused() -> None:
    chosen = _runner().chosen
    assert chosen([]) == SOURCES
    assert chosen(["08", SOURCES[0].stem]) == [SOURCES[0], SOURCES[8]]
    with pytest.raises(SystemExit, match=r"^99: expected 00_start_here, "):
        chosen(["08", "99"])


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_pair_agrees_and_is_small(source: Path) -> None:
    paired = source.with_suffix(".ipynb")
    assert paired.stat().st_size < 300_000
    assert " object at 0x" not in paired.read_text(encoding="utf-8")  # another one at each run
    cells = [(c.cell_type, c.source) for c in jupytext.read(source).cells]
    stored = nbformat.read(paired, as_version=4).cells
    assert [(c.cell_type, c.source) for c in stored] == cells
    code = [c for c in stored if c.cell_type == "code"]
    assert all(c.execution_count for c in code)
    assert any("image/png" in output.get("data", {}) for c in code for output in c.outputs)


def _answers(source: Path) -> list[str]:
    """The folded answers' Markdown."""
    texts = [cell.source for cell in jupytext.read(source).cells if cell.cell_type == "markdown"]
    return [text for text in texts if "<details>" in text]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_it_is_a_lesson_as_the_others_are(source: Path) -> None:
    cells = jupytext.read(source).cells
    first, *_ = [cell.source for cell in cells if cell.cell_type == "code"]
    assert first == next(c.source for c in jupytext.read(SOURCES[0]).cells if c.cell_type == "code")
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert cells[0].source.startswith(f"# {source.stem[:2]} ")
    assert cells[0].source.split("\n\n")[1].startswith("**Question.** ")
    assert re.match(r"\*\d+ minutes; needs .*\.\*$", cells[0].source.split("\n\n")[2])
    *_, home, reading, exercises = re.findall(r"(?m)^## (.*)$", text)
    assert (home, reading, exercises) == ("To take home", "Reading", "Exercises")
    asked = re.findall(r"(?m)^\*\*(\d)\.\*\* ", text.split("## Exercises")[1])
    assert asked == [str(i) for i in range(1, len(asked) + 1)]
    answers = _answers(source)
    assert 1 <= len(answers) == len(asked) <= 3
    for answer in answers:
        assert re.fullmatch(
            r"<details><summary>Answer</summary>\n\n.*\n\n</details>", answer, flags=re.DOTALL
        )
    assert "encyclopedia" not in " ".join(text.split()).replace("*Wikipedia*, the free encyclopedia", "")


def test_the_course_tells_of_each_what_it_tells_of_itself() -> None:
    course = (NOTEBOOKS.parent / "docs" / "course.md").read_text(encoding="utf-8")
    start = SOURCES[0].read_text(encoding="utf-8")
    for source in SOURCES:
        _, question, row = jupytext.read(source).cells[0].source.split("\n\n")[:3]
        minutes, needs = re.findall(r"^\*(\d+) minutes; needs (.*)\.\*$", row)[0]
        (line,) = [one for one in course.splitlines() if re.match(rf"\| .*notebooks/{source.stem}\.md", one)]
        asked, told, needed = [one.strip() for one in line.split("|")[2:5]]
        assert question == f"**Question.** {asked}"
        assert (told, needed) == (minutes, needs)
        if source != SOURCES[0]:
            assert f"| {asked} | {told} | {needed} |" in start


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_what_is_stored_is_read_without_a_kernel(source: Path) -> None:
    notebook = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    assert "widgets" not in notebook.metadata
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    for output in outputs:
        if output.output_type == "stream":
            assert output.name == "stdout"
            assert max(map(len, output.text.splitlines())) <= 116
            assert "Scaled(" not in output.text
        else:
            assert "image/png" in output.data
            assert "application/vnd.jupyter.widget-view+json" not in output.data


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_cells_call_the_library_as_it_is_called(source: Path) -> None:
    code = [cell.source for cell in jupytext.read(source).cells if cell.cell_type == "code"]
    code += [
        part for text in _answers(source) for part in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    ]
    assert calls.fitting(code)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_cells_run_from_top_to_bottom(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, which has compiled what several notebooks ask for; the library's warnings are errors.

    Those that take longest are soak tests.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    code = [cell.source for cell in jupytext.read(source).cells if cell.cell_type == "code"]
    drawn = 0
    monkeypatch.chdir(NOTEBOOKS)
    with (
        matplotlib.rc_context(),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        for number, cell in enumerate(code):
            exec(compile(cell, f"{source.name}, cell {number}", "exec"), names)
            drawn += len(plt.get_fignums())
            plt.close("all")
        assert drawn
        assert not capsys.readouterr().err
        for answer in _answers(source):
            for code, shown in re.findall(
                r"```python\n(.*?)```\n\n```text\n(.*?)```", answer, flags=re.DOTALL
            ):
                exec(compile(code, f"{source.name}, an answer", "exec"), names)
                assert pages.same(capsys.readouterr().out, shown)
            assert answer.count("```python") == answer.count("```text")


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the Jupyter client, in this process
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_runs_from_top_to_bottom(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In the kernel the library's own warnings are errors; the cells' figures need no window.
    monkeypatch.setenv("PYTHONWARNINGS", "error::RuntimeWarning")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = _runner().executed(source)
    streams = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    assert not [o.text for o in streams if o.output_type == "stream" and o.name == "stderr"]


def test_a_call_that_does_not_fit_is_seen() -> None:
    first = "import rnn_dynamics as rd\nfrom rnn_dynamics import plots"
    assert (
        calls.fitting([first, "rd.rollout(cell, x, steps=3)\nrd.basins(*given, u=0)\nplots = rd\nplots.no()"])
        == 2
    )
    with pytest.raises(TypeError, match="length"):
        calls.fitting([first, "rd.rollout(cell, x, length=3)"])
    with pytest.raises(AttributeError, match="rolout"):
        calls.fitting([first, "rd.rolout(cell)"])
