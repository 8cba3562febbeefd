"""What a pickle holds, read from its opcodes as any other format is: nothing is imported, called or looked up.

Of classes and functions there are names alone. A few names stand for data (a tensor of a storage, an ordered
mapping, an array of NumPy) and are read here; a thing of any other class is a ``Part`` with its attributes.
"""

import builtins
import pickletools
import sys
from collections.abc import Callable
from typing import IO, Any, NamedTuple

import numpy as np

from rnn_dynamics.interop.stored import (
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

_MOST_OPCODES = 3_000_000
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
    """The numbers that tensors are views of: dtype, their count, and a function that reads them."""

    dtype: str
    count: int
    read: Callable[[str, int], np.ndarray]


class _Dtype:
    """A dtype of NumPy, by its code and byte order, which comes later."""

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="


class _Unmade:
    """An array of NumPy, whose shape and numbers come later, and where the pickle keeps it for a second use."""

    place: int | None = None


_MARK = object()


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


def _refuse_pickled_call(name: str) -> None:
    """Refuse what no file of weights has any use for: functions of Python's own library that do things."""
    top, _, rest = name.partition(".")
    if top in _MODULES_OF_DATA or (top in ("builtins", "__builtin__") and rest in _BUILTINS_OF_DATA):
        return
    if top in sys.stdlib_module_names or top in _OLD_MODULES or (not rest and hasattr(builtins, top)):
        raise Refused(
            f"expected weights, got a pickle that asks to call {name[:80]}, which was not done: no file of weights "
            "needs that, and whoever opens it with pickle or torch.load runs it"
        )


class Machine:
    """The stack of a pickle. ``persistent`` gives the storage of what the pickle says lies outside of it."""

    def __init__(self, persistent: Callable[[Any], Any]) -> None:
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._persistent = persistent

    def value(self, file: IO[bytes]) -> Any:
        """What the next pickle of a file holds.

        Raises:
            Refused: opcodes that no data needs.
            Exception: of any kind, where it is damaged.
        """
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if count > _MOST_OPCODES:
                raise Refused(f"expected a pickle of at most {_MOST_OPCODES} opcodes, got more")
            self._step(opcode.name, argument)
        return self.stack.pop()

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _ARGUMENTS:
            stack.append(argument)
        elif name in ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"):
            self._put(len(self._memo) if argument is None else int(argument))
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self._memo[int(argument)])
        elif name in _MADE:
            stack.append(_MADE[name]())
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _METHODS:
            _METHODS[name](self, argument)
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise Refused(f"expected a pickle of plain data, got its opcode {name}")

    def _put(self, place: int) -> None:
        self._memo[place] = self.stack[-1]
        if isinstance(self.stack[-1], _Unmade):
            self.stack[-1].place = place

    def _since_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise Refused("expected a whole pickle, got one without the mark that it goes back to")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _pops(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise Refused("expected a whole pickle, got one that takes more from its stack than is there")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def _tuple(self, count: int) -> None:
        self.stack.append(tuple(self._pops(count)))

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Part):
            target = target.inside
        if not isinstance(target, dict):
            raise Refused("expected entries of a mapping, got them of something else")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    def _append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Part):
            target.inside.setdefault("", []).extend(items)
        elif isinstance(target, list):
            target.extend(items)
        else:
            raise Refused("expected entries of a list, got them of something else")

    def _dict(self) -> None:
        items = self._since_mark()
        self.stack.append({})
        self._set_items(items)

    def _global(self, argument: Any) -> None:
        module, name = str(argument).split(" ", 1) if argument else self._pops(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise Refused("expected the name of a class, got something else")
        self.stack.append(Named(f"{module}.{name}"))

    def _reduce(self) -> None:
        function, arguments = self._pops(2)
        self.stack.append(_made(function, arguments))

    def _new(self, count: int) -> None:
        items = self._pops(count)
        self.stack.append(_instance(items[0]))

    def _inst(self, argument: Any) -> None:
        self._since_mark()
        self.stack.append(_instance(Named(str(argument).replace(" ", ".", 1))))

    def _object(self) -> None:
        items = self._since_mark()
        self.stack.append(_instance(items[0] if items else None))

    def _build(self) -> None:
        target, state = self._pops(2)
        if isinstance(target, _Unmade):
            place, target = target.place, _numpy_array(state)
            if place is not None:
                self._memo[place] = target
        elif isinstance(target, _Dtype):
            target.order = str(state[1])
        elif isinstance(target, Part):
            for each in state if isinstance(state, tuple) and len(state) == 2 else (state,):
                if isinstance(each, dict):
                    target.inside.update(each)
        elif isinstance(target, Named):
            raise Refused(f"expected attributes of data, got them of {target.name[:80]} itself")
        self.stack.append(target)  # an ordered mapping's own attributes, as a state dict has, are no data

    def _persist(self, argument: Any) -> None:
        self.stack.append(self._persistent(argument))


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_MADE: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": list}
_ARGUMENTS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "BYTEARRAY8"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
_METHODS: dict[str, Callable[[Machine, Any], Any]] = {
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine._since_mark())),
    "TUPLE1": lambda machine, _: machine._tuple(1),
    "TUPLE2": lambda machine, _: machine._tuple(2),
    "TUPLE3": lambda machine, _: machine._tuple(3),
    "LIST": lambda machine, _: machine.stack.append(machine._since_mark()),
    "FROZENSET": lambda machine, _: machine.stack.append(machine._since_mark()),
    "DICT": lambda machine, _: machine._dict(),
    "SETITEM": lambda machine, _: machine._set_items(machine._pops(2)),
    "SETITEMS": lambda machine, _: machine._set_items(machine._since_mark()),
    "APPEND": lambda machine, _: machine._append(machine._pops(1)),
    "APPENDS": lambda machine, _: machine._append(machine._since_mark()),
    "ADDITEMS": lambda machine, _: machine._append(machine._since_mark()),
    "POP": lambda machine, _: machine._pops(1),
    "POP_MARK": lambda machine, _: machine._since_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "GLOBAL": lambda machine, argument: machine._global(argument),
    "STACK_GLOBAL": lambda machine, _: machine._global(None),
    "REDUCE": lambda machine, _: machine._reduce(),
    "NEWOBJ": lambda machine, _: machine._new(2),
    "NEWOBJ_EX": lambda machine, _: machine._new(3),
    "INST": lambda machine, argument: machine._inst(argument),
    "OBJ": lambda machine, _: machine._object(),
    "BUILD": lambda machine, _: machine._build(),
    "PERSID": lambda machine, argument: machine._persist(argument),
    "BINPERSID": lambda machine, _: machine._persist(machine._pops(1)[0]),
}


