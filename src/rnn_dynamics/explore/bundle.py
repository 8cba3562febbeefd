"""An explorer's program for the browser: one ES module and one style sheet, from the files in ``static``."""

import functools
import re
from pathlib import Path

STATIC = Path(__file__).parent / "static"
_SHARED = ("numbers", "words", "theme", "axes", "sliders", "explorer", "diagram")
#: Of each study, and of the picture of a panel, in the order in which they use one another.
MODULES = {
    "neuron": (*_SHARED, "regime", "panels", "neuron"),
    "cliff": (*_SHARED, "loss", "heat", "outcome", "cliff_panels", "cliff"),
    "picture": ("theme", "picture"),
}


@functools.cache
def module(study: str) -> str:
    """The modules of a study as one, which imports nothing and exports the last one's default."""
    texts = [(STATIC / f"{name}.js").read_text(encoding="utf-8") for name in MODULES[study]]
    joined = "\n".join(re.sub(r"^import\s[^;]*;\n", "", text, flags=re.MULTILINE) for text in texts)
    return re.sub(r"^export (?!default)", "", joined, flags=re.MULTILINE)


@functools.cache
def style() -> str:
    """The style sheet."""
    return (STATIC / "explorer.css").read_text(encoding="utf-8")
