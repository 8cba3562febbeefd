"""Finite ratios Δx_T/Δx₀ and Δx_T/Δb, which are not the derivatives."""

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from rnn_dynamics.cells.activations import sigmoid
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.validation import broadcast_arrays, check_fraction, count


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FiniteRatios(Result):
    """Ratios of differences after T steps.

    Attributes:
        initial: (x_T(x₀ + Δ) − x_T(x₀ − Δ)) / 2Δ.
        bias: (x_T(b + Δ) − x_T(b − Δ)) / 2Δ.
    """

    initial: Float[Array, "..."]
    bias: Float[Array, "..."]

    _axes: ClassVar = {"...": "grid"}


def _final(w: Array, b: Array, x0: Array, epsilon: Array, steps: Array) -> Array:
    def step(_: Array, x: Array) -> Array:
        return (1 - epsilon) * x + epsilon * sigmoid(w * x + b)

    return jax.lax.fori_loop(0, steps, step, x0)


@jax.jit
def _ratios(
    w: Array, b: Array, x0: Array, dx0: Array, db: Array, epsilon: Array, steps: Array
) -> FiniteRatios:
    run = functools.partial(_final, epsilon=epsilon, steps=steps)
    up, down = x0 + dx0, x0 - dx0
    initial = (run(w, b, up) - run(w, b, down)) / (up - down)
    more, less = b + db, b - db
    return FiniteRatios(initial, (run(w, more, x0) - run(w, less, x0)) / (more - less))


def finite_ratios(
    w: Any, b: Any, x0: Any, steps: int, *, dx0: Any = 1e-3, db: Any = 1e-3, epsilon: Any = 1.0
) -> FiniteRatios:
    """Δx_T/Δx₀ and Δx_T/Δb over differences of a given size, centred.

    Across the separatrix the ratio stays near 1/(2Δ) for every T, while the derivative goes to 0: "the gradient
    is large at the boundary" holds for the ratio, or for the derivative at a finite T.

    Args:
        w, b, x0: weight, bias, start; shapes broadcast.
        steps: T ≥ 0; a new T compiles nothing.
        dx0, db: half differences Δ > 0.
        epsilon: Euler step in (0, 1].

    Returns:
        ``FiniteRatios`` of the broadcast shape.

    Raises:
        TypeError, ValueError: not finite real numbers, Δ ≤ 0, steps < 0 or not an integer, ε outside (0, 1].

    Reference: K. Doya, "Bifurcations in the learning of recurrent neural networks", ISCAS 1992.
    """
    check_fraction("epsilon", epsilon)
    steps = count("steps", steps)
    w, b, x0, dx0, db, epsilon = broadcast_arrays(w=w, b=b, x0=x0, dx0=dx0, db=db, epsilon=epsilon)
    for name, value in (("dx0", dx0), ("db", db)):
        if not isinstance(value, Tracer) and not (np.asarray(value) > 0).all():
            raise ValueError(f"{name}: expected numbers > 0, got {np.min(np.asarray(value)):g}")
    return _ratios(w, b, x0, dx0, db, epsilon, np.int32(steps))
