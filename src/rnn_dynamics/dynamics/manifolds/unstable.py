"""The unstable set of a saddle: images of a fundamental segment, refined where they are stretched or bent.

The segment x* + σ v + σ² q, σ = δ λ^t with t from 0 to 1, holds one point of every orbit on its side. Its
image under k return maps is the k-th stretch of the set. A point that is missing between two neighbours is the
image of its own t, computed from the segment: nothing is interpolated, and errors across the set shrink with every
step.

References: D. Hobson, "An efficient method for computing invariant manifolds of planar maps", Journal of
Computational Physics 104, 1993; B. Krauskopf, H. Osinga, "Growing 1D and quasi-2D unstable manifolds of maps",
ibid. 146, 1998.
"""

import dataclasses
from typing import Any

import numpy as np

from rnn_dynamics.dynamics.manifolds.lifts import Lift, lifted
from rnn_dynamics.dynamics.manifolds.line import Polyline
from rnn_dynamics.dynamics.manifolds.results import InvariantSet, Side
from rnn_dynamics.dynamics.manifolds.saddles import (
    Extent,
    Saddle,
    checked_extent,
    fixed_point_near,
    repeated_images,
    saddle_of,
)
from rnn_dynamics.numerics.status import Status

_FIRST = 9
_TURN = 0.25  # radians between neighbouring chords
_SHARPEST = 1 / 64  # of the spacing: chords as short as this may turn as they like
_GROWTH = 2.0  # of a stretch's distance from the saddle over the next, if that takes at most so many returns:
_MOST_RETURNS = 8192
_MOST_IMAGES = 200_000
_LEAST_RATIO = 64  # times the rounding of the segment's parameter


@dataclasses.dataclass(frozen=True)
class _Stretch:
    """The images F^k of a segment at the parameters t."""

    t: np.ndarray
    states: np.ndarray

    def first(self, count: int) -> "_Stretch":
        return _Stretch(self.t[:count], self.states[:count])

    def finite(self) -> "_Stretch":
        """The part before the first state that is not finite."""
        finite = np.isfinite(self.states).all(axis=1)
        return self if finite.all() else self.first(int(np.argmin(finite)))

    def gaps(self) -> np.ndarray:
        return np.linalg.norm(np.diff(self.states, axis=0), axis=1)

    def within(self, length: float) -> "_Stretch":
        """The part up to the first point that is as far along the chords."""
        return self.first(int(np.searchsorted(np.cumsum(self.gaps()), length)) + 2)


def _turns(states: np.ndarray) -> np.ndarray:
    """The angle at each inner point between the chords before and after it; 0 where a chord has no length."""
    chords = np.diff(states, axis=0)
    lengths = np.linalg.norm(chords, axis=1)
    product = lengths[:-1] * lengths[1:]
    safe = np.where(product > 0, product, 1)
    cosine = np.where(product > 0, np.sum(chords[:-1] * chords[1:], axis=1) / safe, 1)
    return np.arccos(np.clip(cosine, -1, 1))


