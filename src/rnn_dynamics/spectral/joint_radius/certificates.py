"""Two-sided bounds on the spectral radius of a matrix that is known up to an error, its own rounding included.

    (|tr Aʲ|/n)^{1/j} ≤ ρ(A) ≤ ‖Aʲ‖^{1/j},    j = 2ᵐ, 3·2ᵐ, 5·2ᵐ, 7·2ᵐ,

with the powers' rounding bounded as they are formed; and for T⁻¹AT = Λ + E with Λ diagonal, by Geršgorin's discs
and their continuity in E,

    ρ(A) ≥ max|λ| − (2m − 1)‖E‖,    m the number of discs that hang together with the leading one.

Eigenvalues in floating point alone are no bounds: those of a defective matrix are uncertain by ε^{1/n}. Errors
are bounds in the Frobenius norm, matrices are kept of norm about 1 and carry an exponent of two.

Reference: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2002, chapter 3.
"""

import math
from typing import Any

import numpy as np

_UNIT = 2.0**-52
# What a product of matrices of norm about 1 can lose to underflow stays far below this.
_UNDERFLOW = 1e-290
_SQUARINGS = 46


def sizes(matrices: np.ndarray) -> np.ndarray:
    """Frobenius norms of matrices, shape (..., n, n), rounded up."""
    return np.sqrt(np.sum(np.abs(matrices) ** 2, axis=(-2, -1))) * (1 + 1e-12)


def multiplied(left: Any, left_error: Any, right: Any, right_error: Any) -> tuple[np.ndarray, np.ndarray]:
    """The products of matrices (..., n, n) known up to errors (...), and what those are known up to."""
    a, b = sizes(left), sizes(right)
    rounding = 4 * (left.shape[-1] + 2) * _UNIT
    error = a * right_error + b * left_error + left_error * right_error + rounding * a * b + _UNDERFLOW
    return np.matmul(left, right), error * (1 + 1e-12)


def normalised(matrices: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices and errors over powers of two that bring the larger of norm and error to [½, 1], and the powers."""
    shift = np.maximum(np.frexp(np.maximum(sizes(matrices), error))[1], -900)
    factor = np.ldexp(1.0, -shift)
    return matrices * factor[..., None, None], error * factor + _UNDERFLOW, shift


def similar(matrices: np.ndarray, error: Any, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """T⁻¹ A T of every A, with the error that the inverse's own rounding brings; infinite where T is too skew."""
    try:
        inverse = np.linalg.inv(basis)
    except np.linalg.LinAlgError:
        return matrices, np.full(matrices.shape[:-2], np.inf)
    if not np.abs(inverse).max() < 1e15 / np.abs(basis).max():
        return matrices, np.full(matrices.shape[:-2], np.inf)
    one, slack = multiplied(inverse, 0.0, basis, 0.0)
    defect = float(sizes(one - np.eye(len(basis))) + slack)
    if not defect < 0.5:
        return matrices, np.full(matrices.shape[:-2], np.inf)
    changed, error = multiplied(*multiplied(inverse, 0.0, matrices, error), basis, 0.0)
    return changed, error + 2 * defect * (sizes(changed) + error)


def power_bounds(matrix: np.ndarray, error: float) -> tuple[float, float]:
    """log₂ of numbers below and above ρ(A) for every A within ``error`` of a matrix, from its powers."""
    low, high, size = -math.inf, math.inf, len(matrix)
    start, start_error, start_shift = normalised(matrix, np.asarray(error))
    for first in (1, 3, 5, 7):
        power, slack, shift = start, start_error, int(start_shift)
        for _ in range(first - 1):
            power, slack, more = normalised(*multiplied(power, slack, start, start_error))
            shift += int(start_shift) + int(more)
        for doubling in range(_SQUARINGS):
            exponent = first * 2**doubling
            trace = (abs(np.trace(power)) - math.sqrt(size) * float(slack) - size**2 * _UNIT) / size
            norm = float(sizes(power) + slack)
            if trace > 0:
                low = max(low, _rounded((math.log2(trace) + shift) / exponent, -1))
            high = min(high, _rounded((math.log2(norm) + shift) / exponent, 1))
            if float(slack) > 0.5:
                break
            power, slack, more = normalised(*multiplied(power, slack, power, slack))
            shift = 2 * shift + int(more)
    return low, high


def _rounded(logarithm: float, side: int) -> float:
    return logarithm + side * 16 * _UNIT * (1 + abs(logarithm))


def _disc_bound(matrix: np.ndarray, error: float) -> float:
    """log₂ of a number below ρ, from eigenvectors; −∞ where those are too skew to tell."""
    values, basis = np.linalg.eig(matrix)
    changed, slack = similar(matrix, error, basis)
    leading = float(np.abs(values).max())
    distance = float(sizes(changed - np.diag(values)) + slack) + len(matrix) * _UNIT * leading
    below = leading - (2 * _cluster(values, 2 * distance) - 1) * distance
    return _rounded(math.log2(below), -1) if below > 0 else -math.inf


def _cluster(values: np.ndarray, gap: float) -> int:
    """How many values hang together with the largest by steps of at most ``gap``."""
    near = np.abs(values[:, None] - values[None, :]) <= gap * (1 + 1e-9)
    reached = near[np.abs(values).argmax()]
    for _ in range(len(values)):
        wider = near[reached].any(axis=0)
        if (wider == reached).all():
            break
        reached = wider
    return int(reached.sum())


def radius_below(factors: np.ndarray) -> float:
    """A number below ρ(P)^{1/k} of the product P = A_k ⋯ A₁ of matrices, shape (k, n, n), norms about 1 or less.

    Each factor may be off by one unit of rounding in every entry.
    """
    power, slack, shift = np.eye(factors.shape[-1]), np.asarray(0.0), 0
    for factor in factors:
        product = multiplied(factor, _UNIT * sizes(factor), power, slack)
        power, slack, more = normalised(*product)
        shift += int(more)
    best = _disc_bound(power, float(slack))
    estimate = float(np.abs(np.linalg.eigvals(power)).max())
    if not (estimate > 0 and best > math.log2(estimate) - 1e-11):
        best = max(best, power_bounds(power, float(slack))[0])
    return 2.0 ** _rounded((best + shift) / len(factors), -1) if best > -math.inf else 0.0
