"""What a pickle holds, read from its opcodes as any other format is: nothing is imported, called or looked up.

Of classes and functions there are names alone. A few names stand for data (a tensor of a storage, an ordered
mapping, an array of NumPy), as ``rebuilt`` lists them; a thing of any other class is a ``Part`` with attributes.
"""

import pickletools
from collections.abc import Callable
from typing import IO, Any

from rnn_dynamics.interop.files.rebuilt import Dtype, Named, Unmade, instance_of, key_of, made, numpy_array
from rnn_dynamics.interop.files.stored import Part, Refused

_MOST_OPCODES = 3_000_000
_MARK = object()


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
        if isinstance(self.stack[-1], Unmade):
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
            target[key_of(key)] = value

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
        self.stack.append(made(function, arguments))

    def _new(self, count: int) -> None:
        items = self._pops(count)
        self.stack.append(instance_of(items[0]))

    def _inst(self, argument: Any) -> None:
        self._since_mark()
        self.stack.append(instance_of(Named(str(argument).replace(" ", ".", 1))))

    def _object(self) -> None:
        items = self._since_mark()
        self.stack.append(instance_of(items[0] if items else None))

    def _build(self) -> None:
        target, state = self._pops(2)
        if isinstance(target, Unmade):
            place, target = target.place, numpy_array(state)
            if place is not None:
                self._memo[place] = target
        elif isinstance(target, Dtype):
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
