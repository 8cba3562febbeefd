"""The text of a verdict: a line for each measurement, each term explained in one clause."""

import math

import numpy as np

from rnn_dynamics.diagnosis.growth import FACTOR
from rnn_dynamics.diagnosis.measurements import Measurements, SuggestedRemedy
from rnn_dynamics.numerics.results.powers import DECADE, power_of_ten
from rnn_dynamics.numerics.texts import counted

_TREND = {
    "converges": "converges: what further lags add falls exponentially",
    "oscillates": "oscillates: long lags undo and redo what short ones add",
    "grows": "grows: the shares of long lags add up",
    "undecided": "undecided: too few lags, or shares of no clear trend",
}
_NORMS = {
    "exact": "",
    "followed": " (its part along the leading directions)",
    "rows": " (at least: along five rows)",
}


def lines(found: Measurements) -> list[str]:
    """Of one run: the regime and why, what was measured, and the remedies."""
    said = [f"Gradients: {_headline(found)}"]
    if found.overflow is not None:
        said += _of_overflow(found)
    if not math.isnan(found.exponent):
        said.append(f"  {'largest Lyapunov exponent':<27}{_exponent(found)}")
    said += _reach(found)
    said += [f"  {title:<27}{text}" for title, text in _measured(found)]
    said += [f"  {'left out':<27}{text}" for text in found.left_out]
    said += [_remedy(remedy) for remedy in found.remedies]
    if not found.remedies:
        said.append(f"Remedy: {_none(found)}")
    return said


def _headline(found: Measurements) -> str:
    if found.overflow is None or found.overflow.what == "loss":
        sentence = found.sentence or "the derivative of the loss is not"
        return f"{found.regime}: {sentence}"
    step = found.overflow.step
    if found.overflow.what == "state":
        return f"{found.regime}: the state is not finite from step {step} of {found.steps} on"
    return f"{found.regime}: the derivative of the step from x_{step} is not, though the states are"


def _of_overflow(found: Measurements) -> list[str]:
    overflow = found.overflow
    assert overflow is not None
    if overflow.what == "loss":
        return [f"  {'the loss':<27}its derivative is not finite; what follows is of ∂x_T/∂x_k alone"]
    size = power_of_ten(overflow.size * DECADE)
    rows = []
    if overflow.what == "state":
        how = {
            "overflow": f"it outgrew the floats, from {size} at step {overflow.step - 1}",
            "NaN": f"NaN at a size of {size}: no growth, but an operation outside its domain",
            "input": f"the input of step {overflow.step - 1} is not finite",
        }[overflow.kind]
        rows.append(("how", how))
    else:
        how = "an overflow" if overflow.kind == "overflow" else "an operation at the edge of its domain"
        rows.append(("how", f"{how}, at a state of size {size}"))
    whose = "state" if overflow.what == "state" else "gradient"
    if math.isfinite(overflow.growth):
        rows.append((f"growth of the {whose}", f"{overflow.growth:+.4g} nats a step before that"))
    elif overflow.what == "state" and overflow.step == 1:
        rows.append(("growth before", "none to measure: it is the first step that fails"))
    return [f"  {title:<27}{text}" for title, text in rows]


def _exponent(found: Measurements) -> str:
    if found.exponent == -math.inf:
        return "-inf: a step takes all of a small change away"
    known = math.isfinite(found.standard_error)
    text = f"{found.exponent:+.4g}{f' ± {found.standard_error:.2g}' if known else ''} nats a step"
    if found.dt is not None:
        each = f" ± {found.standard_error / found.dt:.2g}" if known else ""
        text += f", {found.exponent / found.dt:+.4g}{each} a unit of time (dt = {found.dt:g})"
    return f"{text}: how fast a small change grows; a nat is a factor e"


