"""Finite-time exponents of many starts or many parameters at once, in chunks of one shape."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnn_dynamics.cells.shapes import is_ours, shapes_of
from rnn_dynamics.cells.slopes import exact_slopes
from rnn_dynamics.cells.structure import join, split
from rnn_dynamics.lyapunov.frames import first_frame, measure, orthonormal, push
from rnn_dynamics.rollout import checked_start
from rnn_dynamics.status import Status
from rnn_dynamics.validation import broadcast_arrays, count, index, real_array

__all__ = ["FiniteTimeExponents", "finite_time_exponents"]

# Numbers of a chunk: what stays in a cache.
_CHUNK = 2**15


@dataclasses.dataclass(frozen=True)
class FiniteTimeExponents:
    """Growth rates over a given number of steps, one set for each point of a grid.

    Attributes:
        values: falling along the last axis, shape (*grid, m), nats a step; −∞ where a Jacobian is singular, NaN
            where the state diverged.
        final: the last states, shape (*grid, *state).
        status: RESOLVED, UNRESOLVED where a value is −∞, DIVERGED; shape (*grid,).
        steps: that the averages run over.
    """

    values: np.ndarray
    final: np.ndarray
    status: np.ndarray
    steps: int

    @property
    def largest(self) -> np.ndarray:
        """The largest of each point, shape (*grid,)."""
        return self.values[..., 0]

    def __repr__(self) -> str:
        grid = "×".join(map(str, self.status.shape)) or "1"
        text = f"FiniteTimeExponents({grid} points, {self.values.shape[-1]} exponents over {self.steps} steps"
        finite = self.largest[np.isfinite(self.largest)]
        text += f", largest {finite.min():.4g} to {finite.max():.4g}" if finite.size else ""
        diverged = int((self.status == int(Status.DIVERGED)).sum())
        return text + (f", {diverged} diverged)" if diverged else ")")


def _advance(cell: Any, carry: tuple, u: Any) -> tuple[tuple, None]:
    x, frame, sums, lost = carry
    frame, triangle = orthonormal(push(cell, x, u, frame))
    logs = measure(triangle, frame.shape[0]).logs
    # Neumaier's compensation, −∞ kept out of it: the difference of two infinities is none.
    finite = jnp.where(jnp.isneginf(logs), 0, logs)
    total = sums + finite
    big = jnp.abs(sums) >= jnp.abs(finite)
    error = jnp.where(big, (sums - total) + finite, (finite - total) + sums)
    lost = jnp.where(jnp.isneginf(logs), -jnp.inf, lost + error)
    return (exact_slopes(cell)(x, u), frame, total, lost), None


def _at_point(
    family: Any, parameters: tuple, x: Array, early: Any, late: Any, frame: Array, counts: tuple
) -> tuple[Array, Array, Array]:
    cell = family(*parameters) if parameters else family
    step = exact_slopes(cell)
    before, steps = counts
    x = jax.lax.scan(lambda state, u: (step(state, u), None), x, early, length=before)[0]
    zero = jnp.zeros(frame.shape[1], x.dtype)
    advance = functools.partial(_advance, cell)
    (x, _, sums, lost), _ = jax.lax.scan(advance, (x, frame, zero, zero), late, length=steps)
    values = -jnp.sort(-(sums + lost) / steps)
    alive = jnp.isfinite(x).all() & ~jnp.isnan(values).any()
    label = jnp.where(jnp.isfinite(values).all(), int(Status.RESOLVED), int(Status.UNRESOLVED))
    label = jnp.where(alive, label, int(Status.DIVERGED)).astype(jnp.int32)
    return jnp.where(alive, values, jnp.nan), x, label


@functools.partial(jax.jit, static_argnums=(0, 7))
def _at_points(
    static: Any,
    arrays: Any,
    parameters: tuple,
    states: Array,
    early: Any,
    late: Any,
    frame: Array,
    counts: tuple,
) -> tuple[Array, Array, Array]:
    family = join(static, arrays)
    return jax.vmap(lambda p, x: _at_point(family, p, x, early, late, frame, counts))(parameters, states)


def _points(parameters: Any, starts: Any, state_ndim: int) -> tuple[tuple, np.ndarray, tuple[int, ...]]:
    """Parameters and states in one flat list each, and the shape of the grid."""
    states = np.asarray(real_array("starts", starts))
    if state_ndim > states.ndim:
        raise ValueError(f"starts: expected a state of {state_ndim} dimensions, got shape {states.shape}")
    inner = states.shape[states.ndim - state_ndim :]
    named = {f"parameters[{i}]": p for i, p in enumerate(parameters)}
    arrays = [np.asarray(a) for a in broadcast_arrays(**named)] if named else []
    grid = np.broadcast_shapes(states.shape[: states.ndim - state_ndim], arrays[0].shape if arrays else ())
    states = np.broadcast_to(states, grid + inner).reshape(-1, *inner)
    flat = tuple(np.broadcast_to(a, grid).reshape(-1).astype(states.dtype) for a in arrays)
    return flat, states, grid


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
        ``FiniteTimeExponents``. Memory is bounded by the chunk and by the results.

    Raises:
        TypeError, ValueError: steps below 1, exponents outside 1 … n, shapes that do not fit.
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
    one = states[0] if hasattr(starts, "dtype") else states[0].tolist()  # numbers and lists follow the cell
    start, given, total = checked_start(first, one, inputs, steps + discard)
    states, flat = states.astype(start.dtype), tuple(p.astype(start.dtype) for p in flat)
    size = start.size
    exponents = index("exponents", exponents, minimum=1, maximum=size)
    chunk = max(1, _CHUNK // (size * exponents)) if chunk is None else count("chunk", chunk, minimum=1)
    chunk = min(chunk, states.shape[0])
    frame = first_frame(None, size, exponents, start.dtype)
    early, late = (
        jax.tree_util.tree_map(lambda leaf, a=a, b=b: leaf[a:b], given)
        for a, b in ((0, discard), (discard, total))
    )
    static, arrays = split(cell)
    parts = []
    for at in range(0, states.shape[0], chunk):
        take = np.minimum(np.arange(at, at + chunk), states.shape[0] - 1)
        values = tuple(p[take] for p in flat)
        found = _at_points(static, arrays, values, states[take], early, late, frame, (discard, steps))
        parts.append([np.asarray(part) for part in found])
    values, final, status = (np.concatenate(part)[: states.shape[0]] for part in zip(*parts, strict=True))
    return FiniteTimeExponents(
        values.reshape((*grid, exponents)), final.reshape((*grid, *start.shape)), status.reshape(grid), steps
    )
