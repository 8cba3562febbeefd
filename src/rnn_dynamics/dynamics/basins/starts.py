"""The arguments that every function about basins takes, checked once: a map, its input and its starts."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from rnn_dynamics.cells.arguments import checked_cell, checked_inputs
from rnn_dynamics.cells.shapes import state_of
from rnn_dynamics.cells.signature import checked_image, image
from rnn_dynamics.dynamics.basins.labelling import default_chunk
from rnn_dynamics.dynamics.phases import Lengths, lengths_of, on_phases
from rnn_dynamics.numerics.validation import count, index, real_array


@dataclasses.dataclass(frozen=True)
class StartsOfMap:
    """A map with its input, and starts as rows.

    Attributes:
        cell: the map.
        u: the input of every step, or ``None``.
        starts: shape (count, n), on the host.
        shape: the shape of one state, () for a single neuron.
        leading: the axes of the starts before the state's.
        chunk: starts of one tile.
        grown: what the search for trapping balls keeps of the cell, from call to call.
    """

    cell: Any
    u: Any
    starts: np.ndarray
    shape: tuple[int, ...]
    leading: tuple[int, ...]
    chunk: int
    grown: dict[Any, float] = dataclasses.field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def n(self) -> int:
        return self.starts.shape[1]

    @property
    def dtype(self) -> Any:
        return self.starts.dtype

    @property
    def lengths(self) -> Lengths | None:
        """The lengths of the coordinates that are phases."""
        return lengths_of(self.cell)


def _maps_scalars(cell: Any, dtype: Any, u: Any) -> bool:
    """Whether the cell takes a scalar to a scalar."""
    try:
        out = image(cell, jax.ShapeDtypeStruct((), dtype), u)
    except Exception:  # a cell of vectors may fail at a scalar in any way
        return False
    return getattr(out, "shape", None) == ()


def _is_single_neuron(cell: Any) -> bool:
    """Whether every parameter of a cell that declares its structure is a scalar."""
    leaves = jax.tree_util.tree_leaves(cell)
    return hasattr(cell, "structure") and all(jnp.ndim(leaf) == 0 for leaf in leaves)


def checked_problem(
    cell: Any,
    starts: Any,
    u: Any = None,
    *,
    state_ndim: int | None = None,
    chunk: int | None = None,
    name: str = "starts",
    topology: Any = None,
) -> StartsOfMap:
    """Starts of any leading shape with the cell they are for.

    Args:
        cell: a callable ``cell(x, u)``.
        starts: shape (…, n), or (…) for a single neuron.
        u: the input of every step, or ``None``.
        state_ndim: axes of one state, 0 or 1. By default 0 for a cell whose declared structure is that of a
            single neuron, and for one-dimensional starts of a cell that takes scalars; else 1.
        chunk: starts of one tile.
        name: the argument's name in messages.
        topology: lengths of the coordinates that are phases.

    Raises:
        TypeError, ValueError: a cell that is not callable or does not map such states to their like, starts
            that are traced, not finite real numbers, or of too few axes.
    """
    checked_cell(cell)
    array = state_of(cell, name, starts) if starts is not None else real_array(name, starts)
    if isinstance(array, Tracer):
        raise TypeError(f"{name}: expected concrete numbers; this runs on the host, not under jit")
    u = checked_inputs("u", u, array.dtype)
    if state_ndim is None:
        scalar = array.ndim <= 1 and _maps_scalars(cell, array.dtype, u)
        state_ndim = 0 if scalar or _is_single_neuron(cell) else 1
    state_ndim = index("state_ndim", state_ndim, minimum=0, maximum=1)
    if array.ndim < state_ndim or (state_ndim and not array.shape[-1]):
        raise ValueError(f"{name}: expected states of at least one unit, got shape {array.shape}")
    leading, shape = array.shape[: array.ndim - state_ndim], array.shape[array.ndim - state_ndim :]
    checked_image(cell, jax.ShapeDtypeStruct(shape, array.dtype), u, (name, "u"))
    n = shape[0] if shape else 1
    size = default_chunk(n) if chunk is None else count("chunk", chunk, minimum=1)
    rows = np.asarray(array).reshape(-1, n)
    return StartsOfMap(on_phases(cell, topology, rows, u, shape), u, rows, shape, leading, size)
