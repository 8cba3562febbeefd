"""Located bifurcations: where, how well known, and what kind of crossing."""

import dataclasses

import numpy as np
from jaxtyping import Complex, Float

from rnn_dynamics.status import Status

__all__ = ["SpecialPoint"]


@dataclasses.dataclass(frozen=True)
class SpecialPoint:
    """A located event.

    Attributes:
        kind: "fold", "flip", "neimark-sacker", "pitchfork", "transcritical"; on two-parameter curves also "cusp",
            "fold-flip", "generalized flip", "chenciner" and the resonances "1:1" to "1:4".
        parameter: λ at the event; a pair on a two-parameter curve.
        state: x at the event, in the cell's shape.
        interval: the width within which the parameter is known: the rounding of the equations carried through
            the inverse of their derivative, or the last Newton step where that is larger.
        precision: the largest |F^p(x) − x| there, as floats give it.
        status: CONVERGED; MAX_STEPS where Newton's method did not end; UNRESOLVED where several events lie too
            close together to be told apart.
        multipliers: of F^p at the event.
        coefficient: of the normal form (``bifurcations``); its sign is the criticality.
        criticality: "supercritical" or "subcritical" for flips, Neimark–Sacker bifurcations and pitchforks;
            "degenerate" where the coefficient is 0 to rounding; else "".
        angle: θ of a Neimark–Sacker bifurcation, radians a step of F^p; else nan.
        direction: the critical right vector q, unit length (real part for a pair).
        index: the event lies behind this point of its branch.
    """

    kind: str
    parameter: float | tuple[float, float]
    state: float | Float[np.ndarray, " n"]
    interval: float
    precision: float
    status: Status
    multipliers: Complex[np.ndarray, " n"] | None = None
    coefficient: float = float("nan")
    criticality: str = ""
    angle: float = float("nan")
    direction: Float[np.ndarray, " n"] | None = None
    index: int = -1

    def __repr__(self) -> str:
        at = self.parameter
        where = f"{at:.12g}" if np.ndim(at) == 0 else "(" + ", ".join(f"{v:.12g}" for v in at) + ")"  # type: ignore[union-attr]
        words = [f"{self.kind} at {where} ± {self.interval:.1g}"]
        if self.criticality:
            words.append(self.criticality)
        if self.status != Status.CONVERGED:
            words.append(Status(self.status).name)
        return f"SpecialPoint({', '.join(words)})"
