"""Symbols to be named again later: random permutation, noiseless memorisation, copy."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from rnn_dynamics.numerics.validation import choice, flag
from rnn_dynamics.training.tasks.draws import Definition, Sequence, Sizes, below, unpacked, whole, words

_SYMBOLS = 100
# Symbols of the pattern, and how many values each has: 5 bits, and log2 5^10 = 23.2 bits.
_PATTERN = {5: (5, 2), 20: (10, 5)}
_COPIED, _ALPHABET = 10, 8


def _random_permutation(key: Any, length: int, dtype: Any) -> Sequence:
    """100 symbols, one-hot: the first is 0 or 1, the others are among 2 … 99, and the next would be the first.

    Only that symbol, number ``length``, is asked for, after the last input.

    References: J. Martens, I. Sutskever, ICML 2011; Pascanu, Mikolov, Bengio 2013, appendix. The others are drawn
    independently, as in the latter, whatever the name says.
    """
    which, rest = words(key, 1, length - 1)
    first = unpacked(which, 1, 1)
    symbols = jnp.concatenate([first, 2 + below(rest, _SYMBOLS - 2)])
    return Sequence(jax.nn.one_hot(symbols, _SYMBOLS, dtype=dtype), whole([length - 1]), first)


def _memorisation(key: Any, length: int, dtype: Any, *, bits: int, every_step: bool) -> Sequence:
    """A pattern, ``length`` blanks, a trigger: the pattern is recalled from the trigger on, a symbol a step.

    5 symbols of 2 values, or with ``bits=20`` 10 symbols of 5; the last two channels are blank and trigger.

    References: Martens & Sutskever 2011; Pascanu, Mikolov, Bengio 2013, appendix, where the blanks before the
    recall are scored too, as ``every_step`` does.
    """
    symbols, values = _PATTERN[bits]
    pattern = below(words(key, symbols)[0], values)
    return _recalled(pattern, values, length, symbols - 1, every_step, dtype)


def _copy(key: Any, length: int, dtype: Any, *, every_step: bool) -> Sequence:
    """10 symbols of 8 values, ``length`` − 1 blanks, a delimiter, 10 blanks in which the 10 symbols are recalled.

    Channels: the 8 values, blank, delimiter. ``every_step`` scores the ``length`` + 10 blanks before the recall
    too, as the source does; without memory the mean loss is then 10 ln 8/(length + 20), else ln 8.

    Reference: Arjovsky, Shah, Bengio 2016, section 5.1, after Hochreiter & Schmidhuber 1997.
    """
    pattern = unpacked(words(key, 1)[0], _COPIED, 3)
    return _recalled(pattern, _ALPHABET, length - 1, _COPIED, every_step, dtype)


def _recalled(
    pattern: Int[Array, " n"], values: int, gap: int, tail: int, every_step: bool, dtype: Any
) -> Sequence:
    """The pattern, ``gap`` blanks, a trigger, ``tail`` blanks, read in the last n steps or in all."""
    blank, n = values, pattern.shape[0]
    between = whole([blank] * gap + [blank + 1] + [blank] * tail)
    inputs = jax.nn.one_hot(jnp.concatenate([pattern, between]), values + 2, dtype=dtype)
    steps = n + gap + 1 + tail
    if every_step:
        targets = jnp.concatenate([whole([blank] * (steps - n)), pattern])
        return Sequence(inputs, jnp.arange(steps, dtype=jnp.int32), targets)
    return Sequence(inputs, jnp.arange(steps - n, steps, dtype=jnp.int32), pattern)


def _memorisation_sizes(length: int, bits: int, every_step: bool) -> Sizes:
    symbols, values = _PATTERN[bits]
    return Sizes(length + 2 * symbols, values + 2, values + every_step)


def _bits(name: str, value: Any) -> int:
    return choice(name, value, tuple(_PATTERN))


DEFINITIONS = {
    "random-permutation": Definition(
        _random_permutation,
        sizes=lambda length: Sizes(length, _SYMBOLS, _SYMBOLS),
        shortest=lambda: 2,
        published=(50, 100, 150, 200),
    ),
    "noiseless-memorisation": Definition(
        _memorisation,
        sizes=_memorisation_sizes,
        shortest=lambda bits, every_step: 1,
        published=(50, 100, 150, 200),
        options=(("bits", 5, _bits), ("every_step", False, flag)),
    ),
    "copy": Definition(
        _copy,
        sizes=lambda length, every_step: Sizes(length + 2 * _COPIED, _ALPHABET + 2, _ALPHABET + every_step),
        shortest=lambda every_step: 1,
        published=(100, 200, 300, 500),
        options=(("every_step", False, flag),),
    ),
}
