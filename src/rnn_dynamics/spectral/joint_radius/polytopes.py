"""A bound on the joint spectral radius from a polytope that every matrix of a set maps into its multiple.

For vertices v_j that span the space, ‖x‖_V = min{Σ|c_j| : Σ c_j v_j = x} is a norm, in which

    ρ̂ ≤ max_{i,j} ‖A_i v_j‖_V.

The vertices grow from leading eigenvectors of the products that are thought to be the worst: an image that lies
outside becomes a vertex, until none does. If one of the products is the worst and the others fall behind it, this
ends with ρ̂ itself. The weights c come from linear programs; that they prove the bound is checked afterwards, with
the residuals expressed in the vertices and added.

Reference: N. Guglielmi, V. Protasov, Found. Comput. Math. 13, 37 (2013).
"""

import math
from typing import Any

import numpy as np

_MOST_VERTICES = 500
_UNIT = 2.0**-52
_SEED = 1e-2
_KNOWN = 400
_IMAGES = 10


class _Hull:
    """Vertices (columns) of a polytope symmetric about 0, with facets and planes that earlier programs found."""

    def __init__(self, vertices: np.ndarray) -> None:
        size = len(vertices)
        self.vertices, self.programs = vertices, 0
        self.planes, self.reach = np.zeros((0, size)), np.zeros(0)
        self.inverses, self.supports = np.zeros((0, size, size)), np.zeros((0, size), int)
        # Vertices that came to lie inside, with their weights over those that were left then.
        self.inner: dict[int, np.ndarray] = {}

    @property
    def count(self) -> int:
        return self.vertices.shape[1]

    def add(self, vertex: np.ndarray) -> None:
        self.vertices = np.column_stack([self.vertices, vertex])
        self.reach = np.maximum(self.reach, np.abs(np.matmul(self.planes, vertex)))

    def is_outside(self, point: np.ndarray, level: float) -> bool:
        """Whether a plane found earlier separates the point from ``level`` times the polytope."""
        return bool((np.abs(np.matmul(self.planes, point)) > level * self.reach * (1 + 1e-7)).any())

    def give_up(self, vertex: int) -> bool:
        """Whether a vertex is inside a known facet of others, so that its images are inside theirs."""
        gone = np.zeros(self.count, bool)
        gone[[vertex, *self.inner]] = True
        usable = ~gone[self.supports].any(axis=1)
        if not usable.any():
            return False
        point = self.vertices[:, vertex]
        options, supports = np.matmul(self.inverses[usable], point), self.supports[usable]
        place = int(np.abs(options).sum(axis=1).argmin())
        weights = np.zeros(self.count)
        weights[supports[place]] = options[place]
        if not self.holds(weights, point, 1 - 1e-9):
            return False
        self.inner[vertex] = weights
        return True

    def weights(self, point: np.ndarray, level: float) -> np.ndarray:
        """c with V c = point and Σ|c| least, or below ``level`` where a known facet or least squares has that."""
        options = np.matmul(self.inverses, point)
        if len(options):
            place = int(np.abs(options).sum(axis=1).argmin())
            found = np.zeros(self.count)
            found[self.supports[place]] = options[place]
            if self.holds(found, point, level):
                return found
        else:
            found = np.linalg.lstsq(self.vertices, point, rcond=1e-12)[0]
            if self.holds(found, point, level):
                return found
        solved = self._program(point)
        return found if solved is None else solved

    def holds(self, weights: np.ndarray, point: np.ndarray, level: float) -> bool:
        distance = np.abs(np.matmul(self.vertices, weights) - point).max()
        return bool(np.abs(weights).sum() <= level and distance <= 1e-12 * np.abs(point).max())

    def _program(self, point: np.ndarray) -> np.ndarray | None:
        from scipy.optimize import linprog

        self.programs += 1
        scale = float(np.abs(point).max())
        outer = np.setdiff1d(np.arange(self.count), list(self.inner))
        sides = np.hstack([self.vertices[:, outer], -self.vertices[:, outer]])
        found = linprog(np.ones(sides.shape[1]), A_eq=sides, b_eq=point / scale, method="highs")
        if found.x is None:
            return None
        self.planes = np.vstack([self.planes, found.eqlin.marginals])[-_KNOWN:]
        reach = np.abs(np.matmul(found.eqlin.marginals, sides)).max()
        self.reach = np.append(self.reach, reach)[-_KNOWN:]
        half = len(outer)
        rough = found.x[:half] - found.x[half:]
        # The program ends within 1e-7 of feasibility; on its support the equations are solved anew.
        support = np.argsort(-np.abs(rough), kind="stable")[: len(point)]
        if rough[support].all():
            self._learn(outer[support])
        support = outer[support[rough[support] != 0]]
        exact = np.zeros(self.count)
        exact[support] = np.linalg.lstsq(self.vertices[:, support], point, rcond=None)[0]
        return exact

    def _learn(self, support: np.ndarray) -> None:
        try:
            inverse = np.linalg.inv(self.vertices[:, support])
        except np.linalg.LinAlgError:
            return
        self.inverses = np.concatenate([self.inverses, inverse[None]])[-_KNOWN:]
        self.supports = np.concatenate([self.supports, support[None]])[-_KNOWN:]


