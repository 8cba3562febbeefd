"""A digest of a Python function: its code, what it captured, and the functions of its own package that it calls.

What comes from other packages counts by its name, whatever their version: an identity has this library's and JAX's.
"""

import dataclasses
import functools
import hashlib
import pickle
import types
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), range, slice)


def digest_of(function: Any) -> str:
    """SHA-256 of the function's code and captured values, the same in every process of one version of Python.

    Raises:
        TypeError: it captured something that has neither attributes nor a pickle.
    """
    own = _package(getattr(function, "__module__", None) or type(function).__module__)
    found, seen = hashlib.sha256(), {}
    for piece in _pieces(function, own, seen):
        found.update(f"{len(piece)} ".encode() + piece)
    return found.hexdigest()


def _package(module: str) -> str:
    return module.partition(".")[0]


def _pieces(value: Any, own: str, seen: dict[int, Any]) -> Iterator[bytes]:
    """What the digest is of, in an order that does not depend on the process."""
    if isinstance(value, _PLAIN):
        yield f"{type(value).__name__} {value!r}".encode()
    elif isinstance(value, np.ndarray | np.generic | jax.Array):
        yield from _numbers(value, own, seen)
    elif id(value) in seen:
        yield b"again"
    else:
        seen[id(value)] = value  # kept, so that its number is not given to another one
        yield from _compound(value, own, seen)


def _numbers(value: Any, own: str, seen: dict[int, Any]) -> Iterator[bytes]:
    if jax.numpy.issubdtype(value.dtype, jax.dtypes.extended):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    yield f"{array.dtype} {array.shape}".encode()
    if array.dtype.hasobject:
        yield from _pieces(array.tolist(), own, seen)
    else:
        yield array.tobytes()


def _compound(value: Any, own: str, seen: dict[int, Any]) -> Iterator[bytes]:
    kind = type(value)
    yield f"{kind.__module__}.{kind.__qualname__}".encode()
    if isinstance(value, types.ModuleType):
        yield value.__name__.encode()
    elif isinstance(value, types.CodeType):
        yield value.co_code
        parts = value.co_consts, value.co_names, value.co_varnames, value.co_freevars, value.co_exceptiontable
        yield from _pieces(parts, own, seen)
    elif isinstance(value, set | frozenset):
        each = [b" ".join(_pieces(one, own, seen)) for one in value]
        yield from sorted(each)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _pieces(name, own, seen)
            yield from _pieces(item, own, seen)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _pieces(item, own, seen)
    elif isinstance(value, functools.partial):
        yield from _pieces((value.func, value.args, value.keywords), own, seen)
    elif isinstance(value, types.MethodType):
        yield from _pieces((value.__func__, value.__self__), own, seen)
    elif hasattr(value, "__wrapped__"):  # by jit, a cache, a decorator
        yield from _pieces(value.__wrapped__, own, seen)
    elif isinstance(value, types.FunctionType | type | types.BuiltinFunctionType):
        yield from _defined(value, own, seen)
    else:
        yield from _instance(value, own, seen)


def _defined(value: Any, own: str, seen: dict[int, Any]) -> Iterator[bytes]:
    """A function or a class: its name, and of one of the function's own package what it is made of."""
    yield f"{value.__module__}.{value.__qualname__}".encode()
    if _package(value.__module__ or "") != own:
        return
    if isinstance(value, types.FunctionType):
        yield from _pieces((value.__code__, value.__defaults__, value.__kwdefaults__), own, seen)
        yield from _pieces(_captured(value), own, seen)
        named = {
            name: value.__globals__[name] for name in _names(value.__code__) if name in value.__globals__
        }
        yield from _pieces(named, own, seen)
    elif isinstance(value, type):
        members = {name: item for name, item in sorted(vars(value).items()) if _is_made(name, item)}
        yield from _pieces(members, own, seen)
        yield from _pieces(value.__bases__, own, seen)


def _is_made(name: str, item: Any) -> bool:
    """Whether it is a method, or a constant that is not about where the class was written."""
    is_constant = isinstance(item, _PLAIN) and not name.startswith("__")
    return is_constant or isinstance(item, types.FunctionType | property | classmethod | staticmethod)


def _captured(function: types.FunctionType) -> list[Any]:
    """The contents of a function's cells; one that is not filled yet counts as nothing."""
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:
            found.append(None)
    return found


def _names(code: types.CodeType) -> list[str]:
    """The names that a function and those defined in it look up, in the order of its code."""
    inner = [name for each in code.co_consts if isinstance(each, types.CodeType) for name in _names(each)]
    return list(dict.fromkeys([*code.co_names, *inner]))


def _instance(value: Any, own: str, seen: dict[int, Any]) -> Iterator[bytes]:
    """An object of a class: its class, and its attributes."""
    if isinstance(value, property):
        yield from _pieces((value.fget, value.fset), own, seen)
        return
    yield from _pieces(type(value), own, seen)
    if dataclasses.is_dataclass(value):
        yield from _pieces([getattr(value, each.name) for each in dataclasses.fields(value)], own, seen)
    elif hasattr(value, "__dict__"):
        yield from _pieces({name: vars(value)[name] for name in sorted(vars(value))}, own, seen)
    else:
        try:
            yield pickle.dumps(value, protocol=5)
        except Exception as error:  # pickle has no error of its own for all of it
            raise TypeError(
                f"function: expected one whose captured values can be told apart, got {type(value).__name__}"
                f" ({error})"
            ) from None
