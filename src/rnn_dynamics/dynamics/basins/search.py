"""Attractors discovered from starts: stable cycles by recurrence and Newton's method, then what is left."""

import dataclasses
import functools
from typing import Any

import numpy as np

from rnn_dynamics.cells import DoyaNeuron, PascanuNeuron
from rnn_dynamics.dynamics.basins.affine import affine_map
from rnn_dynamics.dynamics.basins.attractors import Attractors, Member, of_members
from rnn_dynamics.dynamics.basins.cycle_search import cycles_near, not_among, root_problem
from rnn_dynamics.dynamics.basins.kinds import AttractorKind, Trapping
from rnn_dynamics.dynamics.basins.labelling import DIVERGED, UNDECIDED, Runner, packed, schedule
from rnn_dynamics.dynamics.basins.order import box_map, given_by_boxes, given_by_order
from rnn_dynamics.dynamics.basins.polish import (
    Cycle,
    orbits_of,
    rounded,
)
from rnn_dynamics.dynamics.basins.recurrent_sets import RecurrentSets, recurrent_member
from rnn_dynamics.dynamics.basins.starts import StartsOfMap, checked_problem
from rnn_dynamics.dynamics.basins.trapping import Ball, trapping_balls
from rnn_dynamics.dynamics.basins.volume import keeps_volume
from rnn_dynamics.dynamics.equilibria.orbit_kernels import advanced, settled
from rnn_dynamics.dynamics.equilibria.scale import warn_of_small_states
from rnn_dynamics.dynamics.phases import Lengths, warn_of_seams
from rnn_dynamics.numerics.validation import count

_MOST_TRIALS = 32
_AHEAD = 33  # one more than the longest period by default, so that one program serves
_MOST_FAILURES = 6  # in all: what is not shown for a few starts is not shown for the rest
_LONGER_TAILS = 2
_STAYS, _FOLLOWED = 16384, 16  # further steps of so many states of a chaotic set
_LOOKS_AWAY, _AWAY = 3, 512  # looks, so many steps apart, at which one of them is not on it: it has left
_BY_STEPS = (DoyaNeuron, PascanuNeuron)  # doya.basin_label has their exact rule
_MOST_ORDERED = 256
_OWN_FIRST, _OWN, _OWN_AT = 1024, 128, (0, 128, 512, 2048)


@dataclasses.dataclass(frozen=True)
class SearchLimits:
    """How far a search goes: steps of a run, the longest period, steps of a tail."""

    max_steps: int
    longest: int
    samples: int


def checked_limits(max_steps: Any, max_period: Any, samples: Any) -> SearchLimits:
    """The three numbers, checked.

    Raises:
        TypeError, ValueError: not integers, max_steps < 0, max_period < 1, samples < 256.
    """
    return SearchLimits(
        count("max_steps", max_steps, maximum=2**30),
        count("max_period", max_period, minimum=1, maximum=256),
        count("samples", samples, minimum=256),
    )


def _own_orbits(problem: StartsOfMap) -> np.ndarray:
    """Stretches of the starts' orbits, shape (count, steps, n): of 1024 at first, of 128 later and later."""
    nothing = packed([], problem.n, problem.dtype)
    runner = Runner(problem.cell, problem.u, nothing, problem.shape, problem.chunk)
    rows, stretches = _some(problem.starts, _OWN_FIRST), []
    for steps in _OWN_AT if len(rows) else ():
        rows = _tiles(runner, _some(rows, _OWN), steps)[1] if steps else rows
        stretches.append(orbits_of(problem.cell, rows, problem.u, problem.shape, _AHEAD))
    return np.concatenate([*stretches, np.zeros((0, _AHEAD, problem.n))]).astype(np.float64)


