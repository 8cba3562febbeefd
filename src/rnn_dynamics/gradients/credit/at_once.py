"""A run and ∂E/∂x_k for every k in one forward and one backward pass, with no step computed twice."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from rnn_dynamics.cells.arguments import checked_start
from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.functions import check_loss
from rnn_dynamics.numerics.reductions import all_finite
from rnn_dynamics.numerics.scaled import Scaled, exponent_of, from_float, power_of_two


@jax.custom_vjp
def _scaled_here(x: Array, exponent: Array) -> tuple[Array, Array]:
    """The identity; backwards the largest entry of x's cotangent comes to [½, 1), its power of two to the other."""
    return x, exponent


def _forward(x: Array, exponent: Array) -> tuple[tuple[Array, Array], None]:
    return (x, exponent), None


def _backward(_: None, cotangents: tuple[Array, Array]) -> tuple[Array, Array]:
    row, exponent = cotangents
    shift = exponent_of(jnp.max(jnp.abs(row)))
    return row * power_of_two(-shift, row.dtype), exponent + shift.astype(exponent.dtype)


_scaled_here.defvjp(_forward, _backward)


@lean(static_argnums=(0, 4, 5))
def _both(static: Any, arrays: Any, x0: Array, inputs: Any, steps: int, loss: Any) -> tuple:
    cell = exact_slopes(join(static, arrays))

    def run(probes: Array, marks: Array) -> tuple[tuple[Array, Array], Array]:
        """x_T, a sum of marks, and all states; the cotangents of probes and marks are units and exponents."""

        def step(carry: tuple[Array, Array], at: tuple) -> tuple[tuple[Array, Array], Array]:
            (x, total), (u, probe, mark) = carry, at
            x, total = _scaled_here(x + probe, total + mark)
            following = cell(x, u)
            return (following, total), following

        return jax.lax.scan(step, (x0, jnp.zeros((), x0.dtype)), (inputs, probes, marks), length=steps)

    nothing = jnp.zeros((steps, *x0.shape), x0.dtype), jnp.zeros(steps, x0.dtype)
    (last, _), pull, later = jax.vjp(run, *nothing, has_aux=True)
    gradient = jax.grad(loss)(last).astype(x0.dtype).reshape(-1)
    end = from_float(gradient, event_ndim=1)
    rows, exponents = pull((end.unit.reshape(x0.shape), end.exponent.astype(x0.dtype)))
    units = jnp.concatenate([rows.reshape(steps, x0.size), end.unit[None]])
    powers = jnp.concatenate([exponents.astype(jnp.int32), end.exponent[None]])
    states = jnp.concatenate([x0[None], later])
    finite = all_finite(states.reshape(steps + 1, x0.size), axis=1)
    first = jnp.where(finite.all(), -1, jnp.argmin(finite)).astype(jnp.int32)
    return states, first, Scaled(units, powers, 1).normalize()


def state_gradients(
    cell: Any, x0: Any, inputs: Any = None, *, loss: Any, steps: int | None = None
) -> tuple[Trajectory, Scaled]:
    """Run a recurrent map and get ∂E/∂x_k, k = 0 … T, of a loss of its last state.

    What ``pullback`` gives of a trajectory, at the cost of a forward and a backward pass: the forward one keeps
    what the backward one needs, which takes memory for T steps. Products with the parameters' gradient, half the
    work of ``jax.grad``'s backward pass, are left out.

    Args:
        cell, x0, inputs, steps: as for ``rollout``.
        loss: E(x_T), a function; a new one compiles anew.

    Returns:
        The trajectory, and scaled vectors of shape (T+1, n), which neither overflow nor underflow.

    Raises:
        TypeError, ValueError: as ``rollout``; a loss that is no function or gives no number.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, equations 3 to 5.
    """
    state, inputs, steps = checked_start(cell, x0, inputs, steps)
    check_loss(loss, state)
    static, arrays = split(cell)
    states, first, gradients = _both(static, arrays, state, inputs, steps, loss)
    return Trajectory(cell, inputs, states, first), gradients
