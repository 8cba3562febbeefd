"""How many fixed points random networks x⁺ = tanh(g W x) have, and how many of them are stable."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from rnn_dynamics.atlases.atlas import Atlas, Option, evenly, gridded, whole
from rnn_dynamics.cells.vanilla import ElmanRNN
from rnn_dynamics.numerics.newton import solve_square, solved, value_and_jacobian
from rnn_dynamics.numerics.reductions import largest
from rnn_dynamics.numerics.sweep import Sweep
from rnn_dynamics.plots import palette
from rnn_dynamics.plots.canvas import shared_legend
from rnn_dynamics.plots.grids import caption, gaps, panels, slice_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HIGHEST = jax.lax.Precision.HIGHEST
_DAMPED, _FULL = 25, 15  # steps of Newton's method
_SHARES = (1.0, 0.5, 0.25, 0.1, 0.03)  # of a step, the best of which is taken
_SQUARINGS = 20  # ‖Jᵐ‖ at m = 2²⁰ tells ρ(J) from 1 where they differ by 10⁻⁵ or more
_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)


@dataclasses.dataclass(frozen=True)
class _Network:
    """The function of one point: Newton's method from ``starts`` states of a network of at most ``units`` units.

    A smaller network is the leading corner of the same matrix; the units beyond it rest at 0 and change no count.
    """

    units: int
    starts: int

    def __call__(self, gain: Array, size: Array, seed: Array) -> dict[str, Array]:
        drawn, started = jax.random.split(jax.random.fold_in(jax.random.key(0), seed))
        dtype, inside = gain.dtype, jnp.arange(self.units, dtype=size.dtype) < size
        scale = gain / jnp.sqrt(size.astype(dtype))
        W = jax.random.normal(drawn, (self.units, self.units), dtype) * scale
        W = jnp.where(inside[:, None] & inside[None, :], W, jnp.zeros_like(W))
        starts = _starts(started, self.starts, self.units, dtype) * inside.astype(dtype)[None]
        points, converged = jax.vmap(functools.partial(_solved, W))(starts)
        first, stable_pairs = _distinct(W, points, converged)
        origin = _contracts(W)
        return {
            "points": 1 + 2 * jnp.sum(first, dtype=jnp.int32),
            "stable": origin.astype(jnp.int32) + 2 * jnp.sum(stable_pairs, dtype=jnp.int32),
            "converged": jnp.sum(converged, dtype=jnp.int32),
        }


_network = functools.lru_cache(maxsize=64)(_Network)


def _starts(key: Array, count: int, units: int, dtype: Any) -> Float[Array, "starts units"]:
    """Directions in the box [−1, 1]ⁿ, at amplitudes spread evenly from 0 to 1."""
    directions = jax.random.uniform(key, (count, units), dtype, -1, 1)
    return directions * ((jnp.arange(count, dtype=dtype) + 1) / count)[:, None]


def _solved(W: Float[Array, "n n"], start: Float[Array, " n"]) -> tuple[Array, Bool[Array, ""]]:
    """Where Newton's method on x − tanh(W x) ends, damped and then in full steps, and whether that is a root."""
    cell = ElmanRNN(W, jnp.zeros_like(start))

    def residual(x: Array) -> Array:
        return x - cell(x, None)

    near = jax.lax.fori_loop(0, _DAMPED, functools.partial(_damped, residual), start)
    x, _, converged, _ = solve_square(residual, near, _FULL)
    return x, converged


def _damped(residual: Callable[[Array], Array], _: Any, x: Float[Array, " n"]) -> Float[Array, " n"]:
    """The share of a Newton step after which the residual is least: starts that whole steps would lose converge."""
    value, matrix = value_and_jacobian(residual, x)
    step = solved(matrix, -value)
    tried = x[None] + jnp.asarray(_SHARES, x.dtype)[:, None] * step[None]
    return tried[jnp.argmin(jnp.sum(jnp.square(jax.vmap(residual)(tried)), axis=1))]


def _distinct(
    W: Float[Array, "n n"], points: Float[Array, "starts n"], converged: Bool[Array, " starts"]
) -> tuple[Bool[Array, " starts"], Bool[Array, " starts"]]:
    """The first of each pair ±x of roots other than 0, and those of them that are stable.

    Roots closer than ε^0.3 are one, ε the rounding unit: a triple root, as of a pitchfork, is known to ε^⅓ at best.
    """
    near = float(jnp.finfo(points.dtype).eps) ** 0.3

    def apart(x: Array, y: Array) -> Array:
        return jnp.minimum(largest(x - y), largest(x + y))

    gaps = jax.vmap(lambda x: jax.vmap(lambda y: apart(x, y))(points))(points)
    earlier = jnp.arange(len(points))[None, :] < jnp.arange(len(points))[:, None]
    repeats = jnp.any((gaps < near) & earlier & converged[None, :], axis=1)
    first = converged & ~repeats & (largest(points, axis=1) >= near)
    jacobians = (1 - jnp.square(points))[:, :, None] * W[None]
    return first, first & jax.vmap(_contracts)(jacobians)


