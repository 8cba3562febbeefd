"""The loss for T → ∞ and the wall where it jumps, in closed form: the equilibria and cycles that x_0 reaches.

For w ≥ 0 the map is monotone, so an orbit ends at the next equilibrium in the direction of its first step.
For w < 0 and ε = 1 its second iterate is monotone: the orbit ends at the equilibrium, or, where that repels,
alternates between the two states of a 2-cycle.
"""

import dataclasses
import functools
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from rnn_dynamics.cells.activations import sigmoid_derivative
from rnn_dynamics.cliff.loss import NeuronLoss, make_problem
from rnn_dynamics.doya.cycles import two_cycle, two_cycle_on_host
from rnn_dynamics.doya.equilibria import equilibria, equilibria_on_host
from rnn_dynamics.numerics import double_double as dd
from rnn_dynamics.numerics.batching import elementwise, is_plain
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LimitLoss(Result):
    """The limit of the loss through even and through odd T; they differ on a 2-cycle only.

    Attributes:
        even: limit of L through even T; NaN where it is undecided.
        odd: limit through odd T.
        even_state: limit of y_T (x_T, or σ(x_T) for ``"pascanu"``) through even T.
        odd_state: the same through odd T.
        status: CONVERGED; UNDECIDED where rounding hides on which side of the repelling equilibrium x_0 lies,
            or where no exact rule applies (ε < 1 and w < −4(2 − ε)/ε: cycles and chaos).
    """

    even: Float[Array, "..."]
    odd: Float[Array, "..."]
    even_state: Float[Array, "..."]
    odd_state: Float[Array, "..."]
    status: Int[Array, "..."]

    _axes: ClassVar = {"...": "grid"}

    def __repr__(self) -> str:
        return f"LimitLoss(shape={self.even.shape}, dtype={self.even.dtype})"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Wall(Result):
    """Where the limit of the loss jumps: x_0 on a repelling equilibrium.

    Attributes:
        w: weight.
        b: bias of the wall; NaN where there is none.
        multiplier: 1 − ε + ε w σ′ at x_0: above 1, or below −1 for w < 0.
        exists: whether there is a wall at this w.
        below: limit of the loss as T → ∞ (even T) at b − 0. With w < 0 odd T exchanges it with ``above``.
            NaN where w < 0 and ε < 1, where no exact rule applies.
        above: the same at b + 0.
    """

    w: Float[Array, "..."]
    b: Float[Array, "..."]
    multiplier: Float[Array, "..."]
    exists: Bool[Array, "..."]
    below: Float[Array, "..."]
    above: Float[Array, "..."]

    _axes: ClassVar = {"...": "grid"}

    @property
    def jump(self) -> Float[Array, "..."]:
        """|above − below|."""
        return jnp.abs(self.above - self.below)

    def __repr__(self) -> str:
        if isinstance(self.b, Tracer) or self.b.ndim:
            return f"Wall(shape={self.b.shape}, dtype={self.b.dtype})"
        return (
            f"Wall(w={float(self.w):g}, b={float(self.b):.9g}, below={float(self.below):.6g}, "
            f"above={float(self.above):.6g})"
        )


def limit_loss(
    w: Any, b: Any, *, model: str = "geometric", x0: Any = None, target: Any = None, epsilon: Any = 1.0
) -> LimitLoss:
    """The limit of the loss for T → ∞: the loss of the equilibrium or 2-cycle that x_0 reaches.

    Args:
        w, b, model, x0, target, epsilon: as ``loss``.

    Returns:
        ``LimitLoss`` of the broadcast shape.

    Raises:
        TypeError, ValueError: as ``loss``.

    Reference: K. Doya, "Bifurcations in the learning of recurrent neural networks", ISCAS 1992.
    """
    problem = make_problem(model, w, b, x0, target, epsilon)
    return _limit(problem, _ends(problem.w, problem.b), model == "pascanu")


def wall(w: Any, *, model: str = "geometric", x0: Any = None, target: Any = None, epsilon: Any = 1.0) -> Wall:
    """The wall b = logit(x_0) − w x_0 (pascanu: b = x_0 − w σ(x_0)) and the loss on both of its sides.

    It is one where the equilibrium under x_0 repels: w x_0 (1 − x_0) > 1, or < −(2 − ε)/ε, where at ε = 1 its
    sides are the phases of a 2-cycle. For Pascanu's figure 6: w > 1/σ′(½) ≈ 4.2553.

    Args:
        w, model, x0, target, epsilon: as ``loss``.

    Returns:
        ``Wall`` of the broadcast shape, NaN where there is none.

    Raises:
        TypeError, ValueError: as ``loss``; x_0 outside (0, 1) in the geometric model.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, section 2.3 and figure 6.
    """
    problem = make_problem(model, w, 0.0, x0, target, epsilon)
    if model == "geometric" and not isinstance(problem.start, Tracer):
        start = np.asarray(problem.start)
        if not ((start > 0) & (start < 1)).all():
            raise ValueError(
                f"x0: expected a state in (0, 1), got {start[(start <= 0) | (start >= 1)].flat[0]}"
            )
    place = _place.on_host if is_plain(problem) else _place
    problem = problem._replace(b=place(problem, model == "pascanu"))
    return _wall(problem, _ends(problem.w, problem.b), model == "pascanu")


