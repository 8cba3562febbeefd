"""The loss of any recurrent map along a line or over a plane of its parameters, and what makes it jump."""

import contextlib
import dataclasses
import functools
import math
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.cliff.jumps import Jump, jumps_of
from rnn_dynamics.cliff.limit_sets import CYCLE, Ends, FollowedStart
from rnn_dynamics.cliff.paths import ParameterPath, checked_path
from rnn_dynamics.dynamics.bifurcations import BifurcationCurve, SpecialPoint, bifurcation_curve
from rnn_dynamics.dynamics.continuation import Branch, continue_branch
from rnn_dynamics.dynamics.return_map import repeated, return_map
from rnn_dynamics.gradients.sensitivities import Sensitivities, evaluate, resolution_limit
from rnn_dynamics.numerics import scaled
from rnn_dynamics.numerics.batching import mapped
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.scaled import Scaled
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.validation import count, flag, real_array

_CHUNK = 256
_LINE_ROUNDS, _PLANE_ROUNDS = 16, 4
_MOST_CURVES = 16
_ON_CURVE = 5e-3
_HALF_OF_DIGITS = 64  # times the root of the dtype's eps


@dataclasses.dataclass(frozen=True)
class LossAlong(Result):
    """A loss on a grid along a line, shape (m,), or over a plane, shape (m, k), of a family's parameters.

    Attributes:
        axes: the coordinates of the grid, one or two: the parameter itself where a single one changes along a side,
            else the share of the side, from 0 to 1.
        names: which parameter each coordinate is, −1 for a share.
        parameters: θ, shape (*grid, d).
        value: L(x_T).
        value_error: bound on its rounding error.
        gradient: ∂L/∂θ, scaled, shape (*grid, d).
        slope: dL by each coordinate, scaled, shape (*grid, 1 or 2).
        status: RESOLVED; UNRESOLVED where the floats cannot carry x_T, the loss is not finite, or half the digits
            of a derivative of the loss are lost (in the orbit, or where its terms cancel); DIVERGED where x_T is
            not finite.
        limit: the loss for T → ∞ (through T + jp where x_T goes to a p-cycle); NaN where there is none.
        limit_status: CONVERGED; UNDECIDED where the orbit settles on no cycle of at most the longest period within
            the steps, or the loss is not finite there; DIVERGED.
        limit_states: the attractor's state, shape (*grid, *state).
        periods: of the attractor, 0 where there is none.
        jumps: of the limit, each with its cause.
        branches: on a line, the attractors followed along it, in its coordinate, with their bifurcations.
        curves: over a plane, the curves of folds that its jumps lie on.
        steps: T.
    """

    axes: tuple[Float[np.ndarray, " m"], ...]
    names: tuple[int, ...]
    parameters: Float[np.ndarray, "*grid d"]
    value: Float[np.ndarray, "*grid"]
    value_error: Float[np.ndarray, "*grid"]
    gradient: Scaled
    slope: Scaled
    status: Int[np.ndarray, "*grid"]
    limit: Float[np.ndarray, "*grid"]
    limit_status: Int[np.ndarray, "*grid"]
    limit_states: Float[np.ndarray, "..."]
    periods: Int[np.ndarray, "*grid"]
    jumps: tuple[Jump, ...]
    branches: tuple[Branch, ...]
    curves: tuple[BifurcationCurve, ...]
    steps: int

    picture: ClassVar = "loss_along"
    _axes: ClassVar = {"*grid": "grid", "d": "parameter", "m": "grid"}

    @property
    def events(self) -> tuple[SpecialPoint, ...]:
        """The bifurcations met: of the branches on a line, of codimension two over a plane."""
        found = [event for part in (*self.branches, *self.curves) for event in part.events]
        return tuple(found) if self.curves else tuple(sorted(found, key=lambda event: event.parameter))

    @property
    def resolved(self) -> Bool[np.ndarray, "*grid"]:
        """Marks the positions whose status is RESOLVED."""
        return self.status == int(Status.RESOLVED)

    def of_cause(self, cause: str) -> tuple[Jump, ...]:
        """Return the jumps of one cause."""
        return tuple(jump for jump in self.jumps if jump.cause == cause)

    def __repr__(self) -> str:
        grid = " × ".join(str(len(axis)) for axis in self.axes)
        causes = {cause: len(self.of_cause(cause)) for cause in ("basin boundary", "fold", "neither")}
        jumps = ", ".join(f"{number} {cause}" for cause, number in causes.items() if number) or "none"
        return f"LossAlong({grid} points, T={self.steps}, jumps: {jumps}; {len(self.events)} bifurcations)"


