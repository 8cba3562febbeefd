"""Two or three marked steps among others: temporal order, addition, multiplication, the adding problem."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt32

from rnn_dynamics.training.tasks.draws import (
    Definition,
    Sequence,
    Sizes,
    below,
    packed,
    unit,
    unpacked,
    whole,
    words,
)

SYMBOLS = 6
# Where the windows of the marks begin, in tenths of the length.
TWO_MARKS, THREE_MARKS = (1, 5), (1, 3, 6)


def windows_of_marks(length: int, tenths: tuple[int, ...]) -> list[tuple[int, int]]:
    """(first step, step behind the last one) of each mark's window in a sequence of temporal order."""
    return [(length * tenth // 10, length * tenth // 10 + length // 10) for tenth in tenths]


def with_marks(
    symbols: Int[Array, " steps"], positions: Int[Array, " marks"], marks: Int[Array, " marks"]
) -> tuple[Int[Array, " steps"], Int[Array, ""]]:
    """The symbols of a sequence of temporal order with its marks in their places, and its class Σ 2^i v_i."""
    hit = jnp.arange(len(symbols), dtype=positions.dtype)[:, None] == positions[None]
    marked = jnp.sum(jnp.where(hit, marks[None], 0), axis=1, dtype=marks.dtype)
    label = jnp.sum(marks << jnp.arange(len(marks), dtype=marks.dtype), dtype=marks.dtype)
    return jnp.where(hit.any(axis=1), marked, symbols), label


def _temporal_order(key: Any, length: int, dtype: Any, *, tenths: tuple[int, ...]) -> Sequence:
    """Six symbols, one-hot: the marks 0 and 1, and 2 … 5 that distract.

    Mark i, of value v_i, stands at a step of [⌊a_i L⌋, ⌊a_i L⌋ + ⌊.1 L⌋), with a = .1, .5 for two marks and
    a = .1, .3, .6 for three; the class Σ 2^i v_i is read after the last step.

    References: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013 (arXiv 1211.5063), section 4.1 and appendix;
    Hochreiter & Schmidhuber 1997, experiment 6, with other windows and lengths 100 to 110.
    """
    where, what, rest = words(key, len(tenths), 1, packed(length, 2))
    starts = whole([start for start, _ in windows_of_marks(length, tenths)])
    positions = starts + below(where, length // 10)
    symbols, label = with_marks(2 + unpacked(rest, length, 2), positions, unpacked(what, len(tenths), 1))
    return Sequence(jax.nn.one_hot(symbols, SYMBOLS, dtype=dtype), whole([length - 1]), label[None])


def _longest(length: int) -> int:
    """Return the largest of L + randint(⌊.1 L⌋)."""
    return length + length // 10 - 1


def _varied_marks(key: Any, length: int, dtype: Any) -> tuple[Array, Array, Float[Array, " 2"]]:
    """Inputs, the last step, and the two marked values of a sequence of varying length."""
    how_long, where, rest = words(key, 1, 2, _longest(length))
    own = length + below(how_long, length // 10)
    tenth = own // 10
    starts = jnp.concatenate([jnp.zeros_like(own), tenth])
    positions = starts + below(where, jnp.concatenate([tenth, own * 4 // 10]))
    inputs, pair = _marked_values(rest, positions, dtype)
    inside = jnp.arange(_longest(length), dtype=jnp.int32) < own
    return jnp.where(inside[:, None], inputs, 0), own - 1, pair


def _marked_values(
    drawn: UInt32[Array, " steps"], positions: Int[Array, " 2"], dtype: Any
) -> tuple[Float[Array, "steps 2"], Float[Array, " 2"]]:
    """Values uniform in [0, 1) beside their marks, and the two that are marked."""
    values = unit(drawn).astype(dtype)
    marks = (jnp.arange(len(drawn), dtype=jnp.int32)[:, None] == positions[None]).any(axis=1)
    return jnp.stack([values, marks.astype(dtype)], axis=1), values[positions]


def _addition(key: Any, length: int, dtype: Any) -> Sequence:
    """Half the sum of two marked values, of a sequence of length l = L + randint(⌊.1 L⌋).

    Channel 0 holds values uniform in [0, 1), channel 1 is 1 at the marked steps, one of [0, ⌊.1 l⌋) and one of
    ⌊.1 l⌋ + [0, ⌊.4 l⌋), else 0. The target (u + v)/2 is read after the sequence's own last step; zeros fill the
    inputs beyond. Wrong where the squared error exceeds .04.

    References: Hochreiter & Schmidhuber 1997, experiment 4 (|error| < .04 there, lengths 100, 500, 1000); Pascanu,
    Mikolov, Bengio 2013, appendix (lengths 50 to 200; one length for each batch).
    """
    inputs, at, pair = _varied_marks(key, length, dtype)
    return Sequence(inputs, at, ((pair[0] + pair[1]) / 2)[None, None])


def _multiplication(key: Any, length: int, dtype: Any) -> Sequence:
    """The product u v of the two marked values; all else as for addition.

    References: Hochreiter & Schmidhuber 1997, experiment 5; Pascanu, Mikolov, Bengio 2013, appendix.
    """
    inputs, at, pair = _varied_marks(key, length, dtype)
    return Sequence(inputs, at, (pair[0] * pair[1])[None, None])


def _adding(key: Any, length: int, dtype: Any) -> Sequence:
    """The sum u + v of two marked values, one in each half of a sequence of fixed length.

    Channels as for addition. The best constant, 1, has a mean squared error of 1/6. The sources report the mean
    squared error; a sequence counts as wrong here where its squared error exceeds .04.

    References: Q. V. Le, N. Jaitly, G. E. Hinton, arXiv 1504.00941 (lengths 150, 200, 300, 400); M. Arjovsky,
    A. Shah, Y. Bengio, ICML 2016, arXiv 1511.06464 (lengths 100, 200, 400, 750), whose halves these are.
    """
    where, rest = words(key, 2, length)
    half = length // 2
    positions = whole([0, half]) + below(where, whole([half, length - half]))
    inputs, pair = _marked_values(rest, positions, dtype)
    return Sequence(inputs, whole([length - 1]), (pair[0] + pair[1])[None, None])


def _varied(draw: Any, published: tuple[int, ...]) -> Definition:
    return Definition(
        draw,
        sizes=lambda length: Sizes(_longest(length), 2, 1),
        shortest=lambda: 10,
        published=published,
        kind="values",
        tolerance=0.04,
    )


def _ordered(tenths: tuple[int, ...], published: tuple[int, ...]) -> Definition:
    return Definition(
        functools.partial(_temporal_order, tenths=tenths),
        sizes=lambda length: Sizes(length, SYMBOLS, 2 ** len(tenths)),
        shortest=lambda: 10,
        published=published,
    )


DEFINITIONS = {
    "temporal-order": _ordered(TWO_MARKS, (50, 100, 150, 200, 250)),
    "temporal-order-3": _ordered(THREE_MARKS, (50, 100, 150, 200)),
    "addition": _varied(_addition, (50, 100, 150, 200, 500, 1000)),
    "multiplication": _varied(_multiplication, (50, 100, 150, 200)),
    "adding": Definition(
        _adding,
        sizes=lambda length: Sizes(length, 2, 1),
        shortest=lambda: 2,
        published=(100, 150, 200, 300, 400, 750),
        kind="values",
        tolerance=0.04,
    ),
}
