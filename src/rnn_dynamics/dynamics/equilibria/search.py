"""Fixed points and cycles from thousands of starts at once: Newton's method, least squares, slow points."""

import functools
import warnings
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int

from rnn_dynamics.dynamics.equilibria import least_squares, newton
from rnn_dynamics.dynamics.equilibria.completing import FixedPointSearch, Started, completed
from rnn_dynamics.dynamics.equilibria.cycles import Roots, measured, sorted_multipliers
from rnn_dynamics.dynamics.equilibria.ends import MissingAttractorWarning
from rnn_dynamics.dynamics.equilibria.equation import RootProblem, posed, residual_tolerance
from rnn_dynamics.dynamics.equilibria.indices import maps_a_ball_into_itself
from rnn_dynamics.dynamics.equilibria.merging import clusters, members_to_keep, same_points
from rnn_dynamics.dynamics.equilibria.neuron import bracketed, has_brackets
from rnn_dynamics.dynamics.equilibria.results import FixedPoints, SlowPoints
from rnn_dynamics.dynamics.equilibria.scale import warn_of_small_states
from rnn_dynamics.dynamics.phases import warn_of_seams
from rnn_dynamics.numerics.one_thread import one_blas_thread
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.validation import count, flag

# A coarse stage pays from here: the number of units, and of starts.
_UNITS, _STARTS = 16, 256


class _Ends(NamedTuple):
    """Where the starts are after a stage: status −1 where a start may go on."""

    states: np.ndarray
    residual: np.ndarray
    status: np.ndarray


def _loose(dtype: Any, power: float) -> float:
    return float(np.finfo(dtype).eps) ** power


def _descend(problem: RootProblem, starts: np.ndarray, period: int, max_steps: int) -> _Ends:
    """Damped Newton from every start; whoever has converged, stalled or diverged leaves the batch."""
    states = starts.astype(problem.dtype)
    residual = np.full(len(states), np.inf, problem.dtype)
    status = np.full(len(states), -1)
    goal = _loose(problem.dtype, 2 / 3)
    equation = problem.equation(period)
    for _ in range(max_steps):
        active = np.flatnonzero(status < 0)
        if not active.size:
            break
        moved, size, stalled = newton.damped_step(equation, states[active])
        states[active], residual[active] = moved, size
        states[active] = problem.canonical(moved)
        scale = problem.norms(states[active])
        finite = np.isfinite(size) & np.isfinite(scale)
        close = finite & ((size <= goal * scale) | (stalled & (size <= goal**0.75 * scale)))
        stuck = np.where(stalled & finite, int(Status.UNDECIDED), -1)
        ended = np.where(close, int(Status.CONVERGED), np.where(finite, stuck, int(Status.DIVERGED)))
        status[active] = ended
    return _Ends(states, residual, status)


def _fitted(problem: RootProblem, starts: np.ndarray, before: _Ends, period: int, max_steps: int) -> _Ends:
    """Levenberg's and Marquardt's method from the starts that Newton's did not settle; what has ended leaves."""
    states, residual, status = (part.copy() for part in before)
    active = np.flatnonzero(status != Status.CONVERGED)
    states[active] = starts[active]
    damping = least_squares.Damping.first(len(active), problem.dtype)
    goal, level = _loose(problem.dtype, 2 / 3), _loose(problem.dtype, 1 / 3)
    equation = problem.equation(period)
    status[active] = -1
    for _ in range(max_steps):
        if not active.size:
            break
        moved, damping, size, slope = least_squares.marquardt_step(equation, states[active], damping)
        states[active], residual[active] = problem.canonical(moved), size
        close = size <= goal * problem.norms(states[active])
        ended = np.where(close, int(Status.CONVERGED), np.where(slope <= level, int(Status.UNDECIDED), -1))
        status[active] = np.where(np.isfinite(size), ended, int(Status.DIVERGED))
        going = np.flatnonzero(status[active] < 0)
        active, damping = active[going], damping.of(going)
    return _Ends(states, residual, status)


