"""What the partial sums of a gradient do as more lags are added: Bengio's question, asked of numbers."""

import math

import numpy as np

_FEWEST = 8  # lags that a trend is told from
_BLOCKS = 4
_LEFT = 0.01  # of the sum, that lags to come may still add
_EVEN = 2.0  # standard errors within which a slope counts as 0


def trend_of(log_shares: np.ndarray, log_sums: np.ndarray) -> str:
    """One word on ln‖C_m‖ and ln‖S(m)‖, as ``CreditByLag.trend`` explains it."""
    quarter, half = len(log_shares) // 4, len(log_shares) // 2
    shares, sums = log_shares[half:], log_sums[half:]
    if len(shares) < _FEWEST or np.isnan(shares).any() or np.isnan(sums).any():
        return "undecided"
    if np.isneginf(shares).all():
        return "converges"
    now, now_error, end = _envelope(shares)
    # An exponential fall is as steep before as it is now; the end of a power law is steeper, as the run has a
    # beginning (at a cusp ∂x_T/∂x_k ∝ (k/T)^{3/2}, and the sum grows with T).
    before, before_error, reached = _envelope(log_shares[quarter:half])
    if before > -math.inf:
        end = max(end, reached + before * len(shares))
    slope, error = max((now, now_error), (before, before_error))
    # What is still to come of a geometric series, beside what has been added.
    if slope + _EVEN * error < 0 and end - math.log(-math.expm1(slope)) < sums[-1] + math.log(_LEFT):
        return "converges"
    sizes = np.exp(sums - sums.max())
    swings = np.abs(np.diff(np.sign(sizes - sizes.mean()))).sum() / 2
    if swings >= 3 and np.ptp(sizes) > 0.1 * sizes.mean():
        return "oscillates"
    adds = sums[-1] - sums[0] > math.log1p(_LEFT)
    return "grows" if now + _EVEN * now_error >= 0 and adds else "undecided"


def _envelope(shares: np.ndarray) -> tuple[float, float, float]:
    """Slope a lag of the greatest shares in a few blocks, its standard error, and how high they end."""
    blocks = np.array_split(shares, _BLOCKS)
    tops = np.array([block.max() for block in blocks])
    middles = np.cumsum([len(block) for block in blocks]) - [len(block) / 2 for block in blocks]
    known = np.isfinite(tops)
    if not known[-1]:
        return -math.inf, 0.0, -math.inf  # nothing has come for a quarter of these lags
    if known.sum() < 3:
        return 0.0, 0.0, float(tops[-1])
    (slope, offset), residuals, *_ = np.polyfit(middles[known], tops[known], 1, full=True)
    spread = np.sum((middles[known] - middles[known].mean()) ** 2)
    scatter = float(residuals[0]) if len(residuals) else 0.0
    error = math.sqrt(scatter / (known.sum() - 2) / spread)
    return float(slope), error, max(float(offset + slope * len(shares)), float(tops[-1]))
