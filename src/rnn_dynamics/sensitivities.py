"""The state at the end of an orbit and its derivatives, each with a running bound on its rounding error."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from rnn_dynamics.scaled import Scaled
from rnn_dynamics.status import Status

__all__ = ["Sensitivities", "resolution_limit"]


def resolution_limit(dtype: Any) -> float:
    """The largest error of a logarithm, relative to max(1, |ln|), that counts as resolved: 9.5 √u.

    u is the unit roundoff; 1e-7 in float64, 2.3e-3 in float32.
    """
    return 9.5 * math.sqrt(float(jnp.finfo(dtype).eps) / 2)


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        "state",
        "initial",
        "parameters",
        "state_error",
        "log_error",
        "parameter_log_errors",
        "status",
    ],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class Sensitivities:
    """x_T with its derivatives by x_0 and by the parameters, and what rounding may have done to them.

    Attributes:
        state: x_T.
        initial: ∂x_T/∂x_0.
        parameters: ∂x_T/∂θ, one entry a parameter, in the order of the parameters.
        state_error: bound on |error of x_T|.
        log_error: bound on the error of ln|∂x_T/∂x_0|; inf where the error may be as large as the value, 0
            where the value is an exact zero.
        parameter_log_errors: the same bound for every parameter's derivative.
        status: RESOLVED; UNRESOLVED where the log error of any of the derivatives passes
            ``resolution_limit(dtype)·max(1, |ln|)`` (the log errors tell which one); DIVERGED where x_T is
            not finite.

    The bounds are of first order in the unit roundoff, with a guard for the second order. They bound the
    rounding of this computation on the floats that were given, not the uncertainty of those floats.
    """

    state: Float[Array, "..."]
    initial: Scaled
    parameters: tuple[Scaled, ...]
    state_error: Float[Array, "..."]
    log_error: Float[Array, "..."]
    parameter_log_errors: tuple[Float[Array, "..."], ...]
    status: Int[Array, "..."]

    def __repr__(self) -> str:
        shape, dtype = self.state.shape, self.state.dtype
        text = f"Sensitivities(shape={shape}, dtype={dtype}, parameters={len(self.parameters)}"
        if isinstance(self.status, Tracer):
            return text + ", traced)"
        count = int(jnp.sum(self.status == Status.RESOLVED))
        return text + f", resolved={count} of {self.status.size})"
