"""Lyapunov exponents by other means: closed forms, and Gram–Schmidt with 50 digits."""

import math

import mpmath
import numpy as np

DIGITS = 50


def newman(size: int) -> np.ndarray:
    """Exponents of products of independent Gaussian matrices of unit variance: ½(ln 2 + ψ((N−i+1)/2))."""
    half = [mpmath.mpf(size - i) / 2 for i in range(size)]
    return np.array([float((mpmath.log(2) + mpmath.digamma(x)) / 2) for x in half])


def two_cycle(r: float) -> float:
    """The logistic map's exponent on its 2-cycle: half the log of the multiplier 4 + 2r − r²."""
    return math.log(abs(4 + 2 * r - r * r)) / 2


def tanh_jacobians(weights: np.ndarray, bias: np.ndarray, states: np.ndarray) -> list[mpmath.matrix]:
    """diag sech²(W x + b) W at each state."""
    W = mpmath.matrix(weights.tolist())
    found = []
    for state in states:
        z = W * mpmath.matrix(state.tolist()) + mpmath.matrix(bias.tolist())
        slopes = mpmath.diag([mpmath.sech(entry) ** 2 for entry in z])
        found.append(slopes * W)
    return found


def gram_schmidt_exponents(jacobians: list[mpmath.matrix], frame: np.ndarray) -> np.ndarray:
    """Mean of ln r_ii of the frame carried along, orthogonalised at each step."""
    size, count = frame.shape
    columns = [mpmath.matrix(frame[:, j].tolist()) for j in range(count)]
    logs = [mpmath.mpf(0)] * count
    for jacobian in [mpmath.eye(size), *jacobians]:
        grown = [jacobian * column for column in columns]
        columns = []
        for i, column in enumerate(grown):
            for earlier in columns:
                column = column - (earlier.T * column)[0] * earlier
            length = mpmath.norm(column)
            logs[i] += mpmath.log(length)
            columns.append(column / length)
    return np.array([float(log / len(jacobians)) for log in logs])
