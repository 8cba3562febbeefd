"""One enumeration for how a computation ended; every result's ``status`` field holds its integer values."""

import enum
from typing import Any

import numpy as np


class Status(enum.IntEnum):
    """How one computation ended, one name for each way.

    ========== =====================================================================================
    CONVERGED  the equation is solved: the residual (or the enclosure) is within its tolerance
    RESOLVED   the error bound says that the floats carry the answer
    UNRESOLVED the error bound says that the floats cannot carry the answer; do not use the number
    UNDECIDED  no exact rule applied and the run was too short to tell
    DIVERGED   the state left the finite numbers
    MAX_STEPS  the iteration ended before its test was met
    ========== =====================================================================================
    """

    CONVERGED = 0
    RESOLVED = 1
    UNRESOLVED = 2
    UNDECIDED = 3
    DIVERGED = 4
    MAX_STEPS = 5


def count_resolved(status: Any) -> int:
    """How many entries are RESOLVED, counted on the host."""
    return int(np.sum(np.asarray(status) == int(Status.RESOLVED)))
