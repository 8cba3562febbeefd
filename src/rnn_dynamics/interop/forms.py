"""What a step computes, as sums of products of the units' values, so that it does not matter how it was written.

A value is Σ M a + Σ d ∘ a ∘ b ∘ … + c over atoms a, b, …: the inputs, the states, functions of other values, and
values that a matrix is about to take. Only NumPy is needed.
"""

import functools
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnn_dynamics.numerics.texts import counted

_MOST_TERMS, _MOST_ATOMS = 64, 20_000
_MOST_ENTRIES = 2**26
_MOST_WORK = 4 * 10**9  # multiplications: about two seconds

Monomial = tuple[int, ...]


class Unknown(ValueError):
    """Says why a value is none of these."""


class Form(NamedTuple):
    """A value with its units along the last axis.

    Attributes:
        size: the number of units.
        rank: the number of axes.
        terms: of () the constant (size,), of one atom its matrix (size, atoms' size), of several the diagonal.
    """

    size: int
    rank: int
    terms: dict[Monomial, np.ndarray]

    def is_linear(self) -> bool:
        """Whether there are no products."""
        return all(len(key) < 2 for key in self.terms)


class Atom(NamedTuple):
    """What the terms of a value are made of.

    Attributes:
        kind: "input", "state", "function" or "value".
        name: of an input or a state; of a function its name.
        size: the number of units.
        inner: what a function is taken of, or what the value is; ``None`` of inputs and states.
        parameters: of a function.
        step: the place on another axis where an input was taken, or ``None``.
    """

    kind: str
    name: str
    size: int
    inner: Form | None = None
    parameters: tuple[float, ...] = ()
    step: int | None = None


class Algebra:
    """The atoms of one graph, and the arithmetic of what is made of them; equal values have equal atoms."""

    def __init__(self) -> None:
        self.atoms: list[Atom] = []
        self._known: dict[object, int] = {}
        self._work = 0

    def _atom(self, key: object, atom: Atom, rank: int) -> Form:
        if key not in self._known:
            if len(self.atoms) >= _MOST_ATOMS:
                raise Unknown(f"expected at most {_MOST_ATOMS} values, got more")
            self._known[key] = len(self.atoms)
            self.atoms.append(atom)
        return Form(atom.size, rank, {(self._known[key],): _eye(atom.size)})

    def named(self, kind: str, name: str, size: int, rank: int, step: int | None = None) -> Form:
        """An input or a state."""
        return self._atom((kind, name, step), Atom(kind, name, size, step=step), rank)

    def function(self, name: str, form: Form, parameters: tuple[float, ...] = ()) -> Form:
        """φ of a value."""
        atom = Atom("function", name, form.size, form, parameters)
        return self._atom((name, parameters, _print(form)), atom, form.rank)

    def value(self, form: Form) -> Form:
        """The value as one atom, unless it is linear."""
        if form.is_linear():
            return form
        return self.whole(form)

    def whole(self, form: Form) -> Form:
        """The value as one atom, linear or not."""
        if len(form.terms) == 1:
            ((key, coefficient),) = form.terms.items()
            if len(key) == 1 and is_eye(coefficient):
                return form
        return self._atom(("value", _print(form)), Atom("value", "", form.size, form), form.rank)

    def constant(self, array: np.ndarray) -> Form:
        """A constant with its units along the last axis, the same along all others."""
        flat = np.asarray(array, float)
        if flat.ndim == 0:
            flat = flat.reshape(1)
        rows = flat.reshape(-1, flat.shape[-1])
        if not rows.size or (rows != rows[:1]).any():
            raise Unknown("expected a constant that is the same for all samples and steps, got others")
        return Form(rows.shape[1], array.ndim, {(): rows[0]})

    def add(self, one: Form, other: Form, sign: float = 1.0) -> Form:
        """The sum or the difference."""
        one, other = _alike(one, other)
        terms = dict(one.terms)
        for key, coefficient in other.terms.items():
            terms[key] = terms[key] + sign * coefficient if key in terms else sign * coefficient
        return _bounded(
            Form(one.size, max(one.rank, other.rank), {k: v for k, v in terms.items() if v.any() or not k})
        )

    def multiply(self, one: Form, other: Form) -> Form:
        """The product, unit by unit."""
        one, other = _alike(one, other)
        rank = max(one.rank, other.rank)
        for constant, rest in ((one, other), (other, one)):
            if set(constant.terms) <= {()}:
                factor = constant.terms.get((), np.zeros(one.size))
                scaled = {
                    k: factor[:, None] * v if len(k) == 1 else factor * v for k, v in rest.terms.items()
                }
                return Form(one.size, rank, scaled)
        one, other = self._diagonal(one), self._diagonal(other)
        terms: dict[Monomial, np.ndarray] = {}
        for left, a in one.terms.items():
            for right, b in other.terms.items():
                key = tuple(sorted(left + right))
                product = _vector(left, a) * _vector(right, b)
                terms[key] = terms[key] + product if key in terms else product
        found = {k: np.diag(v) if len(k) == 1 else v for k, v in terms.items() if v.any()}
        return _bounded(Form(one.size, rank, found))

    def _diagonal(self, form: Form) -> Form:
        """The value, as one atom where a matrix in it is not diagonal."""
        for key, coefficient in form.terms.items():
            if len(key) == 1 and not is_diagonal(coefficient):
                return self.whole(form)
        return form

    def matrix(self, form: Form, weights: np.ndarray) -> Form:
        """x M of the row x, with M of shape (size, new size)."""
        if weights.ndim != 2 or weights.shape[0] != form.size:
            raise Unknown(f"expected a matrix with {form.size} rows, got shape {weights.shape}")
        form = self.value(form)
        turned = np.asarray(weights, float).T
        terms = {key: self._product(turned, coefficient) for key, coefficient in form.terms.items()}
        return _bounded(Form(turned.shape[0], form.rank, terms))

    def _product(self, matrix: np.ndarray, coefficient: np.ndarray) -> np.ndarray:
        if coefficient.ndim == 2 and is_eye(coefficient):
            return matrix
        self._work += matrix.size * (coefficient.shape[1] if coefficient.ndim == 2 else 1)
        if self._work > _MOST_WORK:
            raise Unknown("expected a graph of a few small matrices, got far more")
        return np.dot(matrix, coefficient)

    def rows(self, form: Form, which: np.ndarray) -> Form:
        """Some of the units; a function of them is the function of what was taken of them."""
        found = Form(len(which), form.rank, {})
        for key, coefficient in form.terms.items():
            if not key:
                part = Form(len(which), form.rank, {(): coefficient[which]})
            elif len(key) == 1:
                part = self._rows_of_atom(key[0], coefficient[which], form.rank)
            else:
                factors = [self._rows_of_atom(a, _eye(form.size)[which], form.rank) for a in key]
                part = factors[0]
                for factor in factors[1:]:
                    part = self.multiply(part, factor)
                part = self.multiply(part, Form(len(which), form.rank, {(): coefficient[which]}))
            found = self.add(found, part)
        return found

    def _rows_of_atom(self, number: int, matrix: np.ndarray, rank: int) -> Form:
        atom = self.atoms[number]
        plain = Form(len(matrix), rank, {(number,): matrix})
        if atom.kind not in ("function", "value") or atom.inner is None:
            return plain
        places = np.argmax(matrix != 0, axis=1)
        scale = matrix[np.arange(len(matrix)), places]
        if (np.count_nonzero(matrix, axis=1) != 1).any() or (scale != 1).any():
            return plain
        inner = self.rows(atom.inner, places)
        return self.function(atom.name, inner, atom.parameters) if atom.kind == "function" else inner

    def join(self, forms: Sequence[Form]) -> Form:
        """Values beside one another."""
        forms = [self.value(form) for form in forms]
        size, rank, first = sum(form.size for form in forms), max(form.rank for form in forms), 0
        found = Form(size, rank, {})
        for form in forms:
            terms = {}
            for key, coefficient in form.terms.items():
                wide = np.zeros((size, *coefficient.shape[1:]))
                wide[first : first + form.size] = coefficient
                terms[key] = wide
            first += form.size
            found = self.add(found, Form(size, rank, terms))
        return found

    def at(self, form: Form, step: int, *, rank: int) -> Form:
        """The value at one place of another axis, along which its inputs run."""
        if not form.is_linear():
            raise Unknown("expected a linear function of the inputs where a step is taken out, got another")
        found = Form(form.size, rank, {})
        for key, coefficient in form.terms.items():
            part = Form(form.size, rank, {key: coefficient})
            if key:
                atom = self.atoms[key[0]]
                if atom.kind != "input" or atom.step is not None:
                    raise Unknown("expected a step of the inputs, got one of something else")
                taken = self.named("input", atom.name, atom.size, rank, step)
                part = Form(form.size, rank, {next(iter(taken.terms)): coefficient})
            found = self.add(found, part)
        return found


