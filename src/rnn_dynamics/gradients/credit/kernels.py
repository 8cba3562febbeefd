"""The compiled passes of credit by lag: totals in one backward pass, and shares of every lag."""

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
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.padding import scan
from rnn_dynamics.numerics.reductions import any_nonzero
from rnn_dynamics.numerics.scaled import Scaled, add, aligned_sum, from_float

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
        there = any_nonzero(rows.unit, axis=-1)
        top = jnp.where(there.any(), jnp.max(jnp.where(there, rows.exponent, _LOWEST)), 0)
        units = Scaled(rows.unit, jnp.minimum(rows.exponent - top, 0), 1).to_float()
        gradient = immediate_gradient(self.static, self.arrays, states, inputs, units, summed=True)
        return Scaled(gradient, top, 1).normalize()


@lean(static_argnums=0)
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


class _Sizes(NamedTuple):
    """What the measures of a lag are made of, without a logarithm: those are taken of all lags at once.

    Attributes:
        squares: sums of squares of the units of C_m, S(m) and whole − S(m).
        exponents: powers of two of these three.
        along: the inner product of the units of the last two.
        largest, by_group: of every group of C_m the largest |entry|, and the sum of squares in units of it.
    """

    squares: Array
    exponents: Array
    along: Array
    largest: Array
    by_group: Array


def _of_groups(share: Array, alike: list[Group]) -> tuple[Array, Array]:
    """``largest`` and ``by_group`` of neighbouring groups of one size."""
    rows = share[alike[0].start : alike[-1].stop].reshape(len(alike), -1)
    largest = jnp.max(jnp.abs(rows), axis=1)
    is_normal = jnp.isfinite(largest) & (largest >= jnp.finfo(share.dtype).tiny)
    largest = jnp.where(is_normal, largest, 1)
    return largest, jnp.sum(jnp.square(rows / largest[:, None]), axis=1)


def sizes_of(
    total: Scaled, share: Scaled, whole: Scaled, groups: tuple[Group, ...], looks: Array
) -> tuple[Scaled, _Sizes]:
    """S(m), and what ``measures_of`` takes; the latter 0 where a call does not look at it."""
    total = add(total, share)

    def measured() -> _Sizes:
        found = [_of_groups(share.unit, alike) for alike in _of_one_size(groups)]
        rest = aligned_sum(whole, -total)
        squares = [jnp.sum(jnp.square(value.unit)) for value in (share, total, rest)]
        return _Sizes(
            jnp.stack(squares),
            jnp.stack([share.exponent, total.exponent, rest.exponent]),
            jnp.sum(total.unit * rest.unit),
            *(jnp.concatenate(parts) for parts in zip(*found, strict=True)),
        )

    nothing = jax.tree_util.tree_map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(measured))
    return total, jax.lax.cond(looks, measured, lambda: nothing)


def measures_of(sizes: _Sizes, whole: Scaled) -> tuple[Array, ...]:
    """ln‖C_m‖, ln‖S(m)‖, the cosine of S(m) and the rest of the whole, ln‖C_m‖ of every group, for all lags."""
    dtype = sizes.squares.dtype
    powers = sizes.exponents.astype(dtype) * math.log(2)
    logs = powers + jnp.log(sizes.squares) / 2
    lowest = whole.norm().log() + math.log(1e3 * float(jnp.finfo(dtype).eps))
    products = jnp.sqrt(sizes.squares[:, 1]) * jnp.sqrt(sizes.squares[:, 2])
    known = (logs[:, 2] > lowest) & (products > 0)
    cosine = jnp.where(known, sizes.along / jnp.where(known, products, 1), 0)
    cosine = jnp.where(jnp.isfinite(sizes.squares[:, 1]), cosine, jnp.nan)
    by_group = powers[:, :1] + jnp.log(sizes.largest) + jnp.log(sizes.by_group) / 2
    return logs[:, 0], logs[:, 1], cosine, by_group


class Ends(NamedTuple):
    """Steps t of a run, their direct derivatives e_t, and of the lags False where they are padding."""

    steps: Any
    rows: Any
    wanted: Any


@lean(static_argnums=0, static_argnames=("lags", "groups"))
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
        total, found = sizes_of(total, step.immediate(x, u, going), whole, groups, looks)
        return (jax.vmap(step.back)(x, u, going)[0], total), found

    start = from_float(ends.rows, event_ndim=1), nothing_like(whole)
    (_, total), found = scan(further, start, jnp.arange(1, lags + 1, dtype=last.dtype), ends.wanted)
    return total, measures_of(found, whole)


@lean(static_argnums=0)
def whole_of(static: Any, arrays: Any, states: Array, inputs: Any, rows: Scaled) -> Scaled:
    """∂E/∂θ from the total derivatives ∂E/∂x_k, k = 1 … T: all steps in one product."""
    return _Step(static, arrays).immediate(states, inputs, rows)


@lean(static_argnums=0, static_argnames="groups")
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
        total, found = sizes_of(total, share, whole, groups, looks)
        return (row, total), found

    first = from_float(last, event_ndim=1), nothing_like(whole)
    (_, total), found = scan(further, first, (states, inputs), inside, reverse=True)
    return total, jax.tree_util.tree_map(lambda leaf: leaf[::-1], measures_of(found, whole))


def nothing_like(like: Scaled) -> Scaled:
    return Scaled(jnp.zeros_like(like.unit), jnp.zeros_like(like.exponent), 1)
