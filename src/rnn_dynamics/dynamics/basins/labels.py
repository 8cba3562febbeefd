"""Whose basin each start is in, by trapping balls where the attractor is a cycle."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from rnn_dynamics.dynamics.basins import boundaries
from rnn_dynamics.dynamics.basins.affine import affine_map
from rnn_dynamics.dynamics.basins.attractors import Attractors, Member, of_members
from rnn_dynamics.dynamics.basins.boundaries import UncertaintyExponent
from rnn_dynamics.dynamics.basins.given import stable_members, state_axes
from rnn_dynamics.dynamics.basins.kinds import Trapping
from rnn_dynamics.dynamics.basins.labelling import DIVERGED, UNDECIDED, Runner, packed, run_to_labels
from rnn_dynamics.dynamics.basins.recurrent_sets import RecurrentSets
from rnn_dynamics.dynamics.basins.search import (
    SearchLimits,
    balls_of,
    checked_limits,
    in_order,
    is_marginal,
    orbits_among,
    ordered,
    searched,
)
from rnn_dynamics.dynamics.basins.starts import StartsOfMap, checked_problem
from rnn_dynamics.dynamics.equilibria.scale import warn_of_small_states
from rnn_dynamics.dynamics.phases import warn_of_seams
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status

if TYPE_CHECKING:
    pass

_PROBES = 1024
_ROUNDS = 4


@dataclasses.dataclass(frozen=True)
class Fractions(Result):
    """Shares of the starts, with binomial standard errors √(f(1−f)/N).

    Attributes:
        attractors: the share of each basin, shape (m,).
        standard_errors: of those, shape (m,).
        undecided: the share that the run was too short for, with ``undecided_error``.
        diverged: the share that left the finite numbers, with ``diverged_error``.
        starts: N.
    """

    attractors: Float[np.ndarray, " m"]
    standard_errors: Float[np.ndarray, " m"]
    undecided: float
    undecided_error: float
    diverged: float
    diverged_error: float
    starts: int

    _axes: ClassVar = {"m": "attractor"}

    def __repr__(self) -> str:
        pairs = zip(self.attractors, self.standard_errors, strict=True)
        shares = ", ".join(f"{share:.4g} ± {error:.1g}" for share, error in pairs)
        return f"Fractions([{shares}], undecided {self.undecided:.4g}, diverged {self.diverged:.4g})"


@dataclasses.dataclass(frozen=True)
class BasinLabels(Result):
    """The attractor that each start goes to.

    Attributes:
        labels: the index of the attractor; −1 UNDECIDED, the run was too short; −2 DIVERGED. Shape (…).
        steps: the steps after which the label was known, looked at every fourth; of undecided starts all of
            them. Shape (…).
        attractors: what the labels count.
        trapping: the ``Trapping`` rule of each attractor, shape (m,).
        starts: the starts, shape (…, n), or (…) for a single neuron.
        max_steps: the step limit.
    """

    labels: Int[np.ndarray, "..."]
    steps: Int[np.ndarray, "..."]
    attractors: Attractors
    trapping: Int[np.ndarray, " m"]
    starts: Float[np.ndarray, "..."]
    max_steps: int

    picture: ClassVar = "basin_labels"
    _axes: ClassVar = {"...": "start", "m": "attractor"}
    _units: ClassVar = {"steps": "steps"}
    _words: ClassVar = {"labels": "_word", "trapping": Trapping}

    UNDECIDED = UNDECIDED
    DIVERGED = DIVERGED

    @property
    def status(self) -> Int[np.ndarray, "..."]:
        """CONVERGED where there is an attractor, else UNDECIDED or DIVERGED."""
        other = np.where(self.labels == DIVERGED, int(Status.DIVERGED), int(Status.UNDECIDED))
        return np.where(self.labels >= 0, int(Status.CONVERGED), other).astype(np.int32)

    def fractions(self) -> Fractions:
        """The share of each basin and of what is undecided or diverged; NaN of no starts."""
        count, total = len(self.attractors), self.labels.size
        found = np.array([(self.labels == i).sum() for i in (*range(count), UNDECIDED, DIVERGED)], float)
        shares = found / total if total else np.full(len(found), np.nan)
        errors = np.sqrt(shares * (1 - shares) / max(total, 1))
        open_ones = float(shares[-2]), float(errors[-2]), float(shares[-1]), float(errors[-1])
        return Fractions(shares[:-2], errors[:-2], *open_ones, total)

    def basin_entropy(self, *, box: int = 5) -> float:
        """S_b in nats: the mean entropy of the labels in boxes of ``box`` starts a side (``entropies``)."""
        return boundaries.entropies(self.labels, box)[0]

    def boundary_entropy(self, *, box: int = 5) -> float:
        """S_bb in nats: the same over the boxes of two labels or more; above ln 2 the boundary is fractal."""
        return boundaries.entropies(self.labels, box)[1]

    def uncertainty_exponent(self, *, distances: Sequence[int] | None = None) -> UncertaintyExponent:
        """α and the boundary's dimension D − α, of starts on a grid (``boundaries.uncertainty_exponent``)."""
        return boundaries.uncertainty_exponent(self.labels, distances)

    def _word(self, label: int) -> str:
        """What a label stands for: "0 (fixed point)", "undecided", "diverged"."""
        other = {UNDECIDED: "undecided", DIVERGED: "diverged"}
        return other.get(int(label)) or f"{int(label)} ({self.attractors.describe(int(label))})"

    def __repr__(self) -> str:
        shares, shape = self.fractions(), "×".join(map(str, self.labels.shape)) or "1"
        parts = [f"{self.attractors.describe(i)} {share:.3g}" for i, share in enumerate(shares.attractors)]
        parts += [f"undecided {shares.undecided:.3g}", f"diverged {shares.diverged:.3g}"]
        return f"BasinLabels({shape} starts: {', '.join(parts)})"


