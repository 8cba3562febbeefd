"""Explorers and notebooks as a person has them: a real JupyterLab in a real browser, all on this machine."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests import hands, house, lab
from tests.browser import Browser, browser, missing

NOTEBOOKS = house.ROOT / "notebooks"
REASON = missing("jupyterlab", "anywidget", "ipywidgets")
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")

_START = "import json\nimport numpy as np\nimport rnn_dynamics as rd"
#: Of each explorer the code that makes it and what it is read back with.
EXPLORERS = {
    "neuron": "rd.explore.neuron()",
    "cliff": "rd.explore.cliff()",
    "gradients": "rd.explore.gradients(units=8, steps=20)",
    "attractors": "rd.explore.attractors(pair, steps=5)",
    "network": "rd.explore.network(rd.diagnose(run, lambda x: (x[:4] ** 2).sum()))",
}
#: Where the picture is clicked, as shares from the left and from above, and what that sets.
CLICKS = {"attractors": ((0.3, 0.3), {"x", "y"}), "network": ((0.5, 0.6), {"unit"})}
_NETWORKS = """
draw = lambda *shape: np.random.default_rng(0).normal(size=shape).astype(np.float32)
run = rd.rollout(rd.LSTM(draw(16, 4) / 2, draw(16), draw(16, 2)), None, draw(20, 2))
pair = rd.ElmanRNN(np.array([[1.05, 0.1], [0.1, 0.5]], np.float32), np.zeros(2, np.float32))"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Of a JupyterLab, and the folder that it shows."""
    folder, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")
    with lab.server(folder, home) as found:
        yield found, folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


def _opened(chromium: Browser, address: tuple[str, Path], names: list[str]) -> lab.Notebook:
    """A notebook with an explorer and a cell that reads it back, for each name."""
    cells = [_START + (_NETWORKS if "network" in names else "")]
    for name in names:
        cells += [f"{name} = {EXPLORERS[name]}\n{name}", f"found = {name}.settings()"]
        cells[-1] += "\nprint(json.dumps(found if isinstance(found, dict) else found._asdict()))"
    path = lab.notebook(address[1] / f"{'_'.join(names)}.ipynb", cells)
    opened = lab.Notebook(chromium, address[0], path)
    opened.run_all()
    return opened


def _read(opened: lab.Notebook, index: int) -> dict[str, Any]:
    return json.loads(opened.run(2 + 2 * index).strip().splitlines()[-1])


def _moved(opened: lab.Notebook, index: int, name: str) -> None:
    """Everything of one explorer is moved, and the kernel has what the browser shows."""
    before, output = _read(opened, index), opened.cells.nth(1 + 2 * index)
    if name in ("neuron", "cliff"):
        drawn = hands.Drawn(opened.page, output.locator(".rnn-explore"))
        drawn.move_all("ab")
        shown, after = drawn.shown(), _read(opened, index)
        numbers = [value for value in after.values() if not isinstance(value, str)]
        assert numbers == shown
        assert all(after[key] != before[key] for key in after if key != "theme")
    else:
        panel = hands.Panel(opened.page, output.locator(".widget-vbox"))
        panel.move_all(show="unit")
        after = _read(opened, index)
        if name in CLICKS:
            place, sets = CLICKS[name]
            panel.click(*place)
            clicked = _read(opened, index)
            assert {key for key in after if clicked[key] != after[key]} == sets
        assert all(after[key] != before[key] for key in after), (before, after)


def _finish(opened: lab.Notebook, chromium: Browser, path: Path, pictures: int) -> None:
    """Nothing went wrong, and the notebook, saved with a control in focus, keeps a picture of each explorer."""
    control = opened.page.locator(".rnn-explore input[type=range], .widget-hslider .noUi-handle").first
    control.press("ArrowLeft")
    opened.save()
    cells = nbformat.read(path, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    kept = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(kept) >= pictures
    assert [output for output in outputs if output.output_type == "error"] == []
    assert opened.complaints() == []
    opened.close()
    assert chromium.faults == []


@pytest.mark.parametrize(
    "names",
    [["neuron", "cliff"], ["gradients", "attractors", "network"]],
    ids="-".join,
)
@pytest.mark.soak
def test_everything_that_can_be_dragged_is(
    names: list[str], chromium: Browser, address: tuple[str, Path]
) -> None:
    opened = _opened(chromium, address, names)
    for index, name in enumerate(names):
        _moved(opened, index, name)
    _finish(opened, chromium, address[1] / f"{'_'.join(names)}.ipynb", len(names))


#: The first of the course, and the one before it, in which more is dragged.
FIRST = [path.stem for path in sorted(NOTEBOOKS.glob("0[01]_*.ipynb"))]


@pytest.mark.soak
@pytest.mark.parametrize("name", FIRST)
def test_the_first_notebooks_run_from_their_menu(
    name: str, chromium: Browser, address: tuple[str, Path]
) -> None:
    shutil.copytree(NOTEBOOKS / "data", address[1] / "data", dirs_exist_ok=True)
    content = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    path = address[1] / f"{name}.ipynb"
    nbformat.write(content, path)
    opened = lab.Notebook(chromium, address[0], path)
    opened.run_all()
    for root in opened.page.locator(".rnn-explore").all():
        hands.Drawn(opened.page, root).move_all("ab")
    _finish(opened, chromium, path, 1)
