"""The verdict on one run: how far back its gradients reach, why, and which remedies the measurements select."""

import dataclasses
import functools
import itertools
import json
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from rnn_dynamics.bounds import Bounds, product_bounds
from rnn_dynamics.cells import ElmanRNN, PreActivationRNN
from rnn_dynamics.credit import CreditByLag, credit_by_lag
from rnn_dynamics.jacobians import gradient_norms, pushforward
from rnn_dynamics.lyapunov import lyapunov_spectrum
from rnn_dynamics.rollout import Trajectory
from rnn_dynamics.scaled import from_float
from rnn_dynamics.segments import step_range

__all__ = ["Decay", "Diagnosis", "Remedy", "Units", "of_one_run", "reach", "regime_of"]

_BLOCKS = 20
_FEWEST = 8  # steps that an exponent is estimated from, at least
_DECADE = math.log(10)
_SATURATED = 0.1  # of the largest slope


class Decay(NamedTuple):
    """The mean growth a step of a tangent, in nats, as a sum over what does it.

    Attributes:
        weights: ln of what W does to its length.
        slopes: ln of what φ′ does to its length; ≤ 0 where φ′ ≤ 1: saturation.
    """

    weights: float
    slopes: float


class Units(NamedTuple):
    """What the units' slopes φ′ are along the run.

    Attributes:
        total: how many units.
        dead: with slope 0 at every step.
        saturated: with a median slope below a tenth of the largest φ′ can have, dead ones among them.
        median_slope: of each unit.
    """

    total: int
    dead: int
    saturated: int
    median_slope: Float[np.ndarray, " n"]


class Remedy(NamedTuple):
    """A remedy, and the measurement that selects it."""

    name: str
    because: str


