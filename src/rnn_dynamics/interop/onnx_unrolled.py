"""Layers of RNNs that an ONNX graph writes out step by step with the same weights."""

import itertools

import numpy as np

from rnn_dynamics.interop.forms import Algebra, Form, same
from rnn_dynamics.interop.onnx_values import FUNCTIONS, Run
from rnn_dynamics.interop.steps import Step

Layer = tuple[Step, list[int], str]


def layers_of(run: Run) -> tuple[tuple[Step, ...], str]:
    """The layers, the one next to the inputs first, and their direction; none where they are not understood."""
    before = _before(run.algebra)
    lasts = set(before) - {earlier for earlier, _ in before.values()}
    chains = [_chain(run.algebra, last, before) for last in sorted(lasts)]
    layers = [found for chain in chains if (found := _layer(run.algebra, chain)) is not None]
    longest = max((len(chain) for chain in chains), default=0)
    if len(layers) < sum(len(chain) > 2 and 2 * len(chain) > longest for chain in chains):
        return (), "forward"  # one of these is not understood, and what is may be a part of the network
    left = [node for node in run.graph.node if node.op_type in FUNCTIONS and not run.has(node.output[0])]
    ordered = _ordered(layers)
    if not ordered or len(left) >= longest:  # another layer, which is not understood
        return (), "forward"
    return tuple(step for step, _, _ in ordered), ordered[0][2]


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
    places = [algebra.atoms[number].step for number in reads if algebra.atoms[number].kind == "input"]
    if not _one_by_one([*_places(algebra, chain[0]), *places]):
        return None
    direction = "reverse" if len(places) > 1 and (places[0] or 0) > (places[-1] or 0) else "forward"
    names = tuple(dict.fromkeys(algebra.atoms[number].name for number in reads))
    step = Step("RNN", first[0], first[1], first[2], ((atom.name, atom.parameters),), ("h",), names)
    return step, [*chain, -1, *reads], direction


def _places(algebra: Algebra, number: int) -> list[int | None]:
    """The place of the input that the first step of a layer takes."""
    inner = algebra.atoms[number].inner
    keys = () if inner is None else [key for key in inner.terms if len(key) == 1]
    return [algebra.atoms[key[0]].step for key in keys if algebra.atoms[key[0]].kind == "input"]


def _one_by_one(places: list[int | None]) -> bool:
    """Whether inputs are read one after another, forward or backward; of one that is not told nothing is known."""
    known = [place for place in places if place is not None]
    if len(known) < len(places) or len(known) < 2:
        return True
    steps = {later - earlier for earlier, later in itertools.pairwise(known)}
    return steps in ({1}, {-1})


def _ordered(layers: list[Layer]) -> list[Layer]:
    """Layers on top of one another; none where they are not in one row."""
    own = [set(numbers[: numbers.index(-1)]) for _, numbers, _ in layers]
    reads = [set(numbers[numbers.index(-1) + 1 :]) for _, numbers, _ in layers]
    for i, j in itertools.permutations(range(len(layers)), 2):
        above = layers[i][1][layers[i][1].index(-1) + 1 :]
        states = layers[j][1][: layers[j][1].index(-1)]
        if set(above) & set(states) and above != states[len(states) - len(above) :]:
            return []  # of other steps than its own
    below = [[j for j in range(len(layers)) if reads[i] & own[j]] for i in range(len(layers))]
    order = [i for i, each in enumerate(below) if not each]
    while len(order) == 1 or (order and len(order) < len(layers)):
        above = [i for i, each in enumerate(below) if order[-1] in each and i not in order]
        if len(above) != 1:
            break
        order += above
    return [layers[i] for i in order] if len(order) == len(layers) else []
