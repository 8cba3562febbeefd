"""Cells as pytrees: made of a class, and taken apart for ``jit``."""

import dataclasses
from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from rnn_dynamics.numerics.described import described

_Class = TypeVar("_Class", bound=type)


def cell_type(*, static: tuple[str, ...] = ()) -> Callable[[_Class], _Class]:
    """Make a class a frozen dataclass and a pytree whose leaves are its parameters.

    JAX rebuilds pytrees from tracers, ``None`` and sentinels; the rebuilt object skips ``__init__``, so that
    a cell checks its arguments when a person makes it and never when JAX does.
    """

    def decorate(cls: _Class) -> _Class:
        cls = dataclasses.dataclass(frozen=True, init=False, repr=False, eq=False)(cls)  # type: ignore[assignment]
        names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
        dynamic = tuple(name for name in names if name not in static)

        def flatten(cell: Any) -> tuple[tuple, tuple]:
            return tuple(getattr(cell, n) for n in dynamic), tuple(getattr(cell, n) for n in static)

        def flatten_with_keys(cell: Any) -> tuple[tuple, tuple]:
            children, fixed = flatten(cell)
            keys = map(jax.tree_util.GetAttrKey, dynamic)
            return tuple(zip(keys, children, strict=True)), fixed

        def unflatten(fixed: tuple, children: Iterable[Any]) -> Any:
            cell = object.__new__(cls)
            for name, value in zip(dynamic + static, (*children, *fixed), strict=True):
                object.__setattr__(cell, name, value)
            return cell

        jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
        if "__repr__" not in vars(cls):
            cls.__repr__ = _cell_repr  # type: ignore[assignment]
        return cls

    return decorate


def set_fields(cell: Any, **values: Any) -> None:
    """Assign the fields of a frozen cell inside its ``__init__``."""
    for name, value in values.items():
        object.__setattr__(cell, name, value)


def _cell_repr(self: Any) -> str:
    parts = []
    for field in dataclasses.fields(self):
        value = getattr(self, field.name)
        if value is None or value is field.default:
            continue
        if getattr(value, "ndim", 0):
            parts.append(f"{field.name}: {value.dtype}{list(value.shape)}")
        elif isinstance(value, Tracer):
            parts.append(f"{field.name}: traced")
        elif isinstance(value, jax.Array):
            parts.append(f"{field.name}={float(value):g}")
        else:
            name = value if isinstance(value, str) else getattr(value, "name", None)
            parts.append(f"{field.name}={name if isinstance(name, str) else described(value, 600)}")
    return f"{type(self).__name__}({', '.join(parts)})"


def _is_number(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | float | complex)


def split(cell: Any) -> tuple[Hashable, list[Any]]:
    """``cell`` as a hashable static part and the list of its arrays; ``join`` puts them together again.

    Functions, strings and the like among the leaves (an Equinox module's activation, a bare function given as
    a cell) are static: a fresh closure is a new static part, and compiles again.

    Raises:
        TypeError: a static part cannot be hashed.
    """
    leaves, structure = jax.tree_util.tree_flatten(cell)
    fixed = tuple(None if _is_number(leaf) else leaf for leaf in leaves)
    static = (structure, fixed)
    try:
        hash(static)
    except TypeError as error:
        raise TypeError(f"cell: its static parts must be hashable: {error}") from None
    return static, [leaf if _is_number(leaf) else None for leaf in leaves]


def join(static: Any, arrays: list[Any]) -> Any:
    """The cell that ``split`` took apart."""
    structure, fixed = static
    leaves = [kept if array is None else array for kept, array in zip(fixed, arrays, strict=True)]
    return jax.tree_util.tree_unflatten(structure, leaves)


def layer_name(index: Any, inner: str = "") -> str:
    """What a layer, or a thing of it, is called everywhere: "layer 1", "layer 1 forget".

    Where the thing is itself called by a layer, of a network within the layer, "layer 1.0 forget".
    """
    if inner.startswith("layer "):
        return f"layer {index}.{inner.removeprefix('layer ')}"
    return f"layer {index} {inner}".strip()


def parameter_dtype(cell: Any) -> Any | None:
    """The widest floating dtype among a cell's arrays; ``None`` where it has none."""
    dtypes = [leaf.dtype for leaf in jax.tree_util.tree_leaves(cell) if hasattr(leaf, "dtype")]
    floating = [d for d in dtypes if jnp.issubdtype(d, jnp.floating)]
    return np.result_type(*floating) if floating else None
