"""OpenVINO's IR: a description in XML and numbers in a .bin file beside it, read without OpenVINO.

Recurrent operations come out under PyTorch's names of weights, a GRU that resets before the product under Keras'.
The XML is taken as elements alone: a document type, and so any entity, is refused.
"""

import xml.parsers.expat
from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.interop.files.stored import Part, Refused, Stored, from_bytes, item_size, product, shape_of
from rnn_dynamics.numerics.texts import counted

_DTYPES = {
    "f32": "float32",
    "f64": "float64",
    "f16": "float16",
    "bf16": "bfloat16",
    "i8": "int8",
    "u8": "uint8",
    "i32": "int32",
    "i64": "int64",
}
# Operations to the number of their gates.
_GATES = {
    f"{kind}{end}": gates
    for kind, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1))
    for end in ("Cell", "Sequence")
}
_ACTIVATIONS = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"], "RNN": ["tanh"]}
_LONGEST, _MOST_ELEMENTS, _DEEPEST = 2**28, 2_000_000, 60
_DEEPEST_FOLD = 24


class _Element:
    """An element of the description, without its text but for that of dims."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag, self.attributes, self.text = tag, attributes, ""
        self.inside: list[_Element] = []

    def all(self, *path: str) -> "list[_Element]":
        """The elements at a path of tags."""
        found: list[_Element] = [self]
        for tag in path:
            found = [inner for each in found for inner in each.inside if inner.tag == tag]
        return found


def _parsed(path: Path) -> _Element:
    if path.stat().st_size > _LONGEST:
        raise Refused(f"expected a description of at most {_LONGEST} bytes, got {path.stat().st_size}")
    parser = xml.parsers.expat.ParserCreate()
    root = _Element("", {})
    open_elements, count = [root], 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count > _MOST_ELEMENTS or len(open_elements) > _DEEPEST:
            raise Refused(f"expected at most {_MOST_ELEMENTS} elements, {_DEEPEST} deep, got more")
        element = _Element(tag, attributes)
        open_elements[-1].inside.append(element)
        open_elements.append(element)

    def end(tag: str) -> None:
        open_elements.pop()

    def text(words: str) -> None:
        if open_elements[-1].tag == "dim":
            open_elements[-1].text += words

    def refuse(*_: Any) -> None:
        raise Refused("expected elements alone, got a document type with entities of its own")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except xml.parsers.expat.ExpatError as error:
        raise Refused(f"expected a whole description in XML, got {error}") from error
    return root


def read_file(path: Path) -> dict[str, Part]:
    """The recurrent operations of a model by name, each with its weights as a module has them.

    Raises:
        Refused: no whole description, or no .bin file beside it.
    """
    models = _parsed(path).all("net")
    if not models:
        raise Refused("expected a model of OpenVINO, got XML without <net>")
    numbers = path.with_suffix(".bin")
    if not numbers.is_file():
        raise Refused(f"expected the file {numbers.name} of its numbers beside it, got none")
    return _operations(models[0], numbers, "")


def _operations(model: _Element, numbers: Path, before: str) -> dict[str, Part]:
    """Those of a model, and of the bodies of its loops; operations in a row of one kind as one."""
    graph, found = _Graph(model, numbers), {}
    layers = model.all("layers", "layer")
    own = [layer for layer in layers if layer.attributes.get("type", "") in _GATES]
    parts = [_operation(graph, layer) for layer in own]
    for row in _rows(graph, own, parts):
        name = before + ",".join(own[i].attributes.get("name", "") for i in row)
        name = name if name not in found else f"{name}#{own[row[0]].attributes.get('id')}"
        found[name] = _in_a_row([parts[i] for i in row])
    for layer in layers:
        for body in layer.all("body"):
            found |= _operations(body, numbers, f"{before}{layer.attributes.get('name', '')}/")
    return found


def _in_a_row(parts: list[Part]) -> Part:
    """Modules on top of one another as one of several layers, as PyTorch names them."""
    found = dict(parts[0].inside)
    for number, part in enumerate(parts[1:], 1):
        found |= {name.replace("_l0", f"_l{number}"): each for name, each in part.inside.items()}
    return parts[0]._replace(inside=found)


def _rows(graph: "_Graph", layers: list[_Element], parts: list[Part]) -> list[list[int]]:
    """Numbers of operations in rows: of one kind, each taking step by step what the one before it gives."""

    def is_alike(one: Part, other: Part) -> bool:
        own, others = ({k for k in each.inside if k.startswith("weight_")} for each in (one, other))
        return one.name == other.name and own == others != set() and _mode(one) == _mode(other)

    below = [_below(graph, layer, layers) for layer in layers]
    below = [j if j is not None and is_alike(parts[i], parts[j]) else None for i, j in enumerate(below)]
    below = [j if below.count(j) == 1 else None for j in below]
    rows = [[i] for i, j in enumerate(below) if j is None]
    for row in rows:
        while row[-1] in below:
            row.append(below.index(row[-1]))
    return rows if sum(map(len, rows)) == len(layers) else [[i] for i in range(len(layers))]


def _mode(part: Part) -> Any:
    return part.inside.get("mode")


def _below(graph: "_Graph", layer: _Element, layers: list[_Element]) -> int | None:
    """The number of the operation whose outputs this one takes step by step, those of both directions together."""
    between: list[_Element] = []
    try:
        source, port = graph.edge(layer, 0)
        while source.attributes.get("type") in _MOVED and len(between) < _DEEPEST_FOLD:
            between.append(source)
            source, port = graph.edge(source, 0)
    except Refused:
        return None
    if port != 0 or not any(source is each for each in layers) or source is layer:
        return None
    dims = [dim.text.strip() for dim in source.all("output", "port")[0].all("dim")]
    trial = [
        int(dim) if dim.isdecimal() and 0 < int(dim) < 100 else own
        for dim, own in zip(dims, (2, 1, 3, 1), strict=False)
    ]
    units = dims[-1] if dims else ""
    if len(trial) != 4 or not units.isdecimal() or not 0 < int(units) < 2**16 or not dims[1].isdecimal():
        return None
    batch, ways, steps, _ = trial
    value = np.arange(batch * ways * steps * int(units)).reshape(batch, ways, steps, int(units))
    wanted = value.transpose(0, 2, 1, 3).reshape(batch, steps, -1)
    try:
        for each in reversed(between):
            value = _FOLDED[each.attributes["type"]](
                [value, graph.value(graph.source(each, 1))],
                each.all("data")[0].attributes if each.all("data") else {},
            )
    except (Refused, ValueError, IndexError):
        return None
    is_same = value.shape == wanted.shape and bool((value == wanted).all())
    return next(i for i, each in enumerate(layers) if each is source) if is_same else None


class _Graph:
    """What gives what to whom, and the constants."""

    def __init__(self, model: _Element, numbers: Path) -> None:
        self.numbers = numbers
        self.layers = {layer.attributes.get("id", ""): layer for layer in model.all("layers", "layer")}
        self.sources: dict[tuple[str, str], tuple[str, str]] = {}
        for edge in model.all("edges", "edge"):
            told = edge.attributes
            source = told.get("from-layer", ""), told.get("from-port", "")
            self.sources[told.get("to-layer", ""), told.get("to-port", "")] = source

    def source(self, layer: _Element, place: int) -> _Element:
        """The layer that gives the input of that number."""
        return self.edge(layer, place)[0]

    def edge(self, layer: _Element, place: int) -> tuple[_Element, int]:
        """The layer that gives the input of that number, and the number of its output, -1 where none is told."""
        ports = layer.all("input", "port")
        if place >= len(ports):
            raise Refused(
                f"expected {place + 1} inputs of {layer.attributes.get('name')!a:.60}, got {len(ports)}"
            )
        key = (layer.attributes.get("id", ""), ports[place].attributes.get("id", ""))
        source, port = self.sources.get(key, ("", ""))
        found = self.layers.get(source)
        if found is None:
            raise Refused(
                f"expected an edge to each input of {layer.attributes.get('name')!a:.60}, got none to one"
            )
        outputs = [each.attributes.get("id", "") for each in found.all("output", "port")]
        return found, outputs.index(port) if port in outputs else -1

    def value(self, layer: _Element, deep: int = 0) -> np.ndarray:
        """The numbers that a layer gives, of constants alone."""
        kind = layer.attributes.get("type", "")
        if kind == "Const":
            return self._constant(layer)
        if kind not in _FOLDED or deep > _DEEPEST_FOLD:
            raise Refused(f"expected weights that are constants, got those that {kind!a:.40} computes")
        given = [self.value(self.source(layer, i), deep + 1) for i in range(len(layer.all("input", "port")))]
        data = layer.all("data")
        found = _FOLDED[kind](given, data[0].attributes if data else {})
        if found.nbytes > 2 * self.numbers.stat().st_size * 8 + 1024:
            raise Refused("expected weights no larger than the file of numbers, got larger ones")
        return found

    def told(self, layer: _Element, deep: int = 0) -> str:
        """What is done to the numbers of a layer, as a sentence; "" where they are what the file has."""
        kind = layer.attributes.get("type", "")
        if kind == "Const":
            data = layer.all("data")
            dtype = _DTYPES.get(data[0].attributes.get("element_type", "") if data else "", "")
            return {"int8": "integers were made float32 by the scales that the file has"}.get(
                dtype.removeprefix("u"),
                f"{dtype} was made float32" if dtype in ("float16", "bfloat16", "float64") else "",
            )
        if kind not in _FOLDED or deep > _DEEPEST_FOLD:
            return ""
        count = (
            1 if kind in ("Reshape", "Unsqueeze", "Squeeze", "Transpose") else len(layer.all("input", "port"))
        )
        words = {self.told(self.source(layer, i), deep + 1) for i in range(count)} - {""}
        return max(words, default="")

    def _constant(self, layer: _Element) -> np.ndarray:
        data = layer.all("data")
        told = data[0].attributes if data else {}
        dtype = _DTYPES.get(told.get("element_type", ""))
        if dtype is None:
            raise Refused(f"expected numbers of {', '.join(_DTYPES)}, got {told.get('element_type')!a:.20}")
        whole = self.numbers.stat().st_size
        words = [word for word in told.get("shape", "").split(",") if word.strip()]
        shape = shape_of([_integer(word) for word in words], whole)
        offset, size = _integer(told.get("offset", "")), _integer(told.get("size", ""))
        if size != product(shape) * item_size(dtype) or offset < 0 or offset + size > whole:
            raise Refused(
                f"expected an array of {dtype} and shape {shape} inside the {whole} bytes of "
                f"{self.numbers.name}, got {size} from {offset} on"
            )
        with self.numbers.open("rb") as file:
            file.seek(offset)
            return from_bytes(memoryview(file.read(size)), dtype, shape)


def _integer(word: str) -> int:
    if not word.strip().isdecimal() or len(word) > 20:
        raise Refused(f"expected a number, got {word!a:.40}")
    return int(word)


def _reshaped(given: list[np.ndarray], told: dict[str, str]) -> np.ndarray:
    shape = [int(size) for size in given[1].ravel()]
    if told.get("special_zero") == "true":
        shape = [given[0].shape[i] if size == 0 else size for i, size in enumerate(shape)]
    return given[0].reshape(shape)


def _converted(given: list[np.ndarray], told: dict[str, str]) -> np.ndarray:
    dtype = _DTYPES.get(told.get("destination_type", ""), "")
    return given[0].astype("float32" if dtype == "bfloat16" else dtype)


# Operations on constants that stand between the file's numbers and a weight.
_FOLDED = {
    "Convert": _converted,
    "Reshape": _reshaped,
    "Unsqueeze": lambda given, _: np.expand_dims(given[0], tuple(int(axis) for axis in given[1].ravel())),
    "Squeeze": lambda given, _: np.squeeze(given[0], tuple(int(axis) for axis in given[1].ravel())),
    "Transpose": lambda given, _: np.transpose(given[0], [int(axis) for axis in given[1].ravel()]),
    "Concat": lambda given, told: np.concatenate(given, int(told.get("axis", "0"))),
    "Multiply": lambda given, _: given[0] * given[1],
    "Subtract": lambda given, _: given[0] - given[1],
    "Add": lambda given, _: given[0] + given[1],
}


_MOVED = ("Reshape", "Unsqueeze", "Squeeze", "Transpose")


def _operation(graph: _Graph, layer: _Element) -> Part:
    """An operation as a module: its weights, or by the name of what is not read."""
    kind = layer.attributes["type"]
    data = layer.all("data")
    told = data[0].attributes if data else {}
    family, gates = kind.removesuffix("Cell").removesuffix("Sequence"), _GATES[kind]
    used = [word.strip().lower() for word in told.get("activations", "").split(",") if word.strip()]
    activations = _of_one_direction(used, told) or _ACTIVATIONS[family]
    clip = told.get("clip", "0").rstrip("0").rstrip(".") or "0"
    is_plain = activations == _ACTIVATIONS[family] or (family == "RNN" and activations == ["relu"])
    if not is_plain or clip not in ("0", "inf"):
        return Part(f"{kind} with the activations {', '.join(activations)} and clip={clip}", {})
    try:
        return Part(kind, _weights(graph, layer, told, family, gates, activations[0]))
    except Refused as error:
        return Part(f"{kind}: {error}", {})


def _of_one_direction(activations: list[str], told: dict[str, str]) -> list[str]:
    """Functions of one direction, where those of both stand in a row and are the same."""
    first, second = activations[: len(activations) // 2], activations[len(activations) // 2 :]
    both = told.get("direction", "forward").lower() == "bidirectional"
    return first if both and first == second else activations


def _weights(
    graph: _Graph, layer: _Element, told: dict[str, str], family: str, gates: int, activation: str
) -> dict[str, Any]:
    count = len(layer.all("input", "port"))
    is_sequence = layer.attributes["type"].endswith("Sequence")
    places, ports = range(count - 3, count), layer.all("input", "port")
    if count < 5:
        raise Refused(f"expected the inputs of an operation with W, R and B, got {count}")
    shapes = [tuple(_integer(dim.text) for dim in ports[place].all("dim")) for place in places]
    if not is_sequence:
        shapes = [(1, *shape) for shape in shapes]
    after = told.get("linear_before_reset", "false").lower() in ("true", "1")
    directions = {"forward": [""], "reverse": ["_reverse"], "bidirectional": ["", "_reverse"]}
    ends = directions.get(told.get("direction", "forward").lower())
    units = shapes[1][-1] if shapes[1] else 0
    rows = gates * units
    wanted = [
        (rows, shapes[0][-1] if shapes[0] else 0),
        (rows, units),
        (rows + units if family == "GRU" and after else rows,),
    ]
    if ends is None or units < 1 or any(s != (len(ends), *w) for s, w in zip(shapes, wanted, strict=True)):
        raise Refused(f"expected W, R and B of {family} with {counted(units, 'unit')}, got shapes {shapes}")

    def part(place: int, end: int, change: Any, shape: tuple[int, ...]) -> Stored:
        def read() -> np.ndarray:
            whole = graph.value(graph.source(layer, places[place]))
            if whole.shape != (shapes[place] if is_sequence else shapes[place][1:]):
                raise Refused(f"expected weights of shape {shapes[place]}, got {whole.shape}")
            return change(whole[end] if is_sequence else whole)

        told = graph.told(graph.source(layer, places[place]))
        return Stored(shape, "float32", lambda: read().astype(np.float32, copy=False), told)

    found: dict[str, Any] = {"mode": f"RNN_{activation.upper()}"} if family == "RNN" else {}
    for i, end in enumerate(ends):
        if family == "GRU" and not after:
            inner = {
                "kernel": part(0, i, np.transpose, wanted[0][::-1]),
                "recurrent_kernel": part(1, i, np.transpose, wanted[1][::-1]),
                "bias": part(2, i, np.asarray, wanted[2]),
            }
            found |= inner if len(ends) == 1 and not end else {end.removeprefix("_") or "forward": inner}
            continue
        order = {"LSTM": (1, 0, 2, 3), "GRU": (1, 0, 2), "RNN": (0,)}[family]

        def ordered(array: np.ndarray, order: tuple[int, ...] = order) -> np.ndarray:
            return np.concatenate([np.split(array, gates)[gate] for gate in order])

        def hidden(array: np.ndarray) -> np.ndarray:
            return np.concatenate([np.zeros_like(array[: 2 * units]), array[3 * units :]])

        found[f"weight_ih_l0{end}"] = part(0, i, ordered, wanted[0])
        found[f"weight_hh_l0{end}"] = part(1, i, ordered, wanted[1])
        found[f"bias_ih_l0{end}"] = part(2, i, lambda b: ordered(b[:rows]), (rows,))
        zero = hidden if family == "GRU" else (lambda b: np.zeros_like(b[:rows]))
        found[f"bias_hh_l0{end}"] = part(2, i, zero, (rows,))
    return found
