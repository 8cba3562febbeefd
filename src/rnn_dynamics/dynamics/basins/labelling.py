"""Orbits of many starts run until each is decided: tiles that fit the cache, the decided ones taken out.

A tile of starts runs for a few steps; what is still open waits until a full tile of open ones has come together
and runs four times as far as before. So the lanes stay full, and memory holds a tile for each level.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.dynamics.basins.kinds import Trapping
from rnn_dynamics.dynamics.basins.trapping import Ball
from rnn_dynamics.dynamics.phases import Lengths, lengths_of, wrapped, wrapped_number
from rnn_dynamics.numerics.batching import power_of_two_above
from rnn_dynamics.numerics.compiling import lean

UNDECIDED, DIVERGED = -1, -2
_PADDING = -3
_SMALL = 256
_STRIDE = 4  # steps between two looks at the balls; an orbit in a trapping ball is not lost by waiting
_LOOKS = 4  # from one to the next a sampled ball's states must come nearer before it takes them
_UNROLLED = 64  # multiply-adds of one look up to which the balls are unrolled
_FIRST, _GROWTH = 32, 4

Finish = Callable[[np.ndarray, int], np.ndarray]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Balls:
    """Trapping balls of all attractors: ‖scale_k (x − centre_k)‖² ≤ square_k gives x to owner_k.

    Attributes:
        least: where some ball is not proved but sampled, the square below which it takes x at sight (a proved one:
            ``square_k``). Beyond, it takes x only where that comes nearer from look to look, by four of them, as
            much as the samples say.
        shares: what a square is multiplied by from look to look, at least.
    """

    centres: Float[Any, "k n"]
    scales: Float[Any, "k n n"]
    squares: Float[Any, " k"]
    owners: Int[Any, " k"]
    least: Float[Any, " k"] | None = None
    shares: Float[Any, " k"] | None = None


def packed(balls: list[list[Ball]], n: int, dtype: Any) -> Balls:
    """The balls of each attractor in arrays, padded by balls that hold nothing to a multiple of a power of two."""
    flat = [(ball, owner) for owner, group in enumerate(balls) for ball in group]
    size = power_of_two_above(len(flat), 4)
    centres, scales = np.zeros((size, n), dtype), np.zeros((size, n, n), dtype)
    squares, owners = np.full(size, -1.0, dtype), np.zeros(size, np.int32)
    for k, (ball, owner) in enumerate(flat):
        # Inside by more than the rounding of the test itself.
        inner = ball.radius**2 * (1 - 64 * len(ball.centre) * float(np.finfo(dtype).eps))
        centres[k], scales[k], squares[k], owners[k] = ball.centre, ball.scale, inner, owner
    if all(ball.trapping == Trapping.PROVED for ball, _ in flat):
        return Balls(centres, scales, squares, owners)
    least, shares = squares.copy(), np.ones_like(squares)
    for k, (ball, _) in enumerate(flat):
        if ball.trapping != Trapping.PROVED:
            least[k] = min(squares[k], ball.least**2)
            shares[k] = ball.shrinks ** (2 * _STRIDE)
    return Balls(centres, scales, squares, owners, least, shares)


class _Seen(NamedTuple):
    """What the last look saw of each state.

    Attributes:
        owners: of the ball that it lies in, UNDECIDED in none.
        shares: its share of the square there.
        nearer: looks, up to this one, from each to the next of which it came nearer there.
    """

    owners: Array
    shares: Array
    nearer: Array


def _nowhere(batch: tuple[int, ...], dtype: Any) -> _Seen:
    none = jnp.full(batch, UNDECIDED, jnp.int32)
    return _Seen(none, jnp.full(batch, jnp.inf, dtype), jnp.zeros_like(none))


def _given(states: Array, labels: Array, balls: Balls, lengths: Lengths | None) -> Array:
    """Labels with the open states of shape (n, batch) that lie in a ball decided, and those not finite."""
    finite = jnp.isfinite(states).all(0)
    found = jnp.where(finite, UNDECIDED, DIVERGED).astype(labels.dtype)
    count, n = balls.centres.shape
    if count * n * n <= _UNROLLED:
        for k in range(count):
            apart = [
                wrapped_number(states[j] - balls.centres[k, j], lengths[j] if lengths else None)
                for j in range(n)
            ]
            rows = [sum(balls.scales[k, i, j] * apart[j] for j in range(n)) for i in range(n)]
            inside = sum(row * row for row in rows) <= balls.squares[k]
            found = jnp.where(inside, balls.owners[k], found)
    else:
        found = jax.lax.scan(functools.partial(_look_into, states, lengths), found, balls)[0]
    return jnp.where(labels == UNDECIDED, found, labels)


def _sighted(states: Array, before: _Seen, balls: Balls, lengths: Lengths | None) -> tuple[_Seen, Array]:
    """The ball that each state lies in, and whether it is near enough to be taken at sight."""
    batch = states.shape[1:]
    nothing = _nowhere(batch, states.dtype)

    def look(carry: tuple[_Seen, Array], ball: Any) -> tuple[tuple[_Seen, Array], None]:
        seen, sure = carry
        apart = wrapped(states - ball.centres[:, None], lengths, axis=0)
        rows = jnp.matmul(ball.scales, apart, precision=jax.lax.Precision.HIGHEST)
        square = (rows * rows).sum(0)
        inside = square <= ball.squares
        owners = jnp.where(inside, ball.owners, seen.owners)
        share = square / ball.squares
        limit = ball.shares * before.shares
        comes = (before.owners == ball.owners) & (share <= limit) & (share < before.shares)
        nearer = jnp.where(inside, jnp.where(comes, before.nearer + 1, 0), seen.nearer)
        shares = jnp.where(inside, share, seen.shares)
        return (_Seen(owners, shares, nearer), jnp.where(inside, square <= ball.least, sure)), None

    return jax.lax.scan(look, (nothing, jnp.full(batch, False)), balls)[0]


def _looked(
    states: Array, labels: Array, seen: _Seen | None, balls: Balls, lengths: Lengths | None
) -> tuple[Array, _Seen | None]:
    """Labels after a look, and what the next one has to know of this one."""
    if seen is None:
        return _given(states, labels, balls, lengths), None
    now, sure = _sighted(states, seen, balls, lengths)
    found = jnp.where(sure | (now.nearer >= _LOOKS), now.owners, UNDECIDED)
    found = jnp.where(jnp.isfinite(states).all(0), found, DIVERGED).astype(labels.dtype)
    return jnp.where(labels == UNDECIDED, found, labels), now


def _look_into(states: Array, lengths: Lengths | None, found: Array, ball: Any) -> tuple[Array, None]:
    apart = wrapped(states - ball.centres[:, None], lengths, axis=0)
    rows = jnp.matmul(ball.scales, apart, precision=jax.lax.Precision.HIGHEST)
    return jnp.where((rows * rows).sum(0) <= ball.squares, ball.owners, found), None


@lean(static_argnums=(0, 7))
def _advance(
    static: Any,
    arrays: Any,
    u: Any,
    balls: Balls,
    states: Float[Array, "n batch"],
    labels: Int[Array, " batch"],
    steps: Int[Array, ""],
    shape: tuple[int, ...],
) -> tuple[Array, Array, Array]:
    """Labels, steps taken until they were known, and the states after at most ``steps`` steps."""
    cell = join(static, arrays)
    lengths = lengths_of(cell)
    step = jax.vmap(lambda x: cell(x.reshape(shape), u).reshape(-1), in_axes=-1, out_axes=-1)

    def goes_on(carry: tuple) -> Array:
        return (carry[0] < steps) & (carry[3] == UNDECIDED).any()

    def run(carry: tuple) -> tuple:
        time, taken, states, labels, seen = carry
        ahead = jnp.minimum(_STRIDE, steps - time)
        later = jax.lax.fori_loop(0, ahead, lambda _, x: step(x), states)
        time = time + ahead
        fresh, seen = _looked(later, labels, seen, balls, lengths)
        taken = jnp.where((labels == UNDECIDED) & (fresh != UNDECIDED), time, taken)
        return time, taken, later, fresh, seen

    seen = None if balls.least is None else _nowhere(labels.shape, states.dtype)
    labels, seen = _looked(states, labels, seen, balls, lengths)
    start = (jnp.zeros_like(steps), jnp.zeros_like(labels), states, labels, seen)
    _, taken, states, labels, _ = jax.lax.while_loop(goes_on, run, start)
    return labels, taken, states


def default_chunk(n: int) -> int:
    """Starts of one tile: about 2¹⁶ numbers, at least 256 starts."""
    return max(_SMALL, 1 << int(np.log2(max(1, 65536 // n))))


def schedule(max_steps: int) -> list[int]:
    """Steps of each level: 32, then four times as many as before, to ``max_steps`` in all."""
    levels, done, following = [], 0, _FIRST
    while done < max_steps:
        levels.append(min(following, max_steps - done))
        done += levels[-1]
        following *= _GROWTH
    return levels or [0]


class _Level:
    """Starts that are still open and wait for their next run."""

    def __init__(self) -> None:
        self.states: list[np.ndarray] = []
        self.places: list[np.ndarray] = []
        self.count = 0

    def add(self, states: np.ndarray, places: np.ndarray) -> None:
        if len(places):
            self.states.append(states)
            self.places.append(places)
            self.count += len(places)

    def take(self, most: int) -> tuple[np.ndarray, np.ndarray]:
        states, places = np.concatenate(self.states), np.concatenate(self.places)
        self.states, self.places = [states[most:]], [places[most:]]
        self.count = len(places) - len(places[:most])
        return states[:most], places[:most]


@dataclasses.dataclass(frozen=True)
class Runner:
    """A cell with its input and the balls of its attractors, ready to run tiles of starts."""

    cell: Any
    u: Any
    balls: Balls
    shape: tuple[int, ...]
    chunk: int
    groups: list[list[Ball]] = dataclasses.field(default_factory=list)

    def tile(self, states: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labels, steps and end states of up to ``chunk`` starts (count, n), padded to one of two lengths.

        Sampled balls need some looks, so that at least the steps to those are made.
        """
        steps = steps if self.balls.least is None else max(steps, _LOOKS * _STRIDE)
        count = len(states)
        size = min(_SMALL, self.chunk) if count <= _SMALL else self.chunk
        padded = np.zeros((states.shape[1], size), states.dtype)
        padded[:, :count] = states.T
        labels = np.full(size, UNDECIDED, np.int32)
        labels[count:] = _PADDING
        static, arrays = split(self.cell)
        done = _advance(
            static, arrays, self.u, self.balls, padded, labels, np.asarray(steps, np.int32), self.shape
        )
        found, taken, ends = (np.asarray(leaf) for leaf in done)
        return found[:count], taken[:count], ends[:, :count].T


