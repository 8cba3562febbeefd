"""Where the orbit of one start ends, for many parameters at once: on which state of which stable cycle.

An end is decided by the equation: Newton's method on F^p(c) = c finds a stable cycle next to the last state x, and
the Jacobian J of F^p is the same at x and at c to a small share of 1 − ρ, so that the contraction holds between; as
a check that nothing lies in between, F^p(x) − c is J (x − c) to the same share of |x − c|.
"""

import dataclasses
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
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.reductions import largest

CYCLE = 0
_BATCH, _FEW = 256, 16  # positions of one call: two numbers, so that two programs serve
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


def _change(found: Polished, start: np.ndarray) -> np.ndarray:
    """By how much F^p between the starts and the polished x departs from its linear part at x, as a norm of J."""
    unit = float(np.finfo(start.dtype).eps)
    of_jacobian = np.abs(found.at_start - found.jacobian).sum(axis=-1).max(axis=-1)
    away = start - found.x
    distance = np.abs(away).max(axis=-1)
    linear = np.matmul(found.jacobian, away[..., None])[..., 0]
    size = 1 + np.abs(found.x).max(axis=-1)
    bent = np.abs(found.image - found.x - linear).max(axis=-1) - found.residual - 64 * unit * size
    of_map = np.where(bent > 0, bent / np.maximum(distance, unit * size), 0)
    is_next = distance <= _NEXT_TO * size
    return np.where(is_next, np.maximum(of_jacobian, of_map), np.asarray(np.inf, start.dtype))


@lean(static_argnums=4)
def _last_states(
    whole: ReturnMap, x0: Array, positions: Array, steps: Array, block: int, blocks: Array
) -> Array:
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


@lean(static_argnums=3)
def _returns_of(whole: ReturnMap, positions: Array, states: Array, longest: int) -> Array:
    """max|F^p(x) − x| relative to 1 + max|x|, p = 1 … longest."""

    def at(position: Array, x: Array) -> Array:
        step = whole.iterated(1, *position)

        def advance(state: Array, _: None) -> tuple[Array, Array]:
            later = step(state)
            return later, later

        ahead = jax.lax.scan(advance, x, None, length=longest)[1]
        return largest(ahead - x[None], axis=1) / (1 + largest(x))

    return jax.vmap(at)(positions, states)


@lean
def _linearised(whole: ReturnMap, states: Array, positions: Array, periods: Array) -> tuple[Array, Array]:
    """F^p(x) and ∂F^p/∂x, each state at a position and of a period of its own."""

    def at(x: Array, position: Array, period: Array) -> tuple[Array, Array]:
        return whole.iterated(period, *position).with_jacobian(x)

    return jax.vmap(at)(states, positions, periods)


@lean(static_argnums=0)
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
        last = self._last(positions)
        found, periods = self._solved(positions, last)
        # Of an orbit that diverged the residual is not finite either.
        residual = np.where(np.isfinite(last).all(axis=-1), found.residual, np.nan)
        states, jacobians = found.x, found.jacobian
        with np.errstate(all="ignore"):
            change = _change(found, last)
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

    def _last(self, positions: np.ndarray) -> np.ndarray:
        block = self._block
        steps, blocks = np.int32(self.steps), np.int32(-(-self.max_steps // block))
        return self._batched(
            lambda rows: [_last_states(self.whole, self.x0, rows, steps, block, blocks)], positions
        )[0]

    def _returns(self, positions: np.ndarray, states: np.ndarray) -> np.ndarray:
        return self._batched(lambda *rows: [_returns_of(self.whole, *rows, self.longest)], positions, states)[
            0
        ]

    def _polished(
        self, positions: np.ndarray, states: np.ndarray, periods: np.ndarray, steps: int
    ) -> Polished:
        def linearised(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            image, jacobian = self._batched(
                lambda *batch: _linearised(self.whole, *batch), rows, positions, periods.astype(np.int32)
            )
            return image, jacobian

        return polished(linearised, states, steps=steps)

    def _solved(self, positions: np.ndarray, last: np.ndarray) -> tuple[Polished, Int[np.ndarray, " m"]]:
        """What Newton's method finds next to the last states, and its periods."""
        with np.errstate(all="ignore"):
            apart = self._returns(positions, last)
            # The first period as good as the best one: its multiples return no better, but for rounding.
            floor = 16 * float(np.finfo(last.dtype).eps)
            period = (apart <= 2 * apart.min(axis=1, keepdims=True) + floor).argmax(axis=1) + 1
            found = self._polished(positions, last, period, _POLISHING)
            # An orbit that nears a state in turns, as before a flip, seems to have twice its period.
            every = np.arange(1, self.longest + 1)
            reach = np.maximum(np.abs(last - found.x).max(axis=-1) / 2, math.sqrt(floor))
            divides = (period[:, None] % every == 0) & (self._returns(positions, found.x) <= reach[:, None])
        return found, np.where(divides.any(axis=1), divides.argmax(axis=1) + 1, period)

    def _loss_at(self, states: np.ndarray) -> tuple[Array]:
        return (_losses(self.loss, states.reshape(len(states), *self.whole.shape)),)

    def followed(self, ends: Ends, positions: np.ndarray) -> tuple[np.ndarray, Bool[np.ndarray, " m"]]:
        """The cycles of ``ends`` taken along to other positions, and where they come there stable."""
        states, periods = ends.states, np.maximum(ends.periods, 1)
        jacobians = np.zeros((*states.shape, states.shape[-1]), states.dtype)
        worst = np.zeros(len(states), states.dtype)
        for share in (1 + np.arange(_PIECES, dtype=states.dtype)) / _PIECES:
            there = ends.positions + share * (positions - ends.positions)
            found = self._polished(there, states, periods, _FOLLOWING)
            states, jacobians = found.x, found.jacobian
            worst = np.maximum(worst, found.residual / (1 + np.abs(states).max(axis=-1, initial=0)))
        with np.errstate(invalid="ignore"):
            close: np.ndarray = np.asarray(worst <= 1e3 * np.finfo(states.dtype).eps)
            stable = _radius(np.where(close[:, None, None], jacobians, np.nan)) < 1
        return states, close & stable

    def broken(self, first: Ends, second: Ends) -> Bool[np.ndarray, " m"]:
        """Where the end at one position is not that of the other taken along: both ways have to lead there."""
        both = Ends(*(np.concatenate(pair) for pair in zip(first, second, strict=True)))
        others = Ends(*(np.concatenate(pair) for pair in zip(second, first, strict=True)))
        there, is_stable = self.followed(both, others.positions)
        whole = (is_stable & self.same(there, others.states)).reshape(2, -1).all(axis=0)
        both_diverge = (first.labels == DIVERGED) & (second.labels == DIVERGED)
        return np.logical_not(whole | both_diverge)

    def same(self, first: np.ndarray, second: np.ndarray) -> Bool[np.ndarray, " m"]:
        """Whether two states agree to half of the digits."""
        close = 10 * math.sqrt(np.finfo(first.dtype).eps)
        with np.errstate(invalid="ignore"):
            return np.abs(first - second).max(axis=-1) <= close * (1 + np.abs(second).max(axis=-1))

    def _batched(self, function: Any, *rows: np.ndarray) -> list[np.ndarray]:
        size = _FEW if len(rows[0]) <= _FEW else _BATCH
        return mapped(lambda *batch: list(function(*batch)), rows, size)
