"""What the tasks are drawn from: small integers, and the description of a task that the table holds."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

__all__ = ["Definition", "Draw", "Sequence", "Sizes", "packed_integers", "whole"]


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


Draw = Callable[..., Sequence]


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

    draw: Draw
    sizes: Callable[..., Sizes]
    shortest: Callable[..., int]
    published: tuple[int, ...]
    kind: str = "classes"
    tolerance: float | None = None
    options: tuple[tuple[str, Any, Callable[[str, Any], Any]], ...] = ()


def packed_integers(key: Any, count: int, width: int) -> Int[Array, " count"]:
    """``count`` integers uniform in 0 … 2^width − 1, each 32-bit word drawn being cut into ⌊32/width⌋ of them."""
    each = 32 // width
    words = jax.random.bits(key, (-(-count // each),), jnp.uint32)
    shifts = jnp.arange(0, each * width, width, dtype=jnp.uint32)
    return ((words[:, None] >> shifts[None]) & (2**width - 1)).reshape(-1)[:count].astype(jnp.int32)


def whole(values: Any) -> Int[Array, " n"]:
    """Integers as an array of JAX's 32-bit ones."""
    return jnp.asarray(values, jnp.int32)
