"""slow_gru.npz: three 24-unit GRUs trained to integrate pulses, in float64; the slow networks of the tests.

Each keeps a number, the clipped sum of rare pulses of ±.25, for 60 steps. What it learns is a nearly continuous
line of memories. Run: JAX_ENABLE_X64=1 python tests/data/make_slow_gru.py.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rnn_dynamics.cells import GRU

UNITS, STEPS, BATCH = 24, 60, 64


def task(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Pulses, shape (batch, steps, 1), and their clipped sums."""
    when, sign = jax.random.split(key)
    pulses = jnp.where(jax.random.uniform(when, (BATCH, STEPS)) < 0.15, 0.25, 0.0)
    pulses = pulses * jax.random.rademacher(sign, (BATCH, STEPS), jnp.float64)

    def add(total: jax.Array, pulse: jax.Array) -> tuple[jax.Array, jax.Array]:
        total = jnp.clip(total + pulse, -1, 1)
        return total, total

    return pulses[..., None], jax.lax.scan(add, jnp.zeros(BATCH), pulses.T)[1].T


def start(key: jax.Array) -> dict[str, jax.Array]:
    """Orthogonal-like weights and a readout."""
    first, second, third = jax.random.split(key, 3)
    return {
        "W": jax.random.normal(first, (3 * UNITS, UNITS)) / np.sqrt(UNITS),
        "W_in": jax.random.normal(second, (3 * UNITS, 1)),
        "b": jnp.concatenate([jnp.zeros(UNITS), jnp.ones(UNITS), jnp.zeros(UNITS)]),
        "readout": jax.random.normal(third, (UNITS,)) / np.sqrt(UNITS),
    }


def cell_of(weights: dict[str, jax.Array]) -> GRU:
    """The network of some weights."""
    return GRU(weights["W"], weights["b"], weights["W_in"])


def loss(weights: dict[str, jax.Array], key: jax.Array) -> jax.Array:
    """The mean squared error of the readout."""
    inputs, targets = task(key)
    leaves = {name: weights[name] for name in ("W", "b", "W_in")}

    def run(sequence: jax.Array) -> jax.Array:
        cell = cell_of(leaves)

        def step(x: jax.Array, u: jax.Array) -> tuple[jax.Array, jax.Array]:
            x = cell(x, u)
            return x, jnp.dot(x, weights["readout"])

        return jax.lax.scan(step, jnp.zeros(UNITS), sequence)[1]

    return jnp.mean((jax.vmap(run)(inputs) - targets) ** 2)


def trained(seed: int, updates: int) -> dict[str, np.ndarray]:
    """Weights after some updates of Adam."""
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(3e-3))

    @jax.jit
    def update(carry: tuple, key: jax.Array) -> tuple:
        weights, state = carry
        value, gradient = jax.value_and_grad(loss)(weights, key)
        change, state = optimizer.update(gradient, state)
        return (optax.apply_updates(weights, change), state), value

    weights = start(jax.random.key(seed))
    carry = weights, optimizer.init(weights)
    for i in range(updates):
        carry, value = update(carry, jax.random.fold_in(jax.random.key(100 + seed), i))
    print(seed, updates, float(value))
    return {f"{name}_{seed}": np.asarray(leaf) for name, leaf in carry[0].items() if name != "readout"}


if __name__ == "__main__":
    arrays: dict[str, np.ndarray] = {}
    for seed, updates in ((0, 300), (1, 600), (2, 900)):
        arrays |= trained(seed, updates)
    np.savez_compressed(Path(__file__).with_suffix("").parent / "slow_gru.npz", **arrays)
