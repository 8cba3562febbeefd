"""Docstrings as Markdown: the tables in them, drawn by lines of equal signs, become tables of the page."""

import re

from griffe import Class, Extension, Function, Module, Object

RULE = re.compile(r"^=+(?: +=+)+$")


def _table(rows: list[str], rule: str) -> list[str]:
    """A Markdown table of two columns; a row whose first column is empty goes on the row before."""
    cut = rule.index(" ")
    cells: list[list[str]] = []
    for row in rows:
        first, second = row[:cut].strip(), row[cut:].strip()
        if first or not cells:
            cells.append([first, second])
        else:
            cells[-1][1] += f" {second}"
    escaped = [[text.replace("|", r"\|") for text in pair] for pair in cells]
    return ["", "| | |", "|---|---|", *(f"| {first} | {second} |" for first, second in escaped), ""]


def markdown(text: str) -> str:
    """The docstring with its tables as Markdown's."""
    lines, done = text.splitlines(), []
    while lines:
        line = lines.pop(0)
        if RULE.match(line.strip()) and any(RULE.match(other.strip()) for other in lines):
            indent, rows = len(line) - len(line.lstrip()), []
            while not RULE.match(lines[0].strip()):
                rows.append(lines.pop(0)[indent:])
            lines.pop(0)
            done += _table(rows, line.strip())
        else:
            done.append(line)
    return "\n".join(done)


class Docstrings(Extension):
    """Gives each object's docstring as Markdown."""

    def _translate(self, one: Object) -> None:
        if one.docstring:
            one.docstring.value = markdown(one.docstring.value)

    def on_function(self, *, func: Function, **_: object) -> None:
        self._translate(func)

    def on_class(self, *, cls: Class, **_: object) -> None:
        self._translate(cls)

    def on_module(self, *, mod: Module, **_: object) -> None:
        self._translate(mod)
