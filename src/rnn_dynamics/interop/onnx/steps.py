"""Recurrent cells told by what their step computes: ElmanRNN, LSTM and GRU, in whatever way they are written."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rnn_dynamics.interop.onnx.forms import Algebra, Atom, Form, Unknown, is_eye

Function = tuple[str, tuple[float, ...]]


class Step(NamedTuple):
    """A recurrent step.

    Attributes:
        kind: "RNN", "GRU" or "LSTM".
        W, W_in, b: the rows of the gates on top of one another, as the library's cell has them.
        b_hidden: of a GRU with the reset after the product.
        peepholes: of an LSTM that has some.
        reset: of a GRU.
        functions: names and parameters: of an RNN φ; of the others gate, candidate, and of an LSTM what c goes
            through.
        states: names of the states, of an LSTM h and c.
        inputs: names of what it reads, in the order of the columns of ``W_in``.
    """

    kind: str
    W: np.ndarray
    W_in: np.ndarray | None
    b: np.ndarray
    functions: tuple[Function, ...]
    states: tuple[str, ...]
    inputs: tuple[str, ...]
    b_hidden: np.ndarray | None = None
    peepholes: np.ndarray | None = None
    reset: str = "after"


class _Reader:
    """One graph's atoms, with the states' own."""

    def __init__(self, algebra: Algebra, states: Mapping[str, Form], inputs: Sequence[int]) -> None:
        self.algebra, self.atoms = algebra, algebra.atoms
        self.number = {name: next(iter(form.terms))[0] for name, form in states.items()}
        self.inputs = list(inputs)

    def function_of(self, form: Form) -> Atom:
        """The function that a value is."""
        ((key, coefficient),) = form.terms.items() if len(form.terms) == 1 else [((), np.zeros(0))]
        if len(key) != 1 or not is_eye(coefficient) or self.atoms[key[0]].kind != "function":
            raise Unknown("a function of the units")
        return self.atoms[key[0]]

    def linear(self, form: Form, h: str, *, extra: Sequence[tuple[int, ...]] = ()) -> tuple[np.ndarray, ...]:
        """W, W_in and b of W h + W_in u + b; the terms ``extra`` are left to the caller."""
        state = self.number[h]
        allowed = {(), (state,), *((number,) for number in self.inputs), *extra}
        if not set(form.terms) <= allowed:
            raise Unknown("a matrix times the state and one times the inputs")
        units = self.atoms[state].size
        W = form.terms.get((state,), np.zeros((form.size, units)))
        parts = [
            form.terms.get((number,), np.zeros((form.size, self.atoms[number].size)))
            for number in self.inputs
        ]
        W_in = np.concatenate(parts, axis=1) if parts else np.zeros((form.size, 0))
        return W, W_in, form.terms.get((), np.zeros(form.size))


def step_of(
    algebra: Algebra, states: Mapping[str, Form], after: Mapping[str, Form], inputs: Sequence[int]
) -> Step:
    """The cell whose step takes the states to what is after them.

    Args:
        algebra: of all these values.
        states: one or more by name.
        after: their values after the step, by the same names; what is not known is left out.
        inputs: the numbers of the atoms that are inputs, in the order of the columns.

    Raises:
        Unknown: no cell does; the message says what was looked for.
    """
    for names, read in _candidates(states, after):
        reader = _Reader(algebra, {name: states[name] for name in names}, inputs)
        try:
            return read(reader, names, after)
        except Unknown:
            continue
    raise Unknown("expected the step of an RNN, an LSTM or a GRU in its usual functions, got another")


def _candidates(states: Mapping[str, Form], after: Mapping[str, Form]):
    known = [name for name in states if name in after]
    for h in known:
        for c in known:
            if h != c and states[h].size == states[c].size:
                yield (h, c), _lstm
    for h in known:
        yield (h,), _gru
        yield (h,), _rnn


def _columns(reader: _Reader, W_in: np.ndarray) -> tuple[np.ndarray | None, tuple[str, ...]]:
    return W_in if W_in.shape[1] else None, tuple(reader.atoms[number].name for number in reader.inputs)


def _rnn(reader: _Reader, names: tuple[str, ...], after: Mapping[str, Form]) -> Step:
    outer = reader.function_of(after[names[0]])
    assert outer.inner is not None
    W, W_in, b = reader.linear(outer.inner, names[0])
    if not W.any():
        raise Unknown("a matrix times the state")
    W_in_or_none, inputs = _columns(reader, W_in)
    return Step("RNN", W, W_in_or_none, b, (_named(outer),), names, inputs)


def _named(atom: Atom) -> Function:
    return atom.name, atom.parameters


def _ones(form: Form, key: tuple[int, ...], value: float = 1.0) -> bool:
    coefficient = form.terms.get(tuple(sorted(key)))
    if coefficient is None:
        return False
    own = coefficient if coefficient.ndim == 1 else np.diag(coefficient)
    is_diagonal = coefficient.ndim == 1 or np.count_nonzero(coefficient) == np.count_nonzero(own)
    return bool(is_diagonal and (own == value).all())


def _without_zero(form: Form) -> Form:
    return form._replace(terms={key: each for key, each in form.terms.items() if each.any()})


def _pairs(form: Form) -> list[tuple[int, ...]]:
    return [key for key in form.terms if len(key) == 2]


def _gate(reader: _Reader, number: int) -> tuple[Atom, Form]:
    atom = reader.atoms[number]
    if atom.kind != "function" or atom.inner is None:
        raise Unknown("a gate")
    return atom, atom.inner


def _lstm(reader: _Reader, names: tuple[str, ...], after: Mapping[str, Form]) -> Step:
    h, c = names
    state, cell, hidden = reader.number[c], _without_zero(after[c]), _without_zero(after[h])
    kept = [key for key in _pairs(cell) if state in key]
    taken = [key for key in _pairs(cell) if state not in key]
    if len(cell.terms) != 2 or len(kept) != 1 or len(taken) != 1 or len(hidden.terms) != 1:
        raise Unknown("f c + i g")
    if not all(_ones(cell, key) for key in (*kept, *taken)):
        raise Unknown("f c + i g")
    forget = next(number for number in kept[0] if number != state)
    ((pair, _),) = hidden.terms.items()
    if len(pair) != 2 or not _ones(hidden, pair):
        raise Unknown("o tanh(c)")
    outputs = [number for number in pair if _is_function_of(reader, number, cell)]
    if not outputs:
        raise Unknown("o tanh(c)")
    through = outputs[0]
    out = next((number for number in pair if number != through), through)
    gate = reader.atoms[forget].name
    into = next((number for number in taken[0] if reader.atoms[number].name == gate), taken[0][0])
    candidate = next((number for number in taken[0] if number != into), into)
    atoms, forms = zip(*(_gate(reader, number) for number in (into, forget, candidate, out)), strict=True)
    if len({_named(atoms[i]) for i in (0, 1, 3)}) != 1:
        raise Unknown("gates of one function")
    rows, peepholes = [], np.zeros((3, cell.size))
    for place, form in enumerate(forms):
        extra = [(state,), *cell.terms]
        rows.append(reader.linear(form, h, extra=extra))
        which = {0: 0, 1: 1, 3: 2}.get(place)
        peep = _peephole(form, state, cell, is_output=place == 3)
        if peep is not None and which is None:
            raise Unknown("no peephole of the candidate")
        if peep is not None and which is not None:
            peepholes[which] = peep
    W, W_in, b = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    W_in_or_none, inputs = _columns(reader, W_in)
    functions = (_named(atoms[0]), _named(atoms[2]), _named(reader.atoms[through]))
    return Step(
        "LSTM",
        W,
        W_in_or_none,
        b,
        functions,
        names,
        inputs,
        peepholes=peepholes if peepholes.any() else None,
    )


def _is_function_of(reader: _Reader, number: int, form: Form) -> bool:
    atom = reader.atoms[number]
    if atom.kind != "function" or atom.inner is None:
        return False
    inner = _without_zero(atom.inner)
    return set(inner.terms) == set(form.terms) and all(
        np.array_equal(inner.terms[key], form.terms[key]) for key in form.terms
    )


def _peephole(form: Form, state: int, cell: Form, *, is_output: bool) -> np.ndarray | None:
    """What a gate sees of the cell's memory: of c, or the output gate of what c has become."""
    seen = form.terms.get((state,))
    later = [form.terms[key] for key in cell.terms if key in form.terms]
    if is_output:
        if seen is not None:
            raise Unknown("an output gate that sees what the memory has become")
        if not later:
            return None
        if len(later) < len(cell.terms) or not all(np.array_equal(later[0], each) for each in later):
            raise Unknown("an output gate that sees what the memory has become")
        return later[0]
    if later:
        raise Unknown("gates that see what the memory was")
    if seen is None:
        return None
    if np.count_nonzero(seen) != np.count_nonzero(np.diag(seen)):
        raise Unknown("a gate that sees its own unit's memory")
    return np.diag(seen)


