"""A real JupyterLab on this machine alone, and a notebook in it as a person has it before them."""

import contextlib
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests import house
from tests.browser import Browser

_SETTINGS = {
    # All cells are in the page, also those out of sight.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}
_OPTIONS = (
    "--no-browser",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port_retries=0",
    "--ServerApp.allow_root=True",
    "--ServerApp.terminals_enabled=False",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)
_START, _RUN = 90.0, 200.0  # seconds


def notebook(path: Path, cells: Sequence[str]) -> Path:
    """A notebook of cells of code, written to a file."""
    code: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {
        "cells": [code | {"id": f"cell-{i}", "source": source} for i, source in enumerate(cells)],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def server(folder: Path, home: Path) -> Iterator[str]:
    """The address, with its token, of a JupyterLab that shows a folder; ``home`` holds its settings and its log."""
    for name, values in _SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    port, token = _free_port(), secrets.token_hex(16)
    places = {
        name: str(home / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    }
    paths = [str(house.ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | places | {"JUPYTER_TOKEN": token, "PYTHONPATH": os.pathsep.join(paths)}
    environment |= {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "IPYTHONDIR": str(home / "ipython")}
    environment.pop("MPLBACKEND", None)  # notebooks have their own
    command = [sys.executable, "-m", "jupyterlab", *_OPTIONS, f"--ServerApp.port={port}"]
    command.append(f"--ServerApp.root_dir={folder}")
    log = home / "server.log"
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
        try:
            _wait(f"http://127.0.0.1:{port}/api/status?token={token}", process, log)
            # What was open before is not opened again.
            yield f"http://127.0.0.1:{port}/lab/tree/{{name}}?token={token}&reset"
        finally:
            process.terminate()  # and with it the kernels
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()  # kernels end where their server is gone
                process.wait()


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + _START
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError), direct.open(address, timeout=5):
            return
        time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8')[-4000:]}")


class Notebook:
    """A notebook that is open in JupyterLab, of a file in the folder that it shows."""

    def __init__(self, browser: Browser, address: str, path: Path, **options: Any) -> None:
        self.page = browser.open(**options)
        self.page.set_default_timeout(1000 * _START)
        self.page.goto(address.format(name=path.name))
        self.cells = self.page.locator(".jp-Notebook .jp-Cell")
        count = len(json.loads(path.read_text(encoding="utf-8"))["cells"])
        self.cells.nth(count - 1).wait_for(state="attached")  # they come into the page one by one
        self.page.get_by_text(re.compile(r"^Python 3.* \| Idle$")).wait_for()

    def run_all(self) -> None:
        """Run → Run All Cells, until the last one, which has not been run before, has run."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
        self.page.locator(".lm-Menu-itemLabel", has_text="Run All Cells").first.click()
        self._prompts(self.page.locator(".jp-CodeCell").last, r"^\[\d+\]")

    def run(self, index: int) -> str:
        """Run one cell; what it prints."""
        cell = self.cells.nth(index)
        before = re.sub(r"\D", "", cell.locator(".jp-InputPrompt").inner_text())
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")
        self._prompts(cell, rf"^\[(?!{before}\])\d+\]")
        return "\n".join(cell.locator(".jp-OutputArea-output").all_inner_texts())

    def _prompts(self, cell: Any, pattern: str) -> None:
        """Wait until the text beside a cell is so."""
        program = "([prompt, pattern]) => new RegExp(pattern).test(prompt.textContent.trim())"
        prompt = cell.locator(".jp-InputPrompt").element_handle()
        self.page.wait_for_function(program, arg=[prompt, pattern], timeout=1000 * _RUN)

    def complaints(self) -> list[str]:
        """Tracebacks and warnings among the outputs."""
        selectors = [f'.jp-OutputArea-output[data-mime-type*="{kind}"]' for kind in ("stderr", "error")]
        return self.page.locator(", ".join(selectors)).all_inner_texts()

    def save(self) -> None:
        """Ctrl and S, whatever has the focus, until the file is written."""
        self.page.keyboard.press("Control+s")
        self.page.locator("#jp-main-dock-panel .lm-TabBar-tab.lm-mod-current:not(.jp-mod-dirty)").wait_for()

    def close(self) -> None:
        self.page.context.close()
