"""How far back gradients of gated cells reach over the bias of the gate that keeps, and the size of the inputs."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from rnn_dynamics.atlases.atlas import Atlas, Option, evenly, gridded, names, numbers, whole
from rnn_dynamics.cells.gated import GRU, LSTM, MinimalGatedUnit, MinimalRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import gradient_norms
from rnn_dynamics.numerics.sweep import Sweep
from rnn_dynamics.plots.grids import Slice, caption, labels_of, not_computed, panels, plane, slice_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LAGS = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987)


def _lstm(W: Any, W_in: Any, bias: Array) -> LSTM:
    n = W.shape[1]
    return LSTM(W[: 4 * n], jnp.zeros(4 * n, W.dtype).at[n : 2 * n].set(bias), W_in[: 4 * n])


def _gru(W: Any, W_in: Any, bias: Array) -> GRU:
    n = W.shape[1]
    return GRU(W[: 3 * n], jnp.zeros(3 * n, W.dtype).at[n : 2 * n].set(bias), W_in[: 3 * n])


def _minimal_gated(W: Any, W_in: Any, bias: Array) -> MinimalGatedUnit:
    """Its gate forgets where the others keep, so that the sign of its bias is turned."""
    n = W.shape[1]
    return MinimalGatedUnit(W[: 2 * n], jnp.zeros(2 * n, W.dtype).at[:n].set(-bias), W_in[: 2 * n])


def _minimal(W: Any, W_in: Any, bias: Array) -> MinimalRNN:
    n = W.shape[1]
    return MinimalRNN(W[:n], W[n : 2 * n], jnp.full(n, bias, W.dtype), W_in[:n])


#: Cell to how it is made of weights of four gates and the bias of the gate that keeps, and what it is called.
_CELLS: dict[str, tuple[Callable[..., Any], str]] = {
    "lstm": (_lstm, "LSTM"),
    "gru": (_gru, "GRU"),
    "minimal_gated_unit": (_minimal_gated, "minimal gated unit"),
    "minimal_rnn": (_minimal, "minimal RNN"),
}


def _lags(steps: int) -> tuple[int, ...]:
    return (*(lag for lag in _LAGS if lag < steps), steps)


@dataclasses.dataclass(frozen=True)
class _Cell:
    """The function of one point: a random cell, as many inputs as units, from the state 0 over ``steps`` steps."""

    units: int
    steps: int

    def __call__(
        self, cell: str, forget_bias: Array, input_scale: Array, gain: Array, seed: Array
    ) -> dict[str, Array]:
        n, dtype = self.units, forget_bias.dtype
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), seed), 3)
        W, W_in = (jax.random.normal(key, (4 * n, n), dtype) / math.sqrt(n) for key in keys[:2])
        inputs = input_scale * jax.random.normal(keys[2], (self.steps, n), dtype)
        run = rollout(_CELLS[cell][0](gain * W, W_in, forget_bias), None, inputs)
        by_lag = gradient_norms(run)[::-1]
        return {
            "log_norms": by_lag[np.asarray(_lags(self.steps))],
            "rate": by_lag[-1] / (self.steps * math.log(10)),
            "horizon": _reach(by_lag),
        }


_cell = functools.lru_cache(maxsize=64)(_Cell)


def _reach(by_lag: Float[Array, " steps+1"]) -> Int[Array, ""]:
    """The largest lag whose norm is at least 1/e of the greatest; 0 where all are 0, −1 where one is not finite."""
    lags = jnp.arange(len(by_lag), dtype=jnp.int32)
    counts = (by_lag >= jnp.max(by_lag) - 1) & (by_lag > -jnp.inf)
    far = jnp.max(jnp.where(counts, lags, jnp.zeros_like(lags)))
    sound = ~jnp.any(jnp.isnan(by_lag) | jnp.isposinf(by_lag))
    return jnp.where(sound, far, -jnp.ones_like(far))


def _axes(options: Mapping[str, Any]) -> dict[str, Any]:
    points = options["points"]
    return {
        "cell": options["cells"],
        "forget_bias": evenly(-2.0, 6.0, points),
        "input_scale": evenly(0.0, 4.0, points),
        "gain": options["gain"],
        "seed": np.arange(options["seeds"], dtype=np.int32),
    }


def _draw(found: Sweep, ax: Any = None, *, at: Mapping[str, Any] | None = None) -> "Axes":
    """The horizon over gate bias and input scale, the median over the seeds, a panel for each cell."""
    held = dict(at or {})
    chosen = [held.pop("cell")] if "cell" in held else labels_of(found, "cell") or []
    axes = panels(ax, -(-len(chosen) // 2), min(len(chosen), 2), 3.0)
    for panel in axes[len(chosen) :]:
        panel.set_axis_off()
    longest = _longest(found)
    cuts: list[Slice] = []
    mesh: Any = None
    for number, (panel, cell) in enumerate(zip(axes, chosen, strict=False)):
        cut = slice_of(found, ["horizon"], ("forget_bias", "input_scale", "seed"), held | {"cell": cell})
        mesh = _panel(panel, found, cut, longest)
        _above(panel, found.axes["forget_bias"], is_named=number < 2)
        panel.set_title(_CELLS[cell][1] if cell in _CELLS else str(cell))
        cuts.append(cut)
    drawn = axes[: len(cuts)]
    label = "horizon (steps): largest lag with a norm of at least 1/e of the greatest"
    drawn[0].figure.colorbar(mesh, ax=drawn, label=label, extend="min", fraction=0.05, pad=0.02, aspect=30)
    computed = np.stack([cut.computed for cut in cuts])
    shown = {name: point for name, point in cuts[0].held.items() if name != "cell"}
    gains = {} if len(found.axes["gain"]) == 1 else shown
    caption(drawn, cuts[0]._replace(computed=computed, held=gains), gain="gain $g$")
    return drawn[0]


def _longest(found: Sweep) -> int:
    """T, or the longest horizon where the sweep does not say."""
    said = found.metadata.get("atlas")
    return int(said["options"]["steps"]) if isinstance(said, dict) else int(np.max(found["horizon"]))


def _panel(panel: "Axes", found: Sweep, cut: Slice, longest: int) -> Any:
    """One cell's horizons on colours from 1 to T."""
    bias, scale = found.axes["forget_bias"], found.axes["input_scale"]
    horizon = np.where(cut.computed & (cut.values["horizon"] >= 0), cut.values["horizon"], np.nan)
    sound = np.isfinite(horizon).any(axis=-1)
    middle = np.full(sound.shape, np.nan)
    middle[sound] = np.nanmedian(horizon[sound], axis=-1)
    colours = {"norm": "log", "vmin": 1, "vmax": max(longest, 2)}
    mesh = plane(panel, bias, scale, np.maximum(middle, 0.5), "", bar=False, **colours)
    not_computed(panel, bias, scale, cut.computed.any(axis=-1))
    panel.set_xlabel("bias of the gate that keeps")
    panel.set_ylabel("scale of the inputs")
    return mesh


