"""Update rules by name, each an Optax transformation of numbers that may differ from run to run."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array


def _sgd(numbers: Mapping[str, Any]) -> optax.GradientTransformation:
    """Return the update θ ← θ − η g."""
    return optax.sgd(numbers["learning_rate"])


def _momentum(numbers: Mapping[str, Any]) -> optax.GradientTransformation:
    """v ← μ v + g, θ ← θ − η v (Polyak 1964)."""
    return optax.sgd(numbers["learning_rate"], momentum=numbers["momentum"])


def _nesterov(numbers: Mapping[str, Any]) -> optax.GradientTransformation:
    """v ← μ v + g, θ ← θ − η (μ v + g) (Nesterov 1983, in the form of Sutskever et al. 2013)."""
    return optax.sgd(numbers["learning_rate"], momentum=numbers["momentum"], nesterov=True)


def _rmsprop(numbers: Mapping[str, Any]) -> optax.GradientTransformation:
    """θ ← θ − η g/(√⟨g²⟩ + 10⁻⁸) (Tieleman and Hinton 2012).

    Optax's own 10⁻⁸ stands inside the root, where it would hold back every gradient below 10⁻⁴.
    """
    return optax.rmsprop(numbers["learning_rate"], decay=0.9, eps=1e-8, eps_in_sqrt=False)


def _adam(numbers: Mapping[str, Any]) -> optax.GradientTransformation:
    """θ ← θ − η m̂/(√v̂ + 10⁻⁸), m̂ = ⟨g⟩/(1 − .9ᵗ), v̂ = ⟨g²⟩/(1 − .999ᵗ) (Kingma and Ba, ICLR 2015).

    From Python's numbers Optax forms 1 − .999ᵗ in the widest float there is, and a run would depend on whether JAX
    has 64-bit ones; so its decays are of the learning rate's dtype, and may meet the count of updates.
    """
    rate = numbers["learning_rate"]
    means, squares = (jnp.asarray(decay, getattr(rate, "dtype", jnp.float32)) for decay in (0.9, 0.999))
    rule = optax.adam(rate, means, squares, 1e-8)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        with jax.numpy_dtype_promotion("standard"):
            return rule.update(updates, state, params)

    return optax.GradientTransformation(rule.init, update)


class _Rprop(NamedTuple):
    """Of each weight: the size of its step, the sign that the next one is compared with, the last step."""

    sizes: Any
    signs: Any
    steps: Any


_GROW, _SHRINK, _LEAST = 1.2, 0.5, 1e-8


def _rprop(numbers: Mapping[str, Any]) -> optax.GradientTransformation:
    """A step size for each weight, changed by the gradient's sign alone (Riedmiller and Braun 1993).

    Where the sign stays, the size grows by 1.2, up to ``largest_step``; where it changes, the size is halved, the
    last step is taken back, and the next sign is not compared. Optax's rule makes each step one update late.
    """

    first, largest = numbers["learning_rate"], numbers["largest_step"]

    def init(params: Any) -> _Rprop:
        nothing = jax.tree_util.tree_map(jnp.zeros_like, params)
        sizes = jax.tree_util.tree_map(lambda p: jnp.full_like(p, first), params)
        return _Rprop(sizes, nothing, nothing)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, _Rprop]:
        leaves, structure = jax.tree_util.tree_flatten(updates)
        parts = zip(leaves, *map(jax.tree_util.tree_leaves, state), strict=True)
        found = [_rprop_step(*part, largest=largest) for part in parts]
        sizes, signs, steps = (
            jax.tree_util.tree_unflatten(structure, kept) for kept in zip(*found, strict=True)
        )
        return steps, _Rprop(sizes, signs, steps)

    return optax.GradientTransformation(init, update)


def _rprop_step(
    g: Array, size: Array, last: Array, step: Array, *, largest: Any
) -> tuple[Array, Array, Array]:
    """Size, sign and step of the weights of one leaf."""
    sign = jnp.sign(g)
    agreement = sign * last
    larger, smaller = jnp.minimum(size * _GROW, largest), jnp.maximum(size * _SHRINK, _LEAST)
    size = jnp.where(agreement > 0, larger, jnp.where(agreement < 0, smaller, size))
    return size, jnp.where(agreement < 0, 0, sign), jnp.where(agreement < 0, -step, -sign * size)


OPTIMIZERS: dict[str, Callable[[Mapping[str, Any]], optax.GradientTransformation]] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _nesterov,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "rprop": _rprop,
}
