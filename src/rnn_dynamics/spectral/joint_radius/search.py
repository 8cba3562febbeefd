"""Branch and bound on the products of an irreducible set of matrices, with an invariant polytope to end it.

A product of k matrices whose every continuation passes a prefix with ‖·‖^{1/j} ≤ (1 + tolerance) lower cannot
matter. Norms are taken in the coordinates, of a few, where the set's largest norm is smallest.

References: G. Gripenberg, Linear Algebra Appl. 234, 43 (1996); V. Blondel, Y. Nesterov, SIAM J. Matrix Anal. Appl.
27, 256 (2005), for ellipsoids.
"""

import dataclasses
import itertools
import math
import sys
from fractions import Fraction
from typing import Any

import numpy as np

from rnn_dynamics.spectral.joint_radius.certificates import (
    multiplied,
    normalised,
    power_bounds,
    radius_below,
    similar,
)
from rnn_dynamics.spectral.joint_radius.polytopes import polytope_bound

_LONGEST = 100
_FIRST_STAGE = 4000
_FIRST_LENGTH = 16
_TURNING = 100
# Products times n³: minutes of eigenvalues.
_EFFORT = 5e8
_TIED = 1e-11
_EXACT = 1e-11
_UNIT = 2.0**-52
_BALANCINGS = 60
_MOST_EXACT = 10
_TINY = 2.0**-1000


@dataclasses.dataclass
class Interval:
    """Ends for one irreducible block, in its own power of two, with what proved them."""

    lower: float
    upper: float
    word: tuple[int, ...]
    history: list[tuple[float, float]]
    norm: str

    def at_most(self, bound: float) -> "Interval":
        """The interval where ``bound``, the set's largest norm, may be the smaller upper end."""
        history = [(below, min(above, bound)) for below, above in self.history]
        norm = self.norm if self.upper <= bound else "euclidean"
        return Interval(self.lower, min(self.upper, bound), self.word, history, norm)

    def times(self, factor: float) -> "Interval":
        """The ends of the set's multiple by a positive number, rounded outward."""

        def moved(ends: tuple[float, float]) -> tuple[float, float]:
            below, above = (end * factor for end in ends)
            return math.nextafter(below, 0.0), math.nextafter(above, math.inf)

        return Interval(
            *moved((self.lower, self.upper)), self.word, list(map(moved, self.history)), self.norm
        )

    def shifted(self, exponent: int) -> "Interval":
        """Return the ends of the set's multiple by 2^exponent."""
        history = [(_shifted(a, exponent, -1), _shifted(b, exponent, 1)) for a, b in self.history]
        ends = _shifted(self.lower, exponent, -1), _shifted(self.upper, exponent, 1)
        return Interval(*ends, self.word, history, self.norm)


def _shifted(value: float, exponent: int, side: int) -> float:
    """value · 2^exponent, rounded to the side where it stays a bound."""
    try:
        moved = math.ldexp(value, exponent)
    except OverflowError:
        return math.inf if side > 0 else sys.float_info.max
    if value == 0 or moved > _TINY:
        return moved
    return math.nextafter(moved, math.inf if side > 0 else 0.0)


def balanced(matrices: np.ndarray) -> tuple[np.ndarray, int]:
    """S A S⁻¹/2^e with S a diagonal of powers of two, rows and columns alike and entries at most 1: exact."""
    mantissas, exponents = np.frexp(matrices)
    exponents = np.where(mantissas == 0, -np.inf, exponents)
    largest = exponents.max(axis=0)
    largest[np.diag_indices(len(largest))] = -np.inf
    units = np.zeros(len(largest))
    for _ in range(100):
        before = units.copy()
        for unit in range(len(units)):
            row = (largest[unit] - units).max()
            column = (largest[:, unit] + units).max()
            units[unit] = np.rint((column - row) / 2)
        if (units == before).all():
            break
    exponents = exponents + units[:, None] - units[None, :]
    top = exponents.max()
    moved = np.where(mantissas == 0, -2000, exponents - top)
    return np.ldexp(mantissas, np.maximum(moved, -2000).astype(int)), int(top)


def _up_to_sign(matrices: np.ndarray) -> np.ndarray:
    """Indices of the matrices that are neither zero nor an earlier one or its negative."""
    flat = matrices.reshape(len(matrices), -1)
    leading = np.take_along_axis(flat, np.abs(flat).argmax(axis=1)[:, None], axis=1)
    kept = np.flatnonzero(leading[:, 0] != 0)
    signed = flat[kept] * np.sign(leading[kept]) + 0.0
    return kept[np.sort(np.unique(signed, axis=0, return_index=True)[1])]


