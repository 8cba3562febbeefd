"""The verdict on a batch of runs: each one's, and what they have in common."""

import collections
import dataclasses
import json
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from rnn_dynamics.cells.arguments import instead_of_run
from rnn_dynamics.cells.rollout import Trajectories, Trajectory
from rnn_dynamics.diagnosis.measurements import SuggestedRemedy
from rnn_dynamics.diagnosis.verdict import Diagnosis
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.texts import counted

_LINES = {
    "exponent": ("largest Lyapunov exponent", "nats a step"),
    "horizon": ("horizon at 1/e", "lags"),
    "horizon_percent": ("horizon at 1 %", "lags"),
    "relative_horizon": ("horizon at 1/e", "of the run's own length"),
}


class _Spread(NamedTuple):
    runs: int
    median: float
    lower: float
    upper: float
    smallest: float
    largest: float
    deviation: float


class Spread(Result, _Spread):
    """How a number lies among several runs.

    Attributes:
        runs: how many have it.
        median, lower, upper: the quartiles.
        smallest, largest: the ends.
        deviation: the standard deviation; 0 of one run.
    """

    __slots__ = ()


def _spread(values: np.ndarray) -> Spread:
    lower, median, upper = np.quantile(values, (0.25, 0.5, 0.75))
    deviation = values.std(ddof=1) if values.size > 1 else 0.0
    ends = values.min(), values.max()
    return Spread(values.size, *map(float, (median, lower, upper, *ends, deviation)))


