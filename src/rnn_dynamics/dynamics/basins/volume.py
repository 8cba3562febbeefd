"""Maps that keep volume, |det DF| = 1, as Hamiltonian ones do: nothing attracts."""

import numpy as np

from rnn_dynamics.dynamics.basins.polish import orbits_of, step_matrices
from rnn_dynamics.dynamics.basins.starts import StartsOfMap

_MOST_UNITS = 64
_AHEAD = 33  # as many states as the search asks for: one program


def keeps_volume(problem: StartsOfMap) -> bool:
    """Whether |det DF| = 1 but for rounding along the first steps of the orbits of up to 16 starts."""
    if not 0 < problem.n <= _MOST_UNITS or not len(problem.starts):
        return False
    rows = problem.starts[np.linspace(0, len(problem.starts) - 1, 16).astype(int)]
    states = orbits_of(problem.cell, rows, problem.u, problem.shape, _AHEAD)[:, :: _AHEAD - 1].reshape(
        -1, problem.n
    )
    states = states[np.isfinite(states).all(1)]
    if not len(states):
        return False
    matrices = step_matrices(problem.cell, states, problem.u, problem.shape).astype(np.float64)
    rounding = 64 * float(np.finfo(problem.dtype).eps) * (1 + (matrices**2).sum((1, 2)))
    with np.errstate(divide="ignore"):
        logs = np.linalg.slogdet(matrices)[1]
    return bool(np.isfinite(matrices).all() and (np.abs(logs) <= rounding).all())
