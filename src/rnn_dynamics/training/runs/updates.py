"""One run's updates, compiled whole with the sequences they draw; a run that is no longer finite stands still."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from rnn_dynamics.numerics.validation import count
from rnn_dynamics.training.recipes import dropout
from rnn_dynamics.training.recipes.clipping import global_norm, loss_and_gradient
from rnn_dynamics.training.recipes.networks import Network, outputs, states
from rnn_dynamics.training.recipes.pseudo_newton import DIRECTIONS
from rnn_dynamics.training.recipes.recipe import Recipe
from rnn_dynamics.training.recipes.search import SEARCHES, Setting
from rnn_dynamics.training.runs.descent import moved
from rnn_dynamics.training.tasks import Batch, Task

_UPDATE, TEST, CONFIRM, _NOISE = range(4)  # what random numbers are for: no two uses share a sequence
_LONGEST = 50  # updates of a call
_PART = 500  # sequences that are run at once in a test


@dataclasses.dataclass(frozen=True)
class Plan:
    """What every run of a panel has in common; it decides the compiled program.

    Attributes:
        task, recipe: what is learned, and how.
        units: of the hidden vector.
        batch: sequences of an update.
        every: updates between two checks.
        test: fresh sequences of a check.

    Raises:
        TypeError, ValueError: no task, no recipe, or a size that is no integer of at least 1.
    """

    task: Task
    recipe: Recipe
    units: int = 50
    batch: int = 20
    every: int = 500
    test: int = 1000

    def __post_init__(self) -> None:
        for name, expected in (("task", Task), ("recipe", Recipe)):
            if not isinstance(getattr(self, name), expected):
                got = type(getattr(self, name)).__name__
                raise TypeError(f"{name}: expected a {expected.__name__}, got {got}")
        for name in ("units", "batch", "every", "test"):
            object.__setattr__(self, name, count(name, getattr(self, name), minimum=1))


class Run(NamedTuple):
    """One run between two updates; a panel has a leading axis of runs on every leaf.

    Attributes:
        network: the parameters.
        memory: the optimizer's state.
        numbers: learning rate, threshold, strengths.
        key: the data of the key of all its sequences.
        step: updates made.
        is_finite: whether loss, gradient and parameters have been finite so far.
    """

    network: Network
    memory: Any
    numbers: dict[str, Float[Array, ""]]
    key: Any
    step: Int[Array, ""]
    is_finite: Bool[Array, ""]


class ProgressCheck(NamedTuple):
    """What is seen of the runs after ``every`` updates.

    Attributes:
        loss: mean over the updates.
        norm: mean ‖∂E/∂θ‖ over the updates, before clipping; NaN of a search without gradients.
        largest_norm: the largest.
        wrong: the share of fresh sequences that are wrong.
    """

    loss: Float[np.ndarray, " runs"]
    norm: Float[np.ndarray, " runs"]
    largest_norm: Float[np.ndarray, " runs"]
    wrong: Float[np.ndarray, " runs"]


def _key(data: Array, use: int | Array, step: Array) -> Any:
    return jax.random.fold_in(jax.random.fold_in(jax.random.wrap_key_data(data), use), step)


def first_state(plan: Plan, network: Network, numbers: Mapping[str, Any]) -> Any:
    """The optimizer's or the search's state before the first update."""
    rule = plan.recipe.transformation(numbers)
    if plan.recipe.search is None:
        return rule.init(network)
    return SEARCHES[plan.recipe.search].init(ravel_pytree(network)[0], numbers, rule)


def _held(gradient: Network) -> Network:
    """The gradient without that of the leak or the scale of a branch, which are settings."""
    cell = gradient.cell
    for name in ("leak", "scale"):
        if isinstance(getattr(cell, name, None), jax.Array):
            leaves, structure = jax.tree_util.tree_flatten_with_path(cell)
            kept = [jnp.zeros_like(v) if getattr(p[0], "name", "") == name else v for p, v in leaves]
            cell = jax.tree_util.tree_unflatten(structure, kept)
    return gradient._replace(cell=cell)


def _learned(plan: Plan, run: Run, batch: Batch, key: Any) -> tuple[Network, Any, Array, Array]:
    """Network, memory, loss and the gradient's norm of an update along a gradient, or what takes its place."""
    recipe, numbers = plan.recipe, run.numbers
    if recipe.direction is not None:
        loss, gradient = DIRECTIONS[recipe.direction](run.network, batch, plan.task, numbers)
    else:
        masks = None
        if recipe.dropout:
            masks = dropout.masks(key, numbers["drop"], plan.batch, plan.units)
        loss, gradient, _done = loss_and_gradient(
            run.network,
            batch,
            plan.task,
            terms=recipe.terms,
            numbers=numbers,
            masks=masks,
            truncation=recipe.truncation,
        )
    gradient = _held(gradient)
    network, memory = moved(recipe.transformation(numbers), run.network, run.memory, gradient)
    return network, memory, loss, global_norm(gradient)


