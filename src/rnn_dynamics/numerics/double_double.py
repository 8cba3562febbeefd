"""Unevaluated sums of two floats: twice the digits of the dtype, from its own additions and products.

A pair ``(hi, lo)`` stands for hi + lo with |lo| ≤ ulp(hi)/2. It decides the sign of an expression that plain
rounding could flip. Compilers may contract a·b + c into one fused operation, which breaks the textbook
algorithms: here factors are split by a bit mask, so that partial products are exact whether contracted or not,
and a rounded product ends in integer operations, which nothing contracts.

Reference: T. J. Dekker, Numerische Mathematik 18, 224 (1971); Y. Hida, X. S. Li, D. H. Bailey, ARITH-15 (2001).
"""

import functools
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.numerics.interpreted import counterpart, same
from rnn_dynamics.numerics.scaled import exponent_of, power_of_two

_INTEGERS = {2: jnp.int16, 4: jnp.int32, 8: jnp.int64}
_LN2 = Fraction(
    "0.693147180559945309417232121458176568075500134360255254120680009493393621969694715605863326996418687"
)


class Pair(NamedTuple):
    """The number hi + lo; both arrays have one shape and dtype."""

    hi: Float[Array, "..."]
    lo: Float[Array, "..."]


def precision(dtype: Any) -> float:
    """A bound on the relative error of one operation on pairs: 2⁻¹⁰⁰ in float64, 2⁻⁴³ in float32."""
    return float(2.0 ** -(2 * int(jnp.finfo(dtype).nmant) - (4 if jnp.finfo(dtype).bits == 64 else 3)))


def pair(x: Float[Array, "..."]) -> Pair:
    """Return the float x as a pair."""
    return Pair(_held(x), jnp.zeros_like(x))


@counterpart(same)
def _held(x: Array) -> Array:
    """x behind a selection that changes nothing, so that no compiler merges how it was computed with its use."""
    return jnp.where(x == x, x, jnp.full_like(x, jnp.nan))


def _sum(a: Array, b: Array) -> Array:
    """The rounded sum a + b, behind a selection that changes nothing.

    XLA rewrites (x + 1) − 1 as x, although it rounds; the selection keeps the two additions apart.
    """
    return _held(a + b)


