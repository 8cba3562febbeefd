"""Explorers in a notebook: the traits that the browser and the kernel share, and a picture where no browser is."""

import base64
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rnn_dynamics.explore import bundle
from rnn_dynamics.explore.settings import Settings, checked

if TYPE_CHECKING:
    from anywidget import AnyWidget

State = Callable[[Any], dict[str, Any]]
Picture = Callable[[Any], bytes]


def shown(settings: Settings, state: State, picture: Picture) -> "AnyWidget":
    """A widget that starts with settings that are checked.

    Args:
        settings: they name the study.
        state: what is shown at settings, as a dictionary.
        picture: the same as a PNG.

    Returns:
        The widget; ``state()`` gives what it shows.

    Raises:
        ImportError: anywidget is not installed.
    """
    return _widget_class(type(settings), state, picture)(**settings._asdict())


@functools.cache
def _widget_class(kind: type[Settings], state: State, picture: Picture) -> type:
    from rnn_dynamics.numerics import packages

    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise packages.missing(f"rnn_dynamics.explore.{kind.study}", "anywidget") from error

    class Explorer(anywidget.AnyWidget):
        """What both explorers have; their traits are the fields of their settings."""

        _esm = bundle.module(kind.study)
        _css = bundle.style()

        @traitlets.validate(*kind._fields)
        def _in_range(self, proposal: Any) -> Any:
            name = proposal["trait"].name
            return getattr(checked(kind(**{name: proposal["value"]})), name)

        def settings(self) -> Settings:
            """The parameters that are shown."""
            return kind(*(getattr(self, name) for name in kind._fields))

        def state(self) -> dict[str, Any]:
            """What is shown, as the explorer's function lists it."""
            return state(self.settings())

        def _repr_mimebundle_(self, **options: Any) -> Any:
            found = super()._repr_mimebundle_(**options)
            if found is None:
                return None
            data, metadata = found if isinstance(found, tuple) else (found, {})
            shown = base64.b64encode(picture(self.settings())).decode("ascii")
            return data | {"image/png": shown, "text/plain": repr(self)}, metadata

        def __repr__(self) -> str:
            values = ", ".join(f"{name}={value!r}" for name, value in self.settings()._asdict().items())
            return f"rnn_dynamics.explore.{kind.study}({values})"

    traits = {float: traitlets.Float, int: traitlets.Int, str: traitlets.Unicode}
    named = {name: traits[of]().tag(sync=True) for name, of in kind.__annotations__.items()}
    return type(f"{kind.study.capitalize()}Explorer", (Explorer,), named)
