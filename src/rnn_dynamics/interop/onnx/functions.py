"""Activations of ONNX's recurrent nodes, with α, β and the clipping of what they are taken of."""

import functools
import math

import jax
import jax.numpy as jnp

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.cells.further import Ramp, Slope

_NAMES = {
    "elu": "elu",
    "identity": "linear",
    "relu": "relu",
    "sigmoid": "sigmoid",
    "softplus": "softplus",
    "softsign": "softsign",
    "tanh": "tanh",
}


@functools.cache
def function_of(name: str, parameters: tuple[float, ...] = (), clip: float | None = None) -> Activation:
    """The activation of that name; the same one for the same arguments.

    Args:
        name: of ONNX, in small letters.
        parameters: α and β, of those that have some.
        clip: what is above it or below its negative is cut off before the function is taken.

    Raises:
        ValueError: numbers with which it is no function of the units.
    """
    found = _unclipped(name, parameters)
    if clip is None:
        return found
    inside = Ramp(1.0, 0.0, -clip, clip, -clip, clip)
    slope = Slope(inside)
    return Activation(
        f"{found.name} of what is clipped at {clip:g}",
        lambda z: found.function(inside(z)),
        lambda z: jnp.where(slope(z) > 0, found.slope(inside(z)), slope(z)),
        found.slope_bound,
    )


def _unclipped(name: str, parameters: tuple[float, ...]) -> Activation:
    if not all(map(math.isfinite, parameters)):
        raise ValueError(f"source: expected finite activation_alpha and activation_beta, got {parameters}")
    alpha, beta = (*parameters, 0.0, 0.0)[:2]
    if name == "leakyrelu":
        return activations.leaky_relu(alpha)
    if name == "hardsigmoid":
        return _hard_sigmoid(alpha, beta)
    if name == "affine":
        bound = abs(alpha) or None
        return Activation(
            f"{alpha:g} z + {beta:g}", lambda z: alpha * z + beta, lambda z: jnp.full_like(z, alpha), bound
        )
    if name == "scaledtanh":
        return Activation(
            f"{alpha:g} tanh({beta:g} z)",
            lambda z: alpha * activations.tanh(beta * z),
            lambda z: alpha * beta * activations.tanh_derivative(beta * z),
            abs(alpha * beta) or None,
        )
    if name == "thresholdedrelu":
        return _thresholded(alpha)
    if name == "elu" and alpha != 1.0:
        return _elu(alpha)
    return activations.get(_NAMES[name])


def _hard_sigmoid(slope: float, shift: float) -> Activation:
    """clip(slope z + shift, 0, 1)."""
    if slope == 0.2 and shift == 0.5:
        return activations.get("hard_sigmoid_5")
    if slope <= 0:
        raise ValueError(f"source: expected activation_alpha > 0 of HardSigmoid, got {slope}")
    ramp = Ramp(slope, shift, -shift / slope, (1 - shift) / slope, 0.0, 1.0)
    return Activation(f"hard_sigmoid({slope:g}, {shift:g})", ramp, Slope(ramp), slope)


def _thresholded(threshold: float) -> Activation:
    """z above the threshold, 0 elsewhere."""
    if threshold == 0:
        return activations.get("relu")
    return Activation(
        f"thresholded_relu({threshold:g})",
        lambda z: jnp.where(z > threshold, z, jnp.where(jnp.isnan(z), z, jnp.zeros_like(z))),
        lambda z: jnp.where(z > threshold, jnp.ones_like(z), jnp.where(jnp.isnan(z), z, jnp.zeros_like(z))),
    )


def _elu(alpha: float) -> Activation:
    return Activation(
        f"elu({alpha:g})",
        lambda z: jax.nn.elu(z, alpha),
        lambda z: jnp.where(z > 0, jnp.ones_like(z), alpha * jnp.exp(jnp.minimum(z, 0))),
        max(1.0, abs(alpha)),
    )
