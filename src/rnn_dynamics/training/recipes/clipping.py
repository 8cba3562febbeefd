"""The gradient of a batch, ∂E/∂x_t with it, and clipping by norm (Algorithm 1) or by value."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from rnn_dynamics.numerics.reductions import largest
from rnn_dynamics.training.recipes.networks import Network, outputs, states
from rnn_dynamics.training.recipes.terms import Pass, Term
from rnn_dynamics.training.tasks import Batch, Task


def global_norm(tree: Any) -> Array:
    """√Σ θ_i² over all leaves, formed so that it overflows only where the result does."""
    leaves = [leaf.ravel() for leaf in jax.tree_util.tree_leaves(tree)]
    size = jnp.max(jnp.stack([largest(leaf) for leaf in leaves]))
    safe = jnp.where((size > 0) & jnp.isfinite(size), size, 1)
    total = sum(jnp.sum(jnp.square(leaf / safe)) for leaf in leaves)
    return jnp.where(jnp.isfinite(size), safe * jnp.sqrt(total), size)


def clip_by_norm(threshold: Any) -> optax.GradientTransformation:
    """Algorithm 1: g ← threshold · g/‖g‖ where ‖g‖ ≥ threshold, over all parameters together.

    A gradient that is not finite stays so: the run is recorded as diverged.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, algorithm 1; they take ½ to 10 times the mean norm.
    """

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        norm = global_norm(updates)
        exceeds = norm >= threshold
        factor = jnp.where(exceeds, threshold / jnp.where(exceeds, norm, 1), 1)
        return jax.tree_util.tree_map(lambda g: g * factor.astype(g.dtype), updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def clip_by_value(threshold: Any) -> optax.GradientTransformation:
    """g_i ← min(max(g_i, −threshold), threshold), which changes the gradient's direction (Mikolov 2012)."""
    return optax.clip(threshold)


CLIPS: dict[str, Callable[[Any], optax.GradientTransformation]] = {
    "norm": clip_by_norm,
    "value": clip_by_value,
}


def loss_and_gradient(
    network: Network,
    batch: Batch,
    task: Task,
    *,
    terms: tuple[Term, ...] = (),
    numbers: Mapping[str, Array],
    masks: Array | None = None,
    truncation: int | None = None,
) -> tuple[Array, Network, Pass]:
    """The mean loss of a batch, the gradient of loss and terms, and the pass with ∂E/∂x_t of each sequence.

    Terms on the immediate gradient see states and ∂E/∂x_t as constants; others are differentiated with the loss.

    Args:
        terms: each counts times its number.
        numbers: those of the recipe.
        masks, truncation: as ``states``.
    """
    inputs = jnp.swapaxes(batch.inputs, 0, 1)
    size = inputs.shape[1]
    run = functools.partial(states, inputs=inputs, masks=masks, truncation=truncation)
    along = jax.eval_shape(lambda n: run(n.cell), network)

    def objective(network: Network, nudges: Array | None) -> tuple[tuple[Array, Array], Array]:
        along = run(network.cell, nudges=nudges)
        mean = jnp.mean(task.loss(outputs(network, along, batch.at), batch.targets))
        extra = sum(
            (
                numbers[term.name] * term.function(network, Pass(inputs, along, None, masks), numbers)
                for term in terms
                if not term.is_immediate
            ),
            start=jnp.zeros_like(mean),
        )
        return (mean, extra), along

    immediate = [term for term in terms if term.is_immediate]
    nudges = jnp.zeros((*inputs.shape[:2], along.shape[-1]), along.dtype) if immediate else None
    (mean, _), pull_back, along = jax.vjp(objective, network, nudges, has_aux=True)
    one = jnp.ones_like(mean)
    if not immediate:
        return mean, pull_back((one, one))[0], Pass(inputs, along, None, masks)
    gradient, back = pull_back((one, 0 * one))
    if len(immediate) < len(terms):  # ∂E/∂x_t is that of the loss, without the other terms
        gradient = jax.tree_util.tree_map(jnp.add, gradient, pull_back((0 * one, one))[0])
    done = jax.lax.stop_gradient(Pass(inputs, along, back * size, masks))

    def immediately(network: Network) -> Array:
        parts = [numbers[term.name] * term.function(network, done, numbers) for term in immediate]
        return functools.reduce(jnp.add, parts)

    gradient = jax.tree_util.tree_map(jnp.add, gradient, jax.grad(immediately)(network))
    return mean, gradient, done
