"""Recurrent networks of PyTorch: modules, state dicts, and arrays that go by the same names."""

import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_dynamics.cells.bidirectional import Bidirectional
from rnn_dynamics.cells.gated import GRU, LSTM
from rnn_dynamics.cells.projected import ProjectedLSTM
from rnn_dynamics.cells.stack import Stack
from rnn_dynamics.cells.vanilla import ElmanRNN
from rnn_dynamics.interop.arrays import agreed, host_array, what_came
from rnn_dynamics.interop.files.names import (
    KINDS,
    check_kind,
    has_both_directions,
    kind_of,
    layers_of,
    pairs_of,
    selected,
)
from rnn_dynamics.interop.frameworks.effective import hooks_of, plain, weights_of
from rnn_dynamics.interop.frameworks.exported import is_program, operation_of


def from_torch(
    source: Any,
    *,
    kind: str | None = None,
    prefix: str = "",
    layer: int | None = None,
    direction: str | None = None,
) -> ElmanRNN | LSTM | ProjectedLSTM | GRU | Stack | Bidirectional:
    """A network of PyTorch as a cell: the same states, and so the same ∂h_T/∂h_k.

    A bidirectional one is a ``Bidirectional``, which maps a whole sequence: its outputs are those of the module, h
    of both directions side by side, that of the reverse direction at t after it read input t. A packed batch of
    PyTorch turns each sequence at its own end; so does ``run`` of each sequence cut to its length.

    Weights that a module computes before each forward, parametrised, normalised or pruned, are read as its forward
    in evaluation uses them; from a state dict, masks of pruning and ``weight_norm`` are. Layers of Paddle, and the
    LSTMCell of tinygrad, have the same names and the same maps, and are read too.

    Args:
        source: ``nn.RNN``, ``nn.LSTM``, ``nn.GRU``, ``RNNCell``, ``LSTMCell``, ``GRUCell``; a module that has one
            in it; a program of ``torch.export``, whose graph tells the kind; a state dict; or a mapping from
            PyTorch's names to arrays.
        kind: "lstm", "gru", "rnn_tanh" or "rnn_relu"; told by a module itself or the part of it that the prefix
            names, and by the shapes but for an ``nn.RNN``'s activation.
        prefix: of the names to take, as "encoder.lstm." or "encoder.lstm"; all names must belong to the network
            otherwise.
        layer: the number of one layer to take alone, from 0 on. All are taken otherwise.
        direction: "forward" or "reverse" of a bidirectional network, to take one alone: each is a map of its own,
            the second one of the inputs in reverse order. Where it is deep, of one layer at a time: layer 1 reads
            both directions of layer 0, [forward, reverse], as its inputs.

    Returns:
        A cell, a ``Stack`` of layers, or a ``Bidirectional``. The state of an LSTM is [h, c], with ``proj_size`` p
        of p + n entries.

    Raises:
        TypeError: neither a module nor a mapping; names or a prefix that are no strings.
        ValueError: names that are missing, foreign or double, shapes that do not fit, weights that are in half
            precision, quantised or have no values, or computed in a way that names do not tell; one direction of
            several layers; a kind that is not told, or that contradicts the module; a class with a
            forward that is not PyTorch's.

    Warns:
        UserWarning: weights of a dynamically quantised layer were made float32; a forward with hooks that may
            change what it reads and puts out.
    """
    arrays, told = _arrays(source, prefix)
    if direction is None and has_both_directions(arrays):
        return _both(arrays, kind, told, layer)
    layers = layers_of(arrays, direction, layer)
    if kind is None and told is None:
        told = kind_of(layers[0])
    chosen = str(agreed("kind", kind, told, tuple(KINDS)))
    cells = [_cell(chosen, found, number) for number, found in enumerate(layers, layer or 0)]
    return cells[0] if len(cells) == 1 else Stack(cells)


def _both(
    arrays: dict[str, np.ndarray], kind: str | None, told: str | None, layer: int | None
) -> Bidirectional:
    """All layers of a bidirectional network, or one, in both directions."""
    pairs = pairs_of(arrays, layer)
    if kind is None and told is None:
        told = kind_of(pairs[0][0])
    chosen = str(agreed("kind", kind, told, tuple(KINDS)))
    return Bidirectional(
        [
            (_cell(chosen, first, number), _cell(chosen, second, number))
            for number, (first, second) in enumerate(pairs, layer or 0)
        ]
    )


