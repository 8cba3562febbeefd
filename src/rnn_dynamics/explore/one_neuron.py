"""The one-neuron explorer: five linked panels, and what they show as numbers of the library's."""

import io
import math
import re
from typing import TYPE_CHECKING, Any

from rnn_dynamics.explore import widget
from rnn_dynamics.explore.settings import NeuronSettings, checked

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
    return widget.shown(checked(NeuronSettings(w, b, epsilon, x0, steps, theme)), state, picture)


def state(settings: NeuronSettings) -> dict[str, Any]:
    """What an explorer shows, from the library's own functions.

    They run in float64, as the browser does, whether or not JAX is set to; its setting stays.
    """
    import jax

    from rnn_dynamics import doya
    from rnn_dynamics.explore import regime
    from rnn_dynamics.numerics.status import Status

    w, b, epsilon, x0, steps, _ = settings
    with jax.enable_x64(True):
        shown = _long_run(settings)
        at_end = doya.sensitivities(w, b, x0, steps, epsilon=epsilon)
        derivatives = dict(zip(("x0", "w", "b"), (at_end.initial, *at_end.parameters), strict=True))
        status = Status(int(at_end.status))
        x = float(at_end.state)
        logarithms = {name: float(one.log10()) for name, one in derivatives.items()}
        signs = {name: _sign(float(one.unit)) for name, one in derivatives.items()}
    gradient = regime.gradient_clause(regime.Neuron(w, b, epsilon), x0, steps)
    lost = status == Status.UNRESOLVED
    return {
        **settings._asdict(),
        **shown,
        "x_T": x,
        "log10": logarithms,
        "sign": signs,
        "status": status.name,
        "regime": regime.sentence(shown["regime"], gradient, steps, resolved=not lost),
    }


def _long_run(settings: NeuronSettings) -> dict[str, Any]:
    """Closed forms and where the orbit goes; nothing here waits for a compiler."""
    from rnn_dynamics import doya
    from rnn_dynamics.explore import regime

    w, b, epsilon, x0, *_ = settings
    found = doya.equilibria(w, b, epsilon)
    kinds = [
        "marginal" if marginal else "stable" if stable else "unstable"
        for marginal, stable in zip(found.marginal.tolist(), found.stable.tolist(), strict=True)
    ]
    rows = list(zip(found.points.tolist(), kinds, found.multipliers.tolist(), strict=True))[
        : int(found.count)
    ]
    points = [regime.Point(x, kind) for x, kind, _ in rows]
    cycle = _numbers(doya.two_cycle(w, b).x) if epsilon == 1 else []
    wall = float(doya.wall(w, x0, epsilon)) if 0 < x0 < 1 else math.nan
    return {
        "equilibria": [{"x": x, "stability": kind, "multiplier": number} for x, kind, number in rows],
        "folds": _events(doya.folds(w)),
        "flips": _events(doya.flips(w, epsilon)),
        "wall": None if math.isnan(wall) else wall,
        "cycle": cycle or None,
        "regime": regime.place(regime.Neuron(w, b, epsilon), x0, points, cycle),
    }


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _numbers(values: Any) -> list[float]:
    return [value for value in values.tolist() if not math.isnan(value)]


def _events(found: Any) -> list[dict[str, float]]:
    return [{"b": b, "x": x} for b, x in zip(_numbers(found.b), _numbers(found.x), strict=True)]


def picture(settings: NeuronSettings) -> bytes:
    """The bifurcation diagram with (b, x0) in it, and the orbit, as a PNG."""
    import jax
    import numpy as np
    from matplotlib.figure import Figure

    from rnn_dynamics import doya, plots
    from rnn_dynamics.explore import regime
    from rnn_dynamics.plots import palette

    w, b, epsilon, x0, steps, _ = settings
    with jax.enable_x64(True):
        shown = _long_run(settings)
        events = [abs(event["b"] + w / 2) for event in shown["folds"] + shown["flips"]]
        reach = max(0.35, 1.15 * abs(b + w / 2), *(event * (2.2 if w > 0 else 1.25) for event in events))
        diagram = doya.bifurcation_diagram(w, np.linspace(-w / 2 - reach, -w / 2 + reach, 401), epsilon)
    orbit = [x0]
    for _ in range(steps):
        orbit.append(regime.Neuron(w, b, epsilon).step(orbit[-1]))
    with plots.style():
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        plots.bifurcation_diagram(diagram, left, legend=False)
        left.legend(loc="upper left")
        left.plot([b, b], [x0, orbit[-1]], color=palette.VERMILION, linewidth=1)
        left.plot(b, x0, "o", color=palette.VERMILION, zorder=6)
        right.plot(orbit, ".-", color=palette.VERMILION, linewidth=1)
        right.set(xlabel="step t", ylabel="state $x_t$", title=f"from $x_0$ = {x0:g}")
        for ax in (left, right):
            ax.set_ylim(-0.02, 1.02)
        said = re.sub(r"10\^(−?\d+)", r"$10^{\1}$", shown["regime"].replace("x0", "$x_0$"))
        figure.suptitle(f"{said}.", fontsize=9)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=110)
    return content.getvalue()
