"""Invariant circles and chaotic sets: told by exponent and recurrence along one orbit, kept as a sample of it.

There is no exact rule for them. A set's samples cover it to within its reach, twice the largest distance of
the other half of the orbit from them; a start belongs to the set whose reach holds its orbit for 16 steps, and
whose time means its orbit shares (``window_means``): in many dimensions the reach alone holds other sets too.
After G. Datseris and A. Wagemakers, Chaos 32, 023104 (2022), with samples in place of their grid of cells.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.dynamics.basins.attractors import Member
from rnn_dynamics.dynamics.basins.cycle_search import root_problem
from rnn_dynamics.dynamics.basins.kinds import AttractorKind
from rnn_dynamics.dynamics.basins.labelling import UNDECIDED
from rnn_dynamics.dynamics.basins.polish import recurrence_distances
from rnn_dynamics.dynamics.basins.starts import StartsOfMap
from rnn_dynamics.dynamics.basins.window_means import Bands
from rnn_dynamics.dynamics.equilibria.orbit_kernels import advanced
from rnn_dynamics.dynamics.equilibria.recurrence import creeps, drifts
from rnn_dynamics.dynamics.lyapunov.typical import examined
from rnn_dynamics.dynamics.phases import Lengths, embedded, extents, largest_length, lengths_of, wrapped
from rnn_dynamics.numerics.batching import mapped, power_of_two_above
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.status import Status

_COVER = 1024
_BLOCKS = 16
_STAY = 16
_COMPARED, _FEW, _MOST = 64, 0.1, 0.5
_BATCH = 256
_TO_CYCLES = (
    16384  # steps over which orbits on a set are told from those that come to a cycle within its reach
)
_ERRORS = 4.0
_TURNS = 8.0  # log of how much a tangent vector may vary along a circle, so that N steps resolve 8/N
_NEARLY_PERIODIC = 1e-3
_RETURNS, _RETURN, _NEARER = 32, 1e-3, 0.5


@lean(static_argnums=(0, 4, 5))
def _tail(
    static: Any, arrays: Any, x: Array, u: Any, shape: tuple[int, ...], steps: int
) -> tuple[Float[Array, "steps n"], Float[Array, " steps"]]:
    """States after each step, and log‖J v‖ of the tangent vector, rescaled to length 1 each time."""
    step = exact_slopes(join(static, arrays))

    def one(state: Array) -> Array:
        return step(state.reshape(shape), u).reshape(-1)

    def advance(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        state, tangent = carry
        state, tangent = jax.jvp(one, (state,), (tangent,))
        length = jnp.linalg.norm(tangent)
        kept = jnp.where(length > 0, tangent / length, jnp.zeros_like(tangent))
        return (state, kept), (state, jnp.log(length))

    first = jnp.ones_like(x) / jnp.sqrt(jnp.asarray(x.size, x.dtype))
    return jax.lax.scan(advance, (x, first), None, length=steps)[1]


@lean(static_argnums=(0, 5))
def _after(static: Any, arrays: Any, x: Array, u: Any, steps: Array, shape: tuple[int, ...]) -> Array:
    cell = join(static, arrays)
    return jax.lax.fori_loop(0, steps, lambda _, s: cell(s.reshape(shape), u).reshape(-1), x)


def _closer(
    states: Float[Array, "n b"], lengths: Lengths | None, least: Array, sample: Float[Array, " n"]
) -> tuple[Array, None]:
    apart = wrapped(states - sample[:, None], lengths, axis=0)
    return jnp.minimum(least, (apart**2).sum(0)), None


@lean(static_argnums=2)
def _nearest(
    samples: Float[Array, "s n"], states: Float[Array, "b n"], lengths: Lengths | None = None
) -> Float[Array, " b"]:
    """The distance of each state from the nearest sample; one sample after the other, states as lanes."""
    start = jnp.full(len(states), jnp.inf, states.dtype)
    least = jax.lax.scan(functools.partial(_closer, states.T, lengths), start, samples, unroll=16)[0]
    return jnp.sqrt(least)


def _cover(orbit: np.ndarray, lengths: Lengths | None = None) -> tuple[np.ndarray, float]:
    """Return every other state as the samples, and their reach."""
    samples = orbit[::2]
    return samples, 2 * float(np.asarray(_nearest(samples, orbit[1::2], lengths)).max())


def _sampled(states: np.ndarray) -> np.ndarray:
    """At most 2 · 1024 states of a tail, drawn at random: equal distances in time would meet a resonance."""
    if len(states) <= 2 * _COVER:
        return states
    return states[np.random.default_rng(0).permutation(len(states))[: 2 * _COVER]]


def _covers_alike(first: np.ndarray, second: np.ndarray, lengths: Lengths | None = None) -> bool:
    """Whether all but 1 % of each sample of a tail lies within the reach of the other."""
    for one, other in ((first, second), (second, first)):
        samples, reach = _cover(one, lengths)
        if np.mean(np.asarray(_nearest(samples, other, lengths)) > reach) > 0.01:
            return False
    return True


def _exponent(logs: np.ndarray) -> tuple[float, float]:
    """The mean of the logs and its standard error by blocks, the first eighth left out."""
    used = logs[len(logs) // 8 :].astype(np.float64)
    blocks = used[: len(used) // _BLOCKS * _BLOCKS].reshape(_BLOCKS, -1).mean(1)
    return float(blocks.mean()), float(blocks.std(ddof=1) / np.sqrt(_BLOCKS))


def recurrent_member(
    problem: StartsOfMap, state: np.ndarray, extra: int, samples: int, longest: int
) -> Member | None:
    """The circle or chaotic set that an orbit runs on, ``None`` where neither is shown.

    Two tails of ``samples`` steps, ``extra`` steps apart, must cover the same set: a transient, a slow spiral,
    a slow unit beside a circle and the ghost of a fold do not come back. An orbit that keeps to the last bit what
    its neighbours leave, a repelling cycle or a subspace of equal coordinates, runs on no attractor. A set whose
    exponent is above 0 by 4 standard errors and by the resolution 8/samples is chaotic; one with an exponent of 0
    within the resolution that comes nowhere near a period up to ``longest`` is a circle.

    Args:
        problem: the map.
        state: where the orbit is, shape (n,).
        extra: steps between the two tails.
        samples: steps of a tail.
        longest: the longest period that was looked for.
    """
    static, arrays = split(problem.cell)
    rest = problem.u, problem.shape
    states, logs = (np.asarray(a) for a in _tail(static, arrays, state, *rest, samples))
    if not (np.isfinite(states).all() and np.isfinite(logs).all()):
        return None
    later = _after(static, arrays, states[-1], problem.u, np.asarray(extra, np.int32), problem.shape)
    again = np.asarray(_tail(static, arrays, np.asarray(later), *rest, samples)[0])
    lengths = problem.lengths
    extent = float(extents(states, lengths).max())
    scale = 1 + float(np.abs(states).max()) + largest_length(lengths)
    if not np.isfinite(again).all() or extent < 1e4 * float(np.finfo(states.dtype).eps) * scale:
        return None
    first, second = _sampled(states), _sampled(again)
    if not _covers_alike(first, second, lengths):
        return None
    both = embedded(states, lengths), embedded(again, lengths)
    if drifts(np.concatenate(both)) or creeps(*both):
        return None
    if not _is_typical(problem, states, logs) or _nears_a_cycle(*both):
        return None
    exponent, error = _exponent(logs)
    resolution = _TURNS / samples
    if exponent > max(_ERRORS * error, resolution):
        kind = AttractorKind.CHAOTIC
    elif abs(exponent) <= resolution and not _is_nearly_periodic(again, longest, extent, lengths):
        kind = AttractorKind.INVARIANT_CIRCLE
    else:
        return None
    return Member(kind, second, exponent, error, Status.RESOLVED)


def _is_typical(problem: StartsOfMap, states: np.ndarray, logs: np.ndarray) -> bool:
    """Whether a tail is no cycle or subspace that only rounding keeps it on, as neighbouring orbits leave it."""
    shaped = states.reshape(len(states), *problem.shape)
    steps = len(states) - 1
    inputs = jax.tree_util.tree_map(lambda leaf: np.broadcast_to(leaf, (steps, *np.shape(leaf))), problem.u)
    return bool(examined(problem.cell, shaped, inputs, logs[1:]).is_typical)


def _nears_a_cycle(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether the second tail all but returns after some steps, however many, and comes nearer than the first did.

    Along a circle the distances of returns stay as they are, whatever their number of steps.
    """
    half = len(second) // 2
    at = np.linspace(0, half - 1, _RETURNS).astype(int)

    def returns(tail: np.ndarray, lags: np.ndarray) -> np.ndarray:
        return np.array([np.abs(tail[at + lag] - tail[at]).max(axis=1).mean() for lag in lags])

    found = returns(second, np.arange(1, half + 1))
    best = np.argmin(found)
    before = returns(first, np.array([best + 1]))[0]
    return bool(found[best] < _NEARER * before and found[best] < _RETURN * np.ptp(second, axis=0).max())