def _fast_two_sum_on_host(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total = a + b
    return total, b - (total - a)


@counterpart(_fast_two_sum_on_host)
def _fast_two_sum(a: Array, b: Array) -> Pair:
    """Return a + b exactly, for |a| ≥ |b|."""
    total = _sum(a, b)
    return Pair(total, b - (total - a))


def two_sum(a: Float[Array, "..."], b: Float[Array, "..."]) -> Pair:
    """a + b exactly; a caller's a or b may itself be a product, which must not be fused with the sum."""
    return _two_sum(_held(a), _held(b))


def _two_sum_on_host(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@counterpart(_two_sum_on_host)
def _two_sum(a: Array, b: Array) -> Pair:
    total = _sum(a, b)
    part = total - a
    return Pair(total, (a - (total - part)) + (b - part))


def _bits(x: Array) -> Array:
    return jax.lax.bitcast_convert_type(x, _INTEGERS[x.dtype.itemsize])


def _split(x: Array) -> tuple[Array, Array]:
    """x as the exact sum of two floats of half its digits: products of such halves are exact."""
    low = (int(jnp.finfo(x.dtype).nmant) + 2) // 2
    rounded = (_bits(x) + (1 << (low - 1))) & ~((1 << low) - 1)
    head = jax.lax.bitcast_convert_type(rounded, x.dtype)
    return head, x - head


@counterpart(np.multiply)
def _times(a: Array, b: Array) -> Array:
    """The rounded product a·b; its sign is set on the bits, so no compiler fuses it with a later addition."""
    sign = (_bits(a) ^ _bits(b)) & jnp.iinfo(_INTEGERS[a.dtype.itemsize]).min
    return jax.lax.bitcast_convert_type(_bits(jnp.abs(a) * jnp.abs(b)) | sign, a.dtype)


def _two_prod_on_host(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    product = a * b
    (a_head, a_tail), (b_head, b_tail) = _split_on_host(a), _split_on_host(b)
    return product, ((a_head * b_head - product) + a_head * b_tail + a_tail * b_head) + a_tail * b_tail


def _split_on_host(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low = (int(np.finfo(x.dtype).nmant) + 2) // 2
    bits = x.view(_INTEGERS[x.dtype.itemsize])
    head = ((bits + (1 << (low - 1))) & ~((1 << low) - 1)).view(x.dtype)
    return head, x - head


@counterpart(_two_prod_on_host)
def two_prod(a: Float[Array, "..."], b: Float[Array, "..."]) -> Pair:
    """a·b exactly, where neither the product nor its last bit leaves the float range."""
    product = _times(a, b)
    a_head, a_tail = _split(a)
    b_head, b_tail = _split(b)
    error = ((a_head * b_head - product) + a_head * b_tail + a_tail * b_head) + a_tail * b_tail
    return Pair(product, error)


def negate(a: Pair) -> Pair:
    """Return −a."""
    return Pair(-a.hi, -a.lo)


def absolute(a: Pair) -> Pair:
    """Return |a|."""
    negative = a.hi < 0
    return Pair(jnp.where(negative, -a.hi, a.hi), jnp.where(negative, -a.lo, a.lo))


def scale(a: Pair, power: float | Array) -> Pair:
    """Return a times a power of two, which is exact."""
    return Pair(a.hi * power, a.lo * power)


def add(a: Pair, b: Pair) -> Pair:
    """a + b, with an error relative to the sum itself."""
    head, tail = _two_sum(a.hi, b.hi), _two_sum(a.lo, b.lo)
    first = _fast_two_sum(head.hi, head.lo + tail.hi)
    return _fast_two_sum(first.hi, first.lo + tail.lo)


def subtract(a: Pair, b: Pair) -> Pair:
    """a − b, with an error relative to the difference itself."""
    return add(a, negate(b))


def multiply(a: Pair, b: Pair) -> Pair:
    """Return a·b."""
    head = two_prod(a.hi, b.hi)
    cross = _times(a.hi, b.lo) + _times(a.lo, b.hi)
    return _fast_two_sum(head.hi, head.lo + cross)


def divide(a: Pair, b: Pair) -> Pair:
    """a/b: a plain quotient, then one correction from its remainder; relative error 15 u² (u half an ulp of 1).

    Reference: M. Joldes, J.-M. Muller, V. Popescu, ACM Trans. Math. Softw. 44, 15 (2017), algorithm 17.
    """
    quotient = _held(a.hi / b.hi)
    product = two_prod(quotient, b.hi)
    product = _fast_two_sum(product.hi, product.lo + _times(quotient, b.lo))
    remainder = (a.hi - product.hi) + (a.lo - product.lo)
    return _fast_two_sum(quotient, remainder / b.hi)


def sqrt(a: Pair) -> Pair:
    """√a for a ≥ 0; 0 at 0."""
    positive = a.hi > 0
    one = jnp.ones_like(a.hi)
    safe = Pair(jnp.where(positive, a.hi, one), jnp.where(positive, a.lo, jnp.zeros_like(one)))
    root = pair(jnp.sqrt(safe.hi))
    remainder = subtract(safe, two_prod(root.hi, root.hi))
    root = add(root, pair(remainder.hi / (2 * root.hi)))
    return Pair(jnp.where(positive, root.hi, a.hi), jnp.where(positive, root.lo, jnp.zeros_like(one)))


@functools.cache
def _constant(value: Fraction, dtype: str) -> tuple[float, float]:
    kind = np.dtype(dtype).type
    hi = float(kind(float(value)))
    return hi, float(kind(float(value - Fraction(hi))))


def _constant_like(value: Fraction, x: Array) -> Pair:
    hi, lo = _constant(value, str(x.dtype))
    return Pair(jnp.full_like(x, hi), jnp.full_like(x, lo))


def _artanh_series(z: Pair) -> Pair:
    """2 artanh z = 2 z (1 + z²/3 + z⁴/5 + …) for |z| ≤ 3 − 2√2; the later half of the terms in plain floats."""
    half = int(jnp.finfo(z.hi.dtype).nmant) // 5 + 1
    square = multiply(z, z)
    tail = jnp.zeros_like(z.hi)
    for k in reversed(range(half, 2 * half + 1)):
        tail = tail * square.hi + 1 / (2 * k + 1)
    # A loop, not an unrolled sum: it compiles once, where an unrolled one takes seconds.
    table = np.asarray([_constant(Fraction(1, 2 * k + 1), str(z.hi.dtype)) for k in reversed(range(half))])
    table = jnp.asarray(table.astype(z.hi.dtype))

    def extend(k: Array, total: Pair) -> Pair:
        hi, lo = (jnp.broadcast_to(table[k, column], z.hi.shape) for column in (0, 1))
        return add(multiply(total, square), Pair(hi, lo))

    return scale(multiply(jax.lax.fori_loop(0, half, extend, pair(tail)), z), 2.0)


def log_quotient(a: Pair, b: Pair) -> Pair:
    """ln(a/b) for positive pairs.

    The error is relative to the logarithm itself as a/b → 1, where a − b is known to that accuracy. With e the
    power of two that brings a/(2^e b) into [√½, √2]: ln(a/b) = e ln 2 + 2 artanh((a − 2^e b)/(a + 2^e b)).
    """
    power_a, power_b = exponent_of(a.hi), exponent_of(b.hi)
    a = scale(a, power_of_two(-power_a, a.hi.dtype))
    b = scale(b, power_of_two(-power_b, b.hi.dtype))
    above, below = a.hi > 2**0.5 * b.hi, a.hi * 2**0.5 < b.hi
    one = jnp.ones_like(a.hi)
    a = scale(a, jnp.where(above, one / 2, jnp.where(below, 2 * one, one)))
    exponent = power_a - power_b + jnp.where(above, 1, 0) - jnp.where(below, 1, 0)
    z = divide(subtract(a, b), add(a, b))
    shift = pair(exponent.astype(a.hi.dtype))
    return add(multiply(_constant_like(_LN2, one), shift), _artanh_series(z))


def log(a: Pair) -> Pair:
    """Return ln a for positive a."""
    return log_quotient(a, pair(jnp.ones_like(a.hi)))


def logit(x: Float[Array, "..."]) -> Pair:
    """ln(x/(1 − x)) of a float x in (0, 1), with an error relative to itself, at ½ too."""
    return log_quotient(pair(x), two_sum(jnp.ones_like(x), -x))
