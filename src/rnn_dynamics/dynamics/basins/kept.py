"""Basins at each value of a parameter, in a store: labels as its arrays, the attractors in files beside it."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.dynamics.basins.labels import BasinLabels, basins
from rnn_dynamics.numerics.stored.opening import opened
from rnn_dynamics.numerics.sweep import sweep


@dataclasses.dataclass(frozen=True)
class _AtValue:
    """The function of one value; its folder is no part of what is computed."""

    family: Callable[[Any], Any]
    starts: Any
    options: dict[str, Any]
    folder: Path = dataclasses.field(compare=False)

    def __call__(self, parameter: float) -> dict[str, Any]:
        found = basins(self.family(parameter), self.starts, **self.options)
        self.folder.mkdir(parents=True, exist_ok=True)
        found.save(self.file(parameter))
        return {"labels": found.labels, "steps": found.steps, "attractors": len(found.attractors)}

    def file(self, parameter: float) -> Path:
        """Where the attractors of a value are."""
        return self.folder / f"{float(parameter).hex()}.npz"


def kept_basins(
    family: Callable[[Any], Any],
    values: np.ndarray,
    starts: Any,
    store: str | os.PathLike[str],
    executor: Any,
    options: dict[str, Any],
) -> list[BasinLabels]:
    """The basins of family(p) at each value p, computed where they are not in the store.

    Args:
        family, starts: as for ``basins``.
        values: of the parameter, each once.
        store, executor: as for ``sweep``. A file that is missing or damaged is computed again.
        options: of ``basins``.

    Raises:
        RuntimeError: values that no worker could compute, and why.
    """
    path = Path(store)
    at = _AtValue(family, starts, options, path.with_name(f"{path.name}.attractors"))
    axes = {"parameter": values}
    values = sweep(at, axes, store=path, executor=executor, traced=False).axes["parameter"]
    found = [_read(at, value) for value in values]
    lost = [i for i, labels in enumerate(found) if labels is None]
    if lost:
        kept = opened(path)
        for index in lost:
            kept.forget(index)
        sweep(at, axes, store=path, executor=executor, traced=False)
        for index in lost:
            found[index] = _read(at, values[index])
    failures = opened(path).failures()
    if failures:
        index, said = next(iter(failures.items()))
        raise RuntimeError(
            f"executor: {len(failures)} of {len(values)} values could not be computed; at {values[index]:g}:"
            f" {said.get('cause')}"
        )
    return [labels for labels in found if labels is not None]


def _read(at: _AtValue, value: float) -> BasinLabels | None:
    try:
        return BasinLabels.load(at.file(value))
    except (OSError, ValueError):  # missing or damaged
        return None