def _arrays(source: Any, prefix: str) -> tuple[dict[str, np.ndarray], str | None]:
    """Arrays by name, and the kind where a module tells it."""
    if not isinstance(prefix, str):
        raise TypeError(f"prefix: expected a string, got {prefix!r}")
    module: Any = None if isinstance(source, (Mapping, type)) else source
    said = ""
    if type(module).__module__.startswith("tinygrad") and type(module).__name__ == "LSTMCell":
        source = {name: value for name, value in vars(module).items() if value is not None}
    elif is_program(module):
        operation = operation_of(module, prefix)
        if operation is not None:
            return {n: host_array(n, value) for n, value in operation.weights.items()}, operation.kind
        source = module.state_dict
    elif hasattr(module, "state_dict"):
        if not callable(module.state_dict):
            kind = type(module).__name__
            raise TypeError(
                f"source: expected a module or a state dict, got {kind}: from_torch(source.state_dict)"
            )
        source, said = weights_of(module, prefix)
    if not isinstance(source, Mapping):
        raise TypeError(f"source: expected a PyTorch module or a state dict, got {what_came(source)}")
    found, prefix = selected(plain(source, prefix), prefix)
    part = None if module is None else _part_of(module, prefix)
    told = None if part is None else _kind_of_module(part, prefix)
    if said := "; ".join(filter(None, [said, "" if part is None else hooks_of(part)])):
        warnings.warn(f"source: {said}", UserWarning, stacklevel=3)
    return {name: host_array(name, value) for name, value in found.items()}, told


def _part_of(module: Any, prefix: str) -> Any:
    """The part of the module to which the prefix leads."""
    for part in prefix.split(".")[:-1]:
        module = getattr(module, part, None)
    return module


def _kind_of_module(module: Any, prefix: str) -> str | None:
    """The kind that a module tells, where it is one of PyTorch's own."""
    name = type(module).__name__.lower().removeprefix("parametrized")
    mode = getattr(module, "mode", None)
    if name in ("rnncell", "simplernncell"):
        mode = f"rnn_{getattr(module, 'nonlinearity', None) or getattr(module, 'activation', None)}"
    elif name in ("lstmcell", "grucell"):
        mode = name.removesuffix("cell")
    told = mode.lower() if isinstance(mode, str) and mode.lower() in KINDS else None
    _check_forward(module, prefix, told)
    return told


def _check_forward(module: Any, prefix: str, told: str | None) -> None:
    """Refuse a class whose forward is none of PyTorch's or Paddle's, whatever names its weights have."""
    classes = type(module).__mro__
    forward = next((cls for cls in classes if "forward" in vars(cls)), type(module))
    base = next((cls.__name__ for cls in classes if cls.__module__ == "torch.nn.modules.rnn"), None)
    program = _name_in_program(module)
    if program:
        if program.partition(".")[0] in ("torch", "paddle"):
            return
        got = f"{program.rpartition('.')[2]}, which has a forward of its own"
    elif "forward" in getattr(module, "__dict__", {}):
        got = f"a {type(module).__name__} whose forward was replaced"
    elif "forward" not in vars(forward) or forward.__module__.partition(".")[0] in ("torch", "paddle"):
        return
    else:
        got = f"{forward.__name__}, which {'overrides forward' if base else 'has a forward of its own'}"
    words = f"{f', prefix={prefix!r}' if prefix else ''}{f', kind={told!r}' if told else ''}".replace(
        "'", '"'
    )
    raise ValueError(
        f"source: expected {f'a {base}' if base else 'a recurrent module'} of PyTorch, got {got}: "
        f"where that leaves PyTorch's step alone, from_torch(source.state_dict(){words}), else write its step "
        "as a cell"
    )


def _name_in_program(module: Any) -> str:
    """The class of a scripted or traced module by its full name, which its own type does not tell; or ""."""
    try:
        name = str(module._c._type().qualified_name())
    except (AttributeError, TypeError, RuntimeError):
        return ""
    return re.sub(r"___torch_mangle_\d+\.", "", name).removeprefix("__torch__.")


def _cell(kind: str, layer: dict[str, np.ndarray], number: int) -> ElmanRNN | LSTM | ProjectedLSTM | GRU:
    W, W_in = layer["hh"], layer["ih"]
    check_kind(kind, layer, number)
    rows, units = W.shape
    nothing = np.zeros(rows, W.dtype)
    b_in, b_hidden = layer.get("b_ih", nothing), layer.get("b_hh", nothing)
    if kind == "lstm" and "hr" in layer:
        return ProjectedLSTM(W, b_in + b_hidden, W_in, layer["hr"])
    if kind == "lstm":
        return LSTM(W, b_in + b_hidden, W_in)
    if kind == "gru":
        b = b_in + np.concatenate([b_hidden[: 2 * units], np.zeros(units, W.dtype)])
        return GRU(W, b, W_in, b_hidden[2 * units :])
    return ElmanRNN(W, b_in + b_hidden, W_in, activation=kind.removeprefix("rnn_"))
