"""Legendre memory units of keras-lmu."""

from typing import Any

import numpy as np

from rnn_dynamics.cells.legendre import LMU
from rnn_dynamics.cells.stack import Stack
from rnn_dynamics.cells.vanilla import ElmanRNN
from rnn_dynamics.interop.arrays import check_shape, host_array, what_came
from rnn_dynamics.interop.keras.config import check_precision
from rnn_dynamics.interop.keras.objects import from_keras

_NEEDED = ("memory_d", "order", "discretizer", "hidden_to_memory", "input_to_hidden", "hidden_cell")
_DENSE = {"relu": "relu", "tanh": "tanh", "sigmoid": "sigmoid", "linear": "linear"}


def from_keras_lmu(source: Any) -> LMU:
    """A Legendre memory unit of keras-lmu as a cell: the same states, and so the same ∂x_T/∂x_0.

    The state is keras-lmu's, the memory and then that of the hidden cell, of an LSTM [h, c]. The hidden cell is
    read by ``from_keras``; a Dense layer in its place is a map that forgets its own state. θ is as trained.

    Args:
        source: ``keras_lmu.LMUCell``, or an ``LMU`` layer with such a cell, that has its weights.

    Returns:
        A cell.

    Raises:
        TypeError: another object; a hidden cell that ``from_keras`` does not read.
        ValueError: a cell without weights yet, shapes that do not fit, a half-precision policy.
    """
    layer = getattr(source, "layer", source)
    cell = getattr(layer, "cell", layer)
    if not all(hasattr(cell, name) for name in _NEEDED):
        raise TypeError(f"source: expected an LMU or LMUCell of keras-lmu, got {what_came(source)}")
    if getattr(cell, "A", None) is None:
        raise ValueError("source: expected an LMUCell with its weights, got one that is not built yet")
    precision = getattr(cell, "compute_dtype", None)
    check_precision(precision if isinstance(precision, str) else None)
    d, q = int(cell.memory_d), int(cell.order)
    hidden = _hidden(cell.hidden_cell)
    A, B = _memory(cell, q)
    bias = getattr(cell, "bias", None)
    b = np.zeros(d, A.dtype) if bias is None else check_shape("bias", host_array("bias", bias), (d,))
    kernel = np.eye(d, dtype=A.dtype) if cell.kernel is None else host_array("kernel", cell.kernel)
    check_shape("kernel", kernel, (None, d))
    width = 0
    if cell.hidden_to_memory:
        width = (
            (hidden.parts["hidden"].stop if hasattr(hidden, "parts") else hidden.W.shape[1]) if hidden else 0
        )
    inputs = kernel.shape[0] - width
    back = getattr(cell, "recurrent_kernel", None)
    back = (
        None
        if back is None
        else check_shape("recurrent_kernel", host_array("recurrent_kernel", back), (d * q, d))
    )
    return LMU(
        A,
        B,
        kernel[:inputs].T,
        b,
        kernel[inputs:].T if width else None,
        None if back is None else back.T,
        hidden=hidden,
        reads_inputs=bool(cell.input_to_hidden),
    )


def _memory(cell: Any, order: int) -> tuple[np.ndarray, np.ndarray]:
    """A and B as the cell's step uses them: its own, or by the θ that it was trained to."""
    A = check_shape("A", host_array("A", cell.A), (order, order))
    B = check_shape("B", host_array("B", cell.B), (1, order))
    if not getattr(cell, "trainable_theta", False):
        return A.T, B[0]
    found = LMU.memory(order, 1 / float(np.asarray(cell.theta_inv)), method=cell.discretizer)
    return found[0].astype(A.dtype), found[1].astype(A.dtype)


def _hidden(cell: Any) -> Any:
    if cell is None:
        return None
    if type(cell).__name__ != "Dense":
        found = from_keras(cell)
        if isinstance(found, Stack):
            raise ValueError("source: expected one hidden cell, got several on top of one another")
        return found
    name = getattr(cell.activation, "__name__", type(cell.activation).__name__)
    if name not in _DENSE:
        raise ValueError(f"source: expected a Dense layer of {', '.join(_DENSE)}, got {name!r}")
    kernel = host_array("kernel", cell.kernel)
    units = kernel.shape[1]
    bias = np.zeros(units, kernel.dtype) if cell.bias is None else host_array("bias", cell.bias)
    return ElmanRNN(np.zeros((units, units), kernel.dtype), bias, kernel.T, activation=_DENSE[name])
