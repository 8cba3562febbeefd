"""minGRU of minGRU-pytorch, in the parallel form that trains: a scan in log space, in float32."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import torch
from minGRU_pytorch import minGRU

from rnn_dynamics.interop import Cause
from tests.peers.rows import Row

UNITS = 8


def step(W: jax.Array, h: jax.Array, u: jax.Array) -> jax.Array:
    """h⁺ = (1 − z) h + z g(c), [c, z] = W u: L. Feng et al., arXiv 2410.01201, appendix B.3.1."""
    c, gate = jnp.split(jnp.matmul(W, u, precision="highest"), 2)
    z = jax.nn.sigmoid(gate)
    return (1 - z) * h + z * jnp.where(c >= 0, c + 0.5, jax.nn.sigmoid(c))


def rows() -> Iterator[Row]:
    torch.manual_seed(0)
    module = minGRU(UNITS)
    cell = jax.tree_util.Partial(step, jnp.asarray(module.to_hidden_and_gate.weight.detach().numpy()))
    options = {"cell": cell, "width": UNITS}
    because = "a scan in log space in float32 adds and subtracts logarithms that grow with T"
    for steps in (100, 2000):
        yield Row(
            "minGRU",
            f"parallel, T={steps}",
            cell,
            None,
            None,
            "float32",
            module,
            dict(options),
            steps,
            Cause.FLOOR,
            None,
            because,
        )

    def sequential(u: torch.Tensor) -> torch.Tensor:
        h, found = None, []
        for one in u:
            h = module(one[None, None], h)
            found.append(h[0, 0])
        return torch.stack(found)

    yield Row(
        "minGRU", "sequential", cell, None, None, "float32", sequential, options | {"framework": "torch"}
    )
