"""The recurrent networks of an ONNX graph: nodes, nodes in a row, and steps that it writes out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rnn_dynamics.interop.files.stored import Stored
from rnn_dynamics.interop.onnx.constants import PLAIN, Computed, Constants
from rnn_dynamics.interop.onnx.graph import arrays_of, nodes_of, settings
from rnn_dynamics.interop.onnx.written import Found, found_in

_PASSED = ("Cast", "Dropout")
_LONGEST = 32
_MOST_UNITS = 2**12


class Entry(NamedTuple):
    """A network of a graph.

    Attributes:
        name: of its nodes, with commas between; of a node without a name of its own its number.
        nodes: the recurrent ones in their order.
        found: the steps in their place, where the graph writes them out.
    """

    name: str
    nodes: tuple[Any, ...] = ()
    found: Found | None = None


class Graph:
    """A graph with its constants and its recurrent nodes.

    Args:
        graph: of onnx, or of the reader's own.
    """

    def __init__(self, graph: Any) -> None:
        self.graph, self.constants = graph, Constants(graph)
        self.constants.told |= getattr(graph, "told", set())
        self.nodes = nodes_of(graph)
        names = [node.name for node in self.nodes]
        self.names = [
            name if name and names.count(name) == 1 else str(number) for number, name in enumerate(names)
        ]
        self._entries: list[Entry] | None = None

    def entries(self) -> list[Entry]:
        """The networks; nodes in a row are one."""
        if self._entries is None:
            found = [Entry(",".join(self.names[i] for i in row), self._of(row)) for row in self._rows()]
            if not found:
                found = [Entry(each.name, (), each) for each in found_in(self.graph, self.constants)]
            self._entries = found
        return self._entries

    def single(self, number: int) -> Entry:
        """One recurrent node alone."""
        return Entry(self.names[number], (self.nodes[number],))

    def _of(self, row: Sequence[int]) -> tuple[Any, ...]:
        return tuple(self.nodes[i] for i in row)

    def _rows(self) -> list[list[int]]:
        """Numbers of the nodes, those together that take what the one before them gives at the same step."""
        below = [self._below(node) for node in self.nodes]
        rows = [[i] for i, under in enumerate(below) if under is None or below.count(under) > 1]
        for row in rows:
            while len(above := [i for i, under in enumerate(below) if under == row[-1]]) == 1:
                row.append(above[0])
        return rows if sum(map(len, rows)) == len(self.nodes) else [[i] for i in range(len(self.nodes))]

    def _below(self, node: Any) -> int | None:
        """The number of the node whose outputs this one takes step by step, those of both directions together."""
        name, between = node.input[0] if node.input else "", []
        givers = {other.output[0]: i for i, other in enumerate(self.nodes) if other.output}
        if self._starts_in_another(node):
            return None
        while name not in givers:
            maker = self.constants.makers.get(name)
            if maker is None or maker.domain not in ("", "ai.onnx"):
                return None
            if len(between) > _LONGEST or not maker.input:
                return None
            if maker.op_type not in PLAIN and maker.op_type not in _PASSED:
                return None
            between.append(maker)
            name = maker.input[0]
        try:
            lower, upper = (settings(each, None) for each in (self.nodes[givers[name]], node))
            plain = self._is_plain(between[::-1], lower, upper["layout"])
        except (ValueError, UnicodeDecodeError):
            return None
        return givers[name] if plain else None

    def _starts_in_another(self, node: Any) -> bool:
        """Whether a node's first state is made of what another puts out, as a decoder's is; sizes do not count."""
        puts_out = {name for other in self.nodes for name in other.output if name}
        waiting, seen = [name for name in node.input[5:7] if name], set[str]()
        while waiting:
            name = waiting.pop()
            if name in puts_out:
                return True
            maker = self.constants.makers.get(name)
            if name not in seen and maker is not None and maker.op_type not in ("Shape", "Size"):
                waiting += [each for each in maker.input if each]
            seen.add(name)
        return False

    def _is_plain(self, between: Sequence[Any], lower: dict[str, Any], taken: int) -> bool:
        """Whether operators take the outputs of one node to the inputs of another as they are, step by step."""
        ways = 2 if lower["direction"] == "bidirectional" else 1
        units = min(max(int(lower.get("hidden_size", 3)), 1), _MOST_UNITS)
        sizes = [(7, 2), (7, 1)]
        for node in between:
            if node.op_type == "Reshape" and self.constants.has(node.input[1]):
                shape = self.constants.array(node.input[1]).ravel()
                if len(shape) == 3 and (shape[:2] > 0).all() and shape[0] * shape[1] < 2**20:
                    sizes.append((int(shape[taken]), int(shape[1 - taken])))
        return any(
            self._goes_through(between, (lower["layout"], taken), (ways, units), *pair) for pair in sizes
        )

    def _goes_through(
        self,
        between: Sequence[Any],
        layouts: tuple[int, int],
        widths: tuple[int, int],
        steps: int,
        samples: int,
    ) -> bool:
        plain = np.arange(steps * samples * widths[0] * widths[1]).reshape(steps, samples, -1)
        value = plain.reshape(steps, samples, *widths)
        given, taken = layouts
        value = value.swapaxes(0, 1) if given else value.swapaxes(1, 2)
        for node in between:
            if node.op_type in _PASSED:
                continue
            try:
                constants = [self.constants.array(name) if name else None for name in node.input[1:]]
                (value,) = PLAIN[node.op_type](node, [value, *constants])
            except (Computed, IndexError, TypeError, ValueError, AttributeError, OverflowError):
                return False
        expected = plain.swapaxes(0, 1) if taken else plain
        return value.shape == expected.shape and bool((value == expected).all())


def described(graph: Graph) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What is told of the networks, and of single nodes where they are several in a row."""
    whole = [_of_entry(graph, entry) for entry in graph.entries()]
    if len(whole) == 1 and len(graph.nodes) < 2:
        whole[0]["prefix"] = ""
    singles = [_of_entry(graph, graph.single(i)) for i in range(len(graph.nodes))]
    return whole, singles


