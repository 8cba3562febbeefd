"""What a cell expects, in shapes and in words: its state with the parts of it, and one step's input."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from rnn_dynamics.cells.neurons import DoyaNeuron, PascanuNeuron
from rnn_dynamics.cells.pytree import parameter_dtype
from rnn_dynamics.cells.stack import Stack, state_size
from rnn_dynamics.numerics.given import on_host, warn_of_mixed
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import real_array

_SEVERAL = "several sequences: pass a list of them, lengths=, or use jax.vmap"
_LETTERS = {"hidden": "h", "cell": "c"}


class Shapes(NamedTuple):
    """The shapes that a cell takes.

    Attributes:
        state: of x, or ``None`` where the cell does not tell.
        inputs: of u; ``None`` where it does not tell or takes none.
        takes_inputs: False where it is known to take none.
        parts: "[h0, c0, h1, c1]", the order of the state's parts, or "".
    """

    state: tuple[int, ...] | None
    inputs: tuple[int, ...] | None = None
    takes_inputs: bool = True
    parts: str = ""

    def __str__(self) -> str:
        size = "x0 of a size that the cell does not tell"
        if self.state is not None:
            size = f"x0 of {self.state[0]}" if self.state else "x0 a number"
        given = "inputs, where there are any, with time first"
        if not self.takes_inputs:
            given = "no inputs but steps="
        elif self.inputs is not None:
            given = f"inputs {_shown(('steps', *self.inputs))}"
        return f"{size}{self.parts and ' = ' + self.parts}; {given}; {_SEVERAL}"


def _shown(shape: tuple[Any, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"


def is_ours(cell: Any) -> bool:
    """Whether the cell is one of the library's, whose attributes mean what they say."""
    return type(cell).__module__.startswith("rnn_dynamics.cells.")


def shapes_of(cell: Any) -> Shapes:
    """What a cell of the library takes; of one's own the size that its ``parts``, ``units`` or ``W`` tell."""
    if isinstance(cell, DoyaNeuron | PascanuNeuron):
        return Shapes((), ())
    try:
        state = (state_size(cell),)
    except (ValueError, TypeError, AttributeError, IndexError):
        return Shapes(None)
    if not is_ours(cell):
        return Shapes(state)
    if isinstance(cell, Stack):
        lowest = shapes_of(cell.cells[0]) if is_ours(cell.cells[0]) else Shapes(None)
        return Shapes(state, lowest.inputs, lowest.takes_inputs, _letters(cell))
    if not hasattr(cell, "W_in"):
        return Shapes(state)
    parts = _letters(cell)
    if cell.W_in is None:
        return Shapes(state, None, False, parts)
    return Shapes(state, tuple(cell.W_in.shape[1:]), True, parts)


def _letters(cell: Any) -> str:
    """The parts of a state in their order, h and c with the number of the layer where there are layers."""
    if isinstance(cell, Stack):
        found = [
            f"{_LETTERS.get(name, name)}{i}"
            for i, layer in enumerate(cell.cells)
            for name in getattr(layer, "parts", None) or ("hidden",)
        ]
        return f"[{', '.join(found)}]"
    names = getattr(cell, "parts", None)
    return f"[{', '.join(_LETTERS.get(str(name), str(name)) for name in names)}]" if names else ""


def check_shapes(
    cell: Any, state: Any, u: Any, names: tuple[str, str], leading: tuple[int, ...] = ()
) -> None:
    """Check state and input of a cell of the library before anything is traced.

    Args:
        cell: any cell; one whose shapes are not known passes.
        state: an array or its ``ShapeDtypeStruct``.
        u: one step's input, likewise.
        names: the arguments of the state and of the input in messages.
        leading: what stands before one step's shape in the input as it was given: (T,).

    Raises:
        ValueError: another shape than the cell takes.
    """
    if not is_ours(cell) or isinstance(cell, DoyaNeuron | PascanuNeuron):
        return
    wanted = shapes_of(cell)
    if wanted.state is None:
        return
    if tuple(state.shape) != wanted.state:
        hint = _hint_of_state(tuple(state.shape), wanted.state)
        raise ValueError(f"{names[0]}: expected {_in_terms_of(wanted, names)}; got shape {state.shape}{hint}")
    if u is None or not hasattr(u, "shape"):
        return
    if not wanted.takes_inputs:
        raise ValueError(f"{names[1]}: this cell has no W_in, expected None; got shape {leading + u.shape}")
    if wanted.inputs is not None and tuple(u.shape) != wanted.inputs:
        hint = _hint_of_inputs(leading, tuple(u.shape), wanted.inputs)
        got = leading + tuple(u.shape)
        raise ValueError(f"{names[1]}: expected {_in_terms_of(wanted, names)}; got shape {got}{hint}")


