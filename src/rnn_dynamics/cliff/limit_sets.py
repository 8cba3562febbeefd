"""Where the orbit of one start ends, for many parameters at once: on which state of which stable cycle.

An end is decided by the equation: Newton's method on F^p(c) = c finds a stable cycle next to the last state x, and
the Jacobian J of F^p is the same at x and at c to a small share of 1 − ρ, so that the contraction holds between; as
a check that nothing lies in between, F^p(x) − c is J (x − c) to the same share of |x − c|.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from rnn_dynamics.dynamics.basins.labelling import DIVERGED, UNDECIDED
from rnn_dynamics.dynamics.equilibria.newton import Polished, polished
from rnn_dynamics.dynamics.return_map import ReturnMap
from rnn_dynamics.numerics.batching import mapped

CYCLE = 0
_BATCH = 256  # positions of one call, a fixed number so that one program serves
_POLISHING, _FOLLOWING, _PIECES = 8, 4, 8
_SHARE = 0.05
_NEXT_TO = 1e-3  # of 1 + max|c|: how far from c the last state may be


class Ends(NamedTuple):
    """The ends of the orbit of x_0, one row for each position on the path.

    Attributes:
        positions: shape (m, k).
        states: c, the state of the cycle that x_{T + jp} goes to as j → ∞; NaN where there is none.
        periods: p, 0 where there is none.
        labels: ``CYCLE``, ``UNDECIDED`` or ``DIVERGED``.
        losses: the loss at c; NaN where there is none.
    """

    positions: Float[np.ndarray, "m k"]
    states: Float[np.ndarray, "m n"]
    periods: Int[np.ndarray, " m"]
    labels: Int[np.ndarray, " m"]
    losses: Float[np.ndarray, " m"]

    def take(self, chosen: Any) -> "Ends":
        """Return the ends at some of the positions."""
        return Ends(*(field[chosen] for field in self))

    @property
    def known(self) -> Bool[np.ndarray, " m"]:
        """Marks the positions whose orbit is on a cycle or has diverged."""
        return self.labels != UNDECIDED


def joined(*parts: Ends) -> Ends:
    """Return the parts one after the other."""
    return Ends(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


def _change(found: Polished, start: Array) -> Array:
    """By how much F^p between the start and the polished x departs from its linear part at x, as a norm of J."""
    unit = float(jnp.finfo(start.dtype).eps)
    of_jacobian = jnp.max(jnp.sum(jnp.abs(found.at_start - found.jacobian), axis=1))
    away = start - found.x
    distance = jnp.max(jnp.abs(away))
    linear = jnp.matmul(found.jacobian, away, precision=jax.lax.Precision.HIGHEST)
    size = 1 + jnp.max(jnp.abs(found.x))
    bent = jnp.max(jnp.abs(found.image - found.x - linear)) - found.residual - 64 * unit * size
    of_map = jnp.where(bent > 0, bent / jnp.maximum(distance, unit * size), 0)
    is_next = distance <= _NEXT_TO * size
    return jnp.where(is_next, jnp.maximum(of_jacobian, of_map), jnp.inf)


def _run(whole: ReturnMap, x0: Array, positions: Array, steps: Array, block: int, blocks: Array) -> Array:
    """The last states after ``steps`` and at most so many blocks; no more are run once all of them return."""

    def ahead(x: Array, position: Array, count: Any) -> Array:
        return whole.iterated(count, *position)(x)

    def goes_on(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[0] < blocks) & carry[2]

    def run(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        done, states, _ = carry
        later = jax.vmap(lambda x, position: ahead(x, position, block))(states, positions)
        moved = jnp.abs(later - states) > 4 * float(jnp.finfo(states.dtype).eps) * (1 + jnp.abs(states))
        return done + 1, later, moved.any()

    states = jax.vmap(lambda position: ahead(x0, position, steps))(positions)
    return jax.lax.while_loop(goes_on, run, (jnp.zeros_like(blocks), states, jnp.ones((), bool)))[1]


@functools.partial(jax.jit, static_argnums=(5, 6))
def _ends(
    whole: ReturnMap, x0: Array, positions: Array, steps: Array, blocks: Array, block: int, longest: int
) -> tuple[Array, Array, Array, Array, Array]:
    """c, p, the Jacobian of F^p there, its residual and how far F^p at the last state is from that linear map."""

    def at(position: Array, last: Array) -> tuple[Array, Array, Array, Array, Array]:
        step = whole.iterated(1, *position)

        def returns(x: Array) -> Array:
            """max|F^p(x) − x| relative to 1 + max|x|, p = 1 … longest."""

            def advance(state: Array, _: None) -> tuple[Array, Array]:
                later = step(state)
                return later, later

            ahead = jax.lax.scan(advance, x, None, length=longest)[1]
            return jnp.max(jnp.abs(ahead - x[None]), axis=1) / (1 + jnp.max(jnp.abs(x)))

        apart = returns(last)
        # The first period as good as the best one: its multiples return no better, but for rounding.
        floor = 16 * float(jnp.finfo(x0.dtype).eps)
        period = jnp.argmax(apart <= 2 * jnp.min(apart) + floor).astype(jnp.int32) + 1
        found = polished(whole.iterated(period, *position), last, _POLISHING)
        # An orbit that nears a state in turns, as before a flip, seems to have twice its period.
        every = jnp.arange(1, longest + 1, dtype=jnp.int32)
        reach = jnp.maximum(jnp.max(jnp.abs(last - found.x)) / 2, math.sqrt(floor))
        divides = (period % every == 0) & (returns(found.x) <= reach)
        period = jnp.where(divides.any(), jnp.argmax(divides).astype(jnp.int32) + 1, period)
        # Of an orbit that diverged the residual is not finite either.
        hole = jnp.full_like(found.residual, jnp.nan)
        residual = jnp.where(jnp.isfinite(last).all(), found.residual, hole)
        return found.x, period, found.jacobian, residual, _change(found, last)

    return jax.vmap(at)(positions, _run(whole, x0, positions, steps, block, blocks))


@jax.jit
def _followed(
    whole: ReturnMap, start: Array, states: Array, periods: Array, end: Array
) -> tuple[Array, Array, Array]:
    """Cycles taken along from ``start`` to ``end`` in eighths: c, the Jacobian, the largest residual on the way."""

    def one(begin: Array, x: Array, period: Array, finish: Array) -> tuple[Array, Array, Array]:
        def piece(j: int, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            x, _, worst = carry
            share = (jnp.asarray(j, x.dtype) + 1) / _PIECES
            found = polished(whole.iterated(period, *(begin + share * (finish - begin))), x, _FOLLOWING)
            size = found.residual / (1 + jnp.max(jnp.abs(found.x)))
            return found.x, found.jacobian, jnp.maximum(worst, size)

        nothing = jnp.eye(x.size, dtype=x.dtype), jnp.zeros((), x.dtype)
        return jax.lax.fori_loop(0, _PIECES, piece, (x, *nothing))

    return jax.vmap(one)(start, states, periods, end)


@functools.partial(jax.jit, static_argnums=0)
def _losses(loss: Any, states: Array) -> Array:
    return jax.vmap(loss)(states)


def _radius(jacobians: np.ndarray) -> np.ndarray:
    """The largest |multiplier|, on the host: the matrices are few and small."""
    if jacobians.shape[-1] == 1:
        return np.abs(jacobians[:, 0, 0])
    finite: np.ndarray = np.asarray(np.isfinite(jacobians).all(axis=(1, 2)))
    values = np.linalg.eigvals(np.where(finite[:, None, None], jacobians, np.zeros_like(jacobians)))
    return np.where(finite, np.abs(values).max(axis=-1), np.nan).astype(jacobians.dtype)


@dataclasses.dataclass(frozen=True)
class FollowedStart:
    """A start x_0 whose orbit is run at many positions of a path.

    Attributes:
        whole: the map of the path's family, one step.
        x0: shape (n,).
        loss: of one state in the cell's own shape.
        steps: T, the phase at which a cycle is looked at.
        longest: the longest period.
        max_steps: steps beyond T, at least, before an end is looked at.
    """

    whole: ReturnMap
    x0: np.ndarray
    loss: Any
    steps: int
    longest: int
    max_steps: int

    @property
    def _block(self) -> int:
        """Return a length that is a multiple of every period."""
        return math.lcm(*range(1, self.longest + 1))

    def _tolerance(self, states: np.ndarray) -> np.ndarray:
        return 1e3 * np.finfo(states.dtype).eps * (1 + np.abs(states).max(axis=-1))

    def ends(self, positions: np.ndarray) -> Ends:
        """Return where the orbit ends at each position."""
        block = self._block
        lengths = np.int32(self.steps), np.int32(-(-self.max_steps // block))
        found = self._batched(
            lambda rows: _ends(self.whole, self.x0, rows, *lengths, block, self.longest), positions
        )
        states, periods, jacobians, residual, change = found
        with np.errstate(invalid="ignore"):
            solved: np.ndarray = np.asarray(residual <= self._tolerance(states))
            radius = _radius(np.where(solved.reshape(-1, 1, 1), jacobians, np.nan))
            inside = radius < 1 - 16 * np.finfo(states.dtype).eps
            decided = np.asarray(solved & inside & (change <= _SHARE * (1 - radius)))
        labels = np.where(decided, CYCLE, np.where(np.isnan(residual), DIVERGED, UNDECIDED))
        values = self._batched(self._loss_at, np.where(decided[:, None], states, np.nan))[0]
        decided &= np.isfinite(values)
        labels = np.where((labels == CYCLE) & ~decided, UNDECIDED, labels)
        states, values = np.where(decided[:, None], states, np.nan), np.where(decided, values, np.nan)
        return Ends(positions, states, np.where(decided, periods, 0), labels, values)

    def _loss_at(self, states: np.ndarray) -> tuple[Array]:
        return (_losses(self.loss, states.reshape(len(states), *self.whole.shape)),)

    def followed(self, ends: Ends, positions: np.ndarray) -> tuple[np.ndarray, Bool[np.ndarray, " m"]]:
        """The cycles of ``ends`` taken along to other positions, and where they come there stable."""
        states, jacobians, worst = self._batched(
            lambda *rows: _followed(self.whole, *rows),
            ends.positions,
            ends.states,
            np.maximum(ends.periods, 1).astype(np.int32),
            positions,
        )
        with np.errstate(invalid="ignore"):
            found: np.ndarray = np.asarray(worst <= 1e3 * np.finfo(states.dtype).eps)
            stable = _radius(np.where(found[:, None, None], jacobians, np.nan)) < 1
        return states, found & stable

    def broken(self, first: Ends, second: Ends) -> Bool[np.ndarray, " m"]:
        """Where the end at one position is not that of the other taken along: both ways have to lead there."""
        there, forward = self.followed(first, second.positions)
        back, backward = self.followed(second, first.positions)
        whole = forward & backward & self.same(there, second.states) & self.same(back, first.states)
        both_diverge = (first.labels == DIVERGED) & (second.labels == DIVERGED)
        return np.logical_not(whole | both_diverge)

    def same(self, first: np.ndarray, second: np.ndarray) -> Bool[np.ndarray, " m"]:
        """Whether two states agree to half of the digits."""
        close = 10 * math.sqrt(np.finfo(first.dtype).eps)
        with np.errstate(invalid="ignore"):
            return np.abs(first - second).max(axis=-1) <= close * (1 + np.abs(second).max(axis=-1))

    def _batched(self, function: Any, *rows: np.ndarray) -> list[np.ndarray]:
        return mapped(lambda *batch: list(function(*batch)), rows, _BATCH)
