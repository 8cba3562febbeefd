"""The picture of a panel: what it shows, where its axes are, and a widget that hears clicks on it."""

import base64
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from rnn_dynamics.explore import bundle

if TYPE_CHECKING:
    from anywidget import AnyWidget
    from matplotlib.axes import Axes


class Area(NamedTuple):
    """Linear axes in a picture.

    Attributes:
        name: which of the panel's axes.
        box: left, bottom, right and top, as shares of the picture.
        x, y: the values at its ends.
    """

    name: str
    box: tuple[float, float, float, float]
    x: tuple[float, float]
    y: tuple[float, float]

    @classmethod
    def of(cls, name: str, ax: "Axes") -> "Area":
        """That of axes as they were drawn."""
        left, bottom, right, top = (float(one) for one in ax.get_position().extents)
        (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
        return cls(name, (left, bottom, right, top), (float(x0), float(x1)), (float(y0), float(y1)))

    def at(self, across: float, up: float) -> tuple[float, float] | None:
        """The values at a place of the picture; ``None`` outside of the axes."""
        left, bottom, right, top = self.box
        if not (left <= across <= right and bottom <= up <= top):
            return None
        (x0, x1), (y0, y1) = self.x, self.y
        return x0 + (across - left) / (right - left) * (x1 - x0), y0 + (up - bottom) / (top - bottom) * (
            y1 - y0
        )

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where values are in the picture."""
        left, bottom, right, top = self.box
        (x0, x1), (y0, y1) = self.x, self.y
        return left + (x - x0) / (x1 - x0) * (right - left), bottom + (y - y0) / (y1 - y0) * (top - bottom)


def address(png: bytes) -> str:
    """A PNG as a page has it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def widget(clicked: Callable[[float, float], None] | None) -> "AnyWidget":
    """A picture without content.

    Args:
        clicked: called with the shares from the left and from below; ``None`` where nothing hears.

    Raises:
        ImportError: anywidget is not installed.
    """
    found = _widget_class()(hears=clicked is not None)
    if clicked is not None:
        heard = clicked
        found.on_msg(lambda _, content, __: heard(float(content["across"]), float(content["up"])))
    return found


@functools.cache
def _widget_class() -> type:
    import anywidget
    import traitlets

    class Picture(anywidget.AnyWidget):
        """An image with a text for who cannot see it, which an Image of ipywidgets lacks."""

        _esm = bundle.module("picture")
        source = traitlets.Unicode().tag(sync=True)
        alt = traitlets.Unicode().tag(sync=True)
        width = traitlets.Int().tag(sync=True)
        hears = traitlets.Bool().tag(sync=True)

        def show(self, png: bytes, alt: str) -> None:
            """Another picture, no wider than the page."""
            self.alt, self.width = alt, int.from_bytes(png[16:20], "big")
            self.source = address(png)

    return Picture
