"""A panel in one file, the one before it beside it: neither a kill nor a damaged file loses what was done."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from rnn_dynamics import storage
from rnn_dynamics.storage import StorageError

if TYPE_CHECKING:
    from rnn_dynamics.training.panels import Panel

__all__ = ["resumed", "save"]

_KIND = "training panel"


def _older(path: Path) -> Path:
    return path.with_name(f"{path.stem}.before.npz")


def _print_of(panel: "Panel") -> dict[str, Any]:
    """What has to be the same for a panel to go on."""
    numbers = {name: np.asarray(values).tolist() for name, values in panel.runs.numbers.items()}
    return {"kind": _KIND, "plan": repr(panel.plan), "seeds": panel.seeds.tolist(), "numbers": numbers}


def save(path: str | os.PathLike[str], panel: "Panel") -> None:
    """Write the panel; the file that was there becomes ``….before.npz``."""
    path = Path(path)
    leaves = jax.tree_util.tree_leaves(panel.runs)
    arrays = {f"run.{i}": leaf for i, leaf in enumerate(leaves)}
    arrays |= {f"history.{name}": values for name, values in panel.history.items()}
    arrays |= {"status": panel.status, "wrong": panel.wrong}
    if path.is_file():
        os.replace(path, _older(path))
    storage.save(path, arrays, {**_print_of(panel), "seconds": panel.seconds})


def resumed(path: str | os.PathLike[str] | None, begin: Callable[[], "Panel"]) -> "Panel":
    """The panel of a file, or a new one where there is none.

    Raises:
        ValueError: the file holds runs of another plan.
        StorageError: the file is damaged, and so is the one before it, or there is none.
    """
    panel = begin()
    if path is None:
        return panel
    path = Path(path)
    kept = [candidate for candidate in (path, _older(path)) if candidate.is_file()]
    for candidate in kept:
        try:
            arrays, metadata = storage.load(candidate)
        except StorageError as error:
            if candidate is kept[-1]:
                raise
            warnings.warn(f"{error}; going on from {kept[-1].name}", stacklevel=3)
            continue
        return _restored(candidate, panel, arrays, metadata)
    return panel


def _restored(path: Path, panel: "Panel", arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> "Panel":
    for name, value in _print_of(panel).items():
        if metadata.get(name) != value:
            raise ValueError(
                f"checkpoint: {path} was made with other {name}: {str(metadata.get(name))[:200]}, "
                f"not {str(value)[:200]}; give another file name, or the same settings"
            )
    leaves, structure = jax.tree_util.tree_flatten(panel.runs)
    panel.runs = jax.tree_util.tree_unflatten(structure, [arrays[f"run.{i}"] for i in range(len(leaves))])
    panel.history = {name: arrays[f"history.{name}"] for name in panel.history}
    panel.status, panel.wrong = arrays["status"], arrays["wrong"]
    panel.seconds = float(metadata["seconds"])
    return panel
