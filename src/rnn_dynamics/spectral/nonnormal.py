"""How far a matrix is from normal, and how much its powers can grow before its spectral radius rules.

For a fixed matrix A (γ W, or J at a point) ‖A^k‖ falls like ρ(A)^k in the end only. Before that

    K(A) ≤ sup_k ‖A^k‖ ≤ e n K(A),    K(A) = sup_{|z|>1} (|z| − 1) ‖(z − A)⁻¹‖₂  (Kreiss),

and w(A) = max_θ λ_max(½(e^{iθ} A + h.c.)) bounds every power, ‖A^k‖ ≤ 2 w(A)^k. On the host, in NumPy.

References: L. N. Trefethen, M. Embree, Spectra and Pseudospectra, 2005; P. Henrici, Numer. Math. 4, 24 (1962).
"""

import dataclasses
import math
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.results.powers import power_of_ten
from rnn_dynamics.numerics.validation import concrete_array, concrete_square, count

_ANGLES = 48
_RADII = 32
_CLOSE = 1e-9  # of an angle, and of ln(|z| − 1), at which a maximum is found: its value is right to rounding
_BATCH = 2**21
# Entries whose squares floats still hold.
_LARGEST = 1e100


@dataclasses.dataclass(frozen=True)
class NonNormality(Result):
    """What a square matrix hides behind its eigenvalues.

    Attributes:
        eigenvalues: λ_i, by falling modulus.
        conditions: 1/|y_iᴴ x_i| of each with unit eigenvectors: a change of size δ in A moves λ_i by up to
            conditions_i δ, to first order. 1 for a normal matrix, infinite for a defective one (here some 1e15).
        spectral_radius: ρ.
        norm: s₁ = ‖A‖₂.
        numerical_radius: w(A), ρ ≤ w ≤ s₁ ≤ 2 w.
        numerical_abscissa: the largest eigenvalue of (A + Aᵀ)/2: the initial growth rate of dx/dt = A x.
        departure: Henrici's √(‖A‖_F² − Σ|λ_i|²), from a Schur form; 0 for a normal matrix.
        kreiss_constant: the largest value of (|z| − 1)‖(z − A)⁻¹‖₂ that was found, at least 1; infinite where
            ρ > 1. As a search it is a lower bound: sup_k ‖A^k‖ is at least this large.
        kreiss_point: the z where it was found; NaN where none is.
    """

    eigenvalues: np.ndarray
    conditions: np.ndarray
    spectral_radius: float
    norm: float
    numerical_radius: float
    numerical_abscissa: float
    departure: float
    kreiss_constant: float
    kreiss_point: complex

    def __repr__(self) -> str:
        numbers = {
            "ρ": self.spectral_radius,
            "condition": float(self.conditions.max()),
            "s₁": self.norm,
            "w": self.numerical_radius,
            "departure": self.departure,
            "Kreiss": self.kreiss_constant,
        }
        return f"NonNormality({', '.join(f'{name} {value:.6g}' for name, value in numbers.items())})"


@dataclasses.dataclass(frozen=True)
class Pseudospectrum(Result):
    """How near each z of a grid is to being an eigenvalue.

    Attributes:
        real, imaginary: axes of the grid, shapes (r,) and (m,).
        distance: σ_min(z − A), shape (m, r), rows along the imaginary axis: the size ‖E‖₂ of the smallest change
            for which z is an eigenvalue of A + E. The ε-pseudospectrum is where it is below ε.
        eigenvalues: of A.
    """

    real: np.ndarray
    imaginary: np.ndarray
    distance: Float[np.ndarray, "imaginary real"]
    eigenvalues: np.ndarray

    picture: ClassVar = "pseudospectrum"

    def __repr__(self) -> str:
        shape = f"{len(self.real)} × {len(self.imaginary)} points"
        return f"Pseudospectrum({shape}, distances {self.distance.min():.3g} to {self.distance.max():.3g})"


@dataclasses.dataclass(frozen=True)
class PowerNorms(Result):
    """ln‖A^k‖₂ for k = 0 … K beside what bounds it.

    Attributes:
        log_norms: ln‖A^k‖₂, shape (K+1,).
        log_radius: k ln ρ, a bound from below for every k and the rate in the end.
        log_numerical: ln min(2 w^k, s₁^k), w the numerical radius: a bound from above.
        about: the ``NonNormality`` of A: the largest norm is at least its Kreiss constant, at most e n times it.
    """

    log_norms: np.ndarray
    log_radius: np.ndarray
    log_numerical: np.ndarray
    about: NonNormality

    picture: ClassVar = "power_norms"
    _units: ClassVar = dict.fromkeys(("log_norms", "log_radius", "log_numerical"), "nats")

    @property
    def log_peak(self) -> float:
        """ln max_k ‖A^k‖₂ over the powers taken."""
        return float(self.log_norms.max())

    def __repr__(self) -> str:
        last, at = len(self.log_norms) - 1, int(self.log_norms.argmax())
        about = f"ρ {self.about.spectral_radius:.4g}, Kreiss {self.about.kreiss_constant:.4g}"
        return f"PowerNorms({last} powers, largest {power_of_ten(self.log_peak)} at k = {at}, {about})"


