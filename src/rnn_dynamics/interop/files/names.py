"""PyTorch's names of weights: which belong to one recurrent network, and whether shapes fit. No array is read."""

import operator
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

#: Kind to the number of its gates, which stand one under another in a matrix.
KINDS = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
#: The name of one weight: what it is, which, of which layer, and whether of the reverse direction.
NAME = re.compile(r"(weight|bias)_(ih|hh|hr)(?:_l(\d+))?(_reverse)?")
_END = re.compile(rf"(?:{NAME.pattern})$")
_DEEPEST = 4
_OTHERS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"kernel", "recurrent_kernel"}), "rd.interop.from_keras reads these names"),
    (
        frozenset({"threshold", "reset_mechanism_val"}),
        "rd.interop.from_snntorch reads the module of these names",
    ),
    (frozenset({"sensory_erev"}), "rd.interop.from_ncps reads these names"),
    (frozenset({"w_tau", "A"}), "rd.interop.from_ncps reads these names"),
    (
        frozenset({"input_weights", "recurrent_weights"}),
        "rd.interop.from_norse reads the module of these names",
    ),
    *(
        (
            frozenset(own),
            f"these are {whose}'s names: rd.interop.{importer} takes such arrays, which rd.interop.read_npz and "
            "rd.interop.read_safetensors give",
        )
        for own, whose, importer in (
            ({"Wx", "Wh"}, "MLX", "from_mlx"),
            ({"Wxh", "Whh"}, "MLX", "from_mlx"),
            ({"Wi", "Wh"}, "BrainPy", "from_brainpy"),
            ({"w_i", "w_h"}, "Haiku", "from_haiku"),
        )
    ),
    (
        frozenset({"InputWeights", "RecurrentWeights"}),
        "these are a layer's of MATLAB, whose LSTM has gates in the order i, f, g, o: "
        "rd.LSTM(RecurrentWeights, Bias.ravel(), InputWeights)",
    ),
    (
        frozenset({"W", "Win"}),
        "a network of matrices is rd.ElmanRNN(W, b, Win), with a leak rd.LeakyRNN(W, b, Win, leak)",
    ),
    (frozenset({"W", "R"}), "rd.interop.from_onnx reads these names"),
    (frozenset({"W", "b"}), "a network of matrices is rd.ElmanRNN(W, b, W_in)"),
)


def prefixes(names: Iterable[str]) -> list[str]:
    """What stands before the weights of each recurrent network among names, sorted."""
    found = {name[: match.start()] for name in names if (match := _END.search(name))}
    return sorted(found)


def selected(source: Mapping[Any, Any], prefix: str) -> tuple[dict[str, Any], str]:
    """What belongs to one network, by PyTorch's names, and the prefix with the dot that may be left out.

    Raises:
        TypeError: names that are no strings.
        ValueError: none, none with that prefix, foreign ones, or mappings in the place of arrays. The message names
            what would do.
    """
    if not source:
        raise ValueError("source: expected weights by PyTorch's names, got an empty mapping")
    strange = [name for name in source if not isinstance(name, str)]
    if strange:
        raise TypeError(f"source: expected PyTorch's names of weights, got the key {strange[0]!r}")
    if prefix and not prefix.endswith(".") and any(name.startswith(f"{prefix}.") for name in source):
        prefix += "."
    found = {name[len(prefix) :]: value for name, value in source.items() if name.startswith(prefix)}
    if not found or any(_is_nested(value) for value in found.values()):
        _refuse_nested(source)
    if not found:
        raise ValueError(
            f"prefix: expected the beginning of some name, got {prefix!r}; {_hint(source) or _some(source)}"
        )
    foreign = sorted(name for name in found if not NAME.fullmatch(name))
    if foreign:
        hint = _hint(source) or "none of the names ends as weight_hh_l0 or weight_hh does"
        if prefix and not prefix.endswith(".") and len(foreign) == len(found):
            raise ValueError(f"prefix: expected that of one recurrent network, got {prefix!r}; {hint}")
        also = "" if len(foreign) == len(found) else "also "
        raise ValueError(
            f"source: expected the weights of one recurrent network, got {also}{foreign[:5]}; {hint}"
        )
    return found, prefix


def _some(names: Collection[str]) -> str:
    return f"names are {sorted(names)[:8]}"


def _hint(names: Collection[str]) -> str:
    """Which prefix to give, or whose names these are instead."""
    known = prefixes(names)
    if known == [""]:
        return 'the network\'s own names have no prefix: give those alone, with prefix=""'
    if known:
        some = " or ".join(f'prefix="{prefix}"' for prefix in known[:6])
        return f"choose the network by its prefix: {some}"
    ends = {name.rpartition("/")[2].rpartition(".")[2] for name in names}
    return next((words for needed, words in _OTHERS if needed <= ends), "")


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping) or hasattr(value, "state_dict")


