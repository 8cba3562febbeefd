"""Whether all entries are finite or any is not zero, and the largest of them.

XLA's CPU compiler rewrites a reduction of truth values into a tree of windows, which takes it .1 s each; a sum of
floats takes a fifth of that. A maximum or minimum of 4096 entries or more loses NaN there, or is −inf beside one
(jaxlib 0.10.2, on a CPU; ``findings/jax_cpu_max_loses_nan.sh``): what decides by a maximum takes ``largest``.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def all_finite(x: Float[Array, "..."], axis: Any = None, *, keepdims: bool = False) -> Bool[Array, "..."]:
    """``jnp.isfinite(x).all(axis)``: 0 times what is not finite is NaN."""
    return jnp.sum(x * 0, axis=axis, keepdims=keepdims) == 0


def any_nonzero(x: Float[Array, "..."], axis: Any = None) -> Bool[Array, "..."]:
    """``(x != 0).any(axis)``, true of NaN: sizes that add up do not cancel."""
    return jnp.sum(jnp.abs(x), axis=axis) != 0


def largest(x: Float[Array, "..."], axis: Any = None) -> Float[Array, "..."]:
    """``jnp.max(jnp.abs(x), axis)``, 0 of none, and NaN where one is NaN in an array of any size."""
    is_nan = jnp.isnan(jnp.sum(jnp.where(jnp.isnan(x), jnp.nan, 0).astype(jnp.abs(x).dtype), axis=axis))
    return jnp.where(is_nan, jnp.nan, jnp.max(jnp.abs(x), axis=axis, initial=0))
