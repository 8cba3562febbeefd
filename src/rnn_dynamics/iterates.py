"""The map that fixed points, cycles and their continuation are about: p steps of a cell under a repeated input.

F^p is the cell p times over, with one input held, with none, or with a periodic sequence u_0 … u_{q−1} repeated.
Its derivative is the product of the step Jacobians, formed inside one scan; states are vectors here, a single
neuron's of length 1.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells.slopes import exact_slopes
from rnn_dynamics.jacobians import step_matrix

__all__ = ["iterate", "iterate_with_jacobian", "repeated"]

_HIGHEST = jax.lax.Precision.HIGHEST


def repeated(inputs: Any, steps: int) -> Any:
    """A sequence of inputs, leading axis q, repeated to ``steps`` of them; q divides ``steps``."""
    return jax.tree_util.tree_map(
        lambda leaf: jnp.tile(leaf, (steps // leaf.shape[0],) + (1,) * (leaf.ndim - 1)), inputs
    )


def iterate(
    cell: Any, x: Float[Array, "..."], inputs: Any, steps: int
) -> tuple[Float[Array, "..."], Float[Array, "steps ..."]]:
    """F^p(x) and the orbit x, F(x), …, F^{p−1}(x).

    Args:
        cell: the map.
        x: a state in the cell's own shape.
        inputs: leading axis ``steps``, or ``None``.
        steps: p ≥ 1.
    """
    step = exact_slopes(cell)
    return jax.lax.scan(lambda state, u: (step(state, u), state), x, inputs, length=steps)


def iterate_with_jacobian(
    cell: Any, x: Float[Array, "..."], inputs: Any, steps: int
) -> tuple[Float[Array, "..."], Float[Array, "n n"]]:
    """F^p(x) and ∂F^p/∂x = J_p ⋯ J_1 there, n × n (1 × 1 for a single neuron).

    Arguments as for ``iterate``.
    """
    step = exact_slopes(cell)

    def advance(carry: tuple[Array, Array], u: Any) -> tuple[tuple[Array, Array], None]:
        state, product = carry
        product = jnp.matmul(step_matrix(cell, state, u), product, precision=_HIGHEST)
        return (step(state, u), product), None

    start = (x, jnp.eye(x.size, dtype=x.dtype))
    return jax.lax.scan(advance, start, inputs, length=steps)[0]
