"""Periodic points of maps of the torus by Newton's method on the lifted map, in plain NumPy over a dense grid.

A point has period p on the torus where F̂^p(x) = x + L m for some vector m of integers, with F̂ the map that is not
taken modulo anything. From every point of the grid Newton's method is tried for the m nearest to F̂^p(x) − x and its
neighbours; no damping, nothing of the library.
"""

import itertools
from collections.abc import Callable

import numpy as np

TWO_PI = 2 * np.pi


def standard_map(kick: float) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(θ, p) ↦ (θ + p′, p′) with p′ = p + K sin θ, not reduced, and its Jacobian; batches on the leading axis."""

    def lifted(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        angle, momentum = x[..., 0], x[..., 1]
        slope = kick * np.cos(angle)
        momentum = momentum + kick * np.sin(angle)
        rows = np.stack(
            [np.stack([1 + slope, np.ones_like(slope)], -1), np.stack([slope, np.ones_like(slope)], -1)], -2
        )
        return np.stack([angle + momentum, momentum], -1), rows

    return lifted


def circle_map(drive: float, kick: float) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """θ ↦ θ + Ω − K/2π sin 2πθ, length 1."""

    def lifted(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x + drive - kick / TWO_PI * np.sin(TWO_PI * x), (1 - kick * np.cos(TWO_PI * x))[..., None]

    return lifted


def iterated(lifted: Callable, x: np.ndarray, period: int) -> tuple[np.ndarray, np.ndarray]:
    """F̂^p(x) and its Jacobian."""
    product = np.broadcast_to(np.eye(x.shape[-1]), (*x.shape[:-1], x.shape[-1], x.shape[-1]))
    for _ in range(period):
        x, matrix = lifted(x)
        product = matrix @ product
    return x, product


def _apart(a: np.ndarray, b: np.ndarray, length: float) -> np.ndarray:
    return np.abs((a - b + length / 2) % length - length / 2).max(-1)


def periodic_points(lifted: Callable, n: int, period: int, length: float, grid: int) -> np.ndarray:
    """All x in [0, L)^n with F̂^p(x) ≡ x, each once, in no order; also those of lower period."""
    axis = (np.arange(grid) + 0.5) * length / grid
    starts = np.stack(np.meshgrid(*[axis] * n, indexing="ij"), -1).reshape(-1, n)
    image, _ = iterated(lifted, starts, period)
    nearest = np.round((image - starts) / length)
    found = []
    for shift in itertools.product((-1, 0, 1), repeat=n):
        turns, x = (nearest + np.array(shift)) * length, starts.copy()
        going = np.arange(len(x))
        for _ in range(40):
            image, matrix = iterated(lifted, x[going], period)
            miss, system = image - x[going] - turns[going], matrix - np.eye(n)
            safe = np.abs(np.linalg.det(system)) > 1e-300
            step = np.linalg.solve(np.where(safe[:, None, None], system, np.eye(n)), miss[..., None])[..., 0]
            x[going] -= np.clip(step, -length, length)
            going = going[np.abs(step).max(-1) > 1e-13]
        image, _ = iterated(lifted, x, period)
        x = x[np.abs(image - x - turns).max(-1) < 1e-9]
        for _ in range(period):  # what Newton's method misses of an orbit is its image
            found.append(x % length)
            x = lifted(x)[0]
    return once(np.concatenate(found), length)


def once(points: np.ndarray, length: float, near: float = 1e-7) -> np.ndarray:
    """Each point once, 0 and L being the same."""
    kept = np.zeros((0, points.shape[1]))
    rows = np.unique(np.round(points, 9), axis=0)
    for row in rows:
        if not len(kept) or _apart(kept, row, length).min() > near:
            kept = np.vstack([kept, row])
    return kept


def cycles(lifted: Callable, n: int, period: int, length: float, grid: int) -> tuple[int, np.ndarray]:
    """The number of cycles of minimal period p, and the index sign det(1 − DF̂^p) of each point of F̂^p(x) ≡ x."""
    points = periodic_points(lifted, n, period, length, grid)
    _, matrices = iterated(lifted, points, period)
    index = np.sign(np.linalg.det(np.eye(n) - matrices))
    minimal = np.ones(len(points), bool)
    for divisor in (d for d in range(1, period) if period % d == 0):
        image, _ = iterated(lifted, points, divisor)
        minimal &= _apart(image, points, length) > 1e-6
    assert minimal.sum() % period == 0
    return int(minimal.sum()) // period, index