def _contracts(matrix: Float[Array, "n n"]) -> Bool[Array, ""]:
    """Whether ρ(J) < 1: whether ‖Jᵐ‖_F < 1 for m = 2²⁰, by squaring, each power divided by its norm."""

    def squared(_: Any, state: tuple[Array, Array]) -> tuple[Array, Array]:
        unit, log = state
        following, size = _scaled(jnp.matmul(unit, unit, precision=_HIGHEST))
        return following, 2 * log + size

    return jax.lax.fori_loop(0, _SQUARINGS, squared, _scaled(matrix))[1] < 0


def _scaled(matrix: Float[Array, "n n"]) -> tuple[Array, Array]:
    """The matrix divided by its Frobenius norm, and ln of that; 0 and −inf of a matrix of zeros."""
    size = jnp.sqrt(jnp.sum(jnp.square(matrix)))
    return matrix / jnp.where(size > 0, size, jnp.ones_like(size)), jnp.log(size)


def _axes(options: Mapping[str, Any]) -> dict[str, Any]:
    units = options["units"]
    return {
        "gain": evenly(0.25, 4.0, options["points"]),
        "size": np.array([size for size in _SIZES if size < units] + [units], np.int32),
        "seed": np.arange(options["seeds"], dtype=np.int32),
    }


def _points_of_a_call(options: Mapping[str, Any]) -> int:
    """So many that a call takes about a second (its loop has no length to be read off), or all of a small grid."""
    points = math.prod(len(axis) for axis in _axes(options).values())
    return max(1, min(points, 2**23 // (options["starts"] * options["units"] ** 2)))


def _draw(found: Sweep, ax: Any = None, *, at: Mapping[str, Any] | None = None) -> "Axes":
    """Points, stable points and the share of starts that converged against the gain, a line for each size."""
    axes = panels(ax, 1, 3, 3.6)
    cut = slice_of(found, list(_SHOWN), ["gain", "size", "seed"], at)
    gains, sizes = found.axes["gain"], found.axes["size"]
    starts = _starts_of(found)
    for panel, (name, label) in zip(axes, _SHOWN.items(), strict=False):
        values = cut.values[name] / (starts if name == "converged" and starts else 1)
        for at_size, colour in enumerate(palette.shades(len(sizes))):
            mean = _mean(values[:, at_size], cut.computed[:, at_size])
            panel.plot(
                gains,
                mean,
                color=colour,
                label=f"$n = {sizes[at_size]}$",
                marker="o",
                markersize=palette.DUST,
            )
        if name == "points":
            panel.set_yscale("log", base=2)
            panel.yaxis.set_major_formatter("{x:g}")
            _limit(panel, float(np.max(values, initial=1.0, where=cut.computed)), starts)
        gaps(panel, gains, cut.computed.any(axis=(1, 2)))
        panel.set_xlabel("gain $g$")
        panel.set_ylabel(label)
    if len(axes) > 1:
        shared_legend(axes, columns=len(sizes) + 1)
    else:
        axes[0].legend(loc="upper left", ncols=2)
    caption(axes, cut)
    return axes[0]


def _limit(panel: "Axes", largest: float, starts: int | None) -> None:
    """The most points that so many starts can find, where the counts come near it."""
    if starts and 4 * largest > 2 * starts + 1:
        most = {"color": palette.GREY, "linestyle": palette.DOTTED, "linewidth": palette.THIN}
        panel.axhline(2 * starts + 1, label=f"most that {starts} starts find", **most)


_SHOWN = {
    "points": "fixed points found, mean of the seeds",
    "stable": "stable ones among them, mean",
    "converged": "share of starts that converged",
}


def _starts_of(found: Sweep) -> int | None:
    """K, where the sweep says so."""
    said = found.metadata.get("atlas")
    return said["options"].get("starts") if isinstance(said, dict) else None


def _mean(values: np.ndarray, computed: np.ndarray) -> np.ndarray:
    """The mean over the seeds that are computed; NaN where none is."""
    count = computed.sum(axis=-1)
    total = np.where(computed, values, 0).sum(axis=-1)
    return np.where(count, total / np.maximum(count, 1), np.nan)


ATLAS = Atlas(
    "fixed points found from K starts, a lower bound, of random networks x⁺ = tanh(g W x) over gain and size",
    {
        "units": Option(16, whole(1, 1024), "units of the largest network"),
        "points": Option(24, whole(2), "points along the gain"),
        "seeds": Option(8, whole(1), "networks of each point"),
        "starts": Option(64, whole(1, 4096), "starts K of Newton's method"),
    },
    _axes,
    gridded(lambda options: _network(options["units"], options["starts"]), _axes, _points_of_a_call),
    _draw,
)
