"""Norms of products of Jacobians along an orbit, for networks of a few units, to 50 digits.

preactivation  x ← W φ(x) + b                     J = W diag φ′(x)
elman          x ← φ(W x + b)                     J = diag φ′(W x + b) W
leaky          x ← (1 − α) x + α φ(W x + b)       J = (1 − α) I + α diag φ′(W x + b) W

An input adds W_in u_t inside the same bracket as b; give it as `drive`, one vector a step.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import mpmath
import numpy as np
from flint import arb, arb_mat

from tests.oracles.precision import (
    NotEnoughPrecisionError,
    bracketed_root,
    logistic,
    logistic_slope,
    midpoint,
    sign,
    to_mpf,
    with_enough_precision,
)

SQUARINGS = 190
"""Squarings of a Gram matrix: the power's trace then gives log2 of its largest eigenvalue to log2(n)/2¹⁹⁰."""

Activation = Callable[[arb], tuple[arb, arb]]


def _tanh(z: arb) -> tuple[arb, arb]:
    return z.tanh(), 4 * logistic_slope(2 * z)


def _relu(z: arb) -> tuple[arb, arb]:
    return (z, arb(1)) if sign(z) > 0 else (arb(0), arb(0))


ACTIVATIONS: dict[str, Activation] = {
    "tanh": _tanh,
    "logistic": lambda z: (logistic(z), logistic_slope(z)),
    "relu": _relu,
    "linear": lambda z: (z, arb(1)),
}
"""(φ, φ′) of each activation; the derivative of ReLU at 0 is 0."""


@dataclass(frozen=True)
class Network:
    """A network with its parameters at their exact binary values."""

    kind: str
    W: np.ndarray
    b: np.ndarray
    activation: str = "tanh"
    leak: float | None = None
    drive: np.ndarray | None = field(default=None)

    def __post_init__(self) -> None:
        if self.kind not in ("preactivation", "elman", "leaky"):
            raise ValueError(f"kind: expected 'preactivation', 'elman' or 'leaky', got {self.kind!r}")
        if (self.kind == "leaky") != (self.leak is not None):
            raise ValueError(f"leak: expected a number for 'leaky' alone, got {self.leak!r}")

    def step(self, t: int, x: arb_mat) -> tuple[arb_mat, arb_mat]:
        """(x_{t+1}, ∂x_{t+1}/∂x_t) in balls."""
        weights, bias = matrix(self.W), _column(self.b)
        if self.drive is not None:
            bias = bias + _column(self.drive[t])
        size = x.nrows()
        phi = ACTIVATIONS[self.activation]
        z = x if self.kind == "preactivation" else weights * x + bias
        pairs = [phi(z[i, 0]) for i in range(size)]
        value = arb_mat(size, 1, [pair[0] for pair in pairs])
        slopes = arb_mat([[pairs[i][1] if i == j else arb(0) for j in range(size)] for i in range(size)])
        if self.kind == "preactivation":
            return weights * value + bias, weights * slopes
        if self.leak is None:
            return value, slopes * weights
        leak = arb(float(self.leak))
        return x * (1 - leak) + value * leak, identity(size) * (1 - leak) + slopes * weights * leak


def matrix(values: np.ndarray) -> arb_mat:
    """Exact arb matrix of a two-dimensional array of floats."""
    return arb_mat([[arb(float(value)) for value in row] for row in np.asarray(values)])


def _column(values: np.ndarray) -> arb_mat:
    return arb_mat([[arb(float(value))] for value in np.asarray(values)])


def identity(size: int) -> arb_mat:
    """Exact unit matrix."""
    return arb_mat([[arb(int(i == j)) for j in range(size)] for i in range(size)])


def _entries(values: arb_mat) -> mpmath.matrix:
    rows, columns = values.nrows(), values.ncols()
    return mpmath.matrix([[midpoint(values[i, j]) for j in range(columns)] for i in range(rows)])


def _orbit(network: Network, x0: np.ndarray, steps: int) -> tuple[list[arb_mat], list[arb_mat]]:
    """States 0 … T and step Jacobians 0 … T − 1; too wide a ball asks for more precision at once."""
    x = _column(x0)
    states, jacobians = [x], []
    for t in range(steps):
        x, jacobian = network.step(t, x)
        if any(not x[i, 0].rad() < 2**-32 * (1 + abs(x[i, 0])) for i in range(x.nrows())):
            raise NotEnoughPrecisionError
        states.append(x)
        jacobians.append(jacobian)
    return states, jacobians


