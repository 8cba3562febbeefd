"""Time axes of few lengths, so that a loop over T does not compile a program for every T.

The length of a scan is part of its compiled program. Small runs are therefore padded to a power of two: behind
their end where time runs forward, before their beginning where it runs backward, so that nothing that is kept
has seen the padding. It is cut off on the host, where cutting compiles nothing.
"""

from typing import Any

import jax
import numpy as np

from rnn_dynamics.elementwise import is_plain

__all__ = ["LARGEST_PADDED", "cut", "padded", "surplus"]

#: Entries that a padded run of vectors may have in all.
LARGEST_PADDED = 2**16

_SHORTEST = 64


def surplus(steps: int, size: int, limit: int, *trees: Any) -> int:
    """How many steps to add to ``steps``; 0 where the arrays in ``trees`` are traced, placed or no numbers.

    Args:
        steps: T; none are added to none, as there is no step to repeat.
        size: entries of what is computed at one step.
        limit: entries that all steps together may have: longer runs take longer than their compilation.
    """
    length = max(_SHORTEST, 1 << (steps - 1).bit_length()) if steps else 0
    if length * size > limit or not is_plain(jax.tree.leaves(trees)):
        return 0
    return length - steps


def padded(tree: Any, start: int, stop: int, *, before: int = 0, after: int = 0) -> Any:
    """The entries start … stop−1 of every leaf, its first one repeated ``before``, its last one ``after`` times."""

    def pad(leaf: Any) -> np.ndarray:
        part = np.asarray(leaf)[start:stop]
        return np.concatenate(
            [np.repeat(part[:1], before, axis=0), part, np.repeat(part[-1:], after, axis=0)]
        )

    return jax.tree.map(pad, tree)


def cut(tree: Any, start: int, stop: int | None) -> Any:
    """The entries start … stop−1 of every leaf."""
    return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf)[start:stop]), tree)
