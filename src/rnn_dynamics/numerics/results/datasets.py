"""Results as xarray datasets: dimensions named by the shapes in the annotations, units as attributes."""

import dataclasses
import enum
import functools
import inspect
import re
import typing
from typing import Any

import jax
import numpy as np

from rnn_dynamics.numerics import packages
from rnn_dynamics.numerics.results.registry import fields_of, is_record

# What the letters of annotations count, where a class says nothing else.
_AXES = {
    "...": "unit",
    "steps+1": "time",
    "steps": "step",
    "lags": "lag",
    "lengths": "length",
    "groups": "group",
    "parameters": "parameter",
    "blocks": "block",
    "starts": "start",
    "attractors": "attractor",
    "updates+1": "update",
}
_COUNTED = ("time", "step", "lag", "block", "update")
_ENTRY = re.compile(r"^    (?:    )?([A-Za-z_][\w, ]*): (.*)$")


def dataset_of(result: Any) -> Any:
    """The dataset of a result; see ``Result.to_xarray``.

    Raises:
        ImportError: xarray is not installed.
    """
    try:
        import xarray
    except ImportError as error:
        raise packages.missing("to_xarray", "xarray") from error
    table = _Table()
    table.add(result, "")
    coordinates = {name: values for name, values in table.coordinates.items() if name[0] in table.sizes}
    return xarray.Dataset(
        table.variables,
        {name: values for (_, name), values in coordinates.items()},
        {"result": type(result).__name__} | table.attributes,
    )


class _Table:
    """Gathers variables, coordinates and attributes field by field."""

    def __init__(self) -> None:
        self.variables: dict[str, Any] = {}
        self.coordinates: dict[tuple[str, str], Any] = {}
        self.attributes: dict[str, Any] = {}
        self.sizes: dict[str, int] = {}
        self.batch = 0

    def add(self, record: Any, prefix: str) -> None:
        """The fields of a record, each under the prefix of the parts it lies in."""
        cls = type(record)
        self.batch = _batch_of(record)
        for field in fields_of(cls):
            before = self.batch
            self._value(getattr(record, field), f"{prefix}{field}", cls, field)
            self.batch = before
        for axis, label in getattr(cls, "_coordinates", {}).items():
            values = np.asarray(getattr(record, label))
            if self.sizes.get(axis) == values.size and values.ndim == 1:
                self.coordinates[axis, axis] = (axis, values)
        for axis in _COUNTED:
            if axis in self.sizes and (axis, axis) not in self.coordinates:
                self.coordinates[axis, axis] = (axis, np.arange(self.sizes[axis]))

    def _value(self, value: Any, name: str, cls: type, field: str) -> None:
        if isinstance(value, jax.Array | np.ndarray | np.generic) and not _is_key(value):
            self._array(np.asarray(value), name, cls, field)
        elif isinstance(value, enum.Enum):
            self.attributes[name] = value.name
        elif isinstance(value, bool | int | float | complex):
            self.variables[name] = ((), np.asarray(value), self._about(cls, field))
        elif isinstance(value, str):
            self.attributes[name] = value
        elif isinstance(value, dict):
            for key, part in value.items():
                self._value(part, f"{name}.{key}", cls, field)
        elif is_record(type(value)) and not callable(value):
            self.add(value, f"{name}.")
        elif isinstance(value, tuple | list) and value:
            self._sequence(list(value), name, cls, field)

    def _sequence(self, values: list[Any], name: str, cls: type, field: str) -> None:
        """Numbers and words become one axis named after the field; records a column for each of their fields."""
        if all(is_record(type(value)) and not callable(value) for value in values):
            for part in fields_of(type(values[0])):
                self._sequence([getattr(value, part, None) for value in values], f"{name}.{part}", cls, field)
            return
        if all(isinstance(value, enum.Enum) for value in values):
            values = [value.name for value in values]
        plain = bool | int | float | complex | str | np.ndarray | np.generic | jax.Array
        if not all(isinstance(value, plain) for value in values):
            return
        parts = [np.asarray(value) for value in values]
        if len({part.shape for part in parts}) == 1 and len({part.dtype.kind for part in parts}) == 1:
            self._put(np.stack(parts), name, [field, *(f"{name}_{i}" for i in range(parts[0].ndim))], {})

    def _array(self, value: np.ndarray, name: str, cls: type, field: str) -> None:
        self._put(value, name, _dimensions(cls, field, name, value.ndim, self.batch), self._about(cls, field))

    def _put(self, value: np.ndarray, name: str, wanted: list[str], about: dict[str, str]) -> None:
        """A dimension keeps its name as long as its length agrees; a second one in a variable gets a number."""
        taken: list[str] = []
        for own, length in zip(wanted, value.shape, strict=True):
            choice, number = own, 2
            while choice in taken:
                choice, number = f"{own}_{number}", number + 1
            if self.sizes.get(choice, length) != length or choice in self.variables:
                choice = f"{name}_{choice}"
            self.sizes[choice] = length
            taken.append(choice)
        self.variables[name if name not in self.sizes else f"{name}_values"] = (taken, value, about)

    def _about(self, cls: type, field: str) -> dict[str, str]:
        about = {
            "units": getattr(cls, "_units", {}).get(field),
            "description": descriptions_of(cls).get(field),
        }
        return {name: text for name, text in about.items() if text}


