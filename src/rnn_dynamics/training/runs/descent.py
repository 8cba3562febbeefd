"""The loop of every training: one update of an Optax rule, and many of them in one scan."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from jaxtyping import Array, Float


def moved(rule: optax.GradientTransformation, parameters: Any, memory: Any, gradient: Any) -> tuple[Any, Any]:
    """The parameters and the rule's memory after one update along a gradient."""
    change, memory = rule.update(gradient, memory, parameters)
    return optax.apply_updates(parameters, change), memory


def descend(
    rule: optax.GradientTransformation,
    loss: Callable[[Any, Any], Array],
    parameters: Any,
    memory: Any,
    draws: Any,
) -> tuple[tuple[Any, Any], Float[Array, " updates"]]:
    """One update for each of ``draws``, in one scan.

    Args:
        rule: the Optax transformation.
        loss: ``loss(parameters, draw)``, what is descended on.
        parameters: any pytree.
        memory: the rule's, ``rule.init(parameters)`` before the first update.
        draws: what the updates differ by, keys or numbers: a leading axis of updates on every leaf.

    Returns:
        The parameters and the memory after the last update, and the loss before each.
    """

    def update(carry: tuple[Any, Any], draw: Any) -> tuple[tuple[Any, Any], Array]:
        value, gradient = jax.value_and_grad(loss)(carry[0], draw)
        return moved(rule, *carry, gradient), value

    return jax.lax.scan(update, (parameters, memory), draws)
