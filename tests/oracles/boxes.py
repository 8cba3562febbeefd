"""All fixed points of x = tanh(W x + b) in a box by Krawczyk's operator in ball arithmetic, proved."""

import flint
import numpy as np

Box = list[tuple[float, float]]


def _ball(low: float, high: float) -> flint.arb:
    return flint.arb((low + high) / 2, (high - low) / 2 * (1 + 1e-12) + 1e-300)


def _excess(weights: np.ndarray, bias: np.ndarray, x: list) -> tuple[list, list]:
    """x − tanh(W x + b) and its Jacobian over balls."""
    n = len(x)
    values, rows = [], []
    for i in range(n):
        inner = flint.arb(float(bias[i]))
        for j in range(n):
            inner += flint.arb(float(weights[i, j])) * x[j]
        image = inner.tanh()
        slope = 1 - image**2
        values.append(x[i] - image)
        rows.append([flint.arb(int(i == j)) - slope * flint.arb(float(weights[i, j])) for j in range(n)])
    return values, rows


def _krawczyk(weights: np.ndarray, bias: np.ndarray, box: Box) -> str:
    """ "none", "one" or "split" for a box."""
    x = [_ball(*side) for side in box]
    values, jacobian = _excess(weights, bias, x)
    if any(not value.contains(0) for value in values):
        return "none"
    middle = [flint.arb(side.mid()) for side in x]
    at, _ = _excess(weights, bias, middle)
    approximate = np.array([[float(entry.mid()) for entry in row] for row in jacobian])
    if not np.isfinite(approximate).all() or abs(np.linalg.det(approximate)) < 1e-12:
        return "split"
    inverse = [[flint.arb(float(v)) for v in row] for row in np.linalg.inv(approximate)]
    n = len(x)
    image = []
    for i in range(n):
        side = middle[i]
        for j in range(n):
            side -= inverse[i][j] * at[j]
            entry = flint.arb(int(i == j))
            for k in range(n):
                entry -= inverse[i][k] * jacobian[k][j]
            side += entry * (x[j] - middle[j])
        image.append(side)
    if any(not side.overlaps(given) for side, given in zip(image, x, strict=True)):
        return "none"
    inside = all(given.contains_interior(side) for side, given in zip(image, x, strict=True))
    return "one" if inside else "split"


def tanh_fixed_points(weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The fixed points as centres of boxes, each of which holds exactly one; shape (m, n).

    Raises:
        RuntimeError: a box could not be decided, as at a multiple root.
    """
    n = len(bias)
    waiting: list[Box] = [[(-1.001, 1.0)] * n]
    found: list[np.ndarray] = []
    for _ in range(200_000):
        if not waiting:
            return _once(np.array(found).reshape(-1, n))
        box = waiting.pop()
        verdict = _krawczyk(weights, bias, box)
        if verdict == "one":
            # Newton from the centre of a box with one root; the caller compares at 1e-8.
            found.append(_newton(weights, bias, np.array([(a + b) / 2 for a, b in box])))
        elif verdict == "split":
            wide = max(range(n), key=lambda i: box[i][1] - box[i][0])
            low, high = box[wide]
            if high - low < 1e-9:
                break
            # Not at the middle: a root on the border would be in neither interior.
            cut = low + (high - low) * 0.4871
            waiting += [[*box[:wide], part, *box[wide + 1 :]] for part in ((low, cut), (cut, high))]
    raise RuntimeError("a box could not be decided")


def _newton(weights: np.ndarray, bias: np.ndarray, x: np.ndarray) -> np.ndarray:
    for _ in range(30):
        image = np.tanh(weights @ x + bias)
        jacobian = np.eye(len(x)) - (1 - image**2)[:, None] * weights
        x = x - np.linalg.solve(jacobian, x - image)
    return x


def _once(points: np.ndarray) -> np.ndarray:
    """Neighbouring boxes may both prove the root on their common border."""
    kept: list[np.ndarray] = []
    for point in points:
        if all(np.max(np.abs(point - other)) > 1e-10 for other in kept):
            kept.append(point)
    return np.array(kept).reshape(-1, points.shape[1])
