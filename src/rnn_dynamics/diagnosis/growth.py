"""Growth a step with its error, and what it makes of a run: vanishing, exploding, neither."""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

REGIMES = ("vanishing", "neither", "exploding", "undecided", "diverged", "not finite")
FACTOR = math.log(10)  # by which a gradient grows over a run, at least, where that is called exploding
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
    """

    rate: float
    error: float
    blocks: int


def of_step_logs(logs: np.ndarray) -> Growth:
    """The largest Lyapunov exponent from ln of the growth of one tangent at each step.

    The first quarter of the run is left out as a transient.
    """
    steps = len(logs)
    if steps < FEWEST:
        return Growth(math.nan, math.nan, 0)
    blocks = max(2, min(_BLOCKS, (steps - steps // 4) // 4))
    length = (steps - steps // 4) // blocks
    of_block = logs[steps - blocks * length :].reshape(blocks, length)
    if np.isneginf(of_block).any() and not np.isnan(of_block).any():
        return Growth(-math.inf, math.inf, blocks)
    means = of_block.mean(axis=1)
    return _growth(means, float(means.mean()))


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


def sign_of(growth: Growth, dtype: Any) -> int | None:
    """1 or −1 where 0 lies outside the 95 % interval of the rate (Student's, as blocks are few), else 0.

    ``None`` where there is no rate.
    """
    if math.isnan(growth.rate):
        return None
    if growth.rate == -math.inf:
        return -1
    from scipy.special import stdtrit

    rounding = 64 * float(np.finfo(dtype).eps)
    if abs(growth.rate) <= max(float(stdtrit(growth.blocks - 1, 0.975)) * growth.error, rounding):
        return 0
    return 1 if growth.rate > 0 else -1


def at_rest(growth: Growth, radius: float, dtype: Any) -> tuple[Growth, int | None]:
    """The growth of a run that ends at rest, its error no less than what it misses of ln ρ there, and its sign.

    A pair of complex multipliers turns a tangent round so slowly that blocks of a run do not tell how far the mean
    is from settled; in the end it is ln ρ, whose sign stands.
    """
    if not math.isfinite(growth.rate) or not radius > 0:
        return growth, sign_of(growth, dtype)
    truth = math.log(radius)
    error = max(growth.error, abs(growth.rate - truth))
    return growth._replace(error=error), sign_of(Growth(truth, 0.0, growth.blocks), dtype)


def regime_of(growth: Growth, *, diverged: bool, finite: bool, dtype: Any) -> str:
    """The sign of the rate as a word, where states and derivatives are finite."""
    if diverged:
        return "diverged"
    if not finite:
        return "not finite"
    return {None: "undecided", -1: "vanishing", 0: "neither", 1: "exploding"}[sign_of(growth, dtype)]


def _of_logs(logs: np.ndarray, *, diverged: bool, dtype: Any) -> tuple[str, Growth]:
    """Regime and growth of one vector carried back; ``logs`` by step, the last at lag 0.

    What grows less than tenfold over the run is not called exploding, however sure its rate is.
    """
    is_long = len(logs) > _FEWEST_OF_A_VECTOR and not diverged
    growth = mean_growth(logs[::-1]) if is_long else Growth(math.nan, math.nan, 0)
    regime = regime_of(growth, diverged=diverged, finite=not np.isnan(logs).any(), dtype=dtype)
    if regime == "exploding" and not float(np.max(logs)) - float(logs[-1]) >= FACTOR:
        regime = "neither"
    return regime, growth


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


class GradientSummary(NamedTuple):
    """What vectors carried back along some sequences amount to.

    Attributes:
        regimes: of each sequence, one of ``REGIMES``.
        growths: the mean growth by lag of each, in nats a step.
        horizons: of each the largest lag at which the norm is at least 1/e of its greatest.
    """

    regimes: tuple[str, ...]
    growths: tuple[Growth, ...]
    horizons: tuple[int, ...]

    @property
    def regime(self) -> str:
        """That of most sequences; of equally frequent ones the first in ``REGIMES``."""
        return max(REGIMES, key=self.regimes.count)

    @property
    def rates(self) -> np.ndarray:
        """The mean growths, shape (sequences,)."""
        return np.array([growth.rate for growth in self.growths])


def summary_of(
    logs: Float[np.ndarray, "sequences steps+1"], *, diverged: bool = False, dtype: Any
) -> GradientSummary:
    """Regime, growth and horizon of ln‖(∂x_T/∂x_k)ᵀ v‖ or ln‖∂x_T/∂x_k‖ for k = 0 … T, of every sequence."""
    found = [_of_logs(of_one, diverged=diverged, dtype=dtype) for of_one in logs]
    regimes, growths = zip(*found, strict=True)
    return GradientSummary(regimes, growths, tuple(reach(of_one, 1 / math.e) for of_one in logs))