def _products(jacobians: list[arb_mat], ks: Sequence[int]) -> dict[int, arb_mat]:
    """∂x_T/∂x_k = J_{T−1} … J_k for each k, in one pass backward from T."""
    size = jacobians[0].nrows() if jacobians else 0
    product, wanted, found = identity(size), set(ks), {}
    for k in range(len(jacobians), min(wanted) - 1, -1):
        if k < len(jacobians):
            product = product * jacobians[k]
        if k in wanted:
            found[k] = product
    return found


def state(network: Network, x0: np.ndarray, steps: int) -> list[mpmath.mpf]:
    """x_T, each component to 50 digits of the largest."""

    def end() -> list[mpmath.mpf]:
        x = _orbit(network, x0, steps)[0][-1]
        _require_tight(x)
        return [midpoint(x[i, 0]) for i in range(x.nrows())]

    return with_enough_precision(end)


def jacobian_product(network: Network, x0: np.ndarray, steps: int, k: int) -> mpmath.matrix:
    """∂x_T/∂x_k, entries to 50 digits of the largest."""

    def product() -> mpmath.matrix:
        jacobians = _orbit(network, x0, steps)[1]
        result = _products(jacobians, [k])[k] if jacobians else identity(len(x0))
        _require_tight(result)
        return _entries(result)

    return with_enough_precision(product)


def _require_tight(values: arb_mat) -> None:
    """Radii below 2^−200 of the largest entry, or exact."""
    entries = values.entries()
    largest = max((abs(entry).lower() for entry in entries), key=float_order)
    if not all(entry.is_exact() or entry.rad() < largest * arb(2) ** -200 for entry in entries):
        raise NotEnoughPrecisionError


def float_order(ball: arb) -> tuple[int, mpmath.mpf]:
    """Key that orders exact balls of any exponent."""
    return (0, midpoint(ball))


