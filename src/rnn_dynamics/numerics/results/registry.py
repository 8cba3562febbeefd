"""Names in files for the classes of this library, and back, and nothing but those classes.

A name is ``room.Class``: the module or package directly below ``rnn_dynamics`` and the class's own name, so that a
class may move inside its room. A file chooses among the dataclasses, NamedTuples and enumerations that the
library itself defines; it never says what to import.
"""

import dataclasses
import enum
import functools
import importlib
import pkgutil
import sys
import types
from collections.abc import Iterator
from typing import Any

from rnn_dynamics._moved import new_path

_PACKAGE = "rnn_dynamics"
# What files of earlier versions call classes that have other names since.
_RENAMED = {
    "diagnose.Remedy": "diagnose.SuggestedRemedy",
    "doya.Branch": "doya.NeuronBranch",
    "training.Row": "training.ComparisonRow",
}
_NO_RESULTS = frozenset({"plots", "figures", "explore", "atlases", "cli"})


def is_record(cls: Any) -> bool:
    """Whether a class is a dataclass or a NamedTuple, or names the attributes to keep in ``_kept``."""
    return isinstance(cls, type) and (
        dataclasses.is_dataclass(cls)
        or (issubclass(cls, tuple) and hasattr(cls, "_fields"))
        or "_kept" in vars(cls)
    )


def fields_of(cls: type) -> dict[str, Any]:
    """Names of a record's fields in order, each with its default or ``dataclasses.MISSING``."""
    if "_kept" in vars(cls):
        return dict.fromkeys(vars(cls)["_kept"], dataclasses.MISSING)
    if not dataclasses.is_dataclass(cls):
        defaults = cls._field_defaults  # type: ignore[attr-defined]
        return {name: defaults.get(name, dataclasses.MISSING) for name in cls._fields}  # type: ignore[attr-defined]
    found = {}
    for field in dataclasses.fields(cls):
        made = field.default_factory
        found[field.name] = field.default if made is dataclasses.MISSING else made()
    return found


@functools.cache
def name_of(cls: type) -> str | None:
    """The name of a class in files; ``None`` for a class that is not this library's, or cannot be found again."""
    parts = cls.__module__.split(".")
    if parts[0] != _PACKAGE or len(parts) < 2 or "." in cls.__qualname__:
        return None
    name = f"{parts[1]}.{cls.__name__}"
    return name if _find(parts[1], cls.__name__) is cls else None


@functools.cache
def class_of(name: str) -> type:
    """The class of a name.

    Raises:
        ValueError: no class of results or their parts has this name.
    """
    earlier, dot, own = _RENAMED.get(name, name).partition(".")
    room = (new_path(earlier) or earlier).partition(".")[0]
    found = _find(room, own) if dot and room in _rooms() else None
    if found is None:
        raise ValueError(f"no class {name[:80]!a} among the results of this version of the library")
    return found


@functools.cache
def _rooms() -> frozenset[str]:
    paths = sys.modules[_PACKAGE].__path__
    return frozenset(module.name for module in pkgutil.iter_modules(paths)) - _NO_RESULTS


def _find(room: str, name: str) -> type | None:
    """The one class of that name in a room, looked for in its modules one after the other."""
    if room not in _rooms():
        return None
    found = {value for module in _modules(room) if (value := _of_module(module, name)) is not None}
    return found.pop() if len(found) == 1 else None


def _modules(room: str) -> Iterator[types.ModuleType]:
    """All modules of a room, by the library's own list of them."""
    package = importlib.import_module(f"{_PACKAGE}.{room}")
    yield package
    for module in pkgutil.walk_packages(getattr(package, "__path__", ()), f"{package.__name__}."):
        yield importlib.import_module(module.name)


def _of_module(module: types.ModuleType, name: str) -> type | None:
    value = vars(module).get(name)
    if not isinstance(value, type) or value.__module__ != module.__name__:
        return None
    return value if is_record(value) or issubclass(value, enum.Enum) else None
