"""A polygon that grows at its end, with Hermite's cubics between its points."""

import bisect

import numpy as np
from jaxtyping import Float

from rnn_dynamics.dynamics.manifolds.results import Side
from rnn_dynamics.numerics.status import Status


class Polyline:
    """A polygon that keeps points at least ``least`` apart, measured along all that were added."""

    def __init__(self, start: Float[np.ndarray, " n"], least: float) -> None:
        self.states, self.along = [start[None]], [np.zeros(1)]
        self.last, self.length, self.least = start, 0.0, least
        self.count = 1

    def __len__(self) -> int:
        return self.count

    def add(self, states: Float[np.ndarray, "m n"]) -> None:
        """More points at the end."""
        if not len(states):
            return
        steps = np.linalg.norm(np.diff(np.concatenate([self.last[None], states]), axis=0), axis=1)
        along = self.length + np.cumsum(steps)
        keep = np.diff(np.floor(along / self.least), prepend=np.floor(self.length / self.least)) > 0
        self.states.append(states[keep])
        self.along.append(along[keep])
        self.count += int(keep.sum())
        self.last, self.length = states[-1], float(along[-1])

    def side(
        self, length: float, status: Status, shape: tuple[int, ...], limit: np.ndarray | None = None
    ) -> Side:
        """The points up to the length, and the last one where it was left out."""
        states, along = np.concatenate(self.states), np.concatenate(self.along)
        if (states[-1] != self.last).any():
            states, along = np.vstack([states, self.last]), np.append(along, self.length)
        stop = min(int(np.searchsorted(along, length)) + 1, len(states))
        reached = float(along[stop - 1]) >= length
        ended = None if limit is None or reached else limit.reshape(shape)
        status = Status.CONVERGED if reached else status
        return Side(states[:stop].reshape(stop, *shape), along[:stop], status, ended)


class Spline:
    """A curve of points with unit tangents at distances ``along`` of the polygon through them."""

    def __init__(self, points: Float[np.ndarray, "m n"], tangents: Float[np.ndarray, "m n"]) -> None:
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        self.points, self.tangents = list(points), list(tangents)
        self.along = [0.0, *np.cumsum(steps).tolist()]

    @property
    def length(self) -> float:
        """The length of the polygon."""
        return self.along[-1]

    def add(self, point: Float[np.ndarray, " n"], tangent: Float[np.ndarray, " n"]) -> None:
        """One more point at the end."""
        self.along.append(self.along[-1] + float(np.linalg.norm(point - self.points[-1])))
        self.points.append(point)
        self.tangents.append(tangent)

    def at(self, s: float) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Return C(s) and C′(s), beyond the ends on the tangents."""
        if s <= 0 or s >= self.length:
            i = 0 if s <= 0 else -1
            return self.points[i] + (s - self.along[i]) * self.tangents[i], self.tangents[i]
        i = bisect.bisect_right(self.along, s) - 1
        h = self.along[i + 1] - self.along[i]
        r = (s - self.along[i]) / h
        a, b, m, k = self.points[i], self.points[i + 1], h * self.tangents[i], h * self.tangents[i + 1]
        value = a + r * (m + r * (3 * (b - a) - 2 * m - k + r * (m + k - 2 * (b - a))))
        slope = (m + r * (2 * (3 * (b - a) - 2 * m - k) + 3 * r * (m + k - 2 * (b - a)))) / h
        return value, slope