class _Candidates(NamedTuple):
    """Polished roots, and which of them each start led to (−1 for none)."""

    roots: Roots
    of_start: Int[np.ndarray, " starts"]


def _polished(
    problem: RootProblem,
    states: np.ndarray,
    chosen: np.ndarray,
    period: int,
    tolerance: float,
    radius: float,
) -> _Candidates:
    """The roots that the chosen starts ran into, a few representatives of each cluster polished."""
    of_start = np.full(len(states), -1)
    ends = states[chosen].astype(problem.dtype)
    scale = float(np.median(problem.norms(ends))) if len(ends) else 1.0
    cluster = clusters(ends, radius * scale, problem.lengths)
    kept = members_to_keep(ends, cluster)
    roots = measured(problem, ends[kept], period)
    good = roots.accepted(tolerance, problem)
    # Every start takes the nearest representative of its own cluster.
    order = kept[np.argsort(cluster[kept], kind="stable")]
    first = np.searchsorted(cluster[order], np.arange(cluster.max(initial=-1) + 2))
    place = np.zeros(len(ends), int)
    place[kept] = np.arange(len(kept))
    best, least = np.full(len(ends), -1), np.full(len(ends), np.inf)
    for offset in range(4):
        at = first[cluster] + offset
        inside = at < first[cluster + 1]
        member = order[np.where(inside, at, 0)]
        usable = inside & good[place[member]]
        gap = np.where(usable, problem.apart(ends, ends[member]), np.inf)
        best, least = np.where(gap < least, place[member], best), np.minimum(gap, least)
    number = np.cumsum(good) - 1
    of_start[chosen] = np.where(best >= 0, number[best], -1)
    return _Candidates(roots.take(good), of_start)


def _creep(problem: RootProblem, ends: _Ends, period: int, max_steps: int) -> tuple[_Ends, np.ndarray]:
    """Regularised Newton on q for starts that Newton did not settle; also which of them stand at a minimum."""
    states, residual, status = (part.copy() for part in ends)
    damping = np.full(len(states), 1e-2, problem.dtype)
    minimum = np.zeros(len(states), bool)
    goal, level = _loose(problem.dtype, 2 / 3), _loose(problem.dtype, 1 / 2)
    active = np.flatnonzero((status < 0) | (status == Status.UNDECIDED))
    equation, second = problem.equation(period), functools.partial(problem.curved, period)
    for _ in range(max_steps):
        if not active.size:
            break
        step = newton.quadratic_step(equation, second, states[active], damping[active])
        states[active], damping[active], residual[active], slope, convex = step
        states[active] = problem.canonical(states[active])
        size, scale = residual[active], problem.norms(states[active])
        close = size <= goal * scale
        minimum[active] = ~close & convex & (slope <= level)
        status[active] = np.where(close, int(Status.CONVERGED), int(Status.MAX_STEPS))
        status[active] = np.where(minimum[active], int(Status.UNDECIDED), status[active])
        status[active] = np.where(np.isfinite(size), status[active], int(Status.DIVERGED))
        active = active[status[active] == Status.MAX_STEPS]
    return _Ends(states, residual, status), minimum


def _slow_points(
    problem: RootProblem, states: np.ndarray, residual: np.ndarray, period: int, tolerance: float
) -> SlowPoints:
    """Return the minima of q, each once."""
    slow = residual > 100 * tolerance * problem.norms(states)
    states, residual = states[slow], residual[slow]
    radius = _loose(problem.dtype, 3 / 8) * problem.norms(states)
    leader = same_points(states, radius, np.argsort(residual, kind="stable"), problem.lengths)
    first = np.flatnonzero(leader == np.arange(len(leader)))
    first = first[np.argsort(residual[first], kind="stable")]
    jacobians = measured(problem, states[first], period, polish=False).jacobian
    return SlowPoints(
        states[first].reshape(-1, *problem.shape), residual[first] ** 2 / 2, sorted_multipliers(jacobians)
    )


