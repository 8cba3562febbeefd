"""Bounds on ‖∂x_T/∂x_k‖: which are theorems, how tight they are, and where the popular one is violated."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from rnn_dynamics.cells.structure import RecurrentStructure, join
from rnn_dynamics.eigen import eigenvalues, spectral_norm, spectral_radius
from rnn_dynamics.elementwise import elementwise
from rnn_dynamics.jacobians import gradient_norms, step_matrix
from rnn_dynamics.rollout import Trajectory
from rnn_dynamics.scaled import Scaled, from_float, multiply
from rnn_dynamics.segments import along
from rnn_dynamics.validation import broadcast_arrays

__all__ = ["Bound", "Bounds", "eigenvalues", "product_bounds", "spectral_norm", "spectral_radius"]


@dataclasses.dataclass(frozen=True)
class Bound:
    """One bound on ‖∂x_T/∂x_k‖₂ along a trajectory.

    Attributes:
        name: "steps", "norm" or "radius".
        formula: what it says, with n = T − k.
        theorem: whether it holds for this cell at every state.
        log: its natural logarithm for every k, shape (T+1,).
        tightness: decades a step by which it exceeds the norm at the longest lag (negative: it is below).
        violated: mask over k: the norm exceeds it by more than rounding.
        conclusive: "vanishes" where a theorem says that the norm decays with every lag, else "".
    """

    name: str
    formula: str
    theorem: bool
    log: np.ndarray
    tightness: float
    violated: np.ndarray
    conclusive: str


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["log_norms", "log_steps", "log_norm_bound", "log_radius_claim", "radius", "norm"],
    meta_fields=["slope_bound", "leaky"],
)
@dataclasses.dataclass(frozen=True)
class Bounds:
    """ln‖∂x_T/∂x_k‖₂ for every k = 0 … T beside what bounds it and what is said to bound it.

    Attributes:
        log_norms: ln‖∂x_T/∂x_k‖₂, shape (T+1,).
        log_steps: ln Π_{i=k+1…T} ‖J_i‖₂, a theorem for every cell.
        log_norm_bound: n ln((1−α) + α γ s₁(W)), a theorem for a cell that declares W, γ and α; else ``None``.
        log_radius_claim: n ln((1−α) + α γ ρ(W)), the textbook's, no theorem; ``None`` without W.
        radius, norm: ρ(W) and s₁(W), or ``None``.
        slope_bound: γ, or ``None``.
        leaky: whether α < 1 may hold.
    """

    log_norms: Float[Array, " steps+1"]
    log_steps: Float[Array, " steps+1"]
    log_norm_bound: Float[Array, " steps+1"] | None
    log_radius_claim: Float[Array, " steps+1"] | None
    radius: Float[Array, ""] | None
    norm: Float[Array, ""] | None
    slope_bound: float | None
    leaky: bool

    @property
    def steps(self) -> int:
        """T."""
        return self.log_norms.shape[-1] - 1

    @property
    def lags(self) -> np.ndarray:
        """n = T − k for every k."""
        return np.arange(self.steps, -1, -1)

    def entries(self) -> tuple[Bound, ...]:
        """Every bound that this cell has, the tightest kind first; for one trajectory, on the host."""
        inner = "(1−α) + αγ" if self.leaky else "γ"
        entries = [self._entry("steps", "Π‖J_i‖₂", True, self.log_steps)]
        if self.log_norm_bound is not None:
            entries.append(self._entry("norm", f"({inner} s₁(W))ⁿ", True, self.log_norm_bound))
        if self.log_radius_claim is not None:
            entries.append(self._entry("radius", f"({inner} ρ(W))ⁿ", False, self.log_radius_claim))
        return tuple(entries)

    def __getitem__(self, name: str) -> Bound:
        for entry in self.entries():
            if entry.name == name:
                return entry
        raise KeyError(f"{name!r}: this cell has {', '.join(entry.name for entry in self.entries())}")

    def _entry(self, name: str, formula: str, theorem: bool, log: Array) -> Bound:
        bound, norms = np.asarray(log, float), np.asarray(self.log_norms, float)
        with np.errstate(invalid="ignore"):
            excess, rises = norms - bound, np.diff(bound)
        excess[np.isneginf(norms)] = -np.inf  # a zero product violates nothing, a zero bound included
        rounding = (
            64 * np.finfo(self.log_norms.dtype).eps * (1 + self.lags) * (1 + np.abs(norms) / (1 + self.lags))
        )
        last = max(self.steps, 1)
        tightness = -float(excess[0]) / (last * math.log(10)) if self.steps else 0.0
        decays = theorem and self.steps > 0 and bound[0] < 0 and bool(np.all(np.isnan(rises) | (rises >= 0)))
        return Bound(
            name, formula, theorem, bound, tightness, excess > rounding, "vanishes" if decays else ""
        )

    def plot(self, ax: Any = None) -> Any:
        """The norm and every bound against the lag; see ``plots.norms_against_lag``."""
        from rnn_dynamics import plots

        return plots.norms_against_lag(self, ax=ax)

    def __repr__(self) -> str:
        if isinstance(self.log_norms, Tracer) or self.log_norms.ndim != 1:
            return f"Bounds(shape={self.log_norms.shape}, dtype={self.log_norms.dtype})"
        decades = float(self.log_norms[0]) / math.log(10)
        rows = [f"‖∂x_T/∂x_0‖₂ = 10^{decades:.2f} over T = {self.steps} steps"]
        if self.radius is not None and self.norm is not None:
            slope = "not declared" if self.slope_bound is None else f"{self.slope_bound:g}"
            rows.append(
                f"  spectral radius ρ(W) = {float(self.radius):.4g}, norm s₁(W) = {float(self.norm):.4g}, γ {slope}"
            )
        for entry in self.entries():
            kind = "theorem" if entry.theorem else "no theorem"
            share = (
                f", violated at {int(entry.violated.sum())} of {self.steps} lags"
                if entry.violated.any()
                else ""
            )
            says = f", so it {entry.conclusive}" if entry.conclusive else ""
            at_zero = entry.log[0] / math.log(10)
            verdict = f"{kind}, {entry.tightness:+.3g} decades a step{share}{says}"
            rows.append(f"  {entry.formula:<20} 10^{at_zero:<9.2f} {verdict}")
        return "\n".join(rows)


def _step_norm(cell: Any, step: tuple) -> Scaled:
    return from_float(step_matrix(cell, *step), event_ndim=2).norm(2)


def _accumulate(total: Scaled, factor: Scaled) -> tuple[Scaled, Array]:
    total = multiply(total, factor)
    return total, total.log()


@functools.partial(jax.jit, static_argnums=0)
def _log_steps(static: Any, arrays: Any, states: Array, inputs: Any) -> Array:
    """ln Π ‖J_i‖₂ from every k to T: one scaled product, so that no sum of logarithms loses digits."""
    norms = jax.lax.map(functools.partial(_step_norm, join(static, arrays)), (states, inputs))
    one = from_float(jnp.ones((), states.dtype))
    _, logs = jax.lax.scan(_accumulate, one, norms, reverse=True)
    return jnp.concatenate([logs, jnp.zeros((1,), states.dtype)])


@jax.jit
def _log_rate(leak: Array, slope_bound: Array, size: Array) -> Array:
    """ln((1−α) + α γ s)."""
    return jnp.log((1 - leak) + leak * slope_bound * size)


@elementwise
def _multiple(lags: Array, log_rate: Array) -> Array:
    """n times the logarithm; 0 at n = 0 also where that is −∞."""
    return jnp.where(lags == 0, jnp.zeros_like(lags), lags * log_rate)


def _power(log_rate: Array, steps: int) -> Array:
    """The bound on the logarithm of the norm for n = T … 0."""
    lags = np.arange(steps, -1, -1, dtype=log_rate.dtype)
    return _multiple(*broadcast_arrays(finite=False, lags=lags, log_rate=log_rate))


def _declared(cell: Any) -> RecurrentStructure | None:
    structure = getattr(cell, "structure", None)
    declared = structure() if callable(structure) else None
    return declared if isinstance(declared, RecurrentStructure) else None


def product_bounds(trajectory: Trajectory) -> Bounds:
    """ln‖∂x_T/∂x_k‖₂ for all k beside every bound on it, n = T − k.

    ============================ ======================= =========================================
    bound                        holds for               note
    ============================ ======================= =========================================
    Π ‖J_i‖₂                     every cell              the only one without declared structure
    ((1−α) + α γ s₁(W))ⁿ         W, γ, α declared        < 1 suffices to vanish; s₁ the norm
    ((1−α) + α γ ρ(W))ⁿ          nobody: no theorem      the spectral radius in the norm's place
    ============================ ======================= =========================================

    Args:
        trajectory: one trajectory from ``rollout``.

    Returns:
        A ``Bounds`` that prints as a table; ``.entries()`` has theorem, tightness and violations of each.

    Raises:
        TypeError: not a trajectory.

    References: Pascanu, Mikolov and Bengio, arXiv 1211.5063, section 2.1, whose first versions and many
    textbooks have the spectral radius where the norm belongs.
    """
    norms = gradient_norms(trajectory)
    steps = along(_log_steps, trajectory, 0, None, of_matrices=True)
    declared = _declared(trajectory.cell)
    if declared is None:
        return Bounds(norms, steps, None, None, None, None, None, False)
    radius, norm = spectral_radius(declared.weights), spectral_norm(declared.weights)
    leaky = not (isinstance(declared.leak, float) and declared.leak == 1.0)
    if declared.slope_bound is None:
        return Bounds(norms, steps, None, None, radius, norm, None, leaky)
    norm_bound, claim = (
        _power(_log_rate(declared.leak, declared.slope_bound, size), trajectory.steps)
        for size in (norm, radius)
    )
    return Bounds(norms, steps, norm_bound, claim, radius, norm, declared.slope_bound, leaky)
