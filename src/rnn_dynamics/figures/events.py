"""Equilibria and event curves in arrays of fixed lengths, so that all figures share one compilation of each."""

from typing import Any

import numpy as np

from rnn_dynamics import doya

__all__ = ["BIASES", "CURVE_POINTS", "equilibria_at", "flip_curve", "fold_curve", "repeller_wall"]

BIASES = 64
CURVE_POINTS = 200


def equilibria_at(biases: Any, w: float = 5.0) -> np.ndarray:
    """The equilibria at up to ``BIASES`` biases, shape (m, 3), NaN where there is none."""
    b = np.asarray(biases, float)
    return np.asarray(doya.equilibria(w, np.resize(b, BIASES)).points)[: len(b)]


def fold_curve(stop: float) -> tuple[np.ndarray, np.ndarray]:
    """w from the cusp to ``stop``, shape (m,), and the biases of the two folds, shape (m, 2)."""
    w = np.linspace(4, stop, CURVE_POINTS)
    return w, np.asarray(doya.folds(w).b)


def flip_curve(start: float, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """w from ``start`` to the first flip, shape (m,), and the biases of the two flips, shape (m, 2)."""
    w = np.linspace(start, -4 * (2 - epsilon) / epsilon, CURVE_POINTS)
    return w, np.asarray(doya.flips(w, epsilon).b)


def repeller_wall(w: Any, x0: Any) -> np.ndarray:
    """The bias that puts x_0 on the repeller, for arrays that broadcast to ``CURVE_POINTS`` values."""
    return np.asarray(doya.wall(w, x0))
