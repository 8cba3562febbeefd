"""Scalar functions of other frameworks beyond the usual six: by name φ, φ′ where JAX's is not the left one, γ.

A name that two frameworks give to different functions is no name here: Keras 2 has hard sigmoids of slope 1/5,
Keras 3, ONNX-like runtimes and JAX of slope 1/6.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class Ramp:
    """φ(z) = slope·z + shift between two kinks, constant outside; slope > 0.

    At both kinks the derivative is the left one: 0 at the first, ``slope`` at the last. Kinks are compared with z
    itself, as slope·z + shift is rounded in one place or in two.
    """

    slope: float
    shift: float
    first: float
    last: float
    low: float
    high: float

    def __call__(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        return _ramp(self, z)


@dataclasses.dataclass(frozen=True)
class Slope:
    """φ′ of a ramp, NaN for NaN."""

    ramp: Ramp

    def __call__(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        flat = jnp.where(jnp.isnan(z), z, jnp.zeros_like(z))
        is_between = (z > self.ramp.first) & (z <= self.ramp.last)
        return jnp.where(is_between, jnp.full_like(z, self.ramp.slope), flat)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _ramp(form: Ramp, z: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.clip(form.slope * z + form.shift, form.low, form.high)


@_ramp.defjvp
def _ramp_jvp(form: Ramp, primals: tuple, tangents: tuple) -> tuple:
    return _ramp(form, *primals), Slope(form)(*primals) * tangents[0]


def _silu(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return z * jax.nn.sigmoid(z)


def _gelu(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return z * (0.5 * jax.lax.erfc(-z * math.sqrt(0.5)))


def _mish(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return z * jnp.tanh(jax.nn.softplus(z))


def _hard_silu(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return z * _SIXTH(z)


def _soft_shrink(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return z - _HALF(z)


def _tanh_shrink(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return z - jnp.tanh(z)


_FIFTH, _SIXTH = Ramp(0.2, 0.5, -2.5, 2.5, 0.0, 1.0), Ramp(1 / 6, 0.5, -3.0, 3.0, 0.0, 1.0)
_UNIT, _SIX = Ramp(1.0, 0.0, -1.0, 1.0, -1.0, 1.0), Ramp(1.0, 0.0, 0.0, 6.0, 0.0, 6.0)
_HALF, _SPARSE = Ramp(1.0, 0.0, -0.5, 0.5, -0.5, 0.5), Ramp(0.5, 0.5, -1.0, 1.0, 0.0, 1.0)

#: Name to φ, φ′ or ``None`` for JAX's, and γ or ``None`` where φ′ has no bound.
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any] | None, float | None]] = {
    "hard_sigmoid_5": (_FIFTH, Slope(_FIFTH), 0.2),
    "hard_sigmoid_6": (_SIXTH, Slope(_SIXTH), 1 / 6),
    "hard_tanh": (_UNIT, Slope(_UNIT), 1.0),
    "relu6": (_SIX, Slope(_SIX), 1.0),
    "elu": (jax.nn.elu, None, 1.0),
    "selu": (jax.nn.selu, None, 1.7581),
    "softplus": (jax.nn.softplus, None, 1.0),
    "softsign": (jax.nn.soft_sign, None, 1.0),
    "silu": (_silu, None, 1.0999),
    "gelu": (_gelu, None, 1.129),
    "mish": (_mish, None, 1.0885),
    "hard_silu": (_hard_silu, None, 1.5),
    "log_sigmoid": (jax.nn.log_sigmoid, None, 1.0),
    "squareplus": (jax.nn.squareplus, None, 1.0),
    "sparse_plus": (jax.nn.sparse_plus, None, 1.0),
    "sparse_sigmoid": (_SPARSE, Slope(_SPARSE), 0.5),
    "soft_shrink": (_soft_shrink, None, 1.0),
    "tanh_shrink": (_tanh_shrink, None, 1.0),
    "exponential": (jnp.exp, None, None),
}
#: Those whose values have a bound.
BOUNDED = ("hard_sigmoid_5", "hard_sigmoid_6", "hard_tanh", "relu6", "softsign", "sparse_sigmoid")
