"""What a search for fixed points and cycles returns."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Complex, Float, Int

from rnn_dynamics.dynamics.equilibria.ends import OrbitEnd, OrbitEnds
from rnn_dynamics.dynamics.phases import Lengths, apart
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.texts import counted

_CREEPS = 0.1  # relative distance of a marginal point within which orbits are taken to creep towards it


@dataclasses.dataclass(frozen=True)
class Eigenvectors(Result):
    """Directions in which a small deviation grows or decays, ⟨left_i, right_j⟩ = δ_ij.

    Attributes:
        multipliers: λ, shape (m, n), in the order of ``FixedPoints.multipliers``.
        right: J r_i = λ_i r_i with ‖r_i‖ = 1, shape (m, n, n), vector i in row i.
        left: l_iᴴ J = λ_i l_iᴴ, shape (m, n, n), vector i in row i; NaN where the condition is infinite.
        condition: ‖l_i‖‖r_i‖ ≥ 1, by how much an error of J is magnified in λ_i; infinite where r_i belongs to
            a multiple eigenvalue that has too few eigenvectors.
    """

    multipliers: Complex[np.ndarray, "m n"]
    right: Complex[np.ndarray, "m n n"]
    left: Complex[np.ndarray, "m n n"]
    condition: Float[np.ndarray, "m n"]

    _axes: ClassVar = {"m": "point", "n": "multiplier"}


@dataclasses.dataclass(frozen=True, repr=False)
class SlowPoints(Result):
    """Minima of the speed q = ½‖F^p(x) − x‖² where it is not 0: no fixed points, but orbits linger there.

    Attributes:
        points: x, shape (m, *state), in ascending order of q.
        speed: q, shape (m,).
        multipliers: of ∂F^p/∂x there, shape (m, n), complex.
    """

    points: Float[np.ndarray, "m ..."]
    speed: Float[np.ndarray, " m"]
    multipliers: Complex[np.ndarray, "m n"]

    _axes: ClassVar = {"m": "slow_point", "n": "multiplier"}

    def __len__(self) -> int:
        return len(self.points)

    def __repr__(self) -> str:
        if not len(self):
            return "SlowPoints(none found)"
        return f"SlowPoints({len(self)}, q from {self.speed[0]:.3g} to {self.speed[-1]:.3g})"


@dataclasses.dataclass(frozen=True, repr=False)
class FixedPoints(Result):
    """Fixed points and cycles of a map, m of them, each once, in lexicographic order.

    Attributes:
        points: a state of each, shape (m, *state); of a cycle the lexicographically smallest, or under a periodic
            input the first at its phase 0.
        orbits: the states of each cycle, shape (m, period_max, *state), NaN beyond its own period.
        period: the minimal period of each in steps, shape (m,). Under a periodic input a multiple of its length.
        residual: ‖F^p(x) − x‖ for each one's own period p, shape (m,).
        error: how far the root may be from x, shape (m,): the distance beyond which the residual stands out of
            its rounding. Infinite where the points of a whole line all pass.
        multipliers: eigenvalues of ∂F^p/∂x, shape (m, n), complex, in descending order of |λ|.
        stable: all |λ| < 1, none of them marginal, shape (m,).
        marginal: some |λ| cannot be told from 1, shape (m,).
        unstable: the number of |λ| > 1, marginal ones not counted, shape (m,).
        status: ``Status``, shape (m,): CONVERGED, or UNRESOLVED at a multiple root, where ``error`` is far
            larger than the residual suggests.
        start_status: how each start ended, shape (starts,): CONVERGED at one of the points, UNDECIDED at a slow
            point or another standstill of q, DIVERGED, or MAX_STEPS.
        start_point: the index of the point that each start reached, −1 where none.
        slow: minima of q with q > 0.
        complete: whether these are all there are (scalar neurons, exhaustive search).
        jacobians: ∂F^p/∂x, shape (m, n, n).
        start_residual: ‖F^p(x) − x‖ where the search from each start ended, shape (starts,), or ``None``.
        ends: where the starts' own orbits end, or ``None`` where none was followed.
        index_sum: Σ sign det(I − ∂F^p/∂x) over the roots of x = F^p(x) that are listed, or ``None`` where a
            point is marginal or unresolved.
        bounded: whether the map is known to take a box into itself; all roots then have an index sum of 1, and
            another ``index_sum`` proves that some are missing.
        cell: the cell whose map this is; what is drawn of its flow uses this one.
        inputs: the input that was held or repeated, leading axis q; ``None`` for none.
        lengths: of the coordinates that are phases, whose values lie in [0, L); ``None`` where none is.
    """

    points: Float[np.ndarray, "m ..."]
    orbits: Float[np.ndarray, "m period ..."]
    period: Int[np.ndarray, " m"]
    residual: Float[np.ndarray, " m"]
    error: Float[np.ndarray, " m"]
    multipliers: Complex[np.ndarray, "m n"]
    stable: Bool[np.ndarray, " m"]
    marginal: Bool[np.ndarray, " m"]
    unstable: Int[np.ndarray, " m"]
    status: Int[np.ndarray, " m"]
    start_status: Int[np.ndarray, " starts"]
    start_point: Int[np.ndarray, " starts"]
    slow: SlowPoints
    complete: bool
    jacobians: Float[np.ndarray, "m n n"]
    start_residual: Float[np.ndarray, " starts"] | None = None
    ends: OrbitEnds | None = None
    index_sum: int | None = None
    bounded: bool = False
    cell: Any = None
    inputs: Any = None
    lengths: Lengths | None = None

    picture: ClassVar = "fixed_points"
    _axes: ClassVar = {"m": "point", "n": "multiplier", "period": "phase"}
    _units: ClassVar = {"period": "steps"}
    _columns: ClassVar = ("kind",)

    def __len__(self) -> int:
        return len(self.points)

    @property
    def periods(self) -> Int[np.ndarray, " m"]:
        """``period`` by the name that ``Attractors`` has for it."""
        return self.period

    @property
    def kind(self) -> tuple[str, ...]:
        """ "stable", "saddle", "repelling" (every |λ| > 1) or "marginal" for each."""
        size = self.multipliers.shape[1]
        kinds = np.where(self.unstable == size, "repelling", np.where(self.unstable > 0, "saddle", "stable"))
        # A marginal direction beside a growing one leaves a saddle a saddle.
        return tuple(np.where(self.marginal & (self.unstable == 0), "marginal", kinds).tolist())

    @property
    def time_constants(self) -> Float[np.ndarray, "m n"]:
        """−p/ln|λ| in steps, shape (m, n): the e-folding time along each direction; negative where it grows."""
        with np.errstate(divide="ignore"):
            return -self.period[:, None] / np.log(np.abs(self.multipliers))

    @property
    def missing(self) -> tuple[str, ...]:
        """What is known to be missing from the list, a sentence each; empty where nothing is known to be.

        Cycles of other periods than the one asked for at which orbits end; orbits whose end is not known, but for
        those that creep near a listed marginal point; points that the index sum proves. Circles and chaotic sets
        are no points or cycles: ``ends`` counts them.
        """
        sentences = []
        cycles = {} if self.ends is None else self.ends.unlisted_cycles()
        for length, orbits in cycles.items():
            sentences.append(
                f"{orbits} of {len(self.ends or ())} orbits end at a cycle of period {length}, which this "
                "period does not list"
            )
        if self.ends is not None and (undecided := self._lost()):
            sentences.append(
                f"{undecided} of {len(self.ends)} orbits had no known end after "
                f"{counted(self.ends.steps.max(), 'step')}"
            )
        if self.bounded and self.index_sum not in (None, 1):
            sign = "saddles" if self.index_sum > 1 else "points of index 1, as attractors are,"
            sentences.append(
                f"the indices of the listed points sum to {self.index_sum}; those of all points sum to 1: {sign} "
                "are missing"
            )
        return tuple(sentences)

    def _lost(self) -> int:
        """How many orbits have no known end and are at no marginal point's, where orbits creep."""
        assert self.ends is not None
        open_ones = self.ends.states[self.ends.kind == OrbitEnd.UNDECIDED]
        slow = self.marginal | (self.status != Status.CONVERGED)
        n = self.multipliers.shape[1]
        states, points = open_ones.reshape(-1, 1, n), self.orbits[slow].reshape(1, -1, n)
        if np.isinf(self.error).any():  # a line of points stands in the list as one
            return 0
        if not points.size:
            return len(open_ones)
        with np.errstate(invalid="ignore"):
            gaps = apart(states, points, self.lengths)
        near = np.nanmin(np.where(np.isnan(gaps), np.inf, gaps), axis=1)
        return int(np.sum(near > _CREEPS * np.maximum(np.abs(states).max((1, 2), initial=0), 1)))

    @property
    def winding(self) -> Int[np.ndarray, "m n"]:
        """Turns of each phase over one period, each step counted forwards, shape (m, n): known modulo the period.

        Over the period it is the rotation number of a circle map; 0 for coordinates on a line.
        """
        m, n = self.multipliers.shape
        turns = np.zeros((m, n), int)
        for row, (orbit, period) in enumerate(zip(self.orbits.reshape(m, -1, n), self.period, strict=True)):
            steps = np.diff(orbit[:period], axis=0, append=orbit[:1])
            for i, length in enumerate(self.lengths or ()):
                if length is not None:
                    turns[row, i] = round(float(np.sum(steps[:, i] % length)) / length) % period
        return turns

    def converged(self) -> int:
        """How many starts reached a point."""
        return int(np.sum(self.start_status == Status.CONVERGED))

    def eigenvectors(self) -> Eigenvectors:
        """Left and right eigenvectors of ∂F^p/∂x at each point, on the host.

        Raises:
            LinAlgError: the iteration for the eigenvalues failed.
        """
        m, n = self.multipliers.shape
        if not m:
            nothing = np.zeros((0, n, n), self.multipliers.dtype)
            return Eigenvectors(self.multipliers, nothing, nothing, np.zeros((0, n)))
        parts = [_biorthogonal(matrix) for matrix in self.jacobians]
        return Eigenvectors(*(np.stack(part) for part in zip(*parts, strict=True)))

    def __repr__(self) -> str:
        return f"FixedPoints({_described(self)})"


