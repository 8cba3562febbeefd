"""Where the starts' own orbits end, beside the points that a search lists: fields, words, and the warning."""

import dataclasses
import enum
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from rnn_dynamics.numerics.results import Result


class MissingAttractorWarning(UserWarning):
    """A list of fixed points and cycles lacks one that the starts' own orbits or the index sum show."""


class OrbitEnd(enum.IntEnum):
    """Where an orbit ends.

    ========= ========================================================================================
    POINT     at a listed point or cycle that attracts it, shown by its multipliers and a decreasing norm
    RESTS     for thousands of steps at a point or cycle that does not attract, listed or not: in floats the
              orbit of a symmetric start stays there, one along a heteroclinic cycle for ever longer times
    CYCLE     at a stable cycle that is not listed, as its period does not divide the one asked for
    RECURRENT on a set that neither rests nor repeats: an invariant circle, a torus or chaos
    AWAY      still finite, but 10³ times farther out than any start, and going on outwards
    DIVERGED  no longer finite
    UNDECIDED none of these within the steps
    ========= ========================================================================================
    """

    POINT = 0
    RESTS = 1
    CYCLE = 2
    RECURRENT = 3
    AWAY = 4
    DIVERGED = 5
    UNDECIDED = 6


_WORDS = {
    OrbitEnd.RESTS: "rest on a point that does not attract",
    OrbitEnd.RECURRENT: "on circles or chaotic sets",
    OrbitEnd.AWAY: "go away",
    OrbitEnd.DIVERGED: "diverged",
    OrbitEnd.UNDECIDED: "undecided",
}
# Shares are printed one by one up to here.
_FEW = 6


@dataclasses.dataclass(frozen=True, repr=False)
class OrbitEnds(Result):
    """Where orbits of the starts end when they are simply iterated.

    Attributes:
        starts: which of the starts were iterated, shape (k,): all, or as many as asked for, evenly spread.
        kind: an ``OrbitEnd`` each, shape (k,).
        point: the index of the listed point or cycle where each ends, −1 where it ends at none, shape (k,).
        period: minimal period in steps of the cycle where each ends, listed or not; 0 where it ends at none.
        states: the last state computed, shape (k, *state).
        steps: how many steps each took until its end was known, shape (k,).
        nudged: orbits that were started beside listed unstable points, along their unstable directions; they
            are not counted above, but the attractors that they led to are listed.
    """

    starts: Int[np.ndarray, " k"]
    kind: Int[np.ndarray, " k"]
    point: Int[np.ndarray, " k"]
    period: Int[np.ndarray, " k"]
    states: Float[np.ndarray, "k ..."]
    steps: Int[np.ndarray, " k"]
    nudged: int

    _units: ClassVar = {"period": "steps", "steps": "steps"}
    _words: ClassVar = {"kind": OrbitEnd}

    def __len__(self) -> int:
        return len(self.kind)

    def count(self, kind: OrbitEnd) -> int:
        """How many orbits end this way."""
        return int(np.sum(self.kind == kind))

    def shares(self) -> Int[np.ndarray, " listed"]:
        """How many orbits end at each listed point that at least one ends at, in the order of the list."""
        return np.unique(self.point[self.kind == OrbitEnd.POINT], return_counts=True)[1]

    def unlisted_cycles(self) -> dict[int, int]:
        """Minimal period → orbits that end at a cycle of that period which is not listed."""
        periods, counts = np.unique(self.period[self.kind == OrbitEnd.CYCLE], return_counts=True)
        return dict(zip(periods.tolist(), counts.tolist(), strict=True))

    def _elsewhere(self) -> str:
        parts = [f"{n} at a {p}-cycle not listed" for p, n in self.unlisted_cycles().items()]
        parts += [f"{self.count(kind)} {words}" for kind, words in _WORDS.items() if self.count(kind)]
        return ", ".join(parts)

    def __repr__(self) -> str:
        if not len(self):
            return "no orbits followed"
        shares = self.shares()
        listed = int(shares.sum())
        each = " : ".join(map(str, shares.tolist()))
        first = f"{each} of {len(self)} orbits end at listed points"
        if not 0 < len(shares) <= _FEW:
            at = f" ({len(shares)} of them)" if len(shares) else ""
            first = f"{listed} of {len(self)} orbits end at listed points{at}"
        rest = len(self) - listed
        return f"{first}; {rest} elsewhere" + f": {self._elsewhere()}" * bool(rest)
