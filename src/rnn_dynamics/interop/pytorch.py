"""Recurrent networks of PyTorch: modules, state dicts, and arrays that go by the same names."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_dynamics.cells.gated import GRU, LSTM
from rnn_dynamics.cells.stack import Stack
from rnn_dynamics.cells.vanilla import ElmanRNN
from rnn_dynamics.interop.arrays import agreed, float_array
from rnn_dynamics.validation import choice

__all__ = ["from_torch"]

_KINDS = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
_NAME = re.compile(r"(weight|bias)_(ih|hh|hr)(?:_l(\d+))?(_reverse)?")


def from_torch(
    source: Any, *, kind: str | None = None, prefix: str = "", direction: str | None = None
) -> ElmanRNN | LSTM | GRU | Stack:
    """A network of PyTorch as a cell: the same states, and so the same ∂h_T/∂h_k.

    Args:
        source: ``nn.RNN``, ``nn.LSTM``, ``nn.GRU``, ``RNNCell``, ``LSTMCell``, ``GRUCell``; a state dict; or a
            mapping from PyTorch's names to arrays.
        kind: "lstm", "gru", "rnn_tanh" or "rnn_relu"; told by a module itself or the part of it that the prefix
            names, and by the shapes but for an ``nn.RNN``'s activation.
        prefix: of the names to take, as "encoder.lstm."; all names must belong to the network otherwise.
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
    if any(name.startswith("weight_hr") for name in arrays):
        raise ValueError(
            "source: expected a network without projections, got proj_size > 0: its h is no state"
        )
    layers = _layers(arrays, direction)
    if kind is None and told is None:
        told = _kind_of(layers[0])
    chosen = str(agreed("kind", kind, told, tuple(_KINDS)))
    cells = [_cell(chosen, layer, number) for number, layer in enumerate(layers)]
    return cells[0] if len(cells) == 1 else Stack(cells)


def _arrays(source: Any, prefix: str) -> tuple[dict[str, np.ndarray], str | None]:
    """Arrays by name, and the kind where a module tells it."""
    if not isinstance(prefix, str):
        raise TypeError(f"prefix: expected a string, got {prefix!r}")
    told = None
    if hasattr(source, "state_dict") and not isinstance(source, (Mapping, type)):
        told = _kind_of_module(source, prefix)
        source = source.state_dict()
    if not isinstance(source, Mapping):
        raise TypeError(f"source: expected a PyTorch module or a state dict, got {type(source).__name__}")
    strange = [name for name in source if not isinstance(name, str)]
    if strange:
        raise TypeError(f"source: expected PyTorch's names of weights, got the key {strange[0]!r}")
    found = {name[len(prefix) :]: value for name, value in source.items() if name.startswith(prefix)}
    if not found:
        raise ValueError(
            f"prefix: expected the beginning of some name, got {prefix!r}; names are {sorted(source)[:8]}"
        )
    foreign = sorted(name for name in found if not _NAME.fullmatch(name))
    if foreign:
        raise ValueError(
            f"source: expected the weights of one recurrent network, got also {foreign[:5]}; "
            "choose the network by its prefix"
        )
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
    return mode.lower() if isinstance(mode, str) and mode.lower() in _KINDS else None


