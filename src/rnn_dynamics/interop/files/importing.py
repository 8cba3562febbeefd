"""A network that was found in a file, as a cell."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_dynamics.interop.files.names import KINDS
from rnn_dynamics.interop.files.networks import Network, one_layer
from rnn_dynamics.interop.files.stored import HALF, Refused, Stored, brief
from rnn_dynamics.interop.frameworks.flax import from_flax
from rnn_dynamics.interop.frameworks.haiku import from_haiku
from rnn_dynamics.interop.frameworks.pytorch import from_torch
from rnn_dynamics.interop.frameworks.unirep import from_unirep
from rnn_dynamics.interop.keras.objects import from_keras
from rnn_dynamics.interop.onnx.cells import cell_of as cell_of_onnx, start_is_zero
from rnn_dynamics.numerics.validation import choice

_OF_KERAS = ("kernel", "recurrent_kernel", "bias")


def cell_of(network: Network, kind: str | None, layer: int | None, direction: str | None, name: str) -> Any:
    """The cell of a network in a file of that name, by the door of its own framework.

    Raises:
        Refused: numbers that cannot be read.
        ValueError: as the framework's own door.
    """
    if network.family == "torch":
        told = network.kind if network.kind in ("rnn_tanh", "rnn_relu") else None
        arrays = _numbers(one_layer(network.arrays, layer), name)
        return from_torch(arrays, kind=_agreed(kind, told), direction=direction)
    if network.family == "unirep":
        if kind is not None or direction not in (None, "forward"):
            raise ValueError(
                f"kind, direction: expected None of a multiplicative LSTM, got {kind!r}, {direction!r}"
            )
        return from_unirep(_numbers(network.arrays, name), layer=layer)
    if layer is not None:
        raise ValueError(
            f"layer: expected None, as names of {network.family} have one layer each, got {layer!r}"
        )
    known = network.kind if network.kind in KINDS else None
    chosen = _agreed(kind, known)
    activation = (chosen or "").removeprefix("rnn_") if network.kind.startswith("rnn") else None
    if network.family == "onnx":
        told = network.arrays
        found = cell_of_onnx(told["graph"], told["entry"], direction=direction)
        said = sorted(told["graph"].constants.told)
        if not start_is_zero(told["graph"], told["entry"]):
            said.append(f"it does not start at 0: rd.interop.onnx_initial_state({name!r}) is its first state")
        if said:
            warnings.warn(f"{name}: {'; '.join(said)}", UserWarning, stacklevel=3)
        return found
    if direction not in (None, "forward"):
        raise ValueError(f'direction: expected None or "forward" of a forward network, got {direction!r}')
    arrays = _numbers(network.arrays, name)
    if activation == "":
        raise ValueError('kind: expected "rnn_tanh" or "rnn_relu", which the weights do not tell, got None')
    if network.family == "keras":
        return from_keras([arrays[each] for each in _OF_KERAS if each in arrays], activation=activation)
    if network.family == "haiku":
        modules: dict[str, dict[str, np.ndarray]] = {}
        for path, array in arrays.items():
            inner, _, field = path.partition(".")
            modules.setdefault(f"core{inner}", {})[field] = array
        return from_haiku(modules, kind={"lstm": "LSTM", "gru": "GRU"}.get(network.kind, "VanillaRNN"))
    layers: dict[str, dict[str, np.ndarray]] = {}
    for path, array in arrays.items():
        gate, _, field = path.partition(".")
        layers.setdefault(gate, {})[field] = array
    if network.family == "nnx":
        layers = _as_linen(layers, network.kind)
    return from_flax(layers, activation=activation)


def _as_linen(layers: dict[str, dict[str, np.ndarray]], kind: str) -> dict[str, dict[str, np.ndarray]]:
    """The layers of nnx by linen's names, gate by gate.

    Raises:
        ValueError: columns that are no whole number of gates.
    """
    if "dense_i" not in layers:
        return {name.replace("if_", "if"): layer for name, layer in layers.items()}
    gates = {"lstm": "ifgo", "gru": "rzn"}.get(kind, "")
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, layer in layers.items():
        for field, array in layer.items():
            parts = np.split(array, len(gates) or 1, axis=-1)
            for gate, part in zip(gates or [""], parts, strict=True):
                found.setdefault(f"{name[-1]}{gate}", {})[field] = part
    if kind == "gru":
        found["hn"].setdefault("bias", np.zeros_like(found["hn"]["kernel"][0]))
    return found


def _agreed(given: str | None, told: str | None) -> str | None:
    """The kind that the user or the file tells.

    Raises:
        ValueError: they differ, or it is none.
    """
    if given is not None:
        choice("kind", given, tuple(KINDS))
    if given is not None and told is not None and given != told:
        raise ValueError(f"kind: expected None or {told!r}, as the file tells, got {given!r}")
    return given if told is None else told


def _numbers(arrays: Mapping[str, Stored], name: str) -> dict[str, np.ndarray]:
    """The numbers of a network, half precision as float32, with a statement of what was done to them."""
    found, told = {}, set()
    for key, stored in arrays.items():
        try:
            array = stored.read()
        except Refused:
            raise
        except Exception as error:  # damaged members raise whatever their parser does
            raise Refused(f"expected the numbers of {key}, got damaged ones: {brief(error)}") from error
        if stored.dtype in HALF:
            array = array.astype(np.float32)
            told.add(f"{stored.dtype} was made float32")
        if stored.told:
            told.add(stored.told)
        if array.dtype in (np.int8, np.uint8):
            raise ValueError(
                f"source: expected {key} in float32 or float64, got {array.dtype} without a scale in the file: "
                "rd.interop.from_torch takes scale * (array - zero_point)"
            )
        found[key] = array
    if told:
        warnings.warn(f"{name}: {'; '.join(sorted(told))}", UserWarning, stacklevel=4)
    return found
