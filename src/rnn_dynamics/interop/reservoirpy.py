"""Reservoirs of reservoirpy."""

from typing import Any

import numpy as np

from rnn_dynamics.cells.vanilla import ElmanRNN, LeakyRNN
from rnn_dynamics.interop.arrays import check_shape, float_array

_ACTIVATIONS = {
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "relu": "relu",
    "identity": "linear",
    "softplus": "softplus",
}


def from_reservoirpy(source: Any) -> ElmanRNN | LeakyRNN:
    """A reservoir of reservoirpy as a cell: x⁺ = (1 − lr) x + lr φ(W x + W_in u + b), the same states.

    Sparse matrices become dense. A feedback from the readout is an edge of the model, which the reservoir does not
    tell: its states are those without.

    Args:
        source: a ``Reservoir`` that is initialised, or an ``ESN`` with one in it.

    Returns:
        A ``LeakyRNN``, with lr = 1 an ``ElmanRNN``.

    Raises:
        TypeError: another object.
        ValueError: a reservoir without its matrices yet; shapes that do not fit; leaks that differ from unit to
            unit; an activation that is none of a unit's; noise, feedback or another equation, of older versions.
    """
    source = getattr(source, "reservoir", source)
    kind = type(source).__name__
    if kind != "Reservoir" or not all(hasattr(source, name) for name in ("W", "Win", "lr", "activation")):
        raise TypeError(f"source: expected a Reservoir of reservoirpy, got {kind}")
    for name in ("W", "Win", "bias"):
        if callable(getattr(source, name)) or getattr(source, name) is None:
            raise ValueError(
                f"source: expected a reservoir with its {name}: call its initialize(x) or run it first"
            )
    for name, expected in (("noise_rc", 0), ("noise_in", 0), ("noise_fb", 0), ("equation", "internal")):
        if getattr(source, name, expected) != expected:
            raise ValueError(f"source: expected {name} {expected!r}, got {getattr(source, name)!r}")
    if getattr(source, "has_feedback", False):
        raise ValueError("source: expected a reservoir without feedback, got one with Wfb")
    W, W_in = _dense("W", source.W), _dense("Win", source.Win)
    n = W.shape[0]
    check_shape("W", W, (n, n))
    check_shape("Win", W_in, (n, None))
    bias = np.asarray(_dense("bias", source.bias), W.dtype)
    b = np.broadcast_to(bias.reshape(-1), (n,)) if bias.size in (1, n) else check_shape("bias", bias, (n,))
    leaks = np.unique(np.asarray(source.lr, float))
    if leaks.size != 1:
        raise ValueError(f"source: expected one leak lr for all units, got {leaks.size} of them")
    function = getattr(source.activation, "__name__", type(source.activation).__name__)
    module = str(getattr(source.activation, "__module__", "") or "numpy").partition(".")[0]
    if function not in _ACTIVATIONS or module not in ("reservoirpy", "numpy", "jax", "jaxlib"):
        expected = ", ".join(_ACTIVATIONS)
        raise ValueError(
            f"source: expected an activation of reservoirpy's {expected}, got {module}.{function}"
        )
    activation = _ACTIVATIONS[function]
    if leaks[0] == 1:
        return ElmanRNN(W, b, W_in, activation=activation)
    return LeakyRNN(W, b, W_in, leaks[0], activation=activation)


def _dense(name: str, value: Any) -> np.ndarray:
    array = value.toarray() if hasattr(value, "toarray") else value
    return float_array(name, np.asarray(array, float) if np.isscalar(array) else array)
