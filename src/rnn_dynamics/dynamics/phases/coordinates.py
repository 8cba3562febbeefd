"""A map on coordinates some of which are phases: the cell with every state it gives reduced to [0, L)."""

from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from rnn_dynamics.cells.pytree import cell_type, join, split
from rnn_dynamics.numerics.batching import filled, power_of_two_above
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.topology import Lengths, canonical, checked_topology, wrapped

_LEAST_ROWS = 64
_TRIED = 8  # states at which F(x + L) ≡ F(x) is looked at


@cell_type(static=("lengths",))
class OnPhases:
    """``cell`` with its phases reduced to [0, L) after each step; its derivatives are the cell's own.

    It carries the lengths through every compiled kernel, as part of the cell.
    """

    cell: Any
    lengths: Lengths

    def __init__(self, cell: Any, lengths: Lengths) -> None:
        for name, value in (("cell", cell), ("lengths", lengths)):
            object.__setattr__(self, name, value)

    def __call__(self, x: Any, u: Any = None) -> Any:
        following = self.cell(x, u)
        if following.ndim == 1:
            return canonical(following, self.lengths)
        return canonical(following.reshape(-1), self.lengths).reshape(following.shape)

    @property
    def jacobian(self) -> Any:
        """The cell's closed form, where it has one."""
        return self.cell.jacobian


def lengths_of(cell: Any) -> Lengths | None:
    """Return the lengths of the phases that a cell carries."""
    return cell.lengths if isinstance(cell, OnPhases) else None


@lean(static_argnums=(0, 4))
def _images(static: Any, arrays: Any, states: Any, u: Any, shape: tuple[int, ...]) -> Any:
    cell = join(static, arrays)
    return jax.vmap(lambda x: cell(x.reshape(shape), u).reshape(-1))(states)


def images(cell: Any, states: np.ndarray, u: Any, shape: tuple[int, ...]) -> np.ndarray:
    """F of each of the states (count, n), on the host; padded so that few programs compile."""
    rows = filled(states, power_of_two_above(len(states), _LEAST_ROWS))
    return np.asarray(_images(*split(cell), rows, u, shape))[: len(states)]


def _is_traced(*trees: Any) -> bool:
    return any(isinstance(leaf, Tracer) for tree in trees for leaf in jax.tree_util.tree_leaves(tree))


def on_phases(cell: Any, topology: Any, states: Any, u: Any, shape: tuple[int, ...]) -> Any:
    """The cell on its phases; the cell itself where the topology names none.

    Args:
        cell: a map ``cell(x, u)``, checked.
        topology: one entry for each coordinate, or one for all, as the caller gave it.
        states: some states, shape (count, n), at which F(x + L) ≡ F(x) is looked at.
        u: the input of a step, or ``None``.
        shape: of a state.

    Raises:
        TypeError, ValueError: as ``checked_topology``; ValueError where F(x + L e_i) is not F(x) up to whole
            lengths at most of the states.
    """
    lengths = checked_topology(topology, int(np.prod(shape, dtype=int)))
    if lengths is None or not any(lengths):
        return cell
    wrapping = OnPhases(cell, lengths)
    if len(states) and not _is_traced(cell, states, u):
        _check_periodic(wrapping, np.asarray(states), u, shape)
    return wrapping


def _check_periodic(cell: OnPhases, states: np.ndarray, u: Any, shape: tuple[int, ...]) -> None:
    chosen = np.linspace(0, len(states) - 1, min(len(states), _TRIED)).astype(int)
    x = canonical(states[chosen], cell.lengths)
    phases = [i for i, length in enumerate(cell.lengths) if length is not None]
    moved = np.repeat(x[None], len(phases), axis=0)
    for row, i in zip(moved, phases, strict=True):
        row[:, i] += np.asarray(cell.lengths[i], x.dtype)
    found = images(cell, np.concatenate([x, moved.reshape(-1, x.shape[1])]), u, shape)
    here, there = found[: len(x)], found[len(x) :].reshape(moved.shape)
    off = np.abs(wrapped(there - here, cell.lengths))
    scale = 1 + np.abs(here) + np.array([length or 0 for length in cell.lengths])
    rounding = np.finfo(x.dtype).eps ** 0.5 * np.where(np.isfinite(off), scale, np.inf)
    wrong = (off > rounding).any(axis=-1)
    for row, i in enumerate(phases):
        # At a state beside a jump of the map the two may fall on different sides of it.
        if wrong[row].sum() * 2 > len(x):
            raise ValueError(
                f"topology: expected a map with F(x + L e_i) = F(x) up to whole lengths; coordinate {i} is no "
                f"phase of length {cell.lengths[i]:g}, as F moves by {off[row].max():.3g} there"
            )
