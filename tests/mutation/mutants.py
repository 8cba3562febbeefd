"""Faults of one place: an operator swapped, a constant changed, a negation dropped."""

import ast
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

__all__ = ["Mutant", "drawn", "mutants_of"]

_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "+",
    ast.Pow: "*",
    ast.BitAnd: "|",
    ast.BitOr: "&",
    ast.LShift: ">>",
    ast.RShift: "<<",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.And: "or",
    ast.Or: "and",
}
_NAMES = {
    "maximum": "minimum",
    "minimum": "maximum",
    "max": "min",
    "min": "max",
    "all": "any",
    "any": "all",
    "argmin": "argmax",
    "argmax": "argmin",
    "floor": "ceil",
    "ceil": "floor",
    "sum": "max",
}


class Mutant(NamedTuple):
    """One fault: the file below the repository, its line, and what becomes of the characters from start to stop.

    ``alike`` counts the same changes of the same text in the file, from 1; it and the text tell a fault after lines
    were added or taken away elsewhere.
    """

    file: str
    line: int
    start: int
    stop: int
    before: str
    after: str
    text: str
    alike: int

    def applied(self, source: str) -> str:
        """The source with the fault."""
        assert source[self.start : self.stop] == self.before
        return source[: self.start] + self.after + source[self.stop :]

    @property
    def name(self) -> str:
        """Where it is and what it does, as in the table."""
        number = f" ({self.alike})" if self.alike > 1 else ""
        return f"{self.file.removeprefix('src/rnn_dynamics/')} | {self.text} | {self.before} → {self.after}{number}"


class _Places:
    """Offsets of a file's characters by line and column of ``ast``, whose columns count bytes."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._lines = source.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def at(self, line: int, column: int) -> int:
        prefix = self._lines[line - 1].encode()[:column].decode()
        return self._starts[line - 1] + len(prefix)

    def of(self, node: ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.at(node.lineno, node.col_offset), self.at(node.end_lineno, node.end_col_offset)


def _is_silent(node: ast.AST) -> bool:
    """Whether a fault below would change words, types or names alone."""
    is_typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    is_list = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).startswith("__")
    return (
        isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert)
        or is_typing
        or is_list
    )


def _judged(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes in which a fault is one of the computation: no annotations, messages, type aliases."""
    if _is_silent(node):
        return
    yield node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _judged(child)


def _between(places: _Places, left: ast.expr, right: ast.expr, token: str) -> tuple[int, int] | None:
    """Where the operator between two expressions stands; none where brackets or comments hide it."""
    begin, end = places.of(left)[1], places.of(right)[0]
    gap = places.source[begin:end]
    if "#" in gap or gap.count(token) != 1:
        return None
    at = begin + gap.index(token)
    return at, at + len(token)


_TOKENS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.And: "and",
    ast.Or: "or",
}


def _operator(
    places: _Places, left: ast.expr, right: ast.expr, kind: ast.AST
) -> Iterator[tuple[int, int, str]]:
    token = _TOKENS.get(type(kind))
    place = _between(places, left, right, token) if token else None
    if place:
        yield *place, _OPERATORS[type(kind)]


def _changed(value: bool | int | float) -> str | None:
    if isinstance(value, bool):
        return str(not value)
    if isinstance(value, int):
        return str(value + 1)
    if value == float("inf") or value != value:
        return None
    return repr(value * 1.5) if value else "1.0"


def _faults(places: _Places, node: ast.AST) -> Iterator[tuple[int, int, str]]:
    if isinstance(node, ast.BinOp):
        yield from _operator(places, node.left, node.right, node.op)
    elif isinstance(node, ast.BoolOp):
        yield from _operator(places, node.values[0], node.values[1], node.op)
    elif isinstance(node, ast.Compare):
        yield from _operator(places, node.left, node.comparators[0], node.ops[0])
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not | ast.Invert):
        yield places.of(node)[0], places.of(node.operand)[0], ""
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        after = _changed(node.value)
        if after is not None:
            yield *places.of(node), after
    elif isinstance(node, ast.Attribute) and node.attr in _NAMES:
        stop = places.of(node)[1]
        yield stop - len(node.attr), stop, _NAMES[node.attr]


def mutants_of(path: Path, root: Path) -> list[Mutant]:
    """All faults of a file."""
    source = path.read_text(encoding="utf-8")
    lines, places = source.splitlines(), _Places(source)
    every = {fault for node in _judged(ast.parse(source)) for fault in _faults(places, node)}
    found: list[Mutant] = []
    alike: Counter[tuple[str, str, str]] = Counter()
    for start, stop, after in sorted(every):
        line = source.count("\n", 0, start) + 1
        before, text = source[start:stop], lines[line - 1].strip()
        alike[text, before, after] += 1
        number = alike[text, before, after]
        found.append(Mutant(str(path.relative_to(root)), line, start, stop, before, after, text, number))
    return [mutant for mutant in found if _is_code(mutant.applied(source))]


def _is_code(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def drawn(root: Path, folders: tuple[str, ...], count: int, seed: int) -> list[Mutant]:
    """``count`` faults of the folders, each place as likely as any other; most are drawn again after a change."""
    files = sorted(path for folder in folders for path in (root / folder).rglob("*.py"))
    every = [mutant for path in files for mutant in mutants_of(path, root)]
    return sorted(sorted(every, key=lambda mutant: sha256(f"{seed} {mutant.name}".encode()).digest())[:count])