def _smallest_singular_values(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return σ_min(z − A) at every point z, in batches."""
    size, flat = len(matrix), points.reshape(-1)
    batch = max(1, _BATCH // size**2)
    parts = [flat[start : start + batch] for start in range(0, len(flat), batch)]
    one = np.eye(size)
    found = [np.linalg.svd(z[:, None, None] * one - matrix, compute_uv=False)[:, -1] for z in parts]
    return np.concatenate(found).reshape(points.shape)


def pseudospectrum(matrix: Any, real: Any, imaginary: Any) -> Pseudospectrum:
    """σ_min(z − A) on a grid of the complex plane: z is an eigenvalue of some A + E with ‖E‖₂ equal to it.

    Args:
        matrix: A, shape (n, n).
        real, imaginary: axes of the grid, shapes (r,) and (m,).

    Returns:
        ``Pseudospectrum``: the distances, shape (m, r).

    Raises:
        TypeError, ValueError: no finite real numbers, a matrix that is not square, an empty axis.

    Reference: L. N. Trefethen, M. Embree, "Spectra and Pseudospectra", Princeton 2005, section 2.
    """
    square = concrete_square("matrix", matrix)
    across, up = (concrete_array(n, v, ndim=1) for n, v in (("real", real), ("imaginary", imaginary)))
    for name, axis in (("real", across), ("imaginary", up)):
        if not axis.size:
            raise ValueError(f"{name}: expected at least one point, got none")
    distance = _smallest_singular_values(square, across[None, :] + 1j * up[:, None])
    return Pseudospectrum(across, up, distance, np.linalg.eigvals(square))


def _numerical_radius(matrix: np.ndarray) -> float:
    """max over θ in [0, π] (real matrices are symmetric about it) of λ_max, refined about each peak."""
    from scipy import optimize

    def support(angles: np.ndarray) -> np.ndarray:
        turned = np.exp(1j * angles)[:, None, None] * matrix
        return np.linalg.eigvalsh((turned + turned.conj().swapaxes(1, 2)) / 2)[:, -1]

    grid = np.linspace(0, np.pi, _ANGLES)
    values = support(grid)
    # w ≤ largest support/cos(half a cell), so that only peaks this near the largest can hold it.
    step = grid[1]
    peaks = grid[values >= values.max() * math.cos(step / 2) - 1e-300]
    found = [
        optimize.minimize_scalar(
            lambda angle: -float(support(np.array([angle]))[0]),
            bounds=(peak - step, peak + step),
            method="bounded",
            options={"xatol": _CLOSE},
        )
        for peak in peaks
    ]
    return float(max(values.max(), *(-one.fun for one in found)))


def _kreiss(matrix: np.ndarray, radius: float) -> tuple[float, complex]:
    """The largest (|z| − 1)/σ_min(z − A) over ln(|z| − 1) and arg z; it is 1 as |z| → ∞."""
    from scipy import optimize

    if radius > 1 + 64 * len(matrix) * np.finfo(float).eps:
        return math.inf, complex(math.nan, math.nan)

    def quotient(points: np.ndarray) -> np.ndarray:
        excess = np.exp(points[..., 0])
        smallest = _smallest_singular_values(matrix, (1 + excess) * np.exp(1j * points[..., 1]))
        return excess / np.maximum(smallest, np.finfo(float).tiny)

    reach = math.log(10 * (1 + np.linalg.norm(matrix, 2)))
    outward, around = np.linspace(math.log(1e-8), reach, _RADII), np.linspace(0, np.pi, _ANGLES)
    grid = np.stack(np.meshgrid(outward, around, indexing="ij"), axis=-1)
    values = quotient(grid)
    step = np.array([outward[1] - outward[0], around[1]])
    best, place = 1.0, complex(math.nan, math.nan)
    for index in np.argsort(-values, axis=None)[:3]:
        start = grid.reshape(-1, 2)[index]
        simplex = start + np.stack([np.zeros(2), *np.diag(step)])
        climbed = optimize.minimize(
            lambda point: -float(quotient(point)),
            start,
            method="Nelder-Mead",
            options={"initial_simplex": simplex, "xatol": _CLOSE, "fatol": np.inf},
        )
        if -climbed.fun > best:
            best, place = -climbed.fun, complex((1 + math.exp(climbed.x[0])) * np.exp(1j * climbed.x[1]))
    return best, place


def eigenvalue_conditions(square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues by falling modulus and 1/|yᴴ x| of each, x and y its unit eigenvectors.

    Args:
        square: A, shape (n, n).

    Returns:
        The eigenvalues, shape (n,), and their condition numbers, each at least 1.

    Raises:
        TypeError, ValueError: no finite real numbers, or no square matrix.

    Reference: L. N. Trefethen, M. Embree, "Spectra and Pseudospectra", Princeton 2005, section 52.
    """
    from scipy import linalg

    square = concrete_square("square", square)
    largest = float(np.abs(square).max())
    scale = 2.0 ** math.frexp(largest)[1] if largest else 1.0
    solved: Any = linalg.eig(square / scale, left=True, right=True)
    values, left, right = solved
    values = values * scale
    order = np.argsort(-np.abs(values), kind="stable")
    overlaps = np.abs(np.sum(left.conj() * right, axis=0))
    return values[order], (1 / np.maximum(overlaps, np.finfo(float).tiny))[order]


def _moderate(matrix: Any) -> np.ndarray:
    square = concrete_square("matrix", matrix)
    if np.abs(square).max() > _LARGEST:
        raise ValueError(f"matrix: expected entries up to {_LARGEST:g} in size, got {np.abs(square).max():g}")
    return square


def non_normality(matrix: Any) -> NonNormality:
    """Spectral radius and norm of a square matrix beside what tells how its powers grow in between.

    Among it K(A) = sup_{|z|>1} (|z| − 1) ‖(z − A)⁻¹‖₂, K(A) ≤ sup_k ‖A^k‖₂ ≤ e n K(A).

    Args:
        matrix: A, shape (n, n).

    Returns:
        ``NonNormality``.

    Raises:
        TypeError, ValueError: no finite real numbers, entries beyond 1e100, or no square matrix.

    References: L. N. Trefethen, M. Embree, "Spectra and Pseudospectra", Princeton 2005; P. Henrici, Numer. Math. 4,
    24 (1962).
    """
    from scipy import linalg

    square = _moderate(matrix)
    values, conditions = eigenvalue_conditions(square)
    scale = 2.0 ** math.frexp(float(np.abs(square).max()))[1]
    triangle: Any = linalg.schur(square / scale, output="complex")[0]
    radius = float(np.abs(values).max())
    constant, point = _kreiss(square, radius)
    return NonNormality(
        values,
        conditions,
        radius,
        float(np.linalg.norm(square, 2)),
        _numerical_radius(square),
        float(np.linalg.eigvalsh((square + square.T) / 2)[-1]),
        float(np.linalg.norm(np.triu(triangle, 1))) * scale,
        constant,
        point,
    )


def power_norms(matrix: Any, steps: Any) -> PowerNorms:
    """‖A^k‖₂ for k = 0 … steps, over any number of decades, beside ρ^k, the numerical radius and the Kreiss bounds.

    Args:
        matrix: A, shape (n, n).
        steps: K ≥ 1.

    Returns:
        ``PowerNorms``, natural logarithms, shape (K+1,).

    Raises:
        TypeError, ValueError: no finite real numbers, entries beyond 1e100, no square matrix, no step.

    Reference: L. N. Trefethen, M. Embree, "Spectra and Pseudospectra", Princeton 2005, sections 14 and 16.
    """
    square, last = _moderate(matrix), count("steps", steps, minimum=1)
    about = non_normality(square)
    size = 2.0 ** np.ceil(np.log2(max(about.norm, np.finfo(float).tiny)))
    power, exponent, logs = np.eye(len(square)), 0.0, [0.0]
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(last):
            power, exponent = np.matmul(power, square / size), exponent + math.log(size)
            norm = float(np.linalg.norm(power, 2))
            logs.append(exponent + float(np.log(norm)))
            shift = math.floor(math.log2(norm)) if norm else 0
            power, exponent = np.ldexp(power, -shift), exponent + shift * math.log(2)
        k = np.arange(last + 1)
        rates = [np.where(k == 0, 0.0, k * np.log(x)) for x in (about.spectral_radius, about.norm)]
        twice = np.where(k == 0, 0.0, math.log(2) + k * np.log(about.numerical_radius))
    return PowerNorms(np.array(logs), rates[0], np.minimum(twice, rates[1]), about)
