"""Cells with an edge around the nonlinearity: residual, antisymmetric, and the ReLU network from the identity."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.cells.pytree import cell_type, set_fields
from rnn_dynamics.cells.vanilla import ElmanRNN, dot, drive, weights
from rnn_dynamics.numerics.validation import fraction, real_array


@cell_type(static=("activation",))
class ResidualRNN:
    """x⁺ = x + α φ(W x + W_in u + b): the state itself passes on; ∂x⁺/∂x = I + α diag φ′(·) W.

    Args:
        W, b, W_in, activation: as ``ElmanRNN``.
        scale: α in (0, 1].

    Raises:
        TypeError, ValueError: as ``ElmanRNN``; ValueError where α leaves (0, 1].

    Reference: K. He, X. Zhang, S. Ren, J. Sun, CVPR 2016, for networks in depth.
    """

    W: Float[Array, "n n"]
    b: Float[Array, " n"]
    W_in: Float[Array, "n m"] | None
    scale: Float[Array, ""]
    activation: Activation

    def __init__(self, W: Any, b: Any, W_in: Any = None, scale: Any = 1.0, activation: Any = "tanh") -> None:
        fields = weights(W, b, W_in)
        scale = fraction("scale", scale).astype(fields["W"].dtype)
        set_fields(self, **fields, scale=scale, activation=activations.get(activation))

    @property
    def carry(self) -> float:
        """The part of x that passes the branch by: c in ∂x⁺/∂x = c I + A."""
        return 1.0

    def __call__(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        return x + self.branch(x, u)

    def branch(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        """α φ(W x + W_in u + b)."""
        return self.scale * self.activation(dot(self.W, x) + drive(self.b, self.W_in, u))


@cell_type()
class AntisymmetricRNN:
    """x⁺ = x + ε tanh((W − Wᵀ − γ I) x + W_in u + b): a step of an ODE whose Jacobian has eigenvalues near iℝ.

    Args:
        W: shape (n, n); only its antisymmetric part acts.
        b, W_in: as ``ElmanRNN``.
        step: ε in (0, 1].
        damping: γ ≥ 0, against the growth of Euler's method.

    Raises:
        TypeError, ValueError: shapes that do not fit, ε outside (0, 1], γ < 0.

    Reference: B. Chang, M. Chen, E. Haber, E. Chi, ICLR 2019.
    """

    W: Float[Array, "n n"]
    b: Float[Array, " n"]
    W_in: Float[Array, "n m"] | None
    step: Float[Array, ""]
    damping: Float[Array, ""]

    def __init__(self, W: Any, b: Any, W_in: Any = None, step: Any = 0.1, damping: Any = 0.0) -> None:
        fields = weights(W, b, W_in)
        dtype = fields["W"].dtype
        damping = real_array("damping", damping, shape=())
        if damping < 0:
            raise ValueError(f"damping: expected a number ≥ 0, got {float(damping)}")
        set_fields(self, **fields, step=fraction("step", step).astype(dtype), damping=damping.astype(dtype))

    @property
    def carry(self) -> float:
        """The part of x that passes the branch by: c in ∂x⁺/∂x = c I + A."""
        return 1.0

    def __call__(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        return x + self.branch(x, u)

    def branch(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        """ε tanh((W − Wᵀ − γ I) x + W_in u + b)."""
        turned = dot(self.W, x) - dot(self.W.T, x) - self.damping * x
        return self.step * activations.tanh(turned + drive(self.b, self.W_in, u))


def irnn(b: Any, W_in: Any = None) -> ElmanRNN:
    """The ReLU network that starts as the identity: W = I, φ = ReLU.

    Args:
        b: bias, shape (n,).
        W_in: input weights, shape (n, inputs), or ``None``.

    Returns:
        An ``ElmanRNN``.

    Raises:
        TypeError, ValueError: as ``ElmanRNN``.

    Reference: Q. Le, N. Jaitly, G. Hinton, arXiv 1504.00941.
    """
    b = real_array("b", b, ndim=1)
    return ElmanRNN(jnp.eye(b.shape[0], dtype=b.dtype), b, W_in, activation="relu")
