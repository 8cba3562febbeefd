"""What ``compare`` finds: a row for each remedy, task and length; as text, arrays, a file and a picture."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from rnn_dynamics.diagnosis.growth import REGIMES
from rnn_dynamics.numerics import packages
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.training.recipes.remedies import Remedy
from rnn_dynamics.training.runs.intervals import wilson
from rnn_dynamics.training.runs.panel import Panel

MOMENTS = ("initial", "middle", "final")
_STORY = ("exponent", "horizon", "regime")
_WIDE = "{:<{width}}  {:<16} {:>4} {:>8} {:>10} {:>8} {:>8}  {:>19}  {}"
_ARRAYS = ("seeds", "status", "steps", "wrong", *_STORY)


@dataclasses.dataclass(frozen=True, repr=False)
class ComparisonRow(Result):
    """One remedy on one task of one length.

    Attributes:
        remedy: names joined by "+".
        kind: of what it changes.
        claim: what is said of it.
        task: its name.
        length: of the task.
        steps_of_task: T, what the horizon is measured against.
        rate: the learning rate that stands for the row.
        rates: those tried.
        seconds: wall time of all runs of the row, those of other rates and compilation included.
        seeds: of the runs at this rate, shape (s,).
        status: of each: ``CONVERGED``, ``DIVERGED`` or ``MAX_STEPS``.
        steps: updates of each, those to success where there was one.
        wrong: share of fresh sequences that are wrong at the end.
        exponent: growth of the gradient in nats a step at the start, halfway and at the end, shape (3, s).
        horizon: lags over which the gradient lasts at these moments, shape (3, s).
        regime: its index in ``diagnosis.growth.REGIMES``, shape (3, s).
    """

    remedy: str
    kind: str
    claim: str
    task: str
    length: int
    steps_of_task: int
    rate: float
    rates: tuple[float, ...]
    seconds: float
    seeds: Int[np.ndarray, " s"]
    status: Int[np.ndarray, " s"]
    steps: Int[np.ndarray, " s"]
    wrong: Float[np.ndarray, " s"]
    exponent: Float[np.ndarray, "3 s"]
    horizon: Float[np.ndarray, "3 s"]
    regime: Float[np.ndarray, "3 s"]

    _axes: ClassVar = {"s": "run"}

    @property
    def successes(self) -> int:
        """The number of runs that learned the task."""
        return int((self.status == Status.CONVERGED).sum())

    @property
    def diverged(self) -> int:
        """The number of runs that are not finite."""
        return int((self.status == Status.DIVERGED).sum())

    @property
    def success_rate(self) -> float:
        """Share of the runs that learned the task."""
        return self.successes / len(self.seeds)

    @property
    def interval(self) -> Float[np.ndarray, " 2"]:
        """Wilson's 95 % interval of the success rate."""
        return wilson(self.successes, len(self.seeds))

    @property
    def steps_to_success(self) -> float:
        """Median updates of the runs that learned the task; NaN where none has."""
        done = self.steps[self.status == Status.CONVERGED]
        return float(np.median(done)) if done.size else float("nan")

    def regime_at(self, moment: str) -> str:
        """The regime of most runs at "initial", "middle" or "final"."""
        values = self.regime[MOMENTS.index(moment)]
        known = values[~np.isnan(values)].astype(int)
        return REGIMES[np.bincount(known).argmax()] if known.size else "not measured"

    def horizon_at(self, moment: str) -> float:
        """Median horizon of the runs; NaN where not measured."""
        return _median(self.horizon[MOMENTS.index(moment)])

    def exponent_at(self, moment: str) -> float:
        """Median exponent of the runs, nats a step; NaN where not measured."""
        return _median(self.exponent[MOMENTS.index(moment)])

    def __repr__(self) -> str:
        return (
            f"ComparisonRow({self.remedy}, {self.task} {self.length}: {self.successes} of {len(self.seeds)} "
            f"learned, horizon {self.horizon_at('initial'):.0f} to {self.horizon_at('final'):.0f})"
        )


