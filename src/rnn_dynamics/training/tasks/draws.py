"""What the table holds of a task, and what tasks are drawn from: random words cut into integers and fractions."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt32


class Sequence(NamedTuple):
    """One sequence, the steps after which its outputs are read, and what they should be."""

    inputs: Float[Array, "steps width"]
    at: Int[Array, " readings"]
    targets: Array


class Sizes(NamedTuple):
    """Steps of the inputs, their width, and how many outputs a reading has."""

    steps: int
    width: int
    outputs: int


class Definition(NamedTuple):
    """A task of the table.

    Attributes:
        draw: one sequence from ``(key, length, dtype, **options)``.
        sizes: from ``(length, **options)``.
        shortest: the shortest length, from ``**options``.
        published: the lengths of the sources.
        kind: "classes" or "values".
        tolerance: the largest squared error of a right value; None for classes.
        options: default and check, by name.
    """

    draw: Callable[..., Sequence]
    sizes: Callable[..., Sizes]
    shortest: Callable[..., int]
    published: tuple[int, ...]
    kind: str = "classes"
    tolerance: float | None = None
    options: tuple[tuple[str, Any, Callable[[str, Any], Any]], ...] = ()


def words(key: Any, *counts: int) -> list[UInt32[Array, " count"]]:
    """Random 32-bit words in groups of the given sizes, all drawn at once, which compiles one hash and not many."""
    drawn = jax.random.bits(key, (sum(counts),), jnp.uint32)
    ends = list(itertools.accumulate(counts))
    return [drawn[end - count : end] for end, count in zip(ends, counts, strict=True)]


def below(drawn: UInt32[Array, " n"], bound: int | Int[Array, " n"]) -> Int[Array, " n"]:
    """Integers uniform in [0, bound), each from a word; their probabilities differ by at most 2⁻³²."""
    return (drawn % jnp.asarray(bound, jnp.uint32)).astype(jnp.int32)


def packed(count: int, width: int) -> int:
    """Return how many words ``unpacked`` needs."""
    return -(-count // (32 // width))


def unpacked(drawn: UInt32[Array, " m"], count: int, width: int) -> Int[Array, " count"]:
    """``count`` integers uniform in 0 … 2^width − 1, ⌊32/width⌋ from each word."""
    each = 32 // width
    shifts = jnp.arange(0, each * width, width, dtype=jnp.uint32)
    pieces = (drawn[:, None] >> shifts[None]) & (2**width - 1)
    return pieces.reshape(-1)[:count].astype(jnp.int32)


def unit(drawn: UInt32[Array, " n"]) -> Float[Array, " n"]:
    """Multiples of 2⁻²⁴ uniform in [0, 1), in float32, each from a word."""
    return (drawn >> 8).astype(jnp.float32) * 2.0**-24


def whole(values: Any) -> Int[Array, " n"]:
    """Return integers as an array of JAX's 32-bit ones."""
    return jnp.asarray(values, jnp.int32)
