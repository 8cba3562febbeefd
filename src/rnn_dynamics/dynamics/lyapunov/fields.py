"""Finite-time exponents of many starts or many parameters at once, in chunks of one shape."""

import dataclasses
import functools
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from rnn_dynamics.cells.arguments import checked_start
from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.cells.shapes import is_ours, shapes_of
from rnn_dynamics.dynamics.lyapunov.crossing import far_directions, seems_affine
from rnn_dynamics.dynamics.lyapunov.frames import first_frame, measure, orthonormal, push
from rnn_dynamics.dynamics.lyapunov.typical import CLEAR, input_period
from rnn_dynamics.numerics.reductions import all_finite
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import broadcast_arrays, count, index, real_array

# Numbers of a chunk: what stays in a cache.
_CHUNK = 2**15


@dataclasses.dataclass(frozen=True)
class FiniteTimeExponents(Result):
    """Growth rates over a given number of steps, one set for each point of a grid.

    Attributes:
        exponents: falling along the last axis, shape (*grid, m), nats a step; −∞ where a Jacobian is singular, NaN
            where the state diverged. Also ``values``.
        final: the last states, shape (*grid, *state).
        status: RESOLVED; UNRESOLVED where a value is −∞, or where the orbit repeats to the last bit while its
            tangent vector grows: it rests on a repelling cycle, whose exponents these are (an affine map, whose
            orbits all have the same, is exempt); DIVERGED; shape (*grid,).
        steps: that the averages run over.
        periods: after how many steps each orbit was seen to repeat to the last bit, 0 where it was not; shape
            (*grid,).
    """

    exponents: np.ndarray
    final: np.ndarray
    status: np.ndarray
    steps: int
    periods: np.ndarray | None = None

    @property
    def values(self) -> np.ndarray:
        """``exponents`` by another name."""
        return self.exponents

    _units: ClassVar = {"exponents": "nats a step"}

    @property
    def largest(self) -> np.ndarray:
        """The largest exponent of each point, shape (*grid,)."""
        return self.exponents[..., 0]

    def __repr__(self) -> str:
        grid = "×".join(map(str, self.status.shape)) or "1"
        text = (
            f"FiniteTimeExponents({grid} points, {self.exponents.shape[-1]} exponents over "
            f"{counted(self.steps, 'step')}"
        )
        finite = self.largest[np.isfinite(self.largest)]
        text += f", largest {finite.min():.4g} to {finite.max():.4g}" if finite.size else ""
        diverged = int((self.status == int(Status.DIVERGED)).sum())
        text += f", {diverged} diverged" if diverged else ""
        if self.periods is not None:
            rest = (self.periods > 0) & (self.status == int(Status.UNRESOLVED)) & np.isfinite(self.largest)
            text += f", {int(rest.sum())} at rest on repelling cycles" if rest.any() else ""
        return text + ")"


class _Watch(NamedTuple):
    """An orbit compared with a state of its own that is renewed after 1, 2, 4, … steps (Brent)."""

    time: Array
    marked: Array
    mark: Array
    log: Array
    period: Array


def _watched(watch: _Watch, x: Array, log: Array, cycle: Array) -> _Watch:
    """One step on; ``cycle`` is the period of the input, 1 where it does not vary, 0 where it never repeats."""
    time = watch.time + 1
    lag = time - watch.marked
    fits = (cycle > 0) & (lag % jnp.maximum(cycle, 1) == 0)
    fresh = (x == watch.mark).all() & fits & (watch.period == 0)
    period = jnp.where(fresh, lag, watch.period)
    renew = (time & (time - 1)) == 0
    kept = ~renew | (period > 0)
    return _Watch(
        time,
        jnp.where(renew, time, watch.marked),
        jnp.where(kept, watch.mark, x),
        jnp.where(kept, watch.log, log),
        period,
    )


def _advance(cell: Any, cycle: Array, carry: tuple, u: Any) -> tuple[tuple, None]:
    x, frame, sums, lost, watch = carry
    frame, triangle = orthonormal(push(cell, x, u, frame))
    logs = measure(triangle, frame.shape[0]).logs
    # Neumaier's compensation, −∞ kept out of it: the difference of two infinities is none.
    finite = jnp.where(jnp.isneginf(logs), 0, logs)
    total = sums + finite
    big = jnp.abs(sums) >= jnp.abs(finite)
    error = jnp.where(big, (sums - total) + finite, (finite - total) + sums)
    lost = jnp.where(jnp.isneginf(logs), -jnp.inf, lost + error)
    x = exact_slopes(cell)(x, u)
    return (x, frame, total, lost, _watched(watch, x, total[0], cycle)), None


