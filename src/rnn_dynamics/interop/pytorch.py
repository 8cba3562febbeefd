"""Recurrent networks of PyTorch: modules, state dicts, and arrays that go by the same names."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_dynamics.cells.gated import GRU, LSTM
from rnn_dynamics.cells.stack import Stack
from rnn_dynamics.cells.vanilla import ElmanRNN
from rnn_dynamics.interop.arrays import agreed, float_array
from rnn_dynamics.interop.names import KINDS, check_kind, kind_of, layers_of, selected


def from_torch(
    source: Any, *, kind: str | None = None, prefix: str = "", direction: str | None = None
) -> ElmanRNN | LSTM | GRU | Stack:
    """A network of PyTorch as a cell: the same states, and so the same ∂h_T/∂h_k.

    Args:
        source: ``nn.RNN``, ``nn.LSTM``, ``nn.GRU``, ``RNNCell``, ``LSTMCell``, ``GRUCell``; a state dict; or a
            mapping from PyTorch's names to arrays.
        kind: "lstm", "gru", "rnn_tanh" or "rnn_relu"; told by a module itself or the part of it that the prefix
            names, and by the shapes but for an ``nn.RNN``'s activation.
        prefix: of the names to take, as "encoder.lstm." or "encoder.lstm"; all names must belong to the network
            otherwise.
        direction: "forward" or "reverse", of a bidirectional network: each is a map of its own, the second one of
            the inputs in reverse order. Only for one layer: later ones read both directions at once.

    Returns:
        A cell, or a ``Stack`` of layers. The state of an LSTM is [h, c].

    Raises:
        TypeError: neither a module nor a mapping; names or a prefix that are no strings.
        ValueError: names that are missing, foreign or double, shapes that do not fit, weights that are in half
            precision or have no values, projections (``proj_size``), a bidirectional network where one direction
            is needed, a kind that is not told, or that contradicts the module.
    """
    arrays, told = _arrays(source, prefix)
    layers = layers_of(arrays, direction)
    if kind is None and told is None:
        told = kind_of(layers[0])
    chosen = str(agreed("kind", kind, told, tuple(KINDS)))
    cells = [_cell(chosen, layer, number) for number, layer in enumerate(layers)]
    return cells[0] if len(cells) == 1 else Stack(cells)


def _arrays(source: Any, prefix: str) -> tuple[dict[str, np.ndarray], str | None]:
    """Arrays by name, and the kind where a module tells it."""
    if not isinstance(prefix, str):
        raise TypeError(f"prefix: expected a string, got {prefix!r}")
    module = source if hasattr(source, "state_dict") and not isinstance(source, (Mapping, type)) else None
    if module is not None:
        source = module.state_dict()
    if not isinstance(source, Mapping):
        raise TypeError(f"source: expected a PyTorch module or a state dict, got {type(source).__name__}")
    found, prefix = selected(source, prefix)
    told = None if module is None else _kind_of_module(module, prefix)
    return {name: _as_array(name, value) for name, value in found.items()}, told


def _as_array(name: str, value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        try:
            value = value.detach().cpu().numpy()
        except (TypeError, RuntimeError) as error:  # no bfloat16 in NumPy, no values on the device "meta"
            got = f"{value.dtype} on the device {value.device}"
            raise ValueError(f"source: expected {name} in float32 or float64 in memory, got {got}") from error
    return float_array(name, value)


def _kind_of_module(module: Any, prefix: str) -> str | None:
    """The kind that the part of the module tells to which the prefix leads, where it is one of PyTorch's own."""
    for part in prefix.split(".")[:-1]:
        module = getattr(module, part, None)
    name = type(module).__name__.lower()
    mode = getattr(module, "mode", None)
    if name == "rnncell":
        mode = f"rnn_{getattr(module, 'nonlinearity', None)}"
    elif name in ("lstmcell", "grucell"):
        mode = name.removesuffix("cell")
    return mode.lower() if isinstance(mode, str) and mode.lower() in KINDS else None


def _cell(kind: str, layer: dict[str, np.ndarray], number: int) -> ElmanRNN | LSTM | GRU:
    W, W_in = layer["hh"], layer["ih"]
    check_kind(kind, layer, number)
    rows, units = W.shape
    nothing = np.zeros(rows, W.dtype)
    b_in, b_hidden = layer.get("b_ih", nothing), layer.get("b_hh", nothing)
    if kind == "lstm":
        return LSTM(W, b_in + b_hidden, W_in)
    if kind == "gru":
        b = b_in + np.concatenate([b_hidden[: 2 * units], np.zeros(units, W.dtype)])
        return GRU(W, b, W_in, b_hidden[2 * units :])
    return ElmanRNN(W, b_in + b_hidden, W_in, activation=kind.removeprefix("rnn_"))