def _gru(reader: _Reader, names: tuple[str, ...], after: Mapping[str, Form]) -> Step:
    (h,) = names
    state, form = reader.number[h], _without_zero(after[h])
    mixed = [key for key in _pairs(form) if state in key]
    alone = [key for key in form.terms if len(key) == 1]
    others = [key for key in _pairs(form) if state not in key]
    if len(form.terms) != 3 or len(mixed) != 1 or len(alone) != 1 or len(others) != 1:
        raise Unknown("(1 − z) n + z h")
    update = next((number for number in mixed[0] if number != state), state)
    candidate = next((number for number in others[0] if number != update), update)
    is_turned = alone[0] == (state,)
    sign = -1.0 if is_turned else 1.0
    if not _ones(form, alone[0]) or not _ones(form, mixed[0], sign) or not _ones(form, others[0], -sign):
        raise Unknown("(1 − z) n + z h")
    if not is_turned and alone[0] != (candidate,):
        raise Unknown("(1 − z) n + z h")
    gate, z_form = _gate(reader, update)
    fresh, n_form = _gate(reader, candidate)
    reset, reset_place, n_rows, b_hidden = _candidate(reader, h, n_form)
    if _named(reset) != _named(gate) or reset.inner is None:
        raise Unknown("gates of one function")
    z_rows, r_rows = reader.linear(z_form, h), reader.linear(reset.inner, h)
    if is_turned:
        if gate.name != "sigmoid":
            raise Unknown("a gate z with 1 − z of the same function")
        z_rows = tuple(-each for each in z_rows)
    W, W_in, b = (np.concatenate(parts) for parts in zip(r_rows, z_rows, n_rows, strict=True))
    W_in_or_none, inputs = _columns(reader, W_in)
    functions = (_named(gate), _named(fresh))
    return Step("GRU", W, W_in_or_none, b, functions, names, inputs, b_hidden=b_hidden, reset=reset_place)


