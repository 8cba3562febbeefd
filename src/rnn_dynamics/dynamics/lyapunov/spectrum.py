"""Lyapunov spectra by QR along a trajectory, the factorisations as far apart as the growth allows."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.dynamics.lyapunov.frames import FrameGrowth, first_frame, follow
from rnn_dynamics.dynamics.lyapunov.orbits import OrbitCheck
from rnn_dynamics.dynamics.lyapunov.results import LyapunovSpectrum
from rnn_dynamics.dynamics.lyapunov.typical import checked
from rnn_dynamics.gradients.steps import entries_of, step_range
from rnn_dynamics.numerics import double_double, padding
from rnn_dynamics.numerics.batching import computed, is_plain
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.reductions import all_finite
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import count, index

_PILOT = 64
_LONGEST_INTERVAL = 32


def rounding_limit(dtype: Any) -> float:
    """Nats a step that rounding may add to an exponent: √eps, 1.5e-8 in float64."""
    return math.sqrt(float(jnp.finfo(dtype).eps))


class _Plan(NamedTuple):
    """Which steps are averaged, and how: a QR every ``interval`` steps from ``first`` to ``last``."""

    first: int
    last: int
    interval: int
    blocks: int
    length: int


@lean(static_argnums=(0, 5))
def _follow(
    static: Any,
    arrays: Any,
    states: Array,
    inputs: Any,
    frame: Array,
    interval: int,
    inside: Array | None = None,
) -> tuple[Array, FrameGrowth]:
    return follow(join(static, arrays), frame, states, inputs, interval, inside)


def _grown(
    trajectory: Trajectory, frame: Array, first: int, last: int, interval: int
) -> tuple[Array, FrameGrowth]:
    """The frame after the steps first … last−1, a QR every ``interval`` of them, and the growth in each group.

    The groups are padded to a power of two, and those of the padding are passed over.
    """
    static, arrays = split(trajectory.cell)
    series, groups = (trajectory.states, trajectory.inputs), (last - first) // interval
    entries = interval * (math.prod(trajectory.states.shape[1:]) + entries_of(trajectory))
    if not groups or not padding.may_pad(groups, entries, padding.LARGEST_SKIPPED, arrays, series, frame):
        parts = jax.tree_util.tree_map(lambda leaf: leaf[first:last], series)
        return _follow(static, arrays, *parts, frame, interval)
    extra = padding.longer(groups) - groups
    padded = padding.padded(series, first, last, after=extra * interval)
    inside = padding.inside(groups, after=extra)
    frame, growth = _follow(static, arrays, *padded, frame, interval, inside)
    return frame, padding.cut(growth, 0, groups)


def _spectrum(trajectory: Trajectory, frame: Array, start: int, plan: _Plan) -> tuple[LyapunovSpectrum, Any]:
    """The spectrum, and ln of the growth of the leading vector in each group of steps from ``plan.first`` on."""
    frame, growth = _grown(trajectory, frame, plan.first, plan.last, plan.interval)
    part, of_block = trajectory.states, plan.length // plan.interval
    if is_plain([growth.logs, part]):
        alive = np.isfinite(np.asarray(part)[start : plan.last]).all()
        logs = np.asarray(growth.logs)[-plan.blocks * of_block :]
        logs = np.moveaxis(logs.reshape(plan.blocks, of_block, -1), 1, 0)
        missing = padding.longer(of_block) - of_block
        logs = np.pad(logs, ((0, missing), (0, 0), (0, 0)))  # zeros add nothing to a sum
        loss, leading = np.asarray(growth.loss).mean(axis=0), np.asarray(growth.logs)[:, 0]
    else:
        alive = all_finite(part[start : plan.last])
        logs = growth.logs[-plan.blocks * of_block :]
        logs = jnp.moveaxis(logs.reshape(plan.blocks, of_block, -1), 1, 0)
        loss, leading = jnp.mean(growth.loss, axis=0), growth.logs[:, 0]
    discarded = plan.last - start - plan.blocks * plan.length
    meta = (plan.interval, plan.length, discarded, frame.shape[0])
    number, root = (np.asarray(value, logs.dtype) for value in (plan.length, math.sqrt(plan.interval)))
    found = computed(_summary, logs, loss, alive, number, root)
    values, errors, means, rounding, status = found
    return LyapunovSpectrum(values, errors, means, rounding, frame, status, *meta), leading


def _total(terms: Float[Array, "k blocks m"]) -> Float[Array, "blocks m"]:
    """Return the compensated sum over the first axis."""

    def add(carry: tuple[Array, Array], term: Array) -> tuple[tuple[Array, Array], None]:
        total, rest = carry
        total, lost = double_double.two_sum(total, term)
        return (total, rest + lost), None

    zero = jnp.zeros(terms.shape[1:], terms.dtype)
    total, rest = jax.lax.scan(add, (zero, zero), terms)[0]
    return total + rest


@lean
def _summary(logs: Array, loss: Array, alive: Array, length: Array, root: Array) -> tuple[Array, ...]:
    """Values, errors, means of blocks, rounding and labels, by falling exponent.

    Args:
        logs: growth of each group, shape (groups of a block, blocks, m).
        loss: how far the exponents stand out of rounding, shape (m,).
        alive: whether all states are finite.
        length: steps of a block.
        root: the square root of the interval.
    """
    blocks = logs.shape[1]
    singular = jnp.isneginf(logs).any(axis=0)
    sums = _total(jnp.where(jnp.isneginf(logs), 0, logs))
    means = jnp.where(singular, -jnp.inf, sums / length)
    gone = singular.any(axis=0)
    finite = jnp.where(singular, 0, means)
    values = jnp.where(gone, -jnp.inf, _total(finite[:, None])[0] / blocks)
    scatter = jnp.sum(jnp.square(finite - jnp.mean(finite, axis=0)[None]), axis=0)
    kept = jnp.where(scatter == 0, 1, scatter)
    errors = jnp.where(scatter == 0, 0, jnp.sqrt(kept / (blocks * max(blocks - 1, 1))))
    errors = jnp.where(gone | (blocks == 1), jnp.inf, errors)
    rounding = float(jnp.finfo(logs.dtype).eps) * loss / root
    resolved = (rounding <= rounding_limit(logs.dtype)) & ~gone
    status = jnp.where(resolved, int(Status.RESOLVED), int(Status.UNRESOLVED)).astype(jnp.int32)
    status = jnp.where(alive, status, jnp.int32(Status.DIVERGED))
    falling = -values
    _, values, errors, rounding, status = jax.lax.sort(
        (falling, values, errors, rounding, status), num_keys=1
    )
    means = jax.lax.sort((jnp.broadcast_to(falling, means.shape), means), num_keys=1)[1]
    values, errors, means, rounding = (
        jnp.where(alive, part, jnp.nan) for part in (values, errors, means, rounding)
    )
    return values, errors, means, rounding, status


def _with_orbit(
    found: LyapunovSpectrum, trajectory: Trajectory, ends: tuple[int, int], leading: Array
) -> LyapunovSpectrum:
    """The spectrum with what its orbit stands for, and labels that follow from it."""
    first, last = ends
    series = trajectory.states, trajectory.inputs
    if is_plain(jax.tree_util.tree_leaves(series)):  # cut on the host, which compiles nothing
        series = jax.tree_util.tree_map(np.asarray, series)
    states, rate = series[0][first : last + 1], _first(found.exponents)
    inputs = jax.tree_util.tree_map(lambda leaf: leaf[first:last], series[1])
    orbit = checked(trajectory.cell, states, inputs, leading, rate, found.interval)
    status = orbit.status_of(found.status)
    errors = computed(_known_errors, orbit, found.exponents, found.standard_errors)
    return dataclasses.replace(found, status=status, standard_errors=errors, orbit=orbit)


@lean
def _known_errors(orbit: OrbitCheck, exponents: Array, errors: Array) -> Array:
    return jnp.where(orbit.is_typical | jnp.isnan(exponents), errors, jnp.inf)


def _first(values: Array) -> Array:
    return np.asarray(values)[0] if is_plain([values]) else values[0]


def _is_traced(*trees: Any) -> bool:
    return any(isinstance(leaf, Tracer) for leaf in jax.tree_util.tree_leaves(trees))


def _safe_interval(logs: np.ndarray, dtype: Any, longest: int) -> int:
    """The largest power of two whose products keep R_ii well above rounding in the pilot's windows."""
    limit, room = rounding_limit(dtype) / 4, math.log(float(jnp.finfo(dtype).max)) / 3
    chosen = 1
    while 2 * chosen <= min(longest, len(logs) // 2, _LONGEST_INTERVAL):
        trial = 2 * chosen
        sums = logs[len(logs) % trial :].reshape(-1, trial, logs.shape[1]).sum(axis=1)
        if not np.isfinite(sums).all() or np.abs(sums).max() > room:
            break
        loss = np.exp(np.minimum(sums.max(axis=1, keepdims=True) - sums, 700)).mean(axis=0).max()
        if not float(jnp.finfo(dtype).eps) * loss / math.sqrt(trial) <= limit:
            break
        chosen = trial
    return chosen


def _block_steps(steps: int, pilot: int, discard: int, blocks: int, interval: int) -> int:
    """Steps a block, a multiple of the interval; 0 where there are too few."""
    groups = (steps - pilot) // interval - -(-(discard - pilot) // interval)
    return groups // blocks * interval


def lyapunov_spectrum(
    trajectory: Trajectory,
    *,
    exponents: int | None = None,
    interval: int | None = None,
    start: int = 0,
    stop: int | None = None,
    discard: int | None = None,
    blocks: int = 20,
    key: Any = None,
) -> LyapunovSpectrum:
    """The Lyapunov exponents of a trajectory, the growth rates of an orthonormal frame carried along it.

        J_{t+s} ⋯ J_{t+1} Q_t = Q_{t+s} R,    λ_i = (1/K) Σ ln|R_ii|, over K steps.

    Args:
        trajectory: one trajectory from ``rollout``; its own transient is over at ``start``.
        exponents: m, how many, the largest first; all n by default. m columns take O(n² m) a step.
        interval: s, steps between two QR factorisations. By default a power of two up to 32 that is safe: a
            pilot of 64 steps finds how far the growth rates spread, and the run checks it: s is halved and the run
            repeated while ``rounding`` is above √eps. Under ``jit``, ``grad`` and ``vmap``, and for one exponent,
            it is 1.
        start, stop: the steps between; 0 and T by default.
        discard: steps from ``start`` in which the frame aligns, not averaged; a tenth by default. What does not
            fill the blocks is discarded too.
        blocks: B, equal blocks for standard errors and history.
        key: a random key for the first frame; always the same frame by default.

    Returns:
        ``LyapunovSpectrum``, in nats a step. Sums are compensated within blocks.

    Raises:
        TypeError, ValueError: not a trajectory; exponents outside 1 … n, an interval or blocks below 1; fewer
            steps than the blocks need.

    Differentiable through ``rollout``: the gradient of a loss of the exponents reaches the cell's parameters
    (gradient flossing, Engelken 2023). ``jax.vmap`` over it takes batches.

    Reference: G. Benettin et al., Meccanica 15, 9 (1980).
    """
    first, last = step_range(trajectory, start, stop)
    size, dtype, steps = math.prod(trajectory.states.shape[1:]), trajectory.states.dtype, last - first
    exponents = size if exponents is None else index("exponents", exponents, minimum=1, maximum=size)
    blocks = count("blocks", blocks, minimum=1)
    discard = steps // 10 if discard is None else count("discard", discard)
    asked = None if interval is None else count("interval", interval, minimum=1)
    if not _block_steps(steps, 0, discard, blocks, asked or 1):
        raise ValueError(
            f"blocks: {blocks} blocks of at least "
            f"{counted(asked or 1, 'step')} after {discard} discarded ones do not fit in "
            f"{counted(steps, 'step')}; expected fewer blocks, a smaller discard or a longer trajectory"
        )
    frame = first_frame(key, size, exponents, dtype)
    free = asked is None and exponents > 1 and not _is_traced(trajectory, frame)
    pilot = min(_PILOT, discard) if free else 0
    if pilot > 1:
        frame, growth = _grown(trajectory, frame, first, first + pilot, 1)
        asked = _safe_interval(np.asarray(growth.logs), dtype, (steps - discard) // blocks)
    interval = asked or 1
    while True:
        length = _block_steps(steps, pilot, discard, blocks, interval)
        if length:
            begin = last - (steps - pilot) // interval * interval
            plan = _Plan(begin, last, interval, blocks, length)
            found, leading = _spectrum(trajectory, frame, first, plan)
            if interval == 1 or not free or int(Status.UNRESOLVED) not in np.asarray(found.status):
                return _with_orbit(found, trajectory, (first, last), leading)
        interval //= 2
