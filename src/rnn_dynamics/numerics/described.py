"""Any value in a few words: arrays by dtype and shape, functions by name, no address and never many numbers.

Nothing is compiled, and of arrays no more than a handful of numbers is fetched.
"""

import dataclasses
import enum
import functools
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

_MOST = 6  # parts of a container, and numbers of an array
_DEEPEST = 3
_WIDTH = 100
_LINES = 8
_ADDRESS = re.compile(r"(?: object)? at 0x[0-9a-fA-F]+")
_NUMBERS = re.compile(r"\b(?:[aA]rray|[tT]ensor)\(")


def described(value: Any, longest: int = 300) -> str:
    """One line about a value, of at most ``longest`` characters."""
    return cut(" ".join(_said(value, 0).split()), longest)


def fields_described(name: str, fields: Iterable[tuple[str, Any]], longest: int = 600) -> str:
    """``Name(field=…, …)``, each field described: a number, few numbers, or dtype and shape."""
    return cut(_record(name, list(fields), 0), longest)


def cut(text: str, longest: int) -> str:
    """The text, or its beginning and "…"."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def folded(text: str, width: int = _WIDTH) -> str:
    """The text in lines of at most ``width`` characters, broken behind commas and semicolons where it has any.

    The rest of a line is indented by four more; of one that takes more than eight the end is left out.
    """
    return "\n".join(piece for line in text.splitlines() for piece in _pieces(line, width))


def _pieces(line: str, width: int) -> Iterator[str]:
    indent = ""
    for number in itertools.count(1):
        room = width - len(indent)
        if len(line) <= room:
            yield indent + line
            return
        at = _break(line, room)
        if number == _LINES:
            yield indent + cut(line, room)
            return
        yield (indent + line[:at]).rstrip()
        line, indent = line[at:].lstrip(), "    "


def _break(line: str, room: int) -> int:
    """Where to break: behind the last separator of those that lie in the fewest brackets, else at a space."""
    depth, found = 0, []
    for i, sign in enumerate(line[:room]):
        depth += (sign in "([{") - (sign in ")]}")
        if sign in ",;" and line[i + 1] == " " and i > room // 3:
            found.append((depth, -i))
    if found:
        return 1 - min(found)[1]
    space = line.rfind(" ", room // 3, room)
    return space if space > 0 else room


def _few(parts: Iterable[str], count: int) -> str:
    """The first parts, and how many more there are."""
    shown = list(itertools.islice(parts, _MOST))
    return ", ".join(shown + [f"… {count - len(shown)} more"] * (count > len(shown)))


def _said(value: Any, depth: int) -> str:
    if isinstance(value, Tracer):
        return f"traced {value.dtype}{list(value.shape)}"
    if isinstance(value, str | bytes):
        return repr(value[:200]) + "…" * (len(value) > 200)
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        return _array(value)
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, bool | int | float | complex):
        return _number(value)
    if (name := _name(value)) is not None:
        return name
    return _compound(value, depth) if depth <= _DEEPEST else f"{type(value).__name__}(…)"


def _number(value: Any) -> str:
    if value is None or isinstance(value, bool | np.bool_):
        return str(value)
    if isinstance(value, int) and value.bit_length() > 200:
        return f"an integer of {value.bit_length()} bits"
    return str(value) if isinstance(value, int | np.integer) else f"{value:.6g}"


def _array(value: Any) -> str:
    kind = f"{value.dtype}{list(value.shape)}"
    if isinstance(value, jax.Array) and value.is_deleted():
        return f"deleted {kind}"
    numeric = any(jax.numpy.issubdtype(value.dtype, of) for of in (np.number, np.bool_))
    if not numeric or not 0 < value.size <= _MOST:
        return kind
    if isinstance(value, jax.Array) and not value.is_fully_addressable:
        return kind
    host = np.asarray(value)
    if host.dtype.kind not in "biufc":
        host = host.astype(np.float32)  # such as bfloat16
    return _nested(host.tolist())


def _nested(numbers: Any) -> str:
    return f"[{', '.join(map(_nested, numbers))}]" if isinstance(numbers, list) else _number(numbers)


def _name(value: Any) -> str | None:
    """The name of a function or class, without the functions around it."""
    if not callable(value):
        return None
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    return name.rpartition("<locals>.")[2] if isinstance(name, str) else None


def _record(name: str, fields: list[tuple[str, Any]], depth: int) -> str:
    return f"{name}({', '.join(f'{field}{_part(value, depth)}' for field, value in fields)})"


def _part(value: Any, depth: int) -> str:
    text = _said(value, depth + 1)
    is_form = getattr(value, "ndim", 0) and not text.startswith("[")
    return f": {text}" if is_form else f"={text}"


def _compound(value: Any, depth: int) -> str:
    own, inner = type(value).__name__, depth + 1
    if isinstance(value, functools.partial):
        named = [f"{key}{_part(part, depth)}" for key, part in value.keywords.items()]
        parts = [_said(part, inner) for part in (value.func, *value.args[:_MOST])] + named[:_MOST]
        return f"{own}({_few(parts, 1 + len(value.args) + len(named))})"
    if isinstance(value, dict):
        pairs = (f"{_said(key, inner)}: {_said(part, inner)}" for key, part in value.items())
        return f"{{{_few(pairs, len(value))}}}"
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        said = getattr(type(value), "_said", None)
        fields = list(zip(value._fields, value, strict=True))  # type: ignore[attr-defined]
        return _record(own, fields, depth) if said is None else str(said(value))
    if type(value) in (list, tuple, set, frozenset):
        left, right = {list: "[]", tuple: "()"}.get(type(value), "{}")
        text = _few((_said(part, inner) for part in value), len(value))
        return f"{left}{text}{',' * (type(value) is tuple and len(value) == 1)}{right}"
    return _object(value, depth)


def _object(value: Any, depth: int) -> str:
    own, says = type(value), type(value).__repr__
    if callable(said := getattr(own, "_said", None)):
        return str(said(value))
    if dataclasses.is_dataclass(value) and hasattr(says, "__wrapped__"):  # written by the decorator
        return _record(
            own.__name__, [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)], depth
        )
    if own.__module__.startswith("rnn_dynamics."):
        return repr(value)
    leaves = jax.tree_util.tree_flatten_with_path(value)[0]
    if any(leaf is not value for _, leaf in leaves):
        named = (f"{jax.tree_util.keystr(path).lstrip('.')}{_part(leaf, depth)}" for path, leaf in leaves)
        return f"{own.__name__}({_few(named, len(leaves))})"
    text = own.__name__ if says is object.__repr__ else _ADDRESS.sub("", repr(value))
    return own.__name__ if _NUMBERS.search(text) else text