def _is_nearly_periodic(states: np.ndarray, longest: int, extent: float, lengths: Lengths | None) -> bool:
    """Whether some F^p, p ≤ ``longest``, moves the set by less than a thousandth of its extent."""
    starts = states[: -longest - 1 : max(1, len(states) // 64)]
    windows = np.stack(
        [states[p : p + len(states) - longest - 1][:: max(1, len(states) // 64)] for p in range(longest + 1)],
        1,
    )
    scale = 1 + float(np.abs(states).max())
    distances = recurrence_distances(windows[: len(starts)], lengths)
    return bool(distances.max(0).min() * scale < _NEARLY_PERIODIC * extent)


@lean(static_argnums=(0, 6))
def _held(
    static: Any, arrays: Any, u: Any, samples: Array, reaches: Array, states: Array, shape: tuple[int, ...]
) -> Array:
    """Whether each set's reach holds the orbit of each state for 16 steps, shape (sets, batch)."""
    cell = join(static, arrays)
    step = jax.vmap(lambda x: cell(x.reshape(shape), u).reshape(-1))

    def advance(_: int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        x, held = carry
        distances = jax.lax.map(lambda set_: _nearest(set_, x, lengths_of(cell)), samples)
        return step(x), held & (distances <= reaches[:, None])

    held = jnp.ones((len(samples), len(states)), bool)
    return jax.lax.fori_loop(0, _STAY, advance, (states, held))[1]


def _spread(orbit: np.ndarray) -> np.ndarray:
    return orbit[np.linspace(0, len(orbit) - 1, _COMPARED).astype(int)]


class RecurrentSets:
    """The circles and chaotic sets among the attractors, ready to say which of them holds a state.

    Args:
        problem: the map.
        members: all attractors; cycles are passed over.
    """

    def __init__(self, problem: StartsOfMap, members: list[Member]) -> None:
        self.problem = problem
        self.owners = np.array([i for i, m in enumerate(members) if not m.is_cycle], np.int32)
        if not len(self.owners):
            return
        covers = [_cover(members[i].orbit, problem.lengths) for i in self.owners]
        size = power_of_two_above(len(covers))
        self.samples = np.zeros((size, _COVER, problem.n), problem.dtype)
        self.reaches = np.full(size, -1.0, problem.dtype)
        for k, (samples, reach) in enumerate(covers):
            self.samples[k] = np.resize(samples, (_COVER, problem.n))
            self.reaches[k] = reach
        self.bands = [Bands(problem, members[i].orbit) for i in self.owners]
        self.orbits = [member.orbit for member in members]
        cycles = [member.orbit for member in members if member.is_cycle]
        self._cycles = np.concatenate([*cycles, np.zeros((0, problem.n), problem.dtype)])
        # Cycles that lie so near a set that only the steps that lead to them tell.
        self._beside = [self._cycles[held] for held in self._held_by_each(self._cycles)]

    def _held_by_each(self, states: np.ndarray) -> Bool[np.ndarray, "sets states"]:
        """Whether each set's reach holds the orbit of each state, and its time means are the set's."""
        static, arrays = split(self.problem.cell)
        sets = self.problem.u, self.samples, self.reaches
        held = mapped(lambda part: _held(static, arrays, *sets, part, self.problem.shape).T, [states], _BATCH)
        held = np.array(held[:, : len(self.owners)].T)
        for bands, within in zip(self.bands, held, strict=True):
            within[within] = bands.hold(states[within])
        return held

    def labels(self, states: np.ndarray) -> np.ndarray:
        """The one attractor whose reach holds each state's orbit and whose time means it shares, else UNDECIDED."""
        found = np.full(len(states), UNDECIDED, np.int32)
        if not len(self.owners):
            return found
        held = self._held_by_each(states)
        for cycles, within in zip(self._beside, held, strict=True):
            if len(cycles) and within.any():
                within[within] = ~self._comes_to(cycles, states[within])
        one = held.sum(0) == 1
        found[one] = self.owners[held.argmax(0)][one]
        return found

    def _comes_to(self, cycles: np.ndarray, states: np.ndarray) -> Bool[np.ndarray, " states"]:
        """Which orbits are on one of the cycles after thousands of steps."""
        problem = self.problem
        equation = root_problem(problem)
        ends = advanced(equation, states.astype(problem.dtype), _TO_CYCLES)
        apart = equation.apart(ends[:, None], cycles[None]).min(axis=1)
        return apart <= np.finfo(problem.dtype).eps ** 0.5 * equation.norms(ends)

    def same(self, member: Member) -> int | None:
        """The set that a member is, UNDECIDED where it is none of them; ``None`` where that is not told."""
        if not len(self.owners):
            return UNDECIDED
        labels = self.labels(_spread(member.orbit))
        known, counts = np.unique(labels[labels >= 0], return_counts=True)
        if not counts.sum() > _FEW * len(labels):
            return UNDECIDED
        place = int(known[counts.argmax()])
        # A set within the bands of a larger one that is not within its own is another.
        back = Bands(self.problem, member.orbit).hold(_spread(self.orbits[place]))
        return place if counts.max() >= _MOST * len(labels) and back.mean() >= _MOST else None