def _in_terms_of(wanted: Shapes, names: tuple[str, str]) -> str:
    """What is expected where the arguments have other names than ``rollout``'s."""
    are_sequences = names[1].startswith("inputs")
    if names[0] == "x0" and are_sequences:
        return str(wanted)
    size, given = str(wanted).split("; ")[:2]
    if not are_sequences:
        given = f"{names[1]} {_shown(wanted.inputs)}" if wanted.inputs else f"no {names[1]}"
    return f"{size.replace('x0 of', 'states of')}; {given}"


def _hint_of_state(got: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    if not got:
        return ": a single state among many needs an axis in front, [None]"
    if len(got) == 2 and got[1:] == wanted:
        return ": as many states as there are sequences need jax.vmap, or lengths="
    if np.prod(got, dtype=int) == wanted[0]:
        return ": .ravel() makes it one vector"
    return ""


def _hint_of_inputs(leading: tuple[int, ...], got: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """Say what may have been meant, with the shape that was given."""
    whole = leading + got
    if not leading:
        return ""
    if got == () and wanted == (1,):
        return ": inputs[:, None] has the axis of features"
    if got == () and whole == wanted:
        return ": inputs[None] is one step"
    if len(whole) == 2 and whole[:1] == wanted:
        return ": time comes first, inputs.T"
    if len(whole) == 3 and whole[2:] == wanted:
        first, second = whole[:2]
        return (
            f": {counted(first, 'sequence')} of {counted(second, 'step')} go in as list(inputs), "
            f"{second} of {counted(first, 'step')} as list(inputs.swapaxes(0, 1))"
        )
    return ""


def state_of(cell: Any, name: str, value: Any) -> jax.Array:
    """A state, or states, as an array of the widest floating dtype among the cell's arrays.

    That dtype decides: numbers, lists and arrays of another one are cast to it, with a ``PrecisionWarning``, once,
    where that changes a number. A cell without floating arrays takes the dtype of the state. ``None`` is zeros.

    Raises:
        TypeError, ValueError: no finite real numbers; ``None`` for a cell that does not tell its size.
    """
    of_cell = parameter_dtype(cell)
    if value is None:
        shape = shapes_of(cell).state
        if shape is None:
            raise TypeError(
                f"{name}: expected a first state, as {type(cell).__name__} does not tell the size of one, got None"
            )
        return jnp.asarray(np.zeros(shape, of_cell or jnp.result_type(float)))
    value = on_host(name, value)
    state = real_array(name, value)
    if of_cell is None or state.dtype == of_cell:
        return state
    if isinstance(state, Tracer):
        return state.astype(of_cell)
    given = np.asarray(state)
    kept = given.astype(of_cell)
    is_array = isinstance(value, np.ndarray | jax.Array) and jnp.issubdtype(value.dtype, jnp.floating)
    if is_array and not (kept.astype(given.dtype) == given).all():
        warn_of_mixed(name, of_cell)
    return state.astype(of_cell) if getattr(state, "committed", False) else jax.device_put(kept)


def explained(cell: Any, state: Any, u: Any) -> str:
    """What to say beside a cell's own error: what it told of its shapes, and how to pass several sequences."""
    wanted = shapes_of(cell)
    deeper = len(state.shape) > 1 or any(
        len(getattr(a, "shape", ())) > 1 for a in jax.tree_util.tree_leaves(u)
    )
    known = is_ours(cell) and wanted.inputs is not None and u is not None
    if known or wanted.state not in (None, tuple(state.shape)):
        return f"; expected {wanted}"
    return f"; {_SEVERAL}" if deeper else ""
