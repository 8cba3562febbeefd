"""All equilibria of the neuron, x = σ(w x + b), one to three of them, bracketed by the turning points."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from rnn_dynamics import double_double as dd
from rnn_dynamics.activations import sigmoid
from rnn_dynamics.doya.curves import (
    flip_excess,
    flip_half_width,
    fold_half_width,
    fold_root,
    offset,
    one_minus,
)
from rnn_dynamics.roots import bracketed_root
from rnn_dynamics.status import Status
from rnn_dynamics.validation import broadcast_arrays, fraction

__all__ = ["Equilibria", "TwoCycle", "equilibria", "two_cycle"]

_POLISHING_STEPS = 6


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["points", "multipliers", "stable", "marginal", "count", "status"],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class Equilibria:
    """Equilibria of each neuron, padded to three.

    Attributes:
        points: x, shape (…, 3), ascending. One equilibrium stands first; of three the middle one repels.
            NaN where there is none.
        multipliers: 1 − ε + ε w x(1 − x), shape (…, 3).
        stable: |multiplier| < 1, decided by the closed form of folds and flips and not by rounding.
        marginal: |multiplier| = 1 exactly (at the cusp, at a symmetric flip).
        count: 1 or 3, shape (…).
        status: CONVERGED, or MAX_STEPS where the root is of higher order; −1 where there is none.
    """

    points: Float[Array, "... 3"]
    multipliers: Float[Array, "... 3"]
    stable: Bool[Array, "... 3"]
    marginal: Bool[Array, "... 3"]
    count: Int[Array, "..."]
    status: Int[Array, "... 3"]

    def __repr__(self) -> str:
        if isinstance(self.points, Tracer) or self.count.ndim:
            return f"Equilibria(shape={self.count.shape}, dtype={self.points.dtype})"
        rows = []
        for i in range(int(self.count)):
            kind = "marginal" if self.marginal[i] else "stable" if self.stable[i] else "unstable"
            rows.append(
                f"x = {float(self.points[i]):.6g} ({kind}, multiplier {float(self.multipliers[i]):.6g})"
            )
        return f"Equilibria({'; '.join(rows)})"


def curve(x: Float[Array, "..."], w: Float[Array, "..."], b: Float[Array, "..."]) -> dd.Pair:
    """h(x) = ln(x/(1 − x)) − w x − b as a pair, for x in (0, 1): its zeros are the equilibria."""
    return dd.subtract(dd.subtract(dd.logit(x), dd.two_prod(w, x)), dd.pair(b))


def is_bistable(w: Float[Array, "..."], b: Float[Array, "..."]) -> Bool[Array, "..."]:
    """Whether b lies strictly between the folds: |b + w/2| < B(w), in double-double."""
    return dd.subtract(fold_half_width(w), dd.absolute(offset(w, b))).hi > 0


def _balance(z: Array, w: Array, b: Array) -> Array:
    """z − w σ(z) − b: zero at z = w x + b of an equilibrium."""
    return (z - b) - w * sigmoid(z)


def _polish(w: Array, b: Array, _: int, x: Array) -> Array:
    """One Newton step on h in double-double: x to about an ulp where its slope allows."""
    interior = (x > 0) & (x < 1)
    at = jnp.where(interior, x, jnp.full_like(x, 0.5))
    slope = 1 / (at * one_minus(at).hi) - w
    steep = slope != 0
    step = curve(at, w, b).hi / jnp.where(steep, slope, jnp.ones_like(slope))
    near = jnp.abs(step) <= 1e-3 * jnp.minimum(at, 1 - at)
    return jnp.where(interior & steep & near, at - step, x)


def _enclosed(x: Array, w: Array, b: Array) -> Bool[Array, "..."]:
    """Whether h changes its sign within 4 ulp of x; a root that rounds to 0 or 1 counts too."""
    width = 4 * float(jnp.finfo(x.dtype).eps) * x
    least = float(jnp.finfo(x.dtype).tiny)  # x may have underflowed to 0
    at = jnp.stack([x - width - least, x + width + least])
    interior = (at > 0) & (at < 1)
    inner = jnp.where(interior, at, jnp.full_like(at, 0.5))
    h = curve(inner, *(jnp.broadcast_to(a, at.shape) for a in (w, b))).hi
    h = jnp.where(interior, h, jnp.where(at >= 1, jnp.inf, -jnp.inf))
    return h[0] * h[1] <= 0


@jax.custom_jvp
def _points(w: Array, b: Array) -> tuple[Array, Array]:
    """The states and their statuses, shape (3, …)."""
    three = is_bistable(w, b)
    low, high = jnp.minimum(b, b + w), jnp.maximum(b, b + w)
    s = fold_root(w).hi
    turn = 2 * jnp.log1p(jnp.where(three, s, jnp.zeros_like(s))) + jnp.log(jnp.maximum(w / 4, 1.0))
    turn = jnp.where(three, turn, jnp.zeros_like(turn))
    # One stacked search, so that its body is compiled once.
    starts = jnp.stack([low, -turn, turn])
    ends = jnp.stack([jnp.where(three, -turn, high), turn, high])
    thrice_w, thrice_b = (jnp.broadcast_to(a, starts.shape) for a in (w, b))
    root = bracketed_root(_balance, starts, ends, thrice_w, thrice_b)
    polish = functools.partial(_polish, thrice_w, thrice_b)
    points = jax.lax.fori_loop(0, _POLISHING_STEPS, polish, sigmoid(root.value))
    # The symmetric equilibrium ½ is exact; at the cusp it is a triple root, which no iteration finds.
    symmetric = offset(w, b).hi == 0
    no = jnp.zeros_like(three)
    exact = jnp.stack([symmetric & ~three, symmetric & three, no])
    points = jnp.where(exact, jnp.full_like(points, 0.5), points)
    status = jnp.where(
        exact | _enclosed(points, thrice_w, thrice_b), int(Status.CONVERGED), int(Status.MAX_STEPS)
    )
    present = jnp.stack([~no, three, three])
    return jnp.where(present, points, jnp.nan), jnp.where(present, status, -1)


@_points.defjvp
def _points_jvp(primals: tuple, tangents: tuple) -> tuple:
    (w, b), (dw, db) = primals, tangents
    points, status = _points(w, b)
    absent = jnp.isnan(points)  # its tangent is 0, so that a cotangent of 0 does not meet NaN
    states = jnp.where(absent, jnp.zeros_like(points), points)
    room = states * (1 - states)
    slope = room / (1 - w[None] * room)
    return (points, status), (
        slope * (states * dw[None] + db[None]),
        jnp.zeros(status.shape, jax.dtypes.float0),
    )


def _stability(w: Array, b: Array, epsilon: Array, three: Array) -> tuple[Array, Array]:
    """Stable and marginal, shape (3, …), by the closed forms."""
    c = dd.absolute(offset(w, b))
    excess, has_flip = flip_excess(w, epsilon)
    past_flip = dd.subtract(c, flip_half_width(w, epsilon)).hi
    on_flip = ((excess == 0) & (c.hi == 0)) | (has_flip & (past_flip == 0))
    on_cusp = (w == 4) & (c.hi == 0)
    marginal = on_cusp | on_flip
    outer = ~marginal & (~has_flip | (past_flip > 0))
    no = jnp.zeros_like(three)
    return jnp.stack([outer, no, three]), jnp.stack([marginal, no, no])


@jax.jit
def _equilibria(w: Array, b: Array, epsilon: Array) -> Equilibria:
    points, status = _points(w, b)
    three = ~jnp.isnan(points[1])
    stable, marginal = _stability(w, b, epsilon, three)
    points = jnp.moveaxis(points, 0, -1)
    w, epsilon = (jnp.broadcast_to(a[..., None], points.shape) for a in (w, epsilon))
    return Equilibria(
        points,
        (1 - epsilon) + epsilon * (w * points * (1 - points)),
        jnp.moveaxis(stable, 0, -1),
        jnp.moveaxis(marginal, 0, -1),
        jnp.where(three, 3, 1).astype(jnp.int32),
        jnp.moveaxis(status, 0, -1),
    )


def equilibria(w: Any, b: Any, epsilon: Any = 1.0) -> Equilibria:
    """Every equilibrium x = σ(w x + b) of each neuron; the same for every ε, as only its stability depends on ε.

    Roots are bracketed by the turning points of ln(x/(1−x)) − w x and polished in double-double. They carry
    the derivatives of the implicit function, ∂x/∂b = 1/(1/(x(1−x)) − w) and ∂x/∂w = x ∂x/∂b.

    Args:
        w: weight.
        b: bias; shapes broadcast.
        epsilon: Euler step in (0, 1].

    Returns:
        ``Equilibria``, padded to three.

    Raises:
        TypeError, ValueError: not finite real numbers, shapes that do not broadcast, ε outside (0, 1].

    Reference: K. Doya, ISCAS 1992.
    """
    fraction("epsilon", epsilon)
    return _equilibria(*broadcast_arrays(w=w, b=b, epsilon=epsilon))


@functools.partial(jax.tree_util.register_dataclass, data_fields=["x", "multiplier"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class TwoCycle:
    """The attracting 2-cycle of each neuron with ε = 1.

    Attributes:
        x: its two states, ascending, shape (…, 2); NaN where there is none.
        multiplier: w² σ′(w x₁ + b) σ′(w x₂ + b), shape (…).
    """

    x: Float[Array, "... 2"]
    multiplier: Float[Array, "..."]


def _twice(x: Array, w: Array, b: Array) -> Array:
    """F(F(x)) − x for ε = 1."""
    return sigmoid(w * sigmoid(w * x + b) + b) - x


@jax.jit
def _two_cycle(w: Array, b: Array) -> TwoCycle:
    one = jnp.ones_like(w)
    _, has_flip = flip_excess(w, one)
    inside = has_flip & (dd.subtract(dd.absolute(offset(w, b)), flip_half_width(w, one)).hi < 0)
    safe_w, safe_b = jnp.where(inside, w, -8 * one), jnp.where(inside, b, 4 * one)
    centre = _points(safe_w, safe_b)[0][0]
    # F∘F − x is negative just below the repelling equilibrium and positive at 0.
    gap = jnp.maximum(jnp.sqrt(float(jnp.finfo(w.dtype).eps)) * centre, jnp.zeros_like(centre))
    low = bracketed_root(_twice, jnp.zeros_like(w), centre - gap, safe_w, safe_b).value
    high = sigmoid(safe_w * low + safe_b)
    slopes = jnp.square(safe_w) * (high * (1 - high)) * (low * (1 - low))
    hole = jnp.full_like(w, jnp.nan)
    x = jnp.stack([jnp.where(inside, low, hole), jnp.where(inside, high, hole)], axis=-1)
    return TwoCycle(x, jnp.where(inside, slopes, hole))


def two_cycle(w: Any, b: Any) -> TwoCycle:
    """The 2-cycle x₂ = σ(w x₁ + b), x₁ = σ(w x₂ + b) between the flips (ε = 1), where it attracts every orbit.

    Raises:
        TypeError, ValueError: not finite real numbers, shapes that do not broadcast.
    """
    return _two_cycle(*broadcast_arrays(w=w, b=b))