class _Sought(NamedTuple):
    """Candidates, the status of each start, its residual, and slow points."""

    found: _Candidates
    status: np.ndarray
    residual: np.ndarray
    slow: SlowPoints | None


class _Newton(NamedTuple):
    """Newton's method on F^p(x) = x with its limits; ``slow`` tells whether it also looks for slow points."""

    problem: RootProblem
    period: int
    tolerance: float
    max_steps: int
    slow: bool


def _sought(newton: _Newton, rows: np.ndarray) -> _Sought:
    """Newton's method from all starts, least squares where it fails, and on from what these did not settle."""
    problem, period, tolerance, max_steps, slow = newton
    coarse = problem.lowered() if problem.size >= _UNITS and len(rows) >= _STARTS else problem
    ends = _descend(coarse, rows, period, max_steps)
    ends = _fitted(coarse, rows.astype(coarse.dtype), ends, period, max_steps)
    near = _loose(coarse.dtype, 3 / 8)
    found = _polished(problem, ends.states, np.flatnonzero(ends.status == 0), period, tolerance, near)
    failed = (ends.status == 0) & (found.of_start < 0)
    states = ends.states.astype(problem.dtype)
    status = np.where(failed, -1, ends.status)
    if not slow:
        status = np.where(status < 0, int(Status.MAX_STEPS), status)
        return _Sought(found, status, ends.residual.astype(problem.dtype), None)
    ends = _Ends(states, ends.residual.astype(problem.dtype), status)
    ends, minimum = _creep(problem, ends, period, max_steps)
    late = np.flatnonzero((ends.status == 0) & (found.of_start < 0))
    more = _polished(problem, ends.states, late, period, tolerance, _loose(problem.dtype, 3 / 8))
    of_start = np.where(more.of_start >= 0, more.of_start + len(found.roots.points), found.of_start)
    status = np.where((ends.status == 0) & (of_start < 0), int(Status.UNDECIDED), ends.status)
    slow_points = _slow_points(problem, ends.states[minimum], ends.residual[minimum], period, tolerance)
    return _Sought(_Candidates(found.roots.joined(more.roots), of_start), status, ends.residual, slow_points)


def _completed(newton: _Newton, cell: Any, u: Any, rows: np.ndarray, orbits: int, held: bool) -> FixedPoints:
    """Newton's method, brackets where there are some (an input that is ``held``), and the starts' own orbits."""
    problem, period, tolerance = newton.problem, newton.period, newton.tolerance

    def roots_from(states: np.ndarray) -> Roots:
        return _sought(newton._replace(slow=False), states).found.roots

    sought = _sought(newton, rows)
    roots, complete = sought.found.roots, False
    if held and period == 1 and problem.lengths is None and has_brackets(cell):
        more, complete = bracketed(problem, cell, u, tolerance)
        roots = roots.joined(more)
    started = Started(roots, sought.found.of_start, sought.status, sought.residual, sought.slow)
    bounded = problem.lengths is None and maps_a_ball_into_itself(cell)
    task = FixedPointSearch(problem, period, tolerance, bounded, complete, roots_from)
    return completed(task, started, rows, orbits)


