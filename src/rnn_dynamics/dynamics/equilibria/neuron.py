"""All equilibria of a scalar neuron, each in a bracket on which x − F(x) is monotone."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import join, parameter_dtype
from rnn_dynamics.dynamics.equilibria.cycles import Roots, gathered, measured, split_by_period
from rnn_dynamics.dynamics.equilibria.equation import RootProblem, posed, residual_tolerance
from rnn_dynamics.dynamics.equilibria.results import FixedPoints
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.roots import bracketed_root
from rnn_dynamics.numerics.status import Status


def has_brackets(cell: Any) -> bool:
    """Whether the cell says between which states all its equilibria lie."""
    return hasattr(cell, "monotone_pieces")


@lean(static_argnums=0)
def _solved(static: Any, arrays: Any, u: Any) -> tuple[Float[Array, " 3"], Array, Array, Array]:
    """A root of each piece, its status, the turning points, and x − F(x) there over its rounding."""
    cell = join(static, arrays)
    ends = cell.monotone_pieces(u)

    def excess(x: Array) -> Array:
        return x - jax.vmap(lambda at: cell(at, u))(x)

    root = bracketed_root(excess, ends[:-1], ends[1:])
    turns = ends[1:-1]
    unit = float(jnp.finfo(ends.dtype).eps)
    touching = jnp.abs(excess(turns)) <= 16 * unit * (1 + jnp.abs(turns))
    return root.value, root.status, turns, touching


def bracketed(problem: RootProblem, cell: Any, u: Any, tolerance: float) -> tuple[Roots, bool]:
    """The roots of all pieces, and whether every change of sign gave one.

    A turning point where x − F(x) is rounding is a double root as far as floats can tell; it is taken as one.
    """
    held = None if u is None else jax.tree_util.tree_map(lambda leaf: leaf[0], problem.inputs)
    columns = _solved(problem.static, problem.arrays, held)
    value, status, turns, touching = (np.asarray(column) for column in columns)
    found = status != Status.UNDECIDED
    points = np.concatenate([value[found], turns[touching]]).astype(problem.dtype)
    roots = measured(problem, points[:, None], 1)
    # Newton from a turning point may leave its piece; the point itself is then the better answer.
    good = roots.accepted(tolerance)
    solved = int(np.sum(good[: found.sum()]))
    return roots.take(good), solved == int(found.sum())


def all_fixed_points(cell: Any, *, u: Any = None, tolerance: float | None = None) -> FixedPoints:
    """All equilibria of a scalar neuron under a held input, guaranteed.

    x − F(x) is monotone between its turning points, which the cell gives in closed form, so that each piece holds
    at most one root and a change of sign proves it.

    Args:
        cell: a neuron with ``monotone_pieces(u)``: ``DoyaNeuron``, ``PascanuNeuron``.
        u: the input, held; ``None`` for none.
        tolerance: as for ``fixed_points``.

    Returns:
        ``FixedPoints`` with ``complete`` set. Two equilibria that floats cannot tell apart, next to a fold, are
        one, UNRESOLVED, with its ``error``.

    Raises:
        TypeError, ValueError: a cell without brackets; an input that does not fit it.

    Reference: K. Doya, ISCAS 1992, for the single neuron; for piecewise-linear networks L. Eisenmann, Z. Monfared,
    N. Göring, D. Durstewitz, NeurIPS 2023.
    """
    if not has_brackets(cell):
        raise TypeError(
            f"cell: expected a neuron with monotone_pieces (DoyaNeuron, PascanuNeuron), "
            f"got {type(cell).__name__}"
        )
    problem, _, _ = posed(cell, np.zeros(1, parameter_dtype(cell)), u, None, 1)
    roots, complete = bracketed(problem, cell, u, residual_tolerance(problem, tolerance))
    none = np.zeros(0, int)
    by_period = split_by_period(problem, roots, 1, 1.0)
    return gathered(problem, by_period, none, none, complete=complete)
