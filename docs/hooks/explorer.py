"""The explorer of one neuron, as self-contained pages that the site shows in a frame: one light, one dark."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import rnn_dynamics as rd


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Both pages among the site's files."""
    for theme in ("light", "dark"):
        text = rd.explore.page(theme=theme)
        files.append(File.generated(config, f"explorer/neuron-{theme}.html", content=text))
    return files
