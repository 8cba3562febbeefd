"""Bounds on ‖∂x_T/∂x_k‖: which are theorems, how tight they are, and where the popular one is violated."""

import dataclasses
import functools
import math
from typing import Any, ClassVar

import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from rnn_dynamics.cells.declared import RecurrentStructure
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.gradients.jacobians import gradient_norms
from rnn_dynamics.numerics.eigen import spectral_norm, spectral_radius
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.spectral.diagonal_scaling import LARGEST_WEIGHT, ScaledBounds, scaled_bounds
from rnn_dynamics.spectral.joint_radius import JointRadius, joint_spectral_radius, slope_corners, slope_radius
from rnn_dynamics.spectral.nonnormal import eigenvalue_conditions
from rnn_dynamics.spectral.step_bounds import StepBounds, step_bounds
from rnn_dynamics.spectral.weight_bounds import log_absolute_bound, log_power


@dataclasses.dataclass(frozen=True)
class Bound(Result):
    """One bound on ‖∂x_T/∂x_k‖₂ along a trajectory.

    Attributes:
        name: "steps", "norm", "scaled", "absolute" from above, "volume", "smallest" from below, or "radius".
        formula: what it says, with n = T − k.
        above: whether it bounds the norm from above.
        theorem: whether it holds for this cell at every state.
        log: its natural logarithm for every k, shape (T+1,).
        tightness: decades a step between it and the norm at the longest lag (negative: on the wrong side).
        violated: mask over k: the norm lies on its wrong side by more than rounding.
        conclusive: what it proves: "vanishes" where a theorem says that the norm decays, "explodes" where one
            says that it grows with every lag of this trajectory, else "".
    """

    name: str
    formula: str
    above: bool
    theorem: bool
    log: np.ndarray
    tightness: float
    violated: np.ndarray
    conclusive: str

    _units: ClassVar = {"log": "nats", "tightness": "decades a step"}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Bounds(Result):
    """ln‖∂x_T/∂x_k‖₂ for every k = 0 … T beside what bounds it and what is said to bound it.

    Attributes:
        log_norms: ln‖∂x_T/∂x_k‖₂, shape (T+1,).
        log_steps, log_smallest, log_volume: ln Π_{i=k+1…T} of ‖J_i‖₂ (above), s_min(J_i) and |det J_i|^{1/dim}
            (below): theorems for every cell.
        log_norm_bound: n ln((1−α) + α γ s₁(W)), a theorem for a cell that declares W, γ and α; else ``None``.
        log_absolute: ln √(‖Mⁿ‖₁‖Mⁿ‖_∞), M = (1−α) I + α γ |W| entry by entry, a theorem likewise.
        log_radius_claim: n ln((1−α) + α γ ρ(W)), the textbook's, no theorem; ``None`` without W.
        radius, norm: ρ(W) and s₁(W), or ``None``.
        structure: W and α, or ``None``.
        slope_bound: γ, or ``None``.
        leaky: whether α < 1 may hold.
    """

    log_norms: Float[Array, " steps+1"]
    log_steps: Float[Array, " steps+1"]
    log_smallest: Float[Array, " steps+1"]
    log_volume: Float[Array, " steps+1"]
    log_norm_bound: Float[Array, " steps+1"] | None
    log_absolute: Float[Array, " steps+1"] | None
    log_radius_claim: Float[Array, " steps+1"] | None
    radius: Float[Array, ""] | None
    norm: Float[Array, ""] | None
    structure: tuple[Float[Array, "n n"], Any] | None
    slope_bound: float | None = dataclasses.field(metadata={"static": True})
    leaky: bool = dataclasses.field(metadata={"static": True})

    picture: ClassVar = "norms_against_lag"
    _axes: ClassVar = {"n": "unit"}
    _units: ClassVar = {
        "log_norms": "nats",
        "log_steps": "nats",
        "log_smallest": "nats",
        "log_volume": "nats",
        "log_norm_bound": "nats",
        "log_absolute": "nats",
        "log_radius_claim": "nats",
    }

    @property
    def steps(self) -> int:
        """The number of steps, T."""
        return self.log_norms.shape[-1] - 1

    @property
    def status(self) -> Status:
        """DIVERGED where a norm is NaN, as states or products were not finite; else RESOLVED."""
        return Status.DIVERGED if np.isnan(np.asarray(self.log_norms)).any() else Status.RESOLVED

    @property
    def lags(self) -> np.ndarray:
        """The lags n = T − k for every k."""
        return np.arange(self.steps, -1, -1)

    @functools.cached_property
    def scaled(self) -> ScaledBounds | None:
        """The bound in the best diagonal units lag by lag (``scaled_bounds``); a search, on the host, kept."""
        if self.structure is None or self.slope_bound is None or not self.slope_bound > 0:
            return None
        weights, leak = (np.asarray(part, float) for part in self.structure)
        if not np.abs(weights).max() <= LARGEST_WEIGHT:
            return None
        return scaled_bounds(weights, self.lags, slope_bound=self.slope_bound, leak=leak)

    def joint_radius(self, *, low: float = 0.0, tolerance: Any = 1e-3, budget: int = 20_000) -> JointRadius:
        """What *all* trajectories of the cell can do: the joint spectral radius of its steps, as an interval.

        Args:
            low: the activation's smallest slope: 0 for tanh, logistic and ReLU, −γ where it may fall.
            tolerance, budget: as for ``slope_radius``.

        Raises:
            ValueError: the cell declares no W or γ, or it leaks and has more than ten units.
        """
        if self.structure is None or self.slope_bound is None:
            raise ValueError("trajectory: its cell declares no W or slope bound, so its steps are not known")
        weights, leak = (np.asarray(part, float) for part in self.structure)
        options = {"tolerance": tolerance, "budget": budget}
        if leak == 1:
            return slope_radius(weights, low=low, high=self.slope_bound, **options)
        steps = leak * slope_corners(weights, low, self.slope_bound) + (1 - leak) * np.eye(len(weights))
        return joint_spectral_radius(steps, **options)

    @functools.cached_property
    def radius_condition(self) -> float | None:
        """How many times a change of W may move ρ(W), to first order: 1 for a normal W; on the host."""
        if self.structure is None:
            return None
        values, conditions = eigenvalue_conditions(np.asarray(self.structure[0], float))
        leading = np.abs(values) >= np.abs(values[0]) * (1 - 1e-9)
        return float(conditions[leading].max())

    @functools.cached_property
    def _entries(self) -> tuple[Bound, ...]:
        inner = "(1−α) + αγ" if self.leaky else "γ"
        entries = [self._above("steps", "Π‖J_i‖₂", self.log_steps, everywhere=False)]
        if self.log_norm_bound is not None:
            entries.append(self._above("norm", f"({inner} s₁(W))ⁿ", self.log_norm_bound))
        if self.scaled is not None:
            entries.append(self._above("scaled", f"κ(S) ({inner}‖SWS⁻¹‖₂)ⁿ", self.scaled.log))
        if self.log_absolute is not None:
            formula = f"(‖Mⁿ‖₁‖Mⁿ‖_∞)^½, M = {inner}|W|"
            entries.append(self._above("absolute", formula, self.log_absolute))
        if self.log_radius_claim is not None:
            formula = f"({inner} ρ(W))ⁿ"
            entries.append(self._above("radius", formula, self.log_radius_claim, theorem=False))
        entries.append(self._below("volume", "Π|det J_i|^(1/dim)", self.log_volume))
        entries.append(self._below("smallest", "Π s_min(J_i)", self.log_smallest))
        return tuple(entries)

    def entries(self) -> tuple[Bound, ...]:
        """Every bound that this cell has, from above first; for one trajectory, on the host."""
        return self._entries

    def __getitem__(self, name: str) -> Bound:
        for entry in self.entries():
            if entry.name == name:
                return entry
        raise KeyError(f"{name!r}: this cell has {', '.join(entry.name for entry in self.entries())}")

    @property
    def conclusion(self) -> str:
        """What the theorems prove together: "vanishes", "explodes", or "" where none of them decides."""
        return next((entry.conclusive for entry in self.entries() if entry.conclusive), "")

    def _excess(self, bound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """ln of the norm over the bound, and its rounding; a zero product passes nothing, a zero bound included."""
        norms = np.asarray(self.log_norms, float)
        with np.errstate(invalid="ignore"):
            excess = norms - bound
        excess = np.where(np.isneginf(norms), np.where(np.isneginf(bound), 0.0, -np.inf), excess)
        per_step = np.abs(np.where(np.isfinite(norms), norms, 0)) / (1 + self.lags)
        eps = float(np.finfo(self.log_norms.dtype).eps)
        return excess, 64 * eps * (1 + self.lags) * (1 + per_step)

    def _decades_a_step(self, logarithm: float) -> float:
        return logarithm / (max(self.steps, 1) * math.log(10)) if self.steps else 0.0

    def _above(
        self, name: str, formula: str, log: Any, *, theorem: bool = True, everywhere: bool = True
    ) -> Bound:
        """``everywhere``: the bound is one for every trajectory, so that below 1 at one lag it decays for ever."""
        bound = np.asarray(log, float)
        excess, rounding = self._excess(bound)
        decays = self.steps > 0 and bool(bound[0] < 0) and (everywhere or _monotone(bound))
        tightness = -self._decades_a_step(float(excess[0]))
        violated = excess > rounding  # by a theorem only where the declared γ is none
        conclusive = "vanishes" if theorem and decays and not violated.any() else ""
        return Bound(name, formula, True, theorem, bound, tightness, violated, conclusive)

    def _below(self, name: str, formula: str, log: Any) -> Bound:
        bound = np.asarray(log, float)
        excess, rounding = self._excess(bound)
        grows = self.steps > 0 and bool(bound[0] > 0) and _monotone(-bound)
        tightness = self._decades_a_step(float(excess[0]))
        conclusive = "explodes" if grows else ""
        return Bound(name, formula, False, True, bound, tightness, excess < -rounding, conclusive)

    def __repr__(self) -> str:
        if isinstance(self.log_norms, Tracer) or self.log_norms.ndim != 1:
            return f"Bounds(shape={self.log_norms.shape}, dtype={self.log_norms.dtype})"
        decades = float(np.asarray(self.log_norms)[0]) / math.log(10)
        diverged = ", DIVERGED: a state or a product is not finite" if self.status == Status.DIVERGED else ""
        rows = [f"‖∂x_T/∂x_0‖₂ = 10^{decades:.2f} over T = {counted(self.steps, 'step')}{diverged}"]
        if self.radius is not None and self.norm is not None:
            slope = "not declared" if self.slope_bound is None else f"{self.slope_bound:g}"
            radius = f"ρ(W) = {float(self.radius):.4g} (condition {self.radius_condition:.3g})"
            rows.append(f"  spectral radius {radius}, norm s₁(W) = {float(self.norm):.4g}, γ {slope}")
        width = max(len(entry.formula) for entry in self.entries())
        return "\n".join([*rows, *(self._row(entry, width) for entry in self.entries())])

    def _row(self, entry: Bound, width: int) -> str:
        kind = "theorem" if entry.theorem else "no theorem"
        violated = int(entry.violated.sum())
        share = f", violated at {violated} of {counted(self.steps, 'lag')}" if violated else ""
        says = f", so it {entry.conclusive}" if entry.conclusive else ""
        side, at_zero = "≤" if entry.above else "≥", entry.log[0] / math.log(10)
        verdict = f"{kind}, {entry.tightness:+.3g} decades a step{share}{says}"
        return f"  {side} {entry.formula:<{width}} 10^{at_zero:<9.2f} {verdict}"


def _monotone(bound: np.ndarray) -> bool:
    """Whether a bound over k = 0 … T never falls as k grows, that is as the lag shrinks."""
    with np.errstate(invalid="ignore"):
        rises = np.diff(bound)
    return bool(np.all(np.isnan(rises) | (rises >= 0)))


def _declared(cell: Any) -> RecurrentStructure | None:
    structure = getattr(cell, "structure", None)
    declared = structure() if callable(structure) else None
    return declared if isinstance(declared, RecurrentStructure) else None


def product_bounds(trajectory: Trajectory) -> Bounds:
    """ln‖∂x_T/∂x_k‖₂ for all k beside every bound on it, n = T − k.

    ============================ ======================= =========================================
    bound                        holds for               note
    ============================ ======================= =========================================
    ≤ Π ‖J_i‖₂                   every cell              the only one above without structure
    ≤ ((1−α) + α γ s₁(W))ⁿ       W, γ, α declared        < 1 suffices to vanish; s₁ the norm
    ≤ κ(S) (… ‖S W S⁻¹‖₂)ⁿ       W, γ, α declared        best diagonal S at each lag; false without κ
    ≤ √(‖Mⁿ‖₁‖Mⁿ‖_∞)             W, γ, α declared        M = (1−α) I + α γ |W|; rate ρ(M)
    ≥ Π |det J_i|^{1/dim}        every cell              growing: it explodes
    ≥ Π s_min(J_i)               every cell              growing: every direction explodes
    ((1−α) + α γ ρ(W))ⁿ          nobody: no theorem      the spectral radius in the norm's place
    ============================ ======================= =========================================

    Args:
        trajectory: one trajectory from ``rollout``.

    Returns:
        A ``Bounds`` that prints as a table; ``.entries()`` has theorem, tightness and violations of each, and
        ``.conclusion`` what they prove. ``.joint_radius()`` has what all trajectories of the cell can do.

    Raises:
        TypeError: not a trajectory.

    References: Pascanu, Mikolov and Bengio, arXiv 1211.5063, section 2.1, whose first versions and many
    textbooks have the spectral radius where the norm belongs.
    """
    norms, steps = gradient_norms(trajectory), step_bounds(trajectory)
    return bounds_of(trajectory.cell, norms, steps)


def bounds_of(cell: Any, norms: Float[Array, " steps+1"], steps: StepBounds) -> Bounds:
    """``product_bounds`` of a run of the cell whose norms and bounds by single steps are known."""
    declared = _declared(cell)
    if declared is None:
        return _bounds(norms, steps)
    radius, norm = spectral_radius(declared.weights), spectral_norm(declared.weights)
    leak, gamma = declared.leak, declared.slope_bound
    common = {
        "radius": radius,
        "norm": norm,
        "structure": (declared.weights, leak),
        "leaky": not (isinstance(leak, float) and leak == 1.0),
    }
    if gamma is None:
        return _bounds(norms, steps, **common)
    alike = {"steps": norms.shape[-1] - 1, "slope_bound": gamma, "leak": leak}
    above, claim = (log_power(size, **alike) for size in (norm, radius))
    absolute = log_absolute_bound(declared.weights, **alike)
    found = {"log_norm_bound": above, "log_absolute": absolute, "log_radius_claim": claim}
    return _bounds(norms, steps, slope_bound=gamma, **found, **common)


def _bounds(log_norms: Array, steps: StepBounds, **declared: Any) -> Bounds:
    """The bounds of every cell, and of the declared ones what is given."""
    optional = ("log_norm_bound", "log_absolute", "log_radius_claim", "radius", "norm", "structure")
    rest = {**dict.fromkeys((*optional, "slope_bound")), "leaky": False, **declared}
    return Bounds(log_norms, steps.largest, steps.smallest, steps.volume, **rest)
