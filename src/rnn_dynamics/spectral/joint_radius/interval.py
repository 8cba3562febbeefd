"""The joint spectral radius: how fast the worst product of matrices from a set can grow, as a certified interval.

    max ρ(P)^{1/k} ≤ ρ̂ = lim_k max ‖P‖^{1/k} ≤ max ‖P‖^{1/k},    P any product of k matrices of the set.

For the step Jacobians {W D : low ≤ D_ii ≤ high} the 2ⁿ corners of D suffice, as the set is their convex hull.
Three ways close the interval: the set falls apart into the diagonal blocks of its sparsity pattern; branch and
bound follows the products that can still matter; a polytope that the set maps into itself proves that a product
found is the worst. Rounding is bounded throughout. On the host, in NumPy.

References: G.-C. Rota, G. Strang, Indag. Math. 22, 379 (1960); G. Gripenberg, Linear Algebra Appl. 234, 43 (1996);
N. Guglielmi, V. Protasov, Found. Comput. Math. 13, 37 (2013).
"""

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.validation import concrete_array, concrete_square, count
from rnn_dynamics.spectral.joint_radius.search import Interval, balanced, irreducible_interval
from rnn_dynamics.spectral.joint_radius.slopes import upper_of_hull, worst_slopes

_MOST_UNITS = 10
_FIRST_LOOK = 2000


@dataclasses.dataclass(frozen=True)
class JointRadius(Result):
    """An interval that holds the joint spectral radius ρ̂.

    Attributes:
        lower: a number that ρ(P)^{1/k} of ``product`` is proved to reach.
        upper: a number that ρ̂ is proved not to exceed, whatever the status.
        product: the indices of the k matrices of P = A_{i_k} ⋯ A_{i_1}, i_1 first. For slopes the bits of an
            index say which are high, the first unit's bit leading: the order of ``slope_corners`` for any n.
        factors: A_{i_1}, …, A_{i_k}, shape (k, n, n).
        length: products up to this many factors were looked at.
        history: [lower, upper] once the products of 1, 2, … factors were seen, shape (length, 2); the last row
            has what a polytope or powers proved as well.
        norm: what proved the upper end: the "euclidean" norm of products, their norm in an "ellipsoid", or a
            "polytope" that the set maps into its multiple.
        status: CONVERGED where the interval is as narrow as asked for; MAX_STEPS where the budget ended first.
    """

    lower: float
    upper: float
    product: tuple[int, ...]
    factors: np.ndarray
    length: int
    history: np.ndarray
    norm: str
    status: Status

    picture: ClassVar = "joint_radius"

    @property
    def exact(self) -> bool:
        """Whether both ends agree in ten digits."""
        return self.upper / (1 + 1e-10) <= self.lower

    @property
    def conclusive(self) -> str:
        """What the interval proves of the gradients of such steps.

        "vanishes" where ρ̂ < 1: every product decays; "can explode" where ρ̂ > 1: some sequence of steps makes it
        grow, which the network need not visit; "" where the interval holds 1.
        """
        return "vanishes" if self.upper < 1 else "can explode" if self.lower > 1 else ""

    def __repr__(self) -> str:
        interval = f"{self.lower:.12g}, exact" if self.exact else f"[{self.lower:.9g}, {self.upper:.9g}]"
        reached = f"reached by a product of {len(self.product)}, bounded by the {self.norm} norm"
        says = f", so it {self.conclusive}" if self.conclusive else ""
        return f"JointRadius({interval}{says}, {reached}, {self.status.name})"


def _blocks(pattern: np.ndarray) -> list[np.ndarray]:
    """The units of each diagonal block, where matrices of this sparsity are block triangular."""
    from scipy.sparse.csgraph import connected_components

    many, labels = connected_components(pattern, directed=True, connection="strong")
    return [np.flatnonzero(labels == label) for label in range(many)]