def _vanishes(matrices: np.ndarray) -> bool:
    """Whether all products of n factors are zero, in exact arithmetic: the spans of their columns shrink to 0."""
    size = matrices.shape[1]
    exact = [[[Fraction(float(x)) for x in row] for row in matrix] for matrix in matrices]
    basis = [[Fraction(int(i == j)) for i in range(size)] for j in range(size)]
    while basis:
        reduced: dict[int, list[Fraction]] = {}
        for matrix, vector in itertools.product(exact, basis):
            image = [sum((a * x for a, x in zip(row, vector, strict=True)), Fraction(0)) for row in matrix]
            for pivot, row in reduced.items():
                image = [a - image[pivot] * b for a, b in zip(image, row, strict=True)]
            pivot = next((i for i, a in enumerate(image) if a), None)
            if pivot is not None:
                reduced[pivot] = [a / image[pivot] for a in image]
            if len(reduced) == len(basis):
                return False
        basis = list(reduced.values())
    return True


def _coordinates(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """The set in the coordinates, of a few, where its largest norm is smallest; with errors and the norm's name."""
    errors = _UNIT * np.sqrt(np.sum(matrices**2, axis=(1, 2))) * (1 + 1e-12)
    best = matrices, errors, "euclidean"
    reach = _largest_norm(matrices, errors)
    for basis in (_balancing(matrices), _modes(matrices), *_triangles(matrices)):
        changed = similar(matrices, errors, basis)
        norm = _largest_norm(*changed)
        if norm < reach * (1 - 1e-9):
            best, reach = (*changed, "ellipsoid"), norm
    return best


def _largest_norm(matrices: np.ndarray, errors: np.ndarray) -> float:
    return float((np.linalg.norm(matrices, 2, axis=(1, 2)) + errors).max())


def _balancing(matrices: np.ndarray) -> np.ndarray:
    """T⁻¹ with TᵀT = P where P ← Σ w_i A_iᵀ P A_i comes to rest; the weights follow the largest norm."""
    size, gram = matrices.shape[1], np.eye(matrices.shape[1])
    weights = np.ones(len(matrices)) / len(matrices)
    best, reach = gram, math.inf
    for _ in range(_BALANCINGS):
        inverse = np.linalg.inv(np.linalg.cholesky(gram).T)
        changed = np.matmul(np.linalg.solve(inverse, matrices), inverse)
        norms = np.linalg.norm(changed, 2, axis=(1, 2))
        if norms.max() < reach:
            best, reach = inverse, norms.max()
        weights = weights * (norms / norms.max()) ** 2
        weights = weights / weights.sum()
        image = np.einsum("k,kji,jl,klm->im", weights, matrices, gram, matrices, optimize=True)
        gram = gram / np.trace(gram) + image / np.trace(image)
        gram = (gram + gram.T) / 2 + 1e-7 * np.eye(size)
    return best


def _leading(matrices: np.ndarray) -> np.ndarray:
    return matrices[np.abs(np.linalg.eigvals(matrices)).max(axis=1).argmax()]


def _triangles(matrices: np.ndarray) -> list[np.ndarray]:
    """Schur bases of the leading matrix, scaled until little is left above the diagonal: for Jordan blocks."""
    from scipy import linalg

    factored: Any = linalg.schur(_leading(matrices))
    steps = np.arange(matrices.shape[1])
    return [factored[1] * np.maximum(scale**steps, 1e-12) for scale in (0.1, 1e-2, 1e-3, 1e-4)]


def _modes(matrices: np.ndarray) -> np.ndarray:
    """A real eigenbasis of the matrix with the largest spectral radius, Re and Im of complex pairs."""
    solved: Any = np.linalg.eig(_leading(matrices))
    values, vectors = solved
    lower = values.imag < 0
    return np.where(lower[None, :], vectors.imag, vectors.real)


class _Search:
    """Branch and bound on products: those with a prefix whose norm is below the lower end cannot matter."""

    def __init__(self, matrices: np.ndarray, width: float) -> None:
        size = matrices.shape[1]
        self.matrices, self.width = matrices, width
        self.factors, self.errors, self.norm = _coordinates(matrices)
        self.lower, self.upper, self.pruned, self.seen = 0.0, math.inf, 0.0, 0
        self.word: tuple[int, ...] = (0,)
        self.tied: list[tuple[int, ...]] = []
        self.history: list[tuple[float, float]] = []
        self.products, self.slacks, self.shifts = np.eye(size)[None], np.zeros(1), np.zeros(1)
        self.words: list[tuple[int, ...]] = [()]
        self.bounds = np.full(1, math.inf)

    @property
    def closed(self) -> bool:
        return self.upper <= self.lower * (1 + self.width)

    def advance(self, limit: int, longest: int) -> None:
        """Longer products until the interval is closed or the next length is beyond the limits."""
        many = len(self.factors)
        while not self.history or (
            not self.closed
            and self.words
            and self.seen + len(self.words) * many <= limit
            and len(self.history) < longest
        ):
            self._extend()
            self._raise_lower()
            self._prune()
            self.history.append((self.lower, self.upper))

    def _extend(self) -> None:
        many = len(self.factors)
        products = multiplied(
            self.factors[None], self.errors[None], self.products[:, None], self.slacks[:, None]
        )
        self.products, self.slacks, shifts = normalised(*products)
        self.products = self.products.reshape(-1, *self.factors.shape[1:])
        self.slacks, self.shifts = self.slacks.reshape(-1), (self.shifts[:, None] + shifts).reshape(-1)
        self.words = [(*word, i) for word in self.words for i in range(many)]
        self.bounds = np.repeat(self.bounds, many)
        self.seen += len(self.words)

    def _raise_lower(self) -> None:
        length = len(self.history) + 1
        radii = np.abs(np.linalg.eigvals(self.products)).max(axis=1)
        radii = np.where(radii > 0, radii, 1e-300)
        radii = np.exp2((np.log2(radii) + self.shifts) / length)
        best = np.argsort(-radii, kind="stable")[:16]
        tried: list[float] = []
        for place in best:
            value = float(radii[place])
            if value < self.lower * (1 - _TIED):
                break
            word = _primitive(self.words[place])
            if word in self.tied:
                continue
            if not any(abs(value - other) <= 1e-9 * value for other in tried):
                tried.append(value)
                self.propose(word)
            if len(self.tied) < 6 and abs(value / self.lower - 1 if self.lower else 1) <= _TIED:
                self.tied.append(word)

    def propose(self, word: tuple[int, ...]) -> None:
        """Takes a product for the lower end where it is proved to be larger."""
        value = radius_below(self.matrices[list(word)])
        if value > self.lower * (1 + _TIED):
            self.tied = []
        # A longer product must be larger by more than what its proof can lose.
        if value > self.lower * (1 + _TIED / 10):
            self.lower, self.word = value, word

    def _prune(self) -> None:
        length = len(self.history) + 1
        norms = np.linalg.norm(self.products, 2, axis=(1, 2)) + self.slacks
        norms = np.exp2((np.log2(norms) + self.shifts) / length) * (1 + 8 * self.factors.shape[1] * _UNIT)
        self.bounds = np.minimum(self.bounds, norms)
        # Every endless product has a prefix among those dropped here or those that are left.
        dropped = self.bounds <= self.lower * (1 + self.width)
        self.pruned = max(self.pruned, float(self.bounds[dropped].max(initial=0.0)))
        keep = np.flatnonzero(~dropped)
        if keep.size:
            keep = self._distinct(keep)
        self.products, self.slacks, self.shifts = self.products[keep], self.slacks[keep], self.shifts[keep]
        self.words, self.bounds = [self.words[place] for place in keep], self.bounds[keep]
        reach = max(self.pruned, float(self.bounds.max(initial=0.0)))
        self.upper = min(self.upper, max(self.lower, reach))

    def _distinct(self, keep: np.ndarray) -> np.ndarray:
        """Of products equal up to sign and rounding the one with the largest bound, their distance in its error."""
        flat = self.products[keep].reshape(len(keep), -1)
        leading = np.take_along_axis(flat, np.abs(flat).argmax(axis=1)[:, None], axis=1)
        keys = np.column_stack([np.round(flat * np.sign(leading), 13) + 0.0, self.shifts[keep]])
        order = np.argsort(-self.bounds[keep], kind="stable")
        first, group, many = np.unique(
            keys[order], axis=0, return_index=True, return_inverse=True, return_counts=True
        )[1:]
        slacks = np.zeros(len(first))
        np.maximum.at(slacks, group.reshape(-1), self.slacks[keep][order])
        chosen = keep[order[first]]
        self.slacks[chosen] = slacks + np.where(many > 1, 2e-13 * self.factors.shape[1], 0.0)
        return np.sort(chosen)


def _primitive(word: tuple[int, ...]) -> tuple[int, ...]:
    """The first of the word's rotations, of the shortest word that it repeats."""
    for period in range(1, len(word) + 1):
        if len(word) % period == 0 and word == word[:period] * (len(word) // period):
            word = word[:period]
            break
    return min(word[i:] + word[:i] for i in range(len(word)))


def _seeds(matrices: np.ndarray, words: list[tuple[int, ...]], radius: float) -> np.ndarray:
    """Leading eigenvectors of products, and where their factors over the radius take them, the largest entry 1."""
    columns = []
    for word in words:
        product = np.eye(matrices.shape[1])
        for i in word:
            product = np.matmul(matrices[i] / radius, product)
        solved: Any = np.linalg.eig(product)
        values, vectors = solved
        # Of eigenvalues of one modulus a real one: its polytope can be finite.
        near = np.abs(values) >= np.abs(values).max() * (1 - 1e-9)
        leading = vectors[:, np.argmin(np.where(near, np.abs(values.imag), np.inf))]
        for part in (leading.real, leading.imag):
            if np.abs(part).max() < 1e-9:
                continue
            cycle = [part]
            for i in word[:-1]:
                cycle.append(np.matmul(matrices[i] / radius, cycle[-1]))
            columns += [vector / np.abs(cycle).max() for vector in cycle]
    return np.column_stack(columns)


def _prove(search: _Search, limit: int) -> None:
    """The upper end by an invariant polytope: first exactly, then within the width asked for."""
    size = search.matrices.shape[1]
    exact, loose = (min(60 * size**2, 1500), 1000) if size <= _MOST_EXACT else (200, 200)
    for slack, programs in ((_EXACT, exact), (0.9 * search.width, loose)):
        if search.upper <= search.lower * (1 + max(slack, 10 * _EXACT)) or not search.lower > _TINY:
            return
        words = [*search.tied, search.word] if search.word not in search.tied else search.tied
        for chosen in (words, [search.word])[: len(words)]:
            seeds = _seeds(search.matrices, chosen, search.lower)
            # The images under an irrational rotation fill an ellipse and never end.
            turns = slack == _EXACT and seeds.shape[1] > sum(map(len, chosen))
            programs = min(_TURNING if turns else programs, limit - search.seen)
            if programs <= 0 or not np.isfinite(seeds).all():
                return
            found, solved = polytope_bound(search.matrices, seeds, search.lower, slack, programs)
            search.seen += solved
            if found < search.upper:
                search.upper, search.norm = max(found, search.lower), "polytope"
                break


def irreducible_interval(
    block: np.ndarray, width: float, budget: int, guess: tuple[int, ...] = ()
) -> Interval:
    """The interval of a set (m, b, b) whose common sparsity pattern is irreducible.

    ``guess`` is a product that may be the worst, by its indices.
    """
    if block.shape[1] == 1:
        place = int(np.abs(block[:, 0, 0]).argmax())
        value = float(abs(block[place, 0, 0]))
        return Interval(value, value, (place,), [(value, value)], "euclidean")
    kept = _up_to_sign(block)
    matrices, exponent = balanced(block[kept])
    budget = min(budget, 1 + int(_EFFORT / block.shape[1] ** 3))
    search = _Search(matrices, width)
    if guess and np.isin(guess, kept).all():
        search.propose(_primitive(tuple(int(i) for i in np.searchsorted(kept, guess))))
    search.advance(min(budget, _FIRST_STAGE), _FIRST_LENGTH)
    if search.lower == 0 and block.shape[1] <= _MOST_EXACT and _vanishes(block[kept]):
        return Interval(0.0, 0.0, (int(kept[0]),), [(0.0, 0.0)], search.norm)
    if len(kept) == 1:
        search.upper = min(search.upper, _power_upper(matrices[0]))
    _prove(search, budget)
    if not search.closed:
        word = search.word
        search.advance(budget, _LONGEST)
        if search.word != word:
            _prove(search, budget)
    search.history[-1] = search.lower, search.upper
    chosen = tuple(int(kept[i]) for i in search.word)
    found = Interval(search.lower, search.upper, chosen, search.history, search.norm).shifted(exponent)
    with np.errstate(over="ignore"):
        plain = np.linalg.norm(block, 2, axis=(1, 2)).max() * (1 + 16 * block.shape[1] * _UNIT)
    return found.at_most(max(float(plain), found.lower))


def _power_upper(matrix: np.ndarray) -> float:
    high = power_bounds(matrix, _UNIT * float(np.linalg.norm(matrix)) * (1 + 1e-12))[1]
    return 2.0**high * (1 + 4 * _UNIT)
