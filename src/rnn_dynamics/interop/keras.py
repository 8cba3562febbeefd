"""Recurrent layers of Keras: layers, their cells, and the lists that ``get_weights`` gives."""

from typing import Any

import numpy as np

from rnn_dynamics.cells.gated import GRU, LSTM
from rnn_dynamics.cells.vanilla import ElmanRNN
from rnn_dynamics.interop.arrays import agreed, check_shape, float_array, function_name, gru_of_update_first

_GATES = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}
_ACTIVATIONS = ("tanh", "relu", "sigmoid", "linear")


def from_keras(
    source: Any, *, kind: str | None = None, activation: str | None = None, reset_after: bool | None = None
) -> ElmanRNN | LSTM | GRU:
    """A recurrent layer of Keras 3 as a cell: the same states, and so the same ∂h_T/∂h_k.

    Keras multiplies from the left by kernels of shape (inputs, k n), with the gates i, f, c, o of an LSTM and
    z, r, h of a GRU. Dropout counts as off. Layers on top of one another: ``Stack([from_keras(first), …])``.

    Args:
        source: a layer or cell of SimpleRNN, LSTM or GRU that has its weights; or the list [kernel,
            recurrent_kernel, bias] of ``get_weights()``, without the last where ``use_bias=False``.
        kind: "SimpleRNN", "LSTM" or "GRU"; told by a layer, and by the shapes of a list.
        activation: "tanh", "relu", "sigmoid" or "linear", of a SimpleRNN given as a list; told by a layer.
        reset_after: of a GRU given as a list without bias; told by a layer, and by the shape of the bias.

    Returns:
        A cell. The state of an LSTM is [h, c].

    Raises:
        TypeError: neither a layer nor a list.
        ValueError: a layer without weights yet, shapes that do not fit, activations of a gated layer that are
            not Keras' defaults, ``go_backwards``, a half-precision policy, what is neither told nor given.
    """
    told: dict[str, Any] = {}
    if not isinstance(source, (list, tuple)):
        told, source = _settings(source), source.get_weights()
    if len(source) not in (2, 3):
        expected = "[kernel, recurrent_kernel, bias] or the first two"
        raise ValueError(f"source: expected {expected}, got {len(source)} arrays")
    names = ("kernel", "recurrent_kernel", "bias")
    kernel, recurrent, *bias = (float_array(name, w) for name, w in zip(names, source, strict=False))
    check_shape("recurrent_kernel", recurrent, (None, None))
    kind = str(agreed("kind", kind, told.get("kind") or _kind_of(recurrent.shape), _GATES))
    units = recurrent.shape[0]
    columns = _GATES[kind] * units
    check_shape("recurrent_kernel", recurrent, (units, columns))
    check_shape("kernel", kernel, (None, columns))
    W, W_in = recurrent.T, kernel.T
    if kind != "SimpleRNN" and activation is not None:
        raise ValueError(f"activation: expected None, as a {kind} has Keras' defaults, got {activation!r}")
    if kind == "GRU":
        after = agreed("reset_after", reset_after, _told_reset(told, bias), (True, False))
        return _gru(W, W_in, bias[0] if bias else None, after)
    if reset_after is not None:
        raise ValueError(f"reset_after: expected None, as a {kind} resets nothing, got {reset_after!r}")
    b = check_shape("bias", bias[0], (columns,)) if bias else np.zeros(columns, W.dtype)
    if kind == "LSTM":
        return LSTM(W, b, W_in)
    chosen = agreed("activation", activation, told.get("activation"), _ACTIVATIONS)
    return ElmanRNN(W, b, W_in, activation=chosen)


def _settings(layer: Any) -> dict[str, Any]:
    """Return what a layer tells beyond its weights."""
    kind = type(layer).__name__.removesuffix("Cell")
    if kind not in _GATES or not hasattr(layer, "get_weights"):
        words = "a Keras SimpleRNN, LSTM or GRU, or a list of its weights"
        parts = {"Bidirectional": "forward_layer or backward_layer", "RNN": "cell, or its cells one by one"}
        hint = f"; choose its {parts[kind]}" if kind in parts else ""
        raise TypeError(f"source: expected {words}, got {type(layer).__name__}{hint}")
    if not layer.get_weights():
        raise ValueError("source: expected a layer with its weights, got one that is not built yet")
    if getattr(layer, "go_backwards", False):
        raise ValueError(
            "source: expected a layer that reads forward, got go_backwards=True: import source.get_weights() "
            "and give the inputs in reverse order"
        )
    precision = getattr(layer, "compute_dtype", None) or "float32"
    if precision not in ("float32", "float64"):
        raise ValueError(f"source: expected a layer that computes in float32 or float64, got {precision}")
    names = {name: _name(getattr(layer, name, None)) for name in ("activation", "recurrent_activation")}
    if kind == "SimpleRNN":
        if names["activation"] not in _ACTIVATIONS:
            raise ValueError(f"source: expected an activation of {_ACTIVATIONS}, got {names['activation']}")
        return {"kind": kind, "activation": names["activation"]}
    for name, expected in (("activation", "tanh"), ("recurrent_activation", "sigmoid")):
        if names[name] != expected:
            raise ValueError(f"source: expected {name} {expected!r} of a {kind}, got {names[name]!r}")
    return {"kind": kind} | ({"reset_after": bool(layer.reset_after)} if kind == "GRU" else {})


def _name(activation: Any) -> str:
    return "linear" if activation is None else function_name(activation)


def _kind_of(shape: tuple[int, ...]) -> str:
    for kind, gates in _GATES.items():
        if shape[1] == gates * shape[0]:
            return kind
    raise ValueError(
        f"source: expected recurrent_kernel of shape (n, k n) with k = 1, 3 or 4, got shape {shape}"
    )


def _told_reset(told: dict[str, Any], bias: list[np.ndarray]) -> bool | None:
    return bias[0].ndim == 2 if bias and "reset_after" not in told else told.get("reset_after")


def _gru(W: np.ndarray, W_in: np.ndarray, bias: np.ndarray | None, after: bool) -> GRU:
    rows = len(W)
    if bias is None:
        bias = np.zeros((2, rows) if after else rows, W.dtype)
    check_shape("bias", bias, (2, rows) if after else (rows,))
    b, b_recurrent = bias if after else (bias, np.zeros_like(bias))
    return gru_of_update_first(W, W_in, b, b_recurrent, after=after)
