"""Functions that a user gives: whether they are JAX's, and whether a loss gives a number."""

from typing import Any

import jax
import jax.numpy as jnp


def is_foreign(value: Any) -> bool:
    """Whether it is a module or layer of PyTorch, Paddle or Keras, which takes no arrays of JAX."""
    return any(callable(getattr(value, name, None)) for name in ("state_dict", "get_weights"))


def check_loss(loss: Any, given: Any, argument: str = "x") -> None:
    """Refuse what is no function from ``given`` to one number.

    Raises:
        TypeError: it is none of JAX.
        ValueError: it gives something else.
    """
    if not callable(loss):
        raise TypeError(f"loss: expected a callable loss({argument}), got {type(loss).__name__}")
    if is_foreign(loss):
        raise TypeError(
            f"loss: expected a callable loss({argument}) of JAX's arrays, got a {type(loss).__name__} of "
            f"{type(loss).__module__.partition('.')[0]}: write it with its weights, as "
            f"lambda {argument}: jnp.sum(({argument} @ W.T + b) ** 2)"
        )
    value = jax.eval_shape(loss, given)
    if getattr(value, "shape", None) != () or not jnp.issubdtype(value.dtype, jnp.floating):
        shape = getattr(value, "shape", None)
        got = f"{value.dtype} of shape {shape}" if shape is not None else type(value).__name__
        raise ValueError(f"loss: expected a number, got {got}")