def _growth(
    matrices: np.ndarray, hull: _Hull, level: float, first: int, limit: int
) -> dict[int, list[np.ndarray]] | None:
    """The weights of all A_i v_j for the vertices j from ``first`` on that stay outer; None if it does not end."""
    found: dict[int, list[np.ndarray]] = {}
    looked, vertex = 0, first
    most = min(30 * len(hull.vertices) ** 2, _MOST_VERTICES)
    reach = 1e8 * np.abs(hull.vertices).max()
    while vertex < hull.count:
        if hull.give_up(vertex):
            vertex += 1
            continue
        images = np.matmul(matrices, hull.vertices[:, vertex])
        weights = [np.zeros(1)] * len(images)
        # The longest first: they make vertices that have the others inside.
        for place in np.argsort(-np.abs(images).sum(axis=1), kind="stable"):
            if hull.programs > limit or looked > _IMAGES * limit or hull.count > most:
                return None
            looked += 1
            if images[place].any():
                weights[place] = _placed(hull, images[place], level)
        if np.abs(images).max() > reach:
            return None
        found[vertex] = weights
        vertex += 1
    return found


def _placed(hull: _Hull, image: np.ndarray, level: float) -> np.ndarray:
    """The weights of an image; what lies outside ``level`` times the polytope becomes a vertex."""
    if not hull.is_outside(image, level):
        weights = hull.weights(image, level)
        if hull.holds(weights, image, level):
            return weights
    hull.add(image / level)
    return np.append(np.zeros(hull.count - 1), level)


def _inverse_of_some(vertices: np.ndarray) -> tuple[np.ndarray, float]:
    """|X| and a factor with ‖r‖_V ≤ factor · Σ(|X||r|): X inverts n of the vertices but for its rounding."""
    from scipy import linalg

    size = len(vertices)
    factored: Any = linalg.qr(vertices, mode="r", pivoting=True)
    chosen = factored[1][:size]
    try:
        inverse = np.linalg.inv(vertices[:, chosen])
    except np.linalg.LinAlgError:
        return np.eye(size), math.inf
    rounding = 4 * (size + 2) * _UNIT
    defect = np.abs(np.matmul(inverse, vertices[:, chosen]) - np.eye(size))
    defect += rounding * np.matmul(np.abs(inverse), np.abs(vertices[:, chosen]))
    loss = float(defect.sum(axis=0).max()) * (1 + rounding)
    return np.abs(inverse), (1 + rounding) / (1 - loss) if loss < 0.5 else math.inf


def _certified(matrices: np.ndarray, hull: _Hull, found: dict[int, list[np.ndarray]]) -> float:
    """max Σ|c| over outer vertices, each residual A_i v_j − V c expressed in n of them and added.

    A weight on an inner vertex counts as much as that vertex's own norm, which comes from its weights in turn.
    """
    vertices, many = hull.vertices, hull.count
    outer = np.setdiff1d(np.arange(many), list(hull.inner))
    inverse, factor = _inverse_of_some(vertices[:, outer])
    if not math.isfinite(factor):
        return math.inf
    rounding = 4 * (len(vertices) + many + 2) * _UNIT
    norms = np.ones(many)

    def norm(points: np.ndarray, extent: np.ndarray, rows: list[np.ndarray]) -> np.ndarray:
        weights = np.zeros((many, len(rows)))
        for column, row in enumerate(rows):
            weights[: len(row), column] = row
        residual = np.abs(points - np.matmul(vertices, weights))
        residual += rounding * (extent + np.matmul(np.abs(vertices), np.abs(weights))) + 1e-290
        rest = np.matmul(inverse, residual).sum(axis=0) * factor
        return (np.matmul(norms, np.abs(weights)) + rest) * (1 + rounding)

    for vertex, row in reversed(hull.inner.items()):
        point = vertices[:, [vertex]]
        norms[vertex] = norm(point, np.abs(point), [row])[0]
    worst = 0.0
    for vertex, rows in found.items():
        if vertex not in hull.inner:
            point = vertices[:, vertex]
            images, extent = np.matmul(matrices, point).T, np.matmul(np.abs(matrices), np.abs(point)).T
            worst = max(worst, float(norm(images, extent, rows).max()))
    return worst


def polytope_bound(
    matrices: np.ndarray, seeds: np.ndarray, radius: float, slack: float, limit: int
) -> tuple[float, int]:
    """A number that ρ̂ cannot exceed, and how many linear programs it took; infinite where no polytope was found.

    Args:
        matrices: shape (m, n, n), each right up to one unit of rounding in every entry.
        seeds: the first vertices, shape (n, s).
        radius: what ρ̂ is thought to be, > 0.
        slack: images up to (1 + slack) radius count as inside.
        limit: programs to solve, at most.
    """
    level = radius * (1 + slack)
    hull = _Hull(seeds)
    found = _growth(matrices, hull, level, 0, limit)
    if found is None:
        return math.inf, hull.programs
    left, values, _ = np.linalg.svd(hull.vertices)
    rank, first = int((values > 1e-9 * values[0]).sum()), hull.count
    for axis in left.T[rank:]:
        hull.add(axis * _SEED * values[0])
    more = _growth(matrices, hull, level, first, limit)
    if more is None:
        return math.inf, hull.programs
    return _certified(matrices, hull, found | more), hull.programs
