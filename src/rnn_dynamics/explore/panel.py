"""A panel of an explorer: labelled controls, a picture that follows them, a sentence that says what it shows."""

import asyncio
import base64
import functools
import html
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from rnn_dynamics.explore import picture
from rnn_dynamics.explore.picture import Area

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure
    from numpy import ndarray

COMPILING = "compiling …"
DPI = 100


def number(name: str, value: Any, low: float, high: float) -> float:
    """``value`` as a Python float, of all its digits whether or not JAX has float64.

    Raises:
        TypeError, ValueError: no real number, or out of its range.
    """
    import numpy as np

    from rnn_dynamics.numerics import validation

    validation.concrete_array(name, value, ndim=0)
    found = float(np.asarray(value))
    if not low <= found <= high:
        raise ValueError(f"{name}: expected a number from {low:g} to {high:g}, got {found:g}")
    return found


class Control(NamedTuple):
    """A number, a choice or a yes or no that a panel's picture depends on.

    Attributes:
        name: of the panel's trait.
        label: beside the control.
        value: what it starts with; its type says what the control is: float, int, bool or str.
        low, high: the range of a number.
        choices: of a text.
        typed: whether a number is typed rather than slid.
    """

    name: str
    label: str
    value: Any
    low: float = 0.0
    high: float = 1.0
    choices: tuple[str, ...] = ()
    typed: bool = False

    def checked(self, value: Any) -> Any:
        """``value`` in Python's own types.

        Raises:
            TypeError, ValueError: another type, or out of range; the message names the control.
        """
        from rnn_dynamics.numerics import validation

        if self.choices:
            return validation.choice(self.name, value, self.choices)
        if isinstance(self.value, bool):
            return validation.flag(self.name, value)
        if isinstance(self.value, int):
            return validation.index(self.name, value, minimum=int(self.low), maximum=int(self.high))
        return number(self.name, value, self.low, self.high)


class Shown(NamedTuple):
    """What a panel shows of one setting of its controls.

    Attributes:
        picture: a PNG.
        sentence: what is seen, in words.
        alt: what the picture is of.
        numbers: plain numbers, strings, lists and dictionaries.
        results: what the library found, by name.
        areas: the axes in which a click means something.
    """

    picture: bytes
    sentence: str
    alt: str
    numbers: dict[str, Any]
    results: dict[str, Any]
    areas: tuple[Area, ...] = ()


class Clicked(Protocol):
    """What a click chooses.

    It is given the controls' values, what is shown, the axes, and the values there, and gives controls to set.
    """

    def __call__(
        self, values: dict[str, Any], shown: Shown, area: Area, x: float, y: float, /
    ) -> dict[str, Any]: ...


@contextmanager
def figure(width: float, height: float) -> Iterator["Figure"]:
    """A figure in the house's style, which pyplot does not know of."""
    from matplotlib.figure import Figure

    from rnn_dynamics import plots

    with plots.style():
        options: dict[str, Any] = {"layout": "none"}  # a search for the layout takes longer than to draw
        yield Figure(figsize=(width, height), dpi=DPI, **options)


def drawn(figure: "Figure") -> "ndarray":
    """A figure's pixels, shape (height, width, 4)."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())


def png(drawn: "Figure") -> bytes:
    """A figure as it is sent to the browser; the style that it was drawn in must still hold."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    content = io.BytesIO()
    FigureCanvasAgg(drawn).figure.savefig(content, format="png", dpi=DPI)
    return content.getvalue()


def panel(
    caller: str,
    controls: Sequence[Control],
    show: Callable[[dict[str, Any]], Shown],
    what: str,
    *,
    clicked: Clicked | None = None,
    hint: str = "",
) -> "VBox":
    """A panel with a trait for each control, which can be set and observed.

    The picture is drawn when it is first looked at; until then the sentence says that programs are compiled.

    Args:
        caller: the public name, for the message of what is missing.
        controls: in their order.
        show: from the controls' values to what is shown.
        what: a title.
        clicked: what a click in the picture chooses; every choice has a control too.
        hint: what can be clicked, behind the title.

    Raises:
        ImportError: ipywidgets or anywidget is not installed.
    """
    return _panel_class(caller)(controls, show, what, clicked, hint)