def _searched(plan: Plan, run: Run, batch: Batch, key: Any) -> tuple[Network, Any, Array, Array]:
    """The same of an update of a search, whose norm is NaN: it forms no gradient."""
    at, network_of = ravel_pytree(run.network)
    free = ravel_pytree(_held(jax.tree_util.tree_map(jnp.ones_like, run.network)))[0] > 0

    def score(point: Array) -> tuple[Array, Array]:
        network = network_of(point)
        along = states(network.cell, jnp.swapaxes(batch.inputs, 0, 1))
        given = outputs(network, along, batch.at)
        wrong = plan.task.wrong(given, batch.targets).astype(point.dtype)
        return jnp.mean(plan.task.loss(given, batch.targets)), jnp.mean(wrong)

    setting = Setting(score, free, run.numbers, key, plan.recipe.transformation(run.numbers))
    assert plan.recipe.search is not None
    at, memory, loss = SEARCHES[plan.recipe.search].update(setting, at, run.memory)
    return network_of(at), memory, loss, jnp.full_like(loss, jnp.nan)


def _update(plan: Plan, run: Run, _: None) -> tuple[Run, tuple[Array, Array]]:
    batch = plan.task.batch(_key(run.key, _UPDATE, run.step), plan.batch)
    follow = _learned if plan.recipe.search is None else _searched
    network, memory, loss, norm = follow(plan, run, batch, _key(run.key, _NOISE, run.step))
    finite = run.is_finite & jnp.isfinite(loss) & jnp.isfinite(global_norm(network))
    finite = finite & jnp.isfinite(norm) if plan.recipe.search is None else finite
    network, memory = jax.tree_util.tree_map(
        lambda new, old: jnp.where(finite, new, old), (network, memory), (run.network, run.memory)
    )
    following = Run(network, memory, run.numbers, run.key, run.step + finite.astype(run.step.dtype), finite)
    return following, (loss, norm)


def lengths_of_calls(every: int) -> list[int]:
    """``every`` updates in calls of up to 50, so that each ends within about a second: of one length, or of two."""
    calls = -(-every // _LONGEST)
    return [every // calls + (call < every % calls) for call in range(calls)]


@functools.partial(jax.jit, static_argnums=(0, 2))
def advance(
    plan: Plan, runs: Run, length: int
) -> tuple[Run, tuple[Float[Array, "runs updates"], Float[Array, "runs updates"]]]:
    """``length`` updates of every run of a panel, with their losses and gradient norms."""
    step = functools.partial(_update, plan)
    return jax.vmap(lambda run: jax.lax.scan(step, run, None, length=length))(runs)


@functools.partial(jax.jit, static_argnums=(0, 2))
def recorded(plan: Plan, runs: Run, updates: int) -> tuple[Run, Network, Array, Array]:
    """Updates of every run of a panel, recorded one by one.

    Returns:
        The runs after them; and of every run the networks before each update, its loss, and ‖∂E/∂θ‖ before
        clipping, a leading axis of updates behind that of runs.
    """

    def update(run: Run, _: None) -> tuple[Run, tuple[Network, Array, Array]]:
        following, (loss, norm) = _update(plan, run, None)
        return following, (run.network, loss, norm)

    following, seen = jax.vmap(lambda run: jax.lax.scan(update, run, None, length=updates))(runs)
    return following, *seen


@functools.partial(jax.jit, static_argnums=(0, 1))
def _count_wrong(
    task: Task, part: int, networks: Network, keys: Any, steps: Int[Array, " runs"], use: Any, parts: Any
) -> Int[Array, " runs"]:
    """How many of ``parts`` times ``part`` sequences each network puts wrong; one program for all recipes."""

    def of_one(network: Network, key: Any, step: Array) -> Array:
        def with_part(index: Array, total: Array) -> Array:
            batch = task.batch(jax.random.fold_in(_key(key, use, step), index), part)
            along = states(network.cell, jnp.swapaxes(batch.inputs, 0, 1))
            wrong = task.wrong(outputs(network, along, batch.at), batch.targets)
            return total + jnp.sum(wrong, dtype=total.dtype)

        return jax.lax.fori_loop(0, parts, with_part, jnp.zeros((), jnp.int32))

    return jax.vmap(of_one)(networks, keys, steps)


def share_wrong(
    task: Task, networks: Network, keys: Any, steps: Any, sequences: int, use: int
) -> Float[np.ndarray, " runs"]:
    """The share of fresh sequences that each network of a panel puts wrong, others at each step and use."""
    parts = -(-sequences // _PART)
    part = -(-sequences // parts)
    counted = _count_wrong(task, part, networks, keys, steps, np.int32(use), np.int32(parts))
    return np.asarray(counted).astype(np.float32) / np.float32(parts * part)