def _reach(found: Measurements) -> list[str]:
    """Say how far the horizons reach, and the norm over all steps."""
    whose = "of the loss's gradient" if found.has_loss else "of ‖∂x_T/∂x_k‖"
    steps = found.measured_steps
    if not steps:
        return []
    in_time = "" if found.dt is None else f" ({found.horizon * found.dt:g} in time)"
    how_far = (
        f"{counted(found.horizon, 'lag')}{in_time} at 1/e, {found.horizon_percent} at 1 %, of "
        f"{counted(steps, 'step')}"
    )
    means = "the farthest lag with that share of the greatest"
    if found.loss_is_flat:
        how_far, means = "none, as it is 0 at every lag", "the loss does not change with the states"
    said = [
        f"  horizon {whose}: {f'{how_far}; {means}' if found.horizon >= 0 else 'none, as it is not finite'}"
    ]
    finite = np.flatnonzero(~(np.isnan(found.log_norms) | np.isposinf(found.log_norms)))
    if finite.size:
        lag = steps - int(finite[0])
        all_of_it = "the one step" if steps == 1 else f"all {steps} steps"
        over = f"norm over {all_of_it if lag == steps else f'the last {lag}'}"
        greatest = f"greatest {power_of_ten(found.peak)} at lag {found.peak_lag}"
        said.append(
            f"  {over:<27}{power_of_ten(float(found.log_norms[finite[0]]))}, {greatest}{_NORMS[found.norms]}"
        )
    if found.plain_limit > 0:
        plain = f"plain gradients overflow from lag {found.plain_limit} on; these numbers are scaled"
        said.append(f"  {'float range':<27}{plain}")
    return said


def _measured(found: Measurements) -> list[tuple[str, str]]:
    """A title and what was found, of what this cell lets be measured."""
    rows = [("orbit", found.orbit)] if found.orbit else []
    if found.has_loss:
        if found.trend and found.horizon >= 0:
            rows.append(("sum over the lags", _TREND[found.trend]))
        if found.state_horizon >= 0:
            reach = f"{counted(found.state_horizon, 'lag')} at 1/e, {found.state_percent} at 1 %"
            rows.append(("horizon of ‖∂x_T/∂x_k‖", reach))
    if found.decay is not None and all(map(math.isfinite, found.decay)):
        weights, slopes = found.decay
        rows.append(("growth a step", f"{weights:+.3g} nats by the weights, {slopes:+.3g} by φ′"))
    if found.units is not None:
        dead, saturated, total = found.units.dead, found.units.saturated, found.units.total
        meaning = "φ′ always 0; φ′ below a tenth of its largest half the time"
        rows.append(("units", f"{dead} dead, {saturated} saturated, of {total} ({meaning})"))
    rows += [(_title("mean gates", i), f"{k} {v:.2f}") for i, (k, v) in enumerate(found.gates.items())]
    rows += [(_title("memory kept by the gates", i), line) for i, line in enumerate(_carried(found)) if line]
    if found.rest is not None:
        rest = found.rest
        rows.append(
            ("at rest", f"multiplier {_number(rest.multiplier)}, {rest.distance:.3g} from a {rest.kind}")
        )
    if found.bounds is not None:
        rows.append(("theorems", _theorems(found)))
    return rows


def _title(title: str, i: int) -> str:
    return title if not i else ""


def _carried(found: Measurements) -> list[str]:
    """What each gate does to the unit that keeps most, and beside it what all ways together do."""
    said = [
        f"{name} {kept:+.3g} nats a step of the unit that keeps most, along its carousel x⁺ = gate · x + …"
        for name, kept in found.carries.items()
    ]
    gate = found.slowest_gate
    if gate is not None and math.isfinite(found.exponent) and math.isfinite(found.carries[gate]):
        rest = found.exponent - found.carries[gate]
        ways = "give back" if rest > 0 else "take"
        said.append(f"all other ways {ways} {abs(rest):.2g}: {found.exponent:+.3g} in all")
    return said


def _theorems(found: Measurements) -> str:
    """What the bounds prove, in words that agree with what this run was too short for."""
    assert found.bounds is not None
    conclusion = found.bounds.conclusion
    if not conclusion:
        return "inconclusive: no bound decides"
    if conclusion == "vanishes":
        end = "" if found.state_percent < found.measured_steps / 2 else ", in longer runs than this one"
        return f"a bound proves that the norm falls to 0 as lags grow{end}"
    end = "" if found.log_norms[0] >= FACTOR else ", though by less than a factor of 10 here"
    return f"a bound proves that the norm grows with the lag of this run{end}"


def _remedy(remedy: SuggestedRemedy) -> str:
    where = f' (training.REMEDIES["{remedy.key}"])' if remedy.key else ""
    return f"Remedy: {remedy.name}{where}\n  as {remedy.because}"


def _none(found: Measurements) -> str:
    if found.regime == "diverged":
        return (
            "none of training's: mend the operation or the input that gives NaN (JAX_DEBUG_NANS=1 finds it)"
        )
    if found.regime == "not finite":
        return "none of training's: mend the derivative, as by a second `where` before the operation"
    return "none is selected by these measurements"


def _number(value: complex) -> str:
    return f"{value.real:.4g}" if value.imag == 0 else f"{value.real:.3g} ± {abs(value.imag):.3g}i"