def _at_point(
    family: Any, parameters: tuple, x: Array, series: tuple, frame: Array, counts: tuple
) -> tuple[Array, Array, Array, Array]:
    cell = family(*parameters) if parameters else family
    step = exact_slopes(cell)
    (before, steps), (early, late, cycle) = counts, series
    x = jax.lax.scan(lambda state, u: (step(state, u), None), x, early, length=before)[0]
    zero = jnp.zeros(frame.shape[1], x.dtype)
    advance = functools.partial(_advance, cell, cycle)
    none = jnp.zeros((), jnp.int32)
    watch = _Watch(none, none, x, zero[0], none)
    (x, _, sums, lost, watch), _ = jax.lax.scan(advance, (x, frame, zero, zero, watch), late, length=steps)
    values = -jnp.sort(-(sums + lost) / steps)
    alive = all_finite(x) & ~jnp.isnan(values).any()
    margin = CLEAR if x.size > 1 else 64 * steps * float(jnp.finfo(x.dtype).eps)
    at_rest = (watch.period > 0) & (sums[0] - watch.log > margin)
    sound = all_finite(values)
    label = jnp.where(sound & ~at_rest, int(Status.RESOLVED), int(Status.UNRESOLVED))
    label = jnp.where(alive, label, int(Status.DIVERGED)).astype(jnp.int32)
    return jnp.where(alive, values, jnp.nan), x, label, watch.period


@functools.partial(jax.jit, static_argnums=(0, 6))
def _at_points(
    static: Any, arrays: Any, parameters: tuple, states: Array, series: tuple, frame: Array, counts: tuple
) -> tuple[Array, Array, Array, Array]:
    family = join(static, arrays)
    return jax.vmap(lambda p, x: _at_point(family, p, x, series, frame, counts))(parameters, states)


@functools.partial(jax.jit, static_argnums=0)
def _affine_at(
    static: Any, arrays: Any, parameters: tuple, states: Array, directions: Array, u: Any
) -> Array:
    family = join(static, arrays)
    return jax.vmap(lambda p, x: seems_affine(family(*p) if p else family, x, directions, u))(
        parameters, states
    )


def _freed(static: Any, arrays: Any, parameters: tuple, found: list, late: Any) -> list:
    """The labels of a chunk, those at rest RESOLVED where the map is affine."""
    values, final, status, periods = found
    at_rest = (periods > 0) & (status == int(Status.UNRESOLVED)) & np.isfinite(values).all(axis=-1)
    if at_rest.any():
        last = jax.tree_util.tree_map(lambda leaf: leaf[-1], late)
        directions = far_directions(final[0])
        affine = np.asarray(_affine_at(static, arrays, parameters, final, directions, last))
        status = np.where(at_rest & affine, np.int32(Status.RESOLVED), status)
    return [values, final, status, periods]


def _all_points(
    static: Any, arrays: Any, flat: tuple, states: Any, inputs: tuple, frame: Array, counts: tuple
) -> tuple[Array, Array, Array, Array]:
    """All points of traced arguments in one call, their labels freed as those of a chunk."""
    early, late = inputs
    is_known = not any(isinstance(leaf, Tracer) for leaf in jax.tree_util.tree_leaves(late))
    cycle = jnp.int32(input_period(late) if is_known else 0)
    found = _at_points(static, arrays, flat, jnp.asarray(states), (early, late, cycle), frame, counts)
    values, final, status, periods = found
    last = jax.tree_util.tree_map(lambda leaf: leaf[-1], late)
    affine = _affine_at(static, arrays, flat, final, far_directions(states[0]), last)
    at_rest = (periods > 0) & (status == int(Status.UNRESOLVED)) & jnp.isfinite(values).all(axis=-1)
    return values, final, jnp.where(at_rest & affine, jnp.int32(Status.RESOLVED), status), periods


def _points(parameters: Any, starts: Any, state_ndim: int) -> tuple[tuple, np.ndarray, tuple[int, ...]]:
    """Parameters and states in one flat list each, and the shape of the grid."""
    states = _host(real_array("starts", starts))
    if state_ndim > states.ndim:
        raise ValueError(f"starts: expected a state of {state_ndim} dimensions, got shape {states.shape}")
    inner = states.shape[states.ndim - state_ndim :]
    named = {f"parameters[{i}]": p for i, p in enumerate(parameters)}
    arrays = [_host(a) for a in broadcast_arrays(**named)] if named else []
    grid = np.broadcast_shapes(states.shape[: states.ndim - state_ndim], arrays[0].shape if arrays else ())
    states = _spread(states, grid + inner).reshape(-1, *inner)
    flat = tuple(_spread(a, grid).reshape(-1).astype(states.dtype) for a in arrays)
    return flat, states, grid


def _host(array: Any) -> Any:
    """The array on the host, one that is traced as it is."""
    return array if isinstance(array, Tracer) else np.asarray(array)


