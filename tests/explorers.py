"""What the tests of the explorers share: their programs under node, and their pages in a browser."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from rnn_dynamics.explore import bundle
from tests.browser import Browser

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")


def answers(folder: Path, script: str, what: str, rows: np.ndarray) -> bytes:
    """What the explorers' own modules answer for rows of numbers, by a script that lies beside the tests."""
    modules = folder / "modules"
    if not modules.exists():
        shutil.copytree(bundle.STATIC, modules)
        (modules / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    command = [str(NODE), str(Path(__file__).with_name(script)), str(modules), what]
    given = np.ascontiguousarray(rows, np.float64).tobytes()
    done = subprocess.run(command, input=given, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class Driven(NamedTuple):
    """A page in a browser, and what its console said."""

    page: Any
    said: list[str]

    def setting(self, name: str) -> Any:
        return self.page.evaluate(f"explorer.settings.{name}")

    def settled(self) -> str:
        """The picture after two frames."""
        return self.page.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() =>"
            " done(document.querySelector('canvas').toDataURL()))))"
        )

    def drag(self, panel: str, dx: float, dy: float) -> None:
        box = self.page.locator(f".rnn-explore-point[data-panel={panel}]").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + dx, y + dy, steps=8)
        self.page.mouse.up()


@contextlib.contextmanager
def opened(chromium: Browser, path: Path, document: str) -> Iterator[Driven]:
    """The page in a browser that reaches no network."""
    chromium.faults.clear()
    path.write_text(document, encoding="utf-8")
    page = chromium.open()
    page.goto(path.as_uri())
    page.wait_for_function("globalThis.explorer?.milliseconds !== undefined")
    yield Driven(page, chromium.faults)
    page.context.close()
