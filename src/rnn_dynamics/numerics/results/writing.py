"""Any result as named arrays and plain JSON: numbers to the bit, nothing pickled.

A node is ``None``, a bool, an integer, a finite float or a string as it is, else an object with one tag: ``array``,
``float``, ``complex``, ``tuple``, ``list``, ``dict``, ``record``, ``enum``, ``activation``, ``key``, ``strings``,
``dtype``, ``range`` or ``not_kept``.
"""

import enum
import math
import re
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from rnn_dynamics.numerics.results.missing import NotKept
from rnn_dynamics.numerics.results.registry import fields_of, is_record, name_of

# Floats that .npy has no name for, kept as the integers that hold their bits.
NARROW = {"bfloat16": "<u2", "float8_e4m3fn": "u1", "float8_e5m2": "u1"}
_WORD = re.compile(r"\w{1,60}")


class NoFormError(TypeError):
    """A value that no file of results can hold; ``was`` is the name of its type."""

    def __init__(self, where: str, value: Any, reason: str = "") -> None:
        self.was = type(value).__name__
        super().__init__(f"{where or 'result'}: {reason or f'a {self.was} has no form in a file'}")


class Writer:
    """Turns values into nodes and gathers their arrays; an array met twice is kept once."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._seen: dict[int, tuple[Any, dict[str, Any]]] = {}

    def node(self, value: Any, where: str = "") -> Any:
        """The node of a value; ``where`` names its arrays.

        Raises:
            NoFormError: a value, or a part of one, that has no form.
        """
        if value is None or (type(value) in (bool, int, str)):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": str(value)}
        if isinstance(value, Tracer):
            raise TypeError(
                f"{where or 'result'}: a traced value has no numbers; save outside of jit and grad"
            )
        if isinstance(value, jax.Array | np.ndarray | np.generic):
            return self._array(value, where)
        if isinstance(value, enum.Enum):
            return {"enum": self._named(value, where), "name": value.name}
        if hasattr(type(value), "kept_name") and not isinstance(value, type):
            name = value.kept_name()
            if name is None:
                raise NoFormError(where, value, f"{value!r} is not one of the library's")
            return {"named": self._named(value, where), "name": name}
        return self._gathered(value, where)

    def _gathered(self, value: Any, where: str) -> Any:
        if isinstance(value, NotKept):
            return {"not_kept": value.was}
        if is_record(type(value)):
            return self.record(value, where)
        if type(value) is complex:
            return {"complex": [self.node(value.real), self.node(value.imag)]}
        if type(value) in (tuple, list):
            parts = [self.node(part, _join(where, str(i))) for i, part in enumerate(value)]
            return {type(value).__name__: parts}
        if type(value) is dict:
            return {"dict": [self._item(i, pair, where) for i, pair in enumerate(value.items())]}
        if type(value) is range:
            return {"range": [value.start, value.stop, value.step]}
        if isinstance(value, np.dtype):
            return {"dtype": value.name}
        raise NoFormError(where, value)

    def record(self, value: Any, where: str) -> dict[str, Any]:
        """A dataclass or NamedTuple of the library; parts it may lack are noted where they have no form."""
        name, own = self._named(value, where), type(value)
        may_lack, forgets = getattr(own, "_may_lack", ()), getattr(own, "_forgets", ())
        parts = {}
        for field in fields_of(own):
            if field in forgets:
                continue
            part, before = getattr(value, field), dict(self.arrays)
            try:
                parts[field] = self.node(part, _join(where, field))
            except NoFormError:
                if field not in may_lack:
                    raise
                self.arrays = before
                self._seen = {key: seen for key, seen in self._seen.items() if seen[1].get("array") in before}
                parts[field] = {"not_kept": type(part).__name__}
        return {"record": name, "fields": parts}

    def _named(self, value: Any, where: str) -> str:
        name = name_of(type(value))
        if name is None:
            raise NoFormError(where, value)
        return name

    def _item(self, index: int, pair: tuple[Any, Any], where: str) -> list[Any]:
        key, value = pair
        fitting = key if isinstance(key, str) and _WORD.fullmatch(key) else str(index)
        return [self.node(key, where), self.node(value, _join(where, fitting))]

    def _array(self, value: Any, where: str) -> dict[str, Any]:
        known = self._seen.get(id(value))
        if known is not None:
            return known[1]
        node: dict[str, Any]
        if isinstance(value, jax.Array) and jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
            data = self._array(jax.random.key_data(value), where)
            node = {"key": str(jax.random.key_impl(value)), "data": data}
        else:
            node = self._numbers(value, where)
        self._seen[id(value)] = (value, node)
        return node

    def _numbers(self, value: Any, where: str) -> dict[str, Any]:
        host = np.asarray(value)
        if host.dtype.kind == "U":
            return {"strings": host.ravel().tolist(), "shape": list(host.shape), "width": host.dtype.str}
        node: dict[str, Any] = {"array": self._new_name(where)}
        if host.dtype.name in NARROW:
            node["bits_of"] = host.dtype.name
            host = host.view(NARROW[host.dtype.name])
        elif host.dtype.kind not in "biufc" or host.dtype.name in ("float128", "complex256"):
            raise NoFormError(where, value, f"an array of {host.dtype} has no form in a file")
        if isinstance(value, jax.Array):
            node["jax"] = True
        elif isinstance(value, np.generic):
            node["scalar"] = True
        self.arrays[node["array"]] = host
        return node

    def _new_name(self, where: str) -> str:
        base = where if 0 < len(where) <= 180 else "array"
        name, number = base, 1
        while name in self.arrays:
            name, number = f"{base}_{number}", number + 1
        return name


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
