"""Closed forms of the Doya neuron x ← (1 − ε) x + ε σ(w x + b): equilibrium curve, folds, cusp, flips, walls.

Everything is symmetric under x → 1 − x, b + w/2 → −(b + w/2), so the formulas are written in y = 2x − 1 and
c = b + w/2: an equilibrium solves 2 artanh y − w y/2 = c. Cancelling sums are formed in double-double.

References: K. Doya, ISCAS 1992; R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, figure 3.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics import double_double as dd
from rnn_dynamics.double_double import Pair
from rnn_dynamics.validation import broadcast_arrays, fraction

__all__ = ["Flips", "Folds", "cusp", "flips", "fold_window", "folds", "multiplier", "wall"]


@functools.partial(jax.tree_util.register_dataclass, data_fields=["b", "x"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class Folds:
    """Where two equilibria meet, multiplier 1.

    Attributes:
        b: bias, shape (…, 2); last axis the lower and the upper fold *state*, x₋ and x₊. b[…, 1] < b[…, 0].
        x: state, shape (…, 2). NaN where there is no fold.
    """

    b: Float[Array, "... 2"]
    x: Float[Array, "... 2"]


@functools.partial(jax.tree_util.register_dataclass, data_fields=["b", "x"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class Flips:
    """Where the equilibrium doubles its period, multiplier −1.

    Attributes:
        b: bias, shape (…, 2); last axis the lower and the upper flip state. b[…, 0] < b[…, 1].
        x: state, shape (…, 2). NaN where there is no flip.
    """

    b: Float[Array, "... 2"]
    x: Float[Array, "... 2"]


def one_minus(x: Float[Array, "..."]) -> Pair:
    """1 − x exactly."""
    return dd.two_sum(jnp.ones_like(x), -x)


def offset(w: Float[Array, "..."], b: Float[Array, "..."]) -> Pair:
    """c = b + w/2 exactly: the bias measured from the symmetric one."""
    return dd.two_sum(b, w / 2)


def centred(x: Float[Array, "..."]) -> Pair:
    """y = 2x − 1 exactly."""
    return dd.two_sum(2 * x, jnp.full_like(x, -1))


def slope_gap(w: Float[Array, "..."], y: Pair) -> Pair:
    """4 (1 − w x(1 − x)) = w y² − (w − 4): positive outside the folds, zero on them."""
    beyond = dd.two_sum(w, jnp.full_like(w, -4))
    return dd.subtract(dd.multiply(dd.pair(w), dd.multiply(y, y)), beyond)


def residual(w: Float[Array, "..."], c: Pair, x: Float[Array, "..."]) -> Pair:
    """ln(x/(1 − x)) − w x − b for x in (0, 1), as 2 artanh y − w y/2 − c: zero at an equilibrium."""
    drive = dd.multiply(dd.pair(w / 2), centred(x))
    return dd.subtract(dd.subtract(dd.logit(x), drive), c)


def fold_root(w: Float[Array, "..."]) -> Pair:
    """s = √(1 − 4/w), where the folds are y = ±s; 0 for w ≤ 4."""
    beyond = w > 4
    safe = jnp.where(beyond, w, jnp.full_like(w, 8))
    root = dd.sqrt(dd.divide(dd.two_sum(safe, jnp.full_like(w, -4)), dd.pair(safe)))
    return _masked(beyond, root)


def fold_half_width(w: Float[Array, "..."]) -> Pair:
    """B(w) = w s/2 − 2 artanh s for w > 4, else 0: three equilibria iff |b + w/2| < B."""
    beyond = w > 4
    safe = jnp.where(beyond, w, jnp.full_like(w, 8))
    s = fold_root(safe)
    above = dd.add(s, dd.pair(jnp.ones_like(w)))
    # 2 artanh s = ln((1 + s)/(1 − s)) = ln(w (1 + s)²/4), free of cancellation.
    logarithm = dd.log_quotient(dd.multiply(dd.pair(safe / 4), dd.multiply(above, above)), one_pair(w))
    return _masked(beyond, dd.subtract(dd.multiply(dd.pair(safe / 2), s), logarithm))


def flip_root(w: Float[Array, "..."], epsilon: Float[Array, "..."]) -> Pair:
    """s = √(1 − 4(2 − ε)/(ε|w|)), where the flips are y = ±s; 0 where there are none."""
    beyond, excess, size = _flip_excess(w, epsilon)
    return _masked(beyond, dd.sqrt(dd.divide(excess, size)))


def flip_half_width(w: Float[Array, "..."], epsilon: Float[Array, "..."]) -> Pair:
    """2 artanh s + |w| s/2, else 0: the equilibrium is unstable through −1 iff |b + w/2| is below it."""
    beyond, _, size = _flip_excess(w, epsilon)
    s = flip_root(w, epsilon)
    above = dd.add(s, one_pair(w))
    # (1 + s)/(1 − s) = (1 + s)² ε|w| / (4 (2 − ε)).
    twice = dd.two_sum(jnp.full_like(w, 2), -epsilon)
    logarithm = dd.log_quotient(dd.multiply(dd.scale(size, 0.25), dd.multiply(above, above)), twice)
    half = jnp.where(beyond, -w / 2, jnp.ones_like(w))
    return _masked(beyond, dd.add(logarithm, dd.multiply(dd.pair(half), s)))


def flip_excess(w: Float[Array, "..."], epsilon: Float[Array, "..."]) -> tuple[Array, Array]:
    """ε|w| − 4(2 − ε), and whether it is positive, so that flips exist."""
    size = dd.two_prod(epsilon, -w)
    excess = dd.subtract(size, dd.scale(dd.two_sum(jnp.full_like(w, 2), -epsilon), 4.0)).hi
    return excess, excess > 0


def one_pair(like: Float[Array, "..."]) -> Pair:
    """The number 1 as a pair."""
    return dd.pair(jnp.ones_like(like))


def _flip_excess(w: Array, epsilon: Array) -> tuple[Array, Pair, Pair]:
    """Whether flips exist, ε|w| − 4(2 − ε) and ε|w| (2 for both where not)."""
    size = dd.two_prod(epsilon, -w)
    excess = dd.subtract(size, dd.scale(dd.two_sum(jnp.full_like(w, 2), -epsilon), 4.0))
    beyond = excess.hi > 0
    two = jnp.full_like(w, 2)
    return beyond, _masked(beyond, excess, two), _masked(beyond, size, two)


def _masked(mask: Array, value: Pair, otherwise: Array | None = None) -> Pair:
    other = jnp.zeros_like(value.hi) if otherwise is None else otherwise
    return Pair(jnp.where(mask, value.hi, other), jnp.where(mask, value.lo, jnp.zeros_like(value.lo)))


def _branches(s: Pair, half_width: Pair, w: Array, exists: Array, sign: float) -> tuple[Array, Array]:
    """b = −w/2 ∓ sign·half_width and x = (1 ∓ s)/2 of the two branches, stacked last."""
    centre = dd.pair(-w / 2)
    shift = dd.scale(half_width, sign)
    b = jnp.stack([dd.subtract(centre, shift).hi, dd.add(centre, shift).hi], axis=-1)
    above = dd.scale(dd.add(one_pair(w), s), 0.5)
    below = dd.scale(dd.subtract(one_pair(w), s), 0.5)
    x = jnp.stack([below.hi, above.hi], axis=-1)
    hole = jnp.full_like(b, jnp.nan)
    return jnp.where(exists[..., None], b, hole), jnp.where(exists[..., None], x, hole)


@jax.custom_jvp
def _folds(w: Float[Array, "..."]) -> tuple[Array, Array]:
    return _branches(fold_root(w), fold_half_width(w), w, w >= 4, -1.0)


@_folds.defjvp
def _folds_jvp(primals: tuple, tangents: tuple) -> tuple:
    (w,), (dw,) = primals, tangents
    b, x = _folds(w)
    s = jnp.sqrt((w - 4) / jnp.where(w > 4, w, jnp.ones_like(w)))
    dx = dw / (jnp.square(w) * jnp.where(w == 4, jnp.zeros_like(s), s))
    # On the equilibrium curve ∂b/∂x vanishes at a fold, so db/dw is the partial derivative −x alone.
    return (b, x), (-x * dw[..., None], jnp.stack([-dx, dx], axis=-1))


@jax.custom_jvp
def _flips(w: Float[Array, "..."], epsilon: Float[Array, "..."]) -> tuple[Array, Array]:
    excess = dd.subtract(dd.two_prod(epsilon, -w), dd.scale(dd.two_sum(jnp.full_like(w, 2), -epsilon), 4.0))
    return _branches(flip_root(w, epsilon), flip_half_width(w, epsilon), w, excess.hi >= 0, 1.0)


@_flips.defjvp
def _flips_jvp(primals: tuple, tangents: tuple) -> tuple:
    (w, epsilon), (dw, de) = primals, tangents
    b, x = _flips(w, epsilon)
    s = flip_root(w, epsilon).hi
    q = (2 - epsilon) / (-epsilon * w)
    dq = -q * (dw / w + de / (2 - epsilon) + de / epsilon)
    dx = -dq / s
    db = 2 * -w / (2 - epsilon) * dx
    both = jnp.stack([-dx, dx], axis=-1)
    return (b, x), (-x * dw[..., None] + jnp.stack([-db, db], axis=-1), both)


_folds_jit = jax.jit(_folds)
_flips_jit = jax.jit(_flips)


def folds(w: Any) -> Folds:
    """The two folds: x± = (1 ± √(1 − 4/w))/2 and b = ln(x/(1 − x)) − w x, for every ε.

    Three equilibria exist iff b[…, 1] < b < b[…, 0]. At w = 4 both branches are the cusp (½, −2), where the
    derivative of x is infinite; for w < 4 there is no fold.

    Args:
        w: weight, any shape.

    Returns:
        ``Folds`` with b and x of shape (…, 2), lower state first, NaN for w < 4; b to 1 ulp.

    Raises:
        TypeError, ValueError: ``w`` is no array of finite real numbers.

    Reference: K. Doya, "Bifurcations in the learning of recurrent neural networks", ISCAS 1992.
    """
    (w,) = broadcast_arrays(w=w)
    return Folds(*_folds_jit(w))


def flips(w: Any, epsilon: Any = 1.0) -> Flips:
    """The two flips: 1 − ε + ε w x(1 − x) = −1 and b = ln(x/(1 − x)) − w x, where w ≤ −4(2 − ε)/ε.

    The equilibrium repels iff b[…, 0] < b < b[…, 1] (given w < 0).

    Args:
        w: weight, any shape.
        epsilon: Euler step in (0, 1], broadcast against ``w``.

    Returns:
        ``Flips`` with b and x of shape (…, 2), lower state first, NaN where there is none; b to 1 ulp.

    Raises:
        TypeError, ValueError: not finite real numbers, shapes that do not broadcast, ε outside (0, 1].
    """
    fraction("epsilon", epsilon)
    w, epsilon = broadcast_arrays(w=w, epsilon=epsilon)
    return Flips(*_flips_jit(w, epsilon))


def cusp() -> tuple[float, float, float]:
    """(w, b, x) = (4, −2, ½): where the two folds meet."""
    return 4.0, -2.0, 0.5


@jax.jit
def _fold_window(w: Array) -> Array:
    s = fold_root(w).hi
    square = jnp.square(s)
    series = jnp.zeros_like(w)
    # B = 2 Σ 2k/(2k + 1) s^(2k+1): no cancellation near the cusp.
    for k in reversed(range(1, 20)):
        series = series * square + 2 * k / (2 * k + 1)
    plain = 2 * fold_half_width(w).hi
    return jnp.where(w < 4, jnp.nan, jnp.where(s < 0.3, 4 * s * square * series, plain))


def fold_window(w: Any) -> Float[Array, "..."]:
    """Width of the bistable interval of b: w s − 4 artanh s with s = √(1 − 4/w); NaN for w < 4.

    Raises:
        TypeError, ValueError: ``w`` is no array of finite real numbers.
    """
    (w,) = broadcast_arrays(w=w)
    return _fold_window(w)


@jax.jit
def _wall(w: Array, x0: Array, epsilon: Array) -> Array:
    inside = (x0 > 0) & (x0 < 1)
    x = jnp.where(inside, x0, jnp.full_like(x0, 0.5))
    slope = dd.multiply(dd.two_prod(w, x), one_minus(x))
    # The equilibrium repels: multiplier above 1, or below −1, i.e. ε w x(1 − x) < −(2 − ε).
    scaled = dd.multiply(slope, dd.pair(epsilon))
    below = dd.add(scaled, dd.two_sum(jnp.full_like(w, 2), -epsilon)).hi < 0
    repels = (dd.subtract(slope, one_pair(w)).hi > 0) | below
    b = dd.subtract(dd.logit(x), dd.two_prod(w, x)).hi
    return jnp.where(inside & repels, b, jnp.full_like(b, jnp.nan))


@jax.custom_jvp
def _wall_differentiable(w: Array, x0: Array, epsilon: Array) -> Array:
    return _wall(w, x0, epsilon)


@_wall_differentiable.defjvp
def _wall_jvp(primals: tuple, tangents: tuple) -> tuple:
    (w, x0, epsilon), (dw, dx, _) = primals, tangents
    b = _wall_differentiable(w, x0, epsilon)
    return b, jnp.where(jnp.isnan(b), b, -x0 * dw + (1 / (x0 * (1 - x0)) - w) * dx)


def wall(w: Any, x0: Any, epsilon: Any = 1.0) -> Float[Array, "..."]:
    """The bias that puts x₀ on the unstable equilibrium: b = ln(x₀/(1 − x₀)) − w x₀.

    It is a wall of the loss where that equilibrium repels: w x₀(1 − x₀) > 1, where it separates two basins, or
    w x₀(1 − x₀) < −(2 − ε)/ε, where at ε = 1 the two sides are the two phases of a 2-cycle.

    Args:
        w: weight.
        x0: start; shapes broadcast.
        epsilon: Euler step in (0, 1].

    Returns:
        b, to 1 ulp; NaN where x₀ is outside (0, 1) or its equilibrium does not repel.

    Raises:
        TypeError, ValueError: not finite real numbers, shapes that do not broadcast, ε outside (0, 1].
    """
    fraction("epsilon", epsilon)
    return _wall_differentiable(*broadcast_arrays(w=w, x0=x0, epsilon=epsilon))


def multiplier(w: Any, x: Any, epsilon: Any = 1.0) -> Float[Array, "..."]:
    """The derivative of the step at an equilibrium x: 1 − ε + ε w x(1 − x).

    Raises:
        TypeError, ValueError: not finite real numbers, shapes that do not broadcast, ε outside (0, 1].
    """
    fraction("epsilon", epsilon)
    w, x, epsilon = broadcast_arrays(finite=False, w=w, x=x, epsilon=epsilon)
    return (1 - epsilon) + epsilon * (w * x * (1 - x))
