"""The attractors of a map, found or given."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from rnn_dynamics.dynamics.basins.kinds import AttractorKind
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status


@dataclasses.dataclass(frozen=True)
class Attractors(Result):
    """Attractors of a map x⁺ = F(x, u), all on the host.

    Attributes:
        kinds: an ``AttractorKind`` each.
        points: one state of each; of a cycle the lexicographically smallest, of other sets the first of ``orbits``.
        orbits: states of each, padded with NaN to one length: the p states of a cycle in order, a sample
            along the orbit of a circle or chaotic set.
        periods: minimal periods; 0 for circles and chaotic sets.
        exponents: largest Lyapunov exponents, nats a step; log|λ|/p of a cycle, λ its largest multiplier.
        standard_errors: of the exponents, by blocks; 0 for cycles, whose multipliers are computed.
        status: CONVERGED where the equation of a cycle is solved, RESOLVED where the exponent and the
            recurrence tell the kind.
        counts: the starts that were seen to end at each.
        undecided: starts that ended at none of them within the steps.
        diverged: starts whose states left the finite numbers.
        steps: the step limit of the search; 0 where the attractors were given.
        marginal: whether nothing attracts: the map is affine with a largest multiplier of size 1, so that orbits
            rest, turn or drift wherever they begin, or keeps volume, |det DF| = 1.
    """

    kinds: Int[np.ndarray, " m"]
    points: Float[np.ndarray, "m ..."]
    orbits: Float[np.ndarray, "m length ..."]
    periods: Int[np.ndarray, " m"]
    exponents: Float[np.ndarray, " m"]
    standard_errors: Float[np.ndarray, " m"]
    status: Int[np.ndarray, " m"]
    counts: Int[np.ndarray, " m"]
    undecided: int
    diverged: int
    steps: int
    marginal: bool = False

    _axes: ClassVar = {"m": "attractor", "length": "phase"}
    _units: ClassVar = {"exponents": "nats a step", "standard_errors": "nats a step", "periods": "steps"}
    _words: ClassVar = {"kinds": AttractorKind}

    @property
    def period(self) -> Int[np.ndarray, " m"]:
        """``periods`` by the name that ``FixedPoints`` has for it."""
        return self.periods

    def __len__(self) -> int:
        return len(self.kinds)

    def orbit(self, index: int) -> Float[np.ndarray, "length ..."]:
        """The states of one attractor without the padding."""
        states = self.orbits[index]
        return states[np.isfinite(states.reshape(len(states), -1)).all(1)]

    def describe(self, index: int) -> str:
        """A few words: "fixed point", "2-cycle", "invariant circle", "chaotic set"."""
        kind = AttractorKind(int(self.kinds[index]))
        if kind == AttractorKind.CYCLE:
            return f"{int(self.periods[index])}-cycle"
        names = {AttractorKind.FIXED_POINT: "fixed point", AttractorKind.CHAOTIC: "chaotic set"}
        return names.get(kind, "invariant circle")

    def __repr__(self) -> str:
        names = ", ".join(self.describe(i) for i in range(len(self))) or "none"
        open_ones = f"; {self.undecided} starts undecided, {self.diverged} diverged" if self.steps else ""
        marginal = "; marginal: a multiplier of size 1 or |det DF| = 1, nothing attracts" * self.marginal
        return f"Attractors({len(self)}: {names}{open_ones}{marginal})"


@dataclasses.dataclass(frozen=True)
class Member:
    """One attractor before it is put among the others; ``orbit`` has shape (length, n)."""

    kind: AttractorKind
    orbit: np.ndarray
    exponent: float
    standard_error: float
    status: Status

    @property
    def is_cycle(self) -> bool:
        return self.kind in (AttractorKind.FIXED_POINT, AttractorKind.CYCLE)


def of_members(
    members: list[Member], counts: Any, shape: tuple[int, ...], dtype: Any, **totals: Any
) -> Attractors:
    """Make the container of a list of members."""
    longest = max((len(member.orbit) for member in members), default=1)
    size = int(np.prod(shape, dtype=int))
    orbits = np.full((len(members), longest, size), np.nan, dtype)
    for row, member in zip(orbits, members, strict=True):
        row[: len(member.orbit)] = member.orbit
    points = np.array([member.orbit[0] for member in members], dtype).reshape(len(members), *shape)
    return Attractors(
        kinds=np.array([int(member.kind) for member in members], np.int32),
        points=points,
        orbits=orbits.reshape(len(members), longest, *shape),
        periods=np.array([len(m.orbit) if m.is_cycle else 0 for m in members], np.int32),
        exponents=np.array([member.exponent for member in members], dtype),
        standard_errors=np.array([member.standard_error for member in members], dtype),
        status=np.array([int(member.status) for member in members], np.int32),
        counts=np.asarray(counts, np.int64).reshape(len(members)),
        **totals,
    )


def members_of(attractors: Attractors, n: int, dtype: Any) -> list[Member]:
    """The list of members of a container, states of length n."""
    members = []
    for i in range(len(attractors)):
        orbit = attractors.orbit(i)
        numbers = float(attractors.exponents[i]), float(attractors.standard_errors[i])
        kind, status = AttractorKind(int(attractors.kinds[i])), Status(int(attractors.status[i]))
        members.append(Member(kind, orbit.reshape(len(orbit), n).astype(dtype), *numbers, status))
    return members
