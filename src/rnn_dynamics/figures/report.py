"""The table of published against measured numbers: its rows, and the table as JSON, Markdown and plain text."""

import dataclasses
import html
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

AGREES = "agrees"
CORRECTED = "source corrected"
DIFFERS = "DIFFERS"


@dataclasses.dataclass(frozen=True)
class ReportRow:
    """One published number or statement beside what the library measures.

    Attributes:
        quantity: what is measured, with its parameters.
        source: where it is published.
        published: as printed there.
        measured: the library's number, or what it found where a statement was tested.
        difference: measured − published, ``None`` for statements.
        verdict: "agrees"; "source corrected", where the source is wrong and the measurement shows the correct
            value or the counterexample; or "DIFFERS", where the measurement fails.
        note: why, and the correct value.
    """

    quantity: str
    source: str
    published: str
    measured: float | str
    difference: float | None
    verdict: str
    note: str = ""


def _half_unit(text: str) -> float:
    """Half a unit of the last printed digit of a decimal number."""
    mantissa, _, exponent = text.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return 0.5 * 10.0 ** (int(exponent or 0) - decimals)


def number(
    quantity: str,
    source: str,
    published: str,
    measured: Any,
    *,
    within: float | None = None,
    correct: float | None = None,
    note: str = "",
) -> ReportRow:
    """A published decimal number beside the measured one.

    Args:
        published: the number as printed; it agrees where the measured one rounds to it.
        within: an absolute tolerance instead of half a unit of the last printed digit (sampling error).
        correct: what it should have been where the source is wrong; measured must agree with this instead.
    """
    value = float(measured)
    tolerance = _half_unit(published) * (1 + 1e-6) if within is None else within
    if correct is None:
        verdict = AGREES if abs(value - float(published)) <= tolerance else DIFFERS
    else:
        close = abs(value - correct) <= (within if within is not None else 1e-3 * max(abs(correct), 1e-3))
        verdict = CORRECTED if close else DIFFERS
    return ReportRow(quantity, source, published, value, value - float(published), verdict, note)


def claim(
    quantity: str,
    source: str,
    published: str,
    measured: str,
    *,
    found: Any,
    wrong: bool = False,
    note: str = "",
) -> ReportRow:
    """A published statement beside what was found.

    Args:
        found: whether the measurement came out as science has it: for a right statement that it holds, for a
            wrong one that it was refuted.
        wrong: whether the source is wrong.
    """
    verdict = DIFFERS if not bool(found) else CORRECTED if wrong else AGREES
    return ReportRow(quantity, source, published, measured, None, verdict, note)


def _number_text(value: float | str | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.7g}"


def _difference_text(value: float | None) -> str:
    return "" if value is None else "0" if value == 0 else f"{value:+.1e}"


def _plain(value: Any) -> Any:
    """JSON has no infinities and no NaN: they become their names."""
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def as_json(sections: Sequence[tuple[str, Sequence[ReportRow]]], about: dict[str, Any]) -> str:
    """The report as JSON: ``about``, a count of verdicts, and one object a row with its figure's name."""
    rows = [
        {"figure": name, **{key: _plain(value) for key, value in dataclasses.asdict(row).items()}}
        for name, section in sections
        for row in section
    ]
    report = {**about, "verdicts": counts(row for _, section in sections for row in section), "rows": rows}
    return json.dumps(report, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def counts(rows: Iterable[ReportRow]) -> dict[str, int]:
    """How many rows have each verdict."""
    verdicts = [row.verdict for row in rows]
    return {verdict: verdicts.count(verdict) for verdict in (AGREES, CORRECTED, DIFFERS)}


def _cells(row: ReportRow) -> list[str]:
    difference = _difference_text(row.difference)
    return [row.quantity, row.source, row.published, _number_text(row.measured), difference, row.verdict]


def as_markdown(
    sections: Sequence[tuple[str, Sequence[ReportRow]]], titles: dict[str, str], files: dict[str, str]
) -> str:
    """The report as Markdown: every picture with its table."""
    totals = counts(row for _, section in sections for row in section)
    lines = [
        "# Published against measured",
        "",
        ", ".join(f"{count} × {verdict}" for verdict, count in totals.items() if count) + ".",
        "“agrees”: the measured number rounds to the printed one (or lies within the stated sampling error). "
        "“source corrected”: the source is wrong; the note gives the correct statement, which was measured.",
    ]
    for name, rows in sections:
        lines += ["", f"## {titles[name]}", ""]
        if name in files:
            lines += [f"![{titles[name]}]({files[name]})", ""]
        lines += ["| quantity | source | published | measured | difference | verdict | note |"]
        lines += ["|---|---|---|---|---|---|---|"]
        lines += [
            "| " + " | ".join(_escaped(cell) for cell in [*_cells(row), row.note]) + " |" for row in rows
        ]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    text = html.escape(text, quote=False)
    for sign in "\\|*_[]`":
        text = text.replace(sign, "\\" + sign)
    return text.replace("\n", " ")


def _fitted(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def as_text(sections: Sequence[tuple[str, Sequence[ReportRow]]], width: int = 120) -> str:
    """The report as a table for a terminal ``width`` characters wide: quantity, source, numbers, verdict."""
    rows = [_cells(row) for _, section in sections for row in section]
    head = ["quantity", "source", "published", "measured", "difference", "verdict"]
    limits = [max(width - 84, 24), 20, 14, 14, 10, 16]
    sizes = [min(limit, max(len(row[i]) for row in [head, *rows])) for i, limit in enumerate(limits)]
    lines = []
    for row in [head, ["-" * size for size in sizes], *rows]:
        cells = [_fitted(cell, size) for cell, size in zip(row, sizes, strict=True)]
        lines.append("  ".join(f"{cell:<{size}}" for cell, size in zip(cells, sizes, strict=True)).rstrip())
    totals = counts(row for _, section in sections for row in section)
    lines.append(", ".join(f"{count} × {verdict}" for verdict, count in totals.items()))
    return "\n".join(lines)
