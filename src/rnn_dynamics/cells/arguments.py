"""The check of what runs a cell, a state and inputs, which knows the names that the caller's arguments have."""

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnn_dynamics.cells.shapes import state_of
from rnn_dynamics.cells.signature import checked_image
from rnn_dynamics.numerics.functions import is_foreign
from rnn_dynamics.numerics.given import on_host
from rnn_dynamics.numerics.validation import count, real_array


def reads_sequences(network: Any) -> bool:
    """Whether it maps a whole sequence, as ``Bidirectional`` does, and is no step map."""
    return bool(getattr(network, "reads_sequences", False))


def checked_cell(cell: Any) -> None:
    """Refuse what cannot be called.

    Raises:
        TypeError: it is not callable.
    """
    if reads_sequences(cell):
        raise TypeError(
            "cell: expected a step map cell(x, u), got a Bidirectional, whose states depend on the whole sequence: "
            'cell.direction(0, "forward") is the step map of one direction of a layer'
        )
    if not callable(cell):
        raise TypeError(f"cell: expected a callable cell(x, u), got {type(cell).__name__}{of_a_file(cell)}")
    if is_foreign(cell):
        raise TypeError(
            f"cell: expected a callable cell(x, u), got a {type(cell).__name__} of another framework: "
            "rd.interop.from_module reads it"
        )


def of_a_file(given: Any) -> str:
    """What reads a network where the path of a file was given in its place."""
    return ": rd.interop.load(path) reads that of a file" if isinstance(given, str | os.PathLike) else ""


def instead_of_run(given: Any) -> str:
    """What makes a run of a network that was given in its place."""
    if isinstance(given, str | os.PathLike):
        return ": rd.rollout(rd.interop.load(path), None, inputs) runs the network of a file"
    if is_foreign(given):
        return ": rd.rollout(rd.interop.from_module(module), None, inputs) runs one of another framework"
    if reads_sequences(given):
        return ": network.run(inputs) is its run"
    return ": rd.rollout(cell, None, inputs) is its run" if callable(given) else ""


def held(u: Any) -> Any:
    """The input of one step as a sequence of length 1, which repeats."""
    return jax.tree_util.tree_map(lambda leaf: jnp.asarray(leaf)[None], u)


def _length(inputs: Any, name: str) -> int | None:
    lengths: set[int] = set()
    for leaf in jax.tree_util.tree_leaves(inputs):
        if not jnp.ndim(leaf):
            raise ValueError(f"{name}: expected a leading time axis on every leaf, got a scalar")
        lengths.add(jnp.shape(leaf)[0])
    if len(lengths) > 1:
        raise ValueError(f"{name}: expected one length of time, got {sorted(lengths)}")
    return lengths.pop() if lengths else None


def checked_inputs(name: str, inputs: Any, dtype: Any) -> Any:
    """Inputs as arrays, lists and numbers too; floating leaves are finite and of the state's dtype.

    Arrays of integers, bools and keys stay what they are: a cell may use them as symbols.
    """

    def convert(leaf: Any) -> Any:
        leaf = on_host(name, leaf)
        if hasattr(leaf, "dtype") and (
            leaf.dtype == bool
            or jnp.issubdtype(leaf.dtype, jnp.integer)
            or jnp.issubdtype(leaf.dtype, jax.dtypes.extended)
        ):
            return jnp.asarray(leaf)
        if isinstance(leaf, np.ndarray) and jnp.issubdtype(leaf.dtype, jnp.floating):
            with np.errstate(over="ignore"):  # what does not fit is said to be infinite
                leaf = leaf.astype(dtype)
        return real_array(name, leaf).astype(dtype)

    is_list = isinstance(inputs, list | tuple) and not any(hasattr(i, "dtype") for i in inputs)
    if is_list and inputs and all(isinstance(i, int | float | list | tuple) for i in inputs):
        return convert(inputs)
    return jax.tree_util.tree_map(convert, inputs)


def _step_count(inputs: Any, steps: Any, name: str) -> int:
    length = _length(inputs, name)
    if steps is None:
        if length is None:
            raise ValueError(
                "steps: expected a number of steps where there are no inputs, got None; inputs, where there are "
                "some, are the argument behind x0"
            )
        return length
    steps = count("steps", steps)
    if length is not None and length != steps:
        raise ValueError(f"steps: expected the length of the inputs, {length}, or None, got {steps}")
    return steps


def checked_start(
    cell: Any, x0: Any, inputs: Any, steps: Any, names: tuple[str, str] = ("x0", "inputs")
) -> tuple[jax.Array, Any, int]:
    """x_0, the inputs and T as ``rollout`` takes them, all checked against the cell.

    Args:
        cell, x0, inputs, steps: as ``rollout`` takes them.
        names: the caller's arguments of the state and of the inputs, for messages.

    Raises:
        TypeError, ValueError: as ``rollout``.
    """
    checked_cell(cell)
    state = state_of(cell, names[0], x0)
    if not state.size:
        raise ValueError(f"{names[0]}: expected at least one unit, got shape {state.shape}")
    inputs = checked_inputs(names[1], inputs, state.dtype)
    steps = _step_count(inputs, steps, names[1])
    first = jax.tree_util.tree_map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), inputs)
    checked_image(cell, state, first, names, leading=(steps,))
    return state, inputs, steps


def checked_step(cell: Any, x: Any, u: Any, inputs: Any, name: str) -> tuple[jax.Array, Any, int]:
    """A state of a cell whose input is held or repeats: the state, one period of the input, its length.

    Args:
        cell: the map.
        x: a state.
        u: the input of every step, or ``None``.
        inputs: a period of it, leading axis q, or ``None``.
        name: the caller's argument of the state, for messages.

    Returns:
        The state, the inputs with leading axis q or ``None``, and q, 1 where the input is held or absent.

    Raises:
        TypeError, ValueError: both of u and inputs, no step of input, what ``checked_start`` refuses.
    """
    if u is not None and inputs is not None:
        raise ValueError("u, inputs: expected at most one of them, got both")
    if inputs is not None:
        state, inputs, cycle = checked_start(cell, x, inputs, None, (name, "inputs"))
        if cycle < 1:
            raise ValueError("inputs: expected at least one step of input, got 0")
        return state, inputs, cycle
    checked_cell(cell)
    state = state_of(cell, name, x)
    if not state.size:
        raise ValueError(f"{name}: expected at least one unit, got shape {state.shape}")
    u = checked_inputs("u", u, state.dtype)
    checked_image(cell, state, u, (name, "u"))
    return state, held(u), 1
