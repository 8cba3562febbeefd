"""The compiled passes of credit by lag: totals in one backward pass, and shares of every lag."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from rnn_dynamics.cells.pytree import join
from rnn_dynamics.gradients.parameters import (
    Group,
    by_floating_inputs,
    by_parameters,
    flattened,
    immediate_gradient,
)
from rnn_dynamics.numerics.padding import scan
from rnn_dynamics.numerics.scaled import Scaled, add, from_float

# Below every exponent of a float.
_LOWEST = -(2**30)


class _Step(NamedTuple):
    """A cell taken apart, and the pullbacks of its steps."""

    static: Any
    arrays: Any

    def back(self, x: Array, u: Any, row: Scaled) -> tuple[Scaled, Scaled]:
        """(∂x⁺/∂x)ᵀ row, and (∂x⁺/∂u)ᵀ row over the floating inputs as one vector."""
        of_numbers, numbers = by_floating_inputs(join(self.static, self.arrays), u)
        state, given = jax.vjp(of_numbers, x, numbers)[1](row.unit.reshape(x.shape))
        flat = jnp.concatenate(
            [leaf.reshape(-1).astype(x.dtype) for leaf in given] or [jnp.zeros(0, x.dtype)]
        )
        earlier = Scaled(state.reshape(-1), row.exponent, 1).normalize()
        return earlier, Scaled(flat, row.exponent, 1).normalize() if flat.size else Scaled(
            flat, row.exponent, 1
        )

    def whole(self, x: Array, u: Any, row: Scaled) -> tuple[Scaled, Scaled]:
        """(∂x⁺/∂x)ᵀ row and (∂⁺x⁺/∂θ)ᵀ row, from one linearisation."""
        step, chosen = by_parameters(self.static, self.arrays)
        of_both = jax.vjp(lambda parameters, state: step(parameters, state, u), chosen, x)[1]
        gradients, state = of_both(row.unit.reshape(x.shape))
        share = Scaled(flattened(gradients, x.dtype), row.exponent, 1).normalize()
        return Scaled(state.reshape(-1), row.exponent, 1).normalize(), share

    def immediate(self, states: Array, inputs: Any, rows: Scaled) -> Scaled:
        """Σ_s (∂⁺x_{s+1}/∂θ)ᵀ row_s; what lies a range of floats below the largest row adds nothing."""
        there = (rows.unit != 0).any(axis=-1)
        top = jnp.where(there.any(), jnp.max(jnp.where(there, rows.exponent, _LOWEST)), 0)
        units = Scaled(rows.unit, jnp.minimum(rows.exponent - top, 0), 1).to_float()
        gradient = immediate_gradient(self.static, self.arrays, states, inputs, units, summed=True)
        return Scaled(gradient, top, 1).normalize()


@functools.partial(jax.jit, static_argnums=0)
def totals_of(
    static: Any, arrays: Any, states: Array, inputs: Any, direct: Array, *, inside: Array | None = None
) -> tuple[Scaled, Scaled]:
    """∂E/∂x_k for k = 0 … T and ∂E/∂u_k for k = 0 … T−1, in one backward pass."""
    step = _Step(static, arrays)
    rows = from_float(direct, event_ndim=1)

    def back(row: Scaled, at: tuple) -> tuple[Scaled, tuple[Scaled, Scaled]]:
        x, u, own = at
        earlier, given = step.back(x, u, row)
        row = add(earlier, own)
        return row, (row, given)

    last = rows[-1]
    _, (earlier, given) = scan(back, last, (states, inputs, rows[:-1]), inside, reverse=True)
    return jax.tree_util.tree_map(lambda a, b: jnp.concatenate([a, b[None]]), earlier, last), given


def _of_one_size(groups: tuple[Group, ...]) -> list[list[Group]]:
    """Neighbours of equal length together: as many pieces of the program as there are of these."""
    together: list[list[Group]] = []
    for group in groups:
        last = together[-1][-1] if together else None
        if (
            last is not None
            and last.stop == group.start
            and last.stop - last.start == group.stop - group.start
        ):
            together[-1].append(group)
        else:
            together.append([group])
    return together


def _log_norms(share: Scaled, alike: list[Group]) -> Array:
    """ln‖C_m‖ of neighbouring groups of one size."""
    rows = share.unit[alike[0].start : alike[-1].stop].reshape(len(alike), -1)
    return Scaled(rows, jnp.broadcast_to(share.exponent, len(rows)), 1).normalize().norm().log()


def measures_of(
    total: Scaled, share: Scaled, whole: Scaled, groups: tuple[Group, ...], looks: Array
) -> tuple[Scaled, tuple[Array, ...]]:
    """S(m), and ln‖C_m‖, ln‖S(m)‖, the cosine of S(m) and the rest of the whole, ln‖C_m‖ of every group.

    Args:
        looks: whether the latter are wanted, else 0: most of the time goes into them.
    """
    total = add(total, share)

    def measured() -> tuple[Array, ...]:
        by_group = jnp.concatenate([_log_norms(share, alike) for alike in _of_one_size(groups)])
        rest = add(whole, -total)
        lowest = whole.norm().log() + math.log(1e3 * float(jnp.finfo(rest.dtype).eps))
        sizes = jnp.linalg.norm(total.unit) * jnp.linalg.norm(rest.unit)
        known = (rest.norm().log() > lowest) & (sizes > 0)
        cosine = jnp.where(known, jnp.sum(total.unit * rest.unit) / jnp.where(known, sizes, 1), 0)
        cosine = jnp.where(jnp.isfinite(total.norm().unit), cosine, jnp.nan)
        return share.norm().log(), total.norm().log(), cosine, by_group

    nothing = jax.tree_util.tree_map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(measured))
    return total, jax.lax.cond(looks, measured, lambda: nothing)


class Ends(NamedTuple):
    """Steps t of a run, their direct derivatives e_t, and of the lags False where they are padding."""

    steps: Any
    rows: Any
    wanted: Any


@functools.partial(jax.jit, static_argnums=0, static_argnames=("lags", "groups"))
def lags_of_ends(
    static: Any,
    arrays: Any,
    states: Array,
    inputs: Any,
    inside: Array | None = None,
    *,
    ends: Ends,
    whole: Scaled,
    looks: Array,
    lags: int,
    groups: tuple[Group, ...],
) -> tuple[Scaled, tuple[Array, ...]]:
    """S(M) and the measures of every lag: the rows e_t of the steps t go back one step at a time, side by side.

    Args:
        inside: of the steps, False where they lead the run as its padding.
    """
    step, last = _Step(static, arrays), ends.steps
    first = 0 if inside is None else jnp.argmax(inside).astype(last.dtype)

    def further(carry: tuple[Scaled, Scaled], lag: Array) -> tuple[tuple[Scaled, Scaled], tuple]:
        going, total = carry
        there = last >= lag
        going = Scaled(jnp.where(there[:, None], going.unit, 0), jnp.where(there, going.exponent, 0), 1)
        at = jnp.where(there, first + last - lag, first)
        x, u = jax.tree_util.tree_map(lambda leaf: leaf[at], (states, inputs))
        total, found = measures_of(total, step.immediate(x, u, going), whole, groups, looks)
        return (jax.vmap(step.back)(x, u, going)[0], total), found

    start = from_float(ends.rows, event_ndim=1), nothing_like(whole)
    (_, total), found = scan(further, start, jnp.arange(1, lags + 1, dtype=last.dtype), ends.wanted)
    return total, found


@functools.partial(jax.jit, static_argnums=0)
def whole_of(static: Any, arrays: Any, states: Array, inputs: Any, rows: Scaled) -> Scaled:
    """∂E/∂θ from the total derivatives ∂E/∂x_k, k = 1 … T: all steps in one product."""
    return _Step(static, arrays).immediate(states, inputs, rows)


@functools.partial(jax.jit, static_argnums=0, static_argnames="groups")
def lags_of_last(
    static: Any,
    arrays: Any,
    states: Array,
    inputs: Any,
    last: Array,
    *,
    whole: Scaled,
    looks: Array,
    groups: tuple[Group, ...],
    inside: Array | None = None,
) -> tuple[Scaled, tuple[Array, ...]]:
    """The same where only e_T is there: one row, back through all steps given; what a mask leaves out is last."""
    step = _Step(static, arrays)

    def further(carry: tuple[Scaled, Scaled], at: tuple) -> tuple[tuple[Scaled, Scaled], tuple]:
        (row, total), (x, u) = carry, at
        row, share = step.whole(x, u, row)
        total, found = measures_of(total, share, whole, groups, looks)
        return (row, total), found

    first = from_float(last, event_ndim=1), nothing_like(whole)
    (_, total), found = scan(further, first, (states, inputs), inside, reverse=True)
    return total, jax.tree_util.tree_map(lambda leaf: leaf[::-1], found)


def nothing_like(like: Scaled) -> Scaled:
    return Scaled(jnp.zeros_like(like.unit), jnp.zeros_like(like.exponent), 1)
