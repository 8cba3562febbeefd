"""The explorer in a notebook: five linked panels that the browser computes, and what they show as numbers."""

import base64
import functools
import io
import math
from typing import TYPE_CHECKING, Any

from rnn_dynamics.explore import bundle
from rnn_dynamics.explore.settings import Settings, checked

if TYPE_CHECKING:
    from anywidget import AnyWidget


def neuron(
    w: Any = 5.0,
    b: Any = -2.5,
    epsilon: Any = 1.0,
    x0: Any = 0.5,
    *,
    steps: Any = 60,
    theme: Any = "auto",
) -> "AnyWidget":
    """One neuron to play with: its bifurcation diagram, orbit, gradients and parameter plane, linked.

    x_{t+1} = (1 − ε) x_t + ε σ(w x_t + b). Points are dragged, or moved by the arrow keys; the browser computes in
    doubles and asks the kernel nothing. Where no browser is (a page of a repository) a picture stands for it.

    Args:
        w: weight, from −1000 to 1000.
        b: bias, from −1000 to 1000.
        epsilon: Euler step in (0, 1].
        x0: start in [0, 1].
        steps: T, from 0 to 2000.
        theme: "light", "dark", or "auto", which follows the notebook.

    Returns:
        A widget whose traits ``w``, ``b``, ``epsilon``, ``x0``, ``steps`` and ``theme`` follow what is dragged and
        can be set. ``state()`` gives what is shown as a dictionary: the parameters, ``equilibria`` with their
        stability, ``folds``, ``flips``, ``wall``, ``cycle``, ``x_T``, the derivatives by x0, w and b as ``log10``
        and ``sign``, their ``status``, and the ``regime`` in words.

    Raises:
        TypeError, ValueError: no number, or out of its range; another theme.
        ImportError: anywidget is not installed.
    """
    settings = checked(w, b, epsilon, x0, steps, theme)
    return _widget_class()(**settings._asdict())


@functools.cache
def _widget_class() -> type:
    from rnn_dynamics.numerics import packages

    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise packages.missing("rnn_dynamics.explore.neuron", "anywidget") from error

    class NeuronExplorer(anywidget.AnyWidget):
        """The traits that browser and kernel share."""

        _esm = bundle.module()
        _css = bundle.style()
        w = traitlets.Float().tag(sync=True)
        b = traitlets.Float().tag(sync=True)
        epsilon = traitlets.Float().tag(sync=True)
        x0 = traitlets.Float().tag(sync=True)
        steps = traitlets.Int().tag(sync=True)
        theme = traitlets.Unicode().tag(sync=True)

        @traitlets.validate(*Settings._fields)
        def _in_range(self, proposal: Any) -> Any:
            name = proposal["trait"].name
            return getattr(checked(**(Settings()._asdict() | {name: proposal["value"]})), name)

        def settings(self) -> Settings:
            """The parameters that are shown."""
            return Settings(*(getattr(self, name) for name in Settings._fields))

        def state(self) -> dict[str, Any]:
            """What is shown, as ``neuron`` lists it."""
            return state(self.settings())

        def _repr_mimebundle_(self, **options: Any) -> Any:
            found = super()._repr_mimebundle_(**options)
            if found is None:
                return None
            data, metadata = found if isinstance(found, tuple) else (found, {})
            return data | {"image/png": base64.b64encode(picture(self.settings())).decode("ascii")}, metadata

    return NeuronExplorer


def state(settings: Settings) -> dict[str, Any]:
    """What an explorer shows, from the library's own functions.

    They run in float64, as the browser does, whether or not JAX is set to; its setting stays.
    """
    import jax

    with jax.enable_x64(True):
        return _state(settings)


def _state(settings: Settings) -> dict[str, Any]:
    from rnn_dynamics import doya
    from rnn_dynamics.explore import regime
    from rnn_dynamics.numerics.status import Status

    w, b, epsilon, x0, steps, _ = settings
    found = doya.equilibria(w, b, epsilon)
    count = int(found.count)
    kinds = [
        "marginal" if found.marginal[i] else "stable" if found.stable[i] else "unstable" for i in range(count)
    ]
    points = [regime.Point(float(x), kind) for x, kind in zip(found.points[:count], kinds, strict=True)]
    cycle = _numbers(doya.two_cycle(w, b).x) if epsilon == 1 else []
    folds, flips = doya.folds(w), doya.flips(w, epsilon)
    at_end = doya.sensitivities(w, b, x0, steps, epsilon=epsilon)
    status = Status(int(at_end.status))
    wall = float(doya.wall(w, x0, epsilon))
    derivatives = (at_end.initial, *at_end.parameters)
    said = regime.sentence(
        regime.Neuron(w, b, epsilon),
        x0,
        steps,
        points,
        (cycle[0], cycle[1]) if cycle else None,
        resolved=status != Status.UNRESOLVED,
    )
    return {
        **settings._asdict(),
        "equilibria": [
            {"x": point.x, "stability": point.stability, "multiplier": float(found.multipliers[i])}
            for i, point in enumerate(points)
        ],
        "folds": _events(folds),
        "flips": _events(flips),
        "wall": None if math.isnan(wall) else wall,
        "cycle": cycle or None,
        "x_T": float(at_end.state),
        "log10": dict(zip(("x0", "w", "b"), (float(d.log10()) for d in derivatives), strict=True)),
        "sign": dict(zip(("x0", "w", "b"), (_sign(float(d.unit)) for d in derivatives), strict=True)),
        "status": status.name,
        "regime": said,
    }


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _numbers(values: Any) -> list[float]:
    return [float(value) for value in values if not math.isnan(float(value))]


def _events(found: Any) -> list[dict[str, float]]:
    return [{"b": b, "x": x} for b, x in zip(_numbers(found.b), _numbers(found.x), strict=True)]


def picture(settings: Settings) -> bytes:
    """The bifurcation diagram with (b, x0) in it, and the orbit, as a PNG."""
    import jax
    import numpy as np
    from matplotlib.figure import Figure

    from rnn_dynamics import doya, plots
    from rnn_dynamics.explore import regime
    from rnn_dynamics.plots import palette

    w, b, epsilon, x0, steps, _ = settings
    shown = state(settings)
    events = [event["b"] for event in shown["folds"] + shown["flips"]]
    reach = 1.2 * max(1.0, abs(b + w / 2), *(abs(event + w / 2) for event in events))
    with jax.enable_x64(True):
        diagram = doya.bifurcation_diagram(w, np.linspace(-w / 2 - reach, -w / 2 + reach, 401), epsilon)
    orbit = [x0]
    for _ in range(steps):
        orbit.append(regime.Neuron(w, b, epsilon).step(orbit[-1]))
    with plots.style():
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        plots.bifurcation_diagram(diagram, left)
        left.plot([b, b], [x0, orbit[-1]], color=palette.VERMILION, linewidth=1)
        left.plot(b, x0, "o", color=palette.VERMILION, zorder=6)
        right.plot(orbit, ".-", color=palette.VERMILION, linewidth=1)
        right.set(xlabel="step t", ylabel="state $x_t$", ylim=(-0.02, 1.02), title=f"from x₀ = {x0:g}")
        figure.suptitle(shown["regime"], fontsize=8.5, wrap=True)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=110)
    return content.getvalue()
