"""The one program that follows a branch: from a point near it, both ways, or no further than that point.

A start, a halved step and a point beside a bifurcation are branches of one point, so that a family of cells is
compiled once for all of them.
"""

import functools
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from rnn_dynamics.dynamics.return_map import ReturnMap
from rnn_dynamics.numerics import arclength
from rnn_dynamics.numerics.arclength import Curve, CurveStart, StepLimits
from rnn_dynamics.numerics.batching import power_of_two_above
from rnn_dynamics.numerics.compiling import lean

_FRACTION_FIRST, _FRACTION_LEAST = 0.005, 1e-9

# (guess, row, held) of ``arclength.CurveStart``.
Seed = tuple[Any, Any, Any]


def at_parameter(x: Any, parameter: Any) -> Seed:
    """Return the point of the branch at exactly this parameter."""
    y = np.append(x, parameter).astype(np.asarray(x).dtype)
    row = np.zeros_like(y)
    row[-1] = 1
    return y, row, np.int32(len(y) - 1)


def beside(centre: np.ndarray, tangent: np.ndarray, length: Any, scale: np.ndarray) -> Seed:
    """The point a length along a tangent; both in units of ``scale``."""
    row = (tangent / np.square(scale)).astype(centre.dtype)
    return (centre + length * tangent).astype(centre.dtype), row, np.int32(-1)


def limits_of(
    scale: np.ndarray, p_range: tuple[float, float], longest: float, first: float = _FRACTION_FIRST
) -> StepLimits:
    low, high = np.full_like(scale, -np.inf), np.full_like(scale, np.inf)
    low[-1], high[-1] = p_range
    steps = (min(first, longest), _FRACTION_LEAST, longest)
    return StepLimits(low, high, scale, *(np.asarray(v, scale.dtype) for v in steps))


def residual(whole: ReturnMap, y: Array, _: Any) -> Array:
    return whole.excess(y[:-1], whole(y[:-1], y[-1]))


@lean(static_argnums=4)
def _traced(whole: ReturnMap, seed: Any, limits: StepLimits, way: Any, room: int) -> Curve:
    """The curve through the point near ``seed``, to the side of its row or to the other."""
    system = functools.partial(residual, whole)
    start = CurveStart(seed[0], seed[1], seed[2], way)
    lengths = None if whole.lengths is None else (*whole.lengths, None)
    return arclength.trace(system, lambda _, context: context, start, (), limits, room, lengths=lengths)


def room_for(most: int, least: int = 1024) -> int:
    """Room for so many points and one on the boundary, a power of two: a few lengths for all branches."""
    return power_of_two_above(most + 1, least)


def _one_way(whole: ReturnMap, seed: Seed, limits: StepLimits, most: int, way: int, room: int) -> Curve:
    bounds = limits._replace(points=np.int32(most))
    return jax.device_get(_traced(whole, seed, bounds, np.asarray(way, limits.scale.dtype), room))


def both_ways(
    whole: ReturnMap, seed: Seed, limits: StepLimits, most: int, *, backward: bool = True
) -> tuple[Curve, Curve]:
    """The curve to the side of the seed's row, and to the other, each from the first point on."""
    forward = _one_way(whole, seed, limits, most, 1, room_for(most))
    if not backward or not forward.number:
        return forward, forward._replace(number=np.minimum(forward.number, 1))
    return forward, _one_way(whole, seed, limits, most, -1, room_for(most))


def onwards(whole: ReturnMap, seed: Seed, limits: StepLimits, points: int, most: int) -> Curve:
    """So many points of the curve to the side of the seed's row, by the program that follows ``most`` of them."""
    return _one_way(whole, seed, limits, points, 1, room_for(most))


def one_point(
    whole: ReturnMap, seed: Seed, scale: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """The point near ``seed``, the tangent there, and whether Newton's method found it."""
    curve = _one_way(whole, seed, limits_of(scale, (-np.inf, np.inf), 1.0), 1, 1, room_for(most))
    return curve.points[0], curve.tangents[0], bool(curve.number)
