"""What growing a stable or unstable set returns."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status


@dataclasses.dataclass(frozen=True, repr=False)
class Side(Result):
    """One of the two halves of an invariant set, in order from the saddle outwards.

    Attributes:
        states: shape (m, *state), the saddle first.
        arclength: of the polygon through them, shape (m,), 0 first.
        status: CONVERGED where the side is as long as asked for, or ran into ``limit``; MAX_STEPS where
            ``max_points`` ended it; UNRESOLVED where the floats do not tell neighbouring orbits apart, no
            preimage was found, or a multiplier too near 1 does not let it grow; DIVERGED where it left the finite
            numbers.
        limit: the fixed point of the return map that the side ends at, shape (*state), else ``None``: a stable
            one for an unstable set, a repelling one for a stable set.
    """

    states: Float[np.ndarray, "m ..."]
    arclength: Float[np.ndarray, " m"]
    status: Status
    limit: Float[np.ndarray, "..."] | None = None

    _axes: ClassVar = {"m": "point"}

    def __len__(self) -> int:
        return len(self.states)

    @property
    def end(self) -> str:
        """Says in words why the line ended."""
        words = {
            Status.MAX_STEPS: "most points reached",
            Status.UNRESOLVED: "unresolved",
            Status.DIVERGED: "diverged",
        }
        reached = "length reached" if self.limit is None else "ends at a fixed point"
        return words.get(self.status, reached)

    def __repr__(self) -> str:
        return f"Side({len(self)} points, length {self.arclength[-1]:.4g}, {self.end})"


@dataclasses.dataclass(frozen=True, repr=False)
class InvariantSet(Result):
    """A one-dimensional stable or unstable set of a fixed point or cycle, tangent to an eigenvector there.

    Attributes:
        kind: "stable" or "unstable".
        point: the saddle, or the state of the cycle that the set belongs to, shape (*state).
        period: p of the cycle.
        multiplier: of F^p along the set; where it is negative F^p swaps the two sides.
        direction: the unit eigenvector, shape (n,); the first side leaves along it, the second against it.
        sides: the two halves.
    """

    kind: str
    point: Float[np.ndarray, "..."]
    period: int
    multiplier: float
    direction: Float[np.ndarray, " n"]
    sides: tuple[Side, Side]

    picture: ClassVar = "invariant_set"
    _axes: ClassVar = {"n": "unit"}
    _units: ClassVar = {"period": "steps"}

    @property
    def states(self) -> Float[np.ndarray, "m ..."]:
        """Both sides as one curve, from the end of the second through the saddle to the end of the first."""
        first, second = self.sides
        return np.concatenate([second.states[:0:-1], first.states])

    def __repr__(self) -> str:
        first, second = self.sides
        of = "a fixed point" if self.period == 1 else f"a {self.period}-cycle"
        return (
            f"InvariantSet({self.kind} set of {of}, multiplier {self.multiplier:.6g}; "
            f"lengths {first.arclength[-1]:.4g} ({first.end}), {second.arclength[-1]:.4g} ({second.end}))"
        )
