"""A panel in one file, the one before it beside it: neither a kill nor a damaged file loses what was done."""

import contextlib
import dataclasses
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rnn_dynamics.numerics import storage
from rnn_dynamics.numerics.storage import StorageError
from rnn_dynamics.training.runs.panel import Panel

_KIND = "training panel"


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.stem}.{what}.npz")


def _print_of(panel: Panel) -> dict[str, Any]:
    """What has to be the same for a panel to go on, by name."""
    plan, recipe = panel.plan, panel.plan.recipe
    found: dict[str, Any] = {"kind": _KIND, "seeds": panel.seeds.tolist()}
    for name, values in panel.runs.numbers.items():
        found[f"numbers.{name}"] = np.asarray(values).tolist()
    for field in dataclasses.fields(recipe):
        found[f"recipe.{field.name}"] = repr(getattr(recipe, field.name))
    for field in dataclasses.fields(plan):
        if field.name != "recipe":
            found[f"plan.{field.name}"] = repr(getattr(plan, field.name))
    return found


def _arrays(panel: Panel) -> dict[str, np.ndarray]:
    runs = {f"run.{i}": leaf for i, leaf in enumerate(jax.tree_util.tree_leaves(panel.runs))}
    history = {f"history.{name}": values for name, values in panel.history.items()}
    return {**runs, **history, "status": panel.status, "wrong": panel.wrong}


def save(path: str | os.PathLike[str], panel: Panel) -> None:
    """Write the panel; the file that was there becomes ``….before.npz``."""
    path = Path(path)
    with contextlib.suppress(FileNotFoundError):  # none yet, or another process has just moved it
        os.replace(path, _beside(path, "before"))
    storage.save(path, _arrays(panel), {**_print_of(panel), "seconds": panel.seconds})


def resumed(path: str | os.PathLike[str] | None, begin: Callable[[], Panel]) -> Panel:
    """The panel of a file, or a new one where there is none; a damaged file is set aside as ``….damaged.npz``.

    Raises:
        ValueError: the file holds runs of another plan, or is none of ``save``; a name that ``save`` cannot write.
        StorageError: the file is damaged, and so is the one before it, or there is none.
        FileNotFoundError: the folder is missing.
    """
    if path is None:
        return begin()
    path = _writable(path)
    panel = begin()
    kept = [candidate for candidate in (path, _beside(path, "before")) if candidate.is_file()]
    for candidate in kept:
        try:
            arrays, metadata = storage.load(candidate)
        except StorageError as error:
            if candidate is kept[-1]:
                raise
            with contextlib.suppress(FileNotFoundError):
                os.replace(candidate, _beside(path, "damaged"))
            warnings.warn(f"{error}; going on from {kept[-1].name}", stacklevel=3)
            continue
        return _restored(candidate, panel, arrays, metadata)
    return panel


def _writable(path: str | os.PathLike[str]) -> Path:
    """The path, where a file can be written to it: found out before anything is computed."""
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"checkpoint: expected a name ending in .npz, got {path.name!r}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"checkpoint: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        raise ValueError(f"checkpoint: expected a file or a new name, got {path}")
    return path


def _restored(path: Path, panel: Panel, arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> Panel:
    wanted = _print_of(panel)
    others = [name for name, value in wanted.items() if metadata.get(name) != value]
    if metadata.get("kind") != _KIND or set(_arrays(panel)) != set(arrays):
        others = others or ["contents"]
    if others:
        told = "; ".join(_difference(name, metadata.get(name), wanted.get(name)) for name in others)
        raise ValueError(
            f"checkpoint: {path} was made with other settings: {told}; give another file name, or the same settings"
        )
    leaves, structure = jax.tree_util.tree_flatten(panel.runs)
    panel.runs = jax.tree_util.tree_unflatten(structure, [arrays[f"run.{i}"] for i in range(len(leaves))])
    panel.history = {name: arrays[f"history.{name}"] for name in panel.history}
    panel.status, panel.wrong = arrays["status"], arrays["wrong"]
    panel.seconds = float(metadata["seconds"])
    return panel


def _difference(name: str, there: Any, here: Any) -> str:
    """What differs in a setting, of a list its length or its first other entry."""
    if isinstance(there, list) and isinstance(here, list):
        if len(there) != len(here):
            return f"{len(there)} {name}, not {len(here)}"
        first = next(i for i, (a, b) in enumerate(zip(there, here, strict=True)) if a != b)
        name, there, here = f"{name}[{first}]", there[first], here[first]
    return f"{name} {str(there)[:200]}, not {str(here)[:200]}"