@lean(static_argnums=0)
def _orbits(static: Any, arrays: Any, parameters: Array, given: tuple, steps: Array) -> Sensitivities:
    """x_T with its derivatives by every parameter, at each θ."""
    x0, inputs = given
    return jax.vmap(lambda theta: evaluate(static, arrays, tuple(theta), x0, inputs, steps))(parameters)


class _Evaluated(NamedTuple):
    """Of each θ: L and a bound on its error, ∂L/∂θ, its products with the path's sides, and the status."""

    value: Any
    value_error: Any
    gradient: Any
    slope: Any
    status: Any


def _bound(terms: Array, exponent: Array) -> Scaled:
    return Scaled(jnp.sum(jnp.abs(terms)), exponent).normalize()


def _is_known(number: Scaled, error: Scaled) -> Array:
    """Whether the error leaves at least half of the digits."""
    limit = math.log(_HALF_OF_DIGITS) + math.log(float(jnp.finfo(number.unit.dtype).eps)) / 2
    return ((error.unit == 0) | (error.log() <= number.log() + limit)).all()


@lean(static_argnums=0)
def _with_loss(static: Any, arrays: Any, orbits: Sensitivities, sides: Array) -> _Evaluated:
    """Apart from the orbits, so that a new loss is cheap.

    With e the bound on the error of x_T: |δL| ≤ |∇L|·e + ½ e·|∇²L|·e, |δ∇L| ≤ |∇²L| e, and to first order
    |δ(∇L·c)| ≤ |∇L|·|δc| + |δ∇L|·|c| for c = ∂x_T/∂θ_j.
    """
    loss = join(static, arrays)

    def at(orbit: Sensitivities) -> _Evaluated:
        value, pull = jax.value_and_grad(loss)(orbit.state)
        size = orbit.state.size
        pull, off = pull.reshape(-1), orbit.state_error.reshape(-1)
        off = jnp.where(jnp.isfinite(off), off, jnp.asarray(jnp.finfo(off.dtype).max ** 0.25, off.dtype))
        curvature = jnp.abs(jax.hessian(loss)(orbit.state)).reshape(size, size)
        pull_error = jnp.matmul(curvature, off, precision=jax.lax.Precision.HIGHEST)
        columns, errors = [], []
        for column, log_error in zip(orbit.parameters, orbit.parameter_log_errors, strict=True):
            unit = column.unit.reshape(-1)
            relative = jnp.expm1(jnp.minimum(log_error, 1))
            columns.append(Scaled(jnp.sum(unit * pull), column.exponent).normalize())
            terms = jnp.abs(pull) * jnp.linalg.norm(unit) * relative + pull_error * jnp.abs(unit)
            errors.append(_bound(terms, column.exponent))
        gradient, error = (
            jax.tree_util.tree_map(lambda *a: jnp.stack(a), *part) for part in (columns, errors)
        )
        slope, slope_error = _slopes(gradient, sides), _slopes(error, jnp.abs(sides))
        resolved = (
            off <= resolution_limit(value.dtype) * jnp.maximum(jnp.abs(orbit.state.reshape(-1)), 1)
        ).all()
        resolved &= jnp.isfinite(value) & _is_known(gradient, error) & _is_known(slope, slope_error)
        status = jnp.where(resolved, int(Status.RESOLVED), int(Status.UNRESOLVED))
        status = jnp.where(orbit.status == int(Status.DIVERGED), int(Status.DIVERGED), status).astype(
            jnp.int32
        )
        rounding = 2 * float(jnp.finfo(value.dtype).eps) * jnp.abs(value)
        bound = jnp.sum((jnp.abs(pull) + pull_error / 2) * off) + rounding
        return _Evaluated(value, bound, gradient, slope, status)

    return jax.vmap(at)(orbits)


def _slopes(gradient: Scaled, sides: Array) -> Scaled:
    """∂L/∂λ_j = ∂L/∂θ · side_j, shape (k,)."""
    slopes = []
    for side in sides:
        terms = scaled.multiply(gradient, side)
        slopes.append(functools.reduce(scaled.add, (terms[..., j] for j in range(gradient.shape[-1]))))
    return jax.tree_util.tree_map(lambda *leaves: jnp.stack(leaves, axis=-1), *slopes)


def _losses(family: Any, loss: Any, path: ParameterPath, given: tuple, steps: int) -> _Evaluated:
    """The loss with its derivatives on the path's grid, in chunks of one size."""
    parameters = path.parameters(path.positions()).astype(path.axes[0].dtype)
    static, arrays = split(family)

    def at(rows: np.ndarray) -> _Evaluated:
        orbits = _orbits(static, arrays, rows, given, np.int32(steps))
        return _with_loss(*split(loss), orbits, path.patch.sides)

    found = mapped(at, [parameters], _CHUNK)
    return jax.tree_util.tree_map(lambda leaf: leaf.reshape(*path.shape, *leaf.shape[1:]), found)