@functools.lru_cache(8)
def _eye(size: int) -> np.ndarray:
    if size * size > _MOST_ENTRIES:
        raise Unknown(f"expected at most {counted(int(_MOST_ENTRIES**0.5), 'unit')}, got {size}")
    eye = np.eye(size)
    eye.flags.writeable = False
    return eye


def is_diagonal(matrix: np.ndarray) -> bool:
    """Whether a matrix is square and 0 beside its diagonal."""
    return matrix.shape[0] == matrix.shape[1] and np.count_nonzero(matrix) == np.count_nonzero(
        np.diag(matrix)
    )


def is_eye(matrix: np.ndarray) -> bool:
    """Whether a matrix is the identity."""
    if matrix.shape[0] != matrix.shape[1]:
        return False
    return matrix is _eye(matrix.shape[0]) or bool((np.diag(matrix) == 1).all() and is_diagonal(matrix))


def _vector(key: Monomial, coefficient: np.ndarray) -> np.ndarray:
    return np.diag(coefficient) if len(key) == 1 else coefficient


def _alike(one: Form, other: Form) -> tuple[Form, Form]:
    """Two values of one size, one number repeated for all units."""
    if one.size == other.size:
        return one, other
    for left, right, is_turned in ((one, other, False), (other, one, True)):
        if left.size == 1 and set(left.terms) <= {()}:
            wide = Form(right.size, left.rank, {k: np.repeat(v, right.size) for k, v in left.terms.items()})
            return (right, wide) if is_turned else (wide, right)
    raise Unknown(f"expected values of one size, got {one.size} and {other.size}")


def _bounded(form: Form) -> Form:
    if len(form.terms) > _MOST_TERMS or sum(v.size for v in form.terms.values()) > _MOST_ENTRIES:
        raise Unknown(f"expected a value of at most {_MOST_TERMS} terms, got more")
    return form


def _print(form: Form) -> tuple[object, ...]:
    """What two equal values have in common."""
    return tuple((key, hashlib.blake2b(form.terms[key].tobytes()).digest()) for key in sorted(form.terms))


def same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    """Whether two coefficients are the same numbers."""
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and np.array_equal(one, other)
