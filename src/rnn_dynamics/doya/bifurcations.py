"""Closed forms of the Doya neuron x ← (1 − ε) x + ε σ(w x + b): equilibrium curve, folds, cusp, flips, walls.

Everything is symmetric under x → 1 − x, b + w/2 → −(b + w/2), so the formulas are written in y = 2x − 1 and
c = b + w/2: an equilibrium solves 2 artanh y − w y/2 = c. Cancelling sums are formed in double-double.

References: K. Doya, ISCAS 1992; R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, figure 3.
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from rnn_dynamics.numerics import double_double as dd
from rnn_dynamics.numerics.batching import elementwise
from rnn_dynamics.numerics.double_double import Pair
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.validation import broadcast_arrays, check_fraction, real_array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Folds(Result):
    """Where two equilibria meet, multiplier 1.

    Attributes:
        b: bias, shape (…, 2); last axis the lower and the upper fold *state*, x₋ and x₊. b[…, 1] < b[…, 0].
        x: state, shape (…, 2). NaN where there is no fold.
    """

    b: Float[Array, "... 2"]
    x: Float[Array, "... 2"]

    _axes: ClassVar = {"...": "grid"}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Flips(Result):
    """Where the equilibrium doubles its period, multiplier −1.

    Attributes:
        b: bias, shape (…, 2); last axis the lower and the upper flip state. b[…, 0] < b[…, 1].
        x: state, shape (…, 2). NaN where there is no flip.
    """

    b: Float[Array, "... 2"]
    x: Float[Array, "... 2"]

    _axes: ClassVar = {"...": "grid"}


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


class Turning(NamedTuple):
    """The two points y = ±s of an equilibrium curve with multiplier 1 (w > 0, a fold) or −1 (w < 0, a flip).

    Attributes:
        excess: w − 4, or ε|w| − 4(2 − ε): positive where there are two such points, 0 where they meet.
        s: √(excess/(excess + 4)), or √(excess/(ε|w|)); 0 where there are none.
        half_width: half the distance of the two points in b; 0 where there are none.
    """

    excess: Float[Array, "..."]
    s: Pair
    half_width: Pair

    @property
    def exists(self) -> Bool[Array, "..."]:
        """Whether there are two such points."""
        return self.excess > 0


def _excess(w: Array, epsilon: Array) -> tuple[Pair, Pair, Pair]:
    """size − 4 share, size and share: size = w and share = 1 for w > 0, else ε|w| and 2 − ε."""
    folding = w > 0
    size = _chosen(folding, dd.pair(w), dd.two_prod(epsilon, -w))
    share = _chosen(folding, one_pair(w), dd.two_sum(jnp.full_like(w, 2), -epsilon))
    return dd.subtract(size, dd.scale(share, 4.0)), size, share


def turning_excess(w: Float[Array, "..."], epsilon: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return ``Turning.excess`` alone."""
    return _excess(w, epsilon)[0].hi


def turning(w: Float[Array, "..."], epsilon: Float[Array, "..."]) -> Turning:
    """The folds for w > 0 (three equilibria iff |b + w/2| < half_width), else the flips (the equilibrium is
    unstable through −1 iff |b + w/2| < half_width).

    With share = 1 and size = w, or share = 2 − ε and size = ε|w|: s² = 1 − 4 share/size, and the half width is
    |w| s/2 ∓ 2 artanh s, where 2 artanh s = ln(size (1 + s)²/(4 share)) is free of cancellation.
    """
    excess, size, share = _excess(w, epsilon)
    exists = excess.hi > 0
    one = one_pair(w)
    size, share = _chosen(exists, size, dd.scale(one, 8.0)), _chosen(exists, share, one)
    s = dd.sqrt(dd.divide(_chosen(exists, excess, dd.scale(one, 4.0)), size))
    above = dd.add(s, one)
    logarithm = dd.log_quotient(dd.multiply(dd.scale(size, 0.25), dd.multiply(above, above)), share)
    logarithm = _chosen(w > 0, dd.negate(logarithm), logarithm)
    half = dd.pair(jnp.where(exists, jnp.abs(w) / 2, jnp.ones_like(w)))
    none = dd.pair(jnp.zeros_like(w))
    return Turning(
        excess.hi,
        _chosen(exists, s, none),
        _chosen(exists, dd.add(logarithm, dd.multiply(half, s)), none),
    )


