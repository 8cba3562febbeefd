"""The gallery: below its table every figure, with the call that draws it and its published and measured numbers.

The pictures are those of `figures/`, which `make figures` draws, else quick ones, which this file draws when run.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from rnn_dynamics.figures import FIGURES, Entry

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (ROOT / "figures", ROOT / ".cache" / "site" / "figures")
#: Where on the page the figures stand.
MARK = "<!-- figures -->"
ROOMS = {
    "doya": "One neuron",
    "cliff": "The loss cliff",
    "spectral": "Bounds and spectra",
    "dynamics": "Attractors and exponents",
    "gradients": "Gradients through time",
    "training": "Training",
}


def _folder(name: str) -> Path | None:
    """The folder whose picture of a figure is shown."""
    return next((folder for folder in FOLDERS if (folder / f"{name}.png").is_file()), None)


def _report(folder: Path) -> dict:
    path = folder / "report.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"quick": False, "rows": []}


def _cell(value: object) -> str:
    text = f"{value:.7g}" if isinstance(value, float) else "" if value is None else str(value)
    for sign in "\\|_*`<[":
        text = text.replace(sign, f"&#{ord(sign)};")
    return text


def _rows(rows: list[dict]) -> list[str]:
    """The numbers of one figure, folded in."""
    wrong = sum(row["verdict"] != "agrees" for row in rows)
    said = f"{len(rows)} numbers, published against measured" + (
        f"; {wrong} of the source corrected" if wrong else ""
    )
    lines = [
        f'??? note "{said}"',
        "",
        "    | quantity | source | published | measured | verdict |",
        "    |---|---|---|---|---|",
    ]
    for row in rows:
        verdict = row["verdict"] + (f". {row['note']}" if row["note"] else "")
        cells = (row["quantity"], row["source"], row["published"], row["measured"], verdict)
        lines.append(f"    | {' | '.join(map(_cell, cells))} |")
    return [*lines, ""]


def _entry(entry: Entry, has_picture: bool, rows: list[dict]) -> list[str]:
    lines = [f"### {entry.name}", "", f"{entry.title}. Source: {entry.source}.", ""]
    if has_picture:
        picture = f"gallery/{entry.name}.png"
        lines += [f"[![{entry.title}]({picture}){{ loading=lazy }}]({picture})", ""]
    lines += ["```sh", f"rnn-dynamics reproduce --only {entry.name}", "```", ""]
    return lines + (_rows(rows) if rows else [])


def pictures() -> str:
    """The Markdown of all figures, room by room."""
    reports = {folder: _report(folder) for folder in FOLDERS}
    folders = {name: _folder(name) for name in FIGURES}
    lines = []
    if not any(folders.values()):
        lines += ["This build has no pictures: `make docs` draws them.", ""]
    elif any(folder and reports[folder]["quick"] for folder in folders.values()):
        lines += ["The pictures here were drawn with `--quick`; the numbers are the same without it.", ""]
    for room, title in ROOMS.items():
        lines += [f"## {title}", ""]
        for entry in FIGURES.values():
            if entry.module.split(".")[0] == room:
                folder = folders[entry.name]
                found = reports[folder]["rows"] if folder else []
                rows = [row for row in found if row["figure"] == entry.name]
                lines += _entry(entry, folder is not None, rows)
    return "\n".join(lines)


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """The gallery with its figures, and each name in its table as a link to the figure."""
    if page.file.src_uri != "gallery.md":
        return markdown
    linked = re.sub(r"(?m)^\| `(\w+)` \|", r"| [`\1`](#\1) |", markdown)
    return linked.replace(MARK, pictures())


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pictures among the site's files."""
    for name in FIGURES:
        if folder := _folder(name):
            picture = str(folder / f"{name}.png")
            files.append(File.generated(config, f"gallery/{name}.png", abs_src_path=picture))
    return files


def draw_missing() -> int:
    """Draw, quickly, the figures that no folder has."""
    missing = [name for name in FIGURES if _folder(name) is None]
    if not missing:
        return 0
    command = [sys.executable, "-m", "rnn_dynamics", "reproduce", "--quick", "--out", str(FOLDERS[1])]
    return subprocess.run([*command, "--only", *missing], check=False).returncode


if __name__ == "__main__":
    sys.exit(draw_missing())
