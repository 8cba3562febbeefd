"""How far back inputs reach, and states as an output sees them: ∂x_T/∂u_k and ∂G(x_T)/∂x_k for every k."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import join
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.gradients.one_step import step_matrix
from rnn_dynamics.gradients.parameters import by_floating_inputs, is_parameter
from rnn_dynamics.gradients.steps import along, state_at, step_range
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.padding import scan
from rnn_dynamics.numerics.scaled import Scaled, from_float
from rnn_dynamics.numerics.validation import choice

_HIGHEST = jax.lax.Precision.HIGHEST


@lean(static_argnums=(0, 5))
def _input_norms(
    static: Any,
    arrays: Any,
    states: Array,
    inputs: Any,
    seen: Array,
    ord: Any,
    inside: Array | None = None,
) -> Array:
    cell, size = join(static, arrays), math.prod(states.shape[1:])

    def back(product: Scaled, step: tuple) -> tuple[Scaled, Array]:
        x, u = step
        of_numbers, numbers = by_floating_inputs(cell, u)
        columns = jax.jacfwd(of_numbers, argnums=1)(x, numbers)
        by_input = jnp.concatenate([column.reshape(size, -1) for column in columns], axis=1)
        reached = jnp.matmul(product.unit, by_input, precision=_HIGHEST)
        return _earlier(cell, product, x, u), Scaled(reached, product.exponent, 2).normalize().norm(ord).log()

    return scan(back, from_float(seen, event_ndim=2), (states, inputs), inside, reverse=True)[1]


@lean(static_argnums=(0, 5))
def _readout_norms(
    static: Any,
    arrays: Any,
    states: Array,
    inputs: Any,
    seen: Array,
    ord: Any,
    inside: Array | None = None,
) -> Array:
    cell, start = join(static, arrays), from_float(seen, event_ndim=2)

    def back(product: Scaled, step: tuple) -> tuple[Scaled, Array]:
        product = _earlier(cell, product, *step)
        return product, product.norm(ord).log()

    logs = scan(back, start, (states, inputs), inside, reverse=True)[1]
    return jnp.concatenate([logs, start.norm(ord).log()[None]])


@lean(static_argnums=0)
def _input_rows(
    static: Any, arrays: Any, states: Array, inputs: Any, rows: Array, inside: Array | None = None
) -> Scaled:
    cell = join(static, arrays)

    def back(rows: Scaled, step: tuple) -> tuple[Scaled, Scaled]:
        x, u = step
        of_numbers, numbers = by_floating_inputs(cell, u)
        pull = jax.vjp(lambda x, numbers: of_numbers(x, numbers).reshape(-1), x, numbers)[1]
        earlier, columns = jax.vmap(pull)(rows.unit)
        of_state, *by_input = (part.reshape(len(rows.unit), -1) for part in (earlier, *columns))
        reached = Scaled(jnp.concatenate(by_input, axis=1), rows.exponent, 2).normalize()
        return Scaled(of_state, rows.exponent, 2).normalize(), reached

    return scan(back, from_float(rows, event_ndim=2), (states, inputs), inside, reverse=True)[1]


def input_rows(trajectory: Trajectory, rows: Float[Array, "p n"]) -> Scaled:
    """V ∂x_T/∂u_k for every k = 0 … T−1: of each row v of V the gradient of ⟨v, x_T⟩ at each input.

    Args:
        trajectory: from ``rollout``, with floating inputs.
        rows: V, a row for each function of the last state.

    Returns:
        Scaled matrices, shape (T, p, entries of an input), index k.
    """
    return along(_input_rows, trajectory, 0, None, rows, of_matrices=True)


def _earlier(cell: Any, product: Scaled, x: Array, u: Any) -> Scaled:
    """Return the product times one more Jacobian on its right."""
    longer = jnp.matmul(product.unit, step_matrix(cell, x, u), precision=_HIGHEST)
    return Scaled(longer, product.exponent, 2).normalize()


def _seen(trajectory: Trajectory, readout: Any, stop: int) -> Float[Array, "outputs n"]:
    """Return ∂G/∂x at x_stop, or the identity."""
    x = state_at(trajectory, stop)
    if readout is None:
        return jnp.eye(max(x.size, 1), dtype=x.dtype)
    if not callable(readout):
        raise TypeError(f"readout: expected a callable G(x), got {type(readout).__name__}")
    value = jax.eval_shape(readout, x)
    if not hasattr(value, "dtype") or not jnp.issubdtype(value.dtype, jnp.floating):
        raise ValueError(f"readout: expected one array of floats, got {value}")
    jacobian = jax.jacrev(exact_slopes(lambda x: readout(x)))(x)
    return jacobian.reshape(-1, max(x.size, 1)).astype(x.dtype)


def input_norms(
    trajectory: Trajectory, *, readout: Any = None, ord: int | str = 2, stop: int | None = None
) -> Float[Array, " steps"]:
    """ln‖∂x_stop/∂u_k‖ for every k = 0 … stop−1: J_stop ⋯ J_{k+2} ∂F/∂u_k.

    Args:
        trajectory: from ``rollout``; of its inputs the floating leaves, all together.
        readout: G; then of ∂G(x_stop)/∂u_k, the Jacobian of G in front.
        ord: 2, the spectral norm, or "fro".
        stop: T by default.

    Returns:
        Natural logarithms; −inf where the product is exactly zero.

    Raises:
        TypeError, ValueError: not a trajectory; no floating inputs; a readout that is no function or gives no
            array; stop outside 0 … T; another norm.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, equations 3 to 5.
    """
    _, last = step_range(trajectory, 0, stop)
    norm = choice("ord", ord, [2, "fro"])
    if not any(map(is_parameter, jax.tree_util.tree_leaves(trajectory.inputs))):
        raise ValueError("trajectory: expected floating inputs, got none")
    seen = _seen(trajectory, readout, last)
    return along(_input_norms, trajectory, 0, stop, seen, norm, of_matrices=True)


def readout_norms(
    trajectory: Trajectory, readout: Any, *, ord: int | str = 2, stop: int | None = None
) -> Float[Array, "steps+1"]:
    """ln‖∂G(x_stop)/∂x_k‖ for every k = 0 … stop: what an output y = G(x) owes to each earlier state.

    Args:
        trajectory: from ``rollout``.
        readout: G, from a state to one array.
        ord: 2, the spectral norm, or "fro".
        stop: T by default.

    Returns:
        Natural logarithms; −inf where the product is exactly zero.

    Raises:
        TypeError, ValueError: not a trajectory; a readout that is no function or gives no array; stop outside
            0 … T; another norm.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, equations 3 to 5.
    """
    _, last = step_range(trajectory, 0, stop)
    norm = choice("ord", ord, [2, "fro"])
    seen = _seen(trajectory, readout, last)
    return along(_readout_norms, trajectory, 0, stop, seen, norm, of_matrices=True)
