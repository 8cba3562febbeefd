"""Where orbits end by plain NumPy iteration: networks written out anew and run for very long."""

from collections.abc import Callable

import numpy as np

Step = Callable[[np.ndarray], np.ndarray]


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def tanh_network(weights: np.ndarray, bias: np.ndarray) -> Step:
    """tanh(W x + b) of rows x."""
    return lambda x: np.tanh(x @ weights.T + bias)


def gru(weights: np.ndarray, bias: np.ndarray) -> Step:
    """A gated recurrent unit without input, reset after the product, of rows x."""
    n = weights.shape[1]

    def step(x: np.ndarray) -> np.ndarray:
        recurrent = x @ weights.T
        reset, update = (
            sigmoid(recurrent[:, i * n : (i + 1) * n] + bias[i * n : (i + 1) * n]) for i in (0, 1)
        )
        candidate = np.tanh(bias[2 * n :] + reset * recurrent[:, 2 * n :])
        return (1 - update) * candidate + update * x

    return step


def lstm(weights: np.ndarray, bias: np.ndarray) -> Step:
    """Long short-term memory without input of rows [h, c]."""
    n = weights.shape[1]

    def step(x: np.ndarray) -> np.ndarray:
        z = x[:, :n] @ weights.T + bias
        i, f, o = sigmoid(z[:, :n]), sigmoid(z[:, n : 2 * n]), sigmoid(z[:, 3 * n :])
        c = f * x[:, n:] + i * np.tanh(z[:, 2 * n : 3 * n])
        return np.concatenate([o * np.tanh(c), c], axis=1)

    return step


def ends(step: Step, starts: np.ndarray, steps: int) -> np.ndarray:
    """The state of every start after ``steps`` steps."""
    states = np.array(starts, float)
    for _ in range(steps):
        states = step(states)
    return states
