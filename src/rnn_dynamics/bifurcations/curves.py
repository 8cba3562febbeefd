"""Curves of folds, flips and Neimark–Sacker bifurcations in two parameters, with the points of codimension two.

The systems of ``systems`` with a second free parameter have one equation less than unknowns; ``arclength`` follows
them, and their borders follow the null vectors. A cusp is an ordinary point of a curve of folds in (x, λ₁, λ₂):
only its picture in the parameters has a tip.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnn_dynamics import arclength
from rnn_dynamics.arclength import Curve, Limits
from rnn_dynamics.bifurcations import normal_forms, systems
from rnn_dynamics.bifurcations.points import BifurcationCurve, SpecialPoint
from rnn_dynamics.bifurcations.systems import Borders
from rnn_dynamics.iterates import ReturnMap, return_map
from rnn_dynamics.status import Status
from rnn_dynamics.validation import choice, count, real_array

__all__ = ["bifurcation_curve"]

_TESTS = {
    "fold": ("cusp", "1:1 resonance", "fold-flip"),
    "flip": ("generalized flip", "1:2 resonance", "fold-flip"),
    "neimark-sacker": ("chenciner", "1:1 resonance", "1:2 resonance", "1:3 resonance", "1:4 resonance"),
}
_MOST_SECANTS = 80


class _Frame(NamedTuple):
    """Null vectors of the first point, which the signs of later ones are compared with."""

    right: Array
    left: Array


def _matrix(kind: str, whole: ReturnMap, y: Array) -> Array:
    """The matrix that is singular along the curve."""
    size = whole.size
    matrix = systems.jacobian(whole, y[:size], y[size], y[size + 1])
    if kind == "neimark-sacker":
        return systems.quadratic(matrix, y[-1])
    return systems.shifted(matrix, jnp.full((), -1.0 if kind == "flip" else 1.0, y.dtype))


def _residual(kind: str, whole: ReturnMap, y: Array, borders: Borders) -> Array:
    size = whole.size
    x, parameters = y[:size], (y[size], y[size + 1])
    if kind == "neimark-sacker":
        return systems.neimark_sacker(whole, borders, y[-1], x, *parameters)
    multiplier = jnp.full((), -1.0 if kind == "flip" else 1.0, y.dtype)
    return systems.one_multiplier(whole, multiplier, borders, x, *parameters)


def _borders(kind: str, whole: ReturnMap, y: Array) -> Borders:
    left, _, right = jnp.linalg.svd(_matrix(kind, whole, y))
    columns = 2 if kind == "neimark-sacker" else 1
    return Borders(left[:, -columns:], right[-columns:].T)


@functools.partial(jax.jit, static_argnums=0)
def _begin(kind: str, whole: ReturnMap, y: Array, scale: Array) -> tuple[Array, Array, Array]:
    """The point of the curve at the given λ₂, its tangent, and whether Newton's method found it."""
    borders = _borders(kind, whole, y)
    row = jnp.zeros_like(y).at[whole.size + 1].set(1)
    found = arclength.correct(lambda z: _residual(kind, whole, z, borders), y, row, scale)
    return found.y, arclength.first_tangent(found.jacobian, scale, whole.size + 1), found.converged


@functools.partial(jax.jit, static_argnums=(0, 5))
def _both_ways(kind: str, whole: ReturnMap, y: Array, tangent: Array, limits: Limits, room: int) -> Curve:
    def refresh(z: Array, borders: Borders) -> Borders:
        return systems.followed(_matrix(kind, whole, z), borders)

    def one_way(direction: Array) -> Curve:
        system = functools.partial(_residual, kind, whole)
        return arclength.trace(system, refresh, y, direction, _borders(kind, whole, y), limits, room)

    return jax.vmap(one_way)(jnp.stack([tangent, -tangent]))


