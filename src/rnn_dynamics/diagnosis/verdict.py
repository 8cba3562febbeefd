"""The verdict on one run, or on runs side by side: how far back gradients reach, why, and what would help."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.diagnosis import overflow
from rnn_dynamics.diagnosis.growth import FEWEST, Growth, at_rest, reach
from rnn_dynamics.diagnosis.measures import decay_of, rest_of, units_of
from rnn_dynamics.diagnosis.measuring import Measured, measured
from rnn_dynamics.diagnosis.remedies import remedies_of
from rnn_dynamics.diagnosis.results import Diagnosis
from rnn_dynamics.diagnosis.table import Facts, row_of
from rnn_dynamics.dynamics.lyapunov.typical import examined
from rnn_dynamics.gradients.steps import step_range
from rnn_dynamics.numerics.batching import picked
from rnn_dynamics.numerics.validation import positive
from rnn_dynamics.spectral.bounds import Bounds, bounds_of

_PERCENT = 0.01
_MOST_AT_REST = 3e9  # n³ over all runs, of the eigenvalues where they rest


def of_one_run(
    trajectory: Trajectory,
    loss: Any,
    every_step: bool,
    *,
    dt: float | None = None,
    exact: bool | None = None,
    report: Callable[[int], object] = lambda done: None,
) -> Diagnosis:
    """The verdict on one run; arguments and errors as ``diagnose``; ``report`` is told the steps done, of 2 T."""
    _, steps = step_range(trajectory, 0, None)
    if not steps:
        raise ValueError("trajectory: expected at least one step, got none")
    dt = _time_of_a_step(trajectory.cell, dt)
    first = int(trajectory.first_nonfinite)
    if first >= 0:
        return _of_diverged(trajectory, first, dt, exact, report)
    (found,) = measured(trajectory, loss, every_step, exact, report)
    return _verdict(trajectory, found, dt)


def of_runs(
    batch: Trajectory,
    loss: Any,
    every_step: bool,
    *,
    dt: float | None = None,
    exact: bool | None = None,
    report: Callable[[int], object] = lambda done: None,
) -> tuple[Diagnosis, ...]:
    """The verdict on each run of a batch along one axis, measured side by side; those that diverged one by one."""
    if not batch.states.shape[1] - 1:
        raise ValueError("trajectory: expected at least one step, got none")
    firsts = np.asarray(batch.first_nonfinite)
    settled = np.flatnonzero(firsts < 0)
    found: dict[int, Diagnosis] = {}
    if settled.size:
        chosen = batch if settled.size == len(firsts) else picked(batch, settled)
        results = measured(chosen, loss, every_step, exact, report)
        for place, result in zip(settled.tolist(), results, strict=True):
            run = picked(batch, place)
            may_rest = settled.size * float(math.prod(run.states.shape[1:])) ** 3 <= _MOST_AT_REST
            found[place] = _verdict(run, result, _time_of_a_step(run.cell, dt), may_rest=may_rest)
    for place in np.flatnonzero(firsts >= 0).tolist():
        run = picked(batch, place)
        found[place] = _of_diverged(run, int(firsts[place]), _time_of_a_step(run.cell, dt), exact, report)
    return tuple(found[i] for i in range(len(firsts)))


def _time_of_a_step(cell: Any, dt: Any) -> float | None:
    """The one given, else the cell's own ``dt`` where that is a positive number."""
    if dt is not None:
        return positive("dt", dt)
    try:
        own = float(getattr(cell, "dt", math.nan))
    except (TypeError, ValueError):
        return None
    return own if own > 0 and math.isfinite(own) else None


