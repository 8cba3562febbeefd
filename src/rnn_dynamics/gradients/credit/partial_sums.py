"""The gradient of a parameter as a sum over lags: temporal contributions and the partial sums S(m)."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.gradients.jacobians import reverse_step, state_vector
from rnn_dynamics.gradients.parameters import immediate_gradient, is_parameter, parameter_count
from rnn_dynamics.gradients.steps import along, step_range
from rnn_dynamics.numerics import padding
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.padding import scan
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.scaled import Scaled, add


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PartialSums(Result):
    """∂E_T/∂θ = Σ_k (∂⁺x_k/∂θ)ᵀ (∂x_T/∂x_k)ᵀ ∂E/∂x_T, split by lag m = T − k + 1 = 1 … T.

    Attributes:
        contributions: scaled vectors over the flat parameters, shape (T, p); row m−1 is the share of step
            k = T − m + 1.
        sums: S(m), the sum of the last m contributions, shape (T, p); the last row is the gradient.
        parameters: names of the flat parameters, in their order.
    """

    contributions: Scaled
    sums: Scaled
    parameters: tuple[str, ...] = dataclasses.field(metadata={"static": True})

    @property
    def lags(self) -> Array:
        """m = 1 … T."""
        return jax.device_put(np.arange(1, len(self.sums) + 1))

    def __repr__(self) -> str:
        return f"PartialSums(lags 1 … {len(self.sums)} of {', '.join(self.parameters[:8])})"


def _share(static: Any, arrays: Any, cotangent: Scaled, step: tuple) -> tuple[Scaled, Scaled]:
    x, u = step
    gradient = immediate_gradient(static, arrays, x, u, cotangent.unit)
    earlier, _ = reverse_step(exact_slopes(join(static, arrays)), cotangent, step)
    return earlier, Scaled(gradient, cotangent.exponent, 1).normalize()


def _extend(total: Scaled, share: Scaled) -> tuple[Scaled, Scaled]:
    total = add(total, share)
    return total, total


@lean(static_argnums=0)
def _partial_sums(
    static: Any, arrays: Any, states: Array, inputs: Any, last: Scaled, inside: Array | None = None
) -> tuple[Scaled, Scaled]:
    """By lag, so that what a mask leaves out comes last."""
    _, shares = scan(functools.partial(_share, static, arrays), last, (states, inputs), inside, reverse=True)
    shares = jax.tree_util.tree_map(lambda leaf: leaf[::-1], shares)
    zero = Scaled(jnp.zeros(shares.shape[1:], shares.dtype), jnp.zeros((), jnp.int32), 1)
    return shares, jax.lax.scan(_extend, zero, shares)[1]


def _names(cell: Any) -> tuple[str, ...]:
    names: list[str] = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(cell)[0]:
        if is_parameter(leaf):
            name = jax.tree_util.keystr(path).replace("[<flat index 0>]", "args").lstrip(".")
            names += [f"{name}[{i}]" for i in range(jnp.size(leaf))] if jnp.ndim(leaf) else [name]
    return tuple(names)


def partial_sums(trajectory: Trajectory, cotangent: Any) -> PartialSums:
    """The temporal contributions to a gradient and their partial sums S(m) over the last m lags.

    Whether S(m) converges as m grows is Bengio's question in three cases: contributions that vanish, explode,
    or do neither. That they vanish is necessary for convergence, not sufficient; exponential decay suffices.

    Args:
        trajectory: from ``rollout``; the floating arrays of its cell are the parameters.
        cotangent: ∂E/∂x_T, the shape of one state.

    Returns:
        ``PartialSums``; memory O(T p) for p parameters.

    Raises:
        TypeError, ValueError: not a trajectory, a cotangent of another shape, a cell without parameters.

    Reference: Pascanu, Mikolov and Bengio, arXiv 1211.5063, equations 3 to 5.
    """
    _, steps = step_range(trajectory, 0, None)
    last = state_vector("cotangent", cotangent, trajectory)
    parameter_count(split(trajectory.cell)[1])
    shares, sums = along(_partial_sums, trajectory, 0, None, last, cut=False)
    if len(shares) > steps:
        shares, sums = padding.cut((shares, sums), 0, steps)
    return PartialSums(shares, sums, _names(trajectory.cell))
