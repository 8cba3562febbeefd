"""Every notebook runs from top to bottom, and is the notebook of its py:percent source."""

import importlib.util
from pathlib import Path
from typing import Any

import jax
import jupytext
import matplotlib
import matplotlib.pyplot as plt
import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
SOURCES = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))


def _execute(source: Path) -> nbformat.NotebookNode:
    spec = importlib.util.spec_from_file_location("execute_notebooks", NOTEBOOKS / "execute.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.executed(source)


def test_there_are_notebooks() -> None:
    assert len(SOURCES) >= 3


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_pair_agrees_and_is_small(source: Path) -> None:
    paired = source.with_suffix(".ipynb")
    assert paired.stat().st_size < 300_000
    cells = [(c.cell_type, c.source) for c in jupytext.read(source).cells]
    stored = nbformat.read(paired, as_version=4).cells
    assert [(c.cell_type, c.source) for c in stored] == cells
    code = [c for c in stored if c.cell_type == "code"]
    assert all(c.execution_count for c in code)
    assert any("image/png" in output.get("data", {}) for c in code for output in c.outputs)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_cells_run_from_top_to_bottom(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, which has compiled what several notebooks ask for; the library's warnings are errors."""
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


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the Jupyter client, in this process
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_runs_from_top_to_bottom(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In the kernel the library's own warnings are errors; the cells' figures need no window.
    monkeypatch.setenv("PYTHONWARNINGS", "error::RuntimeWarning")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = _execute(source)
    streams = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    assert not [o.text for o in streams if o.output_type == "stream" and o.name == "stderr"]