def _of_entry(graph: Graph, entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {"graph": graph, "entry": entry, "prefix": entry.name, "trouble": "", "own": ()}
    if entry.found is not None:
        step = entry.found.steps[0]
        width = 0 if step.W_in is None else step.W_in.shape[1]
        kind = f"rnn_{step.functions[0][0]}" if step.kind == "RNN" else step.kind.lower()
        return found | {
            "kind": kind,
            "units": step.W.shape[1],
            "inputs": width,
            "layers": len(entry.found.steps),
            "direction": entry.found.direction,
        }
    found |= {"kind": "rnn", "units": 0, "inputs": 0, "layers": len(entry.nodes), "direction": "forward"}
    try:
        directions = {settings(node, _first(node))["direction"] for node in entry.nodes}
        for number, node in enumerate(entry.nodes):
            told = settings(node, _first(node))
            arrays = arrays_of(graph.constants, node)
            found["own"] = {*found["own"], *(name for name in node.input if name in graph.constants.tensors)}
            if number:
                continue
            kind = told["kind"]
            found["kind"] = f"rnn_{told['functions'][0][0]}" if kind == "RNN" else kind.lower()
            found["direction"] = told["direction"] if len(directions) == 1 else "bidirectional"
            found["units"], found["inputs"] = arrays["R"].shape[-1], arrays["W"].shape[-1]
    except (ValueError, UnicodeDecodeError, IndexError) as error:
        found["trouble"] = str(error)
    return found


def _first(node: Any) -> str | None:
    """A direction of a node that has both."""
    both = any(
        each.name == "direction" and each.s in (b"bidirectional", "bidirectional") for each in node.attribute
    )
    return "forward" if both else None


def stored(graph: Graph) -> dict[str, Stored]:
    """The constants of a model as arrays of a file."""
    found = {name: tensor.stored() for name, tensor in graph.constants.tensors.items() if name}
    for name, node in graph.constants.makers.items():
        tensor = graph.constants.tensor(name) if node.op_type == "Constant" else None
        if tensor is not None:
            found.setdefault(name, tensor.stored())
    return found