def run_to_labels(
    runner: Runner, starts: np.ndarray, max_steps: int, finish: Finish | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels of all starts, the steps that each took, and the end states of those still open with their places.

    Args:
        runner: the cell and its balls.
        starts: shape (count, n).
        max_steps: the step limit.
        finish: called with the states still open at the end of a level, and that level; its labels stand.

    Returns:
        labels (count,), steps (count,), end states (open, n), places (open,).
    """
    labels = np.full(len(starts), UNDECIDED, np.int32)
    steps = np.zeros(len(starts), np.int32)
    levels = schedule(max_steps)
    waiting = [_Level() for _ in range(len(levels) + 1)]

    def run(level: int, states: np.ndarray, places: np.ndarray) -> None:
        found, taken, ends = runner.tile(states, levels[level])
        before = sum(levels[:level])
        is_open = found == UNDECIDED
        taken = np.where(is_open, levels[level], taken)
        if finish is not None and is_open.any():
            found = found.copy()
            found[is_open] = finish(ends[is_open], level)
            is_open = found == UNDECIDED
        labels[places], steps[places] = found, before + taken
        waiting[level + 1].add(ends[is_open], places[is_open])

    def drain(least: int) -> None:
        for level in range(1, len(levels)):
            while waiting[level].count >= least:
                run(level, *waiting[level].take(runner.chunk))

    for first in range(0, len(starts), runner.chunk):
        part = starts[first : first + runner.chunk]
        run(0, part, np.arange(first, first + len(part)))
        drain(runner.chunk)
    drain(1)
    last = waiting[-1]
    if not last.count:
        return labels, steps, starts[:0], np.zeros(0, int)
    return labels, steps, *last.take(last.count)
