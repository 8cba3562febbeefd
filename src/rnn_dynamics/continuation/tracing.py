"""The one program that follows a branch: from a point near it, both ways, or no further than that point.

A start, a halved step and a point beside a bifurcation are branches of one point, so that a family of cells is
compiled once for all of them.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnn_dynamics import arclength
from rnn_dynamics.arclength import Curve, Limits, Start
from rnn_dynamics.iterates import ReturnMap

__all__ = ["Seed", "at_parameter", "beside", "both_ways", "limits_of", "one_point", "residual", "room_for"]

_FRACTION_FIRST, _FRACTION_LEAST = 0.005, 1e-9

# (guess, row, held) of ``arclength.Start``.
Seed = tuple[Any, Any, Any]


def at_parameter(x: Any, parameter: Any) -> Seed:
    """The point of the branch at exactly this parameter."""
    y = np.append(x, parameter).astype(np.asarray(x).dtype)
    row = np.zeros_like(y)
    row[-1] = 1
    return y, row, np.int32(len(y) - 1)


def beside(centre: np.ndarray, tangent: np.ndarray, length: Any, scale: np.ndarray) -> Seed:
    """The point a length along a tangent; both in units of ``scale``."""
    row = (tangent / np.square(scale)).astype(centre.dtype)
    return (centre + length * tangent).astype(centre.dtype), row, np.int32(-1)


def limits_of(scale: np.ndarray, p_range: tuple[float, float], longest: float) -> Limits:
    low, high = np.full_like(scale, -np.inf), np.full_like(scale, np.inf)
    low[-1], high[-1] = p_range
    steps = (min(_FRACTION_FIRST, longest), _FRACTION_LEAST, longest)
    return Limits(low, high, scale, *(np.asarray(v, scale.dtype) for v in steps))


def residual(whole: ReturnMap, y: Array, _: Any) -> Array:
    return whole(y[:-1], y[-1]) - y[:-1]


def traced(whole: ReturnMap, seed: Any, limits: Limits, points: Array, room: int) -> Curve:
    """The curve through the point near ``seed`` to the side of its row and to the other, leading axis 2."""
    system = functools.partial(residual, whole)

    def one_way(way: tuple[Array, Array]) -> Curve:
        start = Start(seed[0], seed[1], seed[2], way[0])
        bounds = limits._replace(points=way[1])
        return arclength.trace(system, lambda _, context: context, start, (), bounds, room)

    return jax.lax.map(one_way, (jnp.array([1, -1], limits.scale.dtype), points))


_traced = functools.partial(jax.jit, static_argnums=4)(traced)


def room_for(most: int, least: int = 1024) -> int:
    """Room for so many points and one on the boundary, a power of two: a few lengths for all branches."""
    return max(least, 1 << most.bit_length())


def both_ways(
    whole: ReturnMap, seed: Seed, limits: Limits, most: int, *, backward: bool = True
) -> tuple[Curve, Curve]:
    """The curve to the side of the seed's row, and to the other, each from the first point on."""
    points = np.array([most, most if backward else 1], np.int32)
    curves = jax.device_get(_traced(whole, seed, limits, points, room_for(most)))
    forward, back = (Curve(*(leaf[i] for leaf in curves)) for i in (0, 1))
    return forward, back


def one_point(
    whole: ReturnMap, seed: Seed, scale: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """The point near ``seed``, the tangent there, and whether Newton's method found it."""
    limits = limits_of(scale, (-np.inf, np.inf), 1.0)
    curve = Curve(*(leaf[0] for leaf in _traced(whole, seed, limits, np.ones(2, np.int32), room_for(most))))
    return np.asarray(curve.points[0]), np.asarray(curve.tangents[0]), bool(curve.number)
