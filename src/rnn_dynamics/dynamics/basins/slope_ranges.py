"""The step Jacobian of a built-in cell over a whole ellipsoid of states: base + left · diag(slopes) · right.

The slopes φ′(z_i) lie between bounds, as z_i varies by at most r ‖L⁻ᵀ right_i‖ over {x : ‖L (x − x*)‖ ≤ r}.
"""

import dataclasses
from typing import Any

import numpy as np

from rnn_dynamics.cells import DoyaNeuron, ElmanRNN, LeakyRNN, PascanuNeuron, PreActivationRNN, activations

_BELLS = (activations.logistic, activations.hyperbolic)


@dataclasses.dataclass(frozen=True)
class SlopeForm:
    """∂F/∂x = base + left · diag φ′(z) · right with z = right · x + shift; all on the host in float64."""

    base: np.ndarray
    left: np.ndarray
    right: np.ndarray
    shift: np.ndarray
    activation: Any


def _double(value: Any) -> np.ndarray:
    return np.asarray(value, np.float64)


def _drive(cell: Any, u: Any) -> np.ndarray:
    bias = _double(cell.b)
    if u is None or cell.W_in is None:
        return bias
    return bias + np.matmul(_double(cell.W_in), _double(u))


def slope_form(cell: Any, u: Any) -> SlopeForm | None:
    """The form of a built-in cell whose slopes have known ranges; ``None`` for any other cell."""
    if type(cell) is DoyaNeuron:
        leak, weight = _double(cell.epsilon).reshape(1, 1), _double(cell.w).reshape(1, 1)
        return SlopeForm(1 - leak, leak, weight, _double(cell.b).reshape(1), activations.logistic)
    if type(cell) is PascanuNeuron:
        one = np.ones((1, 1))
        return SlopeForm(0 * one, _double(cell.w).reshape(1, 1), one, np.zeros(1), activations.logistic)
    if type(cell) not in (ElmanRNN, LeakyRNN, PreActivationRNN) or not is_known(cell.activation):
        return None
    weights, identity = _double(cell.W), np.eye(cell.W.shape[0])
    if isinstance(cell, PreActivationRNN):
        return SlopeForm(0 * identity, weights, identity, np.zeros(len(weights)), cell.activation)
    leak = float(cell.leak) if isinstance(cell, LeakyRNN) else 1.0
    return SlopeForm((1 - leak) * identity, leak * identity, weights, _drive(cell, u), cell.activation)


def is_known(activation: Any) -> bool:
    """Whether the range of φ′ over an interval is known; such a φ never decreases."""
    named = (*_BELLS, activations.relu, activations.linear)
    return any(activation is known for known in named) or activation.name.startswith("leaky_relu(")


def _derivative(activation: Any, z: np.ndarray) -> np.ndarray:
    """φ′ of a known activation on the host, in float64 whatever JAX's default is."""
    if activation is activations.logistic:
        tail = np.exp(-np.abs(z))
        return tail / (1 + tail) ** 2
    if activation is activations.hyperbolic:
        tail = np.exp(-2 * np.abs(z))
        return 4 * tail / (1 + tail) ** 2
    if activation is activations.linear:
        return np.ones_like(z)
    below = 0.0 if activation is activations.relu else float(activation.function(-1.0)) / -1.0
    return np.where(z > 0, 1.0, below)


def slope_range(activation: Any, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest φ′ on [low, high].

    Bells (tanh, logistic) have their maximum nearest to 0 and their minimum at the end farther from it; the
    piecewise linear ones take their slopes at the two ends.
    """
    ends = _derivative(activation, low), _derivative(activation, high)
    if any(activation is bell for bell in _BELLS):
        return np.minimum(*ends), _derivative(activation, np.clip(0.0, low, high))
    return np.minimum(*ends), np.maximum(*ends)
