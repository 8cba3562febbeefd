"""Recurrent layers of MLX: modules, and their parameters by name."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_dynamics.cells.gated import GRU, LSTM
from rnn_dynamics.cells.vanilla import ElmanRNN
from rnn_dynamics.interop.arrays import agreed, check_shape, check_step, function_name, what_came
from rnn_dynamics.interop.files.trees import Form, Part, kind_by_rows, module_at, part_of
from rnn_dynamics.numerics.validation import choice

FORMS = {
    "RNN": Form(frozenset({"Wxh", "Whh"}), frozenset({"bias"})),
    "LSTM": Form(frozenset({"Wx", "Wh"}), frozenset({"bias"})),
    "GRU": Form(frozenset({"Wx", "Wh"}), frozenset({"b", "bhn"})),
}
_ACTIVATIONS = ("tanh", "relu", "sigmoid")


def from_mlx(
    source: Any, *, kind: str | None = None, prefix: str = "", activation: str | None = None
) -> ElmanRNN | LSTM | GRU:
    """A recurrent layer of MLX as a cell: the same states, and so the same ∂h_T/∂h_k.

    Gates are i, f, g, o of an LSTM, and r, z, n of a GRU: h⁺ = (1 − z) n + z h with n = tanh(W_x u + b_n +
    r (W_h h + b_hn)). Layers on top of one another: ``Stack([from_mlx(model, prefix="layers.0"), …])``.

    Args:
        source: ``mlx.nn.RNN``, ``LSTM`` or ``GRU``, a module that has one in it, or parameters by name, nested as
            ``parameters()`` gives them or flat as ``save_weights`` writes them.
        kind: "RNN", "LSTM" or "GRU"; told by the names and shapes.
        prefix: the layer's name in a model, as "layers.0".
        activation: "tanh", "relu" or "sigmoid", of an RNN given by its parameters; told by a module.

    Returns:
        A cell. The state of an LSTM is [h, c].

    Raises:
        TypeError: neither a module nor a mapping; a prefix that is no string.
        ValueError: names that are missing or foreign, several layers, shapes that do not fit, another kind or
            activation, what is neither told nor given, a dtype that is not float32 or float64.
    """
    if not isinstance(source, Mapping):  # which MLX's modules are
        raise TypeError(f"source: expected a module of MLX or its parameters, got {what_came(source)}")
    if kind is not None:
        choice("kind", kind, tuple(FORMS))
    part = part_of(source, FORMS, call="from_mlx", prefix=prefix, kind=kind)
    found = kind_by_rows(part, "Wh", {"LSTM": 4, "GRU": 3}) if "Wh" in part.arrays else "RNN"
    module = module_at(source, part.prefix)
    function = getattr(module, "nonlinearity", None)
    if hasattr(source, "parameters"):
        named = f', prefix="{part.prefix}"' if part.prefix else ""
        named += f', activation="{function_name(function)}"' if function is not None else ""
        check_step(module, "__call__", ("mlx",), f"from_mlx(source.parameters(){named})")
    if found == "RNN":
        told = None if function is None else function_name(function)
        if told is not None and told not in _ACTIVATIONS:
            raise ValueError(f"source: expected a nonlinearity of {_ACTIVATIONS}, got {told!r}")
        return _elman(part, str(agreed("activation", activation, told, _ACTIVATIONS)))
    if activation is not None:
        raise ValueError(f"activation: expected None, as a {found} has MLX's defaults, got {activation!r}")
    return _lstm(part) if found == "LSTM" else _gru(part)


def _checked(
    part: Part, names: tuple[str, str, str], gates: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W, b and W_in."""
    recurrent, into, bias = names
    units = check_shape(recurrent, part.arrays[recurrent], (None, None)).shape[1]
    W = check_shape(recurrent, part.arrays[recurrent], (gates * units, units))
    W_in = check_shape(into, part.arrays[into], (gates * units, None))
    b = check_shape(bias, part.arrays.get(bias, np.zeros(gates * units, W.dtype)), (gates * units,))
    return W, b, W_in


def _elman(part: Part, activation: str) -> ElmanRNN:
    return ElmanRNN(*_checked(part, ("Whh", "Wxh", "bias"), 1), activation=activation)


def _lstm(part: Part) -> LSTM:
    return LSTM(*_checked(part, ("Wh", "Wx", "bias"), 4))


def _gru(part: Part) -> GRU:
    W, b, W_in = _checked(part, ("Wh", "Wx", "b"), 3)
    if ("b" in part.arrays) != ("bhn" in part.arrays):
        raise ValueError("source: expected b and bhn of a GRU, or neither")
    hidden = part.arrays.get("bhn")
    return GRU(W, b, W_in, None if hidden is None else check_shape("bhn", hidden, (W.shape[1],)))