def _verdict(
    trajectory: Trajectory,
    found: Measured,
    dt: float | None,
    *,
    left: overflow.Overflow | None = None,
    may_rest: bool = True,
) -> Diagnosis:
    """Measurements put together, and what the tables make of them."""
    logs, credit, cell = found.logs, found.credit, trajectory.cell
    dtype, steps = trajectory.states.dtype, len(logs) - 1
    is_finite = not (np.isnan(logs) | np.isposinf(logs)).any()
    if left is None and not is_finite:
        left = overflow.of_derivative(logs, trajectory.states)
    elif left is None and not found.is_loss_finite:
        left = overflow.Overflow("loss", "NaN", steps, math.nan, math.nan)
    growth = found.growth if is_finite else Growth(math.nan, math.nan, 0)
    rest = rest_of(trajectory) if may_rest and (left is None or left.what == "loss") else None
    growth, sign = at_rest(growth, math.nan if rest is None else rest.radius, dtype)
    shares = (1 / math.e, _PERCENT)
    state_horizons = [reach(logs, share) for share in shares]
    horizons = state_horizons
    if credit is not None:
        horizons = [credit.horizon(share) for share in shares]
    elif found.owed is not None:
        horizons = [reach(found.owed[::-1], share) for share in shares]
        horizons = [lag + (lag >= 0 and bool(np.isfinite(found.owed).any())) for lag in horizons]
    known = np.where(np.isfinite(logs), logs, -np.inf)
    used = slice(steps // 4 if steps >= FEWEST else 0, None)
    made = Diagnosis(
        regime="",
        exponent=growth.rate,
        standard_error=growth.error,
        steps=steps,
        log_norms=logs,
        horizon=horizons[0],
        horizon_percent=horizons[1],
        state_horizon=state_horizons[0],
        peak=float(known.max()),
        peak_lag=int(np.argmax(known[::-1])),
        bounds=_bounds(cell, found, trajectory) if is_finite else None,
        decay=decay_of(cell, found.along.logs[used], found.along.first_logs[used]),
        units=units_of(trajectory, found.along.is_passed),
        gates={name: float(value) for name, value in found.along.gates.items()},
        carries={name: float(np.max(value)) for name, value in found.along.carries.items()},
        rest=rest,
        credit=credit,
        remedies=(),
        state_percent=state_horizons[1],
        norms=found.norms,
        log_owed=found.owed,
        overflow=left,
        plain_limit=overflow.plain_limit(known, dtype),
        dt=dt,
        left_out=found.left_out,
        orbit=_orbit(trajectory, found),
    )
    return judged(made, cell, sign)


def judged(found: Diagnosis, cell: Any, sign: int | None) -> Diagnosis:
    """The measurements of a verdict with what the tables make of them: regime, sentence and remedies."""
    credit, left = found.credit, found.overflow
    facts = Facts(
        found.measured_steps,
        sign,
        found.exponent,
        float(found.log_norms[0]),
        found.peak,
        found.state_percent,
        found.state_percent if found.loss_is_flat else found.horizon_percent,
        found.trend,
        diverged=left is not None and left.what == "state",
        finite=left is None and found.horizon >= 0 and (credit is None or credit.is_finite),
    )
    row, sentence = row_of(facts)
    found = dataclasses.replace(found, regime=row.regime, reason=row.reason, sentence=sentence)
    return dataclasses.replace(found, remedies=remedies_of(found, cell))


def _orbit(trajectory: Trajectory, found: Measured) -> str:
    """What the run says of itself as an orbit in floats; the tangent that went along it tells how errors grow."""
    logs = found.along.logs
    return examined(trajectory.cell, trajectory.states, trajectory.inputs, logs).describe()


def _bounds(cell: Any, found: Measured, trajectory: Trajectory) -> Bounds | None:
    if found.steps is None:
        return None
    return bounds_of(cell, jnp.asarray(found.logs, trajectory.states.dtype), found.steps)


def _of_diverged(
    trajectory: Trajectory,
    first: int,
    dt: float | None,
    exact: bool | None,
    report: Callable[[int], object],
) -> Diagnosis:
    """The verdict on the part of a run before its first state that is not finite."""
    left = overflow.of_state(trajectory, first)
    if first > 1:
        part = overflow.before(trajectory, first)
        (found,) = measured(part, None, False, exact, report)
        made = _verdict(part, found, dt, left=left)
    else:
        made = judged(_nothing(left, dt), trajectory.cell, None)
    return dataclasses.replace(made, steps=trajectory.steps)


def _nothing(left: overflow.Overflow, dt: float | None) -> Diagnosis:
    """Of a run whose first step fails: no derivative was measured."""
    nan = math.nan
    return Diagnosis(
        "", nan, nan, 1, np.zeros(1), 0, 0, 0, 0.0, 0, None, None, None, {}, {}, None, None, (),
        state_percent=0, overflow=left, dt=dt,
    )  # fmt: skip
