"""The floating leaves of a cell, its parameters θ, and of its inputs: flat vectors, and one step's derivatives."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import join, layer_name
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.numerics.batching import is_plain
from rnn_dynamics.numerics.scaled import Scaled, normalized_on_host


def is_parameter(leaf: Any) -> bool:
    """Whether a leaf of a cell holds floating numbers, Python's among them, as ``jax.grad`` takes it.

    Raises:
        ValueError: an array of complex numbers, whose gradient has two parts.
    """
    if not hasattr(leaf, "dtype"):
        return isinstance(leaf, float)
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
        raise ValueError(
            "trajectory: expected a cell with real parameters, got complex ones; give re and im apart"
        )
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def by_floating_inputs(cell: Any, u: Any) -> tuple[Any, list[Array]]:
    """One step as a function of the state and of the floating leaves of its input, and those leaves."""
    leaves, structure = jax.tree_util.tree_flatten(u)
    exact = exact_slopes(cell)

    def step(state: Array, numbers: list[Array]) -> Array:
        fresh = iter(numbers)
        filled = [next(fresh) if is_parameter(leaf) else leaf for leaf in leaves]
        return exact(state, jax.tree_util.tree_unflatten(structure, filled))

    return step, [leaf for leaf in leaves if is_parameter(leaf)]


class Group(NamedTuple):
    """A stretch of the flat vector of parameters that belongs together.

    Attributes:
        layer: "layer 0" … of a ``Stack``, "layer 0.1" of a cell of one's own with lists in lists, else "".
        parameter: the field's name, as "W_in".
        gate: the gate it is for, as "forget"; "" in cells without gates.
        start, stop: where it lies.
    """

    layer: str
    parameter: str
    gate: str
    start: int
    stop: int


def parameter_groups(cell: Any) -> tuple[Group, ...]:
    """The floating leaves of a cell in their order, each cut into the rows of its gates (``cell.gate_rows``)."""
    groups, at = [], 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(cell):
        if not is_parameter(leaf):
            continue
        owner, name = _owner(cell, path), _key(path[-1]) if path else ""
        gates = getattr(owner, "gate_rows", {}).get(name, ("",))
        size = jnp.size(leaf) // len(gates)
        layers = [_key(key) for key in path[:-1] if isinstance(key, jax.tree_util.SequenceKey)]
        for gate in gates:
            groups.append(Group(layer_name(".".join(layers)) if layers else "", name, gate, at, at + size))
            at += size
    return tuple(groups)


def _key(key: Any) -> str:
    """Return how a step down a pytree is called."""
    found = (getattr(key, kind) for kind in ("name", "key", "idx") if hasattr(key, kind))
    return str(next(found, key))


def _owner(cell: Any, path: tuple) -> Any:
    """The object whose field the leaf is; ``None`` where the way to it is not one of fields and entries."""
    for key in path[:-1]:
        if isinstance(key, jax.tree_util.GetAttrKey):
            cell = getattr(cell, key.name, None)
        elif isinstance(key, jax.tree_util.SequenceKey):
            cell = cell[key.idx]
        else:
            return None
    return cell


def parameter_count(arrays: Any) -> int:
    """How many floating numbers a cell has.

    Raises:
        ValueError: none.
    """
    size = sum(jnp.size(leaf) for leaf in arrays if is_parameter(leaf))
    if not size:
        raise ValueError("trajectory: its cell has no floating arrays among its leaves, so no parameters")
    return size


def by_parameters(static: Any, arrays: Any) -> tuple[Any, list[Array]]:
    """One step as a function of the parameters, the state and the input, and those parameters."""

    def step(parameters: list[Array], x: Array, u: Any) -> Array:
        fresh = iter(parameters)
        filled = [next(fresh) if is_parameter(leaf) else leaf for leaf in arrays]
        return exact_slopes(join(static, filled))(x, u)

    return step, [leaf for leaf in arrays if is_parameter(leaf)]


def flattened(gradients: list[Array], dtype: Any) -> Float[Array, " p"]:
    """Derivatives by the parameters in one flat vector."""
    return jnp.concatenate([g.reshape(-1).astype(dtype) for g in gradients])


def immediate_gradient(
    static: Any, arrays: Any, x: Array, u: Any, cotangent: Array, *, summed: bool = False
) -> Float[Array, " p"]:
    """(∂⁺x⁺/∂θ)ᵀ · cotangent of one step, x held constant: all floating parameters in one flat vector.

    Args:
        static, arrays: the cell, split.
        x, u, cotangent: of one step; or of several along a leading axis.
        summed: whether they are several, whose gradients are added.
    """
    step, chosen = by_parameters(static, arrays)
    of_all = jax.vmap(step, in_axes=(None, 0, 0)) if summed else step
    (gradients,) = jax.vjp(lambda parameters: of_all(parameters, x, u), chosen)[1](cotangent.reshape(x.shape))
    return flattened(gradients, x.dtype)


def unflatten_parameters(static: Any, arrays: Any, flat: Scaled) -> Any:
    """A flat Scaled vector over the floating parameters as the cell's own pytree, ``None`` elsewhere."""
    on_host = is_plain([flat.unit, flat.exponent])
    space: Any = np if on_host else jnp
    units, exponents = space.asarray(flat.unit), space.asarray(flat.exponent)
    pieces, at = [], 0
    for leaf in arrays:
        if not is_parameter(leaf):
            pieces.append(None)
            continue
        size = jnp.size(leaf)
        unit = units[..., at : at + size].reshape(exponents.shape + jnp.shape(leaf))
        exponent = exponents.reshape(exponents.shape + (1,) * jnp.ndim(leaf))
        exponent = space.broadcast_to(exponent, unit.shape)
        pieces.append(normalized_on_host(unit, exponent) if on_host else Scaled(unit, exponent).normalize())
        at += size
    return jax.tree_util.tree_unflatten(static[0], pieces)
