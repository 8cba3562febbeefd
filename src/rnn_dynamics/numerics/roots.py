"""Bracketed scalar roots: bisections, then Newton, and the derivative of the implicit function."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rnn_dynamics.numerics.status import Status

_BISECTIONS = 20
#: Bisections and steps of Newton at most.
_STEPS = 32


class Root(NamedTuple):
    """A root of each entry.

    Attributes:
        value: x, inside its bracket.
        status: CONVERGED where the last step was a few ulp of the bracket's ends or the residual is 0; MAX_STEPS
            where not (a root of higher order, a jump); UNDECIDED where the bracket has no change of sign or is
            not finite.
    """

    value: Float[Array, "..."]
    status: Int[Array, "..."]


def _slope(function: Callable[..., Array], x: Array, parameters: tuple) -> tuple[Array, Array]:
    return jax.jvp(lambda at: function(at, *parameters), (x,), (jnp.ones_like(x),))


def _bisect(function: Callable[..., Array], parameters: tuple, _: int, bracket: tuple) -> tuple:
    low, high, rising = bracket
    middle = low + (high - low) / 2
    left = (function(middle, *parameters) > 0) == rising
    return jnp.where(left, low, middle), jnp.where(left, middle, high), rising


class _Newton(NamedTuple):
    """Newton kept inside a shrinking bracket.

    Attributes:
        step: how many steps were made.
        low, high: the bracket.
        x: the point now.
        before: the point before it.
        moved: how far the last step went.
        done: the steps stay at x, or go to and fro between it and the one before, so that x is no longer moved:
            no root's bits depend on how long others take.
    """

    step: Array
    low: Array
    high: Array
    x: Array
    before: Array
    moved: Array
    done: Array


def _newton(function: Callable[..., Array], parameters: tuple, rising: Array, at: _Newton) -> _Newton:
    value, slope = _slope(function, at.x, parameters)
    left = (value > 0) == rising
    low, high = jnp.where(left, at.low, at.x), jnp.where(left, at.x, at.high)
    flat = slope == 0
    proposal = at.x - value / jnp.where(flat, jnp.ones_like(slope), slope)
    inside = (proposal >= low) & (proposal <= high) & ~flat & jnp.isfinite(proposal)
    following = jnp.where(value == 0, at.x, jnp.where(inside, proposal, low + (high - low) / 2))
    following = jnp.where(at.done, at.x, following)
    moved = jnp.where(at.done, at.moved, jnp.abs(following - at.x))
    done = at.done | (following == at.x) | (following == at.before)
    return _Newton(at.step + 1, low, high, following, at.x, moved, done)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _solve(
    function: Callable[..., Array],
    bisections: int,
    low: Array,
    high: Array,
    parameters: tuple,
    rising: Array | None,
) -> Root:
    if rising is None:
        at_low, at_high = function(low, *parameters), function(high, *parameters)
        bracketed = jnp.isfinite(at_low + at_high) & (jnp.sign(at_low) * jnp.sign(at_high) <= 0)
        rising = at_high >= at_low
    else:
        bracketed = jnp.isfinite(low) & jnp.isfinite(high)
    scale = jnp.maximum(jnp.abs(low), jnp.abs(high))
    bisect = functools.partial(_bisect, function, parameters)
    low, high, _ = jax.lax.fori_loop(0, bisections, bisect, (low, high, rising))
    start = low + (high - low) / 2
    first = _Newton(
        jnp.int32(bisections), low, high, start, jnp.full_like(start, jnp.nan), high - low, ~bracketed
    )
    last = jax.lax.while_loop(
        lambda at: (at.step < _STEPS) & ~jnp.all(at.done),
        functools.partial(_newton, function, parameters, rising),
        first,
    )
    x, step = last.x, last.moved
    residual, slope = _slope(function, x, parameters)
    unit = float(jnp.finfo(x.dtype).eps)
    # A bracket may also close on a jump or on a hole of NaN: there Newton's correction stays large.
    corrected = jnp.abs(residual) <= unit**0.5 * scale * jnp.abs(slope)
    converged = jnp.isfinite(x + residual) & (((step <= 8 * unit * scale) & corrected) | (residual == 0))
    status = jnp.where(converged, int(Status.CONVERGED), int(Status.MAX_STEPS))
    status = jnp.where(bracketed, status, int(Status.UNDECIDED)).astype(jnp.int32)
    return Root(jnp.where(bracketed, x, jnp.full_like(x, jnp.nan)), status)


@_solve.defjvp
def _solve_jvp(function: Callable[..., Array], bisections: int, primals: tuple, tangents: tuple) -> tuple:
    low, high, parameters, rising = primals
    root = _solve(function, bisections, low, high, parameters, rising)
    moved = jax.jvp(lambda *p: function(root.value, *p), parameters, tangents[2])[1]
    slope = _slope(function, root.value, parameters)[1]
    no_tangent = jnp.zeros(root.status.shape, jax.dtypes.float0)
    # A missing root has no derivative; 0 there, so that it cannot turn a sum over the others into NaN.
    known = jnp.isfinite(root.value) & jnp.isfinite(slope)
    change = jnp.where(known, -moved, jnp.zeros_like(moved)) / jnp.where(known, slope, jnp.ones_like(slope))
    return root, Root(change, no_tangent)


def bracketed_root(
    function: Callable[..., Any],
    low: Float[Array, "..."],
    high: Float[Array, "..."],
    *parameters: Any,
    rising: Bool[Array, "..."] | None = None,
    bisections: int = _BISECTIONS,
) -> Root:
    """The root x of ``function(x, *parameters)`` between ``low`` and ``high``, elementwise.

    Bisections, then Newton kept inside the shrinking bracket, 32 steps in all at most. The derivative with
    respect to the parameters is that of the implicit function, dx = −(∂f/∂p dp)/(∂f/∂x), also where the root
    meets an end of the bracket; the bracket itself carries no derivative.

    Args:
        function: elementwise in x and the parameters, of one shape and dtype.
        low, high: the bracket; f must change sign on it.
        parameters: arrays of the bracket's shape.
        rising: where the function is known to rise through its root; the ends are then trusted to bracket it,
            although rounding may hide the change of sign at an end that all but touches the root.
        bisections: how many come first; fewer where Newton is safe earlier.

    Returns:
        ``Root`` with value (NaN where nothing is bracketed) and status.
    """
    return _solve(function, bisections, low, high, parameters, rising)