def _refuse_nested(source: Mapping[str, Any]) -> None:
    """Refuse a checkpoint, in which the weights are one entry of several, and name that entry."""
    inside = [(path, value) for path, value in _walk(source, ()) if path]
    if not inside:
        return
    for path, value in inside:
        where = "source" + "".join(f"[{key!r}]" for key in path)
        if not isinstance(value, Mapping):
            held: Any = getattr(value, "state_dict", ())
            held = held() if callable(held) else held
            words = [f', prefix="{prefix}"' if prefix else "" for prefix in prefixes(held)[:6]]
            calls = " or ".join(f"from_torch({where}{word})" for word in words)
            raise ValueError(
                "source: expected weights by name, got a checkpoint that holds a module"
                + (f": {calls}" if calls else f" without a recurrent network, {type(value).__name__}")
            )
        known = prefixes(name for name in value if isinstance(name, str))
        if known:
            shown = " or ".join(f'prefix="{prefix}"' for prefix in known[:6] if prefix)
            call = f"from_torch({where}{', ' if shown else ''}{shown})"
            raise ValueError(
                f"source: expected weights by name, got a checkpoint with the keys {sorted(source)[:8]}; "
                f"its weights are in {where}: {call}"
            )
    raise ValueError(
        f"source: expected weights by name, got mappings under {sorted({path[0] for path, _ in inside})[:5]}, none "
        "with names as weight_hh_l0"
    )


