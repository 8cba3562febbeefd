"""The best bound on ‖∂x_T/∂x_k‖ that a diagonal change of units can give, lag by lag.

In units S, a positive diagonal, the slopes' diagonal stays what it is, so that for every cell with declared
structure

    ‖∂x_T/∂x_k‖₂ ≤ κ(S) ((1−α) + α γ ‖S W S⁻¹‖₂)ⁿ,    n = T − k,

is a theorem; without the condition number κ(S) = max S/min S it is false. S = 1 is the plain bound; the limit of
large n allows any κ(S), and for W ≥ 0 brings ‖S W S⁻¹‖₂ down to ρ(W). In general γ ρ(|W|) < 1, |W| entry by
entry, suffices for gradients to vanish in the end.

Reference: the infimum of ‖S W S⁻¹‖₂ is convex in ln S (R. Sezginer, M. Overton, IEEE TAC 35, 1990).
"""

import dataclasses
import itertools
import math
from typing import Any, ClassVar

import numpy as np

from rnn_dynamics.numerics.one_thread import one_blas_thread
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import concrete_array, concrete_square, fraction

_ITERATIONS = 200
# Lags whose units are optimised, and the flops (in units of n³) that all of them may take.
_OPTIMISED, _FEWEST = 20, 4
_WORK = 4e7
#: Larger weights leave the range of floats in other units.
LARGEST_WEIGHT = 1e100
# ln S beyond this would leave the range of floats in S W S⁻¹.
_LARGEST = 300.0


@dataclasses.dataclass(frozen=True)
class ScaledBounds(Result):
    """A bound for each lag, with the units that give it.

    Attributes:
        lags: n, shape (m,).
        log: ln of the bound κ(S) ((1−α) + α γ ‖S W S⁻¹‖₂)ⁿ, shape (m,); any S makes it a theorem.
        log_units: ln S for each lag, its smallest entry 0, shape (m, n).
        log_condition: ln κ(S), shape (m,).
        norm: ‖S W S⁻¹‖₂, shape (m,).
        log_plain: ln of the bound with S = 1.
    """

    lags: np.ndarray
    log: np.ndarray
    log_units: np.ndarray
    log_condition: np.ndarray
    norm: np.ndarray
    log_plain: np.ndarray

    _units: ClassVar = dict.fromkeys(("log", "log_units", "log_condition", "log_plain"), "nats")

    def __repr__(self) -> str:
        gain = (self.log_plain - self.log).max(initial=0.0) / math.log(10)
        return (
            f"ScaledBounds("
            f"{counted(self.lags.size, 'lag')}, up to {gain:.3g} decades below the bound without scaling)"
        )


def absolute_radius(W: Any) -> float:
    """ρ(|W|), |W| entry by entry: γ ρ(|W|) < 1 suffices for gradients to vanish in the end. At least ρ(W).

    Args:
        W: recurrent weights, shape (n, n).

    Returns:
        ρ(|W|).

    Raises:
        TypeError, ValueError: no finite real numbers, or not of shape (n, n).

    Reference: R. A. Horn, C. R. Johnson, "Matrix Analysis", Cambridge 2013, theorem 8.1.18.
    """
    return float(np.abs(np.linalg.eigvals(np.abs(concrete_square("W", W)))).max())


def _perron_units(W: np.ndarray) -> np.ndarray:
    """ln S with ‖S |W| S⁻¹‖₂ near ρ(|W|): ½ ln(y/x) of the positive eigenvectors y, x of |W|ᵀ and |W|."""
    size = np.abs(W)
    positive = size + 1e-12 * max(float(size.max()), 1e-300)
    x, y = np.ones(len(W)), np.ones(len(W))
    for _ in range(_ITERATIONS):
        x, y = np.matmul(positive, x), np.matmul(positive.T, y)
        x, y = x / x.sum(), y / y.sum()
    with np.errstate(divide="ignore"):
        units = np.log(np.maximum(y, 1e-300) / np.maximum(x, 1e-300)) / 2
    return units - units.min()