def _key(key: Any) -> Any:
    """A key as it is where it is plain; hashing nested tuples may take for ever."""
    return key if isinstance(key, (str, int, float, bytes, type(None))) else f"a {type(key).__name__}"


def _instance(cls: Any) -> Any:
    """A thing of a class, with its attributes still to come."""
    if not isinstance(cls, Named):
        raise Refused("expected a class, got something else")
    _refuse_pickled_call(cls.name)
    if cls.name in _MAPPINGS:
        return {}
    return Part(cls.name, {})


def _made(function: Any, arguments: Any) -> Any:
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
            _key(pair[0]): pair[1] for pair in pairs if isinstance(pair, (list, tuple)) and len(pair) == 2
        }
    if name in _LISTS:
        return list(arguments[0]) if arguments and isinstance(arguments[0], (list, tuple)) else []
    if name in ("copyreg._reconstructor", "copy_reg._reconstructor", "copyreg.__newobj__"):
        return _instance(arguments[0] if arguments else None)
    _refuse_pickled_call(name)
    return Part(name, {}, is_call=True)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Stored:
    """A view of a storage, by the arguments of PyTorch's ``_rebuild_tensor_v2``."""
    if not isinstance(storage, Storage):
        raise Refused("expected a tensor of a storage, got one of something else")
    if len(rest) > 2 and rest[2]:
        raise Refused(f"expected a plain tensor, got one with {str(rest[2])[:60]}")
    return _view(storage, storage.dtype, storage.count, offset, shape, strides)


def _tensor_v3(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Stored:
    """As ``_tensor``, of a storage without a dtype."""
    if not isinstance(storage, Storage) or len(rest) < 3 or not isinstance(rest[2], Named):
        raise Refused("expected a tensor of a storage and its dtype, got something else")
    dtype = {"half": "float16", "float": "float32", "double": "float64"}.get(
        last := rest[2].name.rpartition(".")[2], last
    )
    return _view(storage, dtype, storage.count // item_size(dtype), offset, shape, strides)


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
    return _made(function, arguments)


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
    "numpy.dtype": lambda code, *_: _Dtype(str(code)),
    "_codecs.encode": lambda text, *_: text.encode("latin1"),
    "builtins.bytearray": lambda *arguments: arguments[0] if arguments else b"",
    "builtins.bytes": lambda *arguments: arguments[0] if arguments else b"",
}


def _numbers(content: Any, dtype: Any, shape: Any, is_fortran: bool) -> Any:
    """An array of NumPy, or a part where its entries are Python's objects."""
    if not isinstance(dtype, _Dtype) or not isinstance(content, (bytes, bytearray)):
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


def _numpy_array(state: Any) -> Any:
    if not isinstance(state, tuple) or len(state) != 5:
        raise Refused("expected the five parts of an array of NumPy, got something else")
    return _numbers(state[4], state[2], state[1], bool(state[3]))


_OF_NUMPY: dict[str, Callable[..., Any]] = {
    "_reconstruct": lambda *_: _Unmade(),
    "scalar": lambda dtype, content=b"": _numbers(content, dtype, (), False),
    "_frombuffer": lambda content, dtype, shape, order: _numbers(content, dtype, shape, order == "F"),
}