def _tests(kind: str, whole: ReturnMap, y: Array, frame: _Frame) -> tuple[Array, Array]:
    """The functions that vanish at the points of codimension two, and the normal form's coefficient."""
    size = whole.size
    x, parameters = y[:size], (y[size], y[size + 1])
    matrix = systems.jacobian(whole, x, *parameters)
    one = jnp.ones((), y.dtype)

    def function(z: Array) -> Array:
        return whole(z, *parameters)

    if kind == "neimark-sacker":
        cosine = y[-1]
        coefficient, _ = normal_forms.neimark_sacker_coefficient(function, x, matrix, cosine)
        return jnp.stack([coefficient, cosine - 1, cosine + 1, cosine + 0.5, cosine]), coefficient
    left, _, right = jnp.linalg.svd(systems.shifted(matrix, -one if kind == "flip" else one))
    q, p = right[-1], left[:, -1]
    q = jnp.where(jnp.sum(q * frame.right) < 0, -q, q)
    p = jnp.where(jnp.sum(p * frame.left) < 0, -p, p)
    overlap = jnp.sum(p * q)
    other = systems.shifted(matrix, one if kind == "flip" else -one)
    sign, log = jnp.linalg.slogdet(other)
    meeting = sign * jnp.exp(log / size)
    if kind == "flip":
        inner = jnp.linalg.solve(-other, normal_forms.second(function, x, q, q))
        cubic = normal_forms.third(function, x, q, q, q) + 3 * normal_forms.second(function, x, q, inner)
        first = jnp.sum(p * cubic) / 6
    else:
        first = jnp.sum(p * normal_forms.second(function, x, q, q)) / 2
    return jnp.stack([first, overlap, meeting]), first / jnp.where(overlap == 0, one, overlap)


@functools.partial(jax.jit, static_argnums=0)
def _all_tests(kind: str, whole: ReturnMap, points: Array, frame: _Frame) -> tuple[Array, Array]:
    return jax.vmap(lambda y: _tests(kind, whole, y, frame))(points)


@functools.partial(jax.jit, static_argnums=0)
def _at(
    kind: str, whole: ReturnMap, start: Array, tangent: Array, scale: Array, length: Array, frame: _Frame
) -> tuple[Array, Array, Array, Array]:
    """The point a length further along the curve, its tests, its error in the parameters, |F^p(x) − x|."""
    borders = _borders(kind, whole, start)
    row = tangent / jnp.square(scale)
    found = arclength.correct(
        lambda z: _residual(kind, whole, z, borders), start + length * tangent, row, scale
    )
    size = whole.size
    x = found.y[:size]
    matrix = jnp.concatenate([found.jacobian, row[None]])
    noise = 4 * float(jnp.finfo(scale.dtype).eps) * (1 + jnp.max(jnp.abs(x)))
    error = jnp.max(jnp.sum(jnp.abs(jnp.linalg.inv(matrix)), axis=1)[size : size + 2]) * noise
    image = whole(x, found.y[size], found.y[size + 1])
    return found.y, _tests(kind, whole, found.y, frame)[0], error, jnp.max(jnp.abs(image - x))


def _box(whole: ReturnMap, kind: str, ranges: tuple, state: np.ndarray, dtype: Any, longest: float) -> Limits:
    extra = 1 if kind == "neimark-sacker" else 0
    widths = [float(high - low) for low, high in ranges]
    size = max(float(np.abs(state).max(initial=0)), 1) * whole.size**0.5
    scale = np.array([size] * whole.size + widths + [1.0] * extra, dtype)
    low, high = np.full_like(scale, -np.inf), np.full_like(scale, np.inf)
    for k, (least, most) in enumerate(ranges):
        low[whole.size + k], high[whole.size + k] = least, most
    if extra:
        low[-1], high[-1] = -1, 1
    first, least, most = (np.asarray(v, dtype) for v in (min(0.005, longest), 1e-9, longest))
    return Limits(low, high, scale, first, least, most)


