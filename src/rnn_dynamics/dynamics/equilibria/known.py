"""The roots that a search has met so far, each once, and how the stable ones attract."""

import dataclasses

import numpy as np

from rnn_dynamics.dynamics.equilibria.attracting import Attracting, attracting
from rnn_dynamics.dynamics.equilibria.cycles import Roots
from rnn_dynamics.dynamics.equilibria.equation import RootProblem
from rnn_dynamics.dynamics.equilibria.orbit_kernels import windows

ONE_ROOT = (
    1e-3  # relative distance beyond which two states are no one root, whatever the error of a multiple one
)


@dataclasses.dataclass
class Known:
    """Roots met so far, each once, of any minimal period.

    Attributes:
        problem: the map.
        tolerance: of a root.
        longest: the longest period looked for in windows of the orbits.
        roots: one each, as a batch of one.
        length: minimal period of each in multiples of the input's.
        phases: the states of each cycle, (length, n).
        kinds: "stable", "marginal" or "unstable".
        number: the caller's number of each, −1 for what the orbits led to.
        norms: how the stable ones attract, ``None`` where floats do not tell; made when first asked for.
    """

    problem: RootProblem
    tolerance: float
    longest: int
    roots: list[Roots] = dataclasses.field(default_factory=list)
    length: list[int] = dataclasses.field(default_factory=list)
    phases: list[np.ndarray] = dataclasses.field(default_factory=list)
    kinds: list[str] = dataclasses.field(default_factory=list)
    number: list[int] = dataclasses.field(default_factory=list)
    norms: dict[int, Attracting | None] = dataclasses.field(default_factory=dict)

    def error(self, place: int) -> float:
        """How far a root may be from the true one; a line of roots has none."""
        return float(self.roots[place].error[0])

    def holds(self, points: np.ndarray, length: int) -> np.ndarray:
        """Which points are phases of a known root whose period divides ``length``."""
        found = np.zeros(len(points), bool)
        rounding = 64 * np.finfo(points.dtype).eps * self.problem.norms(points)
        for place, (own, phases) in enumerate(zip(self.length, self.phases, strict=True)):
            if length % own == 0:
                error, scale = self.error(place), float(self.problem.norms(phases).max())
                near = min(4 * error, ONE_ROOT * scale) if np.isfinite(error) else 1e-7 * scale
                apart = self.problem.apart(points[:, None], phases[None]).min(1)
                found |= apart <= near + rounding
        return found

    def add(self, roots: Roots, length: int, numbers: np.ndarray | None = None) -> int:
        """Take the roots of minimal period ``length`` that are not known; how many there were."""
        fresh = 0
        for i in roots.best_first():
            if self.holds(roots.points[i : i + 1], length)[0]:
                continue
            phases = roots.points[i : i + 1]
            if length > 1:
                steps = max(length, self.longest + 1)  # of one program for all cycles that windows hold
                phases = windows(self.problem, phases, steps)[0, :length]
            self.roots.append(roots.take(np.array([i])))
            self.length.append(length)
            self.phases.append(phases)
            self.kinds.append(_kind(roots, i))
            self.number.append(-1 if numbers is None else int(numbers[i]))
            fresh += 1
        return fresh

    def met_unstable(self) -> int:
        """How many of the roots that orbits led to are not stable."""
        return sum(
            number < 0 and kind != "stable" for number, kind in zip(self.number, self.kinds, strict=True)
        )

    def norm(self, place: int) -> Attracting | None:
        """Return the norm in which a stable root attracts."""
        if place not in self.norms:
            root = self.roots[place]
            self.norms[place] = attracting(
                root.points[0], root.jacobian[0], self.length[place], place, self.problem.lengths
            )
        return self.norms[place]

    def share_of_way(self, place: int, states: np.ndarray) -> np.ndarray:
        """How far states (m, n) have come from a stable root towards any other: 1 beside that, ≤ 0 on the far side.

        The largest ⟨x − x*, y − x*⟩/‖y − x*‖² over the other roots y, in the norm of x*; −∞ where there is none.
        Marginal roots of a line do not count: it passes through the points on it. Those that stand alone do.
        """
        norm = self.norm(place)
        others = [
            phases
            for other, phases in enumerate(self.phases)
            if other != place and (self.kinds[other] != "marginal" or np.isfinite(self.error(other)))
        ]
        if norm is None or not others:
            return np.full(len(states), -np.inf)
        ways, here = norm.coordinates(np.concatenate(others)), norm.coordinates(states)
        with np.errstate(all="ignore"):
            shares = np.matmul(here, ways.T) / np.sum(ways**2, axis=1)
        return np.nan_to_num(shares, nan=-np.inf).max(axis=1)

    def nearest_stable(self, states: np.ndarray) -> np.ndarray:
        """The stable root nearest to each state, −1 where there is none."""
        best, least = np.full(len(states), -1), np.full(len(states), np.inf)
        for place, phases in enumerate(self.phases):
            if self.kinds[place] != "stable":
                continue
            apart = np.min([self.problem.apart(states, phase) for phase in phases], axis=0)
            best, least = np.where(apart < least, place, best), np.minimum(apart, least)
        return best


def _kind(roots: Roots, i: int) -> str:
    """ "stable", "marginal" or "unstable", by the same doubt as in the list."""
    matrix = roots.jacobian[i].astype(np.float64)
    sizes = np.abs(np.linalg.eigvals(matrix))
    doubt = float(roots.change[i]) + 32 * len(matrix) * float(np.finfo(roots.points.dtype).eps) * max(
        float(np.sqrt((matrix**2).sum())), 1.0
    )
    if not np.isfinite(doubt) or not roots.resolved[i]:
        return "marginal"
    largest = sizes.max()
    return "unstable" if largest > 1 + doubt else "stable" if largest < 1 - doubt else "marginal"