def _above(panel: "Axes", bias: np.ndarray, *, is_named: bool) -> None:
    """Another axis above a panel: the horizon of a gate without weights."""
    marks = [mark for mark in (1, 3, 10, 30, 100, 300) if bias[0] <= _bias_of(mark) <= bias[-1]]
    above = panel.secondary_xaxis("top")
    above.set_xticks([_bias_of(mark) for mark in marks], [f"{mark}" for mark in marks])
    if is_named:
        above.set_xlabel(r"without weights: $-1/\ln\,σ(b)$ steps")


def _bias_of(horizon: float) -> float:
    """The bias b at which a gate without weights keeps for −1/ln σ(b) steps."""
    return -math.log(math.expm1(1 / horizon))


ATLAS = Atlas(
    "how far back gradients of gated cells reach over forget-gate bias and input scale, cell by cell",
    {
        "units": Option(16, whole(1, 1024), "units of a cell"),
        "points": Option(12, whole(2), "points along bias and scale"),
        "seeds": Option(3, whole(1), "cells of each point"),
        "steps": Option(100, whole(1), "steps T"),
        "gain": Option([1.0], numbers(0.0), "factors of the recurrent weights"),
        "cells": Option(list(_CELLS), names(list(_CELLS)), "which cells"),
    },
    _axes,
    gridded(lambda options: _cell(options["units"], options["steps"]), _axes),
    _draw,
)
