"""Growth a step with its error, and what it makes of a run: vanishing, exploding, neither."""

import math
from typing import Any, NamedTuple

import numpy as np

from rnn_dynamics.lyapunov import lyapunov_spectrum
from rnn_dynamics.rollout import Trajectory

__all__ = ["FEWEST", "Growth", "largest_exponent", "mean_growth", "of_logs", "reach", "regime_of"]

FEWEST = 8  # steps that a growth rate is estimated from, at least
_FEWEST_OF_A_VECTOR = 16
_BLOCKS = 20
_DRIFT = 3  # standard errors by which the halves of a run may differ


class Growth(NamedTuple):
    """A growth rate in nats a step.

    Attributes:
        rate: the mean.
        error: its standard error from the block means; the difference between the halves of the run where that is
            significant, as the rate has not settled then.
        blocks: how many.
        orbit: what the run says of itself: that it rests on a repelling set, so that this is the growth there and
            not beside it, or how soon the floats lose the orbit of x_0; empty where there is nothing to say.
    """

    rate: float
    error: float
    blocks: int
    orbit: str = ""


def largest_exponent(trajectory: Trajectory) -> Growth:
    """The largest Lyapunov exponent, the first quarter of the run left out as a transient."""
    steps = trajectory.steps
    if steps < FEWEST:
        return Growth(math.nan, math.nan, 0)
    discard = steps // 4
    blocks = max(2, min(_BLOCKS, (steps - discard) // 4))
    found = lyapunov_spectrum(trajectory, exponents=1, discard=discard, blocks=blocks)
    growth = _growth(np.asarray(found.block_means[:, 0], float), float(found.exponents[0]))
    return growth if found.orbit is None else growth._replace(orbit=found.orbit.describe())


def mean_growth(by_lag: np.ndarray, blocks: int = 8) -> Growth:
    """The mean growth a step of the logarithms, from block means, a quarter left out at the beginning."""
    kept = by_lag[len(by_lag) // 4 :]
    blocks = min(blocks, (len(kept) - 1) // 2)
    if blocks < 2 or np.isnan(kept).any():
        return Growth(math.nan, math.nan, 0)
    if not np.isfinite(kept).all():
        return Growth(-math.inf, math.inf, blocks)
    edges = np.linspace(0, len(kept) - 1, blocks + 1).astype(int)
    means = np.diff(kept[edges]) / np.diff(edges)
    return _growth(means, float(kept[-1] - kept[0]) / (len(kept) - 1))


def _growth(means: np.ndarray, rate: float) -> Growth:
    if not math.isfinite(rate):
        return Growth(rate, math.inf if rate == -math.inf else math.nan, len(means))
    error = float(means.std(ddof=1)) / math.sqrt(len(means))
    half = len(means) // 2
    if half >= 2:
        early, late = means[:half], means[-half:]
        change = abs(float(late.mean() - early.mean()))
        noise = math.sqrt((early.var(ddof=1) + late.var(ddof=1)) / half)
        if change > _DRIFT * noise:
            error = max(error, change)
    return Growth(rate, error, len(means))


def regime_of(growth: Growth, *, diverged: bool, finite: bool, dtype: Any) -> str:
    """Above or below 0 by more than the 95 % interval (Student's, as blocks are few), or neither."""
    if diverged:
        return "diverged"
    if not finite:
        return "not finite"
    if math.isnan(growth.rate):
        return "undecided"
    if growth.rate == -math.inf:
        return "vanishing"
    from scipy.special import stdtrit

    rounding = 64 * float(np.finfo(dtype).eps)
    if abs(growth.rate) <= max(float(stdtrit(growth.blocks - 1, 0.975)) * growth.error, rounding):
        return "neither"
    return "exploding" if growth.rate > 0 else "vanishing"


def of_logs(logs: np.ndarray, *, diverged: bool, dtype: Any) -> tuple[str, Growth]:
    """Regime and growth of one vector carried back; ``logs`` by step, the last at lag 0."""
    is_long = len(logs) > _FEWEST_OF_A_VECTOR and not diverged
    growth = mean_growth(logs[::-1]) if is_long else Growth(math.nan, math.nan, 0)
    return regime_of(growth, diverged=diverged, finite=not np.isnan(logs).any(), dtype=dtype), growth


def reach(logs: np.ndarray, share: float) -> int:
    """The largest lag at which a norm is at least a share of the greatest; ``logs`` by step, the last at lag 0.

    0 where all are 0, −1 where one is not finite.
    """
    by_lag = logs[::-1]
    if np.isnan(by_lag).any() or np.isposinf(by_lag).any():
        return -1
    if not (by_lag > -np.inf).any():
        return 0
    return int(np.flatnonzero(by_lag >= by_lag.max() + math.log(share))[-1])
