"""Run every ``NN_name.py`` beside this file and write the executed notebook next to it, without times or ids."""

import base64
import io
import os
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

from rnn_dynamics.numerics.heartbeat import Heartbeat

HERE = Path(__file__).resolve().parent


def sources() -> list[Path]:
    """The notebooks' py:percent sources, in order."""
    return sorted(HERE.glob("[0-9][0-9]_*.py"))


def executed(source: Path, *, timeout: int = 300) -> nbformat.NotebookNode:
    """The notebook of a source, run from its first cell to its last.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    os.environ.pop("MPLBACKEND", None)  # the kernel's own puts pictures into the notebook
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
    client = NotebookClient(
        notebook,
        timeout=timeout,
        resources={"metadata": {"path": str(HERE)}},
        record_timing=False,
        coalesce_streams=True,  # in one piece, whenever the kernel sent it
        store_widget_state=False,  # programs of some 100 kB, for a kernel that is gone
    )
    client.execute()
    notebook.metadata.pop("language_info", None)
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [output for output in map(_kept, cell.outputs) if output is not None]
    return notebook


def _kept(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """An output as the file has it: of an explorer, whose kernel is gone, its picture; nothing of an empty one."""
    found = output.get("data")
    if found is None:
        return output
    for form in ("application/vnd.jupyter.widget-view+json", "text/html"):
        if "image/png" in found:
            found.pop(form, None)
    if "image/png" in found:
        found["image/png"] = _with_palette(found["image/png"])
    return output if any(found.values()) and found.get("text/html") != "" else None


def _with_palette(picture: str) -> str:
    """A picture in base64 with at most 256 colours: half the bytes, and no difference to the eye."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    buffer = io.BytesIO()
    image.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE).save(
        buffer, format="png", optimize=True
    )
    return base64.b64encode(buffer.getvalue()).decode()


def chosen(names: list[str]) -> list[Path]:
    """The sources whose names or numbers are given, all of them by default.

    Raises:
        SystemExit: a name that no notebook has.
    """
    every = sources()
    unknown = [name for name in names if not any(name in (path.stem, path.stem[:2]) for path in every)]
    if unknown:
        raise SystemExit(f"{unknown[0]}: expected {', '.join(path.stem for path in every)}, or their numbers")
    return [path for path in every if not names or {path.stem, path.stem[:2]} & set(names)]


def main() -> None:
    """Execute all notebooks, or those whose names or numbers are given."""
    wanted = chosen(sys.argv[1:])
    with Heartbeat("running notebooks", program="notebooks") as beat:
        for source in wanted:
            beat.at(f"running {source.stem}")
            nbformat.write(executed(source), source.with_suffix(".ipynb"))
            size = source.with_suffix(".ipynb").stat().st_size / 1000
            print(f"{source.stem}.ipynb: {size:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
