"""Frames of explorers while a point is dragged, and first paint: ``python -m benchmarks.frames [--out FILE]``.

The static pages, and a JupyterLab on this machine, in the system's Chromium without a window, 1280 pixels wide,
driven by movements of a mouse (extra ``browser``). Of each drag: milliseconds that a frame is drawn for, those
between frames, and those of the page's main thread for each frame, which other programs lengthen least.
"""

import argparse
import math
import os
import pathlib
import statistics
import tempfile
import time
from typing import Any

from tests import lab
from tests.browser import Browser, browser, missing

import rnn_dynamics as rd
from benchmarks import timing
from rnn_dynamics.explore import bundle
from rnn_dynamics.numerics.heartbeat import Heartbeat

#: What is dragged: the page, and the panel of the point.
DRAGS = {
    "neuron, point of the diagram": (lambda: rd.explore.page(), "a"),
    "neuron, point of the plane": (lambda: rd.explore.page(), "b"),
    "neuron, T = 2000": (lambda: rd.explore.page(steps=2000), "a"),
    "neuron, chaos at ε = 0.5": (lambda: rd.explore.page(-100.0, 90.0, 0.5, 0.3), "a"),
    "cliff, start of the descents": (lambda: rd.explore.cliff_page(), "a"),
    "cliff, point of the diagram": (lambda: rd.explore.cliff_page(), "b"),
    "cliff, T = 500, 500 updates, start": (lambda: rd.explore.cliff_page(steps=500, updates=500), "a"),
    "cliff, T = 500, 500 updates, diagram": (lambda: rd.explore.cliff_page(steps=500, updates=500), "b"),
}
_RECORD = """() => {
    const found = globalThis.frames = { between: [], drawn: [] }, draw = explorer.draw.bind(explorer);
    explorer.draw = () => { draw(); found.drawn.push(explorer.milliseconds); };
    let last = null;
    const tick = (now) => {
        if (last !== null) found.between.push(now - last);
        last = now;
        requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
}"""
# From the moment when the cell has its number to the frame behind the first drawing.
_PAINT = """() => new Promise(done => {
    const times = {};
    const look = () => {
        const prompt = document.querySelector(".jp-CodeCell .jp-InputPrompt");
        if (/\\[\\d+\\]/.test(prompt.textContent)) times.ran ??= performance.now();
        const canvas = document.querySelector(".rnn-explore canvas");
        if (canvas?.style.height) times.painted ??= performance.now();
        if (times.ran && times.painted) return done(times.painted - times.ran);
        requestAnimationFrame(look);
    };
    look();
})"""


def _share(values: list[float], share: float) -> float:
    return sorted(values)[round(share * (len(values) - 1))]


def drag(driven: Browser, document: str, panel: str, *, seconds: float) -> list[str]:
    """The cells of one row: drawing, between frames, main thread."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "page.html"
        path.write_text(document, encoding="utf-8")
        page = driven.open()
        page.goto(path.as_uri())
        page.wait_for_function("globalThis.explorer?.milliseconds !== undefined")
        page.wait_for_timeout(1500)  # until the map is as fine as it gets
    client = page.context.new_cdp_session(page)
    client.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy() -> float:
        metrics = client.send("Performance.getMetrics")["metrics"]
        return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

    box = page.locator(f".rnn-explore-point[data-panel={panel}]").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate(_RECORD)
    before, begin = busy(), time.perf_counter()
    while (now := time.perf_counter() - begin) < seconds:
        page.mouse.move(x + 60 * math.sin(2.6 * now), y + 40 * math.sin(3.7 * now))
    after, found = busy(), page.evaluate("frames")
    page.mouse.up()
    page.context.close()
    both = [f"{_share(found[name], share):.1f}" for name in ("drawn", "between") for share in (0.5, 0.95)]
    return [*both, f"{1000 * (after - before) / len(found['drawn']):.1f}", str(len(found["drawn"]))]


def first_paint(driven: Browser, *, repetitions: int) -> list[float]:
    """Seconds from the end of a cell with ``explore.neuron()`` to its picture in JupyterLab."""
    found = []
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as home:
        cells = ["import rnn_dynamics as rd\nrd.explore.neuron()"]
        path = lab.notebook(pathlib.Path(folder) / "first.ipynb", cells)
        with lab.server(path.parent, pathlib.Path(home)) as address:
            for _ in range(repetitions):
                opened = lab.Notebook(driven, address, path)
                opened.cells.first.locator(".cm-content").click()
                opened.page.keyboard.press("Shift+Enter")
                found.append(opened.page.evaluate(_PAINT) / 1000)
                opened.close()
    return found


def report(*, quick: bool) -> str:
    """The table.

    Raises:
        RuntimeError: there is no browser, or a page complained.
    """
    reason = missing("jupyterlab")
    if reason is not None:
        raise RuntimeError(reason)
    head = [
        "drawing, median ms",
        "95 %",
        "between frames, median ms",
        "95 %",
        "main thread, ms a frame",
        "frames",
    ]
    lines = [f"| dragged | {' | '.join(head)} |", "|---|" + "---|" * len(head)]
    with browser() as driven:
        for name, (page, panel) in DRAGS.items():
            row = drag(driven, page(), panel, seconds=1.0 if quick else 4.0)
            lines.append(f"| {name} | {' | '.join(row)} |")
            print(lines[-1], flush=True)
        paints = [1000 * seconds for seconds in first_paint(driven, repetitions=1 if quick else 5)]
        if driven.faults:
            raise RuntimeError("\n".join(driven.faults))
    paint = f"{statistics.median(paints):.0f} | {max(paints):.0f} | | | | {len(paints)}"
    lines.append(f"| explore.neuron() in JupyterLab, from its cell's end to the first picture | {paint} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frames", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a second of each drag")
    parser.add_argument("--out", metavar="FILE", help="write the table there too")
    options = parser.parse_args()
    facts: dict[str, Any] = timing.environment() | {"date": time.strftime("%Y-%m-%d")}
    for study in bundle.MODULES:
        size = len(bundle.module(study).encode()) + len(bundle.style().encode())
        facts[f"program and style of {study}"] = f"{size / 1000:.0f} kB"
    with Heartbeat("dragging", program="benchmarks"):
        table = report(quick=options.quick)
    facts["programs that ran or waited"] = f"{os.getloadavg()[0]:.1f}"
    text = "# Frames of the explorers\n\n" + "".join(f"- {key}: {value}\n" for key, value in facts.items())
    text += f"\n{table}"
    print(text)
    if options.out:
        pathlib.Path(options.out).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
