"""Stable cycles from states near them: Newton's method on F^p(x) = x, the minimal period, the multipliers."""

import dataclasses
import functools
from typing import Any

import numpy as np

from rnn_dynamics.cells.arguments import held
from rnn_dynamics.cells.pytree import split
from rnn_dynamics.dynamics.basins.trapping import step_matrices
from rnn_dynamics.dynamics.equilibria.equation import RootProblem
from rnn_dynamics.dynamics.equilibria.newton import polished
from rnn_dynamics.dynamics.phases import (
    Lengths,
    apart,
    largest_length,
    lengths_of,
    order_key,
    seated,
)
from rnn_dynamics.dynamics.return_map import orbits
from rnn_dynamics.numerics.batching import filled, power_of_two_above

_ITERATIONS = 16
_LARGEST_ERROR = 0.25
_MOST_ORBITS = 128
MOST_SEEDS = 32  # starts of one call of Newton's method, a fixed number so that one program serves


@dataclasses.dataclass(frozen=True)
class Cycle:
    """One cycle: its states in order from the lexicographically smallest, and the multipliers of F^p.

    ``error``: how far rounding may have left the states from the true ones, ‖(I − ∂F^p/∂x)⁻¹‖ roundings.
    """

    orbit: np.ndarray
    multipliers: np.ndarray
    residual: float
    error: float = 0.0

    @property
    def period(self) -> int:
        return len(self.orbit)

    @property
    def stable(self) -> bool:
        """Every |multiplier| below 1 by more than rounding, at states that floats can place."""
        if not self.error <= _LARGEST_ERROR * (1 + float(np.abs(self.orbit).max())):
            return False
        doubt = 2 * self.orbit.shape[-1] * self.period * float(np.finfo(self.orbit.dtype).eps)
        return bool(np.abs(self.multipliers).max() < 1 - doubt)


def orbits_of(cell: Any, states: np.ndarray, u: Any, shape: tuple[int, ...], steps: int) -> np.ndarray:
    """x, F(x), …, F^{steps−1}(x) of each state, shape (count, steps, n); padded so that one program serves."""
    rows = filled(states, power_of_two_above(len(states), _MOST_ORBITS))
    return np.asarray(orbits(*split(cell), rows, held(u), steps, shape))[: len(states)]


def recurrence_distances(orbits: np.ndarray, lengths: Lengths | None = None) -> np.ndarray:
    """max_i |x_p − x_0|_i / (1 + max_i |x_0|_i) for p = 1 … P, shape (count, P), of orbits of P + 1 states."""
    with np.errstate(all="ignore"):  # of an orbit that diverges
        return apart(orbits[:, 1:], orbits[:, :1], lengths) / (1 + np.abs(orbits[:, :1]).max(-1))


def _told_apart(dtype: np.dtype) -> float:
    """The relative distance below which polished states are one: 64 roundings, 2e-12 at least."""
    return max(64 * float(np.finfo(dtype).eps), 1e4 * float(np.finfo(np.float64).eps))


def same_cycle(
    first: np.ndarray, second: np.ndarray, lengths: Lengths | None = None, error: float = 0.0
) -> bool:
    """Whether two orbits of cycles are one up to what floats tell apart, or to the error of each.

    One state of theirs is the same then, and the others are nearly: what tells two cycles of units of very
    different size apart may show at some phases alone.
    """
    if len(first) != len(second):
        return False
    scale = 1 + np.abs(first).max() + largest_length(lengths)
    distances = apart(first, second[:1], lengths)
    close = max(_told_apart(first.dtype) * scale, 2 * error)
    nearly = max(float(np.finfo(first.dtype).eps) ** 0.5 * scale, 2 * error)
    if distances.min() > close:
        return False
    shifted = np.roll(first, -int(distances.argmin()), axis=0)
    return bool(apart(shifted, second, lengths).max() <= nearly)


def rounded(states: np.ndarray, lengths: Lengths | None = None) -> np.ndarray:
    """States without their last digits, for an order that rounding does not change."""
    if lengths is not None:
        return order_key(states, lengths)
    digits = -0.6 * np.log10(np.finfo(states.dtype).eps) - np.floor(np.log10(1 + np.abs(states).max()))
    return np.round(states, int(digits))


