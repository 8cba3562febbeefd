"""A browser for the tests: the system's Chromium, driven by Playwright, which reaches nothing but this machine."""

import contextlib
import importlib.util
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
#: Addresses of this machine; a request to any other is stopped and told of.
_HERE = re.compile(r"^(?:file:|data:|blob:|about:|(?:http|ws)://127\.0\.0\.1[:/])")
_ELSEWHERE = re.compile(rf"^(?!{_HERE.pattern[1:]})")


def missing(*packages: str) -> str | None:
    """Why no browser can be driven here, with what to install; ``None`` where one can.

    Args:
        packages: what is needed besides Playwright.
    """
    if CHROMIUM is None:
        return "no Chromium was found: install the system's package chromium, then `make test` again"
    lost = [name for name in ("playwright", *packages) if importlib.util.find_spec(name) is None]
    return f"{', '.join(lost)} missing: pip install -e '.[browser]'" if lost else None


def skip_without(*packages: str) -> Any:
    """A mark that skips, and says why, where no browser or package is."""
    reason = missing(*packages)
    return pytest.mark.skipif(reason is not None, reason=reason or "")


class Browser(NamedTuple):
    """A browser with what went wrong in its pages.

    Attributes:
        open: makes a page; its keywords are those of a Playwright context.
        faults: errors of consoles and pages, and addresses outside of this machine that were asked for.
    """

    open: Callable[..., Any]
    faults: list[str]


@contextlib.contextmanager
def browser(*, all_said: bool = False) -> Iterator[Browser]:
    """Chromium without a window.

    Args:
        all_said: whether everything that a console says is a fault, and not only its errors.
    """
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    faults: list[str] = []

    def told(message: Any) -> None:
        if all_said or message.type == "error":
            faults.append(message.text)

    def stopped(route: Any) -> None:
        faults.append(f"asked for {route.request.url}")
        route.abort()

    def connected(socket: Any) -> None:
        if not _HERE.match(socket.url):
            faults.append(f"asked for {socket.url}")

    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def opened(**options: Any) -> Any:
            context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
            context.route(_ELSEWHERE, stopped)
            page = context.new_page()
            page.on("console", told)
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("websocket", connected)
            return page

        yield Browser(opened, faults)
        chromium.close()
