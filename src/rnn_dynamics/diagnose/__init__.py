"""The verdict on a network: where its gradients go, once, for a batch of runs, or along its training."""

from typing import Any

from rnn_dynamics.diagnose.batches import BatchDiagnosis, each_run
from rnn_dynamics.diagnose.measures import Decay, Rest, Units
from rnn_dynamics.diagnose.remedies import Remedy
from rnn_dynamics.diagnose.tracking import Record, Tracker
from rnn_dynamics.diagnose.verdict import Diagnosis, of_one_run
from rnn_dynamics.rollout import Trajectory
from rnn_dynamics.validation import flag

__all__ = [
    "BatchDiagnosis",
    "Decay",
    "Diagnosis",
    "Record",
    "Remedy",
    "Rest",
    "Tracker",
    "Units",
    "diagnose",
]


def diagnose(trajectory: Any, loss: Any = None, *, every_step: bool = False) -> Diagnosis | BatchDiagnosis:
    """Where gradients go in a network along a run of it, and what would help.

    Args:
        trajectory: from ``rollout``, of any cell; of a foreign network through ``interop``. Or several runs, of
            any lengths: ``Trajectories`` from ``rollout``, a list of trajectories, or a batch from ``jax.vmap``.
        loss: E(x_T), or with ``every_step`` E(x_1 … x_T); the horizon is then that of the shares of ∂E/∂θ. The same
            for each of several runs.
        every_step: whether the loss looks at all states.

    Returns:
        ``Diagnosis``; ``print`` it for half a page, ``.plot()``, ``.to_dict()``. Of several ``BatchDiagnosis``,
        with what they have in common and how far they spread.

    Raises:
        TypeError, ValueError: no trajectory, one without steps, a loss as ``credit_by_lag`` refuses it.

    Runs of several lengths share their programs: T is padded to a power of two inside.
    """
    every_step = flag("every_step", every_step)
    if isinstance(trajectory, Trajectory) and not trajectory.batch:
        return of_one_run(trajectory, loss, every_step)
    return BatchDiagnosis(tuple(of_one_run(run, loss, every_step) for run in each_run(trajectory)))
