"""The verdict on a batch of runs: each one's, and what they have in common."""

import collections
import dataclasses
import json
import math
import statistics
from typing import Any

import jax

from rnn_dynamics.diagnose.remedies import Remedy
from rnn_dynamics.diagnose.verdict import Diagnosis

__all__ = ["BatchDiagnosis", "each_run"]

_LINES = (
    ("largest Lyapunov exponent", "exponent", "nats a step"),
    ("horizon at 1/e", "horizon", "lags"),
    ("horizon at 1 %", "horizon_percent", "lags"),
)


@dataclasses.dataclass(frozen=True, repr=False)
class BatchDiagnosis:
    """The verdicts on several runs of one network.

    Attributes:
        samples: one ``Diagnosis`` for each run.
    """

    samples: tuple[Diagnosis, ...]

    @property
    def regimes(self) -> dict[str, int]:
        """How many runs are in each regime, the most frequent first."""
        return dict(collections.Counter(sample.regime for sample in self.samples).most_common())

    @property
    def regime(self) -> str:
        """That of more than half of the runs, else "mixed"."""
        name, number = next(iter(self.regimes.items()))
        return name if 2 * number > len(self.samples) else "mixed"

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """Those that more than half of the runs select, with the measurement of the first of these."""
        chosen: dict[str, list[Remedy]] = {}
        for sample in self.samples:
            for remedy in sample.remedies:
                chosen.setdefault(remedy.name, []).append(remedy)
        return tuple(found[0] for found in chosen.values() if 2 * len(found) > len(self.samples))

    @property
    def _measured(self) -> list[Diagnosis]:
        """The runs that have an exponent and a horizon, of all their steps."""
        whole = [sample for sample in self.samples if sample.regime != "diverged"]
        return [sample for sample in whole if not math.isnan(sample.exponent) and sample.horizon >= 0]

    def to_dict(self) -> dict[str, Any]:
        """Regimes, remedies, and every run's ``Diagnosis.to_dict``."""
        return {
            "regime": self.regime,
            "regimes": self.regimes,
            "remedies": [remedy._asdict() for remedy in self.remedies],
            "samples": [sample.to_dict() for sample in self.samples],
        }

    def plot(self) -> Any:
        """The norms of every run against the lag, and the horizons; see ``plots.diagnoses``."""
        from rnn_dynamics import plots

        return plots.diagnoses(self)

    def to_json(self) -> str:
        """``to_dict`` as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Diagnosis:
        return self.samples[index]

    def __repr__(self) -> str:
        return f"BatchDiagnosis({len(self)} runs: {self.regime})"

    def __str__(self) -> str:
        counts = ", ".join(f"{number} {name}" for name, number in self.regimes.items())
        lines = [f"Gradients of {len(self)} runs: {counts}"]
        for title, field, unit in _LINES:
            known = [float(getattr(sample, field)) for sample in self._measured]
            if not known:
                continue
            middle, low, high = statistics.median(known), min(known), max(known)
            of = "" if len(known) == len(self) else f", of {len(known)} runs"
            lines.append(f"  {title:<27}median {middle:.4g}, from {low:.4g} to {high:.4g} {unit}{of}")
        lines += [f"Remedy: {remedy.name}\n  as, in one run, {remedy.because}" for remedy in self.remedies]
        return "\n".join(lines)


def each_run(batch: Any) -> list[Any]:
    """The runs of a batch that ``jax.vmap`` over ``rollout`` gave."""
    return [
        jax.tree_util.tree_map(lambda leaf, i=i: leaf[i], batch) for i in range(len(batch.first_nonfinite))
    ]
