"""The Jacobian of one step: the cell's closed form where it has one, else forward mode."""

from typing import Any

import jax
from jaxtyping import Array, Float

from rnn_dynamics.cells.arguments import checked_cell
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.cells.signature import checked_image
from rnn_dynamics.numerics.validation import real_array


def step_jacobian(cell: Any, x: Float[Array, "..."], u: Any = None) -> Float[Array, "..."]:
    """∂x⁺/∂x of one step at state x: the cell's closed form where it has one, else forward mode.

    Forward mode goes through the cell with the derivatives of ``tanh`` and ``logistic`` right in saturation.

    Args:
        cell: the map, ``cell(x, u) -> x_next``.
        x: a state, shape (n,), or () for a single neuron.
        u: the input of the step, or ``None``.

    Returns:
        Shape (n, n), entry (i, j) = ∂x⁺_i/∂x_j; a scalar for a single neuron.

    Raises:
        TypeError, ValueError: no callable cell, a state that is no array of real numbers (NaN and inf may be in it)
            or that the cell does not map to its own shape, an input that does not fit.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, equation 5.
    """
    checked_cell(cell)
    x = real_array("x", x, finite=False)
    checked_image(cell, x, u, ("x", "u"))
    return of_step(cell, x, u)


def of_step(cell: Any, x: Float[Array, "..."], u: Any) -> Float[Array, "..."]:
    """Return ``step_jacobian`` of arguments that have been checked."""
    if hasattr(cell, "jacobian"):
        return cell.jacobian(x, u)
    return jax.jacfwd(exact_slopes(cell))(x, u)


def step_matrix(cell: Any, x: Array, u: Any) -> Float[Array, "n n"]:
    """``step_jacobian`` as a matrix; 1×1 for a single neuron."""
    jacobian = of_step(cell, x, u)
    if jacobian.size != x.size**2:
        raise ValueError(
            f"trajectory: the cell's Jacobian has shape {jacobian.shape} at a state of shape {x.shape}; "
            "expected a state of shape (), other neurons by jax.vmap over rollout"
        )
    return jacobian.reshape(x.size, x.size)
