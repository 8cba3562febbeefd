"""Random networks over spectral radius, bias and gain: norms of their gradients, and bounds on them."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_dynamics.atlases.atlas import Atlas, Option, evenly, names, numbers, switch, whole
from rnn_dynamics.cells import activations
from rnn_dynamics.numerics.sweep import Sweep
from rnn_dynamics.plots import palette
from rnn_dynamics.plots.grids import Slice, caption, labels_of, not_computed, panels, slice_of
from rnn_dynamics.plots.spectra import radius_atlas
from rnn_dynamics.spectral.radius_sweep import RadiusSweep, radius_sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ACTIVATIONS = ("tanh", "logistic", "relu", "leaky_relu", "linear")
_SHOWN = ("rate", "excess", "gap")
_KEPT = ("radius", "bias", "seed")


def _lags(steps: int) -> list[int]:
    return sorted({lag for lag in (1, 2, 3, 5, 8, 14, 30, 60, 120, 200, steps) if lag <= steps})


def _axes(options: Mapping[str, Any]) -> dict[str, Any]:
    points, several = options["points"], options["activation"]
    return {
        **({"activation": several} if len(several) > 1 else {}),
        "radius": evenly(0.2, 2.0, points),
        "bias": evenly(0.0, 1.5, points),
        **({} if options["gain"] == [1.0] else {"gain": options["gain"]}),
        "seed": range(options["seeds"]),
    }


def _compute(options: Mapping[str, Any], **how: Any) -> RadiusSweep:
    axes, several = _axes(options), options["activation"]
    return radius_sweep(
        axes["radius"],
        biases=axes["bias"],
        gains=axes.get("gain"),
        seeds=axes["seed"],
        n=options["units"],
        steps=options["steps"],
        lags=_lags(options["steps"]),
        activation=axes.get("activation", several[0]),
        spectra=options["spectra"],
        **how,
    )


def _of_sweep(found: Sweep, options: Mapping[str, Any]) -> RadiusSweep:
    lags = np.asarray(_lags(options["steps"]), np.int32)
    bounds = tuple(activations.get(name).slope_bound for name in options["activation"])
    return RadiusSweep(found, lags, options["steps"], bounds)


def _at_one(found: RadiusSweep, cut: Slice) -> RadiusSweep:
    """What a map shows: one activation, and one gain, the spectral radius that of g W; NaN where nothing is."""
    axes = {name: found.sweep.axes[name] for name in _KEPT}
    axes["radius"] = axes["radius"] * cut.held.get("gain", 1.0)
    values = {}
    for name, value in cut.values.items():
        missing = ~cut.computed.reshape(cut.computed.shape + (1,) * (value.ndim - cut.computed.ndim))
        values[name] = np.where(missing, np.asarray(np.nan, value.dtype), value)
    names = labels_of(found.sweep, "activation") if "activation" in cut.held else None
    bound = found.slope_bounds[names.index(cut.held["activation"]) if names else 0]
    return dataclasses.replace(found, sweep=Sweep(axes, values, found.sweep.metadata), slope_bounds=(bound,))


def _draw(found: RadiusSweep, ax: Any = None, *, at: Mapping[str, Any] | None = None) -> "Axes":
    """Three maps over radius and bias: decades a step, by how much the claim is passed, and the theorem's gap."""
    axes = panels(ax, 1, 3, 3.6)
    cut = slice_of(found.sweep, ["log_norms", "spectral_norm"], _KEPT, at)
    part, there = _at_one(found, cut), cut.computed.any(axis=-1)
    for panel, show in zip(axes, _SHOWN, strict=False):
        if there.any():
            radius_atlas(part, panel, show=show)
        not_computed(panel, part.sweep.axes["radius"], part.sweep.axes["bias"], there)
        _shortened(panel, is_first=panel is axes[0])
        panel.set_xlabel(r"spectral radius $\rho(g\,W)$" if "gain" in cut.held else palette.RADIUS_AXIS)
        panel.set_ylabel("bias of every unit")
    caption(axes, cut._replace(computed=there), gain="gain $g$")
    return axes[0]


def _shortened(panel: "Axes", *, is_first: bool) -> None:
    """A legend that a narrow panel has room for, on the first one alone."""
    legend = panel.get_legend()
    if legend is not None and not is_first:
        legend.remove()
    elif legend is not None:
        legend.get_texts()[0].set_text("constant norm")


ATLAS = Atlas(
    "norms of ∂x_T/∂x_k and their bounds over spectral radius and bias of random networks",
    {
        "units": Option(64, whole(1), "units of a network"),
        "points": Option(24, whole(2), "points along radius and bias"),
        "seeds": Option(3, whole(1), "networks of each point"),
        "steps": Option(200, whole(1), "steps T"),
        "gain": Option([1.0], numbers(0.0), "factors of the weights"),
        "activation": Option(["tanh"], names(_ACTIVATIONS), "of every unit"),
        "spectra": Option(False, switch, "every singular value too"),
    },
    _axes,
    _compute,
    _draw,
    _of_sweep,
)
