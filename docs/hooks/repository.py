"""Pages from files of the repository: the stored benchmarks, and the changelog."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
MARK = re.compile(r"^<!-- results of (\w+) -->$", re.MULTILINE)


def _table(name: str) -> str:
    """The table of one benchmark, and when it was measured, with the benchmark's own name left out."""
    text = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    facts = dict(re.findall(r"^- (\w+): (.+)$", text, flags=re.MULTILINE))
    rows = re.findall(r"^\|.*\|$", text, flags=re.MULTILINE)
    rows = [row.replace(f"| {name} ", "", 1).replace("| benchmark ", "", 1) for row in rows]
    if rows[1].count("|") > rows[0].count("|"):
        rows[1] = rows[1].replace("---|", "", 1)
    measured = f"Measured {facts['date']}: {facts['processor']}, {facts['cores']} cores, JAX {facts['jax']}."
    return "\n".join([*rows, "", measured, ""])


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Each mark replaced by the table of the benchmark that it names."""
    return MARK.sub(lambda found: _table(found[1]), markdown)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The changelog among the site's files."""
    text = (
        (ROOT / "CHANGELOG.md")
        .read_text(encoding="utf-8")
        .replace("`docs/hazards.md`", "[traps](hazards.md)")
    )
    files.append(File.generated(config, "changelog.md", content=text))
    return files