def _rules(members: list[Member], balls: list[list[Any]]) -> np.ndarray:
    rules = []
    for member, group in zip(members, balls, strict=True):
        rule = group[0].trapping if group else (Trapping.NONE if member.is_cycle else Trapping.RECURRENCE)
        rules.append(int(rule))
    return np.array(rules, np.int32)


def _labelled(
    problem: StartsOfMap, members: list[Member], starts: np.ndarray, max_steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and steps of the starts, and the rule of each attractor."""
    balls = balls_of(problem, members)
    packed_balls = packed(balls, problem.n, problem.dtype)
    runner = Runner(problem.cell, problem.u, packed_balls, problem.shape, problem.chunk, balls)
    sets = RecurrentSets(problem, members)

    def finish(states: np.ndarray, level: int) -> np.ndarray:
        """Sets take starts once the first levels are over: a short transient is none of theirs."""
        found = ordered(problem, members, runner, states)
        left = np.flatnonzero(found == UNDECIDED)
        if len(sets.owners) and len(left) and (level >= 1 or max_steps <= 32):
            found[left] = sets.labels(states[left])
        return found

    affine = affine_map(problem.cell, problem.u, problem.shape, problem.dtype)
    given = np.full(len(starts), UNDECIDED, np.int32) if affine is None else affine.labels(starts)
    left = np.flatnonzero(given == UNDECIDED)
    labels, steps = given, np.zeros(len(starts), np.int32)
    labels[left], steps[left], *_ = run_to_labels(runner, starts[left], max_steps, finish)
    return labels, steps, _rules(members, balls)


def _probes(starts: np.ndarray, places: np.ndarray) -> np.ndarray:
    """At most 1024 of the starts, drawn without the grid's own order."""
    if len(places) > _PROBES:
        places = np.sort(np.random.default_rng(0).choice(places, _PROBES, replace=False))
    return starts[places]


def _discovered(problem: StartsOfMap, limits: SearchLimits) -> tuple[list[Member], np.ndarray, np.ndarray]:
    """Attractors from some of the starts, then from those still open, until no new one comes."""
    starts, members = problem.starts, list[Member]()
    labels, steps = np.full(len(starts), UNDECIDED, np.int32), np.zeros(len(starts), np.int32)
    places = np.arange(len(starts))
    for _ in range(_ROUNDS):
        known = len(members)
        found = searched(problem, _probes(starts, places), members, limits)
        members = members + [found[0][i] for i in range(known, len(found[0])) if (found[1] == i).any()]
        if known and len(members) == known:
            break
        labels[places], steps[places], _ = _labelled(problem, members, starts[places], limits.max_steps)
        places = np.flatnonzero(labels == UNDECIDED)
        if not len(places):
            break
    members, labels = in_order(members, labels, problem.lengths)
    return members, labels, steps


def basins(
    cell: Any,
    starts: Any,
    attractors: Any = None,
    *,
    u: Any = None,
    max_steps: int = 10_000,
    max_period: int = 32,
    samples: int = 4096,
    state_ndim: int | None = None,
    chunk: int | None = None,
    topology: Any = None,
) -> BasinLabels:
    """The attractor that each start of x⁺ = F(x, u) goes to.

    An orbit belongs to a stable cycle once it is in a trapping ball: an ellipsoid that F maps into the next
    one and contracts. For built-in cells with a known activation that is proved from the range of the slopes
    over the ball (up to rounding); for other cells it rests on sampled Jacobians and half the radius;
    ``trapping`` says which. Slow units need no long runs: affine maps are decided by their multipliers, built-in
    cells of averaging units (a leak, an update gate) by boxes that the map keeps and that shrink into such a
    ball, a map of one unit by the order of its states. Circles and chaotic sets hold an orbit that stays within
    their reach for 16 steps. Nothing is decided because a state stopped moving or is near: near a saddle's stable
    set or the ghost of a fold, a run cut short is UNDECIDED.

    Args:
        cell: any callable ``cell(x, u) -> x_next``.
        starts: shape (…, n), or (…) for a single neuron; a grid keeps its shape.
        attractors: ``None`` to discover them from the starts; an ``Attractors``; fixed points and cycles with
            ``points``, ``orbits``, ``period`` and ``stable`` (the stable ones count, in their order); or an
            array of states, one on each stable cycle, shape (m, n), or (m,) for a single neuron.
        u: the input of every step, or ``None``.
        max_steps: steps of a run.
        max_period: the longest period looked for.
        samples: steps that exponents and recurrence are taken from where sets are discovered.
        state_ndim: axes of one state, as for ``find_attractors``.
        chunk: starts that run at a time, which bounds the memory; 2¹⁶/n by default.
        topology: one entry for each coordinate, or one for all: the length L > 0 of a coordinate taken modulo L
            (2π, 1, 360), ``None`` for one on the line.

    Returns:
        Labels, steps, the attractors and the rule of each. Discovered attractors are ordered by kind, period
        and first state; those that no start goes to are left out.

    Raises:
        TypeError, ValueError: arguments that do not fit the cell, are not finite or out of range; a given
            state that is on no stable cycle.

    One call compiles for a cell's structure, the state's shape, the chunk and the number of balls rounded up to
    a power of two; a repeated shape compiles nothing.

    Reference: H. E. Nusse, J. A. Yorke, "Basins of attraction", Science 271, 1376 (1996).
    """
    if state_ndim is None and attractors is not None:
        state_ndim = state_axes(attractors)
    problem = checked_problem(cell, starts, u, state_ndim=state_ndim, chunk=chunk, topology=topology)
    limits = checked_limits(max_steps, max_period, samples)
    if attractors is None:
        members, labels, steps = _discovered(problem, limits)
        rules = _rules(members, balls_of(problem, members))
    else:
        members = stable_members(problem, attractors, limits.longest)
        labels, steps, rules = _labelled(problem, members, problem.starts, limits.max_steps)
    if topology is None:
        warn_of_seams(cell, problem.starts, orbits_among(problem, members), problem.u, problem.shape)
    warn_of_small_states(problem.dtype, problem.starts, orbits_among(problem, members))
    totals = {
        "undecided": int((labels == UNDECIDED).sum()),
        "diverged": int((labels == DIVERGED).sum()),
        "steps": limits.max_steps,
        "marginal": is_marginal(problem),
    }
    counts = [(labels == i).sum() for i in range(len(members))]
    container = of_members(members, counts, problem.shape, problem.dtype, **totals)
    shaped = problem.starts.reshape(*problem.leading, *problem.shape)
    leading = problem.leading
    return BasinLabels(
        labels.reshape(leading), steps.reshape(leading), container, rules, shaped, limits.max_steps
    )
