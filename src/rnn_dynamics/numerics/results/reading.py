"""Nodes of a file back to values; what does not fit is refused, whatever wrote it."""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnn_dynamics.numerics.results.missing import NotKept
from rnn_dynamics.numerics.results.registry import class_of, fields_of, is_record
from rnn_dynamics.numerics.results.writing import NARROW

_FLOATS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


class Reader:
    """Turns nodes into values; parts given by the caller stand for what the file does not hold.

    ``used`` are the names of the given parts that found a place.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], given: Mapping[str, Any]) -> None:
        self.arrays, self.given = arrays, given
        self.used: set[str] = set()
        self._made: dict[tuple[str, bool], Any] = {}

    def value(self, node: Any) -> Any:
        """The value of a node.

        Raises:
            ValueError, KeyError, TypeError: a node that no result has.
        """
        if not isinstance(node, dict):
            if isinstance(node, list):
                raise ValueError("a list without a tag")
            return node
        tags = [tag for tag in _READ if tag in node]
        if len(tags) != 1:
            raise ValueError(f"expected one known tag, got {sorted(map(str, node))[:5]}")
        return _READ[tags[0]](self, node)

    def record(self, node: dict[str, Any]) -> Any:
        cls, parts = class_of(node["record"]), node["fields"]
        if not is_record(cls):
            raise ValueError(f"{cls.__name__} has no fields")
        known = fields_of(cls)
        unknown = [name for name in parts if name not in known]
        if unknown:
            raise ValueError(
                f"{cls.__name__} has no field {unknown[0][:80]!a} in this version of the library"
            )
        values = {name: self._part(cls, name, parts, default) for name, default in known.items()}
        if issubclass(cls, tuple):
            return cls(**values)
        # The constructor is skipped, as JAX skips it: checks are for what people pass.
        made = object.__new__(cls)
        for name, value in values.items():
            object.__setattr__(made, name, value)
        return made

    def _part(self, cls: type, name: str, parts: dict[str, Any], default: Any) -> Any:
        if name in self.given and name in getattr(cls, "_may_lack", ()):
            self.used.add(name)
            return self.given[name]
        if name not in parts:
            if default is dataclasses.MISSING:
                raise ValueError(f"{cls.__name__} lacks its field {name!r}")
            return default
        node = parts[name]
        if isinstance(node, dict) and "not_kept" in node:
            return NotKept(cls.__name__, name, str(node["not_kept"])[:80])
        return self.value(node)

    def array(self, node: dict[str, Any]) -> Any:
        name, on_device = node["array"], bool(node.get("jax"))
        if (name, on_device) not in self._made:
            host = self.arrays[name]
            if "bits_of" in node:
                if host.dtype.str.lstrip("|") != NARROW[node["bits_of"]]:
                    raise ValueError(f"array {name!r} holds no bits of {node['bits_of']}")
                host = host.view(jnp.dtype(node["bits_of"]))
            # Without x64 JAX would round float64: such arrays stay NumPy's, every bit in its place.
            keeps = jax.dtypes.canonicalize_dtype(host.dtype) == host.dtype
            self._made[name, on_device] = jnp.asarray(host) if on_device and keeps else host
        value = self._made[name, on_device]
        return value[()] if node.get("scalar") else value

    def key(self, node: dict[str, Any]) -> Any:
        return jax.random.wrap_key_data(jnp.asarray(self.value(node["data"])), impl=str(node["key"]))

    def member(self, node: dict[str, Any]) -> Any:
        cls = class_of(node["enum"])
        if not issubclass(cls, enum.Enum):
            raise ValueError(f"{cls.__name__} has no members")
        return cls[node["name"]]

    def strings(self, node: dict[str, Any]) -> np.ndarray:
        dtype = np.dtype(node["width"])
        if dtype.kind != "U" or not all(isinstance(text, str) for text in node["strings"]):
            raise ValueError("strings that are none")
        return np.array(node["strings"], dtype).reshape(node["shape"])


def _dtype(_: Reader, node: dict[str, Any]) -> np.dtype:
    dtype = jnp.dtype(node["dtype"])
    if dtype.hasobject:
        raise ValueError("a dtype of Python objects")
    return dtype


def _of_name(cls: Any, name: Any) -> Any:
    if not hasattr(cls, "of_name"):
        raise ValueError(f"{cls.__name__} has no members by name")
    return cls.of_name(str(name))


_READ: dict[str, Any] = {
    "array": Reader.array,
    "float": lambda _, node: _FLOATS[node["float"]],
    "complex": lambda self, node: complex(*map(self.value, node["complex"])),
    "tuple": lambda self, node: tuple(map(self.value, node["tuple"])),
    "list": lambda self, node: list(map(self.value, node["list"])),
    "dict": lambda self, node: {self.value(key): self.value(part) for key, part in node["dict"]},
    "record": Reader.record,
    "enum": Reader.member,
    "named": lambda _, node: _of_name(class_of(node["named"]), node["name"]),
    "activation": lambda _, node: _of_name(class_of("activations.Activation"), node["activation"]),
    "key": Reader.key,
    "strings": Reader.strings,
    "dtype": _dtype,
    "range": lambda _, node: range(*node["range"]),
    "not_kept": lambda _, node: NotKept("result", "part", str(node["not_kept"])[:80]),
}