def _assembled(
    found: list[Interval], width: float, factors: Callable[[tuple[int, ...]], np.ndarray]
) -> JointRadius:
    """Return the largest of the blocks' intervals, end by end."""
    length = max(len(each.history) for each in found)
    rows = [[*each.history, *[each.history[-1]] * (length - len(each.history))] for each in found]
    history = np.array(rows).max(axis=0)
    below = max(found, key=lambda each: each.lower)
    above = max(found, key=lambda each: each.upper)
    status = Status.CONVERGED if above.upper / (1 + width) <= below.lower else Status.MAX_STEPS
    product = factors(below.word)
    return JointRadius(below.lower, above.upper, below.word, product, length, history, above.norm, status)


def _positive(name: str, value: Any) -> float:
    number = float(concrete_array(name, value, ndim=0))
    if number <= 0:
        raise ValueError(f"{name}: expected a number > 0, got {number:g}")
    return number


def joint_spectral_radius(matrices: Any, *, tolerance: Any = 1e-3, budget: int = 100_000) -> JointRadius:
    """An interval for the joint spectral radius of a set of matrices.

        ρ̂ = lim_{k→∞} max ‖A_{i_k} ⋯ A_{i_1}‖^{1/k}

    Args:
        matrices: shape (m, n, n).
        tolerance: relative width at which the search ends; what can be proved exactly is.
        budget: products and linear programs to look at, at most; the matrices themselves always are. For more
            than some twenty units fewer are, as each costs n³.

    Returns:
        ``JointRadius``; both ends are valid whatever the status.

    Raises:
        TypeError, ValueError: no finite real numbers, another shape, tolerance ≤ 0, budget < 1.

    Reference: R. Jungers, The Joint Spectral Radius, 2009.
    """
    given = concrete_array("matrices", matrices, ndim=3).astype(float)
    if not given.size or given.shape[1] != given.shape[2]:
        raise ValueError(f"matrices: expected shape (m, n, n) with m, n ≥ 1, got {given.shape}")
    width, budget = _positive("tolerance", tolerance), count("budget", budget, minimum=1)
    blocks = _blocks((given != 0).any(axis=0))
    share = max(1, budget // max(1, sum(len(rows) > 1 for rows in blocks)))
    found = [irreducible_interval(given[:, rows[:, None], rows], width, share) for rows in blocks]
    return _assembled(found, width, lambda word: given[list(word)])


def _slopes(W: Any, low: Any, high: Any) -> tuple[np.ndarray, float, float]:
    weights = concrete_square("W", W)
    ends = [float(concrete_array(name, value, ndim=0)) for name, value in (("low", low), ("high", high))]
    if ends[0] > ends[1]:
        raise ValueError(f"high: expected at least low, {ends[0]:g}, got {ends[1]:g}")
    reach = max(1.0, abs(ends[0]), abs(ends[1]))
    if np.abs(weights).max() > 1e300 / reach / len(weights):
        raise ValueError(
            f"W: expected entries that floats hold times the slopes, got {np.abs(weights).max():g}"
        )
    return weights, ends[0], ends[1]


def slope_corners(W: Any, low: Any, high: Any) -> np.ndarray:
    """The 2ⁿ matrices W D with every D_ii at ``low`` or ``high``, one where those are equal, shape (2ⁿ, n, n).

    Their convex hull is {W D : low ≤ D_ii ≤ high}, the step Jacobians J = W D of the pre-activation form; the
    products of J = D W have the same joint spectral radius. The last unit's slope varies fastest.

    Args:
        W: recurrent weights, shape (n, n), n ≤ 10.
        low, high: slopes, one number or one for each unit.

    Returns:
        Shape (2ⁿ, n, n), fewer where some of the bounds are equal.

    Raises:
        TypeError, ValueError: no finite real numbers, W not square, more than ten units, low > high.

    Reference: G.-C. Rota, G. Strang, Indag. Math. 22, 379 (1960).
    """
    weights, first, last = _slopes(W, low, high)
    if len(weights) > _MOST_UNITS:
        raise ValueError(f"W: expected at most {_MOST_UNITS} units (2ⁿ corners), got {len(weights)}")
    return _corners(weights, first, last)


def _corners(weights: np.ndarray, low: float, high: float) -> np.ndarray:
    slopes = np.array(list(itertools.product(sorted({low, high}), repeat=len(weights))))
    return weights[None] * slopes[:, None, :]


def slope_radius(
    W: Any, *, low: Any = 0.0, high: Any = 1.0, tolerance: Any = 1e-3, budget: int = 100_000
) -> JointRadius:
    """An interval for the joint spectral radius of the step Jacobians over all slopes of the activation.

        ρ̂{W D : low ≤ D_ii ≤ high} ≤ min{γ ‖S W S⁻¹‖₂, γ max_i (|W|x)_i/x_i},    γ = max(|low|, |high|),

    for any diagonal S (it commutes with D) and x > 0. Below 1 all gradients vanish, whatever the inputs. Up to
    ten units of a diagonal block of W go through their corners, more through these bounds and a search for slopes.

    Args:
        W: recurrent weights, shape (n, n).
        low, high: the ends of the activation's slope, e.g. 0 and 1 for tanh, 0 and ¼ for the logistic.
        tolerance: relative width at which the search ends.
        budget: products and linear programs to look at, at most.

    Returns:
        ``JointRadius``; both ends are valid whatever the status.

    Raises:
        TypeError, ValueError: no finite real numbers, W not square, low > high, tolerance ≤ 0, budget < 1.

    Reference: R. Jungers, The Joint Spectral Radius, 2009.
    """
    weights, first, last = _slopes(W, low, high)
    width, budget = _positive("tolerance", tolerance), count("budget", budget, minimum=1)
    blocks = _blocks(weights != 0)
    share = max(1, budget // max(1, sum(len(rows) > 1 for rows in blocks)))
    found = []
    for rows in blocks:
        each = _slope_interval(weights[np.ix_(rows, rows)], first, last, width, share)
        places = [len(weights) - 1 - int(row) for row in rows]
        word = tuple(
            sum((index >> (len(rows) - 1 - j) & 1) << place for j, place in enumerate(places))
            for index in each.word
        )
        found.append(dataclasses.replace(each, word=word))

    def factors(word: tuple[int, ...]) -> np.ndarray:
        bits = np.array(
            [[index >> (len(weights) - 1 - i) & 1 for i in range(len(weights))] for index in word]
        )
        return weights[None] * np.where(bits[:, None, :] == 1, last, first)

    return _assembled(found, width, factors)


def _slope_interval(weights: np.ndarray, low: float, high: float, width: float, budget: int) -> Interval:
    """The interval of an irreducible block of W; the bits of the word's indices say which slopes are high."""
    size, reach = len(weights), max(abs(low), abs(high))
    if size == 1 or reach == 0:
        value = abs(float(weights[0, 0])) * reach if size == 1 else 0.0
        index = int(abs(high) >= abs(low) and high > low)
        ends = value, value
        if value and reach != 1:
            ends = math.nextafter(value, 0.0), math.nextafter(value, math.inf)
        return Interval(*ends, (index,), [ends], "euclidean")
    if size <= _MOST_UNITS and (low == high or 2**size <= budget):
        many = _many_units(weights, low, high, min(budget, _FIRST_LOOK))
        corners = irreducible_interval(_corners(weights, low, high), width, budget, many.word)
        if corners.upper / (1 + width) <= corners.lower:
            return corners
        return _intersection(corners, many)
    return _many_units(weights, low, high, budget)


def _intersection(one: Interval, other: Interval) -> Interval:
    below = max(one, other, key=lambda each: each.lower)
    above = min(one, other, key=lambda each: each.upper)
    history = [*one.history[:-1], (below.lower, above.upper)]
    return Interval(below.lower, above.upper, below.word, history, above.norm)


def _many_units(weights: np.ndarray, low: float, high: float, budget: int) -> Interval:
    reach = max(abs(low), abs(high))
    scaled, exponent = balanced(weights[None])
    ends = np.array([low, high]) / reach
    upper, norm = upper_of_hull(scaled[0], ends)
    lower, bits = worst_slopes(scaled[0], ends, budget)
    word = tuple(int("".join("1" if bit else "0" for bit in row), 2) for row in bits)
    history = [(0.0, upper)] * (len(word) - 1) + [(lower, upper)]
    bound = Interval(lower, upper, word, history, norm).shifted(exponent)
    if reach == 1:
        return bound
    return bound.times(reach)