def _candidate(
    reader: _Reader, h: str, form: Form
) -> tuple[Atom, str, tuple[np.ndarray, ...], np.ndarray | None]:
    """Of a GRU's candidate the reset gate, its place, the rows, and the bias inside of the reset."""
    state = reader.number[h]
    pairs = _pairs(form)
    if len(pairs) == 1 and _ones(form, pairs[0]):  # r (W h + b) inside
        rest = form._replace(terms={key: each for key, each in form.terms.items() if key != pairs[0]})
        _, W_in, b = reader.linear(rest, h)
        if (state,) in rest.terms:
            raise Unknown("all of the recurrent product under the reset")
        for one, other in (pairs[0], pairs[0][::-1]):
            inner = reader.atoms[other].inner if reader.atoms[other].kind == "value" else None
            if reader.atoms[one].kind == "function" and inner is not None:
                W, none, b_hidden = reader.linear(inner, h)
                if not none.any():
                    return reader.atoms[one], "after", (W, W_in, b), b_hidden
        raise Unknown("a reset gate")
    for number in (key[0] for key in form.terms if len(key) == 1):
        inner = reader.atoms[number].inner if reader.atoms[number].kind == "value" else None
        pair = [] if inner is None else list(inner.terms)
        if (
            inner is not None
            and [len(key) for key in pair] == [2]
            and state in pair[0]
            and _ones(inner, pair[0])
        ):
            gate = next((each for each in pair[0] if each != state), state)
            _, W_in, b = reader.linear(form, h, extra=[(number,)])
            if (state,) in form.terms:
                raise Unknown("all of the recurrent product of what is reset")
            return reader.atoms[gate], "before", (form.terms[number,], W_in, b), None
    raise Unknown("a reset gate")
