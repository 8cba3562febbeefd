"""The ε → 0 limit of the neuron, dx/dt = −x + σ(w x + b) + w′ u, with its sensitivity, through Diffrax."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from rnn_dynamics.cells.activations import sigmoid, sigmoid_derivative
from rnn_dynamics.numerics import packages
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.validation import real_arrays


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Flow(Result):
    """The flow at time t.

    Attributes:
        state: x(t).
        initial: ∂x(t)/∂x(0).
    """

    state: Float[Array, ""]
    initial: Float[Array, ""]


def _field(_: Any, state: tuple[Array, Array], arguments: tuple[Array, ...]) -> tuple[Array, Array]:
    x, tangent = state
    w, b, drive = arguments
    z = w * x + b
    return sigmoid(z) - x + drive, (w * sigmoid_derivative(z) - 1) * tangent


def flow(w: Any, b: Any, x0: Any, time: Any, *, w_in: Any = 0.0, u: Any = 0.0) -> Flow:
    """x(t) and ∂x(t)/∂x(0) of dx/dt = −x + σ(w x + b) + w′ u, with a constant input u.

    The map with Euler step ε reaches it with order 1 at fixed ε T = t. Scalars; batch with ``jax.vmap``.

    Args:
        w, b: weight and bias.
        x0: start.
        time: t ≥ 0, in units of the time constant.
        w_in, u: input weight w′ and input.

    Returns:
        ``Flow``; solved by Diffrax's Dopri8 at a relative tolerance near rounding.

    Raises:
        ImportError: Diffrax is not installed.
        TypeError, ValueError: not finite real scalars, or time < 0.

    Reference: K. Doya, ISCAS 1992; P. Kidger, arXiv 2202.02435, for the solver.
    """
    w, b, x0, time, w_in, u = real_arrays(w=w, b=b, x0=x0, time=time, w_in=w_in, u=u)
    for name, value in (("w", w), ("b", b), ("x0", x0), ("time", time), ("w_in", w_in), ("u", u)):
        if value.ndim:
            raise ValueError(f"{name}: expected a scalar (batch with jax.vmap), got shape {value.shape}")
    if not isinstance(time, Tracer) and time < 0:
        raise ValueError(f"time: expected a number ≥ 0, got {float(time):g}")
    try:
        import diffrax
    except ImportError as error:
        raise packages.missing("doya.flow", "diffrax") from error
    tolerance = 16 * float(jnp.finfo(x0.dtype).eps)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(_field),
        diffrax.Dopri8(),
        t0=jnp.zeros_like(time),
        t1=time,
        dt0=None,
        y0=(x0, jnp.ones_like(x0)),
        args=(w, b, w_in * u),
        stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
        max_steps=65536,
    )
    state, initial = solution.ys  # type: ignore[misc]
    return Flow(state[0], initial[0])
