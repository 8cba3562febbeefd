"""Tanh networks that read in both directions, in NumPy: their Jacobians from the equations of all steps at once.

h_t = tanh(W h_{t∓1} + U y_t + b) for all t is one system; linearised, (I − D L) δh = D U δy with D the slopes and L
the block bidiagonal matrix of the neighbours, which is solved as it stands. Nothing is carried from step to step.
"""

import numpy as np


def states(weights, y, *, back):
    """h_t of one direction, aligned with its inputs."""
    W, U, b = weights
    found, h = np.zeros((len(y), len(W))), np.zeros(len(W))
    for t in reversed(range(len(y))) if back else range(len(y)):
        h = found[t] = np.tanh(W @ h + U @ y[t] + b)
    return found


def by_inputs(weights, h, *, back):
    """∂h_t/∂y_s, shape (T, n, T, m), by one solve."""
    W, U, _ = weights
    steps, units = h.shape
    neighbours = np.kron(np.eye(steps, k=1 if back else -1), W)
    through = np.kron(np.eye(steps), U)
    whole = np.diag(1 - h.ravel() ** 2)
    solved = np.linalg.solve(np.eye(steps * units) - whole @ neighbours, whole @ through)
    return solved.reshape(steps, units, steps, -1)


def network(layers, merges, inputs, between=()):
    """Of each layer h→, h←, y, and ∂ of each by the inputs, shape (T, n, T, m).

    Args:
        layers: pairs of (W, U, b).
        merges: of each layer.
        inputs: (T, m).
        between: a matrix, or None, for each layer above the first: what it reads is that times what is below.
    """
    y, dy = inputs, np.einsum("ts,ij->tisj", np.eye(len(inputs)), np.eye(inputs.shape[1]))
    found = []
    for number, (pair, merge) in enumerate(zip(layers, merges, strict=True)):
        if number and between and between[number - 1] is not None:
            y, dy = y @ between[number - 1].T, np.einsum("ki,tisj->tksj", between[number - 1], dy)
        h = [states(weights, y, back=way) for way, weights in enumerate(pair)]
        dh = [
            np.einsum("tirk,rksj->tisj", by_inputs(weights, own, back=way), dy)
            for way, (weights, own) in enumerate(zip(pair, h, strict=True))
        ]
        if merge == "concat":
            y, dy = np.concatenate(h, axis=1), np.concatenate(dh, axis=1)
        elif merge == "mul":
            y = h[0] * h[1]
            dy = h[0][:, :, None, None] * dh[1] + h[1][:, :, None, None] * dh[0]
        else:
            factor = 1 if merge == "sum" else 0.5
            y, dy = factor * (h[0] + h[1]), factor * (dh[0] + dh[1])
        found.append({"h": h, "dh": dh, "y": y, "dy": dy})
    return found
