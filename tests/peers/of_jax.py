"""What the frameworks on JAX share: a row of one step as a function of JAX."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.peers.rows import Row


def row_of(
    kind: str,
    words: str,
    cell: Any,
    step: Callable[[Any, Any], Any],
    dtype: Any,
    audited: Any,
    options: dict[str, Any],
    **more: Any,
) -> Row:
    """Of a step x, u → x⁺ in the library's layout of the state."""

    @jax.jit
    def run(x0: Any, inputs: Any) -> Any:
        return jax.lax.scan(lambda x, u: (step(x, u),) * 2, x0, inputs)[1]

    def states(x0: np.ndarray, inputs: np.ndarray) -> Any:
        return run(jnp.asarray(x0), jnp.asarray(inputs))

    def jacobian(x0: np.ndarray, inputs: np.ndarray) -> Any:
        return jax.jacrev(lambda x: run(x, jnp.asarray(inputs))[-1])(jnp.asarray(x0))

    return Row(kind, words, cell, states, jacobian, np.dtype(dtype).name, audited, options, **more)
