"""Update rules by name, each an Optax transformation of numbers that may differ from run to run."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

__all__ = ["OPTIMIZERS"]


def _sgd(numbers: Mapping[str, Any]) -> optax.GradientTransformation:
    """θ ← θ − η g."""
    return optax.sgd(numbers["learning_rate"])


def _momentum(numbers: Mapping[str, Any]) -> optax.GradientTransformation:
    """v ← μ v + g, θ ← θ − η v (Polyak 1964)."""
    return optax.sgd(numbers["learning_rate"], momentum=numbers["momentum"])


def _nesterov(numbers: Mapping[str, Any]) -> optax.GradientTransformation:
    """v ← μ v + g, θ ← θ − η (μ v + g) (Nesterov 1983, in the form of Sutskever et al. 2013)."""
    return optax.sgd(numbers["learning_rate"], momentum=numbers["momentum"], nesterov=True)


def _rmsprop(numbers: Mapping[str, Any]) -> optax.GradientTransformation:
    """θ ← θ − η g/√⟨g²⟩ (Tieleman and Hinton 2012)."""
    return optax.rmsprop(numbers["learning_rate"], decay=0.9)


def _adam(numbers: Mapping[str, Any]) -> optax.GradientTransformation:
    """Kingma and Ba, ICLR 2015."""
    rule = optax.adam(numbers["learning_rate"])

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        with jax.numpy_dtype_promotion("standard"):  # Optax mixes dtypes in its count
            return rule.update(updates, state, params)

    return optax.GradientTransformation(rule.init, update)


def _rprop(numbers: Mapping[str, Any]) -> optax.GradientTransformation:
    """A step size for each weight, changed by the gradient's sign alone (Riedmiller and Braun 1993).

    The sign is taken first: Optax's rule multiplies gradients, and products of small ones are rounded to 0.
    """
    rule = optax.rprop(numbers["learning_rate"], min_step_size=1e-8, max_step_size=numbers["largest_step"])
    return optax.chain(optax.stateless(_signs), rule)


def _signs(updates: Any, params: Any) -> Any:
    return jax.tree_util.tree_map(jnp.sign, updates)


OPTIMIZERS: dict[str, Callable[[Mapping[str, Any]], optax.GradientTransformation]] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _nesterov,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "rprop": _rprop,
}
