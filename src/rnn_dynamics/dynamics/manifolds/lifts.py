"""A curve on circles and tori drawn without jumps: each state a whole number of lengths from its reduced one.

A map may itself reduce its phases, so that the image of a curve has jumps in it. Where the images of neighbouring
points are less than half a length apart, the shortest way between them is the curve's; points are put between those
of the curve until they are far closer than that.
"""

import dataclasses
from typing import Any, Protocol

import numpy as np

from rnn_dynamics.dynamics.phases import Lengths, wrapped

_CLOSE = 1 / 8  # of a length: neighbours that are nearer have no other way between them
_MOST_ROUNDS = 24
_MOST_POINTS = 1 << 18
_BETWEEN = 0.382  # where a first point is put: a gap of whole lengths is none of a share that is irrational


class _Maps(Protocol):
    @property
    def saddle(self) -> Any: ...

    @property
    def returns(self) -> int: ...

    def mapped(self, states: np.ndarray, times: int) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class Lift:
    """Points of a curve drawn without jumps, at ascending parameters t."""

    t: np.ndarray
    states: np.ndarray
    lengths: Lengths

    def placed(self, t: np.ndarray, states: np.ndarray) -> np.ndarray:
        """States of the curve, moved by whole lengths to where the curve runs."""
        guess = np.stack([np.interp(t, self.t, column) for column in self.states.T], axis=-1)
        return guess + wrapped(states - guess, self.lengths)


def lifted(grower: _Maps, t: np.ndarray, states: np.ndarray) -> Lift:
    """The image of a polygon, one stretch on, drawn without jumps from where its first point's image follows it.

    Args:
        grower: with the map from a stretch to the next.
        t: parameters of the points, ascending.
        states: the points, drawn without jumps; the image of the first is the last.
    """
    lengths: Lengths = grower.saddle.problem.lengths
    limits = np.array([np.inf if length is None else _CLOSE * length for length in lengths])
    middle = t[:-1] + _BETWEEN * np.diff(t)
    dense = np.sort(np.concatenate([t, middle]))
    images = _images(grower, dense, t, states)
    for _ in range(_MOST_ROUNDS):
        steps = wrapped(np.diff(images, axis=0), lengths)
        wide = np.flatnonzero((np.abs(steps) > limits).any(axis=1))
        if not len(wide) or len(dense) + len(wide) > _MOST_POINTS:
            break
        between = (dense[wide] + dense[wide + 1]) / 2
        images = np.insert(images, wide + 1, _images(grower, between, t, states), axis=0)
        dense = np.insert(dense, wide + 1, between)
    first = states[-1] + wrapped(images[0] - states[-1], lengths)
    steps = wrapped(np.diff(images, axis=0), lengths)
    return Lift(dense, np.concatenate([first[None], first + np.cumsum(steps, axis=0)]), lengths)


def _images(grower: _Maps, at: np.ndarray, t: np.ndarray, states: np.ndarray) -> np.ndarray:
    points = np.stack([np.interp(at, t, column) for column in states.T], axis=-1).astype(states.dtype)
    return grower.mapped(points, grower.returns)
