"""The index sum: what a map of a ball into itself must give, so that a wrong sum proves that points are missing.

The index of an isolated root of x = F^p(x) with regular I − J is sign det(I − J), J = ∂F^p/∂x. Over all roots they
sum to the Lefschetz number, 1 for a continuous map of a compact convex set into itself.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from rnn_dynamics.cells import (
    GRU,
    LSTM,
    DoyaNeuron,
    ElmanRNN,
    LeakyRNN,
    MinimalGatedUnit,
    MinimalRNN,
    PascanuNeuron,
    PreActivationRNN,
    Stack,
    activations,
)
from rnn_dynamics.dynamics.equilibria.results import FixedPoints
from rnn_dynamics.numerics.status import Status

_ALWAYS = (DoyaNeuron, PascanuNeuron, MinimalGatedUnit, MinimalRNN)
_BY_ACTIVATION = (ElmanRNN, LeakyRNN, PreActivationRNN)
_FROM_0_TO_1 = tuple(activations.get(name) for name in ("sigmoid", "hard_sigmoid_5", "hard_sigmoid_6"))


def maps_a_ball_into_itself(cell: Any) -> bool:
    """Whether a built-in cell is known to map some box into itself under every input.

    Bounded activations give bounded states, a leak or an update gate averages them with the state before; an
    LSTM's forget gate stays below 1, as its hidden state is bounded and no peephole lets it see c; a hard one
    reaches 1.
    """
    if type(cell) in _ALWAYS:
        return True
    if type(cell) in _BY_ACTIVATION:
        return cell.activation.is_bounded
    if type(cell) is Stack:
        return all(map(maps_a_ball_into_itself, cell.cells))
    if type(cell) is GRU:
        return cell.activation.is_bounded and any(cell.gate_activation is gate for gate in _FROM_0_TO_1)
    if type(cell) is not LSTM or cell.peepholes is not None:
        return False
    out = cell.activation if cell.output_activation is None else cell.output_activation
    return cell.activation.is_bounded and out.is_bounded and cell.gate_activation is activations.logistic


def indices(jacobians: Float[np.ndarray, "m n n"], power: int = 1) -> Int[np.ndarray, " m"]:
    """sign det(I − J^power) of each, by the real eigenvalues: complex ones come in pairs and count twice."""
    signs = np.ones(len(jacobians), int)
    for i, matrix in enumerate(jacobians):
        values = np.linalg.eigvals(matrix.astype(np.float64))
        real = values[values.imag == 0].real ** power
        signs[i] = -1 if np.sum(real > 1) % 2 else 1
    return signs


def index_sum(found: FixedPoints, period: int, cycle: int) -> int | None:
    """Σ sign det(I − ∂F^p/∂x) over all listed roots of x = F^p(x), a d-cycle counted d times.

    ``None`` where a root is marginal or unresolved: its index is then not known.

    Args:
        found: the listed points, of periods that divide p.
        period: p, in multiples of the input's period.
        cycle: the length of a periodic input, else 1.
    """
    if found.marginal.any() or (found.status != Status.CONVERGED).any():
        return None
    total = 0
    for length in np.unique(found.period // cycle):
        own = found.period == length * cycle
        total += int(length) * int(indices(found.jacobians[own], period // int(length)).sum())
    return total
