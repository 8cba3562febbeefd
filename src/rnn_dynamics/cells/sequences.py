"""Several sequences of unequal lengths, as they come: a list, or a padded batch with lengths or a mask."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from rnn_dynamics.cells.pytree import parameter_dtype
from rnn_dynamics.cells.shapes import is_ours, shapes_of
from rnn_dynamics.cells.signature import image
from rnn_dynamics.numerics import packages
from rnn_dynamics.numerics.given import on_host
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import integers


def separate(cell: Any, x0: Any, inputs: Any, lengths: Any, mask: Any) -> list[tuple[Any, int | None]] | None:
    """The inputs of each sequence with their length, or ``None`` where there is one sequence.

    A list or tuple is several sequences where each entry has the shape (steps, …) that the cell takes. A cell of
    one's own, which does not tell, gets the list itself where it takes one, and several sequences else.

    Raises:
        TypeError, ValueError: lengths that are no integers, do not fit, or contradict a mask; a mask that is no
            row of True followed by False for each sequence.
    """
    if mask is not None and lengths is not None:
        raise ValueError("mask: expected lengths or a mask, got both")
    inputs = on_host("inputs", inputs)
    rows = list(inputs) if _is_list_of_sequences(cell, x0, inputs) else None
    if mask is not None:
        lengths = _lengths_of(mask)
    if lengths is None:
        return None if rows is None else [(row, None) for row in rows]
    steps = integers("lengths", on_host("lengths", lengths))
    if not steps.size:
        raise ValueError("lengths: expected at least one sequence, got none")
    if inputs is None:
        return [(None, int(length)) for length in steps]
    if rows is None:
        rows = _rows(inputs, steps)
    if len(rows) != len(steps):
        raise ValueError(
            f"lengths: expected one for each of {counted(len(rows), 'sequence')}, got {len(steps)}"
        )
    return [
        (_cut(row, int(length), i), int(length))
        for i, (row, length) in enumerate(zip(rows, steps, strict=True))
    ]


def _lengths_of(mask: Any) -> np.ndarray:
    """How many steps of each sequence are inside."""
    mask = on_host("mask", mask)
    if isinstance(mask, Tracer):
        raise TypeError("mask: expected concrete values (they set shapes), got a traced one")
    given = np.asarray(mask)
    if given.ndim != 2 or not (given.dtype == bool or np.isin(given, (0, 1)).all()):
        raise ValueError(
            f"mask: expected booleans of shape (sequences, steps), got shape {given.shape} and dtype {given.dtype}"
        )
    inside = given.astype(bool)
    broken = (~inside[:, :-1] & inside[:, 1:]).any(axis=1)
    if broken.any():
        raise ValueError(
            "mask: expected True at the first steps of each sequence and False behind them, got steps inside after "
            f"ones outside in sequence {int(np.flatnonzero(broken)[0])}"
        )
    return inside.sum(axis=1)


def _rows(inputs: Any, steps: np.ndarray) -> list[Any]:
    """The sequences of a padded batch, whose leaves have shape (sequences, steps, …)."""
    leaves = jax.tree_util.tree_leaves(inputs)
    if isinstance(inputs, list | tuple) and not any(hasattr(leaf, "dtype") for leaf in leaves):
        inputs = np.asarray(inputs)  # nested lists of numbers
        leaves = [inputs]
    for leaf in leaves:
        shape = jnp.shape(leaf)
        if len(shape) < 2 or shape[0] != len(steps) or shape[1] < steps.max(initial=0):
            hint = ": the axis of sequences comes first" if shape[1:2] == (len(steps),) else ""
            raise ValueError(
                f"inputs: expected shape (sequences, steps, …) with "
                f"{counted(len(steps), 'sequence')}, as there are lengths, "
                f"of at least {counted(steps.max(initial=0), 'step')}, got shape {shape}{hint}"
            )
    return [jax.tree_util.tree_map(lambda leaf, i=i: leaf[i], inputs) for i in range(len(steps))]


def _cut(row: Any, length: int, i: int) -> Any:
    """Return the first steps of one sequence."""

    def first(leaf: Any) -> Any:
        if len(leaf) < length:
            raise ValueError(
                f"lengths: sequence {i} has {counted(len(leaf), 'step')}, expected at least {length}"
            )
        return leaf[:length]

    is_numbers = isinstance(row, list | tuple) and not any(hasattr(leaf, "dtype") for leaf in row)
    return first(row) if is_numbers else jax.tree_util.tree_map(first, row)


def _rank(value: Any) -> int:
    """Axes of an array or of nested lists; −1 where it is neither."""
    if hasattr(value, "ndim"):
        return int(value.ndim)
    if not isinstance(value, list | tuple | int | float):
        return -1
    try:
        return np.asarray(value, dtype=float).ndim
    except (ValueError, TypeError):
        return -1


def _is_list_of_sequences(cell: Any, x0: Any, inputs: Any) -> bool:
    if not isinstance(inputs, list | tuple) or not inputs or hasattr(inputs, "_fields"):
        return False
    if is_ours(cell):
        wanted = shapes_of(cell)
        if not wanted.takes_inputs:
            return False
        if wanted.inputs is not None:
            return all(_rank(entry) == 1 + len(wanted.inputs) for entry in inputs)
        if all(isinstance(entry, Mapping) for entry in inputs):
            return True
    if all(isinstance(entry, int | float) for entry in inputs):
        return False
    if not any(hasattr(leaf, "dtype") for leaf in jax.tree_util.tree_leaves(inputs)):
        return _rank(inputs) < 0 and all(_rank(entry) > 0 for entry in inputs)
    return _own_cell_takes_sequences(cell, x0, inputs)


def _own_cell_takes_sequences(cell: Any, x0: Any, inputs: Any) -> bool:
    """Whether a cell of one's own refuses a list as its input and takes the first entry as a sequence."""
    steps = {jnp.shape(leaf)[:1] for leaf in jax.tree_util.tree_leaves(inputs)}
    if () in steps:
        return False
    if len(steps) > 1:
        same = [len({jnp.shape(leaf)[:1] for leaf in jax.tree_util.tree_leaves(row)}) == 1 for row in inputs]
        return all(same)
    starts = _possible_states(cell, x0, len(inputs))
    takes_list = any(_fits(cell, shape, inputs) for shape in starts)
    return not takes_list and any(_fits(cell, shape, inputs[0]) for shape in starts)


