"""The Doya neuron over weight, bias, Euler step and start: where it is after T steps, and its derivatives."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Array

from rnn_dynamics.atlases.atlas import Atlas, Option, evenly, gridded, numbers, whole
from rnn_dynamics.doya.sensitivities import sensitivities
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.sweep import Sweep
from rnn_dynamics.plots import palette
from rnn_dynamics.plots.grids import caption, not_computed, panels, plane, slice_of
from rnn_dynamics.plots.lines import DECADES
from rnn_dynamics.plots.neuron import log_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WEIGHTS, _BIASES = (-12.0, 12.0), (-10.0, 10.0)


@dataclasses.dataclass(frozen=True)
class _Neuron:
    """The function of one point."""

    steps: int

    def __call__(self, w: Array, b: Array, epsilon: Array, x0: Array) -> dict[str, Array]:
        found = sensitivities(w, b, x0, self.steps, epsilon=epsilon)
        return {
            "state": found.state,
            "log_by_start": found.initial.log(),
            "log_by_w": found.parameters[0].log(),
            "log_by_b": found.parameters[1].log(),
            "status": found.status,
        }


_neuron = functools.lru_cache(maxsize=64)(_Neuron)


def _axes(options: Mapping[str, Any]) -> dict[str, list[float]]:
    points = options["points"]
    return {
        "w": evenly(*_WEIGHTS, points),
        "b": evenly(*_BIASES, points),
        "epsilon": options["epsilon"],
        "x0": options["x0"],
    }


_LOGS = {
    "log_by_start": palette.typeset("|∂x_T/∂x₀|"),
    "log_by_w": palette.typeset("|∂x_T/∂w|"),
    "log_by_b": palette.typeset("|∂x_T/∂b|"),
}


def _draw(found: Sweep, ax: Any = None, *, at: Mapping[str, Any] | None = None) -> "Axes":
    """Four maps over weight and bias at one Euler step and start: the state, and the sizes of its derivatives.

    A derivative that floats cannot carry is a cross in place of a colour.
    """
    axes = panels(ax, 2, 2, 3.2)
    cut = slice_of(found, ["state", *_LOGS, "status"], ["w", "b"], at)
    w, b = found.axes["w"], found.axes["b"]
    unresolved = (cut.values["status"] != int(Status.RESOLVED)) & cut.computed
    for panel, name in zip(axes, ("state", *_LOGS), strict=False):
        if name == "state":
            shown = np.where(cut.computed, cut.values[name], np.nan)
            plane(panel, w, b, shown, "state $x_T$", vmin=0.0, vmax=1.0)
        else:
            decades = np.where(cut.computed & ~unresolved, cut.values[name] * DECADES, np.nan).T
            log_map(w, b, decades, panel, limit=_limit(decades), label=_LOGS[name])
            across, up = np.nonzero(unresolved)
            panel.plot(w[across], b[up], "x", color=palette.BLACK, markersize=palette.DOT)
        not_computed(panel, w, b, cut.computed)
        panel.set_xlabel(palette.WEIGHT_AXIS)
        panel.set_ylabel(palette.BIAS_AXIS)
    note = "×: no number that doubles carry" if unresolved.any() else ""
    caption(axes, cut, note, epsilon="Euler step $ε$", x0="start $x_0$")
    return axes[0]


def _limit(decades: np.ndarray) -> float:
    """Where the colours end: three points in four lie within, and it is a round number."""
    sizes = np.abs(decades[np.isfinite(decades)])
    reach = float(np.quantile(sizes, 0.75)) if sizes.size else 1.0
    return next((float(end) for end in (1, 2, 3, 6, 10, 20, 30, 60, 100, 200) if end >= reach), 300.0)


ATLAS = Atlas(
    "the Doya neuron over weight, bias, Euler step and start: x_T, its derivatives and what floats carry of them",
    {
        "points": Option(64, whole(2), "points along weight and bias"),
        "steps": Option(100, whole(1, 2**31 - 1), "steps T"),
        "epsilon": Option([0.25, 0.5, 1.0], numbers(1e-6, 1.0), "Euler steps"),
        "x0": Option([0.1, 0.5, 0.9], numbers(), "starts"),
    },
    _axes,
    gridded(lambda options: _neuron(options["steps"]), _axes),
    _draw,
)
