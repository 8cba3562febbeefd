"""States and units so small that tolerances, which are relative to max(1, |x|), cannot tell them apart."""

import math
import warnings

import numpy as np

from rnn_dynamics.numerics.texts import counted

_ROOTS = 4.0  # of the dtype's resolution: distances that decisions are made at are of its square root
_TOLD_APART = 64.0  # roundings of the largest unit, below which polished states are one


class SmallStateWarning(UserWarning):
    """States, or some of their units, are so small that points and cycles which differ there may be merged.

    Tolerances are relative to 1, or to the largest unit of the state where this is larger.
    """


def warn_of_small_states(dtype: np.dtype, *states: np.ndarray, stacklevel: int = 3) -> None:
    """A ``SmallStateWarning`` where no coordinate of any of these exceeds 4 √eps, and some are not 0.

    So too where some coordinate that is not 0 stays below 64 roundings of the largest one. ``states`` are rows.
    """
    eps = float(np.finfo(dtype).eps)
    rows = [
        np.where(np.isfinite(part), np.abs(part), 0.0).reshape(len(part), -1)
        for part in states
        if np.size(part)
    ]
    units = np.max([part.max(axis=0) for part in rows], axis=0) if rows else np.zeros(1)
    largest, limit = float(units.max()), _ROOTS * math.sqrt(eps)
    tiny = np.flatnonzero((units > 0) & (units < _TOLD_APART * eps * largest))
    if 0 < largest < limit:
        text = (
            f"no state is larger than {largest:.1g}, and tolerances are relative to 1: in {dtype} points nearer to "
            f"one another than about {limit / _ROOTS:.0e} may be taken for one, a cycle for a fixed point. Choose "
            "units in which the states are of size 1: with F the map and s their size, lambda x, u: F(s * x, u) / s"
        )
    elif tiny.size:
        text = (
            f"unit {tiny[0]} is nowhere larger than {units[tiny[0]]:.1g}, and tolerances are relative to the "
            f"largest unit, {largest:.1g}: in {dtype} points and cycles that differ in such units alone are taken "
            f"for one ({tiny.size} of "
            f"{counted(units.size, 'unit')}). Choose units in which all are of size 1: with F the map "
            "and s their sizes, lambda x, u: F(s * x, u) / s"
        )
    else:
        return
    warnings.warn(text, SmallStateWarning, stacklevel=stacklevel)
