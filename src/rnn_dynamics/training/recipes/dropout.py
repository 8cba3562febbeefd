"""Variational dropout: one mask for all steps of a sequence."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def masks(key: Any, drop: Any, batch: int, units: int) -> Float[Array, "batch units"]:
    """0 with probability ``drop``, else 1/(1 − drop), so that the mean is 1 and a test needs no mask.

    What the recurrent weights see of each unit is multiplied by it at every step of the sequence; readout and what
    passes a cell by (a leak, a cell state) are not masked.

    Reference: Y. Gal, Z. Ghahramani, "A theoretically grounded application of dropout in recurrent neural
    networks", NeurIPS 2016.
    """
    kept = jax.random.uniform(key, (batch, units), jnp.float32) >= drop
    return kept.astype(jnp.float32) / (1 - drop)
