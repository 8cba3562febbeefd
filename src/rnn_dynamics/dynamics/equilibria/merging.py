"""Which of many states are the same one: leaders in order along a random line, no matrix of distances."""

import bisect

import numpy as np
from jaxtyping import Float, Int

from rnn_dynamics.dynamics.phases import Lengths, apart, embedded


def _line(points: Float[np.ndarray, "count n"]) -> Float[np.ndarray, " count"]:
    """Positions along one fixed random direction: closer together than the points are."""
    direction = np.random.default_rng(0).normal(size=points.shape[1])
    return np.dot(points, direction / np.linalg.norm(direction))


def same_points(
    points: Float[np.ndarray, "count n"],
    radius: Float[np.ndarray, " count"],
    order: Int[np.ndarray, " count"],
    lengths: Lengths | None = None,
) -> Int[np.ndarray, " count"]:
    """The leader of each point: the first in ``order`` within the sum of both radii, in the maximum norm.

    Args:
        points: states.
        radius: the error of each.
        order: from the best to the worst; leaders are taken in this order.
        lengths: of the coordinates that are phases; there the shorter way round counts.

    Memory is O(count); the work is that of the leaders near each point along a random line.
    """
    leader = np.arange(len(points))
    if len(points) < 2:
        return leader
    position = _line(embedded(points, lengths))
    largest = 0.0
    places: list[float] = []
    names: list[int] = []
    stretch = np.sqrt(points.shape[1])
    for i in order:
        reach = stretch * (radius[i] + largest) * 1.01
        low = bisect.bisect_left(places, position[i] - reach)
        high = bisect.bisect_right(places, position[i] + reach)
        near = np.asarray(names[low:high], int)
        if near.size:
            gaps = apart(points[near], points[i], lengths)
            close = gaps <= radius[near] + radius[i]
            if close.any():
                leader[i] = near[np.argmin(np.where(close, gaps, np.inf))]
                continue
        place = bisect.bisect_left(places, position[i])
        places.insert(place, float(position[i]))
        names.insert(place, int(i))
        largest = max(largest, float(radius[i]))
    return leader


def clusters(
    points: Float[np.ndarray, "count n"], radius: float, lengths: Lengths | None = None
) -> Int[np.ndarray, " count"]:
    """A cluster number for each point: points of a cluster are within 2 ``radius`` of its leader.

    Points that share a cell of a grid are put together first, so that thousands that ended in one place cost
    a sort.
    """
    if not len(points):
        return np.zeros(0, int)
    cells = np.floor(points / radius)
    _, first, cell = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    kept = points[first]
    leaders = same_points(kept, np.full(len(kept), radius / 2), np.arange(len(kept)), lengths)
    return np.unique(leaders, return_inverse=True)[1][cell.reshape(-1)]


def members_to_keep(points: Float[np.ndarray, "count n"], cluster: Int[np.ndarray, " count"]) -> np.ndarray:
    """Up to four members of each cluster: the extreme ones along two directions.

    Two roots closer together than the clusters are wide are then both found.
    """
    if not len(points):
        return np.zeros(0, int)
    kept = []
    for seed in (0, 1):
        direction = np.random.default_rng(seed).normal(size=points.shape[1])
        position = np.dot(points, direction)
        order = np.lexsort((position, cluster))
        starts = np.flatnonzero(np.diff(cluster[order], prepend=-1))
        ends = np.append(starts[1:], len(order)) - 1
        kept += [order[starts], order[ends]]
    return np.unique(np.concatenate(kept))
