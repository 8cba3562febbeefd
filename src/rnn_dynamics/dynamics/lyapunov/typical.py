"""Whether a float orbit has left the set of typical orbits: exact repetition, invariant subspaces, lost bits.

All on the host, from states that are there: rows are compared bit for bit (−0 = 0). What repeats is judged by the
multipliers of its cycle, what is tied by the growth of a tangent vector across the tie.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.dynamics.lyapunov.crossing import cycle_multiplier, is_affine, transverse_growth
from rnn_dynamics.dynamics.lyapunov.frames import first_frame, follow
from rnn_dynamics.dynamics.lyapunov.orbits import OrbitCheck, OrbitKind
from rnn_dynamics.gradients.steps import on_host, segment
from rnn_dynamics.numerics.batching import power_of_two_below
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.reductions import all_finite

#: Nats, up or down, that no transient is likely to make along what repeats.
CLEAR = 3.0
_CANDIDATES = 64  # periods that are tried under an input that varies
_ENOUGH = 16  # steps that must repeat under such an input
_LONGEST_TAIL = 256
_LONGEST_LAG = 32  # of a coordinate that repeats by itself
_STEADY = 0.4  # of all growth, what is in the later half at least where it is exponential
_MOST_UNITS = 32  # of states that are searched for any linear tie
_MOST_OF_MATRICES = 2**20  # entries of a cycle's Jacobians


def _rows(inputs: Any) -> list[np.ndarray] | None:
    """The leaves of the inputs as rows by step; ``None`` where they are no numbers."""
    leaves = jax.tree_util.tree_leaves(inputs)
    if any(jnp.issubdtype(getattr(leaf, "dtype", np.float64), jax.dtypes.extended) for leaf in leaves):
        return None
    return [np.asarray(leaf).reshape(len(leaf), -1) for leaf in leaves]


def input_period(inputs: Any) -> int:
    """The smallest q with u_{t+q} = u_t for all t, seen twice; 1 without an input, 0 where there is none."""
    rows = _rows(inputs)
    if rows is None:
        return 0
    if all((row == row[:1]).all() for row in rows):
        return 1
    steps = len(rows[0])
    agree = np.ones(steps, bool)
    for row in rows:
        agree &= (row == row[:1]).all(axis=1)
    for q in np.flatnonzero(agree[: steps // 2 + 1])[1:]:
        if all((row[q:] == row[:-q]).all() for row in rows):
            return int(q)
    return 0


def _trailing(same: Bool[np.ndarray, " k"]) -> int:
    """How many of the last entries are true without a gap."""
    return len(same) if same.all() else int(np.argmin(same[::-1]))


def repetition(states: Float[np.ndarray, "steps+1 n"], inputs: Any = None) -> tuple[int, int]:
    """The minimal period of an orbit that repeats to the last bit to its end, and where that begins.

    (0, −1) where it does not. Without an input, or with a constant one, one return of the last state is enough; an
    input that varies must repeat with the state over a whole period, and over 16 steps.
    """
    steps = len(states) - 1
    returns = np.flatnonzero(states[:-1, 0] == states[-1, 0])
    returns = returns[(states[returns] == states[-1]).all(axis=1)][::-1]
    rows = _rows(inputs) if len(returns) else None
    if rows is None:
        return 0, -1
    held = all((row == row[:1]).all() for row in rows)
    for first in returns[: 1 if held else _CANDIDATES]:
        period = steps - int(first)
        same = (states[period:-1] == states[: -1 - period]).all(axis=1)
        for row in rows if not held else ():
            same &= (row[period:] == row[:-period]).all(axis=1)
        length = _trailing(same)
        if held or length >= max(period, _ENOUGH):
            return period, steps - period - length
    return 0, -1


def resolved_steps(
    states: Float[np.ndarray, "steps+1 n"], logs: Float[np.ndarray, " groups"], interval: int
) -> int:
    """Steps until the running first-order error of the orbit is larger than the orbit; see ``OrbitCheck``.

    Args:
        states: x_0 … x_T.
        logs: ln of the growth of the leading tangent vector, in groups of ``interval`` steps that end with x_T.
        interval: steps of a group; the steps before the first group are taken to grow as the mean of the rest.
    """
    steps, n = len(states) - 1, states.shape[1]
    unit, sizes = float(np.finfo(states.dtype).eps) / 2, np.abs(states).max(axis=1).astype(float)
    scales = np.maximum.accumulate(sizes)
    if not scales[-1]:
        return steps
    with np.errstate(over="ignore"):
        spread = np.maximum.accumulate(states, axis=0) - np.minimum.accumulate(states, axis=0)
    extents = spread.max(axis=1).astype(float)
    # What the error is held against: the orbit so far, or where it rests its states.
    size = np.where(extents > math.sqrt(unit) * scales, extents, scales)
    size = np.where(size > 0, size, np.inf)  # at 0 there is nothing to hold it against yet
    each = np.repeat(np.maximum(np.asarray(logs, float), -745.0) / interval, interval)
    each = np.concatenate([np.full(max(steps - len(each), 0), each.mean() if len(each) else 0.0), each])
    sums = np.concatenate([[0.0], np.cumsum(each)])
    with np.errstate(divide="ignore", invalid="ignore"):  # of derivatives that are no numbers
        rounding = np.log(np.maximum((n + 6) * unit * sizes, np.finfo(float).tiny))
        errors = sums + np.logaddexp.accumulate(rounding - sums)
        beyond = np.flatnonzero(errors > np.log(size))
    return min(int(beyond[0]), steps) if len(beyond) else steps


def _repeating(tail: np.ndarray, states: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Which coordinates repeat to the last bit by themselves, over the tail."""
    found = np.zeros(tail.shape[1], bool)
    for lag in range(1, min(_LONGEST_LAG, len(tail) // 2) + 1):
        found |= (tail[lag:] == tail[:-lag]).all(axis=0)
    for i in np.flatnonzero(~found):
        column = states[:, i]
        for first in np.flatnonzero(column[:-1] == column[-1])[::-1][:4]:
            lag = len(column) - 1 - int(first)
            again = column[lag:] == column[:-lag]
            found[i] |= lag > _LONGEST_LAG and len(again) >= lag and bool(again[-lag:].all())
    return found


def _pairs(tail: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "ties n"]:
    """x_i − x_j and x_i + x_j that are 0 at every state, as rows."""
    n, seen, ties = tail.shape[1], {}, []
    for i in range(n):
        column = tail[:, i] + 0.0  # −0 becomes 0
        lead = column[np.argmax(column != 0)]
        sign = -1.0 if lead < 0 else 1.0
        key = (column * sign + 0.0).tobytes()
        if key in seen:
            j, other = seen[key]
            row = np.zeros(n)
            row[i], row[j] = sign, -other
            ties.append(row)
        else:
            seen[key] = i, sign
    return np.array(ties).reshape(len(ties), n)


def tied(states: Float[np.ndarray, "steps+1 n"], length: int) -> Float[np.ndarray, "n n"] | None:
    """The projector on all directions in which the last ``length`` states show an exact coincidence.

    Coordinates that repeat by themselves, pairs that are equal or opposite, and, with at most 32 units, any linear
    combination that does not change. ``None`` where there is none.
    """
    tail = states[-length - 1 :].astype(float)
    tail = tail / max(float(np.abs(tail).max()), np.finfo(float).tiny)  # sums of large states overflow
    n = tail.shape[1]
    alone = _repeating(tail, states)
    rest = tail[:, ~alone]
    if not rest.shape[1]:
        return np.eye(n)
    if n <= _MOST_UNITS and len(tail) >= 2 * n:
        _, sizes, directions = np.linalg.svd(rest - rest.mean(axis=0), full_matrices=False)
        limit = 8 * len(tail) * float(np.finfo(states.dtype).eps)
        ties = directions[sizes <= limit * max(sizes[0], float(np.abs(rest).max()))]
    else:
        ties = _pairs(rest)
    if not alone.any() and not len(ties):
        return None
    found = np.zeros((n, n))
    found[alone, alone] = 1
    if len(ties):
        basis = np.linalg.qr(ties.T)[0]
        found[np.ix_(~alone, ~alone)] = np.einsum("ik,jk->ij", basis, basis)
    return found


def examined(cell: Any, states: Any, inputs: Any, logs: Any, interval: int = 1) -> OrbitCheck:
    """What an orbit stands for.

    Args:
        cell: the map.
        states: x_0 … x_T, shape (T+1, …).
        inputs: of each step, leading axis T, or ``None``.
        logs: ln of the growth of the leading tangent vector, in groups of ``interval`` steps that end with x_T.
        interval: steps of a group.
    """
    shaped = np.asarray(states)
    flat = shaped.reshape(len(shaped), -1)
    logs = np.asarray(logs, float)
    steps = len(flat) - 1
    if not steps or not np.isfinite(flat).all():
        return _check(OrbitKind.ORDINARY, 0, -1, math.nan, False, 0, flat)
    resolved = resolved_steps(flat, logs, interval)
    period, begins = repetition(flat, inputs)
    if period:
        groups = min(len(logs), max(1, (steps - begins) // interval))
        kind, rate = _of_cycle(cell, shaped, inputs, period, (logs, groups), interval)
    else:
        kind, rate = _of_ties(cell, shaped, inputs, logs)
    smallest = int(np.abs(flat[:-1]).max(axis=1).argmin())  # far out a step may leave the floats
    at = shaped[smallest], _step_input(inputs, smallest)
    affine = kind >= OrbitKind.REPELLING_CYCLE and is_affine(cell, *at)
    return _check(kind, period, begins, rate, affine, resolved, flat)


def _of_cycle(
    cell: Any, states: np.ndarray, inputs: Any, period: int, measured: tuple[np.ndarray, int], interval: int
) -> tuple[OrbitKind, float]:
    """Stable or not, and ln of its largest |multiplier| where that was needed.

    ``measured`` is the growth of the leading vector in each group of steps, and in how many of the last ones the
    orbit repeats.
    """
    whole, groups = measured
    logs = whole[-groups:]
    n, growth = math.prod(states.shape[1:]), float(np.maximum(logs, -745.0).sum())
    # Just arrived on a cycle: the leading vector has shrunk all the way, at no more than e² a step counted.
    arriving = float(np.maximum(whole[len(whole) // 2 :], -2.0).sum())
    if growth < -CLEAR or (growth < 0 and n > 1 and arriving < -3 * CLEAR):
        return OrbitKind.STABLE_CYCLE, math.nan
    by_growth = growth / (len(logs) * interval) * period
    if n == 1 and interval == 1:  # every step's growth is its derivative
        turn = float(np.maximum(logs[-period:], -745.0).sum()) if period <= len(logs) else by_growth
        doubt = 64 * period * float(np.finfo(states.dtype).eps)
        return (OrbitKind.REPELLING_CYCLE if turn > doubt else OrbitKind.STABLE_CYCLE), turn
    if period * n * n <= _MOST_OF_MATRICES:
        ends = len(states) - 1 - period, len(states) - 1
        orbit, given = _between(states, inputs, *ends)
        found, doubt = cycle_multiplier(cell, orbit, given)
        if doubt < 0.5:
            return (OrbitKind.REPELLING_CYCLE if found > doubt else OrbitKind.STABLE_CYCLE), found
    # Exponential growth is as much in the later half; tangents at a multiplier of 1 may grow like a power.
    later = float(np.maximum(logs[len(logs) // 2 :], -745.0).sum())
    grows = growth > CLEAR and later > _STEADY * growth
    return (OrbitKind.REPELLING_CYCLE if grows else OrbitKind.STABLE_CYCLE), by_growth


def _of_ties(cell: Any, states: np.ndarray, inputs: Any, logs: np.ndarray) -> tuple[OrbitKind, float]:
    """Whether the end of an orbit that does not repeat keeps to an invariant subspace that its neighbours leave."""
    steps = len(states) - 1
    if steps < 4 or not np.maximum(logs[len(logs) // 2 :], -745.0).sum() > 1:
        return OrbitKind.ORDINARY, math.nan
    length = min(_LONGEST_TAIL, max(16, power_of_two_below(steps // 4)), steps)
    across = tied(states.reshape(steps + 1, -1), length)
    if across is None:
        return OrbitKind.ORDINARY, math.nan
    growth = transverse_growth(cell, *_between(states, inputs, steps - length, steps), across)
    if growth is None or not growth > CLEAR:
        return OrbitKind.ORDINARY, math.nan
    return OrbitKind.REPELLING_SUBSPACE, growth / length


def _step_input(inputs: Any, t: int) -> Any:
    return jax.tree_util.tree_map(lambda leaf: on_host(leaf)[t], inputs)


def _between(states: np.ndarray, inputs: Any, first: int, last: int) -> tuple[np.ndarray, Any]:
    return states[first:last], jax.tree_util.tree_map(lambda leaf: on_host(leaf)[first:last], inputs)


def _check(
    kind: int, period: int, begins: int, rate: float, affine: bool, resolved: int, states: np.ndarray
) -> OrbitCheck:
    values: dict[str, Any] = {
        "kind": np.int32(kind),
        "period": np.int32(period),
        "begins": np.int32(begins),
        "log_multiplier": np.asarray(rate, states.dtype)[()],
        "affine": np.bool_(affine),
        "resolved_steps": np.int32(resolved),
        "steps": np.int32(len(states) - 1),
    }
    return OrbitCheck(**values)


def _traced(states: Array, inputs: Any, rate: Array) -> OrbitCheck:
    """What can be told under ``jit`` and ``vmap``: a return of the last state where no input varies."""
    flat = states.reshape(states.shape[0], -1)
    steps = flat.shape[0] - 1
    same = (flat[:-1] == flat[-1:]).all(axis=1)
    held = jnp.ones((), bool)
    for leaf in jax.tree_util.tree_leaves(inputs):
        held &= (leaf == leaf[:1]).all() if leaf.shape[0] else True
    repeats = same.any() & held & all_finite(flat)
    period = jnp.where(repeats, 1 + jnp.argmax(same[::-1]), 0).astype(jnp.int32)
    margin = CLEAR if flat.shape[1] > 1 else 64 * steps * float(jnp.finfo(flat.dtype).eps)
    cycle = jnp.where(rate * steps > margin, int(OrbitKind.REPELLING_CYCLE), int(OrbitKind.STABLE_CYCLE))
    kind = jnp.where(repeats, cycle, int(OrbitKind.ORDINARY)).astype(jnp.int32)
    log = jnp.where(repeats, rate * period.astype(rate.dtype), jnp.nan)
    ends = jnp.where(repeats, steps - period, -1).astype(jnp.int32)
    return OrbitCheck(kind, period, ends, log, jnp.zeros((), bool), jnp.int32(-1), jnp.int32(steps))


def checked(cell: Any, states: Array, inputs: Any, logs: Array, rate: Array, interval: int = 1) -> OrbitCheck:
    """``examined``, or what of it can be traced where anything is.

    Args:
        cell, states, inputs, logs, interval: as ``examined``.
        rate: the largest exponent.
    """
    series = jax.tree_util.tree_leaves((split(cell)[1], states, inputs, logs, rate))
    if any(isinstance(leaf, Tracer) for leaf in series):
        return _traced(*jax.lax.stop_gradient((states, inputs, rate)))
    return examined(cell, states, inputs, logs, interval)


@lean(static_argnums=0)
def _leading(static: Any, arrays: Any, states: Array, inputs: Any, frame: Array) -> Float[Array, " steps"]:
    return follow(join(static, arrays), frame, states, inputs, 1)[1].logs[:, 0]


def orbit_check(trajectory: Trajectory, *, start: int = 0, stop: int | None = None) -> OrbitCheck:
    """Whether averages along a float orbit are those of typical orbits, and for how long it is x_0's own.

    Args:
        trajectory: one trajectory from ``rollout``, of at least one step.
        start, stop: the steps between; 0 and T by default.

    Returns:
        ``OrbitCheck``; ``lyapunov_spectrum``, ``covariant_vectors`` and ``diagnose`` make the same one.

    Raises:
        TypeError, ValueError: not a trajectory, no step between start and stop.

    Reference: for orbits of floats and those that shadow them, C. Grebogi, S. M. Hammel, J. A. Yorke, T. Sauer,
    Phys. Rev. Lett. 65, 1527 (1990).
    """
    static, arrays, states, inputs = segment(trajectory, start, stop)
    if not len(states):
        raise ValueError(f"start, stop: expected at least one step, got none from {start} to {stop}")
    size = math.prod(states.shape[1:])
    logs = _leading(static, arrays, states, inputs, first_frame(None, size, 1, states.dtype))
    whole = trajectory.states[start : start + len(states) + 1]
    return checked(trajectory.cell, whole, inputs, logs, jnp.mean(logs))
