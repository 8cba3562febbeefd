"""What a pickle would build, told from its opcodes alone: it is parsed as text is, and nothing in it is run."""

import pickletools
import re
import zipfile
from pathlib import Path
from typing import IO, Any, NamedTuple

_LONGEST = 16 * 2**20  # bytes of opcodes that are looked at; tensors of PyTorch's archives lie elsewhere
_MAGIC = 0x1950A86A20F9469CFC6C  # of torch.save before its archives, in a pickle before three others
_PUTS = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_GETS = ("GET", "BINGET", "LONG_BINGET")
_WEIGHT = re.compile(r"(weight|bias)_(ih|hh|hr)(_l\d+)?(_reverse)?$")
_LAYERS = "torch.nn.modules."
_OF_PYTHON = ("builtins", "__builtin__", "copyreg", "copy_reg", "_codecs", "numpy")
_NEWEST_PROTOCOL = 3  # that torch.load reads with weights_only
_DEEPEST = 6


class Contents(NamedTuple):
    """What a pickle holds.

    Attributes:
        is_torch: whether PyTorch wrote it.
        module: the class of a whole module, which its own program alone can read; or "".
        path: keys that lead to the mapping with a recurrent network's weights, in a checkpoint.
        is_plain: whether ``torch.load(…, weights_only=True)`` knows everything in it.
    """

    is_torch: bool = False
    module: str = ""
    path: tuple[Any, ...] = ()
    is_plain: bool = True


def contents_of(path: Path) -> Contents:
    """What a pickle holds, bare or in PyTorch's archive; as far as it can be told, where it is damaged."""
    reader, is_legacy = _Reader(), False
    try:
        with _opened(path) as file:
            reader.read(file)
            is_legacy = reader.is_magic
            for _ in range(3 if is_legacy else 0):  # version, system and, with the weights, the object itself
                reader = _Reader()
                reader.read(file)
    except Exception:  # a damaged pickle raises whatever its parser does; what was told before it counts
        pass
    foreign = [name for name in reader.classes if not name.startswith(("torch.", "collections."))]
    layers = [name for name in reader.classes if name.startswith(_LAYERS)]
    own = [name for name in foreign if name.partition(".")[0] not in _OF_PYTHON]
    return Contents(
        is_legacy or any(name.startswith("torch.") for name in reader.classes),
        (own or layers)[0] if layers else "",
        _way(reader.stack[-1] if reader.stack else None, ()) or (),
        not foreign and reader.protocol <= _NEWEST_PROTOCOL,
    )


def _way(value: Any, path: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The keys that lead to the first mapping with a recurrent network's weights; ``None`` where there is none."""
    if not isinstance(value, dict) or len(path) > _DEEPEST:
        return None
    if any(isinstance(name, str) and _WEIGHT.search(name) for name in value):
        return path
    found = (_way(inner, (*path, key)) for key, inner in value.items())
    return next((way for way in found if way is not None), None)


def _opened(path: Path) -> IO[bytes]:
    """Return the pickle itself, in an archive the member ``data.pkl``."""
    if not zipfile.is_zipfile(path):
        return path.open("rb")
    archive = zipfile.ZipFile(path)
    return archive.open(next(name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"))


class _Class(NamedTuple):
    """A class or function, by name; it is never looked up."""

    name: str


class _Mark:
    """Marks where the arguments of a later opcode begin."""


class _Reader:
    """The stack of a pickle with mappings, strings and names of classes in it, and ``None`` for all else."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.classes: list[str] = []
        self.protocol, self.is_magic = 0, False
        self._memo: dict[int, Any] = {}

    def read(self, file: IO[bytes]) -> None:
        """Read one pickle."""
        for opcode, argument, position in pickletools.genops(file):
            if position is not None and position > _LONGEST:
                break
            self._step(opcode, argument)

    def _step(self, opcode: Any, argument: Any) -> None:
        name, stack = opcode.name, self.stack
        self.is_magic |= isinstance(argument, int) and argument == _MAGIC
        if name == "PROTO":
            self.protocol = argument
        elif name in _PUTS:
            self._memo[len(self._memo) if argument is None else int(argument)] = stack[-1]
        elif name in _GETS:
            stack.append(self._memo.get(int(argument)))
        elif name == "MARK":
            stack.append(_Mark)
        elif isinstance(argument, str) and name != "GLOBAL":
            stack.append(argument)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            parts = str(argument).split(" ", 1) if argument else [stack.pop(-2), stack.pop()]
            stack.append(_Class(".".join(map(str, parts))))
            self.classes.append(stack[-1].name)
        elif name in ("SETITEM", "SETITEMS", "DICT"):
            self._fill(name)
        elif name == "REDUCE":
            function = stack[-2]
            self._other(opcode)
            if function == _Class("collections.OrderedDict"):
                stack[-1] = {}
        elif name == "BUILD":  # attributes, which a state dict of PyTorch has besides its entries
            stack.pop()
        elif name not in ("STOP", "FRAME"):
            self._other(opcode)
            if name == "EMPTY_DICT":
                stack[-1] = {}
            elif name in ("INT", "BININT", "BININT1", "BININT2", "LONG1"):
                stack[-1] = argument

    def _fill(self, name: str) -> None:
        """Put keys and values into the mapping before them."""
        items = [self.stack.pop(-2), self.stack.pop()] if name == "SETITEM" else self._since_mark()
        if name == "DICT":
            self.stack.append({})
        if isinstance(self.stack[-1], dict):
            for key, value in zip(items[::2], items[1::2], strict=True):
                self.stack[-1][key if isinstance(key, (str, int)) else None] = value

    def _since_mark(self) -> list[Any]:
        at = len(self.stack) - 1 - self.stack[::-1].index(_Mark)
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _other(self, opcode: Any) -> None:
        """Take from the stack and put on it as many things as the opcode does."""
        takes = [each.name for each in opcode.stack_before]
        if "mark" in takes:
            self._since_mark()
            takes = takes[: takes.index("mark")]
        if takes:
            del self.stack[-len(takes) :]
        self.stack += [None] * len(opcode.stack_after)
