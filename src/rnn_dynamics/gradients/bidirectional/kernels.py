"""The compiled passes along one direction of one layer: many rows at once, scaled vectors at each step."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from rnn_dynamics.cells.pytree import join
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.padding import scan
from rnn_dynamics.numerics.scaled import Scaled, add


@lean(static_argnums=0)
def rows_back(
    static: Any, arrays: Any, states: Array, inputs: Array, owed: Scaled, inside: Array
) -> tuple[Scaled, Scaled]:
    """Rows that step t + 1's state owes, carried back: the totals at x_{t+1} and at u_t, t = 0 … T−1.

    Args:
        static, arrays: the cell, split.
        states, inputs: x_t and u_t, shapes (T, n) and (T, m).
        owed: what x_{t+1} owes by itself, shape (T, rows, n).
        inside: False where a step is padding or no row comes by.
    """
    cell = exact_slopes(join(static, arrays))

    def back(rows: Scaled, at: tuple) -> tuple[Scaled, tuple[Scaled, Scaled]]:
        x, u, own = at
        rows = add(rows, own)
        pull = jax.vjp(cell, x, u)[1]
        earlier, given = jax.vmap(pull)(rows.unit)
        return (
            Scaled(earlier, rows.exponent, 1).normalize(),
            (rows, Scaled(given, rows.exponent, 1).normalize()),
        )

    nothing = Scaled(jnp.zeros_like(owed.unit[0]), jnp.zeros_like(owed.exponent[0]), 1)
    return scan(back, nothing, (states, inputs, owed), inside, reverse=True)[1]


@lean(static_argnums=0)
def rows_ahead(
    static: Any, arrays: Any, states: Array, inputs: Array, given: Scaled, inside: Array
) -> Scaled:
    """Changes of the inputs carried ahead: those of x_{t+1}, t = 0 … T−1, shape (T, rows, n).

    Args:
        static, arrays, states, inputs: as ``rows_back``.
        given: changes of u_t, shape (T, rows, m).
        inside: False where a step is padding or nothing has changed yet.
    """
    cell = exact_slopes(join(static, arrays))

    def ahead(rows: Scaled, at: tuple) -> tuple[Scaled, Scaled]:
        x, u, own = at
        push = jax.linearize(cell, x, u)[1]
        by_state = jax.vmap(lambda row: push(row, jnp.zeros_like(u)))(rows.unit)
        by_input = jax.vmap(lambda row: push(jnp.zeros_like(x), row))(own.unit)
        rows = add(
            Scaled(by_state, rows.exponent, 1).normalize(), Scaled(by_input, own.exponent, 1).normalize()
        )
        return rows, rows

    shape = (*given.exponent.shape[1:], states.shape[-1])
    nothing = Scaled(jnp.zeros(shape, states.dtype), jnp.zeros(shape[:-1], jnp.int32), 1)
    return scan(ahead, nothing, (states, inputs, given), inside)[1]


@lean(static_argnums=0)
def map_back(static: Any, arrays: Any, y: Array, rows: Scaled) -> Scaled:
    """Rows of what a map of each step's vector gives, pulled back through it."""
    function = exact_slopes(join(static, arrays))

    def back(at: Array, own: Array) -> Array:
        return jax.vmap(jax.vjp(function, at)[1])(own)[0]

    return Scaled(jax.vmap(back)(y, rows.unit), rows.exponent, 1).normalize()


@lean(static_argnums=0)
def map_ahead(static: Any, arrays: Any, y: Array, rows: Scaled) -> Scaled:
    """Changes of what a map of each step's vector takes, pushed through it."""
    function = exact_slopes(join(static, arrays))

    def ahead(at: Array, own: Array) -> Array:
        return jax.vmap(jax.linearize(function, at)[1])(own)

    return Scaled(jax.vmap(ahead)(y, rows.unit), rows.exponent, 1).normalize()
