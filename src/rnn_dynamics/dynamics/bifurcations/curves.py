"""Curves of folds, flips and Neimark–Sacker bifurcations in two parameters.

The systems of ``systems`` with a second free parameter have one equation less than unknowns, and ``arclength``
follows them. A cusp is an ordinary point of a curve of folds in (x, λ₁, λ₂): only its picture in the parameters has
a tip.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnn_dynamics.dynamics.bifurcations import systems
from rnn_dynamics.dynamics.bifurcations.codimension_two import TESTS, TestedCurve, events_along, tested
from rnn_dynamics.dynamics.bifurcations.locate import jacobian_at, nearest_pair
from rnn_dynamics.dynamics.bifurcations.points import BifurcationCurve
from rnn_dynamics.dynamics.return_map import ReturnMap, return_map
from rnn_dynamics.numerics import arclength
from rnn_dynamics.numerics.arclength import Curve, CurveStart, StepLimits
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.validation import choice, count, positive, real_array


def _residual(kind: str, whole: ReturnMap, y: Array, partner: Array) -> Array:
    if kind == "neimark-sacker":
        return systems.neimark_sacker(whole, partner, y)
    return systems.one_multiplier(whole, jnp.full((), -1.0 if kind == "flip" else 1.0, y.dtype), y)


@lean(static_argnums=(0, 6))
def _traced(
    kind: str, whole: ReturnMap, seed: Any, partner: Array, limits: StepLimits, way: Array, room: int
) -> Curve:
    """The curve through the point near ``seed``, to the side of its row or to the other."""

    def refresh(y: Array, partner: Array) -> Array:
        return systems.plane_partner(whole, y) if kind == "neimark-sacker" else partner

    system = functools.partial(_residual, kind, whole)
    start = CurveStart(seed[0], seed[1], seed[2], way)
    lengths = None
    if whole.lengths is not None:
        lengths = (*whole.lengths, *(None,) * (limits.scale.shape[0] - whole.size))
    return arclength.trace(system, refresh, start, partner, limits, room, lengths=lengths)


def _limits(whole: ReturnMap, kind: str, box: np.ndarray, state: np.ndarray, longest: float) -> StepLimits:
    pair = kind == "neimark-sacker"
    size = max(float(np.abs(state).max(initial=0)), 1) * whole.size**0.5
    scale = [size] * whole.size + [1.0] * (whole.size + pair) + (box[:, 1] - box[:, 0]).tolist()
    low, high = np.full(len(scale), -np.inf), np.full(len(scale), np.inf)
    low[-2:], high[-2:] = box.T
    if pair:
        low[-3], high[-3] = -1, 1
    parts = (low, high, scale, min(0.005, longest), 1e-9, longest)
    return StepLimits(*(np.asarray(part, state.dtype) for part in parts))


def _guess(
    kind: str, whole: ReturnMap, x: np.ndarray, parameters: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """y near the curve, and c of the Neimark–Sacker system."""
    matrix = np.asarray(jacobian_at(whole, x, *parameters))
    if kind == "neimark-sacker":
        cosine = nearest_pair(matrix)
        if cosine is None:
            raise ValueError(
                "x: expected a complex multiplier there for a Neimark–Sacker curve, all are real"
            )
        partner, v = systems.nearest_null_vectors(systems.quadratic(matrix, cosine), 2)[0]
        return np.concatenate([x, v, [cosine], parameters]).astype(x.dtype), partner.astype(x.dtype)
    eye = np.eye(len(x), dtype=x.dtype)
    v = systems.nearest_null_vectors(matrix + eye if kind == "flip" else matrix - eye)[0][0]
    return np.concatenate([x, v, parameters]).astype(x.dtype), np.zeros_like(x)


def bifurcation_curve(
    family: Any,
    kind: str,
    x: Any,
    parameters: tuple[Any, Any],
    *,
    ranges: tuple[tuple[Any, Any], tuple[Any, Any]],
    period: int = 1,
    u: Any = None,
    inputs: Any = None,
    others: tuple = (),
    longest: float = 0.02,
    max_points: int = 500,
    topology: Any = None,
) -> BifurcationCurve:
    """Follow a bifurcation near (x, λ₁, λ₂) through the plane of two parameters, both ways, to the ranges' ends.

    Newton's method goes there from the given point with λ₂ held, or λ₁ where that fails.

    Points of codimension two on it are located: cusps, generalized flips and Chenciner points (the coefficient of a
    fold, flip or Neimark–Sacker bifurcation is 0), meetings of two bifurcations (fold-flip, fold-Neimark–Sacker,
    flip-Neimark–Sacker, double Neimark–Sacker), and the resonances 1:1 (two multipliers 1), 1:2 (two −1), 1:3 and
    1:4. A Neimark–Sacker curve ends at a resonance 1:1 or 1:2.

    Args:
        family: ``family(p1, p2, *others) -> cell``.
        kind: "fold", "flip" or "neimark-sacker".
        x: a state near the bifurcation, for instance ``event.state`` of a branch.
        parameters: (λ₁, λ₂) near it.
        ranges: ((low₁, high₁), (low₂, high₂)).
        period: p of the cycle.
        u: an input that is held.
        inputs: a periodic input instead, leading axis q: the map is then q steps long, and p counts multiples of q.
        others: further parameters of the family.
        longest: longest step as a fraction of the ranges.
        max_points: the most points on each side of the start.
        topology: one entry for each coordinate, or one for all: the length L > 0 of a coordinate taken modulo L
            (2π, 1, 360), ``None`` for one on the line.

    Returns:
        ``BifurcationCurve``.

    Raises:
        TypeError, ValueError: arguments that do not fit; no such bifurcation near the start.

    Reference: Yu. A. Kuznetsov, "Elements of Applied Bifurcation Theory", chapters 9 and 10.
    """
    choice("kind", kind, tuple(TESTS))
    widest = positive("longest", longest)
    room = count("max_points", max_points, minimum=2)
    start = np.asarray(real_array("parameters", parameters, shape=(2,)), float)
    box = np.asarray(real_array("ranges", ranges, shape=(2, 2)), float)
    if not ((box[:, 0] <= start) & (start <= box[:, 1]) & (box[:, 0] < box[:, 1])).all():
        raise ValueError(
            f"ranges: expected two of (low, high) that hold {tuple(start.tolist())}, got {box.tolist()}"
        )
    named = tuple(real_array("parameters", value) for value in parameters)
    rest: dict[str, Any] = {
        "period": period,
        "u": u,
        "inputs": inputs,
        "others": others,
        "topology": topology,
    }
    whole, state = return_map(family, named, x, **rest)
    state = np.asarray(state)
    guess, partner = _guess(kind, whole, state, start.astype(state.dtype))
    limits = _limits(whole, kind, box, state, widest)

    def traced(seed: tuple, partner: np.ndarray, points: int = room, way: int = 1) -> Curve:
        bounds = limits._replace(points=np.int32(points))
        side = np.asarray(way, state.dtype)
        return jax.device_get(_traced(kind, whole, seed, partner, bounds, side, room))

    for held in (len(guess) - 1, len(guess) - 2):  # a curve along one of the axes is met by the other alone
        seed = (guess, (np.arange(len(guess)) == held).astype(state.dtype), np.int32(held))
        ahead = traced(seed, partner)
        if ahead.number:
            back = traced(seed, partner, way=-1)
            return _assembled(TestedCurve(kind, whole, limits.scale, traced), ahead, back)
    raise ValueError(f"x: found no {kind} near it at λ₁ = {start[0]:g} or λ₂ = {start[1]:g}")


def _assembled(line: TestedCurve, ahead: Curve, back: Curve) -> BifurcationCurve:
    whole, closed = line.whole, bool(ahead.closed)
    behind = 1 if closed else int(back.number)
    points = np.concatenate([back.points[1:behind][::-1], ahead.points[: int(ahead.number)]])
    tangents = np.concatenate([-back.tangents[1:behind][::-1], ahead.tangents[: int(ahead.number)]])
    tests, coefficient = tested(line, points)
    angle = np.full(len(points), np.nan)
    if line.kind == "neimark-sacker":
        angle = np.arccos(np.clip(points[:, -3], -1, 1))
    ends = (ahead.status, ahead.status) if closed else (back.status, ahead.status)
    return BifurcationCurve(
        line.kind,
        points[:, -2:],
        points[:, : whole.size].reshape(len(points), *whole.shape),
        coefficient,
        angle,
        events_along(line, points, tangents, tests),
        whole.period,
        (Status(int(ends[0])), Status(int(ends[1]))),
        closed,
    )
