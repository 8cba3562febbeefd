"""The doors of the atlases: compute one, read what a folder holds of one, draw it."""

import dataclasses
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rnn_dynamics.atlases.atlas import Atlas
from rnn_dynamics.atlases.registry import ATLASES
from rnn_dynamics.numerics.storage import StorageError
from rnn_dynamics.numerics.stored.opening import opened
from rnn_dynamics.numerics.stored.store import Store
from rnn_dynamics.numerics.sweep import Sweep
from rnn_dynamics.numerics.swept import of_store
from rnn_dynamics.numerics.validation import choice, count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KEY = "atlas"


def make(
    name: str,
    *,
    store: Any = None,
    executor: Any = None,
    progress: Any = None,
    chunk: int | None = None,
    **options: Any,
) -> Any:
    """Compute an atlas, in memory or in a folder; the same call goes on from what the folder holds.

    Args:
        name: one of ``ATLASES``: "radius", "neuron", "fixed_points", "gated".
        store, executor, progress, chunk: as for ``sweep``.
        options: of the atlas, see ``ATLASES[name].options``; each has a default.

    Returns:
        ``RadiusSweep`` of "radius", else ``Sweep``. With a store the values are read as they are asked for.

    Raises:
        TypeError, ValueError: another name, an option that the atlas does not have, or a value that does not fit.
        StorageError: a ``ValueError``: the store holds another sweep or is damaged.
        ImportError: a store without zarr.
    """
    atlas = ATLASES[choice("name", name, list(ATLASES))]
    chosen = atlas.checked(options)
    if executor is not None and store is None:
        raise ValueError("executor: expected a store too, through which workers hand over what they compute")
    said = {KEY: {"name": name, "options": chosen}}
    size = None if chunk is None else count("chunk", chunk, minimum=1)
    how = {"store": store, "executor": executor, "progress": progress, "chunk": size}
    found = atlas.compute(chosen, about=said, **how)
    return _with(found, said) if store is None else read(store)


def _with(found: Any, said: Mapping[str, Any]) -> Any:
    """The result with its atlas and options in the sweep's metadata."""
    swept = found if isinstance(found, Sweep) else found.sweep
    swept = dataclasses.replace(swept, metadata={**swept.metadata, **said})
    return swept if isinstance(found, Sweep) else dataclasses.replace(found, sweep=swept)


def read(path: str | os.PathLike[str]) -> Any:
    """What a folder holds of an atlas, finished or not: values that are not computed yet are NaN, or 0 of integers.

    Args:
        path: the folder that ``make`` was given as ``store``.

    Returns:
        As of ``make``. ``Sweep.computed`` says which points are there.

    Raises:
        TypeError: the path is none.
        StorageError: a ``ValueError``: no store of a sweep, a damaged one, or one of no atlas.
        OSError: there is no such folder.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path: expected the path of a folder, got {type(path).__name__}")
    store = opened(path)
    name, atlas, options = told(store)
    said = {KEY: {"name": name, "options": options}}
    return _with(atlas.of_sweep(of_store(store), options), said)


def told(store: Store) -> tuple[str, Atlas, dict[str, Any]]:
    """Name, atlas and options of a store, of which those of its shape are believed and no others.

    Raises:
        StorageError: it is none of an atlas.
    """
    name, atlas, options = _said(store.manifest, os.fspath(store.path))
    axes = [(axis["name"], axis["length"]) for axis in store.manifest["axes"]]
    if axes != [(axis, len(points)) for axis, points in atlas.axes(options).items()]:
        raise StorageError(f"{store.path}: not the axes that atlas {name} has by its options")
    return name, atlas, options


def _said(metadata: Mapping[str, Any], source: str) -> tuple[str, Atlas, dict[str, Any]]:
    """Name, atlas and options that a manifest, or metadata, tells.

    Raises:
        StorageError: it tells none, or one that this version does not have.
    """
    said = metadata.get(KEY)
    name = said.get("name") if isinstance(said, dict) else None
    if not isinstance(said, dict) or not isinstance(name, str) or name not in ATLASES:
        raise StorageError(f"{source}: expected a sweep of one of the atlases {', '.join(ATLASES)}")
    try:
        return name, ATLASES[name], ATLASES[name].checked(said.get("options", {}))
    except (TypeError, ValueError, AttributeError) as error:
        raise StorageError(f"{source}: options that atlas {name} does not have ({error})") from None


def draw(found: Any, ax: Any = None, **options: Any) -> "Axes":
    """Draw an atlas as far as it is computed; points that are not are hatched on grey, and the picture says so.

    Args:
        found: what ``make`` or ``read`` returned, or the folder.
        ax: axes for the first panel alone; a new figure with all panels by default.
        options: of the atlas' picture: ``at`` fixes axes that it does not show, by name, at the nearest point.

    Returns:
        The axes, of several panels the first; ``.figure`` holds them all.

    Raises:
        TypeError: neither a result of an atlas nor a folder.
        StorageError: a ``ValueError``: no store of an atlas, or a damaged one.
        OSError: there is no such folder.
    """
    if isinstance(found, str | os.PathLike):
        if not os.path.isdir(found):
            raise FileNotFoundError(f"found: no such folder: {os.fspath(found)[:200]!r}")
        found = read(found)
    swept = getattr(found, "sweep", found)
    if not isinstance(swept, Sweep):
        raise TypeError(f"found: expected an atlas, or the folder of one, got {type(found).__name__}")
    return _said(swept.metadata, "found")[1].draw(found, ax, **options)
