"""Results as small tables for notebooks: no script, no colour of its own, every text escaped."""

import enum
import html
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from rnn_dynamics.numerics.results.datasets import descriptions_of
from rnn_dynamics.numerics.results.missing import NotKept
from rnn_dynamics.numerics.results.registry import fields_of, is_record
from rnn_dynamics.numerics.status import Status

_ROWS = 10
_LONGEST = 400
_TEXT_LINES = 60
_CELL = "text-align:left;padding:1px 10px 1px 0;color:inherit;background:transparent;vertical-align:top"
_NUMBER = "text-align:right;padding:1px 10px 1px 0;color:inherit;background:transparent"


def table_of(result: Any) -> str:
    """The table of a result: what it says of itself, its first rows where it is a list, and its fields."""
    own, text = type(result).__name__, repr(result)
    if type(result).__str__ is not object.__str__ and "\n" in str(result):
        text = str(result)
    lines = text.splitlines() or [own]
    shown = "\n".join(_cut(line, 200) for line in lines[:_TEXT_LINES]) + "\n…" * (len(lines) > _TEXT_LINES)
    parts = [f"<strong>{_escaped(own)}</strong>"]
    if is_listed := len(lines) > 1:
        parts.append(
            f'<pre style="color:inherit;background:transparent;margin:4px 0">{_escaped(shown)}</pre>'
        )
    else:
        parts.append(f"<div>{_escaped(_cut(lines[0], _LONGEST))}</div>")
    parts.append(_list_of(result))
    rows = "".join(_row(*row) for row in _fields(result))
    table = f'<table style="border-collapse:collapse;color:inherit">{rows}</table>'
    folded = is_listed or bool(parts[-1])
    parts.append(f"<details><summary>fields</summary>{table}</details>" if folded else table)
    return f'<div style="color:inherit">{"".join(parts)}</div>'


def _escaped(text: Any) -> str:
    return html.escape(str(text), quote=True)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _row(name: str, kind: str, content: str, about: str) -> str:
    title = f' title="{_escaped(_cut(about, 300))}"' if about else ""
    cells = "".join(f'<td style="{_CELL}">{_escaped(_cut(text, 160))}</td>' for text in (name, kind, content))
    return f"<tr{title}>{cells}</tr>"


def _fields(result: Any) -> Iterator[tuple[str, str, str, str]]:
    """Return name, kind, content and description of each field."""
    about = descriptions_of(type(result))
    for name in fields_of(type(result)):
        kind, content = _described(name, getattr(result, name))
        yield name, kind, content, about.get(name, "")


def _described(name: str, value: Any) -> tuple[str, str]:
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        shape = " × ".join(map(str, value.shape)) or "number"
        return f"{shape} {value.dtype}", _range(name, value)
    if isinstance(value, NotKept):
        return "not kept", repr(value)
    if isinstance(value, enum.Enum):
        return type(value).__name__, value.name
    if isinstance(value, tuple | list) and value and is_record(type(value[0])):
        return f"{len(value)} {type(value[0]).__name__}", ", ".join(map(_short, value[:3])) + "…" * (
            len(value) > 3
        )
    return type(value).__name__, _short(value)


def _short(value: Any) -> str:
    return " ".join(_cut(repr(value), 160).split())


def _range(name: str, value: Any) -> str:
    """From the least to the greatest finite number, and how many are none; for labels how often each is there."""
    if isinstance(value, Tracer):
        return "traced"
    if not value.size or jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
        return ""
    host = np.asarray(value)
    if host.dtype.kind == "b":
        return f"{int(host.sum())} of {host.size} true"
    if (
        name.endswith("status")
        and host.dtype.kind in "iu"
        and set(np.unique(host)) <= {int(s) for s in Status}
    ):
        values, counts = np.unique(host, return_counts=True)
        return ", ".join(f"{Status(int(v)).name} {int(c)}" for v, c in zip(values, counts, strict=True))
    if host.dtype.kind not in "iufc":
        return _short(host.ravel()[:5].tolist())
    if host.size == 1:
        return f"{host.ravel()[0]:.6g}"
    sizes, sign = (np.abs(host), "size ") if host.dtype.kind == "c" else (host, "")
    finite = sizes[np.isfinite(sizes)]
    text = f"{sign}{finite.min():.4g} … {finite.max():.4g}" if finite.size else "none finite"
    left = sizes.size - finite.size
    return text + (f", {left} not finite" if left else "")


def _list_of(result: Any) -> str:
    """The first rows of a result that is a list: its fields of one number each, and the properties it names."""
    if not hasattr(result, "__len__") or isinstance(result, tuple):
        return ""
    try:
        length = len(result)
    except TypeError:  # of one number, as a Scaled without batch axes
        return ""
    columns = dict(_columns(result, length))
    if not length or not columns:
        return ""
    head = "".join(f'<th style="{_NUMBER}">{_escaped(name)}</th>' for name in ("", *columns))
    body = ""
    for i in range(min(length, _ROWS)):
        cells = "".join(
            f'<td style="{_NUMBER}">{_escaped(_entry(n, values[i]))}</td>' for n, values in columns.items()
        )
        body += f'<tr><td style="{_NUMBER}">{i}</td>{cells}</tr>'
    more = f"<div>… {length - _ROWS} more</div>" if length > _ROWS else ""
    style = "border-collapse:collapse;color:inherit"
    return f'<table style="{style}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}'


def _columns(result: Any, length: int) -> Iterator[tuple[str, Any]]:
    for name in (*type(result)._columns, *fields_of(type(result))):
        values = getattr(result, name)
        if (
            isinstance(values, tuple | list)
            and len(values) == length
            and all(isinstance(v, str) for v in values)
        ):
            yield name, values
        elif isinstance(values, jax.Array | np.ndarray) and values.ndim == 1 and len(values) == length:
            yield name, np.asarray(values)


def _entry(name: str, value: Any) -> str:
    if isinstance(value, str):
        return _cut(value, 60)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if name.endswith("status") and value in {int(s) for s in Status}:
        return Status(int(value)).name
    return f"{value:.5g}"
