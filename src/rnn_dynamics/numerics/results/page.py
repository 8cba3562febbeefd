"""Results as small tables for notebooks: no script, no colour of its own, every text escaped.

A table is as short for a large result as for a small one: twenty rows, and no look at arrays of a million numbers.
"""

import enum
import functools
import html
import inspect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer

from rnn_dynamics.numerics.described import cut, described
from rnn_dynamics.numerics.results.datasets import descriptions_of
from rnn_dynamics.numerics.results.missing import NotKept
from rnn_dynamics.numerics.results.registry import fields_of, is_record
from rnn_dynamics.numerics.status import Status

_ROWS = 10  # of a list
_FIELDS = 20
_TEXT_LINES = 20
_LONGEST = 400
_KINDS = 6  # of labels
_FEW = 6  # numbers that are all shown
_LOOKED_AT = 2**20
_PLAIN = "color:inherit;background:transparent"
_CELL = f"text-align:left;padding:1px 10px 1px 0;vertical-align:top;{_PLAIN}"
_NUMBER = f"text-align:right;padding:1px 10px 1px 0;{_PLAIN}"


class Table(NamedTuple):
    """A table that a result shows of itself.

    Attributes:
        caption: what it is.
        columns: heads of the columns; the first column names the rows.
        rows: as many texts each.
        about: for each row what to say where the pointer rests, or nothing.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    about: Sequence[str] = ()


def table_of(result: Any) -> str:
    """The page of a result: what it is and says of itself, its first rows where it is a list, and its fields."""
    own, text = type(result).__name__, result._said()
    if type(result).__str__ is not object.__str__ and "\n" in str(result):
        text = str(result)
    lines = text.splitlines() or [own]
    summary = summary_of(type(result))
    parts = [f"<strong>{_escaped(own)}</strong>" + (f" · {_escaped(summary)}" if summary else "")]
    if is_listed := len(lines) > 1:
        shown = [cut(line, 200) for line in lines[:_TEXT_LINES]]
        rest = [f"… {len(lines) - _TEXT_LINES} more lines"] * (len(lines) > _TEXT_LINES)
        block = _escaped("\n".join(shown + rest))
        parts.append(f'<pre style="margin:4px 0;white-space:pre;overflow-x:auto;{_PLAIN}">{block}</pre>')
    else:
        parts.append(f"<div>{_escaped(cut(lines[0], _LONGEST))}</div>")
    above = [_list_of(result), *(_table(one, _CELL) for one in result._tables())]
    parts += above
    fields = _table(_fields(result), _CELL)
    folded = is_listed or any(above)
    parts.append(f"<details><summary>fields</summary>{fields}</details>" if folded and fields else fields)
    return f'<div style="color:inherit">{"".join(parts)}</div>'


@functools.cache
def summary_of(cls: type) -> str:
    """The first sentence of a class's docstring, as plain text."""
    first = " ".join(inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].split()).replace("``", "")
    sentence = first.partition(". ")[0].partition(": ")[0]
    return "" if first.startswith(f"{cls.__name__}(") else cut(sentence.rstrip("."), 200) + "."


def _escaped(text: Any) -> str:
    return html.escape(str(text), quote=True)


def _table(table: Table | None, style: str) -> str:
    """A table in HTML: caption, heads with their scope, at most twenty rows."""
    if table is None or not table.rows:
        return ""
    caption = f'<caption style="text-align:left;{_PLAIN}">{_escaped(table.caption)}</caption>'
    head = "".join(f'<th scope="col" style="{style}">{_escaped(cut(c, 60))}</th>' for c in table.columns)
    body = ""
    for i, row in enumerate(table.rows[:_FIELDS]):
        about = table.about[i] if i < len(table.about) else ""
        title = f' title="{_escaped(cut(about, 300))}"' if about else ""
        first, *others = (_escaped(cut(text, 160)) for text in row)
        cells = "".join(f'<td style="{style}">{text}</td>' for text in others)
        body += f'<tr{title}><th scope="row" style="{style};font-weight:normal">{first}</th>{cells}</tr>'
    more = f"<div>… {len(table.rows) - _FIELDS} more</div>" if len(table.rows) > _FIELDS else ""
    opened = f'<table style="border-collapse:collapse;{_PLAIN}">'
    return f"{opened}{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _fields(result: Any) -> Table | None:
    """Name, content, unit and form of each field."""
    about, units = descriptions_of(type(result)), type(result)._units
    names = list(fields_of(type(result)))
    rows = []
    for name in names[: _FIELDS + 1]:
        form, content = _described(result, name)
        rows.append((name, content, units.get(name, ""), form))
    rows += [("", "", "", "")] * (len(names) - len(rows))
    columns = ("field", "values", "unit", "form")
    if not any(row[2] for row in rows):
        rows, columns = [(a, b, d) for a, b, _, d in rows], ("field", "values", "form")
    caption = f"Fields of {type(result).__name__}"
    return Table(caption, columns, rows, [about.get(name, "") for name in names])


