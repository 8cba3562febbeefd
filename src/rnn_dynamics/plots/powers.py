"""Axes of logarithms, labelled in powers of ten however far these lie beyond the range of the floats."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axis import Axis

_TICKS = 7
# An axis of fewer decades than this has ticks between the powers, as a log axis has.
_FEW = 3.0


def powers_of_ten(axis: "Axis", label: str | None = None) -> None:
    """Label an axis whose numbers are decades, log₁₀ of what is drawn, by 10^… as a log axis is labelled.

    A log axis itself ends at 1e±308; decades do not.

        axes = found.plot()
        plots.powers_of_ten(axes.yaxis, "norm")

    Args:
        axis: ``axes.xaxis`` or ``axes.yaxis``.
        label: of the axis: what is drawn, not its logarithm.

    Raises:
        TypeError: ``axis`` is none.
    """
    from matplotlib.axis import Axis

    if not isinstance(axis, Axis):
        raise TypeError(f"axis: expected axes.xaxis or axes.yaxis, got {type(axis).__name__}")
    locator, formatter = ticks()
    axis.set_major_locator(locator)
    axis.set_major_formatter(formatter)
    if label is not None:
        axis.set_label_text(label)


def ticks() -> tuple[Any, Any]:
    """The places and the texts of ticks of decades."""
    from matplotlib.ticker import Formatter, Locator

    class Decades(Locator):
        """Ticks that the axis asks for."""

        def __call__(self) -> Any:
            assert self.axis is not None
            return self.tick_values(*self.axis.get_view_interval())

        def tick_values(self, vmin: float, vmax: float) -> Any:
            return places(*sorted((float(vmin), float(vmax))))

    class Powers(Formatter):
        """Texts, of an axis of few decades without the powers near one."""

        def __call__(self, x: float, pos: int | None = None) -> str:
            assert self.axis is not None
            low, high = sorted(self.axis.get_view_interval())
            return power(float(x), plain=high - low < _FEW)

    return Decades(), Powers()


def places(low: float, high: float) -> np.ndarray:
    """Where an axis from ``low`` to ``high`` decades has its ticks.

    At whole decades; below three of them at 1, 2 and 5 times a power, and where that gives less than two, at round
    multiples of the lowest power.
    """
    from matplotlib.ticker import MaxNLocator

    if not (math.isfinite(low) and math.isfinite(high)) or low == high:
        return np.array([low])
    if high - low >= _FEW:
        found = MaxNLocator(_TICKS, integer=True, steps=[1, 2, 5, 10]).tick_values(low, high)
        return _inside(found, low, high)
    whole = np.arange(math.floor(low), math.ceil(high) + 1)
    between = _inside((whole[:, None] + np.log10([1.0, 2.0, 5.0])).ravel(), low, high)
    if len(between) > _TICKS:
        return _inside(whole, low, high)
    if len(between) > 2:
        return between
    lowest = math.floor(low)
    multiples = np.asarray(MaxNLocator(_TICKS - 2).tick_values(10 ** (low - lowest), 10 ** (high - lowest)))
    return _inside(lowest + np.log10(multiples[multiples > 0]), low, high)


def _inside(found: Any, low: float, high: float) -> np.ndarray:
    room = 1e-9 * max(1.0, abs(low), abs(high))
    return np.array([at for at in found if low - room <= at <= high + room])


def power(decades: float, *, plain: bool = False) -> str:
    """10^decades in mathematical type: $10^{-400}$, or a number times a power where it is none.

    Args:
        decades: the exponent.
        plain: whether powers from 10^−3 to 10^2 are written as numbers, as what lies between them is.
    """
    whole = math.floor(decades + 1e-9 * max(1.0, abs(decades)))
    times = float(f"{10 ** (decades - whole):.4g}")
    if abs(times - 1) < 1e-6 and not (plain and -3 <= whole <= 2):
        return f"$10^{{{whole}}}$"
    if -3 <= whole <= 2:
        return f"${times * 10.0**whole:.6g}$"
    return rf"${times:g}\cdot10^{{{whole}}}$"
