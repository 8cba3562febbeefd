"""The executed notebooks as pages: their text, code, printed output and pictures, as stored; nothing is run."""

import base64
import json
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]


def _fence(text: str, language: str) -> str:
    ticks = "`" * max(3, 1 + max(map(len, re.findall(r"`+", text)), default=0))
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}\n"


def _shown(output: dict) -> tuple[str, bytes | None]:
    """What an output is on the page, and the picture that it refers to as ``{picture}``."""
    if output["output_type"] == "stream":
        return _fence("".join(output["text"]), "text"), None
    data = output.get("data", {})
    if "image/png" in data:
        return "![Output of the cell above]({picture})\n", base64.b64decode("".join(data["image/png"]))
    return _fence("".join(data.get("text/plain", "")), "text"), None


def _spaced(text: str) -> str:
    """Lists and displayed equations with the empty lines around them that Markdown asks for."""
    text = text.replace("<details>", '<details markdown="1">')  # else what is folded stays plain text
    text = re.sub(r"\]\((\d\d_\w+)\.ipynb\)", r"](\1.md)", text)
    text = re.sub(r"(?m)^(?!\s*(?:[-*]|\d+\.)\s)(\S.*)\n(?=(?:[-*]|\d+\.) )", r"\1\n\n", text)
    return re.sub(r"\s*\$\$(.+?)\$\$\s*", r"\n\n$$\1$$\n\n", text, flags=re.DOTALL)


def page(path: Path) -> tuple[str, dict[str, bytes]]:
    """The Markdown of a notebook, and its pictures by name."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    parts, pictures = [], {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code":
            parts.append(_spaced(source) + "\n")
            continue
        parts.append(_fence(source, "python"))
        for output in cell["outputs"]:
            text, picture = _shown(output)
            if picture is not None:
                name = f"{path.stem}_{len(pictures) + 1}.png"
                pictures[name] = picture
                text = text.format(picture=name)
            parts.append(text)
    title, rest = parts[0].split("\n", 1)
    source = f"*Source: `notebooks/{path.stem}.py`, executed in `notebooks/{path.name}`.*\n"
    return "\n".join([title, "", source, rest, *parts[1:]]), pictures


def on_page_markdown(markdown: str, **_: object) -> str:
    """Links to notebooks of the repository, right where a page is read there, as links to the site's pages."""
    return re.sub(r"\]\(\.\./((?:\.\./)*)notebooks/(\w+)\.ipynb", r"](\1notebooks/\2.md", markdown)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages of all notebooks, with their pictures, among the site's files."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text, pictures = page(path)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        for name, picture in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=picture))
    return files