def bifurcation_curve(
    family: Any,
    kind: str,
    x: Any,
    parameters: tuple[Any, Any],
    *,
    ranges: tuple[tuple[Any, Any], tuple[Any, Any]],
    period: int = 1,
    u: Any = None,
    others: tuple = (),
    longest: float = 0.02,
    max_points: int = 500,
) -> BifurcationCurve:
    """Follow a bifurcation near (x, λ₁, λ₂) through the plane of two parameters, both ways, to the ranges' ends.

    Points of codimension two on it are located: cusps (the fold's coefficient is 0), generalized flips,
    Chenciner points, fold-flips, and resonances 1:1 (two multipliers 1), 1:2 (two −1), 1:3 and 1:4.

    Args:
        family: ``family(p1, p2, *others) -> cell``.
        kind: "fold", "flip" or "neimark-sacker".
        x: a state near the bifurcation, for instance ``event.state`` of a branch.
        parameters: (λ₁, λ₂) near it.
        ranges: ((low₁, high₁), (low₂, high₂)).
        period: p of the cycle.
        u: an input that is held.
        others: further parameters of the family.
        longest: longest step as a fraction of the ranges.
        max_points: the most points on each side of the start.

    Returns:
        ``BifurcationCurve``.

    Raises:
        TypeError, ValueError: arguments that do not fit; no such bifurcation near the start.

    Reference: Yu. A. Kuznetsov, "Elements of Applied Bifurcation Theory", chapters 9 and 10.
    """
    choice("kind", kind, tuple(_TESTS))
    room = count("max_points", max_points, minimum=2)
    start = np.asarray(real_array("parameters", parameters, shape=(2,)), float)
    box = np.asarray(real_array("ranges", ranges, shape=(2, 2)), float)
    if not ((box[:, 0] <= start) & (start <= box[:, 1]) & (box[:, 0] < box[:, 1])).all():
        raise ValueError(
            f"ranges: expected two of (low, high) that hold {tuple(start.tolist())}, got {box.tolist()}"
        )
    named = tuple(real_array("parameters", value) for value in parameters)
    whole, state = return_map(family, named, x, period=period, u=u, others=others)
    dtype = np.asarray(state).dtype
    y = np.concatenate([np.asarray(state), start]).astype(dtype)
    if kind == "neimark-sacker":
        y = np.append(y, _cosine(whole, y)).astype(dtype)
    limits = _box(whole, kind, tuple(map(tuple, box)), np.asarray(state), dtype, longest)
    y, tangent, converged = _begin(kind, whole, jnp.asarray(y), limits.scale)
    if not converged:
        raise ValueError(f"x: found no {kind} near it at λ₂ = {start[1]:g}")
    return _followed(kind, whole, y, tangent, limits, room)


def _cosine(whole: ReturnMap, y: np.ndarray) -> float:
    """cos θ of the complex multiplier nearest the unit circle."""
    matrix = np.asarray(_jacobian_at(whole, y))
    values = np.linalg.eigvals(matrix)
    values = values[values.imag > 0]
    if not values.size:
        raise ValueError("x: expected a complex multiplier there for a Neimark–Sacker curve, all are real")
    nearest = values[np.argmin(np.abs(np.abs(values) - 1))]
    return float(nearest.real / abs(nearest))


@jax.jit
def _jacobian_at(whole: ReturnMap, y: Array) -> Array:
    return systems.jacobian(whole, y[: whole.size], y[whole.size], y[whole.size + 1])


def _followed(
    kind: str, whole: ReturnMap, y: Array, tangent: Array, limits: Limits, room: int
) -> BifurcationCurve:
    curves = jax.tree_util.tree_map(np.asarray, _both_ways(kind, whole, y, tangent, limits, room))
    ahead, back = (Curve(*(leaf[i] for leaf in curves)) for i in (0, 1))
    closed = bool(ahead.closed)
    behind = 1 if closed else int(back.number)
    points = np.concatenate([back.points[1:behind][::-1], ahead.points[: int(ahead.number)]])
    tangents = np.concatenate([-back.tangents[1:behind][::-1], ahead.tangents[: int(ahead.number)]])
    first = _borders_at(kind, whole, jnp.asarray(points[0]))
    frames = _carried(kind, whole, points, first)
    tests, coefficient = frames
    events = _codimension_two(kind, whole, points, tangents, tests, limits.scale)
    size = whole.size
    angle = (
        np.arccos(np.clip(points[:, -1], -1, 1)) if kind == "neimark-sacker" else np.full(len(points), np.nan)
    )
    ends = (ahead.status, ahead.status) if closed else (back.status, ahead.status)
    return BifurcationCurve(
        kind,
        points[:, size : size + 2],
        points[:, :size].reshape(len(points), *whole.shape),
        coefficient,
        angle,
        events,
        whole.steps,
        (Status(int(ends[0])), Status(int(ends[1]))),
        closed,
    )


@functools.partial(jax.jit, static_argnums=0)
def _borders_at(kind: str, whole: ReturnMap, y: Array) -> Borders:
    return _borders(kind, whole, y)


