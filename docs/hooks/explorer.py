"""The explorers that need no Python, as self-contained pages that the site shows in frames, light and dark."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import rnn_dynamics as rd


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages among the site's files."""
    for name, page in (("neuron", rd.explore.page), ("cliff", rd.explore.cliff_page)):
        for theme in ("light", "dark"):
            files.append(File.generated(config, f"explorer/{name}-{theme}.html", content=page(theme=theme)))
    return files
