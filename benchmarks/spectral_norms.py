"""ln‖∂x_T/∂x_k‖₂ for every k: the block iteration against the Frobenius norm and the full decomposition.

The reference is ``gradient_norms(ord="fro")``, which forms the same products. "turning": products
U_k diag(0.99^i) V_kᵀ, leading singular values 1 % apart at every k, U_k turned by a small random rotation at each
step, V_k drawn anew. "tanh": a random network of spectral radius 1. Rates are relative to the reference.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from rnn_dynamics.cells.initializers import random_rnn
from rnn_dynamics.cells.rollout import Trajectory, rollout
from rnn_dynamics.gradients.jacobians import gradient_norms
from rnn_dynamics.gradients.spectral_norms import spectral_norms


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LinearCell:
    """x ← u x: the inputs are the Jacobians."""

    def __call__(self, x: jax.Array, u: jax.Array) -> jax.Array:
        return jnp.matmul(u, x, precision="highest")

    def jacobian(self, _: jax.Array, u: jax.Array) -> jax.Array:
        return u


def turning_factors(n: int, steps: int, *, angle: float = 0.05, ratio: float = 0.99) -> np.ndarray:
    """J_1 … J_T with J_T ⋯ J_{k+1} = U_k diag(ratio^i) V_kᵀ; the root mean square turn of a vector is ``angle``."""
    rng = np.random.default_rng(0)
    values = ratio ** np.arange(n)
    skew = rng.normal(size=(n, n)) * angle / 2 / np.sqrt(n)
    half = (skew - skew.T) / np.sqrt(2)
    rotation = np.linalg.solve(np.eye(n) + half, np.eye(n) - half)
    left, right = (np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(2))
    factors = [left * values @ right.T]
    for _ in range(steps - 1):
        following = np.linalg.qr(rng.normal(size=(n, n)))[0]
        factors.append((right / values) @ (rotation * values) @ following.T)
        left, right = left @ rotation, following
    return np.stack(factors[::-1])


def _paths(n: int, steps: int, dtype: str) -> dict[str, Trajectory]:
    cell: Any = random_rnn(jax.random.key(0), n, spectral_radius=1.0)
    cell = jax.tree.map(lambda leaf: leaf.astype(dtype), cell)
    factors = turning_factors(n, steps).astype(dtype)
    return {
        "turning": rollout(LinearCell(), jnp.zeros(n, dtype), factors),
        "tanh": rollout(cell, jnp.full(n, 0.1, dtype), steps=steps),
    }


def _case(kind: str, path: Trajectory, repetitions: int, decompose: bool) -> list[dict]:
    candidates = {
        "gradient_norms, fro": lambda: jax.block_until_ready(gradient_norms(path, ord="fro")),
        "spectral_norms": lambda: jax.block_until_ready(spectral_norms(path)),
    }
    if decompose:
        candidates["gradient_norms, 2"] = lambda: jax.block_until_ready(gradient_norms(path))
    seconds = timing.interleaved(candidates, repetitions=repetitions)
    case = f"{kind}, n = {path.states.shape[1]}, T = {path.steps}, {path.states.dtype}"
    reference = seconds["gradient_norms, fro"]
    return [timing.row("spectral_norms", case, name, value, reference) for name, value in seconds.items()]


def measure(*, steps: int = 100, repetitions: int = 5, quick: bool = False) -> list[dict]:
    """One row for each kind, size, dtype and candidate."""
    rows = []
    for dtype in ("float64", "float32"):
        for n in (64, 128) if quick else (128, 256, 512):
            for kind, path in _paths(n, steps, dtype).items():
                rows += _case(kind, path, min(repetitions, 3) if quick else repetitions, n <= 256)
    return rows


if __name__ == "__main__":
    timing.run_alone(__doc__, measure, steps=100)