@functools.partial(jax.jit, static_argnums=0)
def _null_vectors(kind: str, whole: ReturnMap, points: Array) -> Borders:
    return jax.vmap(lambda y: _borders(kind, whole, y))(points)


def _padded(points: np.ndarray) -> np.ndarray:
    length = 1 << max(6, (len(points) - 1).bit_length())
    return np.concatenate([points, np.repeat(points[-1:], length - len(points), axis=0)])


def _carried(
    kind: str, whole: ReturnMap, points: np.ndarray, first: Borders
) -> tuple[np.ndarray, np.ndarray]:
    """Tests and coefficients along the curve, the null vectors' signs carried from point to point."""
    number, rows = len(points), jnp.asarray(_padded(points))
    frame = _Frame(first.right[:, 0], first.left[:, 0])
    tests, coefficient = (np.array(v)[:number] for v in _all_tests(kind, whole, rows, frame))
    if kind == "neimark-sacker":
        return tests, coefficient
    borders = _null_vectors(kind, whole, rows)
    right, left = (np.asarray(v)[:number, :, 0] for v in (borders.right, borders.left))
    turned = []
    for vectors, start in ((right, frame.right), (left, frame.left)):
        aligned = np.where(
            np.sum(vectors * np.asarray(start)[None], axis=1) < 0, -1, 1
        )  # the sign that ``_tests`` chose
        steps = np.where(np.sum(vectors[1:] * vectors[:-1], axis=1) < 0, -1, 1)
        carried = np.concatenate([[1], np.cumprod(steps)]) * aligned[0]
        turned.append(carried * aligned)
    q, p = turned
    tests[:, 0] *= p if kind == "fold" else p * q
    tests[:, 1] *= p * q
    coefficient *= q if kind == "fold" else 1
    return tests, coefficient


def _codimension_two(
    kind: str, whole: ReturnMap, points: np.ndarray, tangents: np.ndarray, tests: np.ndarray, scale: Any
) -> tuple[SpecialPoint, ...]:
    found = []
    for i in range(len(points) - 1):
        for k, name in enumerate(_TESTS[kind]):
            if tests[i, k] * tests[i + 1, k] < 0 and np.isfinite(tests[i : i + 2, k]).all():
                found.append(_located(kind, name, k, whole, points[i : i + 2], tangents[i], scale, i))
    return tuple(found)


def _located(
    kind: str,
    name: str,
    k: int,
    whole: ReturnMap,
    pair: np.ndarray,
    tangent: np.ndarray,
    scale: Any,
    index: int,
) -> SpecialPoint:
    """The zero of a test between two neighbours, by secants kept inside a bracket (Illinois)."""
    borders = _borders_at(kind, whole, jnp.asarray(pair[0]))
    frame = _Frame(borders.right[:, 0], borders.left[:, 0])
    whole_length = np.sum((pair[1] - pair[0]) / scale * (tangent / scale))

    def at(length: float) -> tuple[np.ndarray, float, float, float]:
        y, tests, error, residual = _at(
            kind, whole, pair[0], tangent, scale, np.asarray(length, pair.dtype), frame
        )
        return np.asarray(y), float(tests[k]), float(error), float(residual)

    low, high = 0.0, float(whole_length)
    f_low, f_high = at(low)[1], at(high)[1]
    middle, best = 0.5 * (low + high), at(0.5 * (low + high))
    for _ in range(_MOST_SECANTS):
        if high - low <= 4 * float(np.finfo(pair.dtype).eps) * abs(whole_length) or best[1] == 0:
            break
        middle = (low * f_high - high * f_low) / (f_high - f_low) if f_high != f_low else 0.5 * (low + high)
        middle = middle if low < middle < high else 0.5 * (low + high)
        best = at(middle)
        if (best[1] > 0) == (f_low > 0):
            low, f_low, f_high = middle, best[1], f_high / 2
        else:
            high, f_high, f_low = middle, best[1], f_low / 2
    y, _, error, residual = best
    size = whole.size
    values = np.linalg.eigvals(np.asarray(_jacobian_at(whole, y)))
    done = bool(np.isfinite(y).all())
    x = y[:size].reshape(whole.shape)
    return SpecialPoint(
        name,
        (float(y[size]), float(y[size + 1])),
        x if x.ndim else float(x),
        error,
        residual,
        Status.CONVERGED if done else Status.UNRESOLVED,
        values,
        index=index,
    )
