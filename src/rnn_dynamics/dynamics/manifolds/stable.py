"""The stable set of a saddle, grown without an inverse: each new point is one whose image is on the curve already.

Let C(s) be the part that is there, s its length. The curve of points (p, s) with F(p) = C(s) is followed by
pseudo-arclength beyond the end of C; between the points C is a cubic. An error across the curve shrinks by the
unstable multiplier with every point that is computed from it. F need be neither invertible nor one-to-one: where
∂F/∂p is singular s turns back and p goes on.

Reference: J. England, B. Krauskopf, H. Osinga, "Computing one-dimensional stable manifolds and stable sets of
planar maps without the inverse", SIAM Journal on Applied Dynamical Systems 3, 2004; they search along a circle.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from rnn_dynamics.dynamics.manifolds.line import Polyline, Spline
from rnn_dynamics.dynamics.manifolds.results import InvariantSet, Side
from rnn_dynamics.dynamics.manifolds.saddles import (
    Extent,
    Saddle,
    checked_extent,
    fixed_point_near,
    image,
    saddle_of,
)
from rnn_dynamics.numerics.status import Status

_TURN = 0.25  # radians between neighbouring tangents
_NEWTON = 10
_LEAST = 2.0**-24  # a step, relative to the spacing and to the side's length


@dataclasses.dataclass
class _Front:
    """The end of one side: where its image is on the curve, and how it moves.

    Attributes:
        spline: the side.
        target: s of the image of the last point; negative on the second side.
        slope: ds for a unit step along the last tangent.
        step: the next step to try.
        status: ``None`` while the side grows.
        limit: the repelling fixed point it ended at.
        tried: the length of the last step's image gap at which such a point was looked for.
    """

    spline: Spline
    target: float
    slope: float
    step: float
    status: Status | None = None
    limit: np.ndarray | None = None
    tried: float = np.inf


@dataclasses.dataclass(frozen=True)
class _Grower:
    """Both sides of one saddle, as each may map into the other."""

    saddle: Saddle
    extent: Extent
    fronts: tuple[_Front, _Front]

    def mapped(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        problem = self.saddle.problem
        steps = self.saddle.steps * problem.cycle
        found = image(problem.static, problem.arrays, jnp.asarray(x), problem.inputs, steps, problem.shape)
        return np.asarray(found[0]), np.asarray(found[1])

    def curve(self, s: float) -> tuple[np.ndarray, np.ndarray]:
        """C(s) and C′(s) on the first side for s ≥ 0, on the second for s < 0."""
        if s >= 0:
            return self.fronts[0].spline.at(s)
        value, slope = self.fronts[1].spline.at(-s)
        return value, -slope

    def known(self, s: float) -> bool:
        return -self.fronts[1].spline.length <= s <= self.fronts[0].spline.length

    def corrected(self, front: _Front, h: float) -> tuple[np.ndarray, float, np.ndarray] | None:
        """(p, s, [J, −C′]) with F(p) = C(s) a step h ahead; ``None`` where Newton's method ends elsewhere."""
        start, tangent = front.spline.points[-1], front.spline.tangents[-1]
        dtype, n = start.dtype, len(start)
        eps = float(np.finfo(dtype).eps)
        p, s = start + h * tangent, front.target + h * front.slope
        for _ in range(_NEWTON):
            value, jacobian = self.mapped(p)
            if not self.known(s) or not (np.isfinite(value).all() and np.isfinite(jacobian).all()):
                return None
            on_curve, along = self.curve(s)
            rows = np.hstack([jacobian, -along[:, None]])
            system = np.vstack([rows, np.append(tangent, 0).astype(dtype)])
            miss = self.saddle.problem.difference(value, on_curve)
            residual = np.append(miss, np.dot(tangent, p - start) - h).astype(dtype)
            try:
                change = np.linalg.solve(system, -residual)
            except np.linalg.LinAlgError:
                return None
            p, s = p + change[:n], s + float(change[n])
            moved, scale = float(np.linalg.norm(change[:n])), 1 + float(np.max(np.abs(p)))
            exact = float(np.max(np.abs(residual))) <= 8 * eps * scale and moved <= 0.01 * h
            if moved <= 32 * eps * scale or exact:
                return (p, s, rows) if self.known(s) and np.linalg.norm(p - start) < 1.5 * h else None
        return None

    def advanced(self, front: _Front) -> bool:
        """Whether one more point was found, with shorter steps where need be."""
        tangent = front.spline.tangents[-1]
        shortest = _LEAST * min(self.extent.spacing, front.spline.length)
        h = min(front.step, self.extent.spacing, front.spline.length)
        while h > shortest:
            found = self.corrected(front, h)
            if found is not None:
                p, s, rows = found
                null = np.linalg.svd(rows)[2][-1]
                size = float(np.linalg.norm(null[:-1])) * (1 if np.dot(null[:-1], tangent) > 0 else -1)
                ahead = (null[:-1] / size).astype(p.dtype)
                turn = float(np.arccos(np.clip(np.dot(ahead, tangent), -1, 1)))
                if turn <= _TURN:
                    front.spline.add(p, ahead)
                    front.target, front.slope = s, float(null[-1]) / size
                    front.step = h * (1.6 if turn < _TURN / 2 else 1.0)
                    return True
            h /= 2
        return False

    def ended(self, front: _Front) -> bool:
        """Whether the side is long enough, has all its points, or runs into a repelling fixed point."""
        spline, extent = front.spline, self.extent
        if spline.length >= extent.length:
            front.status = Status.CONVERGED
        elif len(spline.points) >= extent.max_points:
            front.status = Status.MAX_STEPS
        elif not np.isfinite(spline.points[-1]).all():
            front.status = Status.DIVERGED
        else:
            self.look_for_limit(front)
        return front.status is not None

    def look_for_limit(self, front: _Front) -> None:
        last = front.spline.points[-1]
        problem = self.saddle.problem
        gap = float(np.linalg.norm(problem.difference(self.curve(front.target)[0], last)))
        near, far = self.extent.spacing, front.spline.length > self.extent.spacing
        if far and gap < near / 10 and gap < front.tried / 2 and front.limit is None:
            front.tried = gap
            found = fixed_point_near(problem, last, self.saddle.steps)
            if found is not None and np.min(np.abs(np.linalg.eigvals(found[1]))) > 1:
                front.limit = last + problem.difference(found[0], last)
        if front.limit is not None and 0 < np.linalg.norm(front.limit - last) < near:
            ahead = front.limit - last
            front.spline.add(front.limit, ahead / np.linalg.norm(ahead))
            front.status = Status.CONVERGED

    def grown(self) -> tuple[Side, Side]:
        """Both sides, a point each in turn; one that needs what the other has not reached yet waits."""
        while any(front.status is None for front in self.fronts):
            stuck = []
            for front in self.fronts:
                if front.status is None and not self.advanced(front):
                    stuck.append(front)
                elif front.status is None:
                    self.ended(front)
            others = [front for front in self.fronts if front.status is None and front not in stuck]
            if stuck and not others:
                for front in stuck:
                    front.status = Status.UNRESOLVED
        return self.side(self.fronts[0]), self.side(self.fronts[1])

    def side(self, front: _Front) -> Side:
        assert front.status is not None
        points = np.stack(front.spline.points)
        line = Polyline(points[0], self.extent.spacing / 64)
        line.add(points[1:])
        ended = front.limit if front.status == Status.CONVERGED else None
        return line.side(self.extent.length, front.status, self.saddle.problem.shape, ended)


