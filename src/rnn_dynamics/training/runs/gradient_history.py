"""The gradient's story: horizon, exponent and regime of ∂x_T/∂x_k at every check, over fixed sequences."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.cells.stack import state_size
from rnn_dynamics.diagnosis.growth import of_logs, reach
from rnn_dynamics.gradients.jacobians import pullback
from rnn_dynamics.training.recipes.networks import Network, cell_dtype
from rnn_dynamics.training.tasks import Task

__all__ = ["REGIMES", "log_norms", "measured"]

REGIMES = ("vanishing", "neither", "exploding", "undecided", "diverged", "not finite")
_SEQUENCES = 4


@functools.partial(jax.jit, static_argnums=0)
def log_norms(task: Task, networks: Network) -> Float[Array, "runs sequences steps+1"]:
    """ln‖(∂x_T/∂x_k)ᵀ v‖ for k = 0 … T, of the same random v and the same sequences for every network."""
    inputs = task.batch(jax.random.key(0), _SEQUENCES).inputs
    return jax.vmap(functools.partial(_of_network, inputs))(networks)


def _of_network(inputs: Array, network: Network) -> Array:
    cell, dtype = network.cell, cell_dtype(network.cell)
    size = state_size(cell)
    vector = jnp.asarray(np.random.default_rng(0).normal(size=size), dtype)

    def of_one(u: Array) -> Array:
        run = rollout(cell, jnp.zeros(size, dtype), u)
        return pullback(run, vector).norm().log()

    return jax.vmap(of_one)(inputs)


def measured(task: Task, networks: Network) -> dict[str, np.ndarray]:
    """By name, shape (1, runs): mean exponent in nats a step, median horizon at 1/e, and the index of the regime.

    The regime is that of most sequences, "undecided" where no two agree.
    """
    if hasattr(networks.cell, "over_batch"):
        runs = len(networks.offset)
        return {name: np.full((1, runs), np.nan) for name in ("exponent", "horizon", "regime")}
    logs = np.asarray(log_norms(task, networks), float)
    found: dict[str, list[float]] = {"exponent": [], "horizon": [], "regime": []}
    for of_run in logs:
        pairs = [of_logs(of_one, diverged=False, dtype=np.float32) for of_one in of_run]
        names = [regime for regime, _ in pairs]
        most = max(set(names), key=lambda name: (names.count(name), -REGIMES.index(name)))
        found["exponent"].append(float(np.mean([growth.rate for _, growth in pairs])))
        found["horizon"].append(float(np.median([reach(of_one, 1 / math.e) for of_one in of_run])))
        found["regime"].append(float(REGIMES.index(most)))
    return {name: np.asarray(values)[None] for name, values in found.items()}
