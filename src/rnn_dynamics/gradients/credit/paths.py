"""A residual network's gradient by path length: which share went through how many branches."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from rnn_dynamics.cells.pytree import join
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.gradients.credit.by_lag import direct_derivatives
from rnn_dynamics.gradients.steps import segment, step_range
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.scaled import Scaled, add, from_float
from rnn_dynamics.numerics.validation import count, flag


@dataclasses.dataclass(frozen=True, repr=False)
class PathLengths(Result):
    """∂E/∂x_0 = Σ_L g_L, g_L the sum over all paths that take the branch in L steps and are carried in the others.

    Attributes:
        terms: g_L, L = 0 … M, scaled vectors, shape (M+1, n).
        shares: ⟨g_L, g⟩/‖g‖² with g = Σ g_L, shape (M+1,): they add up to 1 and are negative where a length works
            against the whole; NaN where g is 0.
        log_norms: ln‖g_L‖, shape (M+1,).
    """

    terms: Scaled
    shares: Float[Array, " lengths"]
    log_norms: Float[Array, " lengths"]

    _axes: ClassVar = {"lengths": "length"}
    _units: ClassVar = {"log_norms": "nats"}

    @property
    def lengths(self) -> Int[np.ndarray, " lengths"]:
        """L = 0 … M."""
        return np.arange(self.log_norms.shape[0])

    @property
    def mean_length(self) -> float:
        """Σ L ‖g_L‖ / Σ ‖g_L‖; NaN where all are 0."""
        logs = np.asarray(self.log_norms, float)
        if not (logs > -np.inf).any():
            return float("nan")
        sizes = np.exp(logs - logs.max())
        return float(np.sum(self.lengths * sizes) / np.sum(sizes))

    def __repr__(self) -> str:
        return f"PathLengths(0 … {len(self.lengths) - 1} branches, mean {self.mean_length:.3g})"


@lean(static_argnums=0, static_argnames="longest")
def _terms(static: Any, arrays: Any, states: Array, inputs: Any, direct: Array, *, longest: int) -> Scaled:
    cell = join(static, arrays)
    # Closed over by a static part alone, so that saturated slopes are right inside the branch too.
    branch = exact_slopes(lambda x, u: cell.branch(x, u))
    carry = jnp.asarray(cell.carry, states.dtype)

    def enter(terms: Scaled, own: Scaled) -> Scaled:
        """A loss that looks at this state begins paths of no branch yet."""
        first = add(terms[0], own)
        return Scaled(
            jnp.concatenate([first.unit[None], terms.unit[1:]]),
            jnp.concatenate([first.exponent[None], terms.exponent[1:]]),
            1,
        )

    def back(terms: Scaled, at: tuple) -> tuple[Scaled, None]:
        x, u, own = at
        pull = jax.vjp(lambda state: branch(state, u), x)[1]
        pulled = jax.vmap(lambda row: pull(row)[0])(terms.unit)
        through = Scaled(jnp.roll(pulled, 1, axis=0).at[0].set(0), jnp.roll(terms.exponent, 1), 1)
        carried = Scaled(carry * terms.unit, terms.exponent, 1).normalize()
        return enter(add(carried, through.normalize()), own), None

    rows = from_float(direct, event_ndim=1)
    nothing = Scaled(
        jnp.zeros((longest + 1, direct.shape[1]), direct.dtype), jnp.zeros(longest + 1, jnp.int32), 1
    )
    return jax.lax.scan(back, enter(nothing, rows[-1]), (states, inputs, rows[:-1]), reverse=True)[0]


def path_lengths(
    trajectory: Trajectory, loss: Any, *, every_step: bool = False, longest: int | None = None
) -> PathLengths:
    """The gradient ∂E/∂x_0 by the number of branches its paths take: Π(c I + A_i) by powers of A.

    Args:
        trajectory: of a cell x⁺ = c x + branch(x, u): ``ResidualRNN``, ``AntisymmetricRNN``, ``LeakyRNN``, in depth
            ``ResidualBlock``, or any with ``carry`` (c, a number) and ``branch``.
        loss: E(x_T), or with ``every_step`` E(x_1 … x_T).
        every_step: whether the loss looks at all states.
        longest: M; T by default. The work is that of M·T steps.

    Returns:
        ``PathLengths``.

    Raises:
        TypeError, ValueError: not a trajectory, or without steps; a cell without carry and branch; a loss that is
            no function or gives no number; longest out of range.

    Reference: A. Veit, M. Wilber, S. Belongie, "Residual networks behave like ensembles of relatively shallow
    networks", NeurIPS 2016.
    """
    _, steps = step_range(trajectory, 0, None)
    cell = trajectory.cell
    if not (hasattr(cell, "carry") and hasattr(cell, "branch")):
        raise TypeError(f"trajectory: expected a cell with carry and branch, got {type(cell).__name__}")
    if not steps:
        raise ValueError("trajectory: expected at least one step, got none")
    longest = steps if longest is None else count("longest", longest, minimum=0, maximum=steps)
    direct = direct_derivatives(trajectory, loss, flag("every_step", every_step))
    terms = _terms(*segment(trajectory, 0, None), direct, longest=longest)
    return PathLengths(terms, *_shares(terms))


@lean
def _shares(terms: Scaled) -> tuple[Array, Array]:
    whole = jax.lax.fori_loop(
        1, terms.unit.shape[0], lambda i, total: add(total, _at(terms, i)), _at(terms, 0)
    )
    size = jnp.sum(jnp.square(whole.unit))
    along = Scaled(jnp.sum(terms.unit * whole.unit[None], axis=1), terms.exponent - whole.exponent)
    return along.normalize().to_float() / size, terms.norm().log()


def _at(terms: Scaled, i: Any) -> Scaled:
    return Scaled(terms.unit[i], terms.exponent[i], 1)
