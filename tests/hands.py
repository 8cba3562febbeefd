"""A person's hands on explorers in a page: sliders, points, menus and boxes, by mouse and by keyboard.

Each move says what it moved, and is held against the picture: where it does not change the move has failed.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

_HASH = """(canvas) => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const words = new Uint32Array(data.buffer);
    let hash = 0;
    for (let i = 0; i < words.length; i++) hash = (Math.imul(hash, 31) + words[i]) | 0;
    done(String(hash));
})))"""
_SEEN = "([image, before]) => image.src !== before && image.complete && image.naturalWidth > 0"


def resting(page: Any, element: Any) -> dict[str, float]:
    """Where an element is once it is in sight, nothing is over it, and the page scrolls no more."""
    box: dict[str, float] = {}
    for _ in range(20):
        element.hover()
        now = element.bounding_box()
        if now == box:
            break
        box = now
        page.wait_for_timeout(200)
    return box


def stroke(page: Any, element: Any, dx: float, dy: float = 0.0) -> None:
    """Press on the middle of an element, move, let go."""
    box = resting(page, element)
    drag(page, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, dx, dy)


def drag(page: Any, x: float, y: float, dx: float, dy: float) -> None:
    """Press at a point of the page, move, let go."""
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=4)
    page.mouse.up()


class Drawn:
    """An explorer that is drawn in the browser: ``neuron`` or ``cliff``."""

    def __init__(self, page: Any, root: Any) -> None:
        self.page, self.root = page, root
        self.canvas = root.locator("canvas")
        self.canvas.wait_for()
        self.sliders = root.locator("input[type=range]")
        self.numbers = root.locator("input[type=number]")

    def picture(self) -> str:
        """Of the canvas's bytes, after two frames."""
        return self.canvas.evaluate(_HASH)

    def shown(self) -> list[float]:
        """The numbers beside the sliders, in their order."""
        return [float(one.input_value()) for one in self.numbers.all()]

    @contextlib.contextmanager
    def _changes(self, what: str) -> Iterator[None]:
        before = self.picture(), self.shown()
        yield
        assert self.picture() != before[0], f"{what}: the picture stays"
        assert self.shown() != before[1], f"{what}: the numbers stay"

    def move_all(self, points: str) -> None:
        """Every slider and the named points, each by mouse and by keyboard."""
        for i, slider in enumerate(self.sliders.all()):
            box, ends = (
                resting(self.page, slider),
                [float(slider.get_attribute(end)) for end in ("min", "max")],
            )
            share = (float(slider.input_value()) - ends[0]) / (ends[1] - ends[0])
            x, y = box["x"] + 8 + share * (box["width"] - 16), box["y"] + box["height"] / 2
            with self._changes(f"slider {i} by mouse"):
                drag(self.page, x, y, 6 if share < 0.5 else -6, 0)
            with self._changes(f"slider {i} by keyboard"):
                slider.press("ArrowRight" if share < 0.5 else "ArrowLeft")
        for letter in points:
            point = self.root.locator(f".rnn-explore-point[data-panel={letter}]")
            with self._changes(f"point {letter} by mouse"):
                stroke(self.page, point, 14, -9)
            with self._changes(f"point {letter} by keyboard"):
                point.press("ArrowLeft")


class Panel:
    """An explorer whose picture the kernel draws: controls of ipywidgets and an image."""

    def __init__(self, page: Any, root: Any) -> None:
        self.page, self.root, self.image = page, root, root.locator("img").first
        self.image.wait_for()

    @contextlib.contextmanager
    def _changes(self, what: str) -> Iterator[None]:
        before = self.image.get_attribute("src")
        yield
        try:
            self.page.wait_for_function(_SEEN, arg=[self.image.element_handle(), before], timeout=30_000)
        except Exception as error:
            raise AssertionError(f"{what}: the picture stays\n{self.root.inner_text()}") from error

    def click(self, across: float, down: float) -> None:
        """Click in the picture, at shares of it from the left and from above."""
        box = resting(self.page, self.image)
        with self._changes("click"):
            self.page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])

    def move_all(self, **choices: str) -> None:
        """Every menu and box, every slider by mouse and by keyboard, every typed number.

        Args:
            choices: of a menu, by what stands beside it; else its second one.
        """
        for menu in self.root.locator(".widget-dropdown").all():
            name, select = menu.locator("label").inner_text(), menu.locator("select")
            with self._changes(f"menu {name}"):
                select.focus()
                select.select_option(choices.get(name) or select.locator("option").nth(1).inner_text())
        for i, slider in enumerate(self.root.locator(".widget-hslider").all()):
            handle = slider.locator(".noUi-handle")
            low, now, high = (
                float(handle.get_attribute(f"aria-value{name}")) for name in ("min", "now", "max")
            )
            is_low = now < (low + high) / 2
            with self._changes(f"slider {i} by mouse"):
                stroke(self.page, handle, 14 if is_low else -14)
            with self._changes(f"slider {i} by keyboard"):
                handle.press("ArrowRight" if is_low else "ArrowLeft")
        for i, box in enumerate(self.root.locator("input[type=checkbox]").all()):
            with self._changes(f"box {i}"):
                box.press(" ")
        for i, number in enumerate(self.root.locator("input[type=number]").all()):
            with self._changes(f"number {i}"):
                number.fill("1")
                number.press("Enter")
