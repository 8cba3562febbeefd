"""Layers on top of one another as one recurrent map."""

import itertools
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import cell_type, layer_name, set_fields
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import count


@cell_type(static=("sizes", "reads"))
class Stack:
    """Layer l takes what layer l − 1 puts out at the same step: h⁺_l = F_l(h_l, h⁺_{l−1}), h⁺_0 = u.

    The state is those of the layers, one after the other. What a layer puts out is its part "hidden" where it
    names one (``LSTM``), else its whole state.

    A stack among the layers gives its layers, counted on: ``Stack([Stack([a, b]), c])`` is ``Stack([a, b, c])``,
    names and all, and c takes what b puts out. Only a c whose ``W_in`` has a column for every entry of the inner
    stack's state, and not for what b puts out, takes that whole state.

    Args:
        cells: the layers, the one next to the input first.
        sizes: entries of each layer's state; by default twice the units of a cell with parts, else its units.

    Attributes:
        reads: for each layer of how many layers below it takes the whole states, 0 where it takes what the one
            below puts out; ``None`` where all do.

    Raises:
        TypeError, ValueError: no layers, sizes that are no counts or do not match, a cell whose size is not known.
    """

    cells: tuple[Any, ...]
    sizes: tuple[int, ...]
    reads: tuple[int, ...] | None

    def __init__(self, cells: Any, sizes: Any = None) -> None:
        cells = tuple(cells)
        if not cells:
            raise ValueError("cells: expected at least one layer, got none")
        for i, cell in enumerate(cells):
            if not callable(cell):
                raise TypeError(f"cells[{i}]: expected a callable cell(x, u), got {type(cell).__name__}")
        sizes = tuple(map(state_size, cells)) if sizes is None else tuple(sizes)
        if len(sizes) != len(cells):
            raise ValueError(
                f"sizes: expected one for each of {counted(len(cells), 'layer')}, got {len(sizes)}"
            )
        sizes = tuple(count(f"sizes[{i}]", s, minimum=1) for i, s in enumerate(sizes))
        layers = [_layers_of(i, *pair) for i, pair in enumerate(zip(cells, sizes, strict=True))]
        reads: list[int] = []
        for i, (own, _, inner) in enumerate(layers):
            is_above_stack = i > 0 and isinstance(cells[i - 1], Stack)
            reads += [_whole_states_read(layers[i - 1], own[0]) if is_above_stack else 0, *inner[1:]]
        set_fields(
            self,
            cells=tuple(itertools.chain.from_iterable(own for own, _, _ in layers)),
            sizes=tuple(itertools.chain.from_iterable(of_each for _, of_each, _ in layers)),
            reads=tuple(reads) if any(reads) else None,
        )

    @property
    def parts(self) -> dict[str, slice]:
        """Where each layer's state, or its parts, lie in the flat state: "layer 0", or "layer 0 hidden"."""
        found, first = {}, 0
        for i, (cell, size) in enumerate(zip(self.cells, self.sizes, strict=True)):
            inner = getattr(cell, "parts", None) or {"": slice(0, size)}
            for name, part in inner.items():
                found[layer_name(i, name)] = slice(first + part.start, first + part.stop)
            first += size
        return found

    def split(self, x: Float[Array, "... n"]) -> dict[str, Float[Array, "... m"]]:
        """The parts of a state, or of states, by name."""
        return {name: x[..., part] for name, part in self.parts.items()}

    def __call__(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        return jnp.concatenate([later for _, _, _, later in self._layers(x, u)])

    def gates(self, x: Float[Array, " n"], u: Any = None) -> dict[str, Array]:
        """The gates of every layer that has some: "layer 0 forget"."""
        return self._of_layers("gates", x, u)

    def carries(self, x: Float[Array, " n"], u: Any = None) -> dict[str, Array]:
        """What units keep of their memory at fixed gates, for every layer that tells."""
        return self._of_layers("carries", x, u)

    def _layers(self, x: Array, u: Any) -> list[tuple[Any, Array, Any, Array]]:
        """Of each layer the cell, its state, what it takes and its next state."""
        found, first, below = [], 0, u
        for i, (cell, size) in enumerate(zip(self.cells, self.sizes, strict=True)):
            if self.reads and self.reads[i]:
                below = jnp.concatenate([later for _, _, _, later in found[-self.reads[i] :]])
            state = x[first : first + size]
            if i:
                _check_width(i, cell, below)
            later = cell(state, below)
            found.append((cell, state, below, later))
            hidden = getattr(cell, "parts", {}).get("hidden")
            below = later if hidden is None else later[hidden]
            first += size
        return found

    def _of_layers(self, method: str, x: Array, u: Any) -> dict[str, Array]:
        return {
            layer_name(i, name): value
            for i, (cell, state, given, _) in enumerate(self._layers(x, u))
            if hasattr(cell, method)
            for name, value in getattr(cell, method)(state, given).items()
        }


def _check_width(i: int, cell: Any, below: Array) -> None:
    """What a layer takes is what the one below it gives."""
    weights = getattr(cell, "W_in", None)
    if weights is not None and jnp.ndim(weights) == 2 and jnp.shape(weights)[1] != jnp.shape(below)[-1]:
        raise ValueError(
            f"layer {i}: expected {jnp.shape(weights)[1]} inputs, which its W_in takes, "
            f"got {jnp.shape(below)[-1]} from layer {i - 1}"
        )


_Layers = tuple[tuple[Any, ...], tuple[int, ...], tuple[int, ...]]


def _layers_of(i: int, cell: Any, size: int) -> _Layers:
    """The cells, sizes and reads of an entry of a stack: those of an inner stack, or itself alone."""
    if not isinstance(cell, Stack):
        return (cell,), (size,), (0,)
    if size != sum(cell.sizes):
        raise ValueError(f"sizes[{i}]: expected {sum(cell.sizes)}, the state of that stack, got {size}")
    return cell.cells, cell.sizes, cell.reads or (0,) * len(cell.cells)


def _whole_states_read(below: _Layers, cell: Any) -> int:
    """How many layers an inner stack has whose whole state a cell's ``W_in`` fits, and not what it puts out."""
    cells, sizes, _ = below
    width = getattr(getattr(cell, "W_in", None), "shape", ())[-1:]
    if not width:
        return 0
    hidden = (getattr(cells[-1], "parts", None) or {}).get("hidden")
    out = sizes[-1] if hidden is None else hidden.stop - hidden.start
    return len(cells) if width[0] == sum(sizes) != out else 0


def layer_of(cell: Any, name: str) -> tuple[str, Any]:
    """The number and the cell of the layer that a name of a stack's parts, gates or carries tells of.

    ("", the cell itself) where the cell is no stack or the name tells of no layer; of a network within a layer,
    which does not take its layers apart itself, that layer.
    """
    if not isinstance(cell, Stack) or not name.startswith("layer "):
        return "", cell
    number = name.split()[1]
    return number, cell.cells[int(number.partition(".")[0])]


def state_size(cell: Any) -> int:
    """Entries of the state of a cell of the library.

    Raises:
        ValueError: a cell that names neither parts nor units.
    """
    parts = getattr(cell, "parts", None)
    if parts:
        return max(part.stop for part in parts.values())
    units = getattr(cell, "units", None)
    if units is not None:
        return int(units)
    weights = getattr(cell, "W", None)
    if weights is not None:
        return int(weights.shape[-1])
    raise ValueError(f"sizes: expected the size of each layer, as {type(cell).__name__} does not tell it")


def put_out(cell: Any, size: int) -> slice:
    """Where in a cell's state lies what it puts out: its part "hidden", of a stack that of its last layer."""
    first = 0
    if isinstance(cell, Stack):
        first, cell = sum(cell.sizes[:-1]), cell.cells[-1]
    part = (getattr(cell, "parts", None) or {}).get("hidden", slice(0, size - first))
    return slice(first + part.start, first + part.stop)
