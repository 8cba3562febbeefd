"""Points of codimension two on a curve of bifurcations: functions that vanish there, and their zeros."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.dynamics.bifurcations import normal_forms
from rnn_dynamics.dynamics.bifurcations.normal_forms import Derivatives
from rnn_dynamics.dynamics.bifurcations.points import SpecialPoint, multipliers_of
from rnn_dynamics.dynamics.return_map import ReturnMap
from rnn_dynamics.numerics.arclength import Curve
from rnn_dynamics.numerics.batching import filled, power_of_two_above
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.status import Status

#: What may be met on each kind of curve, in the order of its test functions.
TESTS = {
    "fold": ("cusp", "1:1 resonance", "fold-flip", "fold-neimark-sacker"),
    "flip": ("generalized flip", "1:2 resonance", "fold-flip", "flip-neimark-sacker"),
    "neimark-sacker": (
        "chenciner",
        "fold-neimark-sacker",
        "flip-neimark-sacker",
        "double neimark-sacker",
        "1:3 resonance",
        "1:4 resonance",
    ),
}
_MOST_SECANTS = 80


@dataclasses.dataclass(frozen=True)
class TestedCurve:
    """A curve of bifurcations as its test functions need it.

    Attributes:
        kind: "fold", "flip" or "neimark-sacker".
        whole: x ↦ F^p(x; λ₁, λ₂).
        scale: the length that counts as one in each coordinate of y.
        traced: (seed, c, points) ↦ the curve through the point near the seed, no further than so many points.
    """

    kind: str
    whole: ReturnMap
    scale: Float[np.ndarray, " m+1"]
    traced: Callable[..., Curve]

    @property
    def critical(self) -> int:
        """How many multipliers are on the unit circle all along."""
        return 2 if self.kind == "neimark-sacker" else 1

    def multiplier(self, y: np.ndarray) -> complex:
        """The critical multiplier of positive imaginary part."""
        if self.kind != "neimark-sacker":
            return -1.0 if self.kind == "flip" else 1.0
        return complex(y[-3], np.sqrt(max(1 - y[-3] ** 2, 0.0)))


@lean
def _jacobians(whole: ReturnMap, points: Array) -> Array:
    size = whole.size
    return jax.vmap(lambda y: jax.jacfwd(whole)(y[:size], y[-2], y[-1]))(points)


@lean
def _derivatives(whole: ReturnMap, points: Array, pairs: Array) -> Derivatives:
    size = whole.size

    def at(y: Array, pair: Array) -> Derivatives:
        return normal_forms.derivatives(whole, y[:size], (y[-2], y[-1]), pair)

    return jax.vmap(at)(points, pairs)


def _padded(rows: np.ndarray) -> np.ndarray:
    """Rows filled up to a power of two, so that branches of all lengths share a few programs."""
    return filled(rows, power_of_two_above(len(rows), 128))


def _vectors(line: TestedCurve, y: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """q and p of the critical multiplier, p of unit length; q of ±1 is the system's own, smooth in y."""
    size = line.whole.size
    if line.kind == "neimark-sacker":
        return normal_forms.pair_vectors(matrix, float(y[-3]))
    left = np.linalg.svd(matrix - line.multiplier(y) * np.eye(size, dtype=y.dtype))[0]
    return y[size : 2 * size], left[:, -1]


def _met(values: np.ndarray, at: float) -> float:
    """Changes sign where one of the multipliers passes ``at`` = ±1: sign of Π(μ − at) times the least distance."""
    real = np.real(values[np.imag(values) == 0]) - at
    return float(np.prod(np.sign(real)) * np.abs(real).min()) if real.size else 1.0


def _pair_met(values: np.ndarray) -> float:
    """Changes sign where a complex pair passes the unit circle: sign of Π_{i<j}(1 − μ_i μ_j) times its distance."""
    modulus = np.abs(values[np.imag(values) > 0]) - 1
    return float(np.prod(np.sign(modulus)) * np.abs(modulus).min()) if modulus.size else 1.0


