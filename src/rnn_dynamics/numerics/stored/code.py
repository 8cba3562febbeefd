"""A digest of a Python function: its code, what it captured, and the functions of one's own that it calls.

What was installed, this library and Python's own count by their names; the versions of this library and of JAX
stand beside it in an identity.
"""

import dataclasses
import functools
import hashlib
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), range, slice)
_PYTHONS = (sys.stdlib_module_names | set(sys.builtin_module_names)) - {"__main__"}

Seen = dict[int, Any]  # by their numbers, kept so that none is given to another object


def digest_of(function: Any) -> str:
    """SHA-256 of the function's code and captured values, the same in every process of one version of Python.

    An object that has neither attributes nor a pickle, as a lock, counts by the name of its class.
    """
    found, seen = hashlib.sha256(), {}
    for piece in _pieces(function, seen):
        found.update(f"{len(piece)} ".encode() + piece)
    return found.hexdigest()


@functools.lru_cache(maxsize=4096)
def _is_own(module: str | None) -> bool:
    """Whether a module is the user's, neither installed nor Python's."""
    top = (module or "").partition(".")[0]
    if top in _PYTHONS or top == "rnn_dynamics":
        return False
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    return file is None or not {"site-packages", "dist-packages"} & set(Path(file).parts)


def _pieces(value: Any, seen: Seen) -> Iterator[bytes]:
    """What the digest is of, in an order that does not depend on the process."""
    if isinstance(value, _PLAIN):
        yield f"{type(value).__name__} {value!r}".encode()
    elif isinstance(value, np.ndarray | np.generic | jax.Array):
        yield from _numbers(value, seen)
    elif id(value) in seen:
        yield b"again"
    else:
        seen[id(value)] = value
        yield f"{type(value).__module__}.{type(value).__qualname__}".encode()
        yield from _compound(value, seen)


def _numbers(value: Any, seen: Seen) -> Iterator[bytes]:
    if jax.numpy.issubdtype(value.dtype, jax.dtypes.extended):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    yield f"{array.dtype} {array.shape}".encode()
    if array.dtype.hasobject:
        yield from _pieces(array.tolist(), seen)
    else:
        yield array.tobytes()


def _compound(value: Any, seen: Seen) -> Iterator[bytes]:
    if isinstance(value, types.ModuleType):
        yield value.__name__.encode()
    elif isinstance(value, types.CodeType):
        yield value.co_code
        parts = value.co_consts, value.co_names, value.co_varnames, value.co_freevars, value.co_exceptiontable
        yield from _pieces(parts, seen)
    elif isinstance(value, set | frozenset):
        yield from sorted(b" ".join(_pieces(one, seen)) for one in value)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _pieces(name, seen)
            yield from _pieces(item, seen)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _pieces(item, seen)
    elif isinstance(value, functools.partial):
        yield from _pieces((value.func, value.args, value.keywords), seen)
    elif isinstance(value, types.MethodType):
        yield from _pieces((value.__func__, value.__self__), seen)
    elif hasattr(value, "__wrapped__"):  # by jit, a cache, a decorator
        yield from _pieces(value.__wrapped__, seen)
    elif isinstance(value, types.FunctionType | type | types.BuiltinFunctionType):
        yield f"{value.__module__}.{value.__qualname__}".encode()
        if _is_own(value.__module__):
            yield from _defined(value, seen)
    else:
        yield from _instance(value, seen)


def _defined(value: Any, seen: Seen) -> Iterator[bytes]:
    """What a function or a class of one's own is made of."""
    if isinstance(value, types.FunctionType):
        yield from _pieces((value.__code__, value.__defaults__, value.__kwdefaults__), seen)
        yield from _pieces(_captured(value), seen)
        names = [name for name in _names(value.__code__) if name in value.__globals__]
        yield from _pieces({name: value.__globals__[name] for name in names}, seen)
    elif isinstance(value, type):
        members = {name: item for name, item in sorted(vars(value).items()) if _is_made(name, item)}
        yield from _pieces((members, value.__bases__), seen)


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


def _instance(value: Any, seen: Seen) -> Iterator[bytes]:
    """An object's class and attributes; those that its class does not compare are no part of it."""
    if isinstance(value, property):
        yield from _pieces((value.fget, value.fset), seen)
        return
    yield from _pieces(type(value), seen)
    is_pythons = type(value).__module__.partition(".")[0] in _PYTHONS
    if dataclasses.is_dataclass(value):
        fields = [each for each in dataclasses.fields(value) if each.compare]
        yield from _pieces([getattr(value, each.name) for each in fields], seen)
    elif hasattr(value, "__dict__") and not is_pythons:
        yield from _pieces(dict(sorted(vars(value).items())), seen)
    else:
        try:
            yield pickle.dumps(value, protocol=5)
        except Exception:  # pickle has no error of its own for all of it
            return
