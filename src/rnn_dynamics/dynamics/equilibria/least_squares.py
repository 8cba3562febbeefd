"""Levenberg's and Marquardt's method on q = ½‖x − F^p(x)‖² for many states at once, on the host as ``newton``."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from rnn_dynamics.dynamics.equilibria.newton import Equation, identity, norm, solved, times

_LEAST_GAIN = 1e-4  # of the gain that the linear model promises, for a step to be taken


class Damping(NamedTuple):
    """How much of I is added to AᵀA, over its mean diagonal entry, and by what the next refusal raises it."""

    amount: Float[np.ndarray, " m"]
    rise: Float[np.ndarray, " m"]

    @classmethod
    def first(cls, count: int, dtype: np.dtype) -> "Damping":
        """Of starts: short steps, as a root far away is often not the one that Newton's full step jumps to."""
        return cls(np.full(count, 0.1, dtype), np.full(count, 2.0, dtype))

    def of(self, rows: np.ndarray) -> "Damping":
        """That of the rows alone."""
        return Damping(self.amount[rows], self.rise[rows])


class MarquardtStep(NamedTuple):
    """A step's end, the damping of the next, ‖x − F^p(x)‖ at the end, ‖∇q‖ over it and the size of A before."""

    x: Float[np.ndarray, "m n"]
    damping: Damping
    residual: Float[np.ndarray, " m"]
    slope: Float[np.ndarray, " m"]


def _damped(damping: Damping, ratio: Float[np.ndarray, " m"], taken: Bool[np.ndarray, " m"]) -> Damping:
    """The next damping, by how much of the promised gain there was."""
    factor = np.maximum(0.1, 1 - (2 * np.minimum(ratio, 1) - 1) ** 3)
    amount = damping.amount * np.where(taken, factor, damping.rise)
    rise = np.where(taken, 2.0, np.minimum(2 * damping.rise, 2.0**20))
    return Damping(np.clip(amount, 1e-20, 1e20).astype(ratio.dtype), rise.astype(ratio.dtype))


def marquardt_step(equation: Equation, x: Float[np.ndarray, "m n"], damping: Damping) -> MarquardtStep:
    """One step −(AᵀA + μ I)⁻¹ Aᵀ r with r = x − F^p(x) and A = I − ∂F^p/∂x, where q gains by it.

    It needs no second derivatives, and unlike Newton's step it stays short where A is all but singular.

    Reference: K. Madsen, H. B. Nielsen, O. Tingleff, "Methods for non-linear least squares problems", Technical
    University of Denmark 2004, section 3.2.
    """
    with np.errstate(all="ignore"):
        image, jacobian = equation.linearised(x)
        rest, matrix = equation.rest(x, image), identity(x) - jacobian
        transposed = np.swapaxes(matrix, -1, -2)
        gradient, square = times(transposed, rest), np.matmul(transposed, matrix)
        size = np.trace(square, axis1=-2, axis2=-1) / x.shape[-1]
        mu = damping.amount * size
        step = solved(square + mu[:, None, None] * identity(x), -gradient)
        before, after = norm(rest), equation.residual_size(x + step)
        promised = np.sum(step * (mu[:, None] * step - gradient), axis=-1)
        ratio = (before - after) * (before + after) / promised
        taken = (promised > 0) & (ratio > _LEAST_GAIN)
        ratio = np.where(taken, ratio, np.zeros_like(ratio))
        moved = np.where(taken[:, None], x + step, x)
        slope = norm(gradient) / (np.sqrt(size) * before)
        return MarquardtStep(moved, _damped(damping, ratio, taken), np.where(taken, after, before), slope)
