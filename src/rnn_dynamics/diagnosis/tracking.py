"""The verdict along training: a record every so many steps, at a share of the time that the user sets."""

import math
import time
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.diagnosis.growth import summary_of
from rnn_dynamics.gradients.jacobians import pullback
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.validation import count, real_array


class Record(NamedTuple):
    """What was measured at one training step, from one vector carried back through one run.

    Attributes:
        step: of the training.
        regime: as ``Diagnosis.regime``.
        exponent, standard_error: mean growth of the vector in nats a step and its error, as ``Diagnosis``.
        horizon: the largest lag at which the vector is at least 1/e of its greatest length; −1 where it is not
            finite.
        steps: T of the run.
        seconds: what the record cost.
    """

    step: int
    regime: str
    exponent: float
    standard_error: float
    horizon: int
    steps: int
    seconds: float


class Tracker(Result):
    """Records regime and horizon along a training loop of the user's own.

        tracker = Tracker(every=100)
        for step in range(10_000):
            parameters, state = update(parameters, state, batch)
            if tracker.due(step):
                tracker(step, cell_of(parameters), x0, inputs)
        tracker.plot()

    A random vector v is pulled back through one run, (∂x_T/∂x_k)ᵀ v for every k: about the work of one backward
    pass of one sample. After a record no other is made until the training has run for its cost over ``share``; the
    first two, which compile, count as nothing. ``due`` spares the steps between them the making of the cell, which
    may take longer than a record does per step; inputs that are the same each time keep records comparable.

    Args:
        every: training steps between two records, at least.
        share: of the training's time that records may take, in (0, 1].

    Raises:
        TypeError, ValueError: every < 1, a share outside (0, 1].
    """

    picture: ClassVar = "tracked"
    _kept: ClassVar = ("every", "share", "records")
    _resume = _next = -math.inf  # of a tracker that was read from a file, too

    def __init__(self, every: int = 100, share: float = 0.05) -> None:
        self.every = count("every", every, minimum=1)
        self.share = float(real_array("share", share, shape=()))
        if not 0 < self.share <= 1:
            raise ValueError(f"share: expected a number in (0, 1], got {self.share}")
        self.records: list[Record] = []

    def due(self, step: int) -> bool:
        """Whether a call at this training step would record."""
        return step >= self._next and time.perf_counter() >= self._resume

    def __call__(
        self, step: int, cell: Any, x0: Any, inputs: Any = None, *, steps: int | None = None
    ) -> bool:
        """Record if it is time to; whether it was.

        Args:
            step: of the training.
            cell: with the parameters of now.
            x0, inputs, steps: of one run, as for ``rollout``; keep their shapes, as each new one compiles.

        Raises:
            TypeError, ValueError: a step that is no integer; as ``rollout``.
        """
        if isinstance(step, bool) or not isinstance(step, int | np.integer):
            raise TypeError(f"step: expected the number of the training step, got {step!r}")
        if not self.due(step):
            return False
        begin = time.perf_counter()
        found = _measured(cell, x0, inputs, steps)
        seconds = time.perf_counter() - begin
        self.records.append(Record(int(step), *found, seconds))
        self._next = step + self.every
        if len(self.records) > 2:
            self._resume = time.perf_counter() + seconds * (1 - self.share) / self.share
        return True

    def to_dict(self) -> dict[str, list]:
        """A list for every field of ``Record``."""
        return {name: [getattr(record, name) for record in self.records] for name in Record._fields}

    def __repr__(self) -> str:
        if not self.records:
            return "Tracker(no records)"
        last = self.records[-1]
        return (
            f"Tracker({len(self.records)} records, at step {last.step} {last.regime}, horizon {last.horizon})"
        )


def _measured(cell: Any, x0: Any, inputs: Any, steps: int | None) -> tuple[str, float, float, int, int]:
    run = rollout(cell, x0, inputs, steps=steps)
    shape, dtype = run.states.shape[1:], run.states.dtype
    vector = np.random.default_rng(0).normal(size=shape).astype(dtype)
    back = pullback(run, vector)
    logs = np.asarray((back.norm() if shape else back).log(), float)
    diverged = int(jax.device_get(run.first_nonfinite)) >= 0
    found = summary_of(logs[None], diverged=diverged, dtype=dtype)
    growth = found.growths[0]
    return found.regime, growth.rate, growth.error, found.horizons[0], run.steps
