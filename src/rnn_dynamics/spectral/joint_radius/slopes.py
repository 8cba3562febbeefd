"""Bounds on the joint spectral radius of {W D : low ≤ D_ii ≤ high} that take no list of the 2ⁿ corners of D.

    ρ(P)^{1/k} ≤ ρ̂ ≤ min{γ ‖S W S⁻¹‖₂, γ max_i (|W|x)_i/x_i},    γ = max(|low|, |high|), S diagonal, x > 0,

as a diagonal S commutes with D. With D = c + r E, |E_ii| ≤ 1, a sum of squares P and a diagonal S,

    ‖W(c v + r e)‖_P² ≤ μ² (‖v‖_P² − ‖S v‖² + ‖S e‖²) for all v, e    implies    ρ̂ ≤ μ,

as ‖S e‖ ≤ ‖S v‖ for e = E v: the bounded real lemma, P from its Riccati equation, the inequality checked.

References: L. Collatz, Math. Z. 48, 221 (1942); A. Packard, J. Doyle, Automatica 29, 71 (1993).
"""

from typing import Any

import numpy as np

from rnn_dynamics.spectral.diagonal_scaling import scaled_bounds
from rnn_dynamics.spectral.joint_radius.certificates import radius_below

_MOST_OPTIMISED = 200
_MOST_RICCATI = 100
_BISECTIONS = 12
_CLIMBS = 20
_EFFORT = 1e8
_UNIT = 2.0**-52


def upper_of_hull(weights: np.ndarray, ends: np.ndarray) -> tuple[float, str]:
    """The smallest bound found for slopes between the ends, the larger of them 1 in size, and its norm's name."""
    size = len(weights)
    rounding = 1 + 16 * (size + 2) * _UNIT
    found = [(float(np.linalg.norm(weights, 2)), "euclidean")]
    units = _units(weights)
    scaled = weights * (units[:, None] / units[None, :])
    found.append((float(np.linalg.norm(scaled, 2)), "ellipsoid"))
    positive = np.abs(weights)
    solved: Any = np.linalg.eig(positive + 1e-14 * positive.max())
    values, vectors = solved
    x = np.abs(vectors[:, values.real.argmax()])
    x = np.maximum(x, 1e-200 * x.max())
    found.append((float((np.matmul(positive, x) / x).max()), "polytope"))
    upper, norm = min(found)
    quadratic = _quadratic(scaled, ends, upper) if size <= _MOST_RICCATI else upper
    return (quadratic, "ellipsoid") if quadratic < upper else (upper * rounding, norm)


def _quadratic(weights: np.ndarray, ends: np.ndarray, upper: float) -> float:
    """The smallest μ below ``upper`` that the bounded real lemma was seen to prove, in the units given."""
    centre, reach = float(ends.sum()) / 2, float(ends[1] - ends[0]) / 2
    low, high = abs(centre) * float(np.abs(np.linalg.eigvals(weights)).max()), upper
    best = upper
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        found = _bounded_real(weights, centre, reach, middle)
        if found < high:
            low, high, best = low, found, found
        else:
            low = middle
    return best


def _bounded_real(weights: np.ndarray, centre: float, reach: float, level: float) -> float:
    """A proved μ where the Riccati equation of ``level`` has a positive solution, else infinity."""
    from scipy import linalg

    one = np.eye(len(weights))
    try:
        solved = linalg.solve_discrete_are(
            centre / level * weights, reach / level * weights, (1 + 1e-6) * one, -one
        )
    except (np.linalg.LinAlgError, ValueError):
        return np.inf
    gram = (solved + solved.T) / 2
    return _proved(weights, centre, reach, gram, level)


def _proved(weights: np.ndarray, centre: float, reach: float, gram: np.ndarray, level: float) -> float:
    """μ with ‖W(c v + r e)‖_P² ≤ μ² (‖v‖_P² − ‖v‖² + ‖e‖²): the Schur complement's eigenvalues with rounding."""
    size = len(weights)
    if not np.isfinite(gram).all():
        return np.inf
    one, none = np.eye(size), np.zeros((size, size))
    both = np.hstack([centre * weights, reach * weights])
    left = np.block([[gram - one, none], [none, one]])
    right = np.matmul(both.T, np.matmul(gram, both))
    rounding = 64 * (size + 2) * _UNIT
    scale = np.linalg.norm(gram) * (1 + np.linalg.norm(both) ** 2) + np.linalg.norm(left)
    floor = float(np.linalg.eigvalsh(left)[0]) - rounding * scale
    # left ≥ floor > 0 makes P positive too; then right ≤ μ² left with the smallest μ below.
    if not floor > 0:
        return np.inf
    excess = float(np.linalg.eigvalsh(right - level**2 * left)[-1]) + rounding * scale * (1 + level**2)
    return float(np.sqrt(level**2 + max(excess, 0.0) / floor)) * (1 + rounding)