class _Ends(NamedTuple):
    """Where orbits of a neuron can end: x of shape (…, 3) as in ``Equilibria``, the 2-cycle of shape (…, 2)."""

    points: Float[Array, "... 3"]
    cycle: Float[Array, "... 2"]


def _ends(w: Array, b: Array) -> _Ends:
    if is_plain([w, b]):
        on_host = np.asarray(w), np.asarray(b)
        return _Ends(
            equilibria_on_host(*on_host, np.ones_like(on_host[0])).points, two_cycle_on_host(*on_host).x
        )
    return _Ends(equilibria(w, b).points, two_cycle(w, b).x)


@functools.partial(elementwise, static_argnums=(2,))
def _limit(problem: NeuronLoss, ends: _Ends, is_pascanu: bool) -> LimitLoss:
    side, certain = _first_direction(problem, is_pascanu)
    even, odd, known = _attractors(problem, ends, side)
    status = jnp.where(certain & known, int(Status.CONVERGED), int(Status.UNDECIDED)).astype(jnp.int32)
    hole = jnp.full_like(even, jnp.nan)
    even, odd = (jnp.where(certain & known, state, hole) for state in (even, odd))
    values = [jnp.square(state - problem.target) for state in (even, odd)]
    return LimitLoss(values[0], values[1], even, odd, status)


@functools.partial(elementwise, static_argnums=(1,))
def _place(problem: NeuronLoss, is_pascanu: bool) -> Array:
    """Return the bias at which x_0 is an equilibrium."""
    logit = dd.pair(problem.origin) if is_pascanu else dd.logit(problem.start)
    return dd.subtract(logit, dd.two_prod(problem.w, problem.start)).hi


@functools.partial(elementwise, static_argnums=(2,))
def _wall(problem: NeuronLoss, ends: _Ends, is_pascanu: bool) -> Wall:
    w, start, epsilon = problem.w, problem.start, problem.epsilon
    slope = w * sigmoid_derivative(problem.origin) if is_pascanu else w * (start * (1 - start))
    exists = (slope > 1) | (epsilon * slope < -(2 - epsilon))
    sides = []
    for direction in (-1, 1):
        state, _, known = _attractors(problem, ends, jnp.full_like(w, direction))
        sides.append(jnp.where(exists & known, jnp.square(state - problem.target), jnp.nan))
    hole = jnp.full_like(w, jnp.nan)
    multiplier = (1 - epsilon) + epsilon * slope
    return Wall(w, jnp.where(exists, problem.b, hole), multiplier, exists, sides[0], sides[1])


def _first_direction(problem: NeuronLoss, is_pascanu: bool) -> tuple[Array, Array]:
    """The sign of σ(w y + b) − y at the start, as that of w y + b − logit y, and whether it is certain."""
    w, b, y = problem.w, problem.b, problem.start
    inside = (y > 0) & (y < 1)
    safe = jnp.where(inside, y, jnp.full_like(y, 0.5))
    logit = dd.pair(problem.origin) if is_pascanu else dd.logit(safe)
    excess = dd.subtract(dd.add(dd.two_prod(w, safe), dd.pair(b)), logit).hi
    size = jnp.abs(w * safe) + jnp.abs(b) + jnp.abs(logit.hi)
    unit = float(jnp.finfo(y.dtype).eps)
    doubt = (4 * unit if is_pascanu else 16 * dd.precision(y.dtype)) * size
    exact = (excess == 0) & (not is_pascanu)
    outward = jnp.where(y <= 0, jnp.ones_like(y), -jnp.ones_like(y))
    side = jnp.where(inside, jnp.sign(excess), outward)
    return side, ~inside | exact | (jnp.abs(excess) > doubt)


def _attractors(problem: NeuronLoss, ends: _Ends, side: Array) -> tuple[Array, Array, Array]:
    """The states reached through even and odd T by an orbit whose first step has the sign ``side``."""
    w, start, epsilon = problem.w, problem.start, problem.epsilon
    rising = _next_equilibrium(w, start, ends.points, side)
    alone, low, high = ends.points[..., 0], ends.cycle[..., 0], ends.cycle[..., 1]
    cycles = ~jnp.isnan(low) & (epsilon == 1)
    even = jnp.where(side > 0, low, jnp.where(side < 0, high, start))
    odd = jnp.where(side > 0, high, jnp.where(side < 0, low, start))
    even, odd = jnp.where(cycles, even, alone), jnp.where(cycles, odd, alone)
    known = (w >= 0) | (epsilon == 1) | ((1 - epsilon) + epsilon * w / 4 >= -1)
    return jnp.where(w >= 0, rising, even), jnp.where(w >= 0, rising, odd), known


def _next_equilibrium(w: Array, start: Array, points: Array, side: Array) -> Array:
    """For w ≥ 0: the equilibrium nearest to the start on the side of its first step.

    Between the turning points x± of logit x − w x no equilibrium attracts, and outside them there is at most
    one on either side. Where none is found on that side, it lies within rounding of the start.
    """
    turn = jnp.sqrt(jnp.maximum(1 - 4 / jnp.maximum(w, 4.0), 0)) / 2
    lower = points[..., 0]
    upper = jnp.where(jnp.isnan(points[..., 2]), lower, points[..., 2])
    up = jnp.maximum(jnp.where(start < 0.5 - turn, lower, upper), start)
    down = jnp.minimum(jnp.where(start > 0.5 + turn, upper, lower), start)
    return jnp.where(side > 0, up, jnp.where(side < 0, down, start))
