"""What functions and classes that a pickle names stand for, where that is data; of all else the name is kept."""

import builtins
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rnn_dynamics.interop.files.stored import (
    Part,
    Refused,
    Stored,
    checked_view,
    from_bytes,
    item_size,
    product,
    shape_of,
    view_of,
)

_MODULES_OF_DATA = {
    *("collections", "datetime", "decimal", "enum", "fractions", "pathlib", "uuid", "argparse", "random"),
    *("copyreg", "copy_reg", "__main__", "typing", "ipaddress", "zoneinfo", "logging", "inspect", "abc"),
}
_BUILTINS_OF_DATA = {
    *(
        "set",
        "frozenset",
        "list",
        "dict",
        "tuple",
        "str",
        "int",
        "float",
        "bool",
        "complex",
        "bytes",
        "bytearray",
    ),
    *("slice", "range", "object"),
}
_OLD_MODULES = {"__builtin__", "posix", "nt", "commands", "os2", "exceptions", "popen2"}
_MAPPINGS = {"collections.OrderedDict", "collections.defaultdict", "collections.Counter", "builtins.dict"}
_LISTS = {
    "builtins.list",
    "builtins.tuple",
    "builtins.set",
    "builtins.frozenset",
    "torch.Size",
    "collections.deque",
}
_NUMPY = ("numpy.core.multiarray.", "numpy._core.multiarray.", "numpy.core.numeric.", "numpy._core.numeric.")
_STORED = {
    "Float": "float32",
    "Double": "float64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Bool": "bool",
    "Byte": "uint8",
    "Char": "int8",
    "Short": "int16",
    "Int": "int32",
    "Long": "int64",
    "QInt8": "int8",
    "QUInt8": "uint8",
    "QInt32": "int32",
    "Untyped": "uint8",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}


class Named(NamedTuple):
    """A class or function by its name, which is never looked up."""

    name: str


class Storage(NamedTuple):
    """The numbers that tensors are views of: dtype, how many, and a function that reads them."""

    dtype: str
    size: int
    read: Callable[[str, int], np.ndarray]


class Dtype:
    """A dtype of NumPy, by its code and byte order, which comes later."""

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="


class Unmade:
    """An array of NumPy, whose shape and numbers come later, and where the pickle keeps it for a second use."""

    place: int | None = None


def storage_dtype(kind: Any) -> str:
    """The dtype of a class of storages.

    Raises:
        Refused: no storage that is known.
    """
    name = kind.name if isinstance(kind, Named) else ""
    dtype = _STORED.get(name.rpartition(".")[2].removesuffix("Storage"))
    if not name.startswith("torch") or dtype is None:
        raise Refused(f"expected a storage of PyTorch, got {str(name or kind)[:80]!r}")
    return dtype


def _refuse_call(name: str) -> None:
    """Refuse what no file of weights has any use for: functions of Python's own library that do things."""
    top, _, rest = name.partition(".")
    if top in _MODULES_OF_DATA or (top in ("builtins", "__builtin__") and rest in _BUILTINS_OF_DATA):
        return
    if top in sys.stdlib_module_names or top in _OLD_MODULES or (not rest and hasattr(builtins, top)):
        raise Refused(
            f"expected weights, got a pickle that asks to call {name[:80]}, which was not done: no file of weights "
            "needs that, and whoever opens it with pickle or torch.load runs it"
        )


def key_of(key: Any) -> Any:
    """A key as it is where it is plain; hashing nested tuples may take for ever."""
    return key if isinstance(key, (str, int, float, bytes, type(None))) else f"a {type(key).__name__}"


def instance_of(cls: Any) -> Any:
    """A thing of a class, with its attributes still to come."""
    if not isinstance(cls, Named):
        raise Refused("expected a class, got something else")
    _refuse_call(cls.name)
    if cls.name in _MAPPINGS:
        return {}
    return Part(cls.name, {})


def made(function: Any, arguments: Any) -> Any:
    """What a function by that name makes of the arguments, where it stands for data; else its name, as a part."""
    if not isinstance(function, Named) or not isinstance(arguments, tuple):
        raise Refused("expected a pickle of plain data, got a call of something that is no function's name")
    name = function.name.replace("__builtin__.", "builtins.", 1)
    if name in _REBUILT:
        return _REBUILT[name](*arguments)
    if name.startswith(_NUMPY) and (last := name.rpartition(".")[2]) in _OF_NUMPY:
        return _OF_NUMPY[last](*arguments)
    if name in _MAPPINGS:
        pairs = arguments[-1] if arguments and isinstance(arguments[-1], (list, tuple)) else ()
        return {
            key_of(pair[0]): pair[1] for pair in pairs if isinstance(pair, (list, tuple)) and len(pair) == 2
        }
    if name in _LISTS:
        return list(arguments[0]) if arguments and isinstance(arguments[0], (list, tuple)) else []
    if name in ("copyreg._reconstructor", "copy_reg._reconstructor", "copyreg.__newobj__"):
        return instance_of(arguments[0] if arguments else None)
    _refuse_call(name)
    return Part(name, {}, is_call=True)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Stored:
    """A view of a storage, by the arguments of PyTorch's ``_rebuild_tensor_v2``."""
    if not isinstance(storage, Storage):
        raise Refused("expected a tensor of a storage, got one of something else")
    if len(rest) > 2 and rest[2]:
        raise Refused(f"expected a plain tensor, got one with {str(rest[2])[:60]}")
    return _view(storage, storage.dtype, storage.size, offset, shape, strides)