def _is_key(value: Any) -> bool:
    return isinstance(value, jax.Array) and jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key)


def _batch_of(record: Any) -> int:
    """How many axes ``vmap`` has put before those of the annotations, by the fields whose axes are all named."""
    extra = set()
    for field, tokens in shapes_of(type(record)).items():
        value = getattr(record, field, None)
        if isinstance(value, jax.Array | np.ndarray) and not any(t[0] in ".*" for t in tokens):
            extra.add(value.ndim - len(tokens))
    return max(extra.pop(), 0) if len(extra) == 1 else 0


def _dimensions(cls: type, field: str, name: str, ndim: int, batch: int) -> list[str]:
    """Names of the dimensions of one field; axes that the annotation has not are those of a batch."""
    tokens, names = shapes_of(cls).get(field), _AXES | dict(getattr(cls, "_axes", {}))
    if tokens is None:
        return [f"{name}_{i}" for i in range(ndim)]
    open_ones = [i for i, token in enumerate(tokens) if token == "..." or token.startswith("*")]
    extra = min(batch, ndim) if open_ones else max(ndim - len(tokens), 0)
    if open_ones:
        at, rest = open_ones[0], ndim - extra - len(tokens) + 1
        word = names.get(tokens[at], tokens[at].lstrip("*"))
        inner = [word] if rest == 1 else [f"{word}_{i}" for i in range(max(rest, 0))]
        tokens = (*tokens[:at], *inner, *tokens[at + 1 :])
    wanted = [*(["batch"] if extra == 1 else [f"batch_{i}" for i in range(extra)]), *tokens]
    wanted = wanted[:ndim] if len(wanted) > ndim else wanted
    named = [names.get(token, token) for token in wanted]
    named = [f"{name}_{i}" if token.isdigit() else token for i, token in enumerate(named)]
    return [re.sub(r"\W+", "_", token).strip("_") or f"{name}_{i}" for i, token in enumerate(named)]


@functools.cache
def shapes_of(cls: type) -> dict[str, tuple[str, ...]]:
    """The tokens of each field's jaxtyping annotation, such as ("m", "...")."""
    try:
        hints = typing.get_type_hints(cls)
    except (NameError, TypeError):
        hints = {field.name: field.type for field in dataclasses.fields(cls)} if is_record(cls) else {}
    found = {}
    for name, hint in hints.items():
        for one in (hint, *typing.get_args(hint)):
            text = getattr(one, "dim_str", None)
            if isinstance(text, str):
                found[name] = tuple(text.split())
                break
    return found


@functools.cache
def descriptions_of(cls: type) -> dict[str, str]:
    """What the class's docstring says of each field, up to the first full stop or semicolon."""
    found: dict[str, str] = {}
    names: list[str] = []
    inside = False
    for line in (inspect.cleandoc(cls.__doc__ or "")).splitlines():
        if line.startswith("Attributes:"):
            inside = True
        elif inside and line and not line.startswith(" "):
            break
        elif inside and (entry := _ENTRY.match(line)) and not line.startswith("        "):
            names = [name.strip() for name in entry[1].split(",")]
            found |= dict.fromkeys(names, entry[2].strip())
        elif inside and line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found
