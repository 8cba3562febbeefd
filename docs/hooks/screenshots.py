"""The explorers before and after a drag, for the site's page on them: a browser drags, and is photographed.

``python docs/hooks/screenshots.py`` writes ``docs/pictures/explore_*.png``, with names of explorers behind it those
alone; ``readme`` names the two pictures that README opens with. Playwright (``pip install playwright``) and a
Chromium on the path are needed, and the extra ``notebook`` for the explorers that live in a notebook.
"""

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from PIL import Image

import rnn_dynamics as rd
from rnn_dynamics import plots

PICTURES = Path(__file__).resolve().parents[1] / "pictures"
WIDTH, PORT = 800, 8931
#: The pause in which a picture is drawn to the end.
REST = 1200


@dataclasses.dataclass(frozen=True)
class OnPage:
    """An explorer that is a page: a point of one of its panels is dragged.

    Attributes:
        page: its text.
        panel: the letter of the panel.
        by: how far, in pixels.
    """

    page: str
    panel: str
    by: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class InNotebook:
    """An explorer of a notebook: a slider is dragged.

    Attributes:
        code: of the cell whose value is the explorer.
        slider: its label.
        by: how far, as a share of the slider.
    """

    code: str
    slider: str
    by: float


PAGES = {
    "neuron": OnPage(rd.explore.page(b=-2.4, x0=0.2, theme="light"), "a", (47, 0)),
    "cliff": OnPage(rd.explore.cliff_page(theme="light"), "a", (0, -150)),
}
CELLS = {
    "gradients": InNotebook("rd.explore.gradients(spectral_radius=0.9)", "radius ρ(W)", 0.3),
    "attractors": InNotebook(
        """cell = rd.ElmanRNN(np.array([[2.0, -0.3], [0.4, 1.8]]), np.array([0.0, 0.1]))
found = rd.explore.attractors(cell, steps=4)
found.set(x=-0.05, y=-0.13, saddle=1)
found""",
        "steps",
        0.8,
    ),
    "network": InNotebook(
        """rng = np.random.default_rng(0)
shapes = {"weight_ih_l0": (128, 8), "weight_hh_l0": (128, 32), "bias_ih_l0": 128, "bias_hh_l0": 128}
weights = {name: rng.uniform(-0.2, 0.2, shape) for name, shape in shapes.items()}
weights["bias_ih_l0"][32:64] += np.linspace(-1, 3, 32)  # of the forget gates: the last units keep the most
run = rd.rollout(rd.interop.from_torch(weights), np.zeros(64), rng.normal(size=(200, 8)))
found = rd.explore.network(rd.diagnose(run, lambda x: (x[:32] ** 2).sum()))
found.set(show="unit", unit=36)
found""",
        "unit",
        0.38,
    ),
}
HEAD = "import jax\njax.config.update('jax_enable_x64', True)\nimport numpy as np\nimport rnn_dynamics as rd"


def kept(shot: bytes, name: str) -> None:
    """Keep a screenshot, of 256 colours."""
    path = PICTURES / f"{name}.png"
    colours = Image.open(io.BytesIO(shot)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    colours.save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, {colours.width} × {colours.height}")


def drag(page: Any, start: tuple[float, float], by: tuple[float, float]) -> None:
    """Press, move and let go."""
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + by[0], start[1] + by[1], steps=10)
    page.mouse.up()
    page.wait_for_timeout(REST)


def middle(element: Any) -> tuple[float, float]:
    """The middle of an element, in the window."""
    box = element.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def on_page(browser: Any, name: str, wanted: OnPage, folder: Path) -> None:
    """Both pictures of an explorer that is a page."""
    path = folder / f"{name}.html"
    path.write_text(wanted.page, encoding="utf-8")
    page = browser.new_page(viewport={"width": WIDTH, "height": 1400})
    page.goto(path.as_uri())
    page.wait_for_timeout(REST)
    explorer = page.locator(".rnn-explore")
    kept(explorer.screenshot(), f"explore_{name}_before")
    drag(page, middle(page.locator(f".rnn-explore-point[data-panel={wanted.panel}]")), wanted.by)
    print(page.locator(".rnn-explore-regime").inner_text())
    kept(explorer.screenshot(), f"explore_{name}_after")
    page.close()


