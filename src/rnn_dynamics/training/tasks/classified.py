"""Sequences of two classes: latch, two sequences, parity (Bengio, Simard, Frasconi 1994)."""

from typing import Any

import jax
import jax.numpy as jnp

from rnn_dynamics.numerics.validation import concrete_array, count
from rnn_dynamics.training.tasks.draws import (
    Definition,
    Sequence,
    Sizes,
    packed,
    unit,
    unpacked,
    whole,
    words,
)


def _latch(key: Any, length: int, dtype: Any, *, cue: int, noise: float) -> Sequence:
    """The class is told in the first ``cue`` steps; after that comes noise.

    Channel c·cue + t is 1 at step t < cue of a sequence of class c: the weights of these 2·cue channels are the
    trainable inputs h_t of the source. The last channel is N(0, noise²) from step ``cue`` on.

    Reference: Y. Bengio, P. Simard, P. Frasconi, IEEE Trans. Neural Networks 5, 157 (1994), section III; there the
    targets are the values ±.8 of the only neuron. Its figure 3 has cue 3, noise .2 and length 20; later accounts
    call .2 the variance.
    """
    which, rest = jax.random.split(key)
    label = unpacked(words(which, 1)[0], 1, 1)
    steps = jnp.arange(length, dtype=jnp.int32)
    told = jax.nn.one_hot(jnp.where(steps < cue, label * cue + steps, -1), 2 * cue, dtype=dtype)
    noises = jnp.where(steps < cue, 0.0, noise * jax.random.normal(rest, (length,), jnp.float32))
    inputs = jnp.concatenate([told, noises.astype(dtype)[:, None]], axis=1)
    return Sequence(inputs, whole([length - 1]), label)


def _two_sequence(key: Any, length: int, dtype: Any, *, elements: int, noise: float) -> Sequence:
    """The first elements are 1 + noise in class 1 and −1 + noise in class 0; all others are noise alone.

    All noise is N(0, noise²), on one channel. The best classifier errs with probability Φ(−√elements / noise):
    5e-5 for 3 elements and variance .2, but .013 for 1 element.

    References: Bengio, Simard, Frasconi 1994; S. Hochreiter, J. Schmidhuber, Neural Computation 9, 1735 (1997),
    experiment 3b, whose elements and variance are the defaults. There the length varies in T … 1.1 T.
    """
    which, rest = jax.random.split(key)
    label = unpacked(words(which, 1)[0], 1, 1)
    prototype = jnp.where(jnp.arange(length) < elements, 2 * label - 1, 0).astype(jnp.float32)
    values = prototype + noise * jax.random.normal(rest, (length,), jnp.float32)
    return Sequence(values.astype(dtype)[:, None], whole([length - 1]), label)


def _parity(key: Any, length: int, dtype: Any, *, noise: float) -> Sequence:
    """Bits ±1; class 1 where the number of +1 is odd, read after the last bit.

    Each bit bears noise uniform in ±noise, 0 unless asked for.

    References: Bengio, Simard, Frasconi 1994 (lengths 25 to 50, without noise and with .2); Y. Bengio,
    P. Frasconi, NIPS 6, 75 (1993) (lengths to 500).
    """
    which, added = words(key, packed(length, 1), length if noise else 0)
    bits = unpacked(which, length, 1)
    values = (2 * bits - 1).astype(jnp.float32)
    if noise:
        values = values + noise * (2.0 * unit(added) - 1.0)
    return Sequence(
        values.astype(dtype)[:, None], whole([length - 1]), jnp.sum(bits, dtype=jnp.int32)[None] % 2
    )


def _spread(name: str, value: Any) -> float:
    number = float(concrete_array(name, value, ndim=0))
    if number < 0:
        raise ValueError(f"{name}: expected a number of at least 0, got {number}")
    return number


def _narrow(name: str, value: Any) -> float:
    """Check a spread of noise that never changes a bit's sign."""
    number = _spread(name, value)
    if number >= 1:
        raise ValueError(f"{name}: expected a number below 1, got {number}")
    return number


def _positive(name: str, value: Any) -> int:
    return count(name, value, minimum=1)


DEFINITIONS = {
    "latch": Definition(
        _latch,
        sizes=lambda length, cue, noise: Sizes(length, 2 * cue + 1, 2),
        shortest=lambda cue, noise: cue + 1,
        published=(20,),
        options=(("cue", 3, _positive), ("noise", 0.2, _spread)),
    ),
    "two-sequence": Definition(
        _two_sequence,
        sizes=lambda length, elements, noise: Sizes(length, 1, 2),
        shortest=lambda elements, noise: elements + 1,
        published=(100, 1000),
        options=(("elements", 3, _positive), ("noise", 0.2**0.5, _spread)),
    ),
    "parity": Definition(
        _parity,
        sizes=lambda length, noise: Sizes(length, 1, 2),
        shortest=lambda noise: 2,
        published=(25, 50, 500),
        options=(("noise", 0.0, _narrow),),
    ),
}