def _some(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, evenly."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int)]


def balls_of(problem: StartsOfMap, members: list[Member]) -> list[list[Ball]]:
    """The trapping balls of each attractor: none for circles and chaotic sets."""
    balls: list[list[Ball]] = []
    affine = affine_map(problem.cell, problem.u, problem.shape, problem.dtype) if members else None
    own_orbits = functools.cache(lambda: _own_orbits(problem))
    for i, member in enumerate(members):
        if affine is not None and affine.contracts and member.is_cycle:
            centre = member.orbit[0].astype(np.float64)
            balls.append([Ball(centre, np.eye(problem.n), np.inf, Trapping.PROVED)])
            continue
        if not member.is_cycle:
            balls.append([])
            continue
        rows = [m.orbit for k, m in enumerate(members) if k != i]
        others = np.concatenate([*rows, np.zeros((0, problem.n))]).astype(np.float64)
        images = orbits_of(problem.cell, member.orbit, problem.u, problem.shape, _AHEAD)[:, 1]
        rest = problem.u, problem.shape, others, images, own_orbits, problem.grown
        balls.append(trapping_balls(problem.cell, member.orbit, *rest))
    return balls


def runner_of(problem: StartsOfMap, members: list[Member]) -> Runner:
    """Return what runs tiles of starts against these attractors."""
    groups = balls_of(problem, members)
    balls = packed(groups, problem.n, problem.dtype)
    return Runner(problem.cell, problem.u, balls, problem.shape, problem.chunk, groups)


def is_marginal(problem: StartsOfMap) -> bool:
    """Whether the map is affine with a largest multiplier of size 1, or keeps volume: nothing attracts then."""
    affine = affine_map(problem.cell, problem.u, problem.shape, problem.dtype)
    return keeps_volume(problem) if affine is None else affine.marginal


def ordered(problem: StartsOfMap, members: list[Member], runner: Runner, states: np.ndarray) -> np.ndarray:
    """The labels of open states by boxes and by order (``order``), however slow their orbits are."""
    found = np.full(len(states), UNDECIDED, np.int32)
    if not members or not len(states):
        return found
    through = box_map(problem.cell, problem.u)
    if through is not None:
        found = given_by_boxes(through, runner.groups, states)
    elif problem.n == 1 and type(problem.cell) not in _BY_STEPS:
        points = [m.orbit[0, 0] if m.is_cycle and len(m.orbit) == 1 else np.nan for m in members]

        def images(x: np.ndarray) -> np.ndarray:
            return orbits_of(problem.cell, x[:, None], problem.u, problem.shape, _AHEAD)[:, 1, 0]

        some = np.flatnonzero(np.isfinite(states[:, 0]))[:_MOST_ORDERED]
        found[some] = given_by_order(images, np.array(points), states[some, 0])
    return found


def _tiles(runner: Runner, states: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    parts = [
        runner.tile(states[first : first + runner.chunk], steps)
        for first in range(0, len(states), runner.chunk)
    ]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[2] for part in parts])


def searched(
    problem: StartsOfMap, states: np.ndarray, known: list[Member], limits: SearchLimits
) -> tuple[list[Member], np.ndarray]:
    """The attractors, known ones first, and the label of each start.

    After 32, 160, 672, … steps the starts still open are looked at: where F^p(x) comes near x, Newton's method
    finds the cycle, and a trapping ball takes the starts that belong to it. What is open at the step limit is
    tried, one start after the other, as a circle or a chaotic set.
    """
    members = list(known)
    labels = np.full(len(states), UNDECIDED, np.int32)
    affine = affine_map(problem.cell, problem.u, problem.shape, problem.dtype)
    if affine is not None and len(states):
        labels = affine.labels(states)
        if affine.contracts:
            members += not_among(problem, members, [affine.cycle(problem.dtype)])
        elif affine.marginal or not (labels == UNDECIDED).any():
            # Nothing attracts, and what rests or turns in place is no set that others come to.
            return members, labels
    runner = runner_of(problem, members)
    places = np.flatnonzero(labels == UNDECIDED)
    states = states[places]
    for level, steps in enumerate(schedule(limits.max_steps)):
        if not len(places):
            break
        found, states = _tiles(runner, states, steps)
        is_open = found == UNDECIDED
        fresh = (
            not_among(problem, members, cycles_near(problem, states[is_open], limits.longest, level >= 1))
            if is_open.any()
            else []
        )
        if fresh:
            members += fresh
            runner = runner_of(problem, members)
            found[is_open] = _tiles(runner, states[is_open], 0)[0]
            is_open = found == UNDECIDED
        if is_open.any():
            found[is_open] = ordered(problem, members, runner, states[is_open])
            is_open = found == UNDECIDED
        labels[places] = found
        places, states = places[is_open], states[is_open]
    return _with_sets(problem, (members, runner), labels, (places, states), limits)


