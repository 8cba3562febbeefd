"""∂x_T/∂x_k for every k against a bare chain of matrix products of the same shapes.

The reference is a ``lax.scan`` that multiplies T stored n × n matrices onto one another with ``jnp.matmul``
and keeps every partial product; it neither forms the Jacobians nor rescales, nor runs the network.
Rates are relative to it.
"""

import jax
import jax.numpy as jnp

from benchmarks import timing
from rnn_dynamics.cells.initializers import random_rnn
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import gradient_norms, jacobian_products, step_jacobians
from rnn_dynamics.gradients.singular_values import singular_spectrum


def _multiply(product: jax.Array, factor: jax.Array) -> tuple[jax.Array, jax.Array]:
    following = jnp.matmul(product, factor)
    return following, following


@jax.jit
def chain(factors: jax.Array) -> jax.Array:
    """Every partial product from the right end, in plain floats."""
    return jax.lax.scan(_multiply, jnp.eye(factors.shape[-1], dtype=factors.dtype), factors, reverse=True)[1]


def _case(n: int, steps: int, dtype: str, repetitions: int) -> list[dict]:
    cell = random_rnn(jax.random.key(0), n, spectral_radius=1.0)
    cell = jax.tree.map(lambda leaf: leaf.astype(dtype), cell)
    trajectory = rollout(cell, jnp.full(n, 0.1, dtype), steps=steps)
    factors = jax.block_until_ready(step_jacobians(trajectory))
    candidates = {
        "jnp.matmul chain": lambda: jax.block_until_ready(chain(factors)),
        "jacobian_products": lambda: jax.block_until_ready(jacobian_products(trajectory)),
        "gradient_norms, fro": lambda: jax.block_until_ready(gradient_norms(trajectory, ord="fro")),
    }
    if n == 64:  # three QR sweeps and their matrices: compared at one size
        candidates["singular_spectrum"] = lambda: jax.block_until_ready(singular_spectrum(trajectory))
    seconds = timing.interleaved(candidates, repetitions=repetitions)
    case = f"n = {n}, T = {steps}, {dtype}"
    reference = seconds["jnp.matmul chain"]
    return [timing.row("jacobian_chain", case, name, value, reference) for name, value in seconds.items()]


def measure(*, steps: int = 500, repetitions: int = 5, quick: bool = False) -> list[dict]:
    """One row for each size, dtype and candidate."""
    sizes = (64, 128) if quick else (64, 128, 512)
    rows = []
    for dtype in ("float64", "float32"):
        for n in sizes:
            rows += _case(n, steps, dtype, min(repetitions, 3) if n > 128 or quick else repetitions)
    return rows


if __name__ == "__main__":
    timing.run_alone(__doc__, measure, steps=500)