def _possible_states(cell: Any, x0: Any, number: int) -> list[tuple[int, ...]]:
    """The shape of x0, and of one of its rows where it may have one for each sequence."""
    shape = shapes_of(cell).state if x0 is None else tuple(np.shape(on_host("x0", x0)))
    if shape is None:
        return []
    return [shape, shape[1:]] if shape[:1] == (number,) else [shape]


def _fits(cell: Any, state: tuple[int, ...], sequence: Any) -> bool:
    """Whether the cell maps a state of that shape to its like under the first input of a sequence."""
    dtype = parameter_dtype(cell) or jnp.result_type(float)

    def first(leaf: Any) -> Any:
        real = jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
        return jax.ShapeDtypeStruct(jnp.shape(leaf)[1:], dtype if real else jnp.result_type(leaf))

    try:
        u = None if sequence is None else jax.tree_util.tree_map(first, sequence)
        out = image(cell, jax.ShapeDtypeStruct(state, dtype), u)
    except Exception:  # a cell may fail at what it does not take in any way
        return False
    return getattr(out, "shape", None) == state


def starts_of(cell: Any, x0: Any, sequences: list[Any]) -> list[Any]:
    """x_0 of each sequence: one for all, or one for each along a leading axis.

    Raises:
        ValueError: neither, of a cell whose state's shape is known.
    """
    number = len(sequences)
    if x0 is None:
        return [None] * number
    x0 = on_host("x0", x0)
    shape = tuple(np.shape(x0))
    wanted = shapes_of(cell) if is_ours(cell) else None
    if wanted is not None and wanted.state is not None:
        if shape == (number, *wanted.state):
            return [x0[i] for i in range(number)]
        if shape != wanted.state:
            raise ValueError(
                f"x0: expected one state, or one for each of "
                f"{counted(number, 'sequence')}: {wanted}; got shape {shape}"
            )
        return [x0] * number
    if (
        shape[:1] == (number,)
        and not _fits(cell, shape, sequences[0])
        and _fits(cell, shape[1:], sequences[0])
    ):
        return [x0[i] for i in range(number)]
    return [x0] * number


def dataset_of(runs: Any) -> Any:
    """Runs of several lengths as one ``xarray.Dataset``; see ``Trajectories.to_xarray``."""
    try:
        import xarray
    except ImportError as error:
        raise packages.missing("to_xarray", "xarray") from error
    states, longest = runs.states, int(runs.lengths.max())
    units = [f"unit_{i}" if i else "unit" for i in range(states.ndim - 2)]
    variables: dict[str, Any] = {
        "states": (("run", "time", *units), states),
        "lengths": ("run", runs.lengths, {"units": "steps"}),
        "first_nonfinite": ("run", runs.first_nonfinite),
    }
    leaves = [jax.tree_util.tree_leaves(run.inputs) for run in runs]
    for number, column in enumerate(zip(*leaves, strict=False)):
        if all(jnp.issubdtype(leaf.dtype, jnp.number) for leaf in column):
            name = f"inputs_{number}" if number else "inputs"
            kind = np.result_type(column[0].dtype, np.float32)
            rows = np.full((len(runs), longest, *column[0].shape[1:]), np.nan, kind)
            for row, leaf in zip(rows, column, strict=True):
                row[: len(leaf)] = leaf
            own = [f"{name}_axis_{i}" for i in range(rows.ndim - 2)]
            variables[name] = (("run", "step", *own), rows)
    return xarray.Dataset(variables)