def _leave(
    problem: StartsOfMap, runner: Runner, member: Member, limits: SearchLimits
) -> tuple[bool, list[Cycle]]:
    """Whether some states of a chaotic set have left it after many more steps, and cycles that they are on."""
    equation = root_problem(problem)
    rows = _some(member.orbit, _FOLLOWED)
    # They are of one orbit, which they would all follow: a last digit apart, each goes its own way.
    size = np.finfo(rows.dtype).eps ** 0.5 * np.ptp(member.orbit, axis=0)
    apart = (size * np.random.default_rng(0).uniform(-1, 1, rows.shape)).astype(rows.dtype)
    ends = advanced(equation, rows + apart, _STAYS)
    is_open = _tiles(runner, ends, 0)[0] == UNDECIDED
    rests = np.zeros_like(is_open)
    rests[is_open] = settled(equation, ends[is_open])
    cycles = cycles_near(problem, ends[rests], limits.longest, False) if rests.any() else []
    if rests.any() or not is_open.all():
        return True, cycles
    sets = RecurrentSets(problem, [member])
    for _ in range(_LOOKS_AWAY):  # an orbit on the set may be told wrongly once, but not again and again
        ends = ends[sets.labels(ends) == UNDECIDED]
        if not len(ends):
            return False, []
        ends = advanced(equation, ends, _AWAY)
    return True, []


def _with_sets(
    problem: StartsOfMap, known: tuple, labels: np.ndarray, left: tuple, limits: SearchLimits
) -> tuple[list[Member], np.ndarray]:
    """Circles and chaotic sets from the starts that are left, at most 32 trials.

    Chaos that some of its states leave is a transient: the starts on it run on, and what does not leave it by the
    last trial stays undecided.
    """
    (members, runner), (places, states) = known, left
    if not len(places) or keeps_volume(problem):
        return members, labels
    labels[places] = RecurrentSets(problem, members).labels(states)
    failures, order = 0, np.random.default_rng(0).permutation(len(places))
    places, states = places[order], states[order]
    for _ in range(_MOST_TRIALS):
        is_open = labels[places] == UNDECIDED
        places, states = places[is_open], states[is_open]
        if not len(places) or failures >= _MOST_FAILURES:
            break
        member = _member_at(problem, states[0], limits, failures < _LONGER_TAILS)
        place = None if member is None else RecurrentSets(problem, members).same(member)
        if member is not None and place == UNDECIDED and member.kind == AttractorKind.CHAOTIC:
            leaves, cycles = _leave(problem, runner, member, limits)
            if leaves:
                failures += 1
                fresh = not_among(problem, members, cycles)
                members += fresh
                runner = runner_of(problem, members) if fresh else runner
                labels[places], states = _tiles(runner, states, _STAYS)
                continue
        if place is None:
            failures += 1
        else:
            if place == UNDECIDED:
                members.append(member)
                place = len(members) - 1
            labels[places[0]] = place
            labels[places[1:]] = RecurrentSets(problem, members).labels(states[1:])
        places, states = places[1:], states[1:]
    return members, labels