def log2_norms(
    network: Network, x0: np.ndarray, steps: int, ks: Sequence[int], ord: int | str = 2
) -> list[mpmath.mpf]:
    """log2 ‖∂x_T/∂x_k‖ for each k of `ks`, spectral (`ord=2`) or Frobenius (`ord="fro"`); −∞ for 0."""
    if ord not in (2, "fro"):
        raise ValueError(f"ord: expected 2 or 'fro', got {ord!r}")

    def norms() -> list[mpmath.mpf]:
        jacobians = _orbit(network, x0, steps)[1]
        products = _products(jacobians, ks) if jacobians else {0: identity(len(x0))}
        return [_log2_norm(products[k], ord) for k in ks]

    return with_enough_precision(norms, 512 + steps // 2)


def log2_singular_values(
    network: Network, x0: np.ndarray, steps: int, rank: int | None = None
) -> list[mpmath.mpf]:
    """log2 of every singular value of ∂x_T/∂x_0, largest first; −∞ for 0.

    Where W is singular without zeros that show it, `rank` says how many are not 0: balls cannot.
    """

    def values() -> list[mpmath.mpf]:
        return _log2_spectrum(_orbit(network, x0, steps)[1], len(x0), rank)

    return with_enough_precision(values, 512 + steps // 2)


def log2_singular_values_of(factors: np.ndarray) -> list[mpmath.mpf]:
    """log2 of every singular value of factors[−1] ⋯ factors[0], matrices of floats."""

    def values() -> list[mpmath.mpf]:
        return _log2_spectrum([matrix(factor) for factor in factors], factors.shape[1])

    return with_enough_precision(values, 1024)


def _log2_spectrum(factors: list[arb_mat], size: int, rank: int | None = None) -> list[mpmath.mpf]:
    """By compound matrices: Λ^m(P) has the m×m minors of P as entries and Λ^m(AB) = Λ^m(A) Λ^m(B).

    Its norm is σ_1 ⋯ σ_m, so that σ_m = ‖Λ^m(P)‖/‖Λ^{m−1}(P)‖.
    """
    before, found = mpmath.mpf(0), []
    for order in range(1, (size if rank is None else rank) + 1):
        product = identity(math.comb(size, order))
        for factor in factors:
            product = compound(factor, order) * product
        total = _log2_norm(product, 2)
        if mpmath.isinf(total):
            break
        found.append(total - before)
        before = total
    return found + [mpmath.mpf("-inf")] * (size - len(found))


def compound(values: arb_mat, order: int) -> arb_mat:
    """All minors of an order, rows and columns in lexicographic order of their index sets."""
    chosen = list(itertools.combinations(range(values.nrows()), order))
    return arb_mat(
        [
            [arb_mat([[values[i, j] for j in columns] for i in rows]).det() for columns in chosen]
            for rows in chosen
        ]
    )


def log2_norm(values: np.ndarray, ord: int | str = 2) -> mpmath.mpf:
    """log2 of the spectral or Frobenius norm of one matrix of floats."""
    return with_enough_precision(lambda: _log2_norm(matrix(values), ord))


def _log2_norm(values: arb_mat, ord: int | str) -> mpmath.mpf:
    gram = values.transpose() * values
    trace = gram.trace()
    if trace.is_exact() and trace == 0:
        return mpmath.mpf("-inf")
    if not trace > 0:
        raise NotEnoughPrecisionError
    return _to_logarithm((_log2(trace) if ord == "fro" else _log2_growth(gram)) / 2)


def _to_logarithm(ball: arb) -> mpmath.mpf:
    """Midpoint of a logarithm whose radius is below 2^−170 max(1, |value|)."""
    if not (ball.is_finite() and ball.rad() < arb(2) ** -170 * abs(ball).max(arb(1))):
        raise NotEnoughPrecisionError
    return midpoint(ball)


def _log2(ball: arb) -> arb:
    return ball.log() / arb(2).log()


def _log2_growth(power: arb_mat) -> arb:
    """lim_m 2^−m log2 ‖A^{2^m}‖ = log2 ρ(A), by squaring a matrix scaled to norm 1 each time.

    For a positive semidefinite A the remainder is at most log2(n)/2^m. Exactly nilpotent matrices give −∞.
    """
    total, share = arb(0), arb(1)
    for _ in range(SQUARINGS):
        entries = power.entries()
        size = sum((entry * entry for entry in entries), arb(0))
        if size.is_exact() and size == 0:
            return arb("-inf")
        if not size > 0:
            raise NotEnoughPrecisionError
        size = size.sqrt()
        total = total + share * _log2(size)
        power = power / size
        power = power * power
        share = share / 2
    return total + arb(0, (share * 4).upper())


def spectral_radius(values: np.ndarray) -> mpmath.mpf:
    """ρ(W) = lim ‖W^k‖^{1/k} by repeated squaring; defective matrices too, exactly 0 for nilpotent ones."""

    def radius() -> mpmath.mpf:
        nilpotency = exact = matrix(values)
        for _ in range(exact.nrows()):
            nilpotency = nilpotency * exact
        if all(entry.is_exact() and entry == 0 for entry in nilpotency.entries()):
            return mpmath.mpf(0)
        return to_mpf((_log2_growth(exact) * arb(2).log()).exp())

    return with_enough_precision(radius, 2048)


def singular_values(values: np.ndarray) -> list[mpmath.mpf]:
    """Singular values, decreasing, by mpmath's bidiagonal QR at 120 digits (an exact 0 comes as < 1e−100)."""
    with mpmath.workdps(120):
        exact = mpmath.matrix([[mpmath.mpf(float(value)) for value in row] for row in np.asarray(values)])
        return sorted(mpmath.svd_r(exact, compute_uv=False), reverse=True)


def kreiss_2x2(r: float, c: float) -> mpmath.mpf:
    """Kreiss constant sup_{|z|>1} (|z| − 1) ‖(z − A)⁻¹‖₂ of A = [[r, c], [0, r]], 0 ≤ r < 1, c > 0.

    By symmetry z > 1; with v = 1/(z − r) in (0, 1/(1 − r)) it is (1 − (1 − r) v) (c v + √(c² v² + 4))/2,
    1 at v → 0 and 0 at the other end, with at most one maximum between; its derivative is bisected.
    """
    gap, shear = 1 - arb(float(r)), arb(float(c))

    def resolvent(v: arb) -> arb:
        return (1 - gap * v) * (shear * v + (shear * shear * v * v + 4).sqrt()) / 2

    def descent(v: arb) -> arb:
        root = (shear * shear * v * v + 4).sqrt()
        norm = (shear * v + root) / 2
        return gap * norm - (1 - gap * v) * (shear + shear * shear * v / root) / 2

    def constant() -> mpmath.mpf:
        if sign(descent(arb(0))) >= 0:
            return mpmath.mpf(1)
        return to_mpf(resolvent(bracketed_root(descent, arb(0), 1 / gap)))

    return with_enough_precision(constant, 1024)


def henrici(values: np.ndarray) -> mpmath.mpf:
    """Departure from normality √(‖A‖_F² − Σ|λ|²), the eigenvalues by mpmath at 200 digits."""
    with mpmath.workdps(200):
        exact = mpmath.matrix([[mpmath.mpf(float(value)) for value in row] for row in np.asarray(values)])
        eigenvalues = mpmath.eig(exact, left=False, right=False)
        squares = mpmath.fsum(entry**2 for entry in exact)
        squares -= mpmath.fsum(abs(value) ** 2 for value in eigenvalues)
        return mpmath.sqrt(squares) if squares > 0 else mpmath.mpf(0)
