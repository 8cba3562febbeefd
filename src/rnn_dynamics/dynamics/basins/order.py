"""Boxes of states that an orbit cannot leave and that shrink to an attractor, however slow the units are.

A unit that averages, x_i⁺ = z_i x_i + (1 − z_i) N_i(x) with 0 ≤ z_i < 1 (a leak, an update gate), stays between
what it was and what N_i gives. So a box B with N(B) ⊂ B is kept, and every orbit in it ends in N(B), in N(N(B)),
and so on: the rate z_i, which says how long it takes, does not enter. Where these boxes shrink into a trapping
ball of a fixed point, every orbit in B goes there. For one unit, or positive weights, this is the order of the
states, which the map conserves: an orbit between two ordered ones that go to one point goes there too.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from rnn_dynamics.cells import GRU, ElmanRNN, LeakyRNN, PreActivationRNN, activations
from rnn_dynamics.dynamics.basins.slope_ranges import is_known
from rnn_dynamics.dynamics.basins.trapping import Ball

_GROWING, _SHRINKING = 60, 400
_PLACES = 128
_FINE, _SLOWEST, _CLOSER = 2048, 16, 6  # places at a time, the slowest of them, and how often between those
_WORK = 2e7  # multiply-adds of one call at most
Box = tuple[np.ndarray, np.ndarray]
BoxMap = Callable[[np.ndarray, np.ndarray], Box]


def _double(value: Any) -> np.ndarray:
    return np.asarray(value, np.float64)


def _linear(weights: np.ndarray, low: np.ndarray, high: np.ndarray) -> Box:
    """The range of W x over a box, a little wider than its rounding."""
    middle, half = (low + high) / 2, (high - low) / 2
    centre, reach = np.dot(middle, weights.T), np.dot(half, np.abs(weights).T)
    slack = 8 * weights.shape[1] * np.finfo(float).eps * np.dot(np.abs(middle) + half, np.abs(weights).T)
    return centre - reach - slack, centre + reach + slack


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(z / 2))


def _product(first: Box, second: Box) -> Box:
    corners = np.stack([a * b for a in first for b in second])
    return corners.min(0), corners.max(0)


def _value(activation: Any, z: np.ndarray) -> np.ndarray:
    """Return φ on the host; the known activations never decrease."""
    if activation is activations.hyperbolic:
        return np.tanh(z)
    if activation is activations.logistic:
        return _sigmoid(z)
    if activation is activations.linear:
        return z
    below = 0.0 if activation is activations.relu else -float(activation.function(-1.0))
    return np.where(z > 0, z, below * z)


def _driven(cell: Any, u: Any) -> np.ndarray:
    bias = _double(cell.b)
    return bias if u is None or cell.W_in is None else bias + np.dot(_double(cell.W_in), _double(u))


def _of_gru(cell: Any, u: Any) -> BoxMap:
    weights, n = _double(cell.W), cell.W.shape[1]
    drive = _driven(cell, u)
    hidden = np.zeros(n) if cell.b_hidden is None else _double(cell.b_hidden)

    def through(low: np.ndarray, high: np.ndarray) -> Box:
        closed, opened = _linear(weights[:n], low, high)
        reset = _sigmoid(drive[:n] + closed), _sigmoid(drive[:n] + opened)
        if cell.reset == "before":
            inner = _linear(weights[2 * n :], *_product(reset, (low, high)))
        else:
            below, above = _linear(weights[2 * n :], low, high)
            inner = _product(reset, (below + hidden, above + hidden))
        return np.tanh(drive[2 * n :] + inner[0]), np.tanh(drive[2 * n :] + inner[1])

    return through


def box_map(cell: Any, u: Any) -> BoxMap | None:
    """N on boxes for a built-in cell of averaging units with activations that never decrease; else ``None``."""
    if type(cell) is GRU:
        is_usual = cell.gate_activation is activations.logistic and cell.activation is activations.hyperbolic
        return _of_gru(cell, u) if is_usual else None
    if type(cell) not in (ElmanRNN, LeakyRNN, PreActivationRNN) or not is_known(cell.activation):
        return None
    weights, drive, activation = _double(cell.W), _driven(cell, u), cell.activation
    if not _value(activation, np.array(-1.0)) <= 0:  # a leaky rectifier of negative slope decreases
        return None
    if type(cell) is PreActivationRNN:

        def through(low: np.ndarray, high: np.ndarray) -> Box:
            below, above = _linear(weights, _value(activation, low), _value(activation, high))
            return below + drive, above + drive

        return through

    def after(low: np.ndarray, high: np.ndarray) -> Box:
        below, above = _linear(weights, low, high)
        return _value(activation, below + drive), _value(activation, above + drive)

    return after


def _in_ball(ball: Ball, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Whether boxes (m, n) lie in a ball."""
    middle, half = (low + high) / 2, (high - low) / 2
    farthest = np.abs(np.dot(middle - ball.centre, ball.scale.T)) + np.dot(half, np.abs(ball.scale).T)
    return np.linalg.norm(farthest, axis=1) <= ball.radius * (1 - 1e-9)


