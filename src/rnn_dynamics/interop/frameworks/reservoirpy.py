"""Reservoirs of reservoirpy."""

from typing import Any

import numpy as np

from rnn_dynamics.cells.vanilla import ElmanRNN, LeakyRNN
from rnn_dynamics.interop.arrays import check_shape, float_array, what_came

_ACTIVATIONS = {
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "relu": "relu",
    "identity": "linear",
    "softplus": "softplus",
}


def from_reservoirpy(source: Any) -> ElmanRNN | LeakyRNN:
    """A reservoir of reservoirpy as a cell: x⁺ = (1 − lr) x + lr φ(W x + W_in u + b), the same states.

    Sparse matrices become dense. A feedback from the readout is an edge of the model: of an ``ESN`` that has one
    and is fitted, W is W + W_fb W_outᵀ and b is b + W_fb b_out, the map of the closed loop. It begins with a
    feedback of zero, not of the readout of its first state: compare from the state after the first step on. A
    reservoir alone does not tell of one, and takes it as inputs beside the others.

    Args:
        source: a ``Reservoir`` that is initialised, or an ``ESN`` with one in it.

    Returns:
        A ``LeakyRNN``, with lr = 1 an ``ElmanRNN``.

    Raises:
        TypeError: another object.
        ValueError: a reservoir without its matrices yet; shapes that do not fit; leaks that differ from unit to
            unit; an activation that is none of a unit's; noise, feedback or another equation, of older versions; a
            feedback whose readout is not fitted, not linear or sees the inputs.
    """
    whole, source = source, getattr(source, "reservoir", source)
    kind = type(source).__name__
    if kind != "Reservoir" or not all(hasattr(source, name) for name in ("W", "Win", "lr", "activation")):
        raise TypeError(f"source: expected a Reservoir of reservoirpy, got {what_came(whole)}")
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
    if getattr(whole, "feedback", False):
        W, b, W_in = _closed(whole, W, b, W_in)
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


def _closed(
    model: Any, W: np.ndarray, b: np.ndarray, W_in: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W and b with the readout of the state before taken into them, and W_in without it; it is its last columns."""
    readout = getattr(model, "readout", None)
    out = getattr(readout, "Wout", None)
    is_linear = out is not None and not callable(out) and getattr(readout, "activation", None) is None
    if getattr(model, "input_to_readout", False) or not is_linear:
        raise ValueError(
            "source: expected an ESN with feedback from a fitted linear readout of its reservoir alone, got "
            f"{'one that sees the inputs too' if is_linear else type(readout).__name__ + ' without its Wout'}: "
            "from_reservoirpy(source.reservoir) is the reservoir, whose inputs are the model's and the feedback"
        )
    out = _dense("Wout", out)
    inputs = check_shape("Win", W_in, (len(W), None)).shape[1] - out.shape[-1]
    out = np.asarray(check_shape("Wout", out, (len(W), W_in.shape[1] - inputs)), W.dtype)
    bias = np.asarray(_dense("bias", getattr(readout, "bias", 0.0)), W.dtype).reshape(-1)
    back = W_in[:, inputs:]
    return W + np.dot(back, out.T), b + np.dot(back, np.broadcast_to(bias, back.shape[1:])), W_in[:, :inputs]


def _dense(name: str, value: Any) -> np.ndarray:
    array = value.toarray() if hasattr(value, "toarray") else value
    return float_array(name, np.asarray(array, float) if np.isscalar(array) else array)
