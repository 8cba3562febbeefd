"""The verdict on one run: how far back its gradients reach, why, and which remedies the measurements select."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from rnn_dynamics.bounds import Bounds, product_bounds
from rnn_dynamics.credit import CreditByLag, credit_by_lag
from rnn_dynamics.diagnose.growth import Growth, largest_exponent, reach, regime_of
from rnn_dynamics.diagnose.measures import (
    Decay,
    Rest,
    Units,
    carries_of,
    decay_of,
    gates_of,
    rest_of,
    units_of,
)
from rnn_dynamics.diagnose.remedies import Remedy, remedies_of
from rnn_dynamics.jacobians import gradient_norms
from rnn_dynamics.results import Result
from rnn_dynamics.rollout import Trajectory
from rnn_dynamics.segments import step_range

__all__ = ["Diagnosis", "of_one_run"]

_DECADE = math.log(10)
_MOST_WORK = 5e8  # T n³, of the bounds from each step's Jacobian


@dataclasses.dataclass(frozen=True, repr=False)
class Diagnosis(Result):
    """What was measured on one trajectory of a network.

    Attributes:
        regime: "vanishing" or "exploding" where the largest Lyapunov exponent is below or above 0 by more than its
            95 % interval, "neither" where 0 is in it; "undecided" where the run is too short, "diverged" where the
            state is not finite, "not finite" where only the derivative is not.
        exponent, standard_error: of the largest exponent, nats a step, the first quarter of the run left out; the
            error is that of the block means, or what the halves differ by where the rate has not settled.
        steps: T.
        log_norms: ln‖∂x_T/∂x_k‖₂ for k = 0 … T.
        horizon: the largest lag T − k at which the norm is at least 1/e of the greatest one; with a loss, the
            largest lag whose share of ∂E/∂θ is. −1 where norms or shares are not finite.
        horizon_percent: the same for one hundredth.
        state_horizon: that of the norm, with a loss or without.
        peak: ln of the greatest finite norm over all lags, what a transient reaches: 0 at lag 0.
        peak_lag: the lag of it.
        bounds: every bound, and whether they are conclusive; those from each step's Jacobian alone for cells
            without declared structure; ``None`` where these would cost more than the rest of the verdict.
        decay: the growth split into weights and slopes; ``None`` for other forms than W φ(x) and φ(W x).
        units: dead and saturated units; ``None`` for cells without slopes.
        gates: the mean of each gate over units and steps, by name; empty for cells without gates.
        carries: mean ln of the fraction of its memory kept in a step, of the unit that keeps most, by the gate that
            keeps it.
        rest: the fixed point that a run with constant input has come to, and the bifurcation next to it.
        credit: by lag, where a loss was given.
        remedies: those whose selecting measurement was made.
        orbit: a sentence where the run rests on a repelling set, so that the exponent is that set's, or where the
            floats lose the orbit of x_0; else empty.
    """

    regime: str
    exponent: float
    standard_error: float
    steps: int
    log_norms: Float[np.ndarray, "steps+1"]
    horizon: int
    horizon_percent: int
    state_horizon: int
    peak: float
    peak_lag: int
    bounds: Bounds | None
    decay: Decay | None
    units: Units | None
    gates: dict[str, float]
    carries: dict[str, float]
    rest: Rest | None
    credit: CreditByLag | None
    remedies: tuple[Remedy, ...]
    orbit: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists: what ``json.dumps`` takes. Infinities and NaN become ``None``."""
        units, decay, rest = self.units, self.decay, self.rest
        found = {
            "regime": self.regime,
            "exponent": self.exponent,
            "standard_error": self.standard_error,
            "orbit": self.orbit,
            "steps": self.steps,
            "horizon": self.horizon,
            "horizon_percent": self.horizon_percent,
            "state_horizon": self.state_horizon,
            "peak": self.peak,
            "peak_lag": self.peak_lag,
            "bounds": None if self.bounds is None else self.bounds.conclusion,
            "decay": None if decay is None else decay._asdict(),
            "units": None
            if units is None
            else units._asdict() | {"median_slope": units.median_slope.tolist()},
            "gates": self.gates,
            "carries": self.carries,
            "rest": None
            if rest is None
            else rest._asdict() | {"multiplier": [rest.multiplier.real, rest.multiplier.imag]},
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
    how_far = f"{found.horizon} lags at 1/e, {found.horizon_percent} at 1 %, of {found.steps} steps"
    slowly = found.regime == "vanishing" and found.state_horizon == found.steps
    lines = [
        f"Gradients: {found.regime}" + (f", but not within these {found.steps} steps" if slowly else ""),
        f"  largest Lyapunov exponent  {found.exponent:+.4g} ± {found.standard_error:.2g} nats a step",
        f"  horizon {whose}: {how_far if found.horizon >= 0 else 'none, as it is not finite'}",
        f"  norm over all {found.steps} steps      10^{found.log_norms[0] / _DECADE:.4g}, greatest "
        f"10^{found.peak / _DECADE:.3g} at lag {found.peak_lag}",
    ]
    lines += [f"  {title:<27}{said}" for title, said in _measured(found)]
    lines += [f"Remedy: {remedy.name}\n  as {remedy.because}" for remedy in found.remedies]
    if not found.remedies:
        lines.append("Remedy: none is selected by these measurements")
    return lines


def _measured(found: Diagnosis) -> list[tuple[str, str]]:
    """A title and what was found, of what this cell lets be measured."""
    rows = [("orbit", found.orbit)] if found.orbit else []
    if found.credit is not None:
        rows.append(("sum over the lags", found.credit.trend))
        rows.append(("horizon of ‖∂x_T/∂x_k‖", f"{found.state_horizon} lags at 1/e"))
    if found.decay is not None:
        weights, slopes = found.decay
        rows.append(("growth a step", f"{weights:+.3g} by the weights, {slopes:+.3g} by φ′"))
    if found.units is not None:
        dead, saturated, total = found.units.dead, found.units.saturated, found.units.total
        rows.append(("units", f"{dead} dead, {saturated} saturated, of {total}"))
    if found.gates:
        rows.append(("mean gates", ", ".join(f"{k} {v:.2f}" for k, v in found.gates.items())))
    if found.carries:
        kept = ", ".join(f"{k} {v:+.3g}" for k, v in found.carries.items())
        rows.append(("memory kept by the gates", f"{kept} nats a step"))
    if found.rest is not None:
        rest = found.rest
        rows.append(
            ("at rest", f"multiplier {_number(rest.multiplier)}, {rest.distance:.3g} from a {rest.kind}")
        )
    if found.bounds is not None:
        rows.append(("theorems", found.bounds.conclusion or "inconclusive"))
    return rows


def _number(value: complex) -> str:
    return f"{value.real:.4g}" if value.imag == 0 else f"{value.real:.3g} ± {abs(value.imag):.3g}i"


def of_one_run(trajectory: Trajectory, loss: Any, every_step: bool) -> Diagnosis:
    """The verdict on one run; arguments and errors as ``diagnose``."""
    _, steps = step_range(trajectory, 0, None)
    if not steps:
        raise ValueError("trajectory: expected at least one step, got none")
    diverged = int(trajectory.first_nonfinite) >= 0
    logs = np.asarray(gradient_norms(trajectory), float)
    credit = None if loss is None else credit_by_lag(trajectory, loss, every_step=every_step)
    finite = not np.isnan(logs).any() and (credit is None or credit.is_finite)
    growth = largest_exponent(trajectory) if finite and not diverged else Growth(math.nan, math.nan, 0)
    shares = (1 / math.e, 0.01)
    horizons = [reach(logs, share) if credit is None else credit.horizon(share) for share in shares]
    known = np.where(np.isfinite(logs), logs, -np.inf)
    work = steps * float(trajectory.states[0].size) ** 3
    has_bounds = not diverged and (hasattr(trajectory.cell, "structure") or work <= _MOST_WORK)
    found = Diagnosis(
        regime=regime_of(growth, diverged=diverged, finite=finite, dtype=trajectory.states.dtype),
        exponent=growth.rate,
        standard_error=growth.error,
        steps=steps,
        log_norms=logs,
        horizon=horizons[0],
        horizon_percent=horizons[1],
        state_horizon=reach(logs, shares[0]),
        peak=float(known.max()),
        peak_lag=int(np.argmax(known[::-1])),
        bounds=product_bounds(trajectory) if has_bounds else None,
        decay=decay_of(trajectory),
        units=units_of(trajectory),
        gates=gates_of(trajectory),
        carries=carries_of(trajectory),
        rest=None if diverged else rest_of(trajectory),
        credit=credit,
        remedies=(),
        orbit=growth.orbit,
    )
    return dataclasses.replace(found, remedies=remedies_of(found, trajectory.cell))