def _median(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else float("nan")


def row_of(label: str, remedies: tuple[Remedy, ...], panel: Panel, rates: np.ndarray) -> ComparisonRow:
    """The row of a trained panel at the rate with most successes, the faster one of equals."""
    tried = tuple(dict.fromkeys(rates.tolist()))

    def rank(rate: float) -> tuple[int, float]:
        done = panel.succeeded & (rates == rate)
        return -int(done.sum()), float(panel.steps[done].mean()) if done.any() else 0.0

    best = min(tried, key=rank)
    at = np.flatnonzero(rates == best)
    story = {name: _moments(panel.history[name][:, at]) for name in _STORY}
    learned = panel.plan.task
    return ComparisonRow(
        remedy=label,
        kind=", ".join(dict.fromkeys(remedy.kind for remedy in remedies)) or "none",
        claim="; ".join(remedy.claim for remedy in remedies if remedy.claim),
        task=learned.name,
        length=learned.length,
        steps_of_task=learned.steps,
        rate=float(best),
        rates=tried,
        seconds=panel.seconds,
        seeds=panel.seeds[at],
        status=panel.status[at],
        steps=panel.steps[at],
        wrong=panel.wrong[at],
        **story,
    )


def _moments(history: np.ndarray) -> np.ndarray:
    """The first, the middle and the last check that each run took part in."""
    checks = np.maximum((~np.isnan(history)).sum(axis=0), 1)
    runs = np.arange(history.shape[1])
    return np.stack([history[place, runs] for place in (0 * checks, (checks - 1) // 2, checks - 1)])


@dataclasses.dataclass(frozen=True, repr=False)
class Comparison(Result):
    """Rows, and the settings they share.

    Attributes:
        rows: one for each remedy, task and length.
        settings: seeds, updates, units, batch, and updates between checks.
    """

    rows: tuple[ComparisonRow, ...]
    settings: dict[str, int]

    picture: ClassVar = "comparison"

    def row(self, remedy: str, task: str | None = None, length: int | None = None) -> ComparisonRow:
        """The first row of a remedy, on a task and length where given.

        Raises:
            KeyError: there is none.
        """
        for row in self.rows:
            if row.remedy == remedy and task in (None, row.task) and length in (None, row.length):
                return row
        raise KeyError(f"no row of {remedy!r}, {task or 'any task'}, length {length or 'any'}")

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset`` over remedy, (task, length), run and moment; NaN and −1 where a row is missing.

        Raises:
            ImportError: xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise packages.missing("to_xarray", "xarray") from error
        remedies = list(dict.fromkeys(row.remedy for row in self.rows))
        tasks = list(dict.fromkeys(row.task for row in self.rows))
        lengths = sorted({row.length for row in self.rows})
        shape = (len(remedies), len(tasks), len(lengths))
        runs = max(len(row.seeds) for row in self.rows)
        one = {
            name: np.full(shape, np.nan)
            for name in ("success_rate", "low", "high", "seconds", "learning_rate")
        }
        each = {"status": np.full((*shape, runs), -1), "steps": np.full((*shape, runs), -1)}
        each["wrong"] = np.full((*shape, runs), np.nan)
        story = {name: np.full((*shape, len(MOMENTS), runs), np.nan) for name in _STORY}
        for row in self.rows:
            at = remedies.index(row.remedy), tasks.index(row.task), lengths.index(row.length)
            low, high = row.interval
            values = (row.success_rate, low, high, row.seconds, row.rate)
            for name, value in zip(one, values, strict=True):
                one[name][at] = value
            for name in each:
                each[name][at] = getattr(row, name)
            for name in story:
                story[name][at] = getattr(row, name)
        axes = ("remedy", "task", "length")
        variables = {name: (axes, values) for name, values in one.items()}
        variables |= {name: ((*axes, "run"), values) for name, values in each.items()}
        variables |= {name: ((*axes, "moment", "run"), values) for name, values in story.items()}
        about = {"status": ", ".join(f"{s.value} {s.name}" for s in Status), "regime": ", ".join(REGIMES)}
        coordinates = {"remedy": remedies, "task": tasks, "length": lengths, "moment": list(MOMENTS)}
        return xarray.Dataset(variables, coordinates, {**self.settings, **about})

    @classmethod
    def _of_file(
        cls, path: str, arrays: Mapping[str, np.ndarray], described: Mapping[str, Any]
    ) -> "Comparison":
        """A comparison from the first form of its files, as the one that comes with the library."""
        rows = []
        for i, plain in enumerate(described["rows"]):
            own: dict[str, Any] = {name: arrays[f"row{i}.{name}"] for name in _ARRAYS}
            rows.append(ComparisonRow(**{**plain, "rates": tuple(plain["rates"])}, **own))
        return cls(tuple(rows), described["settings"])

    def to_json(self) -> str:
        """Return the rows with their medians and runs; NaN becomes ``null``."""
        return json.dumps({"settings": self.settings, "rows": [_plain(row) for row in self.rows]}, indent=1)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Comparison({len(self)} rows)"

    def __str__(self) -> str:
        width = max(len(row.remedy) for row in self.rows)
        titles = ("remedy", "task", "len", "learned", "95 %", "updates", "seconds", "horizon of T", "regime")
        head = _WIDE.format(*titles, width=width)
        return "\n".join([head, *(_line(row, width) for row in self.rows)])


def _line(row: ComparisonRow, width: int) -> str:
    low, high = row.interval
    horizons = " ".join(f"{row.horizon_at(moment):.0f}" for moment in MOMENTS)
    took = "-" if np.isnan(row.steps_to_success) else f"{row.steps_to_success:.0f}"
    texts = (
        row.remedy,
        row.task,
        row.length,
        f"{row.successes}/{len(row.seeds)}",
        f"{low:.2f}-{high:.2f}",
        took,
        f"{row.seconds:.1f}",
        f"{horizons} of {row.steps_of_task}",
        f"{row.regime_at('initial')} → {row.regime_at('final')}",
    )
    return _WIDE.format(*texts, width=width) + (f"; {row.diverged} diverged" if row.diverged else "")


def _plain(row: ComparisonRow) -> dict[str, Any]:
    low, high = row.interval
    found: dict[str, Any] = {
        field.name: getattr(row, field.name) for field in dataclasses.fields(row) if field.name not in _ARRAYS
    }
    found |= {"successes": row.successes, "diverged": row.diverged, "low": float(low), "high": float(high)}
    found |= {"status": [Status(int(s)).name for s in row.status], "steps": row.steps.tolist()}
    took = row.steps_to_success
    found |= {"seeds": row.seeds.tolist(), "steps_to_success": None if np.isnan(took) else took}
    for moment in MOMENTS:
        horizon, exponent = row.horizon_at(moment), row.exponent_at(moment)
        found[moment] = {
            "horizon": None if np.isnan(horizon) else horizon,
            "exponent": exponent if np.isfinite(exponent) else None,
            "regime": row.regime_at(moment),
        }
    return found


def load_comparison(path: str | os.PathLike[str]) -> Comparison:
    """Read a file of ``Comparison.save``.

    Args:
        path: of the file (.npz).

    Returns:
        The ``Comparison``.

    Raises:
        StorageError: damaged, or another kind of file.
        OSError: the file cannot be read.
    """
    return Comparison._read(path, {}, "a comparison")
