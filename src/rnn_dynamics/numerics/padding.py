"""Time axes of few lengths, so that a loop over T does not compile a program for every T.

The length of a scan is part of its compiled program. Runs are therefore padded to a power of two: behind
their end where time runs forward, before their beginning where it runs backward, so that nothing that is kept
has seen the padding. It is cut off on the host, where cutting compiles nothing. Where a step is dear, those of the
padding are skipped by a mask inside the scan.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnn_dynamics.numerics.batching import is_plain, power_of_two_above

#: Entries that a padded run of vectors may have in all, its padding computed with.
LARGEST_PADDED = 2**16
#: The same where the padding is skipped: what may be copied and held twice.
LARGEST_SKIPPED = 2**27

_shortest: ContextVar[int] = ContextVar("shortest", default=64)


def longer(steps: int) -> int:
    """Return the length that so many steps are padded to."""
    return power_of_two_above(steps, _shortest.get()) if steps else 0


@contextlib.contextmanager
def at_least(steps: int) -> Iterator[None]:
    """Pad every run of fewer steps to one length for a while, so that all of them share their programs."""
    before = _shortest.set(longer(steps))
    try:
        yield
    finally:
        _shortest.reset(before)


def surplus(steps: int, size: int, limit: int, *trees: Any) -> int:
    """How many steps to add to ``steps``; 0 where the arrays in ``trees`` are traced, placed or no numbers.

    Args:
        steps: T; none are added to none, as there is no step to repeat.
        size: entries of what is computed at one step.
        limit: entries that all steps together may have: longer runs take longer than their compilation.
    """
    return longer(steps) - steps if may_pad(steps, size, limit, *trees) else 0


def may_pad(steps: int, size: int, limit: int, *trees: Any) -> bool:
    """Whether a run is one of those that are padded, be it by none; arguments as ``surplus``."""
    return longer(steps) * size <= limit and is_plain(jax.tree.leaves(trees))


def padded(tree: Any, start: int, stop: int, *, before: int = 0, after: int = 0) -> Any:
    """The entries start … stop−1 of every leaf, its first one repeated ``before``, its last one ``after`` times."""

    def pad(leaf: Any) -> np.ndarray:
        part = np.asarray(leaf)[start:stop]
        return np.concatenate(
            [np.repeat(part[:1], before, axis=0), part, np.repeat(part[-1:], after, axis=0)]
        )

    return jax.tree.map(pad, tree)


def cut(tree: Any, start: int, stop: int | None) -> Any:
    """Return the entries start … stop−1 of every leaf."""
    return jax.device_put(jax.tree.map(lambda leaf: np.asarray(leaf)[start:stop], tree))


def inside(steps: int, *, before: int = 0, after: int = 0) -> np.ndarray:
    """The mask of a padded run, False at its padding."""
    mask = np.zeros(before + steps + after, bool)
    mask[before : before + steps] = True
    return mask


def scan(
    body: Callable[[Any, Any], tuple[Any, Any]],
    carry: Any,
    series: Any,
    inside: Array | None = None,
    *,
    length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """``lax.scan`` that passes over the steps outside a mask: the carry stays, what they put out is 0."""
    if inside is None:
        return jax.lax.scan(body, carry, series, length=length, reverse=reverse)

    def step(carry: Any, at: tuple[Array, Any]) -> tuple[Any, Any]:
        wanted, own = at
        out = jax.eval_shape(body, carry, own)[1]
        nothing = jax.tree_util.tree_map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), out)
        return jax.lax.cond(wanted, lambda: body(carry, own), lambda: (carry, nothing))

    return jax.lax.scan(step, carry, (inside, series), length=length, reverse=reverse)