def _minimal(orbit: np.ndarray, lengths: Lengths | None, error: float) -> np.ndarray:
    """The orbit up to its minimal period, from its lexicographically smallest state; ``error`` is of its states."""
    scale = 1 + np.abs(orbit).max() + largest_length(lengths)
    period, close = len(orbit), max(_told_apart(orbit.dtype) * scale, 2 * error)
    for divisor in range(1, period):
        if period % divisor == 0 and apart(orbit, np.roll(orbit, divisor, 0), lengths).max() <= close:
            orbit = orbit[:divisor]
            break
    return np.roll(orbit, -int(np.lexsort(rounded(orbit, lengths).T[::-1])[0]), axis=0)


def _cycle(
    cell: Any, state: np.ndarray, period: int, u: Any, shape: tuple[int, ...], longest: int
) -> Cycle | None:
    lengths = lengths_of(cell)
    longer = orbits_of(cell, state[None], u, shape, longest + 1)[0, : period + 1]
    if not np.isfinite(longer).all():
        return None
    residual = float(apart(longer[-1], longer[0], lengths))
    orbit = seated(longer[:-1], lengths)
    rounding = residual + float(np.finfo(orbit.dtype).eps) * float(np.abs(orbit).max())
    product, error = _product_and_error(cell, orbit, u, shape, rounding)
    if len(orbit) > 1:
        orbit = _minimal(orbit, lengths, error if np.isfinite(error) else 0.0)
        product, error = _product_and_error(cell, orbit, u, shape, rounding)
    if not np.isfinite(product).all():
        return None
    return Cycle(orbit, np.linalg.eigvals(product), residual, error)


def _product_and_error(
    cell: Any, orbit: np.ndarray, u: Any, shape: tuple[int, ...], rounding: float
) -> tuple[np.ndarray, float]:
    """DF^p at the first state of a cycle, and the error of that state, what F^p misses over σ_min(1 − DF^p)."""
    jacobians = step_matrices(cell, orbit, u, shape)
    product = functools.reduce(lambda done, matrix: np.matmul(matrix, done), jacobians)
    if not np.isfinite(product).all():
        return product, np.inf
    least = float(np.linalg.svd(np.eye(len(product)) - product, compute_uv=False)[-1])
    return product, rounding / least if least > 0 else np.inf if rounding > 0 else 0.0


def polished_cycles(
    cell: Any, states: np.ndarray, periods: np.ndarray, u: Any, shape: tuple[int, ...], longest: int
) -> list[Cycle]:
    """The cycles that Newton's method reaches from states near them, each once, stable or not.

    Args:
        cell: the map.
        states: shape (count, n).
        periods: p of each, from 1 to ``longest``; a divisor is recognised.
        u: the input of every step, or ``None``.
        shape: the shape of one state.
        longest: the longest period, which sets the compiled program.

    Returns:
        Those with residual ≤ 10³ roundings of their size, in the order in which they were found.
    """
    found: list[Cycle] = []
    lengths = lengths_of(cell)
    problem = RootProblem(*split(cell), held(u), 1, shape, states.dtype, lengths)
    linearised = functools.partial(problem.linearised_each, periods)
    points, residuals, *_ = polished(linearised, states, lengths, _ITERATIONS)
    triples = zip(seated(points, lengths), residuals, periods, strict=True)
    for point, residual, period in triples:
        scale = 1 + np.abs(point).max() + largest_length(lengths)
        limit = 1e3 * np.finfo(point.dtype).eps * scale
        known = any(apart(c.orbit, point, lengths).min() <= _told_apart(point.dtype) * scale for c in found)
        if not residual <= limit or known:
            continue
        cycle = _cycle(cell, point, int(period), u, shape, longest)
        if cycle is not None and not any(
            same_cycle(cycle.orbit, other.orbit, lengths, cycle.error + other.error) for other in found
        ):
            found.append(cycle)
    return found