def _beginning(saddle: Saddle, sign: float) -> _Front:
    """Return the saddle and the first point beside it."""
    sigma = sign * saddle.reach
    points = np.vstack([saddle.point[None], saddle.beside(np.array([sigma]))])
    ahead = saddle.direction + 2 * sigma * saddle.bend
    tangents = np.stack([saddle.direction, ahead / np.linalg.norm(ahead)])
    spline = Spline(points, (sign * tangents).astype(points.dtype))
    room = spline.length * (1 / max(saddle.rate, 1e-3) - 1)
    return _Front(spline, sign * saddle.rate * spline.length, sign * saddle.rate, 0.9 * room)


def stable_set(
    cell: Any,
    point: Any,
    *,
    period: int = 1,
    u: Any = None,
    inputs: Any = None,
    length: float = 10.0,
    spacing: float | None = None,
    max_points: int = 20_000,
    topology: Any = None,
) -> InvariantSet:
    """The stable set of a saddle with one stable multiplier, as a curve from the saddle outwards.

    W^s(x*) = {x : F^{kp}(x) → x* as k → ∞}, the part of it that hangs together with x*. Between two attractors it
    is the boundary of their basins.

    Args:
        cell: any map ``cell(x, u) -> x_next``; it need not be invertible.
        point: a state near the saddle, or near one state of a saddle cycle, shape (*state).
        period: p of the cycle, in steps, or in multiples of the length of ``inputs``.
        u: one input value, held; ``None`` for none.
        inputs: a periodic input, leading axis q, as for ``fixed_points``.
        length: arclength of each side, in units of the state.
        spacing: the largest distance of neighbouring points; a 500th of the length by default. Between them the
            curve is a cubic: the points' errors are those of its fourth order.
        max_points: of each side.
        topology: one entry for each coordinate, or one for all: the length L > 0 of a coordinate taken modulo L
            (2π, 1, 360), ``None`` for one on the line.

    Returns:
        ``InvariantSet``. A side is UNRESOLVED where no preimage goes on: at the border of the map's image, or
        where a saturated cell keeps no trace of the state.

    Raises:
        TypeError, ValueError: arguments that do not fit the cell; no fixed point near ``point``, or one of a lower
            period; none or several stable multipliers; options out of range.

    Reference: J. England, B. Krauskopf, H. Osinga, SIAM Journal on Applied Dynamical Systems 3, 161 (2004).
    """
    extent = checked_extent(length, spacing, max_points)
    saddle = saddle_of(cell, point, period, u, inputs, "stable", topology)
    fronts = _beginning(saddle, 1.0), _beginning(saddle, -1.0)
    sides = _Grower(saddle, extent, fronts).grown()
    shape = saddle.problem.shape
    return InvariantSet(
        "stable",
        saddle.point.reshape(shape),
        saddle.steps_of_cycle,
        saddle.multiplier,
        saddle.direction,
        sides,
    )