def _kept(through: BoxMap, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The least boxes about these that N keeps, as far as floats find them; whether each is kept."""
    for _ in range(_GROWING):
        below, above = through(low, high)
        if (below >= low).all() and (above <= high).all():
            break
        # A little farther than needed: what converges from inside is reached in the end.
        low = np.where(below < low, below - 0.05 * (low - below) - 1e-12, low)
        high = np.where(above > high, above + 0.05 * (above - high) + 1e-12, high)
    below, above = through(low, high)
    return low, high, np.all((below >= low) & (above <= high), axis=1)


def given_by_boxes(through: BoxMap, balls: list[list[Ball]], states: np.ndarray) -> np.ndarray:
    """The fixed point that each state is proved to go to, −1 where no box proves one.

    Args:
        through: N.
        balls: the trapping balls of each attractor; those of cycles are passed over.
        states: shape (m, n).
    """
    found = np.full(len(states), -1, np.int32)
    fixed = [(place, group[0]) for place, group in enumerate(balls) if len(group) == 1]
    centres = np.array([ball.centre for _, ball in fixed]).reshape(-1, states.shape[1])
    finite = np.isfinite(states).all(1)
    for k, (place, ball) in enumerate(fixed):
        at = np.flatnonzero(finite & (found < 0))
        work = (_GROWING + _SHRINKING) * states.shape[1] ** 2 * max(len(fixed), 1)
        at = at[: max(1, int(_WORK // work))]
        here = states[at].astype(np.float64)
        low, high, good = _kept(through, np.minimum(here, ball.centre), np.maximum(here, ball.centre))
        others = np.delete(centres, k, axis=0)
        holds = np.any(np.all((others >= low[:, None]) & (others <= high[:, None]), axis=-1), axis=1)
        at, low, high = at[good & ~holds], low[good & ~holds], high[good & ~holds]
        for _ in range(_SHRINKING):
            if not at.size:
                break
            inside = _in_ball(ball, low, high)
            found[at[inside]] = place
            at, low, high = at[~inside], low[~inside], high[~inside]
            below, above = through(low, high)
            low, high = np.maximum(low, below), np.minimum(high, above)
    return found


def given_by_order(
    images: Callable[[np.ndarray], np.ndarray], points: np.ndarray, states: np.ndarray
) -> np.ndarray:
    """The fixed point of a scalar map that each state is seen to go to without passing another, −1 where none.

    Between x and x* the map grows and moves every state towards x*, at 128 places between them, and there is none
    between those where it stops: orbits then keep their order and run to x* from one side. Evidence, as between
    the places nothing is known.

    Args:
        images: F of many states (count,).
        points: the stable fixed points (m,), NaN for what is none.
        states: shape (count,).
    """
    found = np.full(len(states), -1, np.int32)
    share = np.linspace(0.0, 1.0, _PLACES + 1)[:-1]
    for place, point in enumerate(points):
        at = np.flatnonzero(np.isfinite(states) & (found < 0))
        if not (np.isfinite(point) and at.size):
            continue
        between = states[at, None] * (1 - share) + point * share
        after = images(between.reshape(-1).astype(states.dtype)).reshape(between.shape)
        toward = np.sign(point - between)
        grows = (np.diff(after, axis=1) * toward[:, :1] >= 0).all(1)
        moves = ((after - between.astype(states.dtype)) * toward > 0).all(1)
        others = points[np.isfinite(points) & (points != point)]
        beyond = np.sign(others - states[at, None]) == np.sign(
            point - others
        )  # between the state and the point
        good = grows & moves & ((point - after) * toward >= 0).all(1) & ~beyond.any(1)
        good[good] = ~_stops(images, point, states[at[good]])
        found[at[good]] = place
    return found


def _stops(images: Callable[[np.ndarray], np.ndarray], point: float, states: np.ndarray) -> np.ndarray:
    """Whether a fixed point lies on the way from each state to the point: two of them may lie close together.

    Of all places between, those are looked at more and more closely where the map moves least for the way that is
    left; a state that the map does not move towards the point there stops all that come by.
    """
    stops = np.zeros(len(states), bool)
    for side in (-1, 1):
        rows = np.flatnonzero(side * (states - point) > 0)
        if not rows.size:
            continue
        reach = np.abs(states[rows].astype(np.float64) - point)
        away = np.geomspace(reach.min() / _PLACES, reach.max(), _FINE)
        for _ in range(_CLOSER):
            speed = _speeds(images, point, side, away, states.dtype)
            slow = np.flatnonzero((speed[1:-1] <= speed[:-2]) & (speed[1:-1] <= speed[2:])) + 1
            slow = slow[np.argsort(speed[slow], kind="stable")[:_SLOWEST]]
            parts = [np.linspace(away[i - 1], away[i + 1], _FINE // _SLOWEST) for i in slow]
            stuck = away[speed <= 0]
            where = np.searchsorted(stuck, reach / _PLACES)
            ends = np.append(stuck, np.inf)[where]
            stops[rows] |= ends <= reach
            if not parts:
                break
            away = np.unique(np.concatenate(parts))
    return stops


def _speeds(
    images: Callable[..., np.ndarray], point: float, side: int, away: np.ndarray, dtype: Any
) -> np.ndarray:
    """By how much of its distance the map moves each place nearer to the point; ≤ 0 where it does not."""
    places = (point + side * away).astype(dtype)
    return side * (places - images(places)).astype(np.float64) / away
