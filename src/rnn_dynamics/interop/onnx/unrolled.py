"""Layers of RNNs that an ONNX graph writes out step by step with the same weights."""

import itertools
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from rnn_dynamics.interop.onnx.forms import Algebra, Form, same
from rnn_dynamics.interop.onnx.gated import chains_of, layer_of
from rnn_dynamics.interop.onnx.steps import Step
from rnn_dynamics.interop.onnx.values import FUNCTIONS, Run

Row = tuple[tuple[Step, ...], str]


class Layer(NamedTuple):
    """A layer of a network that is written out.

    Attributes:
        step: of the layer.
        states: the number of what it gives at each step, the first one too.
        reads: the number of what each step from the second on reads.
        places: where on the time axis the inputs were that it reads, as far as that is told.
    """

    step: Step
    states: list[int]
    reads: list[int]
    places: list[int | None]

    def direction(self) -> str:
        """ "reverse" if it reads the inputs from their end."""
        is_reverse = len(self.places) > 1 and (self.places[0] or 0) > (self.places[-1] or 0)
        return "reverse" if is_reverse else "forward"


def layers_of(run: Run) -> list[Row]:
    """The layers, the one next to the inputs first, and their direction; none where they are not understood.

    Layers that are not on top of one another are a row each.
    """
    before = _before(run.algebra)
    lasts = set(before) - {earlier for earlier, _ in before.values()}
    chains = [_chain(run.algebra, last, before) for last in sorted(lasts)]
    longest = max((len(chain) for chain in chains), default=0)
    layers = [found for chain in chains if (found := _layer(run.algebra, chain)) is not None]
    gated = chains_of(run.algebra)
    if len(layers) < sum(len(chain) > 2 and 2 * len(chain) > longest for chain in chains):
        return []  # one of these is not understood, and what is may be a part of the network
    for chain in gated:
        found = layer_of(run.algebra, chain)
        if found is None:
            return []
        states = [numbers[0] for numbers in chain]
        if (layer := _checked(run.algebra, Layer(found[0], states, found[1], []), chain[:2])) is None:
            return []
        layers.append(layer)
    if any(_goes_on(run.algebra, layer) for layer in layers):
        return []  # a further step, which is another map
    longest = max([longest, *map(len, gated)])
    left = [node for node in run.graph.node if node.op_type in FUNCTIONS and not run.has(node.output[0])]
    return [] if len(left) >= longest else _rows(layers)  # another layer, which is not understood


def _before(algebra: Algebra) -> dict[int, tuple[int, np.ndarray]]:
    """Of each function that takes one of the same name before it, that one's number and the matrix."""
    inside: dict[int, Form] = {
        number: atom.inner
        for number, atom in enumerate(algebra.atoms)
        if atom.kind == "function" and atom.inner is not None
    }
    found: dict[int, tuple[int, np.ndarray]] = {}
    for number, form in inside.items():
        for key, matrix in form.terms.items():
            one = inside.get(key[0]) if len(key) == 1 and matrix.shape[0] == matrix.shape[-1] else None
            if one is None or algebra.atoms[key[0]].name != algebra.atoms[number].name:
                continue
            is_step = any(same(matrix, each) for inner, each in one.terms.items() if len(inner) == 1)
            is_second = key[0] not in found and len(one.terms) == len(form.terms) - 1
            if is_step or is_second:
                found.setdefault(number, (key[0], matrix))
    return found


def _chain(algebra: Algebra, last: int, before: dict[int, tuple[int, np.ndarray]]) -> list[int]:
    found = [last]
    while found[-1] in before and len(found) <= len(algebra.atoms):
        found.append(before[found[-1]][0])
    return found[::-1]


def _layer(algebra: Algebra, chain: list[int]) -> Layer | None:
    """The layer of a chain of states, if all steps from the second on are the same map."""
    if len(chain) < 3:
        return None
    steps: list[tuple[np.ndarray, np.ndarray | None, np.ndarray]] = []
    reads: list[int] = []
    for earlier, number in itertools.pairwise(chain):
        inner = algebra.atoms[number].inner
        assert inner is not None
        rest = [key for key in inner.terms if key and key != (earlier,)]
        if len(rest) > 1 or any(len(key) > 1 for key in inner.terms) or (earlier,) not in inner.terms:
            return None
        W_in = inner.terms[rest[0]] if rest else None
        reads += [rest[0][0]] if rest else []
        steps.append((inner.terms[earlier,], W_in, inner.terms.get((), np.zeros(inner.size))))
    first = steps[0]
    if any(not all(map(same, step, first)) for step in steps[1:]):
        return None
    atom = algebra.atoms[chain[-1]]
    names = tuple(dict.fromkeys(algebra.atoms[number].name for number in reads))
    step = Step("RNN", first[0], first[1], first[2], ((atom.name, atom.parameters),), ("h",), names)
    return _checked(algebra, Layer(step, chain, reads, []), [(number,) for number in chain[:2]])


