"""Runs of one plan side by side, and what was seen of them."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from rnn_dynamics.numerics.status import Status
from rnn_dynamics.training.recipes.networks import Network
from rnn_dynamics.training.runs.updates import Plan, Run


@dataclasses.dataclass(repr=False)
class Panel:
    """Runs of one plan and what was seen of them; between calls of ``train`` all of it is on the host.

    Attributes:
        plan: what the runs have in common.
        seeds: of each run.
        runs: the state of every run, a leading axis of runs.
        status: ``CONVERGED`` where the task was learned, ``DIVERGED``, ``MAX_STEPS``; ``UNDECIDED`` while running.
        wrong: the share of 10 000 fresh sequences that a learned network puts wrong; else of the last check's.
        history: by field of ``ProgressCheck`` and of the gradient's story, shape (checks, runs), NaN after a run
            has ended.
        seconds: spent so far.
    """

    plan: Plan
    seeds: Int[np.ndarray, " runs"]
    runs: Run
    status: Int[np.ndarray, " runs"]
    wrong: Float[np.ndarray, " runs"]
    history: dict[str, np.ndarray]
    seconds: float = 0.0

    @property
    def succeeded(self) -> Bool[np.ndarray, " runs"]:
        """Marks the runs that learned the task."""
        return self.status == Status.CONVERGED

    @property
    def steps(self) -> Int[np.ndarray, " runs"]:
        """Updates of each run: those to success, where it has learned the task."""
        return np.asarray(self.runs.step)

    @property
    def is_running(self) -> bool:
        """Marks the runs that are still undecided."""
        return bool((self.status == Status.UNDECIDED).any())

    @property
    def networks(self) -> Network:
        """The networks as they are now, a leading axis of runs."""
        return self.runs.network

    def __repr__(self) -> str:
        counts = {s.name.lower(): int((self.status == s).sum()) for s in Status if (self.status == s).any()}
        return f"Panel({self.plan.task.name}, length {self.plan.task.length}: {counts})"
