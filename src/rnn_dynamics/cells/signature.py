"""What a map makes of a state, in shape and dtype: traced once for each structure, not at every call."""

import functools
from typing import Any

import jax

from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.cells.shapes import check_shapes, explained

_FEW = 4  # inputs in a list, whose shapes are told


def _abstract(leaf: Any) -> Any:
    """Shape and dtype of an array or a tracer; numbers as they are."""
    if isinstance(leaf, jax.ShapeDtypeStruct) or not hasattr(leaf, "dtype"):
        return leaf
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, weak_type=getattr(leaf, "weak_type", False))


@functools.lru_cache(maxsize=512)
def _traced(static: Any, structure: Any, leaves: tuple[Any, ...]) -> Any:
    arrays, state, u = jax.tree_util.tree_unflatten(structure, leaves)
    return jax.eval_shape(lambda arrays, x, u: join(static, arrays)(x, u), arrays, state, u)


def image(cell: Any, state: Any, u: Any) -> Any:
    """Shape and dtype of ``cell(state, u)``; arrays may stand for themselves or be ``ShapeDtypeStruct``.

    Raises:
        TypeError: a static part of the cell cannot be hashed.
        Exception: whatever the cell raises.
    """
    static, arrays = split(cell)
    leaves, structure = jax.tree_util.tree_flatten((arrays, state, u))
    return _traced(static, structure, tuple(map(_abstract, leaves)))


def _input_shape(u: Any) -> str:
    """The shapes of one step's input, as it was given."""
    shapes = jax.tree_util.tree_map(lambda leaf: getattr(leaf, "shape", ()), u)
    if isinstance(u, list | tuple) and len(u) > _FEW:
        kind = type(u).__name__
        return f"{shapes[0]}, … of a {kind} of {len(u)}: np.stack(inputs) makes one sequence of it"
    return str(shapes)


def checked_image(
    cell: Any, state: Any, u: Any, names: tuple[str, str], *, leading: tuple[int, ...] = ()
) -> None:
    """Check that a cell maps states of a shape and dtype to their like.

    Args:
        cell: a callable pytree ``cell(x, u)``.
        state: an array, or its ``ShapeDtypeStruct``.
        u: one step's input, likewise.
        names: the arguments of the state and of the input in messages.
        leading: what stands before one step's shape in the input as it was given: (T,).

    Raises:
        TypeError, ValueError: the cell refuses such a state or input, or maps it to another shape or dtype. Its own
            error is the cause.
    """
    check_shapes(cell, state, u, names, leading)
    try:
        out = image(cell, state, u)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError  # JAX's subclasses take a tracer
        raise kind(
            f"{names[0]}, {names[1]}: the cell refuses state shape {state.shape} with input shape {_input_shape(u)}"
            f"{explained(cell, state, u)}: {error}"
        ) from error
    got = getattr(out, "shape", type(out).__name__)
    if got != state.shape:
        raise ValueError(
            f"{names[0]}: the cell maps a state of shape {state.shape} to {got}; expected the same shape"
            f"{explained(cell, state, u)}"
        )
    if out.dtype != state.dtype:
        raise TypeError(
            f"cell: maps {state.dtype} states to {out.dtype}; expected one floating dtype throughout"
        )
