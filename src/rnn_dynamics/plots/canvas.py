"""The settings that the library's figures are drawn with, and the axes of a plot that was given none."""

import contextlib
import string
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rnn_dynamics.plots import palette
from rnn_dynamics.plots.powers import ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": [palette.FONT],
    "font.size": palette.TEXT,
    "axes.titlesize": palette.TEXT,
    "axes.labelsize": palette.TEXT,
    "figure.titlesize": palette.TEXT,
    "xtick.labelsize": palette.NOTE,
    "ytick.labelsize": palette.NOTE,
    "legend.fontsize": palette.NOTE,
    "legend.title_fontsize": palette.NOTE,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.labelspacing": 0.35,
    "legend.columnspacing": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.linewidth": palette.THIN,
    "axes.unicode_minus": True,
    "lines.linewidth": palette.LINE,
    "lines.markersize": palette.MARK,
    "patch.linewidth": palette.THIN,
    "image.cmap": palette.SEQUENTIAL,
    "figure.constrained_layout.use": True,
    "mathtext.fontset": "dejavusans",
    "pdf.fonttype": 42,  # fonts as TrueType, and below text as text: both can be searched and edited
    "svg.fonttype": "none",
    "svg.hashsalt": "rnn_dynamics",
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Matplotlib's settings of the published figures, inside a ``with`` block and nowhere else.

    Only these settings are put back: ``rc_context`` would put back all of them, and with them the notebook's
    interactive mode, which the first figure switches on.

    Returns:
        A context manager.
    """
    from matplotlib import rcParams

    before: dict[Any, Any] = {name: rcParams[name] for name in _SETTINGS}
    rcParams.update(_SETTINGS)
    try:
        yield
    finally:
        rcParams.update(before)


def axes_of(ax: Any) -> "Axes":
    """``ax``, or the axes of a new figure where it is ``None``.

    Args:
        ax: axes, or ``None``.

    Returns:
        The axes.

    Raises:
        TypeError: ``ax`` is neither.
    """
    from matplotlib.axes import Axes

    if ax is None:
        from matplotlib import pyplot

        return pyplot.subplots(layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise TypeError(f"ax: expected matplotlib Axes or None, got {type(ax).__name__}")
    return ax


def colour_bar(
    ax: "Axes",
    artist: Any,
    label: str,
    *,
    extend: str | None = None,
    location: str = "bottom",
    powers: bool = False,
) -> Any:
    """A colour bar below ``ax``, where its label, which carries the unit, meets no other axis's.

    Args:
        ax: the axes that the colours are in.
        artist: what has the colours, as ``imshow`` returns it.
        label: of the bar.
        extend: which ends are open: "min", "max", "both" or ``None``.
        location: the side of the axes: "bottom" or "right".
        powers: whether the colours are those of decades, to be labelled 10^….

    Returns:
        The bar.
    """
    assert ax.figure is not None
    options: dict[str, Any] = {} if extend is None else {"extend": extend}
    if powers:
        options["ticks"], options["format"] = ticks()
    shape = {"fraction": 0.06, "pad": 0.03, "aspect": 30}
    return ax.figure.colorbar(artist, ax=ax, label=label, location=location, **shape, **options)


def panel_label(ax: "Axes", text: str) -> None:
    """A letter before the title, as papers have it.

    Args:
        ax: the panel.
        text: the letter.
    """
    ax.set_title(f"{text}   {ax.get_title(loc='left')}", loc="left")


def panel_labels(panels: Iterable["Axes"]) -> None:
    """The letters a, b, c … before the titles of panels, in their order.

    Args:
        panels: axes, in the order of the letters.
    """
    for ax, letter in zip(panels, string.ascii_lowercase, strict=False):
        panel_label(ax, letter)


def shared_legend(axes: Sequence["Axes"], *, columns: int = 5) -> None:
    """One legend below the figure for the lines of all ``axes``, in place of theirs.

    Counts of violated lags differ from panel to panel and become one entry.

    Args:
        axes: of one figure.
        columns: of the legend, at most.
    """
    handles: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            plain = label.replace(r"(1-α)\,+\,αγ", "γ")
            handles.setdefault("claim violated at that lag" if "violated" in plain else plain, handle)
        own = ax.get_legend()
        if own is not None:
            own.remove()
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=columns)