def one_pair(like: Float[Array, "..."]) -> Pair:
    """The number 1 as a pair."""
    return dd.pair(jnp.ones_like(like))


def _chosen(mask: Array, value: Pair, otherwise: Pair) -> Pair:
    return Pair(jnp.where(mask, value.hi, otherwise.hi), jnp.where(mask, value.lo, otherwise.lo))


@jax.custom_jvp
def _events(w: Float[Array, "..."], epsilon: Float[Array, "..."]) -> tuple[Array, Array, Array]:
    """b and x of both folds or flips, lower state first, and the width 2 B of the folds' interval of b."""
    found = turning(w, epsilon)
    centre = dd.pair(-w / 2)
    shift = _chosen(w > 0, found.half_width, dd.negate(found.half_width))
    one = one_pair(w)
    b = jnp.stack([dd.add(centre, shift).hi, dd.subtract(centre, shift).hi], axis=-1)
    below, above = dd.subtract(one, found.s), dd.add(one, found.s)
    x = jnp.stack([below.hi / 2, above.hi / 2], axis=-1)
    hole = jnp.full_like(b, jnp.nan)
    there = (found.excess >= 0)[..., None]
    return jnp.where(there, b, hole), jnp.where(there, x, hole), _window(found)


def _window(found: Turning) -> Array:
    """2 B; by 2 B = 4 Σ 2k/(2k + 1) s^(2k+1) near the cusp, where the closed form cancels."""
    s = found.s.hi
    square = jnp.square(s)
    series = jnp.zeros_like(s)
    for k in reversed(range(1, 20)):
        series = series * square + 2 * k / (2 * k + 1)
    return jnp.where(s < 0.3, 4 * s * square * series, 2 * found.half_width.hi)


@_events.defjvp
def _events_jvp(primals: tuple, tangents: tuple) -> tuple:
    (w, epsilon), (dw, de) = primals, tangents
    b, x, window = _events(w, epsilon)
    there = ~jnp.isnan(x[..., 0])
    w = jnp.where(there, w, jnp.full_like(w, 8))
    at = jnp.where(there[..., None], x, jnp.zeros_like(x))  # no NaN, which a zero cotangent would spread
    folding = w > 0
    s_fold = jnp.sqrt(jnp.where(folding, w - 4, jnp.zeros_like(w)) / jnp.abs(w))
    s = jnp.where(folding, s_fold, jax.lax.stop_gradient(turning(w, epsilon).s.hi))
    # s² = 1 − 4 q with q = 1/w at a fold, (2 − ε)/(ε|w|) at a flip.
    q = jnp.where(folding, 1 / w, (2 - epsilon) / (-epsilon * w))
    of_epsilon = jnp.where(folding, jnp.zeros_like(de), de * (1 / (2 - epsilon) + 1 / epsilon))
    dx = jnp.where(there, q * (dw / w + of_epsilon) / s, jnp.zeros_like(w))
    # On the equilibrium curve ∂b/∂x vanishes at a fold; at a flip it is 2|w|/(2 − ε).
    db = jnp.where(folding, jnp.zeros_like(dx), -2 * w / (2 - epsilon) * dx)
    moved = jnp.where(there[..., None], -at * dw[..., None] + jnp.stack([-db, db], axis=-1), 0)
    return (b, x, window), (moved, jnp.stack([-dx, dx], axis=-1), jnp.where(there, s_fold * dw, 0))


