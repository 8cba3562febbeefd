"""From roots of x = F^p(x) to fixed points and cycles: minimal periods, each cycle once, multipliers."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Float, Int

from rnn_dynamics.cells.pytree import join
from rnn_dynamics.dynamics.equilibria import newton
from rnn_dynamics.dynamics.equilibria.equation import RootProblem, norms
from rnn_dynamics.dynamics.equilibria.merging import same_points
from rnn_dynamics.dynamics.equilibria.results import FixedPoints, SlowPoints, descending
from rnn_dynamics.dynamics.phases import order_key, seated
from rnn_dynamics.dynamics.return_map import orbits
from rnn_dynamics.numerics.batching import filled, power_of_two_above
from rnn_dynamics.numerics.eigen import eigenvalues
from rnn_dynamics.numerics.one_thread import one_blas_thread
from rnn_dynamics.numerics.status import Status

# Relative distance beyond which two states are no one root, whatever the error of a multiple one.
_ONE_ROOT = 1e-3


@dataclasses.dataclass(frozen=True)
class Roots:
    """Roots of x = F^p(x) with what ``newton.measured_roots`` says of each, all of one p."""

    points: Float[np.ndarray, "m n"]
    residual: Float[np.ndarray, " m"]
    error: Float[np.ndarray, " m"]
    resolved: Bool[np.ndarray, " m"]
    jacobian: Float[np.ndarray, "m n n"]
    change: Float[np.ndarray, " m"]

    def take(self, chosen: np.ndarray) -> "Roots":
        """Return some of the roots, by mask or index."""
        return Roots(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))

    def joined(self, other: "Roots") -> "Roots":
        """Return these roots followed by the others."""
        names = [field.name for field in dataclasses.fields(self)]
        return Roots(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in names))

    def accepted(self, tolerance: float, problem: RootProblem | None = None) -> Bool[np.ndarray, " m"]:
        """Marks the roots whose residual is within its tolerance."""
        size = np.sqrt(np.sum(np.square(self.jacobian), axis=(1, 2)))
        scale = norms(self.points) if problem is None else problem.norms(self.points)
        return self.residual <= tolerance * scale * np.maximum(size, 1)

    def best_first(self) -> Int[np.ndarray, " m"]:
        """Resolved before unresolved, then by error, residual and coordinates: an order the starts do not set."""
        return np.lexsort((*self.points.T[::-1], self.residual, self.error, ~self.resolved))


def no_roots(problem: RootProblem) -> Roots:
    """Return an empty list of roots."""
    n, dtype = problem.size, problem.dtype
    nothing = np.zeros(0, dtype)
    return Roots(
        np.zeros((0, n), dtype), nothing, nothing, np.zeros(0, bool), np.zeros((0, n, n), dtype), nothing
    )


def no_slow_points(problem: RootProblem) -> SlowPoints:
    """Return an empty list of slow points."""
    multipliers = np.zeros((0, problem.size), np.result_type(problem.dtype, np.complex64))
    return SlowPoints(np.zeros((0, *problem.shape), problem.dtype), np.zeros(0, problem.dtype), multipliers)


def measured(problem: RootProblem, points: np.ndarray, period: int, *, polish: bool = True) -> Roots:
    """Points, polished if asked for, with their residuals, errors and Jacobians of F^p."""
    if not len(points):
        return no_roots(problem)
    equation = problem.equation(period)
    if polish:
        points = seated(newton.polished(equation.linearised, points, problem.lengths).x, problem.lengths)
    return Roots(points, *newton.measured_roots(equation, points))


def sorted_multipliers(jacobians: Float[np.ndarray, "m n n"]) -> np.ndarray:
    """Return eigenvalues in descending order of size, shape (m, n)."""
    if not len(jacobians):
        return np.zeros(jacobians.shape[:2], np.result_type(jacobians.dtype, np.complex64))
    # Padded to a power of two, where they are many: results of many lengths share few programs.
    rows = filled(jacobians, power_of_two_above(len(jacobians), 32)) if len(jacobians) > 16 else jacobians
    with one_blas_thread(jacobians.shape[-1]):
        values = np.asarray(eigenvalues(rows))[: len(jacobians)]
    return np.take_along_axis(values, descending(values), axis=1)


def split_by_period(
    problem: RootProblem, roots: Roots, period: int, tolerance: float
) -> dict[int, tuple[np.ndarray, Roots]]:
    """Minimal period d → which roots have it, and those roots as roots of F^d."""
    found: dict[int, tuple[np.ndarray, Roots]] = {}
    rest = np.arange(len(roots.points))
    for divisor in (d for d in range(1, period) if period % d == 0):
        if not rest.size:
            break
        there = roots.take(rest)
        again = measured(problem, there.points, divisor)
        moved = problem.apart(again.points, there.points)
        # A root of F^p whose own error is unknown is judged by how far Newton on F^d had to go.
        reach = 4 * (np.where(np.isfinite(there.error), there.error, 0) + again.error)
        reach = np.minimum(reach, _ONE_ROOT * problem.norms(there.points))
        own = again.accepted(tolerance, problem) & (moved <= reach)
        found[divisor] = rest[own], again.take(own)
        rest = rest[~own]
    found[period] = rest, roots.take(rest)
    return found


def _once(problem: RootProblem, roots: Roots, period: int) -> tuple[np.ndarray, Roots, np.ndarray]:
    """Each cycle once: the number of each root's cycle, the phase-0 root of each cycle, and all its phases.

    Returns:
        ``label`` (roots,), the cycles' roots (m), and their states at multiples of the input's period, shape
        (m, period, n).
    """
    radius = np.minimum(2 * roots.error, _ONE_ROOT / 2 * problem.norms(roots.points))
    radius = np.where(np.isfinite(roots.error), radius, roots.error)
    leader = same_points(roots.points, radius, roots.best_first(), problem.lengths)
    kept = np.flatnonzero(leader == np.arange(len(leader)))
    place = np.searchsorted(kept, leader)
    chosen, n = roots.take(kept), problem.size
    if period == 1:
        return place, chosen, chosen.points[:, None]
    (orbit,) = problem.batched(orbits, period, chosen.points)
    phases = measured(problem, orbit[:, :: problem.cycle].reshape(-1, n), period)
    best = phases.best_first()
    same = same_points(phases.points, 2 * phases.error, best, problem.lengths).reshape(-1, period)
    cycle = _joined_by(same)
    first = np.unique(cycle, return_index=True)[1]
    rows, turned = [], []
    for row in first:
        points = phases.points[row * period : (row + 1) * period]
        start = int(np.lexsort(order_key(points, problem.lengths).T[::-1])[0])
        rows.append(row * period + start)
        turned.append(np.roll(points, -start, axis=0))
    number = np.unique(cycle, return_inverse=True)[1].reshape(-1)
    shape = (len(first), period, n)
    return number[place], phases.take(np.array(rows, int)), np.array(turned, problem.dtype).reshape(shape)


def _joined_by(leaders: Int[np.ndarray, "roots phases"]) -> Int[np.ndarray, " roots"]:
    """The lowest row that shares a leader with each row, directly or through others."""
    row = np.arange(len(leaders))
    while True:
        lowest: dict[int, int] = {}
        for i, names in enumerate(leaders.tolist()):
            for name in names:
                lowest[name] = min(lowest.get(name, row[i]), row[i])
        following = np.array([min(lowest[name] for name in names) for names in leaders.tolist()], int)
        if np.array_equal(following, row):
            return row
        row = following


def gathered(
    problem: RootProblem,
    by_period: dict[int, tuple[np.ndarray, Roots]],
    of_start: Int[np.ndarray, " starts_and_orbits"],
    start_status: Int[np.ndarray, " starts"],
    slow: SlowPoints | None = None,
    *,
    complete: bool = False,
) -> FixedPoints:
    """``FixedPoints`` of roots by their minimal period, duplicates and rotations recognised.

    Args:
        by_period: from ``split_by_period``: the numbers of the roots of each minimal period, and those roots.
        of_start: the number of the root that each start led to, −1 for none, then of each orbit that was followed.
        start_status: of each start.
        slow: slow points, if they were looked for.
        complete: whether nothing can be missing.
    """
    label = np.full(sum(len(chosen) for chosen, _ in by_period.values()), -1)
    parts, lengths, orbits = [], [], []
    for length, (chosen, some) in by_period.items():
        if not chosen.size:
            continue
        number, once, phases = _once(problem, some, length)
        label[chosen] = number + sum(map(len, orbits))
        parts.append(once)
        lengths += [length] * len(once.points)
        orbits.append(_with_steps_between(problem, phases))
    total = functools.reduce(Roots.joined, parts) if parts else no_roots(problem)
    order = np.lexsort((*order_key(total.points, problem.lengths).T[::-1], np.array(lengths, int)))
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    if len(order):
        label = np.where(label >= 0, rank[label], -1)
        of_start = np.where(of_start >= 0, label[of_start], -1)
    longest = max(lengths, default=1) * problem.cycle
    padded = np.full((len(order), longest, problem.size), np.nan, problem.dtype)
    for i, orbit in enumerate(one for group in orbits for one in group):
        padded[rank[i], : len(orbit)] = orbit
    steps = np.array(lengths, int)[order] * problem.cycle
    slow = no_slow_points(problem) if slow is None else slow
    return _judged(problem, total.take(order), steps, padded, start_status, of_start, slow, complete)


def _with_steps_between(problem: RootProblem, phases: Float[np.ndarray, "m period n"]) -> np.ndarray:
    """The orbit step by step: the states between two repetitions of the input are iterated."""
    if problem.cycle == 1:
        return phases
    m, period, n = phases.shape
    (between,) = problem.batched(orbits, 1, phases.reshape(-1, n))
    return between.reshape(m, period * problem.cycle, n)


def _judged(
    problem: RootProblem,
    roots: Roots,
    steps: np.ndarray,
    orbits: np.ndarray,
    start_status: np.ndarray,
    start_point: np.ndarray,
    slow: SlowPoints,
    complete: bool,
) -> FixedPoints:
    """Return multipliers and stability, with marginal ones labelled."""
    values = sorted_multipliers(roots.jacobian)
    size = np.sqrt(np.sum(np.square(roots.jacobian), axis=(1, 2)))
    unit = float(np.finfo(problem.dtype).eps)
    doubt = roots.change + 32 * problem.size * unit * np.maximum(size, 1)
    from_circle = np.abs(np.abs(values) - 1)
    near = from_circle <= doubt[:, None]
    # At a multiple root a multiplier is 1, whatever the rounding of x made of it.
    distance = np.abs(values - 1)
    least = distance == np.min(distance, axis=1, keepdims=True)
    near = near | (least & ~roots.resolved[:, None])
    grows = (np.abs(values) > 1) & ~near
    marginal = near.any(axis=1)
    return FixedPoints(
        points=roots.points.reshape(-1, *problem.shape),
        orbits=orbits.reshape(*orbits.shape[:2], *problem.shape),
        period=steps,
        residual=roots.residual,
        error=roots.error,
        multipliers=values,
        stable=~marginal & ~grows.any(axis=1),
        marginal=marginal,
        unstable=grows.sum(axis=1),
        status=np.where(roots.resolved, int(Status.CONVERGED), int(Status.UNRESOLVED)),
        start_status=start_status,
        start_point=start_point,
        slow=slow,
        complete=complete,
        jacobians=roots.jacobian,
        cell=join(problem.static, problem.arrays),
        inputs=problem.inputs,
        lengths=problem.lengths,
    )
