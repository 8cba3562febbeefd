"""What one part of the last state owes to one part of every earlier one, and the share of direct edges in that."""

import math
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import join
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.gradients.one_step import step_matrix
from rnn_dynamics.gradients.steps import along, state_at, step_range
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.padding import scan
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.scaled import Scaled, from_float
from rnn_dynamics.numerics.validation import choice


class _PastNorms(NamedTuple):
    total: Float[Array, "steps+1"]
    direct: Float[Array, " span"]


class PastNorms(Result, _PastNorms):
    """Natural logarithms of norms of derivatives of the hidden vector h_T.

    Attributes:
        total: of dh_T/dh_k, through everything that looked back at h_k, k = 0 … T, shape (T+1,).
        direct: of ∂⁺h_T/∂h_{T−m}, the one edge that reaches over m = 1 … s steps, all other hidden vectors held,
            shape (s,); −inf where there is none.
    """

    __slots__ = ()
    _units: ClassVar = {"total": "nats", "direct": "nats"}


@lean(static_argnums=(0, 4, 5, 6))
def _part_norms(
    static: Any,
    arrays: Any,
    states: Array,
    inputs: Any,
    of: tuple,
    by: tuple,
    ord: Any,
    inside: Array | None = None,
) -> Array:
    """Rows of ∂x_T/∂x_k that belong to one part, pulled back side by side; of each the columns of the other."""
    cell = exact_slopes(join(static, arrays))

    def norm(rows: Scaled) -> Array:
        block = Scaled(rows.unit[:, slice(*by)], rows.exponent, 2).normalize()
        return block.norm(ord).log()

    def back(rows: Scaled, step: tuple) -> tuple[Scaled, Array]:
        x, u = step
        pull = jax.vjp(lambda state: cell(state, u).reshape(-1), x)[1]
        pulled = jax.vmap(lambda row: pull(row)[0].reshape(-1))(rows.unit)
        earlier = Scaled(pulled, rows.exponent, 2).normalize()
        return earlier, norm(earlier)

    size = math.prod(states.shape[1:])
    start = from_float(jnp.eye(size, dtype=states.dtype)[slice(*of)], event_ndim=2)
    _, logs = scan(back, start, (states, inputs), inside, reverse=True)
    return jnp.concatenate([logs, norm(start)[None]])


def _place(trajectory: Trajectory, name: str, value: Any) -> tuple[int, int]:
    parts = getattr(trajectory.cell, "parts", {})
    if not parts:
        raise ValueError(f"trajectory: {type(trajectory.cell).__name__} names no parts of its state")
    part = parts[choice(name, value, list(parts))]
    return part.start, part.stop


def part_norms(
    trajectory: Trajectory, of: str, by: str | None = None, *, ord: int | str = 2, stop: int | None = None
) -> Float[Array, "steps+1"]:
    """ln‖∂y_stop/∂z_k‖ for every k = 0 … stop, y one part of the state and z another: an LSTM's carousel apart.

    It is the block of J_stop ⋯ J_{k+1} with y's rows and z's columns: the other parts of x_k are held.

    Args:
        trajectory: from ``rollout``, of a cell with ``parts``.
        of: the name of y, as "hidden" or "layer 1 cell".
        by: the name of z; that of y by default.
        ord: 2, the spectral norm, or "fro".
        stop: T by default.

    Returns:
        Natural logarithms; −inf where the block is exactly zero.

    Raises:
        TypeError, ValueError: not a trajectory; a cell without parts, or without that part; stop outside 0 … T;
            another norm.

    Reference: S. Hochreiter, J. Schmidhuber, Neural Computation 9, 1735 (1997), for the carousel.
    """
    step_range(trajectory, 0, stop)
    rows = _place(trajectory, "of", of)
    columns = rows if by is None else _place(trajectory, "by", by)
    ord = choice("ord", ord, [2, "fro"])
    return along(_part_norms, trajectory, 0, stop, rows, columns, ord, of_matrices=True)


def past_norms(trajectory: Trajectory, *, ord: int | str = 2, stop: int | None = None) -> PastNorms:
    """What h_stop owes to each hidden vector before it, in all and over the one direct edge.

    Args:
        trajectory: of a cell that looks at several past hidden vectors: ``SkipRNN``, ``AttentionRNN``.
        ord: 2, the spectral norm, or "fro".
        stop: T by default.

    Returns:
        ``PastNorms``, natural logarithms.

    Raises:
        TypeError, ValueError: not a trajectory, of another cell, or without steps before stop; stop outside
            0 … T; another norm.

    Reference: Y. Bengio, P. Simard, P. Frasconi, IEEE Trans. Neural Networks 5, 157 (1994).
    """
    _, last = step_range(trajectory, 0, stop)
    cell = trajectory.cell
    if not hasattr(cell, "window"):
        raise TypeError(f"trajectory: expected a cell with a window of its past, got {type(cell).__name__}")
    if not last:
        raise ValueError("trajectory: expected at least one step before stop, got none")
    total = part_norms(trajectory, "hidden", ord=ord, stop=stop)
    u = jax.tree_util.tree_map(lambda leaf: leaf[last - 1], trajectory.inputs)
    newest = step_matrix(cell, state_at(trajectory, last - 1), u)[: cell.units]
    edges = jnp.moveaxis(newest.reshape(cell.units, cell.span, cell.units), 1, 0)
    direct = from_float(edges, event_ndim=2).norm(ord).log()
    return PastNorms(total, direct)