@functools.cache
def _panel_class(caller: str) -> type:
    from rnn_dynamics.numerics import packages

    lost = next((name for name in ("ipywidgets", "anywidget") if not packages.is_installed(name)), None)
    if lost is not None:
        raise packages.missing(f"rnn_dynamics.explore.{caller}", lost)
    import ipywidgets
    import traitlets

    class Checked(traitlets.TraitType):
        """A trait whose wrong values are refused in the library's own words."""

        def __init__(self, control: Control) -> None:
            super().__init__(control.value)
            self.control = control

        def validate(self, obj: Any, value: Any) -> Any:
            return self.control.checked(value)

    class Panel(ipywidgets.VBox):
        """Controls, a picture and a sentence."""

        sentence = traitlets.Unicode()
        alt = traitlets.Unicode()

        def __init__(
            self, controls: Sequence[Control], show: Any, what: str, clicked: Clicked | None, hint: str
        ) -> None:
            self.controls = {control.name: _widget(control) for control in controls}
            self._clicked = clicked
            self.image: Any = picture.widget(None if clicked is None else self.click)
            self.status = ipywidgets.HTML()
            title = ipywidgets.HTML(f"<strong>{html.escape(what)}</strong> {html.escape(hint)}")
            box = ipywidgets.Box(
                list(self.controls.values()), layout={"flex_flow": "row wrap", "max_width": "900px"}
            )
            super().__init__([title, box, self.image, self.status])
            self._show, self._shown, self._held = show, None, False
            self._known = {control.name: control for control in controls}
            self.add_traits(**{control.name: Checked(control) for control in controls})
            for control in controls:
                setattr(self, control.name, control.value)
                traitlets.link((self, control.name), (self.controls[control.name], "value"))
            self._say(COMPILING)
            self.observe(self._changed, names=[control.name for control in controls])
            self._draw_soon()

        def settings(self) -> dict[str, Any]:
            """The controls' values."""
            return {name: getattr(self, name) for name in self.controls}

        def state(self) -> dict[str, Any]:
            """What is shown: the controls' values, the numbers, and the ``sentence``."""
            shown = self.shown()
            return self.settings() | shown.numbers | {"sentence": shown.sentence}

        def results(self) -> dict[str, Any]:
            """The library's results behind what is shown, by name."""
            return dict(self.shown().results)

        def shown(self) -> Shown:
            """What is shown; drawn first where nothing has been."""
            return self._draw() if self._shown is None else self._shown

        def _changed(self, _: Any) -> None:
            if not self._held:
                self._draw()

        def set(self, **values: Any) -> None:
            """Set several controls, and draw once."""
            unknown = [name for name in values if name not in self.controls]
            if unknown:
                raise ValueError(f"{unknown[0]}: expected one of {', '.join(self.controls)}")
            checked = {name: self._known[name].checked(value) for name, value in values.items()}
            self._held = True
            try:
                for name, value in checked.items():
                    setattr(self, name, value)
            finally:
                self._held = False
            self._draw()

        def click(self, across: float, up: float) -> None:
            """As a click does, at shares of the picture from the left and from below; outside of axes nothing."""
            shown = self.shown()
            for area in shown.areas:
                values = area.at(across, up)
                if values is not None and self._clicked is not None:
                    chosen = self._clicked(self.settings(), shown, area, *values)
                    if chosen:
                        self.set(**chosen)
                    return

        def _draw(self) -> Shown:
            self._shown = found = self._show(self.settings())
            self.image.show(found.picture, found.alt)
            self.alt = found.alt
            self._say(found.sentence)
            return found

        def _say(self, text: str) -> None:
            self.sentence = text
            self.status.value = f'<div role="status" aria-live="polite">{html.escape(text)}</div>'

        def _draw_soon(self) -> None:
            """In a notebook draw once the cell has run, whatever the panel is put into."""
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return
            loop.call_soon(self.shown)

        def _repr_mimebundle_(self, **options: Any) -> Any:
            with _notice(self._shown is None):
                shown = self.shown()
            data = super()._repr_mimebundle_(**options) or {}
            picture = base64.b64encode(shown.picture).decode("ascii")
            return data | {"image/png": picture, "text/plain": f"{shown.alt}. {shown.sentence}"}

    return Panel


def _widget(control: Control) -> Any:
    import ipywidgets

    common: dict[str, Any] = {"description": control.label, "value": control.value}
    common |= {"style": {"description_width": "110px"}, "layout": {"width": "290px"}}
    if control.choices:
        return ipywidgets.Dropdown(options=control.choices, **common)
    if isinstance(control.value, bool):
        return ipywidgets.Checkbox(indent=True, **common)
    whole = isinstance(control.value, int)
    common |= {"min": int(control.low) if whole else control.low}
    common |= {"max": int(control.high) if whole else control.high}
    if control.typed:
        return (ipywidgets.BoundedIntText if whole else ipywidgets.BoundedFloatText)(
            step=1 if whole else 0.05, **common
        )
    common |= {"continuous_update": False}
    if whole:
        return ipywidgets.IntSlider(**common)
    return ipywidgets.FloatSlider(step=0.01, readout_format=".2f", **common)


@contextmanager
def _notice(wanted: bool) -> Iterator[None]:
    """In a notebook say that programs are compiled, while the output that a panel will be in is empty yet."""
    from rnn_dynamics.numerics import packages

    if not (wanted and packages.is_installed("IPython")):
        yield
        return
    from IPython.core.getipython import get_ipython
    from IPython.display import HTML, display

    if not hasattr(get_ipython(), "kernel"):
        yield
        return
    handle: Any = display(HTML(f'<div role="status">{COMPILING}</div>'), display_id=True)
    try:
        yield
    finally:
        handle.update(HTML(""))
