"""The explorer's program for the browser: one ES module and one style sheet, from the files in ``static``."""

import functools
import re
from pathlib import Path

STATIC = Path(__file__).parent / "static"
#: In the order in which they use one another.
MODULES = ("numbers", "regime", "theme", "axes", "panels", "explorer", "neuron")


@functools.cache
def module() -> str:
    """The modules as one, which imports nothing and exports the last one's default."""
    texts = [(STATIC / f"{name}.js").read_text(encoding="utf-8") for name in MODULES]
    joined = "\n".join(re.sub(r"^import\s[^;]*;\n", "", text, flags=re.MULTILINE) for text in texts)
    return re.sub(r"^export (?!default)", "", joined, flags=re.MULTILINE)


@functools.cache
def style() -> str:
    """The style sheet."""
    return (STATIC / "neuron.css").read_text(encoding="utf-8")
