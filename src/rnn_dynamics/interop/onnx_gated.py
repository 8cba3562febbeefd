"""Layers of LSTMs and GRUs that an ONNX graph writes out step by step with the same weights."""

import itertools
from collections.abc import Sequence

import numpy as np

from rnn_dynamics.interop.forms import Algebra, Form, Unknown, is_diagonal, is_eye, same
from rnn_dynamics.interop.steps import Step, step_of

States = tuple[int, ...]


def chains_of(algebra: Algebra) -> list[list[States]]:
    """Values that each carry the one before them on by a gate, as z h in a GRU's step and f c in an LSTM's.

    Each chain holds of every step the numbers of the states, of an LSTM those of h and c.
    """
    products = {
        number: atom.inner
        for number, atom in enumerate(algebra.atoms)
        if atom.kind == "value" and atom.inner is not None and not atom.inner.is_linear()
    }
    before = {
        number: carried
        for number, form in products.items()
        if (carried := _carried(form, products)) is not None
    }
    lengths: dict[int, int] = {}
    for number in sorted(products):
        lengths[number] = 1 + lengths.get(before.get(number, -1), 0)
    found, used = [], set()
    for last in sorted(lengths, key=lambda number: (-lengths[number], number)):
        chain = [last]
        while chain[-1] in before:
            chain.append(before[chain[-1]])
        if len(chain) > 2 and not used & set(chain):
            used |= set(chain)
            found.append(chain[::-1])
    return [_with_outputs(algebra, products, chain) for chain in found]


def _carried(form: Form, products: dict[int, Form]) -> int | None:
    """The product of another step that a value is made of, if it is made in the same way, or the first one."""
    inside = {n for key in form.terms if len(key) == 2 for n in key if n in products}
    if len(inside) != 1:
        return None
    (one,) = inside
    is_first = not any(n in products for key in products[one].terms for n in key)
    return one if is_first or _shape(form) == _shape(products[one]) else None


def _shape(form: Form) -> list[int]:
    return sorted(map(len, form.terms))


def _with_outputs(algebra: Algebra, products: dict[int, Form], chain: list[int]) -> list[States]:
    """The states of each step: of a chain of c also h = o φ(c), as far as the last one that has it."""
    outputs: dict[int, list[int]] = {}
    for number, form in products.items():
        if len(form.terms) == 1:
            for factor in next(iter(form.terms)):
                inner = algebra.atoms[factor].inner
                if algebra.atoms[factor].kind == "function" and inner is not None and len(inner.terms) == 1:
                    outputs.setdefault(_only(inner), []).append(number)
    pairs = [(outputs[c][0], c) for c in chain if len(outputs.get(c, ())) == 1]
    return pairs if len(pairs) >= len(chain) - 1 > 1 else [(c,) for c in chain]


def _only(form: Form) -> int:
    ((key, coefficient),) = form.terms.items()
    return key[0] if len(key) == 1 and is_eye(coefficient) else -1


def layer_of(algebra: Algebra, chain: Sequence[States]) -> tuple[Step, list[int]] | None:
    """The step of a chain and the numbers of what its steps read, if all from the second on are the same map."""
    target, reads, step = Algebra(), [], None
    first: dict[str, Form] = {}
    for earlier, later in itertools.pairwise(chain):
        sizes = {algebra.atoms[number].size for number in earlier}
        names = "hc"[: len(earlier)]
        states = [target.named("state", name, max(sizes), 1) for name in names]
        moved = _Moved(algebra, target, dict(zip(earlier, states, strict=True)))
        try:
            after = {name: moved.inside(number) for name, number in zip(names, later, strict=True)}
            if step is None:
                inputs = [n for n, atom in enumerate(target.atoms) if atom.kind == "input"]
                step, first = step_of(target, dict(zip(names, states, strict=True)), after, inputs), after
        except Unknown:
            return None
        alike = all(_alike(first[name], after[name]) for name in names)
        if len(sizes) > 1 or len(moved.reads) > 1 or len(step.states) < len(names) or not alike:
            return None
        reads += moved.reads
    if step is None:
        return None
    return step._replace(inputs=tuple(dict.fromkeys(algebra.atoms[number].name for number in reads))), reads


def _alike(one: Form, other: Form) -> bool:
    return one.terms.keys() == other.terms.keys() and all(
        same(one.terms[key], other.terms[key]) for key in one.terms
    )


class _Moved:
    """Values of one step in an algebra of their own, in which all steps are called the same.

    Args:
        algebra: of the whole graph.
        target: of the step.
        states: by their numbers what they are in the step.

    Attributes:
        reads: the numbers of the values that the step takes from elsewhere.
    """

    def __init__(self, algebra: Algebra, target: Algebra, states: dict[int, Form]) -> None:
        self.algebra, self.target, self.states = algebra, target, states
        self.known = dict(states)
        self.reads: list[int] = []

    def inside(self, number: int) -> Form:
        """What a value is made of."""
        inner = self.algebra.atoms[number].inner
        assert inner is not None
        for each in self._of_states(inner):
            if each not in self.known:
                self.known[each] = self._made(each)
        return self._form(inner)

    def _of_states(self, form: Form) -> list[int]:
        """The values inside of one that are made of the states, each after what it is made of."""
        seen: dict[int, set[int]] = {}
        waiting = _parts(form)
        while waiting:
            number = waiting.pop()
            if number in seen or number in self.states or number < min(self.states):
                continue
            inner = self.algebra.atoms[number].inner
            seen[number] = set() if inner is None else _parts(inner)
            waiting |= seen[number]
        found = set(self.states)
        for number in sorted(seen):
            if seen[number] & found:
                found.add(number)
        return sorted(found - set(self.states))

    def _made(self, number: int) -> Form:
        atom = self.algebra.atoms[number]
        assert atom.inner is not None
        found = self._form(atom.inner)
        if atom.kind == "function":
            return self.target.function(atom.name, found, atom.parameters)
        return self.target.whole(found) if atom.inner.is_linear() else found

    def _form(self, form: Form) -> Form:
        found = Form(form.size, 1, {})
        for key, coefficient in form.terms.items():
            found = self.target.add(found, self._term(key, coefficient, form.size))
        return found

    def _term(self, key: States, coefficient: np.ndarray, size: int) -> Form:
        if not key:
            return Form(size, 1, {(): coefficient})
        found, *others = [self._value(number) for number in key]
        if not others and is_eye(coefficient):
            return found
        if not others and (found.is_linear() or not is_diagonal(coefficient)):
            return self.target.matrix(found, coefficient.T)
        for other in others:
            found = self.target.multiply(found, other)
        factor = coefficient if others else np.diag(coefficient)
        return self.target.multiply(found, Form(size, 1, {(): factor}))

    def _value(self, number: int) -> Form:
        if number not in self.known:  # made of no states
            self.reads.append(number)
            name = f"input {len(self.reads)}"
            self.known[number] = self.target.named("input", name, self.algebra.atoms[number].size, 1)
        return self.known[number]


def _parts(form: Form) -> set[int]:
    return {number for key in form.terms for number in key}