def _described(result: Any, name: str) -> tuple[str, str]:
    """Form and content of a field."""
    value = getattr(result, name)
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        shape = " × ".join(map(str, value.shape)) or "number"
        return f"{shape} {value.dtype}", _range(value, _words_of(result, name))
    if isinstance(value, NotKept):
        return "not kept", repr(value)
    if isinstance(value, enum.Enum):
        return type(value).__name__, value.name
    if isinstance(value, tuple | list) and value:
        if is_record(type(value[0])):
            rest = "…" * (len(value) > 3)
            return f"{len(value)} {type(value[0]).__name__}", ", ".join(
                described(part, 160) for part in value[:3]
            ) + rest
        if len(value) <= _LOOKED_AT and all(isinstance(part, str) for part in value):
            return f"{len(value)} {type(value[0]).__name__}", _counted(Counter(value))
    return type(value).__name__, described(value, 160)


def _words_of(result: Any, name: str) -> Any:
    """The function that has a word for each number of a field; ``None`` where they are numbers."""
    words: Mapping[str, Any] = type(result)._words
    found = words.get(name, Status if name.endswith("status") else None)
    if isinstance(found, str):
        return getattr(result, found)
    if found is None:
        return None
    known = {int(member): member.name for member in found}
    return lambda value: known.get(int(value), str(int(value)))


def _counted(counts: Mapping[Any, int]) -> str:
    """How many there are of each label, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    shown = [f"{count} × {label}" for label, count in ordered[:_KINDS]]
    rest = len(ordered) - _KINDS
    return ", ".join(shown + [f"… {rest} more labels"] * (rest > 0))


def _range(value: Any, words: Any = None) -> str:
    """From the least to the greatest finite number, and how many are none; of labels how often each is there."""
    if isinstance(value, Tracer):
        return "traced"
    if not value.size or jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
        return ""
    if value.size > _LOOKED_AT:
        return "not looked at, for their number"
    if value.size <= _FEW and words is None:
        return described(value, 160)
    host = np.asarray(value)
    if host.dtype.kind == "b":
        return f"{int(host.sum())} of {host.size} true"
    if words is not None and host.dtype.kind in "iu":
        values, counts = np.unique(host, return_counts=True)
        named: Counter[str] = Counter()
        for label, count in zip(values.tolist(), counts.tolist(), strict=True):
            named[words(label)] += count
        return _counted(named) if host.size > 1 else next(iter(named))
    if host.dtype.kind not in "iufc":
        return described(host.ravel()[:5].tolist())
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
    columns = dict(_columns(result, length)) if 0 < length <= _LOOKED_AT else {}
    if not columns:
        return ""
    rows = [
        (str(i), *(_entry(values[i], words) for values, words in columns.values()))
        for i in range(min(length, _ROWS))
    ]
    more = f"<div>… {length - _ROWS} more</div>" if length > _ROWS else ""
    which = f"The first {_ROWS} of {length}" if length > _ROWS else f"All {length}"
    return _table(Table(which, ("number", *columns), rows), _NUMBER) + more


def _columns(result: Any, length: int) -> Iterator[tuple[str, Any]]:
    for name in (*type(result)._columns, *fields_of(type(result))):
        values = getattr(result, name)
        if isinstance(values, Tracer):
            continue
        if isinstance(values, tuple | list) and len(values) == length and _are_texts(values[:_ROWS]):
            yield name, (values, None)
        elif isinstance(values, jax.Array | np.ndarray) and values.ndim == 1 and len(values) == length:
            yield name, (np.asarray(values), _words_of(result, name))


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _entry(value: Any, words: Any) -> str:
    if isinstance(value, str):
        return cut(value, 60)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if words is not None and np.asarray(value).dtype.kind in "iu":
        return words(value)
    return f"{value:.5g}"
