"""Trajectories that start beside one another: how far a linear statement about gradients carries."""

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import join
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.gradients.jacobians import state_vector
from rnn_dynamics.gradients.steps import segment, step_range
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.results.powers import power_of_ten
from rnn_dynamics.numerics.scaled import from_float
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import real_array


@dataclasses.dataclass(frozen=True)
class StatesAlong(Result):
    """States on a line through x_start, and where they go.

    Attributes:
        amplitudes: a, shape (m,).
        starts: x_start + a v, shape (m, n).
        ends: what they become after stop − start steps, shape (m, n).
        log_growth: ln(‖end − x_stop‖₂/|a|), shape (m,): ln‖∂x_stop/∂x_start v‖ as a → 0; NaN at a = 0 and where an
            end is not finite, −∞ where floats cannot tell the end from x_stop.
    """

    amplitudes: Float[Array, " m"]
    starts: Float[Array, "m n"]
    ends: Float[Array, "m n"]
    log_growth: Float[Array, " m"]

    _axes: ClassVar = {"m": "amplitude", "n": "unit"}
    _coordinates: ClassVar = {"amplitude": "amplitudes"}
    _units: ClassVar = {"log_growth": "nats"}

    def __repr__(self) -> str:
        finite = np.asarray(self.log_growth)[np.isfinite(self.log_growth)]
        grown = f", grown {power_of_ten(finite.min())} to {power_of_ten(finite.max())}" if finite.size else ""
        return f"StatesAlong({len(self.amplitudes)} states{grown})"


def _advance(cell: Any, pair: tuple[Array, Array], inputs: Any) -> tuple[tuple[Array, Array], None]:
    here, there = pair
    return (cell(here, inputs), jax.vmap(lambda x: cell(x, inputs))(there)), None


@lean(static_argnums=0)
def _ends(static: Any, arrays: Any, states: Array, inputs: Any, amplitudes: Array, direction: Array) -> tuple:
    """The line's ends beside the end of its own middle, which is run along with them."""
    starts = states[0][None, :] + amplitudes[:, None] * direction[None, :]
    advance = functools.partial(_advance, join(static, arrays))
    (middle, ends), _ = jax.lax.scan(advance, (states[0], starts), inputs, length=states.shape[0])
    distances = from_float(ends - middle[None, :], event_ndim=1).norm().log()
    zero = amplitudes == 0
    growth = distances - jnp.log(jnp.where(zero, jnp.ones_like(amplitudes), jnp.abs(amplitudes)))
    return starts, ends, jnp.where(zero, jnp.nan, growth)


def states_along(
    trajectory: Trajectory, direction: Any, amplitudes: Any, *, start: int = 0, stop: int | None = None
) -> StatesAlong:
    """States x_start + a v along a direction v, such as ``singular_spectrum(…).right[0]``, and what they become.

    Where ``log_growth`` stays at ln σ the gradient speaks for these states; where it bends, saturation, a fold
    or a basin boundary lies between them.

    Args:
        trajectory: one trajectory from ``rollout``, of at least one step from start to stop.
        direction: v, shape of one state; taken at length 1.
        amplitudes: a, shape (m,).
        start, stop: the steps between; 0 and T by default.

    Returns:
        ``StatesAlong``: the states at start and at stop, shape (m, *state), and the logarithm of what
        the differences grew by, in nats.

    Raises:
        TypeError, ValueError: not a trajectory; steps out of range or none; a direction of another shape, or zero.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, section 2.3, for how far a gradient speaks for
    states beside it.
    """
    first, last = step_range(trajectory, start, stop)
    if first == last or trajectory.states.ndim != 2:
        got = f"{counted(last - first, 'step')} of shape {trajectory.states.shape[1:]}"
        raise ValueError(f"trajectory: expected at least one step of a state (n,), got {got}")
    along = real_array("amplitudes", amplitudes, ndim=1)
    unit = state_vector("direction", direction, trajectory).unit
    static, arrays, states, inputs = segment(trajectory, start, stop)
    along = along.astype(states.dtype)
    length = jnp.sqrt(jnp.sum(jnp.square(unit)))
    if not isinstance(length, Tracer) and not float(length) > 0:
        raise ValueError("direction: expected a vector other than zero")
    return StatesAlong(along, *_ends(static, arrays, states, inputs, along, unit / length))
