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

import numpy as np

__all__ = ["polytope_bound"]

_MOST_VERTICES = 300
_UNIT = 2.0**-52
_SEED = 1e-2
_DUALS = 40
_IMAGES = 10


class _Hull:
    """Vertices (columns) of a polytope symmetric about 0, and what earlier programs taught about what is outside."""

    def __init__(self, vertices: np.ndarray) -> None:
        self.vertices, self.programs = vertices, 0
        self.planes = np.zeros((0, len(vertices)))

    def add(self, vertex: np.ndarray) -> None:
        self.vertices = np.column_stack([self.vertices, vertex])

    def is_outside(self, point: np.ndarray, level: float) -> bool:
        """Whether a plane found earlier separates the point from ``level`` times the polytope."""
        if not len(self.planes):
            return False
        reach = np.abs(np.matmul(self.planes, self.vertices)).max(axis=1)
        return bool((np.abs(np.matmul(self.planes, point)) > level * reach * (1 + 1e-7)).any())

    def weights(self, point: np.ndarray, level: float) -> np.ndarray:
        """c with V c = point and Σ|c| near its minimum; least squares where that already is below ``level``."""
        spread = np.linalg.lstsq(self.vertices, point, rcond=1e-12)[0]
        if np.abs(spread).sum() <= level and self._meets(spread, point):
            return spread
        found = self._program(point)
        return spread if found is None else found

    def _meets(self, weights: np.ndarray, point: np.ndarray) -> bool:
        distance = np.abs(np.matmul(self.vertices, weights) - point).max()
        return bool(distance <= 1e-12 * np.abs(point).max())

    def _program(self, point: np.ndarray) -> np.ndarray | None:
        from scipy.optimize import linprog

        self.programs += 1
        scale = float(np.abs(point).max())
        sides = np.hstack([self.vertices, -self.vertices])
        found = linprog(np.ones(sides.shape[1]), A_eq=sides, b_eq=point / scale, method="highs")
        if found.x is None:
            return None
        self.planes = np.vstack([self.planes, found.eqlin.marginals])[-_DUALS:]
        half = sides.shape[1] // 2
        rough = (found.x[:half] - found.x[half:]) * scale
        # The program ends within 1e-7 of feasibility; on its support the equations are solved anew.
        support = np.argsort(-np.abs(rough), kind="stable")[: len(point)]
        support = support[rough[support] != 0]
        exact = np.zeros(half)
        exact[support] = np.linalg.lstsq(self.vertices[:, support], point, rcond=None)[0]
        return exact if self._meets(exact, point) else rough


def _growth(matrices: np.ndarray, hull: _Hull, level: float, first: int, limit: int) -> list[np.ndarray] | None:
    """The weights of A_i v_j for all vertices from ``first`` on, those outside added; None if it does not end."""
    found, vertex = [], first
    reach = 1e8 * np.abs(hull.vertices).max()
    while vertex < hull.vertices.shape[1]:
        for image in np.matmul(matrices, hull.vertices[:, vertex]):
            if hull.programs > limit or len(found) > _IMAGES * limit or hull.vertices.shape[1] > _MOST_VERTICES:
                return None
            weights = np.zeros(hull.vertices.shape[1])
            if image.any():
                outside = hull.is_outside(image, level)
                weights = weights if outside else hull.weights(image, level)
                if outside or not (hull._meets(weights, image) and np.abs(weights).sum() <= level):
                    hull.add(image / level)
                    weights = np.append(np.zeros(hull.vertices.shape[1] - 1), level)
            if np.abs(image).max() > reach:
                return None
            found.append(weights)
        vertex += 1
    return found


def _certified(matrices: np.ndarray, vertices: np.ndarray, found: list[np.ndarray]) -> float:
    """max Σ|c| with each residual A_i v_j − V c expressed in n of the vertices and added, rounding included."""
    from scipy import linalg

    size, many = vertices.shape
    chosen = linalg.qr(vertices, mode="r", pivoting=True)[1][:size]
    try:
        inverse = np.linalg.inv(vertices[:, chosen])
    except np.linalg.LinAlgError:
        return math.inf
    rounding = 4 * (size + many + 2) * _UNIT
    product = np.matmul(np.abs(inverse), np.abs(vertices[:, chosen]))
    defect = np.abs(np.matmul(inverse, vertices[:, chosen]) - np.eye(size)) + rounding * product
    loss = float(defect.sum(axis=0).max())
    if not loss < 0.5:
        return math.inf
    weights = np.zeros((many, len(found)))
    for column, row in enumerate(found):
        weights[: len(row), column] = row
    # Images in the order in which they were looked at: vertex by vertex, in it matrix by matrix.
    images = np.einsum("iab,bj->aji", matrices, vertices).reshape(size, -1)
    extent = np.einsum("iab,bj->aji", np.abs(matrices), np.abs(vertices)).reshape(size, -1)
    residual = np.abs(images - np.matmul(vertices, weights))
    residual += rounding * (extent + np.matmul(np.abs(vertices), np.abs(weights))) + 1e-290
    outside = np.matmul(np.abs(inverse), residual).sum(axis=0) / (1 - loss)
    return float((np.abs(weights).sum(axis=0) + outside).max()) * (1 + rounding)


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
    rank = int((values > 1e-9 * values[0]).sum())
    first = hull.vertices.shape[1]
    for axis in left.T[rank:]:
        hull.add(axis * _SEED * values[0])
    more = _growth(matrices, hull, level, first, limit)
    if more is None:
        return math.inf, hull.programs
    return _certified(matrices, hull.vertices, found + more), hull.programs