def along(
    family: Any,
    loss: Any,
    path: Any,
    x0: Any,
    *,
    steps: int,
    points: Any = None,
    u: Any = None,
    max_steps: int = 10_000,
    max_period: int = 8,
    events: bool = True,
) -> LossAlong:
    """L(x_T) and ∂L/∂θ on a line or plane of parameters, every jump of L for T → ∞ attributed to its cause.

    At finite T the loss is smooth; where its limit jumps the gradient grows without bound. The limit is the loss
    of the stable cycle that the orbit of x_0 goes to, at its phase of x_T. Between neighbours of the grid whose
    attractors are not one another's continuation, and where the limit changes by more than a twentieth of its
    range, the interval is narrowed by sixteenths. A jump is one over a basin boundary where both attractors go on
    past it, with the saddle on that boundary; a fold where the attractor of one side ends in a fold inside the
    interval, located to rounding; else neither. What closes with the interval, as behind a supercritical flip, is
    no jump. Four jumps are found between two neighbours, at most.

    Args:
        family: ``family(*parameters) -> cell``, each parameter a number.
        loss: ``loss(x_T) -> L`` of one state, differentiable.
        path: (start, end) of a line, or (corner, first, second) of a plane; each has one number for each parameter
            (a number alone where there is one parameter).
        x0: the start, shape (n,), or () for a single neuron.
        steps: T.
        points: on each side, one number or one for each; 401 on a line, 65 on each side of a plane by default.
        u: an input that is held.
        max_steps: steps beyond T after which an orbit that is on no cycle is UNDECIDED.
        max_period: the longest period looked for, at most 10.
        events: whether to follow the attractors along a line, and the folds over a plane.

    Returns:
        ``LossAlong``.

    Raises:
        TypeError: a family, a cell or a loss that is not callable.
        ValueError: corners that do not fit or do not span the path, a state that the cell does not map to its own
            shape, a loss that is no number.

    References: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, section 2; K. Doya, ISCAS 1992.
    """
    if not callable(loss):
        raise TypeError(f"loss: expected a callable loss(x), got {type(loss).__name__}")
    if not real_array("x0", x0).size:
        raise ValueError("x0: expected at least one unit, got none")
    steps, flag_events = count("steps", steps), flag("events", events)
    longest = count("max_period", max_period, minimum=1, maximum=10)
    limit = count("max_steps", max_steps, minimum=1, maximum=2**28)
    corners = len(path) if hasattr(path, "__len__") else 0
    points = (401 if corners == 2 else 65) if points is None else points
    grid = checked_path(family, path, points)
    first = tuple(jnp.asarray(axis[0]) for axis in grid.axes)
    whole, state = return_map(grid.patch, first, x0, period=1, u=u, others=(), name="x0")
    if state.dtype != grid.axes[0].dtype:
        grid = checked_path(family, path, points, state.dtype)
    _check_loss(loss, state.reshape(whole.shape))
    whole, _ = return_map(grid.patch, first, x0, period=1, u=u, others=(), name="x0")
    start = FollowedStart(whole, np.asarray(state), loss, steps, longest, limit)
    inputs = None if u is None else repeated(whole.inputs, steps)
    computed = _losses(family, loss, grid, (state.reshape(whole.shape), inputs), steps)
    ends = start.ends(grid.positions())
    rounds = _LINE_ROUNDS if len(grid.axes) == 1 else _PLANE_ROUNDS
    jumps = jumps_of(start, grid, ends, rounds=rounds)
    is_line = len(grid.axes) == 1
    if is_line:
        jumps = tuple(sorted(jumps, key=lambda jump: float(jump.position[0])))
    branches = _branches(start, grid, ends, u) if is_line and flag_events else ()
    curves = _fold_curves(start, grid, jumps, u) if not is_line and flag_events else ()
    return _result(grid, computed, ends, start, jumps, (branches, curves))


def _check_loss(loss: Any, state: Array) -> None:
    value = jax.eval_shape(loss, state)
    if getattr(value, "shape", None) != () or not jnp.issubdtype(value.dtype, jnp.floating):
        raise ValueError(f"loss: expected a number loss(x) for a state x, got {value}")


