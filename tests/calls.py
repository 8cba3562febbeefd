"""Calls of the library in other people's code, held against the functions' signatures without being made."""

import ast
import inspect
from collections.abc import Sequence
from typing import Any


def _reached(node: ast.expr, names: dict[str, Any]) -> Any:
    """What a chain of names stands for; ``None`` where it is no chain, or its first name is the code's own."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _reached(node.value, names)
        return None if owner is None else getattr(owner, node.attr)
    return None


def fitting(blocks: Sequence[str]) -> int:
    """How many calls of the library these blocks of one program have, each of which its function would take.

    In a moment, also for what runs for long. Their imports are made; names that they assign are left out.

    Raises:
        AttributeError, TypeError: a name that is not there, or arguments that its function does not take.
    """
    nodes = [node for block in blocks for node in ast.walk(ast.parse(block))]
    names: dict[str, Any] = {}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(ast.unparse(node), names)
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.pop(node.id, None)
    found = 0
    for node in nodes:
        called = _reached(node.func, names) if isinstance(node, ast.Call) else None
        if isinstance(node, ast.Call) and (getattr(called, "__module__", None) or "").startswith(
            "rnn_dynamics"
        ):
            _bound(node, inspect.signature(called))
            found += 1
    return found


def _bound(call: ast.Call, signature: inspect.Signature) -> None:
    named = {keyword.arg: None for keyword in call.keywords if keyword.arg is not None}
    is_whole = len(named) == len(call.keywords) and not any(isinstance(x, ast.Starred) for x in call.args)
    if is_whole:
        signature.bind(*call.args, **named)
    else:
        signature.bind_partial(**named)
