"""Balls of real numbers: working precision, conversion to mpmath, certain signs and bracketed roots."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import flint
import mpmath
from flint import arb
from mpmath.libmp import from_man_exp

Result = TypeVar("Result")

RELATIVE_BITS = 180
"""Correct bits asked of every result: 54 digits."""

LARGEST_PRECISION = 2**21
"""Bits after which a question is given up as one that has no answer, e.g. the sign of an exact zero."""


class NotEnoughPrecisionError(ArithmeticError):
    """The balls are too wide at this working precision; the caller asks again with more bits."""


@contextmanager
def working_precision(bits: int) -> Iterator[None]:
    """Set the working precision of flint to `bits`, and restore it on leaving."""
    before = flint.ctx.prec
    flint.ctx.prec = int(bits)
    try:
        yield
    finally:
        flint.ctx.prec = before


def with_enough_precision(question: Callable[[], Result], bits: int = 512) -> Result:
    """Ask `question()` at `bits`, doubled for as long as it raises `NotEnoughPrecisionError`."""
    while bits <= LARGEST_PRECISION:
        with working_precision(bits):
            try:
                return question()
            except NotEnoughPrecisionError:
                bits *= 2
    raise ArithmeticError(f"no certain answer within {LARGEST_PRECISION} bits")


def is_tight(ball: arb, bits: int = RELATIVE_BITS) -> bool:
    """Whether the radius is below 2^−bits of the value (an exact zero is tight)."""
    return ball.is_exact() or (ball.is_finite() and ball.rel_accuracy_bits() >= bits)


def to_mpf(ball: arb) -> mpmath.mpf:
    """Midpoint of a ball as an mpf, exactly; raises `NotEnoughPrecisionError` unless the ball is tight."""
    if not is_tight(ball):
        raise NotEnoughPrecisionError
    return midpoint(ball)


def midpoint(ball: arb) -> mpmath.mpf:
    """Midpoint of a ball as an mpf, exactly, however wide the ball."""
    mantissa, exponent = ball.mid().man_exp()
    return mpmath.mp.make_mpf(from_man_exp(int(mantissa), int(exponent)))


def sign(ball: arb) -> int:
    """Sign of a ball, −1, 0 or 1; raises `NotEnoughPrecisionError` where the ball does not decide it."""
    if ball > 0:
        return 1
    if ball < 0:
        return -1
    if ball.is_exact():
        return 0
    raise NotEnoughPrecisionError


def logistic(z: arb) -> arb:
    """σ(z) = 1/(1 + e^{−z}); the exponent is unbounded, so that small values keep their relative accuracy."""
    return 1 / (1 + (-z).exp())


def logistic_slope(z: arb) -> arb:
    """σ′(z) = e^{−z} / (1 + e^{−z})²."""
    decay = (-z).exp()
    return decay / (1 + decay) ** 2


def logit(x: arb) -> arb:
    """ln(x/(1 − x)) for 0 < x < 1."""
    return (x / (1 - x)).log()


def bracketed_root(function: Callable[[arb], arb], low: arb, high: arb, bits: int = 2 * RELATIVE_BITS) -> arb:
    """Root of `function` between `low` and `high`, where it changes sign once, from minus at `low` to plus.

    Bisection on certain signs until the bracket is narrower than 2^−bits; the ball returned holds the root.
    The ends themselves are never evaluated. Raises `NotEnoughPrecisionError` when a sign stays open.
    """
    low, high = arb(low).mid(), arb(high).mid()
    width = arb(2) ** -bits
    while high - low > width:
        middle = ((low + high) / 2).mid()
        side = sign(function(middle))
        if side == 0:
            return middle
        if side > 0:
            high = middle
        else:
            low = middle
    return arb(((low + high) / 2).mid(), (high - low).upper())