def _others(line: TestedCurve, y: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return the multipliers without the critical ones."""
    values, critical = multipliers_of(matrix), line.multiplier(y)
    for target in (critical, np.conj(critical))[: line.critical]:
        values = np.delete(values, np.argmin(np.abs(values - target)))
    return values


def _test(
    line: TestedCurve, y: np.ndarray, q: np.ndarray, p: np.ndarray, found: Derivatives
) -> tuple[list[float], float]:
    """The functions that vanish at the points of codimension two, and the normal form's coefficient."""
    values = _others(line, y, found.first)
    if line.kind == "neimark-sacker":
        cosine = float(y[-3])
        coefficient = np.nan
        if abs(cosine) < 1:
            coefficient = normal_forms.neimark_sacker_coefficient(found, cosine, q, p)
        tests = [coefficient, _met(values, 1), _met(values, -1), _pair_met(values)]
        return [*tests, cosine + 0.5, cosine], coefficient
    overlap = float(np.dot(p, q))
    if line.kind == "fold":
        first = float(normal_forms.fold_coefficient(q, p, found.second[0]))
    else:
        first = float(normal_forms.flip_coefficient(found.first, q, p, found.second[0], found.third[0]))
    tests = [first, overlap, _met(values, 1 if line.kind == "flip" else -1), _pair_met(values)]
    return tests, first / overlap if overlap else np.nan


def _tested_from(
    line: TestedCurve, points: np.ndarray, before: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tests and coefficients, the sign of p carried from point to point, and the p they begin with."""
    rows = _padded(points)
    matrices = np.asarray(_jacobians(line.whole, rows))[: len(points)]
    pairs = [_vectors(line, y, matrix) for y, matrix in zip(points, matrices, strict=True)]
    q = np.array([pair[0] for pair in pairs])
    parts = np.stack([np.real(q), np.imag(q)], axis=1).astype(points.dtype)
    found = jax.device_get(_derivatives(line.whole, rows, _padded(parts)))
    first = pairs[0][1] if before is None else before
    previous, tests, coefficients = first, [], []
    for i, (vector, p) in enumerate(pairs):
        if line.kind != "neimark-sacker":
            p = -p if np.dot(p, previous) < 0 else p
            previous = p
        values, coefficient = _test(line, points[i], vector, p, Derivatives(*(leaf[i] for leaf in found)))
        tests.append(values)
        coefficients.append(coefficient)
    return np.array(tests), np.array(coefficients, points.dtype), first


def tested(line: TestedCurve, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Test functions, shape (m, tests), and the normal form's coefficient at points of the curve."""
    return _tested_from(line, points, None)[:2]


def events_along(
    line: TestedCurve, points: np.ndarray, tangents: np.ndarray, tests: np.ndarray
) -> tuple[SpecialPoint, ...]:
    """The points of codimension two between neighbouring points, and at the ends of a Neimark–Sacker curve.

    A test function that is 0 to rounding all along has none.
    """
    sizes = np.abs(np.where(np.isfinite(tests), tests, 0))
    small, typical = float(np.finfo(points.dtype).eps) ** 0.6, np.median(sizes, axis=0)
    found = [_end(line, points, 0)]
    for i in range(len(points) - 1):
        for k in range(tests.shape[1]):
            pair = tests[i : i + 2, k]
            crossed = pair[0] * pair[1] < 0 or (pair[0] == 0 and i > 0)
            if crossed and sizes[i : i + 2, k].max() > small:
                found.append(_located(line, k, points[i : i + 2], tangents[i], i, typical[k]))
    found.append(_end(line, points, len(points) - 1))
    return tuple(event for event in found if event is not None)


def _seed(pair: np.ndarray, tangent: np.ndarray, scale: np.ndarray, length: float) -> tuple:
    guess = (pair[0] + length * tangent).astype(pair.dtype)
    return guess, (tangent / np.square(scale)).astype(pair.dtype), np.int32(-1)


def _partner(line: TestedCurve, y: np.ndarray) -> np.ndarray:
    """c at a point of the curve: orthogonal to v in the plane of v and J v."""
    size = line.whole.size
    v = y[size : 2 * size]
    if line.kind != "neimark-sacker":
        return np.zeros_like(v)
    moved = np.dot(np.asarray(_jacobians(line.whole, _padded(y[None])))[0], v)
    moved = moved - (np.dot(moved, v)) * v / (np.dot(v, v))
    return (moved / np.linalg.norm(moved)).astype(v.dtype)


def _located(
    line: TestedCurve, k: int, pair: np.ndarray, tangent: np.ndarray, index: int, typical: float
) -> SpecialPoint | None:
    """The zero of a test between two neighbours, by secants kept inside a bracket (Illinois).

    None at a pole, as the coefficients have where another multiplier is 1: there the values grow.
    """
    length = float(np.sum((pair[1] - pair[0]) / line.scale * (tangent / line.scale)))
    _, _, frame = _tested_from(line, pair[:1], None)
    partner = _partner(line, pair[0])

    def at(s: float) -> tuple[Curve, float]:
        curve = line.traced(_seed(pair, tangent, line.scale, s), partner, 1)
        return curve, float(_tested_from(line, curve.points[:1], frame)[0][0, k])

    low, high = 0.0, length
    ends = at(low), at(high)
    f_low, f_high = ends[0][1], ends[1][1]
    steepness = abs(f_high - f_low) / length
    size, least = max(abs(f_low), abs(f_high)), min(abs(f_low), abs(f_high))
    # A step may land on the zero: then the two ends bracket none.
    is_bracket = f_low * f_high < 0
    best = at(0.5 * length) if is_bracket else min(ends, key=lambda end: abs(end[1]))
    for _ in range(_MOST_SECANTS if is_bracket else 0):
        if high - low <= 4 * float(np.finfo(pair.dtype).eps) * length or best[1] == 0:
            break
        middle = (low * f_high - high * f_low) / (f_high - f_low) if f_high != f_low else 0.5 * (low + high)
        middle = middle if low < middle < high else 0.5 * (low + high)
        best = at(middle)
        if (best[1] > 0) == (f_low > 0):
            low, f_low, f_high = middle, best[1], f_high / 2
        else:
            high, f_high, f_low = middle, best[1], f_low / 2
    curve, value = best
    if not abs(value) <= max(1e-3 * least, 1e-6 * typical):
        return None
    slip = 8 * float(np.finfo(pair.dtype).eps) * (1 + size) / steepness if steepness else np.inf
    row = tangent / np.square(line.scale)
    error = _error(curve, row, line) + slip * float(np.abs(tangent[-2:]).max())
    return _point(line, TESTS[line.kind][k], curve.points[0], error, index, bool(curve.number))


def _error(curve: Curve, row: np.ndarray, line: TestedCurve) -> float:
    """Estimate how far rounding of the equations moves the parameters."""
    matrix = np.concatenate([curve.jacobian, row[None]])
    y = curve.points[0]
    noise = 4 * float(np.finfo(y.dtype).eps) * (1 + np.abs(y[: line.whole.size]).max())
    return float(np.abs(np.linalg.inv(matrix)[-2:]).sum(axis=1).max() * noise)


def _end(line: TestedCurve, points: np.ndarray, index: int) -> SpecialPoint | None:
    """The resonance that a Neimark–Sacker curve ends at, where θ is 0 or π."""
    y = points[index]
    if line.kind != "neimark-sacker" or abs(y[-3]) != 1:
        return None
    row = (np.arange(len(y)) == len(y) - 3).astype(y.dtype)
    curve = line.traced((y, row, np.int32(len(y) - 3)), _partner(line, y), 1)
    name = "1:1 resonance" if y[-3] > 0 else "1:2 resonance"
    return _point(line, name, y, _error(curve, row, line), max(index - 1, 0), bool(curve.number))


def _point(
    line: TestedCurve, name: str, y: np.ndarray, error: float, index: int, found: bool
) -> SpecialPoint:
    whole = line.whole
    x = y[: whole.size]
    matrix = np.asarray(_jacobians(whole, _padded(y[None])))[0]
    image = np.asarray(_image(whole, x, y[-2], y[-1]))
    state = x.reshape(whole.shape)
    return SpecialPoint(
        name,
        (float(y[-2]), float(y[-1])),
        state if state.ndim else float(state),
        error,
        float(np.abs(whole.excess(x, image)).max()),
        Status.CONVERGED if found and np.isfinite(y).all() else Status.UNRESOLVED,
        multipliers_of(matrix),
        angle=float(np.arccos(np.clip(y[-3], -1, 1))) if line.kind == "neimark-sacker" else np.nan,
        index=index,
    )


@lean
def _image(whole: ReturnMap, x: Array, *parameters: Array) -> Array:
    return whole(x, *parameters)