def _walk(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Mappings and modules inside a mapping, itself included, with the keys that lead there."""
    yield path, value
    if isinstance(value, Mapping) and len(path) < _DEEPEST:
        for key, inner in value.items():
            if _is_nested(inner):
                yield from _walk(inner, (*path, key))


def layers_of(
    arrays: Mapping[str, Any], direction: str | None, layer: int | None = None
) -> list[dict[str, Any]]:
    """The arrays of each layer by the names ih, hh, hr and b_ih, b_hh, in one direction.

    Args:
        arrays: PyTorch's names without a prefix to what has ``shape`` and ``ndim``.
        direction: "forward", "reverse" or ``None``.
        layer: the one to take, from 0 on; ``None`` for all.

    Raises:
        TypeError: a layer that is no integer.
        ValueError: names that are missing or double, shapes that do not fit, a direction that is needed, a layer
            that there is not, all layers of a deep bidirectional network.
    """
    _check_direction([name.endswith("_reverse") for name in arrays], direction)
    layers: dict[int, dict[str, Any]] = {}
    for name, array in arrays.items():
        match = NAME.fullmatch(name)
        assert match is not None
        what, which, number, backward = match.groups()
        if bool(backward) == (direction == "reverse"):
            number, field = int(number or 0), ("b_" if what == "bias" else "") + which
            found = layers.setdefault(number, {})
            if field in found:
                raise ValueError(f"source: expected one {what}_{which} of layer {number}, got also {name}")
            found[field] = array
    if layer is not None:
        return [_checked(_layer(layers, layer), layer, None)]
    if any(name.endswith("_reverse") for name in arrays) and len(layers) > 1:
        raise ValueError(
            f"source: expected one layer of a bidirectional network, got {len(layers)}: from the second on they "
            "read both directions, which is no recurrence in time. Without direction= it is read as a "
            f'Bidirectional; or take one at a time: layer=0, direction="{direction}"; the inputs of layer 1 are '
            "[forward, reverse] of layer 0"
        )
    if sorted(layers) != list(range(len(layers))):
        raise ValueError(f"source: expected layers 0, 1, …, got {sorted(layers)}")
    checked: list[dict[str, Any]] = []
    for number in sorted(layers):
        width = _given_out(checked[-1]) if checked else None
        checked.append(_checked(layers[number], number, width))
    return checked


def _layer(layers: Mapping[int, dict[str, Any]], layer: int) -> dict[str, Any]:
    if isinstance(layer, bool) or not hasattr(layer, "__index__"):
        raise TypeError(f"layer: expected the number of a layer or None, got {layer!r}")
    if operator.index(layer) not in layers:
        raise ValueError(f"layer: expected one of {sorted(layers)}, got {layer}")
    return layers[operator.index(layer)]


def _given_out(layer: Mapping[str, Any]) -> int:
    """Entries of what a layer puts out: units, or what they are projected to."""
    return layer["hh"].shape[1]


def _units(layer: Mapping[str, Any]) -> int:
    return layer["hr"].shape[1] if "hr" in layer else layer["hh"].shape[1]


def has_both_directions(names: Iterable[str]) -> bool:
    """Whether weights are those of a bidirectional network."""
    ways = {name.endswith("_reverse") for name in names}
    return len(ways) == 2


def pairs_of(
    arrays: Mapping[str, Any], layer: int | None = None
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The arrays of each layer of a bidirectional network, forward and reverse, as ``layers_of`` names them.

    Args:
        arrays: PyTorch's names without a prefix to what has ``shape`` and ``ndim``.
        layer: the one to take, from 0 on; ``None`` for all.

    Raises:
        TypeError, ValueError: as ``layers_of``; a layer above the first that does not read both directions below.
    """
    if layer is not None:
        first, second = (layers_of(arrays, way, layer) for way in ("forward", "reverse"))
        return [(first[0], second[0])]
    numbers = sorted({int(match[3] or 0) for name in arrays if (match := NAME.fullmatch(name))})
    for number in range(len(numbers)):
        for end in ("", "_reverse"):
            if not {f"weight_hh_l{number}{end}", *([f"weight_hh{end}"] if not number else [])} & set(arrays):
                raise ValueError(f"source: expected weight_hh_l{number}{end}, which is missing")
    found = [pair for number in numbers for pair in pairs_of(arrays, number)]
    for number, pair in enumerate(found[1:], 1):
        width = sum(_given_out(below) for below in found[number - 1])
        for own in pair:
            if own["ih"].shape[1] != width:
                raise ValueError(
                    f"source: expected weight_ih_l{number} with {width} columns, the units of both directions of "
                    f"layer {number - 1}, got {own['ih'].shape}"
                )
    return found


def _check_direction(backwards: list[bool], direction: str | None) -> None:
    reverse = any(backwards)
    if direction not in (None, "forward", "reverse"):
        raise ValueError(f"direction: expected one of 'forward', 'reverse', got {direction!r}")
    if all(backwards) and direction != "reverse":
        raise ValueError(f'direction: expected "reverse", as the weights are of it alone, got {direction!r}')
    if reverse and direction is None:
        raise ValueError('direction: expected "forward" or "reverse" of this bidirectional network, got None')
    if direction == "reverse" and not reverse:
        raise ValueError(
            'direction: expected "forward" or None, as the network has one direction, got "reverse"'
        )


def _checked(layer: dict[str, Any], number: int, width: int | None) -> dict[str, Any]:
    """The arrays of one layer, which reads so many inputs; ``None`` stands for any number."""
    for which in ("ih", "hh"):
        if which not in layer:
            raise ValueError(f"source: expected weight_{which}_l{number}, which is missing")
        if layer[which].ndim != 2:
            raise ValueError(
                f"source: expected weight_{which}_l{number} as a matrix, got {layer[which].shape}"
            )
    if ("b_ih" in layer) != ("b_hh" in layer):
        raise ValueError(f"source: expected bias_ih_l{number} and bias_hh_l{number}, or neither")
    rows = layer["hh"].shape[0]
    if "hr" in layer and layer["hr"].shape != (layer["hh"].shape[1], rows // 4):
        raise ValueError(
            f"source: expected weight_hr_l{number} of shape {(layer['hh'].shape[1], rows // 4)}, "
            f"got {layer['hr'].shape}"
        )
    for which, shape in (("ih", (rows, None)), ("b_ih", (rows,)), ("b_hh", (rows,))):
        got = layer[which].shape if which in layer else shape
        if len(got) != len(shape) or any(e is not None and e != g for e, g in zip(shape, got, strict=True)):
            raise ValueError(
                f"source: layer {number}: expected {rows} rows in {which} as in weight_hh, got {got}"
            )
    if width is not None and layer["ih"].shape[1] != width:
        raise ValueError(
            f"source: expected weight_ih_l{number} with {width} columns, the units of layer {number - 1}, "
            f"got {layer['ih'].shape}"
        )
    return layer


def kind_of(layer: Mapping[str, Any]) -> str:
    """The kind that a layer's shapes tell.

    Raises:
        ValueError: they are those of an ``nn.RNN``, whose activation they do not tell, or of no network.
    """
    rows, units = layer["hh"].shape
    for kind in ("lstm", "gru"):
        if rows == KINDS[kind] * _units(layer):
            return kind
    if rows == units:
        raise ValueError('kind: expected "rnn_tanh" or "rnn_relu", which the weights do not tell, got None')
    raise ValueError(f"source: expected weight_hh of shape (k n, n) with k = 1, 3 or 4, got {(rows, units)}")


def check_kind(kind: str, layer: Mapping[str, Any], number: int) -> None:
    """Refuse shapes that are not those of the kind.

    Raises:
        ValueError: they are others'.
    """
    rows, units = layer["hh"].shape
    if "hr" in layer and kind != "lstm":
        raise ValueError(
            f"source: layer {number}: expected no weight_hr of {kind}, as only an LSTM is projected"
        )
    if rows != KINDS[kind] * _units(layer):
        raise ValueError(
            f"source: layer {number}: expected weight_hh of shape ({KINDS[kind]} n, n) of {kind}, "
            f"got {(rows, units)}"
        )