def _tensor_v3(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Stored:
    """As ``_tensor``, of a storage without a dtype."""
    if not isinstance(storage, Storage) or len(rest) < 3 or not isinstance(rest[2], Named):
        raise Refused("expected a tensor of a storage and its dtype, got something else")
    dtype = {"half": "float16", "float": "float32", "double": "float64"}.get(
        last := rest[2].name.rpartition(".")[2], last
    )
    return _view(storage, dtype, storage.size // item_size(dtype), offset, shape, strides)


def _view(storage: Storage, dtype: str, count: int, offset: Any, shape: Any, strides: Any) -> Stored:
    shape, strides = checked_view(count, offset, shape, strides)
    return Stored(shape, dtype, lambda: view_of(storage.read(dtype, count), offset, shape, strides))


def _quantised(storage: Any, offset: Any, shape: Any, strides: Any, how: Any, *_: Any) -> Stored:
    """A tensor of integers with its scale, as numbers: scale · (q − zero point)."""
    stored = _tensor(storage, offset, shape, strides)
    if not isinstance(how, (tuple, list)) or len(how) < 3 or not isinstance(how[0], Named):
        raise Refused("expected a quantised tensor with its scale, got none")
    if how[0].name == "torch.per_tensor_affine":
        scale, zero = (np.float32(each) for each in how[1:3])
    elif how[0].name.startswith("torch.per_channel_affine") and len(how) == 4 and isinstance(how[1], Stored):
        axis = [1] * stored.ndim
        axis[how[3]] = -1
        scale, zero = (np.asarray(each.read(), np.float32).reshape(axis) for each in how[1:3])
    else:
        raise Refused(f"expected a quantised tensor with one scale or one a row, got {how[0].name[:60]}")
    told = f"{stored.dtype} was made float32 by the scale that the file has"
    return Stored(stored.shape, "float32", lambda: (stored.read().astype(np.float32) - zero) * scale, told)


def _of_type(function: Any, _: Any, arguments: Any, __: Any = None) -> Any:
    """A tensor of a subclass, as the plain one that it is made of."""
    return made(function, arguments)


_REBUILT: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch._utils._rebuild_parameter_with_state": lambda tensor, *_: tensor,
    "torch._utils._rebuild_qtensor": _quantised,
    "torch._tensor._rebuild_from_type_v2": _of_type,
    "torch.device": lambda *_: None,
    "torch.jit._pickle.build_intlist": lambda items: items,
    "torch.jit._pickle.build_doublelist": lambda items: items,
    "torch.jit._pickle.build_boollist": lambda items: items,
    "torch.jit._pickle.build_tensorlist": lambda items: items,
    "torch.jit._pickle.restore_type_tag": lambda items, *_: items,
    "numpy.dtype": lambda code, *_: Dtype(str(code)),
    "_codecs.encode": lambda text, *_: text.encode("latin1"),
    "builtins.bytearray": lambda *arguments: arguments[0] if arguments else b"",
    "builtins.bytes": lambda *arguments: arguments[0] if arguments else b"",
}


def _numbers(content: Any, dtype: Any, shape: Any, is_fortran: bool) -> Any:
    """An array of NumPy, or a part where its entries are Python's objects."""
    if isinstance(content, str):  # as Python 2 wrote bytes
        content = content.encode("latin1")
    if not isinstance(dtype, Dtype) or not isinstance(content, (bytes, bytearray)):
        return Part("numpy.ndarray of Python objects", {})
    kind = np.dtype(dtype.code)
    if kind.kind not in "fiubc":
        return Part(f"numpy.ndarray of {dtype.code[:20]}", {})
    shape = shape_of(shape, len(content))
    if product(shape) * kind.itemsize > len(content):
        raise Refused("expected the numbers of an array, got too few: the file is cut short")
    order = ">" if dtype.order == ">" else "<"
    if is_fortran:
        return Stored(shape, kind.name, lambda: from_bytes(content, kind.name, shape[::-1], order=order).T)
    return Stored(shape, kind.name, lambda: from_bytes(content, kind.name, shape, order=order))


def numpy_array(state: Any) -> Any:
    if not isinstance(state, tuple) or len(state) != 5:
        raise Refused("expected the five parts of an array of NumPy, got something else")
    return _numbers(state[4], state[2], state[1], bool(state[3]))


def _of_jax(_: Any, __: Any, state: Any, ___: Any = None) -> Any:
    """An array of JAX, by the state of the array of NumPy that it is kept as."""
    return numpy_array(state)


_REBUILT["jax._src.array._reconstruct_array"] = _of_jax
_REBUILT["jax._src.device_array.reconstruct_device_array"] = _of_jax
_OF_NUMPY: dict[str, Callable[..., Any]] = {
    "_reconstruct": lambda *_: Unmade(),
    "scalar": lambda dtype, content=b"": _numbers(content, dtype, (), False),
    "_frombuffer": lambda content, dtype, shape, order: _numbers(content, dtype, shape, order == "F"),
}
