"""What a pickle would build, told from its opcodes alone: it is parsed as text is, and nothing in it is run."""

import itertools
import pickletools
import re
import zipfile
from pathlib import Path
from typing import IO, NamedTuple

__all__ = ["Contents", "contents_of"]

_LONGEST = 16 * 2**20  # bytes of opcodes that are looked at; tensors of PyTorch's archives lie elsewhere
_MAGIC = 0x1950A86A20F9469CFC6C  # of torch.save before its archives, in a pickle before three others
_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
_GETS = ("GET", "BINGET", "LONG_BINGET")
_WEIGHT = re.compile(r"(weight|bias)_(ih|hh|hr)(_l\d+)?(_reverse)?$")
_LAYERS = "torch.nn.modules."


class _Item(NamedTuple):
    """One thing that the opcodes name: a "string", a "class", or an empty "mapping"."""

    what: str
    text: str = ""


class Contents(NamedTuple):
    """What a pickle holds.

    Attributes:
        is_torch: whether PyTorch wrote it.
        module: the class of a whole module, which its own program alone can read; or "".
        path: keys that lead to the mapping with a recurrent network's weights, in a checkpoint.
        is_plain: whether ``torch.load(…, weights_only=True)`` knows every class in it.
    """

    is_torch: bool = False
    module: str = ""
    path: tuple[str, ...] = ()
    is_plain: bool = True


def contents_of(path: Path) -> Contents:
    """What a pickle holds, bare or in PyTorch's archive; as far as it can be told, where it is damaged."""
    items: list[_Item] = []
    try:
        with _opened(path) as file:
            is_legacy = _read(file, items)
    except Exception:  # a damaged pickle raises whatever its parser does; what was told before it counts
        is_legacy = False
    classes = [item.text for item in items if item.what == "class"]
    foreign = [name for name in classes if not name.startswith(("torch.", "collections."))]
    layers = [name for name in classes if name.startswith(_LAYERS)]
    return Contents(
        is_legacy or any(name.startswith("torch.") for name in classes),
        ([name for name in foreign if name.partition(".")[0] not in ("numpy", "builtins")] or layers)[0]
        if layers
        else "",
        _way(items),
        not foreign,
    )


def _way(items: list[_Item]) -> tuple[str, ...]:
    """The last key that opened a mapping before the first weight of a recurrent network."""
    opened: tuple[str, ...] = ()
    for item, following in itertools.pairwise(items):
        if item.what != "string":
            continue
        if _WEIGHT.search(item.text):
            return opened
        if following.what == "mapping":
            opened = (item.text,)
    return ()


def _opened(path: Path) -> IO[bytes]:
    """The pickle itself, in an archive the member ``data.pkl``."""
    if not zipfile.is_zipfile(path):
        return path.open("rb")
    archive = zipfile.ZipFile(path)
    return archive.open(next(name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"))


def _read(file: IO[bytes], items: list[_Item]) -> bool:
    """Append what the opcodes name, in order; whether it is PyTorch's older format."""
    if not _read_one(file, items):
        return False
    for _ in range(3):  # version, system and, with the weights, the object itself
        items.clear()
        _read_one(file, items)
    return True


def _read_one(file: IO[bytes], items: list[_Item]) -> bool:
    """One pickle; whether it is the number with which PyTorch's older format begins."""
    memo: dict[int, _Item] = {}
    last, is_magic = _Item("other"), False
    for opcode, argument, position in pickletools.genops(file):
        name, text = opcode.name, argument if isinstance(argument, str) else ""
        if position is not None and position > _LONGEST:
            break
        is_magic |= argument == _MAGIC
        if name in _PUTS or name == "MEMOIZE":
            memo[len(memo) if argument is None else int(str(argument))] = last
            continue
        if name in _GETS:
            last = memo.get(int(str(argument)), _Item("other"))
        elif name == "GLOBAL":
            last = _class(text.replace(" ", "."))
        elif name == "STACK_GLOBAL":
            owner, own = (item.text for item in items[-2:])
            del items[-2:]
            last = _class(f"{owner}.{own}")
        elif name == "EMPTY_DICT":
            last = _Item("mapping")
        elif "UNICODE" in name or "STRING" in name:
            last = _Item("string", text)
        else:
            last = _Item("other")
        items.append(last)
    return is_magic


def _class(name: str) -> _Item:
    """A class; the one that PyTorch's state dicts are of counts as a mapping."""
    return _Item("mapping") if name == "collections.OrderedDict" else _Item("class", name)