def _layers(arrays: dict[str, np.ndarray], direction: str | None) -> list[dict[str, np.ndarray]]:
    """The arrays of each layer by the names ih, hh and b_ih, b_hh, in one direction."""
    backwards = [name.endswith("_reverse") for name in arrays]
    reverse = any(backwards)
    if direction is not None:
        choice("direction", direction, ("forward", "reverse"))
    if all(backwards) and direction != "reverse":
        raise ValueError(f'direction: expected "reverse", as the weights are of it alone, got {direction!r}')
    if reverse and direction is None:
        raise ValueError('direction: expected "forward" or "reverse" of this bidirectional network, got None')
    if direction == "reverse" and not reverse:
        raise ValueError(
            'direction: expected "forward" or None, as the network has one direction, got "reverse"'
        )
    layers: dict[int, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        match = _NAME.fullmatch(name)
        assert match is not None
        what, which, layer, backward = match.groups()
        if bool(backward) == (direction == "reverse"):
            number, field = int(layer or 0), ("b_" if what == "bias" else "") + which
            found = layers.setdefault(number, {})
            if field in found:
                raise ValueError(f"source: expected one {what}_{which} of layer {number}, got also {name}")
            found[field] = array
    if reverse and len(layers) > 1:
        raise ValueError(
            f"source: expected one layer of a bidirectional network, got {len(layers)}: from the second on they "
            "read both directions, which is no recurrence in time"
        )
    if sorted(layers) != list(range(len(layers))):
        raise ValueError(f"source: expected layers 0, 1, …, got {sorted(layers)}")
    checked: list[dict[str, np.ndarray]] = []
    for number in sorted(layers):
        width = checked[-1]["hh"].shape[1] if checked else None
        checked.append(_checked(layers[number], number, width))
    return checked


def _checked(layer: dict[str, np.ndarray], number: int, width: int | None) -> dict[str, np.ndarray]:
    """The arrays of one layer, which reads so many inputs; ``None`` stands for any number."""
    for which in ("ih", "hh"):
        if which not in layer:
            raise ValueError(f"source: expected weight_{which}_l{number}, which is missing")
        if layer[which].ndim != 2:
            raise ValueError(
                f"source: expected weight_{which}_l{number} as a matrix, got {layer[which].shape}"
            )
    if ("b_ih" in layer) != ("b_hh" in layer):
        raise ValueError(f"source: expected bias_ih_l{number} and bias_hh_l{number}, or neither")
    rows = layer["hh"].shape[0]
    for which, shape in (("ih", (rows, None)), ("b_ih", (rows,)), ("b_hh", (rows,))):
        got = layer[which].shape if which in layer else shape
        if len(got) != len(shape) or any(e is not None and e != g for e, g in zip(shape, got, strict=True)):
            raise ValueError(
                f"source: layer {number}: expected {rows} rows in {which} as in weight_hh, got {got}"
            )
    if width is not None and layer["ih"].shape[1] != width:
        raise ValueError(
            f"source: expected weight_ih_l{number} with {width} columns, the units of layer {number - 1}, "
            f"got {layer['ih'].shape}"
        )
    return layer


def _kind_of(layer: dict[str, np.ndarray]) -> str:
    rows, units = layer["hh"].shape
    for kind in ("lstm", "gru"):
        if rows == _KINDS[kind] * units:
            return kind
    if rows == units:
        raise ValueError('kind: expected "rnn_tanh" or "rnn_relu", which the weights do not tell, got None')
    raise ValueError(f"source: expected weight_hh of shape (k n, n) with k = 1, 3 or 4, got {(rows, units)}")


def _cell(kind: str, layer: dict[str, np.ndarray], number: int) -> ElmanRNN | LSTM | GRU:
    W, W_in = layer["hh"], layer["ih"]
    rows, units = W.shape
    if rows != _KINDS[kind] * units:
        expected = f"({_KINDS[kind]} n, n)"
        raise ValueError(
            f"source: layer {number}: expected weight_hh of shape {expected} of {kind}, got {W.shape}"
        )
    nothing = np.zeros(rows, W.dtype)
    b_in, b_hidden = layer.get("b_ih", nothing), layer.get("b_hh", nothing)
    if kind == "lstm":
        return LSTM(W, b_in + b_hidden, W_in)
    if kind == "gru":
        b = b_in + np.concatenate([b_hidden[: 2 * units], np.zeros(units, W.dtype)])
        return GRU(W, b, W_in, b_hidden[2 * units :])
    return ElmanRNN(W, b_in + b_hidden, W_in, activation=kind.removeprefix("rnn_"))