def readme(browser: Any, folder: Path) -> None:
    """The two pictures that README opens with: a loss, and the neuron down to its orbit."""
    path = folder / "readme.html"
    path.write_text(rd.explore.page(b=-2.52, x0=0.5186, theme="light"), encoding="utf-8")
    page = browser.new_page(viewport={"width": WIDTH, "height": 1400})
    page.goto(path.as_uri())
    page.wait_for_timeout(REST)
    box = page.locator(".rnn-explore").bounding_box()
    last = page.locator(".rnn-explore-area").bounding_box()
    end = last["y"] + last["height"] - 231  # above the panel of the last row
    clip = {"x": box["x"], "y": box["y"], "width": box["width"], "height": end - box["y"]}
    kept(page.screenshot(clip=clip), "readme_neuron")
    page.close()
    jax.config.update("jax_enable_x64", True)
    profile = rd.cliff.profile(jnp.linspace(-2.52, -2.48, 401), steps=(5, 10, 20, 50))
    with plots.style():
        figure = Figure(figsize=(5.8, 5.2), layout="constrained")
        ax = profile.plot(figure.subplots())
        ax.set_title("the loss of one neuron after T steps")
        ax.xaxis.set_major_locator(MultipleLocator(0.01))
        content = io.BytesIO()
        figure.savefig(content, dpi=110)
    kept(content.getvalue(), "readme_cliff")


@contextmanager
def laboratory(folder: Path) -> Iterator[str]:
    """JupyterLab in a folder, on this machine alone; its address."""
    own = {name: str(folder / "jupyter") for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={PORT}"]
    command += ["--ip=127.0.0.1", "--IdentityProvider.token=", "--LabApp.news_url=None"]
    command += [f"--ServerApp.root_dir={folder}"]
    address = f"http://127.0.0.1:{PORT}/lab"
    with open(folder / "server.txt", "wb") as said:
        server = subprocess.Popen(command, env=os.environ | own, stdout=said, stderr=said)
        try:
            for _ in range(120):
                if answers(address):
                    break
                time.sleep(0.5)
            yield address
        finally:
            server.terminate()
            server.wait()


def answers(address: str) -> bool:
    """Whether a server is there."""
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def in_notebook(browser: Any, address: str, name: str, wanted: InNotebook, folder: Path) -> None:
    """Both pictures of an explorer of a notebook."""
    cell = {"cell_type": "code", "id": "one", "metadata": {}, "outputs": [], "execution_count": None}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}}
    book["cells"] = [cell | {"source": f"{HEAD}\n{wanted.code}"}]
    (folder / f"{name}.ipynb").write_text(json.dumps(book), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1300, "height": 1300})
    page.goto(f"{address}/tree/{name}.ipynb?reset")
    page.locator(".jp-Cell .cm-content").first.click(timeout=120_000)
    page.keyboard.press("Control+Enter")
    panel = page.locator(".jp-OutputArea-output .widget-vbox").first
    panel.locator("img").wait_for(timeout=120_000)
    page.wait_for_timeout(2 * REST)
    panel.scroll_into_view_if_needed()
    kept(panel.screenshot(), f"explore_{name}_before")
    row = panel.locator(".widget-hslider", has_text=wanted.slider).first
    width = row.locator(".noUi-target").bounding_box()["width"]
    drag(page, middle(row.locator(".noUi-handle")), (wanted.by * width, 0))
    page.wait_for_timeout(2 * REST)
    print(panel.locator("[role=status]").inner_text())
    kept(panel.screenshot(), f"explore_{name}_after")
    page.close()


def main(names: list[str]) -> None:
    """Take the pictures that are named, by default all."""
    from playwright.sync_api import sync_playwright

    wanted = names or [*PAGES, *CELLS, "readme"]
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name in (name for name in wanted if name in PAGES):
            on_page(browser, name, PAGES[name], Path(home))
        if "readme" in wanted:
            readme(browser, Path(home))
        for name in (name for name in wanted if name in CELLS):
            (folder := Path(home) / name).mkdir()
            with laboratory(folder) as address:  # of its own: it would open what the one before had open
                in_notebook(browser, address, name, CELLS[name], folder)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