def _units(weights: np.ndarray) -> np.ndarray:
    """S of a small ‖S W S⁻¹‖₂; those of the bound for a lag so long that κ(S) does not count."""
    if len(weights) > _MOST_OPTIMISED:
        return np.ones(len(weights))
    # The line search may leave the floats; any units are valid.
    with np.errstate(over="ignore", invalid="ignore"):
        units = scaled_bounds(weights, [1e9]).log_units[0]
    return np.exp(np.clip(np.nan_to_num(units), 0.0, 200.0))


def _word_radii(weights: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """ρ(P)^{1/k} in floating point of the products of W D_1, …, W D_k, slopes of shape (words, k, n)."""
    product = weights * slopes[:, 0, None, :]
    for step in range(1, slopes.shape[1]):
        product = np.matmul(weights * slopes[:, step, None, :], product)
    return np.abs(np.linalg.eigvals(product)).max(axis=1) ** (1 / slopes.shape[1])


def _uphill(weights: np.ndarray, ends: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Slopes of one factor, each at the end to which the derivative of ρ(W D) along it points, while ρ grows."""
    best, found = 0.0, bits
    for _ in range(_CLIMBS):
        slopes = ends[bits.astype(int)]
        values, right = np.linalg.eig(weights * slopes)
        place = int(np.abs(values).argmax())
        if not abs(values[place]) > best * (1 + 1e-12):
            break
        best, found = float(abs(values[place])), bits
        others, left = np.linalg.eig((weights * slopes).T)
        leading = left[:, np.abs(others - values[place]).argmin()]
        overlap = np.sum(leading * right[:, place])
        if overlap == 0:
            break
        change = np.matmul(leading, weights) * right[:, place] / overlap
        bits = np.real(change * np.conj(values[place])) > 0
    return found


def _flipped(weights: np.ndarray, ends: np.ndarray, bits: np.ndarray, limit: int) -> tuple[np.ndarray, int]:
    """Slopes flipped one at a time, each time the one that raises ρ(P)^{1/k} most; and how many were tried."""
    flips = np.eye(bits.size, dtype=bool).reshape(-1, *bits.shape)
    value, tried = float(_word_radii(weights, ends[bits.astype(int)][None])[0]), 0
    while tried + len(flips) <= limit:
        options = bits[None] ^ flips
        radii = _word_radii(weights, ends[options.astype(int)])
        tried += len(flips)
        place = int(radii.argmax())
        if not radii[place] > value * (1 + 1e-12):
            break
        bits, value = options[place], float(radii[place])
    return bits, tried


def worst_slopes(weights: np.ndarray, ends: np.ndarray, budget: int) -> tuple[float, np.ndarray]:
    """A number that ρ(P)^{1/k} is proved to reach for a product of W D found by climbing, and its slopes' bits."""
    size = len(weights)
    left = min(budget, int(_EFFORT / size**3))
    random = np.random.default_rng(0)
    larger = np.full((1, size), abs(ends[1]) >= abs(ends[0]))
    single = _uphill(weights, ends, larger[0])[None]
    starts = [larger, single, np.concatenate([single, larger])]
    for length in (1, 2, 3, 4):
        starts += [random.random((length, size)) < 0.5 for _ in range(2)]
    found = []
    for start in starts:
        bits, tried = _flipped(weights, ends, start, left // 2)
        left -= tried
        found.append(bits)
    # Of equals the shortest.
    radii = [
        _word_radii(weights, ends[bits.astype(int)][None])[0] * (1 - 1e-10 * len(bits)) for bits in found
    ]
    best, chosen = 0.0, found[0]
    for place in np.argsort(radii)[::-1][:4]:
        value = radius_below(weights * ends[found[place].astype(int)][:, None, :])
        if value > best * (1 + 1e-11):
            best, chosen = value, found[place]
    return best, chosen
