"""Recurrent cells of Equinox."""

from typing import Any

import numpy as np

from rnn_dynamics.cells.gated import GRU, LSTM
from rnn_dynamics.interop.arrays import check_shape, check_step, float_array, what_came

_GATES = {"GRUCell": 3, "LSTMCell": 4}


def from_equinox(source: Any) -> GRU | LSTM:
    """A recurrent cell of Equinox as a cell of this library: the same states, and so the same ∂h_T/∂h_k.

    Both lay out their gates as PyTorch does: r, z, n of a GRU that resets after the recurrent product, and
    i, f, g, o of an LSTM. Layers on top of one another: ``Stack([from_equinox(first), …])``.

    Args:
        source: ``eqx.nn.GRUCell`` or ``eqx.nn.LSTMCell``, with or without bias.

    Returns:
        A cell. The state of an LSTM is [h, c], Equinox's pair as one vector.

    Raises:
        TypeError: another object.
        ValueError: weights that are missing, shapes that do not fit, a dtype that is not float32 or float64.
    """
    kind = type(source).__name__
    if kind not in _GATES:
        raise TypeError(f"source: expected an equinox.nn GRUCell or LSTMCell, got {what_came(source)}")
    check_step(source, "__call__", ("equinox",), "give its weights to rd.LSTM or rd.GRU")
    W = check_shape("weight_hh", _array(source, "weight_hh"), (None, None))
    units = W.shape[1]
    rows = _GATES[kind] * units
    check_shape("weight_hh", W, (rows, units))
    W_in = check_shape("weight_ih", _array(source, "weight_ih"), (rows, None))
    biased = getattr(source, "bias", None) is not None
    b = check_shape("bias", _array(source, "bias"), (rows,)) if biased else np.zeros(rows, W.dtype)
    if kind == "LSTMCell":
        return LSTM(W, b, W_in)
    b_hidden = check_shape("bias_n", _array(source, "bias_n"), (units,)) if biased else None
    return GRU(W, b, W_in, b_hidden)


def _array(source: Any, name: str) -> np.ndarray:
    value = getattr(source, name, None)
    if value is None:
        raise ValueError(f"source: expected {name}, which is missing")
    return float_array(name, value)