@elementwise
def _located(w: Array, epsilon: Array) -> tuple[Folds, Flips, Array]:
    """Folds, flips and the width of the bistable interval, NaN where there is none: one program for all three."""
    b, x, window = _events(w, epsilon)
    hole = jnp.full_like(b, jnp.nan)
    falling = (w < 0)[..., None]
    folds = Folds(jnp.where(falling, hole, b), jnp.where(falling, hole, x))
    flips = Flips(jnp.where(falling, b, hole), jnp.where(falling, x, hole))
    return folds, flips, jnp.where(w < 4, jnp.nan, window)


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
    return _located(*broadcast_arrays(w=w, epsilon=1.0))[0]


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

    Reference: K. Doya, "Bifurcations in the learning of recurrent neural networks", ISCAS 1992.
    """
    check_fraction("epsilon", epsilon)
    return _located(*broadcast_arrays(w=w, epsilon=epsilon))[1]


def folds_or_flips_on_host(w: np.ndarray, epsilon: np.ndarray) -> np.ndarray:
    """Rows (b, x) of the two events of one neuron on the host: folds for w ≥ 0, else flips; NaN for none."""
    folds, flips, _ = _located.on_host(w, epsilon)
    found = folds if w >= 0 else flips
    return np.stack([found.b, found.x], axis=-1)


def cusp() -> tuple[float, float, float]:
    """(w, b, x) = (4, −2, ½): where the two folds meet.

    Returns:
        Three numbers.

    Reference: K. Doya, "Bifurcations in the learning of recurrent neural networks", ISCAS 1992.
    """
    return 4.0, -2.0, 0.5


def fold_window(w: Any) -> Float[Array, "..."]:
    """Width of the bistable interval of b: w s − 4 artanh s with s = √(1 − 4/w); NaN for w < 4.

    Args:
        w: weight, any shape.

    Returns:
        The width in units of the bias, of the shape of w.

    Raises:
        TypeError, ValueError: ``w`` is no array of finite real numbers.

    Reference: K. Doya, "Bifurcations in the learning of recurrent neural networks", ISCAS 1992.
    """
    return _located(*broadcast_arrays(w=w, epsilon=1.0))[2]


@jax.custom_jvp
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


@_wall.defjvp
def _wall_jvp(primals: tuple, tangents: tuple) -> tuple:
    (w, x0, epsilon), (dw, dx, _) = primals, tangents
    b = _wall(w, x0, epsilon)
    return b, jnp.where(jnp.isnan(b), b, -x0 * dw + (1 / (x0 * (1 - x0)) - w) * dx)


_wall_compiled = elementwise(_wall)


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

    References: K. Doya, ISCAS 1992; R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, section 2.3.
    """
    check_fraction("epsilon", epsilon)
    return _wall_compiled(*broadcast_arrays(w=w, x0=x0, epsilon=epsilon))


def multiplier(w: Any, x: Any, epsilon: Any = 1.0) -> Float[Array, "..."]:
    """The derivative of the step at an equilibrium x: 1 − ε + ε w x(1 − x).

    Args:
        w: weight.
        x: the equilibrium, NaN where there is none; shapes broadcast.
        epsilon: Euler step in (0, 1].

    Returns:
        The multiplier of the broadcast shape, NaN where x is.

    Raises:
        TypeError, ValueError: no real numbers, a w that is not finite, shapes that do not broadcast, ε outside
            (0, 1].

    Reference: K. Doya, "Bifurcations in the learning of recurrent neural networks", ISCAS 1992.
    """
    check_fraction("epsilon", epsilon)
    real_array("w", w)
    return _multiplier(*broadcast_arrays(finite=False, w=w, x=x, epsilon=epsilon))


def multiplier_of(w: Any, x: Any, epsilon: Any) -> Any:
    """``multiplier`` of arrays as they are, NumPy's or JAX's."""
    return (1 - epsilon) + epsilon * (w * x * (1 - x))


_multiplier = elementwise(multiplier_of)
