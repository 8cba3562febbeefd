"""Orbits that neither rest nor repeat: long cycles, invariant circles, tori, chaos, told from slow drifts."""

from collections.abc import Sequence

import numpy as np

from rnn_dynamics.dynamics.equilibria.equation import RootProblem, norms
from rnn_dynamics.dynamics.equilibria.orbit_kernels import TAIL, TAILS, advanced, growth, returns, tails
from rnn_dynamics.dynamics.phases import Lengths, apart, embedded

LONGEST = 32
_SAMPLES = 512
_BLOCKS = 16
_ERRORS = 4.0
TURNS = 8.0
_OUTSIDE = 0.01
_DRIFT = 1e-4
_CREEP = 2.0  # a line's slope over half a tail, in standard deviations of what is left
_STAY = 16
_STRIDE = 37
_ROUNDS = 6
_MULTIPLES = (1, 2, 4, 8)  # of a period, after which an orbit is looked at
_ON_ITS_WAY = 0.7  # share of what a period missed half a tail before, below which it still falls
_FAR, _WORK = 24 * TAIL, 1e9  # steps over which a tangent is followed, and their multiply-adds at most
_SHRINKS = -0.7  # the logarithm by which it does over two tails, where it is followed so far


def first_periods(orbits: np.ndarray, lengths: Lengths | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The period after which each window of an orbit (count, W, n) all but returns, and how near it comes.

    The first period as good as the best one: a multiple of it returns no better, but for rounding.
    """
    with np.errstate(all="ignore"):
        gaps = apart(orbits[:, 1:], orbits[:, :1], lengths) / norms(orbits[:, 0])[:, None]
    gaps = np.nan_to_num(gaps, nan=np.inf, posinf=np.inf)
    close = gaps <= 2 * gaps.min(1, keepdims=True) + 16 * np.finfo(orbits.dtype).eps
    return close.argmax(1) + 1, gaps.min(1)


def _nearest(samples: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Return the distance of each state from the nearest sample."""
    squares = (states**2).sum(-1)[..., None] + (samples**2).sum(-1) - 2 * np.dot(states, samples.T)
    return np.sqrt(np.maximum(squares.min(-1), 0.0))


def _returning(path: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Samples of the first half of a tail and their reach, if the second half stays within it."""
    half = len(path) // 2
    order = np.random.default_rng(0).permutation(half)
    middle = path[:half].mean(0)
    samples, others = path[order[:_SAMPLES]] - middle, path[order[_SAMPLES : _SAMPLES + 256]] - middle
    reach = 2 * float(_nearest(samples, others).max())
    later = path[half::4] - middle
    if np.mean(_nearest(samples, later) > reach) > _OUTSIDE:
        return None
    return samples + middle, reach


def _is_rounding(gaps: Sequence[float], unit: float) -> bool:
    """Whether what a period misses is rounding: a turn along a circle misses k times as much after k periods.

    Args:
        gaps: what is missed after p, 2p, 4p and 8p steps, or after the first two, relative to the states.
        unit: of rounding.
    """
    if not gaps[0] <= 1e4 * unit:
        return False
    if len(gaps) == 2:
        return gaps[1] <= 1.5 * gaps[0] + 64 * unit
    return max(gaps) <= 3 * max(gaps[:2]) + 64 * unit


def _long_period(path: np.ndarray) -> int:
    """The least p > 0 with |x_{t+p} − x_t| all but rounding over the last states of a tail; 0 where none.

    What was missed by more half a tail before is still on its way: a spiral that comes near its rounding.
    """
    unit, scale = float(np.finfo(path.dtype).eps), float(1 + np.abs(path).max())

    def missed(steps: int, end: int = len(path)) -> float:
        if 64 + steps > end:
            return np.inf
        return float(np.abs(path[end - 64 : end] - path[end - 64 - steps : end - steps]).max()) / scale

    for period in range(1, len(path) - 64):
        once = missed(period)
        if once <= 64 * unit:
            return period
        if once <= 1e4 * unit:
            if once < _ON_ITS_WAY * missed(period, len(path) // 2) < np.inf:
                return 0
            gaps = [once, *(missed(many * period) for many in _MULTIPLES[1:])]
            if _is_rounding(gaps if np.isfinite(gaps[-1]) else gaps[:2], unit):
                return period
    return 0


def _settles(path: np.ndarray) -> bool:
    """Whether the second half of a tail nears a cycle: what it misses of its best period falls to a quarter."""
    half = len(path) // 2
    longest = half - 64

    def missed(end: int, period: int) -> float:
        return float(np.abs(path[end - 64 : end] - path[end - 64 - period : end - period]).max())

    gaps = [missed(len(path), period) for period in range(1, longest)]
    best = int(np.argmin(gaps)) + 1
    return gaps[best - 1] < 0.25 * missed(half, best)


def drifts(path: np.ndarray) -> bool:
    """Whether a tail shrinks or grows from each of its eighths to the next, as a slow spiral does."""
    eighths = path[: len(path) // 8 * 8].reshape(8, -1, path.shape[1]).astype(np.float64)
    sizes = np.sqrt(((eighths - eighths.mean(1, keepdims=True)) ** 2).sum(-1).mean(-1))
    steps = np.diff(sizes)
    changed = abs(sizes[-1] - sizes[0]) > _DRIFT * sizes.max()
    return bool(changed and ((steps < 0).all() or (steps > 0).all()))


def _trend(path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The slopes of the coordinates' straight lines over a tail, and the covariance of what is left about them."""
    time = np.linspace(-1.0, 1.0, len(path))
    about = path - path.mean(0)
    slope = np.dot(time, about) / np.dot(time, time)
    rest = about - time[:, None] * slope
    return slope, np.dot(rest.T, rest) / len(path)


def creeps(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether one combination of coordinates goes on in one direction through two tails, beside all else they do.

    A slow unit beside a circle does. The combination is the one whose straight line stands out most of the rest of
    the first tail, C⁻¹ s for the slopes s and the covariance C of what is left; it is judged by the second.
    """
    first, second = first.astype(np.float64), second.astype(np.float64)
    slope, covariance = _trend(first)
    size = float(np.trace(covariance))
    if not size > 0:
        return False
    unit = float(np.finfo(np.float64).eps)
    weights = np.linalg.solve(covariance + unit * size * np.eye(len(slope)), slope)
    along = np.dot(second, weights)
    eighths = along[: len(along) // 8 * 8].reshape(8, -1).mean(1)
    line, rest = _trend(along[:, None])
    return bool(
        (np.diff(eighths) > 0).all()
        and eighths[0] > np.dot(first, weights).mean()
        and line[0] > _CREEP * np.sqrt(rest[0, 0])
    )


class _Sets:
    """What a few of the states were seen to run on, and which of the others run on the same.

    In many dimensions the reach of a set holds more than the set: none of the others is taken by it whose own orbit
    comes back to its state, or shrinks a tangent vector.
    """

    def __init__(self, problem: RootProblem, states: np.ndarray, orbits: np.ndarray) -> None:
        self.problem, self.states, self.orbits = problem, states, orbits[:, :_STAY]
        self.found, self.periods = np.zeros(len(states), bool), np.zeros(len(states), int)
        self._looked, self._own = np.zeros(len(states), bool), np.zeros(len(states), int)

    def _own_periods(self, rows: np.ndarray) -> np.ndarray:
        """Of each row the period that its orbit has, 0 where it runs on and on, −1 where it contracts."""
        fresh = rows[~self._looked[rows]]
        if fresh.size:
            self._looked[fresh] = True
            states, unit = self.states[fresh], float(np.finfo(self.states.dtype).eps)
            least, period, growth = returns(self.problem, states)
            self._own[fresh] = np.where(growth < -2 * TURNS / TAIL, -1, 0)
            near = least <= 1e4 * unit * (1 + self.problem.norms(states))
            for length in np.unique(period[near]):
                at = np.flatnonzero(near & (period == length))
                for divisor in np.flatnonzero(length % np.arange(1, length + 1) == 0) + 1:
                    closed = at[self._closes(states[at], int(divisor), unit)]
                    self._own[fresh[closed]] = divisor
                    at = np.setdiff1d(at, closed)
                    if not at.size:
                        break
        return self._own[rows]

    def open(self) -> np.ndarray:
        return np.flatnonzero(~self.found & (self.periods == 0))

    def _closes(self, states: np.ndarray, period: int, unit: float) -> np.ndarray:
        """Whether each state comes back after ``period`` but for rounding."""
        scale = 1 + self.problem.norms(states)
        states = advanced(self.problem, states, TAIL)  # what an orbit still comes nearer by is no return
        gaps = np.array([self._misses(states, many * period) / scale for many in _MULTIPLES])
        closes = np.array([_is_rounding(own, unit) for own in gaps.T], bool)
        rounds = np.flatnonzero(closes & (gaps[0] > 64 * unit))
        if rounds.size:  # more than rounding as a rule: of a spiral it shrinks on
            later = self._misses(advanced(self.problem, states[rounds], TAIL), period) / scale[rounds]
            closes[rounds] = later >= gaps[0, rounds] / 4
        return closes

    def _misses(self, states: np.ndarray, steps: int) -> np.ndarray:
        return self.problem.apart(advanced(self.problem, states, steps), states)

    def _contracts(self, row: int) -> bool:
        """Whether a tangent vector shrinks over many more steps than a tail has: the orbit nears a cycle slowly.

        Along a circle its length varies, by ``TURNS`` at most, and comes back; most are told by a few steps more.
        """
        most = int(_WORK / (self.problem.cycle * self.problem.size**2))
        if most < 2 * TAIL or growth(self.problem, self.states[row], 2 * TAIL) > _SHRINKS:
            return False
        return growth(self.problem, self.states[row], min(_FAR, most)) < -TURNS

    def _within(self, samples: np.ndarray, reach: float) -> np.ndarray:
        """A stray state or two do not count: the samples do not cover what an orbit seldom visits."""
        return (_nearest(samples, self.orbits) > reach).sum(1) <= 1

    def look(self, row: int, path: np.ndarray, logs: np.ndarray) -> None:
        """Take in the tail of one of the states."""
        half = len(path) // 2
        if self.found[row] or not (np.isfinite(path).all() and np.isfinite(logs[half:]).all()):
            return
        scale, unit = float(1 + np.abs(path).max()), float(np.finfo(path.dtype).eps)
        if float(np.ptp(path[half:], axis=0).max()) < 1e4 * unit * scale:
            return
        period = _long_period(path)
        if 0 < period <= LONGEST:  # it has come to rest, or to a cycle that is solved for after more steps
            return
        if period:
            own = self._within(path[-period:], np.sqrt(unit) * scale)
            own[row] = True
            self.periods[own & ~self.found] = period
            return
        if drifts(path):
            return
        returning = _returning(path)
        used = logs[TAIL // 8 :].astype(np.float64).reshape(_BLOCKS, -1).mean(1)
        error = _ERRORS * float(used.std(ddof=1) / np.sqrt(_BLOCKS))
        if used.mean() <= error and _settles(path):
            return
        if returning is not None and used.mean() >= -max(error, TURNS / TAIL):
            if used.mean() <= error and self._contracts(row):
                return
            own = np.flatnonzero(self._within(*returning) & ~self.found & (self.periods == 0))
            periods = self._own_periods(own)
            self.periods[own[periods > LONGEST]] = periods[periods > LONGEST]
            self.found[own[periods == 0]] = True
            self.found[row], self.periods[row] = True, 0


def recurrent(
    problem: RootProblem, states: np.ndarray, orbits: np.ndarray, last: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Which of the states run on sets that they come back to, and the period of those on long cycles.

    A tail must cover in its second half what it covered in its first, which a slow drift does not, and must not
    shrink tangent vectors by more than its length resolves. A few states are looked at; the others belong where
    their windows stay within the reach of what these covered. A circle near a resonance is covered slowly: where
    nothing was shown at the ``last`` look, longer tails are taken of which every 37th state is kept.

    Args:
        problem: the map.
        states: shape (count, n).
        orbits: a window of each, shape (count, W, n).
        last: whether these orbits are not iterated further.

    Returns:
        Shapes (count,), (count,): recurrent, and a period or 0.
    """
    sets = _Sets(problem, states, embedded(orbits, problem.lengths))
    before = len(states) + 1
    for stride in (*[1] * _ROUNDS, _STRIDE):
        left = sets.open()
        if not left.size or (stride > 1 and (len(left) < len(states) or not last)):
            break
        if stride == 1 and len(left) == before:
            continue
        before = len(left)
        rows = left[np.unique(np.linspace(0, len(left) - 1, min(TAILS, len(left))).astype(int))]
        paths, logs = tails(problem, states[rows], stride)
        for row, path, log in zip(rows, paths, logs, strict=True):
            if stride == 1 or not _long_period(embedded(path, problem.lengths)):
                sets.look(int(row), embedded(path, problem.lengths), log)
    return sets.found, sets.periods
