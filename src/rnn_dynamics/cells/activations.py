"""Activations φ with a derivative that stays right in saturation, and the bound γ = sup|φ′| of each.

JAX forms σ′ as σ(1 − σ), which is exactly 0 in float64 from z = 37, and tanh′ as 1 − tanh², 0 from z = 20.
Here σ′(z) = σ(z) σ(−z) and tanh′(z) = sech²(z), both by a custom JVP and both right until they underflow.
"""

import dataclasses
import functools
import math
import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells.further import BOUNDED, FUNCTIONS
from rnn_dynamics.cells.surrogates import KINDS, Step
from rnn_dynamics.numerics.validation import choice


@jax.custom_jvp
def sigmoid(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """The logistic sigmoid σ(z) = 1/(1 + e^(−z)), to a few ulp on both sides.

    Its derivative is σ(z) σ(−z) (``sigmoid_derivative``), not σ(1 − σ).
    """
    return _sigmoid(z)


@functools.partial(jax.jit, inline=True)  # one compiled piece for eager callers, nothing for others
def _sigmoid(z: Array) -> Array:
    tail = jnp.exp(-jnp.abs(z))
    return jnp.where(z >= 0, jnp.ones_like(tail), tail) / (1 + tail)


@sigmoid.defjvp
def _sigmoid_jvp(primals: tuple, tangents: tuple) -> tuple:
    (z,), (dz,) = primals, tangents
    return sigmoid(z), sigmoid_derivative(z) * dz


@jax.custom_jvp
def sigmoid_derivative(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """σ′(z) = σ(z) σ(−z) = e^(−|z|)/(1 + e^(−|z|))², positive until it underflows.

    Its own derivative is σ″(z) = −σ′(z) tanh(z/2).
    """
    return _sigmoid_derivative(z)


@functools.partial(jax.jit, inline=True)
def _sigmoid_derivative(z: Array) -> Array:
    tail = jnp.exp(-jnp.abs(z))
    return tail / (1 + tail * (2 + tail))


@sigmoid_derivative.defjvp
def _sigmoid_derivative_jvp(primals: tuple, tangents: tuple) -> tuple:
    (z,), (dz,) = primals, tangents
    return sigmoid_derivative(z), -sigmoid_derivative(z) * tanh(z / 2) * dz


@jax.custom_jvp
def tanh(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """The hyperbolic tangent; its derivative is sech²(z) (``tanh_derivative``), not 1 − tanh²(z)."""
    return jnp.tanh(z)


@tanh.defjvp
def _tanh_jvp(primals: tuple, tangents: tuple) -> tuple:
    (z,), (dz,) = primals, tangents
    return tanh(z), tanh_derivative(z) * dz


@jax.custom_jvp
def tanh_derivative(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """tanh′(z) = sech²(z) = 4 e^(−2|z|)/(1 + e^(−2|z|))², positive until it underflows.

    From |z| = 20 the denominator is 1, and 4e⁻² e^(2−2|z|) is used: e^(−2|z|) underflows before sech² does.
    """
    size = jnp.abs(z)
    far = size > 20
    tail = jnp.exp(-2 * jnp.where(far, size - 1, size))
    return jnp.where(far, 4 * math.exp(-2) * tail, 4 * tail / (1 + tail * (2 + tail)))


@tanh_derivative.defjvp
def _tanh_derivative_jvp(primals: tuple, tangents: tuple) -> tuple:
    (z,), (dz,) = primals, tangents
    return tanh_derivative(z), -2 * tanh(z) * tanh_derivative(z) * dz


@jax.custom_jvp
def logit(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """ln(x/(1 − x)), the inverse of ``sigmoid``, for x in (0, 1); its derivative is 1/(x(1 − x)).

    Formed as ± log1p(|2x − 1|/min(x, 1 − x)), whose argument is never negative: near x = ½ no digit cancels,
    and log1p of a negative number is up to 128 ulp off in some of XLA's versions.
    """
    ratio = jnp.abs(2 * x - 1) / jnp.minimum(x, 1 - x)
    return jnp.where(x < 0.5, -jnp.log1p(ratio), jnp.log1p(ratio))


@logit.defjvp
def _logit_jvp(primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    return logit(x), dx / (x * (1 - x))


def _lecun(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return 1.7159 * tanh(0.666 * z)


def _lecun_derivative(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return 1.7159 * 0.666 * tanh_derivative(0.666 * z)


def _rectify(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.where(z <= 0, jnp.zeros_like(z), z)


def _two_slopes(z: Float[Array, "..."], slope: float) -> Float[Array, "..."]:
    """1 for z > 0, ``slope`` for z ≤ 0, NaN for NaN."""
    return jnp.where(z > 0, jnp.ones_like(z), jnp.where(z <= 0, jnp.full_like(z, slope), z))


def _step(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return _two_slopes(z, 0.0)


def _identity(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return z


@dataclasses.dataclass(frozen=True)
class Activation:
    """A scalar function φ applied to every unit, its derivative, and its slope bound γ ≥ sup|φ′|.

    Args:
        name: how it prints.
        function: φ, elementwise.
        derivative: φ′, elementwise; by default JAX's derivative of ``function``.
        slope_bound: a number γ ≥ |φ′(z)| for all z, declared by whoever wrote φ. Without it no theorem that
            needs γ is claimed for a network that uses φ.

    Raises:
        TypeError, ValueError: a slope bound that is no finite number > 0.

    At a kink the derivative is the left one (relu′(0) = 0), so that a unit at rest passes no gradient.
    """

    name: str
    function: Callable[[Any], Any]
    derivative: Callable[[Any], Any] | None = None
    slope_bound: float | None = None

    def __post_init__(self) -> None:
        bound = self.slope_bound
        if bound is None:
            return
        if isinstance(bound, bool) or not isinstance(bound, numbers.Real):
            raise TypeError(f"slope_bound: expected a number > 0 or None, got {bound!r}")
        if not 0 < bound < math.inf:
            raise ValueError(f"slope_bound: expected a finite number > 0, got {bound}")

    def __call__(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.function(z)

    def slope(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        """φ′(z), elementwise, in the shape of ``z``."""
        if self.derivative is not None:
            return self.derivative(z)
        return jax.jvp(self.function, (z,), (jnp.ones_like(z),))[1]

    def kept_name(self) -> str | None:
        """The name by which a file keeps this activation, ``None`` for one that the library does not have."""
        if isinstance(self.function, Step):
            return self.function.kept_name
        for name, known in {**_BY_NAME, **_FURTHER}.items():
            if self == known:
                return name
        slope = _SLOPES.get(self)
        return None if slope is None else f"leaky_relu({slope.hex()})"

    @staticmethod
    def of_name(name: str) -> "Activation":
        """The very activation that has this ``kept_name``.

        Raises:
            ValueError: no such name.
        """
        if name not in _BY_NAME and name.startswith("leaky_relu(") and name.endswith(")"):
            return leaky_relu(float.fromhex(name.removeprefix("leaky_relu(").removesuffix(")")))
        if name.startswith("spike(") and name.endswith(")"):
            kind, _, slope = name.removeprefix("spike(").removesuffix(")").partition(",")
            return spike(kind, float.fromhex(slope))
        return _named("activation", name)

    @property
    def is_bounded(self) -> bool:
        """Whether this is one of the library's whose values have a bound."""
        return any(
            self is known for known in (logistic, hyperbolic, *map(_FURTHER.get, (*BOUNDED, "lecun_tanh")))
        )

    def __repr__(self) -> str:
        return f"Activation({self.name!r}, slope_bound={self.slope_bound})"


logistic = Activation("logistic", sigmoid, sigmoid_derivative, 0.25)
hyperbolic = Activation("tanh", tanh, tanh_derivative, 1.0)
relu = Activation("relu", _rectify, _step, 1.0)
linear = Activation("linear", _identity, jnp.ones_like, 1.0)


@functools.cache
def leaky_relu(slope: float = 0.01) -> Activation:
    """φ(z) = z for z > 0 and ``slope``·z elsewhere; γ = max(1, |slope|).

    Raises:
        TypeError: ``slope`` is not a real number.
        ValueError: ``slope`` is not finite.
    """
    if isinstance(slope, bool) or not isinstance(slope, numbers.Real):
        raise TypeError(f"slope: expected a real number, got {slope!r}")
    slope = float(slope)
    if not math.isfinite(slope):
        raise ValueError(f"slope: expected a finite number, got {slope}")

    def function(z: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.where(z > 0, z, slope * z)

    def derivative(z: Float[Array, "..."]) -> Float[Array, "..."]:
        return _two_slopes(z, slope)

    made = Activation(f"leaky_relu({slope:g})", function, derivative, max(1.0, abs(slope)))
    _SLOPES[made] = slope
    return made


@functools.cache
def spike(kind: str = "none", slope: float = 1.0) -> Activation:
    """The step H(z) of a spiking neuron, 1 for z > 0 and else 0, its derivative as chosen.

    "none" is its own derivative, 0 wherever it has one. The others are surrogates, by which frameworks train: a
    cell with one has the same states, and the products of its Jacobians are no derivatives of the map. With k the
    slope: "atan" k/2 / (1 + (πkz/2)²); "fast_sigmoid" 1/(1 + k|z|)²; "sigmoid" k σ′(kz); "tanh" sech²(kz); "erfc"
    2 e^(−k²z²)/√π; "triangle" k max(0, 1 − |z|); "circ" k³/(k² + z²)^(3/2); "straight_through" k; "on" k for z > 0
    and else 0; "turned" k for z < 0 and else −k.

    Args:
        kind: one of these.
        slope: k, a finite number.

    Raises:
        TypeError, ValueError: another kind, a slope that is no finite number.
    """
    choice("kind", kind, tuple(KINDS))
    if isinstance(slope, bool) or not isinstance(slope, numbers.Real):
        raise TypeError(f"slope: expected a real number, got {slope!r}")
    if not math.isfinite(slope):
        raise ValueError(f"slope: expected a finite number, got {slope}")
    step = Step(kind, float(slope))
    name = "spike" if kind == "none" else f"spike({kind}, {slope:g})"
    return Activation(name, step, step.derivative)


_SLOPES: dict[Activation, float] = {}
_BY_NAME = {
    "logistic": logistic,
    "sigmoid": logistic,
    "tanh": hyperbolic,
    "relu": relu,
    "leaky_relu": leaky_relu(),
    "linear": linear,
}
_FURTHER = {name: Activation(name, *parts) for name, parts in FUNCTIONS.items()}
_FURTHER["lecun_tanh"] = Activation("lecun_tanh", _lecun, _lecun_derivative, 1.7159 * 0.666)


def _named(argument: str, name: str) -> Activation:
    if name == "hard_sigmoid":
        raise ValueError(
            f"{argument}: expected 'hard_sigmoid_5', clip(z/5 + ½, 0, 1) of Keras 1 and 2, or 'hard_sigmoid_6', "
            "clip(z/6 + ½, 0, 1) of Keras 3, got 'hard_sigmoid'"
        )
    return {**_BY_NAME, **_FURTHER}[choice(argument, name, [*_BY_NAME, *_FURTHER])]


def get(activation: str | Activation | Callable[[Any], Any], *, argument: str = "activation") -> Activation:
    """The activation of that name or with that function; another function becomes one without a slope bound.

    Args:
        activation: a name, an ``Activation`` or a function.
        argument: what messages call it.

    Raises:
        ValueError: an unknown name.
        TypeError: neither a name, an Activation nor a callable.
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        return _named(argument, activation)
    if activation is leaky_relu:
        return leaky_relu()
    for known in (*_BY_NAME.values(), *_FURTHER.values()):
        if activation is known.function:
            return known
    if callable(activation):
        return Activation(getattr(activation, "__name__", "user"), activation)
    raise TypeError(f"{argument}: expected a name, an Activation or a callable, got {activation!r}")
