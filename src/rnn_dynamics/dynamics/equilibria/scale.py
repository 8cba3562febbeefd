"""States so small that tolerances, which are relative to max(1, |x|), cannot tell them apart."""

import math
import warnings

import numpy as np

_ROOTS = 4.0  # of the dtype's resolution: distances that decisions are made at are of its square root


class SmallStateWarning(UserWarning):
    """All states are so small beside 1, the unit of tolerances, that points and cycles may be merged."""


def warn_of_small_states(dtype: np.dtype, *states: np.ndarray, stacklevel: int = 3) -> None:
    """A ``SmallStateWarning`` where no coordinate of any of these exceeds 4 √eps, and some are not 0."""
    sizes = [np.abs(part[np.isfinite(part)]).max(initial=0.0) for part in states]
    largest, limit = float(max(sizes, default=0.0)), _ROOTS * math.sqrt(float(np.finfo(dtype).eps))
    if not 0 < largest < limit:
        return
    warnings.warn(
        f"no state is larger than {largest:.1g}, and tolerances are relative to 1: in {dtype} points nearer to one "
        f"another than about {limit / _ROOTS:.0e} may be taken for one, a cycle for a fixed point. Choose units in "
        "which the states are of size 1: with F the map and s their size, lambda x, u: F(s * x, u) / s",
        SmallStateWarning,
        stacklevel=stacklevel,
    )
