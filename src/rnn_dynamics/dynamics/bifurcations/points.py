"""Located bifurcations: where, how well known, and what kind of crossing."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Complex, Float

from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status


def multipliers_of(matrices: Float[np.ndarray, "... n n"]) -> Complex[np.ndarray, "... n"]:
    """Eigenvalues on the host, with no program to compile; NaN where a matrix is not finite.

    Each matrix is brought near 1 by a power of two first, which LAPACK fails to undo exactly where it does it.
    """
    matrices = np.asarray(matrices)
    finite = np.asarray(np.isfinite(matrices).all(axis=(-2, -1), keepdims=True))
    sound = np.where(finite, matrices, 0)
    exponent = np.frexp(np.abs(sound).max(axis=(-2, -1), keepdims=True))[1]
    values = np.linalg.eigvals(np.ldexp(sound, -exponent))
    values = values.astype(np.result_type(matrices.dtype, np.complex64))
    values.real, values.imag = (np.ldexp(part(values), exponent[..., 0]) for part in (np.real, np.imag))
    return np.where(finite[..., 0], values, np.nan)


@dataclasses.dataclass(frozen=True)
class SpecialPoint(Result):
    """A located event.

    Attributes:
        kind: "fold", "flip", "neimark-sacker", "pitchfork", "transcritical"; on two-parameter curves "cusp",
            "generalized flip", "chenciner", "fold-flip", "fold-neimark-sacker", "flip-neimark-sacker",
            "double neimark-sacker" and "1:1 resonance" to "1:4 resonance".
        parameter: λ at the event, a float; a pair of floats on a two-parameter curve.
        state: x at the event, in the cell's shape; a float for a single neuron.
        interval: the width within which the parameter is known: the rounding of the equations carried through
            the inverse of their derivative, or the last Newton step where that is larger.
        precision: the largest |F^p(x) − x| there, as floats give it.
        status: CONVERGED; MAX_STEPS where Newton's method did not end; UNRESOLVED where several events lie too
            close together to be told apart, or where a crossing is near but the branches do not meet.
        multipliers: of F^p at the event.
        coefficient: of the normal form (``bifurcations``); its sign is the criticality.
        criticality: "supercritical" or "subcritical" for flips, Neimark–Sacker bifurcations and pitchforks;
            "degenerate" where the coefficient is 0 to rounding; else "".
        angle: θ of a Neimark–Sacker bifurcation, radians a step of F^p; else nan.
        direction: the critical right vector q, unit length (real part for a pair).
        index: the event lies behind this point of its branch.
        crossing: at a pitchfork or transcritical point the tangents (x, λ) of both branches, unit length.
    """

    kind: str
    parameter: Any
    state: Any
    interval: float
    precision: float
    status: Status
    multipliers: Complex[np.ndarray, " n"] | None = None
    coefficient: float = float("nan")
    criticality: str = ""
    angle: float = float("nan")
    direction: Float[np.ndarray, " n"] | None = None
    index: int = -1
    crossing: Float[np.ndarray, "2 n+1"] | None = None

    _axes: ClassVar = {"n": "multiplier"}
    _units: ClassVar = {"angle": "radians"}

    def __repr__(self) -> str:
        at = self.parameter
        where = f"{at:.12g}" if np.ndim(at) == 0 else "(" + ", ".join(f"{v:.12g}" for v in at) + ")"
        words = [f"{self.kind} at {where} ± {self.interval:.1g}"]
        if self.criticality:
            words.append(self.criticality)
        if self.status != Status.CONVERGED:
            words.append(Status(self.status).name)
        return f"SpecialPoint({', '.join(words)})"


@dataclasses.dataclass(frozen=True)
class BifurcationCurve(Result):
    """Where a fixed point or cycle bifurcates, in the plane of two parameters.

    Attributes:
        kind: "fold", "flip" or "neimark-sacker".
        parameters: (λ₁, λ₂) along the curve, shape (m, 2).
        states: x, shape (m, n), or (m,) for a single neuron.
        coefficient: of the normal form, shape (m,); see ``SpecialPoint.coefficient``. Its sign on a curve of folds
            is that of the first point's null vector carried along.
        angle: θ along a Neimark–Sacker curve, radians; else nan.
        events: points of codimension two, located.
        period: p.
        status: how the ends came about, as ``Branch.status``; a Neimark–Sacker curve is cut where θ reaches 0 or π.
        closed: whether it came back to its beginning.
    """

    kind: str
    parameters: Float[np.ndarray, "m 2"]
    states: Float[np.ndarray, "m ..."]
    coefficient: Float[np.ndarray, " m"]
    angle: Float[np.ndarray, " m"]
    events: tuple[SpecialPoint, ...]
    period: int
    status: tuple[Status, Status]
    closed: bool

    picture: ClassVar = "bifurcation_curve"
    _axes: ClassVar = {"m": "point"}
    _units: ClassVar = {"angle": "radians"}

    def __len__(self) -> int:
        return len(self.parameters)

    def __repr__(self) -> str:
        events = ", ".join(f"{e.kind} at ({e.parameter[0]:.9g}, {e.parameter[1]:.9g})" for e in self.events)
        ends = "closed" if self.closed else ", ".join(s.name for s in self.status)
        return f"BifurcationCurve({self.kind}, {len(self)} points, {events or 'no event'}; ends {ends})"
