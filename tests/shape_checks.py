"""What jaxtyping's import hook calls: every array's dtype and shape against its annotation, named sizes in a call.

A size that a function names twice has to be one; a sum of names, as steps+1, is looked at where they are known.
What is no array is left alone: a number may stand for an array of no axes, and ``Any`` says nothing of shapes.
Fields of results are not looked at: ``jax.vmap`` puts axes in front of them.
"""

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

import jaxtyping

__all__ = ["checked"]


# Fields of results, and cells, which are called with wrong states to see what they say.
_LEFT_ALONE = ("__init__", "check_single_arg", "__call__")


@functools.lru_cache(maxsize=4096)
def _shapes(hint: Any) -> tuple[Any, ...]:
    """The array annotations of a hint or of its union, without the class of array; none where it has others."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [_shapes(one) for one in typing.get_args(hint) if one is not type(None)]
        return tuple(one for found in inner for one in found) if all(inner) else ()
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return (hint.dtype[Any, hint.dim_str],)
    return ()


def _fits(value: Any, shapes: tuple[Any, ...]) -> bool:
    try:
        return any(isinstance(value, shape) for shape in shapes)
    except jaxtyping.AnnotationError:  # a sum of names that are not known yet
        return True


def _check(place: str, value: Any, hint: Any) -> None:
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        return
    try:
        shapes = _shapes(hint)
    except TypeError:  # a hint that has no hash
        return
    if shapes and not _fits(value, shapes):
        raise TypeError(f"{place}: shape {value.shape} of dtype {value.dtype} is not {hint}")


def _is_sum(hint: Any) -> bool:
    return any(set("+-*") & set(one.dim_str) for one in _shapes(hint))


@functools.lru_cache(maxsize=4096)
def _refuses(module: str, name: str) -> bool:
    """Whether a function tells what it raises: it looks at its arguments itself, and tests give it wrong ones."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return "Raises:" in (getattr(found, "__doc__", None) or "")


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, each of its calls checked; ``jaxtyping.jaxtyped`` around it keeps the names of a call."""
    if function.__name__ in _LEFT_ALONE:
        return function
    try:
        hints = {n: h for n, h in function.__annotations__.items() if not isinstance(h, str) and _shapes(h)}
        signature = inspect.signature(function)
    except (AttributeError, TypeError, ValueError):
        return function
    if "Raises:" in (
        function.__doc__ or ""
    ):  # it looks at its arguments itself, and tests give it wrong ones
        hints = {n: h for n, h in hints.items() if n == "return"}
    if not hints:
        return function
    ordered = sorted(hints.items(), key=lambda pair: _is_sum(pair[1]))
    name = f"{function.__module__}.{function.__qualname__}"

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        given = signature.bind(*arguments, **named).arguments
        for argument, hint in ordered:
            if argument in given and not _refuses(function.__module__, function.__qualname__):
                _check(f"{name}({argument})", given[argument], hint)
        found = function(*arguments, **named)
        if "return" in hints:
            _check(f"{name} → ", found, hints["return"])
        return found

    return call