def _checked(algebra: Algebra, layer: Layer, firsts: Sequence[Sequence[int]]) -> Layer | None:
    """The layer with the places of its inputs, if it reads them one by one, and the first by the same weights.

    Args:
        algebra: of the graph.
        layer: by its steps from the second on.
        firsts: the numbers of the states after the first and after the second step.
    """
    inputs = [algebra.atoms[number] for number in layer.reads if algebra.atoms[number].kind == "input"]
    names = {atom.name for atom in inputs}
    places = _places(algebra, layer.states[0], names) + [atom.step for atom in inputs]
    own, later = (_weights_of(algebra, firsts, place, names) for place in (0, 1))
    is_alike = all(any(same(one, other) for other in later) for one in own)
    return layer._replace(places=places) if is_alike and _one_by_one(places) and len(names) < 2 else None


def _weights_of(
    algebra: Algebra, firsts: Sequence[Sequence[int]], place: int, names: Collection[str]
) -> list[np.ndarray]:
    """The matrices by which a step takes inputs of these names, as far as it is no earlier one's."""
    waiting, seen = list(firsts[place]), set(firsts[0] if place else ())
    found = []
    while waiting:
        number = waiting.pop()
        inner = algebra.atoms[number].inner
        if number in seen or inner is None:
            continue
        seen.add(number)
        for key, matrix in inner.terms.items():
            waiting += key
            if (
                len(key) == 1
                and algebra.atoms[key[0]].kind == "input"
                and algebra.atoms[key[0]].name in names
            ):
                found.append(matrix)
    return found


def _places(algebra: Algebra, number: int, names: Collection[str]) -> list[int | None]:
    """The place of the input that the first step of a layer takes, if it is one of these; a first state is none."""
    inner = algebra.atoms[number].inner
    keys = () if inner is None else [key for key in inner.terms if len(key) == 1]
    atoms = [algebra.atoms[key[0]] for key in keys]
    return [atom.step for atom in atoms if atom.kind == "input" and atom.name in names]


def _goes_on(algebra: Algebra, layer: Layer) -> bool:
    """Whether the graph takes inputs that come after the last one that the layer reads."""
    names = {algebra.atoms[number].name for number in layer.reads if algebra.atoms[number].kind == "input"}
    known = [place for place in layer.places if place is not None]
    if not names or len(known) < 2:
        return False
    onward = 1 if known[-1] > known[0] else -1
    others = [atom.step for atom in algebra.atoms if atom.kind == "input" and atom.name in names]
    return any(place is not None and place >= 0 and (place - known[-1]) * onward > 0 for place in others)


def _one_by_one(places: list[int | None]) -> bool:
    """Whether inputs are read one after another, forward or backward; of one that is not told nothing is known."""
    known = [place for place in places if place is not None]
    if len(known) < len(places) or len(known) < 2:
        return True
    steps = {later - earlier for earlier, later in itertools.pairwise(known)}
    return steps in ({1}, {-1})


def _rows(layers: list[Layer]) -> list[Row]:
    """Layers on top of one another as one row; none where one reads another at other steps than its own."""
    below: list[int | None] = []
    for i, layer in enumerate(layers):
        under = [j for j, other in enumerate(layers) if j != i and set(layer.reads) & set(other.states)]
        below.append(under[0] if under else None)
        for j in under:
            states = layers[j].states
            if len(under) > 1 or layer.reads != states[len(states) - len(layer.reads) :]:
                return []
    order = [i for i, under in enumerate(below) if under is None][:1]
    while order and below.count(order[-1]) == 1:
        order.append(below.index(order[-1]))
    if len(order) == len(layers) > 0:
        return [(tuple(layers[i].step for i in order), layers[order[0]].direction())]
    return [((layer.step,), layer.direction()) for layer in layers]
