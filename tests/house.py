"""The plan of the house: its rooms from the ground floor up, and what each may import. CONTRIBUTING shows it."""

import ast
import collections
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "rnn_dynamics"
PACKAGE = "rnn_dynamics"

#: Every room, and what is found there. A room imports from the rooms before it alone.
ROOMS = {
    "numerics": "machinery that knows no network: scaled numbers, Newton, arclength, checks, kept results",
    "cells": "maps `cell(x, u)`, activations, initial weights, `rollout`",
    "gradients": "∂x_T/∂x_k in every form: products, norms, singular values, sensitivities, credit by lag",
    "interop": "networks of other libraries and file formats as cells",
    "dynamics": "fixed points, continuation, bifurcations, basins, manifolds, Lyapunov exponents of any cell",
    "spectral": "study 3, is ρ < 1 enough? Every bound, joint radius, non-normality, mean field, counterexamples",
    "doya": "study 1, one neuron's bifurcations in closed form",
    "cliff": "study 2, the loss at the boundary of a basin",
    "diagnosis": "the verdict on a network",
    "training": "tasks, recipes of remedies, runs, studies",
    "plots": "a result on axes",
    "figures": "the published figures, by the room that each shows, and their stored results in `data/`",
    "explore": "explorers to be played with, in a notebook or a browser; their programs in `static/`",
    "atlases": "grids with a name, to be run for hours, kept in a folder and drawn",
    "cli": "the commands",
}
#: Files beside the rooms, which every room may read.
LEAVES = ("_version", "_moved")
DRAWS = ("plots", "figures", "explore", "cli")
AT_IMPORT = {"jax", "jaxlib", "jaxtyping", "numpy"}
ALSO_AT_IMPORT = {"training": {"optax"}}


class Import(NamedTuple):
    """One imported name.

    Attributes:
        module, name: as written.
        where: "top", "lazy" (inside a function) or "type" (for type checkers alone).
        line: its number.
    """

    module: str
    name: str
    where: str
    line: int


def dotted(path: Path) -> str:
    """The module that a file is."""
    parts = (PACKAGE, *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(part for part in parts if part != "__init__")


FILES = {dotted(path): path for path in sorted(SOURCE.rglob("*.py"))}


def room_of(module: str) -> str:
    """The room that a module lies in; "" for the package itself."""
    return [*module.split("."), ""][1]


@functools.cache
def tree(module: str) -> ast.Module:
    """The syntax of a module's file."""
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


def _walk(node: ast.AST, where: str = "top") -> Iterator[tuple[ast.AST, str]]:
    for child in ast.iter_child_nodes(node):
        inside = where
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inside = "lazy"
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            inside = "type"
        yield child, inside
        yield from _walk(child, inside)


@functools.cache
def imports(module: str) -> tuple[Import, ...]:
    """Everything that a module imports, lazily and for type checkers too."""
    found = []
    for node, where in _walk(tree(module)):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, "", where, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} line {node.lineno}: write absolute imports"
            found += [Import(node.module or "", alias.name, where, node.lineno) for alias in node.names]
    return tuple(found)


def home(module: str, name: str) -> str:
    """The file that defines what is imported: a package's ``__init__`` only hands on what its files define."""
    full = f"{module}.{name}"
    for one in imports(module) if FILES[module].name == "__init__.py" else ():
        if one.name == name and one.module.startswith(PACKAGE) and (one.module, one.name) != (module, name):
            return home(one.module, name)
    defined = {getattr(node, "name", None) for node in tree(module).body}
    return full if full in FILES and name not in defined else module


@functools.cache
def arrows() -> dict[str, frozenset[str]]:
    """From each file to those that it imports, of this package."""
    found: dict[str, set[str]] = collections.defaultdict(set)
    for module in FILES:
        for one in imports(module):
            if one.module.split(".")[0] == PACKAGE and module != PACKAGE:
                found[module].add(home(one.module, one.name) if one.name else one.module)
        found[module].discard(module)
    return {module: frozenset(targets) for module, targets in found.items()}


def circles() -> list[set[str]]:
    """Files that import one another in a circle."""
    left = {module: set(targets) for module, targets in arrows().items()}
    changed = True
    while changed:
        free = {module for module, targets in left.items() if not targets & left.keys()}
        free |= {module for module in left if not any(module in targets for targets in left.values())}
        for module in free:
            del left[module]
        changed = bool(free)
    return [set(left)] if left else []


def floors() -> dict[str, int]:
    """How high each room stands: one more than the highest room it imports."""
    below: dict[str, set[str]] = collections.defaultdict(set)
    for module, targets in arrows().items():
        below[room_of(module)] |= {room_of(target) for target in targets} - {room_of(module), "", *LEAVES}

    @functools.cache
    def floor(room: str) -> int:
        return 1 + max((floor(other) for other in below[room]), default=0)

    return {room: floor(room) for room in ROOMS}


def table() -> str:
    """The rooms as CONTRIBUTING shows them."""
    rows = [f"| `{room}/` | {what} |" for room, what in ROOMS.items()]
    return "\n".join(("| room | what is found there |", "|---|---|", *rows))