@dataclasses.dataclass(frozen=True)
class _Grower:
    """Grows one side of the manifold of one saddle."""

    saddle: Saddle
    sign: float
    extent: Extent

    @property
    def returns(self) -> int:
        """How many return maps lead from one stretch to the next: more than one for a multiplier near 1."""
        return int(np.clip(np.ceil(np.log(_GROWTH) / np.log(self.saddle.rate)), 1, _MOST_RETURNS))

    def mapped(self, states: np.ndarray, times: int) -> np.ndarray:
        number = np.full(len(states), times, np.int32)
        return self.saddle.problem.batched(repeated_images, self.saddle.steps, states, number)[0]

    def from_segment(self, t: np.ndarray, times: int) -> np.ndarray:
        sigma = self.sign * self.saddle.reach * self.saddle.rate ** (self.returns * (t - 1))
        return self.mapped(self.saddle.beside(sigma), times)

    def finest(self) -> float:
        """The least difference of t that the floats tell apart."""
        eps = float(np.finfo(self.saddle.problem.dtype).eps)
        scale = 1 + float(np.max(np.abs(self.saddle.point)))
        return _LEAST_RATIO * eps * scale / (self.saddle.reach * self.returns * np.log(self.saddle.rate))

    def too_wide(self, stretch: _Stretch) -> np.ndarray:
        """Which gaps want a point: too long, or beside a sharp turn and not yet short."""
        if len(stretch.t) < 3:
            return stretch.gaps() > self.extent.spacing
        gaps, turns = stretch.gaps(), _turns(stretch.states)
        sharp = np.zeros(len(gaps), bool)
        sharp[:-1] |= turns > _TURN
        sharp[1:] |= turns > _TURN
        return (gaps > self.extent.spacing) | (sharp & (gaps > _SHARPEST * self.extent.spacing))

    def refined(
        self, stretch: _Stretch, times: int, room: int, left: float, lift: Lift | None = None
    ) -> tuple[_Stretch, Status]:
        """The stretch with points inserted until no gap is too wide, as far as room, length and floats allow."""
        finest, status = self.finest(), Status.CONVERGED
        while True:
            whole = stretch.finite()
            if len(whole.t) < len(stretch.t):
                stretch, status = whole, Status.DIVERGED
            if len(stretch.within(left).t) < len(stretch.t):
                stretch, status = stretch.within(left), Status.CONVERGED
            wide = np.flatnonzero(self.too_wide(stretch))
            if len(stretch.t) + len(wide) > room:
                stop = min(room, int(wide[0]) + 1 if len(wide) else room)
                return stretch.first(stop), Status.MAX_STEPS
            apart = np.diff(stretch.t)[wide] > finest
            if not apart.all():
                return stretch.first(int(wide[~apart][0]) + 1), Status.UNRESOLVED
            if not len(wide):
                return stretch, status
            middle = (stretch.t[wide] + stretch.t[wide + 1]) / 2
            fresh = self.from_segment(middle, times)
            fresh = fresh if lift is None else lift.placed(middle, fresh)
            t = np.insert(stretch.t, wide + 1, middle)
            stretch = _Stretch(t, np.insert(stretch.states, wide + 1, fresh, axis=0))

    def thinned(self, stretch: _Stretch) -> _Stretch:
        """Every second point left out where its neighbours would stay near each other and the turn is slight."""
        if len(stretch.t) <= _FIRST:
            return stretch
        gaps, turns = stretch.gaps(), _turns(stretch.states)
        idle = (gaps[:-1] + gaps[1:] < self.extent.spacing / 4) & (turns < _TURN / 4)
        keep = np.ones(len(stretch.t), bool)
        keep[1:-1:2] = ~idle[::2]
        return _Stretch(stretch.t[keep], stretch.states[keep])

    def next(self, stretch: _Stretch, times: int, room: int, left: float) -> tuple[_Stretch, Status]:
        """The next stretch, refined; cut where it is as long as is left, or before a state that is not finite."""
        following, lift = _Stretch(stretch.t, self.mapped(stretch.states, self.returns)), None
        if self.saddle.problem.lengths is not None:
            lift = lifted(self, stretch.t, stretch.states)
            following = _Stretch(stretch.t, lift.placed(stretch.t, following.states))
        whole = following.finite()
        refined, status = self.refined(self.thinned(whole), times, room, left, lift)
        cut = status == Status.CONVERGED and len(whole.t) < len(following.t)
        return refined, Status.DIVERGED if cut else status

    def stable_point_near(self, x: np.ndarray) -> np.ndarray | None:
        found = fixed_point_near(self.saddle.problem, x, self.saddle.steps)
        if found is None:
            return None
        ahead = self.saddle.problem.difference(found[0], x)
        if np.linalg.norm(ahead) > 100 * self.extent.spacing:
            return None
        return x + ahead if np.max(np.abs(np.linalg.eigvals(found[1]))) < 1 else None

    def grown(self) -> Side:
        """Return the side, stretch after stretch."""
        t = np.linspace(0, 1, _FIRST)
        stretch = _Stretch(t, self.from_segment(t, 0))  # no step: on the saddle's side of the seam
        line = Polyline(self.saddle.point, _SHARPEST * self.extent.spacing)
        line.add(stretch.states)
        limit, tried = None, self.extent.spacing / 5
        for times in range(self.returns, _MOST_IMAGES, self.returns):
            left = self.extent.length * (1 + 1e-6) - line.length  # beyond what rounding may take away
            stretch, status = self.next(stretch, times, self.extent.max_points - len(line), left)
            line.add(stretch.states[1:])
            if status != Status.CONVERGED or line.length >= self.extent.length:
                return line.side(self.extent.length, status, self.saddle.problem.shape)
            length = float(stretch.gaps().sum())
            if length < tried / 2 and line.length > self.extent.spacing:
                limit, tried = self.stable_point_near(stretch.states[-1]), length
            if (
                limit is not None
                and np.linalg.norm(stretch.states - limit, axis=1).max() < self.extent.spacing
            ):
                line.add(limit[None])
                return line.side(self.extent.length, Status.CONVERGED, self.saddle.problem.shape, limit)
        return line.side(self.extent.length, Status.UNRESOLVED, self.saddle.problem.shape)


def unstable_set(
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
    """The unstable set of a saddle with one unstable multiplier, as a curve from the saddle outwards.

    W^u(x*) = {x : there are x_{−k} with F^{kp}(x_{−k}) = x and x_{−k} → x* as k → ∞}.

    Args:
        cell: any map ``cell(x, u) -> x_next``.
        point: a state near the saddle, or near one state of a saddle cycle, shape (*state).
        period: p of the cycle, in steps, or in multiples of the length of ``inputs``.
        u: one input value, held; ``None`` for none.
        inputs: a periodic input, leading axis q, as for ``fixed_points``.
        length: arclength of each side, in units of the state.
        spacing: the largest distance of neighbouring points; a 500th of the length by default. Where the curve
            turns by more than 0.25 radians between chords it is finer, down to a 64th of it.
        max_points: of each side.
        topology: one entry for each coordinate, or one for all: the length L > 0 of a coordinate taken modulo L
            (2π, 1, 360), ``None`` for one on the line.

    Returns:
        ``InvariantSet``. A multiplier < 0 swaps the sides: each is then grown by F^{2p}.

    Raises:
        TypeError, ValueError: arguments that do not fit the cell; no fixed point near ``point``, or one of a lower
            period; none or several unstable multipliers; options out of range.

    One call compiles for a cell's structure and the shape of a state; a repeated one compiles nothing.

    Reference: B. Krauskopf, H. Osinga, Journal of Computational Physics 146, 404 (1998).
    """
    extent = checked_extent(length, spacing, max_points)
    saddle = saddle_of(cell, point, period, u, inputs, "unstable", topology)
    sides = tuple(_Grower(saddle, sign, extent).grown() for sign in (1.0, -1.0))
    shape = saddle.problem.shape
    return InvariantSet(
        "unstable",
        saddle.point.reshape(shape),
        saddle.steps_of_cycle,
        saddle.multiplier,
        saddle.direction,
        (sides[0], sides[1]),
    )
