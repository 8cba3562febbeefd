"""The gradient's story: horizon, exponent and regime of ∂x_T/∂x_k at every check, over fixed sequences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.cells.stack import state_size
from rnn_dynamics.diagnosis.growth import REGIMES, summary_of
from rnn_dynamics.gradients.jacobians import pullback
from rnn_dynamics.training.recipes.networks import Network, cell_dtype
from rnn_dynamics.training.tasks import Task

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

    The regime is that of most sequences, of equally frequent ones the first in ``REGIMES``.
    """
    if hasattr(networks.cell, "over_batch"):
        runs = len(networks.offset)
        return {name: np.full((1, runs), np.nan) for name in ("exponent", "horizon", "regime")}
    logs = np.asarray(log_norms(task, networks), float)
    found = [summary_of(of_run, dtype=np.float32) for of_run in logs]
    columns = {
        "exponent": [np.mean(one.rates) for one in found],
        "horizon": [np.median(one.horizons) for one in found],
        "regime": [REGIMES.index(one.regime) for one in found],
    }
    return {name: np.asarray(values, float)[None] for name, values in columns.items()}
