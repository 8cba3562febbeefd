"""What stands in a drawn figure: its texts, how large they are in print, and where they lie."""

import itertools
import re
from typing import NamedTuple

import numpy as np
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from rnn_dynamics.plots import palette

#: Signs of mathematics that are typeset, and so stand between dollar signs.
PLAIN = re.compile(r"[_^∂‖∝≈∇Δ₀-₉ᵢₖₙ⁰¹²³⁴-⁹ⁿᵏᵗλρσγεηψφμχθκ]")
#: Dots that two texts may share: letters are lower than their boxes.
SHARED = 2.0


class Texts(NamedTuple):
    """The texts of one figure.

    Attributes:
        width: of the figure, in inches.
        smallest: the fewest points of a text as drawn, and that text.
        plain: those with mathematics that is not typeset.
        outside: those that leave the figure.
        colliding: pairs that lie over each other.
    """

    width: float
    smallest: tuple[float, str]
    plain: list[str]
    outside: list[str]
    colliding: list[tuple[str, str]]

    @property
    def in_print(self) -> float:
        """Points of the smallest text where the figure has the width of a column, or else of a page."""
        return self.smallest[0] / palette.SCALE if self.width in (palette.HALF, palette.FULL) else 0.0


def _numbers(axis: Axis) -> list[Text]:
    """The numbers of an axis that are drawn: those inside its limits."""
    current = axis.majorTicks[: len(axis.get_majorticklocs())]  # behind them are some of earlier limits
    places = [*axis.get_view_interval(), *(tick.get_loc() for tick in current)]
    ends, at = np.split(axis.get_transform().transform(places), [2])
    room = 1e-9 * float(np.ptp(ends))
    inside = (at >= ends.min() - room) & (at <= ends.max() + room)
    shown = [current[i] for i in np.flatnonzero(inside)]
    return [label for tick in shown for label in (tick.label1, tick.label2)]


def _drawn(figure: Figure) -> list[Text]:
    """The texts that can be seen: all but the numbers outside the limits of an axis."""
    numbers = {
        label
        for axis in figure.findobj(Axis)
        for tick in (*axis.majorTicks, *axis.minorTicks)
        for label in (tick.label1, tick.label2)
    }
    shown = {label for axis in figure.findobj(Axis) if axis.get_visible() for label in _numbers(axis)}
    texts = [text for text in figure.findobj(Text) if text in shown or text not in numbers]
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


def texts_of(figure: Figure, *, dpi: float) -> Texts:
    """The texts of a figure as they lie in it when it has just been drawn with so many dots an inch."""
    figure.set_dpi(dpi)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = {text: text.get_window_extent(renderer) for text in _drawn(figure)}
    plain = {text.get_text() for text in boxes if PLAIN.search(re.sub(r"\$[^$]*\$", "", text.get_text()))}
    frame = figure.bbox.padded(1.0)
    return Texts(
        float(figure.get_size_inches()[0]),
        min((float(text.get_fontsize()), text.get_text()) for text in boxes),
        sorted(plain),
        [text.get_text() for text, box in boxes.items() if not _inside(box, frame)],
        [
            (one.get_text(), other.get_text())
            for one, other in itertools.combinations(boxes, 2)
            if _collide(boxes[one], boxes[other])
        ],
    )


def _inside(box: Bbox, frame: Bbox) -> bool:
    return frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1


def _collide(one: Bbox, other: Bbox) -> bool:
    across = min(one.x1, other.x1) - max(one.x0, other.x0)
    up = min(one.y1, other.y1) - max(one.y0, other.y0)
    return across > SHARED and up > SHARED
