"""The step of a spiking neuron, with its own derivative or the pseudo-derivative by which frameworks train."""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def _atan(z: Array, k: float) -> Array:
    return k / 2 / (1 + (math.pi / 2 * k * z) ** 2)


def _fast_sigmoid(z: Array, k: float) -> Array:
    return 1 / (k * jnp.abs(z) + 1) ** 2


def _sigmoid(z: Array, k: float) -> Array:
    tail = jnp.exp(-jnp.abs(k * z))
    return k * tail / (1 + tail) ** 2


def _tanh(z: Array, k: float) -> Array:
    return 4 * _sigmoid(z, 2 * k) / (2 * k)


def _erfc(z: Array, k: float) -> Array:
    return 2 / math.sqrt(math.pi) * jnp.exp(-((k * z) ** 2))


def _triangle(z: Array, k: float) -> Array:
    return k * jnp.maximum(1 - jnp.abs(z), 0)


def _circ(z: Array, k: float) -> Array:
    return k**3 / (k**2 + z**2) ** 1.5


def _straight(z: Array, k: float) -> Array:
    return jnp.full_like(z, k)


def _on(z: Array, k: float) -> Array:
    return jnp.where(z > 0, jnp.full_like(z, k), jnp.zeros_like(z))


def _turned(z: Array, k: float) -> Array:
    return jnp.where(z < 0, jnp.full_like(z, k), jnp.full_like(z, -k))


def _none(z: Array, k: float) -> Array:
    return jnp.zeros_like(z)


#: Kind to the pseudo-derivative of the step at z with slope k: "none" is the step's own, 0 wherever it has one.
KINDS: dict[str, Callable[[Array, float], Array]] = {
    "none": _none,
    "atan": _atan,
    "fast_sigmoid": _fast_sigmoid,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "erfc": _erfc,
    "triangle": _triangle,
    "circ": _circ,
    "straight_through": _straight,
    "on": _on,
    "turned": _turned,
}


@dataclasses.dataclass(frozen=True)
class Step:
    """1 for z > 0, else 0, with the derivative of a kind and slope."""

    kind: str
    slope: float

    def __call__(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        return _step(self, z)

    @property
    def kept_name(self) -> str:
        """The name by which a file keeps it."""
        return f"spike({self.kind},{self.slope.hex()})"

    @property
    def derivative(self) -> "Pseudo":
        """What stands in for φ′."""
        return Pseudo(self.kind, self.slope)


@dataclasses.dataclass(frozen=True)
class Pseudo:
    """The pseudo-derivative of a kind and slope."""

    kind: str
    slope: float

    def __call__(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        return KINDS[self.kind](z, self.slope)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _step(form: Step, z: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.where(z > 0, jnp.ones_like(z), jnp.where(z <= 0, jnp.zeros_like(z), z))


@_step.defjvp
def _step_jvp(form: Step, primals: tuple, tangents: tuple) -> tuple:
    (z,), (dz,) = primals, tangents
    return _step(form, z), form.derivative(z) * dz