class _Objective:
    """max D − min D + n ln((1−α) + α γ ‖e^D W e^−D‖₂) over D = ln S, with a subgradient."""

    def __init__(self, W: np.ndarray, slope_bound: float, leak: float) -> None:
        self.W, self.slope_bound, self.leak = W, slope_bound, leak

    def norm(self, units: np.ndarray) -> float:
        return float(np.linalg.norm(self._scaled(units), 2))

    def rate(self, norm: Any) -> Any:
        return (1 - self.leak) + self.leak * self.slope_bound * norm

    def value(self, units: np.ndarray, lag: float) -> float:
        if not lag:
            return 0.0
        rate = self.rate(self.norm(units))
        return float(np.ptp(units)) + (lag * math.log(rate) if rate > 0 else -math.inf)

    def with_slope(self, units: np.ndarray, lag: float) -> tuple[float, np.ndarray]:
        left, values, right = np.linalg.svd(self._scaled(units))
        rate = self.rate(values[0])
        slope = lag * self.leak * self.slope_bound * values[0] / rate * (left[:, 0] ** 2 - right[0] ** 2)
        slope[np.argmax(units)] += 1
        slope[np.argmin(units)] -= 1
        return float(np.ptp(units)) + lag * math.log(rate), slope

    def _scaled(self, units: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            factors = np.exp(np.clip(units[:, None] - units[None, :], -700, 700))
        return np.where(self.W == 0, 0.0, self.W * factors)


def _improved(
    objective: _Objective, lag: float, starts: list[np.ndarray], evaluations: int
) -> list[np.ndarray]:
    """The best of the starts and where L-BFGS takes it; the objective is convex but has kinks, so both are kept."""
    from scipy.optimize import minimize

    best = min(starts, key=lambda units: objective.value(units, lag))
    if not np.isfinite(objective.value(best, lag)):
        return [best]
    options = {"maxiter": _ITERATIONS, "maxfun": evaluations}
    found = minimize(objective.with_slope, best, args=(lag,), jac=True, method="L-BFGS-B", options=options).x
    return [best, found]


def _sample(lags: np.ndarray, count: int) -> np.ndarray:
    """The lags themselves where they are few, else so many spread evenly in their logarithm."""
    positive = np.unique(lags[lags > 0])
    return positive if positive.size <= count else np.geomspace(positive[0], positive[-1], count)


def _effort(size: int) -> tuple[int, int]:
    """How many lags are optimised and the evaluations that each may take: fewer where one SVD is dear."""
    evaluations = _WORK / size**3
    lags = int(np.clip(evaluations // 50, _FEWEST, _OPTIMISED))
    return lags, int(max(evaluations // lags, 5))


def scaled_bounds(W: Any, lags: Any, *, slope_bound: Any = 1.0, leak: Any = 1.0) -> ScaledBounds:
    """The smallest κ(S) ((1−α) + α γ ‖S W S⁻¹‖₂)ⁿ that was found for each lag n.

    Candidates are S = 1, the Perron units of |W| in fractions, local improvements of the best of them at up to
    twenty lags (four for hundreds of units), and means between those; each lag takes the best of all. What is
    found is a theorem whether or not it is the smallest.

    Args:
        W: recurrent weights, shape (n, n).
        lags: lags n ≥ 0, shape (m,).
        slope_bound: γ > 0, e.g. 1 for tanh, ¼ for the logistic.
        leak: α in (0, 1].

    Returns:
        ``ScaledBounds``: natural logarithms, shape (m,), and the units S of each lag.

    Raises:
        TypeError, ValueError: no finite real numbers, wrong ranks, entries beyond 1e100, a negative lag, γ ≤ 0, α
            outside (0, 1].

    Reference: R. Sezginer, M. Overton, IEEE Trans. Automatic Control 35, 1990: ‖S W S⁻¹‖₂ is convex in ln S.
    """
    weights = concrete_square("W", W)
    if np.abs(weights).max() > LARGEST_WEIGHT:
        raise ValueError(f"W: expected entries up to {LARGEST_WEIGHT:g}, got {np.abs(weights).max():g}")
    every = concrete_array("lags", lags, ndim=1).astype(float)
    if (every < 0).any():
        raise ValueError(f"lags: expected numbers ≥ 0, got {every.min():g}")
    slope = float(concrete_array("slope_bound", slope_bound, ndim=0))
    if slope <= 0:
        raise ValueError(f"slope_bound: expected a number > 0, got {slope:g}")
    alpha = float(concrete_array("leak", fraction("leak", leak), ndim=0))
    with one_blas_thread(len(weights)):
        return _best(_Objective(weights, slope, alpha), every)


def _best(objective: _Objective, every: np.ndarray) -> ScaledBounds:
    """The smallest bound of each lag among all candidates."""
    weights = objective.W
    perron = _perron_units(weights)
    candidates = [share * perron for share in np.linspace(0, 1, 9)]
    found = [np.zeros(len(weights))]
    optimised, evaluations = _effort(len(weights))
    for lag in _sample(every, optimised):
        found += _improved(objective, float(lag), [*candidates, *found], evaluations)
    for before, after in itertools.pairwise(found):
        candidates += [before + share * (after - before) for share in (0.25, 0.5, 0.75, 1.0)]
    units = np.stack(candidates)
    units = np.minimum(units - units.min(axis=1, keepdims=True), _LARGEST)  # any units make a theorem
    spread = np.ptp(units, axis=1)
    norms = np.array([objective.norm(row) for row in units])
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = np.log(objective.rate(norms))
        table = spread[:, None] + np.where(every[None] == 0, 0.0, every[None] * rates[:, None])
    chosen = np.argmin(table, axis=0)
    log = np.take_along_axis(table, chosen[None], axis=0)[0]
    return ScaledBounds(every, log, units[chosen], spread[chosen], norms[chosen], table[0])