def descending(values: Complex[np.ndarray, "... n"]) -> Int[np.ndarray, "... n"]:
    """The order of eigenvalues: |λ| descending, then the imaginary part, so that a pair stands together."""
    return np.lexsort((-np.real(values), -np.imag(values), -np.abs(values)), axis=-1)


def _biorthogonal(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues, right and left eigenvectors in rows, and condition numbers of one matrix."""
    import scipy.linalg

    solved: Any = scipy.linalg.eig(matrix, left=True, right=True)
    values, left, right = solved
    order = descending(values)
    values, left, right = values[order], left.T[order], right.T[order]
    overlap = np.sum(left.conj() * right, axis=1)
    defective = np.abs(overlap) <= len(values) * np.finfo(matrix.dtype).eps
    safe = np.where(defective, 1, overlap)
    scaled = np.where(defective[:, None], np.nan, left / safe.conj()[:, None])
    condition = np.where(defective, np.inf, 1 / np.abs(safe))
    return values, right, scaled, condition


_STALLED = {
    Status.UNDECIDED: "stalled",
    Status.MAX_STEPS: "ran out of steps",
    Status.DIVERGED: "left the finite numbers",
}


def _unconverged(found: FixedPoints) -> str:
    """Why starts did not converge: "; 12 stalled at residuals .01 to .3, 1 left the finite numbers"."""
    parts = []
    for status, words in _STALLED.items():
        own = found.start_status == status
        if not own.any():
            continue
        sizes = np.zeros(0) if found.start_residual is None else found.start_residual[own]
        sizes = sizes[np.isfinite(sizes)]
        low, high = (f"{value:.2g}" for value in (sizes.min(initial=np.inf), sizes.max(initial=0.0)))
        at = f" at residual{'s' * (low != high)} {low}" + f" to {high}" * (low != high)
        parts.append(f"{int(own.sum())} {words}{at * bool(sizes.size)}")
    return f", {', '.join(parts)}" * bool(parts)


def _indices(found: FixedPoints) -> str:
    if found.ends is None:
        return ""
    if not found.bounded:
        return "; index sum not defined"
    if found.index_sum is None:
        return "; index sum not known (marginal points)"
    wrong = ", not 1: points are missing" * (found.index_sum != 1)
    return f"; index sum {found.index_sum}{wrong}"


def _described(found: FixedPoints) -> str:
    starts, slow = len(found.start_status), len(found.slow)
    tail = f"; {slow} slow" * bool(slow) + "; complete" * found.complete
    if found.ends is not None:
        tail += f"; {found.ends!r}{_indices(found)}"
    if not len(found):
        reasons = _unconverged(found).replace("left the finite numbers", "diverged")
        return "none found" + f" from {starts} starts" * bool(starts) + reasons + tail
    plural = "s" * (len(found) > 1)
    if (found.period == 1).all():
        what = f"{len(found)} fixed point{plural}"
    else:
        what = ", ".join(f"{int(np.sum(found.period == p))} of period {p}" for p in np.unique(found.period))
    kinds = ", ".join(f"{found.kind.count(kind)} {kind}" for kind in sorted(set(found.kind)))
    unresolved = int(np.sum(found.status == Status.UNRESOLVED))
    counted = f"; {found.converged()} of {starts} starts converged{_unconverged(found)}" * bool(starts)
    return f"{what}: {kinds}{counted}" + f"; {unresolved} unresolved" * bool(unresolved) + tail
