"""The network of the gradients' explorer: its activation is a number too, so that no slider compiles anything."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.declared import RecurrentStructure
from rnn_dynamics.cells.pytree import cell_type, set_fields

#: In the order of ``SlidingRNN.kind``.
ACTIVATIONS = ("tanh", "logistic", "relu", "linear")


def _of(kind: Any, which: str, z: Array) -> Array:
    known = [activations.get(name) for name in ACTIVATIONS]
    return jax.lax.switch(kind, [one if which == "value" else one.slope for one in known], z)


@cell_type()
class SlidingRNN:
    """x⁺ = (1−α) x + α φ(W x + w_in u + b), as ``LeakyRNN``, with φ by its place in ``ACTIVATIONS``."""

    W: Float[Array, "n n"]
    b: Float[Array, " n"]
    w_in: Float[Array, " n"]
    leak: Float[Array, ""]
    kind: Int[Array, ""]

    def __init__(self, W: np.ndarray, b: np.ndarray, w_in: np.ndarray, leak: float, activation: str) -> None:
        dtype = np.dtype(jnp.result_type(float))
        arrays = [np.asarray(part, dtype) for part in (W, b, w_in, leak)]
        kind = np.asarray(ACTIVATIONS.index(activation), np.int32)
        names = ("W", "b", "w_in", "leak", "kind")
        set_fields(self, **dict(zip(names, jax.device_put([*arrays, kind]), strict=True)))

    def _input(self, x: Float[Array, " n"], u: Any) -> Float[Array, " n"]:
        drive = self.b if u is None else self.w_in * u + self.b
        return jnp.matmul(self.W, x, precision=jax.lax.Precision.HIGHEST) + drive

    def __call__(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        return (1 - self.leak) * x + self.leak * _of(self.kind, "value", self._input(x, u))

    def jacobian(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, "n n"]:
        """∂x⁺/∂x = (1−α) I + α diag φ′(·) W."""
        slopes = _of(self.kind, "slope", self._input(x, u))
        identity = jnp.eye(len(self.b), dtype=self.b.dtype)
        return (1 - self.leak) * identity + (self.leak * slopes)[:, None] * self.W

    def structure(self) -> RecurrentStructure:
        """W, the slope bound γ of the activation, and the leak; a leak of 1 is none."""
        bound = activations.get(ACTIVATIONS[int(self.kind)]).slope_bound
        leak = float(self.leak)
        return RecurrentStructure(self.W, bound, self.leak if leak < 1 else 1.0)
