"""The verdict on a network: where its gradients go, once, for a batch of runs, or along its training."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from rnn_dynamics.cells.bidirectional import BidirectionalRun
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.diagnosis.batches import BatchDiagnosis, each_run, side_by_side
from rnn_dynamics.diagnosis.bidirectional import BidirectionalDiagnosis, of_bidirectional
from rnn_dynamics.diagnosis.measurements import SuggestedRemedy
from rnn_dynamics.diagnosis.measures import Decay, Rest, Units
from rnn_dynamics.diagnosis.overflow import Overflow
from rnn_dynamics.diagnosis.tracking import Record, Tracker
from rnn_dynamics.diagnosis.verdict import Diagnosis, of_one_run, of_runs
from rnn_dynamics.numerics.progress import reporter
from rnn_dynamics.numerics.validation import flag

__all__ = [
    "BatchDiagnosis",
    "BidirectionalDiagnosis",
    "Decay",
    "Diagnosis",
    "Overflow",
    "Record",
    "Rest",
    "SuggestedRemedy",
    "Tracker",
    "Units",
    "diagnose",
]


def diagnose(
    trajectory: Any,
    loss: Any = None,
    *,
    every_step: bool = False,
    dt: float | None = None,
    exact: bool | None = None,
    progress: bool | Callable[[int, int], object] | None = None,
) -> Any:
    """Where gradients go in a network along a run of it, and what would help.

    Args:
        trajectory: from ``rollout``, of any cell; of a foreign network through ``interop``. Or several runs, of
            any lengths: ``Trajectories`` from ``rollout``, a list of trajectories, or a batch from ``jax.vmap``.
            Or a run of a ``Bidirectional``, whose loss, if any, is one of all outputs y, shape (T, n).
        loss: E(x_T), or with ``every_step`` E(x_1 … x_T); the horizon is then that of the shares of ∂E/∂θ. The same
            for each of several runs.
        every_step: whether the loss looks at all states. The states' and the parameters' gradient then come from
            one reverse pass; by lag 64 of the steps' losses are followed, evenly among those that are not 0.
        dt: the time that one step stands for: the exponent is given per unit of time too. By default the cell's
            attribute ``dt`` where it has one.
        exact: True decomposes every product ∂x_T/∂x_k and every step, at some 30 T n³ operations and more; False
            carries five rows back; by default what the cost allows, see below and ``Diagnosis.norms``.
        progress: True for a bar on standard error, or ``progress(done, total)``, called after each stretch.

    Returns:
        ``Diagnosis``; ``print`` it for half a page, ``.plot()``, ``.to_dict()``. Of several ``BatchDiagnosis``,
        with what they have in common and how far they spread. Of a bidirectional network
        ``BidirectionalDiagnosis``: that of each direction of each layer, and how far outputs reach to both sides.

    Raises:
        TypeError, ValueError: no trajectory, one without steps, a loss as ``credit_by_lag`` refuses it; a dt that
            is not positive.

    The cost of B runs of T steps, n entries of the state and p parameters: up to B T n³ = 1e8 all is exact, within
    a second or two; up to 1e11 the products are formed, 2 B T n³ operations, as by ``gradient_norms(ord="fro")``,
    and followed along their leading directions; beyond that one tangent goes forward and five rows back, 8 or 9
    applications of a step in all: the work of about two ``jax.grad``. A loss adds one row, and, with p
    up to 2e5 and B T p up to 5e7, the parameters' shares: some dozens of T p operations. ``Diagnosis.left_out``
    tells what is left out. Memory beyond the runs is that of a stretch of max(256, √T) steps and a few numbers a
    step; with a loss, that of ∂E/∂x_k.

    The rule by which a growth counts as vanishing or exploding, with 95 % confidence, stands at ``Diagnosis``.

    References: Y. Bengio, P. Simard, P. Frasconi, IEEE Trans. Neural Networks 5, 157 (1994); R. Pascanu,
    T. Mikolov, Y. Bengio, ICML 2013.
    """
    every_step = flag("every_step", every_step)
    exact = None if exact is None else flag("exact", exact)
    if progress is not None and not isinstance(progress, bool) and not callable(progress):
        raise TypeError(f"progress: expected None, a bool or a function, got {type(progress).__name__}")
    options = {"dt": dt, "exact": exact}
    if isinstance(trajectory, BidirectionalRun):
        cells = sum(run is not None for pair in trajectory.trajectories for run in pair)
        with reporter(progress, 2 * cells * trajectory.steps, unit="step") as report:
            return of_bidirectional(trajectory, loss, report=report, **options)
    if isinstance(trajectory, Trajectory) and not trajectory.batch:
        with reporter(progress, 2 * trajectory.steps, unit="step") as report:
            return of_one_run(trajectory, loss, every_step, report=report, **options)
    if isinstance(trajectory, Trajectory):
        batch = side_by_side(trajectory)
        with reporter(progress, 2 * batch.steps, unit="step") as report:
            return BatchDiagnosis(of_runs(batch, loss, every_step, report=report, **options))
    runs = each_run(trajectory)
    ends = np.cumsum([0, *(2 * run.steps for run in runs)])
    with reporter(progress, int(ends[-1]), unit="step") as report:
        return BatchDiagnosis(
            tuple(
                of_one_run(run, loss, every_step, report=functools.partial(_after, report, before), **options)
                for run, before in zip(runs, ends[:-1].tolist(), strict=True)
            )
        )


def _after(report: Callable[[int], object], before: int, done: int) -> object:
    """Tells what is done of one run, behind the others before it."""
    return report(before + done)