@dataclasses.dataclass(frozen=True, repr=False)
class Diagnosis:
    """What was measured on one trajectory of a network.

    Attributes:
        regime: "vanishing" or "exploding" where the largest Lyapunov exponent is below or above 0 by more than two
            standard errors, "neither" where 0 is within them, "diverged", "undecided" where the run is too short.
        exponent, standard_error: of the largest exponent, nats a step.
        steps: T.
        log_norms: ln‖∂x_T/∂x_k‖₂ for k = 0 … T.
        horizon: the largest lag T − k at which the norm is at least 1/e of the greatest one; with a loss, the
            largest lag whose share of ∂E/∂θ is.
        horizon_percent: the same for one hundredth.
        peak: ln of the greatest norm over all lags, what a transient reaches: 0 at lag 0.
        peak_lag: the lag of it.
        bounds: every bound, and whether they are conclusive; ``None`` for cells without the structure.
        decay: the growth split into weights and slopes; ``None`` for other forms than W φ(x) and φ(W x).
        units: dead and saturated units; ``None`` for cells without slopes.
        gates: the mean of each gate over units and steps, by name; empty for cells without gates.
        credit: by lag, where a loss was given.
        remedies: those whose selecting measurement was made.
    """

    regime: str
    exponent: float
    standard_error: float
    steps: int
    log_norms: Float[np.ndarray, "steps+1"]
    horizon: int
    horizon_percent: int
    peak: float
    peak_lag: int
    bounds: Bounds | None
    decay: Decay | None
    units: Units | None
    gates: dict[str, float]
    credit: CreditByLag | None
    remedies: tuple[Remedy, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists: what ``json.dumps`` takes. Infinities and NaN become ``None``."""
        units, decay = self.units, self.decay
        found = {
            "regime": self.regime,
            "exponent": self.exponent,
            "standard_error": self.standard_error,
            "steps": self.steps,
            "horizon": self.horizon,
            "horizon_percent": self.horizon_percent,
            "peak": self.peak,
            "peak_lag": self.peak_lag,
            "bounds": None if self.bounds is None else self.bounds.conclusion,
            "decay": None if decay is None else decay._asdict(),
            "units": None
            if units is None
            else units._asdict() | {"median_slope": units.median_slope.tolist()},
            "gates": self.gates,
            "log_norms": self.log_norms.tolist(),
            "trend": None if self.credit is None else self.credit.trend,
            "log_shares": None if self.credit is None else np.asarray(self.credit.log_shares).tolist(),
            "remedies": [remedy._asdict() for remedy in self.remedies],
        }
        return _plain(found)

    def to_json(self) -> str:
        """``to_dict`` as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def plot(self) -> Any:
        """One figure of four panels; see ``plots.diagnosis``."""
        from rnn_dynamics import plots

        return plots.diagnosis(self)

    def __repr__(self) -> str:
        reach = f"horizon {self.horizon} of {self.steps} steps"
        return f"Diagnosis({self.regime}, exponent {self.exponent:.3g}, {reach})"

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _lines(found: Diagnosis) -> list[str]:
    """Half a page of text."""
    whose = "of the loss's gradient" if found.credit is not None else "of ‖∂x_T/∂x_k‖"
    lines = [
        f"Gradients: {found.regime}",
        f"  largest Lyapunov exponent  {found.exponent:+.4g} ± {found.standard_error:.2g} nats a step",
        f"  horizon {whose}: {found.horizon} lags at 1/e, {found.horizon_percent} at 1 %, of {found.steps} steps",
        f"  norm over all {found.steps} steps      10^{found.log_norms[0] / _DECADE:.4g}, greatest "
        f"10^{found.peak / _DECADE:.3g} at lag {found.peak_lag}",
    ]
    if found.credit is not None:
        lines.append(f"  sum over the lags          {found.credit.trend}")
    if found.decay is not None:
        weights, slopes = found.decay
        lines.append(f"  growth a step              {weights:+.3g} by the weights, {slopes:+.3g} by φ′")
    if found.units is not None:
        lines.append(
            f"  units                      {found.units.dead} dead, {found.units.saturated} saturated, "
            f"of {found.units.total}"
        )
    if found.gates:
        lines.append(
            "  mean gates                 " + ", ".join(f"{k} {v:.2f}" for k, v in found.gates.items())
        )
    if found.bounds is not None:
        said = found.bounds.conclusion or "inconclusive"
        lines.append(f"  theorems                   {said}")
    lines += [f"Remedy: {remedy.name}\n  as {remedy.because}" for remedy in found.remedies]
    if not found.remedies:
        lines.append("Remedy: none is selected by these measurements")
    return lines


def _exponent(trajectory: Trajectory, steps: int) -> tuple[float, float]:
    if steps < _FEWEST:
        return math.nan, math.nan
    blocks = min(_BLOCKS, steps // 4)
    found = lyapunov_spectrum(trajectory, exponents=1, blocks=blocks)
    return float(found.values[0]), float(found.standard_errors[0])


def regime_of(exponent: float, error: float, diverged: bool, dtype: Any) -> str:
    if diverged:
        return "diverged"
    if math.isnan(exponent):
        return "undecided"
    if exponent == -math.inf:
        return "vanishing"
    rounding = 64 * float(np.finfo(dtype).eps)
    if abs(exponent) <= max(2 * error, rounding):
        return "neither"
    return "exploding" if exponent > 0 else "vanishing"


def reach(logs: np.ndarray, share: float) -> int:
    """The largest lag at which a norm is at least a share of the greatest; ``logs`` by step, the last at lag 0."""
    by_lag = logs[::-1]
    if not (by_lag > -np.inf).any():
        return 0
    return int(np.flatnonzero(by_lag >= by_lag.max() + math.log(share))[-1])


def _decay(trajectory: Trajectory) -> Decay | None:
    """Along one tangent: what W and what φ′ do to its length at each step."""
    cell = trajectory.cell
    if not isinstance(cell, ElmanRNN | PreActivationRNN) or not trajectory.steps:
        return None
    tangent = np.random.default_rng(0).normal(size=trajectory.states.shape[-1])
    vectors = pushforward(trajectory, tangent.astype(trajectory.states.dtype)).unit[:-1]
    slopes = _slopes(trajectory)
    by_weights = jax.vmap(functools.partial(jnp.matmul, cell.W, precision=jax.lax.Precision.HIGHEST))
    is_inside = isinstance(cell, PreActivationRNN)
    between = vectors * slopes if is_inside else by_weights(vectors)
    after = by_weights(between) if is_inside else between * slopes
    logs = [np.asarray(from_float(part, event_ndim=1).norm().log()) for part in (vectors, between, after)]
    first, second = (_mean_growth(*pair) for pair in itertools.pairwise(logs))
    return Decay(second, first) if is_inside else Decay(first, second)


def _mean_growth(before: np.ndarray, after: np.ndarray) -> float:
    """The mean difference where both are there; NaN where none are."""
    there = np.isfinite(before) & np.isfinite(after)
    return float(np.mean(after[there] - before[there])) if there.any() else math.nan


def _slopes(trajectory: Trajectory) -> Any:
    return jax.vmap(trajectory.cell.slopes)(trajectory.states[:-1], trajectory.inputs)


def _units(trajectory: Trajectory) -> Units | None:
    cell = trajectory.cell
    if not hasattr(cell, "slopes") or trajectory.states.ndim != 2 or not trajectory.steps:
        return None
    slopes = np.abs(np.asarray(_slopes(trajectory), float))
    bound = cell.structure().slope_bound if hasattr(cell, "structure") else None
    largest = bound or slopes.max(initial=0.0) or 1.0
    median = np.median(slopes, axis=0)
    return Units(
        median.size, int((slopes == 0).all(axis=0).sum()), int((median < _SATURATED * largest).sum()), median
    )


def _gates(trajectory: Trajectory) -> dict[str, float]:
    if not hasattr(trajectory.cell, "gates") or not trajectory.steps:
        return {}
    found = jax.vmap(trajectory.cell.gates)(trajectory.states[:-1], trajectory.inputs)
    return {name: float(jnp.mean(value)) for name, value in found.items() if name != "candidate"}


def _remedies(regime: str, found: dict[str, Any]) -> tuple[Remedy, ...]:
    """None without the measurement that selects it."""
    chosen = []
    exponent, peak, steps, horizon = (found[name] for name in ("exponent", "peak", "steps", "horizon"))
    if regime == "exploding":
        chosen.append(Remedy("gradient-norm clipping", f"the gradient grows by {exponent:.3g} nats a step"))
    elif peak > _DECADE:
        chosen.append(
            Remedy("gradient-norm clipping", f"a transient takes the gradient to 10^{peak / _DECADE:.2g}")
        )
    units, decay, gates = found["units"], found["decay"], found["gates"]
    if units is not None and units.dead:
        chosen.append(Remedy("leaky ReLU", f"{units.dead} of {units.total} units are dead"))
    if regime != "vanishing" or horizon >= steps / 2:
        return tuple(chosen)
    if decay is not None and decay.slopes < min(decay.weights, 0.0):
        chosen.append(
            Remedy(
                "smaller weights and inputs, or an activation that does not saturate",
                f"φ′ takes {-decay.slopes:.3g} nats a step, the weights {-decay.weights:+.3g}",
            )
        )
    elif decay is not None:
        chosen.append(
            Remedy(
                "orthogonal or identity initialisation", f"the weights take {-decay.weights:.3g} nats a step"
            )
        )
    forget = gates.get("forget")
    if forget is not None and forget < 1:
        chosen.append(
            Remedy(
                "a larger bias of the forget gate", f"the gate is {forget:.2f} in the mean, {horizon} lags"
            )
        )
    elif not gates:
        chosen.append(
            Remedy("gates (LSTM, GRU) or skip connections", f"the horizon is {horizon} of {steps} steps")
        )
    return tuple(chosen)


def of_one_run(trajectory: Trajectory, loss: Any, every_step: bool) -> Diagnosis:
    """The verdict on one run; arguments and errors as ``diagnose``."""
    _, steps = step_range(trajectory, 0, None)
    if not steps:
        raise ValueError("trajectory: expected at least one step, got none")
    diverged = int(trajectory.first_nonfinite) >= 0
    exponent, error = (math.nan, math.nan) if diverged else _exponent(trajectory, steps)
    regime = regime_of(exponent, error, diverged, trajectory.states.dtype)
    logs = np.asarray(gradient_norms(trajectory), float)
    known = np.where(np.isnan(logs), -np.inf, logs)
    credit = None if loss is None else credit_by_lag(trajectory, loss, every_step=every_step)
    shares = (1 / math.e, 0.01)
    horizons = [reach(known, share) if credit is None else credit.horizon(share) for share in shares]
    found: dict[str, Any] = {
        "exponent": exponent,
        "standard_error": error,
        "steps": steps,
        "log_norms": logs,
        "horizon": horizons[0],
        "horizon_percent": horizons[1],
        "peak": float(known.max()),
        "peak_lag": int(np.argmax(known[::-1])),
        "bounds": product_bounds(trajectory) if hasattr(trajectory.cell, "structure") else None,
        "decay": _decay(trajectory),
        "units": _units(trajectory),
        "gates": _gates(trajectory),
        "credit": credit,
    }
    return Diagnosis(regime=regime, **found, remedies=_remedies(regime, found))
