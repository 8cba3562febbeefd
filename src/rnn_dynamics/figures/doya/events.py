"""Curves of the neuron's events over (w, b), dense where they leave the cusp or the first flip."""

import numpy as np

from rnn_dynamics import doya

#: Points of a drawn curve.
CURVE_POINTS = 64


def fold_curve(stop: float) -> tuple[np.ndarray, np.ndarray]:
    """w from the cusp to ``stop``, shape (m,), and the biases of the two folds, shape (m, 2)."""
    w = 4 + (stop - 4) * np.linspace(0, 1, CURVE_POINTS) ** 2
    return w, np.asarray(doya.folds(w).b)


def flip_curve(start: float, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """w from ``start`` to the first flip, shape (m,), and the biases of the two flips, shape (m, 2)."""
    first = -4 * (2 - epsilon) / epsilon
    w = first + (start - first) * np.linspace(1, 0, CURVE_POINTS) ** 2
    return w, np.asarray(doya.flips(w, epsilon).b)