def _member_at(problem: StartsOfMap, state: np.ndarray, limits: SearchLimits, longer: bool) -> Member | None:
    """The set that an orbit runs on, ``None`` where none is shown.

    A circle near a resonance is covered slowly: where it may, the tail that does not return is taken anew, eight
    times as long.
    """
    for samples in (limits.samples, 8 * limits.samples) if longer else (limits.samples,):
        member = recurrent_member(problem, state, limits.max_steps // 2, samples, limits.longest)
        if member is not None:
            return member
    return None


def in_order(
    members: list[Member], labels: np.ndarray, lengths: Lengths | None = None
) -> tuple[list[Member], np.ndarray]:
    """The attractors that some start goes to by kind, period and first state, and the labels with them."""
    reached = [i for i in range(len(members)) if (labels == i).any()]
    firsts = [tuple(rounded(member.orbit[0], lengths)) for member in members]
    reached.sort(key=lambda i: (members[i].kind, len(members[i].orbit), firsts[i]))
    place = np.full(len(members) + 1, UNDECIDED, np.int32)
    place[reached] = np.arange(len(reached))
    return [members[i] for i in reached], np.where(
        labels >= 0, place[np.maximum(labels, UNDECIDED)], labels
    ).astype(np.int32)


def orbits_among(problem: StartsOfMap, members: list[Member]) -> np.ndarray:
    """The states of the fixed points and cycles among the attractors, shape (count, n)."""
    rows = [member.orbit for member in members if member.is_cycle]
    return np.concatenate([*rows, np.zeros((0, problem.n), problem.dtype)])


def find_attractors(
    cell: Any,
    starts: Any,
    *,
    u: Any = None,
    max_steps: int = 10_000,
    max_period: int = 32,
    samples: int = 4096,
    state_ndim: int | None = None,
    chunk: int | None = None,
    topology: Any = None,
) -> Attractors:
    """The attractors that orbits of x⁺ = F(x, u) from these starts end at.

    A stable cycle is accepted where Newton's method solves F^p(x) = x and every |multiplier| is below 1: an
    orbit that rests on a saddle in floats makes none. Where a rule decides before any step it does, however slow
    the units are: affine maps by their multipliers, averaging units (a leak, an update gate) by boxes that the
    map keeps and that shrink to a point, one unit by the order of its states. What enters no trapping ball of a
    cycle within the steps is CHAOTIC or an INVARIANT_CIRCLE by its largest exponent and its recurrence, or stays
    undecided.

    Circles and chaotic sets are known by samples. Two that overlap within the distance of neighbouring samples are
    two where time means of units, of products of two units, at one step or at two, means over every p-th state
    (p to 16: in which order bands of chaos and units beside them turn), coordinates that repeat by themselves, or
    combinations of units that all but rest, tell them apart. What differs in products of three alone, as three
    phases of which one is locked to the sum of the others, in the midst of a torus of more, is taken for one; so
    is what differs by less than 1e-4 of the set's size, but for coordinates that repeat. A part that turns less
    than once in the samples may be taken for several. A set on which some
    combination of units still goes in one direction, or whose returns come ever nearer, as to a cycle longer than
    ``max_period``, is none yet: its starts stay undecided. Chaos that one of 16 of its states leaves within 16 384
    steps, a transient or one part of a larger set, is no attractor: its starts run on to what they come to, or are
    undecided.

    Args:
        cell: any callable ``cell(x, u) -> x_next``.
        starts: shape (…, n), or (…) for a single neuron.
        u: the input of every step, or ``None``.
        max_steps: steps of a run. A candidate for a circle or chaotic set runs max_steps/2 + 2 samples more.
        max_period: the longest period looked for.
        samples: steps of the tail that exponents and recurrence are taken from, at least 256; an exponent
            closer to 0 than 8/samples counts as 0.
        state_ndim: axes of one state, 0 or 1. By default 0 for a single neuron, and for one-dimensional starts
            of a cell that takes scalars; else 1.
        chunk: starts that run at a time; 2¹⁶/n by default.
        topology: one entry for each coordinate, or one for all: the length L > 0 of a coordinate taken modulo L
            (2π, 1, 360), ``None`` for one on the line.

    Returns:
        The attractors by kind, period and first state; possibly none.

    Raises:
        TypeError, ValueError: arguments that do not fit the cell, are not finite or out of range.

    Warns:
        SmallStateWarning: all states are small beside 1, to which tolerances are relative.

    Reference: G. Datseris and A. Wagemakers, "Effortless estimation of basins of attraction", Chaos 32,
    023104 (2022), for recurrences; here cycles are solved for instead.
    """
    problem = checked_problem(cell, starts, u, state_ndim=state_ndim, chunk=chunk, topology=topology)
    limits = checked_limits(max_steps, max_period, samples)
    members, labels = in_order(*searched(problem, problem.starts, [], limits), problem.lengths)
    if topology is None:
        warn_of_seams(cell, problem.starts, orbits_among(problem, members), problem.u, problem.shape)
    warn_of_small_states(problem.dtype, problem.starts, orbits_among(problem, members))
    return of_members(
        members,
        [(labels == i).sum() for i in range(len(members))],
        problem.shape,
        problem.dtype,
        undecided=int((labels == UNDECIDED).sum()),
        diverged=int((labels == DIVERGED).sum()),
        steps=limits.max_steps,
        marginal=is_marginal(problem),
    )