def _spread(array: Any, shape: tuple[int, ...]) -> Any:
    broadcast = jnp.broadcast_to if isinstance(array, Tracer) else np.broadcast_to
    return broadcast(array, shape)


def finite_time_exponents(
    cell: Any,
    starts: Any,
    *,
    steps: int,
    exponents: int = 1,
    discard: int = 0,
    inputs: Any = None,
    parameters: Any = (),
    state_ndim: int = 1,
    chunk: int | None = None,
) -> FiniteTimeExponents:
    """Growth rates of an orthonormal frame over ``steps`` steps from every start, or for every parameter.

        λ_i(x_0) = (1/K) Σ_t ln|R_ii|,    J_{t+1} Q_t = Q_{t+1} R.

    Args:
        cell: a cell; or, with ``parameters``, a family: a function of them that returns a cell. A family made
            anew compiles anew.
        starts: states, shape (*grid, n), (*grid,) for a single neuron; one state for a grid of parameters.
        steps: K, averaged over.
        exponents: m, the largest first.
        discard: steps of the state alone before the first that counts.
        inputs: of each step, leading axis discard + steps, the same for all points; or ``None``.
        parameters: one array for each parameter of the family; they broadcast with one another and with the grid
            of starts.
        state_ndim: 1, or 0 for a single neuron.
        chunk: points in one call; by default some 2^15 numbers.

    Returns:
        ``FiniteTimeExponents``. Memory is bounded by the chunk and by the results. Inside ``jit``, ``vmap`` and the
        function of a ``sweep`` the points are taken at once, and the result's arrays are traced.

    Raises:
        TypeError, ValueError: steps below 1, exponents outside 1 … n, shapes that do not fit.

    Reference: S. C. Shadden, F. Lekien, J. E. Marsden, Physica D 212, 271 (2005), for fields of such exponents.
    """
    steps, discard = count("steps", steps, minimum=1), count("discard", discard)
    state_ndim = index("state_ndim", state_ndim, minimum=0, maximum=1)
    flat, states, grid = _points(parameters, starts, state_ndim)
    if not states.shape[0]:
        raise ValueError(f"starts: expected at least one, got shape {jnp.shape(starts)}")
    first = cell(*(p[0] for p in flat)) if flat else cell
    wanted = shapes_of(first)
    if is_ours(first) and wanted.state not in (None, states.shape[1:]):
        raise TypeError(f"starts: expected {wanted}; got states of shape {states.shape[1:]}")
    inner = states.shape[1:]
    is_traced = any(isinstance(leaf, Tracer) for leaf in jax.tree_util.tree_leaves(starts))
    # Numbers and lists follow the cell.
    one = (
        states[0]
        if is_traced or hasattr(starts, "dtype")
        else np.asarray(starts, float).reshape(-1, *inner)[0].tolist()
    )
    start, given, total = checked_start(first, one, inputs, steps + discard)
    states, flat = states.astype(start.dtype), tuple(p.astype(start.dtype) for p in flat)
    size = start.size
    traced = any(
        isinstance(leaf, Tracer) for leaf in jax.tree_util.tree_leaves((cell, starts, inputs, parameters))
    )
    exponents = index("exponents", exponents, minimum=1, maximum=size)
    chunk = max(1, _CHUNK // (size * exponents)) if chunk is None else count("chunk", chunk, minimum=1)
    chunk = min(chunk, states.shape[0])
    frame = first_frame(None, size, exponents, start.dtype)
    early, late = (
        jax.tree_util.tree_map(lambda leaf, a=a, b=b: leaf[a:b], given)
        for a, b in ((0, discard), (discard, total))
    )
    static, arrays = split(cell)
    if traced:
        found: Any = _all_points(static, arrays, flat, states, (early, late), frame, (discard, steps))
        values, final, status, periods = (part.reshape(*grid, *part.shape[1:]) for part in found)
        return FiniteTimeExponents(values, final, status, steps, periods)
    series, parts = (early, late, np.int32(input_period(late))), []
    for at in range(0, states.shape[0], chunk):
        take = np.minimum(np.arange(at, at + chunk), states.shape[0] - 1)
        values = tuple(p[take] for p in flat)
        chunks = _at_points(static, arrays, values, states[take], series, frame, (discard, steps))
        parts.append(_freed(static, arrays, values, [np.asarray(part) for part in chunks], late))
    values, final, status, periods = (
        np.concatenate(part)[: states.shape[0]] for part in zip(*parts, strict=True)
    )
    shaped = values.reshape((*grid, exponents)), final.reshape((*grid, *start.shape)), status.reshape(grid)
    return FiniteTimeExponents(*shaped, steps, periods.reshape(grid))
