"""Weights in nested mappings: which of them make one recurrent cell, told by the names that stand together."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from rnn_dynamics.interop.arrays import float_array


class Form(NamedTuple):
    """The names of a cell's weights below its own."""

    required: frozenset[str]
    optional: frozenset[str] = frozenset()


class Part(NamedTuple):
    """One recurrent cell among weights: its name, the kinds whose form it has, and its arrays by their names."""

    prefix: str
    kinds: tuple[str, ...]
    arrays: dict[str, np.ndarray]


def flat(source: Mapping[Any, Any], separator: str) -> dict[str, Any]:
    """The leaves of a nested mapping by their path."""
    return dict(_leaves(source, separator, ""))


def _leaves(value: Any, separator: str, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(v, Mapping) for v in value)):
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, inner in pairs:
            yield from _leaves(inner, separator, f"{path}{separator}{key}" if path else str(key))
    else:
        yield path, value


def kinds_by_prefix(
    names: Collection[str], forms: Mapping[str, Form], separator: str
) -> dict[str, list[str]]:
    """Of each beginning of names the kinds whose form stands there; of two forms the one that says more."""
    found: dict[str, list[str]] = {}
    names = set(names)
    for kind, form in forms.items():
        key = max(form.required)
        ends = [name for name in names if name == key or name.endswith(separator + key)]
        for prefix in (name.removesuffix(key) for name in ends):
            if all(prefix + required in names for required in form.required):
                found.setdefault(prefix, []).append(kind)
    for prefix, kinds in found.items():
        most = max(len(_own(names, prefix, forms[kind])) for kind in kinds)
        found[prefix] = [kind for kind in kinds if len(_own(names, prefix, forms[kind])) == most]
    return dict(sorted(found.items()))


def _own(names: Collection[str], prefix: str, form: Form) -> set[str]:
    return {prefix + name for name in form.required | form.optional if prefix + name in names}


def part_of(
    source: Mapping[Any, Any],
    forms: Mapping[str, Form],
    *,
    call: str,
    prefix: str,
    kind: str | None,
    separator: str = ".",
    tells: Callable[[str, str], bool] = lambda prefix, kind: True,
) -> Part:
    """The one recurrent cell among weights by name, or below a prefix, with or without the separator at its end.

    Args:
        source: nested or flat mapping.
        forms: of each kind.
        call: the importer, for messages.
        prefix, kind: as the user gives them.
        separator: between the parts of a name.
        tells: whether a beginning of names tells a kind, where its form alone does not.

    Raises:
        TypeError: a prefix that is no string.
        ValueError: no cell, several, or weights beside it; the message has the calls that would do.
    """
    if not isinstance(prefix, str):
        raise TypeError(f"prefix: expected a string, got {prefix!r}")
    leaves = flat(source, separator)
    wanted = forms if kind is None else {kind: forms[kind]}
    possible = kinds_by_prefix(leaves, wanted, separator)
    known = {
        at: [k for k in kinds if kind or tells(at.removesuffix(separator), k)]
        for at, kinds in possible.items()
    }
    known = {at: kinds for at, kinds in known.items() if kinds}
    start = prefix if not prefix or prefix.endswith(separator) else prefix + separator
    inside = {name for name in leaves if name.startswith(start)}
    hint = _calls(known, possible, call, separator) or f"names are {sorted(leaves)[:8]}"
    if not inside:
        name = "prefix" if leaves else "source"
        raise ValueError(f"{name}: expected the beginning of some name, got {prefix!r}; {hint}")
    here = [at for at in known if at.startswith(start)]
    if not here:
        expected = f"the weights of one recurrent cell ({', '.join(wanted)})"
        raise ValueError(f"source: expected {expected}, got {sorted(inside)[:8]}; {hint}")
    own = set().union(*(_own(leaves, here[0], forms[k]) for k in known[here[0]]))
    foreign = sorted(inside - own)
    if foreign:
        raise ValueError(
            f"source: expected the weights of one recurrent cell, got also {foreign[:5]}; {hint}"
        )
    arrays = {name.removeprefix(here[0]): float_array(name, leaves[name]) for name in own}
    return Part(here[0].removesuffix(separator), tuple(known[here[0]]), arrays)


def _calls(
    known: Mapping[str, list[str]], possible: Mapping[str, list[str]], call: str, separator: str
) -> str:
    """The calls that read each cell, of those too whose kind must be said."""
    found = []
    for at, kinds in possible.items():
        if not at and known and at not in known:  # a layer of one's own that has the names of a cell
            continue
        said = "" if at in known else f', kind="{kinds[0]}"'
        named = f', prefix="{at.removesuffix(separator)}"' if at else ""
        if said or named:
            found.append(f"{call}(source{said}{named})")
    return f"choose by {' or '.join(found[:8])}" if found else ""


def kind_by_rows(part: Part, name: str, gates: Mapping[str, int], *, axis: int = 0) -> str:
    """Which kind, of those whose form a part has, as many gates as its recurrent matrix has stretches.

    Raises:
        ValueError: none.
    """
    shape = part.arrays[name].shape
    for kind in part.kinds:
        if len(shape) == 2 and shape[axis] == gates[kind] * shape[1 - axis]:
            return kind
    forms = " or ".join(str(gates[kind]) for kind in part.kinds)
    raise ValueError(
        f"source: expected {name} of {' or '.join(part.kinds)}, with {forms} square blocks, got {shape}"
    )


def module_at(source: Any, path: str) -> Any:
    """The module below another, by a path of names and numbers; ``None`` where there is none."""
    for key in path.split(".") if path else ():
        if isinstance(source, Mapping):
            source = source.get(key)
        elif isinstance(source, list) and key.isdecimal() and int(key) < len(source):
            source = source[int(key)]
        else:
            return None
    return source
