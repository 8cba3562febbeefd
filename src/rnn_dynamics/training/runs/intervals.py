"""Wilson's interval of a success rate."""

from typing import Any

import numpy as np
from jaxtyping import Float

from rnn_dynamics.numerics.validation import concrete_array

_NORMAL_QUANTILE = 1.959963984540054


def wilson(successes: Any, trials: Any) -> Float[np.ndarray, "2 ..."]:
    """Wilson's 95 % interval of a success rate: (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n), p = k/n.

    Args:
        successes: k, of any shape that broadcasts with ``trials``.
        trials: n ≥ 1.

    Returns:
        Low and high, shape (2, …), within [0, 1].

    Raises:
        TypeError: no numbers.
        ValueError: fewer than one trial, or successes that are no count of them.

    Reference:
        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    k, n = (
        concrete_array(name, value, ndim=np.ndim(value)).astype(float)
        for name, value in (("successes", successes), ("trials", trials))
    )
    if np.any(n < 1):
        raise ValueError(f"trials: expected at least 1, got {n.min()}")
    if np.any((k < 0) | (k > n)):
        raise ValueError("successes: expected counts from 0 to trials")
    share, z = k / n, _NORMAL_QUANTILE
    middle = share + z**2 / (2 * n)
    reach = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = np.stack([middle - reach, middle + reach]) / (1 + z**2 / n)
    return np.stack([np.where(k == 0, 0.0, low), np.where(k == n, 1.0, high)])  # exact at the ends