def _result(
    path: ParameterPath,
    computed: _Evaluated,
    ends: Ends,
    start: FollowedStart,
    jumps: tuple[Jump, ...],
    followed: tuple,
) -> LossAlong:
    limit_status = np.where(
        ends.labels == CYCLE,
        int(Status.CONVERGED),
        np.where(ends.known, int(Status.DIVERGED), int(Status.UNDECIDED)),
    )
    shape = path.shape
    return LossAlong(
        path.axes,
        path.names,
        path.parameters(path.positions()).reshape(*shape, -1),
        *computed,
        ends.losses.reshape(shape),
        limit_status.reshape(shape),
        ends.states.reshape(*shape, *start.whole.shape),
        ends.periods.reshape(shape),
        jumps,
        followed[0],
        followed[1],
        start.steps,
    )


def _branches(start: FollowedStart, path: ParameterPath, ends: Ends, u: Any) -> tuple[Branch, ...]:
    """The attractors of the line followed along all of it, each once."""
    found: list[Branch] = []
    ends = ends.take(ends.labels == CYCLE)
    axis = path.axes[0]
    while len(ends.labels):
        x = ends.states[0].reshape(start.whole.shape)
        at, period = ends.positions[0, 0], int(ends.periods[0])
        ranges = float(axis.min()), float(axis.max())
        rest = ends.take(slice(1, None))
        try:
            branch = continue_branch(path.patch, x, at, p_range=ranges, period=period, u=u)
        except ValueError:  # no derivative by the parameter here, say: the next end may be fit to start from
            ends = rest
            continue
        found.append(branch)
        ends = rest.take(np.logical_not(_lies_on(start, branch, rest)))
    return tuple(found)


def _lies_on(start: FollowedStart, branch: Branch, ends: Ends) -> Bool[np.ndarray, " m"]:
    """Which ends lie on a branch: the nearest of its points, taken along to where the end is, comes to it."""
    orbits = branch.orbits().reshape(len(branch), branch.period, -1)
    where = ends.positions[:, 0]
    seeds = np.full(len(where), -1)
    phases = np.zeros(len(where), int)
    low, high = (f(branch.parameters[:-1], branch.parameters[1:]) for f in (np.minimum, np.maximum))
    for i, at in enumerate(where):
        spans = np.flatnonzero((low <= at) & (at <= high))
        if ends.periods[i] == branch.period and spans.size:
            near = np.concatenate([spans, spans + 1])
            gaps = np.abs(orbits[near] - ends.states[i]).max(axis=-1)
            nearest, phase = np.unravel_index(np.argmin(gaps), gaps.shape)
            seeds[i], phases[i] = near[nearest], phase
    begin = Ends(
        branch.parameters[seeds][:, None],
        orbits[seeds, phases],
        ends.periods,
        ends.labels,
        ends.losses,
    )
    arrived, _ = start.followed(begin, ends.positions)
    return (seeds >= 0) & start.same(arrived, ends.states)


def _fold_curves(
    start: FollowedStart, path: ParameterPath, jumps: tuple[Jump, ...], u: Any
) -> tuple[BifurcationCurve, ...]:
    """The curves of folds through the jumps at folds, each once."""
    ranges = tuple((float(min(axis)), float(max(axis))) for axis in path.axes)
    low, high = np.array(ranges).T
    curves: list[BifurcationCurve] = []
    for jump in jumps:
        event = jump.event
        if event is None or len(curves) == _MOST_CURVES:
            continue
        if any(_distance(curve, jump.position, event.state, high - low) < _ON_CURVE for curve in curves):
            continue
        first, second = np.clip(jump.position, low, high)
        gaps = np.nan_to_num(np.abs(jump.states - event.state).reshape(2, -1).max(axis=1), nan=np.inf)
        period = max(jump.periods[0 if gaps[0] <= gaps[1] else 1], 1)
        options: dict[str, Any] = {"ranges": ranges, "period": period, "u": u}
        place = float(first), float(second)
        with contextlib.suppress(ValueError):  # of a fold that no curve can be started from, the jump stays
            curves.append(bifurcation_curve(path.patch, "fold", event.state, place, **options))
    return tuple(curves)


def _distance(curve: BifurcationCurve, position: np.ndarray, state: Any, sides: np.ndarray) -> float:
    """From a fold to the polyline of a curve, in shares of the sides and of the states' own size."""
    state = np.ravel(state)
    size = max(1.0, float(np.abs(state).max()))
    states = curve.states.reshape(len(curve), -1)
    points = np.hstack([curve.parameters / sides, states / size])
    target = np.append(position / sides, state / size)
    chords = np.diff(points, axis=0)
    lengths = np.maximum((chords**2).sum(axis=1), np.finfo(float).tiny)
    shares = np.clip(((target - points[:-1]) * chords).sum(axis=1) / lengths, 0, 1)
    return float(np.linalg.norm(points[:-1] + shares[:, None] * chords - target, axis=1).min())
