"""Schmidhuber's history compressor: a second network that sees only what a first one did not predict."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.cells.pytree import cell_type, set_fields
from rnn_dynamics.cells.vanilla import dot, drive, weights
from rnn_dynamics.numerics.reductions import largest
from rnn_dynamics.numerics.validation import positive, real_array


@cell_type(static=("activation", "tolerance"))
class HistoryCompressor:
    """Level 1, g⁺ = φ(A g + A_in u + a), predicts û = P g + p; level 2 takes a step where û was wrong.

        h⁺ = φ(W h + W_in u + b) where max_i |u_i − û_i| > tolerance, else h⁺ = h.

    The state is (h, g). Level 2 sees nothing of level 1 but when to step, a choice without a gradient, so that the
    error of a task that reads h reaches level 2 alone, and that of the predictions level 1 alone. The error passes
    the steps that were predicted unchanged: the longer the predictable stretches, the fewer steps it crosses. What
    is read of h does not change over predicted inputs. The time between two steps of level 2, which the published
    level 2 may be told, is not.

    Args:
        W, b, W_in, activation: of level 2, as ``ElmanRNN``.
        below, below_bias, below_in: A, a and A_in of level 1, of as many units.
        predictor, mean: P, shape (inputs, n), and p, shape (inputs,).
        tolerance: the largest error of a predicted input.

    Raises:
        TypeError, ValueError: as ``ElmanRNN``; shapes that do not fit, no input weights, a tolerance ≤ 0.

    Reference: J. Schmidhuber, "Learning complex, extended sequences using the principle of history compression",
    Neural Computation 4, 234 (1992).
    """

    W: Float[Array, "n n"]
    b: Float[Array, " n"]
    W_in: Float[Array, "n m"]
    below: Float[Array, "n n"]
    below_bias: Float[Array, " n"]
    below_in: Float[Array, "n m"]
    predictor: Float[Array, "m n"]
    mean: Float[Array, " m"]
    activation: Activation
    tolerance: float

    def __init__(
        self,
        W: Any,
        b: Any,
        W_in: Any,
        *,
        below: Any,
        below_bias: Any,
        below_in: Any,
        predictor: Any,
        mean: Any,
        activation: Any = "tanh",
        tolerance: float = 0.5,
    ) -> None:
        upper, lower = weights(W, b, W_in), weights(below, below_bias, below_in)
        if upper["W_in"] is None or lower["W_in"] is None:
            raise ValueError("W_in, below_in: expected input weights, as inputs are predicted, got None")
        for name, there, here in (
            ("below", lower["W"], upper["W"]),
            ("below_in", lower["W_in"], upper["W_in"]),
        ):
            if there.shape != here.shape:
                raise ValueError(f"{name}: expected shape {here.shape}, got shape {there.shape}")
        units, width = upper["W_in"].shape
        dtype = upper["W"].dtype
        set_fields(
            self,
            **upper,
            below=lower["W"].astype(dtype),
            below_bias=lower["b"].astype(dtype),
            below_in=lower["W_in"].astype(dtype),
            predictor=real_array("predictor", predictor, shape=(width, units)).astype(dtype),
            mean=real_array("mean", mean, shape=(width,)).astype(dtype),
            activation=activations.get(activation),
            tolerance=positive("tolerance", tolerance),
        )

    @property
    def parts(self) -> dict[str, slice]:
        """Where level 2, "hidden", and level 1, "below", lie in the state."""
        n = self.W.shape[-1]
        return {"hidden": slice(0, n), "below": slice(n, 2 * n)}

    def predicted(self, x: Float[Array, " 2*n"]) -> Float[Array, " m"]:
        """Return û, what level 1 expects as the next input."""
        return dot(self.predictor, x[self.parts["below"]]) + self.mean

    def steps_above(self, x: Float[Array, " 2*n"], u: Float[Array, " m"]) -> Bool[Array, ""]:
        """Whether level 2 takes a step: u was not predicted."""
        wrong = largest(jnp.asarray(u, self.mean.dtype) - self.predicted(x))
        return jax.lax.stop_gradient(wrong) > self.tolerance

    def prediction_loss(self, x: Float[Array, " 2*n"], u: Float[Array, " m"]) -> Float[Array, ""]:
        """Return |u − û|²/m."""
        return jnp.mean(jnp.square(jnp.asarray(u, self.mean.dtype) - self.predicted(x)))

    def __call__(self, x: Float[Array, " 2*n"], u: Float[Array, " m"]) -> Float[Array, " 2*n"]:
        h, g = x[self.parts["hidden"]], x[self.parts["below"]]
        above = self.activation(dot(self.W, h) + drive(self.b, self.W_in, u))
        below = self.activation(dot(self.below, g) + drive(self.below_bias, self.below_in, u))
        return jnp.concatenate([jnp.where(self.steps_above(x, u), above, h), below])