@dataclasses.dataclass(frozen=True, repr=False)
class BatchDiagnosis(Result):
    """The verdicts on several runs of one network, of one length or of several.

    Attributes:
        samples: one ``Diagnosis`` for each run.
    """

    samples: tuple[Diagnosis, ...]

    picture: ClassVar = "diagnoses"

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
    def remedies(self) -> tuple[SuggestedRemedy, ...]:
        """Those that more than half of the runs select, with the measurement of the first of these.

        Of the runs that are long enough for a regime; remedies of one key are one.
        """
        return tuple(found[0] for found in self._selected().values())

    def _selected(self) -> dict[str, list[SuggestedRemedy]]:
        """Those remedies by key, one for each run that selects it."""
        chosen: dict[str, list[SuggestedRemedy]] = {}
        for sample in self.samples:
            for remedy in sample.remedies:
                chosen.setdefault(remedy.key, []).append(remedy)
        return {key: found for key, found in chosen.items() if 2 * len(found) > self._decided}

    @property
    def _decided(self) -> int:
        return sum(sample.regime != "undecided" for sample in self.samples)

    @property
    def lengths(self) -> Int[np.ndarray, " runs"]:
        """The number of steps T of each run."""
        return np.array([sample.steps for sample in self.samples])

    @property
    def exponents(self) -> Float[np.ndarray, " runs"]:
        """The largest exponent of each run, nats a step; NaN where a run is too short or not finite."""
        return np.array([sample.exponent for sample in self.samples], float)

    @property
    def horizons(self) -> Int[np.ndarray, " runs"]:
        """The horizon at 1/e of each run; −1 where it has none."""
        return np.array([sample.horizon for sample in self.samples])

    @property
    def relative_horizons(self) -> Float[np.ndarray, " runs"]:
        """The horizon at 1/e of each run as a share of its own T, from 0 to 1; NaN where it has none."""
        return np.where(self.horizons >= 0, self.horizons / np.maximum(self.lengths, 1), np.nan)

    @property
    def spread(self) -> dict[str, Spread]:
        """How far the runs differ, by what is measured; of the runs that have it and stay finite."""
        percent = np.array([sample.horizon_percent for sample in self.samples])
        whole = np.array([sample.regime != "diverged" for sample in self.samples])
        measured = {
            "steps": self.lengths,
            "exponent": self.exponents,
            "horizon": self.horizons,
            "horizon_percent": percent,
            "relative_horizon": self.relative_horizons,
        }
        found = {}
        for name, values in measured.items():
            kept = np.isfinite(values) & ((values >= 0) | (name == "exponent"))
            known = values[kept & (whole | (name == "steps"))].astype(float)
            if known.size:
                found[name] = _spread(known)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return regimes, spread, remedies, and every run's ``Diagnosis.to_dict``."""
        return {
            "regime": self.regime,
            "regimes": self.regimes,
            "spread": {name: spread._asdict() for name, spread in self.spread.items()},
            "remedies": [remedy._asdict() for remedy in self.remedies],
            "samples": [sample.to_dict() for sample in self.samples],
        }

    def to_json(self) -> str:
        """Return ``to_dict`` as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Diagnosis:
        return self.samples[index]

    def __repr__(self) -> str:
        return f"BatchDiagnosis({len(self)} runs: {self.regime})"

    def __str__(self) -> str:
        counts = ", ".join(f"{number} {name}" for name, number in self.regimes.items())
        first, last = int(self.lengths.min()), int(self.lengths.max())
        steps = f"{first}" if first == last else f"{first} to {last}"
        lines = [f"Gradients of {len(self)} runs of {counted(steps, 'step')}: {counts}"]
        for name, (title, unit) in _LINES.items():
            if name not in self.spread:
                continue
            at = self.spread[name]
            of = "" if at.runs == len(self) else f", of {at.runs} runs"
            half = f", half of them {at.lower:.4g} to {at.upper:.4g}" if at.runs > 3 else ""
            ends = f"from {at.smallest:.4g} to {at.largest:.4g}{half}"
            lines.append(f"  {title:<27}median {at.median:.4g}, {ends} {unit}{of}")
        for key, found in self._selected().items():
            share = f"in {len(found)} of {len(self)} runs; of the first of them, as {found[0].because}"
            lines.append(f'Remedy: {found[0].name} (training.REMEDIES["{key}"])\n  {share}')
        if not self._selected():
            lines.append(
                f"Remedy: none is selected by more than half of the {self._decided} runs with a regime"
            )
        return "\n".join(lines)


def each_run(several: Any) -> list[Trajectory]:
    """The runs of a list, of ``Trajectories``, or of a batch of ``jax.vmap``, over its axes in their order.

    Raises:
        TypeError, ValueError: something else, or no runs.
    """
    if isinstance(several, Trajectory):
        found = _of_batch(several)
    elif isinstance(several, list | tuple | Trajectories):
        found = []
        for i, one in enumerate(several):
            if not isinstance(one, Trajectory):
                raise TypeError(
                    f"trajectory[{i}]: expected a Trajectory from rollout, got {type(one).__name__}"
                    f"{instead_of_run(one)}"
                )
            found += _of_batch(one) if one.batch else [one]
    else:
        raise TypeError(
            f"trajectory: expected a Trajectory from rollout, or a list of them, got {type(several).__name__}"
            f"{instead_of_run(several)}"
        )
    if not found:
        raise ValueError("trajectory: expected at least one run, got a batch of none")
    return found


def _of_batch(batch: Trajectory) -> list[Trajectory]:
    """Take apart the runs that ``jax.vmap`` over ``rollout`` has made."""

    def taken(leaf: Any, at: tuple[int, ...]) -> Any:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):  # keys, which NumPy does not have
            return leaf[at]
        return jax.device_put(np.asarray(leaf)[at])  # cut on the host, which compiles nothing

    return [
        jax.tree_util.tree_map(lambda leaf, at=at: taken(leaf, at), batch) for at in np.ndindex(batch.batch)
    ]


def side_by_side(batch: Trajectory) -> Trajectory:
    """A batch of ``jax.vmap``, nested or not, along one axis of runs.

    Raises:
        ValueError: no runs.
    """
    axes = len(batch.batch)
    if not all(batch.batch):
        raise ValueError("trajectory: expected at least one run, got a batch of none")
    if axes == 1:
        return batch
    return jax.tree_util.tree_map(lambda leaf: leaf.reshape(-1, *leaf.shape[axes:]), batch)