def fixed_points(
    cell: Any,
    starts: Any,
    *,
    u: Any = None,
    inputs: Any = None,
    period: int = 1,
    tolerance: float | None = None,
    max_steps: int = 40,
    slow: bool = True,
    orbits: int = 256,
    topology: Any = None,
) -> FixedPoints:
    """Fixed points and cycles of a map, x = F^p(x), from many starts at once.

    From every start damped Newton steps on x − F^p(x), and where they fail Levenberg's and Marquardt's method on
    q = ½‖x − F^p(x)‖² from the same start, in float32 where the network is large; then full Newton steps in the
    precision of the starts. What has not converged goes on with a regularised Newton method on q, which ends at
    roots or at minima with q > 0, the slow points. Roots closer together than their own errors are one; a cycle
    stands once; a root of F^p that F^d maps to itself is a d-cycle.

    Args:
        cell: any map ``cell(x, u) -> x_next``.
        starts: states to start from, shape (starts, *state); ``starts_from`` draws them from trajectories.
        u: one input value, held; ``None`` for none.
        inputs: a periodic input, leading axis q: the map is then q steps long, and p counts multiples of q.
        period: p ≥ 1. Cycles whose period divides p are found too, with their own minimal period.
        tolerance: the largest ‖x − F^p(x)‖ of a root, relative to max(1, |x|) max(1, ‖∂F^p/∂x‖); 1e−12 by
            default, 1e−5 in float32. Roots are polished until the residual is rounding, whatever it is.
        max_steps: steps of each method before a start is labelled MAX_STEPS.
        slow: whether to go on after these two, and look for slow points.
        orbits: how many of the starts are also iterated, evenly spread over them; 0 for none.
        topology: one entry for each coordinate, or one for all: the length L > 0 of a coordinate taken modulo L
            (2π, 1, 360), ``None`` for one on the line.

    Newton's method is drawn to saddles as well as to attractors. So the starts' own orbits are followed until it
    is known where each ends, by the multipliers of a point and a norm that decreases towards it, and the points
    and cycles that they end at are added to the list, as are those that orbits end at which start beside its
    unstable points. ``ends`` counts where they end. For built-in cells that map a box into itself the indices
    sign det(I − ∂F^p/∂x) of all points sum to 1; where those of the list do not, more is looked for, between
    attractors and at random. A scalar neuron's equilibria (p = 1) are bracketed besides, and the result then is
    complete.

    Where ``topology`` names phases, differences are the shorter way round, a cycle that winds around is a cycle
    (``FixedPoints.winding``), and phases are given in [0, L); the map may reduce them itself or not. Without it, a
    map that looks like one on a circle (it jumps as at a seam, copies of a state are listed, orbits run on) gives a
    ``SeamWarning``.

    Returns:
        ``FixedPoints``; empty where none was found. That none was found does not prove that there is none.

    Raises:
        TypeError, ValueError: starts that do not fit the cell, or are not finite; p < 1; both ``u`` and
            ``inputs``; a tolerance that is not > 0; orbits < 0; a topology of another
            length, or by which the map is not periodic.

    Warns:
        MissingAttractorWarning: the list is known to lack something that it could hold (``FixedPoints.missing``):
            orbits end at a stable cycle of another period, or the index sum is wrong. Circles and chaotic sets
            are only counted, as no list of points holds them; a cycle that draws orbits in by less than some 2e-4
            a step is counted as a circle, and chaos that no orbit leaves within some 16 000 steps as a chaotic set.
        SmallStateWarning: all states are small beside 1, to which tolerances are relative.

    Reference: D. Sussillo, O. Barak, "Opening the black box", Neural Computation 25, 2013, for slow points and
    starts from trajectories; they descend on q.
    """
    problem, rows, period = posed(cell, starts, u, inputs, period, topology)
    steps = count("max_steps", max_steps, minimum=1)
    limit = residual_tolerance(problem, tolerance)
    most = count("orbits", orbits)
    newton = _Newton(problem, period, limit, steps, flag("slow", slow))
    with one_blas_thread(problem.size):
        found = _completed(newton, cell, u, rows, most, held=inputs is None)
    if topology is None:
        held = jax.tree_util.tree_map(lambda leaf: leaf[0], problem.inputs)
        warn_of_seams(cell, rows, found.orbits.reshape(-1, problem.size), held, problem.shape)
    listed = found.orbits.reshape(-1, problem.size)
    warn_of_small_states(problem.dtype, rows, listed, *([] if found.ends is None else [found.ends.states]))
    if found.missing:
        warnings.warn("fixed_points: " + "; ".join(found.missing), MissingAttractorWarning, stacklevel=2)
    return found
