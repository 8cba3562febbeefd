"""Single neurons: state shape ``()``, parameters of any shape under ``vmap``."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.activations import sigmoid, sigmoid_derivative
from rnn_dynamics.cells.structure import RecurrentStructure, cell_type, set_fields
from rnn_dynamics.validation import fraction, real_arrays

__all__ = ["DoyaNeuron", "PascanuNeuron"]


def _scalars(**named: Any) -> tuple[jax.Array, ...]:
    arrays = real_arrays(**named)
    for name, array in zip(named, arrays, strict=True):
        if array.ndim:
            raise ValueError(
                f"{name}: expected a scalar (batch neurons with jax.vmap), got shape {array.shape}"
            )
    return arrays


@cell_type()
class DoyaNeuron:
    """Doya's neuron, x⁺ = (1−ε) x + ε σ(w x + b) + ε w′ u, with σ the logistic sigmoid.

    Its step Jacobian is (1−ε) + ε w σ′(w x + b). With ε → 0 and time in units of ε it becomes the flow
    dx/dt = −x + σ(w x + b) + w′ u (``doya.flow``). With ε = 1, y = w x + b is the state of ``PascanuNeuron``.

    Args:
        w: weight of the neuron on itself.
        b: bias.
        epsilon: Euler step ε in (0, 1].
        w_in: weight w′ of the input u, which may be ``None`` (no input).

    Raises:
        TypeError, ValueError: an argument is no finite real scalar, or ε leaves (0, 1].

    Reference: K. Doya, "Bifurcations in the learning of recurrent neural networks", ISCAS 1992.
    """

    w: Float[Array, ""]
    b: Float[Array, ""]
    epsilon: Float[Array, ""]
    w_in: Float[Array, ""]

    def __init__(self, w: Any, b: Any, epsilon: Any = 1.0, w_in: Any = 0.0) -> None:
        w, b, epsilon, w_in = _scalars(w=w, b=b, epsilon=epsilon, w_in=w_in)
        fraction("epsilon", epsilon)
        set_fields(self, w=w, b=b, epsilon=epsilon, w_in=w_in)

    def __call__(self, x: Float[Array, ""], u: Any = None) -> Float[Array, ""]:
        step = (1 - self.epsilon) * x + self.epsilon * sigmoid(self.w * x + self.b)
        return step if u is None else step + self.epsilon * (self.w_in * jnp.asarray(u, self.w_in.dtype))

    def jacobian(self, x: Float[Array, ""], u: Any = None) -> Float[Array, ""]:
        """∂x⁺/∂x = (1−ε) + ε w σ′(w x + b)."""
        return (1 - self.epsilon) + self.epsilon * self.w * sigmoid_derivative(self.w * x + self.b)

    def structure(self) -> RecurrentStructure:
        """W = [[w]], γ = ¼, leak ε."""
        return RecurrentStructure(self.w.reshape(1, 1), 0.25, self.epsilon)


@cell_type()
class PascanuNeuron:
    """Pascanu's neuron, x⁺ = w σ(x) + b + w′ u, with σ the logistic sigmoid.

    Its step Jacobian is w σ′(x). Without input, x ↦ σ(x) takes it to ``DoyaNeuron`` with ε = 1.

    Args:
        w: weight of the neuron on itself.
        b: bias.
        w_in: weight w′ of the input u, which may be ``None`` (no input).

    Raises:
        TypeError, ValueError: an argument is no finite real scalar.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks",
    ICML 2013, section 2.3 and figure 6.
    """

    w: Float[Array, ""]
    b: Float[Array, ""]
    w_in: Float[Array, ""]

    def __init__(self, w: Any, b: Any, w_in: Any = 0.0) -> None:
        w, b, w_in = _scalars(w=w, b=b, w_in=w_in)
        set_fields(self, w=w, b=b, w_in=w_in)

    def __call__(self, x: Float[Array, ""], u: Any = None) -> Float[Array, ""]:
        step = self.w * sigmoid(x) + self.b
        return step if u is None else step + self.w_in * jnp.asarray(u, self.w_in.dtype)

    def jacobian(self, x: Float[Array, ""], u: Any = None) -> Float[Array, ""]:
        """∂x⁺/∂x = w σ′(x)."""
        return self.w * sigmoid_derivative(x)

    def structure(self) -> RecurrentStructure:
        """W = [[w]], γ = ¼, no leak."""
        return RecurrentStructure(self.w.reshape(1, 1), 0.25)
