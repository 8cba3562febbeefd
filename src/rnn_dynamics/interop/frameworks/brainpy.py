"""Recurrent cells of BrainPy: modules, and their variables by name."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_dynamics.cells.gated import GRU, LSTM
from rnn_dynamics.cells.vanilla import ElmanRNN
from rnn_dynamics.interop.arrays import (
    agreed,
    check_shape,
    check_step,
    function_name,
    gru_of_turned_update,
    stretches,
    what_came,
)
from rnn_dynamics.interop.files.trees import Form, kind_by_rows, part_of
from rnn_dynamics.numerics.validation import choice

_GATES = {"RNNCell": 1, "GRUCell": 3, "LSTMCell": 4}
FORMS = {kind: Form(frozenset({"Wi", "Wh"}), frozenset({"b"})) for kind in _GATES}
_ACTIVATIONS = ("relu", "tanh", "sigmoid")


def from_brainpy(
    source: Any, *, kind: str | None = None, prefix: str = "", activation: str | None = None
) -> ElmanRNN | LSTM | GRU:
    """A recurrent cell of BrainPy as a cell: the same states, and so the same ∂h_T/∂h_k.

    As in Haiku, 1 is added to the LSTM's forget gate in each call, and this cell has it in b; its gates stand as
    i, g, f, o. The GRU is h⁺ = (1 − z) h + z tanh(W_a (r h) + …) with gates z, r, a; its rows of z are negated. The
    RNNCell is of relu by default. BrainPy multiplies from the left by weights of shape (inputs, k n).

    Args:
        source: ``brainpy.dyn.RNNCell``, ``GRUCell`` or ``LSTMCell``; or variables by name, as ``train_vars()`` of a
            model gives them: {"GRUCell0.Wi": …, …}.
        kind: "RNNCell", "GRUCell" or "LSTMCell"; told by a cell, and by the shapes.
        prefix: the cell's name among variables, as "GRUCell0".
        activation: "relu", "tanh" or "sigmoid", of an RNNCell given by its variables; told by a cell.

    Returns:
        A cell. The state of an LSTM is [h, c], as in BrainPy.

    Raises:
        TypeError: neither such a cell nor a mapping; a prefix that is no string.
        ValueError: names that are missing or foreign, several cells, shapes that do not fit, another kind or
            activation, what is neither told nor given, a dtype that is not float32 or float64.
    """
    told: str | None = None
    if kind is not None:
        choice("kind", kind, tuple(FORMS))
    if not isinstance(source, Mapping):
        name = type(source).__name__
        if name not in FORMS or not all(hasattr(source, weight) for weight in ("Wi", "Wh")):
            raise TypeError(
                f"source: expected a BrainPy RNNCell, GRUCell or LSTMCell, or variables, got {what_came(source)}"
            )
        found = {weight: getattr(source, weight, None) for weight in ("Wi", "Wh", "b")}
        own = ", ".join(
            f'"{weight}": source.{weight}' for weight, value in found.items() if value is not None
        )
        told = function_name(source.activation)
        words = f', activation="{told}"' if name == "RNNCell" else ""
        check_step(source, "update", ("brainpy",), f'from_brainpy({{{own}}}, kind="{name}"{words})')
        kind = str(agreed("kind", kind, name, tuple(FORMS)))
        source = {weight: value for weight, value in found.items() if value is not None}
    part = part_of(source, FORMS, call="from_brainpy", prefix=prefix, kind=kind)
    kind = kind or kind_by_rows(part, "Wh", _GATES, axis=1)
    units = check_shape("Wh", part.arrays["Wh"], (None, None)).shape[0]
    wide = _GATES[kind] * units
    W = check_shape("Wh", part.arrays["Wh"], (units, wide)).T
    W_in = check_shape("Wi", part.arrays["Wi"], (None, wide)).T
    b = check_shape("b", part.arrays.get("b", np.zeros(wide, W.dtype)), (wide,))
    if kind == "RNNCell":
        if told is not None and told not in _ACTIVATIONS:
            raise ValueError(f"source: expected an activation of {_ACTIVATIONS}, got {told!r}")
        return ElmanRNN(W, b, W_in, activation=agreed("activation", activation, told, _ACTIVATIONS))
    agreed("activation", activation, told or "tanh", ("tanh",))
    if (told or "tanh") != "tanh":
        raise ValueError(f"source: expected activation 'tanh' of a {kind}, got {told!r}")
    if kind == "GRUCell":
        return gru_of_turned_update(W, W_in, b)
    W, W_in, b = (stretches(array, (0, 2, 1, 3), 4) for array in (W, W_in, b))
    return LSTM(W, b + np.repeat(np.array([0, 1, 0, 0], b.dtype), units), W_in)
