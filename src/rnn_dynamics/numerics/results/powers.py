"""Sizes beyond the floats as text."""

import math

DECADE = math.log(10)  # nats
_WHOLE = 1000.0  # From 10^1000 on a digit behind the point says nothing.


def power_of_ten(log: float) -> str:
    """e^log as ``10^…`` with four digits, whole from 10^±1000 on; "0" of −inf. ``log`` is in nats."""
    decades = log / DECADE
    if decades == -math.inf:
        return "0"
    return f"10^{decades:.0f}" if _WHOLE <= abs(decades) < math.inf else f"10^{decades:.4g}"
