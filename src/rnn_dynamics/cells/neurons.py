"""Single neurons: state shape ``()``, parameters of any shape under ``vmap``."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells.activations import sigmoid, sigmoid_derivative
from rnn_dynamics.cells.declared import RecurrentStructure
from rnn_dynamics.cells.pytree import cell_type, set_fields
from rnn_dynamics.numerics.validation import check_fraction, real_arrays


def _scalars(**named: Any) -> tuple[jax.Array, ...]:
    arrays = real_arrays(**named)
    for name, array in zip(named, arrays, strict=True):
        if array.ndim:
            raise ValueError(
                f"{name}: expected a scalar (batch neurons with jax.vmap), got shape {array.shape}"
            )
    return arrays


def _turning_point(w: Float[Array, ""]) -> Float[Array, ""]:
    """z ≥ 0 where w σ′(z) = 1, 2 artanh √(1 − 4/w); 0 for w ≤ 4, where w σ′ stays below 1.

    From √(1 − 4/w) = s = 0.9 on as ln(w (1 + s)²/4), the same number without 1 − s.
    """
    safe = jnp.where(w > 4, w, jnp.full_like(w, 8))
    s = jnp.sqrt((safe - 4) / safe)
    near = 2 * jnp.arctanh(jnp.minimum(s, jnp.full_like(s, 0.9)))
    z = jnp.where(s < 0.9, near, jnp.log(safe) + 2 * jnp.log((1 + s) / 2))
    return jnp.where(w > 4, z, jnp.zeros_like(z))


def _between(low: Array, high: Array, turns: Float[Array, " 2"]) -> Float[Array, " 4"]:
    """low, the turning points moved into [low, high], high; the outer ends a few ulp further out."""
    margin = 8 * float(jnp.finfo(low.dtype).eps) * (1 + jnp.abs(low) + jnp.abs(high))
    low, high = low - margin, high + margin
    return jnp.concatenate([low[None], jnp.clip(turns, low, high), high[None]])


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
        check_fraction("epsilon", epsilon)
        set_fields(self, w=w, b=b, epsilon=epsilon, w_in=w_in)

    def __call__(self, x: Float[Array, ""], u: Any = None) -> Float[Array, ""]:
        step = (1 - self.epsilon) * x + self.epsilon * sigmoid(self.w * x + self.b)
        return step if u is None else step + self.epsilon * (self.w_in * jnp.asarray(u, self.w_in.dtype))

    def jacobian(self, x: Float[Array, ""], u: Any = None) -> Float[Array, ""]:
        """∂x⁺/∂x = (1−ε) + ε w σ′(w x + b)."""
        return (1 - self.epsilon) + self.epsilon * self.w * sigmoid_derivative(self.w * x + self.b)

    def monotone_pieces(self, u: Any = None) -> Float[Array, " 4"]:
        """Ends of the three intervals on each of which x − F(x) is monotone; every equilibrium lies in one.

        F(x) = x has the solutions of x = σ(w x + b) + w′ u, in [w′ u, w′ u + 1]; x − F(x) turns where
        w σ′(w x + b) = 1. Without turning points there the inner ends fall on the outer ones.
        """
        centre = jnp.zeros_like(self.w) if u is None else self.w_in * jnp.asarray(u, self.w_in.dtype)
        z, w = _turning_point(self.w), jnp.where(self.w > 4, self.w, jnp.ones_like(self.w))
        turns = jnp.where(self.w > 4, jnp.stack([(-z - self.b) / w, (z - self.b) / w]), centre)
        return _between(centre, centre + 1, turns)

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

    def monotone_pieces(self, u: Any = None) -> Float[Array, " 4"]:
        """Ends of the three intervals on each of which x − F(x) is monotone; every equilibrium lies in one.

        F(x) lies between c and c + w, c = b + w′ u; x − F(x) turns where w σ′(x) = 1. Without turning points
        there the inner ends fall on the outer ones.
        """
        shift = jnp.zeros_like(self.b) if u is None else self.w_in * jnp.asarray(u, self.w_in.dtype)
        one, other = self.b + shift, self.b + shift + self.w
        low, high = jnp.minimum(one, other), jnp.maximum(one, other)
        z = _turning_point(self.w)
        return _between(low, high, jnp.where(self.w > 4, jnp.stack([-z, z]), low))

    def structure(self) -> RecurrentStructure:
        """W = [[w]], γ = ¼, no leak."""
        return RecurrentStructure(self.w.reshape(1, 1), 0.25)
